/* What the packer and the kernels of the packed int8 path agree on.
 *
 * A group is `lanes` rows (L below), interleaved. It is a row of chunks of 64 columns (types of 32
 * to a block) or 256 (K-quants); a chunk holds a few sections one after the other, each of a fixed
 * number of bytes per lane, so that a section lies at (bytes per lane before it) * L:
 *
 *   q  the quants, or their low bits, a block of 32 columns after the other. Columns 4s .. 4s+3 of
 *      a block are step s (0 .. 7). A vector of 4L bytes holds one step: byte 4r + b is column
 *      4s + b of row r. Four bits: vector v (0 .. 3) has step v in the low nibbles, step v + 4 in
 *      the high. Two bits: vector v (0, 1) has step 4v + i at bits 2i. Eight bits: a vector a step.
 *   h  further high bits, alike: two bits as above, or one: one vector, step s at bit s.
 *   s  scales of parts of a block of 256, byte k L + r for row r. Six bits: value i < 12 is the low
 *      six bits of byte i L + r, value 12 + k the top two bits of bytes k, 4 + k, 8 + k (times L,
 *      plus r), lowest first.
 *   d  scales of a whole block as in the file, L of one block after the other.
 *   m  minima of a whole block likewise, to be added: those of K-quants with their sign turned.
 *
 * A last chunk of which the row has only half is filled with blocks of scale 0. */
#ifndef LE_CPU_INT8_FORMAT_H
#define LE_CPU_INT8_FORMAT_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "local_engine/gguf.h"

typedef int32_t __attribute__((may_alias)) v_four; /* of an input's bytes */

#define INLINE static inline __attribute__((always_inline))
/* A loop whose count is a constant and which becomes straight code. */
#ifdef __clang__
#define EACH(i, n) _Pragma("unroll") for (int i = 0; i < (n); i++)
#else
#define EACH(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); i++)
#endif

enum { CPU_INT8_COLUMNS = 32 };

/* 32 elements of an input row: x = dx * q, dx = max |x| / 127. Sums of q are held in every form
 * that a kernel adds: times dx for types with a minimum, times an integer for types whose quants
 * are shifted to be unsigned. The first and the last 16 elements are a and b. */
struct cpu_int8_input {
    int8_t q[CPU_INT8_COLUMNS];
    float dx;
    float sum, sum_a, sum_b;        /* dx times the sum of q */
    int32_t m8, m128, m32_a, m32_b; /* -8, -128, -32 times the sum of q */
};

/* An input row is a block after the other, up to a multiple of 64 columns, and one more: an odd
 * number of cache lines, so that the rows of a tile do not all fall into the same set. */
static inline size_t cpu_int8_input_bytes(uint64_t in)
{
    return ((size_t)((in + 63) / 64) * 2 + 1) * sizeof(struct cpu_int8_input);
}

/* Bytes per lane before each section, and of a chunk; columns 0: not a type of this path. */
struct cpu_int8_layout {
    uint16_t columns, q, h, s, d, m, size;
};

static inline struct cpu_int8_layout cpu_int8_layout(uint32_t type)
{
    switch (type) {
    case LE_TYPE_Q4_0:
    case LE_TYPE_IQ4_NL:
        return (struct cpu_int8_layout){ .columns = 64, .d = 32, .size = 36 };
    case LE_TYPE_Q4_1:
        return (struct cpu_int8_layout){ .columns = 64, .d = 32, .m = 36, .size = 40 };
    case LE_TYPE_Q5_0:
        return (struct cpu_int8_layout){ .columns = 64, .h = 32, .d = 40, .size = 44 };
    case LE_TYPE_Q5_1:
        return (struct cpu_int8_layout){ .columns = 64, .h = 32, .d = 40, .m = 44, .size = 48 };
    case LE_TYPE_Q8_0:
        return (struct cpu_int8_layout){ .columns = 64, .d = 64, .size = 68 };
    case LE_TYPE_MXFP4: /* d is the exponent byte */
        return (struct cpu_int8_layout){ .columns = 64, .d = 32, .size = 34 };
    case LE_TYPE_Q2_K: /* s: scale in the low nibble, minimum in the high */
        return (struct cpu_int8_layout){ .columns = 256, .s = 64, .d = 80, .m = 82, .size = 84 };
    case LE_TYPE_Q3_K: /* size: 110, and a filling up to whole cache lines */
        return (struct cpu_int8_layout){ .columns = 256, .h = 64, .s = 96, .d = 108, .size = 112 };
    case LE_TYPE_Q4_K: /* s: six bits, 8 scales and 8 minima */
        return (struct cpu_int8_layout){ .columns = 256, .s = 128, .d = 140, .m = 142,
                                         .size = 144 };
    case LE_TYPE_Q5_K:
        return (struct cpu_int8_layout){ .columns = 256, .h = 128, .s = 160, .d = 172, .m = 174,
                                         .size = 176 };
    case LE_TYPE_Q6_K: /* size: 210, and a filling up to whole cache lines */
        return (struct cpu_int8_layout){ .columns = 256, .h = 128, .s = 192, .d = 208,
                                         .size = 212 };
    case LE_TYPE_IQ4_XS: /* s: scales j | j + 4 << 4, low four bits; then two bytes: byte k has the
                          * high bits of scales 4k .. 4k+3 */
        return (struct cpu_int8_layout){ .columns = 256, .s = 128, .d = 134, .size = 136 };
    default:
        return (struct cpu_int8_layout){ 0 };
    }
}

/* dx for a block whose largest magnitude has the bits `top`, and what its elements are multiplied
 * by before they are rounded to the nearest integer. A block below 2^-100 counts as zeros; one that
 * is not finite gets zeros and dx NaN. */
static inline float cpu_int8_scale(int32_t top, float *to_q)
{
    float most;
    memcpy(&most, &top, sizeof(most));
    *to_q = 0;
    if (top >= 0x7f800000)
        return (float)NAN;
    if (most < 0x1p-100f)
        return 0;
    *to_q = 127.0f / most;
    return most / 127.0f;
}

static inline void cpu_int8_sums(struct cpu_int8_input *x, int32_t a, int32_t b)
{
    if (isnan(x->dx))
        a = b = 0;
    x->sum_a = x->dx * (float)a;
    x->sum_b = x->dx * (float)b;
    x->sum = x->dx * (float)(a + b);
    x->m8 = -8 * (a + b);
    x->m128 = -128 * (a + b);
    x->m32_a = -32 * a;
    x->m32_b = -32 * b;
}

/* group_bytes, pack and the rounding of inputs, for any number of lanes. Contracts: cpu/pack.h.
 * signed8: Q8_0 keeps its signed bytes; otherwise 128 is added to each. */
size_t cpu_int8_group_bytes(uint32_t type, uint64_t in, uint32_t lanes);
struct cpu_int8_packing {
    uint32_t type, lanes;
    uint64_t in;
    bool signed8;
};
void cpu_int8_pack(const struct cpu_int8_packing *p, const uint8_t *rows, uint64_t row_bytes,
                   uint32_t n, uint8_t *out);

/* The sets, each in the file of its name; only for a processor that has the instructions. */
struct cpu_pack_kernels;
const struct cpu_pack_kernels *cpu_int8_avx512(void);
const struct cpu_pack_kernels *cpu_int8_amx(void);
const struct cpu_pack_kernels *cpu_int8_avx2(void);
const struct cpu_pack_kernels *cpu_int8_avxvnni(void);
const struct cpu_pack_kernels *cpu_int8_neon(void);

#endif
