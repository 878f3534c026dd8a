// The planar weight layouts (local_engine/vulkan/repack.h); included behind access.glsl. A chunk is
// 32 elements of a row: 8 vectors of 4; element = q * scale + offset, each of the two for its half.
// "Codes" are 4 elements in the 4 bytes of a word.
layout(constant_id = 1) const uint WEIGHT = GPU_W_F32;
const bool HAS_OFFSET = WEIGHT != GPU_W_F32 && WEIGHT != GPU_W_F16 && WEIGHT != GPU_W_BF16 &&
    WEIGHT != GPU_W_Q8_0 && WEIGHT != GPU_W_IQ4_NL && WEIGHT != GPU_W_IQ4_XS &&
    WEIGHT != GPU_W_MXFP4;

struct Chunk {
    vec4 q[8];
    vec2 scale, offset;
};

float half_at(Floats plane, uint index) // index in halves
{
    vec2 pair = unpackHalf2x16(word(plane, index >> 1));
    return (index & 1u) == 0u ? pair.x : pair.y;
}

uint byte_at(Floats plane, uint row_word, uint index) // index in bytes behind the row's first word
{
    return word(plane, row_word + (index >> 2)) >> (8 * (index & 3u)) & 255u;
}

uint pair_at(Floats plane, uint row_word, uint index) // 2 bytes
{
    return word(plane, row_word + (index >> 1)) >> (16 * (index & 1u)) & 0xffffu;
}

vec4 bytes_signed(uint w)
{
    int i = int(w);
    return vec4(ivec4(i << 24, i << 16, i << 8, i) >> 24);
}

vec4 bytes(uint codes)
{
    return vec4((uvec4(codes) >> uvec4(0, 8, 16, 24)) & 255u);
}

// Table of 16 signed bytes, chosen by comparing: no memory is indexed.
vec4 iq4_values(uint codes)
{
    uvec4 c = (uvec4(codes) >> uvec4(0, 8, 16, 24)) & 15u;
    uvec4 low = mix(uvec4(0xbfad9881u), uvec4(0xf6eaddcfu), greaterThan(c, uvec4(3)));
    uvec4 high = mix(uvec4(0x26190d01u), uvec4(0x71594535u), greaterThan(c, uvec4(11)));
    uvec4 w = mix(low, high, greaterThan(c, uvec4(7)));
    return vec4(ivec4(w << (24u - 8u * (c & 3u))) >> 24);
}

// 0, 1, 2, 3, 4, 6, 8, 12 and the same negative.
vec4 mxfp4_values(uint codes)
{
    uvec4 c = (uvec4(codes) >> uvec4(0, 8, 16, 24)) & 15u;
    ivec4 size = ivec4((uvec4(0xc8643210u) >> (4u * (c & 7u))) & 15u);
    return vec4(mix(size, -size, greaterThan(c, uvec4(7))));
}

vec4 values(uint codes)
{
    if (WEIGHT == GPU_W_IQ4_NL || WEIGHT == GPU_W_IQ4_XS)
        return iq4_values(codes);
    if (WEIGHT == GPU_W_MXFP4)
        return mxfp4_values(codes);
    return bytes(codes);
}

void plain_values(inout Chunk c, uint at)
{
    if (WEIGHT == GPU_W_F32) {
        for (uint i = 0; i < 8; i++)
            c.q[i] = floats4(p.q, at * 8 + i);
    } else if (WEIGHT == GPU_W_Q8_0) {
        for (uint i = 0; i < 2; i++) {
            uvec4 w = words4(p.q, at * 2 + i);
            for (uint j = 0; j < 4; j++)
                c.q[i * 4 + j] = bytes_signed(w[j]);
        }
    } else {
        for (uint i = 0; i < 4; i++) {
            uvec4 w = words4(p.q, at * 4 + i);
            if (WEIGHT == GPU_W_F16) {
                c.q[i * 2] = vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y));
                c.q[i * 2 + 1] = vec4(unpackHalf2x16(w.z), unpackHalf2x16(w.w));
            } else {
                uvec4 even = w << 16, odd = w & 0xffff0000u;
                c.q[i * 2] = uintBitsToFloat(uvec4(even.x, odd.x, even.y, odd.y));
                c.q[i * 2 + 1] = uintBitsToFloat(uvec4(even.z, odd.z, even.w, odd.w));
            }
        }
    }
}

