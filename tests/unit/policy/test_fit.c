/* Fitting against plainer implementations, and against truths that the test chose. */
#include "policy/fit.h"

#include <stdlib.h>

#include "config/base/alloc.h"
#include "policy/confidence.h"
#include "policy/fit_internal.h"
#include "policy/logistic.h"
#include "policy/maps.h"
#include "tests/unit/check.h"

enum { MANY = 6000 };

static uint64_t seed;
static struct pol_example examples[MANY];
static double held[MANY], truth[MANY];
static bool labels[MANY];

static double uniform(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(seed >> 11) / 9007199254740992.0;
}

/* --- logistic regression ------------------------------------------------------------- */

/* The same minimum by gradient descent with a constant step, for as long as it takes. */
static void descend(const double *x, const double *t, size_t n, size_t d, double l2, double *w)
{
    double gradient[8];
    memset(w, 0, (d + 1) * sizeof(*w));
    for (int round = 0; round < 40000; round++) {
        for (size_t k = 0; k <= d; k++)
            gradient[k] = k ? l2 * w[k] : 0;
        for (size_t i = 0; i < n; i++) {
            double z = w[0];
            for (size_t k = 0; k < d; k++)
                z += w[k + 1] * x[i * d + k];
            double error = 1 / (1 + exp(-z)) - t[i];
            gradient[0] += error;
            for (size_t k = 0; k < d; k++)
                gradient[k + 1] += error * x[i * d + k];
        }
        for (size_t k = 0; k <= d; k++)
            w[k] -= 2.0 / (double)n * gradient[k];
    }
}

static void newton_finds_what_descent_finds(void)
{
    enum { N = 60, D = 3 };
    double x[N * D], t[N], w[D + 1], plain[D + 1];
    for (int round = 0; round < 4; round++) {
        seed = (uint64_t)round;
        for (size_t i = 0; i < N; i++) {
            for (size_t k = 0; k < D; k++)
                x[i * D + k] = 2 * uniform() - 1;
            t[i] = round == 3 ? uniform() : uniform() < 1 / (1 + exp(-3 * x[i * D] + 1));
        }
        double l2 = round == 1 ? 5 : 0.5;
        CHECK_INT(pol_logistic(x, t, N, D, l2, w), TG_OK);
        descend(x, t, N, D, l2, plain);
        for (size_t k = 0; k <= D; k++)
            CHECK_NEAR(w[k], plain[k], 1e-5);
    }
}

static void separable_needs_the_penalty(void)
{
    double x[20], t[20], w[2];
    for (int i = 0; i < 20; i++) {
        x[i] = i - 9.5;
        t[i] = i >= 10;
    }
    CHECK_INT(pol_logistic(x, t, 20, 1, 1, w), TG_OK);
    CHECK(w[1] > 0.5 && w[1] < 10);
    CHECK_NEAR(w[0], 0, 1e-6);
    double strong;
    CHECK_INT(pol_logistic(x, t, 20, 1, 100, w), TG_OK);
    strong = w[1];
    CHECK_INT(pol_logistic(x, t, 20, 1, 10, w), TG_OK);
    CHECK(strong < w[1]);
    for (int i = 0; i < 20; i++)
        t[i] = 1; /* one class: the bias goes to infinity */
    enum tg_status one = pol_logistic(x, t, 20, 1, 1, w);
    CHECK(one == TG_INVALID || w[0] > 8);
    CHECK_INT(pol_logistic(x, t, 0, 1, 1, w), TG_INVALID);
    CHECK_NEAR(pol_softplus(1000), 1000, 1e-9);
    CHECK_NEAR(pol_softplus(-1000), 0, 1e-9);
    CHECK_NEAR(pol_softplus(0.3), log(1 + exp(0.3)), 1e-12);
}

/* --- maps ------------------------------------------------------------- */

/* Isotonic regression by its formula: max over a <= i of min over b >= i of the mean of a .. b. */
static double by_formula(const double *mean, const double *weight, size_t n, size_t i)
{
    double best = -INFINITY;
    for (size_t a = 0; a <= i; a++) {
        double least = INFINITY;
        for (size_t b = i; b < n; b++) {
            double sum = 0, total = 0;
            for (size_t k = a; k <= b; k++) {
                sum += mean[k] * weight[k];
                total += weight[k];
            }
            least = fmin(least, sum / total);
        }
        best = fmax(best, least);
    }
    return best;
}

