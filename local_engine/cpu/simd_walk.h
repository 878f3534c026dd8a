/* Attention over a cache in tiles: the walks (simd_attention.h). Included by the files of the SIMD
 * sets alone. */

static bool stopped(const struct cpu_work *w)
{
    return w->step->stop && atomic_load_explicit(w->step->stop, memory_order_relaxed);
}

/* Teams begin .. end - 1, which share a kv head or not, block by block. */
static void walk_together(const struct cpu_work *w, const struct plan *p, uint32_t team,
                          uint32_t n, uint8_t *room)
{
    const struct le_kv *kv = &w->c->a.attention.kv;
    size_t q_bytes = (size_t)QT * kv->head_dim * sizeof(float), size = state_bytes(kv->head_dim);
    float *s = (float *)(void *)room;
    struct queries q[TOGETHER_TEAMS];
    struct state *st[TOGETHER_TEAMS];
    uint32_t head[TOGETHER_TEAMS], lowest = UINT32_MAX, highest = 0;
    room += QT * KEYS * sizeof(float);
    for (uint32_t i = 0; i < n; i++, room += q_bytes + size) {
        st[i] = (struct state *)(void *)room;
        q[i].q = (float *)(void *)(room + size);
        head[i] = team_of(w, p, team + i, &q[i]);
        state_start(st[i], kv->head_dim);
        lowest = q[i].lowest < lowest ? q[i].lowest : lowest;
        highest = q[i].highest > highest ? q[i].highest : highest;
    }
    for (uint32_t pos = lowest; pos <= highest && !stopped(w);) {
        struct block b = block_at(kv, pos, highest);
        for (uint32_t i = 0; i < n; i++)
            block_into(kv, head[i], &q[i], &b, st[i], false, s);
        pos = block_next(&b);
    }
    for (uint32_t i = 0; i < n; i++)
        finish(st[i], &q[i], kv->head_dim);
}

/* The shared memory of a cut op: a state for each team, then `parts` states for each. */
static struct state *part_of(const struct cpu_work *w, const struct plan *p, uint32_t team,
                             uint32_t part)
{
    size_t i = part == UINT32_MAX ? team : p->teams + (size_t)team * p->parts + part;
    return (struct state *)(void *)(w->shared + i * state_bytes(w->c->a.attention.kv.head_dim));
}

/* The block of a team's walk by its number, false behind the last. A walk wraps once at most. */
static bool numbered_block(const struct le_kv *kv, const struct queries *q, uint32_t number,
                           struct block *b)
{
    uint32_t cell = q->lowest % kv->ring, before_wrap = divided(kv->ring, KEYS) - cell / KEYS;
    uint64_t pos = q->lowest;
    if (number >= before_wrap)
        pos += kv->ring - cell + (uint64_t)(number - before_wrap) * KEYS;
    else if (number > 0)
        pos += (uint64_t)(cell / KEYS + number) * KEYS - cell;
    if (pos > q->highest)
        return false;
    *b = block_at(kv, (uint32_t)pos, q->highest);
    return true;
}

/* An even round: a block of a team. An odd one: a team. */
static void walk_in_parts(const struct cpu_work *w, const struct plan *p, uint32_t unit,
                          uint8_t *room)
{
    const struct le_kv *kv = &w->c->a.attention.kv;
    bool joins = w->round % 2 == 1;
    uint32_t team = joins ? unit : unit / p->parts, number = w->round / 2 * p->parts;
    struct queries q = { .q = (float *)(void *)(room + QT * KEYS * sizeof(float)) };
    uint32_t head = team_of(w, p, team, &q);
    struct block b;
    if (!joins) {
        struct state *part = part_of(w, p, team, unit % p->parts);
        if (numbered_block(kv, &q, number + unit % p->parts, &b))
            block_into(kv, head, &q, &b, part, true, (float *)(void *)room);
        return;
    }
    struct state *st = part_of(w, p, team, UINT32_MAX);
    if (w->round == 1)
        state_start(st, kv->head_dim);
    for (uint32_t i = 0; i < p->parts && numbered_block(kv, &q, number + i, &b); i++)
        part_into(part_of(w, p, team, i), st, kv->head_dim);
    if (number + p->parts >= p->blocks)
        finish(st, &q, kv->head_dim);
}

static void tile_attention(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    struct plan p = plan_of(w);
    for (size_t u = begin; u < end; u++) {
        uint32_t team = (uint32_t)u * TOGETHER_TEAMS, left = p.teams - team;
        if (p.parts > 0)
            walk_in_parts(w, &p, (uint32_t)u, scratch);
        else
            walk_together(w, &p, team, left < TOGETHER_TEAMS ? left : TOGETHER_TEAMS, scratch);
    }
}

static size_t tile_attention_units(const struct cpu_work *w)
{
    struct plan p = plan_of(w);
    if (p.parts == 0)
        return divided(p.teams, TOGETHER_TEAMS);
    return w->round % 2 == 0 ? (size_t)p.teams * p.parts : p.teams;
}

static uint32_t tile_attention_rounds(const struct cpu_work *w)
{
    struct plan p = plan_of(w);
    return p.parts == 0 ? 1 : 2 * divided(p.blocks, p.parts);
}

static uint64_t tile_attention_cost(const struct cpu_work *w)
{
    struct plan p = plan_of(w);
    uint64_t block = (uint64_t)KEYS * w->c->a.attention.kv.head_dim * 2 * QT / 32;
    if (p.parts == 0)
        return block * p.blocks * TOGETHER_TEAMS;
    return w->round % 2 == 0 ? block : block / KEYS * p.parts;
}

static size_t tile_attention_scratch(const struct cpu_command *c)
{
    uint32_t hd = c->a.attention.kv.head_dim;
    return QT * KEYS * sizeof(float) +
           TOGETHER_TEAMS * (state_bytes(hd) + (size_t)QT * hd * sizeof(float));
}

static size_t tile_attention_shared(const struct cpu_work *w)
{
    struct plan p = plan_of(w);
    return p.parts == 0 ? 0 : (size_t)p.teams * (p.parts + 1) *
                                  state_bytes(w->c->a.attention.kv.head_dim);
}
