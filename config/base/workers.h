/* A small pool of threads for work that would hold up a loop: large JSON, tokenising, files at
 * reload. Work is a function over the caller's own data; its completion is reported on the loop. */
#ifndef TG_BASE_WORKERS_H
#define TG_BASE_WORKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/status.h"

struct tg_workers; /* opaque */

/* n threads, at most cap pieces of work waiting or unreported. NULL on failure. */
struct tg_workers *tg_workers_new(size_t n, size_t cap);
/* Finishes what was begun, drops what waits (its done is not called), joins, frees. */
void tg_workers_free(struct tg_workers *w);
/* Likewise, but false when a piece of work has not ended within ms: its thread goes on, and nothing
 * was freed. */
bool tg_workers_end(struct tg_workers *w, int64_t ms);
/* Runs work(arg) on a thread, then makes tg_workers_fd readable; tg_workers_dispatch calls
 * done(arg). arg stays the caller's and must live until done. TG_AGAIN when full: run it later. */
enum tg_status tg_workers_submit(struct tg_workers *w, void (*work)(void *arg),
                                 void (*done)(void *arg), void *arg);
/* Pieces of work that no thread has begun yet, for metrics. */
size_t tg_workers_waiting(const struct tg_workers *w);
int tg_workers_fd(const struct tg_workers *w);
/* Calls done for all finished work, on the calling thread (the loop). */
void tg_workers_dispatch(struct tg_workers *w);

#endif
