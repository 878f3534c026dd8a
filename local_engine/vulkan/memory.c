/* Device memory: blocks, each one VkBuffer over one VkDeviceMemory, some of them shared by many
 * small buffers and weights, because drivers allow few allocations (4096 on some) and give none
 * of them less than a page. */
#include <string.h>

#include "config/base/alloc.h"
#include "local_engine/vulkan/record.h"

enum { ALIGN = 256 }; /* of what shares a block; at least what any descriptor or copy asks for */
static const uint64_t SHARE_MAX = 4 << 20; /* a larger one has a block of its own */
static const uint64_t BLOCK_FIRST = 256 << 10, BLOCK_MAX = 16 << 20; /* each twice the last */

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

static enum tg_status block_allocate(struct le_backend *be, struct gpu_block *b,
                                     struct tg_error *err)
{
    VkMemoryRequirements need;
    be->vk.GetBufferMemoryRequirements(be->device, b->buffer, &need);
    uint32_t type = choose_type(be, need.memoryTypeBits, b->kind);
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
    VkResult result = be->vk.AllocateMemory(be->device, &info, NULL, &b->memory);
    if (result != VK_SUCCESS) {
        b->memory = VK_NULL_HANDLE;
        return tg_fail(err, TG_NOMEM, "no device memory for %llu bytes (VkResult %d)",
                       (unsigned long long)need.size, (int)result);
    }
    be->n_allocs++;
    b->heap = heap;
    b->taken = need.size;
    be->heap_used[heap] += need.size;
    enum tg_status status =
        gpu_check(be, be->vk.BindBufferMemory(be->device, b->buffer, b->memory, 0),
                  "vkBindBufferMemory", err);
    VkMemoryPropertyFlags got = be->memory.memoryTypes[type].propertyFlags;
    if (!status && (b->kind != GPU_MEM_DEVICE || be->unified) &&
        (got & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) &&
        (got & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT))
        status = gpu_check(be,
                           be->vk.MapMemory(be->device, b->memory, 0, VK_WHOLE_SIZE, 0, &b->map),
                           "vkMapMemory", err);
    return status;
}

static void block_free(struct le_backend *be, struct gpu_block *b)
{
    struct gpu_block **at = &be->blocks;
    while (*at && *at != b)
        at = &(*at)->next;
    if (*at)
        *at = b->next;
    if (b->buffer)
        be->vk.DestroyBuffer(be->device, b->buffer, NULL);
    if (b->memory) {
        be->vk.FreeMemory(be->device, b->memory, NULL); /* unmaps */
        be->n_allocs--;
        be->heap_used[b->heap] -= b->taken;
    }
    tg_free(b);
}

static enum tg_status block_new(struct le_backend *be, enum gpu_mem_kind kind, uint64_t size,
                                struct gpu_block **out, struct tg_error *err)
{
    *out = NULL;
    if (size == 0 || size > be->alloc_max)
        return tg_fail(err, TG_NOMEM, "%s cannot hold %llu bytes in one buffer",
                       be->props.deviceName, (unsigned long long)size);
    if (be->n_allocs >= be->props.limits.maxMemoryAllocationCount)
        return tg_fail(err, TG_NOMEM, "%s allows %u memory allocations, all in use",
                       be->props.deviceName, be->props.limits.maxMemoryAllocationCount);
    struct gpu_block *b = tg_calloc(1, sizeof(*b));
    if (!b)
        return tg_fail(err, TG_NOMEM, "out of memory");
    *b = (struct gpu_block){ .kind = kind, .size = size };
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = size,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT |
                 VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |
                 VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT,
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
    };
    enum tg_status status = gpu_check(
        be, be->vk.CreateBuffer(be->device, &info, NULL, &b->buffer), "vkCreateBuffer", err);
    if (!status)
        status = block_allocate(be, b, err);
    if (status) {
        block_free(be, b);
        return status;
    }
    const VkBufferDeviceAddressInfo address = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,
        .buffer = b->buffer,
    };
    b->addr = be->vk.GetBufferDeviceAddress(be->device, &address);
    *out = b;
    return TG_OK;
}

static void place(struct gpu_block *b, uint64_t size, struct gpu_mem *out)
{
    uint64_t at = (b->end + ALIGN - 1) / ALIGN * ALIGN;
    *out = (struct gpu_mem){
        .block = b, .offset = at, .addr = b->addr + at, .size = size,
        .map = b->map ? (uint8_t *)b->map + at : NULL,
    };
    b->end = at + size;
    b->n_live++;
}

static uint64_t padded(uint64_t size) /* shaders load up to 16 bytes at once */
{
    return (size + 15) / 16 * 16;
}

enum tg_status gpu_mem_new(struct le_backend *be, enum gpu_mem_kind kind, uint64_t size,
                           struct gpu_mem *out, struct tg_error *err)
{
    struct gpu_block *b;
    *out = (struct gpu_mem){ .block = NULL };
    enum tg_status status = block_new(be, kind, padded(size), &b, err);
    if (!status)
        place(b, padded(size), out);
    return status;
}

enum tg_status gpu_mem_shared(struct le_backend *be, enum gpu_mem_kind kind, uint64_t size,
                              struct gpu_mem *out, struct tg_error *err)
{
    uint64_t need = padded(size);
    if (need == 0 || need > SHARE_MAX || need > be->alloc_max)
        return gpu_mem_new(be, kind, size, out, err);
    *out = (struct gpu_mem){ .block = NULL };
    struct gpu_block *b = be->blocks;
    uint64_t largest = 0;
    for (; b; b = b->next) {
        if (b->kind == kind && b->size - b->end >= need + ALIGN)
            break;
        if (b->kind == kind && b->size > largest)
            largest = b->size;
    }
    if (!b) {
        uint64_t block = largest ? 2 * largest : BLOCK_FIRST;
        block = block < BLOCK_MAX ? block : BLOCK_MAX;
        block = block < be->alloc_max ? block : be->alloc_max;
        enum tg_status status = block_new(be, kind, block < need ? need : block, &b, err);
        if (status)
            return status;
        b->next = be->blocks;
        be->blocks = b;
    }
    place(b, need, out);
    return TG_OK;
}

void gpu_mem_free(struct le_backend *be, struct gpu_mem *m)
{
    struct gpu_block *b = m->block;
    if (b) {
        if (m->offset + m->size == b->end)
            b->end = m->offset;
        if (--b->n_live == 0)
            block_free(be, b);
    }
    *m = (struct gpu_mem){ .block = NULL };
}

enum tg_status gpu_mem_write(struct le_backend *be, struct gpu_mem *m, uint64_t offset,
                             const void *p, uint64_t size, struct tg_error *err)
{
    if (m->map) {
        memcpy((uint8_t *)m->map + offset, p, size);
        return TG_OK;
    }
    enum tg_status status = TG_OK;
    for (uint64_t done = 0; !status && done < size;) {
        struct gpu_staged s;
        status = gpu_stage_begin(be, &s, err);
        if (status)
            break;
        uint64_t n = size - done < s.size ? size - done : s.size;
        memcpy(s.p, (const uint8_t *)p + done, n);
        const VkBufferCopy region = { .srcOffset = s.offset,
                                      .dstOffset = m->offset + offset + done, .size = n };
        status = gpu_stage_copy(be, m, &region, 1, err);
        done += n;
    }
    enum tg_status ended = gpu_stage_end(be, status ? NULL : err); /* copies may be under way */
    return status ? status : ended;
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
    be->vk.CmdFillBuffer(cmd, m->block->buffer, m->offset, m->size, 0);
    be->n_cmd_calls++;
    return gpu_once_end(be, cmd, err);
}
