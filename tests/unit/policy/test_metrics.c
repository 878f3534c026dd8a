/* Metrics against figures worked out by hand, and against pairs counted one by one. */
#include "policy/metrics.h"

#include <stdint.h>

#include "config/base/alloc.h"
#include "tests/unit/check.h"

static uint64_t seed;

static double uniform(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(seed >> 11) / 9007199254740992.0;
}

static void by_hand(void)
{
    static const double p[] = { 0.9, 0.8, 0.6, 0.3 };
    static const bool label[] = { true, false, true, false };
    struct pol_quality q;
    CHECK_INT(pol_quality(p, label, 4, &q), TG_OK);
    CHECK_INT(q.n, 4);
    CHECK_INT(q.right, 2);
    CHECK_NEAR(q.auc, 3.0 / 4, 1e-12);
    CHECK_NEAR(q.brier, (0.01 + 0.64 + 0.16 + 0.09) / 4, 1e-12);
    CHECK_NEAR(q.log_loss, -(log(0.9) + log(0.2) + log(0.6) + log(0.7)) / 4, 1e-12);
    CHECK_NEAR(q.ece, (0.1 + 0.8 + 0.4 + 0.3) / 4, 1e-12); /* a bin each */
    double ece;
    CHECK_INT(pol_ece(p, label, 4, 2, &ece), TG_OK);
    CHECK_NEAR(ece, (fabs(0.3 + 0.6 - 1) + fabs(0.8 + 0.9 - 1)) / 4, 1e-12);
    CHECK_INT(pol_ece(p, label, 4, 1, &ece), TG_OK);
    CHECK_NEAR(ece, fabs(0.9 + 0.8 + 0.6 + 0.3 - 2) / 4, 1e-12);
}

static void certain_and_wrong_is_finite(void)
{
    static const double p[] = { 1, 0 };
    static const bool label[] = { false, true };
    struct pol_quality q;
    CHECK_INT(pol_quality(p, label, 2, &q), TG_OK);
    CHECK(isfinite(q.log_loss) && q.log_loss > 20);
    CHECK_NEAR(q.auc, 0, 0);
    CHECK_NEAR(q.ece, 1, 1e-12);
    static const bool one[] = { true, true };
    CHECK_INT(pol_quality(p, one, 2, &q), TG_OK);
    CHECK_NEAR(q.auc, 0.5, 0);
}

static void auc_is_the_share_of_pairs(void)
{
    enum { N = 120 };
    double p[N];
    bool label[N];
    for (int round = 0; round < 50; round++) {
        double pairs = 0, won = 0;
        seed = (uint64_t)round;
        for (size_t i = 0; i < N; i++) {
            p[i] = floor(uniform() * 12) / 12; /* with ties */
            label[i] = uniform() < 0.3 + 0.4 * p[i];
        }
        for (size_t i = 0; i < N; i++)
            for (size_t k = 0; k < N; k++)
                if (label[i] && !label[k]) {
                    pairs++;
                    won += p[i] > p[k] ? 1 : p[i] < p[k] ? 0 : 0.5;
                }
        struct pol_quality q;
        CHECK_INT(pol_quality(p, label, N, &q), TG_OK);
        CHECK_NEAR(q.auc, won / pairs, 1e-12);
    }
}

/* Equal scores in whatever order give the same error: right ones first must not fill a bin. */
static void ties_have_no_order(void)
{
    double p[60];
    bool label[60], other[60];
    for (size_t i = 0; i < 60; i++) {
        p[i] = 0.5;
        label[i] = i < 30;
        other[i] = i % 2;
    }
    double a, b;
    CHECK_INT(pol_ece(p, label, 60, 15, &a), TG_OK);
    CHECK_INT(pol_ece(p, other, 60, 15, &b), TG_OK);
    CHECK_NEAR(a, 0, 1e-12);
    CHECK_NEAR(b, 0, 1e-12);
}

/* What is calibrated has an error near 0, what is too sure has the excess as its error. */
static void calibrated_and_too_sure(void)
{
    enum { N = 30000 };
    static double p[N], sure[N];
    static bool label[N];
    double ece;
    seed = 8;
    for (size_t i = 0; i < N; i++) {
        p[i] = 0.1 + 0.7 * uniform();
        sure[i] = p[i] + 0.15;
        label[i] = uniform() < p[i];
    }
    CHECK_INT(pol_ece(p, label, N, POL_ECE_BINS, &ece), TG_OK);
    CHECK(ece < 0.015);
    CHECK_INT(pol_ece(sure, label, N, POL_ECE_BINS, &ece), TG_OK);
    CHECK_NEAR(ece, 0.15, 0.01);
}

static void reliability_bins(void)
{
    static const double p[] = { 0, 0.05, 0.1, 0.55, 0.99, 1.0 };
    static const bool label[] = { false, true, true, false, true, true };
    struct pol_bin bin[POL_RELIABILITY_BINS];
    pol_reliability(p, label, 6, bin);
    CHECK_INT(bin[0].n, 2);
    CHECK_NEAR(bin[0].mean, 0.025, 1e-12);
    CHECK_NEAR(bin[0].share, 0.5, 1e-12);
    CHECK_INT(bin[1].n, 1);
    CHECK_INT(bin[5].n, 1);
    CHECK_NEAR(bin[5].share, 0, 0);
    CHECK_INT(bin[9].n, 2);
    CHECK_NEAR(bin[9].mean, 0.995, 1e-12);
    CHECK_INT(bin[4].n, 0);
}

static void failing_allocations(void)
{
    static const double p[] = { 0.5 };
    static const bool label[] = { true };
    struct pol_quality q;
    double ece;
    tg_alloc_fail_nth(1);
    CHECK_INT(pol_quality(p, label, 1, &q), TG_NOMEM);
    tg_alloc_fail_nth(1);
    CHECK_INT(pol_ece(p, label, 1, 15, &ece), TG_NOMEM);
    tg_alloc_fail_nth(0);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(by_hand),          CASE(certain_and_wrong_is_finite), CASE(auc_is_the_share_of_pairs),
        CASE(ties_have_no_order), CASE(calibrated_and_too_sure),   CASE(reliability_bins),
        CASE(failing_allocations),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
