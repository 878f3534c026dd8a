/* The types with blocks of 256 elements, which hold scales of their own for every 16 or 32. Layouts
 * as in ggml's block_q2_K and so on; each is said at its function, fields in the file's order. */
#include "local_engine/quant.h"

/* scales[16] (low nibble scale, high nibble minimum), qs[64], d, dmin. Sub-block s of 16: half
 * s / 8 of the block takes 32 bytes of qs, of which 16 elements share one pair of bits. */
void le_quant_q2_k(const uint8_t *restrict p, float *restrict out)
{
    float d = le_quant_half_at(p + 80), dmin = le_quant_half_at(p + 82);
    for (int s = 0; s < 16; s++, out += 16) {
        const uint8_t *q = p + 16 + 32 * (s / 8) + 16 * (s % 2);
        int shift = s % 8 / 2 * 2;
        float scale = d * (float)(p[s] & 15), min = dmin * (float)(p[s] >> 4);
        for (int i = 0; i < 16; i++)
            out[i] = scale * (float)(q[i] >> shift & 3) - min;
    }
}

/* Sixteen scales of six bits: low four bits in the nibbles of bytes 0 to 7, high two in bytes 8 to
 * 11. */
static int q3_k_scale(const uint8_t *p, int s)
{
    int low = s < 8 ? p[s] & 15 : p[s - 8] >> 4;
    int high = p[8 + s % 4] >> s / 4 * 2 & 3;
    return (low | high << 4) - 32;
}

/* hmask[32], qs[64], scales[12], d. As Q2_K with a third bit, plane s / 2 of hmask; where it is
 * clear, four is taken off. */
void le_quant_q3_k(const uint8_t *restrict p, float *restrict out)
{
    float d = le_quant_half_at(p + 108);
    for (int s = 0; s < 16; s++, out += 16) {
        const uint8_t *high = p + 16 * (s % 2), *q = p + 32 + 32 * (s / 8) + 16 * (s % 2);
        int shift = s % 8 / 2 * 2, bit = s / 2;
        float scale = d * (float)q3_k_scale(p + 96, s);
        for (int i = 0; i < 16; i++)
            out[i] = scale * (float)((q[i] >> shift & 3) + (high[i] >> bit & 1) * 4 - 4);
    }
}

/* Eight scales and minima of six bits in twelve bytes: the first four whole in bytes 0 to 3 and 4
 * to 7, of the others the high two bits above these and the low four in bytes 8 to 11. */
static void k_scale(const uint8_t *p, int s, float d, float dmin, float *scale, float *min)
{
    int sc = p[s], mn;
    if (s < 4) {
        sc &= 63;
        mn = p[s + 4] & 63;
    } else {
        sc = (p[s + 4] & 15) | p[s - 4] >> 6 << 4;
        mn = p[s + 4] >> 4 | p[s] >> 6 << 4;
    }
    *scale = d * (float)sc;
    *min = dmin * (float)mn;
}

/* d, dmin, scales[12], qs[128]: 32 bytes hold sub-blocks 2g (low nibbles) and 2g + 1 (high). */
void le_quant_q4_k(const uint8_t *restrict p, float *restrict out)
{
    float d = le_quant_half_at(p), dmin = le_quant_half_at(p + 2), scale, min;
    const uint8_t *q = p + 16;
    for (int s = 0; s < 8; s += 2, q += 32) {
        k_scale(p + 4, s, d, dmin, &scale, &min);
        for (int i = 0; i < 32; i++)
            out[32 * s + i] = scale * (float)(q[i] & 15) - min;
        k_scale(p + 4, s + 1, d, dmin, &scale, &min);
        for (int i = 0; i < 32; i++)
            out[32 * s + 32 + i] = scale * (float)(q[i] >> 4) - min;
    }
}

/* d, dmin, scales[12], qh[32], qs[128]: as Q4_K with a fifth bit, bit s of qh. */
void le_quant_q5_k(const uint8_t *restrict p, float *restrict out)
{
    float d = le_quant_half_at(p), dmin = le_quant_half_at(p + 2), scale, min;
    const uint8_t *high = p + 16, *q = p + 48;
    for (int s = 0; s < 8; s += 2, q += 32) {
        k_scale(p + 4, s, d, dmin, &scale, &min);
        for (int i = 0; i < 32; i++)
            out[32 * s + i] = scale * (float)((q[i] & 15) + (high[i] >> s & 1) * 16) - min;
        k_scale(p + 4, s + 1, d, dmin, &scale, &min);
        for (int i = 0; i < 32; i++)
            out[32 * s + 32 + i] =
                scale * (float)((q[i] >> 4) + (high[i] >> (s + 1) & 1) * 16) - min;
    }
}

/* ql[128] low four bits, qh[64] high two bits, int8 scales[16], d. */
void le_quant_q6_k(const uint8_t *restrict p, float *restrict out)
{
    float d = le_quant_half_at(p + 208);
    for (int s = 0; s < 16; s++, out += 16) {
        /* Sub-block s: quarter s / 2 % 4 of half s / 8, its first or second 16 elements. */
        const uint8_t *low = p + 64 * (s / 8) + 16 * (s % 4), *high = p + 128 + 32 * (s / 8);
        int low_shift = s % 8 / 4 * 4, high_shift = s % 8 / 2 * 2;
        float scale = d * (float)(int8_t)p[192 + s];
        high += 16 * (s % 2);
        for (int i = 0; i < 16; i++)
            out[i] = scale * (float)((low[i] >> low_shift & 15) +
                                     (high[i] >> high_shift & 3) * 16 - 32);
    }
}

/* d, scales_h (two bits for each of eight sub-blocks of 32), scales_l[4] (nibbles), qs[128]. */
void le_quant_iq4_xs(const uint8_t *restrict p, float *restrict out)
{
    float d = le_quant_half_at(p);
    uint32_t high = p[2] | (uint32_t)p[3] << 8;
    for (int s = 0; s < 8; s++) {
        int low = p[4 + s / 2] >> s % 2 * 4 & 15;
        float scale = d * (float)((low | (int)(high >> 2 * s & 3) << 4) - 32), value[16];
        for (int i = 0; i < 16; i++)
            value[i] = scale * (float)le_quant_iq4_values[i];
        le_quant_lookup(p + 8 + 16 * s, value, out + 32 * s);
    }
}