static void isotonic_is_that_of_the_formula(void)
{
    enum { N = 40 };
    for (int round = 0; round < 200; round++) {
        double logit[N], mean[N], weight[N];
        bool label[N];
        seed = 1000 + (uint64_t)round;
        for (size_t i = 0; i < N; i++) { /* in rising order, for the formula */
            logit[i] = (double)i / 5 - 4;
            label[i] = uniform() < pol_sigmoid(logit[i]);
            mean[i] = label[i];
            weight[i] = 1;
        }
        for (size_t end = 0; end < N; end += N - 1) { /* one right and one wrong at each end */
            mean[end] = (mean[end] + 1) / 3;
            weight[end] = 3;
        }
        struct pol_map map;
        CHECK_INT(pol_map_isotonic(logit, label, N, &map), TG_OK);
        for (size_t p = 0; p < map.n; p++) {
            bool found = false; /* each point's value is that of a block of the formula */
            for (size_t i = 0; i < N; i++)
                found = found || fabs(by_formula(mean, weight, N, i) - map.y[p]) < 1e-9;
            CHECK(found);
            CHECK(map.y[p] > 0 && map.y[p] < 1);
            CHECK(p == 0 || (map.x[p] > map.x[p - 1] && map.y[p] > map.y[p - 1]));
        }
        size_t blocks = 1;
        for (size_t i = 1; i < N; i++)
            blocks += by_formula(mean, weight, N, i) > by_formula(mean, weight, N, i - 1) + 1e-12;
        CHECK_INT(map.n, blocks);
    }
}

static void isotonic_ends_and_ties(void)
{
    struct pol_map map;
    static double logit[2000];
    static bool label[2000];
    for (size_t i = 0; i < 2000; i++) {
        logit[i] = i < 800 ? -2 + 1e-4 * (double)i : 2 + 1e-4 * (double)i;
        label[i] = i >= 800;
    }
    CHECK_INT(pol_map_isotonic(logit, label, 2000, &map), TG_OK);
    CHECK_INT(map.n, 2);
    CHECK_NEAR(map.y[0], 1.0 / 802, 1e-12); /* (k + 1) / (n + 2) */
    CHECK_NEAR(map.y[1], 1201.0 / 1202, 1e-12);
    for (size_t i = 0; i < 2000; i++) {
        logit[i] = 0.5; /* nothing to tell them apart by */
        label[i] = i % 4 != 0;
    }
    CHECK_INT(pol_map_isotonic(logit, label, 2000, &map), TG_OK);
    CHECK_INT(map.n, 1);
    CHECK_NEAR(map.y[0], 1502.0 / 2004, 1e-12);
    CHECK_NEAR(pol_map_apply(&map, 50), 1502.0 / 2004, 1e-12);
    for (size_t i = 0; i < 2000; i++) { /* more blocks than points */
        logit[i] = ((double)i - 1000) / 250;
        label[i] = i * i % 2000 < i;
    }
    CHECK_INT(pol_map_isotonic(logit, label, 2000, &map), TG_OK);
    CHECK(map.n <= POL_MAP_POINTS_MAX && map.n > 1);
    for (size_t i = 0; i < 2000; i++)
        label[i] = i < 1000; /* upside down: one constant */
    CHECK_INT(pol_map_isotonic(logit, label, 2000, &map), TG_OK);
    CHECK_NEAR(pol_map_apply(&map, -9), pol_map_apply(&map, 9), 1e-12);
}

static void platt_finds_the_line(void)
{
    static double logit[20000];
    static bool label[20000];
    struct pol_map map;
    seed = 5;
    for (size_t i = 0; i < 20000; i++) {
        logit[i] = 6 * uniform() - 3;
        label[i] = uniform() < pol_sigmoid(0.5 * logit[i] + 0.7);
    }
    CHECK_INT(pol_map_platt(logit, label, 20000, &map), TG_OK);
    CHECK_NEAR(map.a, 0.5, 0.05);
    CHECK_NEAR(map.b, 0.7, 0.05);
    for (size_t i = 0; i < 200; i++) { /* separated: smoothed targets keep it from a step */
        logit[i] = i < 100 ? -1 - 0.01 * (double)i : 1 + 0.01 * (double)i;
        label[i] = i >= 100;
    }
    CHECK_INT(pol_map_platt(logit, label, 200, &map), TG_OK);
    double sure = pol_map_apply(&map, 3);
    CHECK(sure > 0.97 && sure < 0.9999);
    for (size_t i = 0; i < 200; i++)
        label[i] = i < 100; /* a falling line */
    CHECK_INT(pol_map_platt(logit, label, 200, &map), TG_OK);
    CHECK_NEAR(map.a, 0, 0);
    CHECK_NEAR(pol_map_apply(&map, 2), 0.5, 1e-6);
}

