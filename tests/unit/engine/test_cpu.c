/* Each op of the CPU backend alone, against values worked out here in doubles or by hand: for every
 * kernel set that runs here, on one thread and on three. */
#include "tests/unit/check.h"

#include "local_engine/backend.h"

static struct cpu_options options = { .precision = LE_EXACT, .threads = 1, .kernels = "scalar" };
static const struct le_ops *ops;
static struct le_backend *be;
static const int32_t ids[4] = { 1, 0, 2, 1 }, positions[4] = { 5, 6, 7, 8 };
static const uint32_t outputs[2] = { 1, 3 };
static const struct le_step step = { 4, 2, ids, positions, outputs, NULL };

static void start(void)
{
    struct tg_error err;
    CHECK_INT(cpu_open(&options, &ops, &be, &err), TG_OK);
    CHECK_STR(ops->name, "cpu");
    CHECK(ops->begin(be, 4, 2));
}

static void finish(void)
{
    ops->close(be);
}

static void run(void)
{
    struct tg_error err = { 0 };
    CHECK_INT(ops->run(be, &step, &err), TG_OK);
}

static struct le_buf *empty(size_t n)
{
    struct le_buf *b = ops->buf_new(be, n, LE_BUF_OUTPUT, NULL);
    CHECK(b != NULL);
    return b;
}

/* n values that look random, between -2 and 2. */
static struct le_buf *filled(size_t n, uint32_t seed)
{
    struct le_buf *b = empty(n);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        ops->host(b)[i] = (float)((int32_t)seed >> 8) * 0x1p-22f;
    }
    return b;
}

static struct le_weight *weight(const float *values, uint64_t in, uint64_t out)
{
    const struct le_tensor t = { .name = TG_STR("w"), .type = LE_TYPE_F32, .n_dims = 2,
                                 .ne = { in, out, 1, 1 }, .data = (const uint8_t *)values,
                                 .nbytes = in * out * sizeof(float) };
    struct le_weight *w = ops->weight_new(be, &t, NULL);
    CHECK(w != NULL);
    return w;
}

static void embed_and_gather(void)
{
    static const float table[6] = { 1, 2, 3, 4, 5, 6 };
    static const float want[8] = { 6, 8, 2, 4, 10, 12, 6, 8 };
    start();
    struct le_buf *x = empty(8), *rows = empty(4);
    ops->embed(be, x, weight(table, 2, 3), 2.0f);
    ops->gather(be, rows, x, 2);
    run();
    CHECK(memcmp(ops->host(x), want, sizeof(want)) == 0);
    CHECK(memcmp(ops->host(rows), want + 2, 8) == 0);
    CHECK(memcmp(ops->host(rows) + 2, want + 6, 8) == 0);
    finish();
}

static void matmul_of_both_kinds_of_rows(void)
{
    enum { IN = 83, OUT = 5 };
    float w[IN * OUT];
    start();
    struct le_buf *values = filled(IN * OUT, 3), *src = filled(4 * IN, 4);
    struct le_buf *all = empty(4 * OUT), *some = empty(4 * OUT);
    memcpy(w, ops->host(values), sizeof(w));
    ops->host(some)[2 * OUT] = 7.0f;
    ops->matmul(be, all, weight(w, IN, OUT), src, LE_ROWS_TOKENS);
    ops->matmul(be, some, weight(w, IN, OUT), src, LE_ROWS_OUTPUTS);
    run();
    for (size_t r = 0; r < 4; r++)
        for (size_t o = 0; o < OUT; o++) {
            double sum = 0;
            for (size_t i = 0; i < IN; i++)
                sum += (double)w[o * IN + i] * (double)ops->host(src)[r * IN + i];
            CHECK_NEAR(ops->host(all)[r * OUT + o], sum, 1e-4);
            if (r < 2)
                CHECK(ops->host(some)[r * OUT + o] == ops->host(all)[r * OUT + o]);
        }
    CHECK(ops->host(some)[2 * OUT] == 7.0f); /* two outputs: the third row is not touched */
    finish();
}

