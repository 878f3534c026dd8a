#include "local_engine/vulkan/record.h"

#include <string.h>

#include "config/base/alloc.h"

uint32_t gpu_rows_max(const struct le_backend *be, enum le_rows rows)
{
    return be->current ? be->current->max[rows] : 0;
}

struct gpu_grid gpu_per_row(const struct le_backend *be, uint32_t x, enum le_rows rows)
{
    return (struct gpu_grid){ .x = x, .per_group = 1, .least = 1, .most = gpu_rows_max(be, rows),
                              .rows = rows };
}

uint32_t gpu_groups(uint32_t threads)
{
    return (threads + GPU_GROUP - 1) / GPU_GROUP;
}

static void memory_barrier(struct le_backend *be, VkCommandBuffer cmd,
                           VkPipelineStageFlags2 from, VkPipelineStageFlags2 to,
                           VkAccessFlags2 reads)
{
    const VkMemoryBarrier2 barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2,
        .srcStageMask = from,
        .srcAccessMask = VK_ACCESS_2_MEMORY_WRITE_BIT,
        .dstStageMask = to,
        .dstAccessMask = reads,
    };
    const VkDependencyInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO,
        .memoryBarrierCount = 1,
        .pMemoryBarriers = &barrier,
    };
    be->vk.CmdPipelineBarrier2(cmd, &info);
    be->n_cmd_calls++;
}

static enum tg_status new_cmd(struct le_backend *be, VkCommandBufferUsageFlags usage,
                              VkCommandBuffer *cmd, struct tg_error *err)
{
    const VkCommandBufferAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = be->pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1,
    };
    const VkCommandBufferBeginInfo begin = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = usage,
    };
    enum tg_status status = gpu_check(be, be->vk.AllocateCommandBuffers(be->device, &info, cmd),
                                      "vkAllocateCommandBuffers", err);
    if (status) {
        *cmd = VK_NULL_HANDLE;
        return status;
    }
    status = gpu_check(be, be->vk.BeginCommandBuffer(*cmd, &begin), "vkBeginCommandBuffer", err);
    if (status) {
        be->vk.FreeCommandBuffers(be->device, be->pool, 1, cmd);
        *cmd = VK_NULL_HANDLE;
    }
    return status;
}

enum tg_status gpu_once_begin(struct le_backend *be, VkCommandBuffer *cmd, struct tg_error *err)
{
    return new_cmd(be, VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT, cmd, err);
}

enum tg_status gpu_once_submit(struct le_backend *be, VkCommandBuffer cmd, VkFence fence,
                               struct tg_error *err)
{
    const VkCommandBufferSubmitInfo buffer = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO,
        .commandBuffer = cmd,
    };
    const VkSubmitInfo2 submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2,
        .commandBufferInfoCount = 1,
        .pCommandBufferInfos = &buffer,
    };
    enum tg_status status =
        gpu_check(be, be->vk.EndCommandBuffer(cmd), "vkEndCommandBuffer", err);
    if (!status)
        status = gpu_check(be, be->vk.QueueSubmit2(be->queue, 1, &submit, fence),
                           "vkQueueSubmit2", err);
    return status;
}

enum tg_status gpu_once_end(struct le_backend *be, VkCommandBuffer cmd, struct tg_error *err)
{
    enum tg_status status = gpu_once_submit(be, cmd, be->fences[0], err);
    if (!status)
        status = gpu_wait(be, be->fences[0], err);
    if (!be->lost)
        be->vk.FreeCommandBuffers(be->device, be->pool, 1, &cmd);
    return status;
}

/* Ends the current segment of the class, if any. */
static enum tg_status end_segment(struct le_backend *be, struct tg_error *err)
{
    struct gpu_class *c = be->current;
    if (c->n_segments == 0)
        return TG_OK;
    struct gpu_segment *s = &c->segments[c->n_segments - 1];
    s->grids_end = c->n_grids;
    return gpu_check(be, be->vk.EndCommandBuffer(s->cmd), "vkEndCommandBuffer", err);
}

static enum tg_status next_segment(struct le_backend *be, struct tg_error *err)
{
    struct gpu_class *c = be->current;
    enum tg_status status = end_segment(be, err);
    if (!status && c->n_segments == GPU_PARTS_MAX)
        status = tg_fail(err, TG_LIMIT, "a pass needs more than %d command buffers",
                         GPU_PARTS_MAX);
    if (!status)
        status = new_cmd(be, 0, &c->segments[c->n_segments].cmd, err);
    if (!status)
        c->n_segments++;
    c->cost = 0;
    return status;
}

void gpu_uses(struct le_backend *be, struct gpu_dispatch *d, const struct le_buf *buf, uint64_t n,
              bool write)
{
    if (be->failed.code)
        return;
    uint64_t bytes = n * (buf && buf->half ? 2 : sizeof(float));
    if (!buf || bytes > buf->bytes) {
        gpu_fail(be, TG_INTERNAL, "%s: a buffer of %llu bytes is used as one of %llu", d->name,
                 (unsigned long long)(buf ? buf->bytes : 0), (unsigned long long)bytes);
        return;
    }
    d->access[d->n_access++] = (struct gpu_access){
        .begin = buf->mem.addr, .end = buf->mem.addr + bytes, .write = write,
    };
    if (write && be->current && be->current->grouped == buf)
        be->current->grouped = NULL;
}

