// Loads and stores; included behind PUSH. The checked variant looks every address up in the table
// of the backend's buffers, skips one that is outside and notes it in the step block.
layout(constant_id = 7) const uint CHECK = 0;

#define REFERENCE(alignment) layout(buffer_reference, std430, buffer_reference_align = alignment)
REFERENCE(4) readonly buffer Words { uint v[]; };
REFERENCE(8) readonly buffer Pairs { uint64_t v[]; };
REFERENCE(16) buffer Quads { u64vec2 v[]; };
REFERENCE(16) buffer Step { gpu_step s; };

uint rows_of(uint rows)
{
    return Step(p.step).s.n[rows];
}

uint position_of(uint token)
{
    return uint(Step(p.step).s.pos[token]);
}

uint token_of(uint rows, uint row) // rows: enum le_rows
{
    return rows == 0 ? row : Step(p.step).s.row[row];
}

bool inside(uint64_t begin, uint64_t end)
{
    if (CHECK == 0)
        return true;
    uint low = 0, high = Step(p.step).s.n_ranges; // the last range that begins at or before
    Pairs table = Pairs(packUint2x32(uvec2(Step(p.step).s.ranges[0], Step(p.step).s.ranges[1])));
    while (low < high) {
        uint middle = (low + high) / 2;
        if (table.v[2 * middle] <= begin)
            low = middle + 1;
        else
            high = middle;
    }
    if (low > 0 && end <= table.v[2 * low - 1])
        return true;
    if (atomicExchange(Step(p.step).s.bad, 1) == 0) {
        uvec2 at = unpackUint2x32(begin);
        Step(p.step).s.bad_at[0] = at.x;
        Step(p.step).s.bad_at[1] = at.y;
    }
    return false;
}

bool inside(Floats b, uint i, uint size)
{
    uint64_t at = uint64_t(b) + uint64_t(i) * size;
    return inside(at, at + size);
}

float get(Floats b, uint i)
{
    return inside(b, i, 4) ? b.v[i] : 0.0;
}

void put(Floats b, uint i, float v)
{
    if (inside(b, i, 4))
        b.v[i] = v;
}

uint word(Floats b, uint i)
{
    return inside(b, i, 4) ? Words(b).v[i] : 0;
}

// Wide loads go by 64 bits: GPUs join them, and a software driver that loads lane by lane needs
// half as many.
uvec2 words2(Floats b, uint i)
{
    return inside(b, i, 8) ? unpackUint2x32(Pairs(b).v[i]) : uvec2(0);
}

uvec4 words4(Floats b, uint i)
{
    if (!inside(b, i, 16))
        return uvec4(0);
    u64vec2 v = Quads(b).v[i];
    return uvec4(unpackUint2x32(v.x), unpackUint2x32(v.y));
}

vec4 floats4(Floats b, uint i)
{
    return uintBitsToFloat(words4(b, i));
}

void put4(Floats b, uint i, vec4 v)
{
    uvec4 w = floatBitsToUint(v);
    if (inside(b, i, 16))
        Quads(b).v[i] = u64vec2(packUint2x32(w.xy), packUint2x32(w.zw));
}
