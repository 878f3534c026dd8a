/* Every op of the SIMD kernel sets in precision exact: against the scalar oracle at shapes of the
 * released models and at odd ones. Prints the worst error of a case beside its bound; errors are
 * relative to the largest value of the reference. */
#include "tests/unit/check.h"
#include "tests/unit/engine/support_cpu.h"

static const char *set;
static struct pair pair;
static int32_t ids[512], positions[512];
static uint32_t outputs[512];
static double worst;

static void start(void)
{
    const struct cpu_options other = { .precision = LE_EXACT, .threads = 2, .kernels = set };
    CHECK(cpu_pair_open(&pair, NULL, &other));
    worst = 0;
}

static void finish(const char *what, double bound)
{
    pair_close(&pair);
    fprintf(stderr, "%s %s: error %.1e, bound %.0e\n", set, what, worst, bound);
    CHECK(worst <= bound);
}

static struct le_step step_of(uint32_t tokens, uint32_t n_outputs, int32_t pos)
{
    for (uint32_t i = 0; i < tokens; i++) {
        ids[i] = (int32_t)(i * 7 % 40);
        positions[i] = pos + (int32_t)i;
    }
    for (uint32_t i = 0; i < n_outputs; i++)
        outputs[i] = tokens - n_outputs + i;
    return (struct le_step){ tokens, n_outputs, ids, positions, outputs, NULL };
}

/* Runs what emit records on both sides; the error of dst's first n values counts. */
static void compare(void (*emit)(struct pair *, int, void *), void *arg, const struct le_step *step,
                    const struct pair_buf *dst, size_t n)
{
    struct tg_error err = { 0 };
    if (pair_run(&pair, emit, arg, step, step->n_tokens, step->n_outputs, true, &err))
        CHECK_FAIL("%s", err.text);
    double error = pair_error(&pair, dst, n);
    worst = error > worst ? error : worst;
}

struct matmul {
    struct pair_buf dst, src;
    struct pair_weight w;
};

static void emit_matmul(struct pair *p, int side, void *arg)
{
    struct matmul *a = arg;
    p->ops[side]->matmul(p->be[side], a->dst.b[side], a->w.w[side], a->src.b[side],
                         LE_ROWS_TOKENS);
}

static void multiply(uint32_t type, uint32_t in, uint32_t out, uint32_t tokens)
{
    struct matmul a = { pair_output(&pair, (size_t)tokens * out),
                        pair_input(&pair, (size_t)tokens * in, 2.0f),
                        pair_weight(&pair, type, in, out) };
    struct le_step step = step_of(tokens, 0, 0);
    CHECK(a.dst.b[0] && a.src.b[0] && a.w.w[0]);
    compare(emit_matmul, &a, &step, &a.dst, (size_t)tokens * out);
}

static const uint32_t types[] = {
    LE_TYPE_F32,  LE_TYPE_F16,  LE_TYPE_BF16, LE_TYPE_Q8_0,   LE_TYPE_Q4_0,   LE_TYPE_Q4_1,
    LE_TYPE_Q5_0, LE_TYPE_Q5_1, LE_TYPE_Q2_K, LE_TYPE_Q3_K,   LE_TYPE_Q4_K,   LE_TYPE_Q5_K,
    LE_TYPE_Q6_K, LE_TYPE_IQ4_NL, LE_TYPE_IQ4_XS, LE_TYPE_MXFP4,
};

static void matmul_of_every_type(void)
{
    static const uint32_t rows[] = { 1, 2, 5, 6, 7, 100 };
    start();
    for (size_t t = 0; t < sizeof(types) / sizeof(*types); t++)
        for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++)
            multiply(types[t], 512, 70, rows[r]);
    finish("matmul, every type", 2e-6);
}

/* One element of the input is 1: the products are the weights themselves, whose bits are those of
 * le_dequantise. */
static void weights_have_the_same_bits(void)
{
    enum { IN = 512, OUT = 33 };
    static const uint32_t rows[] = { 1, 9 }; /* read as they are, and widened into a panel */
    bool same = true;
    start();
    for (size_t t = 0; t < sizeof(types) / sizeof(*types); t++) {
        float want[IN];
        struct matmul a = { pair_output(&pair, 9 * OUT), pair_output(&pair, 9 * IN),
                            pair_weight(&pair, types[t], IN, OUT) };
        for (uint32_t k = 0; k < IN; k += 7)
            for (int r = 0; r < 2; r++) {
                struct le_step step = step_of(rows[r], 0, 0);
                for (int side = 0; side < 2; side++) {
                    memset(pair.ops[side]->host(a.src.b[side]), 0, 9 * IN * sizeof(float));
                    pair.ops[side]->host(a.src.b[side])[(rows[r] - 1) * IN + k] = 1.0f;
                }
                CHECK_INT(pair_run(&pair, emit_matmul, &a, &step, rows[r], 0, true, NULL), TG_OK);
                const float *got = pair.ops[1]->host(a.dst.b[1]) + (rows[r] - 1) * OUT;
                for (uint32_t o = 0; o < OUT; o++) {
                    uint64_t row_bytes = a.w.t.nbytes / OUT;
                    le_dequantise(types[t], a.w.t.data + o * row_bytes, want, IN);
                    same &= got[o] == want[k];
                }
            }
    }
    pair_close(&pair);
    CHECK(same);
}

