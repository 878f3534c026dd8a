#version 460
// dst [rows, out] = x [rows, in] W^T for many rows: tiles of 64 rows of W by TILE_X rows of x through
// shared memory, 64 threads as 8 x 8, each with 8 x TILE_X/8 sums.
#include "types.glsl"
#include "dequant.glsl"
layout(constant_id = 2) const uint TILE_X = 64; // a multiple of 8
layout(constant_id = 4) const uint ALIGNED = 1; // in is a multiple of 32
const uint TILE_W = 64;
const uint PER_X = TILE_X / 8;

PUSH(gpu_push_matmul);

shared float tile_w[GPU_CHUNK * TILE_W];
shared float tile_x[GPU_CHUNK * TILE_X];
float acc[PER_X * 8]; // global: glslc 2023.2 fails on parameters of specialised size

void store4(uint k, uint m, vec4 v)
{
    for (uint i = 0; i < 4; i++)
        tile_x[(k + i) * TILE_X + m] = v[i];
}

void load_x(uint m0, uint n, uint k, uint t)
{
    for (uint i = t; i < TILE_X * 8; i += 64) {
        uint m = i % TILE_X, k4 = i / TILE_X;
        uint base = (m0 + m) * p.width;
        vec4 v = vec4(0.0);
        if (m0 + m < n) {
            if (ALIGNED != 0) {
                v = Float4s(p.x).v[(base >> 2) + k * 8 + k4];
            } else {
                for (uint j = 0; j < 4; j++)
                    if (k * 32 + k4 * 4 + j < p.width)
                        v[j] = p.x.v[base + k * 32 + k4 * 4 + j];
            }
        }
        store4(k4 * 4, m, v);
    }
}

void load_w(uint row, uint k, uint t)
{
    uint from = min(row + t, p.out_rows - 1);
    Chunk c = dequant(p.q, p.s, p.h, p.d, from * p.chunks + k, from, k, p.s_stride, p.d_stride);
    for (uint i = 0; i < 8; i++) {
        vec4 v = c.q[i] * (i < 4 ? c.scale.x : c.scale.y);
        for (uint j = 0; j < 4; j++)
            tile_w[(i * 4 + j) * TILE_W + t] = v[j];
    }
}

void multiply(uint tx, uint ty)
{
    [[dont_unroll]] for (uint i = 0; i < GPU_CHUNK; i++) {
        float w[8];
        for (uint c = 0; c < 8; c++)
            w[c] = tile_w[i * TILE_W + tx + 8 * c];
        for (uint r = 0; r < PER_X; r++) {
            float x = tile_x[i * TILE_X + ty + 8 * r];
            for (uint c = 0; c < 8; c++)
                acc[r * 8 + c] += x * w[c];
        }
    }
}

void main()
{
    uint t = gl_LocalInvocationIndex, tx = t % 8, ty = t / 8;
    uint n = Step(p.step).s.n[p.rows];
    uint row0 = group_x() * TILE_W, m0 = gl_WorkGroupID.y * TILE_X;
    if (row0 >= p.out_rows)
        return;
    for (uint i = 0; i < PER_X * 8; i++)
        acc[i] = 0.0;
    [[dont_unroll]] for (uint k = 0; k < p.chunks; k++) {
        barrier(); // the former tile has been used by all
        load_w(row0, k, t);
        load_x(m0, n, k, t);
        barrier();
        if (m0 + ty < n)
            multiply(tx, ty);
    }
    for (uint r = 0; r < PER_X; r++) {
        uint m = m0 + ty + 8 * r;
        for (uint c = 0; c < 8; c++) {
            uint row = row0 + tx + 8 * c;
            if (m < n && row < p.out_rows)
                p.dst.v[m * p.dst_stride + p.dst_offset + row] = acc[r * 8 + c];
        }
    }
}
