/* kv_store and attention on Vulkan against the scalar CPU, over several steps through a ring: head
 * sizes and ratios of the released models, windows, positions up to the last, halves, and replays
 * across every length at which the work is divided otherwise. Any validation message fails the
 * case. Errors are relative to the largest value of the reference. */
#include "tests/unit/check.h"
#include "local_engine/vulkan/record.h"
#include "tests/unit/engine/support_gpu_ops.h"

enum { STEPS = 8, LAST = 262143 };

struct attention_args {
    struct pair_buf dst, q, k, v, k_cache, v_cache;
    struct le_kv kv;
    uint32_t heads, window;
    enum le_rows rows;
};

static void emit_attention(struct pair *p, int side, void *arg)
{
    struct attention_args *a = arg;
    struct le_kv kv = a->kv;
    kv.k = a->k_cache.b[side];
    kv.v = a->v_cache.b[side];
    p->ops[side]->kv_store(p->be[side], &kv, a->k.b[side], a->v.b[side]);
    const struct le_attention attention = { .dst = a->dst.b[side], .q = a->q.b[side], .kv = kv,
                                            .heads = a->heads, .window = a->window,
                                            .rows = a->rows };
    p->ops[side]->attention(p->be[side], &attention);
}

struct attention_case {
    uint32_t head_dim, heads, kv_heads, window, ring;
    uint32_t steps[STEPS]; /* tokens of each step, 0: no more */
    int32_t pos;           /* of the first token */
};

/* The nearest half of even mantissa, as a float (IEEE 754: 11 bits, exponents from -14 on). */
static float half_of(float v)
{
    int exponent;
    frexpf(v, &exponent);
    exponent = exponent < -13 ? -13 : exponent;
    return ldexpf(rintf(ldexpf(v, 11 - exponent)), exponent - 11);
}

/* New random values on both sides; with halves the CPU's are rounded. */
static void refill(struct pair_buf *b, size_t n, float amplitude, bool halves)
{
    for (size_t i = 0; i < n; i++) {
        float v = amplitude * pair_random(&pair);
        if (i % 7 == 0)
            v *= 1e-4f; /* subnormal as a half */
        pair.ops[0]->host(b->b[0])[i] = halves ? half_of(v) : v;
        pair.ops[1]->host(b->b[1])[i] = v;
    }
}

static bool make_attention(struct attention_args *a, const struct attention_case *c, uint32_t most)
{
    size_t q = (size_t)most * c->heads * c->head_dim;
    size_t kv = (size_t)most * c->kv_heads * c->head_dim;
    size_t cache = (size_t)c->ring * c->kv_heads * c->head_dim;
    *a = (struct attention_args){
        .heads = c->heads, .window = c->window, .rows = LE_ROWS_TOKENS,
        .kv = { .kv_heads = c->kv_heads, .head_dim = c->head_dim, .ring = c->ring },
    };
    a->q = pair_input(&pair, q, 1.0f);
    a->k = pair_input(&pair, kv, 1.0f);
    a->v = pair_input(&pair, kv, 1.0f);
    a->dst = pair_output(&pair, q);
    a->k_cache = pair_kv(&pair, cache);
    a->v_cache = pair_kv(&pair, cache);
    return a->q.b[0] && a->k.b[0] && a->v.b[0] && a->dst.b[0] && a->k_cache.b[0] &&
           a->v_cache.b[0];
}

/* One step of n tokens at pos in a class of so many; its error, or infinity. */
static double step_error(struct attention_args *a, uint32_t n, int32_t pos, uint32_t class_tokens,
                         bool keep, bool halves)
{
    size_t q = (size_t)n * a->heads * a->kv.head_dim;
    size_t kv = (size_t)n * a->kv.kv_heads * a->kv.head_dim;
    refill(&a->q, q, 1.0f, false);
    refill(&a->k, kv, 1.0f, halves);
    refill(&a->v, kv, 1.0f, halves);
    struct le_step step = step_of(n, 0, pos);
    struct tg_error err;
    if (!pair_run(&pair, emit_attention, a, &step, class_tokens, 0, keep, &err))
        return pair_error(&pair, &a->dst, q);
    fprintf(stderr, "%s\n", err.text);
    return (double)INFINITY;
}

static double bound_of(uint32_t head_dim) /* errors of the scores grow with their sums */
{
    return 2e-6 + 2e-8 * head_dim;
}

