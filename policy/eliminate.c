#include <math.h>
#include <string.h>

#include "config/base/alloc.h"
#include "policy/fit_internal.h"
#include "policy/logistic.h"

struct elimination {
    struct pol_subset s; /* borrowed at */
    uint8_t *fold;
    double *logit, *best; /* best: the losses with the best set of features so far */
};

static double loss_of(const struct elimination *e, size_t i)
{
    return pol_softplus(e->logit[i]) - (e->s.e[e->s.at[i]].right ? e->logit[i] : 0);
}

/* Rise of the mean held-out loss against the best so far, and its standard error. */
static enum tg_status judge(struct elimination *e, const bool use[POL_FEATURES],
                            struct pol_dropped *out)
{
    enum tg_status status = pol_out_of_fold(&e->s, e->fold, use, e->logit);
    if (status)
        return status;
    double n = (double)e->s.n, sum = 0, squares = 0;
    for (size_t i = 0; i < e->s.n; i++)
        sum += loss_of(e, i) - e->best[i];
    out->rise = sum / n;
    for (size_t i = 0; i < e->s.n; i++) {
        double off = loss_of(e, i) - e->best[i] - out->rise;
        squares += off * off;
    }
    out->error = sqrt(squares / (n - 1) / n);
    return TG_OK;
}

static size_t count(const bool use[POL_FEATURES])
{
    size_t n = 0;
    for (size_t f = 0; f < POL_FEATURES; f++)
        n += use[f];
    return n;
}

/* The feature that is missed least, if it may go. *found tells. */
static enum tg_status least_missed(struct elimination *e, bool use[POL_FEATURES],
                                   struct pol_dropped *best, bool *found)
{
    *found = false;
    for (size_t f = 0; f < POL_FEATURES; f++) {
        struct pol_dropped without = { .feature = (enum pol_feature)f };
        if (!use[f])
            continue;
        use[f] = false;
        enum tg_status status = judge(e, use, &without);
        use[f] = true;
        if (status)
            return status;
        if (without.rise > without.error || (*found && without.rise >= best->rise))
            continue;
        *best = without;
        *found = true;
    }
    return TG_OK;
}

static enum tg_status note_best(struct elimination *e, const bool use[POL_FEATURES])
{
    enum tg_status status = pol_out_of_fold(&e->s, e->fold, use, e->logit);
    for (size_t i = 0; status == TG_OK && i < e->s.n; i++)
        e->best[i] = loss_of(e, i);
    return status;
}

static enum tg_status drop_all(struct elimination *e, bool use[POL_FEATURES],
                               struct pol_dropped *dropped, size_t *n_dropped)
{
    enum tg_status status = pol_folds(&e->s, e->fold);
    if (status == TG_OK)
        status = note_best(e, use);
    while (status == TG_OK && count(use) > 1) {
        struct pol_dropped best;
        bool found;
        status = least_missed(e, use, &best, &found);
        if (status || !found)
            break;
        use[best.feature] = false;
        if (dropped)
            dropped[(*n_dropped)++] = best;
        if (best.rise < 0) /* small losses must not add up: the mark goes down with the loss */
            status = note_best(e, use);
    }
    return status;
}

enum tg_status pol_eliminate(const struct pol_subset *s, bool use[POL_FEATURES],
                             struct pol_dropped *dropped, size_t *n_dropped)
{
    struct elimination e = { .s = *s };
    struct pol_subset part = { 0 };
    enum tg_status status = TG_OK;
    e.fold = tg_calloc(s->n, sizeof(*e.fold));
    e.logit = tg_calloc(s->n, sizeof(*e.logit));
    e.best = tg_calloc(s->n, sizeof(*e.best));
    if (!e.fold || !e.logit || !e.best)
        status = TG_NOMEM;
    if (status == TG_OK && s->n > POL_FIT_ELIMINATE_MAX) {
        status = pol_sample(s, POL_FIT_ELIMINATE_MAX, &part);
        e.s = part;
    }
    if (status == TG_OK)
        status = drop_all(&e, use, dropped, n_dropped);
    tg_free(part.at);
    tg_free(e.fold);
    tg_free(e.logit);
    tg_free(e.best);
    return status;
}
