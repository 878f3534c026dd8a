#include <string.h>

#include "config/base/alloc.h"
#include "local_engine/vulkan/record.h"

static const uint64_t STAGING_BYTES = 16 << 20;

/* The memory type with all of want that has most of like; UINT32_MAX: none. */
static uint32_t find_type(const struct le_backend *be, uint32_t allowed, VkMemoryPropertyFlags want,
                          VkMemoryPropertyFlags like)
{
    uint32_t best = UINT32_MAX;
    int best_score = -1;
    for (uint32_t i = 0; i < be->memory.memoryTypeCount; i++) {
        VkMemoryPropertyFlags flags = be->memory.memoryTypes[i].propertyFlags;
        if (!(allowed >> i & 1) || (flags & want) != want)
            continue;
        int score = __builtin_popcount(flags & like);
        if (score > best_score) {
            best_score = score;
            best = i;
        }
    }
    return best;
}

static uint32_t choose_type(const struct le_backend *be, uint32_t allowed, enum gpu_mem_kind kind)
{
    const VkMemoryPropertyFlags host =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    if (kind == GPU_MEM_UPLOAD)
        return find_type(be, allowed, host, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
    if (kind == GPU_MEM_READBACK)
        return find_type(be, allowed, host, VK_MEMORY_PROPERTY_HOST_CACHED_BIT);
    return find_type(be, allowed, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, be->unified ? host : 0);
}

static enum tg_status allocate(struct le_backend *be, enum gpu_mem_kind kind, struct gpu_mem *m,
                               struct tg_error *err)
{
    VkMemoryRequirements need;
    be->vk.GetBufferMemoryRequirements(be->device, m->buffer, &need);
    uint32_t type = choose_type(be, need.memoryTypeBits, kind);
    if (type == UINT32_MAX)
        return tg_fail(err, TG_UNSUPPORTED, "%s has no suitable memory type",
                       be->props.deviceName);
    uint32_t heap = be->memory.memoryTypes[type].heapIndex;
    uint64_t heap_size = be->memory.memoryHeaps[heap].size;
    /* Drivers may promise more than there is, as the system does for a software one. */
    if (need.size > heap_size || be->heap_used[heap] > heap_size - need.size)
        return tg_fail(err, TG_NOMEM, "%s has no memory for a buffer of %llu MiB: its heap has "
                       "%llu MiB, other buffers take %llu MiB of it", be->props.deviceName,
                       (unsigned long long)(need.size >> 20), (unsigned long long)(heap_size >> 20),
                       (unsigned long long)(be->heap_used[heap] >> 20));
    const VkMemoryAllocateFlagsInfo flags = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
        .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT,
    };
    const VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
        .pNext = &flags,
        .allocationSize = need.size,
        .memoryTypeIndex = type,
    };
    VkResult result = be->vk.AllocateMemory(be->device, &info, NULL, &m->memory);
    if (result != VK_SUCCESS) {
        m->memory = VK_NULL_HANDLE;
        return tg_fail(err, TG_NOMEM, "no device memory for %llu bytes (VkResult %d)",
                       (unsigned long long)need.size, (int)result);
    }
    be->n_allocs++;
    m->heap = heap;
    m->taken = need.size;
    be->heap_used[heap] += need.size;
    enum tg_status status =
        gpu_check(be, be->vk.BindBufferMemory(be->device, m->buffer, m->memory, 0),
                  "vkBindBufferMemory", err);
    VkMemoryPropertyFlags got = be->memory.memoryTypes[type].propertyFlags;
    if (!status && (kind != GPU_MEM_DEVICE || be->unified) &&
        (got & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) &&
        (got & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT))
        status = gpu_check(be,
                           be->vk.MapMemory(be->device, m->memory, 0, VK_WHOLE_SIZE, 0, &m->map),
                           "vkMapMemory", err);
    return status;
}

enum tg_status gpu_mem_new(struct le_backend *be, enum gpu_mem_kind kind, uint64_t size,
                           struct gpu_mem *out, struct tg_error *err)
{
    *out = (struct gpu_mem){ .size = (size + 15) / 16 * 16 };
    if (size == 0 || out->size > be->alloc_max)
        return tg_fail(err, TG_NOMEM, "%s cannot hold %llu bytes in one buffer",
                       be->props.deviceName, (unsigned long long)size);
    if (be->n_allocs >= be->props.limits.maxMemoryAllocationCount)
        return tg_fail(err, TG_NOMEM, "%s allows %u memory allocations, all in use",
                       be->props.deviceName, be->props.limits.maxMemoryAllocationCount);
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = out->size,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT |
                 VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |
                 VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT,
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
    };
    enum tg_status status = gpu_check(
        be, be->vk.CreateBuffer(be->device, &info, NULL, &out->buffer), "vkCreateBuffer", err);
    if (!status)
        status = allocate(be, kind, out, err);
    if (status) {
        gpu_mem_free(be, out);
        return status;
    }
    const VkBufferDeviceAddressInfo address = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,
        .buffer = out->buffer,
    };
    out->addr = be->vk.GetBufferDeviceAddress(be->device, &address);
    return TG_OK;
}

void gpu_mem_free(struct le_backend *be, struct gpu_mem *m)
{
    if (m->buffer)
        be->vk.DestroyBuffer(be->device, m->buffer, NULL);
    if (m->memory) {
        be->vk.FreeMemory(be->device, m->memory, NULL); /* unmaps */
        be->n_allocs--;
        be->heap_used[m->heap] -= m->taken;
    }
    *m = (struct gpu_mem){ .map = NULL };
}

static enum tg_status write_staged(struct le_backend *be, struct gpu_mem *m, uint64_t offset,
                                   const uint8_t *p, uint64_t size, struct tg_error *err)
{
    enum tg_status status = TG_OK;
    if (!be->staging.buffer)
        status = gpu_mem_new(be, GPU_MEM_UPLOAD, STAGING_BYTES, &be->staging, err);
    for (uint64_t done = 0; !status && done < size;) {
        uint64_t n = size - done < STAGING_BYTES ? size - done : STAGING_BYTES;
        memcpy(be->staging.map, p + done, n);
        VkCommandBuffer cmd = VK_NULL_HANDLE;
        status = gpu_once_begin(be, &cmd, err);
        if (status)
            break;
        const VkBufferCopy region = { .srcOffset = 0, .dstOffset = offset + done, .size = n };
        be->vk.CmdCopyBuffer(cmd, be->staging.buffer, m->buffer, 1, &region);
        be->n_cmd_calls++;
        status = gpu_once_end(be, cmd, err);
        done += n;
    }
    return status;
}

enum tg_status gpu_mem_write(struct le_backend *be, struct gpu_mem *m, uint64_t offset,
                             const void *p, uint64_t size, struct tg_error *err)
{
    if (!m->map)
        return write_staged(be, m, offset, p, size, err);
    memcpy((uint8_t *)m->map + offset, p, size);
    return TG_OK;
}

enum tg_status gpu_mem_zero(struct le_backend *be, struct gpu_mem *m, struct tg_error *err)
{
    if (m->map) {
        memset(m->map, 0, m->size);
        return TG_OK;
    }
    VkCommandBuffer cmd = VK_NULL_HANDLE;
    enum tg_status status = gpu_once_begin(be, &cmd, err);
    if (status)
        return status;
    be->vk.CmdFillBuffer(cmd, m->buffer, 0, VK_WHOLE_SIZE, 0);
    be->n_cmd_calls++;
    return gpu_once_end(be, cmd, err);
}
