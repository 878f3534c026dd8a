#include "local_engine/vulkan/record.h"

static void op_rms(struct le_backend *be, const struct le_rms *a)
{
    const struct gpu_push_rms push = {
        .dst = a->dst->mem.addr, .src = a->src->mem.addr,
        .w = a->w ? a->w->mem.addr : 0, .resid = a->resid ? a->resid->mem.addr : 0,
        .step = be->step.addr,
        .width = a->width, .per_row = a->per_row,
        .eps = a->eps, .src_scale = a->src_scale, .dst_scale = a->dst_scale,
    };
    struct gpu_dispatch d = {
        .name = "rms",
        .shader = GPU_RMS,
        .spec = { GPU_GROUP, a->w != NULL, a->resid != NULL },
        .push = &push,
        .push_size = sizeof(push),
        .grid = gpu_per_row(be, a->per_row, a->rows),
    };
    uint64_t n = (uint64_t)gpu_rows_max(be, a->rows) * a->per_row * a->width;
    gpu_uses(be, &d, a->src, n, false);
    if (a->w)
        gpu_uses(be, &d, a->w, a->width, false);
    if (a->resid)
        gpu_uses(be, &d, a->resid, n, false);
    gpu_uses(be, &d, a->dst, n, true);
    gpu_dispatch(be, &d);
}

static void op_rope(struct le_backend *be, const struct le_rope *a)
{
    if (be->current && be->current->recorded)
        return;
    const struct le_buf *turns = gpu_buf_turns(be, a->theta, a->head_dim / 2);
    if (!turns)
        return;
    const struct gpu_push_rope push = {
        .x = a->x->mem.addr, .turns = turns->mem.addr, .step = be->step.addr,
        .heads = a->heads, .head_dim = a->head_dim, .rows = a->rows,
    };
    struct gpu_dispatch d = {
        .name = "rope",
        .shader = GPU_ROPE,
        .spec = { GPU_GROUP },
        .push = &push,
        .push_size = sizeof(push),
        .grid = gpu_per_row(be, gpu_groups(a->heads * (a->head_dim / 2)), a->rows),
    };
    gpu_uses(be, &d, turns, a->head_dim, false);
    gpu_uses(be, &d, a->x, (uint64_t)gpu_rows_max(be, a->rows) * a->heads * a->head_dim, true);
    gpu_dispatch(be, &d);
}

static void op_geglu(struct le_backend *be, const struct le_geglu *a)
{
    const struct gpu_push_geglu push = {
        .dst = a->dst->mem.addr, .gate = a->gate->mem.addr, .up = a->up->mem.addr,
        .step = be->step.addr,
        .width = a->width, .up_stride = a->up_stride, .up_offset = a->up_offset,
    };
    struct gpu_dispatch d = {
        .name = "geglu",
        .shader = GPU_GEGLU,
        .spec = { GPU_GROUP },
        .push = &push,
        .push_size = sizeof(push),
        .grid = gpu_per_row(be, gpu_groups(a->width), a->rows),
    };
    uint64_t rows = gpu_rows_max(be, a->rows);
    uint64_t up = rows ? (rows - 1) * a->up_stride + a->up_offset + a->width : 0;
    gpu_uses(be, &d, a->gate, rows * a->width, false);
    gpu_uses(be, &d, a->up, up, false);
    gpu_uses(be, &d, a->dst, rows * a->width, true);
    gpu_dispatch(be, &d);
}

static void map(struct le_backend *be, uint32_t mode, struct le_buf *dst, struct le_buf *src,
                uint32_t width, float scale, enum le_rows rows)
{
    const struct gpu_push_map push = {
        .dst = dst->mem.addr, .src = src->mem.addr, .step = be->step.addr,
        .width = width, .scale = scale,
    };
    struct gpu_dispatch d = {
        .name = mode == GPU_MAP_GATHER ? "gather" : mode == GPU_MAP_SCALE ? "scale" : "softcap",
        .shader = GPU_MAP,
        .spec = { GPU_GROUP, mode },
        .push = &push,
        .push_size = sizeof(push),
        .grid = gpu_per_row(be, gpu_groups(width), rows),
    };
    enum le_rows from = mode == GPU_MAP_GATHER ? LE_ROWS_TOKENS : rows;
    gpu_uses(be, &d, src, (uint64_t)gpu_rows_max(be, from) * width, false);
    gpu_uses(be, &d, dst, (uint64_t)gpu_rows_max(be, rows) * width, true);
    gpu_dispatch(be, &d);
}