/* --- the whole ------------------------------------------------------------- */

/* Two features tell, one copies, the rest is noise; the truth is no logistic function of them. */
static void make(size_t n, uint64_t from)
{
    seed = from;
    for (size_t i = 0; i < n; i++) {
        struct pol_example *e = &examples[i];
        e->features.known = true;
        for (size_t f = 0; f < POL_FEATURES; f++)
            e->features.v[f] = uniform();
        double sure = e->features.v[POL_MIN_PROBABILITY], few = e->features.v[POL_FEW_TOKENS];
        e->features.v[POL_MAX_UNCERTAINTY] = -log(sure + 1e-9) / (1 - log(sure + 1e-9));
        e->features.v[POL_LOW_MARGIN] = 0; /* never varies */
        double z = 8 * (sure - 0.5) - 3 * (few - 0.5);
        truth[i] = 0.05 + 0.93 / (1 + exp(-z));
        e->right = uniform() < truth[i];
        labels[i] = e->right;
    }
}

static const struct pol_fit_options everything = {
    .use = { true, true, true, true, true, true, true, true, true, true, true, true },
};

static double mean_error(const double *p, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += fabs(p[i] - truth[i]) / (double)n;
    return sum;
}

static void known_truth_is_found(void)
{
    static struct pol_fit fit;
    static const size_t sizes[] = { 900, 4000 };
    struct tg_error err;
    for (size_t k = 0; k < 2; k++) {
        size_t n = sizes[k];
        make(n, 77);
        struct pol_fit_options o = everything;
        o.eliminate = true;
        CHECK_INT(pol_fit(examples, n, POL_SPAN_ANSWER, &o, &fit, held, &err), TG_OK);
        const struct pol_calibration *c = &fit.calibration;
        CHECK_INT(c->map.kind, n < 1000 ? POL_MAP_PLATT : POL_MAP_ISOTONIC);
        CHECK_INT(c->n, n);
        CHECK_INT(c->key.features, POL_FEATURES_VERSION);
        CHECK(fit.held.ece < 0.05 && fit.raw.ece > 0.1);
        CHECK(mean_error(held, n) < 0.06);
        struct pol_quality best;
        CHECK_INT(pol_quality(truth, labels, n, &best), TG_OK);
        CHECK(fit.held.brier < best.brier + 0.006 && fit.held.auc > best.auc - 0.01);
        /* What tells is kept, in one of its two forms; what never varies is not. */
        CHECK(fit.used[POL_FEW_TOKENS]);
        CHECK(fit.used[POL_MIN_PROBABILITY] || fit.used[POL_MAX_UNCERTAINTY]);
        CHECK(!fit.used[POL_LOW_MARGIN] && fit.n_dropped >= 6);
        /* On new examples it is as good as was held out. */
        make(n, 4321);
        for (size_t i = 0; i < n; i++)
            held[i] = pol_calibration_apply(c, &examples[i].features);
        struct pol_quality fresh;
        CHECK_INT(pol_quality(held, labels, n, &fresh), TG_OK);
        CHECK_NEAR(fresh.brier, fit.held.brier, 0.02);
        CHECK(fresh.ece < 0.06 && mean_error(held, n) < 0.05);
    }
}

static void the_same_twice(void)
{
    static struct pol_fit a, b;
    static double again[MANY];
    struct tg_error err;
    make(300, 3);
    CHECK_INT(pol_fit(examples, 300, POL_SPAN_WINDOW, &everything, &a, held, &err), TG_OK);
    CHECK_INT(pol_fit(examples, 300, POL_SPAN_WINDOW, &everything, &b, again, &err), TG_OK);
    CHECK(memcmp(a.calibration.weight, b.calibration.weight, sizeof(a.calibration.weight)) == 0);
    CHECK(memcmp(held, again, 300 * sizeof(*held)) == 0);
    CHECK_INT(pol_fit(examples, 300, POL_SPAN_WINDOW, &everything, &b, NULL, &err), TG_OK);
    CHECK_NEAR(a.held.ece, b.held.ece, 0);
    CHECK_INT(a.calibration.key.span, POL_SPAN_WINDOW);
}