static void rms_with_everything(void)
{
    enum { W = 6, HEADS = 2 };
    start();
    struct le_buf *src = filled(4 * W * HEADS, 5), *resid = filled(4 * W * HEADS, 6);
    struct le_buf *w = filled(W, 7), *dst = empty(4 * W * HEADS);
    ops->rms(be, &(struct le_rms){ .dst = dst, .src = src, .w = w, .resid = resid, .width = W,
                                   .per_row = HEADS, .eps = 0.5f, .src_scale = 0.25f,
                                   .dst_scale = 3.0f, .rows = LE_ROWS_TOKENS });
    run();
    for (size_t v = 0; v < 4 * HEADS; v++) {
        const float *x = ops->host(src) + v * W;
        double sum = 0;
        for (size_t i = 0; i < W; i++)
            sum += (double)x[i] * (double)x[i] / 16;
        for (size_t i = 0; i < W; i++) {
            double want = (double)x[i] / 4 / sqrt(sum / W + 0.5) * (double)ops->host(w)[i];
            want = (want + (double)ops->host(resid)[v * W + i]) * 3;
            CHECK_NEAR(ops->host(dst)[v * W + i], want, 1e-5);
        }
    }
    finish();
}

static void rms_bare_and_in_place(void)
{
    start();
    struct le_buf *x = empty(8);
    for (int i = 0; i < 8; i++)
        ops->host(x)[i] = i % 2 ? 4.0f : -3.0f;
    ops->rms(be, &(struct le_rms){ .dst = x, .src = x, .width = 2, .per_row = 1, .src_scale = 1,
                                   .dst_scale = 1, .rows = LE_ROWS_OUTPUTS });
    run();
    CHECK_NEAR(ops->host(x)[0], -3 / sqrt(12.5), 1e-6);
    CHECK_NEAR(ops->host(x)[3], 4 / sqrt(12.5), 1e-6);
    CHECK(ops->host(x)[4] == -3.0f); /* two outputs: the third row is left as it was */
    finish();
}

/* Positions go by the token of the row, also for output rows. */
static void rope_rotates_halves(void)
{
    static const float theta_values[2] = { 0.5f, 0.0f };
    start();
    struct le_buf *x = filled(4 * 2 * 4, 8), *theta = ops->buf_const(be, theta_values, 2, NULL);
    float before[32];
    memcpy(before, ops->host(x), sizeof(before));
    ops->rope(be, &(struct le_rope){ .x = x, .theta = theta, .heads = 2, .head_dim = 4,
                                     .rows = LE_ROWS_OUTPUTS });
    run();
    for (int r = 0; r < 2; r++)
        for (int h = 0; h < 2; h++) {
            const float *a = before + (r * 2 + h) * 4, *b = ops->host(x) + (r * 2 + h) * 4;
            double angle = positions[outputs[r]] * 0.5;
            CHECK_NEAR(b[0], (double)a[0] * cos(angle) - (double)a[2] * sin(angle), 1e-6);
            CHECK_NEAR(b[2], (double)a[2] * cos(angle) + (double)a[0] * sin(angle), 1e-6);
            CHECK(b[1] == a[1] && b[3] == a[3]);
        }
    CHECK(memcmp(ops->host(x) + 16, before + 16, 64) == 0);
    finish();
}

