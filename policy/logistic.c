#include "policy/logistic.h"

#include <math.h>
#include <string.h>

#include "policy/calibration.h"

enum { STEPS_MAX = 100, HALVINGS_MAX = 40, COLUMNS = POL_LOGISTIC_MAX + 1 };

struct problem {
    const double *x, *t;
    size_t n, d;
    double l2;
};

struct newton {
    double gradient[COLUMNS], hessian[COLUMNS][COLUMNS], step[COLUMNS];
};

double pol_softplus(double z)
{
    return z > 0 ? z + log1p(exp(-z)) : log1p(exp(z));
}

static double linear(const struct problem *p, const double *row, const double *w)
{
    double z = w[0];
    for (size_t k = 0; k < p->d; k++)
        z += w[k + 1] * row[k];
    return z;
}

static double objective(const struct problem *p, const double *w)
{
    double sum = 0;
    for (size_t k = 1; k <= p->d; k++)
        sum += w[k] * w[k];
    sum *= p->l2 / 2;
    for (size_t i = 0; i < p->n; i++) {
        double z = linear(p, p->x + i * p->d, w);
        sum += pol_softplus(z) - p->t[i] * z;
    }
    return sum;
}

static void derive(const struct problem *p, const double *w, struct newton *s)
{
    size_t d = p->d;
    memset(s, 0, sizeof(*s));
    for (size_t i = 0; i < p->n; i++) {
        const double *row = p->x + i * d;
        double share = pol_sigmoid(linear(p, row, w));
        double error = share - p->t[i], curve = share * (1 - share);
        s->gradient[0] += error;
        s->hessian[0][0] += curve;
        for (size_t k = 0; k < d; k++) {
            double weighted = curve * row[k];
            s->gradient[k + 1] += error * row[k];
            s->hessian[k + 1][0] += weighted;
            for (size_t m = 0; m <= k; m++)
                s->hessian[k + 1][m + 1] += weighted * row[m];
        }
    }
    for (size_t k = 1; k <= d; k++) {
        s->gradient[k] += p->l2 * w[k];
        s->hessian[k][k] += p->l2;
    }
    /* Where all examples are certain, the curvature is lost in rounding. */
    for (size_t k = 0; k <= d; k++)
        s->hessian[k][k] += 1e-10 * (double)p->n + 1e-12;
}

/* step = hessian^-1 gradient, by Cholesky in place of the lower half. False: not positive. */
static bool solve(struct newton *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k <= i; k++) {
            double sum = s->hessian[i][k];
            for (size_t m = 0; m < k; m++)
                sum -= s->hessian[i][m] * s->hessian[k][m];
            if (i == k && !(sum > 0))
                return false;
            s->hessian[i][k] = i == k ? sqrt(sum) : sum / s->hessian[k][k];
        }
    for (size_t i = 0; i < n; i++) {
        double sum = s->gradient[i];
        for (size_t m = 0; m < i; m++)
            sum -= s->hessian[i][m] * s->step[m];
        s->step[i] = sum / s->hessian[i][i];
    }
    for (size_t i = n; i-- > 0;) {
        double sum = s->step[i];
        for (size_t m = i + 1; m < n; m++)
            sum -= s->hessian[m][i] * s->step[m];
        s->step[i] = sum / s->hessian[i][i];
    }
    return true;
}

static double largest(const double *v, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs(v[i]));
    return most;
}

enum tg_status pol_logistic(const double *x, const double *t, size_t n, size_t d, double l2,
                            double *w)
{
    struct problem p = { .x = x, .t = t, .n = n, .d = d, .l2 = l2 };
    struct newton s;
    double next[COLUMNS];
    if (n == 0 || d > POL_LOGISTIC_MAX)
        return TG_INVALID;
    memset(w, 0, (d + 1) * sizeof(*w));
    double now = objective(&p, w);
    for (int i = 0; i < STEPS_MAX; i++) {
        derive(&p, w, &s);
        if (largest(s.gradient, d + 1) < 1e-9 * (double)n)
            return largest(w, d + 1) < 1e6 ? TG_OK : TG_INVALID;
        if (!solve(&s, d + 1))
            return TG_INVALID;
        double length = 1, then = INFINITY;
        for (int k = 0; k < HALVINGS_MAX && !(then < now); k++, length /= 2) {
            for (size_t m = 0; m <= d; m++)
                next[m] = w[m] - length * s.step[m];
            then = objective(&p, next);
        }
        if (!(then < now)) /* rounding is all that is left of it, or nothing can be gained */
            return largest(s.gradient, d + 1) < 1e-6 * (double)n ? TG_OK : TG_INVALID;
        now = then;
        memcpy(w, next, (d + 1) * sizeof(*w));
    }
    return TG_INVALID;
}