static void check_attention(const struct attention_case *c, bool halves)
{
    char name[96];
    snprintf(name, sizeof(name), "attention %u, %u/%u heads, W %u, ring %u at %d", c->head_dim,
             c->heads, c->kv_heads, c->window, c->ring, c->pos);
    uint32_t most = 1;
    for (size_t i = 0; i < STEPS; i++)
        most = c->steps[i] > most ? c->steps[i] : most;
    struct attention_args a;
    if (!make_attention(&a, c, most))
        fail_closed(name, "could not be made");
    double worst = 0, bound = bound_of(c->head_dim);
    int32_t pos = c->pos;
    for (size_t i = 0; i < STEPS && c->steps[i]; i++) {
        worst = fmax(worst, step_error(&a, c->steps[i], pos, most, i > 0, halves));
        pos += (int32_t)c->steps[i];
    }
    fprintf(stderr, "%-52s error %.1e bound %.0e\n", name, worst, bound);
    if (!(worst <= bound))
        fail_closed(name, "beyond the bound");
}

static void head_sizes_and_ratios(void)
{
    static const uint32_t dims[] = { 256, 512 }, ratios[] = { 1, 2, 4, 8, 16 };
    open_pair();
    for (size_t d = 0; d < 2; d++)
        for (size_t r = 0; r < 5; r++)
            check_attention(&(struct attention_case){
                .head_dim = dims[d], .heads = 2 * ratios[r], .kv_heads = 2, .ring = 80,
                .steps = { 9, 1, 33, 1, 1 } }, false);
    close_pair();
}

static void windows_and_rings(void)
{
    static const struct attention_case cases[] = {
        { 64, 4, 2, 16, 48, { 32, 1, 7, 32, 1, 32 }, 0 },  /* the ring wraps twice */
        { 64, 4, 2, 1, 9, { 8, 8, 1, 3 }, 0 },             /* sees itself only */
        { 64, 4, 2, 8, 8, { 1, 1, 1, 1, 1, 1 }, 0 },       /* ring = window */
        { 64, 4, 2, 512, 1024, { 512, 512, 512, 1 }, 0 },  /* released window and micro-batch */
        { 64, 4, 2, 64, 200, { 100, 100, 100, 1, 8, 9 }, 0 },
        { 60, 3, 1, 5, 40, { 33, 2, 1 }, 0 },              /* no power of two */
        { 4, 1, 1, 0, 300, { 65, 64, 63, 1 }, 0 },
    };
    open_pair();
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        check_attention(&cases[i], false);
    close_pair();
}

/* Up to the end of the longest context: a window that ends there, and all of it. */
static void the_last_positions(void)
{
    static const struct attention_case cases[] = {
        { 64, 4, 2, 16, 48, { 32, 32, 1, 32, 7, 8, 1, 1 }, LAST - 113 },
        { 4, 2, 1, 0, LAST + 1, { 9, 1, 3, 1 }, LAST - 13 },
    };
    open_pair();
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        check_attention(&cases[i], false);
    close_pair();
}

static void keys_and_values_as_halves(void)
{
    static const struct attention_case cases[] = {
        { 64, 4, 2, 16, 48, { 32, 1, 7, 32, 1, 32 }, 0 },
        { 512, 8, 1, 0, 100, { 33, 1, 9, 1 }, 0 },
    };
    open_pair_as(LE_FAST, 0);
    struct pair_buf cache = pair_kv(&pair, 1000);
    uint64_t bytes = cache.b[1] ? cache.b[1]->bytes : 0;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        check_attention(&cases[i], true);
    close_pair();
    CHECK_INT(bytes, 2000);
}

static void refill_same(struct pair_buf *b, size_t n, float v)
{
    for (int side = 0; side < 2; side++)
        for (size_t i = 0; i < n; i++)
            pair.ops[side]->host(b->b[side])[i] = v;
}

/* Values beyond the largest half become that; the row of attention over one key is its value. */
static void halves_saturate(void)
{
    static const struct { float v, half; } cases[] = {
        { 1e6f, 65504.0f }, { -1e30f, -65504.0f }, { 65519.0f, 65504.0f }, { 65504.0f, 65504.0f },
        { 1.00048828125f, 1.0f }, { 1.00146484375f, 1.001953125f }, { 5.9e-8f, 5.9604645e-8f },
        { 2.9e-8f, 0.0f }, { -0.0f, 0.0f }, { 6.1e-5f, 6.097555e-5f },
    };
    open_pair_as(LE_FAST, 0);
    struct attention_args a;
    bool held = make_attention(&a, &(struct attention_case){ .head_dim = 4, .heads = 1,
                                                             .kv_heads = 1, .ring = 8 }, 1);
    for (size_t i = 0; held && i < sizeof(cases) / sizeof(*cases); i++) {
        refill_same(&a.v, 4, cases[i].v);
        struct le_step step = step_of(1, 0, 0);
        struct tg_error err;
        held = !pair_run(&pair, emit_attention, &a, &step, 1, 0, i > 0, &err);
        float got = held ? pair.ops[1]->host(a.dst.b[1])[0] : 0;
        if (got != cases[i].half)
            fprintf(stderr, "%g: %g, not %g\n", (double)cases[i].v, (double)got,
                    (double)cases[i].half);
        held = held && got == cases[i].half;
    }
    close_pair();
    CHECK(held);
}

