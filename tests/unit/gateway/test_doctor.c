/* What doctor says of devices that no test machine has: it must say what serve will do. They are
 * made up over the kernels of the CPU. */
#include "tests/unit/check.h"

#include <stdlib.h>

#include "config/base/alloc.h"
#include "config/base/log.h"
#include "gateway/doctor.h"

#define MODEL TG_SOURCE_DIR "/tests/golden/tiny-dense-Q8_0.gguf"

static struct {
    bool gpu;
    uint64_t gpu_memory;
    bool wrong; /* in precision fast */
    bool wrong_now;
} fake;

static const struct le_ops *sound;
static struct le_ops table;

static void softcap(struct le_backend *be, struct le_buf *x, uint32_t width, float cap,
                    enum le_rows rows)
{
    sound->softcap(be, x, width, fake.wrong_now ? 0.01f * cap : cap, rows);
}

static void gpu_memory(const struct le_backend *be, uint64_t *used, uint64_t *most)
{
    (void)be;
    *used = 0;
    *most = fake.gpu_memory;
}

static bool gpu_shares(const struct le_backend *be)
{
    (void)be;
    return false;
}

static enum tg_status open_fake(const struct le_device_options *o, const struct le_ops **ops,
                                struct le_backend **be, struct tg_error *err)
{
    enum tg_status st = cpu_open(NULL, &sound, be, err);
    table = st ? table : *sound;
    table.softcap = softcap;
    fake.wrong_now = fake.wrong && o->precision != LE_PRECISION_EXACT;
    if (fake.gpu && o->device != LE_DEVICE_CPU) {
        table.name = "vulkan";
        table.memory = gpu_memory;
        table.shares_memory = gpu_shares;
    }
    *ops = &table;
    return st;
}

static struct gw_doctor *doctor;

static void look(const char *device, bool no_selftest)
{
    static struct cfg_survey survey;
    survey = (struct cfg_survey){ .device = device, .model = MODEL, .model_found = { MODEL } };
    tg_free(doctor);
    doctor = tg_calloc(1, sizeof(*doctor));
    CHECK(doctor != NULL);
    doctor->survey = &survey;
    doctor->no_selftest = no_selftest;
    doctor->open = open_fake;
    gw_check_engine(doctor);
}

/* The only line of an area that is in this state; texts are parts of it and of its remedy. */
static void says(const char *area, enum gw_check_state state, const char *text, const char *remedy)
{
    const struct gw_check *found = NULL;
    for (size_t i = 0; i < doctor->n; i++) {
        const struct gw_check *c = &doctor->checks[i];
        if (strcmp(c->area, area) != 0 || c->state != state)
            continue;
        CHECK(!found);
        found = c;
    }
    if (!found || !strstr(found->text, text) || !strstr(found->remedy, remedy))
        CHECK_FAIL("%s: \"%s\" (%s)", area, found ? found->text : "", found ? found->remedy : "");
}

static bool fails(void)
{
    bool any = false;
    for (size_t i = 0; i < doctor->n; i++)
        any = any || (doctor->checks[i].state == GW_CHECK_FAIL &&
                      strcmp(doctor->checks[i].area, "vulkan") != 0);
    return any;
}

/* The CPU takes over, unless the GPU was asked for. */
static void a_gpu_that_is_too_small(void)
{
    fake.gpu = true;
    fake.gpu_memory = 1 << 20;
    look("auto", true);
    CHECK(!fails());
    says("model", GW_CHECK_WARN, "the GPU has 1.0 MiB free", "if the CPU is fast enough");
    look("vulkan", true);
    CHECK(fails());
    says("model", GW_CHECK_FAIL, "the GPU has 1.0 MiB free", "");
}

static void a_cpu_that_computes_wrongly(void)
{
    fake.gpu = false;
    fake.wrong = true;
    look("cpu", false);
    CHECK(!fails());
    says("self-test", GW_CHECK_WARN, "the self-test failed on CPU", "falls back");
    for (size_t i = 0; i < doctor->n; i++)
        CHECK(strcmp(doctor->checks[i].area, "self-test") != 0 ||
              !strstr(doctor->checks[i].remedy, "GPU"));
    says("self-test", GW_CHECK_OK, "passed on CPU", "");
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(a_gpu_that_is_too_small), CASE(a_cpu_that_computes_wrongly),
    };
    setenv("VK_DRIVER_FILES", "/dev/null", 1);
    setenv("VK_ICD_FILENAMES", "/dev/null", 1);
    tg_log_set_level(TG_LOG_ERROR);
    int status = check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
    tg_free(doctor);
    return status;
}
