/* The vectors of the packed int8 path: NEON with dot products (Armv8.2), 4 lanes. What each name
 * means is said in int8_vec512.h. */
#ifndef LE_CPU_INT8_VEC128_H
#define LE_CPU_INT8_VEC128_H

#include <arm_neon.h>

#include "local_engine/cpu/int8_format.h"

enum { LANES = 4, SIGNED8 = 1 };

typedef int32x4_t vbytes;
typedef vbytes vints;
typedef float32x4_t vfloats;

INLINE vbytes v_load(const uint8_t *p)
{
    return vreinterpretq_s32_u8(vld1q_u8(p));
}

INLINE vbytes v_byte(int b)
{
    return vreinterpretq_s32_u8(vdupq_n_u8((uint8_t)b));
}

INLINE vbytes v_and(vbytes a, vbytes b)
{
    return vandq_s32(a, b);
}

INLINE vbytes v_or(vbytes a, vbytes b)
{
    return vorrq_s32(a, b);
}

INLINE vbytes v_shift(vbytes a, int n)
{
    return vreinterpretq_s32_u8(vshlq_u8(vreinterpretq_u8_s32(a), vdupq_n_s8((int8_t)n)));
}

INLINE vbytes v_lookup(const uint8_t table[16], vbytes a)
{
    return vreinterpretq_s32_u8(vqtbl1q_u8(vld1q_u8(table), vreinterpretq_u8_s32(a)));
}

INLINE uint8x8_t four_bytes(const uint8_t *p)
{
    uint32_t four;
    memcpy(&four, p, sizeof(four));
    return vcreate_u8(four);
}

INLINE vints v_u8(const uint8_t *p)
{
    return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(four_bytes(p)))));
}

INLINE vints v_s8(const uint8_t *p)
{
    return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(four_bytes(p)))));
}

INLINE vfloats v_half(const uint8_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}

INLINE vints v_int(int32_t i)
{
    return vdupq_n_s32(i);
}

INLINE vints v_iadd(vints a, vints b)
{
    return vaddq_s32(a, b);
}

INLINE vints v_ileft(vints a, int n)
{
    return vshlq_s32(a, vdupq_n_s32(n));
}

INLINE vints v_iright(vints a, int n)
{
    return vshlq_s32(a, vdupq_n_s32(-n));
}

INLINE vfloats v_float(vints a)
{
    return vcvtq_f32_s32(a);
}

INLINE vfloats v_bits(vints a)
{
    return vreinterpretq_f32_s32(a);
}

INLINE vfloats v_all(float x)
{
    return vdupq_n_f32(x);
}

INLINE vfloats v_mul(vfloats a, vfloats b)
{
    return vmulq_f32(a, b);
}

INLINE vfloats v_fma(vfloats a, vfloats b, vfloats c)
{
    return vfmaq_f32(c, a, b);
}

INLINE vfloats v_read(const float *p, uint32_t n)
{
    float four[LANES] = { 0 };
    memcpy(four, p, (n < LANES ? n : LANES) * sizeof(float));
    return vld1q_f32(four);
}

INLINE void v_write(float *p, uint32_t n, vfloats a)
{
    float four[LANES];
    vst1q_f32(four, a);
    memcpy(p, four, (n < LANES ? n : LANES) * sizeof(float));
}

/* Four steps' quants with 16 columns. */
INLINE vints dot16(const vbytes *u, const uint8_t *q, vints sum)
{
    int8x16_t x = vreinterpretq_s8_u8(vld1q_u8(q));
    sum = vdotq_laneq_s32(sum, vreinterpretq_s8_s32(u[0]), x, 0);
    sum = vdotq_laneq_s32(sum, vreinterpretq_s8_s32(u[1]), x, 1);
    sum = vdotq_laneq_s32(sum, vreinterpretq_s8_s32(u[2]), x, 2);
    return vdotq_laneq_s32(sum, vreinterpretq_s8_s32(u[3]), x, 3);
}

INLINE void v_dots(int bits, int steps, int n, const vbytes *u, const uint8_t *q, size_t q_bytes,
                   vints dot[])
{
    (void)bits;
    for (int s = 0; s < steps; s += 4)
        EACH (r, n)
            dot[r] = dot16(u + s, q + r * q_bytes + 4 * s, dot[r]);
}

INLINE void v_round(const float *x, struct cpu_int8_input *out)
{
    int32x4_t top = vdupq_n_s32(0), q[8];
    EACH (i, 8)
        top = vmaxq_s32(top, vreinterpretq_s32_f32(vabsq_f32(vld1q_f32(x + 4 * i))));
    float to_q;
    out->dx = cpu_int8_scale(vmaxvq_s32(top), &to_q);
    EACH (i, 8)
        q[i] = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 4 * i), to_q));
    EACH (i, 4) {
        int16x8_t eight = vcombine_s16(vmovn_s32(q[2 * i]), vmovn_s32(q[2 * i + 1]));
        vst1_s8(out->q + 8 * i, vmovn_s16(eight));
    }
    int32x4_t a = vaddq_s32(vaddq_s32(q[0], q[1]), vaddq_s32(q[2], q[3]));
    int32x4_t b = vaddq_s32(vaddq_s32(q[4], q[5]), vaddq_s32(q[6], q[7]));
    cpu_int8_sums(out, vaddvq_s32(a), vaddvq_s32(b));
}

#endif
