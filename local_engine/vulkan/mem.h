/* Device memory and uploads: for the files of this folder only. */
#ifndef LE_VULKAN_MEM_H
#define LE_VULKAN_MEM_H

#include "local_engine/vulkan/loader.h"

struct le_backend;

enum gpu_mem_kind {
    GPU_MEM_DEVICE,   /* device local; mapped too where the device shares the host's memory */
    GPU_MEM_UPLOAD,   /* host writes, device reads */
    GPU_MEM_READBACK, /* device writes, host reads */
};

/* One allocation with one buffer over it. */
struct gpu_block {
    VkBuffer buffer;
    VkDeviceMemory memory;
    enum gpu_mem_kind kind;
    uint32_t heap, n_live;     /* pieces of it in use */
    uint64_t addr, size, end;  /* end: where the next piece begins */
    uint64_t taken;            /* bytes of the heap */
    void *map;                 /* host address or NULL */
    struct gpu_block *next;    /* of those that take more pieces */
};

/* A piece of a block, or all of it. block NULL: none. */
struct gpu_mem {
    struct gpu_block *block;
    uint64_t offset, addr, size;
    void *map; /* host address or NULL */
};

/* Host memory on its way to the device. */
struct gpu_slot {
    struct gpu_mem mem;
    VkCommandBuffer cmd; /* of the copy under way, or none */
    VkFence fence;
};
struct gpu_staged {
    uint8_t *p;
    uint64_t offset, size; /* offset: of p in the buffer that a copy reads */
};
enum { GPU_SLOTS = 2 };

/* memory.c */
/* In a block of its own; _shared: a small one in a block with others, which should be freed at the
 * end or newest first. */
enum tg_status gpu_mem_new(struct le_backend *be, enum gpu_mem_kind kind, uint64_t size,
                           struct gpu_mem *out, struct tg_error *err);
enum tg_status gpu_mem_shared(struct le_backend *be, enum gpu_mem_kind kind, uint64_t size,
                              struct gpu_mem *out, struct tg_error *err);
void gpu_mem_free(struct le_backend *be, struct gpu_mem *m);
/* Copies size bytes to m at offset: by the map, or through staging. Waits. */
enum tg_status gpu_mem_write(struct le_backend *be, struct gpu_mem *m, uint64_t offset,
                             const void *p, uint64_t size, struct tg_error *err);
enum tg_status gpu_mem_zero(struct le_backend *be, struct gpu_mem *m, struct tg_error *err);
/* stage.c. Room for out->size bytes at out->p, which _copy sends on its way to m; _end waits for
 * all. After a failure the device may still read a slot: _free after DeviceWaitIdle. */
enum tg_status gpu_stage_begin(struct le_backend *be, struct gpu_staged *out, struct tg_error *err);
enum tg_status gpu_stage_copy(struct le_backend *be, const struct gpu_mem *m,
                              const VkBufferCopy *regions, uint32_t n, struct tg_error *err);
enum tg_status gpu_stage_end(struct le_backend *be, struct tg_error *err);
void gpu_stage_free(struct le_backend *be);

#endif
