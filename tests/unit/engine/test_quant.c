/* Block layouts, against values worked out by hand and against a second formulation. */
#include "tests/unit/check.h"

#include "local_engine/gguf.h"

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

static void type_table(void)
{
    static const struct {
        uint32_t type, n, bytes;
        const char *name;
    } want[] = {
        { LE_TYPE_F32, 1, 4, "F32" },     { LE_TYPE_F16, 1, 2, "F16" },
        { LE_TYPE_Q4_0, 32, 18, "Q4_0" }, { LE_TYPE_Q8_0, 32, 34, "Q8_0" },
        { LE_TYPE_Q6_K, 256, 210, "Q6_K" },
    };
    uint32_t known = 0, n, bytes;
    for (uint32_t type = 0; type < 256; type++)
        known += le_type_block(type, &n, &bytes);
    CHECK_INT(known, sizeof(want) / sizeof(*want));
    CHECK(!le_type_block(UINT32_MAX, &n, &bytes));
    for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
        CHECK(le_type_block(want[i].type, &n, &bytes));
        CHECK_INT(n, want[i].n);
        CHECK_INT(bytes, want[i].bytes);
        CHECK_STR(le_type_name(want[i].type), want[i].name);
    }
    CHECK_STR(le_type_name(12), "Q4_K");
    CHECK_STR(le_type_name(30), "BF16");
    const char *first = le_type_name(41);
    CHECK_STR(le_type_name(4000000000u), "type 4000000000");
    CHECK_STR(first, "type 41");
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(every_half),   CASE(f32_unaligned),           CASE(q4_0_by_hand),
        CASE(q8_0_by_hand), CASE(q6_k_second_formulation), CASE(type_table),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
