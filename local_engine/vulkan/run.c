#include <string.h>

#include "local_engine/vulkan/record.h"

/* A GPU that has not answered by then is lost; a processor that plays one may take long. */
static const uint64_t WAIT_NS = 60ull * 1000 * 1000 * 1000;
static const uint64_t WAIT_SOFTWARE_NS = 3600ull * 1000 * 1000 * 1000;

enum tg_status gpu_wait(struct le_backend *be, VkFence fence, struct tg_error *err)
{
    bool software = be->props.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    VkResult result = be->vk.WaitForFences(be->device, 1, &fence, VK_TRUE,
                                           software ? WAIT_SOFTWARE_NS : WAIT_NS);
    enum tg_status status = gpu_check(be, result, "vkWaitForFences", err);
    if (!status)
        status = gpu_check(be, be->vk.ResetFences(be->device, 1, &fence), "vkResetFences",
                           err);
    return status;
}

static bool step_fits(const struct gpu_class *c, const struct le_step *step)
{
    if (step->n_tokens == 0 || step->n_tokens > c->max[LE_ROWS_TOKENS] ||
        step->n_outputs > c->max[LE_ROWS_OUTPUTS])
        return false;
    for (uint32_t i = 0; i < step->n_outputs; i++)
        if (step->out[i] >= step->n_tokens)
            return false;
    for (uint32_t i = 0; i < step->n_tokens; i++)
        if (step->pos[i] < 0 || step->id[i] < 0)
            return false;
    return true;
}

static void fill_step(struct gpu_step *s, const struct le_step *step)
{
    s->n[LE_ROWS_TOKENS] = step->n_tokens;
    s->n[LE_ROWS_OUTPUTS] = step->n_outputs;
    memcpy(s->id, step->id, step->n_tokens * sizeof(*s->id));
    memcpy(s->pos, step->pos, step->n_tokens * sizeof(*s->pos));
    if (step->n_outputs)
        memcpy(s->row, step->out, step->n_outputs * sizeof(*s->row));
}

/* Of the last row, which has the most. */
static uint32_t keys_of(const struct gpu_grid *g, const struct le_step *step)
{
    uint32_t last = g->rows == LE_ROWS_TOKENS ? step->n_tokens - 1
                                              : step->out[step->n_outputs - 1];
    uint32_t keys = (uint32_t)step->pos[last] + 1;
    return g->window && keys > g->window ? g->window : keys;
}

/* Rows times what each of them has, or 0: how many a dispatch of attention is for. */
static uint32_t split_rows(const struct gpu_grid *g, const struct le_step *step, uint32_t rows)
{
    uint32_t keys = keys_of(g, step);
    switch (g->split) {
    case GPU_SPLIT_EACH: return rows * gpu_splits(keys);
    case GPU_SPLIT_JOIN: return gpu_splits(keys) > 1 ? rows : 0;
    case GPU_SPLIT_PASS: /* a workgroup's last row may see keys that its first does not */
        return keys + g->per_group > g->pass * GPU_PASS_KEYS ? rows : 0;
    case GPU_SPLIT_NONE: break;
    }
    return rows;
}

static void fill_args(const struct gpu_class *c, const struct le_step *step)
{
    VkDispatchIndirectCommand *args = c->args.map;
    const uint32_t n[2] = { [LE_ROWS_TOKENS] = step->n_tokens,
                            [LE_ROWS_OUTPUTS] = step->n_outputs };
    for (uint32_t i = 0; i < c->n_grids; i++) {
        const struct gpu_grid *g = &c->grids[i];
        uint32_t rows = n[g->rows];
        bool wanted = rows >= g->least && rows <= g->most;
        uint32_t x = g->x < GPU_GRID_MAX ? g->x : GPU_GRID_MAX;
        uint32_t times = rows * (g->times ? g->times : 1);
        if (wanted && g->split)
            times = split_rows(g, step, rows);
        args[i] = (VkDispatchIndirectCommand){
            .x = x,
            .y = wanted ? (times + g->per_group - 1) / g->per_group +
                              (times < g->extra ? times : g->extra) : 0,
            .z = (g->x + x - 1) / x,
        };
    }
}

/* Whatever stops a pass half way, the device is no longer to be relied on: parts of the pass may
 * still run, and use what the next step would write. err keeps its text. */
static enum tg_status lose(struct le_backend *be, struct tg_error *err)
{
    be->lost = true;
    err->code = TG_DEVICE;
    return TG_DEVICE;
}

static enum tg_status submit(struct le_backend *be, struct tg_error *err)
{
    const struct gpu_class *c = be->current;
    for (uint32_t i = 0; i < c->n_cmd; i++) {
        const VkCommandBufferSubmitInfo buffer = {
            .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO,
            .commandBuffer = c->cmd[i],
        };
        const VkSubmitInfo2 info = {
            .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2,
            .commandBufferInfoCount = 1,
            .pCommandBufferInfos = &buffer,
        };
        VkFence fence = i + 1 == c->n_cmd ? be->fence : VK_NULL_HANDLE;
        enum tg_status status = gpu_check(be, be->vk.QueueSubmit2(be->queue, 1, &info, fence),
                                          "vkQueueSubmit2", err);
        if (status)
            return lose(be, err);
    }
    return gpu_wait(be, be->fence, err) ? lose(be, err) : TG_OK;
}

enum tg_status gpu_run(struct le_backend *be, const struct le_step *step, struct tg_error *err)
{
    struct gpu_class *c = be->current;
    if (!be->failed.code && !c)
        return tg_fail(err, TG_INTERNAL, "run without begin");
    if (!be->failed.code && !c->recorded && !gpu_record_end(be))
        gpu_cache_save(be);
    if (be->failed.code)
        return tg_fail(err, be->failed.code, "%s", be->failed.text);
    if (!step_fits(c, step))
        return tg_fail(err, TG_INVALID, "a step of %u tokens and %u outputs does not fit its "
                       "class, or refers to tokens that are not there", step->n_tokens,
                       step->n_outputs);
    fill_step(be->step.map, step);
    fill_args(c, step);
    struct tg_error failure = { .code = TG_OK };
    if (gpu_check_begin(be, be->step.map, &failure) || submit(be, &failure) ||
        gpu_check_end(be, be->step.map, &failure)) {
        gpu_fail(be, failure.code, "%s: %s", be->props.deviceName, failure.text);
        return tg_fail(err, be->failed.code, "%s", be->failed.text);
    }
    return TG_OK;
}
