#include "local_engine/cpu/packed.h"

#include <string.h>

#include "local_engine/cpu/units.h"

/* Of one product of an expert. */
enum { EXPERT_ROWS = 64, EXPERT_GROUPS = 4 };

/* Unit: a row, to int8 blocks. */
static void round_input(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    size_t width = w->c->a.plain.width, bytes = w->pack->input_bytes(width);
    (void)scratch;
    for (size_t r = begin; r < end; r++)
        w->pack->input(w->c->a.plain.src->p + r * width, width,
                       (uint8_t *)w->c->aux->p + r * bytes);
}

static uint64_t round_input_cost(const struct cpu_work *w)
{
    return w->c->a.plain.width / 8;
}

/* Unit: a group of the weight's rows, for all rows of the input. */
static void packed_matmul(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    const struct le_weight *m = w->c->a.plain.w;
    uint64_t out = m->t.ne[1], first = begin * w->pack->lanes, last = end * w->pack->lanes;
    (void)scratch;
    last = last < out ? last : out;
    w->pack->matmul(m->t.type, m->t.ne[0], m->packed + begin * m->group_bytes,
                    (uint32_t)(end - begin), (uint32_t)(last - first),
                    (const uint8_t *)w->c->aux->p, w->rows, w->c->a.plain.dst->p + first, out);
}

static size_t packed_matmul_units(const struct cpu_work *w)
{
    return w->c->a.plain.w->groups;
}

/* Of a group: reading it, or the products. */
static uint64_t group_cost(const struct cpu_work *w, const struct le_weight *m, uint64_t rows)
{
    return m->group_bytes / 16 + w->pack->lanes * m->t.ne[0] * rows / 150;
}

static uint64_t packed_matmul_cost(const struct cpu_work *w)
{
    return group_cost(w, w->c->a.plain.w, w->rows);
}

/* The shared memory of an expert matmul: who chose which expert, then the rounded input rows in the
 * order of its pairs, so that those of one expert lie together. */
static size_t expert_rows_at(const struct cpu_work *w)
{
    return (cpu_choice_bytes(w) + CPU_ALIGN - 1) / CPU_ALIGN * CPU_ALIGN;
}

static void round_pairs(const struct cpu_work *w, size_t begin, size_t end)
{
    const struct le_expert_matmul *a = &w->c->a.expert_matmul;
    const struct cpu_choice *choice = (const struct cpu_choice *)(const void *)w->shared;
    size_t in = (size_t)a->w->t.ne[0], bytes = w->pack->input_bytes(in);
    uint8_t *out = w->shared + expert_rows_at(w);
    for (size_t i = begin; i < end; i++) {
        size_t pair = choice->pair[i], row = a->per_expert ? pair : pair / a->used;
        w->pack->input(a->src->p + row * in, in, out + i * bytes);
    }
}

/* n groups (at most EXPERT_GROUPS) of the expert in a slot, for all its rows, by way of scratch:
 * outputs do not lie one after the other. */
static void multiply_groups(const struct cpu_work *w, uint32_t slot, uint32_t group, uint32_t n,
                            float *scratch)
{
    const struct le_expert_matmul *a = &w->c->a.expert_matmul;
    const struct le_weight *m = a->w;
    const struct cpu_choice *choice = (const struct cpu_choice *)(const void *)w->shared;
    uint32_t lanes = w->pack->lanes, first = choice->first[slot], last = choice->first[slot + 1];
    size_t out = (size_t)m->t.ne[1], from = (size_t)group * lanes, bytes;
    size_t width = out - from < (size_t)n * lanes ? out - from : (size_t)n * lanes;
    const uint8_t *groups =
        m->packed + ((size_t)choice->expert[slot] * m->groups + group) * m->group_bytes;
    const uint8_t *x = w->shared + expert_rows_at(w);
    bytes = w->pack->input_bytes(m->t.ne[0]);
    for (uint32_t at = first; at < last; at += EXPERT_ROWS) {
        uint32_t rows = last - at < EXPERT_ROWS ? last - at : EXPERT_ROWS;
        w->pack->matmul(m->t.type, m->t.ne[0], groups, n, (uint32_t)width,
                        x + at * bytes, rows, scratch, width);
        for (uint32_t r = 0; r < rows; r++)
            memcpy(a->dst->p + choice->pair[at + r] * out + from, scratch + r * width,
                   width * sizeof(float));
    }
}

/* Round 0: who chose which expert. Round 1, unit: an input row of an expert. Round 2, unit: a group
 * of the rows of a chosen expert. */
static void packed_experts(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    const struct le_weight *m = w->c->a.expert_matmul.w;
    if (w->round == 0)
        cpu_choice_make(w);
    if (w->round == 1)
        round_pairs(w, begin, end);
    for (size_t u = begin; w->round == 2 && u < end;) {
        uint32_t group = (uint32_t)(u % m->groups), left = m->groups - group;
        uint32_t n = left < EXPERT_GROUPS ? left : EXPERT_GROUPS;
        n = end - u < n ? (uint32_t)(end - u) : n;
        multiply_groups(w, (uint32_t)(u / m->groups), group, n, scratch);
        u += n;
    }
}

static uint32_t packed_experts_rounds(const struct cpu_work *w)
{
    (void)w;
    return 3;
}

static size_t packed_experts_units(const struct cpu_work *w)
{
    const struct cpu_choice *choice = (const struct cpu_choice *)(const void *)w->shared;
    if (w->round == 0)
        return 1;
    return w->round == 1 ? choice->first[choice->n]
                         : (size_t)choice->n * w->c->a.expert_matmul.w->groups;
}

static uint64_t packed_experts_cost(const struct cpu_work *w)
{
    const struct le_expert_matmul *a = &w->c->a.expert_matmul;
    const struct cpu_choice *choice = (const struct cpu_choice *)(const void *)w->shared;
    if (w->round == 0)
        return (uint64_t)w->rows * a->used * 3;
    return w->round == 1 ? a->w->t.ne[0] / 8
                         : group_cost(w, a->w, choice->first[choice->n] / choice->n);
}

static size_t packed_experts_scratch(const struct cpu_command *c)
{
    (void)c;
    return EXPERT_ROWS * EXPERT_GROUPS * CPU_LANES_MAX * sizeof(float);
}

static size_t packed_experts_shared(const struct cpu_work *w)
{
    const struct le_expert_matmul *a = &w->c->a.expert_matmul;
    return expert_rows_at(w) +
           (size_t)w->rows * a->used * w->pack->input_bytes(a->w->t.ne[0]);
}

const struct cpu_op cpu_op_round_input = {
    .compute = round_input, .units = cpu_units_rows, .cost = round_input_cost,
};
const struct cpu_op cpu_op_packed_matmul = {
    .compute = packed_matmul, .units = packed_matmul_units, .cost = packed_matmul_cost,
};
const struct cpu_op cpu_op_packed_experts = {
    packed_experts,         packed_experts_units,  packed_experts_cost, packed_experts_rounds,
    packed_experts_scratch, packed_experts_shared,
};
