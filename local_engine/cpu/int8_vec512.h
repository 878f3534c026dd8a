/* The vectors of the packed int8 path: AVX-512 with VNNI, 16 lanes. What each name means is said
 * here; int8_vec256.h and int8_vec128.h have the same for AVX2 and NEON. */
#ifndef LE_CPU_INT8_VEC512_H
#define LE_CPU_INT8_VEC512_H

#include <immintrin.h>

#include "local_engine/cpu/int8_format.h"

/* The quants of Q8_0, IQ4 and MXFP4 are unsigned here, 128 more than their value: the instruction
 * multiplies unsigned by signed bytes. */
enum { LANES = 16, SIGNED8 = 0 };

typedef __m512i vbytes; /* 4 bytes a lane */
typedef vbytes vints;
typedef __m512 vfloats;

INLINE vbytes v_load(const uint8_t *p)
{
    return _mm512_loadu_si512(p);
}

INLINE vbytes v_byte(int b)
{
    return _mm512_set1_epi8((char)b);
}

INLINE vbytes v_and(vbytes a, vbytes b)
{
    return _mm512_and_si512(a, b);
}

INLINE vbytes v_or(vbytes a, vbytes b)
{
    return _mm512_or_si512(a, b);
}

/* Bits to the left (n > 0) or right (n < 0), within pairs of bytes: the caller masks. */
INLINE vbytes v_shift(vbytes a, int n)
{
    switch (n) {
    case 4:
        return _mm512_slli_epi16(a, 4);
    case 3:
        return _mm512_slli_epi16(a, 3);
    case 2:
        return _mm512_slli_epi16(a, 2);
    case 1:
        return _mm512_slli_epi16(a, 1);
    case -1:
        return _mm512_srli_epi16(a, 1);
    case -2:
        return _mm512_srli_epi16(a, 2);
    case -3:
        return _mm512_srli_epi16(a, 3);
    case -4:
        return _mm512_srli_epi16(a, 4);
    case -5:
        return _mm512_srli_epi16(a, 5);
    case -6:
        return _mm512_srli_epi16(a, 6);
    default:
        return a;
    }
}

/* table[i] for each byte i < 16 of a. */
INLINE vbytes v_lookup(const uint8_t table[16], vbytes a)
{
    __m128i t = _mm_loadu_si128((const __m128i *)(const void *)table);
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(t), a);
}

/* One byte a lane, unsigned, signed, or as 2^(byte - 128); one half a lane. */
INLINE vints v_u8(const uint8_t *p)
{
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}

INLINE vints v_s8(const uint8_t *p)
{
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}

INLINE vfloats v_half(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

INLINE vints v_int(int32_t i)
{
    return _mm512_set1_epi32(i);
}

INLINE vints v_iadd(vints a, vints b)
{
    return _mm512_add_epi32(a, b);
}

/* Shifts by a count that need not be constant; right is arithmetic. */
INLINE vints v_ileft(vints a, int n)
{
    return (vints)((__v16si)a << n);
}

INLINE vints v_iright(vints a, int n)
{
    return (vints)((__v16si)a >> n);
}

INLINE vfloats v_float(vints a)
{
    return _mm512_cvtepi32_ps(a);
}

INLINE vfloats v_bits(vints a)
{
    return _mm512_castsi512_ps(a);
}

INLINE vfloats v_all(float x)
{
    return _mm512_set1_ps(x);
}

INLINE vfloats v_mul(vfloats a, vfloats b)
{
    return _mm512_mul_ps(a, b);
}

/* a * b + c, rounded once. */
INLINE vfloats v_fma(vfloats a, vfloats b, vfloats c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* The first n <= 16 lanes. */
INLINE vfloats v_read(const float *p, uint32_t n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}

INLINE void v_write(float *p, uint32_t n, vfloats a)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), a);
}

/* dot[r] += the products of steps vectors with 4 columns each of q + r * q_bytes, over the four
 * bytes of a lane, r < n. bits: every byte of u is below 2^bits (8: see SIGNED8). A step for all r,
 * then the next: each product waits for the one of the step before. */
INLINE void v_dots(int bits, int steps, int n, const vbytes *u, const uint8_t *q, size_t q_bytes,
                   vints dot[])
{
    (void)bits;
    EACH (s, steps) {
        /* The compiler would load each operand on its own: a sixth slower. */
        EACH (r, n)
            __asm__("vpdpbusd %2%{1to16%}, %1, %0"
                    : "+v"(dot[r])
                    : "v"(u[s]), "m"(*(const v_four *)(const void *)(q + r * q_bytes + 4 * s)));
    }
}

/* Rounds 32 elements. One that is not finite makes dx a NaN, and so every output. */
INLINE void v_round(const float *x, struct cpu_int8_input *out)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16);
    int32_t top = _mm512_reduce_max_epi32(
        _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(a), magnitude),
                         _mm512_and_si512(_mm512_castps_si512(b), magnitude)));
    float to_q;
    out->dx = cpu_int8_scale(top, &to_q);
    __m512i qa = _mm512_cvtps_epi32(_mm512_mul_ps(a, _mm512_set1_ps(to_q)));
    __m512i qb = _mm512_cvtps_epi32(_mm512_mul_ps(b, _mm512_set1_ps(to_q)));
    _mm_storeu_si128((__m128i *)(void *)out->q, _mm512_cvtepi32_epi8(qa));
    _mm_storeu_si128((__m128i *)(void *)(out->q + 16), _mm512_cvtepi32_epi8(qb));
    cpu_int8_sums(out, _mm512_reduce_add_epi32(qa), _mm512_reduce_add_epi32(qb));
}

#endif
