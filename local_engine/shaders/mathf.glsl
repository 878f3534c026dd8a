// Elementary functions with errors of a few units in the last place on every driver; the built-in
// ones may be far off (Vulkan 1.3, "Precision of core operations").

// e^x for x <= 88; 0 below -87. x = k ln 2 + r, |r| <= ln(2) / 2; ln 2 in two parts (Cody & Waite).
float exp_exact(float x)
{
    if (!(x > -87.0))
        return x < 0.0 ? 0.0 : x; // NaN stays NaN
    float k = roundEven(x * 1.44269504);
    precise float r = x - k * 0.693359375;
    r = r - k * -2.12194440e-4;
    float p = 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r * r + r + 1.0;
    return p * intBitsToFloat((int(k) + 127) << 23);
}

// tanh, clamped: some drivers return NaN for large arguments.
float tanh_exact(float z)
{
    float a = abs(z);
    if (a > 10.0)
        return sign(z);
    if (a < 0.125) { // Taylor series: no cancellation
        float y = z * z;
        return z * (1.0 + y * (-1.0 / 3.0 + y * (2.0 / 15.0 + y * (-17.0 / 315.0))));
    }
    float t = exp_exact(-2.0 * a);
    return sign(z) * ((1.0 - t) / (1.0 + t));
}

// gelu_tanh (Hendrycks & Gimpel 2016).
float gelu_tanh(float z)
{
    return 0.5 * z * (1.0 + tanh_exact(0.797884560802865 * (z + 0.044715 * z * z * z)));
}

// sin and cos of an angle given in units of 2^-32 turns: the range reduction is exact.
vec2 sincos_turns(uint turns)
{
    uint quadrant = (turns + 0x20000000u) >> 30; // nearest multiple of a quarter turn
    int rest = int(turns - (quadrant << 30));    // within an eighth of a turn
    float r = float(rest) * 1.46291807926715968e-9; // 2 pi / 2^32
    float y = r * r;
    float s = r + r * y * (-1.0 / 6.0 + y * (1.0 / 120.0 + y * (-1.0 / 5040.0 + y / 362880.0)));
    float c = 1.0 - 0.5 * y +
        y * y * (1.0 / 24.0 + y * (-1.0 / 720.0 + y * (1.0 / 40320.0 - y / 3628800.0)));
    vec2 sc = (quadrant & 1u) == 0u ? vec2(s, c) : vec2(c, -s);
    return (quadrant & 2u) == 0u ? sc : -sc;
}
