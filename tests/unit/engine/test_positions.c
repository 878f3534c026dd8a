/* Positions up to the largest context, op by op against values worked out here in long doubles: the
 * angles of RoPE, the edges of a window in a ring that does not divide the position, and a softmax
 * over a quarter of a million keys. On the scalar kernels, on the best of this processor in both
 * precisions, and on Vulkan. */
#include "tests/unit/check.h"

#include <math.h>

#include "config/base/alloc.h"
#include "tests/unit/engine/support_backends.h"

enum { LAST = 262143, ROWS = 3 };

static const struct le_ops *ops;
static struct le_backend *be;
static struct tg_error err;
static uint32_t seed;

static float next_random(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)((int32_t)seed >> 8) * 0x1p-23f;
}

static struct le_buf *input(size_t n)
{
    struct le_buf *b = ops->buf_new(be, n, LE_BUF_INPUT, &err);
    CHECK(b != NULL);
    for (size_t i = 0; i < n; i++)
        ops->host(b)[i] = next_random();
    return b;
}

static struct le_buf *buffer(size_t n, enum le_buf_kind kind)
{
    struct le_buf *b = ops->buf_new(be, n, kind, &err);
    CHECK(b != NULL);
    return b;
}

/* Runs what has been emitted for n tokens from position pos on; all rows are outputs. */
static void run(int32_t pos, uint32_t n)
{
    static int32_t ids[LE_STEP_TOKENS_MAX], positions[LE_STEP_TOKENS_MAX];
    static uint32_t out[LE_STEP_TOKENS_MAX];
    for (uint32_t i = 0; i < n; i++) {
        positions[i] = pos + (int32_t)i;
        out[i] = i;
    }
    const struct le_step step = { n, n, ids, positions, out, NULL };
    if (ops->run(be, &step, &err))
        CHECK_FAIL("%s", err.text);
}

/* What rotates by the sines and cosines of pos * theta, theta a float as the op has it. */
static void rope_at(uint32_t hd, double base, uint32_t rotated, int32_t pos)
{
    float theta[256], before[ROWS * 512];
    for (uint32_t i = 0; i < hd / 2; i++)
        theta[i] = i < rotated ? (float)pow(base, -2.0 * i / hd) : 0.0f;
    struct le_buf *in = input((size_t)ROWS * hd), *x = buffer((size_t)ROWS * hd, LE_BUF_DEVICE);
    struct le_buf *out = buffer((size_t)ROWS * hd, LE_BUF_OUTPUT);
    struct le_buf *t = ops->buf_const(be, theta, hd / 2, &err);
    CHECK(t != NULL);
    memcpy(before, ops->host(in), sizeof(float) * ROWS * hd);
    if (ops->begin(be, ROWS, ROWS)) {
        ops->scale(be, x, in, hd, 1.0f, LE_ROWS_TOKENS);
        ops->rope(be, &(struct le_rope){ .x = x, .theta = t, .heads = 1, .head_dim = hd });
        ops->scale(be, out, x, hd, 1.0f, LE_ROWS_TOKENS);
    }
    run(pos, ROWS);
    for (uint32_t r = 0; r < ROWS; r++)
        for (uint32_t i = 0; i < hd / 2; i++) {
            long double angle = (long double)(pos + (int32_t)r) * (long double)theta[i];
            long double lo = before[r * hd + i], hi = before[r * hd + hd / 2 + i];
            const float *got = ops->host(out) + (size_t)r * hd;
            CHECK_NEAR(got[i], (double)(lo * cosl(angle) - hi * sinl(angle)), 1e-6);
            CHECK_NEAR(got[hd / 2 + i], (double)(hi * cosl(angle) + lo * sinl(angle)), 1e-6);
        }
}

/* Keys and values [n, hd] from position first on; o of the query at position p. */
static void attend(const float *k, const float *v, const float *q, uint32_t hd, int32_t first,
                   int32_t p, int32_t window, double *o)
{
    long double sum = 0, top = -INFINITY;
    for (int pass = 0; pass < 2; pass++)
        for (int32_t at = p - window + 1; at <= p; at++) {
            const float *key = k + (size_t)(at - first) * hd;
            long double score = 0;
            for (uint32_t i = 0; i < hd; i++)
                score += (long double)q[i] * (long double)key[i];
            if (pass == 0) {
                top = score > top ? score : top;
                continue;
            }
            long double e = expl(score - top);
            sum += e;
            for (uint32_t i = 0; i < hd; i++)
                o[i] += (double)(e * (long double)v[(size_t)(at - first) * hd + i]);
        }
    for (uint32_t i = 0; i < hd; i++)
        o[i] = (double)((long double)o[i] / sum);
}

/* The last tokens of the largest context, a ring of 576 cells: each query sees its own key and the
 * 63 before it, not one more. Halves of keys and values round to 2^-11. */
