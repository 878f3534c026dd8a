/* What the tests of ops share: one pair of backends, steps, running and comparing. A check that
 * fails closes the pair first, since it leaves by longjmp. */
#ifndef TESTS_SUPPORT_GPU_OPS_H
#define TESTS_SUPPORT_GPU_OPS_H

#include "tests/unit/engine/support_gpu.h"

extern struct pair pair;

/* Opens the pair, or skips the case where there is no Vulkan. */
void open_pair(void);
/* Vulkan in this precision, with no allocation above alloc_max bytes (0: as the driver allows). */
void open_pair_as(enum le_precision precision, uint64_t alloc_max);
/* Closes it; validation messages fail the case. */
void close_pair(void);
void fail_closed(const char *name, const char *cause);
/* tokens at consecutive positions from pos; the last n_outputs tokens are outputs. The arrays are
 * good until the next call. */
struct le_step step_of(uint32_t tokens, uint32_t n_outputs, int32_t pos);
/* Runs the ops of emit in a class as large as the step, on both sides. Fails the case when the
 * first n values of dst differ by more than bound (pair_error). */
void run_and_compare(const char *name, void (*emit)(struct pair *, int, void *), void *arg,
                     const struct le_step *step, const struct pair_buf *dst, size_t n,
                     double bound);

#endif
