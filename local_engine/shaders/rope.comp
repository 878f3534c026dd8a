#version 460
// Rotate-half RoPE in place. The angle is an integer fraction of a turn: pos * turns modulo 1, exact.
#include "types.glsl"
#include "mathf.glsl"

PUSH(gpu_push_rope);

void main()
{
    uint half_dim = p.head_dim / 2;
    uint i = group_x() * GROUP + gl_LocalInvocationID.x, row = gl_WorkGroupID.y;
    if (i >= p.heads * half_dim)
        return;
    uint head = i / half_dim, pair = i % half_dim;
    uint token = p.rows == 0 ? row : Step(p.step).s.row[row];
    uint pos = uint(Step(p.step).s.pos[token]);
    uvec2 turns = words2(p.turns, pair); // low, high
    uint carry, low;
    umulExtended(pos, turns.x, carry, low);
    vec2 sc = sincos_turns(pos * turns.y + carry);
    uint at = (row * p.heads + head) * p.head_dim + pair;
    float a = p.x.v[at], b = p.x.v[at + half_dim];
    p.x.v[at] = a * sc.y - b * sc.x;
    p.x.v[at + half_dim] = b * sc.y + a * sc.x;
}
