/* Attention of up to QT queries over one block of keys (simd_tiles.h). Included by the files of the
 * SIMD sets alone.
 *
 * For each query a block gives m = max s, l = sum exp(s - m), o = sum exp(s - m) v over the keys it
 * sees; blocks are put together in the order of the walk by rescaling to the larger m (Dao et al.
 * 2022). Each s is one sum over head_dim in order, each element of o one sum over the keys in
 * order: nothing depends on which queries share the work. */

/* The state of QT queries after some blocks; o [QT][head_dim]. */
struct state {
    float m[QT], l[QT];
    float o[];
};

static size_t state_bytes(uint32_t head_dim)
{
    return (sizeof(struct state) + (size_t)QT * head_dim * sizeof(float) + CPU_ALIGN - 1) /
           CPU_ALIGN * CPU_ALIGN;
}

static void state_start(struct state *s, uint32_t head_dim)
{
    for (int j = 0; j < QT; j++) {
        s->m[j] = -INFINITY;
        s->l[j] = 0;
    }
    memset(s->o, 0, (size_t)QT * head_dim * sizeof(float));
}

/* n queries (at most QT) that share a kv head, as [head_dim][QT], and the keys they see. */
struct queries {
    uint32_t n;
    uint32_t first[QT], last[QT]; /* positions */
    uint32_t lowest, highest;     /* of all */
    float *dst[QT];
    float *q;
};

/* Scores of a tile: out[j * KEYS + ...] for each query. k: the tile's keys. */
static inline __attribute__((always_inline)) void
tile_scores(const void *k, bool halves, const float *q, uint32_t head_dim, float *out)
{
    vf s[QT][SV];
    for (int j = 0; j < QT; j++)
        for (int v = 0; v < SV; v++)
            s[j][v] = v_zero();
    for (size_t d = 0; d < head_dim; d++) {
        vf key[SV];
        for (int v = 0; v < SV; v++)
            key[v] = load_cell(k, d * KT + (size_t)v * VL, halves);
        for (int j = 0; j < QT; j++) {
            vf x = v_set(q[d * QT + (size_t)j]);
            for (int v = 0; v < SV; v++)
                s[j][v] = v_fma(x, key[v], s[j][v]);
        }
    }
    for (int j = 0; j < QT; j++)
        for (int v = 0; v < SV; v++)
            v_store(out + j * KEYS + v * VL, s[j][v]);
}

/* Scores from .. to - 1 of one query to exp(s - m), all others of the walked tiles to 0. */
static void weigh(float *s, int from, int to, int begin, int end, float *m, float *l)
{
    vf top = v_set(-INFINITY), sum = v_zero();
    *m = -INFINITY;
    for (int i = begin; i < end; i += VL) {
        int lo = from > i ? from - i : 0, hi = to < i + VL ? to - i : VL;
        vf v = v_load(s + i);
        if (lo > 0 || hi < VL)
            v = v_between(v, v_set(-INFINITY), lo < VL ? lo : VL, hi > 0 ? hi : 0);
        v_store(s + i, v);
        top = v_max(top, v);
    }
    if (from < to)
        *m = v_top(top);
    vf shift = v_set(from < to ? *m : 0.0f);
    for (int i = begin; i < end; i += VL) {
        vf v = v_exp(v_sub(v_load(s + i), shift));
        v_store(s + i, v);
        sum = v_add(sum, v);
    }
    *l = v_sum(sum);
}

/* o of DW elements of all queries: keys from .. to - 1 of the block in order. p: the weights
 * [QT][KEYS]; v: where the values of these elements lie in the block's first tile; step: from tile
 * to tile. */
static inline __attribute__((always_inline)) void
block_values(const void *v, bool halves, size_t step, const float *p, int from, int to,
             vf o[QT][DV])
{
    for (int j = 0; j < QT; j++)
        for (int e = 0; e < DV; e++)
            o[j][e] = v_zero();
    for (int i = from; i < to; i++) {
        size_t at = (size_t)(i / KT) * step + (size_t)(i % KT) * DW;
        vf value[DV];
        for (int e = 0; e < DV; e++)
            value[e] = load_cell(v, at + (size_t)e * VL, halves);
        for (int j = 0; j < QT; j++) {
            vf x = v_set(p[j * KEYS + i]);
            for (int e = 0; e < DV; e++)
                o[j][e] = v_fma(x, value[e], o[j][e]);
        }
    }
}

/* Puts a block's m, l and DW elements of o (from element d on) to a state: factors old and new. */
static inline __attribute__((always_inline)) void
merge(struct state *s, uint32_t head_dim, size_t d, vf o[QT][DV], const float *old,
      const float *new, const float *m)
{
    for (int j = 0; j < QT; j++)
        for (int e = 0; m[j] != -INFINITY && e < DV; e++) {
            float *at = s->o + (size_t)j * head_dim + d + (size_t)e * VL;
            v_store(at, v_fma(o[j][e], v_set(new[j]), v_mul(v_load(at), v_set(old[j]))));
        }
}

/* The factors by which a state and a block with m, l are put together; the state's m and l. A block
 * of which a query sees nothing leaves its state as it is. */
static void rescale(struct state *s, const float *m, const float *l, float *old, float *new)
{
    float room[2][QT > VL ? QT : VL] = { { 0 } };
    for (int j = 0; j < QT; j++) {
        float top = s->m[j] > m[j] ? s->m[j] : m[j];
        room[0][j] = s->m[j] - top;
        room[1][j] = m[j] - top;
        if (m[j] != -INFINITY)
            s->m[j] = top;
    }
    for (int i = 0; i < QT; i += VL) {
        v_store(room[0] + i, v_exp(v_load(room[0] + i)));
        v_store(room[1] + i, v_exp(v_load(room[1] + i)));
    }
    for (int j = 0; j < QT; j++) {
        old[j] = room[0][j];
        new[j] = room[1][j];
        if (m[j] != -INFINITY)
            s->l[j] = s->l[j] * old[j] + l[j] * new[j];
    }
}
