/* The Vulkan backend against the full fixture set, where that lies beside the checkout, under the
 * validation layers. */
#include "tests/unit/check.h"

#include <unistd.h>

#include "tests/unit/engine/support_backends.h"
#include "tests/unit/engine/support_golden.h"

#define FIXTURES TG_SOURCE_DIR "/../shared/fixtures/models/"

static void check_case(const struct golden_case *c)
{
    struct golden_report r;
    struct tg_error err = { 0 };
    vulkan_messages();
    enum tg_status st = golden_check(c, open_vulkan, &r, &err);
    if (st && no_vulkan())
        CHECK_SKIP(err.text);
    golden_print(c, &r);
    if (st)
        CHECK_FAIL("%s: %s", c->model, err.text);
    CHECK_INT(vulkan_messages(), 0);
}

static void check_fixture(const char *dir, const char *file, const char *source,
                          const char *greedy)
{
    if (access(FIXTURES, R_OK) != 0)
        CHECK_SKIP("the full fixture set is not beside this checkout");
    check_case(&(struct golden_case){ dir, "golden.json", file, source, greedy,
                                      GOLDEN_F32 });
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
        CASE(fixture_dense_f32), CASE(fixture_dense_f16), CASE(fixture_dense_q4_0),
        CASE(fixture_e_f16),     CASE(fixture_e_q8_0),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