static void matmul_of_odd_shapes(void)
{
    static const uint32_t shapes[][4] = {
        { LE_TYPE_F32, 1, 1, 1 },        { LE_TYPE_F32, 33, 5, 9 },
        { LE_TYPE_F16, 37, 3, 4 },       { LE_TYPE_F16, 51, 65, 65 },
        { LE_TYPE_BF16, 1030, 37, 1 },   { LE_TYPE_BF16, 1027, 7, 8 },
        { LE_TYPE_F32, 2049, 33, 2 },    { LE_TYPE_Q4_0, 2112, 96, 5 },
        { LE_TYPE_Q8_0, 704, 100, 40 },  { LE_TYPE_Q6_K, 5376, 32, 3 },
        { LE_TYPE_F32, 255, 129, 1 },    { LE_TYPE_Q8_0, 64, 1, 17 },
        { LE_TYPE_Q4_0, 1536, 34, 512 }, { LE_TYPE_F16, 21504, 4, 2 },
    };
    start();
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
        multiply(shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3]);
    finish("matmul, odd shapes", 2e-6);
}

struct experts {
    struct pair_buf logits, ids, weights, src, dst, sum;
    struct pair_weight w;
    uint32_t used, out;
    bool per_expert;
};

static void emit_experts(struct pair *p, int side, void *arg)
{
    struct experts *a = arg;
    const struct le_ops *ops = p->ops[side];
    ops->route(p->be[side], &(struct le_route){ .ids = a->ids.b[side],
                                                .weights = a->weights.b[side],
                                                .logits = a->logits.b[side],
                                                .n_experts = (uint32_t)a->w.t.ne[2],
                                                .used = a->used });
    ops->expert_matmul(p->be[side], &(struct le_expert_matmul){
                                        .dst = a->dst.b[side], .src = a->src.b[side],
                                        .ids = a->ids.b[side], .w = a->w.w[side],
                                        .used = a->used, .per_expert = a->per_expert });
    ops->expert_sum(p->be[side], &(struct le_expert_sum){ .dst = a->sum.b[side],
                                                          .src = a->dst.b[side],
                                                          .weights = a->weights.b[side],
                                                          .width = a->out, .used = a->used });
}

static void choose(uint32_t type, uint32_t in, uint32_t out, uint32_t n_experts, uint32_t used,
                   uint32_t tokens, bool per_expert)
{
    size_t rows = (size_t)tokens * used;
    struct experts a = { .used = used, .out = out, .per_expert = per_expert };
    a.logits = pair_input(&pair, (size_t)tokens * n_experts, 3.0f);
    a.ids = pair_output(&pair, rows);
    a.weights = pair_output(&pair, rows);
    a.src = pair_input(&pair, (per_expert ? rows : tokens) * in, 1.0f);
    a.dst = pair_output(&pair, rows * out);
    a.sum = pair_output(&pair, (size_t)tokens * out);
    a.w = pair_experts(&pair, type, in, out, n_experts);
    struct le_step step = step_of(tokens, 0, 0);
    compare(emit_experts, &a, &step, &a.dst, rows * out);
    compare(emit_experts, &a, &step, &a.sum, (size_t)tokens * out);
}

static void experts_chosen(void)
{
    start();
    choose(LE_TYPE_F32, 40, 50, 6, 2, 7, false);
    choose(LE_TYPE_Q4_0, 256, 70, 16, 4, 1, false);
    choose(LE_TYPE_Q4_0, 256, 70, 16, 4, 33, true);
    choose(LE_TYPE_F16, 64, 33, 128, 8, 100, true);
    choose(LE_TYPE_Q8_0, 2112, 40, 3, 3, 5, false);
    finish("experts", 2e-6);
}

struct row {
    struct pair_buf dst, src, a, b;
    struct le_rms rms;
    uint32_t heads, head_dim, width, stride, offset;
    float factor;
    enum le_rows rows;
};

