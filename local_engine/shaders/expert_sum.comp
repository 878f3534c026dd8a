#version 460
// dst[r, i] = sum over j of weights[r, j] src[r, j, i].
#include "types.glsl"
PUSH(gpu_push_expert_sum);
#include "access.glsl"

void main()
{
    uint i = group_x() * GROUP + gl_LocalInvocationID.x, row = gl_WorkGroupID.y;
    if (i >= p.width)
        return;
    float sum = 0.0;
    for (uint j = row * p.used; j < (row + 1) * p.used; j++)
        sum += get(p.weights, j) * get(p.src, j * p.width + i);
    put(p.dst, row * p.width + i, sum);
}
