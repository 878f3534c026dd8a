#version 460
// One workgroup per (row, query head): online softmax (Milakov & Gimelshein 2018) over tiles of 4
// keys a thread. A thread scores its 4 keys, then sums its own dimensions of V over the tile.
// Shared memory holds pairs as 64 bits, as in matmul.comp.
#include "types.glsl"
PUSH(gpu_push_attention);
#include "access.glsl"
#include "reduce.glsl"
#include "mathf.glsl"
layout(constant_id = 1) const uint HEAD_DIM = 256; // a multiple of 4
const uint DIM4 = HEAD_DIM / 4;
const uint OWN4 = (DIM4 + GROUP - 1) / GROUP; // vectors of 4 dimensions that a thread sums
const uint TILE = 4 * GROUP;
const float LEAST = -3.0e38;

shared uint64_t query[2 * DIM4];
shared uint64_t weight[TILE / 2];
vec4 acc[OWN4];
uint first_cell, kv_head;

uint64_t pack(vec2 v)
{
    return packUint2x32(floatBitsToUint(v));
}

vec2 unpack(uint64_t pair)
{
    return uintBitsToFloat(unpackUint2x32(pair));
}

uint vector_of(uint key) // index of a key's first vector of 4 in the cache
{
    uint cell = first_cell + key;
    cell = cell < p.ring ? cell : cell - p.ring;
    return (cell * p.kv_heads + kv_head) * DIM4;
}

vec4 scores(uint j, uint keys)
{
    uvec4 at;
    for (uint c = 0; c < 4; c++)
        at[c] = vector_of(min(j + c, keys - 1));
    vec4 sum[4] = vec4[4](vec4(0.0), vec4(0.0), vec4(0.0), vec4(0.0));
    [[dont_unroll]] for (uint i = 0; i < DIM4; i++) {
        vec4 q = vec4(unpack(query[2 * i]), unpack(query[2 * i + 1]));
        for (uint c = 0; c < 4; c++)
            sum[c] += q * floats4(p.k, at[c] + i);
    }
    vec4 s;
    for (uint c = 0; c < 4; c++)
        s[c] = j + c < keys ? (sum[c].x + sum[c].y) + (sum[c].z + sum[c].w) : LEAST;
    return s;
}

void add_values(uint j0, uint count, uint t)
{
    [[dont_unroll]] for (uint j = 0; j < count; j += 2) {
        vec2 w = unpack(weight[j / 2]);
        uint a = vector_of(j0 + j), b = vector_of(min(j0 + j + 1, j0 + count - 1));
        for (uint i = 0; i < OWN4; i++) {
            uint d = min(t + i * GROUP, DIM4 - 1); // a thread without dimensions repeats the last
            acc[i] += w.x * floats4(p.v, a + d) + w.y * floats4(p.v, b + d);
        }
    }
}

void main()
{
    uint t = gl_LocalInvocationID.x, row = gl_WorkGroupID.y, head = group_x();
    if (head >= p.heads)
        return;
    kv_head = head / (p.heads / p.kv_heads);
    uint token = token_of(p.rows, row);
    uint pos = position_of(token);
    uint first = p.window > 0 && pos >= p.window ? pos - p.window + 1 : 0;
    uint keys = pos - first + 1;
    first_cell = first % p.ring;
    uint at = (row * p.heads + head) * DIM4;
    for (uint i = t; i < DIM4; i += GROUP) {
        vec4 q = floats4(p.q, at + i);
        query[2 * i] = pack(q.xy);
        query[2 * i + 1] = pack(q.zw);
    }
    for (uint i = 0; i < OWN4; i++)
        acc[i] = vec4(0.0);
    float most = LEAST, total = 0.0;
    [[dont_unroll]] for (uint j0 = 0; j0 < keys; j0 += TILE) {
        barrier(); // query is there; the former weights have been used
        uint j = j0 + 4 * t;
        vec4 s = j < keys ? scores(j, keys) : vec4(LEAST);
        float most_new = max(most, group_max(max(max(s.x, s.y), max(s.z, s.w))));
        float fade = exp_exact(most - most_new);
        vec4 w = vec4(exp_exact(s.x - most_new), exp_exact(s.y - most_new),
                      exp_exact(s.z - most_new), exp_exact(s.w - most_new));
        most = most_new;
        total = total * fade + ((w.x + w.y) + (w.z + w.w));
        weight[2 * t] = pack(w.xy);
        weight[2 * t + 1] = pack(w.zw);
        barrier();
        for (uint i = 0; i < OWN4; i++)
            acc[i] *= fade;
        add_values(j0, min(TILE, keys - j0), t);
    }
    float sum = group_sum(total);
    for (uint i = 0; i < OWN4; i++)
        if (t + i * GROUP < DIM4)
            for (uint c = 0; c < 4; c++)
                put(p.dst, (at + t + i * GROUP) * 4 + c, acc[i][c] / sum);
}
