#include <string.h>

#include "config/base/clock.h"
#include "local_engine/vulkan/record.h"

enum { SEGMENTS_MAX = 256 }; /* of a submit */
/* With two submits under way a stop takes twice as long to be obeyed. */
static const double SUBMIT_SECONDS = 0.025, RATE_WEIGHT = 0.3;

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

/* Keys of each row that a dispatch of attention is for, about. */
static double pass_keys(const struct gpu_grid *g, const struct le_step *step)
{
    double keys = keys_of(g, step), before = g->split == GPU_SPLIT_PASS ? g->pass : 0;
    double left = keys - before * GPU_PASS_KEYS;
    return g->split == GPU_SPLIT_PASS && left > GPU_PASS_KEYS ? GPU_PASS_KEYS : left > 0 ? left : 0;
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

/* The arguments of every dispatch, and what each segment costs. */
static void fill_args(struct gpu_class *c, const struct le_step *step)
{
    VkDispatchIndirectCommand *args = c->args.map;
    const uint32_t n[2] = { [LE_ROWS_TOKENS] = step->n_tokens,
                            [LE_ROWS_OUTPUTS] = step->n_outputs };
    struct gpu_segment *segment = c->segments;
    segment->cost = 0;
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
        for (; i >= segment->grids_end; segment[0].cost = 0)
            segment++;
        if (wanted)
            segment->cost += g->cost * rows * (g->split ? pass_keys(g, step) : 1);
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

/* Submits segments from the first on that cost no more than `most` together, or one. */
static uint32_t submit(struct le_backend *be, uint32_t first, double most, VkFence fence,
                       double *cost, struct tg_error *err)
{
    const struct gpu_class *c = be->current;
    VkCommandBufferSubmitInfo buffers[SEGMENTS_MAX];
    uint32_t n = 0;
    *cost = 0;
    while (first + n < c->n_segments && n < SEGMENTS_MAX &&
           (n == 0 || *cost + c->segments[first + n].cost <= most)) {
        *cost += c->segments[first + n].cost;
        buffers[n] = (VkCommandBufferSubmitInfo){
            .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO,
            .commandBuffer = c->segments[first + n].cmd,
        };
        n++;
    }
    const VkSubmitInfo2 info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2,
        .commandBufferInfoCount = n,
        .pCommandBufferInfos = buffers,
    };
    return gpu_check(be, be->vk.QueueSubmit2(be->queue, 1, &info, fence), "vkQueueSubmit2", err)
               ? 0 : n;
}

/* Submits under way, oldest first. */
struct flight {
    double cost[GPU_IN_FLIGHT];
    uint32_t first, n;
    int64_t since; /* when the oldest began to run, or before */
};

static enum tg_status land(struct le_backend *be, struct flight *f, struct tg_error *err)
{
    uint32_t slot = f->first % GPU_IN_FLIGHT;
    enum tg_status status = gpu_wait(be, be->fences[slot], err);
    int64_t now = tg_mono_ns();
    double seconds = (double)(now - f->since) * 1e-9;
    if (!status && f->cost[slot] > 0 && seconds > 1e-4)
        be->rate += RATE_WEIGHT * (f->cost[slot] / seconds - be->rate);
    f->since = now;
    f->first++;
    f->n--;
    return status;
}

/* The whole pass, in submits short enough to be left between two of them. TG_CANCELLED leaves
 * nothing running. */
static enum tg_status run_segments(struct le_backend *be, const atomic_bool *stop,
                                   struct tg_error *err)
{
    struct flight f = { .since = tg_mono_ns() };
    enum tg_status status = TG_OK;
    for (uint32_t next = 0; !status && next < be->current->n_segments;) {
        if (f.n == GPU_IN_FLIGHT)
            status = land(be, &f, err);
        if (!status && stop && atomic_load(stop))
            status = tg_fail(err, TG_CANCELLED, "stopped");
        if (status)
            break;
        uint32_t slot = (f.first + f.n) % GPU_IN_FLIGHT;
        uint32_t n = submit(be, next, be->rate * SUBMIT_SECONDS, be->fences[slot], &f.cost[slot],
                            err);
        if (n == 0)
            return lose(be, err);
        next += n;
        f.n++;
    }
    while (f.n && (!status || status == TG_CANCELLED)) {
        struct tg_error failure;
        enum tg_status landed = land(be, &f, &failure);
        if (landed) {
            *err = failure;
            status = landed;
        }
    }
    return status == TG_OK || status == TG_CANCELLED ? status : lose(be, err);
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
    enum tg_status status = gpu_check_begin(be, be->step.map, &failure);
    if (!status)
        status = run_segments(be, step->stop, &failure);
    if (status == TG_CANCELLED)
        return tg_fail(err, TG_CANCELLED, "%s", failure.text);
    if (status || gpu_check_end(be, be->step.map, &failure)) {
        gpu_fail(be, failure.code, "%s: %s", be->props.deviceName, failure.text);
        return tg_fail(err, be->failed.code, "%s", be->failed.text);
    }
    return TG_OK;
}
