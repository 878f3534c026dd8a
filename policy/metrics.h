/* How good probabilities are, against what happened. Pure, any thread. */
#ifndef POLICY_METRICS_H
#define POLICY_METRICS_H

#include <stdbool.h>
#include <stddef.h>

#include "config/base/status.h"

enum { POL_ECE_BINS = 15, POL_RELIABILITY_BINS = 10 };

struct pol_quality {
    size_t n, right;
    double log_loss; /* mean, nats; probabilities kept 1e-9 away from 0 and 1 */
    double brier;    /* mean of (p - label)^2 */
    double auc;      /* that a right one scores above a wrong one, ties half; 0.5: one class only */
    double ece;      /* see pol_ece */
};

struct pol_bin {
    size_t n;
    double mean, share; /* of p; of right ones. 0 when n is 0 */
};

/* p, label: n each, n > 0. TG_NOMEM. */
enum tg_status pol_quality(const double *p, const bool *label, size_t n, struct pol_quality *out);
/* Expected calibration error: sum over bins of |mean p - share right| x n_bin / n. Bins of equal
 * mass in order of p; equal p are never divided, so that their order does not matter. */
enum tg_status pol_ece(const double *p, const bool *label, size_t n, size_t bins, double *out);
/* Ten bins of equal width. */
void pol_reliability(const double *p, const bool *label, size_t n,
                     struct pol_bin out[POL_RELIABILITY_BINS]);

#endif
