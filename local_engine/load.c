#include "local_engine/load.h"

#include <string.h>

#include "config/base/log.h"
#include "local_engine/memory.h"
#include "local_engine/plan.h"

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

bool le_is_software(const struct le_loaded *l)
{
    const char *device = l->ops->describe(l->be);
    return is_gpu(l) && (strstr(device, "llvmpipe") || strstr(device, "SwiftShader"));
}

/* What the open device can still hold. A software driver's memory is the machine's. */
static enum tg_status check_memory(const struct le_gguf *g, const struct le_load_options *o,
                                   const struct le_loaded *l, struct tg_error *err)
{
    const struct le_plan_device device = { .gpu = is_gpu(l),
                                           .precision = le_device_precision(&o->device),
                                           .kernels = o->device.kernels };
    struct le_memory memory;
    uint64_t used, available;
    l->ops->memory(l->be, &used, &available);
    available -= used < available ? used : available;
    bool host = !device.gpu || le_is_software(l);
    le_memory_read("", &memory);
    if (host && memory.available < available)
        available = memory.available;
    return le_plan_check(g, &device, o->model.context, available,
                         host ? "this machine" : "the GPU", err);
}

static enum tg_status load(const struct le_gguf *g, const struct le_load_options *o,
                           struct le_loaded *out, struct tg_error *err)
{
    enum tg_status st = le_device_open(&o->device, &out->ops, &out->be, err);
    if (!st)
        st = check_memory(g, o, out, err);
    if (!st)
        st = le_model_open(g, out->ops, out->be, &o->model, &out->model, err);
    return st;
}

enum tg_status le_load(const struct le_gguf *g, const struct le_load_options *options,
                       struct le_loaded *out, struct tg_error *err)
{
    struct tg_error why = { .text = "" };
    *out = (struct le_loaded){ .ops = NULL };
    enum tg_status st = load(g, options, out, &why);
    bool gpu = out->be && is_gpu(out);
    if (!st)
        return TG_OK;
    le_unload(out);
    if (options->device.device != LE_DEVICE_AUTO || !gpu || (st != TG_NOMEM && st != TG_DEVICE))
        return tg_fail(err, st, "%s", why.text);
    tg_log(TG_LOG_WARN, "engine-gpu-unfit", "running on the CPU: %s", why.text);
    struct le_load_options cpu = *options;
    cpu.device.device = LE_DEVICE_CPU;
    st = load(g, &cpu, out, err);
    if (st)
        le_unload(out);
    return st;
}
