#include "local_engine/sampler.h"

#include <stdlib.h>

#include "config/base/alloc.h"
#include "tests/unit/check.h"

enum { VOCAB = 64, DRAWS = 60000 };

static const struct le_sampling plain = { .temperature = 1, .top_p = 1, .seed = 1 };

/* A fixed stream of numbers of our own, so that cases do not depend on the code under test. */
static double noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / (double)(1u << 24);
}

static void random_logits(float *logits, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++)
        logits[i] = (float)(8 * noise(&seed) - 4);
}

/* ---- an independent reference of the truncation chain: sort, then cut ---- */

struct ref {
    int id;
    double logit, p;
};

static int by_logit(const void *pa, const void *pb)
{
    const struct ref *a = pa, *b = pb;
    if (a->logit != b->logit)
        return a->logit < b->logit ? 1 : -1;
    return a->id - b->id;
}

static void normalise(struct ref *r, size_t n, double temperature)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += r[i].p = exp((r[i].logit - r[0].logit) / temperature);
    for (size_t i = 0; i < n; i++)
        r[i].p /= sum;
}

/* prob [VOCAB]: what choosing should do. */
static void reference(const float *logits, const struct le_sampling *o, double *prob)
{
    struct ref r[VOCAB];
    size_t n = VOCAB, keep = 0;
    for (int i = 0; i < VOCAB; i++)
        r[i] = (struct ref){ .id = i, .logit = (double)logits[i] };
    qsort(r, n, sizeof(*r), by_logit);
    if (o->top_k && o->top_k < n)
        n = o->top_k;
    normalise(r, n, 1);
    for (double sum = 0; keep < n && sum < (double)o->top_p; keep++)
        sum += r[keep].p;
    n = keep;
    while (n > 1 && r[n - 1].p < (double)o->min_p * r[0].p)
        n--;
    normalise(r, n, (double)o->temperature);
    memset(prob, 0, VOCAB * sizeof(*prob));
    for (size_t i = 0; i < n; i++)
        prob[r[i].id] = r[i].p;
}

/* Draws many times and compares with the reference by Pearson's chi-square; what must not be chosen
 * never is. The bound is the 99.99 % point (Wilson-Hilferty), and the seeds are fixed. */
static void check_distribution(const float *logits, const struct le_sampling *o)
{
    double prob[VOCAB], chi = 0;
    int count[VOCAB] = { 0 }, freedom = -1;
    reference(logits, o, prob);
    struct le_sampler *s = le_sampler_new(VOCAB, NULL, 0);
    CHECK(s);
    le_sampler_start(s, o);
    for (int i = 0; i < DRAWS; i++) {
        int32_t id = -1;
        CHECK_INT(le_sampler_choose(s, logits, &id, NULL), TG_OK);
        CHECK(id >= 0 && id < VOCAB);
        count[id]++;
    }
    le_sampler_free(s);
    double rare = 0, rare_count = 0;
    for (int i = 0; i < VOCAB; i++) {
        if (prob[i] <= 0) {
            CHECK_INT(count[i], 0);
        } else if (prob[i] * DRAWS < 5) {
            rare += prob[i] * DRAWS;
            rare_count += count[i];
        } else {
            double d = count[i] - prob[i] * DRAWS;
            chi += d * d / (prob[i] * DRAWS);
            freedom++;
        }
    }
    if (rare >= 5) {
        chi += (rare_count - rare) * (rare_count - rare) / rare;
        freedom++;
    }
    if (freedom < 1)
        return;
    double f = freedom, h = 2 / (9 * f), root = 1 - h + 3.719 * sqrt(h);
    if (chi > f * root * root * root)
        CHECK_FAIL("chi-square %g at %d degrees of freedom", chi, freedom);
}

static void distributions(void)
{
    static const struct le_sampling table[] = {
        { 1, 0, 1, 0, 1 },          { 0.5f, 0, 1, 0, 2 },       { 2, 0, 1, 0, 3 },
        { 1, 5, 1, 0, 4 },          { 1, 0, 0.7f, 0, 5 },       { 1, 0, 1, 0.2f, 6 },
        { 1, 20, 0.9f, 0.05f, 7 },  { 0.7f, 20, 0.9f, 0, 8 },   { 1.5f, 0, 0.8f, 0.1f, 9 },
        { 1, 1, 1, 0, 10 },         { 1, 64, 0.95f, 0, 11 },    { 1, 1000, 0.999f, 0, 12 },
        { 2, 3, 0.5f, 0.9f, 13 },   { 1, 0, 0.0001f, 0, 14 },   { 1, 0, 1, 1, 15 },
    };
    float logits[VOCAB];
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        random_logits(logits, VOCAB, 77 + (uint32_t)i);
        check_distribution(logits, &table[i]);
    }
}

