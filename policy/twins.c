#include <stdlib.h>

#include "config/base/alloc.h"
#include "policy/fit_internal.h"

struct row {
    const double *v; /* borrowed */
    uint32_t i;
};

static int by_features(const struct row *a, const struct row *b)
{
    for (size_t f = 0; f < POL_FEATURES; f++)
        if (a->v[f] < b->v[f] || a->v[f] > b->v[f])
            return a->v[f] < b->v[f] ? -1 : 1;
    return 0;
}

static int by_features_and_place(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int order = by_features(x, y);
    return order ? order : (x->i > y->i) - (x->i < y->i);
}

enum tg_status pol_twins(const struct pol_subset *s, uint32_t *group, size_t *n_groups)
{
    struct row *row = tg_calloc(s->n, sizeof(*row));
    size_t first = 0;
    if (!row)
        return TG_NOMEM;
    for (size_t i = 0; i < s->n; i++)
        row[i] = (struct row){ s->e[s->at ? s->at[i] : i].features.v, (uint32_t)i };
    qsort(row, s->n, sizeof(*row), by_features_and_place);
    for (size_t i = 0; i < s->n; i++) { /* for now, the place of the first of its kind */
        if (by_features(&row[first], &row[i]) != 0)
            first = i;
        group[row[i].i] = row[first].i;
    }
    *n_groups = 0;
    for (size_t i = 0; i < s->n; i++) /* which comes before it, and has its number already */
        group[i] = group[i] == i ? (uint32_t)(*n_groups)++ : group[group[i]];
    tg_free(row);
    return TG_OK;
}
