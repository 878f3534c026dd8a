#include "local_engine/load.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/log.h"
#include "local_engine/plan.h"
#include "local_engine/selftest.h"

enum { TEXT_BYTES = 800 };

void le_unload(struct le_loaded *l)
{
    le_model_close(l->model);
    if (l->be)
        l->ops->close(l->be);
    *l = (struct le_loaded){ .ops = NULL };
}

static bool is_gpu(const struct le_loaded *l)
{
    return strcmp(l->ops->name, "vulkan") == 0;
}

enum le_precision le_loaded_precision(const struct le_loaded *l)
{
    return strstr(l->ops->describe(l->be), ", fast (") ? LE_FAST : LE_EXACT;
}

/* ---- attempts: what comes after one that failed ---- */

struct loading {
    const struct le_gguf *g;
    const struct le_load_options *o;
    struct le_device_options device; /* of the attempt */
    struct le_selftest *test;        /* made when it is first needed; NULL: none is possible */
    bool made;
    bool gpu, wrong; /* of the last attempt: what it ran on, and whether it failed its test */
};

__attribute__((format(printf, 3, 4)))
static void tell(const struct loading *l, enum le_load_event event, const char *fmt, ...)
{
    static const struct {
        const char *name;
        enum tg_log_level level;
    } lines[] = {
        [LE_LOAD_FITS] = { "engine-fits", TG_LOG_INFO },
        [LE_LOAD_UNTESTED] = { "engine-selftest-skipped", TG_LOG_WARN },
        [LE_LOAD_RIGHT] = { "engine-selftest", TG_LOG_INFO },
        [LE_LOAD_WRONG] = { "engine-selftest-failed", TG_LOG_WARN },
        [LE_LOAD_UNFIT] = { "engine-gpu-unfit", TG_LOG_WARN },
    };
    char text[TEXT_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (l->o->event)
        l->o->event(l->o->arg, event, l->gpu, text);
    else
        tg_log(lines[event].level, lines[event].name, "%s", text);
}

static enum tg_status open_device(const struct loading *l, struct le_loaded *out,
                                  struct tg_error *err)
{
    return (l->o->open ? l->o->open : le_device_open)(&l->device, &out->ops, &out->be, err);
}

/* The kernel sets of the cpu, best first; scalar C is what the others are tested against. */
static const char *const kernel_sets[] = { "avx512", "avx2", "neon", "scalar" };

enum { N_SETS = sizeof(kernel_sets) / sizeof(*kernel_sets) };

static bool runs_here(const char *kernels)
{
    const struct cpu_options o = { .precision = LE_EXACT, .threads = 1, .kernels = kernels };
    const struct le_ops *ops = NULL;
    struct le_backend *be = NULL;
    if (cpu_open(&o, &ops, &be, NULL))
        return false;
    ops->close(be);
    return true;
}

/* The set after the one in use that runs on this processor; NULL behind the last. */
static const char *next_kernels(const char *now)
{
    size_t i = 0;
    while (i < N_SETS && (now ? strcmp(now, kernel_sets[i]) != 0 : !runs_here(kernel_sets[i])))
        i++;
    for (i++; i < N_SETS; i++)
        if (runs_here(kernel_sets[i]))
            return kernel_sets[i];
    return NULL;
}

/* Prepares the next attempt; false: there is none. */
static bool next_attempt(struct loading *l, enum tg_status why)
{
    struct le_device_options *d = &l->device;
    bool automatic = l->o->device.device == LE_DEVICE_AUTO;
    if (!l->wrong) {
        if (!l->gpu || !automatic || (why != TG_NOMEM && why != TG_DEVICE))
            return false;
    } else if (d->precision != LE_PRECISION_EXACT) {
        d->precision = LE_PRECISION_EXACT;
        return true;
    } else if (!l->gpu) {
        d->kernels = next_kernels(d->kernels);
        if (!d->kernels)
            return false;
        d->precision = strcmp(d->kernels, "scalar") == 0 ? LE_PRECISION_EXACT
                                                         : l->o->device.precision;
        return true;
    } else if (!automatic) {
        return false;
    }
    *d = l->o->device;
    d->device = LE_DEVICE_CPU;
    return true;
}

/* ---- one attempt ---- */

/* Whether the attempt is what tests are made with: nothing to be found there. */
static bool is_oracle(const struct loading *l)
{
    return !l->gpu && l->device.precision == LE_PRECISION_EXACT && l->device.kernels &&
           strcmp(l->device.kernels, "scalar") == 0;
}

static enum tg_status check_memory(const struct loading *l, const struct le_loaded *on,
                                   struct tg_error *err)
{
    const struct le_plan_device device = { .gpu = l->gpu,
                                           .precision = le_device_precision(&l->device),
                                           .kernels = l->device.kernels };
    uint32_t context = l->o->model.context;
    char need[LE_SIZE_TEXT], has[LE_SIZE_TEXT];
    struct le_plan plan;
    const char *where;
    uint64_t room = le_device_room(on->ops, on->be, &where);
    enum tg_status st = le_plan_check(l->g, &device, context, room, where, err);
    if (!st)
        st = le_plan(l->g, &device, context, &plan, err);
    if (!st)
        tell(l, LE_LOAD_FITS, "needs %s at context %u on %s; %s has %s free",
             le_size_text(need, plan.total), context, on->ops->describe(on->be), where,
             le_size_text(has, room));
    return st;
}

static enum tg_status make_test(struct loading *l, struct tg_error *err)
{
    struct tg_error why = { .text = "" };
    struct le_params params;
    if (l->made)
        return TG_OK;
    enum tg_status st = le_params_read(l->g, &params, &why);
    if (!st)
        st = le_selftest_new(l->g, &params, l->o->model.stop, &l->test, &why);
    /* A cut may do to odd weights what the whole does not: no number, so nothing to compare; and
     * odd shapes may make it too large. */
    if (st && st != TG_UNSUPPORTED && st != TG_INTERNAL && st != TG_LIMIT)
        return tg_fail(err, st, "%s", why.text);
    if (st)
        tell(l, LE_LOAD_UNTESTED, "%s", why.text);
    l->made = true;
    return TG_OK;
}

/* Runs the test on out's backend, which is then used up: it is opened anew. */
static enum tg_status test_device(struct loading *l, struct le_loaded *out, struct tg_error *err)
{
    struct le_selftest_report report;
    struct tg_error why = { .text = "" };
    enum tg_status st = make_test(l, err);
    if (st || !l->test)
        return st;
    st = le_selftest_run(l->test, out->ops, out->be, le_device_precision(&l->device), &report,
                         &why);
    l->wrong = st == TG_INTERNAL;
    if (st)
        return tg_fail(err, st, "%s%s: %s", l->wrong ? "the self-test failed on " : "",
                       out->ops->describe(out->be), why.text);
    tell(l, LE_LOAD_RIGHT, "passed on %s: off by %.2g of the logits' spread (at most %.2g)",
         out->ops->describe(out->be), report.error, report.limit);
    le_unload(out);
    return open_device(l, out, err);
}

static enum tg_status attempt(struct loading *l, struct le_loaded *out, struct tg_error *err)
{
    char size[LE_SIZE_TEXT];
    l->wrong = false;
    enum tg_status st = open_device(l, out, err);
    l->gpu = !st && is_gpu(out);
    if (!st)
        st = check_memory(l, out, err);
    if (!st && !l->o->no_selftest && !is_oracle(l))
        st = test_device(l, out, err);
    int64_t begin = tg_mono_ns();
    if (!st && !l->o->dry)
        st = le_model_open(l->g, out->ops, out->be, &l->o->model, &out->model, err);
    if (st)
        le_unload(out);
    else if (!l->o->dry)
        tg_log(TG_LOG_INFO, "engine-loaded", "%s (%s) in %.1f s", le_gguf_path(l->g),
               le_size_text(size, le_gguf_file_size(l->g)),
               (double)(tg_mono_ns() - begin) / 1e9);
    return st;
}

enum tg_status le_load(const struct le_gguf *g, const struct le_load_options *options,
                       struct le_loaded *out, struct tg_error *err)
{
    struct loading l = { .g = g, .o = options, .device = options->device };
    struct tg_error why = { .text = "" };
    *out = (struct le_loaded){ .ops = NULL };
    enum tg_status st = attempt(&l, out, &why);
    while (st && next_attempt(&l, st)) {
        tell(&l, l.wrong ? LE_LOAD_WRONG : LE_LOAD_UNFIT, "%s; trying %s%s%s in precision %s",
             why.text, l.gpu && l.device.device != LE_DEVICE_CPU ? "the same device" : "the CPU",
             l.device.kernels ? " with kernels " : "", l.device.kernels ? l.device.kernels : "",
             l.device.precision == LE_PRECISION_EXACT ? "exact" : "fast");
        st = attempt(&l, out, &why);
    }
    le_selftest_free(l.test);
    return st ? tg_fail(err, st, "%s", why.text) : TG_OK;
}
