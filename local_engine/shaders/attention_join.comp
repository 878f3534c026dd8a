#version 460
// Adds up what the workgroups of a row's splits made: one workgroup per row and query head.
#include "types.glsl"
PUSH(gpu_push_attention);
#include "access.glsl"
#include "mathf.glsl"
layout(constant_id = 1) const uint HEAD_DIM = 256;

uint keys_of(uint row) // that a row sees, its own included
{
    uint keys = position_of(token_of(p.rows, row)) + 1;
    return p.window > 0 ? min(keys, p.window) : keys;
}

void main()
{
    uint row = gl_WorkGroupID.y, head = group_x();
    uint size = gpu_split_keys(keys_of(rows_of(p.rows) - 1)); // as attention.comp has it
    uint splits = (keys_of(row) + size - 1) / size;
    if (head >= p.heads || splits == 1)
        return;
    uint at = row * p.heads + head, from = at * GPU_SPLITS_MAX;
    float most = -3.0e38, total = 0.0;
    for (uint s = 0; s < splits; s++)
        most = max(most, get(p.sums, 2 * (from + s)));
    for (uint s = 0; s < splits; s++)
        total += get(p.sums, 2 * (from + s) + 1) * exp_exact(get(p.sums, 2 * (from + s)) - most);
    for (uint d = gl_LocalInvocationID.x; d < HEAD_DIM; d += GROUP) {
        float sum = 0.0;
        for (uint s = 0; s < splits; s++)
            sum += get(p.partial, (from + s) * HEAD_DIM + d) *
                exp_exact(get(p.sums, 2 * (from + s)) - most);
        put(p.dst, at * HEAD_DIM + d, sum / total);
    }
}