/* The chain cuts before temperature: with temperature first, top_p 0.7 would keep id 1 too. */
static void temperature_is_last(void)
{
    float logits[VOCAB];
    for (int i = 0; i < VOCAB; i++)
        logits[i] = -30;
    logits[0] = 1; /* p = 0.73 and 0.27; at temperature 2 they are 0.62 and 0.38 */
    logits[1] = 0;
    struct le_sampling o = { 2, 0, 0.7f, 0, 3 };
    struct le_sampler *s = le_sampler_new(VOCAB, NULL, 0);
    le_sampler_start(s, &o);
    for (int i = 0; i < 200; i++) {
        int32_t id = -1;
        CHECK_INT(le_sampler_choose(s, logits, &id, NULL), TG_OK);
        CHECK_INT(id, 0);
    }
    le_sampler_free(s);
}

static void greedy_and_ties(void)
{
    float logits[VOCAB];
    struct le_sampling o = { .temperature = 0, .top_k = 3, .top_p = 0.5f, .seed = 9 };
    struct le_sampler *s = le_sampler_new(VOCAB, NULL, 0);
    le_sampler_start(s, &o);
    for (uint32_t round = 0; round < 100; round++) {
        random_logits(logits, VOCAB, round);
        int32_t id = -1, want = 0;
        for (int i = 1; i < VOCAB; i++)
            want = logits[i] > logits[want] ? i : want;
        CHECK_INT(le_sampler_choose(s, logits, &id, NULL), TG_OK);
        CHECK_INT(id, want);
    }
    memset(logits, 0, sizeof(logits));
    logits[9] = logits[5] = logits[40] = 2;
    int32_t id = -1;
    struct le_token_stats stats;
    CHECK_INT(le_sampler_choose(s, logits, &id, &stats), TG_OK);
    CHECK_INT(id, 5);
    CHECK_NEAR(stats.margin, 0, 0);
    logits[3] = -0.0f; /* equal to the zeroes: top_k 5 keeps 5, 9, 40 and then ids 0 and 1 */
    o = (struct le_sampling){ .temperature = 1, .top_k = 5, .top_p = 1, .seed = 4 };
    le_sampler_start(s, &o);
    bool seen[VOCAB] = { false };
    for (int i = 0; i < 3000; i++) {
        CHECK_INT(le_sampler_choose(s, logits, &id, NULL), TG_OK);
        seen[id] = true;
    }
    for (int i = 0; i < VOCAB; i++)
        CHECK_INT(seen[i], i == 0 || i == 1 || i == 5 || i == 9 || i == 40);
    le_sampler_free(s);
}

static void never_and_forbidden(void)
{
    static const int32_t never[] = { 7, -1, VOCAB, 12 };
    float logits[VOCAB];
    memset(logits, 0, sizeof(logits));
    logits[7] = 30;
    logits[12] = 30;
    logits[20] = 10;
    struct le_sampler *s = le_sampler_new(VOCAB, never, 4);
    int32_t id = -1;
    struct le_token_stats stats;
    CHECK_INT(le_sampler_choose(s, logits, &id, &stats), TG_OK);
    CHECK_INT(id, 20); /* and the forbidden ids hold no probability: */
    CHECK_NEAR(stats.logprob, -log(1 + 61 * exp(-10.0)), 1e-7);
    le_sampler_forbid(s, 20, true);
    CHECK_INT(le_sampler_choose(s, logits, &id, &stats), TG_OK);
    CHECK_INT(id, 0);
    CHECK_NEAR(stats.logprob, -log(61), 1e-6);
    CHECK_NEAR(stats.entropy, log(61), 1e-6);
    le_sampler_forbid(s, 20, false);
    le_sampler_forbid(s, 7, false); /* the never list stays */
    le_sampler_forbid(s, -5, true);
    le_sampler_forbid(s, VOCAB, true);
    CHECK_INT(le_sampler_choose(s, logits, &id, NULL), TG_OK);
    CHECK_INT(id, 20);
    le_sampler_start(s, &plain);
    for (int i = 0; i < 5000; i++) {
        CHECK_INT(le_sampler_choose(s, logits, &id, NULL), TG_OK);
        CHECK(id != 7 && id != 12);
    }
    for (int i = 0; i < VOCAB; i++)
        le_sampler_forbid(s, i, true);
    CHECK_INT(le_sampler_choose(s, logits, &id, NULL), TG_NOTFOUND);
    le_sampler_free(s);
}

static void not_finite(void)
{
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    static const int32_t never[] = { 3 };
    for (size_t k = 0; k < 3; k++)
        for (int at = 0; at < VOCAB; at += 3) {
            float logits[VOCAB] = { 0 };
            int32_t id = -1;
            logits[at] = bad[k];
            struct le_sampler *s = le_sampler_new(VOCAB, never, 1);
            CHECK_INT(le_sampler_choose(s, logits, &id, NULL), TG_INTERNAL);
            le_sampler_start(s, &plain);
            CHECK_INT(le_sampler_choose(s, logits, &id, NULL), TG_INTERNAL);
            le_sampler_free(s);
        }
}

