/* What the backend would take on any device, without opening one. */
#include "local_engine/vulkan/internal.h"
#include "local_engine/vulkan/repack.h"

uint64_t gpu_buf_bytes(const struct gpu_options *options, size_t n, enum le_buf_kind kind)
{
    bool half = kind == LE_BUF_KV && options && options->precision == LE_FAST;
    return (uint64_t)n * (half ? 2 : sizeof(float));
}

uint64_t gpu_weight_bytes(const struct gpu_options *options, const struct le_tensor *t)
{
    struct gpu_planes planes;
    uint64_t row = 0;
    (void)options;
    if (!gpu_planes_of(t->type, t->ne[0], &planes))
        return 0;
    for (int i = 0; i < GPU_PLANES; i++)
        row += planes.stride[i];
    return row * t->ne[1] * t->ne[2];
}

/* most: of the largest heap on the device, where weights and caches go. */
void gpu_memory(const struct le_backend *be, uint64_t *used, uint64_t *most)
{
    *used = be->used;
    *most = 0;
    for (uint32_t i = 0; i < be->memory.memoryHeapCount; i++) {
        const VkMemoryHeap *heap = &be->memory.memoryHeaps[i];
        if ((heap->flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) && heap->size > *most)
            *most = heap->size;
    }
}

bool gpu_shares_memory(const struct le_backend *be)
{
    return be->unified;
}
