/* Block layouts as in ggml (see the type table in docs of GGUF); values are exact: each element is
 * one or two F32 products of small integers and an F16 scale, which F32 holds without rounding
 * except for Q6_K, where d * scale * q is rounded as (d * scale) * q. */
#include <stdio.h>
#include <string.h>

#include "local_engine/gguf.h"

enum { TYPE_NAME_BYTES = 24, TYPE_NAMES = 4 };

struct type_info {
    const char *name;
    uint32_t n, bytes; /* 0: known by name only */
};

static const struct type_info types[] = {
    [0] = { "F32", 1, 4 },      [1] = { "F16", 1, 2 },
    [2] = { "Q4_0", 32, 18 },   [3] = { "Q4_1", 0, 0 },
    [6] = { "Q5_0", 0, 0 },     [7] = { "Q5_1", 0, 0 },
    [8] = { "Q8_0", 32, 34 },   [9] = { "Q8_1", 0, 0 },
    [10] = { "Q2_K", 0, 0 },    [11] = { "Q3_K", 0, 0 },
    [12] = { "Q4_K", 0, 0 },    [13] = { "Q5_K", 0, 0 },
    [14] = { "Q6_K", 256, 210 }, [15] = { "Q8_K", 0, 0 },
    [16] = { "IQ2_XXS", 0, 0 }, [17] = { "IQ2_XS", 0, 0 },
    [18] = { "IQ3_XXS", 0, 0 }, [19] = { "IQ1_S", 0, 0 },
    [20] = { "IQ4_NL", 0, 0 },  [21] = { "IQ3_S", 0, 0 },
    [22] = { "IQ2_S", 0, 0 },   [23] = { "IQ4_XS", 0, 0 },
    [24] = { "I8", 0, 0 },      [25] = { "I16", 0, 0 },
    [26] = { "I32", 0, 0 },     [27] = { "I64", 0, 0 },
    [28] = { "F64", 0, 0 },     [29] = { "IQ1_M", 0, 0 },
    [30] = { "BF16", 0, 0 },    [34] = { "TQ1_0", 0, 0 },
    [35] = { "TQ2_0", 0, 0 },   [39] = { "MXFP4", 0, 0 },
    [40] = { "NVFP4", 0, 0 },
};

enum { N_TYPES = sizeof(types) / sizeof(*types) };

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

static float half(const uint8_t *p)
{
    uint32_t h = p[0] | (uint32_t)p[1] << 8;
    uint32_t sign = (h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ff, bits;
    if (exponent == 0) {
        /* Zero and subnormals: mantissa * 2^-24, which F32 holds exactly. */
        float v = (float)mantissa * 0x1p-24f;
        return sign ? -v : v;
    }
    if (exponent == 31)
        bits = sign | 0x7f800000 | mantissa << 13;
    else
        bits = sign | (exponent + 112) << 23 | mantissa << 13;
    float v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

static void block_q4_0(const uint8_t *restrict p, float *restrict out)
{
    float d = half(p);
    for (int i = 0; i < 16; i++)
        out[i] = d * (float)((p[2 + i] & 15) - 8);
    for (int i = 0; i < 16; i++)
        out[i + 16] = d * (float)((p[2 + i] >> 4) - 8);
}

static void block_q8_0(const uint8_t *restrict p, float *restrict out)
{
    float d = half(p);
    for (int i = 0; i < 32; i++)
        out[i] = d * (float)(int8_t)p[2 + i];
}

/* ql[128] low four bits, qh[64] high two bits, int8 scales[16], d. */
static void block_q6_k(const uint8_t *restrict p, float *restrict out)
{
    float d = half(p + 208);
    for (int h = 0; h < 2; h++) {
        const uint8_t *ql = p + 64 * h, *qh = p + 128 + 32 * h;
        uint8_t q[128];
        for (int i = 0; i < 32; i++) {
            q[i] = (uint8_t)((ql[i] & 15) | (qh[i] & 3) << 4);
            q[i + 32] = (uint8_t)((ql[i + 32] & 15) | (qh[i] & 12) << 2);
            q[i + 64] = (uint8_t)(ql[i] >> 4 | (qh[i] & 48));
            q[i + 96] = (uint8_t)(ql[i + 32] >> 4 | (qh[i] & 192) >> 2);
        }
        for (int k = 0; k < 8; k++) {
            float scale = d * (float)(int8_t)p[192 + 8 * h + k];
            for (int i = 0; i < 16; i++)
                out[128 * h + 16 * k + i] = scale * (float)(q[16 * k + i] - 32);
        }
    }
}

void le_dequantise(uint32_t type, const void *p, float *out, size_t n)
{
    const uint8_t *b = p;
    switch (type) {
    case LE_TYPE_F32:
        memcpy(out, p, n * sizeof(float));
        break;
    case LE_TYPE_F16:
        for (size_t i = 0; i < n; i++)
            out[i] = half(b + 2 * i);
        break;
    case LE_TYPE_Q4_0:
        for (size_t i = 0; i < n; i += 32, b += 18)
            block_q4_0(b, out + i);
        break;
    case LE_TYPE_Q8_0:
        for (size_t i = 0; i < n; i += 32, b += 34)
            block_q8_0(b, out + i);
        break;
    case LE_TYPE_Q6_K:
        for (size_t i = 0; i < n; i += 256, b += 210)
            block_q6_k(b, out + i);
        break;
    default:
        break;
    }
}
