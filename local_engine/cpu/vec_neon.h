/* Vectors of 4 floats on aarch64; see vec_avx512.h. */
#ifndef LE_CPU_VEC_NEON_H
#define LE_CPU_VEC_NEON_H

#include <arm_neon.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CPU_SET cpu_set_neon
#define CPU_SET_NAME "neon"
#define CPU_SET_TEXT "NEON"

enum { VL = 4, MR = 4, NR = 4, QT = 4, SV = 4, DV = 4 };

typedef float32x4_t vf;

static inline vf v_zero(void)
{
    return vdupq_n_f32(0.0f);
}

static inline vf v_set(float x)
{
    return vdupq_n_f32(x);
}

static inline vf v_load(const float *p)
{
    return vld1q_f32(p);
}

static inline void v_store(float *p, vf v)
{
    vst1q_f32(p, v);
}

static inline vf v_load_n(const float *p, size_t n)
{
    float lane[VL] = { 0 };
    memcpy(lane, p, n * sizeof(float));
    return vld1q_f32(lane);
}

static inline void v_store_n(float *p, vf v, size_t n)
{
    float lane[VL];
    vst1q_f32(lane, v);
    memcpy(p, lane, n * sizeof(float));
}

static inline vf v_load_half(const void *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}

static inline void v_store_half(void *p, vf v)
{
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v)));
}

static inline vf v_load_bfloat(const void *p)
{
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}

static inline vf v_load_signed(const uint8_t *p)
{
    uint32_t four;
    memcpy(&four, p, sizeof(four));
    int16x8_t wide = vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(four)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
}

static inline vf v_load_bits(const uint8_t *p, int shift, int mask)
{
    uint32_t four;
    memcpy(&four, p, sizeof(four));
    uint16x8_t wide = vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four)));
    int32x4_t i = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(wide)));
    i = vandq_s32(vshlq_s32(i, vdupq_n_s32(-shift)), vdupq_n_s32(mask));
    return vcvtq_f32_s32(i);
}

static inline vf v_add(vf a, vf b)
{
    return vaddq_f32(a, b);
}

static inline vf v_sub(vf a, vf b)
{
    return vsubq_f32(a, b);
}

static inline vf v_mul(vf a, vf b)
{
    return vmulq_f32(a, b);
}

static inline vf v_div(vf a, vf b)
{
    return vdivq_f32(a, b);
}

static inline vf v_fma(vf a, vf b, vf c)
{
    return vfmaq_f32(c, a, b);
}

static inline vf v_fnma(vf a, vf b, vf c)
{
    return vfmsq_f32(c, a, b);
}

static inline vf v_max(vf a, vf b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

static inline vf v_min(vf a, vf b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}

static inline vf v_round(vf a)
{
    return vrndnq_f32(a);
}

static inline vf v_power(vf n)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127)), 23));
}

static inline vf v_drop_below(vf v, vf x, vf limit)
{
    return vbslq_f32(vcltq_f32(x, limit), v_zero(), v);
}

static inline vf v_between(vf v, vf other, int from, int to)
{
    const int32x4_t lane = { 0, 1, 2, 3 };
    uint32x4_t below = vcltq_s32(lane, vdupq_n_s32(to));
    return vbslq_f32(vandq_u32(below, vcgeq_s32(lane, vdupq_n_s32(from))), v, other);
}

static inline float v_sum(vf v)
{
    return vaddvq_f32(v);
}

static inline void v_sum4(const vf v[4], float out[4])
{
    vst1q_f32(out, vpaddq_f32(vpaddq_f32(v[0], v[1]), vpaddq_f32(v[2], v[3])));
}

static inline float v_top(vf v)
{
    return vmaxvq_f32(v);
}

#endif
