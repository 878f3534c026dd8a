#version 460
// dst[r, i] = gelu_tanh(gate[r, i]) * up[r * up_stride + up_offset + i].
#include "types.glsl"
PUSH(gpu_push_geglu);
#include "access.glsl"
#include "mathf.glsl"

void main()
{
    uint i = group_x() * GROUP + gl_LocalInvocationID.x, row = gl_WorkGroupID.y;
    if (i >= p.width)
        return;
    float g = gelu_tanh(get(p.gate, row * p.width + i));
    put(p.dst, row * p.width + i, g * get(p.up, row * p.up_stride + p.up_offset + i));
}