void gpu_dispatch(struct le_backend *be, const struct gpu_dispatch *d)
{
    struct gpu_class *c = be->current;
    if (be->failed.code || !c || c->recorded || d->grid.most == 0 || d->grid.x == 0)
        return;
    if (c->n_grids == GPU_DISPATCHES_MAX) {
        gpu_fail(be, TG_LIMIT, "a pass has more than %d dispatches", GPU_DISPATCHES_MAX);
        return;
    }
    VkPipeline pipeline = gpu_pipeline(be, d->shader, d->spec);
    struct tg_error err = { .code = TG_OK };
    if (c->cost + d->cost > be->cut_cost && c->cost > 0 && next_segment(be, &err))
        gpu_fail(be, err.code, "%s", err.text);
    if (be->failed.code)
        return;
    VkCommandBuffer cmd = c->segments[c->n_segments - 1].cmd;
    if (gpu_recorder_op(&be->recorder, d->access, d->n_access))
        memory_barrier(be, cmd, VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT,
                       VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT,
                       VK_ACCESS_2_SHADER_READ_BIT | VK_ACCESS_2_SHADER_WRITE_BIT);
    be->vk.CmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    be->vk.CmdPushConstants(cmd, be->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, d->push_size,
                            d->push);
    be->vk.CmdDispatchIndirect(cmd, c->args.block->buffer,
                               c->args.offset + (uint64_t)c->n_grids *
                               sizeof(VkDispatchIndirectCommand));
    be->n_cmd_calls += 3;
    c->grids[c->n_grids] = d->grid;
    if (d->grid.split == GPU_SPLIT_NONE)
        c->grids[c->n_grids].cost = d->cost / d->grid.most;
    c->n_grids++;
    c->cost += d->cost;
}

void gpu_class_free(struct le_backend *be, struct gpu_class *c)
{
    for (uint32_t i = 0; i < c->n_segments; i++)
        be->vk.FreeCommandBuffers(be->device, be->pool, 1, &c->segments[i].cmd);
    tg_free(c->segments);
    gpu_mem_free(be, &c->args);
    tg_free(c->grids);
    tg_free(c);
}

void gpu_forget(struct le_backend *be)
{
    while (be->n_classes)
        gpu_class_free(be, be->classes[--be->n_classes]);
    be->current = NULL;
}

/* A class that was begun but never run is recorded anew. */
static void drop_unfinished(struct le_backend *be)
{
    if (!be->current || be->current->recorded)
        return;
    be->n_classes--; /* the unfinished one is the newest */
    gpu_class_free(be, be->classes[be->n_classes]);
    be->current = NULL;
}

static enum tg_status class_new(struct le_backend *be, uint32_t tokens, uint32_t outputs,
                                struct tg_error *err)
{
    if (be->n_classes == GPU_CLASSES_MAX)
        return tg_fail(err, TG_LIMIT, "more than %d batch classes", GPU_CLASSES_MAX);
    struct gpu_class *c = tg_calloc(1, sizeof(*c));
    if (!c)
        return tg_fail(err, TG_NOMEM, "out of memory");
    be->classes[be->n_classes++] = be->current = c;
    c->max[LE_ROWS_TOKENS] = tokens;
    c->max[LE_ROWS_OUTPUTS] = outputs;
    c->grids = tg_calloc(GPU_DISPATCHES_MAX, sizeof(*c->grids));
    c->segments = tg_calloc(GPU_PARTS_MAX, sizeof(*c->segments));
    if (!c->grids || !c->segments)
        return tg_fail(err, TG_NOMEM, "out of memory");
    enum tg_status status = gpu_mem_new(
        be, GPU_MEM_UPLOAD, (uint64_t)GPU_DISPATCHES_MAX * sizeof(VkDispatchIndirectCommand),
        &c->args, err);
    if (!status)
        status = next_segment(be, err);
    if (!status) /* after the former step, and after uploads and fills */
        memory_barrier(be, c->segments[0].cmd, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT,
                       VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT,
                       VK_ACCESS_2_SHADER_READ_BIT | VK_ACCESS_2_SHADER_WRITE_BIT);
    gpu_recorder_reset(&be->recorder);
    return status;
}

bool gpu_begin(struct le_backend *be, uint32_t class_tokens, uint32_t class_outputs)
{
    drop_unfinished(be);
    be->current = NULL;
    if (be->failed.code == TG_NOMEM) /* told by run(); there may be memory now */
        be->failed.code = TG_OK;
    for (uint32_t i = 0; i < be->n_classes; i++) {
        struct gpu_class *c = be->classes[i];
        if (c->max[LE_ROWS_TOKENS] == class_tokens && c->max[LE_ROWS_OUTPUTS] == class_outputs)
            be->current = c;
    }
    if (be->current || be->failed.code)
        return false;
    struct tg_error err = { .code = TG_OK };
    if (class_tokens == 0 || class_tokens > GPU_STEP_TOKENS || class_outputs > GPU_STEP_TOKENS)
        gpu_fail(be, TG_INVALID, "a class of %u tokens and %u outputs: at most %d", class_tokens,
                 class_outputs, GPU_STEP_TOKENS);
    else if (class_new(be, class_tokens, class_outputs, &err))
        gpu_fail(be, err.code, "%s", err.text);
    return !be->failed.code;
}

enum tg_status gpu_record_end(struct le_backend *be)
{
    struct gpu_class *c = be->current;
    struct tg_error err = { .code = TG_OK };
    memory_barrier(be, c->segments[c->n_segments - 1].cmd, VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT,
                   VK_PIPELINE_STAGE_2_HOST_BIT, VK_ACCESS_2_HOST_READ_BIT);
    if (end_segment(be, &err))
        gpu_fail(be, err.code, "%s", err.text);
    c->recorded = !be->failed.code;
    return be->failed.code;
}
