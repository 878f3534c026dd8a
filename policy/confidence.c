#include "policy/confidence.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* score = 1 / (1 + exp(-(bias + sum of value x weight))). The shipped weights are not calibrated:
 * no pairs exist yet. They are all penalties, each value in [0, 1], from a bias that says 0.9 at
 * most, so the score errs towards escalation; a calibration from pairs replaces them. */

#define BIAS_ANSWER 2.197 /* ln(0.9 / 0.1) */
#define BIAS_WINDOW 2.0   /* the beginning alone says less: 0.88 at most */
#define LOW_MARGIN 0.1f

enum { FEW_TOKENS = 8 };

void pol_confidence_init(struct pol_confidence *c)
{
    memset(c, 0, sizeof(*c));
}

static float finite_or(float v, float worst)
{
    return isfinite(v) ? v : worst;
}

void pol_confidence_add(struct pol_confidence *c, const struct chat_token *token)
{
    if (token->cls == CHAT_TOKEN_MASKED || c->n == UINT32_MAX)
        return;
    float uncertainty = finite_or(-token->logprob, 20), entropy = finite_or(token->entropy, 20);
    float margin = finite_or(token->margin, 0);
    if (c->n < POL_CONFIDENCE_TOKENS)
        c->uncertainty[c->n] = uncertainty;
    if (c->n == 0)
        c->first_entropy = entropy;
    c->sum_logprob -= (double)uncertainty;
    c->sum_margin += (double)margin;
    c->max_entropy = fmax(c->max_entropy, (double)entropy);
    c->low_margin += margin < LOW_MARGIN;
    c->n++;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double scaled(double v, double full)
{
    double share = v / full;
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

static void add_part(struct pol_score *score, const char *name, double value, double weight)
{
    score->part[score->n_parts++] = (struct pol_part){ name, value, weight };
}

struct pol_score pol_confidence_score(const struct pol_confidence *c, enum pol_span span)
{
    struct pol_score score = { .bias = span == POL_SPAN_WINDOW ? BIAS_WINDOW : BIAS_ANSWER };
    if (c->n == 0)
        return score;
    float sorted[POL_CONFIDENCE_TOKENS];
    size_t kept = c->n < POL_CONFIDENCE_TOKENS ? c->n : POL_CONFIDENCE_TOKENS;
    memcpy(sorted, c->uncertainty, kept * sizeof(*sorted));
    qsort(sorted, kept, sizeof(*sorted), by_value);
    double n = c->n;
    /* Quantiles by nearest rank: the smallest value with at least that share at or below it. */
    double median = (double)sorted[(kept + 1) / 2 - 1];
    double high = (double)sorted[(kept * 9 + 9) / 10 - 1], most = (double)sorted[kept - 1];
    add_part(&score, "mean_uncertainty", scaled(-c->sum_logprob / n, 3), -2.0);
    add_part(&score, "median_uncertainty", scaled(median, 2), -1.0);
    add_part(&score, "p90_uncertainty", scaled(high, 5), -1.5);
    add_part(&score, "max_uncertainty", scaled(most, 10), -0.5);
    add_part(&score, "mean_doubt", scaled(1 - c->sum_margin / n, 1), -1.5);
    add_part(&score, "max_entropy", scaled(c->max_entropy, 8), -0.5);
    add_part(&score, "first_entropy", scaled((double)c->first_entropy, 6), -0.7);
    add_part(&score, "low_margin", scaled(c->low_margin, n), -1.0);
    add_part(&score, "few_tokens", scaled(FEW_TOKENS - n, FEW_TOKENS), -0.3);
    double sum = score.bias;
    for (size_t i = 0; i < score.n_parts; i++)
        sum += score.part[i].value * score.part[i].weight;
    score.known = true;
    score.value = 1 / (1 + exp(-sum));
    return score;
}
