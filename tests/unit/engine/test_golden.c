/* The whole engine on the CPU backend against golden data, and its independence of the split. */
#include "tests/unit/check.h"

#include <math.h>

#include "config/base/alloc.h"
#include "tests/unit/engine/support_backends.h"
#include "tests/unit/engine/support_golden.h"

#define GOLDEN TG_SOURCE_DIR "/tests/golden/"

static void check_case(const struct golden_case *c)
{
    struct golden_report r;
    struct tg_error err = { 0 };
    enum tg_status st = golden_check(c, open_cpu, &r, &err);
    golden_print(c, &r);
    if (st)
        CHECK_FAIL("%s: %s", c->model, err.text);
    CHECK_INT(r.greedy_cut, 0); /* near-ties excuse a larger file, not the bundled ones */
    CHECK(r.greedy_steps >= 64 && r.greedy_steps % 64 == 0);
}

static void bundled_dense_q8_0(void)
{
    check_case(&(struct golden_case){ GOLDEN, "tiny-dense.json", "tiny-dense-Q8_0.gguf",
                                      "hfdeq_Q8_0", "hfdeq/Q8_0", GOLDEN_F32 });
}

static void bundled_e_q4_0(void)
{
    check_case(&(struct golden_case){ GOLDEN, "tiny-e.json", "tiny-e-Q4_0.gguf",
                                      "hfdeq_Q4_0", "hfdeq/Q4_0", GOLDEN_F32 });
}

static void bundled_moe_q4_0(void)
{
    check_case(&(struct golden_case){ GOLDEN, "tiny-moe.json", "tiny-moe-Q4_0.gguf",
                                      "hfdeq_Q4_0", "hfdeq/Q4_0", GOLDEN_F32 });
}

enum { MODELS = 3 };

static const char *const models[MODELS] = { GOLDEN "tiny-dense-Q8_0.gguf",
                                            GOLDEN "tiny-e-Q4_0.gguf",
                                            GOLDEN "tiny-moe-Q4_0.gguf" };

/* Any ids will do: a fixed walk through the vocabulary. */
static void fill_ids(int32_t *ids, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        ids[i] = (int32_t)(i == 0 ? 2 : (i * 2654435761u >> 16) % 4000 + 20);
}

static void open_model(struct golden_model *m, const char *path, uint32_t context)
{
    struct tg_error err = { 0 };
    if (golden_model_open(m, path, context, open_cpu, &err))
        CHECK_FAIL("%s", err.text);
}

static void run_logits(struct golden_model *m, const int32_t *ids, uint32_t n, uint32_t chunk,
                       uint32_t from, float *out)
{
    struct tg_error err = { 0 };
    if (golden_logits(m, ids, n, chunk, from, out, &err))
        CHECK_FAIL("%s", err.text);
}

static void split_is_bitwise_equal(void)
{
    static const uint32_t chunks[] = { 1, 7, 64 };
    enum { N = 150, VOCAB = 4096 };
    size_t bytes = (size_t)N * VOCAB * sizeof(float);
    float *whole = tg_alloc(bytes), *split = tg_alloc(bytes);
    int32_t ids[N];
    fill_ids(ids, N);
    for (size_t k = 0; k < MODELS; k++) {
        struct golden_model m;
        open_model(&m, models[k], 256);
        CHECK_INT(le_model_params(m.m)->n_vocab, VOCAB);
        run_logits(&m, ids, N, N, 0, whole);
        for (size_t c = 0; c < 3; c++) {
            memset(split, 0, bytes);
            run_logits(&m, ids, N, chunks[c], 0, split);
            CHECK(memcmp(whole, split, bytes) == 0);
        }
        golden_model_close(&m);
    }
    tg_free(whole);
    tg_free(split);
}

/* Runs ids in steps of any size; the logits of the last token. */
static void run_random_split(struct golden_model *m, const int32_t *ids, uint32_t n, uint32_t seed,
                             float *out)
{
    static const uint32_t sizes[] = { 1, 2, 7, 31, 64, 200, LE_STEP_TOKENS_MAX };
    struct tg_error err = { 0 };
    for (uint32_t pos = 0; pos < n;) {
        seed = seed * 1664525u + 1013904223u;
        uint32_t size = sizes[(seed >> 16) % 7], count = n - pos < size ? n - pos : size;
        uint32_t last = count - 1;
        if (le_model_step(m->m, ids + pos, count, pos, &last, pos + count == n, &err))
            CHECK_FAIL("%s", err.text);
        pos += count;
    }
    memcpy(out, le_model_logits(m->m, 0), 4096 * sizeof(float));
}

