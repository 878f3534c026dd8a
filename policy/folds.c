#include <math.h>
#include <string.h>

#include "config/base/alloc.h"
#include "policy/fit_internal.h"
#include "policy/logistic.h"

static const double l2 = 1; /* on weights of features with standard deviation 1 */

/* splitmix64 (Steele, Lea and Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
}

enum tg_status pol_folds(const struct pol_subset *s, uint8_t *fold)
{
    uint32_t *order = tg_calloc(s->n, sizeof(*order));
    uint64_t state = 1;
    size_t dealt = 0;
    if (!order)
        return TG_NOMEM;
    for (size_t i = 0; i < s->n; i++)
        order[i] = (uint32_t)i;
    for (size_t i = s->n; i > 1; i--) {
        size_t k = next_random(&state) % i;
        uint32_t other = order[k];
        order[k] = order[i - 1];
        order[i - 1] = other;
    }
    for (int right = 0; right < 2; right++)
        for (size_t i = 0; i < s->n; i++)
            if (s->e[s->at[order[i]]].right == (right == 1))
                fold[order[i]] = (uint8_t)(dealt++ % POL_FIT_FOLDS);
    tg_free(order);
    return TG_OK;
}

enum tg_status pol_fold_take(const struct pol_subset *s, const uint8_t *fold, uint8_t f,
                             bool inside, struct pol_subset *out)
{
    *out = (struct pol_subset){ .e = s->e, .at = tg_calloc(s->n, sizeof(*out->at)) };
    if (!out->at)
        return TG_NOMEM;
    for (size_t i = 0; i < s->n; i++)
        if ((fold[i] == f) == inside)
            out->at[out->n++] = s->at[i];
    return TG_OK;
}

struct scale {
    double mean, deviation;
};

static struct scale scale_of(const struct pol_subset *s, size_t feature)
{
    double sum = 0, squares = 0, n = (double)s->n;
    for (size_t i = 0; i < s->n; i++)
        sum += s->e[s->at[i]].features.v[feature];
    for (size_t i = 0; i < s->n; i++) {
        double off = s->e[s->at[i]].features.v[feature] - sum / n;
        squares += off * off;
    }
    return (struct scale){ sum / n, sqrt(squares / n) };
}

/* Features that do not vary are left out. x: s->n rows of the columns that are listed in column,
 * and the targets behind them; owned by the caller. */
static double *matrix(const struct pol_subset *s, const size_t *column, const struct scale *scale,
                      size_t d)
{
    double *x = tg_calloc(s->n, (d + 1) * sizeof(*x));
    for (size_t i = 0; x && i < s->n; i++) {
        const struct pol_example *e = &s->e[s->at[i]];
        for (size_t k = 0; k < d; k++)
            x[i * d + k] = (e->features.v[column[k]] - scale[k].mean) / scale[k].deviation;
        x[s->n * d + i] = e->right;
    }
    return x;
}

enum tg_status pol_train(const struct pol_subset *s, const bool use[POL_FEATURES],
                         struct pol_line *out)
{
    const double least = 1e-9;
    size_t column[POL_FEATURES], d = 0;
    struct scale scale[POL_FEATURES];
    double w[POL_FEATURES + 1];
    for (size_t f = 0; f < POL_FEATURES; f++) {
        struct scale of = use[f] ? scale_of(s, f) : (struct scale){ 0 };
        if (of.deviation < least)
            continue;
        column[d] = f;
        scale[d++] = of;
    }
    double *x = matrix(s, column, scale, d);
    if (!x)
        return TG_NOMEM;
    enum tg_status status = pol_logistic(x, x + s->n * d, s->n, d, l2, w);
    tg_free(x);
    if (status)
        return status;
    memset(out, 0, sizeof(*out));
    out->bias = w[0];
    for (size_t k = 0; k < d; k++) {
        out->weight[column[k]] = w[k + 1] / scale[k].deviation;
        out->bias -= out->weight[column[k]] * scale[k].mean;
    }
    return TG_OK;
}

enum tg_status pol_out_of_fold(const struct pol_subset *s, const uint8_t *fold,
                               const bool use[POL_FEATURES], double *logit)
{
    for (uint8_t f = 0; f < POL_FIT_FOLDS; f++) {
        struct pol_subset others;
        struct pol_line line;
        enum tg_status status = pol_fold_take(s, fold, f, false, &others);
        if (status == TG_OK)
            status = pol_train(&others, use, &line);
        tg_free(others.at);
        if (status)
            return status;
        for (size_t i = 0; i < s->n; i++)
            if (fold[i] == f)
                logit[i] = pol_linear(line.bias, line.weight, &s->e[s->at[i]].features);
    }
    return TG_OK;
}
