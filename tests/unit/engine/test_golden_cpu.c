/* The whole engine on the SIMD kernel sets: golden data in both precisions, the same bits for any
 * split of a prompt and any number of threads, and failing allocations. */
#include "tests/unit/check.h"

#include <math.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "local_engine/backend.h"
#include "tests/unit/engine/support_golden.h"

#define GOLDEN TG_SOURCE_DIR "/tests/golden/"
#define FIXTURES TG_SOURCE_DIR "/../shared/fixtures/models/"

static struct cpu_options options;

static enum tg_status open_set(const struct le_ops **ops, struct le_backend **be,
                               struct tg_error *err)
{
    return cpu_open(&options, ops, be, err);
}

static bool packs(void)
{
    const struct le_ops *ops;
    struct le_backend *be;
    CHECK_INT(open_set(&ops, &be, NULL), TG_OK);
    bool yes = strstr(ops->describe(be), "int8") != NULL;
    ops->close(be);
    return yes;
}

/* The row a precision has to meet: int8 activations where there are packed kernels. */
static enum golden_row row_of(bool k_quants)
{
    if (options.precision == LE_EXACT)
        return GOLDEN_F32;
    if (!packs())
        return GOLDEN_F16;
    return k_quants ? GOLDEN_INT8_K : GOLDEN_INT8;
}

static void check_case(struct golden_case c)
{
    struct golden_report r;
    struct tg_error err = { 0 };
    enum tg_status st = golden_check(&c, open_set, &r, &err);
    golden_print(&c, &r);
    if (st)
        CHECK_FAIL("%s: %s", c.model, err.text);
}

static void check_bundled(void)
{
    enum golden_row row = row_of(false);
    check_case((struct golden_case){ GOLDEN, "tiny-dense.json", "tiny-dense-Q8_0.gguf",
                                     "hfdeq_Q8_0", "hfdeq/Q8_0", row });
    check_case((struct golden_case){ GOLDEN, "tiny-e.json", "tiny-e-Q4_0.gguf", "hfdeq_Q4_0",
                                     "hfdeq/Q4_0", row });
    check_case((struct golden_case){ GOLDEN, "tiny-moe.json", "tiny-moe-Q4_0.gguf", "hfdeq_Q4_0",
                                     "hfdeq/Q4_0", row });
}

static void bundled_exact(void)
{
    options.precision = LE_EXACT;
    check_bundled();
}

static void bundled_fast(void)
{
    options.precision = LE_FAST;
    check_bundled();
}

/* Files of other types, where the full set lies beside the checkout. */
static const struct fixture {
    const char *model, *type;
    bool floats, k_quants;
} fixtures[] = {
    { "tiny-dense", "F32", true, false },    { "tiny-dense", "F16", true, false },
    { "tiny-dense", "BF16", true, false },   { "tiny-dense", "Q4_1", false, false },
    { "tiny-dense", "Q5_0", false, false },  { "tiny-dense", "Q5_1", false, false },
    { "tiny-dense", "Q4_0", false, false },  { "tiny-dense", "Q2_K", false, true },
    { "tiny-dense", "Q8_0", false, false },  { "tiny-e", "Q4_0", false, false },
    { "tiny-moe", "Q4_0", false, false },
    { "tiny-dense", "Q3_K_M", false, true }, { "tiny-dense", "Q4_K_M", false, true },
    { "tiny-dense", "Q5_K_M", false, true }, { "tiny-dense", "Q6_K", false, true },
    { "tiny-dense", "IQ4_XS", false, true }, { "tiny-e", "F16", true, false },
    { "tiny-e", "Q8_0", false, false },      { "tiny-e", "Q4_K_M", false, true },
    { "tiny-moe", "F16", true, false },      { "tiny-moe", "Q8_0", false, false },
    { "tiny-moe", "Q4_K_M", false, true },
};

static void check_fixtures(enum le_precision precision)
{
    options.precision = precision;
    if (access(FIXTURES "tiny-e/golden.json", R_OK) != 0)
        CHECK_SKIP("no fixtures beside the checkout");
    for (size_t i = 0; i < sizeof(fixtures) / sizeof(*fixtures); i++) {
        const struct fixture *f = &fixtures[i];
        char dir[512], file[64], source[32], greedy[32];
        enum golden_row row = row_of(f->k_quants);
        snprintf(dir, sizeof(dir), FIXTURES "%s/", f->model);
        snprintf(file, sizeof(file), "%s-%s.gguf", f->model, f->type);
        snprintf(source, sizeof(source), f->floats ? "hf_fp32" : "hfdeq_%s", f->type);
        snprintf(greedy, sizeof(greedy), f->floats ? "hf_fp32" : "hfdeq/%s", f->type);
        if (f->floats && row != GOLDEN_F32)
            row = GOLDEN_F16; /* only keys and values are rounded, to halves */
        check_case((struct golden_case){ dir, "golden.json", file, source, greedy, row });
    }
}

