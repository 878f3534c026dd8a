#include <string.h>

#include "config/base/alloc.h"
#include "local_engine/cpu/cpu.h"
#include "local_engine/backend.h"
#include "local_engine/device.h"

struct le_backend {
    struct le_buf *bufs;
    struct le_weight *weights;
    struct cpu_command *commands;
    size_t n, cap;
    float *scratch;
    size_t n_scratch, want_scratch;
    uint64_t bytes, bytes_max; /* of buffers; the machine's memory */
    enum tg_status failed; /* the first failure while recording; comes out of run() */
};

static void cpu_close(struct le_backend *be)
{
    if (!be)
        return;
    while (be->bufs) {
        struct le_buf *next = be->bufs->next;
        tg_free(be->bufs->p);
        tg_free(be->bufs);
        be->bufs = next;
    }
    while (be->weights) {
        struct le_weight *next = be->weights->next;
        tg_free(be->weights);
        be->weights = next;
    }
    tg_free(be->commands);
    tg_free(be->scratch);
    tg_free(be);
}

static const char *cpu_describe(const struct le_backend *be)
{
    (void)be;
    return "CPU, scalar C, one thread, exact (F32)";
}

static struct le_buf *cpu_buf_new(struct le_backend *be, size_t n, enum le_buf_kind kind,
                                  struct tg_error *err)
{
    (void)kind; /* all memory is the host's */
    uint64_t bytes;
    /* The system would promise more than it has, and end the process once it is used. */
    if (__builtin_mul_overflow(n, sizeof(float), &bytes) || bytes > be->bytes_max - be->bytes) {
        tg_fail(err, TG_NOMEM, "no memory for a buffer of %llu MiB: the machine has %llu MiB, "
                "other buffers take %llu MiB of it", (unsigned long long)n / (1 << 18),
                (unsigned long long)(be->bytes_max >> 20), (unsigned long long)(be->bytes >> 20));
        return NULL;
    }
    struct le_buf *b = tg_calloc(1, sizeof(*b));
    float *p = tg_calloc(n, sizeof(float));
    if (!b || !p) {
        tg_free(b);
        tg_free(p);
        tg_fail(err, TG_NOMEM, "no memory for a buffer of %llu bytes", (unsigned long long)bytes);
        return NULL;
    }
    be->bytes += bytes;
    *b = (struct le_buf){ .p = p, .n = n, .next = be->bufs };
    be->bufs = b;
    return b;
}

static struct le_buf *cpu_buf_const(struct le_backend *be, const float *values, size_t n,
                                    struct tg_error *err)
{
    struct le_buf *b = cpu_buf_new(be, n, LE_BUF_DEVICE, err);
    if (b)
        memcpy(b->p, values, n * sizeof(float));
    return b;
}

static float *cpu_host(struct le_buf *buf)
{
    return buf->p;
}

static struct le_weight *cpu_weight_new(struct le_backend *be, const struct le_tensor *t,
                                        struct tg_error *err)
{
    uint32_t block, bytes;
    if (!le_type_block(t->type, &block, &bytes)) {
        tg_fail(err, TG_UNSUPPORTED, "tensor %.*s: weights of %s cannot be run",
                TG_FMT(t->name), le_type_name(t->type));
        return NULL;
    }
    struct le_weight *w = tg_calloc(1, sizeof(*w));
    if (!w) {
        tg_fail(err, TG_NOMEM, "tensor %.*s: out of memory", TG_FMT(t->name));
        return NULL;
    }
    *w = (struct le_weight){ .t = *t, .row_bytes = t->ne[0] / block * bytes, .next = be->weights };
    be->weights = w;
    return w;
}

static bool cpu_begin(struct le_backend *be, uint32_t class_tokens, uint32_t class_outputs)
{
    (void)class_tokens;
    (void)class_outputs;
    be->n = 0;
    be->failed = TG_OK;
    return true;
}

static void want_scratch(struct le_backend *be, size_t n)
{
    be->want_scratch = n > be->want_scratch ? n : be->want_scratch;
}

static void record(struct le_backend *be, const struct cpu_command *c)
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
    be->commands[be->n++] = *c;
}

static void cpu_embed(struct le_backend *be, struct le_buf *dst, struct le_weight *table,
                      float scale)
{
    record(be, &(struct cpu_command){
                   .kind = CPU_EMBED, .a.plain = { .dst = dst, .w = table, .scale = scale } });
}

