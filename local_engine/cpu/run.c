/* Running a recorded pass: level by level, the units of a level's ops shared out to the threads. */
#include "config/base/alloc.h"
#include "local_engine/cpu/cpu.h"

enum {
    TOGETHER = 8,       /* ops that share one meeting of the threads */
    ALONE_NS = 6000,    /* less work than this is not worth a meeting */
    CHUNK_NS = 2000,    /* of a chunk, at least; */
    CHUNK_NS_MAX = 4000000, /* at most: between two chunks the step may be stopped */
    SHARES = 8,         /* chunks of a thread, so that all end at about the same time */
};

struct share {
    struct cpu_work work;
    const struct cpu_op *op;
    uint32_t rounds;
    size_t units, grain;
    uint32_t chunks; /* of this round; 0: nothing to do in it */
};

struct together {
    const struct le_backend *be;
    const atomic_bool *stop;
    struct share share[TOGETHER];
    uint32_t n;
};

static bool stopped(const atomic_bool *stop)
{
    return stop && atomic_load_explicit(stop, memory_order_relaxed);
}

static void run_chunk(void *arg, uint32_t chunk, uint32_t thread)
{
    const struct together *t = arg;
    const struct share *s = t->share;
    if (stopped(t->stop))
        return;
    while (chunk >= s->chunks)
        chunk -= s++->chunks;
    size_t begin = chunk * s->grain, end = begin + s->grain;
    s->op->compute(&s->work, begin, end < s->units ? end : s->units,
                   t->be->scratch.p ? t->be->scratch.p + thread * t->be->scratch_bytes : NULL);
}

/* Cuts round `round` into chunks; the work of all in ns, more or less. */
static uint64_t cut(struct together *t, uint32_t round)
{
    uint64_t total = 0, cost[TOGETHER];
    for (uint32_t i = 0; i < t->n; i++) {
        struct share *s = &t->share[i];
        s->work.round = round;
        s->units = round < s->rounds ? s->op->units(&s->work) : 0;
        cost[i] = s->units > 0 ? s->op->cost(&s->work) + 1 : 1;
        total += s->units * cost[i];
    }
    uint64_t ns = total / (SHARES * cpu_pool_threads(t->be->pool));
    ns = ns > CHUNK_NS ? ns : CHUNK_NS;
    ns = ns < CHUNK_NS_MAX ? ns : CHUNK_NS_MAX;
    for (uint32_t i = 0; i < t->n; i++) {
        struct share *s = &t->share[i];
        size_t grain = (size_t)(ns / cost[i]), least = s->units / (CPU_CHUNKS_MAX / TOGETHER) + 1;
        s->grain = grain > least ? grain : least;
        s->chunks = (uint32_t)((s->units + s->grain - 1) / s->grain);
    }
    return total;
}

static void run_rounds(struct together *t)
{
    uint32_t rounds = 0;
    for (uint32_t i = 0; i < t->n; i++)
        rounds = t->share[i].rounds > rounds ? t->share[i].rounds : rounds;
    for (uint32_t round = 0; round < rounds && !stopped(t->stop); round++) {
        uint32_t chunks = 0;
        uint64_t ns = cut(t, round);
        for (uint32_t i = 0; i < t->n; i++)
            chunks += t->share[i].chunks;
        if (ns >= ALONE_NS)
            cpu_pool_run(t->be->pool, chunks, run_chunk, t);
        for (uint32_t i = 0; ns < ALONE_NS && i < chunks; i++)
            run_chunk(t, i, 0);
    }
}

static size_t align(size_t n)
{
    return (n + CPU_ALIGN - 1) / CPU_ALIGN * CPU_ALIGN;
}

/* Gives each command of the group its part of the shared memory. */
static bool place_shared(struct le_backend *be, struct together *t)
{
    size_t size = 0, at = 0;
    for (uint32_t i = 0; i < t->n; i++)
        if (t->share[i].op->shared)
            size += align(t->share[i].op->shared(&t->share[i].work));
    if (!cpu_block_reserve(&be->shared, size))
        return false;
    for (uint32_t i = 0; size > 0 && i < t->n; i++)
        if (t->share[i].op->shared) {
            t->share[i].work.shared = be->shared.p + at;
            at += align(t->share[i].op->shared(&t->share[i].work));
        }
    return true;
}

static void add(struct together *t, const struct cpu_command *c, const struct le_step *step)
{
    const struct cpu_op *op = t->be->op[c->kind];
    struct share *s = &t->share[t->n];
    *s = (struct share){
        .op = op,
        .work = { .c = c, .step = step, .pack = t->be->pack,
                  .rows = c->rows == LE_ROWS_TOKENS ? step->n_tokens : step->n_outputs,
                  .threads = cpu_pool_threads(t->be->pool) },
    };
    if (s->work.rows == 0)
        return;
    s->rounds = op->rounds ? op->rounds(&s->work) : 1;
    t->n++;
}

/* Sorts the commands by level (counting them first) and finds the scratch they need. */
static bool prepare(struct le_backend *be, uint32_t **start)
{
    size_t need = be->n + be->levels + 1, scratch = 0;
    if (need > be->order_cap) {
        uint32_t *order = tg_realloc_array(be->order, need, sizeof(*order));
        if (!order)
            return false;
        be->order = order;
        be->order_cap = need;
    }
    uint32_t *first = be->order + be->n; /* of each level, in order */
    for (uint32_t l = 0; l <= be->levels; l++)
        first[l] = 0;
    for (size_t i = 0; i < be->n; i++) {
        const struct cpu_command *c = &be->commands[i];
        const struct cpu_op *op = be->op[c->kind];
        size_t want = op->scratch ? op->scratch(c) : 0;
        scratch = want > scratch ? want : scratch;
        first[c->level + 1]++;
    }
    for (uint32_t l = 1; l <= be->levels; l++)
        first[l] += first[l - 1];
    for (size_t i = 0; i < be->n; i++)
        be->order[first[be->commands[i].level]++] = (uint32_t)i;
    *start = first; /* by now the end of each level */
    be->scratch_bytes = align(scratch);
    return cpu_block_reserve(&be->scratch, be->scratch_bytes * cpu_pool_threads(be->pool));
}

enum tg_status cpu_run(struct le_backend *be, const struct le_step *step, struct tg_error *err)
{
    uint32_t *end;
    if (be->failed)
        return tg_fail(err, be->failed, "%s", be->failed == TG_LIMIT
                       ? "a pass has more ops than the backend records" : "out of memory");
    if (!prepare(be, &end))
        return tg_fail(err, TG_NOMEM, "out of memory");
    for (uint32_t level = 0, i = 0; level < be->levels; level++)
        while (i < end[level]) {
            struct together t = { .be = be, .stop = step->stop };
            while (i < end[level] && t.n < TOGETHER)
                add(&t, &be->commands[be->order[i++]], step);
            if (!place_shared(be, &t))
                return tg_fail(err, TG_NOMEM, "out of memory");
            run_rounds(&t);
            if (stopped(step->stop))
                return tg_fail(err, TG_CANCELLED, "the step was stopped");
        }
    return TG_OK;
}
