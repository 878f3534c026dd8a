/* Confidence: from the local token distributions to the probability that the answer would be judged
 * at least as good as the cloud's. Masked tokens do not count (DESIGN.md section 5). Pure. */
#ifndef POLICY_CONFIDENCE_H
#define POLICY_CONFIDENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/calibration.h"
#include "policy/complexity.h"
#include "policy/features.h"
#include "providers/chat.h"

/* Tokens kept for the quantiles; later ones count in everything else. */
enum { POL_CONFIDENCE_TOKENS = 512 };

struct pol_confidence {
    uint32_t n;        /* unmasked tokens seen */
    float uncertainty[POL_CONFIDENCE_TOKENS]; /* -logprob */
    double sum_uncertainty, sum_margin, max_uncertainty, max_entropy;
    float first_entropy, first_margin;
    uint32_t low_margin; /* tokens with margin below 0.1 */
};

void pol_confidence_init(struct pol_confidence *c);
void pol_confidence_add(struct pol_confidence *c, const struct chat_token *token);
struct pol_features pol_confidence_features(const struct pol_confidence *c);
/* The shipped, uncalibrated score: a logistic model with weights set by hand, which errs towards
 * escalation: at most 0.90 for an answer, 0.88 for a window. features must be known. */
double pol_confidence_default(const struct pol_features *features, enum pol_span span);
/* Calibrated when there is a calibration (whose key fits: the caller's care), else the default.
 * Unknown when no unmasked token was seen. The parts are all features, with the weights in use. */
struct pol_score pol_confidence_score(const struct pol_confidence *c, enum pol_span span,
                                      const struct pol_calibration *calibration);

#endif
