/* The table of types, and those whose blocks have one or 32 elements; layouts as in ggml
 * (block_q4_0 and so on), each said at its function, fields in the file's order. */
#include <stdio.h>
#include <string.h>

#include "local_engine/gguf.h"
#include "local_engine/quant.h"

enum { TYPE_NAME_BYTES = 24, TYPE_NAMES = 4, BLOCK = 32 };

struct type_info {
    const char *name;
    uint32_t n, bytes; /* 0: known by name only */
};

static const struct type_info types[] = {
    [0] = { "F32", 1, 4 },        [1] = { "F16", 1, 2 },
    [2] = { "Q4_0", 32, 18 },     [3] = { "Q4_1", 32, 20 },
    [6] = { "Q5_0", 32, 22 },     [7] = { "Q5_1", 32, 24 },
    [8] = { "Q8_0", 32, 34 },     [9] = { "Q8_1", 0, 0 },
    [10] = { "Q2_K", 256, 84 },   [11] = { "Q3_K", 256, 110 },
    [12] = { "Q4_K", 256, 144 },  [13] = { "Q5_K", 256, 176 },
    [14] = { "Q6_K", 256, 210 },  [15] = { "Q8_K", 0, 0 },
    [16] = { "IQ2_XXS", 0, 0 },   [17] = { "IQ2_XS", 0, 0 },
    [18] = { "IQ3_XXS", 0, 0 },   [19] = { "IQ1_S", 0, 0 },
    [20] = { "IQ4_NL", 32, 18 },  [21] = { "IQ3_S", 0, 0 },
    [22] = { "IQ2_S", 0, 0 },     [23] = { "IQ4_XS", 256, 136 },
    [24] = { "I8", 0, 0 },        [25] = { "I16", 0, 0 },
    [26] = { "I32", 0, 0 },       [27] = { "I64", 0, 0 },
    [28] = { "F64", 0, 0 },       [29] = { "IQ1_M", 0, 0 },
    [30] = { "BF16", 1, 2 },      [34] = { "TQ1_0", 0, 0 },
    [35] = { "TQ2_0", 0, 0 },     [39] = { "MXFP4", 32, 17 },
    [40] = { "NVFP4", 0, 0 },
};

enum { N_TYPES = sizeof(types) / sizeof(*types) };

const int8_t le_quant_iq4_values[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
                                         1,    13,   25,  38,  53,  69,  89,  113 };

/* E2M1 doubled; code 8, minus zero there, is plain zero in every implementation of MXFP4. */
static const int8_t mxfp4_values[16] = { 0, 1,  2,  3,  4,  6,  8,  12,
                                         0, -1, -2, -3, -4, -6, -8, -12 };

bool le_type_block(uint32_t type, uint32_t *n, uint32_t *bytes)
{
    if (type >= N_TYPES || types[type].n == 0)
        return false;
    *n = types[type].n;
    *bytes = types[type].bytes;
    return true;
}

const char *le_type_name(uint32_t type)
{
    static _Thread_local char ring[TYPE_NAMES][TYPE_NAME_BYTES];
    static _Thread_local unsigned next;
    if (type < N_TYPES && types[type].name)
        return types[type].name;
    char *s = ring[next++ % TYPE_NAMES];
    snprintf(s, TYPE_NAME_BYTES, "type %u", type);
    return s;
}

/* d, qs[16]: low nibbles are elements 0 to 15, high ones 16 to 31, in this and all types below. */
static void block_q4_0(const uint8_t *restrict p, float *restrict out)
{
    float d = le_quant_half_at(p);
    for (int i = 0; i < 16; i++)
        out[i] = d * (float)((p[2 + i] & 15) - 8);
    for (int i = 0; i < 16; i++)
        out[i + 16] = d * (float)((p[2 + i] >> 4) - 8);
}

/* d, m, qs[16]. */
static void block_q4_1(const uint8_t *restrict p, float *restrict out)
{
    float d = le_quant_half_at(p), m = le_quant_half_at(p + 2);
    for (int i = 0; i < 16; i++)
        out[i] = d * (float)(p[4 + i] & 15) + m;
    for (int i = 0; i < 16; i++)
        out[i + 16] = d * (float)(p[4 + i] >> 4) + m;
}

/* bit[e] is where 32 fifth bits hold that of element e. */
#define BITS4(e) 1u << (e), 1u << ((e) + 1), 1u << ((e) + 2), 1u << ((e) + 3)
static const uint32_t bit[BLOCK] = { BITS4(0),  BITS4(4),  BITS4(8),  BITS4(12),
                                     BITS4(16), BITS4(20), BITS4(24), BITS4(28) };

