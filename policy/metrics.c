#include "policy/metrics.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "config/base/alloc.h"

struct case_of {
    double p;
    bool right;
};

static int by_p(const void *a, const void *b)
{
    double x = ((const struct case_of *)a)->p, y = ((const struct case_of *)b)->p;
    return (x > y) - (x < y);
}

/* Owned by the caller; NULL when out of memory. */
static struct case_of *sorted(const double *p, const bool *label, size_t n)
{
    struct case_of *c = tg_calloc(n, sizeof(*c));
    for (size_t i = 0; c && i < n; i++)
        c[i] = (struct case_of){ p[i], label[i] };
    if (c)
        qsort(c, n, sizeof(*c), by_p);
    return c;
}

/* The end of those with the same p as c[at]. */
static size_t end_of_tie(const struct case_of *c, size_t n, size_t at)
{
    size_t end = at + 1;
    while (end < n && c[end].p <= c[at].p)
        end++;
    return end;
}

static double ece_of(const struct case_of *c, size_t n, size_t bins)
{
    double error = 0;
    size_t at = 0;
    for (size_t b = 0; b < bins && at < n; b++) {
        size_t want = (b + 1) * n / bins, end = at;
        double mean = 0, right = 0;
        while (end < want)
            end = end_of_tie(c, n, end);
        for (; at < end; at++) {
            mean += c[at].p;
            right += c[at].right;
        }
        error += fabs(mean - right);
    }
    return error / (double)n;
}

/* The Mann-Whitney statistic. */
static double auc_of(const struct case_of *c, size_t n, size_t right)
{
    double above = 0, wrong_below = 0;
    if (right == 0 || right == n)
        return 0.5;
    for (size_t at = 0, end; at < n; at = end) {
        double tied_right = 0;
        end = end_of_tie(c, n, at);
        for (size_t i = at; i < end; i++)
            tied_right += c[i].right;
        double tied_wrong = (double)(end - at) - tied_right;
        above += tied_right * (wrong_below + tied_wrong / 2);
        wrong_below += tied_wrong;
    }
    return above / ((double)right * (double)(n - right));
}

enum tg_status pol_ece(const double *p, const bool *label, size_t n, size_t bins, double *out)
{
    struct case_of *c = sorted(p, label, n);
    if (!c)
        return TG_NOMEM;
    *out = ece_of(c, n, bins);
    tg_free(c);
    return TG_OK;
}

enum tg_status pol_quality(const double *p, const bool *label, size_t n, struct pol_quality *out)
{
    const double least = 1e-9;
    struct case_of *c = sorted(p, label, n);
    if (!c)
        return TG_NOMEM;
    *out = (struct pol_quality){ .n = n };
    for (size_t i = 0; i < n; i++) {
        double off = p[i] - label[i], of_truth = label[i] ? p[i] : 1 - p[i];
        out->right += label[i];
        out->brier += off * off / (double)n;
        out->log_loss -= log(fmax(of_truth, least)) / (double)n;
    }
    out->auc = auc_of(c, n, out->right);
    out->ece = ece_of(c, n, POL_ECE_BINS);
    tg_free(c);
    return TG_OK;
}

void pol_reliability(const double *p, const bool *label, size_t n,
                     struct pol_bin out[POL_RELIABILITY_BINS])
{
    for (size_t b = 0; b < POL_RELIABILITY_BINS; b++)
        out[b] = (struct pol_bin){ 0 };
    for (size_t i = 0; i < n; i++) {
        double place = p[i] * POL_RELIABILITY_BINS;
        size_t b = place < 0 ? 0 : (size_t)place;
        struct pol_bin *bin = &out[b < POL_RELIABILITY_BINS ? b : POL_RELIABILITY_BINS - 1];
        bin->n++;
        bin->mean += p[i];
        bin->share += label[i];
    }
    for (size_t b = 0; b < POL_RELIABILITY_BINS; b++)
        if (out[b].n) {
            out[b].mean /= (double)out[b].n;
            out[b].share /= (double)out[b].n;
        }
}
