#include "local_engine/vulkan/record.h"

enum {
    COLS = 8,
    TILE_W = 64,
    SMALL_TILE = 16,
    SMALL_MOST = 32,
    BIG_TILE = 64,
    EXPERT_ROWS = 8, /* up to which each row and expert reads its matrix by itself */
};

static void read_part(struct gpu_dispatch *d, const struct gpu_part *part)
{
    d->access[d->n_access++] = (struct gpu_access){
        .begin = part->mem.addr, .end = part->mem.addr + part->mem.size, .write = false,
    };
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* In as many dispatches as it takes to keep each within a segment, up to GPU_PIECES_MAX. */
static void in_pieces(struct le_backend *be, struct gpu_dispatch d, struct gpu_push_matmul *push)
{
    double wanted = d.cost / be->cut_cost;
    uint32_t pieces = wanted < GPU_PIECES_MAX ? (uint32_t)wanted + 1 : GPU_PIECES_MAX;
    uint32_t all = d.grid.x, each = (all + pieces - 1) / pieces;
    double cost = d.cost / all;
    for (push->first = 0; push->first < all; push->first += each) {
        d.grid.x = all - push->first < each ? all - push->first : each;
        d.cost = cost * d.grid.x;
        gpu_dispatch(be, &d);
        d.n_access = 0; /* the pieces write different rows */
    }
    push->first = 0;
}

/* out_rows for 1 to cols rows of x. */
static void matvec(struct le_backend *be, const struct le_weight *w, struct gpu_dispatch d,
                   struct gpu_push_matmul *push, uint32_t out_rows, uint32_t cols)
{
    uint32_t group = be->subgroup < 8 ? 8 : smaller(be->subgroup, 64);
    /* A GPU hides loads behind threads; a processor wants each load of x used by many rows. */
    bool software = be->props.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    if (be->check) /* compiled anew by each test: less code */
        software = false;
    uint32_t rows = software ? (cols == 1 ? 16 : 4) : cols == 1 ? 4 : 2;
    d.shader = GPU_MATVEC;
    d.spec[0] = group;
    d.spec[2] = rows;
    d.spec[3] = cols;
    d.grid.x = (out_rows + rows - 1) / rows;
    d.grid.per_group = cols;
    d.grid.least = 1;
    d.grid.most = d.grid.times ? EXPERT_ROWS : cols;
    d.cost = (double)w->in * out_rows * d.grid.most * (d.grid.times ? d.grid.times : 1);
    in_pieces(be, d, push);
}

/* For least to most rows. */
static void tiled(struct le_backend *be, const struct le_weight *w, struct gpu_dispatch d,
                  struct gpu_push_matmul *push, uint32_t tile, uint32_t least, uint32_t most)
{
    d.shader = GPU_MATMUL;
    d.spec[0] = GPU_GROUP;
    d.spec[2] = tile;
    d.grid.x = (push->out_rows + TILE_W - 1) / TILE_W;
    d.grid.per_group = tile;
    d.grid.least = least;
    d.grid.most = most;
    d.cost = (double)w->in * push->out_rows * most;
    in_pieces(be, d, push);
}

static struct gpu_push_matmul push_of(const struct le_backend *be, const struct le_buf *dst,
                                      const struct le_weight *w, const struct gpu_part *part,
                                      const struct le_buf *src, enum le_rows rows)
{
    return (struct gpu_push_matmul){
        .q = part->q, .s = part->s, .h = part->h, .d = part->d,
        .x = src->mem.addr, .dst = dst->mem.addr, .step = be->step.addr,
        .rows = rows, .width = w->in, .out_rows = part->rows,
        .dst_stride = w->out, .dst_offset = part->row0,
        .chunks = w->chunks, .s_stride = w->s_stride, .d_stride = w->d_stride,
    };
}

static void matmul_part(struct le_backend *be, struct le_buf *dst, const struct le_weight *w,
                        const struct gpu_part *part, struct le_buf *src, enum le_rows rows)
{
    uint32_t most = gpu_rows_max(be, rows);
    struct gpu_push_matmul push = push_of(be, dst, w, part, src, rows);
    struct gpu_dispatch d = {
        .name = "matmul",
        .spec = { [1] = w->type, [4] = w->in % GPU_CHUNK == 0 },
        .push = &push,
        .push_size = sizeof(push),
        .grid = { .rows = rows },
    };
    read_part(&d, part);
    gpu_uses(be, &d, src, (uint64_t)most * w->in, false);
    gpu_uses(be, &d, dst, (uint64_t)most * w->out, true);
    matvec(be, w, d, &push, part->rows, most == 1 ? 1 : COLS);
    d.n_access = 0; /* the variants exclude each other: no barrier between them */
    if (most > COLS)
        tiled(be, w, d, &push, SMALL_TILE, COLS + 1, smaller(most, SMALL_MOST));
    if (most > SMALL_MOST)
        tiled(be, w, d, &push, BIG_TILE, SMALL_MOST + 1, most);
}

void gpu_op_matmul(struct le_backend *be, struct le_buf *dst, struct le_weight *w,
                   struct le_buf *src, enum le_rows rows)
{
    if (gpu_rows_max(be, rows) == 0)
        return;
    if (w->experts != 1) {
        gpu_fail(be, TG_INTERNAL, "matmul: a weight of %u matrices", w->experts);
        return;
    }
    for (uint32_t i = 0; i < w->n_parts; i++)
        matmul_part(be, dst, w, &w->parts[i], src, rows);
}

/* Sorts the pairs of a row and its experts by expert, unless that is done. */
static const struct le_buf *group(struct le_backend *be, const struct le_expert_matmul *a)
{
    struct gpu_class *c = be->current;
    const struct le_buf *groups = gpu_buf_groups(be, a->ids, a->w->experts);
    if (!groups || (c->grouped == a->ids && c->grouped_experts == a->w->experts &&
                    c->grouped_used == a->used))
        return groups;
    uint64_t pairs = (uint64_t)gpu_rows_max(be, a->rows) * a->used;
    uint64_t list_at = gpu_groups_list_at(pairs, a->w->experts);
    const struct gpu_push_group push = {
        .groups = groups->mem.addr, .ids = a->ids->mem.addr, .step = be->step.addr,
        .rows = a->rows, .used = a->used, .experts = a->w->experts, .list_at = (uint32_t)list_at,
    };
    struct gpu_dispatch d = {
        .name = "expert_matmul",
        .shader = GPU_GROUP_EXPERTS,
        .spec = { GPU_GROUP, a->w->experts },
        .push = &push,
        .push_size = sizeof(push),
        .grid = { .x = 1, .per_group = GPU_STEP_TOKENS, .least = EXPERT_ROWS + 1,
                  .most = gpu_rows_max(be, a->rows), .rows = a->rows },
    };
    gpu_uses(be, &d, a->ids, pairs, false);
    gpu_uses(be, &d, groups, list_at + pairs, true);
    gpu_dispatch(be, &d);
    c->grouped = a->ids;
    c->grouped_experts = a->w->experts;
    c->grouped_used = a->used;
    return groups;
}

/* Tiles of the pairs that chose the same expert. */
static void expert_tiles(struct le_backend *be, const struct le_expert_matmul *a,
                         struct gpu_dispatch d, struct gpu_push_matmul *push,
                         const struct le_buf *groups)
{
    uint64_t ids = push->ids;
    push->ids = groups->mem.addr;
    d.shader = GPU_MATMUL;
    d.spec[0] = GPU_GROUP;
    d.spec[2] = d.grid.per_group = GPU_GROUPS_TILE;
    d.grid.x = (a->w->out + TILE_W - 1) / TILE_W;
    d.grid.least = EXPERT_ROWS + 1;
    d.grid.most = gpu_rows_max(be, a->rows);
    d.grid.extra = a->w->experts;
    d.cost = (double)a->w->in * a->w->out * (double)d.grid.most * a->used;
    in_pieces(be, d, push);
    push->ids = ids;
}

/* For many rows tiles; for few a matvec for each pair. */
static void expert_part(struct le_backend *be, const struct le_expert_matmul *a,
                        const struct gpu_part *part, const struct le_buf *groups)
{
    uint32_t most = gpu_rows_max(be, a->rows);
    uint64_t pairs = (uint64_t)most * a->used;
    struct gpu_push_matmul push = push_of(be, a->dst, a->w, part, a->src, a->rows);
    push.ids = a->ids->mem.addr;
    push.used = a->used;
    push.experts = a->w->experts;
    struct gpu_dispatch d = {
        .name = "expert_matmul",
        .spec = { [1] = a->w->type, [4] = a->w->in % GPU_CHUNK == 0,
                  [5] = a->per_expert ? GPU_EXPERTS_OWN : GPU_EXPERTS_SHARE },
        .push = &push,
        .push_size = sizeof(push),
        .grid = { .rows = a->rows, .times = a->used },
    };
    read_part(&d, part);
    gpu_uses(be, &d, a->src, (a->per_expert ? pairs : most) * a->w->in, false);
    gpu_uses(be, &d, a->ids, pairs, false);
    gpu_uses(be, &d, a->dst, pairs * a->w->out, true);
    if (groups) {
        gpu_uses(be, &d, groups, groups->bytes / sizeof(float), false);
        expert_tiles(be, a, d, &push, groups);
        d.n_access = 0; /* the variants exclude each other: what they share needs no barrier */
    }
    matvec(be, a->w, d, &push, a->w->out, 1);
}

void gpu_op_expert_matmul(struct le_backend *be, const struct le_expert_matmul *a)
{
    uint32_t most = gpu_rows_max(be, a->rows);
    if (most == 0 || be->failed.code || be->current->recorded)
        return;
    if (a->used == 0 || a->used > a->w->experts) {
        gpu_fail(be, TG_INTERNAL, "expert_matmul: %u of %u experts", a->used, a->w->experts);
        return;
    }
    const struct le_buf *groups = most > EXPERT_ROWS ? group(be, a) : NULL;
    for (uint32_t i = 0; !be->failed.code && i < a->w->n_parts; i++)
        expert_part(be, a, &a->w->parts[i], groups);
}

void gpu_op_embed(struct le_backend *be, struct le_buf *dst, struct le_weight *table, float scale)
{
    uint32_t most = gpu_rows_max(be, LE_ROWS_TOKENS);
    for (uint32_t i = 0; i < table->n_parts; i++) {
        const struct gpu_part *part = &table->parts[i];
        struct gpu_push_embed push = {
            .q = part->q, .s = part->s, .h = part->h, .d = part->d,
            .dst = dst->mem.addr, .step = be->step.addr,
            .width = table->in, .row0 = part->row0, .out_rows = part->rows,
            .chunks = table->chunks, .s_stride = table->s_stride, .d_stride = table->d_stride,
            .scale = scale,
        };
        struct gpu_dispatch d = {
            .name = "embed",
            .shader = GPU_EMBED,
            .spec = { GPU_GROUP, table->type },
            .push = &push,
            .push_size = sizeof(push),
            .grid = { .x = (table->chunks + GPU_GROUP - 1) / GPU_GROUP, .per_group = 1,
                      .least = 1, .most = most, .rows = LE_ROWS_TOKENS },
        };
        read_part(&d, part);
        gpu_uses(be, &d, dst, (uint64_t)most * table->in, true);
        gpu_dispatch(be, &d);
    }
}
