/* From logits to a token, with what its distribution said. Pure but for the caller's RNG state. */
#ifndef LE_SAMPLER_H
#define LE_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

#include "config/base/status.h"

struct le_sampling {
    float temperature; /* 0: greedy. 0 .. 2 */
    uint32_t top_k;    /* 0: off */
    float top_p;       /* 1: off */
    float min_p;       /* 0: off */
    uint64_t seed;
};

/* Natural units. All from raw logits at temperature 1 over the allowed ids, before any truncation:
 * logprob of the chosen id, entropy of the distribution, margin = p(top1) - p(top2). */
struct le_token_stats {
    float logprob, entropy, margin;
};

struct le_sampler; /* opaque: scratch for one vocabulary size, and the RNG; one thread at a time */

/* never: ids that are never chosen and hold no probability. Copied. NULL when out of memory. */
struct le_sampler *le_sampler_new(uint32_t n_vocab, const int32_t *never, size_t n_never);
void le_sampler_free(struct le_sampler *s);
/* Starts a sequence: same seed, same choices for the same logits on the same build. */
void le_sampler_start(struct le_sampler *s, const struct le_sampling *sampling);
/* Chooses from logits [n_vocab] (left as they are). Ties go to the lowest id. TG_INTERNAL when a
 * logit is not finite or every id is forbidden. */
enum tg_status le_sampler_choose(struct le_sampler *s, const float *logits, int32_t *id,
                                 struct le_token_stats *stats);

#endif
