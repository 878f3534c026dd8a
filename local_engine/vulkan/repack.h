/* Planar weight layouts. Pure: bytes in, bytes out. A row is padded with zeros to whole chunks
 * of 32 elements and stored in up to four planes, each an array of rows. Planes of an odd width
 * begin their rows where the last one ended; s and d rows begin 16-byte aligned. Bytes a chunk
 * (d: per 8 chunks):
 *
 *   type               q             h           s                        d
 *   F32                128
 *   F16, BF16          64
 *   Q8_0               32 int8                   half
 *   Q4_0, IQ4_NL       16 low                    half
 *   Q4_1               16 low                    2 halves: scale, offset
 *   Q5_0               16 low        4 bit       half
 *   Q5_1               16 low        4 bit       2 halves: scale, offset
 *   MXFP4              16 low                    exponent
 *   Q2_K               8 pairs                   2 of scale + 16 * min    2 halves: scale, min
 *   Q3_K               8 pairs       4 bit       2 int8                   half
 *   Q4_K               16 low                    scale, min               2 halves: scale, min
 *   Q5_K               16 low        4 bit       scale, min               2 halves: scale, min
 *   Q6_K               16 low        8 pairs     2 int8                   half
 *   IQ4_XS             16 low                    int8                     half
 *
 * "low": byte j has the low 4 bits of element j, and of element j + 16 above them. "pairs": byte
 * 4 w + j has 2 bits of the elements 16 w + 4 i + j at bit 2 i, i < 4. "bit": byte j has one bit
 * of the elements 4 i + j at bit i, i < 8. */
#ifndef LE_VULKAN_REPACK_H
#define LE_VULKAN_REPACK_H

#include <stdbool.h>
#include <stdint.h>

enum gpu_plane { GPU_PLANE_Q, GPU_PLANE_S, GPU_PLANE_H, GPU_PLANE_D, GPU_PLANES };

struct gpu_planes {
    uint32_t type;               /* enum le_type, which is GPU_W_... */
    uint32_t chunks;             /* of a row */
    uint64_t stride[GPU_PLANES]; /* bytes of a row; 0: no such plane */
};

/* For rows of width elements of a file type (enum le_type); false when it has no layout, or none
 * for this width. */
bool gpu_planes_of(uint32_t type, uint64_t width, struct gpu_planes *out);
/* Repacks one row of the file into its place in each plane (stride bytes each, all of them
 * written; unused where there is no plane). */
void gpu_repack_row(const struct gpu_planes *planes, const uint8_t *row, uint64_t width,
                    uint8_t *out[GPU_PLANES]);

#endif
