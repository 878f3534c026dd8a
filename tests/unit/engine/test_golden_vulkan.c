/* The whole engine on the Vulkan backend (a software driver will do) against the same golden data,
 * under the validation layers. */
#include "tests/unit/check.h"

#include <stdatomic.h>
#include <unistd.h>

#include "tests/unit/engine/support_golden.h"

#define GOLDEN TG_SOURCE_DIR "/tests/golden/"
#define FIXTURES TG_SOURCE_DIR "/../shared/fixtures/models/"

static _Atomic int messages;
static bool no_device;

static void on_message(void *arg, const char *text)
{
    (void)arg;
    atomic_fetch_add(&messages, 1);
    fprintf(stderr, "validation: %s\n", text);
}

static enum tg_status open_vulkan(const struct le_ops **ops, struct le_backend **be,
                                  struct tg_error *err)
{
    struct gpu_options options = { .software = true, .validation = true,
                                   .on_message = on_message };
    enum tg_status st = gpu_open(&options, ops, be, err);
    no_device = st == TG_NOTFOUND;
    return st;
}

static void check_case(const struct golden_case *c)
{
    struct golden_report r;
    struct tg_error err = { 0 };
    atomic_store(&messages, 0);
    enum tg_status st = golden_check(c, open_vulkan, &r, &err);
    if (st && no_device)
        CHECK_SKIP(err.text);
    golden_print(c, &r);
    if (st)
        CHECK_FAIL("%s: %s", c->model, err.text);
    CHECK_INT(atomic_load(&messages), 0);
}

static void bundled_dense_q8_0(void)
{
    check_case(&(struct golden_case){ GOLDEN, "tiny-dense.json", "tiny-dense-Q8_0.gguf",
                                      "hfdeq_Q8_0", "hfdeq/Q8_0" });
}

static void bundled_e_q4_0(void)
{
    check_case(&(struct golden_case){ GOLDEN, "tiny-e.json", "tiny-e-Q4_0.gguf", "hfdeq_Q4_0",
                                      "hfdeq/Q4_0" });
}

static void check_fixture(const char *dir, const char *file, const char *source,
                          const char *greedy)
{
    if (access(FIXTURES, R_OK) != 0)
        CHECK_SKIP("the full fixture set is not beside this checkout");
    check_case(&(struct golden_case){ dir, "golden.json", file, source, greedy });
}

static void fixture_dense_f32(void)
{
    check_fixture(FIXTURES "tiny-dense", "tiny-dense-F32.gguf", "hf_fp32", "hf_fp32");
}

static void fixture_dense_f16(void)
{
    check_fixture(FIXTURES "tiny-dense", "tiny-dense-F16.gguf", "hf_fp32", "hf_fp32");
}

static void fixture_dense_q4_0(void)
{
    check_fixture(FIXTURES "tiny-dense", "tiny-dense-Q4_0.gguf", "hfdeq_Q4_0", "hfdeq/Q4_0");
}

static void fixture_e_f16(void)
{
    check_fixture(FIXTURES "tiny-e", "tiny-e-F16.gguf", "hf_fp32", "hf_fp32");
}

static void fixture_e_q8_0(void)
{
    check_fixture(FIXTURES "tiny-e", "tiny-e-Q8_0.gguf", "hfdeq_Q8_0", "hfdeq/Q8_0");
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(bundled_dense_q8_0), CASE(bundled_e_q4_0),   CASE(fixture_dense_f32),
        CASE(fixture_dense_f16),  CASE(fixture_dense_q4_0), CASE(fixture_e_f16),
        CASE(fixture_e_q8_0),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