static void op_gather(struct le_backend *be, struct le_buf *dst, struct le_buf *src, uint32_t width)
{
    map(be, GPU_MAP_GATHER, dst, src, width, 1.0f, LE_ROWS_OUTPUTS);
}

static void op_scale(struct le_backend *be, struct le_buf *dst, struct le_buf *src, uint32_t width,
                     float scale, enum le_rows rows)
{
    map(be, GPU_MAP_SCALE, dst, src, width, scale, rows);
}

static void op_softcap(struct le_backend *be, struct le_buf *x, uint32_t width, float cap,
                       enum le_rows rows)
{
    map(be, GPU_MAP_SOFTCAP, x, x, width, cap, rows);
}

static void op_route(struct le_backend *be, const struct le_route *a)
{
    if (a->n_experts > GPU_EXPERTS_MAX || a->used == 0 || a->used > a->n_experts) {
        gpu_fail(be, TG_UNSUPPORTED, "route: %u of %u experts; at most %d", a->used, a->n_experts,
                 GPU_EXPERTS_MAX);
        return;
    }
    const struct gpu_push_route push = {
        .ids = a->ids->mem.addr, .weights = a->weights->mem.addr, .logits = a->logits->mem.addr,
        .scale = a->scale ? a->scale->mem.addr : 0, .step = be->step.addr,
        .experts = a->n_experts, .used = a->used,
    };
    uint32_t group = be->subgroup < GPU_GROUP ? be->subgroup : GPU_GROUP; /* no shared memory */
    struct gpu_dispatch d = {
        .name = "route",
        .shader = GPU_ROUTE,
        .spec = { group, (a->n_experts + group - 1) / group, a->scale != NULL },
        .push = &push,
        .push_size = sizeof(push),
        .grid = gpu_per_row(be, 1, a->rows),
    };
    uint64_t rows = gpu_rows_max(be, a->rows);
    gpu_uses(be, &d, a->logits, rows * a->n_experts, false);
    if (a->scale)
        gpu_uses(be, &d, a->scale, a->n_experts, false);
    gpu_uses(be, &d, a->ids, rows * a->used, true);
    gpu_uses(be, &d, a->weights, rows * a->used, true);
    gpu_dispatch(be, &d);
}

static void op_expert_sum(struct le_backend *be, const struct le_expert_sum *a)
{
    const struct gpu_push_expert_sum push = {
        .dst = a->dst->mem.addr, .src = a->src->mem.addr, .weights = a->weights->mem.addr,
        .step = be->step.addr, .width = a->width, .used = a->used,
    };
    struct gpu_dispatch d = {
        .name = "expert_sum",
        .shader = GPU_EXPERT_SUM,
        .spec = { GPU_GROUP },
        .push = &push,
        .push_size = sizeof(push),
        .grid = gpu_per_row(be, gpu_groups(a->width), a->rows),
    };
    uint64_t rows = gpu_rows_max(be, a->rows);
    gpu_uses(be, &d, a->src, rows * a->used * a->width, false);
    gpu_uses(be, &d, a->weights, rows * a->used, false);
    gpu_uses(be, &d, a->dst, rows * a->width, true);
    gpu_dispatch(be, &d);
}

static const char *describe(const struct le_backend *be)
{
    return be->description;
}

const struct le_ops gpu_ops = {
    .name = "vulkan",
    .close = gpu_close,
    .describe = describe,
    .memory = gpu_memory,
    .shares_memory = gpu_shares_memory,
    .buf_new = gpu_buf_new,
    .buf_const = gpu_buf_const,
    .host = gpu_buf_host,
    .weight_new = gpu_weight_new,
    .begin = gpu_begin,
    .embed = gpu_op_embed,
    .matmul = gpu_op_matmul,
    .rms = op_rms,
    .rope = op_rope,
    .kv_store = gpu_op_kv_store,
    .attention = gpu_op_attention,
    .geglu = op_geglu,
    .gather = op_gather,
    .scale = op_scale,
    .softcap = op_softcap,
    .route = op_route,
    .expert_matmul = gpu_op_expert_matmul,
    .expert_sum = op_expert_sum,
    .run = gpu_run,
};
