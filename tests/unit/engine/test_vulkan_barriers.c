/* Each op declares what it reads and writes: a write before it, or a read of what it writes, needs
 * a barrier; anything else needs none. Counted from the commands recorded, because no driver in the
 * tests shows a missing barrier. */
#include "tests/unit/check.h"
#include "local_engine/vulkan/record.h"
#include "tests/unit/engine/support_gpu.h"

enum { DST, A, B, C, K_CACHE, V_CACHE, OTHER, SPARE, BUFFERS, HEAD = 64, MANY = 40,
       FLOATS = 2 * MANY * HEAD };

struct bed {
    struct pair pair;
    struct le_buf *b[BUFFERS];
    struct le_buf *theta;
    struct pair_weight w, experts;
};

static struct bed bed;

static void emit_op(int op)
{
    const struct le_ops *ops = bed.pair.ops[1];
    struct le_backend *be = bed.pair.be[1];
    struct le_buf **b = bed.b;
    const struct le_kv kv = {
        .k = b[K_CACHE], .v = b[V_CACHE], .kv_heads = 1, .head_dim = HEAD, .ring = 8
    };
    const struct le_rms rms = { .dst = b[DST],
                                .src = b[A],
                                .w = b[B],
                                .resid = b[C],
                                .width = HEAD,
                                .per_row = 1,
                                .eps = 1e-6f,
                                .src_scale = 1,
                                .dst_scale = 1 };
    const struct le_rope rope = { .x = b[DST], .theta = bed.theta, .heads = 1, .head_dim = HEAD };
    const struct le_attention attention = { .dst = b[DST], .q = b[A], .kv = kv, .heads = 1 };
    const struct le_geglu geglu = {
        .dst = b[DST], .gate = b[A], .up = b[B], .width = HEAD, .up_stride = HEAD
    };
    const struct le_route route = { .ids = b[DST], .weights = b[A], .logits = b[B],
                                    .scale = b[C], .n_experts = HEAD, .used = 2 };
    const struct le_expert_matmul experts = { .dst = b[DST], .src = b[A], .ids = b[B],
                                              .w = bed.experts.w[1], .used = 2 };
    const struct le_expert_sum sum = { .dst = b[DST], .src = b[A], .weights = b[B], .width = HEAD,
                                       .used = 2 };
    switch (op) {
    case 0:
        ops->embed(be, b[DST], bed.w.w[1], 1.0f);
        break;
    case 1:
        ops->matmul(be, b[DST], bed.w.w[1], b[A], LE_ROWS_TOKENS);
        break;
    case 2:
        ops->rms(be, &rms);
        break;
    case 3:
        ops->rope(be, &rope);
        break;
    case 4:
        ops->kv_store(be, &kv, b[A], b[B]);
        break;
    case 5:
        ops->attention(be, &attention);
        break;
    case 6:
        ops->geglu(be, &geglu);
        break;
    case 7:
        ops->gather(be, b[DST], b[A], HEAD);
        break;
    case 8:
        ops->scale(be, b[DST], b[A], HEAD, 2.0f, LE_ROWS_TOKENS);
        break;
    case 9:
        ops->softcap(be, b[DST], HEAD, 30.0f, LE_ROWS_TOKENS);
        break;
    case 10:
        ops->route(be, &route);
        break;
    case 11:
        ops->expert_matmul(be, &experts);
        break;
    default:
        ops->expert_sum(be, &sum);
        break;
    }
}

static const struct {
    const char *name;
    unsigned reads, writes;
    unsigned settled; /* reads that a barrier inside the op puts before what follows */
    unsigned behind;  /* with many rows: accesses that one puts behind what came before the op */
} ops_table[] = {
    { "embed", 0, 1u << DST, 0, 0 },
    { "matmul", 1u << A, 1u << DST, 0, 0 },
    { "rms", 1u << A | 1u << B | 1u << C, 1u << DST, 0, 0 },
    { "rope", 1u << DST, 1u << DST, 0, 0 },
    { "kv_store", 1u << A | 1u << B, 1u << K_CACHE | 1u << V_CACHE, 0, 0 },
    { "attention", 1u << A | 1u << K_CACHE | 1u << V_CACHE, 1u << DST,
      1u << A | 1u << K_CACHE | 1u << V_CACHE, 0 },
    { "geglu", 1u << A | 1u << B, 1u << DST, 0, 0 },
    { "gather", 1u << A, 1u << DST, 0, 0 },
    { "scale", 1u << A, 1u << DST, 0, 0 },
    { "softcap", 1u << DST, 1u << DST, 0, 0 },
    { "route", 1u << B | 1u << C, 1u << DST | 1u << A, 0, 0 },
    { "expert_matmul", 1u << A | 1u << B, 1u << DST, 0, 1u << DST | 1u << A },
    { "expert_sum", 1u << A | 1u << B, 1u << DST, 0, 0 },
};