/* Two kv heads, four query heads, a ring of 9 cells that wraps, a window of 3. */
static void attention_over_a_ring(void)
{
    enum { HD = 2, KV = 2, HEADS = 4, RING = 9, WINDOW = 3 };
    start();
    struct le_kv kv = { filled(RING * KV * HD, 1), filled(RING * KV * HD, 2), KV, HD, RING };
    struct le_buf *k = filled(4 * KV * HD, 11), *v = filled(4 * KV * HD, 12);
    struct le_buf *q = filled(4 * HEADS * HD, 13), *dst = empty(4 * HEADS * HD);
    static const int32_t late[4] = { 7, 8, 9, 10 };
    const struct le_step wrapped = { 4, 0, ids, late, outputs, NULL };
    ops->kv_store(be, &kv, k, v);
    ops->attention(be, &(struct le_attention){ .dst = dst, .q = q, .kv = kv, .heads = HEADS,
                                               .window = WINDOW, .rows = LE_ROWS_TOKENS });
    CHECK_INT(ops->run(be, &wrapped, NULL), TG_OK);
    /* Token 2, position 9, lies in cell 0; token 3 in cell 1. */
    CHECK(memcmp(ops->host(kv.k), ops->host(k) + 2 * KV * HD, 2 * KV * HD * 4) == 0);
    CHECK(memcmp(ops->host(kv.v) + 7 * KV * HD, ops->host(v), 2 * KV * HD * 4) == 0);
    for (int r = 0; r < 4; r++)
        for (int h = 0; h < HEADS; h++) {
            double weight[WINDOW], sum = 0, out[HD] = { 0 };
            const float *qh = ops->host(q) + (r * HEADS + h) * HD;
            for (int j = 0; j < WINDOW; j++) {
                int at = ((late[r] - j) % RING * KV + h / 2) * HD;
                const float *kh = ops->host(kv.k) + at;
                weight[j] = exp((double)qh[0] * (double)kh[0] + (double)qh[1] * (double)kh[1]);
                sum += weight[j];
            }
            for (int j = 0; j < WINDOW; j++)
                for (int i = 0; i < HD; i++)
                    out[i] += weight[j] / sum *
                              (double)ops->host(kv.v)[((late[r] - j) % RING * KV + h / 2) * HD + i];
            for (int i = 0; i < HD; i++)
                CHECK_NEAR(ops->host(dst)[(r * HEADS + h) * HD + i], out[i], 1e-5);
        }
    finish();
}

/* Without a window the first key is that of position 0. */
static void attention_sees_all(void)
{
    start();
    struct le_kv kv = { empty(16), empty(16), 1, 1, 16 };
    struct le_buf *q = empty(4), *dst = empty(4);
    for (int p = 0; p < 16; p++)
        ops->host(kv.v)[p] = (float)p;
    ops->attention(be, &(struct le_attention){ .dst = dst, .q = q, .kv = kv, .heads = 1,
                                               .rows = LE_ROWS_OUTPUTS });
    run(); /* q = 0: the mean of all values up to the position */
    CHECK_NEAR(ops->host(dst)[0], 3.0, 1e-6);
    CHECK_NEAR(ops->host(dst)[1], 4.0, 1e-6);
    finish();
}

static void geglu_takes_a_slice(void)
{
    start();
    struct le_buf *gate = filled(8, 21), *up = filled(4 * 10, 22), *dst = empty(8);
    ops->host(gate)[0] = 3000.0f; /* tanh saturates */
    ops->host(gate)[1] = -3000.0f;
    ops->geglu(be, &(struct le_geglu){ .dst = dst, .gate = gate, .up = up, .width = 2,
                                       .up_stride = 10, .up_offset = 6, .rows = LE_ROWS_TOKENS });
    run();
    for (int r = 0; r < 4; r++)
        for (int i = 0; i < 2; i++) {
            double z = (double)ops->host(gate)[r * 2 + i];
            double u = (double)ops->host(up)[r * 10 + 6 + i];
            double want = 0.5 * z * (1 + tanh(sqrt(2 / 3.14159265358979323846) *
                                              (z + 0.044715 * z * z * z))) * u;
            CHECK_NEAR(ops->host(dst)[r * 2 + i], want, fabs(want) * 1e-5 + 1e-6);
        }
    finish();
}

static void scale_and_softcap(void)
{
    start();
    struct le_buf *x = filled(12, 31), *y = empty(12);
    ops->scale(be, y, x, 3, -2.0f, LE_ROWS_TOKENS);
    ops->softcap(be, y, 3, 1.5f, LE_ROWS_OUTPUTS);
    run();
    for (int i = 0; i < 12; i++) {
        double scaled = -2 * (double)ops->host(x)[i];
        CHECK_NEAR(ops->host(y)[i], i < 6 ? 1.5 * tanh(scaled / 1.5) : scaled, 1e-6);
    }
    finish();
}

static uint32_t bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof(u));
    return u;
}

