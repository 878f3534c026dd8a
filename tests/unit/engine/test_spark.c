/* The model in the box, on both backends: the greedy answers that the training's own forward pass
 * gives in F32 on the file's weights (tests/golden/spark.json, config/models/spark/golden.py). */
#include <sys/stat.h>

#include "config/base/json.h"
#include "local_engine/gguf.h"
#include "tests/unit/check.h"
#include "tests/unit/engine/support_backends.h"
#include "tests/unit/engine/support_golden.h"

#define MODEL TG_SOURCE_DIR "/config/models/spark.gguf"

enum { LONGEST = 512, VOCAB = 4096, SIZE_MAX_BYTES = 8 << 20 };

static const double near_tie = 0.01; /* of the F32 row of the fixtures' tolerance table */

static struct tg_json *golden; /* lives until the process ends */

static const struct tg_json *cases(void)
{
    static char text[1 << 20];
    struct tg_error err;
    FILE *f = fopen(TG_SOURCE_DIR "/tests/golden/spark.json", "rb");
    CHECK(f != NULL);
    size_t n = fread(text, 1, sizeof(text), f);
    fclose(f);
    CHECK(n < sizeof(text));
    if (!golden && tg_json_parse((struct tg_str){ text, n }, &golden, &err))
        CHECK_FAIL("%s", err.text);
    return tg_json_get(golden, "cases");
}

static uint32_t add_ids(const struct tg_json *list, int32_t *ids, uint32_t n)
{
    for (const struct tg_json *m = tg_json_first(list); m; m = tg_json_next(m)) {
        int64_t id;
        CHECK(n < LONGEST && tg_json_int(m, &id));
        ids[n++] = (int32_t)id;
    }
    return n;
}

static int32_t likeliest(const float *logits)
{
    int32_t best = 0;
    for (int32_t i = 1; i < VOCAB; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

/* Each answer token is the likeliest behind those before it, up to a step that is a near-tie. */
static enum tg_status compare(struct golden_model *m, const struct tg_json *c, uint32_t *steps,
                              struct tg_error *err)
{
    static float logits[64 * VOCAB];
    int32_t ids[LONGEST];
    const struct tg_json *gap = tg_json_first(tg_json_get(c, "gaps"));
    uint32_t prompt = add_ids(tg_json_get(c, "ids"), ids, 0);
    uint32_t n = add_ids(tg_json_get(c, "answer"), ids, prompt);
    CHECK(prompt > 0 && n > prompt && n - prompt < 64);
    enum tg_status status = golden_logits(m, ids, n - 1, 64, prompt - 1, logits, err);
    for (uint32_t i = 0; !status && i < n - prompt; i++, gap = tg_json_next(gap)) {
        double width;
        int32_t got = likeliest(logits + (size_t)i * VOCAB);
        if (!tg_json_number(gap, &width))
            return tg_fail(err, TG_INVALID, "a step without a gap");
        if (got == ids[prompt + i])
            ++*steps;
        else if (width >= near_tie)
            return tg_fail(err, TG_INVALID, "step %u: token %d, want %d at a gap of %g", i, got,
                           ids[prompt + i], width);
    }
    return status;
}

static void answers_on(golden_open_fn *open)
{
    struct golden_model m;
    struct tg_error err = { .text = "" };
    uint32_t steps = 0, n = 0;
    const struct tg_json *list = cases();
    enum tg_status status = golden_model_open(&m, MODEL, LONGEST, open, &err);
    for (const struct tg_json *c = tg_json_first(list); !status && c; c = tg_json_next(c), n++)
        status = compare(&m, c, &steps, &err);
    golden_model_close(&m);
    if (open == open_vulkan && no_vulkan())
        CHECK_SKIP(err.text);
    if (status)
        CHECK_FAIL("case %u: %s", n, err.text);
    fprintf(stderr, "%u answers, %u steps\n", n, steps);
    CHECK(n >= 20 && steps > 100);
}

static void answers_on_cpu(void)
{
    answers_on(open_cpu);
}

static void answers_on_vulkan(void)
{
    answers_on(open_vulkan);
    CHECK_INT(vulkan_messages(), 0);
}

/* What makes it an E-series model, and fit to ship. */
static void has_the_branches(void)
{
    struct golden_model m;
    struct tg_error err = { .text = "" };
    struct stat info;
    if (golden_model_open(&m, MODEL, 64, open_cpu, &err))
        CHECK_FAIL("%s", err.text);
    bool per_layer = le_gguf_tensor(m.g, "per_layer_token_embd.weight") != NULL;
    bool owns = le_gguf_tensor(m.g, "blk.3.attn_k.weight") != NULL;
    bool shares = le_gguf_tensor(m.g, "blk.7.attn_k.weight") == NULL;
    golden_model_close(&m);
    CHECK(per_layer && owns && shares);
    CHECK(stat(MODEL, &info) == 0 && info.st_size <= SIZE_MAX_BYTES);
}

int main(int argc, char **argv)
{
    static const struct check_case list[] = {
        CASE(has_the_branches),
        CASE(answers_on_cpu),
        CASE(answers_on_vulkan),
    };
    return check_main(list, sizeof(list) / sizeof(*list), argc, argv);
}
