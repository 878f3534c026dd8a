/* Confidence: from the local token distributions to the probability that the answer would be judged
 * at least as good as the cloud's. Masked tokens do not count (DESIGN.md section 5). Pure. */
#ifndef POLICY_CONFIDENCE_H
#define POLICY_CONFIDENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/complexity.h"
#include "providers/chat.h"

enum { POL_CONFIDENCE_TOKENS = 512 }; /* tokens kept; later ones update running means only */

struct pol_confidence {
    uint32_t n;        /* unmasked tokens seen */
    float uncertainty[POL_CONFIDENCE_TOKENS]; /* -logprob */
    double sum_logprob, sum_margin, max_entropy;
    float first_entropy;
    uint32_t low_margin; /* tokens with margin below 0.1 */
};

/* Which distribution of features the calibration was made for. */
enum pol_span { POL_SPAN_WINDOW, POL_SPAN_ANSWER };

void pol_confidence_init(struct pol_confidence *c);
void pol_confidence_add(struct pol_confidence *c, const struct chat_token *token);
/* unknown when no unmasked token was seen. */
struct pol_score pol_confidence_score(const struct pol_confidence *c, enum pol_span span);

#endif
