// Buffer references and what every shader begins with.
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require

#define GPU_GLSL 1
layout(buffer_reference, std430, buffer_reference_align = 4) buffer Floats { float v[]; };
#define GPU_ADDR Floats
#include "shared.h"

layout(constant_id = 0) const uint GROUP = 64; // threads of a workgroup, flattened
layout(local_size_x_id = 0) in;

#define PUSH(type) layout(push_constant, std430) uniform Push { type p; }

// Grids too long for one dimension are folded into z by the host.
uint group_x()
{
    return gl_WorkGroupID.z * gl_NumWorkGroups.x + gl_WorkGroupID.x;
}