/* The outer fold is not seen: labels that are pure noise cannot be predicted better than chance. */
static void noise_stays_noise(void)
{
    static struct pol_fit fit;
    struct tg_error err;
    for (size_t n = 400; n <= 1200; n += 800) {
        double auc = 0;
        for (uint64_t s = 1; s <= 5; s++) {
            make(n, s);
            for (size_t i = 0; i < n; i++)
                examples[i].right = uniform() < 0.5;
            CHECK_INT(pol_fit(examples, n, POL_SPAN_ANSWER, &everything, &fit, held, &err), TG_OK);
            CHECK(fit.held.auc < 0.6 && fit.held.log_loss > 0.68);
            auc += fit.held.auc / 5;
        }
        CHECK(auc < 0.54);
    }
}

static struct pol_subset all_of(size_t n)
{
    static uint32_t at[MANY];
    for (uint32_t i = 0; i < n; i++)
        at[i] = i;
    return (struct pol_subset){ .e = examples, .at = at, .n = n };
}

/* One label of a fold, told to its own map, would show: each held-out value is what a fit on the
 * other folds alone gives. */
static void held_out_means_held_out(void)
{
    static struct pol_fit fit;
    static uint8_t fold[500];
    static double other[500];
    struct tg_error err;
    make(500, 9);
    struct pol_subset all = all_of(500);
    CHECK_INT(pol_folds(&all, fold), TG_OK);
    CHECK_INT(pol_fit(examples, 500, POL_SPAN_ANSWER, &everything, &fit, held, &err), TG_OK);
    size_t a = 0, b = 0; /* a right and a wrong one of the same fold change their labels */
    while (!(fold[a] == 2 && examples[a].right))
        a++;
    while (!(fold[b] == 2 && !examples[b].right))
        b++;
    /* The folds are dealt by label, so the two also change places in them. */
    struct pol_example kept = examples[a];
    examples[a].features = examples[b].features;
    examples[b].features = kept.features;
    CHECK_INT(pol_fit(examples, 500, POL_SPAN_ANSWER, &everything, &fit, other, &err), TG_OK);
    for (size_t i = 0; i < 500; i++) {
        if (i == a || i == b)
            continue;
        if (fold[i] == 2)
            CHECK_NEAR(held[i], other[i], 0);
    }
    CHECK_NEAR(held[a], other[b], 0);
}

/* A file in which right and wrong ones take turns: a sample with a step would see one class. */
static void the_sample_has_both_classes(void)
{
    struct pol_subset all = all_of(6000), part;
    bool use[POL_FEATURES] = { [POL_MEAN_DOUBT] = true, [POL_MIN_PROBABILITY] = true };
    make(6000, 8);
    for (size_t i = 0; i < 6000; i++) {
        examples[i].right = i % 2;
        examples[i].features.v[POL_MIN_PROBABILITY] = 0.3 * (double)(i % 2) + 0.7 * uniform();
    }
    CHECK_INT(pol_eliminate(&all, use, NULL, NULL), TG_OK);
    CHECK(use[POL_MIN_PROBABILITY] && !use[POL_MEAN_DOUBT]);
    for (size_t wrong = 12; wrong <= 1200; wrong *= 10) { /* a rare class is not lost */
        static bool seen[MANY];
        size_t few = 0, high = 0;
        memset(seen, 0, sizeof(seen));
        for (size_t i = 0; i < 6000; i++)
            examples[i].right = i >= wrong;
        CHECK_INT(pol_sample(&all, 600, &part), TG_OK);
        for (size_t i = 0; i < part.n; i++) {
            CHECK(!seen[part.at[i]]);
            seen[part.at[i]] = true;
            few += !examples[part.at[i]].right;
            high += part.at[i] >= 3000;
        }
        CHECK_INT(few, wrong == 12 ? 12 : wrong == 120 ? POL_FIT_ELIMINATE_CLASS : 120);
        CHECK_INT(part.n - few, wrong == 12 ? 599 : wrong == 120 ? 588 : 480);
        CHECK(high > 250 && high < 400);
        tg_free(part.at);
    }
}

