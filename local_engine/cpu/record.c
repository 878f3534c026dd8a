/* Recording: the ops of a pass become commands, each on the lowest level above all that it depends
 * on: what wrote a buffer it reads, and what read or wrote a buffer it writes. Commands of one
 * level are independent, and share one meeting of the threads. */
#include "config/base/alloc.h"
#include "local_engine/cpu/cpu.h"

/* The buffers a command reads and writes, for its level. NULLs are skipped. */
struct uses {
    struct le_buf *read[CPU_USES_MAX], *write[2];
};

static bool cpu_begin(struct le_backend *be, uint32_t class_tokens, uint32_t class_outputs)
{
    (void)class_tokens;
    (void)class_outputs;
    be->n = 0;
    be->levels = 0;
    be->epoch++;
    be->rounded_src = NULL;
    for (int i = 0; i < CPU_ROPES_MAX; i++)
        be->rope_theta[i] = NULL;
    be->failed = TG_OK;
    return true;
}

static struct le_buf *in_epoch(const struct le_backend *be, struct le_buf *b)
{
    if (b->epoch != be->epoch) {
        b->epoch = be->epoch;
        b->written = b->read = 0;
    }
    return b;
}

static uint32_t level_of(const struct le_backend *be, const struct uses *u)
{
    uint32_t level = 0;
    for (int i = 0; i < CPU_USES_MAX; i++)
        if (u->read[i] && in_epoch(be, u->read[i])->written > level)
            level = u->read[i]->written;
    for (int i = 0; i < 2; i++)
        if (u->write[i]) {
            const struct le_buf *b = in_epoch(be, u->write[i]);
            level = b->written > level ? b->written : level;
            level = b->read > level ? b->read : level;
        }
    for (int i = 0; i < CPU_USES_MAX; i++)
        if (u->read[i] && u->read[i]->read < level + 1)
            u->read[i]->read = level + 1;
    for (int i = 0; i < 2; i++)
        if (u->write[i]) {
            u->write[i]->written = level + 1;
            u->write[i]->version++;
        }
    return level;
}

static void record(struct le_backend *be, const struct cpu_command *c, const struct uses *u)
{
    if (be->failed)
        return;
    if (be->n == CPU_COMMANDS_MAX) {
        be->failed = TG_LIMIT;
        return;
    }
    if (be->n == be->cap) {
        size_t cap = be->cap ? be->cap * 2 : 256;
        struct cpu_command *commands = tg_realloc_array(be->commands, cap, sizeof(*commands));
        if (!commands) {
            be->failed = TG_NOMEM;
            return;
        }
        be->commands = commands;
        be->cap = cap;
    }
    struct cpu_command *to = &be->commands[be->n++];
    *to = *c;
    to->level = level_of(be, u);
    be->levels = to->level + 1 > be->levels ? to->level + 1 : be->levels;
}

static void cpu_embed(struct le_backend *be, struct le_buf *dst, struct le_weight *table,
                      float scale)
{
    record(be,
           &(struct cpu_command){ .kind = CPU_EMBED, .rows = LE_ROWS_TOKENS,
                                  .a.plain = { .dst = dst, .w = table, .scale = scale } },
           &(struct uses){ .write = { dst } });
}

/* A buffer of at least n bytes in *slot, made anew when it has to grow. */
static bool grow(struct le_backend *be, struct le_buf **slot, size_t n)
{
    if (!*slot || (*slot)->n * sizeof(float) < n)
        *slot = cpu_bytes_new(be, n);
    if (!*slot)
        be->failed = TG_NOMEM;
    return *slot != NULL;
}

/* Rounds the rows of src to int8 blocks, unless that has just been done: a pass multiplies one
 * input with several matrices. */
