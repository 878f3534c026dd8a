#include "tests/unit/engine/support_backends.h"

#include <stdatomic.h>
#include <stdio.h>

static _Atomic int messages;
static _Atomic bool no_device;

enum tg_status open_cpu(const struct le_ops **ops, struct le_backend **be, struct tg_error *err)
{
    return cpu_open(NULL, ops, be, err);
}

static void on_message(void *arg, const char *text)
{
    (void)arg;
    atomic_fetch_add(&messages, 1);
    fprintf(stderr, "validation: %s\n", text);
}

static enum tg_status open_gpu(enum le_precision precision, const struct le_ops **ops,
                               struct le_backend **be, struct tg_error *err)
{
    struct gpu_options options = { .precision = precision, .software = true, .validation = true,
                                   .on_message = on_message };
    enum tg_status st = gpu_open(&options, ops, be, err);
    atomic_store(&no_device, st == TG_NOTFOUND);
    return st;
}

enum tg_status open_vulkan(const struct le_ops **ops, struct le_backend **be, struct tg_error *err)
{
    return open_gpu(LE_EXACT, ops, be, err);
}

enum tg_status open_vulkan_fast(const struct le_ops **ops, struct le_backend **be,
                                struct tg_error *err)
{
    return open_gpu(LE_FAST, ops, be, err);
}

bool no_vulkan(void)
{
    return atomic_load(&no_device);
}

int vulkan_messages(void)
{
    return atomic_exchange(&messages, 0);
}
