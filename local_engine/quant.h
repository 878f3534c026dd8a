/* What the files of dequantisation share: halves, tables and the K-quants' block functions.
 * Private to quant*.c. Blocks need no alignment; every function is pure and any thread may call it.
 *
 * Exactness: each value is computed by the same F32 operations in the same order as in gguf-py's
 * gguf/quants.py, the reference for these formats, so that results are equal bit for bit
 * (tests/golden/blocks.bin). Scales that are infinite or NaN give infinite or NaN values, as
 * there; the sign and payload of a NaN are not defined. */
#ifndef LE_QUANT_H
#define LE_QUANT_H

#include <stdint.h>
#include <string.h>

enum { LE_QK = 256 }; /* elements of a K-quant's block */

static inline float le_quant_float(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

/* The F32 of an IEEE 754 half, exactly, without a branch: shifted into place and its exponent
 * rebiased; infinities and NaNs rebiased once more; subnormals m * 2^-24 as the difference of
 * 2^-14 + m * 2^-24 and 2^-14. */
static inline float le_quant_half(uint32_t h)
{
    uint32_t bits = (h & 0x7fff) << 13, sign = (h & 0x8000) << 16, exponent = h & 0x7c00, v;
    float small = le_quant_float(bits + (113u << 23)) - 0x1p-14f;
    memcpy(&v, &small, sizeof(v));
    bits += exponent == 0x7c00 ? 224u << 23 : 112u << 23;
    return le_quant_float((exponent == 0 ? v : bits) | sign);
}

static inline float le_quant_half_at(const uint8_t *p)
{
    return le_quant_half(p[0] | (uint32_t)p[1] << 8);
}

/* The 16 values of IQ4_NL and IQ4_XS. */
extern const int8_t le_quant_iq4_values[16];

/* out[0..31]: 16 low nibbles, then 16 high ones, as indices into value. */
static inline void le_quant_lookup(const uint8_t *restrict q, const float *restrict value,
                                   float *restrict out)
{
    for (int i = 0; i < 16; i++) {
        out[i] = value[q[i] & 15];
        out[i + 16] = value[q[i] >> 4];
    }
}

/* One block each: quant.c's types have 32 elements, these (quant_k.c) 256. */
void le_quant_q2_k(const uint8_t *restrict p, float *restrict out);
void le_quant_q3_k(const uint8_t *restrict p, float *restrict out);
void le_quant_q4_k(const uint8_t *restrict p, float *restrict out);
void le_quant_q5_k(const uint8_t *restrict p, float *restrict out);
void le_quant_q6_k(const uint8_t *restrict p, float *restrict out);
void le_quant_iq4_xs(const uint8_t *restrict p, float *restrict out);

#endif
