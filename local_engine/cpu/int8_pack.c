/* Packs rows of a file into groups (int8_format.h), whatever the instruction set: each block of 32
 * columns becomes eight words of four quants (a step each), whose bits are then laid into the
 * section's vectors, one word of each vector being this row's. Words are little-endian, as files
 * and all processors that have kernels are. */
#include <string.h>

#include "local_engine/cpu/int8_format.h"

enum { STEPS = 8 };

static const uint32_t ones = 0x01010101, twos = 0x03030303, nibbles = 0x0f0f0f0f;

/* Where one row of one chunk goes. */
struct sink {
    uint8_t *chunk;
    struct cpu_int8_layout at;
    uint32_t lanes, lane;
};

static uint32_t word(const uint8_t *p)
{
    uint32_t w;
    memcpy(&w, p, sizeof(w));
    return w;
}

/* Vector v of the section that starts `per_lane` bytes a lane into the chunk. */
static void put_word(const struct sink *s, uint32_t per_lane, uint32_t v, uint32_t w)
{
    memcpy(s->chunk + (size_t)(per_lane + 4 * v) * s->lanes + 4 * s->lane, &w, sizeof(w));
}

/* Byte k of the row in a section of bytes. */
static void put_byte(const struct sink *s, uint32_t per_lane, uint32_t k, uint8_t b)
{
    s->chunk[(size_t)(per_lane + k) * s->lanes + s->lane] = b;
}

/* Half k of the row in a section of halves. */
static void put_half(const struct sink *s, uint32_t per_lane, uint32_t k, const uint8_t *half)
{
    memcpy(s->chunk + (size_t)(per_lane + 2 * k) * s->lanes + 2 * s->lane, half, 2);
}

/* A minimum that the file has to be subtracted: kept with its sign turned. */
static void put_minimum(const struct sink *s, const uint8_t *half)
{
    const uint8_t turned[2] = { half[0], half[1] ^ 0x80 };
    put_half(s, s->at.m, 0, turned);
}

static void put_bits4(const struct sink *s, uint32_t block, const uint32_t step[STEPS])
{
    for (uint32_t v = 0; v < 4; v++)
        put_word(s, s->at.q, 4 * block + v, (step[v] & nibbles) | (step[v + 4] & nibbles) << 4);
}

/* Bits shift and shift + 1 of each quant. */
static void put_bits2(const struct sink *s, uint32_t per_lane, uint32_t block,
                      const uint32_t step[STEPS], uint32_t shift)
{
    for (uint32_t v = 0; v < 2; v++) {
        uint32_t w = 0;
        for (uint32_t i = 0; i < 4; i++)
            w |= (step[4 * v + i] >> shift & twos) << 2 * i;
        put_word(s, per_lane, 2 * block + v, w);
    }
}

/* Bit `shift` of each quant. */
static void put_bit(const struct sink *s, uint32_t block, const uint32_t step[STEPS],
                    uint32_t shift)
{
    uint32_t w = 0;
    for (uint32_t i = 0; i < STEPS; i++)
        w |= (step[i] >> shift & ones) << i;
    put_word(s, s->at.h, block, w);
}

/* 16 bytes whose low nibbles are columns 0 .. 15 and whose high are 16 .. 31: as they are. */
static void put_nibbles(const struct sink *s, uint32_t block, const uint8_t *qs)
{
    for (uint32_t v = 0; v < 4; v++)
        put_word(s, s->at.q, 4 * block + v, word(qs + 4 * v));
}

/* Column c's bit is bit c of qh. */
static void put_column_bits(const struct sink *s, uint32_t block, uint32_t qh)
{
    uint32_t step[STEPS];
    for (uint32_t i = 0; i < STEPS; i++) {
        uint32_t b = qh >> 4 * i;
        step[i] = (b & 1) | (b & 2) << 7 | (b & 4) << 14 | (b & 8) << 21;
    }
    put_bit(s, block, step, 0);
}

static void put_six_bits(const struct sink *s, const uint8_t value[16])
{
    for (uint32_t i = 0; i < 12; i++) {
        uint32_t top = value[12 + i % 4] >> 2 * (i / 4) & 3;
        put_byte(s, s->at.s, i, (uint8_t)(value[i] | top << 6));
    }
}

