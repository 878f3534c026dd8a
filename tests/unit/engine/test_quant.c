/* Block layouts, against values worked out by hand, a second formulation, and the reference
 * implementation's values of tests/golden/blocks.bin. */
#include "tests/unit/check.h"

#include <stdlib.h>

#include "local_engine/gguf.h"

/* A file of tests/golden, in memory of exactly its size. */
static uint8_t *load(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        CHECK_FAIL("%s: cannot be opened", path);
    CHECK_INT(fseek(f, 0, SEEK_END), 0);
    *n = (size_t)ftell(f);
    rewind(f);
    uint8_t *p = malloc(*n);
    CHECK_INT(fread(p, 1, *n, f), *n);
    fclose(f);
    return p;
}

static uint32_t random_bits(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* F16 by the definition of IEEE 754 binary16, in doubles. */
static double half_value(uint16_t h)
{
    int sign = h >> 15 ? -1 : 1, exponent = h >> 10 & 31, mantissa = h & 1023;
    if (exponent == 31)
        return mantissa ? (double)NAN : (double)sign * (double)INFINITY;
    if (exponent == 0)
        return sign * ldexp(mantissa, -24);
    return sign * ldexp(1024 + mantissa, exponent - 25);
}

static void every_half(void)
{
    for (uint32_t h = 0; h < 65536; h++) {
        uint8_t p[2] = { (uint8_t)h, (uint8_t)(h >> 8) };
        float got;
        le_dequantise(LE_TYPE_F16, p, &got, 1);
        double want = half_value((uint16_t)h);
        if (isnan(want))
            CHECK(isnan(got));
        else
            CHECK((double)got == want && (signbit(got) != 0) == (h >> 15 != 0));
    }
}

static void f32_unaligned(void)
{
    const float in[3] = { 1.5f, -0.0f, 3.0e38f };
    uint8_t p[13];
    float out[3];
    memcpy(p + 1, in, sizeof(in));
    le_dequantise(LE_TYPE_F32, p + 1, out, 3);
    CHECK(memcmp(in, out, sizeof(in)) == 0);
}

static void q4_0_by_hand(void)
{
    uint8_t p[36] = { 0x00, 0x38 }; /* d = 0.5 */
    float y[64];
    p[2] = 0x0f;      /* element 0: 15 - 8, element 16: 0 - 8 */
    p[17] = 0x98;     /* element 15: 0, element 31: 1 */
    p[18 + 1] = 0xc0; /* second block: d = -2 */
    p[18 + 2] = 0xa1; /* element 32: 1 - 8, element 48: 10 - 8 */
    le_dequantise(LE_TYPE_Q4_0, p, y, 64);
    CHECK(y[0] == 3.5f);
    CHECK(y[16] == -4.0f);
    CHECK(y[15] == 0.0f);
    CHECK(y[31] == 0.5f);
    CHECK(y[1] == -4.0f);
    CHECK(y[32] == 14.0f);
    CHECK(y[48] == -4.0f);
}

static void q8_0_by_hand(void)
{
    uint8_t p[34] = { 0x00, 0x34 }; /* d = 0.25 */
    float y[32];
    p[2] = 0x80;
    p[3] = 0x7f;
    p[33] = 0xff;
    le_dequantise(LE_TYPE_Q8_0, p, y, 32);
    CHECK(y[0] == -32.0f);
    CHECK(y[1] == 31.75f);
    CHECK(y[2] == 0.0f);
    CHECK(y[31] == -0.25f);
}

/* Element e of a Q6_K block, found from e alone: half, quarter and lane, then its bits. */
static double q6_k_element(const uint8_t *p, uint32_t e)
{
    uint32_t half = e / 128, quarter = e % 128 / 32, lane = e % 32;
    uint32_t low = p[64 * half + lane + 32 * (quarter & 1)] >> (quarter >= 2 ? 4 : 0) & 15;
    uint32_t high = p[128 + 32 * half + lane] >> 2 * quarter & 3;
    int q = (int)(low | high << 4) - 32;
    int scale = (int8_t)p[192 + 8 * half + 2 * quarter + lane / 16];
    return half_value((uint16_t)(p[208] | p[209] << 8)) * scale * q;
}

static void q6_k_second_formulation(void)
{
    uint32_t state = 7;
    for (int round = 0; round < 50; round++) {
        uint8_t p[420];
        float y[512];
        for (size_t i = 0; i < sizeof(p); i++)
            p[i] = (uint8_t)random_bits(&state);
        p[209] &= 0x3f; /* finite scales */
        p[419] &= 0x3f;
        le_dequantise(LE_TYPE_Q6_K, p, y, 512);
        for (uint32_t e = 0; e < 512; e++) {
            double want = q6_k_element(p + 210 * (e / 256), e % 256);
            CHECK_NEAR(y[e], want, fabs(want) * 0x1p-24);
        }
    }
}

static const struct known_type {
    uint32_t type, n, bytes;
    const char *name;
} known_types[] = {
    { LE_TYPE_F32, 1, 4, "F32" },       { LE_TYPE_F16, 1, 2, "F16" },
    { LE_TYPE_Q4_0, 32, 18, "Q4_0" },   { LE_TYPE_Q4_1, 32, 20, "Q4_1" },
    { LE_TYPE_Q5_0, 32, 22, "Q5_0" },   { LE_TYPE_Q5_1, 32, 24, "Q5_1" },
    { LE_TYPE_Q8_0, 32, 34, "Q8_0" },   { LE_TYPE_Q2_K, 256, 84, "Q2_K" },
    { LE_TYPE_Q3_K, 256, 110, "Q3_K" }, { LE_TYPE_Q4_K, 256, 144, "Q4_K" },
    { LE_TYPE_Q5_K, 256, 176, "Q5_K" }, { LE_TYPE_Q6_K, 256, 210, "Q6_K" },
    { LE_TYPE_IQ4_NL, 32, 18, "IQ4_NL" }, { LE_TYPE_IQ4_XS, 256, 136, "IQ4_XS" },
    { LE_TYPE_BF16, 1, 2, "BF16" },     { LE_TYPE_MXFP4, 32, 17, "MXFP4" },
};

enum { N_KNOWN = sizeof(known_types) / sizeof(*known_types) };

static void type_table(void)
{
    uint32_t known = 0, n, bytes;
    for (uint32_t type = 0; type < 256; type++)
        known += le_type_block(type, &n, &bytes);
    CHECK_INT(known, N_KNOWN);
    CHECK(!le_type_block(UINT32_MAX, &n, &bytes));
    for (size_t i = 0; i < N_KNOWN; i++) {
        CHECK(le_type_block(known_types[i].type, &n, &bytes));
        CHECK_INT(n, known_types[i].n);
        CHECK_INT(bytes, known_types[i].bytes);
        CHECK_STR(le_type_name(known_types[i].type), known_types[i].name);
    }
    CHECK_STR(le_type_name(16), "IQ2_XXS");
    CHECK_STR(le_type_name(40), "NVFP4");
    const char *first = le_type_name(41);
    CHECK_STR(le_type_name(4000000000u), "type 4000000000");
    CHECK_STR(first, "type 41");
}

static uint32_t u32_at(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* n values at want (F32 bits) and got: equal bit for bit, a NaN equal to any NaN. Returns how many
 * are finite. */
static size_t check_values(const struct known_type *t, const uint8_t *want, const float *got,
                           size_t n)
{
    size_t finite = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t a = u32_at(want + 4 * i), b;
        memcpy(&b, &got[i], sizeof(b));
        bool nan = (a & 0x7fffffff) > 0x7f800000;
        if (nan ? !isnan(got[i]) : a != b)
            CHECK_FAIL("%s: block %zu, element %zu: %08x, expected %08x", t->name, i / t->n,
                       i % t->n, b, a);
        finite += (a & 0x7f800000) != 0x7f800000;
    }
    return finite;
}

/* One record of the file; the blocks are read from an odd address and in one call, then alone. */
static size_t check_record(const uint8_t *p, size_t left, uint32_t *type)
{
    const struct known_type *t = NULL;
    CHECK(left > 16);
    *type = u32_at(p);
    for (size_t i = 0; i < N_KNOWN; i++)
        if (known_types[i].type == *type)
            t = &known_types[i];
    size_t blocks = u32_at(p + 4);
    CHECK(t && u32_at(p + 8) == t->bytes && u32_at(p + 12) == t->n && blocks >= 8);
    size_t in = blocks * t->bytes, out = blocks * t->n, size = 16 + in + 4 * out;
    CHECK(size <= left);
    uint8_t *copy = malloc(in + 1);
    float *y = malloc(4 * out);
    memcpy(copy + 1, p + 16, in);
    le_dequantise(t->type, copy + 1, y, out);
    size_t finite = check_values(t, p + 16 + in, y, out);
    CHECK(finite >= out / 2 && (finite < out || t->type == LE_TYPE_MXFP4));
    memset(y, 0, 4 * out);
    for (size_t i = 0; i < blocks; i++)
        le_dequantise(t->type, copy + 1 + i * t->bytes, y + i * t->n, t->n);
    check_values(t, p + 16 + in, y, out);
    free(copy);
    free(y);
    return size;
}

static void golden_blocks(void)
{
    size_t n, at = 0;
    uint64_t seen = 0;
    uint32_t type;
    uint8_t *p = load(TG_SOURCE_DIR "/tests/golden/blocks.bin", &n);
    while (at < n) {
        at += check_record(p + at, n - at, &type);
        seen |= 1ull << type;
    }
    free(p);
    for (size_t i = 0; i < N_KNOWN; i++)
        CHECK(known_types[i].type == LE_TYPE_F32 || (seen >> known_types[i].type & 1) != 0);
}

/* A rows' length that is no multiple of what the loops over halves take at a time. */
static void odd_lengths(void)
{
    uint8_t p[2 * 75 + 1];
    float want[75], got[76];
    uint32_t state = 3;
    for (size_t i = 0; i < sizeof(p); i++)
        p[i] = (uint8_t)random_bits(&state) & 0x3b; /* finite */
    static const uint32_t both[] = { LE_TYPE_F16, LE_TYPE_BF16 };
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < 75; i++)
            le_dequantise(both[k], p + 1 + 2 * i, want + i, 1);
        for (size_t n = 0; n <= 75; n++) {
            got[n] = 7.0f;
            le_dequantise(both[k], p + 1, got, n);
            CHECK(memcmp(want, got, n * sizeof(float)) == 0);
            CHECK(got[n] == 7.0f);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(every_half),   CASE(f32_unaligned),           CASE(q4_0_by_hand),
        CASE(q8_0_by_hand), CASE(q6_k_second_formulation), CASE(type_table),
        CASE(golden_blocks), CASE(odd_lengths),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
