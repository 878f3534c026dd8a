/* What pol_fit says of its own fits is worked out again by other ways: its held-out values, the
 * order of the elimination, the penalty, and the scores that the map is fitted to. */
#include <math.h>

#include "policy/fit_internal.h"
#include "policy/logistic.h"
#include "tests/unit/check.h"

enum { MOST = 240 };

static uint64_t seed;
static struct pol_example examples[MOST];
static struct pol_fit fit;
static double held[MOST];
static struct tg_error err;

static double uniform(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(seed >> 11) / 9007199254740992.0;
}

/* Every feature tells a little, weight times as much as it varies; 0: pure noise. */
static void make(size_t n, uint64_t from, double weight)
{
    seed = from;
    for (size_t i = 0; i < n; i++) {
        double z = 0;
        examples[i].features.known = true;
        for (size_t f = 0; f < POL_FEATURES; f++) {
            examples[i].features.v[f] = uniform();
            z += weight * (examples[i].features.v[f] - 0.5) * (double)(f + 1) / POL_FEATURES;
        }
        examples[i].right = uniform() < pol_sigmoid(z);
    }
}

static struct pol_fit_options all_features(bool eliminate)
{
    struct pol_fit_options o = { .eliminate = eliminate };
    for (size_t f = 0; f < POL_FEATURES; f++)
        o.use[f] = true;
    return o;
}

static struct pol_subset all_of(size_t n)
{
    static uint32_t at[MOST];
    for (uint32_t i = 0; i < n; i++)
        at[i] = i;
    return (struct pol_subset){ .e = examples, .at = at, .n = n };
}

/* A held-out value is what a fit to the other four folds gives, elimination and map included. */
static void as_a_fit_to_the_others(void)
{
    static struct pol_example others[MOST];
    static struct pol_fit again;
    static uint8_t fold[MOST];
    const struct pol_fit_options o = all_features(true);
    make(MOST, 5, 1.5);
    struct pol_subset all = all_of(MOST);
    CHECK_INT(pol_folds(&all, fold), TG_OK);
    CHECK_INT(pol_fit(examples, MOST, POL_SPAN_ANSWER, &o, &fit, held, &err), TG_OK);
    for (uint8_t f = 0; f < POL_FIT_FOLDS; f++) {
        size_t n = 0;
        for (size_t i = 0; i < MOST; i++)
            if (fold[i] != f)
                others[n++] = examples[i];
        CHECK_INT(pol_fit(others, n, POL_SPAN_ANSWER, &o, &again, NULL, &err), TG_OK);
        CHECK(again.n_dropped > 0);
        for (size_t i = 0; i < MOST; i++)
            if (fold[i] == f)
                CHECK_NEAR(held[i], pol_calibration_apply(&again.calibration,
                                                          &examples[i].features), 1e-12);
    }
}

static double mean_loss(const struct pol_subset *s, const bool use[POL_FEATURES])
{
    static uint8_t fold[MOST];
    static double logit[MOST];
    double sum = 0;
    CHECK_INT(pol_folds(s, fold), TG_OK);
    CHECK_INT(pol_out_of_fold(s, fold, use, logit), TG_OK);
    for (size_t i = 0; i < s->n; i++)
        sum += pol_softplus(logit[i]) - (examples[i].right ? logit[i] : 0);
    return sum / (double)s->n;
}

/* Each rise is against the best set before, so that small losses do not add up to a big one. */
static void small_losses_do_not_add_up(void)
{
    size_t risen = 0;
    for (uint64_t from = 1; from <= 2; from++) {
        struct pol_fit_options o = all_features(true);
        make(MOST, from, 1.5);
        struct pol_subset all = all_of(MOST);
        CHECK_INT(pol_fit(examples, MOST, POL_SPAN_ANSWER, &o, &fit, NULL, &err), TG_OK);
        double best = mean_loss(&all, o.use);
        for (size_t i = 0; i < fit.n_dropped; i++) {
            o.use[fit.dropped[i].feature] = false;
            double now = mean_loss(&all, o.use);
            CHECK_NEAR(fit.dropped[i].rise, now - best, 1e-12);
            CHECK(fit.dropped[i].rise <= fit.dropped[i].error);
            risen += i > 0 && fit.dropped[i - 1].rise > 0;
            best = fmin(best, now);
        }
        CHECK(memcmp(o.use, fit.used, sizeof(o.use)) == 0);
    }
    CHECK(risen > 0); /* there were some that could have added up */
}

/* The weights are those of standardised features and an L2 of 1, in the features' own scale. */
static void the_penalty(void)
{
    enum { N = 120 };
    static double x[N * POL_FEATURES], t[N];
    double w[POL_FEATURES + 1], mean[POL_FEATURES], deviation[POL_FEATURES];
    const struct pol_fit_options o = all_features(false);
    struct pol_line line;
    make(N, 3, 4);
    struct pol_subset all = all_of(N);
    for (size_t f = 0; f < POL_FEATURES; f++) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < N; i++)
            sum += examples[i].features.v[f];
        mean[f] = sum / N;
        for (size_t i = 0; i < N; i++)
            squares += pow(examples[i].features.v[f] - mean[f], 2);
        deviation[f] = sqrt(squares / N);
        for (size_t i = 0; i < N; i++)
            x[i * POL_FEATURES + f] = (examples[i].features.v[f] - mean[f]) / deviation[f];
    }
    for (size_t i = 0; i < N; i++)
        t[i] = examples[i].right;
    CHECK_INT(pol_logistic(x, t, N, POL_FEATURES, 1, w), TG_OK);
    CHECK_INT(pol_train(&all, o.use, &line), TG_OK);
    for (size_t f = 0; f < POL_FEATURES; f++) {
        CHECK_NEAR(line.weight[f], w[f + 1] / deviation[f], 1e-6);
        w[0] -= w[f + 1] / deviation[f] * mean[f];
    }
    CHECK_NEAR(line.bias, w[0], 1e-6);
}

/* A line that is fitted to noise has scores of its own examples that look good, and would get a
 * steep map by them; by scores of what it has not seen the map is flat. */
static void the_map_sees_no_score_of_its_own(void)
{
    const struct pol_fit_options o = all_features(false);
    double slope = 0;
    for (uint64_t from = 1; from <= 10; from++) {
        make(80, from, 0);
        CHECK_INT(pol_fit(examples, 80, POL_SPAN_ANSWER, &o, &fit, NULL, &err), TG_OK);
        CHECK_INT(fit.calibration.map.kind, POL_MAP_PLATT);
        slope += fit.calibration.map.a / 10;
    }
    CHECK(slope < 0.4);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(as_a_fit_to_the_others), CASE(small_losses_do_not_add_up), CASE(the_penalty),
        CASE(the_map_sees_no_score_of_its_own),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
