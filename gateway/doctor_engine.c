#include "gateway/doctor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "local_engine/gguf.h"
#include "local_engine/load.h"
#include "local_engine/memory.h"
#include "local_engine/model_file.h"
#include "local_engine/plan.h"
#include "local_engine/vulkan/gpu.h"

enum { NAME_BYTES = 128 }; /* of a model's name, as shown */

/* --- processor and memory -------------------------------------------------------------------- */

static void processor_name(char out[128])
{
    char line[400];
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(out, 128, "processor");
    while (f && fgets(line, sizeof(line), f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon || !colon[1])
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(out, 128, "%.120s", colon + 2);
        break;
    }
    if (f)
        fclose(f);
}

static void check_cpu(struct gw_doctor *d)
{
    const struct cpu_options options = { .precision = LE_FAST };
    const struct le_ops *ops;
    struct le_backend *be;
    struct tg_error err;
    char name[128];
    processor_name(name);
    if (cpu_open(&options, &ops, &be, &err) != TG_OK) {
        gw_check_add(d, GW_CHECK_FAIL, "cpu", NULL, "%s: %s", name, err.text);
        return;
    }
    gw_check_add(d, GW_CHECK_OK, "cpu", NULL, "%s, %ld cores; %s", name,
                 sysconf(_SC_NPROCESSORS_ONLN), ops->describe(be));
    ops->close(be);
}

static void check_memory(struct gw_doctor *d)
{
    struct le_memory whole;
    char total[LE_SIZE_TEXT], available[LE_SIZE_TEXT], machine[LE_SIZE_TEXT];
    le_memory_read("", &whole);
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t has = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_MAX;
    if (whole.total == UINT64_MAX) {
        gw_check_add(d, GW_CHECK_WARN, "memory", NULL, "the system does not tell");
        return;
    }
    le_size_text(total, whole.total);
    le_size_text(available, whole.available);
    if (has != UINT64_MAX && whole.total < has / 100 * 98)
        gw_check_add(d, GW_CHECK_OK, "memory", NULL,
                     "%s, %s of it available: the control group's limit (the machine has %s)",
                     total, available, le_size_text(machine, has));
    else
        gw_check_add(d, GW_CHECK_OK, "memory", NULL, "%s, %s of it available", total, available);
}

/* --- Vulkan ---------------------------------------------------------------------------------- */

static void tell_gpu(struct gw_doctor *d, struct le_backend *be, enum gw_check_state state,
                     const char *remedy)
{
    struct gpu_info info;
    char size[LE_SIZE_TEXT], heaps[300] = "";
    size_t n = 0;
    gpu_tell(be, &info);
    for (uint32_t i = 0; i < info.n_heaps && n < sizeof(heaps) - 60; i++)
        n += (size_t)snprintf(heaps + n, sizeof(heaps) - n, "%s%s%s", i ? ", " : "",
                              le_size_text(size, info.heaps[i].bytes),
                              info.heaps[i].on_device ? " (device)" : " (host)");
    gw_check_add(d, state, "vulkan", remedy,
                 "%s; driver %s; Vulkan %u.%u.%u; subgroups of %u; memory %s", info.name,
                 info.driver, info.api[0], info.api[1], info.api[2], info.subgroup, heaps);
}

static void check_vulkan(struct gw_doctor *d)
{
    struct gpu_options options = { .precision = LE_FAST };
    const struct le_ops *ops;
    struct le_backend *be;
    struct tg_error err;
    bool wanted = strcmp(d->survey->device, "vulkan") == 0;
    if (gpu_open(&options, &ops, &be, &err) == TG_OK) {
        tell_gpu(d, be, GW_CHECK_OK, NULL);
        gw_check_add(d, GW_CHECK_OK, "vulkan", NULL, "in use: %s", ops->describe(be));
        ops->close(be);
        return;
    }
    struct tg_error why = err;
    options.software = true;
    if (gpu_open(&options, &ops, &be, &err) == TG_OK) {
        tell_gpu(d, be, GW_CHECK_WARN,
                 wanted ? "install the driver of the GPU; a software driver is slower than "
                          "engine.device \"cpu\""
                        : "the engine runs on the CPU; a GPU needs its Vulkan driver installed");
        ops->close(be);
        return;
    }
    gw_check_add(d, wanted ? GW_CHECK_FAIL : GW_CHECK_WARN, "vulkan",
                 wanted ? "install libvulkan1 and the GPU's driver, or set engine.device to \"cpu\""
                        : "the engine runs on the CPU; for a GPU install libvulkan1 and its driver",
                 "none: %s", why.text);
}

/* --- the model ------------------------------------------------------------------------------- */

