/* Every op but matmul, embed, attention and those of experts: Vulkan against the scalar CPU, at
 * shapes of the tiny and the released models and at odd ones. Prints the observed error beside the
 * bound; any validation message fails the case. Errors are relative to the largest value of the
 * reference. */
#include "tests/unit/check.h"
#include "tests/unit/engine/support_gpu_ops.h"

/* ---- rms ---- */

struct rms_args {
    struct pair_buf dst, src, w, resid;
    struct le_rms rms;
};

static void emit_rms(struct pair *p, int side, void *arg)
{
    struct rms_args *a = arg;
    struct le_rms rms = a->rms;
    rms.dst = a->dst.b[side];
    rms.src = a->src.b[side];
    rms.w = a->w.b[side];
    rms.resid = a->resid.b[side];
    p->ops[side]->rms(p->be[side], &rms);
}

struct rms_case {
    uint32_t width, per_row, tokens;
    bool weight, resid;
    float src_scale, dst_scale;
};

static void check_rms(const struct rms_case *c)
{
    char name[96];
    snprintf(name, sizeof(name), "rms %u x%u%s%s, %u rows", c->width, c->per_row,
             c->weight ? " w" : "", c->resid ? " resid" : "", c->tokens);
    size_t n = (size_t)c->width * c->per_row * c->tokens;
    struct rms_args a = { .rms = { .width = c->width, .per_row = c->per_row, .eps = 1e-6f,
                                   .src_scale = c->src_scale, .dst_scale = c->dst_scale,
                                   .rows = LE_ROWS_TOKENS } };
    float w[8192];
    for (uint32_t i = 0; i < c->width && i < 8192; i++)
        w[i] = 1.0f + 0.5f * pair_random(&pair);
    a.src = pair_input(&pair, n, 3.0f);
    a.dst = pair_output(&pair, n);
    if (c->weight)
        a.w = pair_const(&pair, w, c->width);
    if (c->resid)
        a.resid = pair_input(&pair, n, 5.0f);
    if (!a.src.b[0] || !a.dst.b[0] || (c->weight && !a.w.b[0]) || (c->resid && !a.resid.b[0]))
        fail_closed(name, "could not be made");
    struct le_step step = step_of(c->tokens, 0, 0);
    run_and_compare(name, emit_rms, &a, &step, &a.dst, n, 2e-6);
}

static void rms_shapes(void)
{
    static const struct rms_case cases[] = {
        { 256, 1, 1, true, false, 1, 1 },    { 256, 1, 9, true, true, 1, 0.37f },
        { 64, 4, 7, true, false, 1, 1 },     { 128, 2, 33, false, false, 1, 1 },
        { 32, 10, 512, true, false, 0.0625f, 0.70710678f },
        { 5376, 1, 2, true, true, 1, 1.5f }, { 1, 1, 3, true, true, 1, 1 },
        { 3, 5, 8, false, true, 1e-3f, 1 },  { 513, 1, 2, true, false, 1e-4f, 2 },
    };
    open_pair();
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        check_rms(&cases[i]);
    close_pair();
}

/* ---- rope ---- */

struct rope_args {
    struct pair_buf dst, src, theta;
    uint32_t heads, head_dim;
    enum le_rows rows;
};

static void emit_rope(struct pair *p, int side, void *arg)
{
    struct rope_args *a = arg;
    const struct le_rope rope = { .x = a->dst.b[side], .theta = a->theta.b[side],
                                  .heads = a->heads, .head_dim = a->head_dim, .rows = a->rows };
    p->ops[side]->scale(p->be[side], a->dst.b[side], a->src.b[side], a->heads * a->head_dim, 1.0f,
                        a->rows);
    p->ops[side]->rope(p->be[side], &rope);
}

