/* Devices and precisions by name. */
#ifndef LE_DEVICE_H
#define LE_DEVICE_H

#include "local_engine/backend.h"
#include "local_engine/engine.h"

/* "auto", "cpu", "vulkan"; false for anything else. */
bool le_device_parse(struct tg_str name, enum le_device *out);

/* "auto", "exact", "fast"; false for anything else. */
bool le_precision_parse(struct tg_str name, enum le_precision_choice *out);

struct le_device_options {
    enum le_device device;
    enum le_precision_choice precision;
    uint32_t threads;      /* of the cpu; 0: one for each core */
    const char *kernels;   /* of the cpu; NULL: the best that run here (struct cpu_options) */
    const char *cache_dir; /* where the pipeline cache is kept, or NULL */
};
/* The backend's precision; AUTO is fast. */
enum le_precision le_device_precision(const struct le_device_options *options);

/* Opens a backend; closed with (*ops)->close(*be), owned by the caller, one thread at a time.
 * LE_DEVICE_AUTO: a real GPU if there is one that works, else the CPU (the reason is logged), never
 * a software Vulkan driver. LE_DEVICE_VULKAN: a real GPU, else a software driver. Errors as
 * cpu_open and gpu_open. */
enum tg_status le_device_open(const struct le_device_options *options, const struct le_ops **ops,
                              struct le_backend **be, struct tg_error *err);
/* Bytes that an open backend can still take; of memory that it shares with the machine never more
 * than is available there. *where, a constant, says whose memory that is: "this machine" or "the
 * GPU". */
uint64_t le_device_room(const struct le_ops *ops, const struct le_backend *be, const char **where);
/* Bytes of memory that the machine, or this process's control group, has; UINT64_MAX when the
 * system does not tell. */
uint64_t le_machine_memory(void);

#endif
