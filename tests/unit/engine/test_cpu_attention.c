/* Attention of the SIMD kernel sets over caches in tiles: against the scalar oracle through rings
 * that wrap, windows, and shared key heads; and the same bits however a sequence is split into
 * steps and however many threads there are. */
#include "tests/unit/check.h"
#include "tests/unit/engine/support_cpu.h"

#include "config/base/alloc.h"

struct shape {
    uint32_t head_dim, heads, kv_heads, window, ring, tokens;
};

/* A sequence's queries, keys and values, and what a backend made of it. */
struct play {
    struct shape s;
    float *q, *k, *v, *out;
    size_t q_width, kv_width;
};

static const char *set;
static uint64_t state;

static float draw(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(state >> 32) * 0x1p-31f;
}

static float *random_floats(size_t n, float most)
{
    float *p = tg_alloc(n * sizeof(*p));
    CHECK(p != NULL);
    for (size_t i = 0; i < n; i++)
        p[i] = draw() * most;
    return p;
}

static struct play play_new(const struct shape *s)
{
    struct play p = { .s = *s, .q_width = (size_t)s->heads * s->head_dim,
                      .kv_width = (size_t)s->kv_heads * s->head_dim };
    state = 7;
    p.q = random_floats(s->tokens * p.q_width, 0.7f);
    p.k = random_floats(s->tokens * p.kv_width, 0.7f);
    p.v = random_floats(s->tokens * p.kv_width, 1.0f);
    return p;
}

static void play_free(struct play *p)
{
    tg_free(p->q);
    tg_free(p->k);
    tg_free(p->v);
}

/* The sequence in steps of `chunk` tokens, the first of 300 if first_all. Owned by the caller. */
static float *play_run(const struct play *p, const struct cpu_options *o, uint32_t chunk,
                       bool first_all)
{
    const struct le_ops *ops;
    struct le_backend *be;
    static int32_t ids[512], pos[512];
    float *out = tg_alloc(p->s.tokens * p->q_width * sizeof(*out));
    CHECK(out != NULL);
    CHECK_INT(cpu_open(o, &ops, &be, NULL), TG_OK);
    size_t cache = (size_t)p->s.ring * p->kv_width, most = 512;
    struct le_kv kv = { ops->buf_new(be, cache, LE_BUF_KV, NULL),
                        ops->buf_new(be, cache, LE_BUF_KV, NULL), p->s.kv_heads, p->s.head_dim,
                        p->s.ring };
    struct le_buf *q = ops->buf_new(be, most * p->q_width, LE_BUF_INPUT, NULL);
    struct le_buf *k = ops->buf_new(be, most * p->kv_width, LE_BUF_INPUT, NULL);
    struct le_buf *v = ops->buf_new(be, most * p->kv_width, LE_BUF_INPUT, NULL);
    struct le_buf *dst = ops->buf_new(be, most * p->q_width, LE_BUF_OUTPUT, NULL);
    for (uint32_t at = 0; at < p->s.tokens;) {
        uint32_t n = first_all && at == 0 ? 300 : chunk;
        n = n < p->s.tokens - at ? n : p->s.tokens - at;
        const struct le_step step = { .n_tokens = n, .id = ids, .pos = pos };
        for (uint32_t i = 0; i < n; i++)
            pos[i] = (int32_t)(at + i);
        memcpy(ops->host(q), p->q + at * p->q_width, n * p->q_width * sizeof(float));
        memcpy(ops->host(k), p->k + at * p->kv_width, n * p->kv_width * sizeof(float));
        memcpy(ops->host(v), p->v + at * p->kv_width, n * p->kv_width * sizeof(float));
        CHECK(ops->begin(be, n, 0));
        ops->kv_store(be, &kv, k, v);
        ops->attention(be, &(struct le_attention){ .dst = dst, .q = q, .kv = kv,
                                                   .heads = p->s.heads, .window = p->s.window });
        CHECK_INT(ops->run(be, &step, NULL), TG_OK);
        memcpy(out + at * p->q_width, ops->host(dst), n * p->q_width * sizeof(float));
        at += n;
    }
    ops->close(be);
    return out;
}

static double error_of(const struct play *p, const float *got, const float *want)
{
    double most = 0, error = 0;
    for (size_t i = 0; i < p->s.tokens * p->q_width; i++) {
        if (!isfinite(got[i]))
            return (double)INFINITY;
        most = fmax(most, fabs((double)want[i]));
        error = fmax(error, fabs((double)got[i] - (double)want[i]));
    }
    return error / most;
}

/* Windows with rings that wrap, in odd places too, and without; all ways of sharing key heads. */
static const struct shape shapes[] = {
    { 64, 2, 1, 16, 528, 300 },   { 256, 8, 1, 512, 1024, 1100 }, { 512, 8, 1, 0, 600, 600 },
    { 256, 4, 2, 100, 613, 900 }, { 128, 4, 1, 0, 333, 333 },     { 512, 16, 1, 0, 300, 300 },
    { 64, 6, 2, 33, 545, 1200 },  { 256, 32, 16, 128, 640, 310 }, { 32, 5, 1, 0, 200, 200 },
    { 64, 8, 1, 0, 2500, 2500 },
};

