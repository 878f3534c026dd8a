/* How ops are cut into units, and what a unit costs in ns, more or less: shared by all kernel sets
 * where their cut is the same. */
#ifndef LE_CPU_UNITS_H
#define LE_CPU_UNITS_H

#include "local_engine/cpu/cpu.h"

/* Units. Rows of the op; vectors of an rms; (row, head) of an attention. */
size_t cpu_units_rows(const struct cpu_work *w);
size_t cpu_units_vectors(const struct cpu_work *w);
size_t cpu_units_heads(const struct cpu_work *w);

/* The token of row r of the op. */
static inline uint32_t cpu_row_token(const struct cpu_work *w, uint32_t r)
{
    return w->c->rows == LE_ROWS_TOKENS ? r : w->step->out[r];
}

/* The keys that row r of an attention sees: positions *first .. *last. */
static inline void cpu_keys(const struct cpu_work *w, uint32_t r, uint32_t *first, uint32_t *last)
{
    uint32_t window = w->c->a.attention.window;
    *last = (uint32_t)w->step->pos[cpu_row_token(w, r)];
    *first = window > 0 && *last >= window ? *last - window + 1 : 0;
}

static inline const uint8_t *cpu_weight_row(const struct le_weight *w, uint64_t row)
{
    return w->t.data + row * w->row_bytes;
}

static inline const uint8_t *cpu_expert_row(const struct le_weight *w, uint32_t expert,
                                            uint64_t row)
{
    return w->t.data + expert * w->t.plane_bytes + row * w->row_bytes;
}

/* Row i of an expert matmul's ids. */
static inline uint32_t cpu_expert_id(const struct le_buf *ids, size_t i)
{
    uint32_t id;
    __builtin_memcpy(&id, ids->p + i, sizeof(id));
    return id;
}

/* Which pairs (row, choice) of a step go to which expert: the shared memory of an expert matmul. */
struct cpu_choice {
    uint32_t n;             /* experts that were chosen */
    const uint32_t *expert; /* [n], ascending */
    const uint32_t *first;  /* [n + 1] where an expert's pairs begin in pair */
    const uint32_t *pair;   /* ascending for each expert */
};
/* Makes it from the ids of an expert matmul; ids that name no expert are left out. */
void cpu_choice_make(const struct cpu_work *w);
size_t cpu_choice_bytes(const struct cpu_work *w);
uint32_t cpu_choice_rounds(const struct cpu_work *w); /* it, and the products */

#endif
