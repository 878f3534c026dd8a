/* Where barriers go. Pure logic: ops declare what they read and write as ranges of device
 * addresses, in order; the recorder says before which op a barrier is needed. Everything between
 * two barriers is free to run at the same time. */
#ifndef LE_VULKAN_RECORDER_H
#define LE_VULKAN_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GPU_ACCESSES_MAX = 256, GPU_OP_ACCESSES_MAX = 8 };

struct gpu_access {
    uint64_t begin, end; /* device addresses, end exclusive */
    bool write;
};

struct gpu_recorder {
    struct gpu_access pending[GPU_ACCESSES_MAX]; /* since the last barrier */
    size_t n;
};

void gpu_recorder_reset(struct gpu_recorder *r);
/* Notes an op with n (at most GPU_OP_ACCESSES_MAX) accesses. True: a barrier must precede it,
 * because it reads what was written (RAW), writes what was read (WAR) or written (WAW) since the
 * last barrier, or because no more can be remembered. Accesses of one op do not conflict among
 * themselves. */
bool gpu_recorder_op(struct gpu_recorder *r, const struct gpu_access *a, size_t n);

#endif