/* Two of four experts: the order, the tie, the sum and the scale. */
static void route_takes_the_largest(void)
{
    static const float logits[16] = { 0, 2, 1, 0, 3, 3, 3, -200, -1, -1, -2, 5, -9, 0, 0, 0 };
    static const float scales[4] = { 1, 2, 0.5f, 4 };
    static const uint32_t want[8] = { 1, 2, 0, 1, 3, 0, 1, 2 };
    start();
    struct le_buf *in = empty(16), *ids_out = empty(8), *plain = empty(8), *scaled = empty(8);
    memcpy(ops->host(in), logits, sizeof(logits));
    struct le_route a = { .ids = ids_out, .weights = plain, .logits = in, .n_experts = 4,
                          .used = 2 };
    ops->route(be, &a);
    a.weights = scaled;
    a.scale = ops->buf_const(be, scales, 4, NULL);
    ops->route(be, &a);
    run();
    for (int i = 0; i < 8; i++) {
        const float *row = logits + i / 2 * 4;
        double mine = exp((double)row[want[i]]), other = exp((double)row[want[i ^ 1]]);
        CHECK_INT(bits(ops->host(ids_out)[i]), want[i]);
        CHECK_NEAR(ops->host(plain)[i], mine / (mine + other), 1e-6);
        CHECK_NEAR(ops->host(scaled)[i], mine / (mine + other) * (double)scales[want[i]], 1e-6);
    }
    finish();
}

/* Matrices that lie apart in a fused tensor; one input a token, then one a choice; the sum. */
static void experts_of_a_view(void)
{
    enum { IN = 7, OUT = 3, FUSED = 5, EXPERTS = 3, USED = 2 };
    static const uint32_t chosen[8] = { 2, 0, 1, 2, 0, 1, 2, 1 };
    float w[EXPERTS * FUSED * IN], up[EXPERTS * OUT * OUT];
    start();
    struct le_buf *w_values = filled(EXPERTS * FUSED * IN, 1), *src = filled(4 * IN, 2);
    struct le_buf *up_values = filled(EXPERTS * OUT * OUT, 3), *choice = empty(8);
    struct le_buf *weights = filled(8, 4), *t = empty(8 * OUT), *dst = empty(8 * OUT);
    struct le_buf *sum = empty(4 * OUT);
    memcpy(ops->host(choice), chosen, sizeof(chosen));
    memcpy(w, ops->host(w_values), sizeof(w));
    memcpy(up, ops->host(up_values), sizeof(up));
    const struct le_tensor whole = { .name = TG_STR("w"), .type = LE_TYPE_F32, .n_dims = 3,
                                     .ne = { IN, FUSED, EXPERTS, 1 }, .data = (uint8_t *)w,
                                     .nbytes = sizeof(w), .plane_bytes = FUSED * IN * 4 };
    const struct le_tensor second = { .name = TG_STR("up"), .type = LE_TYPE_F32, .n_dims = 3,
                                      .ne = { OUT, OUT, EXPERTS, 1 }, .data = (uint8_t *)up,
                                      .nbytes = sizeof(up), .plane_bytes = OUT * OUT * 4 };
    const struct le_tensor view = le_tensor_rows(&whole, 2, OUT);
    struct le_expert_matmul a = { .dst = t, .src = src, .ids = choice, .used = USED,
                                  .w = ops->weight_new(be, &view, NULL) };
    ops->expert_matmul(be, &a);
    a = (struct le_expert_matmul){ .dst = dst, .src = t, .ids = choice, .used = USED,
                                   .w = ops->weight_new(be, &second, NULL), .per_expert = true };
    ops->expert_matmul(be, &a);
    ops->expert_sum(be, &(struct le_expert_sum){ .dst = sum, .src = dst, .weights = weights,
                                                 .width = OUT, .used = USED });
    run();
    for (size_t r = 0; r < 4; r++)
        for (size_t o = 0; o < OUT; o++) {
            double want = 0;
            for (size_t j = r * USED; j < (r + 1) * USED; j++)
                for (size_t k = 0; k < OUT; k++) {
                    double inner = 0;
                    for (size_t i = 0; i < IN; i++)
                        inner += (double)w[(chosen[j] * FUSED + 2 + k) * IN + i] *
                                 (double)ops->host(src)[r * IN + i];
                    want += inner * (double)up[(chosen[j] * OUT + o) * OUT + k] *
                            (double)ops->host(weights)[j];
                }
            CHECK_NEAR(ops->host(sum)[r * OUT + o], want, 2e-4);
        }
    finish();
}

