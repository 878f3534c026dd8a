/* Loading: what follows a device that lacks memory, is lost, or computes wrongly. Devices are made
 * up here over the scalar kernels. */
#include "tests/unit/check.h"

#include "config/base/alloc.h"
#include "config/base/log.h"
#include "local_engine/load.h"
#include "tests/unit/engine/support_rebuild.h"

#define MODEL TG_SOURCE_DIR "/tests/golden/tiny-dense-Q8_0.gguf"

enum { OPENS_MAX = 32 };

static struct {
    bool gpu;                 /* there is one */
    uint64_t gpu_memory;
    bool gpu_shares;          /* the machine's memory */
    bool fast_wrong, exact_wrong; /* of the gpu */
    bool lost;                /* the gpu fails each run */
    bool simd_wrong;          /* kernels of the cpu other than "scalar" */
    bool wrong_now;           /* of the device opened last */
    struct le_device_options opened[OPENS_MAX];
    uint32_t n;
} fake;

static const struct le_ops *sound;
static struct le_ops table;
static struct le_gguf *g;
static struct le_loaded loaded;
static struct tg_error err;

static void wrong_softcap(struct le_backend *be, struct le_buf *x, uint32_t width, float cap,
                          enum le_rows rows)
{
    sound->softcap(be, x, width, fake.wrong_now ? 0.01f * cap : cap, rows);
}

static enum tg_status lost_run(struct le_backend *be, const struct le_step *step,
                               struct tg_error *why)
{
    return fake.lost ? tg_fail(why, TG_DEVICE, "the fake is lost") : sound->run(be, step, why);
}

static void gpu_has(const struct le_backend *be, uint64_t *used, uint64_t *most)
{
    sound->memory(be, used, most);
    *most = fake.gpu_memory;
}

static bool gpu_shares(const struct le_backend *be)
{
    (void)be;
    return fake.gpu_shares;
}

static enum tg_status open_fake(const struct le_device_options *o, const struct le_ops **ops,
                                struct le_backend **be, struct tg_error *why)
{
    bool gpu = fake.gpu && o->device != LE_DEVICE_CPU, exact = o->precision == LE_PRECISION_EXACT;
    CHECK(fake.n < OPENS_MAX);
    fake.opened[fake.n++] = *o;
    enum tg_status st = cpu_open(NULL, &sound, be, why);
    if (st)
        return st;
    table = *sound;
    table.softcap = wrong_softcap;
    bool scalar = o->kernels && strcmp(o->kernels, "scalar") == 0;
    fake.wrong_now = gpu ? exact ? fake.exact_wrong : fake.fast_wrong : fake.simd_wrong && !scalar;
    if (gpu) {
        table.name = "vulkan";
        table.memory = gpu_has;
        table.shares_memory = gpu_shares;
        table.run = lost_run;
    }
    *ops = &table;
    return TG_OK;
}

static char told[16][16]; /* "fits cpu" ... */
static uint32_t n_told;

static void on_event(void *arg, enum le_load_event event, bool gpu, const char *text)
{
    static const char *const names[] = { "fits", "untested", "right", "wrong", "unfit" };
    CHECK(arg == &fake && n_told < 16 && text[0]);
    snprintf(told[n_told++], sizeof(told[0]), "%s %s", names[event], gpu ? "gpu" : "cpu");
}

static void expect_told(const char *const *texts)
{
    uint32_t n = 0;
    for (; texts[n] && n < n_told; n++)
        CHECK_STR(told[n], texts[n]);
    CHECK(!texts[n] && n == n_told);
}

#define TOLD(...) expect_told((const char *const[]){ __VA_ARGS__, NULL })

/* What a load would do, without one. */
static enum tg_status foretell(enum le_device device, uint32_t context, bool no_selftest)
{
    const struct le_load_options o = {
        .device = { .device = device },
        .model = { .context = context },
        .no_selftest = no_selftest,
        .dry = true,
        .event = on_event,
        .arg = &fake,
        .open = open_fake,
    };
    CHECK_INT(le_gguf_open(MODEL, &g, &err), TG_OK);
    err.text[0] = '\0';
    fake.n = n_told = 0;
    enum tg_status st = le_load(g, &o, &loaded, &err);
    CHECK(!loaded.model && !loaded.be == (st != TG_OK));
    return st;
}

static enum tg_status load(enum le_device device)
{
    const struct le_load_options o = {
        .device = { .device = device },
        .model = { .context = 64 },
        .open = open_fake,
    };
    CHECK_INT(le_gguf_open(MODEL, &g, &err), TG_OK);
    err.text[0] = '\0';
    fake.n = 0;
    return le_load(g, &o, &loaded, &err);
}

static void finish(void)
{
    le_unload(&loaded);
    le_gguf_close(g);
    memset(&fake, 0, sizeof(fake));
}

