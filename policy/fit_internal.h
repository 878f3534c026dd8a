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

/* twins.c: group[i] of s->at[i] (NULL: of s->e[i]): the same number for examples whose features are
 * all equal, whatever their labels; 0 .. *n_groups - 1 in order of appearance. TG_NOMEM. */
enum tg_status pol_twins(const struct pol_subset *s, uint32_t *group, size_t *n_groups);
/* fold[i] of s->at[i], 0 .. POL_FIT_FOLDS - 1: shuffled by a constant seed, right and wrong ones
 * spread evenly. Twins are in one fold: what is held out was not seen in a copy. TG_NOMEM. */
enum tg_status pol_folds(const struct pol_subset *s, uint8_t *fold);
/* Those of s in the fold, or those outside of it. at of *out is owned by the caller (tg_free). */
enum tg_status pol_fold_take(const struct pol_subset *s, const uint8_t *fold, uint8_t f,
                             bool inside, struct pol_subset *out);
/* Some n of them, shuffled by a constant seed, each class by its share; of a rare class, all up to
 * POL_FIT_ELIMINATE_CLASS (so a few more than n). n <= s->n. at of *out is the caller's. */
enum tg_status pol_sample(const struct pol_subset *s, size_t n, struct pol_subset *out);
/* Weights over the features in use, 0 for the others and for those with a standard deviation below
 * 1e-5. Of one class only: the bias of its share, with one example of either class added. */
enum tg_status pol_train(const struct pol_subset *s, const bool use[POL_FEATURES],
                         struct pol_line *out);
/* logit[i] of s->at[i] by the line that was trained on the other folds. */
enum tg_status pol_out_of_fold(const struct pol_subset *s, const uint8_t *fold,
                               const bool use[POL_FEATURES], double *logit);
/* eliminate.c: clears use of what is dropped; dropped and n_dropped may be NULL. */
enum tg_status pol_eliminate(const struct pol_subset *s, bool use[POL_FEATURES],
                             struct pol_dropped *dropped, size_t *n_dropped);

#endif
