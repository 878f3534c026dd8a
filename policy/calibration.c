#include "policy/calibration.h"

#include <math.h>
#include <string.h>

double pol_sigmoid(double logit)
{
    return 1 / (1 + exp(-logit));
}

double pol_logit(double p)
{
    const double least = 1e-9;
    p = p < least ? least : p > 1 - least ? 1 - least : p;
    return log(p / (1 - p));
}

double pol_linear(double bias, const double weight[POL_FEATURES],
                  const struct pol_features *features)
{
    double sum = bias;
    for (size_t i = 0; i < POL_FEATURES; i++)
        sum += weight[i] * features->v[i];
    return sum;
}

static double between_points(const struct pol_map *map, double score)
{
    size_t above = 0; /* the first point beyond score */
    while (above < map->n && map->x[above] <= score)
        above++;
    if (above == 0)
        return map->y[0];
    if (above == map->n)
        return map->y[map->n - 1];
    double x0 = map->x[above - 1], y0 = map->y[above - 1];
    double share = (score - x0) / (map->x[above] - x0);
    return y0 + share * (map->y[above] - y0);
}

double pol_map_apply(const struct pol_map *map, double logit)
{
    switch (map->kind) {
    case POL_MAP_PLATT:
        return pol_sigmoid(map->a * logit + map->b);
    case POL_MAP_ISOTONIC:
        return between_points(map, pol_sigmoid(logit));
    case POL_MAP_NONE:
        break;
    }
    return pol_sigmoid(logit);
}

double pol_calibration_apply(const struct pol_calibration *c, const struct pol_features *features)
{
    return pol_map_apply(&c->map, pol_linear(c->bias, c->weight, features));
}

bool pol_key_equal(const struct pol_key *a, const struct pol_key *b)
{
    return strcmp(a->model, b->model) == 0 && a->exact == b->exact && a->span == b->span &&
           a->thinking == b->thinking && a->features == b->features;
}

const struct pol_calibration *pol_calibration_find(const struct pol_calibration *list, size_t n,
                                                   const struct pol_key *key)
{
    for (size_t i = 0; key->model[0] && i < n; i++)
        if (pol_key_equal(&list[i].key, key))
            return &list[i];
    return NULL;
}

const char *pol_span_name(enum pol_span span)
{
    return span == POL_SPAN_WINDOW ? "window" : "answer";
}
