/* One calibration of confidence: a logistic model over features and a monotone map behind it, so
 * that the score is the probability that a local answer would be judged at least as good as the
 * cloud's. It holds for its key only. Pure, any thread. */
#ifndef POLICY_CALIBRATION_H
#define POLICY_CALIBRATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/features.h"

enum { POL_MAP_POINTS_MAX = 256, POL_MODEL_HEX = 64 };

/* Whether a score is of the beginning of a stream or of a whole answer. */
enum pol_span { POL_SPAN_WINDOW, POL_SPAN_ANSWER };

struct pol_key {
    char model[POL_MODEL_HEX + 1]; /* SHA-256 of the GGUF file, lower case; "": not known yet */
    bool exact;                    /* what the engine runs: exact, else fast */
    enum pol_span span;
    bool thinking;                 /* the local model thinks before it answers */
    int features;                  /* POL_FEATURES_VERSION of those who made it */
};

enum pol_map_kind { POL_MAP_NONE, POL_MAP_PLATT, POL_MAP_ISOTONIC };

/* From a logistic score to a probability; never decreasing. */
struct pol_map {
    enum pol_map_kind kind;
    double a, b; /* PLATT: 1 / (1 + exp(-(a x logit + b))), a >= 0 */
    size_t n;    /* ISOTONIC: 1 .. POL_MAP_POINTS_MAX; linear between points, constant outside */
    double x[POL_MAP_POINTS_MAX], y[POL_MAP_POINTS_MAX]; /* x rises, y does not fall, in [0, 1] */
};

struct pol_calibration {
    struct pol_key key;
    char made[11];    /* 2026-11-29 */
    int64_t n, right; /* examples, and those with label 1 */
    double bias, weight[POL_FEATURES];
    struct pol_map map;
    double ece, ece_raw; /* held-out, of it and of the uncalibrated default */
};

/* 1 / (1 + exp(-logit)), and its inverse with p kept 1e-9 away from 0 and 1. */
double pol_sigmoid(double logit);
double pol_logit(double p);
/* bias + sum of weight x feature. */
double pol_linear(double bias, const double weight[POL_FEATURES],
                  const struct pol_features *features);
double pol_map_apply(const struct pol_map *map, double logit);
/* The probability, in [0, 1]. features must be known. */
double pol_calibration_apply(const struct pol_calibration *c, const struct pol_features *features);

bool pol_key_equal(const struct pol_key *a, const struct pol_key *b);
/* The first one with that key, borrowed from list; NULL: none, or the model is not known yet. */
const struct pol_calibration *pol_calibration_find(const struct pol_calibration *list, size_t n,
                                                   const struct pol_key *key);
const char *pol_span_name(enum pol_span span); /* "window", "answer" */

#endif
