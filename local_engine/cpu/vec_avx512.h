/* Vectors of 16 floats on AVX-512 (F, BW, VL, DQ). The vec_*.h files offer the same names; what is
 * computed with them is in simd_*.h. */
#ifndef LE_CPU_VEC_AVX512_H
#define LE_CPU_VEC_AVX512_H

#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPU_SET cpu_set_avx512
#define CPU_SET_NAME "avx512"
#define CPU_SET_TEXT "AVX-512"

enum {
    VL = 16,
    MR = 4, NR = 6, /* rows of a weight and of an input that share loads: MR * NR sums */
    QT = 8,         /* queries that share loads of keys and values */
    SV = 2, DV = 2, /* vectors of keys, and of elements of a value, in one go: QT * SV sums */
};

typedef __m512 vf;

static inline vf v_zero(void)
{
    return _mm512_setzero_ps();
}

static inline vf v_set(float x)
{
    return _mm512_set1_ps(x);
}

static inline vf v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

static inline void v_store(float *p, vf v)
{
    _mm512_storeu_ps(p, v);
}

static inline __mmask16 v_first(size_t n)
{
    return (__mmask16)((1u << n) - 1);
}

/* The first n < VL of p, then zeros. */
static inline vf v_load_n(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(v_first(n), p);
}

static inline void v_store_n(float *p, vf v, size_t n)
{
    _mm512_mask_storeu_ps(p, v_first(n), v);
}

/* Halves and bfloats, widened exactly. */
static inline vf v_load_half(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256(p));
}

static inline void v_store_half(void *p, vf v)
{
    _mm256_storeu_si256(p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

static inline vf v_load_bfloat(const void *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
}

/* VL bytes as numbers: signed ones, and `mask` of each after a shift to the right. */
static inline vf v_load_signed(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)p)));
}

static inline vf v_load_bits(const uint8_t *p, int shift, int mask)
{
    __m512i i = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p));
    i = _mm512_srl_epi32(i, _mm_cvtsi32_si128(shift));
    return _mm512_cvtepi32_ps(_mm512_and_si512(i, _mm512_set1_epi32(mask)));
}

static inline vf v_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}

static inline vf v_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}

static inline vf v_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}

static inline vf v_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}

/* a * b + c, and c - a * b, rounded once. */
static inline vf v_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

static inline vf v_fnma(vf a, vf b, vf c)
{
    return _mm512_fnmadd_ps(a, b, c);
}

/* b where either is no number. */
static inline vf v_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}

static inline vf v_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}

static inline vf v_round(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* 2^n for integers n from -126 to 127. */
static inline vf v_power(vf n)
{
    __m512i i = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(i, 23));
}

/* 0 where x < limit, else v. */
static inline vf v_drop_below(vf v, vf x, vf limit)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, limit, _CMP_NLT_UQ), v);
}

/* Lanes from .. to - 1 of v, the others from other; from and to in 0 .. VL. */
static inline vf v_between(vf v, vf other, int from, int to)
{
    uint32_t mask = ((1u << to) - 1) & ~((1u << from) - 1);
    return _mm512_mask_mov_ps(other, (__mmask16)mask, v);
}

/* Sums of lanes, always added in the same order: of one vector, and of four. */
static inline float v_sum(vf v)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

static inline __m256 v_halves_added(vf v)
{
    return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
}

static inline void v_sum4(const vf v[4], float out[4])
{
    __m256 ab = _mm256_hadd_ps(v_halves_added(v[0]), v_halves_added(v[1]));
    __m256 cd = _mm256_hadd_ps(v_halves_added(v[2]), v_halves_added(v[3]));
    __m256 abcd = _mm256_hadd_ps(ab, cd);
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(abcd), _mm256_extractf128_ps(abcd, 1)));
}

static inline float v_top(vf v)
{
    return _mm512_reduce_max_ps(v);
}

#endif
