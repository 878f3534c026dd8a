#include "policy/confidence.h"

#include "tests/unit/check.h"

static struct chat_token token(double p, double margin, double entropy)
{
    return (struct chat_token){ .cls = CHAT_TOKEN_CONTENT,
                                .logprob = (float)log(p),
                                .margin = (float)margin,
                                .entropy = (float)entropy };
}

static struct pol_score repeated(struct chat_token t, size_t n, enum pol_span span)
{
    struct pol_confidence c;
    pol_confidence_init(&c);
    for (size_t i = 0; i < n; i++)
        pol_confidence_add(&c, &t);
    return pol_confidence_score(&c, span, NULL);
}

static double part_of(const struct pol_score *score, const char *name)
{
    for (size_t i = 0; i < score->n_parts; i++)
        if (strcmp(score->part[i].name, name) == 0)
            return score->part[i].value;
    CHECK_FAIL("no part %s", name);
}

static void unknown_without_tokens(void)
{
    struct pol_confidence c;
    pol_confidence_init(&c);
    CHECK(!pol_confidence_score(&c, POL_SPAN_WINDOW, NULL).known);
    struct chat_token masked = token(0.01, 0.0, 8);
    masked.cls = CHAT_TOKEN_MASKED;
    for (int i = 0; i < 100; i++)
        pol_confidence_add(&c, &masked);
    CHECK(!pol_confidence_score(&c, POL_SPAN_ANSWER, NULL).known);
}

static void conservative(void)
{
    struct pol_score sure = repeated(token(1, 1, 0), 100, POL_SPAN_ANSWER);
    CHECK(sure.known && sure.value > 0.85 && sure.value <= 0.9001);
    CHECK(repeated(token(1, 1, 0), 100, POL_SPAN_WINDOW).value < sure.value);
    CHECK(repeated(token(1, 1, 0), 1, POL_SPAN_ANSWER).value < sure.value);
    /* Random weights: a uniform distribution over 262144 tokens. */
    struct pol_score uniform = repeated(token(1 / 262144.0, 0, log(262144.0)), 24, POL_SPAN_WINDOW);
    CHECK(uniform.known && uniform.value < 0.02);
    struct pol_score middling = repeated(token(0.5, 0.2, 1.5), 24, POL_SPAN_WINDOW);
    CHECK(middling.value > 0.1 && middling.value < 0.7);
}

static void masked_tokens_change_nothing(void)
{
    struct pol_confidence c;
    struct chat_token good = token(0.9, 0.8, 0.4), bad = token(0.001, 0.0, 9);
    bad.cls = CHAT_TOKEN_MASKED;
    pol_confidence_init(&c);
    pol_confidence_add(&c, &bad); /* before the first that counts, too */
    for (int i = 0; i < 20; i++) {
        pol_confidence_add(&c, &good);
        pol_confidence_add(&c, &bad);
    }
    struct pol_score with = pol_confidence_score(&c, POL_SPAN_ANSWER, NULL);
    struct pol_score without = repeated(good, 20, POL_SPAN_ANSWER);
    CHECK_NEAR(with.value, without.value, 1e-12);
    struct chat_token value = bad; /* the value of a tool argument is content */
    value.cls = CHAT_TOKEN_CALL_VALUE;
    pol_confidence_add(&c, &value);
    CHECK(pol_confidence_score(&c, POL_SPAN_ANSWER, NULL).value < with.value);
}

static void features(void)
{
    struct pol_confidence c;
    pol_confidence_init(&c);
    for (int i = 1; i <= 10; i++) { /* uncertainties 0.1 to 1.0 */
        struct chat_token t = token(exp(-0.1 * i), i == 3 ? 0.05 : 0.6,
                                    i == 1   ? 3
                                    : i == 7 ? 4
                                             : 1);
        pol_confidence_add(&c, &t);
    }
    struct pol_score s = pol_confidence_score(&c, POL_SPAN_ANSWER, NULL);
    CHECK_NEAR(part_of(&s, "mean_uncertainty"), 0.55 / 1.55, 1e-5);
    CHECK_NEAR(part_of(&s, "median_uncertainty"), 0.5 / 1.5, 1e-5);
    CHECK_NEAR(part_of(&s, "p90_uncertainty"), 0.9 / 1.9, 1e-5);
    CHECK_NEAR(part_of(&s, "max_uncertainty"), 1.0 / 2, 1e-5);
    CHECK_NEAR(part_of(&s, "total_uncertainty"), 5.5 / 6.5, 1e-5);
    CHECK_NEAR(part_of(&s, "min_probability"), exp(-1.0), 1e-5);
    CHECK_NEAR(part_of(&s, "mean_doubt"), 1 - (0.6 * 9 + 0.05) / 10, 1e-5);
    CHECK_NEAR(part_of(&s, "max_entropy"), 4.0 / 5, 1e-5);
    CHECK_NEAR(part_of(&s, "first_entropy"), 3.0 / 4, 1e-5);
    CHECK_NEAR(part_of(&s, "first_doubt"), 0.4, 1e-5);
    CHECK_NEAR(part_of(&s, "low_margin"), 0.1, 1e-5);
    CHECK_NEAR(part_of(&s, "few_tokens"), 0, 1e-9);
    double sum = s.bias;
    for (size_t i = 0; i < s.n_parts; i++) {
        CHECK(s.part[i].value >= 0 && s.part[i].value <= 1);
        CHECK((s.part[i].weight > 0) == (strcmp(s.part[i].name, "min_probability") == 0));
        sum += s.part[i].value * s.part[i].weight;
    }
    CHECK_INT(s.n_parts, POL_FEATURES);
    CHECK_NEAR(s.value, 1 / (1 + exp(-sum)), 1e-12);
    CHECK(s.raw == s.value && !s.calibrated);
    s = repeated(token(0.9, 0.7, 0.4), 3, POL_SPAN_ANSWER);
    CHECK_NEAR(part_of(&s, "few_tokens"), 5.0 / 8, 1e-9);
}