static void emit_rms(struct pair *p, int side, void *arg)
{
    struct row *r = arg;
    struct le_rms rms = r->rms;
    rms.dst = r->dst.b[side];
    rms.src = r->src.b[side];
    rms.w = r->a.b[side];
    rms.resid = r->b.b[side];
    p->ops[side]->rms(p->be[side], &rms);
}

static void norm(uint32_t width, uint32_t per_row, uint32_t tokens, bool w, bool resid, float scale)
{
    size_t n = (size_t)width * per_row * tokens;
    struct row r = { .rms = { .width = width, .per_row = per_row, .eps = 1e-6f,
                              .src_scale = scale, .dst_scale = 1.5f } };
    r.dst = pair_output(&pair, n);
    r.src = pair_input(&pair, n, 3.0f);
    if (w)
        r.a = pair_input(&pair, width, 2.0f);
    if (resid)
        r.b = pair_input(&pair, n, 1.0f);
    struct le_step step = step_of(tokens, 0, 0);
    compare(emit_rms, &r, &step, &r.dst, n);
}

static void rms_of_all_kinds(void)
{
    start();
    norm(1536, 1, 3, true, true, 1.0f);
    norm(256, 8, 9, true, false, 0.25f);
    norm(257, 3, 5, false, true, 1.0f);
    norm(1, 1, 2, true, true, 1.0f);
    norm(15, 2, 4, false, false, 1e-3f);
    norm(64, 1, 3, true, false, 1e12f); /* squares beyond floats are summed in doubles */
    norm(64, 1, 3, true, false, 1e-9f);
    finish("rms", 1e-6);
}

/* Values whose squares no float holds. */
static void rms_of_large_values(void)
{
    start();
    struct row r = { .rms = { .width = 100, .per_row = 1, .eps = 1e-6f, .src_scale = 1.0f,
                              .dst_scale = 1.0f } };
    r.dst = pair_output(&pair, 200);
    r.src = pair_input(&pair, 200, 1.0f);
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < 200; i++)
            pair.ops[side]->host(r.src.b[side])[i] *= i < 100 ? 1e25f : 1e-25f;
    struct le_step step = step_of(2, 0, 0);
    compare(emit_rms, &r, &step, &r.dst, 200);
    finish("rms of large values", 1e-6);
}

static void emit_rope(struct pair *p, int side, void *arg)
{
    struct row *r = arg;
    p->ops[side]->scale(p->be[side], r->dst.b[side], r->src.b[side], r->heads * r->head_dim, 1.0f,
                        r->rows);
    p->ops[side]->rope(p->be[side], &(struct le_rope){ .x = r->dst.b[side],
                                                       .theta = r->a.b[side], .heads = r->heads,
                                                       .head_dim = r->head_dim,
                                                       .rows = r->rows });
}

/* The same sines, cosines and roundings as the oracle's: not a bit differs. */
static void rope_has_the_same_bits(void)
{
    static const uint32_t dims[] = { 2, 6, 64, 256, 512 };
    start();
    for (size_t d = 0; d < sizeof(dims) / sizeof(*dims); d++)
        for (int32_t pos = 0; pos < 262144; pos += 262144 / 3 - 10) {
            struct row r = { .heads = 3, .head_dim = dims[d], .rows = LE_ROWS_OUTPUTS };
            float theta[256];
            for (uint32_t i = 0; i < dims[d] / 2; i++)
                theta[i] = i % 4 == 3 ? 0.0f : powf(1e4f, -2.0f * (float)i / (float)dims[d]);
            r.a = pair_const(&pair, theta, dims[d] / 2);
            r.src = pair_input(&pair, 9 * 3 * dims[d], 1.0f);
            r.dst = pair_output(&pair, 9 * 3 * dims[d]);
            struct le_step step = step_of(9, 4, pos);
            compare(emit_rope, &r, &step, &r.dst, 4 * 3 * dims[d]);
        }
    finish("rope", 0);
}

static void emit_geglu(struct pair *p, int side, void *arg)
{
    struct row *r = arg;
    p->ops[side]->geglu(p->be[side], &(struct le_geglu){ .dst = r->dst.b[side],
                                                         .gate = r->a.b[side], .up = r->b.b[side],
                                                         .width = r->width,
                                                         .up_stride = r->stride,
                                                         .up_offset = r->offset });
}

static void gated(uint32_t width, uint32_t stride, uint32_t offset, uint32_t tokens, float most)
{
    struct row r = { .width = width, .stride = stride, .offset = offset };
    r.a = pair_input(&pair, (size_t)tokens * width, most);
    r.b = pair_input(&pair, (size_t)tokens * stride, 1.0f);
    r.dst = pair_output(&pair, (size_t)tokens * width);
    struct le_step step = step_of(tokens, 0, 0);
    compare(emit_geglu, &r, &step, &r.dst, (size_t)tokens * width);
}

