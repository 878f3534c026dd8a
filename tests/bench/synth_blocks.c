/* Random weights. A block is random bits under one of 64 headers made once per call: scales chosen
 * so that the values have mean 0 and the wanted standard deviation whatever the random bits are.
 * Everything is a function of (seed, position): integer arithmetic and exact F32 products only. */
#include <math.h>
#include <string.h>

#include "tests/bench/synth.h"

enum { HEADERS = 64, BLOCK_BYTES_MAX = 256, SAMPLES = 4096, PIECES = 2 };

#define STEP UINT64_C(0x9E3779B97F4A7C15)

/* splitmix64 (Steele, Lea, Flood 2014) as a function of a counter. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* For headers and samples: one after the other. */
struct stream {
    uint64_t state;
};

static uint64_t next(struct stream *s)
{
    return mix(s->state += STEP);
}

/* In [0, 1), a multiple of 2^-24. */
static float uniform(struct stream *s)
{
    return (float)(next(s) >> 40) * 0x1p-24f;
}

/* Nearly normal, deviation 1: the sum of twelve uniform numbers (exact in F32's 24 bits within
 * their common grid, so the same on every machine). */
static float normal(struct stream *s)
{
    float sum = -6;
    for (int i = 0; i < 12; i++)
        sum += (float)(next(s) >> 44) * 0x1p-20f;
    return sum;
}

/* The nearest half to a finite v below 65504, ties to even. */
static uint16_t half_of(float v)
{
    uint32_t bits, sign;
    memcpy(&bits, &v, sizeof(bits));
    sign = bits >> 16 & 0x8000;
    float a = fabsf(v);
    if (a < 0x1p-14f) /* subnormal: a multiple of 2^-24 */
        return (uint16_t)(sign | (uint32_t)rintf(a * 0x1p24f));
    bits &= 0x7fffffff;
    uint32_t rest = bits & 0x1fff, h = (bits - (112u << 23)) >> 13;
    h += rest > 0x1000 || (rest == 0x1000 && (h & 1));
    return (uint16_t)(sign | h);
}

static void put_half(uint8_t *p, float v)
{
    uint16_t h = half_of(v);
    p[0] = (uint8_t)h;
    p[1] = (uint8_t)(h >> 8);
}

/* value = scale * (code - centre): the spread of code - centre over uniform codes. */
static const struct layout {
    uint32_t type;
    float spread;   /* of one element before its block's scales */
    float centre;   /* what the minimum has to take away; 0: codes are signed */
    struct {
        uint16_t at, n;
    } piece[PIECES]; /* the header's bytes */
} layouts[] = {
    { LE_TYPE_Q4_0, 4.637f, 0, { { 0, 2 } } },
    { LE_TYPE_Q4_1, 4.610f, 7.5f, { { 0, 4 } } },
    { LE_TYPE_Q5_0, 9.247f, 0, { { 0, 2 } } },
    { LE_TYPE_Q5_1, 9.233f, 15.5f, { { 0, 4 } } },
    { LE_TYPE_Q8_0, 73.90f, 0, { { 0, 2 } } },
    { LE_TYPE_Q2_K, 1.118f, 1.5f, { { 0, 16 }, { 80, 4 } } },
    { LE_TYPE_Q3_K, 2.345f, 0, { { 96, 14 } } },
    { LE_TYPE_Q4_K, 4.610f, 7.5f, { { 0, 16 } } },
    { LE_TYPE_Q5_K, 9.233f, 15.5f, { { 0, 16 } } },
    { LE_TYPE_Q6_K, 18.48f, 0, { { 192, 18 } } },
    { LE_TYPE_IQ4_NL, 67.44f, 0, { { 0, 2 } } },
    { LE_TYPE_IQ4_XS, 67.44f, 0, { { 0, 8 } } },
    { LE_TYPE_MXFP4, 5.852f, 0, { { 0, 1 } } },
};