static void any_split_is_bitwise_equal(void)
{
    enum { N = 700, VOCAB = 4096 };
    float whole[VOCAB], split[VOCAB];
    int32_t ids[N];
    fill_ids(ids, N);
    for (size_t k = 0; k < MODELS; k++) {
        struct golden_model m;
        open_model(&m, models[k], N);
        run_logits(&m, ids, N, LE_STEP_TOKENS_MAX, N - 1, whole);
        for (uint32_t seed = 1; seed < 5; seed++) {
            run_random_split(&m, ids, N, seed, split);
            CHECK(memcmp(whole, split, sizeof(whole)) == 0);
        }
        golden_model_close(&m);
    }
}

/* Beyond window + LE_STEP_TOKENS_MAX the rings of sliding layers wrap: steps of the full width must
 * not overwrite keys that their own first tokens still see. */
static void ring_wraps(void)
{
    enum { N = 1200, VOCAB = 4096, TAIL = 8 };
    float a[TAIL * VOCAB], b[TAIL * VOCAB];
    int32_t ids[N];
    fill_ids(ids, N);
    for (size_t k = 0; k < MODELS; k++) {
        struct golden_model m;
        open_model(&m, models[k], N);
        run_logits(&m, ids, N, LE_STEP_TOKENS_MAX, N - TAIL, a);
        run_logits(&m, ids, N, 48, N - TAIL, b);
        CHECK(memcmp(a, b, sizeof(a)) == 0);
        golden_model_close(&m);
    }
}

/* Going back and running the same tokens again changes nothing; going back too far is refused. */
static void rolls_back(void)
{
    enum { N = 900, BACK = 500, VOCAB = 4096 };
    float first[VOCAB];
    int32_t ids[N];
    uint32_t last = N - BACK - 1;
    struct golden_model m;
    struct tg_error err = { 0 };
    fill_ids(ids, N);
    open_model(&m, models[1], 2048);
    run_logits(&m, ids, N, 100, N - 1, first);
    CHECK_INT(le_model_step(m.m, ids + BACK, N - BACK, BACK, &last, 1, &err), TG_OK);
    CHECK(memcmp(first, le_model_logits(m.m, 0), sizeof(first)) == 0);
    CHECK_INT(le_model_step(m.m, ids, 1, N + 1, NULL, 0, &err), TG_INVALID);
    CHECK_INT(le_model_step(m.m, ids, 1, N - LE_STEP_TOKENS_MAX - 1, NULL, 0, &err), TG_INVALID);
    CHECK_INT(le_model_step(m.m, ids, 1, N - LE_STEP_TOKENS_MAX, NULL, 0, &err), TG_OK);
    /* The sequence is shorter now, but the cells of its former end are gone all the same. */
    CHECK_INT(le_model_step(m.m, ids, 1, N - LE_STEP_TOKENS_MAX - 1, NULL, 0, &err), TG_INVALID);
    CHECK_INT(le_model_step(m.m, ids, 1, 0, NULL, 0, &err), TG_OK);
    golden_model_close(&m);
}

static void bad_steps_are_refused(void)
{
    struct golden_model m;
    struct tg_error err = { 0 };
    int32_t ids[3] = { 2, 100, 200 };
    uint32_t out[3] = { 0, 1, 2 };
    open_model(&m, models[0], 8);
    CHECK_INT(le_model_step(m.m, ids, 0, 0, out, 0, &err), TG_INVALID);
    CHECK_INT(le_model_step(m.m, ids, LE_STEP_TOKENS_MAX + 1, 0, out, 0, &err), TG_INVALID);
    CHECK_INT(le_model_step(m.m, ids, 3, 1, out, 0, &err), TG_INVALID);
    CHECK_INT(le_model_step(m.m, ids, 3, 0, out, 3, &err), TG_OK);
    CHECK_INT(le_model_step(m.m, ids, 3, 3, out, 0, &err), TG_OK);
    CHECK_INT(le_model_step(m.m, ids, 3, 6, out, 0, &err), TG_LIMIT);
    CHECK(strstr(err.text, "context of 8") != NULL);
    CHECK_INT(le_model_step(m.m, ids, 2, 6, out, 0, &err), TG_OK);
    out[1] = 0;
    CHECK_INT(le_model_step(m.m, ids, 3, 0, out, 2, &err), TG_INVALID);
    out[1] = 3;
    CHECK_INT(le_model_step(m.m, ids, 3, 0, out, 2, &err), TG_INVALID);
    ids[1] = 4096;
    CHECK_INT(le_model_step(m.m, ids, 3, 0, out, 1, &err), TG_INVALID);
    CHECK(strstr(err.text, "4096") != NULL);
    ids[1] = -1;
    CHECK_INT(le_model_step(m.m, ids, 3, 0, out, 1, &err), TG_INVALID);
    golden_model_close(&m);
}

