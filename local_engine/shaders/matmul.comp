#version 460
// dst [rows, out] = x [rows, in] W^T for many rows: tiles of 64 rows of W by TILE_X rows of x, one
// chunk deep, through shared memory. 64 threads as 8 x 8, each with 8 x TILE_X/8 sums. Shared
// memory holds pairs of neighbouring rows as 64 bits, so that each load brings two operands. With
// EXPERTS the rows of x and dst of a tile are those of pairs that chose one expert.
#include "types.glsl"
PUSH(gpu_push_matmul);
#include "access.glsl"
#include "dequant.glsl"
layout(constant_id = 2) const uint TILE_X = 64; // a multiple of 16, at most 64
layout(constant_id = 4) const uint ALIGNED = 1; // in is a multiple of 32
layout(constant_id = 5) const uint EXPERTS = GPU_EXPERTS_NONE;
const uint TILE_W = 64, PAIRS_W = TILE_W / 2, PAIRS_X = TILE_X / 2, PER_X = TILE_X / 16;

shared uint64_t tile_w[GPU_CHUNK * PAIRS_W];
shared uint64_t tile_x[GPU_CHUNK * PAIRS_X];
vec2 acc[PER_X * 2 * 4]; // global: glslc 2023.2 fails on parameters of specialised size
uint list;               // word of the tile's first pair
uint row_end;            // of the part: behind the last row of W that the tile may use

uint64_t pack(float a, float b)
{
    return packUint2x32(uvec2(floatBitsToUint(a), floatBitsToUint(b)));
}

vec2 unpack(uint64_t pair)
{
    return uintBitsToFloat(unpackUint2x32(pair));
}

uint pair_of(uint m)
{
    return word(p.ids, list + m);
}

uint x_row(uint m)
{
    if (EXPERTS == GPU_EXPERTS_NONE)
        return m;
    return EXPERTS == GPU_EXPERTS_OWN ? pair_of(m) : pair_of(m) / p.used;
}

vec4 load_x(uint row, uint k4)
{
    if (ALIGNED != 0)
        return floats4(p.x, row * (p.width >> 2) + k4);
    vec4 v = vec4(0.0);
    for (uint j = 0; j < 4; j++)
        if (k4 * 4 + j < p.width)
            v[j] = get(p.x, row * p.width + k4 * 4 + j);
    return v;
}

// a, b: rows of x. Rows behind the last are the last again: their sums are never written.
void fill_x(uint a, uint b, uint k, uint pair)
{
    for (uint i = 0; i < 8; i++) {
        vec4 va = load_x(a, k * 8 + i), vb = load_x(b, k * 8 + i);
        for (uint j = 0; j < 4; j++)
            tile_x[(i * 4 + j) * PAIRS_X + pair] = pack(va[j], vb[j]);
    }
}

Chunk load_w(uint row, uint k)
{
    return dequant(min(row, row_end - 1), k); // rows behind the last are never written
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

// Both of v: rows row and row + 1 of W, which are elements at and at + 1 of row m of dst.
void store(uint m, uint n, uint row, uint at, vec2 v)
{
    if (m >= n)
        return;
    at += (EXPERTS == GPU_EXPERTS_NONE ? m : pair_of(m)) * p.dst_stride;
    if (row < row_end)
        put(p.dst, at, v.x);
    if (row + 1 < row_end)
        put(p.dst, at + 1, v.y);
}

// m0 .. n - 1: rows of x; row0: row of the part; at: its element of a row of dst.
void tile(uint m0, uint n, uint row0, uint at)
{
    uint t = gl_LocalInvocationIndex, tx = t % 8, ty = t / 8;
    uint m = min(m0 + 2 * (max(t, PAIRS_W) - PAIRS_W), n - 1);
    uint xa = x_row(m), xb = x_row(min(m + 1, n - 1));
    for (uint i = 0; i < PER_X * 8; i++)
        acc[i] = vec2(0.0);
    [[dont_unroll]] for (uint k = 0; k < p.chunks; k++) {
        barrier(); // the former tile has been used by all
        if (t < PAIRS_W)
            fill_w(row0 + 2 * t, k, t);
        else if (t < PAIRS_W + PAIRS_X)
            fill_x(xa, xb, k, t - PAIRS_W);
        barrier();
        if (m0 + 2 * ty < n)
            multiply(tx, ty);
    }
    for (uint r = 0; r < PER_X; r++) {
        for (uint c = 0; c < 4; c++) {
            uint mr = m0 + 2 * (ty + 8 * r), wr = 2 * (tx + 8 * c);
            store(mr, n, row0 + wr, at + wr, acc[r * 8 + c]);
            store(mr + 1, n, row0 + wr, at + wr, acc[r * 8 + 4 + c]);
        }
    }
}

void main()
{
    uint row0 = (p.first + group_x()) * TILE_W;
    if (EXPERTS == GPU_EXPERTS_NONE) {
        if (row0 >= p.out_rows)
            return;
        row_end = p.out_rows;
        tile(gl_WorkGroupID.y * TILE_X, rows_of(p.rows), row0, p.dst_offset + row0);
        return;
    }
    // dst_stride rows an expert; the part holds out_rows of all of them, from dst_offset on.
    uvec4 head = words4(p.ids, 0);
    if (gl_WorkGroupID.y >= head.x || row0 >= p.dst_stride)
        return;
    uvec4 entry = words4(p.ids, 1 + gl_WorkGroupID.y);
    uint first = entry.x * p.dst_stride;
    uint begin = max(first + row0, p.dst_offset);
    uint end = min(min(first + row0 + TILE_W, first + p.dst_stride), p.dst_offset + p.out_rows);
    if (begin >= end)
        return;
    list = head.y + entry.y;
    row_end = end - p.dst_offset;
    tile(0, entry.z, begin - p.dst_offset, begin - first);
}