/* rotated: pairs that turn; the rest have theta 0. */
static void check_rope(uint32_t heads, uint32_t head_dim, uint32_t rotated, double base,
                       uint32_t tokens, int32_t pos, enum le_rows rows)
{
    char name[96];
    snprintf(name, sizeof(name), "rope %ux%u base %g, %u rows at %d", heads, head_dim, base,
             tokens, pos);
    float theta[512];
    for (uint32_t i = 0; i < head_dim / 2; i++)
        theta[i] = i < rotated ? (float)pow(base, -2.0 * i / head_dim) : 0.0f;
    size_t n = (size_t)tokens * heads * head_dim;
    struct rope_args a = { .heads = heads, .head_dim = head_dim, .rows = rows };
    a.src = pair_input(&pair, n, 1.0f);
    a.dst = pair_output(&pair, n);
    a.theta = pair_const(&pair, theta, head_dim / 2);
    if (!a.src.b[0] || !a.dst.b[0] || !a.theta.b[0])
        fail_closed(name, "could not be made");
    struct le_step step = step_of(tokens, rows == LE_ROWS_OUTPUTS ? tokens : 0, pos);
    run_and_compare(name, emit_rope, &a, &step, &a.dst, n, 5e-7);
}

static void rope_up_to_the_last_position(void)
{
    static const int32_t starts[] = { 0, 1, 1000, 4095, 131071, 262144 - 33 };
    open_pair();
    for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++) {
        check_rope(2, 64, 32, 1e4, 33, starts[i], LE_ROWS_TOKENS);
        check_rope(8, 256, 128, 1e4, 2, starts[i], LE_ROWS_TOKENS);
        check_rope(1, 512, 64, 1e6, 7, starts[i], LE_ROWS_OUTPUTS);
    }
    check_rope(3, 2, 1, 10, 5, 77, LE_ROWS_TOKENS);
    check_rope(1, 128, 64, 1e6, 1, 262143, LE_ROWS_TOKENS);
    close_pair();
}

/* ---- element-wise ---- */

struct map_args {
    struct pair_buf dst, a, b;
    uint32_t width, stride, offset, out_width;
    float scale;
};

static void emit_geglu(struct pair *p, int side, void *arg)
{
    struct map_args *m = arg;
    const struct le_geglu geglu = { .dst = m->dst.b[side], .gate = m->a.b[side],
                                    .up = m->b.b[side], .width = m->width,
                                    .up_stride = m->stride, .up_offset = m->offset,
                                    .rows = LE_ROWS_TOKENS };
    p->ops[side]->geglu(p->be[side], &geglu);
}

static void emit_softcap(struct pair *p, int side, void *arg)
{
    struct map_args *m = arg;
    p->ops[side]->scale(p->be[side], m->dst.b[side], m->a.b[side], m->width, 1.25f,
                        LE_ROWS_TOKENS);
    p->ops[side]->softcap(p->be[side], m->dst.b[side], m->width, m->scale, LE_ROWS_TOKENS);
}

static void emit_gather(struct pair *p, int side, void *arg)
{
    struct map_args *m = arg;
    p->ops[side]->gather(p->be[side], m->dst.b[side], m->a.b[side], m->width);
    p->ops[side]->scale(p->be[side], m->dst.b[side], m->dst.b[side], m->width, -0.5f,
                        LE_ROWS_OUTPUTS);
}

static void check_geglu(uint32_t width, uint32_t stride, uint32_t offset, uint32_t tokens,
                        float amplitude)
{
    char name[96];
    snprintf(name, sizeof(name), "geglu %u of %u, %u rows, |x| < %g", width, stride, tokens,
             (double)amplitude);
    struct map_args m = { .width = width, .stride = stride, .offset = offset };
    m.a = pair_input(&pair, (size_t)tokens * width, amplitude);
    m.b = pair_input(&pair, (size_t)tokens * stride, 1.0f);
    m.dst = pair_output(&pair, (size_t)tokens * width);
    if (!m.a.b[0] || !m.b.b[0] || !m.dst.b[0])
        fail_closed(name, "could not be made");
    struct le_step step = step_of(tokens, 0, 0);
    run_and_compare(name, emit_geglu, &m, &step, &m.dst, (size_t)tokens * width, 1e-6);
}

static void geglu_shapes_and_ranges(void)
{
    open_pair();
    check_geglu(512, 512, 0, 1, 4.0f);
    check_geglu(32, 320, 96, 33, 3.0f);
    check_geglu(1, 1, 0, 512, 1.0f);
    check_geglu(6144, 6144, 0, 2, 12.0f);
    check_geglu(257, 300, 43, 9, 0.01f);
    check_geglu(300, 300, 0, 3, 1e5f); /* beyond half precision, and beyond tanh's range */
    close_pair();
}

