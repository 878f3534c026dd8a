/* The whole engine on the Vulkan backend (a software driver will do) against the same golden data,
 * under the validation layers. */
#include "tests/unit/check.h"

#include "local_engine/vulkan/gpu.h"
#include "tests/unit/engine/support_backends.h"
#include "tests/unit/engine/support_golden.h"

#define GOLDEN TG_SOURCE_DIR "/tests/golden/"

static void check_opened(const struct golden_case *c, golden_open_fn *open)
{
    struct golden_report r;
    struct tg_error err = { 0 };
    vulkan_messages();
    enum tg_status st = golden_check(c, open, &r, &err);
    if (st && no_vulkan())
        CHECK_SKIP(err.text);
    golden_print(c, &r);
    if (st)
        CHECK_FAIL("%s: %s", c->model, err.text);
    CHECK_INT(vulkan_messages(), 0);
    if (c->row != GOLDEN_F32) /* near-ties excuse what rounds */
        return;
    CHECK_INT(r.greedy_cut, 0); /* near-ties excuse a larger file, not the bundled ones */
    CHECK(r.greedy_steps >= 64 && r.greedy_steps % 64 == 0);
}

static void check_case(const struct golden_case *c)
{
    check_opened(c, open_vulkan);
}

static void bundled_dense_q8_0(void)
{
    check_case(&(struct golden_case){ GOLDEN, "tiny-dense.json", "tiny-dense-Q8_0.gguf",
                                      "hfdeq_Q8_0", "hfdeq/Q8_0", GOLDEN_F32 });
}

static void bundled_e_q4_0(void)
{
    check_case(&(struct golden_case){ GOLDEN, "tiny-e.json", "tiny-e-Q4_0.gguf", "hfdeq_Q4_0",
                                      "hfdeq/Q4_0", GOLDEN_F32 });
}

static void bundled_moe_q4_0(void)
{
    check_case(&(struct golden_case){ GOLDEN, "tiny-moe.json", "tiny-moe-Q4_0.gguf", "hfdeq_Q4_0",
                                      "hfdeq/Q4_0", GOLDEN_F32 });
}

/* Precision fast: keys and values as halves. That is all that it changes here, and experts have no
 * part in it: the full set has the other models. */
static void halves_within_their_row(void)
{
    check_opened(&(struct golden_case){ GOLDEN, "tiny-dense.json", "tiny-dense-Q8_0.gguf",
                                        "hfdeq_Q8_0", "hfdeq/Q8_0", GOLDEN_F16 }, open_vulkan_fast);
}

enum { LONG = 560, TAIL = 4, VOCAB = 4096 }; /* more than a full step; rings are of 528 positions */

/* The logits of the last positions of a sequence longer than any ring of a sliding layer. */
static void run_long(const char *path, golden_open_fn *open, uint32_t chunk, float *out)
{
    struct golden_model m;
    struct tg_error err = { 0 };
    int32_t ids[LONG];
    for (uint32_t i = 0; i < LONG; i++)
        ids[i] = (int32_t)(i == 0 ? 2 : (i * 2654435761u >> 16) % 4000 + 20);
    enum tg_status st = golden_model_open(&m, path, LONG, open, &err);
    if (st && no_vulkan())
        CHECK_SKIP(err.text);
    if (!st)
        st = golden_logits(&m, ids, LONG, chunk, LONG - TAIL, out, &err);
    golden_model_close(&m);
    if (st)
        CHECK_FAIL("%s, chunk %u: %s", path, chunk, err.text);
}

/* Wherever the sequence is split, Vulkan stays within the row of the CPU backend. */
static void long_sequence_like_cpu(void)
{
    static const char *const models[] = { GOLDEN "tiny-dense-Q8_0.gguf",
                                          GOLDEN "tiny-e-Q4_0.gguf" };
    static const uint32_t chunks[] = { LE_STEP_TOKENS_MAX, 33 };
    static const size_t n_chunks[] = { 2, 1 }; /* the second has ten layers; small steps below */
    static float want[TAIL * VOCAB], got[TAIL * VOCAB];
    vulkan_messages();
    for (size_t k = 0; k < 2; k++) {
        run_long(models[k], open_cpu, LE_STEP_TOKENS_MAX, want);
        for (size_t c = 0; c < n_chunks[k]; c++) {
            run_long(models[k], open_vulkan, chunks[c], got);
            for (size_t i = 0; i < TAIL * VOCAB; i++)
                CHECK_NEAR(got[i], want[i], 0.01);
        }
    }
    CHECK_INT(vulkan_messages(), 0);
}

/* From the second step on, a decoded token of a whole model records no command. */
static enum tg_status decode_records_nothing(struct golden_model *m, struct tg_error *err)
{
    int32_t id = 100;
    uint32_t out = 0;
    uint64_t calls = 0;
    enum tg_status st = TG_OK;
    for (uint32_t i = 0; !st && i < 12; i++) {
        st = le_model_step(m->m, &id, 1, i, &out, 1, err);
        calls = i == 0 ? gpu_vkcmd_count(m->be) : calls;
    }
    CHECK(calls > 0 || st);
    CHECK_INT(gpu_vkcmd_count(m->be), calls);
    return st;
}

/* Steps of 1, 7, 64 and 512 tokens: within the row, by the CPU's results. */
static void micro_batches_like_cpu(void)
{
    enum { N = 75 };
    static const uint32_t chunks[] = { 1, 7, 64, LE_STEP_TOKENS_MAX };
    static float want[TAIL * VOCAB], got[TAIL * VOCAB];
    static const char model[] = GOLDEN "tiny-e-Q4_0.gguf";
    struct golden_model cpu, gpu;
    struct tg_error err = { 0 };
    int32_t ids[N];
    for (uint32_t i = 0; i < N; i++)
        ids[i] = (int32_t)(i == 0 ? 2 : (i * 2654435761u >> 16) % 4000 + 20);
    vulkan_messages();
    enum tg_status st = golden_model_open(&gpu, model, N, open_vulkan, &err);
    if (st && no_vulkan())
        CHECK_SKIP(err.text);
    if (!st)
        st = golden_model_open(&cpu, model, N, open_cpu, &err);
    if (!st)
        st = golden_logits(&cpu, ids, N, N, N - TAIL, want, &err);
    for (size_t c = 0; !st && c < 4; c++) {
        st = golden_logits(&gpu, ids, N, chunks[c], N - TAIL, got, &err);
        for (size_t i = 0; !st && i < TAIL * VOCAB; i++)
            CHECK_NEAR(got[i], want[i], 0.01);
    }
    if (!st)
        st = decode_records_nothing(&gpu, &err);
    if (st)
        CHECK_FAIL("%s", err.text);
    golden_model_close(&gpu);
    golden_model_close(&cpu);
    CHECK_INT(vulkan_messages(), 0);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(bundled_dense_q8_0), CASE(bundled_e_q4_0), CASE(bundled_moe_q4_0),
        CASE(halves_within_their_row), CASE(long_sequence_like_cpu),
        CASE(micro_batches_like_cpu),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
