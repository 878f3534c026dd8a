/* Shaders on subgroups of 4, where every reduction spans many: other widths are other machines',
 * 8 is what the software driver takes by itself. The driver reads its width once a process. */
#include "tests/unit/check.h"

#include <math.h>
#include <stdlib.h>

#include "tests/unit/engine/support_backends.h"
#include "tests/unit/engine/support_golden.h"

enum { N = 80, TAIL = 8, VOCAB = 4096 };

static float want[TAIL * VOCAB], got[TAIL * VOCAB];

/* Logits of the last positions; the last single tokens are decode steps. */
static enum tg_status run(const char *path, golden_open_fn *open, uint32_t chunk, float *out,
                          bool *narrow, struct tg_error *err)
{
    struct golden_model m;
    int32_t ids[N];
    for (uint32_t i = 0; i < N; i++)
        ids[i] = (int32_t)(i == 0 ? 2 : i * 37 % 4000 + 20);
    enum tg_status status = golden_model_open(&m, path, N, open, err);
    *narrow = !status && strstr(m.ops->describe(m.be), "subgroup 4,") != NULL;
    if (!status)
        status = golden_logits(&m, ids, N, chunk, N - TAIL, out, err);
    golden_model_close(&m);
    return status;
}

static void like_the_cpu(void)
{
    static const char *const models[] = { TG_SOURCE_DIR "/tests/golden/tiny-dense-Q8_0.gguf",
                                          TG_SOURCE_DIR "/tests/golden/tiny-e-Q4_0.gguf" };
    static const uint32_t chunks[] = { 1, 7, 20, 64 }; /* one for each kernel of matmul */
    struct tg_error err = { .text = "" };
    bool narrow;
    CHECK(setenv("LP_NATIVE_VECTOR_WIDTH", "128", 1) == 0);
    for (size_t i = 0; i < sizeof(models) / sizeof(*models); i++) {
        CHECK_INT(run(models[i], open_cpu, N, want, &narrow, &err), TG_OK);
        for (size_t k = 0; k < sizeof(chunks) / sizeof(*chunks); k++) {
            enum tg_status status = run(models[i], open_vulkan, chunks[k], got, &narrow, &err);
            if (no_vulkan())
                CHECK_SKIP(err.text);
            if (status)
                CHECK_FAIL("%s", err.text);
            if (!narrow)
                CHECK_SKIP("no driver with subgroups of 4");
            for (size_t v = 0; v < TAIL * VOCAB; v++)
                CHECK_NEAR(got[v], want[v], 0.01);
        }
    }
    CHECK_INT(vulkan_messages(), 0);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = { CASE(like_the_cpu) };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
