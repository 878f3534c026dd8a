#include "local_engine/vulkan/repack.h"

#include <string.h>

#include "local_engine/gguf.h"
#include "local_engine/shaders/shared.h"

enum { QK = 256, WORDS = GPU_CHUNK / 4 };

_Static_assert(GPU_W_F32 == LE_TYPE_F32 && GPU_W_F16 == LE_TYPE_F16, "types");
_Static_assert(GPU_W_Q4_0 == LE_TYPE_Q4_0 && GPU_W_Q4_1 == LE_TYPE_Q4_1, "types");
_Static_assert(GPU_W_Q5_0 == LE_TYPE_Q5_0 && GPU_W_Q5_1 == LE_TYPE_Q5_1, "types");
_Static_assert(GPU_W_Q8_0 == LE_TYPE_Q8_0 && GPU_W_Q2_K == LE_TYPE_Q2_K, "types");
_Static_assert(GPU_W_Q3_K == LE_TYPE_Q3_K && GPU_W_Q4_K == LE_TYPE_Q4_K, "types");
_Static_assert(GPU_W_Q5_K == LE_TYPE_Q5_K && GPU_W_Q6_K == LE_TYPE_Q6_K, "types");
_Static_assert(GPU_W_IQ4_NL == LE_TYPE_IQ4_NL && GPU_W_IQ4_XS == LE_TYPE_IQ4_XS, "types");
_Static_assert(GPU_W_BF16 == LE_TYPE_BF16 && GPU_W_MXFP4 == LE_TYPE_MXFP4, "types");

/* Bytes a chunk of each plane, d per 8 chunks; q 0: no layout. */
struct layout {
    uint8_t q, s, h, d;
};

static struct layout layout_of(uint32_t type)
{
    switch (type) {
    case LE_TYPE_F32: return (struct layout){ 128, 0, 0, 0 };
    case LE_TYPE_F16:
    case LE_TYPE_BF16: return (struct layout){ 64, 0, 0, 0 };
    case LE_TYPE_Q8_0: return (struct layout){ 32, 2, 0, 0 };
    case LE_TYPE_Q4_0:
    case LE_TYPE_IQ4_NL: return (struct layout){ 16, 2, 0, 0 };
    case LE_TYPE_Q4_1: return (struct layout){ 16, 4, 0, 0 };
    case LE_TYPE_Q5_0: return (struct layout){ 16, 2, 4, 0 };
    case LE_TYPE_Q5_1: return (struct layout){ 16, 4, 4, 0 };
    case LE_TYPE_MXFP4: return (struct layout){ 16, 1, 0, 0 };
    case LE_TYPE_Q2_K: return (struct layout){ 8, 2, 0, 4 };
    case LE_TYPE_Q3_K: return (struct layout){ 8, 2, 4, 2 };
    case LE_TYPE_Q4_K: return (struct layout){ 16, 2, 0, 4 };
    case LE_TYPE_Q5_K: return (struct layout){ 16, 2, 4, 4 };
    case LE_TYPE_Q6_K: return (struct layout){ 16, 2, 8, 2 };
    case LE_TYPE_IQ4_XS: return (struct layout){ 16, 1, 0, 2 };
    default: return (struct layout){ 0, 0, 0, 0 };
    }
}

static uint64_t align16(uint64_t n)
{
    return (n + 15) / 16 * 16;
}

bool gpu_planes_of(uint32_t type, uint64_t width, struct gpu_planes *out)
{
    struct layout l = layout_of(type);
    uint64_t chunks = (width + GPU_CHUNK - 1) / GPU_CHUNK;
    uint32_t block, bytes;
    *out = (struct gpu_planes){ .type = type, .chunks = (uint32_t)chunks };
    if (l.q == 0 || width == 0 || chunks > UINT32_MAX / 128 ||
        !le_type_block(type, &block, &bytes) || width % block)
        return false;
    out->stride[GPU_PLANE_Q] = chunks * l.q;
    out->stride[GPU_PLANE_S] = align16(chunks * l.s);
    out->stride[GPU_PLANE_H] = chunks * l.h;
    out->stride[GPU_PLANE_D] = align16((chunks + 7) / 8 * l.d);
    return true;
}

/* ---- codes: 4 elements in the 4 bytes of a word, 8 words a chunk ---- */

static uint32_t word(const uint8_t *p)
{
    uint32_t w;
    memcpy(&w, p, sizeof(w));
    return w;
}