static const struct layout *find_layout(uint32_t type)
{
    for (size_t i = 0; i < sizeof(layouts) / sizeof(*layouts); i++)
        if (layouts[i].type == type)
            return &layouts[i];
    return NULL;
}

/* Six-bit scales and minima of eight sub-blocks, packed as Q4_K and Q5_K have them. The minimum
 * equals the scale: with d and dmin in the ratio of the centre the sub-block's mean is 0. */
static void pack_scales_mins(struct stream *s, uint8_t *p)
{
    uint8_t v[8];
    for (int i = 0; i < 8; i++)
        v[i] = (uint8_t)(32 + next(s) % 32);
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v[i] | (v[i + 4] >> 4) << 6);
        p[i + 4] = p[i];
        p[i + 8] = (uint8_t)((v[i + 4] & 15) | (v[i + 4] & 15) << 4);
    }
}

/* Sixteen scales s - 32 with 16 <= |s - 32| < 32, packed as Q3_K has them. */
static void pack_q3_scales(struct stream *s, uint8_t *p)
{
    memset(p, 0, 12);
    for (int i = 0; i < 16; i++) {
        int magnitude = 16 + (int)(next(s) % 16);
        int v = 32 + (next(s) >> 63 ? -magnitude : magnitude);
        p[i % 8] |= (uint8_t)((v & 15) << 4 * (i / 8));
        p[8 + i % 4] |= (uint8_t)(v >> 4 << 2 * (i / 4));
    }
}

static void pack_iq4_xs(struct stream *s, uint8_t *p)
{
    memset(p, 0, 6);
    for (int i = 0; i < 8; i++) {
        int magnitude = 16 + (int)(next(s) % 16);
        unsigned v = (unsigned)(32 + (next(s) >> 63 ? -magnitude : magnitude));
        unsigned high = v >> 4 << 2 * i;
        p[0] |= (uint8_t)high;
        p[1] |= (uint8_t)(high >> 8);
        p[2 + i / 2] |= (uint8_t)((v & 15) << 4 * (i % 2));
    }
}

/* step: what one step of a code is worth, on average; at: evenly in (0, 1) over the headers.
 * Scales vary from 3/4 to 5/4 of it (mean square 1.021), with either sign, as quantisers write. */
static void make_header(const struct layout *l, struct stream *s, float step, float at,
                        uint8_t *b)
{
    float d = step * (0.75f + 0.5f * at) / 1.0104f;
    switch (l->type) {
    case LE_TYPE_Q4_1:
    case LE_TYPE_Q5_1:
        put_half(b, d);
        put_half(b + 2, -d * l->centre);
        break;
    case LE_TYPE_Q2_K:
        for (int i = 0; i < 16; i++)
            b[i] = (uint8_t)((8 + next(s) % 8) * 17);
        put_half(b + 80, d / 11.7f);
        put_half(b + 82, d / 11.7f * l->centre);
        break;
    case LE_TYPE_Q3_K:
        pack_q3_scales(s, b + 96);
        put_half(b + 108, d / 23.9f);
        break;
    case LE_TYPE_Q4_K:
    case LE_TYPE_Q5_K:
        put_half(b, d / 48.4f);
        put_half(b + 2, d / 48.4f * l->centre);
        pack_scales_mins(s, b + 4);
        break;
    case LE_TYPE_Q6_K:
        for (int i = 0; i < 16; i++) {
            int magnitude = 64 + (int)(next(s) % 64);
            b[192 + i] = (uint8_t)(next(s) >> 63 ? -magnitude : magnitude);
        }
        put_half(b + 208, d / 97.3f);
        break;
    case LE_TYPE_IQ4_XS:
        put_half(b, d / 23.9f);
        pack_iq4_xs(s, b + 2);
        break;
    case LE_TYPE_MXFP4: {
        /* A power of two: the two around the wanted one, in the mix that gives its square. */
        int e;
        float f = frexpf(fabsf(step), &e); /* step = f 2^e, f in [0.5, 1) */
        float up = (f * f - 0.25f) / 0.75f;
        b[0] = (uint8_t)(128 + e - (at < up ? 0 : 1));
        break;
    }
    default:
        put_half(b, d);
    }
}

