/* The compute threads of the CPU backend. The caller of cpu_pool_run is one of them, so a pool of
 * one thread has none of its own. Waiting threads spin for some 50 us, which is longer than the
 * gaps between the ops of a pass, and then sleep: an idle pool costs nothing. */
#ifndef LE_CPU_POOL_H
#define LE_CPU_POOL_H

#include <stdint.h>

#include "config/base/status.h"

enum { CPU_THREADS_MAX = 256, CPU_CHUNKS_MAX = 0xffff };

struct cpu_pool; /* opaque; one caller at a time */

/* What is run: called once for each chunk below n, on any thread of the pool. thread is below the
 * pool's number of threads, and no two calls with the same thread overlap. */
typedef void cpu_pool_fn(void *arg, uint32_t chunk, uint32_t thread);

/* threads: 1 .. CPU_THREADS_MAX, the caller's included. The new threads block all signals.
 * TG_NOMEM; TG_LIMIT when the system gives no more threads. */
enum tg_status cpu_pool_open(uint32_t threads, struct cpu_pool **out, struct tg_error *err);
/* Ends the threads. NULL allowed. Not while cpu_pool_run is under way. */
void cpu_pool_close(struct cpu_pool *pool);
uint32_t cpu_pool_threads(const struct cpu_pool *pool);
/* Runs chunks 0 .. n-1 (n <= CPU_CHUNKS_MAX), in any order, and returns when all have ended. What
 * they wrote is then visible to the caller. */
void cpu_pool_run(struct cpu_pool *pool, uint32_t n, cpu_pool_fn *fn, void *arg);

/* Cores this process may use: those of its affinity mask, siblings of one core counted once, and no
 * more than the CPU quota of its control group (version 2). At least 1, at most CPU_THREADS_MAX. */
uint32_t cpu_cores(void);

#endif
