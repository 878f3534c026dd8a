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

enum tg_status open_vulkan(const struct le_ops **ops, struct le_backend **be, struct tg_error *err)
{
    struct gpu_options options = { .software = true, .validation = true,
                                   .on_message = on_message };
    enum tg_status st = gpu_open(&options, ops, be, err);
    atomic_store(&no_device, st == TG_NOTFOUND);
    return st;
}

bool no_vulkan(void)
{
    return atomic_load(&no_device);
}

int vulkan_messages(void)
{
    return atomic_exchange(&messages, 0);
}
