#version 460
// Element by element: scale, softcap (in place), or gather of the output rows.
#include "types.glsl"
PUSH(gpu_push_map);
#include "access.glsl"
#include "mathf.glsl"
layout(constant_id = 1) const uint MODE = GPU_MAP_SCALE;

void main()
{
    uint i = group_x() * GROUP + gl_LocalInvocationID.x, row = gl_WorkGroupID.y;
    if (i >= p.width)
        return;
    uint from = token_of(MODE == GPU_MAP_GATHER ? 1 : 0, row);
    float v = get(p.src, from * p.width + i);
    if (MODE == GPU_MAP_SCALE)
        v *= p.scale;
    if (MODE == GPU_MAP_SOFTCAP && abs(v) < 3.0e38) // what is not finite must be seen
        v = p.scale * tanh_exact(v / p.scale);
    put(p.dst, row * p.width + i, v);
}
