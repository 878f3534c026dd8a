#include "local_engine/device.h"

#include "config/base/log.h"
#include "local_engine/memory.h"

bool le_device_parse(struct tg_str name, enum le_device *out)
{
    static const struct {
        const char *name;
        enum le_device device;
    } devices[] = {
        { "auto", LE_DEVICE_AUTO },
        { "cpu", LE_DEVICE_CPU },
        { "vulkan", LE_DEVICE_VULKAN },
    };
    for (size_t i = 0; i < sizeof(devices) / sizeof(*devices); i++)
        if (tg_str_eq(name, tg_str_of(devices[i].name))) {
            *out = devices[i].device;
            return true;
        }
    return false;
}

bool le_precision_parse(struct tg_str name, enum le_precision_choice *out)
{
    static const char *const names[] = { "auto", "exact", "fast" };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (tg_str_eq(name, tg_str_of(names[i]))) {
            *out = (enum le_precision_choice)i;
            return true;
        }
    return false;
}

uint64_t le_machine_memory(void)
{
    struct le_memory m;
    le_memory_read("", &m);
    return m.total;
}

uint64_t le_device_room(const struct le_ops *ops, const struct le_backend *be, const char **where)
{
    bool shared = ops->shares_memory(be);
    struct le_memory machine;
    uint64_t used, most;
    ops->memory(be, &used, &most);
    uint64_t room = most > used ? most - used : 0;
    *where = shared ? "this machine" : "the GPU";
    if (!shared)
        return room;
    le_memory_read("", &machine);
    return machine.available < room ? machine.available : room;
}

static void on_message(void *arg, const char *text)
{
    (void)arg;
    tg_log(TG_LOG_WARN, "vulkan-message", "%s", text);
}

enum le_precision le_device_precision(const struct le_device_options *options)
{
    return options->precision == LE_PRECISION_EXACT ? LE_EXACT : LE_FAST;
}

enum tg_status le_device_open(const struct le_device_options *o, const struct le_ops **ops,
                              struct le_backend **be, struct tg_error *err)
{
    enum le_precision precision = le_device_precision(o);
    *be = NULL;
    if (o->device != LE_DEVICE_CPU) {
        struct gpu_options options = { .precision = precision,
                                       .software = o->device == LE_DEVICE_VULKAN,
                                       .on_message = on_message,
                                       .cache_dir = o->cache_dir };
        struct tg_error why = { 0 };
        enum tg_status st = gpu_open(&options, ops, be, &why);
        if (!st)
            return TG_OK;
        if (o->device == LE_DEVICE_VULKAN)
            return tg_fail(err, st, "%s", why.text);
        tg_log(TG_LOG_INFO, "engine-no-gpu", "running on the CPU: %s", why.text);
    }
    const struct cpu_options options = { .precision = precision, .threads = o->threads,
                                         .kernels = o->kernels };
    return cpu_open(&options, ops, be, err);
}