/* What was opened last is what runs. */
static void expect_last(const char *name, enum le_device device, enum le_precision_choice precision)
{
    const struct le_device_options *o = &fake.opened[fake.n - 1];
    int32_t id = 2;
    uint32_t out = 0;
    CHECK(loaded.model != NULL);
    CHECK_STR(loaded.ops->name, name);
    CHECK_INT(o->device, device);
    CHECK_INT(o->precision, precision);
    CHECK_INT(le_model_step(loaded.model, &id, 1, 0, &out, 1, &err), TG_OK);
}

static void all_is_well(void)
{
    fake.gpu = true;
    fake.gpu_memory = 1 << 30;
    CHECK_INT(load(LE_DEVICE_AUTO), TG_OK);
    expect_last("vulkan", LE_DEVICE_AUTO, LE_PRECISION_AUTO);
    CHECK_INT(fake.n, 2); /* once for the test */
    finish();
}

static void a_gpu_without_the_memory(void)
{
    fake.gpu = true;
    fake.gpu_memory = 1 << 20;
    CHECK_INT(load(LE_DEVICE_AUTO), TG_OK);
    expect_last("cpu", LE_DEVICE_CPU, LE_PRECISION_AUTO);
    finish();
    fake.gpu = true;
    fake.gpu_memory = 1 << 20;
    CHECK_INT(load(LE_DEVICE_VULKAN), TG_NOMEM);
    CHECK(strstr(err.text, "the GPU has 1.0 MiB free") != NULL);
    CHECK(!loaded.model && !loaded.be);
    finish();
}

static void fast_makes_way_for_exact(void)
{
    fake.gpu = fake.fast_wrong = true;
    fake.gpu_memory = 1 << 30;
    CHECK_INT(load(LE_DEVICE_VULKAN), TG_OK);
    expect_last("vulkan", LE_DEVICE_VULKAN, LE_PRECISION_EXACT);
    CHECK_INT(fake.n, 3);
    finish();
}

static void a_gpu_that_computes_wrongly(void)
{
    fake.gpu = fake.fast_wrong = fake.exact_wrong = true;
    fake.gpu_memory = 1 << 30;
    CHECK_INT(load(LE_DEVICE_AUTO), TG_OK);
    expect_last("cpu", LE_DEVICE_CPU, LE_PRECISION_AUTO);
    finish();
    fake.gpu = fake.fast_wrong = fake.exact_wrong = true;
    fake.gpu_memory = 1 << 30;
    CHECK_INT(load(LE_DEVICE_VULKAN), TG_INTERNAL);
    CHECK(strstr(err.text, "the self-test failed on ") && strstr(err.text, "wrong results"));
    finish();
}

static void a_gpu_that_is_lost(void)
{
    fake.gpu = fake.lost = true;
    fake.gpu_memory = 1 << 30;
    CHECK_INT(load(LE_DEVICE_AUTO), TG_OK);
    expect_last("cpu", LE_DEVICE_CPU, LE_PRECISION_AUTO);
    finish();
    fake.gpu = fake.lost = true;
    fake.gpu_memory = 1 << 30;
    CHECK_INT(load(LE_DEVICE_VULKAN), TG_DEVICE);
    finish();
}

/* The events are those of the load itself, which goes through the same attempts. */
static void a_load_foretold(void)
{
    fake.gpu = true;
    fake.gpu_memory = 1 << 30;
    CHECK_INT(foretell(LE_DEVICE_AUTO, 64, false), TG_OK);
    TOLD("fits gpu", "right gpu");
    CHECK_STR(loaded.ops->name, "vulkan");
    finish();
    fake.gpu = true;
    fake.gpu_memory = 1 << 20;
    CHECK_INT(foretell(LE_DEVICE_AUTO, 64, false), TG_OK);
    TOLD("unfit gpu", "fits cpu", "right cpu");
    CHECK_STR(loaded.ops->name, "cpu");
    finish();
    fake.gpu = true;
    fake.gpu_memory = 1 << 20;
    CHECK_INT(foretell(LE_DEVICE_VULKAN, 64, false), TG_NOMEM);
    CHECK_INT(n_told, 0);
    finish();
    fake.gpu = fake.fast_wrong = fake.exact_wrong = true;
    fake.gpu_memory = 1 << 30;
    CHECK_INT(foretell(LE_DEVICE_AUTO, 64, false), TG_OK);
    TOLD("fits gpu", "wrong gpu", "fits gpu", "wrong gpu", "fits cpu", "right cpu");
    finish();
    fake.gpu = fake.fast_wrong = fake.exact_wrong = true;
    fake.gpu_memory = 1 << 30;
    CHECK_INT(foretell(LE_DEVICE_VULKAN, 64, false), TG_INTERNAL);
    TOLD("fits gpu", "wrong gpu", "fits gpu");
    finish();
}

