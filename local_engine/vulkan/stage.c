/* Uploads through host memory: two slots, so that one is filled while the other is copied. What
 * stays within the slots is all the host memory that an upload of any size takes. */
#include "local_engine/vulkan/record.h"

static const uint64_t SLOT_BYTES = 32 << 20;

static enum tg_status slot_new(struct le_backend *be, struct gpu_slot *slot, struct tg_error *err)
{
    const VkFenceCreateInfo fence = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
    uint64_t size = SLOT_BYTES < be->alloc_max ? SLOT_BYTES : be->alloc_max / 16 * 16;
    enum tg_status status = TG_OK;
    if (!slot->fence)
        status = gpu_check(be, be->vk.CreateFence(be->device, &fence, NULL, &slot->fence),
                           "vkCreateFence", err);
    if (!status)
        status = gpu_mem_new(be, GPU_MEM_UPLOAD, size, &slot->mem, err);
    if (!status)
        be->staging_bytes += slot->mem.size;
    return status;
}

/* Until the device has copied what is in the slot. */
static enum tg_status slot_wait(struct le_backend *be, struct gpu_slot *slot, struct tg_error *err)
{
    if (!slot->cmd)
        return TG_OK;
    enum tg_status status = gpu_wait(be, slot->fence, err);
    if (!be->lost)
        be->vk.FreeCommandBuffers(be->device, be->pool, 1, &slot->cmd);
    slot->cmd = VK_NULL_HANDLE;
    return status;
}

enum tg_status gpu_stage_begin(struct le_backend *be, struct gpu_staged *out, struct tg_error *err)
{
    struct gpu_slot *slot = &be->slots[be->next_slot];
    enum tg_status status = slot_wait(be, slot, err);
    if (!status && !slot->mem.block)
        status = slot_new(be, slot, err);
    *out = (struct gpu_staged){ .p = slot->mem.map, .offset = slot->mem.offset,
                                .size = slot->mem.size };
    return status;
}

enum tg_status gpu_stage_copy(struct le_backend *be, const struct gpu_mem *m,
                              const VkBufferCopy *regions, uint32_t n, struct tg_error *err)
{
    struct gpu_slot *slot = &be->slots[be->next_slot];
    enum tg_status status = gpu_once_begin(be, &slot->cmd, err);
    if (status)
        return status;
    be->vk.CmdCopyBuffer(slot->cmd, slot->mem.block->buffer, m->block->buffer, n, regions);
    be->n_cmd_calls++;
    status = gpu_once_submit(be, slot->cmd, slot->fence, err);
    if (status && !be->lost) {
        be->vk.FreeCommandBuffers(be->device, be->pool, 1, &slot->cmd);
        slot->cmd = VK_NULL_HANDLE;
    }
    be->next_slot = (be->next_slot + 1) % GPU_SLOTS;
    return status;
}

enum tg_status gpu_stage_end(struct le_backend *be, struct tg_error *err)
{
    enum tg_status status = TG_OK;
    for (int i = 0; i < GPU_SLOTS; i++) {
        enum tg_status waited = slot_wait(be, &be->slots[i], status ? NULL : err);
        status = status ? status : waited;
    }
    return status;
}

void gpu_stage_free(struct le_backend *be)
{
    for (int i = 0; i < GPU_SLOTS; i++) {
        struct gpu_slot *slot = &be->slots[i];
        be->staging_bytes -= slot->mem.size;
        gpu_mem_free(be, &slot->mem);
        if (slot->fence)
            be->vk.DestroyFence(be->device, slot->fence, NULL);
        slot->fence = VK_NULL_HANDLE;
    }
}
