#version 460
// k and v [tokens, width] to the cells pos % ring of the cache; two elements a thread.
#include "types.glsl"
PUSH(gpu_push_kv_store);
#include "access.glsl"
#include "half.glsl"
layout(constant_id = 1) const uint HALF = 0;

void store(Floats cache, Floats from, uint to, uint at, bool both)
{
    vec2 v = vec2(get(from, at), both ? get(from, at + 1) : 0.0);
    if (HALF != 0) {
        put(cache, to / 2, uintBitsToFloat(halves_of(v)));
        return;
    }
    put(cache, to, v.x);
    if (both)
        put(cache, to + 1, v.y);
}

void main()
{
    uint i = 2 * (group_x() * GROUP + gl_LocalInvocationID.x), token = gl_WorkGroupID.y;
    if (i >= p.width)
        return;
    uint to = position_of(token) % p.ring * p.width + i, at = token * p.width + i;
    bool both = i + 1 < p.width;
    store(p.k_cache, p.k, to, at, both);
    store(p.v_cache, p.v, to, at, both);
}
