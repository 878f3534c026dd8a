#version 460
// The choice of experts, one workgroup per row: softmax over all, the `used` most probable in
// falling order (of equals the lower index), their probabilities over their sum.
#include "types.glsl"
PUSH(gpu_push_route);
#include "access.glsl"
#include "reduce.glsl"
#include "mathf.glsl"
layout(constant_id = 1) const uint OWN = 1; // experts of a thread
layout(constant_id = 2) const uint HAS_SCALE = 0;

void main()
{
    uint t = gl_LocalInvocationID.x, row = gl_WorkGroupID.y;
    float own[OWN]; // logits, then unnormalised probabilities; negative: none, or chosen already
    float top = -3.0e38, sum = 0.0, chosen = 0.0;
    for (uint i = 0; i < OWN; i++) {
        own[i] = get(p.logits, row * p.experts + min(i * GROUP + t, p.experts - 1));
        top = max(top, own[i]);
    }
    top = group_max(top);
    for (uint i = 0; i < OWN; i++) {
        own[i] = i * GROUP + t < p.experts ? exp_exact(own[i] - top) : -1.0;
        sum += i * GROUP + t < p.experts ? own[i] : 0.0;
    }
    sum = group_sum(sum);
    for (uint j = 0; j < p.used; j++) {
        float best = -1.0;
        uint at = t; // stays an expert of some thread when nothing compares, as with NaN
        for (uint i = 0; i < OWN; i++) {
            if (own[i] > best) {
                best = own[i];
                at = i * GROUP + t;
            }
        }
        float most = group_max(best);
        at = min(group_min(best == most ? at : p.experts - 1), p.experts - 1);
        for (uint i = 0; i < OWN; i++)
            own[i] = i * GROUP + t == at ? -1.0 : own[i];
        chosen += most / sum;
        if (t == 0) {
            put(p.ids, row * p.used + j, uintBitsToFloat(at));
            put(p.weights, row * p.used + j, most / sum);
        }
    }
    if (t != 0)
        return;
    for (uint j = 0; j < p.used; j++) {
        float w = get(p.weights, row * p.used + j) / max(chosen, 6.1e-5);
        if (HAS_SCALE != 0)
            w *= get(p.scale, word(p.ids, row * p.used + j));
        put(p.weights, row * p.used + j, w);
    }
}
