/* The packed int8 kernels of every set that this processor runs: against exact weights times the
 * same rounding of the inputs in doubles, and bitwise against themselves. They are compiled without
 * sanitizers: every buffer lies between guards instead. */
#include "tests/unit/check.h"

#include "local_engine/backend.h"
#include "local_engine/cpu/pack.h"
#include "local_engine/gguf.h"
#include "tests/unit/engine/support_guard.h"

enum { ROWS_MAX = 80, IN_MAX = 2560, N_MAX = 64 };

static const struct {
    uint32_t type;
    int half[2]; /* where a block's halves are; -1: none */
} packed[] = {
    { LE_TYPE_Q4_0, { 0, -1 } },   { LE_TYPE_Q4_1, { 0, 2 } },    { LE_TYPE_Q5_0, { 0, -1 } },
    { LE_TYPE_Q5_1, { 0, 2 } },    { LE_TYPE_Q8_0, { 0, -1 } },   { LE_TYPE_Q2_K, { 80, 82 } },
    { LE_TYPE_Q3_K, { 108, -1 } }, { LE_TYPE_Q4_K, { 0, 2 } },    { LE_TYPE_Q5_K, { 0, 2 } },
    { LE_TYPE_Q6_K, { 208, -1 } }, { LE_TYPE_IQ4_NL, { 0, -1 } }, { LE_TYPE_IQ4_XS, { 0, -1 } },
    { LE_TYPE_MXFP4, { -1, -1 } },
};

enum { N_PACKED = sizeof(packed) / sizeof(*packed) };

static const char *const set_names[] = { "avx512", "avx512-plain", "avx2", "avx2-plain", "neon" };

enum { N_SETS = sizeof(set_names) / sizeof(*set_names) };

static uint32_t random_state = 1;

