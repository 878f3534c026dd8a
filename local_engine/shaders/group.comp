#version 460
// Sorts the pairs of rows and their experts by expert, for matmul.comp (shared.h says how). One
// workgroup. The order within an expert is any: each pair's result is its own.
#include "types.glsl"
PUSH(gpu_push_group);
#include "access.glsl"
layout(constant_id = 1) const uint EXPERTS = 128;

shared uint place[EXPERTS]; // how many pairs an expert has, then where its next one goes

uint expert_of(uint pair)
{
    return min(word(p.ids, pair), EXPERTS - 1);
}

void put_word(uint i, uint v)
{
    put(p.groups, i, uintBitsToFloat(v));
}

void make_tiles()
{
    uint first = 0, tile = 0;
    for (uint e = 0; e < EXPERTS; e++) {
        uint n = place[e];
        place[e] = first;
        for (uint m = 0; m < n; m += GPU_GROUPS_TILE) {
            put_word(4 + 4 * tile, e);
            put_word(5 + 4 * tile, first + m);
            put_word(6 + 4 * tile, min(n - m, GPU_GROUPS_TILE));
            tile++;
        }
        first += n;
    }
    put_word(0, tile);
    put_word(1, p.list_at);
}

void main()
{
    uint t = gl_LocalInvocationID.x, pairs = rows_of(p.rows) * p.used;
    for (uint e = t; e < EXPERTS; e += GROUP)
        place[e] = 0;
    barrier();
    for (uint i = t; i < pairs; i += GROUP)
        atomicAdd(place[expert_of(i)], 1);
    barrier();
    if (t == 0)
        make_tiles();
    barrier();
    for (uint i = t; i < pairs; i += GROUP)
        put_word(p.list_at + atomicAdd(place[expert_of(i)], 1), i);
}