static void fixtures_exact(void)
{
    check_fixtures(LE_EXACT);
}

static void fixtures_fast(void)
{
    check_fixtures(LE_FAST);
}

static const char *const models[] = { GOLDEN "tiny-dense-Q8_0.gguf", GOLDEN "tiny-e-Q4_0.gguf",
                                      GOLDEN "tiny-moe-Q4_0.gguf" };

/* Any ids will do: a fixed walk through the vocabulary. */
static void fill_ids(int32_t *ids, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        ids[i] = (int32_t)(i == 0 ? 2 : (i * 2654435761u >> 16) % 4000 + 20);
}

static void logits_of(const char *path, const int32_t *ids, uint32_t n, uint32_t chunk,
                      uint32_t from, float *out)
{
    struct golden_model m;
    struct tg_error err = { 0 };
    if (golden_model_open(&m, path, n, open_set, &err))
        CHECK_FAIL("%s", err.text);
    enum tg_status st = golden_logits(&m, ids, n, chunk, from, out, &err);
    golden_model_close(&m);
    if (st)
        CHECK_FAIL("%s", err.text);
}

/* The whole prompt at once on one thread, against other steps and threads; long enough that the
 * rings of sliding layers wrap. */
static void same_bits_however_split(void)
{
    enum { N = 700, TAIL = 90, VOCAB = 4096 };
    static const struct {
        uint32_t chunk, threads;
    } ways[] = { { 1, 2 }, { 7, 1 }, { 64, 3 }, { 512, 3 } };
    size_t bytes = (size_t)TAIL * VOCAB * sizeof(float);
    float *whole = tg_alloc(bytes), *split = tg_alloc(bytes);
    int32_t ids[N];
    fill_ids(ids, N);
    for (size_t k = 0; k < 3; k++)
        for (int fast = 0; fast < 2; fast++) {
            options.precision = fast ? LE_FAST : LE_EXACT;
            options.threads = 1;
            logits_of(models[k], ids, N, LE_STEP_TOKENS_MAX, N - TAIL, whole);
            for (size_t w = 0; w < sizeof(ways) / sizeof(*ways); w++) {
                options.threads = ways[w].threads;
                memset(split, 0, bytes);
                logits_of(models[k], ids, N, ways[w].chunk, N - TAIL, split);
                if (memcmp(whole, split, bytes) != 0)
                    CHECK_FAIL("%s: other bits in steps of %u on %u threads", models[k],
                               ways[w].chunk, ways[w].threads);
            }
        }
    options.threads = 2;
    tg_free(whole);
    tg_free(split);
}

/* Every allocation of opening and of two steps may fail; none may crash or leak. */
static void survives_failed_allocations(void)
{
    struct tg_error err = { 0 };
    const int32_t ids[3] = { 2, 100, 200 };
    uint32_t out = 2, failed = 0;
    options.precision = LE_FAST;
    for (uint64_t nth = 1; nth < 2000; nth++) {
        struct golden_model m;
        tg_alloc_fail_nth(nth);
        enum tg_status st = golden_model_open(&m, models[1], 16, open_set, &err);
        if (!st) {
            st = le_model_step(m.m, ids, 3, 0, &out, 1, &err);
            if (st == TG_NOMEM) /* and can be tried again */
                CHECK_INT(le_model_step(m.m, ids, 3, 0, &out, 1, &err), TG_OK);
            golden_model_close(&m);
        }
        uint64_t made = tg_alloc_count();
        tg_alloc_fail_nth(0);
        if (made < nth)
            break;
        CHECK_INT(st, TG_NOMEM);
        failed++;
    }
    CHECK(failed > 100);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(bundled_exact), CASE(bundled_fast), CASE(fixtures_exact), CASE(fixtures_fast),
        CASE(same_bits_however_split), CASE(survives_failed_allocations),
    };
    static const char *const sets[] = { "avx2", "avx512", "neon" };
    int failed = 0, ran = 0;
    for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
        const struct le_ops *ops;
        struct le_backend *be;
        options = (struct cpu_options){ .kernels = sets[i], .threads = 2 };
        if (cpu_open(&options, &ops, &be, NULL))
            continue;
        fprintf(stderr, "%s\n", ops->describe(be));
        ops->close(be);
        ran++;
        failed |= check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
    }
    return ran ? failed : 77;
}
