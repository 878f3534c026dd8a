#include "policy/fit.h"

#include <stdio.h>
#include <string.h>

#include "config/base/alloc.h"
#include "policy/confidence.h"
#include "policy/fit_internal.h"
#include "policy/maps.h"

/* Weights and map from a subset alone. used: the candidates, and then what is left of them. */
static enum tg_status fit_subset(const struct pol_subset *s, bool used[POL_FEATURES],
                                 bool eliminate, enum pol_map_kind kind,
                                 struct pol_calibration *out, struct pol_dropped *dropped,
                                 size_t *n_dropped)
{
    struct pol_line line;
    enum tg_status status = TG_OK;
    uint8_t *fold = tg_calloc(s->n, sizeof(*fold));
    double *logit = tg_calloc(s->n, sizeof(*logit));
    bool *right = tg_calloc(s->n, sizeof(*right));
    if (!fold || !logit || !right)
        status = TG_NOMEM;
    if (status == TG_OK && eliminate)
        status = pol_eliminate(s, used, dropped, n_dropped);
    if (status == TG_OK)
        status = pol_train(s, used, &line);
    if (status == TG_OK)
        status = pol_folds(s, fold);
    if (status == TG_OK)
        status = pol_out_of_fold(s, fold, used, logit);
    for (size_t i = 0; status == TG_OK && i < s->n; i++)
        right[i] = s->e[s->at[i]].right;
    if (status == TG_OK)
        status = kind == POL_MAP_PLATT ? pol_map_platt(logit, right, s->n, &out->map)
                                       : pol_map_isotonic(logit, right, s->n, &out->map);
    if (status == TG_OK) {
        out->bias = line.bias;
        memcpy(out->weight, line.weight, sizeof(out->weight));
    }
    tg_free(fold);
    tg_free(logit);
    tg_free(right);
    return status;
}

/* held[i]: by a calibration that was made without the outer fold of example i. */
static enum tg_status hold_out(const struct pol_subset *all, const struct pol_fit_options *options,
                               enum pol_map_kind kind, double *held)
{
    uint8_t *fold = tg_calloc(all->n, sizeof(*fold));
    struct pol_calibration *c = tg_calloc(1, sizeof(*c));
    enum tg_status status = fold && c ? pol_folds(all, fold) : TG_NOMEM;
    for (uint8_t f = 0; status == TG_OK && f < POL_FIT_FOLDS; f++) {
        struct pol_subset others;
        bool used[POL_FEATURES];
        memcpy(used, options->use, sizeof(used));
        status = pol_fold_take(all, fold, f, false, &others);
        if (status == TG_OK)
            status = fit_subset(&others, used, options->eliminate, kind, c, NULL, NULL);
        tg_free(others.at);
        for (size_t i = 0; status == TG_OK && i < all->n; i++)
            if (fold[i] == f)
                held[i] = pol_calibration_apply(c, &all->e[all->at[i]].features);
    }
    tg_free(fold);
    tg_free(c);
    return status;
}

/* Of the default and of the held-out probabilities. */
static enum tg_status judge(const struct pol_subset *all, const double *held, struct pol_fit *out)
{
    double *raw = tg_calloc(all->n, sizeof(*raw));
    bool *right = tg_calloc(all->n, sizeof(*right));
    enum tg_status status = raw && right ? TG_OK : TG_NOMEM;
    for (size_t i = 0; status == TG_OK && i < all->n; i++) {
        raw[i] = pol_confidence_default(&all->e[i].features, out->calibration.key.span);
        right[i] = all->e[i].right;
    }
    if (status == TG_OK)
        status = pol_quality(raw, right, all->n, &out->raw);
    if (status == TG_OK)
        status = pol_quality(held, right, all->n, &out->held);
    out->calibration.ece = out->held.ece;
    out->calibration.ece_raw = out->raw.ece;
    tg_free(raw);
    tg_free(right);
    return status;
}

/* How many different vectors of features there are, and of those with wrong and right examples. */
struct variety {
    size_t all, of[2];
};