/* Commands of a pass of the op and a copy src -> dst behind it, or before it, or without one. */
enum copy { COPY_NONE, COPY_FIRST, COPY_LAST };
static int64_t commands(int op, enum copy copy, int src, int dst, uint32_t tokens)
{
    struct le_backend *be = bed.pair.be[1];
    const struct le_ops *ops = bed.pair.ops[1];
    const int32_t id = 0, pos = 3;
    const uint32_t out = 0;
    const struct le_step step = {
        .n_tokens = 1, .n_outputs = 1, .id = &id, .pos = &pos, .out = &out
    };
    gpu_forget(be);
    uint64_t before = gpu_vkcmd_count(be);
    ops->begin(be, tokens, 1);
    if (copy == COPY_FIRST)
        ops->scale(be, bed.b[dst], bed.b[src], HEAD, 1.0f, LE_ROWS_TOKENS);
    emit_op(op);
    if (copy == COPY_LAST)
        ops->scale(be, bed.b[dst], bed.b[src], HEAD, 1.0f, LE_ROWS_TOKENS);
    struct tg_error err = { .text = "" };
    if (ops->run(be, &step, &err)) {
        fprintf(stderr, "%s: %s\n", ops_table[op].name, err.text);
        return -1000;
    }
    return (int64_t)(gpu_vkcmd_count(be) - before);
}

/* Barriers between the copy and the op: what both together need beyond the op alone and the three
 * commands of the copy's dispatch. */
static int64_t barriers(int src, int dst, int op, bool op_first, uint32_t tokens)
{
    return commands(op, op_first ? COPY_LAST : COPY_FIRST, src, dst, tokens) -
           commands(op, COPY_NONE, src, dst, tokens) - 3;
}

static bool op_declares_all(int op, uint32_t tokens)
{
    bool held = true;
    for (int x = 0; x <= V_CACHE; x++) {
        for (int first = 0; first < 2; first++) {
            bool reads = ops_table[op].reads >> x & 1, writes = ops_table[op].writes >> x & 1;
            bool behind = !first && tokens > 1 && ops_table[op].behind >> x & 1;
            reads = reads && !behind && !(first && ops_table[op].settled >> x & 1);
            writes = writes && !behind;
            int64_t written = barriers(SPARE, x, op, first, tokens);
            int64_t read = barriers(x, OTHER, op, first, tokens);
            if (written == (reads || writes) && read == writes)
                continue;
            fprintf(stderr, "%s of %u, buffer %d%s: %d barriers after a write, %d after a read\n",
                    ops_table[op].name, tokens, x, first ? " (op first)" : "", (int)written,
                    (int)read);
            held = false;
        }
    }
    return held;
}

static bool make_bed(void)
{
    float theta[HEAD / 2];
    for (int i = 0; i < HEAD / 2; i++)
        theta[i] = 1.0f;
    bool made = true;
    for (int i = 0; i < BUFFERS; i++) {
        bed.b[i] = bed.pair.ops[1]->buf_new(bed.pair.be[1], FLOATS, LE_BUF_DEVICE, NULL);
        made = made && bed.b[i];
    }
    bed.theta = bed.pair.ops[1]->buf_const(bed.pair.be[1], theta, HEAD / 2, NULL);
    bed.w = pair_weight(&bed.pair, LE_TYPE_Q8_0, HEAD, HEAD);
    bed.experts = pair_experts(&bed.pair, LE_TYPE_Q8_0, HEAD, HEAD, 4);
    return made && bed.theta && bed.w.w[0] && bed.experts.w[0];
}

static void every_op_declares_what_it_touches(void)
{
    struct tg_error err;
    enum tg_status status = pair_open(&bed.pair, &err);
    if (status == TG_NOTFOUND)
        CHECK_SKIP(err.text);
    if (status)
        CHECK_FAIL("gpu_open: %s", err.text);
    bool made = make_bed(), held = true;
    for (int op = 0; made && op < (int)(sizeof(ops_table) / sizeof(*ops_table)); op++)
        held = op_declares_all(op, 1) && op_declares_all(op, MANY) && held;
    pair_close(&bed.pair);
    CHECK(made);
    CHECK(held);
    CHECK_INT(bed.pair.messages, 0);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = { CASE(every_op_declares_what_it_touches) };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