/* ---- replays ---- */

/* Steps of n tokens from position first to last, none of which records a command. */
static bool replays(struct attention_args *a, uint32_t n, uint32_t class_tokens, int32_t first,
                    int32_t last)
{
    double worst = 0;
    uint64_t calls = gpu_vkcmd_count(pair.be[1]);
    for (int32_t pos = first; pos <= last; pos += (int32_t)n)
        worst = fmax(worst, step_error(a, n, pos, class_tokens, true, false));
    bool same = gpu_vkcmd_count(pair.be[1]) == calls;
    fprintf(stderr, "%u of %u tokens, %d to %d: error %.1e%s\n", n, class_tokens, first, last,
            worst, same ? "" : ", commands recorded");
    return same && worst <= bound_of(a->kv.head_dim) + 1e-10 * last; /* sums of as many keys */
}

/* Splits are 64 keys up to 2048 keys, then 128: lengths around each change, steps that begin before
 * one and end behind it, the window's edge, the ring's end, and steps of as many tokens as one
 * kernel takes and one more. */
static void replays_across_every_change_of_plan(void)
{
    open_pair();
    struct attention_args a;
    bool held = make_attention(&a, &(struct attention_case){ .head_dim = 8, .heads = 4,
                                                             .kv_heads = 2, .ring = 4200 }, 16);
    held = held && step_error(&a, 1, 0, 1, true, false) < 1 &&
           step_error(&a, 9, 0, 16, true, false) < 1;
    held = held && replays(&a, 1, 1, 60, 68) && replays(&a, 1, 1, 126, 130) &&
           replays(&a, 1, 1, 2044, 2052) && replays(&a, 1, 1, 4094, 4098) &&
           replays(&a, 8, 16, 2024, 2072) && replays(&a, 9, 16, 2024, 2072) &&
           replays(&a, 7, 16, 2030, 2060) && replays(&a, 5, 16, 4078, 4110) &&
           replays(&a, 3, 16, 56, 72);
    close_pair();
    CHECK(held);
    open_pair(); /* a second pass */
    held = make_attention(&a, &(struct attention_case){ .head_dim = 8, .heads = 4, .kv_heads = 2,
                                                        .ring = GPU_PASS_KEYS + 100 }, 16);
    held = held && step_error(&a, 9, 0, 16, true, false) < 1;
    held = held && replays(&a, 13, 16, GPU_PASS_KEYS - 30, GPU_PASS_KEYS + 30) &&
           replays(&a, 7, 16, GPU_PASS_KEYS - 10, GPU_PASS_KEYS + 10);
    close_pair();
    CHECK(held);
    open_pair();
    held = make_attention(&a, &(struct attention_case){ .head_dim = 8, .heads = 4, .kv_heads = 2,
                                                        .window = 70, .ring = 90 }, 16);
    held = held && step_error(&a, 1, 0, 1, true, false) < 1 &&
           step_error(&a, 9, 0, 16, true, false) < 1;
    held = held && replays(&a, 1, 1, 10, 200) && replays(&a, 8, 16, 200, 300) &&
           replays(&a, 16, 16, 300, 500);
    close_pair();
    CHECK(held);
}

static void attention_stays_inside_its_buffers(void)
{
    static const struct attention_case cases[] = {
        { 64, 4, 2, 16, 48, { 32, 1, 7, 32, 1, 32 }, 0 },
        { 64, 4, 2, 0, 160, { 75, 8, 1, 9 }, 0 },
        { 60, 3, 1, 5, 40, { 33, 2, 1 }, 0 },
    };
    open_pair();
    gpu_set_check(pair.be[1], true);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        check_attention(&cases[i], false);
    close_pair();
    open_pair_as(LE_FAST, 0);
    gpu_set_check(pair.be[1], true);
    check_attention(&cases[0], true);
    close_pair();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(head_sizes_and_ratios),
        CASE(windows_and_rings),
        CASE(the_last_positions),
        CASE(keys_and_values_as_halves),
        CASE(halves_saturate),
        CASE(replays_across_every_change_of_plan),
        CASE(attention_stays_inside_its_buffers),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
