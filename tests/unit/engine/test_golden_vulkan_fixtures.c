/* The Vulkan backend, exact and fast, against the full fixture set, where that lies beside the
 * checkout, under the validation layers. */
#include "tests/unit/check.h"

#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/engine/support_backends.h"
#include "tests/unit/engine/support_golden.h"

#define FIXTURES TG_SOURCE_DIR "/../shared/fixtures/models/"

static void check_case(const struct golden_case *c)
{
    struct golden_report r;
    struct tg_error err = { 0 };
    vulkan_messages();
    enum tg_status st = golden_check(c, c->row == GOLDEN_F32 ? open_vulkan : open_vulkan_fast, &r,
                                     &err);
    if (st && no_vulkan())
        CHECK_SKIP(err.text);
    golden_print(c, &r);
    if (st)
        CHECK_FAIL("%s: %s", c->model, err.text);
    CHECK_INT(vulkan_messages(), 0);
}

static void check_fixture(const char *model, const char *type, bool quantised)
{
    char dir[512], file[64], source[32], greedy[32];
    if (access(FIXTURES, R_OK) != 0)
        CHECK_SKIP("the full fixture set is not beside this checkout");
    if (!getenv("TOLLGATE_FULL"))
        CHECK_SKIP("ten minutes on a software driver: set TOLLGATE_FULL=1");
    snprintf(dir, sizeof(dir), FIXTURES "%s", model);
    snprintf(file, sizeof(file), "%s-%s.gguf", model, type);
    snprintf(source, sizeof(source), quantised ? "hfdeq_%s" : "hf_fp32", type);
    snprintf(greedy, sizeof(greedy), quantised ? "hfdeq/%s" : "hf_fp32", type);
    for (int fast = 0; fast < 2; fast++)
        check_case(&(struct golden_case){ dir, "golden.json", file, source, greedy,
                                          fast ? GOLDEN_F16 : GOLDEN_F32 });
}

static void fixture_dense_f32(void) { check_fixture("tiny-dense", "F32", false); }
static void fixture_dense_f16(void) { check_fixture("tiny-dense", "F16", false); }
static void fixture_dense_bf16(void) { check_fixture("tiny-dense", "BF16", false); }
static void fixture_dense_q8_0(void) { check_fixture("tiny-dense", "Q8_0", true); }
static void fixture_dense_q4_0(void) { check_fixture("tiny-dense", "Q4_0", true); }
static void fixture_dense_q4_1(void) { check_fixture("tiny-dense", "Q4_1", true); }
static void fixture_dense_q5_0(void) { check_fixture("tiny-dense", "Q5_0", true); }
static void fixture_dense_q5_1(void) { check_fixture("tiny-dense", "Q5_1", true); }
static void fixture_dense_q2_k(void) { check_fixture("tiny-dense", "Q2_K", true); }
static void fixture_dense_q3_k_m(void) { check_fixture("tiny-dense", "Q3_K_M", true); }
static void fixture_dense_q4_k_m(void) { check_fixture("tiny-dense", "Q4_K_M", true); }
static void fixture_dense_q5_k_m(void) { check_fixture("tiny-dense", "Q5_K_M", true); }
static void fixture_dense_q6_k(void) { check_fixture("tiny-dense", "Q6_K", true); }
static void fixture_dense_iq4_xs(void) { check_fixture("tiny-dense", "IQ4_XS", true); }
static void fixture_e_f16(void) { check_fixture("tiny-e", "F16", false); }
static void fixture_e_q8_0(void) { check_fixture("tiny-e", "Q8_0", true); }
static void fixture_e_q4_0(void) { check_fixture("tiny-e", "Q4_0", true); }
static void fixture_e_q4_k_m(void) { check_fixture("tiny-e", "Q4_K_M", true); }
static void fixture_moe_f16(void) { check_fixture("tiny-moe", "F16", false); }
static void fixture_moe_q8_0(void) { check_fixture("tiny-moe", "Q8_0", true); }
static void fixture_moe_q4_0(void) { check_fixture("tiny-moe", "Q4_0", true); }
static void fixture_moe_q4_k_m(void) { check_fixture("tiny-moe", "Q4_K_M", true); }

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(fixture_dense_f32), CASE(fixture_dense_f16), CASE(fixture_dense_bf16),
        CASE(fixture_dense_q8_0), CASE(fixture_dense_q4_0), CASE(fixture_dense_q4_1),
        CASE(fixture_dense_q5_0), CASE(fixture_dense_q5_1), CASE(fixture_dense_q2_k),
        CASE(fixture_dense_q3_k_m), CASE(fixture_dense_q4_k_m), CASE(fixture_dense_q5_k_m),
        CASE(fixture_dense_q6_k), CASE(fixture_dense_iq4_xs), CASE(fixture_e_f16),
        CASE(fixture_e_q8_0), CASE(fixture_e_q4_0), CASE(fixture_e_q4_k_m), CASE(fixture_moe_f16),
        CASE(fixture_moe_q8_0), CASE(fixture_moe_q4_0), CASE(fixture_moe_q4_k_m),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
