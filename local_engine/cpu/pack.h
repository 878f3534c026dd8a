/* The int8 path of precision `fast`: weights packed at load into groups of rows interleaved for one
 * instruction set, inputs rounded to int8 blocks of 32 with an F32 scale each. Pure functions over
 * memory; any thread.
 *
 * Every output element is the same sum in the same order however many rows a call has and wherever
 * its group lies, so that results do not depend on how a prompt is split. */
#ifndef LE_CPU_PACK_H
#define LE_CPU_PACK_H

#include <stddef.h>
#include <stdint.h>

struct cpu_pack_kernels {
    const char *name; /* "avx512-vnni", for people */
    uint32_t lanes;   /* rows of a group */
    /* Bytes of a packed group of `lanes` rows of `in` elements (a multiple of 64); 0: no kernel for
     * this type (enum le_type) or width, which is then computed as in `exact`. */
    size_t (*group_bytes)(uint32_t type, uint64_t in);
    /* Packs n <= lanes rows of a file, row_bytes apart, into one group at out (64-byte aligned);
     * missing rows become zeros. */
    void (*pack)(uint32_t type, uint64_t in, const uint8_t *rows, uint64_t row_bytes, uint32_t n,
                 uint8_t *out);
    /* Bytes of an input row of `in` elements (a multiple of 64), and its rounding. x may hold any
     * finite value up to 1e30; a value that is not finite makes outputs that are not. */
    size_t (*input_bytes)(uint64_t in);
    void (*input)(const float *x, uint64_t in, uint8_t *out);
    /* dst[r * dst_stride + o], r < n, o < n_out <= n_groups * lanes: the products of n input rows
     * (input_bytes apart) with the rows of n_groups consecutive groups. */
    void (*matmul)(uint32_t type, uint64_t in, const uint8_t *groups, uint32_t n_groups,
                   uint32_t n_out, const uint8_t *x, uint32_t n, float *dst, size_t dst_stride);
};

/* For kernels "avx2", "avx512" (with VNNI), "neon"; NULL where there are none in this build or on
 * this processor. "avx512" without VNNI: NULL. "avx2" takes AVX-VNNI and "avx512" AMX where there
 * is one; "avx2-plain" and "avx512-plain", for tests, do not. All give the same results, bit for
 * bit. */
const struct cpu_pack_kernels *cpu_pack_kernels(const char *kernels);

#endif