static void fill_random(uint64_t seed, uint64_t word, uint8_t *out, uint64_t bytes)
{
    uint64_t i = 0;
    for (; i + 8 <= bytes; i += 8, word++) {
        uint64_t v = mix(seed + word * STEP);
        memcpy(out + i, &v, 8);
    }
    uint64_t v = mix(seed + word * STEP);
    memcpy(out + i, &v, bytes - i);
}

/* Types without blocks: normal numbers out of a table, whose second half is the negated first. */
static void fill_numbers(uint32_t type, uint64_t seed, uint64_t first, uint64_t n, float std,
                         uint8_t *out)
{
    static float value[SAMPLES];
    static uint16_t code[SAMPLES];
    struct stream s = { mix(seed ^ 1) };
    for (int i = 0; i < SAMPLES; i++) {
        uint32_t bits;
        value[i] = i < SAMPLES / 2 ? normal(&s) * std : -value[i - SAMPLES / 2];
        memcpy(&bits, &value[i], sizeof(bits));
        code[i] = type == LE_TYPE_F16 ? half_of(value[i]) : (uint16_t)(bits >> 16);
    }
    uint64_t word = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (i % 4 == 0)
            word = mix(seed + (first + i) / 4 * STEP);
        uint32_t k = (uint32_t)(word >> 16 * (i % 4)) % SAMPLES;
        if (type == LE_TYPE_F32)
            memcpy(out + 4 * i, &value[k], 4);
        else
            memcpy(out + 2 * i, &code[k], 2);
    }
}

void synth_blocks(uint32_t type, uint64_t seed, uint64_t first, uint64_t n, float std,
                  uint8_t *out)
{
    static uint8_t header[HEADERS][BLOCK_BYTES_MAX];
    const struct layout *l = find_layout(type);
    uint32_t block = 1, bytes = 0;
    if (!l) {
        fill_numbers(type, seed, first, n, std, out);
        return;
    }
    le_type_block(type, &block, &bytes);
    struct stream s = { mix(seed ^ 2) };
    for (int i = 0; i < HEADERS; i++) {
        float step = std / l->spread, at = ((float)(i / 2) + 0.5f) / (HEADERS / 2);
        make_header(l, &s, i % 2 ? -step : step, at, header[i]);
    }
    uint64_t blocks = n / block;
    fill_random(seed, first / block * bytes / 8, out, blocks * bytes);
    for (uint64_t i = 0; i < blocks; i++, out += bytes) {
        const uint8_t *h = header[out[l->piece[0].at] % HEADERS];
        for (int k = 0; k < PIECES; k++)
            memcpy(out + l->piece[k].at, h + l->piece[k].at, l->piece[k].n);
    }
}

static void fill_vector(const struct synth_tensor *t, uint64_t seed, uint64_t first, uint64_t n,
                        uint8_t *out)
{
    /* Of 256 pairs of a global head the first quarter rotates. */
    uint64_t rotating = t->ne[0] / 4;
    for (uint64_t i = 0; i < n; i++) {
        struct stream s = { seed + (first + i) * STEP };
        float v = t->value * (0.9f + 0.2f * uniform(&s));
        if (t->fill == SYNTH_ROPE_FREQS)
            v = first + i < rotating ? 1.0f : 1e30f;
        memcpy(out + 4 * i, &v, 4);
    }
}

void synth_fill(const struct synth_tensor *t, uint64_t seed, uint64_t first, uint64_t n,
                uint8_t *out)
{
    /* A tensor's values depend on its name, not on what lies before it. */
    uint64_t own = mix(seed + STEP);
    for (const char *p = t->name; *p; p++)
        own = mix(own ^ (unsigned char)*p);
    if (t->fill == SYNTH_MATRIX)
        synth_blocks(t->type, own, first, n, t->value, out);
    else
        fill_vector(t, own, first, n, out);
}
