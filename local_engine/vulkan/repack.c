#include "local_engine/vulkan/repack.h"

#include <string.h>

#include "local_engine/gguf.h"
#include "local_engine/shaders/shared.h"

enum { QK = 256, Q6_K_BYTES = 210 };

static uint64_t align16(uint64_t n)
{
    return (n + 15) / 16 * 16;
}

bool gpu_planes_of(uint32_t type, uint64_t width, struct gpu_planes *out)
{
    uint64_t chunks = (width + GPU_CHUNK - 1) / GPU_CHUNK;
    *out = (struct gpu_planes){ .chunks = (uint32_t)chunks };
    if (width == 0 || chunks > UINT32_MAX / 128)
        return false;
    out->stride[GPU_PLANE_S] = align16(chunks * 2);
    switch (type) {
    case LE_TYPE_F32:
    case LE_TYPE_F16:
        out->layout = type == LE_TYPE_F32 ? GPU_W_F32 : GPU_W_F16;
        out->stride[GPU_PLANE_Q] = chunks * (type == LE_TYPE_F32 ? 128 : 64);
        out->stride[GPU_PLANE_S] = 0;
        return true;
    case LE_TYPE_Q8_0:
        out->layout = GPU_W_Q8_0;
        out->stride[GPU_PLANE_Q] = chunks * 32;
        return width % 32 == 0;
    case LE_TYPE_Q4_0:
        out->layout = GPU_W_Q4_0;
        out->stride[GPU_PLANE_Q] = chunks * 16;
        return width % 32 == 0;
    case LE_TYPE_Q6_K:
        out->layout = GPU_W_Q6_K;
        out->stride[GPU_PLANE_Q] = chunks * 16;
        out->stride[GPU_PLANE_H] = chunks * 8;
        out->stride[GPU_PLANE_D] = align16(chunks / 8 * 2);
        return width % QK == 0;
    default:
        return false;
    }
}

/* Blocks of 32 elements: a half-precision scale, then the quants as they are. */
static void repack_scaled(const uint8_t *row, uint32_t chunks, uint32_t bytes, uint8_t *q,
                          uint8_t *s)
{
    for (uint32_t i = 0; i < chunks; i++, row += 2 + bytes) {
        memcpy(s + 2 * (uint64_t)i, row, 2);
        memcpy(q + (uint64_t)bytes * i, row + 2, bytes);
    }
}

/* One chunk of a Q6_K block: elements 32 * c .. 32 * c + 31. In the file, half h = c / 4 of the
 * block has 64 bytes of low bits and 32 of high ones, shared by the four chunks of the half. */
static void repack_q6_k_chunk(const uint8_t *block, unsigned c, uint8_t *q, uint8_t *high)
{
    const uint8_t *ql = block + 64 * (c / 4) + 32 * (c % 2);
    const uint8_t *qh = block + 128 + 32 * (c / 4);
    unsigned low_shift = c % 4 < 2 ? 0 : 4, high_shift = 2 * (c % 4);
    memset(q, 0, 16);
    memset(high, 0, 8);
    for (unsigned e = 0; e < 32; e++) {
        q[e % 16] |= (uint8_t)((ql[e] >> low_shift & 15) << (e < 16 ? 0 : 4));
        high[e / 4] |= (uint8_t)((qh[e] >> high_shift & 3) << (2 * (e % 4)));
    }
}

static void repack_q6_k(const uint8_t *row, uint32_t chunks, uint8_t *out[GPU_PLANES])
{
    for (uint32_t i = 0; i < chunks; i++) {
        const uint8_t *block = row + (uint64_t)Q6_K_BYTES * (i / 8);
        repack_q6_k_chunk(block, i % 8, out[GPU_PLANE_Q] + 16 * (uint64_t)i,
                          out[GPU_PLANE_H] + 8 * (uint64_t)i);
        memcpy(out[GPU_PLANE_S] + 2 * (uint64_t)i, block + 192 + 2 * (i % 8), 2);
        if (i % 8 == 0)
            memcpy(out[GPU_PLANE_D] + i / 8 * 2, block + 208, 2);
    }
}

void gpu_repack_row(const struct gpu_planes *planes, const uint8_t *row, uint64_t width,
                    uint8_t *out[GPU_PLANES])
{
    uint64_t element = planes->layout == GPU_W_F32 ? 4 : 2;
    switch (planes->layout) {
    case GPU_W_F32:
    case GPU_W_F16:
        memcpy(out[GPU_PLANE_Q], row, width * element);
        memset(out[GPU_PLANE_Q] + width * element, 0,
               planes->stride[GPU_PLANE_Q] - width * element);
        break;
    case GPU_W_Q8_0:
        repack_scaled(row, planes->chunks, 32, out[GPU_PLANE_Q], out[GPU_PLANE_S]);
        break;
    case GPU_W_Q4_0:
        repack_scaled(row, planes->chunks, 16, out[GPU_PLANE_Q], out[GPU_PLANE_S]);
        break;
    default:
        repack_q6_k(row, planes->chunks, out);
        break;
    }
}