void coded_values(inout Chunk c, uint at)
{
    uint codes[8];
    if (WEIGHT == GPU_W_Q2_K || WEIGHT == GPU_W_Q3_K) {
        uvec2 w = words2(p.q, at);
        for (uint i = 0; i < 8; i++)
            codes[i] = w[i / 4] >> (2 * (i % 4)) & 0x03030303u;
    } else {
        uvec4 w = words4(p.q, at);
        for (uint i = 0; i < 8; i++)
            codes[i] = w[i % 4] >> (4 * (i / 4)) & 0x0f0f0f0fu;
    }
    if (WEIGHT == GPU_W_Q6_K) {
        uvec2 high = words2(p.h, at);
        for (uint i = 0; i < 8; i++)
            codes[i] |= (high[i / 4] >> (2 * (i % 4)) & 0x03030303u) << 4;
    }
    if (WEIGHT == GPU_W_Q5_0 || WEIGHT == GPU_W_Q5_1 || WEIGHT == GPU_W_Q5_K ||
        WEIGHT == GPU_W_Q3_K) {
        uint high = word(p.h, at);
        for (uint i = 0; i < 8; i++)
            codes[i] |= (high >> i & 0x01010101u) << (WEIGHT == GPU_W_Q3_K ? 2 : 4);
    }
    for (uint i = 0; i < 8; i++)
        c.q[i] = values(codes[i]);
}

// One half-precision scale a chunk, of blocks of 32.
void scales_32(inout Chunk c, uint row, uint k)
{
    if (WEIGHT == GPU_W_Q4_1 || WEIGHT == GPU_W_Q5_1) {
        vec2 pair = unpackHalf2x16(word(p.s, row * p.s_stride + k));
        c.scale = vec2(pair.x);
        c.offset = vec2(pair.y);
    } else if (WEIGHT == GPU_W_MXFP4) { // 2^(e - 128): in two factors, the first of them normal
        uint e = byte_at(p.s, row * p.s_stride, k);
        c.scale = vec2(uintBitsToFloat(max(e, 2u) - 1u << 23) *
                       (e == 0u ? 0.25 : e == 1u ? 0.5 : 1.0));
    } else {
        c.scale = vec2(half_at(p.s, row * p.s_stride * 2 + k));
        if (WEIGHT == GPU_W_Q4_0)
            c.offset = c.scale * -8.0;
        if (WEIGHT == GPU_W_Q5_0)
            c.offset = c.scale * -16.0;
    }
}

// Half-precision scales of 8 chunks, times small integers a chunk or half a chunk.
void scales_256(inout Chunk c, uint row, uint k)
{
    if (WEIGHT == GPU_W_IQ4_XS) {
        int s = int(byte_at(p.s, row * p.s_stride, k)) << 24 >> 24;
        c.scale = vec2(float(s) * half_at(p.d, row * p.d_stride * 2 + (k >> 3)));
        return;
    }
    uint s = pair_at(p.s, row * p.s_stride, k);
    if (WEIGHT == GPU_W_Q3_K || WEIGHT == GPU_W_Q6_K) {
        vec2 scales = vec2(ivec2(int(s << 24), int(s << 16)) >> 24);
        c.scale = scales * half_at(p.d, row * p.d_stride * 2 + (k >> 3));
        c.offset = c.scale * (WEIGHT == GPU_W_Q3_K ? -4.0 : -32.0);
        return;
    }
    vec2 d = unpackHalf2x16(word(p.d, row * p.d_stride + (k >> 3)));
    uvec2 scales, mins;
    if (WEIGHT == GPU_W_Q2_K) {
        scales = uvec2(s, s >> 8) & 15u;
        mins = uvec2(s >> 4, s >> 12) & 15u;
    } else {
        scales = uvec2(s & 255u);
        mins = uvec2(s >> 8);
    }
    c.scale = d.x * vec2(scales);
    c.offset = -d.y * vec2(mins);
}

Chunk dequant(uint row, uint k) // chunk k of a row of the part
{
    Chunk c;
    c.scale = vec2(1.0);
    c.offset = vec2(0.0);
    if (WEIGHT == GPU_W_F32 || WEIGHT == GPU_W_F16 || WEIGHT == GPU_W_BF16) {
        plain_values(c, row * p.chunks + k);
        return c;
    }
    if (WEIGHT == GPU_W_Q8_0)
        plain_values(c, row * p.chunks + k);
    else
        coded_values(c, row * p.chunks + k);
    if (WEIGHT == GPU_W_Q2_K || WEIGHT == GPU_W_Q3_K || WEIGHT == GPU_W_Q4_K ||
        WEIGHT == GPU_W_Q5_K || WEIGHT == GPU_W_Q6_K || WEIGHT == GPU_W_IQ4_XS)
        scales_256(c, row, k);
    else
        scales_32(c, row, k);
    return c;
}

vec4 element4(Chunk c, uint i) // elements 4 i to 4 i + 3
{
    return HAS_OFFSET ? c.q[i] * c.scale[i / 4] + c.offset[i / 4] : c.q[i] * c.scale[i / 4];
}