static void check_map(void (*emit)(struct pair *, int, void *), const char *what, uint32_t width,
                      uint32_t tokens, uint32_t n_outputs, float amplitude)
{
    char name[96];
    snprintf(name, sizeof(name), "%s %u, %u tokens, |x| < %g", what, width, tokens,
             (double)amplitude);
    uint32_t rows = n_outputs ? n_outputs : tokens;
    struct map_args m = { .width = width, .scale = 30.0f };
    m.a = pair_input(&pair, (size_t)tokens * width, amplitude);
    m.dst = pair_output(&pair, (size_t)rows * width);
    if (!m.a.b[0] || !m.dst.b[0])
        fail_closed(name, "could not be made");
    struct le_step step = step_of(tokens, n_outputs, 3);
    struct tg_error err;
    if (pair_run(&pair, emit, &m, &step, tokens, n_outputs, false, &err))
        fail_closed(name, err.text);
    double error = pair_error(&pair, &m.dst, (size_t)rows * width);
    fprintf(stderr, "%-44s error %.1e bound %.0e\n", name, error, 1e-6);
    if (!(error <= 1e-6))
        fail_closed(name, "beyond the bound");
}

static void softcap_scale_and_gather(void)
{
    open_pair();
    check_map(emit_softcap, "scale, softcap", 4096, 1, 0, 40.0f);
    check_map(emit_softcap, "scale, softcap", 4097, 3, 0, 0.1f);
    check_map(emit_softcap, "scale, softcap", 5, 512, 0, 1e6f);
    check_map(emit_gather, "gather, scale", 256, 9, 1, 1.0f);
    check_map(emit_gather, "gather, scale", 33, 70, 41, 1.0f);
    check_map(emit_gather, "gather, scale", 1, 512, 512, 1.0f);
    close_pair();
}

/* What is not finite, or overflows on its way, never comes out as a number. */
static void what_is_no_number_stays_so(void)
{
    enum { WIDTH = 300, ROWS = 4 };
    static const float bad[ROWS] = { NAN, INFINITY, -INFINITY, 3e30f };
    open_pair();
    struct map_args m = { .width = WIDTH, .scale = 30.0f };
    struct rms_args n = { .rms = { .width = WIDTH, .per_row = 1, .eps = 1e-6f, .src_scale = 1.0f,
                                   .dst_scale = 1.0f } };
    m.a = n.src = pair_input(&pair, ROWS * WIDTH, 1.0f);
    m.dst = pair_output(&pair, ROWS * WIDTH);
    n.dst = pair_output(&pair, ROWS * WIDTH);
    for (int r = 0; r < ROWS; r++)
        for (int side = 0; side < 2; side++)
            pair.ops[side]->host(m.a.b[side])[r * WIDTH + 7 + 60 * r] = bad[r];
    struct le_step step = step_of(ROWS, 0, 0);
    bool held = !pair_run(&pair, emit_softcap, &m, &step, ROWS, 0, false, NULL) &&
                !pair_run(&pair, emit_rms, &n, &step, ROWS, 0, false, NULL);
    for (int r = 0; held && r < ROWS; r++) {
        const float *capped = pair.ops[1]->host(m.dst.b[1]) + r * WIDTH;
        const float *normed = pair.ops[1]->host(n.dst.b[1]) + r * WIDTH;
        held = r == 3 ? capped[187] == 30.0f : !isfinite(capped[7 + 60 * r]);
        held = held && !isfinite(normed[7 + 60 * r]) && isfinite(capped[0]);
    }
    close_pair();
    CHECK(held);
}

/* ---- the checked variant: no op leaves its buffers, at shapes that fill no workgroup ---- */

static void ops_stay_inside_their_buffers(void)
{
    open_pair();
    gpu_set_check(pair.be[1], true);
    check_rms(&(struct rms_case){ 33, 3, 5, true, true, 1, 1 });
    check_rope(3, 6, 3, 1e4, 5, 1000, LE_ROWS_OUTPUTS);
    check_geglu(37, 50, 13, 5, 2.0f);
    check_map(emit_softcap, "scale, softcap", 99, 3, 0, 5.0f);
    check_map(emit_gather, "gather, scale", 99, 9, 4, 1.0f);
    close_pair();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(rms_shapes),
        CASE(rope_up_to_the_last_position),
        CASE(geglu_shapes_and_ranges),
        CASE(softcap_scale_and_gather),
        CASE(what_is_no_number_stays_so),
        CASE(ops_stay_inside_their_buffers),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