/* A block of 32 columns of the types that have one scale for it. */
static void pack_block(uint32_t type, const struct sink *s, uint32_t k, const uint8_t *p,
                       bool signed8)
{
    switch (type) {
    case LE_TYPE_Q4_0:
    case LE_TYPE_IQ4_NL:
        put_half(s, s->at.d, k, p);
        put_nibbles(s, k, p + 2);
        break;
    case LE_TYPE_Q4_1:
        put_half(s, s->at.d, k, p);
        put_half(s, s->at.m, k, p + 2);
        put_nibbles(s, k, p + 4);
        break;
    case LE_TYPE_Q5_0:
        put_half(s, s->at.d, k, p);
        put_column_bits(s, k, word(p + 2));
        put_nibbles(s, k, p + 6);
        break;
    case LE_TYPE_Q5_1:
        put_half(s, s->at.d, k, p);
        put_half(s, s->at.m, k, p + 2);
        put_column_bits(s, k, word(p + 4));
        put_nibbles(s, k, p + 8);
        break;
    case LE_TYPE_Q8_0:
        put_half(s, s->at.d, k, p);
        for (uint32_t v = 0; v < STEPS; v++)
            put_word(s, s->at.q, STEPS * k + v, word(p + 2 + 4 * v) ^ (signed8 ? 0 : 128 * ones));
        break;
    case LE_TYPE_MXFP4:
        put_byte(s, s->at.d, k, p[0]);
        put_nibbles(s, k, p + 1);
        break;
    default:
        break;
    }
}

/* The 16 six-bit values of Q4_K and Q5_K: 8 scales, 8 minima. */
static void six_bits_4k(const uint8_t *p, uint8_t value[16])
{
    for (uint32_t j = 0; j < 4; j++) {
        value[j] = p[j] & 63;
        value[8 + j] = p[j + 4] & 63;
        value[4 + j] = (uint8_t)((p[j + 8] & 15) | p[j] >> 6 << 4);
        value[12 + j] = (uint8_t)(p[j + 8] >> 4 | p[j + 4] >> 6 << 4);
    }
}

static void six_bits_3k(const uint8_t *p, uint8_t value[16])
{
    for (uint32_t k = 0; k < 16; k++) {
        uint32_t low = k < 8 ? p[k] & 15u : p[k - 8] >> 4;
        value[k] = (uint8_t)(low | (p[8 + k % 4] >> 2 * (k / 4) & 3u) << 4);
    }
}

/* Q4_K (no qh) and Q5_K: sub-block j has the low or high nibbles of bytes 32 (j / 2) .. */
static void pack_4k(const struct sink *s, const uint8_t *p, const uint8_t *qh, const uint8_t *qs)
{
    uint8_t value[16];
    put_half(s, s->at.d, 0, p);
    put_minimum(s, p + 2);
    six_bits_4k(p + 4, value);
    put_six_bits(s, value);
    for (uint32_t j = 0; j < 8; j++) {
        uint32_t step[STEPS];
        for (uint32_t i = 0; i < STEPS; i++)
            step[i] = word(qs + 32 * (j / 2) + 4 * i) >> (j & 1 ? 4 : 0);
        put_bits4(s, j, step);
        for (uint32_t i = 0; qh && i < STEPS; i++)
            step[i] = word(qh + 4 * i) >> j;
        if (qh)
            put_bit(s, j, step, 0);
    }
}

static void pack_6k(const struct sink *s, const uint8_t *p)
{
    for (uint32_t k = 0; k < 16; k++)
        put_byte(s, s->at.s, k, p[192 + k]);
    put_half(s, s->at.d, 0, p + 208);
    for (uint32_t j = 0; j < 8; j++) {
        const uint8_t *ql = p + 64 * (j / 4) + 32 * (j & 1), *qh = p + 128 + 32 * (j / 4);
        uint32_t step[STEPS];
        for (uint32_t i = 0; i < STEPS; i++)
            step[i] = word(ql + 4 * i) >> (j & 2 ? 4 : 0);
        put_bits4(s, j, step);
        for (uint32_t i = 0; i < STEPS; i++)
            step[i] = word(qh + 4 * i) >> 2 * (j & 3);
        put_bits2(s, s->at.h, j, step, 0);
    }
}