static const char *find_model(struct gw_doctor *d)
{
    const struct cfg_survey *s = d->survey;
    static const char fetch[] =
        "tollgate pull --list shows what can be fetched; tollgate pull NAME "
        "fetches it; then name the file in engine.model";
    if (!s->model) {
        gw_check_add(d, GW_CHECK_FAIL, "model", fetch, "engine.model is not given");
        return NULL;
    }
    for (int i = 0; i < 2; i++) {
        if (!s->model_found[i] || access(s->model_found[i], F_OK) != 0)
            continue;
        if (access(s->model_found[i], R_OK) == 0)
            return s->model_found[i];
        gw_check_add(d, GW_CHECK_FAIL, "model", "let the user that runs the gateway read it",
                     "%s: %s", s->model_found[i], strerror(errno));
        return NULL;
    }
    gw_check_add(d, GW_CHECK_FAIL, "model", fetch, "%s is not there%s%s", s->model_found[0],
                 s->model_found[1] ? ", nor is " : "", s->model_found[1] ? s->model_found[1] : "");
    return NULL;
}

static struct le_device_options device_options(const struct gw_doctor *d)
{
    struct le_device_options o = { .device = LE_DEVICE_AUTO };
    const char *precision = d->settings ? d->settings->engine.precision : "auto";
    if (!le_device_parse(tg_str_of(d->survey->device), &o.device))
        o.device = LE_DEVICE_AUTO;
    if (!le_precision_parse(tg_str_of(precision), &o.precision))
        o.precision = LE_PRECISION_AUTO;
    o.threads = d->settings ? d->settings->engine.threads : 0;
    return o;
}

/* What serve will meet with and get over: nothing here is a failure. */
static void on_load(void *arg, enum le_load_event event, bool gpu, const char *text)
{
    struct gw_doctor *d = arg;
    switch (event) {
    case LE_LOAD_FITS:
        gw_check_add(d, GW_CHECK_OK, "model", NULL, "%s", text);
        return;
    case LE_LOAD_UNFIT:
        gw_check_add(d, GW_CHECK_WARN, "model", "nothing to do, if the CPU is fast enough", "%s",
                     text);
        return;
    case LE_LOAD_RIGHT:
        gw_check_add(d, GW_CHECK_OK, "self-test", NULL, "%s", text);
        return;
    case LE_LOAD_UNTESTED:
        gw_check_add(d, GW_CHECK_WARN, "self-test",
                     "serve runs it untested; look at its answers, or fetch it again",
                     "none for this model: %s", text);
        return;
    case LE_LOAD_WRONG:
        gw_check_add(d, GW_CHECK_WARN, "self-test",
                     gpu ? "update the GPU's driver; serve falls back to what computes rightly"
                         : "serve falls back to what computes rightly; report this processor",
                     "%s", text);
    }
}

/* What serve will refuse. */
static void load_failed(struct gw_doctor *d, enum le_device device, enum tg_status status,
                        const char *text)
{
    bool wrong = status == TG_INTERNAL, unusable = status != TG_NOMEM && !wrong;
    const char *remedy = NULL; /* the sentence about memory has its own */
    if (device != LE_DEVICE_CPU && wrong)
        remedy = "update the GPU's driver, or set engine.device to \"auto\" or \"cpu\"";
    else if (device != LE_DEVICE_CPU && unusable)
        remedy = device == LE_DEVICE_AUTO ? "set engine.device to \"cpu\""
                                          : "set engine.device to \"auto\" or \"cpu\"";
    else if (wrong)
        remedy = "build the program anew, or report this processor";
    gw_check_add(d, GW_CHECK_FAIL, wrong ? "self-test" : "model", remedy, "%s", text);
}

/* Goes through what serve goes through, but for the loading itself. */
static void check_load(struct gw_doctor *d, const struct le_model_file *file)
{
    struct le_load_options o = { .device = device_options(d),
                                 .no_selftest = d->no_selftest,
                                 .dry = true,
                                 .event = on_load,
                                 .arg = d,
                                 .open = d->open };
    struct le_loaded loaded;
    struct tg_error err;
    if (le_context_choose(file->g, &file->params, d->survey->context, &o.model.context, &err)) {
        gw_check_add(d, GW_CHECK_FAIL, "model",
                     "set engine.context to what the model allows, or leave it out", "%s",
                     err.text);
        return;
    }
    enum tg_status status = le_load(file->g, &o, &loaded, &err);
    if (status)
        load_failed(d, o.device.device, status, err.text);
    le_unload(&loaded);
}

static void check_model(struct gw_doctor *d)
{
    const char *path = find_model(d);
    struct le_model_file file;
    struct tg_str name;
    struct tg_error err;
    char size[LE_SIZE_TEXT], shown[NAME_BYTES] = "";
    if (!path)
        return;
    if (le_model_file_open(path, &file, &err) != TG_OK) {
        gw_check_add(d, GW_CHECK_FAIL, "model",
                     "fetch it again (tollgate pull), or take a file that this version runs", "%s",
                     err.text);
        return;
    }
    if (le_gguf_string(file.g, "general.name", &name, NULL) == TG_OK)
        le_gguf_text_print(name, shown, sizeof(shown)); /* cut: the rest of the line matters */
    gw_check_add(d, GW_CHECK_OK, "model", NULL, "%s: %s, %s, %u layers", path,
                 shown[0] ? shown : "a model without a name",
                 le_size_text(size, le_gguf_file_size(file.g)), file.params.n_layers);
    check_load(d, &file);
    le_model_file_close(&file);
}

void gw_check_engine(struct gw_doctor *d)
{
    check_cpu(d);
    check_memory(d);
    check_vulkan(d);
    check_model(d);
}