static void window_at(int32_t last, double tolerance)
{
    enum { HD = 64, WINDOW = 64, N = 200, RING = WINDOW + LE_STEP_TOKENS_MAX };
    int32_t first = last - N + 1;
    struct le_kv kv = { .k = buffer(RING * HD, LE_BUF_KV), .v = buffer(RING * HD, LE_BUF_KV),
                        .kv_heads = 1, .head_dim = HD, .ring = RING };
    struct le_buf *q = input(N * HD), *k = input(N * HD), *v = input(N * HD);
    struct le_buf *out = buffer(N * HD, LE_BUF_OUTPUT);
    for (size_t i = 0; i < N * HD; i++)
        ops->host(q)[i] *= 4; /* so that single keys matter */
    if (ops->begin(be, N, N)) {
        ops->kv_store(be, &kv, k, v);
        ops->attention(be, &(struct le_attention){ .dst = out, .q = q, .kv = kv, .heads = 1,
                                                   .window = WINDOW });
    }
    run(first, N);
    for (int32_t r = WINDOW - 1; r < N; r++) {
        double want[HD] = { 0 };
        attend(ops->host(k), ops->host(v), ops->host(q) + r * HD, HD, first, first + r, WINDOW,
               want);
        for (int i = 0; i < HD; i++)
            CHECK_NEAR(ops->host(out)[r * HD + i], want[i], tolerance);
    }
}

/* A whole context of keys that are zeros, and four that are not: the sum of all weights is that of
 * 262140 ones and four more. */
static void all_keys(double tolerance)
{
    enum { HD = 64, N = 4 };
    size_t cells = (size_t)(LAST + 1) * HD;
    struct le_kv kv = { .k = buffer(cells, LE_BUF_KV), .v = buffer(cells, LE_BUF_KV),
                        .kv_heads = 1, .head_dim = HD, .ring = LAST + 1 };
    struct le_buf *q = input(N * HD), *k = input(N * HD), *v = input(N * HD);
    struct le_buf *out = buffer(N * HD, LE_BUF_OUTPUT);
    for (size_t i = 0; i < N * HD; i++) {
        ops->host(q)[i] = i % HD == 0 ? 16 : 0;
        ops->host(k)[i] = i % HD == 0 ? 0.75f : 0;
        ops->host(v)[i] = 1 + (float)(i / HD);
    }
    if (ops->begin(be, N, N)) {
        ops->kv_store(be, &kv, k, v);
        ops->attention(be, &(struct le_attention){ .dst = out, .q = q, .kv = kv, .heads = 1 });
    }
    run(LAST + 1 - N, N);
    for (int r = 0; r < N; r++) {
        double e = exp(12), above = 0, sum = LAST + 1 - N;
        for (int j = 0; j <= r; j++) {
            above += e * (1 + j);
            sum += e;
        }
        for (int i = 0; i < HD; i++)
            CHECK_NEAR(ops->host(out)[r * HD + i], above / sum, tolerance);
    }
}

static void check_all(double tolerance)
{
    static const int32_t positions[] = { 0, 511, 65535, 131071, 200003, LAST - ROWS + 1 };
    seed = 1;
    for (size_t i = 0; i < sizeof(positions) / sizeof(*positions); i++) {
        rope_at(256, 1e4, 128, positions[i]);
        rope_at(512, 1e6, 64, positions[i]);
    }
    window_at(LAST, tolerance);
    window_at(131071, tolerance);
    all_keys(tolerance);
    ops->close(be);
}

static void scalar(void)
{
    CHECK_INT(cpu_open(NULL, &ops, &be, &err), TG_OK);
    check_all(1e-5);
}

static void best_kernels(void)
{
    const struct cpu_options exact = { .precision = LE_EXACT }, fast = { .precision = LE_FAST };
    CHECK_INT(cpu_open(&exact, &ops, &be, &err), TG_OK);
    check_all(1e-5);
    CHECK_INT(cpu_open(&fast, &ops, &be, &err), TG_OK);
    check_all(4e-3);
}

static void vulkan(void)
{
    for (int i = 0; i < 4; i++) { /* a class is recorded once: one emission each */
        vulkan_messages();
        enum tg_status st = open_vulkan(&ops, &be, &err);
        if (st && no_vulkan())
            CHECK_SKIP(err.text);
        CHECK_INT(st, TG_OK);
        seed = 1;
        switch (i) {
        case 0: window_at(LAST, 1e-5); break;
        case 1: all_keys(1e-4); break;
        case 2: rope_at(256, 1e4, 128, LAST - ROWS + 1); break;
        default: rope_at(512, 1e6, 64, LAST - ROWS + 1); break;
        }
        ops->close(be);
        CHECK_INT(vulkan_messages(), 0);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = { CASE(scalar), CASE(best_kernels), CASE(vulkan) };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
