#version 460
// dst = (resid + rms(src * src_scale; w)) * dst_scale, one workgroup per vector.
#include "types.glsl"
PUSH(gpu_push_rms);
#include "access.glsl"
#include "reduce.glsl"
layout(constant_id = 1) const uint HAS_W = 0;
layout(constant_id = 2) const uint HAS_RESID = 0;

void main()
{
    uint base = (gl_WorkGroupID.y * p.per_row + group_x()) * p.width;
    if (group_x() >= p.per_row)
        return;
    float sum = 0.0;
    for (uint i = gl_LocalInvocationID.x; i < p.width; i += GROUP) {
        float v = get(p.src, base + i) * p.src_scale;
        sum += v * v;
    }
    sum = group_sum(sum);
    // A sum that overflows must not make zeros: what is not finite is found in the logits.
    float r = sum < 3.0e38 ? 1.0 / sqrt(sum / float(p.width) + p.eps) : sum;
    for (uint i = gl_LocalInvocationID.x; i < p.width; i += GROUP) {
        float v = get(p.src, base + i) * p.src_scale * r;
        if (HAS_W != 0)
            v *= get(p.w, i);
        if (HAS_RESID != 0)
            v += get(p.resid, base + i);
        put(p.dst, base + i, v * p.dst_scale);
    }
}
