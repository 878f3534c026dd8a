#version 460
// Rotate-half RoPE in place. The angle is an integer fraction of a turn: pos * turns modulo 1,
// exact.
#include "types.glsl"
PUSH(gpu_push_rope);
#include "access.glsl"
#include "mathf.glsl"

void main()
{
    uint half_dim = p.head_dim / 2;
    uint i = group_x() * GROUP + gl_LocalInvocationID.x, row = gl_WorkGroupID.y;
    if (i >= p.heads * half_dim)
        return;
    uint head = i / half_dim, pair = i % half_dim;
    uint token = token_of(p.rows, row);
    uint pos = position_of(token);
    uvec2 turns = words2(p.turns, pair); // low, high
    uint carry, low;
    umulExtended(pos, turns.x, carry, low);
    vec2 sc = sincos_turns(pos * turns.y + carry);
    uint at = (row * p.heads + head) * p.head_dim + pair;
    float a = get(p.x, at), b = get(p.x, at + half_dim);
    put(p.x, at, a * sc.y - b * sc.x);
    put(p.x, at + half_dim, b * sc.y + a * sc.x);
}
