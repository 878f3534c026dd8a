/* Logistic regression with an L2 penalty, by Newton's method. Pure, any thread. */
#ifndef POLICY_LOGISTIC_H
#define POLICY_LOGISTIC_H

#include <stddef.h>

#include "config/base/status.h"

enum { POL_LOGISTIC_MAX = 16 }; /* columns */

/* Minimises sum of (log(1 + exp(z)) - t z) + l2 / 2 x |w[1..d]|^2 over w, z = w[0] + w[1..d] . x.
 * x: n rows of d columns, of a scale near 1; t: n targets in [0, 1]; w: d + 1, w[0] the bias, which
 * is not penalised. Newton's method (iteratively reweighted least squares), each step halved until
 * the objective falls. TG_INVALID: it did not converge, as for targets of one class only. */
enum tg_status pol_logistic(const double *x, const double *t, size_t n, size_t d, double l2,
                            double *w);
/* log(1 + exp(z)) without overflow: the loss of one example is this minus t z. */
double pol_softplus(double z);

#endif
