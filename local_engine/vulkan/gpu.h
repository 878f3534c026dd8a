/* What the Vulkan backend tells beyond struct le_ops: for tests and for doctor. Same threading
 * as the backend: one thread at a time. */
#ifndef LE_VULKAN_GPU_H
#define LE_VULKAN_GPU_H

#include "local_engine/ops.h"

enum { GPU_HEAPS_MAX = 16, GPU_NAME_MAX = 256 };

struct gpu_info {
    char name[GPU_NAME_MAX];   /* of the device */
    char driver[GPU_NAME_MAX]; /* its name, and its version as it tells it */
    uint32_t api[3];           /* Vulkan version of the driver: 1, 3, 255 */
    uint32_t subgroup;
    bool software;             /* it computes on the CPU */
    uint32_t n_heaps;
    struct {
        uint64_t bytes; /* of a software driver: the machine's */
        bool on_device;
    } heaps[GPU_HEAPS_MAX];
};
void gpu_tell(const struct le_backend *be, struct gpu_info *out);

/* Validation was asked for and the layers are installed. */
bool gpu_has_validation(const struct le_backend *be);
/* vkCmd* calls made so far: a replayed step makes none. */
uint64_t gpu_vkcmd_count(const struct le_backend *be);
/* Largest allocation of a weight from now on, at least one row; bigger tensors are split by rows.
 * The device's own limits stay in force. For tests. */
void gpu_set_part_max(struct le_backend *be, uint64_t bytes);
/* Host memory that uploads have taken: all of it is kept for the next. */
uint64_t gpu_staging_bytes(const struct le_backend *be);
/* Parts a weight was split into. */
uint32_t gpu_weight_parts(const struct le_weight *w);
/* Passes recorded from now on are cut into segments of so many multiply-adds, and matmuls into
 * dispatches of no more; each step is submitted segment by segment until it is known how fast the
 * device is. For tests. */
void gpu_set_cut(struct le_backend *be, double cost);
/* The checked variant of all shaders, several times slower: each address is compared with the
 * backend's buffers, and run() answers TG_INTERNAL when one is outside. Forgets every recorded
 * pass. */
void gpu_set_check(struct le_backend *be, bool on);
/* Forgets every recorded pass: the next begin of any class records anew. For tests and benchmarks
 * that emit other ops into the same class. */
void gpu_forget(struct le_backend *be);
/* As if the device were lost: every later run answers TG_DEVICE. For tests. */
void gpu_lose(struct le_backend *be);

#endif
