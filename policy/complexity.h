/* Complexity of a request from cheap features, a logistic model with shipped weights, and its
 * parts. Pure, any thread. */
#ifndef POLICY_COMPLEXITY_H
#define POLICY_COMPLEXITY_H

#include <stdbool.h>
#include <stddef.h>

#include "config/base/buf.h"
#include "providers/chat.h"

enum { POL_PARTS_MAX = 16 };

struct pol_part {
    const char *name; /* static */
    double value;     /* the feature */
    double weight;    /* value * weight is added to the score */
};

struct pol_score {
    bool known;      /* false: abstains (nothing to judge by) */
    double value;    /* [0, 1] when known */
    bool calibrated; /* confidence: a calibration made it */
    double raw;      /* confidence: what it would be without one */
    struct pol_part part[POL_PARTS_MAX];
    size_t n_parts;
    double bias;
};

/* prompt_tokens: 0 when not counted. */
struct pol_score pol_complexity(const struct chat_request *r, size_t prompt_tokens);
/* The parts as a JSON object, for explanation. */
enum tg_status pol_score_print(const struct pol_score *score, struct tg_buf *out);

#endif
