#version 460
// k and v [tokens, width] to the cells pos % ring of the cache.
#include "types.glsl"

PUSH(gpu_push_kv_store);

void main()
{
    uint i = group_x() * GROUP + gl_LocalInvocationID.x, token = gl_WorkGroupID.y;
    if (i >= p.width)
        return;
    uint cell = uint(Step(p.step).s.pos[token]) % p.ring;
    p.k_cache.v[cell * p.width + i] = p.k.v[token * p.width + i];
    p.v_cache.v[cell * p.width + i] = p.v.v[token * p.width + i];
}
