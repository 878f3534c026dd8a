#include "local_engine/cpu/units.h"

#include <string.h>

size_t cpu_units_rows(const struct cpu_work *w)
{
    return w->rows;
}

size_t cpu_units_vectors(const struct cpu_work *w)
{
    return (size_t)w->rows * w->c->a.rms.per_row;
}

size_t cpu_units_heads(const struct cpu_work *w)
{
    return (size_t)w->rows * w->c->a.attention.heads;
}

size_t cpu_choice_bytes(const struct cpu_work *w)
{
    const struct le_expert_matmul *a = &w->c->a.expert_matmul;
    size_t pairs = (size_t)w->rows * a->used, experts = (size_t)a->w->t.ne[2];
    return sizeof(struct cpu_choice) + (2 * experts + 1 + pairs) * sizeof(uint32_t);
}

uint32_t cpu_choice_rounds(const struct cpu_work *w)
{
    (void)w;
    return 2;
}

/* A counting sort. */
void cpu_choice_make(const struct cpu_work *w)
{
    const struct le_expert_matmul *a = &w->c->a.expert_matmul;
    size_t pairs = (size_t)w->rows * a->used, experts = (size_t)a->w->t.ne[2];
    struct cpu_choice *choice = (struct cpu_choice *)(void *)w->shared;
    uint32_t *expert = (uint32_t *)(void *)(choice + 1), *first = expert + experts;
    uint32_t *pair = first + experts + 1, n = 0, at = 0;
    memset(first, 0, (experts + 1) * sizeof(*first));
    for (size_t i = 0; i < pairs; i++) {
        uint32_t e = cpu_expert_id(a->ids, i);
        if (e < experts)
            first[e]++;
    }
    for (size_t e = 0; e < experts; e++) { /* where each begins */
        uint32_t count = first[e];
        first[e] = at;
        at += count;
    }
    for (size_t i = 0; i < pairs; i++) {
        uint32_t e = cpu_expert_id(a->ids, i);
        if (e < experts)
            pair[first[e]++] = (uint32_t)i;
    }
    at = 0;
    for (size_t e = 0; e < experts; e++) { /* by now where each ends */
        uint32_t end = first[e];
        if (end > at) {
            expert[n] = (uint32_t)e;
            first[n++] = at; /* n <= e: this one has been read */
        }
        at = end;
    }
    first[n] = at;
    *choice = (struct cpu_choice){ .n = n, .expert = expert, .first = first, .pair = pair };
}
