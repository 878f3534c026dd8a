/* Features of confidence, version 2: what is computed from the distributions of a local answer's
 * unmasked tokens. A change of what one means makes a new version, and calibrations of the old one
 * are used no more. Pure, any thread. */
#ifndef POLICY_FEATURES_H
#define POLICY_FEATURES_H

#include <stdbool.h>

#include "config/base/str.h"

enum { POL_FEATURES_VERSION = 2 };

/* Each in [0, 1]. Uncertainty u = -log p and entropy in nats, margin = p1 - p2. u / (u + 1) keeps
 * 0.01 and 2 nats apart, which a scale up to 10 would not. */
enum pol_feature {
    POL_MEAN_UNCERTAINTY,   /* mean u / (mean u + 1) */
    POL_MEDIAN_UNCERTAINTY, /* the same of the median, */
    POL_P90_UNCERTAINTY,    /* of the 90 % quantile */
    POL_MAX_UNCERTAINTY,    /* and of the largest */
    POL_TOTAL_UNCERTAINTY,  /* s / (s + 1), s = sum of u: what the whole answer's -log p is */
    POL_MIN_PROBABILITY,    /* exp(-largest u): 1 for the surest */
    POL_MEAN_DOUBT,         /* 1 - mean margin */
    POL_MAX_ENTROPY,        /* largest entropy e: e / (e + 1) */
    POL_FIRST_ENTROPY,      /* the same at the first content token */
    POL_FIRST_DOUBT,        /* 1 - margin there */
    POL_LOW_MARGIN,         /* share of tokens with a margin below 0.1 */
    POL_FEW_TOKENS,         /* (8 - tokens) / 8, 0 from 8 on */
    POL_FEATURES            /* how many there are */
};

struct pol_features {
    bool known; /* false: no unmasked token was seen, the values are 0 */
    double v[POL_FEATURES];
};

/* "mean_uncertainty", ...: static. */
const char *pol_feature_name(enum pol_feature f);
/* -1: there is none of that name. */
int pol_feature_find(struct tg_str name);

#endif