/* Terabytes of keys and values, on a GPU that calls as much its own. */
static void an_integrated_gpu_has_what_the_machine_has(void)
{
    enum { CONTEXT = INT32_MAX };
    fake.gpu = true;
    fake.gpu_memory = UINT64_MAX;
    CHECK_INT(foretell(LE_DEVICE_VULKAN, CONTEXT, true), TG_OK);
    finish();
    fake.gpu = fake.gpu_shares = true;
    fake.gpu_memory = UINT64_MAX;
    CHECK_INT(foretell(LE_DEVICE_VULKAN, CONTEXT, true), TG_NOMEM);
    CHECK(strstr(err.text, " but this machine has ") != NULL);
    finish();
}

/* Down to the kernels that the test is made with. */
static void kernels_that_compute_wrongly(void)
{
    bool others = false;
    for (int i = 0; i < 3; i++) {
        static const char *const sets[] = { "avx512", "avx2", "neon" };
        const struct cpu_options o = { .threads = 1, .kernels = sets[i] };
        struct le_backend *be = NULL;
        others = others || cpu_open(&o, &sound, &be, NULL) == TG_OK;
        if (be)
            sound->close(be);
    }
    if (!others)
        CHECK_SKIP("only the scalar kernels run here");
    fake.simd_wrong = true;
    CHECK_INT(load(LE_DEVICE_CPU), TG_OK);
    expect_last("cpu", LE_DEVICE_CPU, LE_PRECISION_EXACT);
    CHECK_STR(fake.opened[fake.n - 1].kernels, "scalar");
    CHECK_INT(fake.opened[1].precision, LE_PRECISION_EXACT); /* the same kernels first */
    CHECK(fake.opened[1].kernels == NULL);
    finish();
}

/* A weight that is no number: nothing can be tested with it, and the first step says so. */
static void odd_weights_are_loaded(void)
{
    struct rebuild r;
    struct tg_buf file;
    int32_t id = 2;
    uint32_t out = 0;
    const struct le_load_options o = { .device = { .device = LE_DEVICE_CPU },
                                       .model = { .context = 64 },
                                       .event = on_event,
                                       .arg = &fake };
    n_told = 0;
    CHECK(rebuild_start(&r, MODEL));
    memset((void *)(uintptr_t)rebuild_find(&r, "blk.0.ffn_down.weight")->data, 0x7e, 2);
    rebuild_write(&r, &file);
    CHECK_INT(le_gguf_open_memory("memory", file.p, file.n, &g, &err), TG_OK);
    if (le_load(g, &o, &loaded, &err))
        CHECK_FAIL("%s", err.text);
    TOLD("fits cpu", "untested cpu");
    CHECK_INT(le_model_step(loaded.model, &id, 1, 0, &out, 1, &err), TG_INTERNAL);
    finish();
    tg_buf_free(&file);
    rebuild_free(&r);
}

static void a_stop_ends_it(void)
{
    atomic_bool stop = true;
    const struct le_load_options o = { .device = { .device = LE_DEVICE_CPU },
                                       .model = { .context = 64, .stop = &stop } };
    CHECK_INT(le_gguf_open(MODEL, &g, &err), TG_OK);
    CHECK_INT(le_load(g, &o, &loaded, &err), TG_CANCELLED);
    finish();
}

/* Each in turn without the self-test, which takes a while; ever fewer with it. */
static void every_allocation_may_fail(void)
{
    struct le_load_options o = { .device = { .device = LE_DEVICE_CPU },
                                 .model = { .context = 64 } };
    CHECK_INT(le_gguf_open(MODEL, &g, &err), TG_OK);
    for (int selftest = 0; selftest < 2; selftest++) {
        enum tg_status st = TG_NOMEM;
        uint64_t nth = 1;
        o.no_selftest = !selftest;
        for (; st && nth < 4000; nth += selftest ? 1 + nth / 3 : 1) {
            tg_alloc_fail_nth(nth);
            st = le_load(g, &o, &loaded, &err);
            tg_alloc_fail_nth(0);
            CHECK(st == TG_OK || st == TG_NOMEM);
        }
        CHECK(st == TG_OK && nth > 50);
        le_unload(&loaded);
    }
    finish();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(all_is_well), CASE(a_gpu_without_the_memory), CASE(fast_makes_way_for_exact),
        CASE(a_gpu_that_computes_wrongly), CASE(a_gpu_that_is_lost),
        CASE(a_load_foretold), CASE(an_integrated_gpu_has_what_the_machine_has),
        CASE(kernels_that_compute_wrongly), CASE(odd_weights_are_loaded),
        CASE(a_stop_ends_it), CASE(every_allocation_may_fail),
    };
    tg_log_set_level(TG_LOG_ERROR);
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