static uint32_t fifth_bits(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* d, qh (32 fifth bits), qs[16]. */
static void block_q5_0(const uint8_t *restrict p, float *restrict out)
{
    float d = le_quant_half_at(p);
    uint32_t qh = fifth_bits(p + 2);
    for (int i = 0; i < 16; i++)
        out[i] = d * (float)((p[6 + i] & 15) - ((qh & bit[i]) == 0 ? 16 : 0));
    for (int i = 0; i < 16; i++)
        out[i + 16] = d * (float)((p[6 + i] >> 4) - ((qh & bit[i + 16]) == 0 ? 16 : 0));
}

/* d, m, qh, qs[16]. */
static void block_q5_1(const uint8_t *restrict p, float *restrict out)
{
    float d = le_quant_half_at(p), m = le_quant_half_at(p + 2);
    uint32_t qh = fifth_bits(p + 4);
    for (int i = 0; i < 16; i++)
        out[i] = d * (float)((p[8 + i] & 15) + ((qh & bit[i]) != 0 ? 16 : 0)) + m;
    for (int i = 0; i < 16; i++)
        out[i + 16] = d * (float)((p[8 + i] >> 4) + ((qh & bit[i + 16]) != 0 ? 16 : 0)) + m;
}

/* d, int8 qs[32]. */
static void block_q8_0(const uint8_t *restrict p, float *restrict out)
{
    float d = le_quant_half_at(p);
    for (int i = 0; i < 32; i++)
        out[i] = d * (float)(int8_t)p[2 + i];
}

/* d, qs[16]. */
static void block_iq4_nl(const uint8_t *restrict p, float *restrict out)
{
    float d = le_quant_half_at(p), value[16];
    for (int i = 0; i < 16; i++)
        value[i] = d * (float)le_quant_iq4_values[i];
    le_quant_lookup(p + 2, value, out);
}

/* e (a power of two, biased by 128 because the values are doubled: 2^-128 and 2^-127 are
 * subnormal in F32; 255 is 2^127, not NaN), qs[16]. */
static void block_mxfp4(const uint8_t *restrict p, float *restrict out)
{
    float d = le_quant_float(p[0] < 2 ? 0x200000u << p[0] : (p[0] - 1u) << 23), value[16];
    for (int i = 0; i < 16; i++)
        value[i] = d * (float)mxfp4_values[i];
    le_quant_lookup(p + 1, value, out);
}

/* le_quant_half for BLOCK halves, its steps one loop each. */
static void block_f16(const uint8_t *restrict p, float *restrict out)
{
    union {
        uint32_t bits[BLOCK];
        float f[BLOCK];
    } v;
    uint16_t h[BLOCK];
    uint32_t normal[BLOCK];
    memcpy(h, p, sizeof(h));
    for (int i = 0; i < BLOCK; i++) {
        normal[i] = ((uint32_t)(h[i] & 0x7fff) << 13) + (112u << 23);
        v.bits[i] = normal[i] + (1u << 23);
    }
    for (int i = 0; i < BLOCK; i++)
        v.f[i] -= 0x1p-14f;
    for (int i = 0; i < BLOCK; i++) {
        uint32_t exponent = h[i] & 0x7c00u, zero = exponent == 0 ? UINT32_MAX : 0;
        normal[i] += exponent == 0x7c00 ? 112u << 23 : 0;
        v.bits[i] = (v.bits[i] & zero) | (normal[i] & ~zero) | (uint32_t)(h[i] & 0x8000) << 16;
    }
    for (int i = 0; i < BLOCK; i++)
        out[i] = v.f[i];
}

/* In both, constant counts inside, so that a compiler vectorises without a second version. */
static void row_f16(const uint8_t *restrict p, float *restrict out, size_t n)
{
    size_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK)
        block_f16(p + 2 * i, out + i);
    for (; i < n; i++)
        out[i] = le_quant_half_at(p + 2 * i);
}

static void row_bf16(const uint8_t *restrict p, float *restrict out, size_t n)
{
    size_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) {
        uint16_t h[BLOCK];
        memcpy(h, p + 2 * i, sizeof(h));
        for (size_t k = 0; k < BLOCK; k++)
            out[i + k] = le_quant_float((uint32_t)h[k] << 16);
    }
    for (; i < n; i++)
        out[i] = le_quant_float((uint32_t)p[2 * i] << 16 | (uint32_t)p[2 * i + 1] << 24);
}

void le_dequantise(uint32_t type, const void *p, float *out, size_t n)
{
    void (*block)(const uint8_t *restrict p, float *restrict out) = NULL;
    switch (type) {
    case LE_TYPE_F32: memcpy(out, p, n * sizeof(float)); return;
    case LE_TYPE_F16: row_f16(p, out, n); return;
    case LE_TYPE_BF16: row_bf16(p, out, n); return;
    case LE_TYPE_Q4_0: block = block_q4_0; break;
    case LE_TYPE_Q4_1: block = block_q4_1; break;
    case LE_TYPE_Q5_0: block = block_q5_0; break;
    case LE_TYPE_Q5_1: block = block_q5_1; break;
    case LE_TYPE_Q8_0: block = block_q8_0; break;
    case LE_TYPE_Q2_K: block = le_quant_q2_k; break;
    case LE_TYPE_Q3_K: block = le_quant_q3_k; break;
    case LE_TYPE_Q4_K: block = le_quant_q4_k; break;
    case LE_TYPE_Q5_K: block = le_quant_q5_k; break;
    case LE_TYPE_Q6_K: block = le_quant_q6_k; break;
    case LE_TYPE_IQ4_NL: block = block_iq4_nl; break;
    case LE_TYPE_IQ4_XS: block = le_quant_iq4_xs; break;
    case LE_TYPE_MXFP4: block = block_mxfp4; break;
    default: return;
    }
    const uint8_t *b = p;
    uint32_t count = types[type].n, bytes = types[type].bytes;
    for (size_t i = 0; i < n; i += count, b += bytes)
        block(b, out + i);
}
