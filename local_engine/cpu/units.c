#include "local_engine/cpu/units.h"

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
