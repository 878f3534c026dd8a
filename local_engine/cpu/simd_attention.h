/* Attention over a cache in tiles (simd_tiles.h, simd_block.h). Included by the files of the SIMD
 * sets alone.
 *
 * The query heads of a kv head, and where these are fewer than QT several rows, make a team of at
 * most QT queries. Many teams: each is one thread's, some together so that they share blocks of
 * keys while these are in the cache. Few teams (a single token): blocks are shared out, PARTS of
 * them a round, and what they give is put together in the round after, in the same order and by
 * the same sums. */

enum { TOGETHER_TEAMS = 4, PARTS_MAX = 64 };

/* How an op is cut. */
struct plan {
    uint32_t heads, rows, head_teams, row_teams; /* of a team; teams of a kv head */
    uint32_t teams;   /* in all */
    uint32_t parts;   /* blocks of a round; 0: teams are not cut */
    uint32_t blocks;  /* of the longest walk, at most */
};

static uint32_t divided(uint32_t a, uint32_t b)
{
    return (a + b - 1) / b;
}

static struct plan plan_of(const struct cpu_work *w)
{
    const struct le_attention *a = &w->c->a.attention;
    uint32_t group = a->heads / a->kv.kv_heads, first, last, lowest;
    struct plan p = { .heads = group < QT ? group : QT };
    p.rows = QT / p.heads;
    p.head_teams = divided(group, p.heads);
    p.row_teams = divided(w->rows, p.rows);
    p.teams = a->kv.kv_heads * p.head_teams * p.row_teams;
    cpu_keys(w, 0, &lowest, &last);
    cpu_keys(w, w->rows - 1, &first, &last);
    p.blocks = (last - lowest) / KEYS + 3; /* one more at either end, one where the ring wraps */
    if (w->threads > 1 && p.teams < 4 * w->threads && last - lowest >= KEYS) {
        p.parts = divided(8 * w->threads, p.teams) + 2;
        p.parts = p.parts < p.blocks ? p.parts : p.blocks;
        p.parts = p.parts < PARTS_MAX ? p.parts : PARTS_MAX;
    }
    return p;
}

/* Team number `team`: rows are the fastest, so that neighbours share keys. q: room for its queries.
 * The team's kv head is returned. */
static uint32_t team_of(const struct cpu_work *w, const struct plan *p, uint32_t team,
                        struct queries *q)
{
    const struct le_attention *a = &w->c->a.attention;
    uint32_t hd = a->kv.head_dim, row0 = team % p->row_teams * p->rows, group;
    uint32_t kv_head = team / p->row_teams / p->head_teams;
    group = a->heads / a->kv.kv_heads;
    uint32_t head0 = team / p->row_teams % p->head_teams * p->heads;
    q->n = 0;
    q->lowest = UINT32_MAX;
    q->highest = 0;
    for (uint32_t r = row0; r < row0 + p->rows && r < w->rows; r++)
        for (uint32_t h = head0; h < head0 + p->heads && h < group; h++) {
            size_t at = ((size_t)r * a->heads + (size_t)kv_head * group + h) * hd;
            cpu_keys(w, r, &q->first[q->n], &q->last[q->n]);
            q->lowest = q->first[q->n] < q->lowest ? q->first[q->n] : q->lowest;
            q->highest = q->last[q->n] > q->highest ? q->last[q->n] : q->highest;
            q->dst[q->n] = a->dst->p + at;
            for (uint32_t d = 0; d < hd; d++)
                q->q[(size_t)d * QT + q->n] = a->q->p[at + d];
            q->n++;
        }
    for (uint32_t j = q->n; j < QT; j++) /* no queries, but computed with the others */
        for (uint32_t d = 0; d < hd; d++)
            q->q[(size_t)d * QT + j] = 0;
    return kv_head;
}

/* m, l and the weights s [QT][KEYS] of a block; the keys that any query sees: *from .. *to - 1. */
static bool block_weights(const struct le_kv *kv, uint32_t head, const struct queries *q,
                          const struct block *b, float *s, float *m, float *l, int *from, int *to)
{
    int lo[QT], hi[QT];
    *from = b->to;
    *to = b->from;
    for (uint32_t j = 0; j < QT; j++) {
        lo[j] = hi[j] = b->from;
        if (j < q->n)
            block_clip(b, q->first[j], q->last[j], &lo[j], &hi[j]);
        if (lo[j] < hi[j]) {
            *from = lo[j] < *from ? lo[j] : *from;
            *to = hi[j] > *to ? hi[j] : *to;
        }
    }
    if (*from >= *to)
        return false;
    int begin = *from / KT * KT, end = (*to + KT - 1) / KT * KT;
    for (int i = begin; i < end; i += KT) {
        size_t at = tile_at(kv, (b->base + (uint32_t)i) / KT, head);
        if (kv->k->halves)
            tile_scores((const uint16_t *)(void *)kv->k->p + at, true, q->q, kv->head_dim, s + i);
        else
            tile_scores(kv->k->p + at, false, q->q, kv->head_dim, s + i);
    }
    for (int j = 0; j < QT; j++)
        weigh(s + j * KEYS, lo[j], hi[j], begin, end, &m[j], &l[j]);
    return true;
}

/* One block into a state: put to what it holds, or alone (fresh). s: [QT][KEYS] floats. */
static void block_into(const struct le_kv *kv, uint32_t head, const struct queries *q,
                       const struct block *b, struct state *st, bool fresh, float *s)
{
    float m[QT], l[QT], old[QT], new[QT];
    int from, to;
    size_t step = tile_at(kv, 1, 0), at = tile_at(kv, b->base / KT, head);
    if (fresh)
        state_start(st, kv->head_dim);
    if (!block_weights(kv, head, q, b, s, m, l, &from, &to))
        return;
    if (fresh) {
        memcpy(st->m, m, sizeof(m));
        memcpy(st->l, l, sizeof(l));
    } else {
        rescale(st, m, l, old, new);
    }
    for (size_t d = 0; d < kv->head_dim; d += DW) {
        vf o[QT][DV];
        if (kv->v->halves)
            block_values((const uint16_t *)(void *)kv->v->p + at + d * KT, true, step, s, from, to,
                         o);
        else
            block_values(kv->v->p + at + d * KT, false, step, s, from, to, o);
        if (!fresh)
            merge(st, kv->head_dim, d, o, old, new, m);
        for (int j = 0; fresh && j < QT; j++)
            for (int e = 0; e < DV; e++)
                v_store(st->o + (size_t)j * kv->head_dim + d + (size_t)e * VL, o[j][e]);
    }
}

/* What block_into would have done with the block that part holds. */
static void part_into(const struct state *part, struct state *st, uint32_t head_dim)
{
    float old[QT], new[QT];
    rescale(st, part->m, part->l, old, new);
    for (size_t d = 0; d < head_dim; d += DW) {
        vf o[QT][DV];
        for (int j = 0; j < QT; j++)
            for (int e = 0; e < DV; e++)
                o[j][e] = v_load(part->o + (size_t)j * head_dim + d + (size_t)e * VL);
        merge(st, head_dim, d, o, old, new, part->m);
    }
}

static void finish(const struct state *st, const struct queries *q, uint32_t head_dim)
{
    for (uint32_t j = 0; j < q->n; j++) {
        vf norm = v_set(1.0f / st->l[j]);
        for (size_t d = 0; d < head_dim; d += VL)
            v_store(q->dst[j] + d, v_mul(v_load(st->o + j * (size_t)head_dim + d), norm));
    }
}
