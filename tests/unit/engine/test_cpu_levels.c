/* The order of ops: random passes over a few buffers, run level by level on several threads, must
 * give what running them one after the other gives. Reads after writes, writes after reads and
 * writes after writes all occur. */
#include "tests/unit/check.h"

#include "local_engine/backend.h"

enum { BUFFERS = 5, WIDTH = 4096, ROWS = 4, OPS = 60, PASSES = 60 };

static uint32_t seed;

static uint32_t draw(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)seed * n >> 32);
}

static float plain[BUFFERS][ROWS * WIDTH];

struct op {
    uint32_t kind, dst, a, b;
    float factor;
};

static struct op random_op(void)
{
    static const float factors[] = { -1.0f, 0.5f, 1.25f, -0.75f };
    return (struct op){ draw(3), draw(BUFFERS), draw(BUFFERS), draw(BUFFERS), factors[draw(4)] };
}

static void record(const struct le_ops *ops, struct le_backend *be, struct le_buf *const *bufs,
                   const struct op *o)
{
    struct le_buf *dst = bufs[o->dst], *a = bufs[o->a], *b = bufs[o->b];
    if (o->kind == 0)
        ops->scale(be, dst, a, WIDTH, o->factor, LE_ROWS_TOKENS);
    else if (o->kind == 1) /* eps so large that the norm is 1: dst = (a * 2^-20 + b) * factor */
        ops->rms(be, &(struct le_rms){ .dst = dst, .src = a, .resid = b, .width = WIDTH,
                                       .per_row = 1, .eps = 0x1p40f, .src_scale = 1.0f,
                                       .dst_scale = o->factor, .rows = LE_ROWS_TOKENS });
    else if (dst != a)
        ops->gather(be, dst, a, WIDTH);
}

/* The same at once. Outputs are the tokens 1 and 3. */
static void compute(const struct op *o)
{
    float *dst = plain[o->dst];
    const float *a = plain[o->a], *b = plain[o->b];
    for (size_t i = 0; o->kind == 0 && i < ROWS * WIDTH; i++)
        dst[i] = a[i] * o->factor;
    for (size_t i = 0; o->kind == 1 && i < ROWS * WIDTH; i++)
        dst[i] = (a[i] * 0x1p-20f + b[i]) * o->factor;
    if (o->kind == 2 && o->dst != o->a) {
        memcpy(dst, a + WIDTH, WIDTH * sizeof(float));
        memcpy(dst + WIDTH, a + 3 * WIDTH, WIDTH * sizeof(float));
    }
}

static void random_passes(void)
{
    static const int32_t ids[ROWS] = { 0 }, pos[ROWS] = { 0, 1, 2, 3 };
    static const uint32_t outputs[2] = { 1, 3 };
    const struct le_step step = { ROWS, 2, ids, pos, outputs, NULL };
    const struct cpu_options options = { .threads = 3, .kernels = "scalar" };
    const struct le_ops *ops;
    struct le_backend *be;
    struct le_buf *bufs[BUFFERS];
    uint32_t wrong = 0;
    CHECK_INT(cpu_open(&options, &ops, &be, NULL), TG_OK);
    for (int i = 0; i < BUFFERS; i++)
        bufs[i] = ops->buf_new(be, ROWS * WIDTH, LE_BUF_OUTPUT, NULL);
    for (seed = 1; wrong == 0 && seed < PASSES;) {
        uint32_t pass = seed;
        for (int i = 0; i < BUFFERS; i++)
            for (int j = 0; j < ROWS * WIDTH; j++)
                ops->host(bufs[i])[j] = plain[i][j] = (float)(int32_t)draw(4096) * 0x1p-8f - 8.0f;
        CHECK(ops->begin(be, ROWS, 2));
        for (int i = 0; i < OPS; i++) {
            struct op o = random_op();
            record(ops, be, bufs, &o);
            compute(&o);
        }
        CHECK_INT(ops->run(be, &step, NULL), TG_OK);
        for (int i = 0; i < BUFFERS; i++)
            for (int j = 0; j < ROWS * WIDTH; j++)
                wrong += fabsf(ops->host(bufs[i])[j] - plain[i][j]) > 1e-6f * fabsf(plain[i][j]);
        seed = pass + 2;
    }
    ops->close(be);
    CHECK_INT(wrong, 0);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = { CASE(random_passes) };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