static uint32_t random_bits(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

static float random_float(void)
{
    return (float)random_bits() / (float)(1 << 24) * 2 - 1;
}

/* One weight matrix, packed and dequantised, and inputs, rounded. */
struct fixture {
    const struct cpu_pack_kernels *k;
    uint32_t type, rows, n_groups, n;
    uint64_t in, row_bytes;
    uint8_t *file, *groups, *x_packed;
    float *weights, *x, *dst;
    double *x_rounded;
};

static void fixture_close(struct fixture *f)
{
    void *all[] = { f->file, f->groups, f->x_packed, f->weights, f->x, f->dst, f->x_rounded };
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        CHECK(guard_free(all[i]));
}

static void random_weights(struct fixture *f, size_t t, uint16_t scale_bits)
{
    uint32_t n = 0, bytes = 0;
    CHECK(le_type_block(f->type, &n, &bytes));
    for (size_t i = 0; i < f->rows * f->row_bytes; i++)
        f->file[i] = (uint8_t)random_bits();
    for (uint8_t *b = f->file; b < f->file + f->rows * f->row_bytes; b += bytes) {
        for (int i = 0; i < 2; i++)
            if (packed[t].half[i] >= 0) {
                uint16_t h = (uint16_t)(scale_bits ^ (random_bits() & 0x83ff));
                memcpy(b + packed[t].half[i], &h, 2);
            }
        if (f->type == LE_TYPE_MXFP4)
            b[0] = (uint8_t)(120 + random_bits() % 14);
    }
}

static void fixture_pack(struct fixture *f)
{
    uint32_t lanes = f->k->lanes;
    size_t group_bytes = f->k->group_bytes(f->type, f->in);
    for (uint32_t g = 0; g < f->n_groups; g++) {
        uint32_t left = f->rows - g * lanes;
        f->k->pack(f->type, f->in, f->file + g * lanes * f->row_bytes, f->row_bytes,
                   left < lanes ? left : lanes, f->groups + g * group_bytes);
    }
    le_dequantise(f->type, f->file, f->weights, f->rows * f->in);
}

static struct fixture fixture_new(const struct cpu_pack_kernels *k, size_t t, uint32_t rows,
                                  uint64_t in, uint32_t n)
{
    uint32_t columns = 0, bytes = 0;
    CHECK(le_type_block(packed[t].type, &columns, &bytes));
    struct fixture f = { .k = k, .type = packed[t].type, .rows = rows, .in = in, .n = n };
    f.row_bytes = in / columns * bytes;
    f.n_groups = (rows + k->lanes - 1) / k->lanes;
    size_t group_bytes = k->group_bytes(f.type, in);
    CHECK(group_bytes > 0 && group_bytes % 64 == 0);
    f.file = guard_new(rows * f.row_bytes);
    f.groups = guard_new(f.n_groups * group_bytes);
    f.x_packed = guard_new(n * k->input_bytes(in));
    f.weights = guard_new(rows * in * sizeof(float));
    f.x = guard_new(n * in * sizeof(float));
    f.x_rounded = guard_new(n * in * sizeof(double));
    f.dst = guard_new(n * (rows + 3) * sizeof(float));
    CHECK(f.file && f.groups && f.x_packed && f.weights && f.x && f.x_rounded && f.dst);
    random_weights(&f, t, 0x2c00);
    fixture_pack(&f);
    for (size_t i = 0; i < n * in; i++)
        f.x[i] = random_float() * (i / 32 % 7 ? 1.0f : 30.0f);
    return f;
}

/* The rounding of pack.h's inputs, by its description. */
static void round_inputs(struct fixture *f)
{
    for (size_t i = 0; i < f->n * f->in; i += 32) {
        float most = 0;
        for (size_t k = i; k < i + 32; k++)
            most = fmaxf(most, fabsf(f->x[k]));
        float dx = most / 127.0f, to_q = most > 0 ? 127.0f / most : 0;
        for (size_t k = i; k < i + 32; k++)
            f->x_rounded[k] = (double)dx * (double)rintf(f->x[k] * to_q);
    }
    for (uint32_t r = 0; r < f->n; r++)
        f->k->input(f->x + r * f->in, f->in, f->x_packed + r * f->k->input_bytes(f->in));
}

static void multiply(struct fixture *f)
{
    f->k->matmul(f->type, f->in, f->groups, f->n_groups, f->rows, f->x_packed, f->n, f->dst,
                 f->rows + 3);
}

/* An output's sum, and what its rounding is measured against: a block's values are sums of a
 * minimum and a multiple of a scale, each as large as the block's largest value or so. */
static void reference(const struct fixture *f, uint32_t r, uint32_t o, double *sum, double *size)
{
    *sum = *size = 0;
    for (size_t b = 0; b < f->in; b += 32) {
        double most = 0, x = 0;
        for (size_t i = b; i < b + 32; i++) {
            double w = (double)f->weights[o * f->in + i], v = f->x_rounded[r * f->in + i];
            *sum += w * v;
            most = fmax(most, fabs(w));
            x += fabs(v);
        }
        *size += most * x;
    }
}

static void check_products(const struct fixture *f)
{
    for (uint32_t r = 0; r < f->n; r++) {
        for (uint32_t o = 0; o < f->rows; o++) {
            double sum, size;
            reference(f, r, o, &sum, &size);
            float got = f->dst[r * (f->rows + 3) + o];
            if (!(fabs((double)got - sum) <= 2e-6 * size + 1e-37))
                CHECK_FAIL("%s %s in %d row %u output %u of %u: got %.9g, want %.9g (size %g)",
                           f->k->name, le_type_name(f->type), (int)f->in, r, o, f->rows,
                           (double)got, sum, size);
        }
        for (uint32_t o = f->rows; o < f->rows + 3; o++) /* nothing written behind the last */
            CHECK(memcmp(&f->dst[r * (f->rows + 3) + o], "\xa5\xa5\xa5\xa5", 4) == 0);
    }
}

/* Calls f for every set that runs here and every type. */
static void each(void (*f)(const struct cpu_pack_kernels *k, size_t t))
{
    uint32_t sets = 0;
    for (size_t s = 0; s < N_SETS; s++) {
        const struct cpu_pack_kernels *k = cpu_pack_kernels(set_names[s]);
        for (size_t t = 0; k && t < N_PACKED; t++)
            f(k, t);
        sets += k != NULL;
    }
    if (sets == 0)
        CHECK_SKIP("this processor has none of the kernel sets");
}

static bool wide(size_t t)
{
    uint32_t columns = 0, bytes = 0;
    return le_type_block(packed[t].type, &columns, &bytes) && columns == 256;
}

static void products_of(const struct cpu_pack_kernels *k, size_t t)
{
    static const uint64_t narrow_in[] = { 32, 64, 96, 704, 1536, 2112 };
    static const uint64_t wide_in[] = { 256, 512, 1536, 2560 };
    static const uint32_t ns[] = { 1, 2, 7, 8, 9, 15, N_MAX };
    for (size_t i = 0; i < (wide(t) ? 4 : 6); i++) {
        uint64_t in = wide(t) ? wide_in[i] : narrow_in[i];
        for (size_t j = 0; j < sizeof(ns) / sizeof(*ns); j++) {
            uint32_t rows = ns[j] == N_MAX ? 21 : 37;
            struct fixture f = fixture_new(k, t, rows, in, ns[j]);
            round_inputs(&f);
            multiply(&f);
            check_products(&f);
            fixture_close(&f);
        }
    }
}

static void products(void)
{
    each(products_of);
}

/* Every output is the same, bit for bit, whatever other rows a call has and wherever its groups
 * begin. */
static void alone_or_together_of(const struct cpu_pack_kernels *k, size_t t)
{
    const uint64_t in = wide(t) ? 1536 : 2112;
    struct fixture f = fixture_new(k, t, 53, in, N_MAX);
    round_inputs(&f);
    multiply(&f);
    const size_t stride = f.rows + 3, x_bytes = k->input_bytes(in);
    static const uint32_t parts[] = { 1, 2, 3, 7, 8, 9, 15, 16, 33 };
    float got[33 * ROWS_MAX];
    for (size_t p = 0; p < sizeof(parts) / sizeof(*parts); p++) {
        for (uint32_t r = 0; r + parts[p] <= N_MAX; r += parts[p]) {
            uint32_t g = (r + (uint32_t)p) % f.n_groups, o = g * k->lanes;
            k->matmul(f.type, in, f.groups + g * k->group_bytes(f.type, in), f.n_groups - g,
                      f.rows - o, f.x_packed + r * x_bytes, parts[p], got, ROWS_MAX);
            for (uint32_t i = 0; i < parts[p]; i++)
                if (memcmp(got + i * ROWS_MAX, f.dst + (r + i) * stride + o,
                           (f.rows - o) * sizeof(float)) != 0)
                    CHECK_FAIL("%s %s: row %u in a call of %u from group %u differs", k->name,
                               le_type_name(f.type), r + i, parts[p], g);
        }
    }
    fixture_close(&f);
}

static void alone_or_together(void)
{
    each(alone_or_together_of);
}

static void sets_agree(void)
{
    for (size_t t = 0; t < N_PACKED; t++) {
        static float first[N_MAX * ROWS_MAX];
        const char *first_name = NULL;
        for (size_t s = 0; s < N_SETS; s++) {
            const struct cpu_pack_kernels *k = cpu_pack_kernels(set_names[s]);
            if (!k)
                continue;
            random_state = 7;
            struct fixture f = fixture_new(k, t, 37, wide(t) ? 512 : 704, N_MAX);
            round_inputs(&f);
            multiply(&f);
            size_t bytes = (size_t)f.n * (f.rows + 3) * sizeof(float);
            if (!first_name)
                memcpy(first, f.dst, bytes);
            else if (memcmp(first, f.dst, bytes) != 0)
                CHECK_FAIL("%s and %s differ for %s", first_name, k->name, le_type_name(f.type));
            first_name = first_name ? first_name : k->name;
            fixture_close(&f);
        }
    }
}

static void scales_at_the_edge_of(const struct cpu_pack_kernels *k, size_t t)
{
    /* Exponents of zeros and subnormals, of the smallest and of the largest halves. */
    static const uint16_t scale_bits[] = { 0x0000, 0x0400, 0x7800 };
    for (size_t i = 0; i < sizeof(scale_bits) / sizeof(*scale_bits); i++) {
        struct fixture f = fixture_new(k, t, 37, 256, 9);
        random_weights(&f, t, scale_bits[i]);
        for (uint32_t b = 0; f.type == LE_TYPE_MXFP4 && b < f.rows * 8; b++)
            f.file[17 * b] = (uint8_t)(i == 2 ? 230 + b % 4 : 60 + b % 9 * i);
        fixture_pack(&f);
        round_inputs(&f);
        multiply(&f);
        check_products(&f);
        fixture_close(&f);
    }
}

static void scales_at_the_edge(void)
{
    each(scales_at_the_edge_of);
}

/* Blocks of large and of small magnitudes, spikes and zeros beside each other. */
static void inputs_at_the_edge_of(const struct cpu_pack_kernels *k, size_t t)
{
    struct fixture f = fixture_new(k, t, 37, 512, 9);
    static const float magnitudes[] = { 1e30f, 1e-25f, 0, 1, 1e30f, 1e6f, 1, 3e4f, 1 };
    for (uint32_t r = 0; r < f.n; r++)
        for (uint32_t i = 0; i < f.in; i++) {
            float *x = &f.x[r * f.in + i];
            if (r < 5)
                *x = random_float() * (i / 32 % 2 || r < 3 ? magnitudes[r] : 1.0f);
            else if (r < 8) /* one spike in a block */
                *x = i % 32 == (5 * i / 32) % 32 ? magnitudes[r] : random_float() * 1e-3f;
            else /* the largest quant of either sign, in every place */
                *x = (i + i / 32) % 2 ? -2.5f : 2.5f;
        }
    round_inputs(&f);
    multiply(&f);
    check_products(&f);
    for (uint32_t o = 0; o < f.rows; o++)
        CHECK(f.dst[2 * (f.rows + 3) + o] == 0);
    fixture_close(&f);
}

static void inputs_at_the_edge(void)
{
    each(inputs_at_the_edge_of);
}

/* Quants that are all as large as can be, with inputs of one sign: the largest sums of products. */
static void largest_sums_of(const struct cpu_pack_kernels *k, size_t t)
{
    for (int filling = 0; filling < 3; filling++) {
        struct fixture f = fixture_new(k, t, 17, 512, 9);
        uint32_t n = 0, bytes = 0;
        CHECK(le_type_block(f.type, &n, &bytes));
        static const uint8_t fill[] = { 0xff, 0x00, 0x80 };
        for (size_t i = 0; i < f.rows * f.row_bytes; i++)
            f.file[i] = fill[filling];
        for (uint8_t *b = f.file; b < f.file + f.rows * f.row_bytes; b += bytes) {
            for (int i = 0; i < 2; i++)
                if (packed[t].half[i] >= 0)
                    memcpy(b + packed[t].half[i], "\x00\x3c", 2);
            if (f.type == LE_TYPE_MXFP4)
                b[0] = 128;
        }
        fixture_pack(&f);
        for (uint32_t r = 0; r < f.n; r++)
            for (uint32_t i = 0; i < f.in; i++)
                f.x[r * f.in + i] = r % 2 ? -1.0f : 1.0f;
        round_inputs(&f);
        multiply(&f);
        check_products(&f);
        fixture_close(&f);
    }
}

static void largest_sums(void)
{
    each(largest_sums_of);
}

static void not_finite_of(const struct cpu_pack_kernels *k, size_t t)
{
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    for (uint32_t n = 1; n <= 9; n += 8) {
        for (size_t i = 0; i < 3; i++) {
            struct fixture f = fixture_new(k, t, 37, 512, n);
            f.x[f.in * (n - 1) + 31 + 47 * i] = bad[i];
            round_inputs(&f);
            multiply(&f);
            for (uint32_t r = 0; r < n; r++)
                for (uint32_t o = 0; o < f.rows; o++)
                    CHECK(!isfinite(f.dst[r * (f.rows + 3) + o]) == (r == n - 1));
            fixture_close(&f);
        }
    }
}

static void not_finite(void)
{
    each(not_finite_of);
}

static void sizes_of(const struct cpu_pack_kernels *k, size_t t)
{
    uint32_t n = 0, bytes = 0, type = packed[t].type;
    CHECK(le_type_block(type, &n, &bytes));
    for (uint64_t in = 1536; in <= 21504; in += 1536) {
        double file = (double)(in / n * bytes * k->lanes);
        double group = (double)k->group_bytes(type, in);
        if (group < file || group > file * 1.02)
            CHECK_FAIL("%s: %g bytes for %g in the file", le_type_name(type), group, file);
    }
    CHECK(k->group_bytes(type, 0) == 0);
    CHECK(k->group_bytes(type, n + n / 2) == 0);
    CHECK(k->group_bytes(LE_TYPE_F32, 512) == 0);
    CHECK(k->group_bytes(LE_TYPE_BF16, 512) == 0);
    CHECK(k->group_bytes(4711, 512) == 0);
    CHECK(k->input_bytes(96) % 64 == 0);
}

static void sizes(void)
{
    each(sizes_of);
}

/* A tensor that ends its file: packing lets go of its own pages only, whatever lies behind. The
 * rows are one more than a multiple of any set's lanes. */
static void dropped_pages_are_the_tensors_own(void)
{
    enum { IN = 8192, OUT = 33, BEHIND = 40 * IN };
    const size_t bytes = (size_t)OUT * IN / 32 * 34;
    const struct cpu_options options = { .precision = LE_FAST, .threads = 1 };
    const struct le_ops *ops;
    struct le_backend *be;
    CHECK_INT(cpu_open(&options, &ops, &be, NULL), TG_OK);
    uint8_t *p = guard_new(bytes + BEHIND), *data = p;
    CHECK(p != NULL);
    const struct le_tensor t = { .name = TG_STR("t"), .type = LE_TYPE_Q8_0, .n_dims = 2,
                                 .ne = { IN, OUT, 1, 1 }, .plane_bytes = bytes, .nbytes = bytes,
                                 .data = data, .mapped = true };
    bool made = ops->weight_new(be, &t, NULL) != NULL, kept = true;
    for (size_t i = bytes; i < bytes + BEHIND; i++)
        kept = kept && p[i] == 0xa5;
    le_tensor_drop(&t, data, bytes + BEHIND);
    for (size_t i = bytes; i < bytes + BEHIND; i++)
        kept = kept && p[i] == 0xa5;
    ops->close(be);
    guard_free(p);
    CHECK(made && kept);
}

static void unknown_sets(void)
{
    CHECK(!cpu_pack_kernels("scalar"));
    CHECK(!cpu_pack_kernels(""));
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(products),           CASE(alone_or_together),
        CASE(sets_agree),         CASE(scales_at_the_edge),
        CASE(inputs_at_the_edge), CASE(largest_sums),
        CASE(not_finite),         CASE(sizes),
        CASE(unknown_sets),       CASE(dropped_pages_are_the_tensors_own),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