static void cpu_matmul(struct le_backend *be, struct le_buf *dst, struct le_weight *w,
                       struct le_buf *src, enum le_rows rows)
{
    want_scratch(be, (size_t)w->t.ne[0]);
    record(be,
           &(struct cpu_command){ .kind = CPU_MATMUL,
                                  .a.plain = { .dst = dst, .src = src, .w = w, .rows = rows } });
}

static void cpu_rms(struct le_backend *be, const struct le_rms *a)
{
    record(be, &(struct cpu_command){ .kind = CPU_RMS, .a.rms = *a });
}

static void cpu_rope(struct le_backend *be, const struct le_rope *a)
{
    record(be, &(struct cpu_command){ .kind = CPU_ROPE, .a.rope = *a });
}

static void cpu_kv_store(struct le_backend *be, const struct le_kv *kv, struct le_buf *k,
                         struct le_buf *v)
{
    record(be, &(struct cpu_command){ .kind = CPU_KV_STORE,
                                      .a.plain = { .src = k, .v = v, .kv = *kv } });
}

static void cpu_attention(struct le_backend *be, const struct le_attention *a)
{
    want_scratch(be, a->kv.ring);
    record(be, &(struct cpu_command){ .kind = CPU_ATTENTION, .a.attention = *a });
}

static void cpu_geglu(struct le_backend *be, const struct le_geglu *a)
{
    record(be, &(struct cpu_command){ .kind = CPU_GEGLU, .a.geglu = *a });
}

static void cpu_gather(struct le_backend *be, struct le_buf *dst, struct le_buf *src,
                       uint32_t width)
{
    record(be, &(struct cpu_command){ .kind = CPU_GATHER,
                                      .a.plain = { .dst = dst, .src = src, .width = width } });
}

static void cpu_scale(struct le_backend *be, struct le_buf *dst, struct le_buf *src, uint32_t width,
                      float scale, enum le_rows rows)
{
    record(be, &(struct cpu_command){ .kind = CPU_SCALE,
                                      .a.plain = { .dst = dst, .src = src, .width = width,
                                                   .scale = scale, .rows = rows } });
}

static void cpu_softcap(struct le_backend *be, struct le_buf *x, uint32_t width, float cap,
                        enum le_rows rows)
{
    record(be, &(struct cpu_command){
                   .kind = CPU_SOFTCAP,
                   .a.plain = { .dst = x, .width = width, .scale = cap, .rows = rows } });
}

static void cpu_route(struct le_backend *be, const struct le_route *a)
{
    want_scratch(be, a->n_experts);
    record(be, &(struct cpu_command){ .kind = CPU_ROUTE, .a.route = *a });
}

static void cpu_expert_matmul(struct le_backend *be, const struct le_expert_matmul *a)
{
    want_scratch(be, (size_t)a->w->t.ne[0]);
    record(be, &(struct cpu_command){ .kind = CPU_EXPERT_MATMUL, .a.expert_matmul = *a });
}

static void cpu_expert_sum(struct le_backend *be, const struct le_expert_sum *a)
{
    record(be, &(struct cpu_command){ .kind = CPU_EXPERT_SUM, .a.expert_sum = *a });
}

static enum tg_status cpu_run(struct le_backend *be, const struct le_step *step,
                              struct tg_error *err)
{
    if (be->failed)
        return tg_fail(err, be->failed, "%s", be->failed == TG_LIMIT
                       ? "a pass has more ops than the backend records" : "out of memory");
    if (be->want_scratch > be->n_scratch) {
        float *scratch = tg_realloc_array(be->scratch, be->want_scratch, sizeof(float));
        if (!scratch)
            return tg_fail(err, TG_NOMEM, "out of memory");
        be->scratch = scratch;
        be->n_scratch = be->want_scratch;
    }
    for (size_t i = 0; i < be->n; i++)
        cpu_execute(&be->commands[i], step, be->scratch);
    return TG_OK;
}

static const struct le_ops cpu_ops = {
    .name = "cpu",
    .close = cpu_close,
    .describe = cpu_describe,
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

enum tg_status cpu_open(const struct cpu_options *options, const struct le_ops **ops,
                        struct le_backend **out, struct tg_error *err)
{
    (void)options;
    struct le_backend *be = tg_calloc(1, sizeof(*be));
    if (!be)
        return tg_fail(err, TG_NOMEM, "out of memory");
    be->bytes_max = le_machine_memory();
    *ops = &cpu_ops;
    *out = be;
    return TG_OK;
}