/* p = 1/2, 1/4, 1/8, 1/8: H = 7/4 ln 2, margin 1/4. The same at any temperature and top_k. */
static void stats_by_hand(void)
{
    static const struct le_sampling table[] = { { 0, 0, 1, 0, 1 }, { 2, 1, 0.1f, 0.9f, 1 } };
    const float ln2 = 0.69314718056f;
    float logits[4] = { 5, 5 - 2 * ln2, 5 + ln2, 5 - ln2 };
    logits[3] = logits[0] = 5 - ln2; /* 1/8 + 1/8 with 1/2 and 1/4 below */
    logits[1] = 5;
    logits[2] = 5 + ln2;
    for (size_t i = 0; i < 2; i++) {
        struct le_sampler *s = le_sampler_new(4, NULL, 0);
        struct le_token_stats stats;
        int32_t id = -1;
        le_sampler_start(s, &table[i]);
        CHECK_INT(le_sampler_choose(s, logits, &id, &stats), TG_OK);
        CHECK_INT(id, 2);
        CHECK_NEAR(stats.logprob, -log(2), 1e-6);
        CHECK_NEAR(stats.entropy, 1.75 * log(2), 1e-6);
        CHECK_NEAR(stats.margin, 0.25, 1e-6);
        le_sampler_free(s);
    }
    /* one possible id: certain */
    const float one = -3;
    struct le_sampler *s = le_sampler_new(1, NULL, 0);
    struct le_token_stats stats;
    int32_t id = -1;
    CHECK_INT(le_sampler_choose(s, &one, &id, &stats), TG_OK);
    CHECK_NEAR(stats.logprob, 0, 0);
    CHECK_NEAR(stats.entropy, 0, 0);
    CHECK_NEAR(stats.margin, 1, 0);
    le_sampler_free(s);
}

/* Log probabilities over the real vocabulary size, far from zero: sums must not drift. */
static void stats_large(void)
{
    enum { N = 262144 };
    float *logits = tg_calloc(N, sizeof(*logits));
    struct le_sampler *s = le_sampler_new(N, NULL, 0);
    CHECK(logits && s);
    for (int i = 0; i < N; i++)
        logits[i] = 3000;
    struct le_sampling o = { 1, 64, 0.95f, 0, 5 };
    struct le_token_stats stats;
    int32_t id = -1;
    le_sampler_start(s, &o);
    CHECK_INT(le_sampler_choose(s, logits, &id, &stats), TG_OK);
    CHECK(id >= 0 && id < 64); /* all equal: top_k keeps the lowest ids */
    CHECK_NEAR(stats.logprob, -log(N), 1e-6);
    CHECK_NEAR(stats.entropy, log(N), 1e-6);
    uint64_t before = tg_alloc_count();
    random_logits(logits, N, 3);
    for (int i = 0; i < 8; i++)
        CHECK_INT(le_sampler_choose(s, logits, &id, &stats), TG_OK);
    CHECK_INT(tg_alloc_count(), before); /* nothing is allocated per token */
    le_sampler_free(s);
    tg_free(logits);
}

static void seeds(void)
{
    float logits[VOCAB];
    random_logits(logits, VOCAB, 1);
    struct le_sampling o = plain;
    struct le_sampler *s = le_sampler_new(VOCAB, NULL, 0);
    int32_t first[64], id = -1;
    le_sampler_start(s, &o);
    for (int i = 0; i < 64; i++)
        CHECK_INT(le_sampler_choose(s, logits, &first[i], NULL), TG_OK);
    int same = 0, other = 0;
    le_sampler_start(s, &o);
    for (int i = 0; i < 64; i++) {
        CHECK_INT(le_sampler_choose(s, logits, &id, NULL), TG_OK);
        same += id == first[i];
    }
    o.seed = 2;
    le_sampler_start(s, &o);
    for (int i = 0; i < 64; i++) {
        CHECK_INT(le_sampler_choose(s, logits, &id, NULL), TG_OK);
        other += id == first[i];
    }
    CHECK_INT(same, 64);
    CHECK(other < 32);
    le_sampler_free(s);
}

static void ranges(void)
{
    static const struct le_sampling bad[] = {
        { -0.1f, 0, 1, 0, 0 }, { 2.1f, 0, 1, 0, 0 }, { NAN, 0, 1, 0, 0 },   { 1, 0, 0, 0, 0 },
        { 1, 0, 1.1f, 0, 0 },  { 1, 0, NAN, 0, 0 },  { 1, 0, 1, -0.1f, 0 }, { 1, 0, 1, 1.5f, 0 },
        { 1, 0, 1, NAN, 0 },   { INFINITY, 0, 1, 0, 0 },
    };
    struct tg_error err;
    CHECK_INT(le_sampling_check(&plain, &err), TG_OK);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        CHECK_INT(le_sampling_check(&bad[i], &err), TG_INVALID);
    CHECK(strstr(err.text, "temperature"));
    CHECK(!le_sampler_new(0, NULL, 0));
}

static void failing_allocations(void)
{
    for (uint64_t nth = 1; nth <= 3; nth++) {
        tg_alloc_fail_nth(nth);
        struct le_sampler *s = le_sampler_new(VOCAB, NULL, 0);
        tg_alloc_fail_nth(0);
        CHECK(!s);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(distributions), CASE(temperature_is_last), CASE(greedy_and_ties),
        CASE(never_and_forbidden), CASE(not_finite), CASE(stats_by_hand), CASE(stats_large),
        CASE(seeds), CASE(ranges), CASE(failing_allocations),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