static enum tg_status variety_of(const struct pol_example *examples, size_t n, struct variety *out)
{
    const struct pol_subset all = { .e = examples, .n = n };
    uint32_t *group = tg_calloc(n, sizeof(*group));
    bool (*seen)[2] = tg_calloc(n, sizeof(*seen));
    enum tg_status status = group && seen ? TG_OK : TG_NOMEM;
    *out = (struct variety){ 0 };
    if (status == TG_OK)
        status = pol_twins(&all, group, &out->all);
    for (size_t i = 0; status == TG_OK && i < n; i++) {
        bool *here = &seen[group[i]][examples[i].right];
        out->of[examples[i].right] += !*here;
        *here = true;
    }
    tg_free(group);
    tg_free(seen);
    return status;
}

/* *distinct: how many of them differ. */
static enum tg_status check_enough(const struct pol_example *examples, size_t n, size_t *distinct,
                                   struct tg_error *err)
{
    struct variety v = { 0 };
    char which[64] = "";
    if (n > UINT32_MAX)
        return tg_fail(err, TG_LIMIT, "more than %u examples", UINT32_MAX);
    if (n > 0 && variety_of(examples, n, &v) != TG_OK)
        return tg_fail(err, TG_NOMEM, "out of memory while fitting");
    *distinct = v.all;
    if (*distinct < n)
        snprintf(which, sizeof(which), " different (of %zu, the others are copies)", n);
    if (*distinct < POL_FIT_EXAMPLES_MIN)
        return tg_fail(err, TG_INVALID, "%zu%s examples are too few: at least %d are needed",
                       *distinct, which, POL_FIT_EXAMPLES_MIN);
    if (v.of[0] < POL_FIT_CLASS_MIN || v.of[1] < POL_FIT_CLASS_MIN)
        return tg_fail(err, TG_INVALID,
                       "of %zu%s examples %zu are right: at least %d right and %d wrong ones are "
                       "needed to tell them apart",
                       *distinct, which, v.of[1], POL_FIT_CLASS_MIN, POL_FIT_CLASS_MIN);
    return TG_OK;
}

enum tg_status pol_fit_enough(const struct pol_example *examples, size_t n, struct tg_error *err)
{
    size_t distinct;
    return check_enough(examples, n, &distinct, err);
}

static enum tg_status explain(enum tg_status status, struct tg_error *err)
{
    if (status == TG_NOMEM)
        return tg_fail(err, status, "out of memory while fitting");
    if (status)
        return tg_fail(err, status, "the fit did not converge"); /* the penalty rules it out */
    return TG_OK;
}

enum tg_status pol_fit(const struct pol_example *examples, size_t n, enum pol_span span,
                       const struct pol_fit_options *options, struct pol_fit *out, double *held,
                       struct tg_error *err)
{
    size_t distinct;
    enum tg_status status = check_enough(examples, n, &distinct, err);
    if (status)
        return status;
    memset(out, 0, sizeof(*out));
    out->calibration.key = (struct pol_key){ .span = span, .features = POL_FEATURES_VERSION };
    memcpy(out->used, options->use, sizeof(out->used));
    struct pol_subset all = { .e = examples, .n = n, .at = tg_calloc(n, sizeof(*all.at)) };
    double *own = held ? NULL : tg_calloc(n, sizeof(*own)), *p = held ? held : own;
    enum pol_map_kind kind =
        distinct < POL_FIT_ISOTONIC_MIN ? POL_MAP_PLATT : POL_MAP_ISOTONIC;
    status = all.at && p ? TG_OK : TG_NOMEM;
    for (size_t i = 0; status == TG_OK && i < n; i++)
        all.at[i] = (uint32_t)i;
    if (status == TG_OK)
        status = fit_subset(&all, out->used, options->eliminate, kind, &out->calibration,
                            out->dropped, &out->n_dropped);
    if (status == TG_OK)
        status = hold_out(&all, options, kind, p);
    if (status == TG_OK)
        status = judge(&all, p, out);
    out->calibration.n = (int64_t)n;
    out->calibration.right = (int64_t)out->raw.right;
    tg_free(all.at);
    tg_free(own);
    return explain(status, err);
}