static void put_word(uint8_t *p, uint32_t w)
{
    memcpy(p, &w, sizeof(w));
}

static void put_low(const uint32_t code[WORDS], uint8_t *q)
{
    for (int i = 0; i < 4; i++)
        put_word(q + 4 * i, (code[i] & 0x0f0f0f0f) | (code[i + 4] & 0x0f0f0f0f) << 4);
}

static void put_pairs(const uint32_t code[WORDS], int shift, uint8_t *out)
{
    for (int w = 0; w < 2; w++) {
        uint32_t sum = 0;
        for (int i = 0; i < 4; i++)
            sum |= (code[4 * w + i] >> shift & 0x03030303) << 2 * i;
        put_word(out + 4 * w, sum);
    }
}

static void put_bit(const uint32_t code[WORDS], int shift, uint8_t *out)
{
    uint32_t sum = 0;
    for (int i = 0; i < WORDS; i++)
        sum |= (code[i] >> shift & 0x01010101) << i;
    put_word(out, sum);
}

/* The codes of a chunk go to the planes of its type. */
static void put_codes(uint32_t type, const uint32_t code[WORDS], uint8_t *q, uint8_t *h)
{
    if (type == LE_TYPE_Q2_K || type == LE_TYPE_Q3_K)
        put_pairs(code, 0, q);
    else
        put_low(code, q);
    if (type == LE_TYPE_Q6_K)
        put_pairs(code, 4, h);
    else if (type == LE_TYPE_Q3_K)
        put_bit(code, 2, h);
    else if (type == LE_TYPE_Q5_K)
        put_bit(code, 4, h);
}

/* ---- rows of blocks of 32 ---- */

/* 32 bits in the order of the elements to the order of plane h. */
static uint32_t spread_bits(uint32_t bits)
{
    uint32_t sum = 0;
    for (int i = 0; i < WORDS; i++) /* 4 bits to the lowest of 4 bytes: no two products meet */
        sum |= ((bits >> 4 * i & 15) * 0x00204081 & 0x01010101) << i;
    return sum;
}

/* Blocks of scale bytes, fifth bits (high: 4 or 0 bytes) and quants, which stay as they are. */
static void repack_32(const uint8_t *row, uint32_t chunks, struct layout l, uint8_t *const out[])
{
    uint8_t *q = out[GPU_PLANE_Q], *s = out[GPU_PLANE_S], *h = out[GPU_PLANE_H];
    for (uint32_t i = 0; i < chunks; i++) {
        memcpy(s + (uint64_t)i * l.s, row, l.s);
        if (l.h)
            put_word(h + (uint64_t)i * l.h, spread_bits(word(row + l.s)));
        memcpy(q + (uint64_t)i * l.q, row + l.s + l.h, l.q);
        row += l.s + l.h + l.q;
    }
}

/* ---- rows of blocks of 256 (layouts: ggml's block_q2_K and so on) ---- */

/* Codes of chunk c of 8 from the planes of a file's block: low bits, high bits. Half c / 4 of the
 * block has its own bytes, shared by the four chunks of the half. */
static void chunk_codes(uint32_t type, const uint8_t *b, int c, uint32_t code[WORDS])
{
    int half = c / 4, quarter = c % 4;
    for (int i = 0; i < WORDS; i++) {
        switch (type) {
        case LE_TYPE_Q2_K: /* scales[16], qs[64], d, dmin */
            code[i] = word(b + 16 + 32 * half + 4 * i) >> 2 * quarter & 0x03030303;
            break;
        case LE_TYPE_Q3_K: /* hmask[32], qs[64], scales[12], d */
            code[i] = (word(b + 32 + 32 * half + 4 * i) >> 2 * quarter & 0x03030303) |
                      (word(b + 4 * i) >> c & 0x01010101) << 2;
            break;
        case LE_TYPE_Q4_K: /* d, dmin, scales[12], qs[128] */
            code[i] = word(b + 16 + 32 * (c / 2) + 4 * i) >> 4 * (c % 2) & 0x0f0f0f0f;
            break;
        case LE_TYPE_Q5_K: /* d, dmin, scales[12], qh[32], qs[128] */
            code[i] = (word(b + 48 + 32 * (c / 2) + 4 * i) >> 4 * (c % 2) & 0x0f0f0f0f) |
                      (word(b + 16 + 4 * i) >> c & 0x01010101) << 4;
            break;
        default: /* Q6_K: ql[128], qh[64], scales[16], d */
            code[i] = (word(b + 64 * half + 32 * (quarter % 2) + 4 * i) >> 4 * (quarter / 2) &
                       0x0f0f0f0f) |
                      (word(b + 128 + 32 * half + 4 * i) >> 2 * quarter & 0x03030303) << 4;
            break;
        }
    }
}

