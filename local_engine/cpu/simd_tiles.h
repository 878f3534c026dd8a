/* The cache in tiles, and the walk over its keys. Included by the files of the SIMD sets alone.
 *
 * A tile holds KT consecutive cells of one kv head: keys as [head_dim][KT], so that a lane is a
 * key, values as [head_dim / DW][KT][DW], so that a lane is an element. Tiles are ordered [tile][kv
 * head]. Queries walk over keys by position in blocks of KEYS cells; a block ends where the ring
 * does. What a block holds for a query depends on its position and the ring alone. */

enum {
    KT = SV * VL, /* keys of a tile */
    DW = DV * VL, /* elements of a value in one go; head_dim is a multiple of it */
    KEYS = 128,   /* keys of a block: a multiple of KT */
};

_Static_assert(KEYS % KT == 0, "a block is made of tiles");

/* Where tile t of a kv head begins, in elements. */
static size_t tile_at(const struct le_kv *kv, size_t tile, uint32_t head)
{
    return (tile * kv->kv_heads + head) * kv->head_dim * KT;
}

/* VL elements of a cache in floats or halves. */
static inline __attribute__((always_inline)) vf load_cell(const void *p, size_t at, bool halves)
{
    return halves ? v_load_half((const uint16_t *)p + at) : v_load((const float *)p + at);
}

/* A key goes down a column of its tile, a value along rows of DW. */
static void store_cell(const struct le_kv *kv, uint32_t cell, uint32_t head, const float *k,
                       const float *v)
{
    size_t at = tile_at(kv, cell / KT, head), lane = cell % KT;
    for (size_t d = 0; d < kv->head_dim; d += VL) {
        size_t v_at = at + d / DW * DW * KT + lane * DW + d % DW;
        if (kv->k->halves) {
            uint16_t half[VL], *keys = (uint16_t *)(void *)kv->k->p + at + lane;
            v_store_half(half, v_load(k + d));
            for (size_t i = 0; i < VL; i++)
                keys[(d + i) * KT] = half[i];
            v_store_half((uint16_t *)(void *)kv->v->p + v_at, v_load(v + d));
        } else {
            for (size_t i = 0; i < VL; i++)
                kv->k->p[at + lane + (d + i) * KT] = k[d + i];
            v_store(kv->v->p + v_at, v_load(v + d));
        }
    }
}

/* Unit: a token. */
static void tile_store(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    const struct le_kv *kv = &w->c->a.plain.kv;
    size_t width = (size_t)kv->kv_heads * kv->head_dim;
    (void)scratch;
    for (size_t r = begin; r < end; r++)
        for (uint32_t h = 0; h < kv->kv_heads; h++) {
            size_t at = r * width + (size_t)h * kv->head_dim;
            store_cell(kv, (uint32_t)w->step->pos[r] % kv->ring, h, w->c->a.plain.src->p + at,
                       w->c->a.plain.v->p + at);
        }
}

static uint64_t tile_store_cost(const struct cpu_work *w)
{
    return (uint64_t)w->c->a.plain.kv.kv_heads * w->c->a.plain.kv.head_dim;
}

/* A block of keys on a walk: cells base + from .. base + to - 1, of positions zero + from and so
 * on. */
struct block {
    uint32_t base;
    int from, to;
    int64_t zero; /* the position of cell base, were it in the ring */
};

/* The block that begins at position pos, on a walk to position last. */
static struct block block_at(const struct le_kv *kv, uint32_t pos, uint32_t last)
{
    uint32_t cell = pos % kv->ring, base = cell / KEYS * KEYS;
    uint32_t end = kv->ring - base < KEYS ? kv->ring : base + KEYS;
    if (last - pos < end - cell)
        end = cell + (last - pos) + 1;
    return (struct block){ .base = base, .from = (int)(cell - base), .to = (int)(end - base),
                           .zero = (int64_t)pos - (cell - base) };
}

/* The position after a block's last. */
static uint32_t block_next(const struct block *b)
{
    return (uint32_t)(b->zero + b->to);
}

/* The keys of a block that a query with keys first .. last sees: *from .. *to - 1, maybe none. */
static void block_clip(const struct block *b, uint32_t first, uint32_t last, int *from, int *to)
{
    int64_t lo = (int64_t)first - b->zero, hi = (int64_t)last - b->zero + 1;
    *from = lo > b->from ? (lo < b->to ? (int)lo : b->to) : b->from;
    *to = hi < b->to ? (hi > *from ? (int)hi : *from) : b->to;
}
