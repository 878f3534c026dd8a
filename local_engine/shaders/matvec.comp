#version 460
// dst [rows, out] = x [rows, in] W^T for few rows: each workgroup makes ROWS rows of W for all of
// up to COLS rows of x, so that W is read once. Threads share the chunks of the rows. With EXPERTS
// a workgroup is for one pair of a row of x and one of its experts, and COLS is 1.
#include "types.glsl"
PUSH(gpu_push_matmul);
#include "access.glsl"
#include "reduce.glsl"
#include "dequant.glsl"
layout(constant_id = 2) const uint ROWS = 4;
layout(constant_id = 3) const uint COLS = 1;
layout(constant_id = 4) const uint ALIGNED = 1; // in is a multiple of 32
layout(constant_id = 5) const uint EXPERTS = GPU_EXPERTS_NONE;
uint first_col = 0; // of x

vec4 load_x(uint col, uint k4)
{
    uint base = (first_col + col) * p.width;
    if (ALIGNED != 0)
        return floats4(p.x, (base >> 2) + k4);
    vec4 v = vec4(0.0);
    for (uint i = 0; i < 4; i++)
        if (k4 * 4 + i < p.width)
            v[i] = get(p.x, base + k4 * 4 + i);
    return v;
}

float chunk_dot(Chunk w, vec4 x[8], vec4 sum[2]) // sum: of each half of x
{
    vec4 a = w.q[0] * x[0], b = w.q[4] * x[4];
    for (uint i = 1; i < 4; i++) {
        a += w.q[i] * x[i];
        b += w.q[i + 4] * x[i + 4];
    }
    a = a * w.scale.x + b * w.scale.y;
    if (HAS_OFFSET)
        a += sum[0] * w.offset.x + sum[1] * w.offset.y;
    return (a.x + a.y) + (a.z + a.w);
}

// Sums of the rows row0 .. row0 + ROWS - 1 of this part go to dst behind at, those below rows.
void multiply(uint row0, uint rows, uint n, uint at)
{
    float acc[ROWS * COLS];
    for (uint i = 0; i < ROWS * COLS; i++)
        acc[i] = 0.0;
    for (uint k = gl_LocalInvocationID.x; k < p.chunks; k += GROUP) {
        Chunk w[ROWS];
        for (uint r = 0; r < ROWS; r++) // a row behind the last is the last again: no branch
            w[r] = dequant(min(row0 + r, p.out_rows - 1), k);
        for (uint c = 0; c < COLS; c++) {
            if (c < n) {
                vec4 x[8];
                for (uint i = 0; i < 8; i++)
                    x[i] = load_x(c, k * 8 + i);
                vec4 sum[2] = vec4[2](vec4(0.0), vec4(0.0));
                for (uint i = 0; HAS_OFFSET && i < 8; i++)
                    sum[i / 4] += x[i];
                for (uint r = 0; r < ROWS; r++)
                    acc[c * ROWS + r] += chunk_dot(w[r], x, sum);
            }
        }
    }
    for (uint c = 0; c < COLS; c++) {
        if (c >= n)
            break;
        for (uint r = 0; r < ROWS; r++) {
            float sum = group_sum(acc[c * ROWS + r]);
            if (gl_LocalInvocationID.x == 0 && row0 + r < rows)
                put(p.dst, c * p.dst_stride + at + r, sum);
        }
    }
}

void main()
{
    uint row0 = (p.first + group_x()) * ROWS;
    if (EXPERTS == GPU_EXPERTS_NONE) {
        if (row0 < p.out_rows)
            multiply(row0, p.out_rows, rows_of(p.rows), p.dst_offset + row0);
        return;
    }
    // dst_stride rows an expert; the part holds out_rows of all of them, from dst_offset on.
    uint pair = gl_WorkGroupID.y, expert = min(word(p.ids, pair), p.experts - 1);
    first_col = EXPERTS == GPU_EXPERTS_OWN ? pair : pair / p.used;
    uint first = expert * p.dst_stride, row = first + row0;
    uint end = min(first + p.dst_stride, p.dst_offset + p.out_rows);
    uint begin = max(first, p.dst_offset); // what the part has of this expert: begin to end
    if (begin >= end || row >= end || row + ROWS <= begin)
        return;
    row = max(row, begin);
    multiply(row - p.dst_offset, min(first + row0 + ROWS, end) - p.dst_offset, 1,
             pair * p.dst_stride + row - first);
}
