#include <math.h>
#include <stdlib.h>
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

/* Examples with equal features. */
struct hand {
    uint32_t group;
    double n[2]; /* wrong ones, right ones */
    uint64_t draw;
};

static int by_size_and_draw(const void *a, const void *b)
{
    const struct hand *x = a, *y = b;
    double m = x->n[0] + x->n[1], n = y->n[0] + y->n[1];
    return m > n ? -1 : m < n ? 1 : (x->draw > y->draw) - (x->draw < y->draw);
}

/* Where the squares of the folds' shares in each class grow least; else, where fewest are. */
static uint8_t choose(const struct hand *h, double dealt[POL_FIT_FOLDS][2], const double all[2])
{
    uint8_t best = 0;
    double least = INFINITY, fewest = INFINITY;
    for (uint8_t f = 0; f < POL_FIT_FOLDS; f++) {
        double growth = 0, n = dealt[f][0] + dealt[f][1];
        for (size_t c = 0; c < 2; c++)
            if (h->n[c] > 0)
                growth += h->n[c] / all[c] * (dealt[f][c] / all[c]);
        if (growth > least || (growth >= least && n >= fewest))
            continue;
        best = f;
        least = growth;
        fewest = n;
    }
    for (size_t c = 0; c < 2; c++)
        dealt[best][c] += h->n[c];
    return best;
}

static void deal(const struct pol_subset *s, const uint32_t *group, struct hand *hand, size_t n,
                 uint8_t *fold_of, uint8_t *fold)
{
    double dealt[POL_FIT_FOLDS][2] = { { 0 } }, all[2] = { 0 };
    uint64_t state = 1;
    for (size_t g = 0; g < n; g++)
        hand[g] = (struct hand){ .group = (uint32_t)g, .draw = next_random(&state) };
    for (size_t i = 0; i < s->n; i++) {
        hand[group[i]].n[s->e[s->at[i]].right]++;
        all[s->e[s->at[i]].right]++;
    }
    qsort(hand, n, sizeof(*hand), by_size_and_draw);
    for (size_t g = 0; g < n; g++)
        fold_of[hand[g].group] = choose(&hand[g], dealt, all);
    for (size_t i = 0; i < s->n; i++)
        fold[i] = fold_of[group[i]];
}

enum tg_status pol_folds(const struct pol_subset *s, uint8_t *fold)
{
    size_t n = 0;
    uint32_t *group = tg_calloc(s->n, sizeof(*group));
    struct hand *hand = tg_calloc(s->n, sizeof(*hand));
    uint8_t *fold_of = tg_calloc(s->n, sizeof(*fold_of));
    enum tg_status status = group && hand && fold_of ? pol_twins(s, group, &n) : TG_NOMEM;
    if (status == TG_OK)
        deal(s, group, hand, n, fold_of, fold);
    tg_free(group);
    tg_free(hand);
    tg_free(fold_of);
    return status;
}

static size_t quota(size_t of_class, size_t all, size_t n)
{
    size_t fair = (of_class * n + all / 2) / all, least = POL_FIT_ELIMINATE_CLASS;
    return fair >= least ? fair : of_class < least ? of_class : least;
}

enum tg_status pol_sample(const struct pol_subset *s, size_t n, struct pol_subset *out)
{
    uint32_t *order = tg_calloc(s->n, sizeof(*order));
    size_t right = 0;
    uint64_t state = 1;
    *out = (struct pol_subset){ .e = s->e, .at = tg_calloc(s->n, sizeof(*out->at)) };
    if (!order || !out->at) {
        tg_free(order);
        return TG_NOMEM;
    }
    for (size_t i = 0; i < s->n; i++) {
        size_t k = next_random(&state) % (i + 1); /* shuffled as they come */
        order[i] = order[k];
        order[k] = s->at[i];
        right += s->e[s->at[i]].right;
    }
    size_t room[2] = { quota(s->n - right, s->n, n), quota(right, s->n, n) };
    for (size_t i = 0; i < s->n; i++) {
        size_t *left = &room[s->e[order[i]].right];
        if (*left == 0)
            continue;
        --*left;
        out->at[out->n++] = order[i];
    }
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

/* Of one class only no line can be told. */
static bool one_class(const struct pol_subset *s, struct pol_line *out)
{
    size_t right = 0;
    for (size_t i = 0; i < s->n; i++)
        right += s->e[s->at[i]].right;
    if (right > 0 && right < s->n)
        return false;
    *out = (struct pol_line){ .bias = log(((double)right + 1) / ((double)(s->n - right) + 1)) };
    return true;
}

enum tg_status pol_train(const struct pol_subset *s, const bool use[POL_FEATURES],
                         struct pol_line *out)
{
    /* Below it a weight would be beyond what is read back, for differences that are rounding. */
    const double least = 1e-5;
    size_t column[POL_FEATURES], d = 0;
    struct scale scale[POL_FEATURES];
    double w[POL_FEATURES + 1];
    if (one_class(s, out))
        return TG_OK;
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
