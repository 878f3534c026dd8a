#include <math.h>
#include <string.h>

#include "config/base/alloc.h"
#include "local_engine/vulkan/internal.h"

static struct le_buf *buf_of(struct le_backend *be, size_t n, enum gpu_mem_kind kind, bool half,
                             struct tg_error *err)
{
    if (n == 0 || n > INT32_MAX) { /* shaders index with 32 bits, which SPIR-V takes as signed */
        tg_fail(err, n == 0 ? TG_INVALID : TG_NOMEM, "a buffer of %zu floats: 1 to %d are possible",
                n, INT32_MAX);
        return NULL;
    }
    struct le_buf *b = tg_calloc(1, sizeof(*b));
    if (!b) {
        tg_fail(err, TG_NOMEM, "out of memory");
        return NULL;
    }
    b->be = be;
    b->half = half;
    b->bytes = (uint64_t)n * (half ? 2 : sizeof(float));
    if (gpu_mem_shared(be, kind, b->bytes, &b->mem, err)) {
        tg_free(b);
        return NULL;
    }
    be->used += b->mem.size;
    b->next = be->bufs;
    be->bufs = b;
    return b;
}

/* The newest buffer is the list's first: drops it after a failure. */
static void drop_newest(struct le_backend *be)
{
    struct le_buf *b = be->bufs;
    be->bufs = b->next;
    be->used -= b->mem.size;
    gpu_mem_free(be, &b->mem);
    tg_free(b->theta);
    tg_free(b);
}

struct le_buf *gpu_buf_new(struct le_backend *be, size_t n, enum le_buf_kind kind,
                           struct tg_error *err)
{
    enum gpu_mem_kind mem = kind == LE_BUF_DEVICE || kind == LE_BUF_KV ? GPU_MEM_DEVICE
                            : kind == LE_BUF_INPUT ? GPU_MEM_UPLOAD : GPU_MEM_READBACK;
    struct le_buf *b = buf_of(be, n, mem, kind == LE_BUF_KV && be->fast, err);
    if (b && gpu_mem_zero(be, &b->mem, err)) {
        drop_newest(be);
        return NULL;
    }
    return b;
}

struct le_buf *gpu_buf_const(struct le_backend *be, const float *values, size_t n,
                             struct tg_error *err)
{
    struct le_buf *b = buf_of(be, n, GPU_MEM_DEVICE, false, err);
    if (!b)
        return NULL;
    if (n <= GPU_THETA_MAX) {
        b->theta = tg_alloc(n * sizeof(float));
        if (!b->theta) {
            drop_newest(be);
            tg_fail(err, TG_NOMEM, "out of memory");
            return NULL;
        }
        memcpy(b->theta, values, n * sizeof(float));
        b->n_theta = n;
    }
    if (gpu_mem_write(be, &b->mem, 0, values, b->bytes, err)) {
        drop_newest(be);
        return NULL;
    }
    return b;
}

float *gpu_buf_host(struct le_buf *buf)
{
    return buf->mem.map;
}

static uint64_t turns_of(float theta)
{
    double turns = (double)theta / 6.283185307179586476925286766559;
    double part = turns - floor(turns);
    return part < 1.0 ? (uint64_t)(part * 18446744073709551616.0) : 0;
}

const struct le_buf *gpu_buf_turns(struct le_backend *be, struct le_buf *theta, size_t n)
{
    if (be->failed.code || theta->turns)
        return theta->turns;
    if (!theta->theta || theta->n_theta < n) {
        gpu_fail(be, TG_INTERNAL, "rope: theta must be a constant of at least %zu and at most %d "
                 "values", n, GPU_THETA_MAX);
        return NULL;
    }
    float values[2 * GPU_THETA_MAX];
    for (size_t i = 0; i < theta->n_theta; i++) {
        uint64_t turns = turns_of(theta->theta[i]);
        memcpy(values + 2 * i, &turns, sizeof(turns)); /* low word first */
    }
    struct tg_error err = { .code = TG_OK };
    theta->turns = gpu_buf_const(be, values, 2 * theta->n_theta, &err);
    if (!theta->turns)
        gpu_fail(be, err.code, "%s", err.text);
    return theta->turns;
}

uint64_t gpu_groups_list_at(uint64_t pairs, uint32_t experts)
{
    return 4 + 4 * (pairs / GPU_GROUPS_TILE + (pairs < experts ? pairs : experts));
}

const struct le_buf *gpu_buf_groups(struct le_backend *be, struct le_buf *ids, uint32_t experts)
{
    if (be->failed.code || (ids->groups && ids->groups_experts >= experts))
        return ids->groups;
    uint64_t pairs = ids->bytes / sizeof(float);
    struct tg_error err = { .code = TG_OK };
    /* A smaller one from before is in use by recorded passes: it stays until close. */
    ids->groups = gpu_buf_new(be, (size_t)gpu_groups_list_at(pairs, experts) + pairs,
                              LE_BUF_DEVICE, &err);
    ids->groups_experts = experts;
    if (!ids->groups)
        gpu_fail(be, err.code, "%s", err.text);
    return ids->groups;
}