static void geglu_of_all_ranges(void)
{
    start();
    gated(6144, 6144, 0, 3, 6.0f);
    gated(256, 8960, 512, 5, 3.0f);
    gated(7, 20, 11, 4, 0.01f);
    gated(1030, 1030, 0, 1, 1e6f);
    finish("geglu", 1e-6);
}

static void emit_softcap(struct pair *p, int side, void *arg)
{
    struct row *r = arg;
    p->ops[side]->scale(p->be[side], r->dst.b[side], r->src.b[side], r->width, 1.0f,
                        LE_ROWS_TOKENS);
    p->ops[side]->softcap(p->be[side], r->dst.b[side], r->width, r->factor, LE_ROWS_TOKENS);
}

static void softcap_of_all_ranges(void)
{
    static const float most[] = { 1e-6f, 0.1f, 20.0f, 1000.0f, 1e20f };
    start();
    for (size_t i = 0; i < sizeof(most) / sizeof(*most); i++) {
        struct row r = { .width = 2083, .factor = 30.0f };
        r.src = pair_input(&pair, 2 * 2083, most[i]);
        r.dst = pair_output(&pair, 2 * 2083);
        struct le_step step = step_of(2, 0, 0);
        compare(emit_softcap, &r, &step, &r.dst, 2 * 2083);
    }
    finish("softcap", 3e-7);
}

static void emit_all(struct pair *p, int side, void *arg)
{
    struct row *r = arg;
    emit_geglu(p, side, arg);
    p->ops[side]->softcap(p->be[side], r->src.b[side], 40, 30.0f, LE_ROWS_TOKENS);
}

/* NaN is not lost on the way to the logits, where it is looked for. */
static void what_is_no_number_stays_so(void)
{
    start();
    struct row r = { .width = 40, .stride = 40 };
    struct matmul m = { pair_output(&pair, 5), pair_input(&pair, 40, 1.0f),
                        pair_weight(&pair, LE_TYPE_F16, 40, 5) };
    struct row n = { .rms = { .width = 40, .per_row = 1, .eps = 1e-6f, .src_scale = 1.0f,
                              .dst_scale = 1.0f } };
    r.a = n.src = pair_input(&pair, 40, 1.0f);
    r.b = pair_input(&pair, 40, 1.0f);
    r.src = pair_input(&pair, 40, 1.0f);
    r.dst = pair_output(&pair, 40);
    n.dst = pair_output(&pair, 40);
    struct le_step step = step_of(1, 0, 0);
    for (int side = 0; side < 2; side++) {
        pair.ops[side]->host(r.a.b[side])[17] = NAN;
        pair.ops[side]->host(r.src.b[side])[39] = -NAN;
        pair.ops[side]->host(r.src.b[side])[38] = INFINITY;
        pair.ops[side]->host(m.src.b[side])[36] = NAN;
    }
    CHECK_INT(pair_run(&pair, emit_all, &r, &step, 1, 0, true, NULL), TG_OK);
    CHECK_INT(pair_run(&pair, emit_matmul, &m, &step, 1, 0, true, NULL), TG_OK);
    CHECK_INT(pair_run(&pair, emit_rms, &n, &step, 1, 0, true, NULL), TG_OK);
    bool geglu = isnan(pair.ops[1]->host(r.dst.b[1])[17]);
    bool softcap = isnan(pair.ops[1]->host(r.src.b[1])[39]);
    for (int side = 0; side < 2; side++)
        softcap = softcap && !isfinite(pair.ops[side]->host(r.src.b[side])[38]);
    bool matmul = isnan(pair.ops[1]->host(m.dst.b[1])[4]);
    bool rms = isnan(pair.ops[1]->host(n.dst.b[1])[0]);
    pair_close(&pair);
    CHECK(geglu && softcap && matmul && rms);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(matmul_of_every_type), CASE(matmul_of_odd_shapes),   CASE(experts_chosen),
        CASE(weights_have_the_same_bits),
        CASE(rms_of_all_kinds),     CASE(rms_of_large_values),    CASE(rope_has_the_same_bits),
        CASE(geglu_of_all_ranges),  CASE(softcap_of_all_ranges),  CASE(what_is_no_number_stays_so),
    };
    static const char *const sets[] = { "avx2", "avx512", "neon" };
    int failed = 0, ran = 0;
    for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
        const struct cpu_options other = { .kernels = set = sets[i] };
        if (!cpu_pair_open(&pair, NULL, &other))
            continue;
        pair_close(&pair);
        ran++;
        failed |= check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
    }
    return ran ? failed : 77;
}
