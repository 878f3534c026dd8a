/* Dequantisation over the vectors of a vec_*.h, for the types most files are made of: the same
 * operations as le_dequantise, so the same bits. Included by the files of the SIMD sets alone. */

static void widen_q4_0(const uint8_t *p, float *out)
{
    vf d = v_set(le_quant_half_at(p)), eight = v_set(8.0f);
    for (int h = 0; h < 32; h += 16)
        for (int i = 0; i < 16; i += VL)
            v_store(out + h + i, v_mul(d, v_sub(v_load_bits(p + 2 + i, h / 4, 15), eight)));
}

static void widen_q8_0(const uint8_t *p, float *out)
{
    vf d = v_set(le_quant_half_at(p));
    for (int i = 0; i < 32; i += VL)
        v_store(out + i, v_mul(d, v_load_signed(p + 2 + i)));
}

/* d, dmin, twelve bytes of eight six-bit scales and minima, then nibbles. */
static void widen_q4_k(const uint8_t *p, float *out)
{
    float d = le_quant_half_at(p), dmin = le_quant_half_at(p + 2);
    const uint8_t *k = p + 4;
    for (int s = 0; s < 8; s++, out += 32) {
        int scale = s < 4 ? k[s] & 63 : (k[s + 4] & 15) | (k[s - 4] >> 6) << 4;
        int least = s < 4 ? k[s + 4] & 63 : k[s + 4] >> 4 | (k[s] >> 6) << 4;
        vf a = v_set(d * (float)scale), min = v_set(dmin * (float)least);
        for (int i = 0; i < 32; i += VL) {
            vf q = v_load_bits(p + 16 + s / 2 * 32 + i, s % 2 * 4, 15);
            v_store(out + i, v_sub(v_mul(a, q), min));
        }
    }
}

/* Low nibbles, high pairs of bits, a signed byte of scale for each 16 elements, d. */
static void widen_q6_k(const uint8_t *p, float *out)
{
    float d = le_quant_half_at(p + 208);
    for (int s = 0; s < 16; s++, out += 16) {
        const uint8_t *low = p + 64 * (s / 8) + 16 * (s % 4), *high = p + 128 + 32 * (s / 8);
        vf scale = v_set(d * (float)(int8_t)p[192 + s]);
        high += 16 * (s % 2);
        for (int i = 0; i < 16; i += VL) {
            vf q = v_fma(v_load_bits(high + i, s % 8 / 2 * 2, 3), v_set(16.0f),
                         v_load_bits(low + i, s % 8 / 4 * 4, 15));
            v_store(out + i, v_mul(scale, v_sub(q, v_set(32.0f))));
        }
    }
}

static void widen_16_bits(uint32_t type, const uint8_t *p, float *out, size_t n)
{
    uint16_t rest[VL] = { 0 };
    for (size_t i = 0; i < n; i += VL) {
        const void *at = p + 2 * i;
        if (n - i < VL)
            at = memcpy(rest, at, (n - i) * sizeof(*rest));
        v_store_left(out + i, type == LE_TYPE_F16 ? v_load_half(at) : v_load_bfloat(at), n - i);
    }
}

static void widen(uint32_t type, const uint8_t *p, float *out, size_t n)
{
    switch (type) {
    case LE_TYPE_F16:
    case LE_TYPE_BF16:
        widen_16_bits(type, p, out, n);
        break;
    case LE_TYPE_Q4_0:
        for (size_t i = 0; i < n; i += 32, p += 18)
            widen_q4_0(p, out + i);
        break;
    case LE_TYPE_Q8_0:
        for (size_t i = 0; i < n; i += 32, p += 34)
            widen_q8_0(p, out + i);
        break;
    case LE_TYPE_Q4_K:
        for (size_t i = 0; i < n; i += 256, p += 144)
            widen_q4_k(p, out + i);
        break;
    case LE_TYPE_Q6_K:
        for (size_t i = 0; i < n; i += 256, p += 210)
            widen_q6_k(p, out + i);
        break;
    default:
        le_dequantise(type, p, out, n);
        break;
    }
}