/* begin() forgets the ops of the pass before. */
static void begin_starts_anew(void)
{
    start();
    struct le_buf *x = filled(4, 41);
    float before[4];
    memcpy(before, ops->host(x), sizeof(before));
    ops->scale(be, x, x, 1, 2.0f, LE_ROWS_TOKENS);
    run();
    CHECK(ops->begin(be, 4, 2));
    run();
    for (int i = 0; i < 4; i++)
        CHECK(ops->host(x)[i] == 2 * before[i]);
    finish();
}

/* What cannot be opened is told, and nothing is left. */
static void kernels_by_name(void)
{
    struct tg_error err = { 0 };
    struct cpu_options o = { .kernels = "mmx" };
    CHECK_INT(cpu_open(&o, &ops, &be, &err), TG_INVALID);
    CHECK(strstr(err.text, "mmx") && be == NULL);
#if defined(__x86_64__)
    o.kernels = "neon";
    CHECK_INT(cpu_open(&o, &ops, &be, &err), TG_UNSUPPORTED);
    CHECK(strstr(err.text, "neon") && be == NULL);
#endif
    CHECK_INT(cpu_open(NULL, &ops, &be, &err), TG_OK);
    CHECK_STR(ops->describe(be), "CPU, scalar C, one thread, exact (F32)");
    ops->close(be);
}

/* A step whose stop is set computes nothing more, and the backend goes on. */
static void a_stopped_step(void)
{
    atomic_bool stop = true;
    struct le_step stopped = step;
    struct tg_error err = { 0 };
    start();
    struct le_buf *x = filled(4, 51);
    float before = ops->host(x)[0];
    ops->scale(be, x, x, 1, 2.0f, LE_ROWS_TOKENS);
    stopped.stop = &stop;
    CHECK_INT(ops->run(be, &stopped, &err), TG_CANCELLED);
    CHECK(ops->host(x)[0] == before);
    atomic_store(&stop, false);
    CHECK_INT(ops->run(be, &stopped, &err), TG_OK);
    CHECK(ops->host(x)[0] == 2 * before);
    finish();
}

static void unknown_type_is_named(void)
{
    struct tg_error err = { 0 };
    const struct le_tensor t = { .name = TG_STR("some.weight"), .type = 16,
                                 .ne = { 256, 1, 1, 1 } };
    start();
    CHECK(ops->weight_new(be, &t, &err) == NULL);
    CHECK_INT(err.code, TG_UNSUPPORTED);
    CHECK(strstr(err.text, "some.weight") && strstr(err.text, "IQ2_XXS"));
    finish();
    ops->close(NULL);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(embed_and_gather),    CASE(matmul_of_both_kinds_of_rows),
        CASE(rms_with_everything), CASE(rms_bare_and_in_place),
        CASE(rope_rotates_halves), CASE(attention_over_a_ring),
        CASE(attention_sees_all),  CASE(geglu_takes_a_slice),
        CASE(scale_and_softcap),   CASE(begin_starts_anew),
        CASE(unknown_type_is_named), CASE(route_takes_the_largest), CASE(experts_of_a_view),
        CASE(kernels_by_name), CASE(a_stopped_step),
    };
    static const char *const kernels[] = { "scalar", "avx2", "avx512", "neon" };
    int failed = 0;
    for (size_t i = 0; i < sizeof(kernels) / sizeof(*kernels); i++)
        for (options.threads = 1; options.threads <= 3; options.threads += 2) {
            options.kernels = kernels[i];
            if (cpu_open(&options, &ops, &be, NULL))
                continue; /* of another processor */
            fprintf(stderr, "%s\n", ops->describe(be));
            ops->close(be);
            failed |= check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
        }
    return failed;
}
