#version 460
// dst [tokens, width] = row id[t] of the table, times scale; only ids in this part of the table.
#include "types.glsl"
PUSH(gpu_push_embed);
#include "access.glsl"
#include "dequant.glsl"

void main()
{
    uint token = gl_WorkGroupID.y, k = group_x() * GROUP + gl_LocalInvocationID.x;
    uint row = uint(Step(p.step).s.id[token]) - p.row0;
    if (row >= p.out_rows || k >= p.chunks)
        return;
    Chunk c = dequant(row, k);
    for (uint i = 0; i < 8; i++) {
        vec4 v = element4(c, i);
        for (uint j = 0; j < 4; j++)
            if (k * 32 + i * 4 + j < p.width)
                put(p.dst, token * p.width + k * 32 + i * 4 + j, v[j] * p.scale);
    }
}