/* Opens a model's copy in memory (*p, to be freed) of which the tensor's first bytes are
 * patched. */
static enum tg_status open_patched(struct golden_model *m, const char *tensor, const void *patch,
                                   size_t n_patch, uint8_t **p, struct tg_error *err)
{
    FILE *f = fopen(models[0], "rb");
    CHECK(f != NULL);
    fseek(f, 0, SEEK_END);
    size_t n = (size_t)ftell(f);
    rewind(f);
    *m = (struct golden_model){ 0 };
    *p = tg_alloc(n);
    CHECK_INT(fread(*p, 1, n, f), n);
    fclose(f);
    CHECK_INT(le_gguf_open_memory("memory", *p, n, &m->g, err), TG_OK);
    const struct le_tensor *t = le_gguf_tensor(m->g, tensor);
    CHECK(t != NULL);
    memcpy(*p + (t->data - *p), patch, n_patch);
    CHECK_INT(open_cpu(&m->ops, &m->be, err), TG_OK);
    return le_model_open(m->g, m->ops, m->be, &(struct le_model_options){ .context = 16 }, &m->m,
                         err);
}

/* A weight that is no number ends in TG_INTERNAL, not in a token. */
static void nan_is_reported(void)
{
    static const uint8_t nan_scale[] = { 0, 0x7e }; /* F16, of the first block */
    struct golden_model m;
    struct tg_error err = { 0 };
    int32_t id = 2;
    uint32_t out = 0;
    uint8_t *p;
    CHECK_INT(open_patched(&m, "blk.1.ffn_down.weight", nan_scale, 2, &p, &err), TG_OK);
    CHECK_INT(le_model_step(m.m, &id, 1, 0, &out, 1, &err), TG_INTERNAL);
    golden_model_close(&m);
    tg_free(p);
    static const uint8_t infinite_scale[] = { 0, 0x7c }; /* one logit alone, of token 0 */
    CHECK_INT(open_patched(&m, "token_embd.weight", infinite_scale, 2, &p, &err), TG_OK);
    CHECK_INT(le_model_step(m.m, &id, 1, 0, &out, 1, &err), TG_INTERNAL);
    CHECK(strstr(err.text, "token 0 is not finite"));
    golden_model_close(&m);
    tg_free(p);
}

/* What is small enough to be looked through is refused when it is opened. */
static void constants_must_be_numbers(void)
{
    static const char *const names[] = { "blk.1.ffn_norm.weight", "blk.1.layer_output_scale.weight",
                                         "rope_freqs.weight" };
    const float nan = NAN;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct golden_model m;
        struct tg_error err = { 0 };
        uint8_t *p;
        CHECK_INT(open_patched(&m, names[i], &nan, sizeof(nan), &p, &err), TG_INVALID);
        CHECK(strstr(err.text, names[i]) != NULL);
        golden_model_close(&m);
        tg_free(p);
    }
}

/* Every allocation of opening and of a first step may fail; none may crash or leak. */
static void survives_failed_allocations(void)
{
    struct tg_error err = { 0 };
    int32_t id = 2;
    uint32_t out = 0, failed = 0;
    for (uint64_t nth = 1; nth < 2000; nth++) {
        struct golden_model m;
        tg_alloc_fail_nth(nth);
        enum tg_status st = golden_model_open(&m, models[1], 16, open_cpu, &err);
        if (!st) {
            st = le_model_step(m.m, &id, 1, 0, &out, 1, &err);
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
        CASE(bundled_dense_q8_0), CASE(bundled_e_q4_0), CASE(bundled_moe_q4_0),
        CASE(split_is_bitwise_equal), CASE(any_split_is_bitwise_equal),
        CASE(ring_wraps), CASE(rolls_back), CASE(bad_steps_are_refused), CASE(nan_is_reported),
        CASE(constants_must_be_numbers), CASE(survives_failed_allocations),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