static bool round_input(struct le_backend *be, struct le_buf *src, uint64_t width,
                        enum le_rows rows)
{
    bool valid = be->rounded_src == src && be->rounded_version == src->version &&
                 be->rounded_width == width && be->rounded_rows == rows;
    if (be->failed || valid)
        return !be->failed;
    if (!grow(be, &be->rounded, be->pack->input_bytes(width) * LE_STEP_TOKENS_MAX))
        return false;
    record(be,
           &(struct cpu_command){ .kind = CPU_ROUND_INPUT, .rows = rows, .aux = be->rounded,
                                  .a.plain = { .src = src, .width = (uint32_t)width } },
           &(struct uses){ .read = { src }, .write = { be->rounded } });
    be->rounded_src = src;
    be->rounded_version = src->version;
    be->rounded_width = (uint32_t)width;
    be->rounded_rows = rows;
    return true;
}

static void cpu_matmul(struct le_backend *be, struct le_buf *dst, struct le_weight *w,
                       struct le_buf *src, enum le_rows rows)
{
    struct cpu_command c = { .kind = CPU_MATMUL, .rows = rows,
                             .a.plain = { .dst = dst, .src = src, .w = w } };
    struct uses u = { .read = { src }, .write = { dst } };
    if (w->packed) {
        if (!round_input(be, src, w->t.ne[0], rows))
            return;
        c.kind = CPU_PACKED_MATMUL;
        u.read[0] = c.aux = be->rounded;
    }
    record(be, &c, &u);
}

static void cpu_rms(struct le_backend *be, const struct le_rms *a)
{
    record(be, &(struct cpu_command){ .kind = CPU_RMS, .rows = a->rows, .a.rms = *a },
           &(struct uses){ .read = { a->src, a->resid, a->w }, .write = { a->dst } });
}

/* The table of sines and cosines of a theta buffer: made once in a pass, for all its layers. NULL
 * where a set computes them in place, or on failure. */
static struct le_buf *rope_table(struct le_backend *be, struct le_buf *theta)
{
    size_t bytes = LE_STEP_TOKENS_MAX * theta->n * 2 * sizeof(float);
    int i = 0;
    while (i < CPU_ROPES_MAX && be->rope_theta[i] && be->rope_theta[i] != theta)
        i++;
    if (i == CPU_ROPES_MAX || be->failed || !be->set->rope_table)
        return NULL;
    if (be->rope_theta[i] == theta)
        return be->rope_table[i];
    if (!grow(be, &be->rope_table[i], bytes))
        return NULL;
    be->rope_theta[i] = theta;
    record(be,
           &(struct cpu_command){ .kind = CPU_ROPE_TABLE, .rows = LE_ROWS_TOKENS,
                                  .aux = be->rope_table[i],
                                  .a.rope = { .theta = theta,
                                              .head_dim = (uint32_t)theta->n * 2 } },
           &(struct uses){ .read = { theta }, .write = { be->rope_table[i] } });
    return be->rope_table[i];
}

static void cpu_rope(struct le_backend *be, const struct le_rope *a)
{
    struct le_buf *table = rope_table(be, a->theta);
    record(be,
           &(struct cpu_command){ .kind = CPU_ROPE, .rows = a->rows, .aux = table, .a.rope = *a },
           &(struct uses){ .read = { a->theta, table }, .write = { a->x } });
}

/* Whether a cache lies in tiles: kv_store and attention agree on it. */
static bool in_tiles(const struct le_backend *be, const struct le_kv *kv)
{
    return kv->k->tiles && kv->v->tiles && kv->head_dim % be->set->tile == 0 &&
           (uint64_t)kv->kv_heads * kv->head_dim <= CPU_KV_WIDTH_MAX;
}

static void cpu_kv_store(struct le_backend *be, const struct le_kv *kv, struct le_buf *k,
                         struct le_buf *v)
{
    enum cpu_kind kind = in_tiles(be, kv) ? CPU_TILE_STORE : CPU_KV_STORE;
    record(be,
           &(struct cpu_command){ .kind = kind, .rows = LE_ROWS_TOKENS,
                                  .a.plain = { .src = k, .v = v, .kv = *kv } },
           &(struct uses){ .read = { k, v }, .write = { kv->k, kv->v } });
}