static void folds_are_even_and_twins_together(void)
{
    static uint8_t fold[1000];
    static uint32_t group[1000];
    struct pol_subset all = all_of(1000);
    size_t n_groups, n[POL_FIT_FOLDS][2] = { { 0 } };
    make(1000, 21);
    for (size_t i = 0; i < 1000; i++)
        examples[i].right = i % 10 != 0;
    CHECK_INT(pol_folds(&all, fold), TG_OK);
    for (size_t i = 0; i < 1000; i++)
        n[fold[i]][examples[i].right]++;
    for (size_t f = 0; f < POL_FIT_FOLDS; f++)
        CHECK(n[f][0] == 20 && n[f][1] == 180);
    /* Now each vector up to nine times, with labels of all kinds, and its zeros of both signs. */
    for (size_t i = 400; i < 1000; i++)
        examples[i].features = examples[i * i % 97].features;
    for (size_t i = 0; i < 1000; i += 3)
        examples[i].features.v[POL_LOW_MARGIN] = -0.0;
    CHECK_INT(pol_twins(&all, group, &n_groups), TG_OK);
    CHECK_INT(n_groups, 400);
    CHECK_INT(pol_folds(&all, fold), TG_OK);
    memset(n, 0, sizeof(n));
    for (size_t i = 0; i < 1000; i++) {
        n[fold[i]][examples[i].right]++;
        CHECK(group[i] < 400 && (i >= 400 || group[i] == i));
        if (i >= 400) {
            CHECK_INT(group[i], i * i % 97);
            CHECK_INT(fold[i], fold[group[i]]);
        }
    }
    for (size_t f = 0; f < POL_FIT_FOLDS; f++)
        CHECK(n[f][0] >= 15 && n[f][0] <= 25 && n[f][1] >= 170 && n[f][1] <= 190);
}

/* Sixty vectors with labels by chance, twenty times each: whoever has seen a copy knows. */
static void copies_do_not_leak(void)
{
    static struct pol_fit fit;
    struct tg_error err;
    double auc = 0;
    for (uint64_t s = 1; s <= 5; s++) {
        make(60, s);
        for (size_t i = 0; i < 60; i++)
            examples[i].right = uniform() < 0.5;
        for (size_t i = 60; i < 1200; i++)
            examples[i] = examples[i % 60];
        CHECK_INT(pol_fit(examples, 1200, POL_SPAN_ANSWER, &everything, &fit, held, &err), TG_OK);
        CHECK_INT(fit.calibration.map.kind, POL_MAP_PLATT); /* sixty are not a thousand */
        CHECK_INT(fit.calibration.n, 1200);
        auc += fit.held.auc / 5;
    }
    CHECK(auc < 0.6);
    make(49, 1);
    for (size_t i = 49; i < 300; i++)
        examples[i] = examples[i % 49];
    CHECK_INT(pol_fit_enough(examples, 300, &err), TG_INVALID);
    CHECK_STR(err.text, "49 different (of 300, the others are copies) examples are too few: "
                        "at least 50 are needed");
    make(100, 1);
    for (size_t i = 0; i < 100; i++) { /* thirty wrong ones, nine that differ */
        examples[i].right = i >= 30;
        examples[i].features = examples[i < 30 ? i % 9 : i].features;
    }
    CHECK_INT(pol_fit_enough(examples, 100, &err), TG_INVALID);
    CHECK(strstr(err.text, "of 79 different (of 100, the others are copies) examples 70 are "));
    make(60, 1);
    for (size_t i = 0; i < 60; i++) /* ten vectors of both classes, most of the wrong ones in one */
        examples[i].right = i >= 10;
    for (size_t i = 60; i < 5000; i++) {
        examples[i] = examples[i % 2 ? 0 : i % 10];
        examples[i].right = i % 2 == 0;
    }
    struct pol_fit_options o = everything;
    o.eliminate = true;
    o.use[POL_MEAN_DOUBT] = o.use[POL_FIRST_DOUBT] = o.use[POL_MAX_ENTROPY] = false;
    CHECK_INT(pol_fit(examples, 5000, POL_SPAN_ANSWER, &o, &fit, held, &err), TG_OK);
}