/* Sub-block j of 32 columns is bits 2 (j % 4) of bytes 32 (j / 4) .. */
static void put_quarters(const struct sink *s, const uint8_t *qs)
{
    for (uint32_t j = 0; j < 8; j++) {
        uint32_t step[STEPS];
        for (uint32_t i = 0; i < STEPS; i++)
            step[i] = word(qs + 32 * (j / 4) + 4 * i);
        put_bits2(s, s->at.q, j, step, 2 * (j & 3));
    }
}

static void pack_2k(const struct sink *s, const uint8_t *p)
{
    for (uint32_t k = 0; k < 16; k++)
        put_byte(s, s->at.s, k, p[k]);
    put_quarters(s, p + 16);
    put_half(s, s->at.d, 0, p + 80);
    put_minimum(s, p + 82);
}

static void pack_3k(const struct sink *s, const uint8_t *p)
{
    uint8_t value[16];
    put_quarters(s, p + 32);
    for (uint32_t j = 0; j < 8; j++) {
        uint32_t step[STEPS];
        for (uint32_t i = 0; i < STEPS; i++)
            step[i] = word(p + 4 * i);
        put_bit(s, j, step, j);
    }
    six_bits_3k(p + 96, value);
    put_six_bits(s, value);
    put_half(s, s->at.d, 0, p + 108);
}

static void pack_4xs(const struct sink *s, const uint8_t *p)
{
    put_half(s, s->at.d, 0, p);
    for (uint32_t j = 0; j < 4; j++) {
        uint32_t low = p[4 + j / 2] >> 4 * (j & 1) & 15, high = p[6 + j / 2] >> 4 * (j & 1) & 15;
        put_byte(s, s->at.s, j, (uint8_t)(low | high << 4));
    }
    put_byte(s, s->at.s, 4, p[2]);
    put_byte(s, s->at.s, 5, p[3]);
    for (uint32_t j = 0; j < 8; j++)
        put_nibbles(s, j, p + 8 + 16 * j);
}

static void pack_super_block(uint32_t type, const struct sink *s, const uint8_t *p)
{
    switch (type) {
    case LE_TYPE_Q2_K:
        pack_2k(s, p);
        break;
    case LE_TYPE_Q3_K:
        pack_3k(s, p);
        break;
    case LE_TYPE_Q4_K:
        pack_4k(s, p, NULL, p + 16);
        break;
    case LE_TYPE_Q5_K:
        pack_4k(s, p, p + 16, p + 48);
        break;
    case LE_TYPE_Q6_K:
        pack_6k(s, p);
        break;
    case LE_TYPE_IQ4_XS:
        pack_4xs(s, p);
        break;
    default:
        break;
    }
}

static uint64_t chunks_of(struct cpu_int8_layout at, uint64_t in)
{
    return (in + at.columns - 1) / at.columns;
}

size_t cpu_int8_group_bytes(uint32_t type, uint64_t in, uint32_t lanes)
{
    struct cpu_int8_layout at = cpu_int8_layout(type);
    uint32_t n, bytes;
    if (at.columns == 0 || in == 0 || !le_type_block(type, &n, &bytes) || in % n != 0 ||
        in > UINT32_MAX)
        return 0;
    return ((size_t)chunks_of(at, in) * at.size * lanes + 63) / 64 * 64;
}

void cpu_int8_pack(const struct cpu_int8_packing *p, const uint8_t *rows, uint64_t row_bytes,
                   uint32_t n, uint8_t *out)
{
    struct cpu_int8_layout at = cpu_int8_layout(p->type);
    uint32_t columns = 0, bytes = 0;
    if (!le_type_block(p->type, &columns, &bytes))
        return;
    memset(out, 0, cpu_int8_group_bytes(p->type, p->in, p->lanes));
    for (uint64_t c = 0; c < chunks_of(at, p->in); c++) {
        struct sink s = { out + c * at.size * p->lanes, at, p->lanes, 0 };
        for (; s.lane < n; s.lane++) {
            const uint8_t *row = rows + s.lane * row_bytes;
            if (columns == at.columns)
                pack_super_block(p->type, &s, row + c * bytes);
            for (uint32_t k = 0; columns < at.columns && k < at.columns / columns; k++)
                if (c * at.columns + k * columns < p->in)
                    pack_block(p->type, &s, k, row + (c * 2 + k) * bytes, p->signed8);
        }
    }
}
