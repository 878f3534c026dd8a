/* Scales and minima of a packed block, and all of it: what int8_quants.h begins. */
#ifndef LE_CPU_INT8_TYPES_H
#define LE_CPU_INT8_TYPES_H

#include "local_engine/cpu/int8_quants.h"

/* Value i of 16 of six bits. */
INLINE vints six_bits(const uint8_t *s, int i)
{
    if (i < 12)
        return v_and(v_u8(s + (size_t)i * LANES), v_int(63));
    vints a = v_iright(v_u8(s + (size_t)(i - 12) * LANES), 6);
    vints b = v_iright(v_u8(s + (size_t)(i - 8) * LANES), 6);
    vints c = v_iright(v_u8(s + (size_t)(i - 4) * LANES), 6);
    return v_or(a, v_or(v_ileft(b, 2), v_ileft(c, 4)));
}

/* 2^(e - 128), as a product of two halves of that exponent, which are in range. */
INLINE vfloats scale_mxfp4(const uint8_t *e)
{
    vints both = v_u8(e), a = v_iright(both, 1), b = v_iadd(v_and(both, v_int(1)), a);
    return v_mul(v_bits(v_ileft(v_iadd(a, v_int(63)), 23)),
                 v_bits(v_ileft(v_iadd(b, v_int(63)), 23)));
}

INLINE vints scale_iq4_xs(const uint8_t *s, int j)
{
    vints low = v_iright(v_u8(s + (size_t)(j % 4) * LANES), j < 4 ? 0 : 4);
    vints high = v_iright(v_u8(s + (size_t)(4 + j / 4) * LANES), 2 * (j % 4));
    high = v_ileft(v_and(high, v_int(3)), 4);
    return v_iadd(v_or(v_and(low, v_int(15)), high), v_int(-32));
}

/* d and c of half h (0 where there are none) of block j of a K-quant's chunk at p. */
INLINE void scales_of_part(uint32_t type, const uint8_t *p, int j, int h, struct operands *o)
{
    struct cpu_int8_layout at = cpu_int8_layout(type);
    const uint8_t *s = p + (size_t)at.s * LANES, *part = s + (size_t)(2 * j + h) * LANES;
    vints d, c = v_int(0);
    switch (type) {
    case LE_TYPE_Q2_K:
        d = v_and(v_u8(part), v_int(15));
        c = v_iright(v_u8(part), 4);
        break;
    case LE_TYPE_Q3_K:
        d = v_iadd(six_bits(s, 2 * j + h), v_int(-32));
        break;
    case LE_TYPE_Q6_K:
        d = v_s8(part);
        break;
    case LE_TYPE_IQ4_XS:
        d = scale_iq4_xs(s, j);
        break;
    default:
        d = six_bits(s, j);
        c = six_bits(s, 8 + j);
        break;
    }
    o->d[h] = v_mul(v_half(p + (size_t)at.d * LANES), v_float(d));
    if (minima(type))
        o->c[h] = v_mul(v_half(p + (size_t)at.m * LANES), v_float(c));
}

/* Everything of block j of the chunk at p. */
INLINE void unpack(uint32_t type, const uint8_t *p, int j, struct operands *o)
{
    struct cpu_int8_layout at = cpu_int8_layout(type);
    quants(type, p, j, o->u);
    if (at.columns == 256) {
        scales_of_part(type, p, j, 0, o);
        if (halves(type))
            scales_of_part(type, p, j, 1, o);
    } else if (type == LE_TYPE_MXFP4) {
        o->d[0] = scale_mxfp4(p + (size_t)(at.d + j) * LANES);
    } else {
        o->d[0] = v_half(p + (size_t)(at.d + 2 * j) * LANES);
        if (minima(type))
            o->c[0] = v_half(p + (size_t)(at.m + 2 * j) * LANES);
    }
}

#endif
