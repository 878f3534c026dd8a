#version 460
// k and v [tokens, width] to the cells pos % ring of the cache.
#include "types.glsl"
PUSH(gpu_push_kv_store);
#include "access.glsl"

void main()
{
    uint i = group_x() * GROUP + gl_LocalInvocationID.x, token = gl_WorkGroupID.y;
    if (i >= p.width)
        return;
    uint cell = position_of(token) % p.ring;
    put(p.k_cache, cell * p.width + i, get(p.k, token * p.width + i));
    put(p.v_cache, cell * p.width + i, get(p.v, token * p.width + i));
}
