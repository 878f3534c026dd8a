/* The same ops on two CPU backends: 0 is the scalar oracle unless said otherwise, 1 another kernel
 * set. Uses the pair of support_gpu.h. */
#ifndef TESTS_SUPPORT_CPU_H
#define TESTS_SUPPORT_CPU_H

#include "tests/unit/engine/support_gpu.h"

/* false: side 1 is not for this processor. The pair is closed by pair_close. */
bool cpu_pair_open(struct pair *p, const struct cpu_options *oracle,
                   const struct cpu_options *other);
/* A cache of keys or values. */
struct pair_buf cpu_pair_cache(struct pair *p, size_t n);

/* Whether the first n values of two buffers have the same bits. */
bool cpu_same_bits(const float *a, const float *b, size_t n);

#endif
