#include "local_engine/vulkan/record.h"

enum {
    HEAD_DIM_MAX = 1024,
    QUERIES = 8, /* of a workgroup at most, which read each key once */
    KEYS = 2,    /* of a thread, for many rows */
    FEW = 8,     /* rows up to which the keys are split among workgroups */
};

void gpu_op_kv_store(struct le_backend *be, const struct le_kv *kv, struct le_buf *k,
                     struct le_buf *v)
{
    uint32_t width = kv->kv_heads * kv->head_dim;
    if (kv->k->half != kv->v->half || (kv->k->half && width % 2)) {
        gpu_fail(be, TG_UNSUPPORTED, "kv_store: %u values a token in halves", width);
        return;
    }
    const struct gpu_push_kv_store push = {
        .k_cache = kv->k->mem.addr, .v_cache = kv->v->mem.addr,
        .k = k->mem.addr, .v = v->mem.addr, .step = be->step.addr,
        .width = width, .ring = kv->ring,
    };
    struct gpu_dispatch d = {
        .name = "kv_store",
        .shader = GPU_KV_STORE,
        .spec = { GPU_GROUP, kv->k->half },
        .push = &push,
        .push_size = sizeof(push),
        .grid = gpu_per_row(be, gpu_groups((width + 1) / 2), LE_ROWS_TOKENS),
    };
    uint64_t rows = gpu_rows_max(be, LE_ROWS_TOKENS);
    gpu_uses(be, &d, k, rows * width, false);
    gpu_uses(be, &d, v, rows * width, false);
    gpu_uses(be, &d, kv->k, (uint64_t)kv->ring * width, true);
    gpu_uses(be, &d, kv->v, (uint64_t)kv->ring * width, true);
    gpu_dispatch(be, &d);
}

/* The largest number that divides n and is at most most. */
static uint32_t divisor(uint32_t n, uint32_t most)
{
    uint32_t d = most < n ? most : n;
    while (n % d)
        d--;
    return d;
}

/* A buffer of the backend with room for n floats. One that is too small stays until close: recorded
 * passes use it. */
static bool has_room(struct le_backend *be, struct le_buf **buf, uint64_t n)
{
    struct tg_error err = { .code = TG_OK };
    if (*buf && (*buf)->bytes >= n * sizeof(float))
        return true;
    *buf = gpu_buf_new(be, n, LE_BUF_DEVICE, &err);
    if (!*buf)
        gpu_fail(be, err.code, "%s", err.text);
    return *buf;
}

static bool make_scratch(struct le_backend *be, const struct le_attention *a)
{
    uint64_t rows = gpu_rows_max(be, a->rows);
    uint64_t splits = (rows < FEW ? rows : FEW) * a->heads * GPU_SPLITS_MAX;
    uint64_t sums = rows * a->heads > splits ? rows * a->heads : splits;
    return has_room(be, &be->partial, splits * a->kv.head_dim) && has_room(be, &be->sums, sums * 2);
}

static uint32_t keys_max(const struct le_attention *a) /* that a row sees */
{
    return a->window && a->window < a->kv.ring ? a->window : a->kv.ring;
}

static void uses_all(struct le_backend *be, struct gpu_dispatch *d, const struct le_attention *a)
{
    uint64_t n = (uint64_t)gpu_rows_max(be, a->rows) * a->heads * a->kv.head_dim;
    uint64_t cache = (uint64_t)a->kv.ring * a->kv.kv_heads * a->kv.head_dim;
    d->cost = (double)n * keys_max(a) * 2;
    gpu_uses(be, d, a->q, n, false);
    gpu_uses(be, d, a->kv.k, cache, false);
    gpu_uses(be, d, a->kv.v, cache, false);
    gpu_uses(be, d, a->dst, n, true);
}

/* A software driver compiles large loops slowly, and has few registers. */
static bool is_software(const struct le_backend *be)
{
    return be->props.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
}

/* Queries of a workgroup: as many as its shared memory holds, with so many keys of a thread. */
static uint32_t queries_of(const struct le_backend *be, const struct le_attention *a,
                           uint32_t group, uint32_t keys)
{
    uint32_t queries = is_software(be) ? QUERIES / 2 : QUERIES;
    uint64_t shared;
    do { /* what attention.comp and reduce.glsl share, in bytes */
        shared = 4ull * queries * (a->kv.head_dim + keys * group + group) + 8ull * group;
    } while (shared > be->props.limits.maxComputeSharedMemorySize && (queries /= 2) > 1);
    return queries;
}