/* Behind the tokens that are kept for quantiles, everything else still counts. */
static void late_doubt_counts(void)
{
    struct pol_confidence c;
    struct chat_token good = token(0.99, 0.98, 0.05), bad = token(0.01, 0.001, 6);
    pol_confidence_init(&c);
    for (int i = 0; i < POL_CONFIDENCE_TOKENS + 100; i++)
        pol_confidence_add(&c, &good);
    pol_confidence_add(&c, &bad);
    struct pol_features f = pol_confidence_features(&c);
    CHECK_NEAR(f.v[POL_MIN_PROBABILITY], 0.01, 1e-5);
    CHECK_NEAR(f.v[POL_MAX_UNCERTAINTY], log(100) / (log(100) + 1), 1e-5);
    CHECK_NEAR(f.v[POL_LOW_MARGIN], 1.0 / (POL_CONFIDENCE_TOKENS + 101), 1e-9);
}

/* 0.01 and 0.1 nats, and 0.1 and 1, differ by what a weight can work with. */
static void small_doubts_differ(void)
{
    double last = -1;
    for (double nats = 0.01; nats < 2.1; nats *= 3) {
        struct pol_score s = repeated(token(exp(-nats), 0.5, nats), 24, POL_SPAN_ANSWER);
        CHECK(part_of(&s, "mean_uncertainty") > last + 0.009);
        CHECK(part_of(&s, "max_entropy") > last + 0.009);
        last = part_of(&s, "mean_uncertainty");
    }
}

static void names(void)
{
    for (int i = 0; i < POL_FEATURES; i++) {
        const char *name = pol_feature_name((enum pol_feature)i);
        CHECK_INT(pol_feature_find(tg_str_of(name)), i);
    }
    CHECK_INT(pol_feature_find(TG_STR("mean_uncertaint")), -1);
    CHECK_INT(pol_feature_find(TG_STR("")), -1);
}

/* With a calibration the score is its own, and what it would have been is kept beside it. */
static void calibrated(void)
{
    struct pol_confidence c;
    struct chat_token t = token(0.8, 0.6, 0.7);
    struct pol_calibration k = { .bias = -1, .map = { .kind = POL_MAP_PLATT, .a = 2, .b = 0.5 } };
    k.weight[POL_MIN_PROBABILITY] = 3;
    pol_confidence_init(&c);
    CHECK(!pol_confidence_score(&c, POL_SPAN_ANSWER, &k).known);
    pol_confidence_add(&c, &t);
    struct pol_score s = pol_confidence_score(&c, POL_SPAN_ANSWER, &k);
    CHECK_NEAR(s.value, 1 / (1 + exp(-(2 * (-1 + 3 * 0.8) + 0.5))), 1e-6);
    CHECK_NEAR(s.raw, pol_confidence_score(&c, POL_SPAN_ANSWER, NULL).value, 1e-12);
    CHECK(s.calibrated && s.n_parts == POL_FEATURES);
    CHECK_NEAR(s.part[POL_MIN_PROBABILITY].weight, 3, 0);
    k.map = (struct pol_map){ .kind = POL_MAP_NONE };
    CHECK_NEAR(pol_confidence_score(&c, POL_SPAN_ANSWER, &k).value, 1 / (1 + exp(-1.4)), 1e-6);
}

/* One doubtful token more can only lower the score of a sure answer. */
static void doubt_lowers(void)
{
    struct pol_confidence c;
    struct chat_token good = token(0.95, 0.9, 0.2), bad = token(0.1, 0.02, 5);
    pol_confidence_init(&c);
    for (int i = 0; i < 30; i++)
        pol_confidence_add(&c, &good);
    double last = pol_confidence_score(&c, POL_SPAN_ANSWER, NULL).value;
    for (int i = 0; i < 30; i++) {
        pol_confidence_add(&c, &bad);
        double now = pol_confidence_score(&c, POL_SPAN_ANSWER, NULL).value;
        CHECK(now < last);
        last = now;
    }
}

static void long_answers_and_odd_numbers(void)
{
    struct pol_score long_one = repeated(token(0.9, 0.8, 0.4), 5000, POL_SPAN_ANSWER);
    struct pol_score short_one = repeated(token(0.9, 0.8, 0.4), 500, POL_SPAN_ANSWER);
    CHECK_NEAR(long_one.value, short_one.value, 1e-6);
    struct chat_token odd = { CHAT_TOKEN_CONTENT, -INFINITY, NAN, NAN };
    struct pol_score s = repeated(odd, 10, POL_SPAN_ANSWER);
    CHECK(s.known && s.value >= 0 && s.value < 0.05);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(unknown_without_tokens), CASE(conservative), CASE(masked_tokens_change_nothing),
        CASE(features), CASE(doubt_lowers), CASE(long_answers_and_odd_numbers),
        CASE(late_doubt_counts), CASE(small_doubts_differ), CASE(names), CASE(calibrated),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
