#include "policy/maps.h"

#include <math.h>
#include <stdlib.h>

#include "config/base/alloc.h"
#include "policy/logistic.h"

struct block {
    double score; /* mean */
    double n, right;
};

enum tg_status pol_map_platt(const double *logit, const bool *label, size_t n,
                             struct pol_map *map)
{
    double *target = tg_calloc(n, sizeof(*target)), w[2], right = 0;
    if (!target)
        return TG_NOMEM;
    for (size_t i = 0; i < n; i++)
        right += label[i];
    double high = (right + 1) / (right + 2), low = 1 / ((double)n - right + 2), mean = 0;
    for (size_t i = 0; i < n; i++) {
        target[i] = label[i] ? high : low;
        mean += target[i] / (double)n;
    }
    enum tg_status status = pol_logistic(logit, target, n, 1, 0, w);
    tg_free(target);
    if (status)
        return status;
    *map = (struct pol_map){ .kind = POL_MAP_PLATT, .a = w[1], .b = w[0] };
    if (w[1] < 0) {
        map->a = 0;
        map->b = pol_logit(mean);
    }
    return TG_OK;
}

static int by_score(const void *a, const void *b)
{
    double x = ((const struct block *)a)->score, y = ((const struct block *)b)->score;
    return (x > y) - (x < y);
}

static double share(const struct block *b)
{
    return b->right / b->n;
}

static void join(struct block *into, const struct block *b)
{
    double n = into->n + b->n;
    into->score = (into->score * into->n + b->score * b->n) / n;
    into->right += b->right;
    into->n = n;
}

/* Equal scores are one block. Returns how many are left. */
static size_t join_ties(struct block *b, size_t n)
{
    size_t kept = 1;
    for (size_t i = 1; i < n; i++) {
        if (b[i].score > b[kept - 1].score) {
            b[kept++] = b[i];
        } else {
            b[kept - 1].n += b[i].n;
            b[kept - 1].right += b[i].right;
        }
    }
    return kept;
}

static bool rises(const struct block *from, const struct block *to)
{
    return share(to) > share(from) && to->score > from->score;
}

/* Pool adjacent violators: a block whose share is not above the one before is joined to it. */
static size_t pool(struct block *b, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        b[kept++] = b[i];
        while (kept > 1 && !rises(&b[kept - 2], &b[kept - 1])) {
            join(&b[kept - 2], &b[kept - 1]);
            kept--;
        }
    }
    return kept;
}

static size_t thin(struct block *b, size_t n)
{
    while (n > POL_MAP_POINTS_MAX) {
        size_t kept = 0;
        for (size_t i = 0; i < n; i += 2) {
            b[kept] = b[i];
            if (i + 1 < n)
                join(&b[kept], &b[i + 1]);
            kept++;
        }
        n = kept;
    }
    return n;
}

enum tg_status pol_map_isotonic(const double *logit, const bool *label, size_t n,
                                struct pol_map *map)
{
    struct block *b = tg_calloc(n + 2, sizeof(*b));
    if (!b)
        return TG_NOMEM;
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        b[i] = (struct block){ pol_sigmoid(logit[i]), 1, label[i] };
        low = fmin(low, b[i].score);
        high = fmax(high, b[i].score);
    }
    b[n] = (struct block){ low, 2, 1 };
    b[n + 1] = (struct block){ high, 2, 1 };
    qsort(b, n + 2, sizeof(*b), by_score);
    size_t points = thin(b, pool(b, join_ties(b, n + 2)));
    *map = (struct pol_map){ .kind = POL_MAP_ISOTONIC, .n = points };
    for (size_t i = 0; i < points; i++) {
        map->x[i] = b[i].score;
        map->y[i] = share(&b[i]);
    }
    tg_free(b);
    return TG_OK;
}
