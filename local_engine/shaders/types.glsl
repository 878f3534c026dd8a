// Buffer references and what every shader begins with.
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require

#define GPU_GLSL 1
layout(buffer_reference, std430, buffer_reference_align = 4) buffer Floats { float v[]; };
#define GPU_ADDR Floats
#include "shared.h"

layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Words { uint v[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Pairs { uint64_t v[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Step { gpu_step s; };

layout(constant_id = 0) const uint GROUP = 64; // threads of a workgroup, flattened
layout(local_size_x_id = 0) in;

// Wide loads go by 64 bits: GPUs join them, and a software driver that loads lane by lane needs half
// as many.
uvec2 words2(Floats plane, uint i)
{
    return unpackUint2x32(Pairs(plane).v[i]);
}

uvec4 words4(Floats plane, uint i)
{
    return uvec4(unpackUint2x32(Pairs(plane).v[i * 2]), unpackUint2x32(Pairs(plane).v[i * 2 + 1]));
}

vec4 floats4(Floats plane, uint i)
{
    return uintBitsToFloat(words4(plane, i));
}

#define PUSH(type) layout(push_constant, std430) uniform Push { type p; }

// Grids too long for one dimension are folded into z by the host.
uint group_x()
{
    return gl_WorkGroupID.z * gl_NumWorkGroups.x + gl_WorkGroupID.x;
}
