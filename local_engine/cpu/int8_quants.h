/* The quants of a packed block of 32 columns as operands, for each weight type, over the vectors of
 * one instruction set (int8_vec512.h says what they are; one of its kind is included before this).
 * `type` is a constant wherever these are called, so that each call becomes the code of one type.
 *
 * A weight is y = d * (u - offset) + c. */
#ifndef LE_CPU_INT8_QUANTS_H
#define LE_CPU_INT8_QUANTS_H

enum { STEPS = 8 };

struct operands {
    vbytes u[STEPS];   /* a step each */
    vfloats d[2], c[2]; /* of all columns; with halves(type): of the first and last 16 */
};

INLINE bool halves(uint32_t type)
{
    return type == LE_TYPE_Q2_K || type == LE_TYPE_Q3_K || type == LE_TYPE_Q6_K;
}

INLINE bool minima(uint32_t type)
{
    return type == LE_TYPE_Q4_1 || type == LE_TYPE_Q5_1 || type == LE_TYPE_Q2_K ||
           type == LE_TYPE_Q4_K || type == LE_TYPE_Q5_K;
}

INLINE bool eight_bits(uint32_t type)
{
    return type == LE_TYPE_Q8_0 || type == LE_TYPE_IQ4_NL || type == LE_TYPE_IQ4_XS ||
           type == LE_TYPE_MXFP4;
}

INLINE int bits_of(uint32_t type)
{
    if (type == LE_TYPE_Q5_0 || type == LE_TYPE_Q5_1 || type == LE_TYPE_Q5_K)
        return 5;
    return eight_bits(type) ? 8 : type == LE_TYPE_Q6_K ? 6 : 4;
}

INLINE int offset_of(uint32_t type)
{
    if (eight_bits(type))
        return SIGNED8 ? 0 : 128;
    switch (type) {
    case LE_TYPE_Q4_0:
        return 8;
    case LE_TYPE_Q5_0:
        return 16;
    case LE_TYPE_Q6_K:
        return 32;
    case LE_TYPE_Q3_K:
        return 4;
    default:
        return 0;
    }
}

/* What a dot starts from: - offset times the sum of q; of half h with halves(type). */
INLINE vints start_of(uint32_t type, const struct cpu_int8_input *x, int h)
{
    switch (offset_of(type)) {
    case 8:
        return v_int(x->m8);
    case 16:
        return v_ileft(v_int(x->m8), 1);
    case 128:
        return v_int(x->m128);
    case 32:
        return v_int(h ? x->m32_b : x->m32_a);
    case 4:
        return v_iright(v_int(h ? x->m32_b : x->m32_a), 3);
    default:
        return v_int(0);
    }
}

/* IQ4's values and MXFP4's (doubled), signed and plus 128. */
static const uint8_t iq4_values[2][16] = {
    { 1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241 },
    { 129, 152, 173, 191, 207, 221, 234, 246, 1, 13, 25, 38, 53, 69, 89, 113 },
};
static const uint8_t mxfp4_values[2][16] = {
    { 128, 129, 130, 131, 132, 134, 136, 140, 128, 127, 126, 125, 124, 122, 120, 116 },
    { 0, 1, 2, 3, 4, 6, 8, 12, 0, 255, 254, 253, 252, 250, 248, 244 },
};

INLINE void four_bits(const uint8_t *p, vbytes u[STEPS])
{
    EACH (v, 4) {
        vbytes x = v_load(p + v * 4 * LANES);
        u[v] = v_and(x, v_byte(15));
        u[v + 4] = v_and(v_shift(x, -4), v_byte(15));
    }
}

INLINE void look_up(const uint8_t table[2][16], vbytes u[STEPS])
{
    EACH (s, STEPS)
        u[s] = v_lookup(table[SIGNED8], u[s]);
}

/* Two bits of each quant to bits `to` and `to` + 1 of u, which are clear. */
INLINE void two_bits(const uint8_t *p, vbytes u[STEPS], int to)
{
    EACH (s, STEPS) {
        vbytes x = v_shift(v_load(p + (s / 4) * 4 * LANES), to - 2 * (s % 4));
        u[s] = v_or(u[s], v_and(x, v_byte(3 << to)));
    }
}

INLINE void one_bit(const uint8_t *p, vbytes u[STEPS], int to)
{
    vbytes x = v_load(p);
    EACH (s, STEPS)
        u[s] = v_or(u[s], v_and(v_shift(x, to - s), v_byte(1 << to)));
}

/* The quants of block j of the chunk at p. */
INLINE void quants(uint32_t type, const uint8_t *p, int j, vbytes u[STEPS])
{
    struct cpu_int8_layout at = cpu_int8_layout(type);
    if (type == LE_TYPE_Q8_0) {
        EACH (s, STEPS)
            u[s] = v_load(p + (size_t)(32 * j + 4 * s) * LANES);
    } else if (type == LE_TYPE_Q2_K || type == LE_TYPE_Q3_K) {
        EACH (s, STEPS)
            u[s] = v_byte(0);
        two_bits(p + (size_t)8 * j * LANES, u, 0);
        if (type == LE_TYPE_Q3_K)
            one_bit(p + (size_t)(at.h + 4 * j) * LANES, u, 2);
    } else {
        four_bits(p + (size_t)16 * j * LANES, u);
    }
    if (bits_of(type) == 5)
        one_bit(p + (size_t)(at.h + 4 * j) * LANES, u, 4);
    if (type == LE_TYPE_Q6_K)
        two_bits(p + (size_t)(at.h + 8 * j) * LANES, u, 4);
    if (type == LE_TYPE_IQ4_NL || type == LE_TYPE_IQ4_XS)
        look_up(iq4_values, u);
    if (type == LE_TYPE_MXFP4)
        look_up(mxfp4_values, u);
}

#endif
