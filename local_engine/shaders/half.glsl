// Halves by integer arithmetic: rounding to nearest even on every driver (packHalf2x16 may round in
// any direction), saturating instead of overflowing; NaN stays NaN.
uint half_of(float v)
{
    uint bits = floatBitsToUint(v), sign = bits >> 16 & 0x8000u, a = bits & 0x7fffffffu;
    if (a > 0x7f800000u)
        return sign | 0x7e00u;
    if (a >= 0x477ff000u) // would round to 65536
        return sign | 0x7bffu;
    if (a < 0x38800000u) { // subnormal half: the float's own rounding at 2^-24
        float scaled = uintBitsToFloat(a) * 16777216.0;
        return sign | uint(roundEven(scaled));
    }
    uint rounded = a + 0xfffu + (a >> 13 & 1u);
    return sign | (rounded - 0x38000000u) >> 13;
}

uint halves_of(vec2 v)
{
    return half_of(v.x) | half_of(v.y) << 16;
}
