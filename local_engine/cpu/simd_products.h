/* matmul and expert_matmul over simd_exact.h. Included by the files of the SIMD sets alone. */

/* Unit: PANEL rows of the weight, for all rows of the input. */
static void matmul(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    const struct le_weight *m = w->c->a.plain.w;
    const struct product p = {
        .type = m->t.type, .w = m->t.data, .row_bytes = m->row_bytes, .in = (size_t)m->t.ne[0],
        .out = (size_t)m->t.ne[1], .src = w->c->a.plain.src->p, .dst = w->c->a.plain.dst->p,
        .share = 1, .n = w->rows,
    };
    for (size_t from = begin * PANEL; from < end * PANEL && from < p.out; from += PANEL)
        multiply_panel(&p, from, p.out - from < PANEL ? p.out - from : PANEL, scratch);
}

/* Round 0: who chose which expert. Round 1, unit: PANEL rows of the matrix of a chosen expert. */
static void expert_matmul(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    const struct le_expert_matmul *a = &w->c->a.expert_matmul;
    const struct cpu_choice *choice = (const struct cpu_choice *)(const void *)w->shared;
    if (w->round == 0) {
        cpu_choice_make(w);
        return;
    }
    size_t out = (size_t)a->w->t.ne[1], panels = (out + PANEL - 1) / PANEL;
    for (size_t u = begin; u < end; u++) {
        uint32_t slot = (uint32_t)(u / panels), first = choice->first[slot];
        size_t from = u % panels * PANEL;
        const struct product p = {
            .type = a->w->t.type, .w = cpu_expert_row(a->w, choice->expert[slot], 0),
            .row_bytes = a->w->row_bytes, .in = (size_t)a->w->t.ne[0], .out = out,
            .src = a->src->p, .dst = a->dst->p, .pairs = choice->pair + first,
            .share = a->per_expert ? 1 : a->used, .n = choice->first[slot + 1] - first,
        };
        multiply_panel(&p, from, out - from < PANEL ? out - from : PANEL, scratch);
    }
}

static size_t matmul_units(const struct cpu_work *w)
{
    return (size_t)(w->c->a.plain.w->t.ne[1] + PANEL - 1) / PANEL;
}

static size_t expert_units(const struct cpu_work *w)
{
    const struct le_expert_matmul *a = &w->c->a.expert_matmul;
    const struct cpu_choice *choice = (const struct cpu_choice *)(const void *)w->shared;
    return w->round == 0 ? 1 : choice->n * (size_t)((a->w->t.ne[1] + PANEL - 1) / PANEL);
}

static uint64_t panel_cost(uint64_t in, uint64_t rows)
{
    return PANEL * in * (rows + 16) / (4 * VL);
}

static uint64_t matmul_cost(const struct cpu_work *w)
{
    return panel_cost(w->c->a.plain.w->t.ne[0], w->rows);
}

static uint64_t expert_cost(const struct cpu_work *w)
{
    const struct le_expert_matmul *a = &w->c->a.expert_matmul;
    const struct cpu_choice *choice = (const struct cpu_choice *)(const void *)w->shared;
    uint32_t pairs = w->rows * a->used;
    return w->round == 0 ? pairs * 3 : panel_cost(a->w->t.ne[0], pairs / choice->n);
}

static size_t panel_scratch(const struct cpu_command *c)
{
    (void)c;
    return PANEL * DEPTH * sizeof(float);
}