/* Scales and minima of Q4_K and Q5_K: 6 bits each, the last four in pieces. */
static void scales_k4(const uint8_t *p, uint8_t *s)
{
    for (int i = 0; i < 4; i++) {
        s[2 * i] = p[i] & 63;
        s[2 * i + 1] = p[i + 4] & 63;
        s[2 * i + 8] = (uint8_t)((p[i + 8] & 15) | p[i] >> 6 << 4);
        s[2 * i + 9] = (uint8_t)(p[i + 8] >> 4 | p[i + 4] >> 6 << 4);
    }
}

static void scales_q3(const uint8_t *p, uint8_t *s)
{
    for (int i = 0; i < 16; i++) {
        int low = p[i % 8] >> 4 * (i / 8) & 15, high = p[8 + i % 4] >> 2 * (i / 4) & 3;
        s[i] = (uint8_t)(low + 16 * high - 32);
    }
}

/* Block scales d of 8 chunks, and the chunks' own scales s. */
static void block_scales(uint32_t type, const uint8_t *b, uint8_t *s, uint8_t *d)
{
    switch (type) {
    case LE_TYPE_Q2_K:
        memcpy(s, b, 16);
        memcpy(d, b + 80, 4);
        break;
    case LE_TYPE_Q3_K:
        scales_q3(b + 96, s);
        memcpy(d, b + 108, 2);
        break;
    case LE_TYPE_Q4_K:
    case LE_TYPE_Q5_K:
        scales_k4(b + 4, s);
        memcpy(d, b, 4);
        break;
    case LE_TYPE_Q6_K:
        memcpy(s, b + 192, 16);
        memcpy(d, b + 208, 2);
        break;
    default: /* IQ4_XS: d, high scale bits u16, low scale bits[4], qs[128] */
        for (int i = 0; i < 8; i++)
            s[i] = (uint8_t)((b[4 + i / 2] >> 4 * (i % 2) & 15) +
                             16 * ((b[2 + i / 4] >> 2 * (i % 4)) & 3) - 32);
        memcpy(d, b, 2);
        break;
    }
}

static void repack_256(uint32_t type, const uint8_t *row, uint32_t chunks, struct layout l,
                       uint8_t *const out[])
{
    uint32_t block, bytes;
    le_type_block(type, &block, &bytes);
    for (uint32_t i = 0; i < chunks / 8; i++, row += bytes) {
        uint8_t *q = out[GPU_PLANE_Q] + (uint64_t)i * 8 * l.q;
        block_scales(type, row, out[GPU_PLANE_S] + (uint64_t)i * 8 * l.s,
                     out[GPU_PLANE_D] + (uint64_t)i * l.d);
        if (type == LE_TYPE_IQ4_XS) {
            memcpy(q, row + 8, 128);
            continue;
        }
        for (int c = 0; c < 8; c++) {
            uint32_t code[WORDS];
            chunk_codes(type, row, c, code);
            put_codes(type, code, q + c * l.q,
                      l.h ? out[GPU_PLANE_H] + ((uint64_t)i * 8 + (unsigned)c) * l.h : NULL);
        }
    }
}

void gpu_repack_row(const struct gpu_planes *planes, const uint8_t *row, uint64_t width,
                    uint8_t *out[GPU_PLANES])
{
    struct layout l = layout_of(planes->type);
    uint32_t block, bytes;
    le_type_block(planes->type, &block, &bytes);
    if (block == 1) {
        memcpy(out[GPU_PLANE_Q], row, width * bytes);
        memset(out[GPU_PLANE_Q] + width * bytes, 0, planes->stride[GPU_PLANE_Q] - width * bytes);
        return;
    }
    uint64_t used_s = (uint64_t)planes->chunks * l.s, used_d = planes->chunks / 8 * (uint64_t)l.d;
    memset(out[GPU_PLANE_S] + used_s, 0, planes->stride[GPU_PLANE_S] - used_s);
    if (block == QK) {
        memset(out[GPU_PLANE_D] + used_d, 0, planes->stride[GPU_PLANE_D] - used_d);
        repack_256(planes->type, row, planes->chunks, l, out);
    } else {
        repack_32(row, planes->chunks, l, out);
    }
}