enum { SHAPES = sizeof(shapes) / sizeof(*shapes) };

static float *oracle[SHAPES]; /* the same for every set and precision; freed at the end */

static void compare_all(enum le_precision precision, double bound, const char *what)
{
    double worst = 0;
    for (size_t i = 0; i < SHAPES; i++) {
        struct play p = play_new(&shapes[i]);
        struct cpu_options o = { .precision = precision, .threads = 2, .kernels = set };
        if (!oracle[i])
            oracle[i] = play_run(&p, NULL, 512, false);
        float *got = play_run(&p, &o, 512, false);
        double error = error_of(&p, got, oracle[i]);
        tg_free(got);
        play_free(&p);
        worst = fmax(worst, error);
        if (!(error <= bound))
            CHECK_FAIL("shape %zu: error %.1e", i, error);
    }
    fprintf(stderr, "%s attention, %s: error %.1e, bound %.0e\n", set, what, worst, bound);
}

static void exact_against_the_oracle(void)
{
    compare_all(LE_EXACT, 1e-5, "floats");
}

static void halves_against_the_oracle(void)
{
    compare_all(LE_FAST, 3e-3, "halves");
}

/* Head sizes that fit no tile keep the oracle's layout, in fast too. */
static void odd_heads_are_computed_as_by_the_oracle(void)
{
    const struct shape s = { 20, 6, 3, 7, 519, 600 };
    struct play p = play_new(&s);
    struct cpu_options o = { .precision = LE_FAST, .threads = 3, .kernels = set };
    float *want = play_run(&p, NULL, 512, false), *got = play_run(&p, &o, 100, false);
    CHECK(cpu_same_bits(want, got, s.tokens * p.q_width));
    tg_free(want);
    tg_free(got);
    play_free(&p);
}

static void same_bits_however_split(void)
{
    static const struct {
        uint32_t threads, chunk;
        bool first_all;
    } ways[] = { { 1, 7, true }, { 2, 1, true }, { 3, 64, false }, { 3, 512, true } };
    for (size_t i = 0; i < SHAPES; i++) {
        struct play p = play_new(&shapes[i]);
        for (int fast = 0; fast < 2; fast++) {
            struct cpu_options o = { .precision = fast ? LE_FAST : LE_EXACT, .threads = 1,
                                     .kernels = set };
            float *want = play_run(&p, &o, 512, false);
            for (size_t w = 0; w < sizeof(ways) / sizeof(*ways); w++) {
                o.threads = ways[w].threads;
                float *got = play_run(&p, &o, ways[w].chunk, ways[w].first_all);
                bool same = cpu_same_bits(want, got, p.s.tokens * p.q_width);
                tg_free(got);
                if (!same)
                    CHECK_FAIL("shape %zu, %u threads, steps of %u: other bits", i, o.threads,
                               ways[w].chunk);
            }
            tg_free(want);
        }
        play_free(&p);
    }
}

/* Cells that hold no number, left by a step that failed, harm no one who does not see them. */
static void what_is_not_seen_does_no_harm(void)
{
    const struct shape s = { 64, 2, 1, 16, 528, 200 };
    struct play p = play_new(&s);
    struct cpu_options o = { .precision = LE_FAST, .threads = 2, .kernels = set };
    float *want = play_run(&p, &o, 512, false);
    for (size_t i = 0; i < p.kv_width; i++)
        p.v[100 * p.kv_width + i] = p.k[100 * p.kv_width + i] = NAN;
    float *got = play_run(&p, &o, 1, false);
    for (size_t t = 0; t < s.tokens; t++)
        for (size_t i = 0; i < p.q_width; i++) {
            size_t at = t * p.q_width + i;
            bool sees = t >= 100 && t < 100 + s.window;
            CHECK(sees ? isnan(got[at]) : got[at] == want[at]);
        }
    tg_free(want);
    tg_free(got);
    play_free(&p);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(exact_against_the_oracle), CASE(halves_against_the_oracle),
        CASE(odd_heads_are_computed_as_by_the_oracle), CASE(same_bits_however_split),
        CASE(what_is_not_seen_does_no_harm),
    };
    static const char *const sets[] = { "avx2", "avx512", "neon" };
    int failed = 0, ran = 0;
    for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
        const struct cpu_options other = { .kernels = set = sets[i] };
        const struct le_ops *ops;
        struct le_backend *be;
        if (cpu_open(&other, &ops, &be, NULL))
            continue;
        ops->close(be);
        ran++;
        failed |= check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
    }
    for (size_t i = 0; i < SHAPES; i++)
        tg_free(oracle[i]);
    return ran ? failed : 77;
}
