/* Subsets of examples and folds: what fit.c and eliminate.c share. */
#ifndef POLICY_FIT_INTERNAL_H
#define POLICY_FIT_INTERNAL_H

#include <stdint.h>

#include "policy/fit.h"

/* Some of the examples, by index. */
struct pol_subset {
    const struct pol_example *e; /* borrowed */
    uint32_t *at;                /* [n], owned */
    size_t n;
};

struct pol_line {
    double bias, weight[POL_FEATURES];
};

/* fold[i] of s->at[i], 0 .. POL_FIT_FOLDS - 1: shuffled by a constant seed, right and wrong ones
 * spread evenly. TG_NOMEM. */
enum tg_status pol_folds(const struct pol_subset *s, uint8_t *fold);
/* Those of s in the fold, or those outside of it. at of *out is owned by the caller (tg_free). */
enum tg_status pol_fold_take(const struct pol_subset *s, const uint8_t *fold, uint8_t f,
                             bool inside, struct pol_subset *out);
/* Weights over the features in use, 0 for the others. */
enum tg_status pol_train(const struct pol_subset *s, const bool use[POL_FEATURES],
                         struct pol_line *out);
/* logit[i] of s->at[i] by the line that was trained on the other folds. */
enum tg_status pol_out_of_fold(const struct pol_subset *s, const uint8_t *fold,
                               const bool use[POL_FEATURES], double *logit);
/* eliminate.c: clears use of what is dropped; dropped and n_dropped may be NULL. */
enum tg_status pol_eliminate(const struct pol_subset *s, bool use[POL_FEATURES],
                             struct pol_dropped *dropped, size_t *n_dropped);

#endif