static void cpu_attention(struct le_backend *be, const struct le_attention *a)
{
    enum cpu_kind kind = in_tiles(be, &a->kv) ? CPU_TILE_ATTENTION : CPU_ATTENTION;
    record(be, &(struct cpu_command){ .kind = kind, .rows = a->rows, .a.attention = *a },
           &(struct uses){ .read = { a->q, a->kv.k, a->kv.v }, .write = { a->dst } });
}

static void cpu_geglu(struct le_backend *be, const struct le_geglu *a)
{
    record(be, &(struct cpu_command){ .kind = CPU_GEGLU, .rows = a->rows, .a.geglu = *a },
           &(struct uses){ .read = { a->gate, a->up }, .write = { a->dst } });
}

static void cpu_gather(struct le_backend *be, struct le_buf *dst, struct le_buf *src,
                       uint32_t width)
{
    record(be,
           &(struct cpu_command){ .kind = CPU_GATHER, .rows = LE_ROWS_OUTPUTS,
                                  .a.plain = { .dst = dst, .src = src, .width = width } },
           &(struct uses){ .read = { src }, .write = { dst } });
}

static void cpu_scale(struct le_backend *be, struct le_buf *dst, struct le_buf *src, uint32_t width,
                      float scale, enum le_rows rows)
{
    record(be,
           &(struct cpu_command){ .kind = CPU_SCALE, .rows = rows,
                                  .a.plain = { .dst = dst, .src = src, .width = width,
                                               .scale = scale } },
           &(struct uses){ .read = { src }, .write = { dst } });
}

static void cpu_softcap(struct le_backend *be, struct le_buf *x, uint32_t width, float cap,
                        enum le_rows rows)
{
    record(be,
           &(struct cpu_command){ .kind = CPU_SOFTCAP, .rows = rows,
                                  .a.plain = { .dst = x, .width = width, .scale = cap } },
           &(struct uses){ .write = { x } });
}

static void cpu_route(struct le_backend *be, const struct le_route *a)
{
    record(be, &(struct cpu_command){ .kind = CPU_ROUTE, .rows = a->rows, .a.route = *a },
           &(struct uses){ .read = { a->logits, a->scale }, .write = { a->ids, a->weights } });
}

static void cpu_expert_matmul(struct le_backend *be, const struct le_expert_matmul *a)
{
    record(be,
           &(struct cpu_command){ .kind = a->w->packed ? CPU_PACKED_EXPERTS : CPU_EXPERT_MATMUL,
                                  .rows = a->rows, .a.expert_matmul = *a },
           &(struct uses){ .read = { a->src, a->ids }, .write = { a->dst } });
}

static void cpu_expert_sum(struct le_backend *be, const struct le_expert_sum *a)
{
    record(be, &(struct cpu_command){ .kind = CPU_EXPERT_SUM, .rows = a->rows,
                                      .a.expert_sum = *a },
           &(struct uses){ .read = { a->src, a->weights }, .write = { a->dst } });
}

static float *cpu_host(struct le_buf *buf)
{
    return buf->p;
}

const struct le_ops cpu_ops = {
    .name = "cpu",
    .int8 = true,
    .close = cpu_close,
    .describe = cpu_describe,
    .memory = cpu_memory,
    .shares_memory = cpu_shares_memory,
    .buf_new = cpu_buf_new,
    .buf_const = cpu_buf_const,
    .host = cpu_host,
    .weight_new = cpu_weight_new,
    .begin = cpu_begin,
    .embed = cpu_embed,
    .matmul = cpu_matmul,
    .rms = cpu_rms,
    .rope = cpu_rope,
    .kv_store = cpu_kv_store,
    .attention = cpu_attention,
    .geglu = cpu_geglu,
    .gather = cpu_gather,
    .scale = cpu_scale,
    .softcap = cpu_softcap,
    .route = cpu_route,
    .expert_matmul = cpu_expert_matmul,
    .expert_sum = cpu_expert_sum,
    .run = cpu_run,
};
