#version 460
// dst [rows, out] = x [rows, in] W^T for many rows: tiles of 64 rows of W by TILE_X rows of x, one
// chunk deep, through shared memory. 64 threads as 8 x 8, each with 8 x TILE_X/8 sums. Shared
// memory holds pairs of neighbouring rows as 64 bits, so that each load brings two operands.
#include "types.glsl"
PUSH(gpu_push_matmul);
#include "access.glsl"
#include "dequant.glsl"
layout(constant_id = 2) const uint TILE_X = 64; // a multiple of 16, at most 64
layout(constant_id = 4) const uint ALIGNED = 1; // in is a multiple of 32
const uint TILE_W = 64, PAIRS_W = TILE_W / 2, PAIRS_X = TILE_X / 2, PER_X = TILE_X / 16;

shared uint64_t tile_w[GPU_CHUNK * PAIRS_W];
shared uint64_t tile_x[GPU_CHUNK * PAIRS_X];
vec2 acc[PER_X * 2 * 4]; // global: glslc 2023.2 fails on parameters of specialised size

uint64_t pack(float a, float b)
{
    return packUint2x32(uvec2(floatBitsToUint(a), floatBitsToUint(b)));
}

vec2 unpack(uint64_t pair)
{
    return uintBitsToFloat(unpackUint2x32(pair));
}

vec4 load_x(uint m, uint n, uint k4)
{
    if (m >= n)
        return vec4(0.0);
    if (ALIGNED != 0)
        return floats4(p.x, m * (p.width >> 2) + k4);
    vec4 v = vec4(0.0);
    for (uint j = 0; j < 4; j++)
        if (k4 * 4 + j < p.width)
            v[j] = get(p.x, m * p.width + k4 * 4 + j);
    return v;
}

void fill_x(uint m, uint n, uint k, uint pair)
{
    for (uint i = 0; i < 8; i++) {
        vec4 a = load_x(m, n, k * 8 + i), b = load_x(m + 1, n, k * 8 + i);
        for (uint j = 0; j < 4; j++)
            tile_x[(i * 4 + j) * PAIRS_X + pair] = pack(a[j], b[j]);
    }
}

Chunk load_w(uint row, uint k)
{
    return dequant(min(row, p.out_rows - 1), k); // rows behind the last are never written
}

void fill_w(uint row, uint k, uint pair)
{
    Chunk a = load_w(row, k), b = load_w(row + 1, k);
    for (uint i = 0; i < 8; i++) {
        vec4 va = element4(a, i), vb = element4(b, i);
        for (uint j = 0; j < 4; j++)
            tile_w[(i * 4 + j) * PAIRS_W + pair] = pack(va[j], vb[j]);
    }
}

void multiply(uint tx, uint ty)
{
    [[dont_unroll]] for (uint i = 0; i < GPU_CHUNK; i++) {
        vec2 w[4];
        for (uint c = 0; c < 4; c++)
            w[c] = unpack(tile_w[i * PAIRS_W + tx + 8 * c]);
        for (uint r = 0; r < PER_X; r++) {
            vec2 x = unpack(tile_x[i * PAIRS_X + ty + 8 * r]);
            for (uint c = 0; c < 4; c++) {
                acc[r * 8 + c] += x.x * w[c];
                acc[r * 8 + 4 + c] += x.y * w[c];
            }
        }
    }
}

void store(uint m, uint n, uint row, vec2 v)
{
    uint at = m * p.dst_stride + p.dst_offset + row;
    if (m < n && row < p.out_rows)
        put(p.dst, at, v.x);
    if (m < n && row + 1 < p.out_rows)
        put(p.dst, at + 1, v.y);
}

void main()
{
    uint t = gl_LocalInvocationIndex, tx = t % 8, ty = t / 8;
    uint n = rows_of(p.rows);
    uint row0 = group_x() * TILE_W, m0 = gl_WorkGroupID.y * TILE_X;
    if (row0 >= p.out_rows)
        return;
    for (uint i = 0; i < PER_X * 8; i++)
        acc[i] = vec2(0.0);
    [[dont_unroll]] for (uint k = 0; k < p.chunks; k++) {
        barrier(); // the former tile has been used by all
        if (t < PAIRS_W)
            fill_w(row0 + 2 * t, k, t);
        else if (t < PAIRS_W + PAIRS_X)
            fill_x(m0 + 2 * (t - PAIRS_W), n, k, t - PAIRS_W);
        barrier();
        if (m0 + 2 * ty < n)
            multiply(tx, ty);
    }
    for (uint r = 0; r < PER_X; r++) {
        for (uint c = 0; c < 4; c++) {
            uint m = m0 + 2 * (ty + 8 * r), row = row0 + 2 * (tx + 8 * c);
            store(m, n, row, acc[r * 8 + c]);
            store(m + 1, n, row, acc[r * 8 + 4 + c]);
        }
    }
}
