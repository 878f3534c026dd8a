/* Planar weight layouts. Pure: bytes in, bytes out. A row is padded with zeros to whole chunks
 * of 32 elements and stored in up to four planes, each an array of rows that begin 16-byte
 * aligned:
 *
 *   layout  q: bytes a chunk           s: scales         h               d
 *   F32     128, elements in order
 *   F16     64, elements in order
 *   Q8_0    32, int8                   half a chunk
 *   Q4_0    16, byte j: elements       half a chunk
 *           j (low), j + 16 (high)
 *   Q6_K    16, low 4 bits, as Q4_0    2 x int8 a chunk  8 a chunk: byte   half per 8 chunks
 *                                                        k has the high 2
 *                                                        bits of 4k..4k+3 */
#ifndef LE_VULKAN_REPACK_H
#define LE_VULKAN_REPACK_H

#include <stdbool.h>
#include <stdint.h>

enum gpu_plane { GPU_PLANE_Q, GPU_PLANE_S, GPU_PLANE_H, GPU_PLANE_D, GPU_PLANES };

struct gpu_planes {
    uint32_t layout;             /* GPU_W_... */
    uint32_t chunks;             /* of a row */
    uint64_t stride[GPU_PLANES]; /* bytes of a row; 0: no such plane */
};

/* For rows of width elements of a file type (enum le_type); false when it has no layout. */
bool gpu_planes_of(uint32_t type, uint64_t width, struct gpu_planes *out);
/* Repacks one row of the file into its place in each plane (stride bytes each; NULL where there
 * is no plane). */
void gpu_repack_row(const struct gpu_planes *planes, const uint8_t *row, uint64_t width,
                    uint8_t *out[GPU_PLANES]);

#endif
