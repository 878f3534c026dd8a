// The planar weight layouts (local_engine/vulkan/repack.h). A chunk is 32 elements of a row, handed
// out as 8 vectors of 4, unscaled, with the scales of its two halves.
layout(constant_id = 1) const uint WEIGHT = GPU_W_F32;

struct Chunk {
    vec4 q[8];
    vec2 scale;
};

float half_at(Floats plane, uint index) // index in halves
{
    vec2 pair = unpackHalf2x16(word(plane, index >> 1));
    return (index & 1u) == 0u ? pair.x : pair.y;
}

vec4 bytes_signed(uint w)
{
    int i = int(w);
    return vec4(ivec4(i << 24, i << 16, i << 8, i) >> 24);
}

vec4 nibbles(uint w)
{
    return vec4((uvec4(w) >> uvec4(0, 8, 16, 24)) & 15u);
}

// Words of 4 nibbles in 4 bytes: low nibbles are elements 0..15, high ones 16..31.
void chunk_nibbles(inout Chunk c, uvec4 w, float bias)
{
    for (uint k = 0; k < 4; k++) {
        c.q[k] = nibbles(w[k]) - bias;
        c.q[k + 4] = nibbles(w[k] >> 4) - bias;
    }
}

vec4 two_bits(uint w) // 4 values of 2 bits, times 16
{
    return vec4(((uvec4(w) >> uvec4(0, 2, 4, 6)) & 3u) << 4);
}

// chunk: index in the plane (row * chunks + k); row and k also place the scales.
Chunk dequant(Floats q, Floats s, Floats h, Floats d, uint chunk, uint row, uint k, uint s_stride,
              uint d_stride)
{
    Chunk c;
    c.scale = vec2(1.0);
    if (WEIGHT == GPU_W_F32) {
        for (uint i = 0; i < 8; i++)
            c.q[i] = floats4(q, chunk * 8 + i);
    } else if (WEIGHT == GPU_W_F16) {
        for (uint i = 0; i < 4; i++) {
            uvec4 w = words4(q, chunk * 4 + i);
            c.q[i * 2] = vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y));
            c.q[i * 2 + 1] = vec4(unpackHalf2x16(w.z), unpackHalf2x16(w.w));
        }
    } else if (WEIGHT == GPU_W_Q8_0) {
        for (uint i = 0; i < 2; i++) {
            uvec4 w = words4(q, chunk * 2 + i);
            for (uint j = 0; j < 4; j++)
                c.q[i * 4 + j] = bytes_signed(w[j]);
        }
        c.scale = vec2(half_at(s, row * s_stride * 2 + k));
    } else if (WEIGHT == GPU_W_Q4_0) {
        chunk_nibbles(c, words4(q, chunk), 8.0);
        c.scale = vec2(half_at(s, row * s_stride * 2 + k));
    } else { // Q6_K: two 8-bit scales a chunk, one half-precision scale per 8 chunks
        chunk_nibbles(c, words4(q, chunk), 32.0);
        uvec2 high = words2(h, chunk);
        for (uint i = 0; i < 4; i++) {
            c.q[i] += two_bits(high.x >> (8 * i));
            c.q[i + 4] += two_bits(high.y >> (8 * i));
        }
        uint pair = word(s, row * s_stride + (k >> 1)) >> (16 * (k & 1u));
        vec2 scales = vec2(ivec2(int(pair << 24), int(pair << 16)) >> 24);
        c.scale = scales * half_at(d, row * d_stride * 2 + (k >> 3));
    }
    return c;
}
