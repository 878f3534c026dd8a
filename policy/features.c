#include "policy/features.h"

static const char *const names[POL_FEATURES] = {
    [POL_MEAN_UNCERTAINTY] = "mean_uncertainty",
    [POL_MEDIAN_UNCERTAINTY] = "median_uncertainty",
    [POL_P90_UNCERTAINTY] = "p90_uncertainty",
    [POL_MAX_UNCERTAINTY] = "max_uncertainty",
    [POL_TOTAL_UNCERTAINTY] = "total_uncertainty",
    [POL_MIN_PROBABILITY] = "min_probability",
    [POL_MEAN_DOUBT] = "mean_doubt",
    [POL_MAX_ENTROPY] = "max_entropy",
    [POL_FIRST_ENTROPY] = "first_entropy",
    [POL_FIRST_DOUBT] = "first_doubt",
    [POL_LOW_MARGIN] = "low_margin",
    [POL_FEW_TOKENS] = "few_tokens",
};

const char *pol_feature_name(enum pol_feature f)
{
    return names[f];
}

int pol_feature_find(struct tg_str name)
{
    for (int i = 0; i < POL_FEATURES; i++)
        if (tg_str_eq(name, tg_str_of(names[i])))
            return i;
    return -1;
}