/* A feature that hardly varies gets no weight that is beyond what is read back. */
static void weights_stay_in_bounds(void)
{
    static struct pol_fit fit;
    struct tg_error err;
    make(400, 4);
    for (size_t i = 0; i < 400; i++)
        examples[i].features.v[POL_LOW_MARGIN] = 0.5 + 2e-7 * examples[i].right;
    CHECK_INT(pol_fit(examples, 400, POL_SPAN_ANSWER, &everything, &fit, held, &err), TG_OK);
    CHECK_NEAR(fit.calibration.weight[POL_LOW_MARGIN], 0, 0);
    CHECK(fabs(fit.calibration.bias) < 1e6);
    struct pol_subset all = all_of(98); /* nor is there one beyond all bounds for one class */
    struct pol_line line;
    for (size_t i = 0; i < 98; i++)
        examples[i].right = true;
    CHECK_INT(pol_train(&all, everything.use, &line), TG_OK);
    CHECK_NEAR(pol_sigmoid(line.bias), 0.99, 1e-12);
    CHECK_NEAR(line.weight[POL_MIN_PROBABILITY], 0, 0);
}

static void too_little_is_refused(void)
{
    static struct pol_fit fit;
    struct tg_error err;
    make(49, 1);
    CHECK_INT(pol_fit(examples, 49, POL_SPAN_ANSWER, &everything, &fit, held, &err), TG_INVALID);
    CHECK_STR(err.text, "49 examples are too few: at least 50 are needed");
    make(60, 1);
    for (size_t i = 0; i < 60; i++)
        examples[i].right = true;
    CHECK_INT(pol_fit(examples, 60, POL_SPAN_ANSWER, &everything, &fit, held, &err), TG_INVALID);
    CHECK(strstr(err.text, "of 60 examples 60 are right: at least 10"));
    for (size_t i = 0; i < 9; i++)
        examples[i].right = false;
    CHECK_INT(pol_fit(examples, 60, POL_SPAN_ANSWER, &everything, &fit, held, &err), TG_INVALID);
    examples[9].right = false;
    CHECK_INT(pol_fit(examples, 60, POL_SPAN_ANSWER, &everything, &fit, held, &err), TG_OK);
    for (size_t i = 0; i < 60; i++) { /* nothing varies, but for roundings */
        memset(examples[i].features.v, 0, sizeof(examples[i].features.v));
        examples[i].features.v[POL_MEAN_DOUBT] = 1e-9 * (double)i;
    }
    CHECK_INT(pol_fit(examples, 60, POL_SPAN_ANSWER, &everything, &fit, held, &err), TG_OK);
    CHECK_NEAR(held[0], 50.0 / 60, 0.05);
}

static void failing_allocations(void)
{
    static struct pol_fit fit;
    struct tg_error err;
    struct pol_fit_options o = { .use = { true, [POL_MIN_PROBABILITY] = true }, .eliminate = true };
    for (int n = 60; n <= 1060; n += 1000) {
        make((size_t)n, 1);
        tg_alloc_fail_nth(0);
        CHECK_INT(pol_fit(examples, (size_t)n, POL_SPAN_ANSWER, &o, &fit, held, &err), TG_OK);
        uint64_t count = tg_alloc_count();
        for (uint64_t nth = 1; nth <= count; nth += 1 + nth / 16) {
            tg_alloc_fail_nth(nth);
            enum tg_status s = pol_fit(examples, (size_t)n, POL_SPAN_ANSWER, &o, &fit, NULL, &err);
            CHECK_INT(s, TG_NOMEM);
        }
        tg_alloc_fail_nth(0);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(newton_finds_what_descent_finds), CASE(separable_needs_the_penalty),
        CASE(isotonic_is_that_of_the_formula), CASE(isotonic_ends_and_ties),
        CASE(platt_finds_the_line),            CASE(known_truth_is_found),
        CASE(the_same_twice),                  CASE(noise_stays_noise),
        CASE(held_out_means_held_out),         CASE(the_sample_has_both_classes),
        CASE(folds_are_even_and_twins_together), CASE(copies_do_not_leak),
        CASE(weights_stay_in_bounds),          CASE(too_little_is_refused),
        CASE(failing_allocations),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
