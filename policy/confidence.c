#include "policy/confidence.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BIAS_ANSWER 2.197 /* ln(0.9 / 0.1) */
#define BIAS_WINDOW 2.0   /* the beginning alone says less: 0.88 at most */
#define SURE_WEIGHT 1.5
#define LOW_MARGIN 0.1f

enum { FEW_TOKENS = 8 };

/* Set by hand: calibrations replace them. What is gained by a minimal probability of 1 is taken
 * from the bias, so that the biases above are what the surest answer gets. How long an answer is
 * says nothing by itself, so the total counts for nothing here. */
static const double default_weight[POL_FEATURES] = {
    [POL_MEAN_UNCERTAINTY] = -1.5, [POL_MEDIAN_UNCERTAINTY] = -0.5,
    [POL_P90_UNCERTAINTY] = -1.0,  [POL_MIN_PROBABILITY] = SURE_WEIGHT,
    [POL_MEAN_DOUBT] = -1.0,       [POL_MAX_ENTROPY] = -0.5,
    [POL_FIRST_ENTROPY] = -0.5,    [POL_FIRST_DOUBT] = -0.5,
    [POL_LOW_MARGIN] = -1.0,       [POL_FEW_TOKENS] = -0.3,
};

static double default_bias(enum pol_span span)
{
    return (span == POL_SPAN_WINDOW ? BIAS_WINDOW : BIAS_ANSWER) - SURE_WEIGHT;
}

void pol_confidence_init(struct pol_confidence *c)
{
    memset(c, 0, sizeof(*c));
}

/* v within its range; NaN and infinity are the worst there is. */
static float within(float v, float least, float most, float worst)
{
    if (!isfinite(v))
        return worst;
    return v < least ? least : v > most ? most : v;
}

void pol_confidence_add(struct pol_confidence *c, const struct chat_token *token)
{
    if (token->cls == CHAT_TOKEN_MASKED || c->n == UINT32_MAX)
        return;
    float uncertainty = within(-token->logprob, 0, 100, 20);
    float entropy = within(token->entropy, 0, 100, 20);
    float margin = within(token->margin, 0, 1, 0);
    if (c->n < POL_CONFIDENCE_TOKENS)
        c->uncertainty[c->n] = uncertainty;
    if (c->n == 0) {
        c->first_entropy = entropy;
        c->first_margin = margin;
    }
    c->sum_uncertainty += (double)uncertainty;
    c->sum_margin += (double)margin;
    c->max_uncertainty = fmax(c->max_uncertainty, (double)uncertainty);
    c->max_entropy = fmax(c->max_entropy, (double)entropy);
    c->low_margin += margin < LOW_MARGIN;
    c->n++;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double squashed(double nats)
{
    return nats / (nats + 1);
}

struct pol_features pol_confidence_features(const struct pol_confidence *c)
{
    struct pol_features f = { .known = c->n > 0 };
    if (!f.known)
        return f;
    float sorted[POL_CONFIDENCE_TOKENS];
    size_t kept = c->n < POL_CONFIDENCE_TOKENS ? c->n : POL_CONFIDENCE_TOKENS;
    memcpy(sorted, c->uncertainty, kept * sizeof(*sorted));
    qsort(sorted, kept, sizeof(*sorted), by_value);
    double n = c->n;
    /* Quantiles by nearest rank: the smallest value with at least that share at or below it. */
    f.v[POL_MEAN_UNCERTAINTY] = squashed(c->sum_uncertainty / n);
    f.v[POL_MEDIAN_UNCERTAINTY] = squashed((double)sorted[(kept + 1) / 2 - 1]);
    f.v[POL_P90_UNCERTAINTY] = squashed((double)sorted[(kept * 9 + 9) / 10 - 1]);
    f.v[POL_MAX_UNCERTAINTY] = squashed(c->max_uncertainty);
    f.v[POL_TOTAL_UNCERTAINTY] = squashed(c->sum_uncertainty);
    f.v[POL_MIN_PROBABILITY] = exp(-c->max_uncertainty);
    f.v[POL_MEAN_DOUBT] = fmax(1 - c->sum_margin / n, 0);
    f.v[POL_MAX_ENTROPY] = squashed(c->max_entropy);
    f.v[POL_FIRST_ENTROPY] = squashed((double)c->first_entropy);
    f.v[POL_FIRST_DOUBT] = 1 - (double)c->first_margin;
    f.v[POL_LOW_MARGIN] = c->low_margin / n;
    f.v[POL_FEW_TOKENS] = c->n < FEW_TOKENS ? (FEW_TOKENS - n) / FEW_TOKENS : 0;
    return f;
}

double pol_confidence_default(const struct pol_features *features, enum pol_span span)
{
    return pol_sigmoid(pol_linear(default_bias(span), default_weight, features));
}

struct pol_score pol_confidence_score(const struct pol_confidence *c, enum pol_span span,
                                      const struct pol_calibration *calibration)
{
    const double *weight = calibration ? calibration->weight : default_weight;
    struct pol_features features = pol_confidence_features(c);
    struct pol_score score = { .known = features.known, .calibrated = calibration != NULL };
    score.bias = calibration ? calibration->bias : default_bias(span);
    if (!features.known)
        return score;
    for (size_t i = 0; i < POL_FEATURES; i++)
        score.part[score.n_parts++] =
            (struct pol_part){ pol_feature_name((enum pol_feature)i), features.v[i], weight[i] };
    score.raw = pol_confidence_default(&features, span);
    score.value = calibration ? pol_calibration_apply(calibration, &features) : score.raw;
    return score;
}
