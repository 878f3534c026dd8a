/* Weights: left in the mapped file, or packed for the int8 kernels by all threads at once, with the
 * file's pages dropped behind them. */
#include "config/base/alloc.h"
#include "local_engine/cpu/cpu.h"

enum { PACK_BYTES = 1 << 20 }; /* of a file, about, in one chunk */

struct packing {
    const struct cpu_pack_kernels *kernels;
    const struct le_weight *w;
    uint8_t *out;
    uint32_t grain;  /* groups of a chunk */
    uint32_t chunks; /* of one matrix */
};

static void pack_chunk(void *arg, uint32_t chunk, uint32_t thread)
{
    const struct packing *p = arg;
    const struct le_weight *w = p->w;
    uint32_t lanes = p->kernels->lanes, matrix = chunk / p->chunks;
    uint32_t begin = chunk % p->chunks * p->grain, end = begin + p->grain;
    const uint8_t *plane = w->t.data + matrix * w->t.plane_bytes;
    (void)thread;
    end = end < w->groups ? end : w->groups;
    for (uint32_t g = begin; g < end; g++) {
        uint64_t row = (uint64_t)g * lanes, left = w->t.ne[1] - row;
        p->kernels->pack(w->t.type, w->t.ne[0], plane + row * w->row_bytes, w->row_bytes,
                         left < lanes ? (uint32_t)left : lanes,
                         p->out + ((size_t)matrix * w->groups + g) * w->group_bytes);
    }
    uint64_t first = (uint64_t)begin * lanes, last = (uint64_t)end * lanes;
    last = last < w->t.ne[1] ? last : w->t.ne[1];
    le_tensor_drop(&w->t, plane + first * w->row_bytes, (last - first) * w->row_bytes);
}

/* Leaves w as it is where there is no kernel for its type. */
static bool pack(struct le_backend *be, struct le_weight *w, struct tg_error *err)
{
    const struct cpu_pack_kernels *k = be->pack;
    uint64_t in = w->t.ne[0], out = w->t.ne[1], matrices = w->t.ne[2];
    size_t group_bytes = k ? k->group_bytes(w->t.type, in) : 0, size;
    uint64_t groups = k ? (out + k->lanes - 1) / k->lanes : 0;
    if (group_bytes == 0 || groups > UINT32_MAX || matrices > CPU_CHUNKS_MAX)
        return true;
    if (__builtin_mul_overflow(group_bytes, groups * matrices, &size)) {
        tg_fail(err, TG_NOMEM, "tensor %.*s: too large", TG_FMT(w->t.name));
        return false;
    }
    w->group_bytes = group_bytes;
    w->groups = (uint32_t)groups;
    struct packing p = { .kernels = k, .w = w };
    uint64_t most = CPU_CHUNKS_MAX / matrices; /* chunks of one matrix */
    uint64_t grain = PACK_BYTES / group_bytes + 1;
    grain = grain > groups / most + 1 ? grain : groups / most + 1;
    p.grain = (uint32_t)(grain < groups ? grain : groups);
    p.chunks = (uint32_t)((groups + p.grain - 1) / p.grain);
    p.out = cpu_arena_take(be, size, err);
    if (!p.out)
        return false;
    cpu_pool_run(be->pool, p.chunks * (uint32_t)matrices, pack_chunk, &p);
    w->packed = p.out;
    for (uint64_t m = 0; m < matrices; m++) /* the pages that two chunks shared */
        le_tensor_drop(&w->t, w->t.data + m * w->t.plane_bytes, out * w->row_bytes);
    return true;
}

struct le_weight *cpu_weight_new(struct le_backend *be, const struct le_tensor *t,
                                 struct tg_error *err)
{
    uint32_t block, bytes;
    if (!le_type_block(t->type, &block, &bytes)) {
        tg_fail(err, TG_UNSUPPORTED, "tensor %.*s: weights of %s cannot be run",
                TG_FMT(t->name), le_type_name(t->type));
        return NULL;
    }
    struct le_weight *w = tg_calloc(1, sizeof(*w));
    if (!w) {
        tg_fail(err, TG_NOMEM, "tensor %.*s: out of memory", TG_FMT(t->name));
        return NULL;
    }
    *w = (struct le_weight){ .t = *t, .row_bytes = t->ne[0] / block * bytes };
    if (!pack(be, w, err)) {
        tg_free(w);
        return NULL;
    }
    w->next = be->weights;
    be->weights = w;
    return w;
}