/* For more than FEW rows: each workgroup has all keys of its rows. */
static void many(struct le_backend *be, const struct le_attention *a, struct gpu_dispatch d,
                 struct gpu_push_attention *push)
{
    uint32_t keys = is_software(be) ? 1 : KEYS, queries = queries_of(be, a, d.spec[0], keys);
    d.spec[2] = divisor(a->heads / a->kv.kv_heads, queries);
    d.spec[3] = queries / d.spec[2];
    d.spec[4] = keys;
    d.grid.x = a->heads / d.spec[2];
    d.grid.cost = 2.0 * a->heads * a->kv.head_dim;
    d.grid.per_group = d.spec[3];
    d.grid.least = FEW + 1;
    d.grid.split = GPU_SPLIT_PASS;
    d.grid.window = a->window;
    uint64_t sums = (uint64_t)gpu_rows_max(be, a->rows) * a->heads * 2;
    uint32_t passes = (keys_max(a) + d.spec[3] - 1) / GPU_PASS_KEYS + 1;
    uses_all(be, &d, a);
    if (passes > 1)
        gpu_uses(be, &d, be->sums, sums, true);
    d.cost /= keys_max(a) < GPU_PASS_KEYS ? 1 : (double)keys_max(a) / GPU_PASS_KEYS;
    for (uint32_t i = 0; i < passes; i++) {
        push->pass = d.grid.pass = i;
        gpu_dispatch(be, &d);
    }
}

/* For up to FEW rows. The variants exclude each other: all that many() declared needs no barrier
 * here. Joining comes last and behind a barrier, so that nothing of either is forgotten. */
static void few(struct le_backend *be, const struct le_attention *a, struct gpu_dispatch d,
                struct gpu_push_attention *push, bool declared)
{
    uint32_t rows = gpu_rows_max(be, a->rows), queries = queries_of(be, a, d.spec[0], 1);
    rows = rows < FEW ? rows : FEW;
    uint64_t splits = (uint64_t)rows * a->heads * GPU_SPLITS_MAX;
    const struct le_buf *partial = be->partial, *sums = be->sums;
    d.spec[2] = divisor(a->heads / a->kv.kv_heads, queries);
    d.spec[3] = d.spec[4] = d.spec[6] = 1;
    d.grid.x = a->heads / d.spec[2];
    d.grid.cost = 2.0 * a->heads * a->kv.head_dim;
    d.grid.most = rows;
    d.grid.split = GPU_SPLIT_EACH;
    d.grid.window = a->window;
    if (!declared)
        uses_all(be, &d, a);
    d.cost = (double)rows * a->heads * a->kv.head_dim * keys_max(a) * 2;
    gpu_uses(be, &d, partial, splits * a->kv.head_dim, true);
    gpu_uses(be, &d, sums, splits * 2, true);
    gpu_dispatch(be, &d);
    struct gpu_dispatch join = {
        .name = "attention",
        .shader = GPU_ATTENTION_JOIN,
        .spec = { GPU_GROUP, a->kv.head_dim },
        .push = push,
        .push_size = sizeof(*push),
        .grid = gpu_per_row(be, a->heads, a->rows),
    };
    join.grid.most = rows;
    join.grid.split = GPU_SPLIT_JOIN;
    join.grid.window = a->window;
    gpu_uses(be, &join, partial, splits * a->kv.head_dim, false);
    gpu_uses(be, &join, sums, splits * 2, false);
    gpu_uses(be, &join, a->dst, (uint64_t)rows * a->heads * a->kv.head_dim, true);
    gpu_dispatch(be, &join);
}

void gpu_op_attention(struct le_backend *be, const struct le_attention *a)
{
    const struct le_kv *kv = &a->kv;
    if (!be->current || be->current->recorded || be->failed.code ||
        gpu_rows_max(be, a->rows) == 0)
        return;
    if (kv->head_dim % 4 || kv->head_dim > HEAD_DIM_MAX || kv->kv_heads == 0 ||
        a->heads % kv->kv_heads || kv->k->half != kv->v->half) {
        gpu_fail(be, TG_UNSUPPORTED, "attention: head dimension %u, %u heads, %u kv heads",
                 kv->head_dim, a->heads, kv->kv_heads);
        return;
    }
    struct gpu_push_attention push = {
        .dst = a->dst->mem.addr, .q = a->q->mem.addr,
        .k = kv->k->mem.addr, .v = kv->v->mem.addr, .step = be->step.addr,
        .heads = a->heads, .kv_heads = kv->kv_heads, .ring = kv->ring,
        .window = a->window, .rows = a->rows,
    };
    const struct gpu_dispatch d = {
        .name = "attention",
        .shader = GPU_ATTENTION,
        .spec = { GPU_GROUP, kv->head_dim, [5] = kv->k->half },
        .push = &push,
        .push_size = sizeof(push),
        .grid = gpu_per_row(be, a->heads, a->rows),
    };
    bool has_many = gpu_rows_max(be, a->rows) > FEW;
    if (!make_scratch(be, a))
        return;
    push.partial = be->partial->mem.addr;
    push.sums = be->sums->mem.addr;
    if (has_many)
        many(be, a, d, &push);
    few(be, a, d, &push, has_many);
}
