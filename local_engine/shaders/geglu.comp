#version 460
// dst[r, i] = gelu_tanh(gate[r, i]) * up[r * up_stride + up_offset + i].
#include "types.glsl"
#include "mathf.glsl"

PUSH(gpu_push_geglu);

void main()
{
    uint i = group_x() * GROUP + gl_LocalInvocationID.x, row = gl_WorkGroupID.y;
    if (i >= p.width)
        return;
    float g = gelu_tanh(p.gate.v[row * p.width + i]);
    p.dst.v[row * p.width + i] = g * p.up.v[row * p.up_stride + p.up_offset + i];
}
