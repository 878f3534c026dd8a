/* Shaders on subgroups of 4, where every reduction spans many: other widths are other machines',
 * 8 is what the software driver takes by itself. The driver reads its width once a process. */
#include "tests/unit/check.h"

#include <math.h>
#include <stdlib.h>

#include "tests/unit/engine/support_backends.h"
#include "tests/unit/engine/support_golden.h"

enum { N = 80, TAIL = 8, VOCAB = 4096 };

static float want[TAIL * VOCAB], got[TAIL * VOCAB];

/* Logits of the last positions in steps of so many tokens; the last single tokens are decode
 * steps. */
static enum tg_status run(struct golden_model *m, uint32_t chunk, float *out, struct tg_error *err)
{
    int32_t ids[N];
    for (uint32_t i = 0; i < N; i++)
        ids[i] = (int32_t)(i == 0 ? 2 : i * 37 % 4000 + 20);
    return golden_logits(m, ids, N, chunk, N - TAIL, out, err);
}

/* One model of each for all chunks: a shader takes the driver longer to make than to run. */
static void check_model(const char *path)
{
    static const uint32_t chunks[] = { 1, 7, 20, 64 }; /* one for each kernel of matmul */
    struct tg_error err = { .text = "" };
    struct golden_model cpu, gpu;
    size_t others = 0;
    enum tg_status status = golden_model_open(&cpu, path, N, open_cpu, &err);
    if (!status)
        status = run(&cpu, N, want, &err);
    golden_model_close(&cpu);
    CHECK_INT(status, TG_OK);
    status = golden_model_open(&gpu, path, N, open_vulkan, &err);
    bool narrow = !status && strstr(gpu.ops->describe(gpu.be), "subgroup 4,") != NULL;
    for (size_t k = 0; !status && narrow && k < sizeof(chunks) / sizeof(*chunks); k++) {
        status = run(&gpu, chunks[k], got, &err);
        for (size_t v = 0; !status && v < TAIL * VOCAB; v++)
            others += !(fabs((double)got[v] - (double)want[v]) <= 0.01); /* NaN too */
    }
    golden_model_close(&gpu);
    if (no_vulkan())
        CHECK_SKIP(err.text);
    if (status)
        CHECK_FAIL("%s", err.text);
    if (!narrow)
        CHECK_SKIP("no driver with subgroups of 4");
    CHECK_INT(others, 0);
}

static void like_the_cpu(void)
{
    CHECK(setenv("LP_NATIVE_VECTOR_WIDTH", "128", 1) == 0);
    check_model(TG_SOURCE_DIR "/tests/golden/tiny-dense-Q8_0.gguf");
    check_model(TG_SOURCE_DIR "/tests/golden/tiny-e-Q4_0.gguf");
    CHECK_INT(vulkan_messages(), 0);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = { CASE(like_the_cpu) };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
