/* The plan of a model's memory: what the backends really take, and the sentence of a refusal. */
#include "tests/unit/check.h"

#include "local_engine/plan.h"
#include "tests/unit/engine/support_backends.h"
#include "tests/unit/engine/support_golden.h"

#define GOLDEN TG_SOURCE_DIR "/tests/golden/"

static const char *const models[] = { GOLDEN "tiny-dense-Q8_0.gguf", GOLDEN "tiny-e-Q4_0.gguf",
                                      GOLDEN "tiny-moe-Q4_0.gguf" };
enum { MODELS = sizeof(models) / sizeof(*models), CONTEXT = 2000 };

static enum le_precision precision;

static enum tg_status open_fastest(const struct le_ops **ops, struct le_backend **be,
                                   struct tg_error *err)
{
    const struct cpu_options o = { .precision = precision, .threads = 1 };
    return cpu_open(&o, ops, be, err);
}

/* Within 5 % of what is allocated. */
static void check_model(const char *path, bool gpu, golden_open_fn *open)
{
    const struct le_plan_device device = { .gpu = gpu, .precision = precision };
    struct golden_model m;
    struct le_plan p;
    struct tg_error err = { .text = "" };
    uint64_t used, most;
    enum tg_status st = golden_model_open(&m, path, CONTEXT, open, &err);
    if (st && gpu && no_vulkan())
        CHECK_SKIP(err.text);
    if (st || le_plan(m.g, &device, CONTEXT, &p, &err))
        CHECK_FAIL("%s: %s", path, err.text);
    m.ops->memory(m.be, &used, &most);
    CHECK_INT(p.total, p.weights + p.kv + p.scratch + p.logits);
    CHECK(p.weights > 0 && p.kv > 0 && p.scratch > 0 && p.logits > 0 && used < most);
    CHECK(p.mapped <= p.weights && (!gpu || p.mapped == 0));
    double ratio = (double)(p.total - p.mapped) / (double)used;
    if (!(ratio > 0.95 && ratio < 1.05))
        CHECK_FAIL("%s: planned %llu, %llu of it mapped; took %llu", path,
                   (unsigned long long)p.total, (unsigned long long)p.mapped,
                   (unsigned long long)used);
    golden_model_close(&m);
}

static void cpu_takes_what_is_planned(void)
{
    for (int i = 0; i < 2 * MODELS; i++) {
        precision = i < MODELS ? LE_EXACT : LE_FAST;
        check_model(models[i % MODELS], false, open_fastest);
    }
}

static void vulkan_takes_what_is_planned(void)
{
    precision = LE_EXACT;
    for (int i = 0; i < 2; i++)
        check_model(models[i], true, open_vulkan);
}

/* Dense: 3 layers; the one that slides has 2 heads of 64, the others one of 128, for keys and
 * values each; a window of 16. */
static void keys_and_values_by_hand(void)
{
    const struct le_plan_device device = { .precision = LE_EXACT, .kernels = "scalar" };
    struct le_gguf *g;
    struct le_plan p;
    CHECK_INT(le_gguf_open(models[0], &g, NULL), TG_OK);
    CHECK_INT(le_plan(g, &device, 2000, &p, NULL), TG_OK);
    CHECK_INT(p.kv, 2 * 4 * (128 * (16 + LE_STEP_TOKENS_MAX) + 2 * 128 * 2000));
    CHECK_INT(le_plan(g, &device, 100, &p, NULL), TG_OK);
    CHECK_INT(p.kv, 2 * 4 * 3 * 128 * 100);
    CHECK_INT(p.mapped, p.weights); /* the scalar kernels read the file */
    CHECK(p.weights < le_gguf_file_size(g));
    le_gguf_close(g);
}

static void refused(uint64_t available, const char *const *texts)
{
    const struct le_plan_device device = { .precision = LE_EXACT, .kernels = "scalar" };
    struct le_gguf *g;
    struct tg_error err = { .text = "" };
    CHECK_INT(le_gguf_open(models[0], &g, NULL), TG_OK);
    CHECK_INT(le_plan_check(g, &device, 65536, available, "this machine", &err), TG_NOMEM);
    for (; *texts; texts++)
        if (!strstr(err.text, *texts))
            CHECK_FAIL("\"%s\" does not say \"%s\"", err.text, *texts);
    le_gguf_close(g);
}

static void the_sentence_of_a_refusal(void)
{
    refused(80 << 20, (const char *const[]){
        "tiny-dense-Q8_0.gguf needs 1", "weights 2.", "keys and values 128.5 MiB at context 65536",
        "this machine has 80.0 MiB free: set a smaller context (16384 needs 49.0 MiB), or take a "
        "smaller file", NULL });
    refused(1 << 20, (const char *const[]){ "1.0 MiB free: take a smaller file; no context is",
                                            NULL });
}

static void enough(void)
{
    const struct le_plan_device device = { .precision = LE_EXACT, .kernels = "scalar" };
    struct le_gguf *g;
    struct le_plan p;
    CHECK_INT(le_gguf_open(models[0], &g, NULL), TG_OK);
    CHECK_INT(le_plan(g, &device, 512, &p, NULL), TG_OK);
    CHECK_INT(le_plan_check(g, &device, 512, p.total, "x", NULL), TG_OK);
    CHECK_INT(le_plan_check(g, &device, 512, p.total - 1, "x", NULL), TG_NOMEM);
    le_gguf_close(g);
}

static void sizes_as_text(void)
{
    char t[LE_SIZE_TEXT];
    CHECK_STR(le_size_text(t, 0), "0 bytes");
    CHECK_STR(le_size_text(t, 1023), "1023 bytes");
    CHECK_STR(le_size_text(t, 1536), "1.5 KiB");
    CHECK_STR(le_size_text(t, 5 << 20), "5.0 MiB");
    CHECK_STR(le_size_text(t, (uint64_t)19 << 30), "19.0 GiB");
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(cpu_takes_what_is_planned), CASE(vulkan_takes_what_is_planned),
        CASE(keys_and_values_by_hand), CASE(the_sentence_of_a_refusal), CASE(enough),
        CASE(sizes_as_text),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
