#version 460
// One workgroup per (row, query head): online softmax (Milakov & Gimelshein 2018) over tiles of GROUP
// keys. A thread scores one key of the tile, then sums its own dimensions of V over the tile.
#include "types.glsl"
#include "reduce.glsl"
#include "mathf.glsl"
layout(constant_id = 1) const uint HEAD_DIM = 256; // a multiple of 4
const uint OWN = (HEAD_DIM + GROUP - 1) / GROUP;   // dimensions a thread sums

PUSH(gpu_push_attention);

shared vec4 query[HEAD_DIM / 4];
shared float weight[GROUP];

uint cell_of(uint first_cell, uint key)
{
    uint cell = first_cell + key;
    return cell < p.ring ? cell : cell - p.ring;
}

float score(uint cell, uint kv_head)
{
    uint at = (cell * p.kv_heads + kv_head) * (HEAD_DIM / 4);
    vec4 sum = vec4(0.0);
    for (uint i = 0; i < HEAD_DIM / 4; i++)
        sum += query[i] * Float4s(p.k).v[at + i];
    return (sum.x + sum.y) + (sum.z + sum.w);
}

void main()
{
    uint t = gl_LocalInvocationID.x, row = gl_WorkGroupID.y, head = group_x();
    if (head >= p.heads)
        return;
    uint kv_head = head / (p.heads / p.kv_heads);
    uint token = p.rows == 0 ? row : Step(p.step).s.row[row];
    uint pos = uint(Step(p.step).s.pos[token]);
    uint first = p.window > 0 && pos >= p.window ? pos - p.window + 1 : 0;
    uint keys = pos - first + 1, first_cell = first % p.ring;
    uint at = (row * p.heads + head) * HEAD_DIM;
    for (uint i = t; i < HEAD_DIM / 4; i += GROUP)
        query[i] = Float4s(p.q).v[at / 4 + i];
    float acc[OWN];
    for (uint i = 0; i < OWN; i++)
        acc[i] = 0.0;
    float most = -3.0e38, total = 0.0;
    for (uint j0 = 0; j0 < keys; j0 += GROUP) {
        barrier(); // query is there; the former weights have been used
        uint j = j0 + t;
        float s = j < keys ? score(cell_of(first_cell, j), kv_head) : -3.0e38;
        float most_new = max(most, group_max(s));
        float fade = exp_exact(most - most_new);
        float w = j < keys ? exp_exact(s - most_new) : 0.0;
        most = most_new;
        total = total * fade + w;
        weight[t] = w;
        barrier();
        for (uint i = 0; i < OWN; i++)
            acc[i] *= fade;
        uint count = min(GROUP, keys - j0);
        for (uint jj = 0; jj < count; jj++) {
            uint cell = cell_of(first_cell, j0 + jj);
            uint from = (cell * p.kv_heads + kv_head) * HEAD_DIM;
            float wj = weight[jj];
            for (uint i = 0; i < OWN; i++)
                if (t + i * GROUP < HEAD_DIM)
                    acc[i] += wj * p.v.v[from + t + i * GROUP];
        }
    }
    float sum = group_sum(total);
    for (uint i = 0; i < OWN; i++)
        if (t + i * GROUP < HEAD_DIM)
            p.dst.v[at + t + i * GROUP] = acc[i] / sum;
}
