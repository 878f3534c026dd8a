#version 460
// Element by element: scale, softcap (in place), or gather of the output rows.
#include "types.glsl"
#include "mathf.glsl"
layout(constant_id = 1) const uint MODE = GPU_MAP_SCALE;

PUSH(gpu_push_map);

void main()
{
    uint i = group_x() * GROUP + gl_LocalInvocationID.x, row = gl_WorkGroupID.y;
    if (i >= p.width)
        return;
    uint from = MODE == GPU_MAP_GATHER ? Step(p.step).s.row[row] : row;
    float v = p.src.v[from * p.width + i];
    if (MODE == GPU_MAP_SCALE)
        v *= p.scale;
    if (MODE == GPU_MAP_SOFTCAP)
        v = p.scale * tanh_exact(v / p.scale);
    p.dst.v[row * p.width + i] = v;
}
