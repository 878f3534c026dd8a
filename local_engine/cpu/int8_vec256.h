/* The vectors of the packed int8 path: AVX2 with FMA and F16C, 8 lanes; with AVX-VNNI where the
 * file that includes this is compiled for it. What each name means is said in int8_vec512.h. */
#ifndef LE_CPU_INT8_VEC256_H
#define LE_CPU_INT8_VEC256_H

#include <immintrin.h>

#include "local_engine/cpu/int8_format.h"

#ifdef __AVXVNNI__
enum { LANES = 8, SIGNED8 = 0 };
#else
enum { LANES = 8, SIGNED8 = 1 };
#endif

typedef __m256i vbytes;
typedef vbytes vints;
typedef __m256 vfloats;

INLINE vbytes v_load(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

INLINE vbytes v_byte(int b)
{
    return _mm256_set1_epi8((char)b);
}

INLINE vbytes v_and(vbytes a, vbytes b)
{
    return _mm256_and_si256(a, b);
}

INLINE vbytes v_or(vbytes a, vbytes b)
{
    return _mm256_or_si256(a, b);
}

INLINE vbytes v_shift(vbytes a, int n)
{
    return n > 0 ? _mm256_slli_epi16(a, n) : _mm256_srli_epi16(a, -n);
}

INLINE vbytes v_lookup(const uint8_t table[16], vbytes a)
{
    __m128i t = _mm_loadu_si128((const __m128i *)(const void *)table);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(t), a);
}

INLINE vints v_u8(const uint8_t *p)
{
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}

INLINE vints v_s8(const uint8_t *p)
{
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}

INLINE vfloats v_half(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

INLINE vints v_int(int32_t i)
{
    return _mm256_set1_epi32(i);
}

INLINE vints v_iadd(vints a, vints b)
{
    return _mm256_add_epi32(a, b);
}

INLINE vints v_ileft(vints a, int n)
{
    return _mm256_slli_epi32(a, n);
}

INLINE vints v_iright(vints a, int n)
{
    return _mm256_srai_epi32(a, n);
}

INLINE vfloats v_float(vints a)
{
    return _mm256_cvtepi32_ps(a);
}

INLINE vfloats v_bits(vints a)
{
    return _mm256_castsi256_ps(a);
}

INLINE vfloats v_all(float x)
{
    return _mm256_set1_ps(x);
}

INLINE vfloats v_mul(vfloats a, vfloats b)
{
    return _mm256_mul_ps(a, b);
}

INLINE vfloats v_fma(vfloats a, vfloats b, vfloats c)
{
    return _mm256_fmadd_ps(a, b, c);
}

INLINE __m256i first_lanes(uint32_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE vfloats v_read(const float *p, uint32_t n)
{
    return _mm256_maskload_ps(p, first_lanes(n));
}

INLINE void v_write(float *p, uint32_t n, vfloats a)
{
    _mm256_maskstore_ps(p, first_lanes(n), a);
}

INLINE __m256i four_of(const uint8_t *q)
{
    return _mm256_set1_epi32(*(const v_four *)(const void *)q);
}

#ifndef __AVXVNNI__
/* Without VNNI, products of unsigned and signed bytes are added in pairs to 16 bits, which holds as
 * many steps as fit: 8 of four bits (8 * 2 * 15 * 127 < 2^15), 4 of five, 2 of six. Of eight bits
 * the magnitude is multiplied, and the sign given to the other side: 2 * 128 * 127 < 2^15. */
INLINE vints one_dot(int bits, int steps, const vbytes *u, const uint8_t *q, vints start)
{
    const int at_once = bits == 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1;
    __m256i pairs = _mm256_setzero_si256();
    EACH (s, steps) {
        __m256i x = four_of(q + 4 * s), w = u[s];
        if (bits == 8) {
            x = _mm256_sign_epi8(x, w);
            w = _mm256_abs_epi8(w);
        }
        __m256i step = _mm256_maddubs_epi16(w, x);
        pairs = s % at_once == 0 ? step : _mm256_add_epi16(pairs, step);
        if ((s + 1) % at_once == 0 || s + 1 == steps)
            start = _mm256_add_epi32(start, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    return start;
}
#endif

INLINE void v_dots(int bits, int steps, int n, const vbytes *u, const uint8_t *q, size_t q_bytes,
                   vints dot[])
{
#ifdef __AVXVNNI__
    (void)bits;
    EACH (s, steps)
        EACH (r, n)
            dot[r] = _mm256_dpbusd_avx_epi32(dot[r], u[s], four_of(q + r * q_bytes + 4 * s));
#else
    EACH (r, n)
        dot[r] = one_dot(bits, steps, u, q + r * q_bytes, dot[r]);
#endif
}

INLINE __m128i both(__m128i a, __m128i b, bool most)
{
    return most ? _mm_max_epi32(a, b) : _mm_add_epi32(a, b);
}

INLINE int32_t fold(__m256i a, bool most)
{
    __m128i b = both(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1), most);
    b = both(b, _mm_shuffle_epi32(b, 0x4e), most);
    return _mm_cvtsi128_si32(both(b, _mm_shuffle_epi32(b, 0xb1), most));
}

INLINE void v_round(const float *x, struct cpu_int8_input *out)
{
    __m256i top = _mm256_setzero_si256(), q[4];
    EACH (i, 4)
        top = _mm256_max_epi32(top, _mm256_and_si256(v_load((const uint8_t *)(x + 8 * i)),
                                                     _mm256_set1_epi32(0x7fffffff)));
    float to_q;
    out->dx = cpu_int8_scale(fold(top, true), &to_q);
    EACH (i, 4)
        q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), v_all(to_q)));
    /* The packs work within halves: fours of columns 0 8 16 24 | 4 12 20 28. */
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]),
                                       _mm256_packs_epi32(q[2], q[3]));
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)(void *)out->q, bytes);
    cpu_int8_sums(out, fold(_mm256_add_epi32(q[0], q[1]), false),
                  fold(_mm256_add_epi32(q[2], q[3]), false));
}

#endif
