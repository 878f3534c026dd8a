/* From logits to a token, with what its distribution said. Pure but for the caller's RNG state.
 *
 * Order: never-sampled ids out -> top_k -> top_p -> min_p -> temperature -> one draw. This is the
 * default chain of llama.cpp. Temperature comes last, so that it changes how the survivors are
 * drawn but never who survives; top_p counts the probability that top_k left, renormalised; min_p
 * is relative to the best id. Every stage is O(n_vocab): nothing is sorted. */
#ifndef LE_SAMPLER_H
#define LE_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/status.h"

struct le_sampling {
    float temperature; /* 0: greedy, the other fields but seed unused. 0 .. 2 */
    uint32_t top_k;    /* 0: off */
    float top_p;       /* 1: off. above 0 .. 1 */
    float min_p;       /* 0: off. 0 .. 1 */
    uint64_t seed;
};

/* Natural units. All from raw logits at temperature 1 over the allowed ids, before any truncation:
 * logprob of the chosen id, entropy of the distribution, margin = p(top1) - p(top2). Accurate to
 * F32: sums are kept in double. */
struct le_token_stats {
    float logprob, entropy, margin;
};

/* TG_INVALID when a value is outside the range above or not a number; err names it. */
enum tg_status le_sampling_check(const struct le_sampling *sampling, struct tg_error *err);

struct le_sampler; /* opaque: scratch for one vocabulary size, and the RNG; one thread at a time */

/* never: ids that are never chosen and hold no probability; those outside the vocabulary are
 * ignored. Copied. NULL when out of memory or n_vocab is 0. Owned by the caller. */
struct le_sampler *le_sampler_new(uint32_t n_vocab, const int32_t *never, size_t n_never);
void le_sampler_free(struct le_sampler *s);
/* Forbids an id, or allows it again unless it was in the never list. */
void le_sampler_forbid(struct le_sampler *s, int32_t id, bool forbid);
/* Starts a sequence: same seed, same choices for the same logits on the same build. */
void le_sampler_start(struct le_sampler *s, const struct le_sampling *sampling);
/* Chooses from logits [n_vocab] (left as they are). Ties go to the lowest id. stats may be NULL.
 * Allocates nothing. TG_INTERNAL when a logit is not finite, TG_NOTFOUND when every id is
 * forbidden. */
enum tg_status le_sampler_choose(struct le_sampler *s, const float *logits, int32_t *id,
                                 struct le_token_stats *stats);

#endif
