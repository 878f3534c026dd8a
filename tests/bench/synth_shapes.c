/* The released models' shapes, and which type each matrix has in a file of a given name: quantisers
 * keep the embedding (which is the head too) at six bits or more, leave per_layer_model_proj in
 * 16 bits, and fall back to a type with blocks of 32 where rows are no multiple of 256. */
#include <string.h>

#include "tests/bench/synth.h"

static const struct synth_shape shapes[] = {
    { .name = "e2b", .layers = 35, .d = 1536, .period = 5, .heads = 8, .kv_sliding = 1,
      .kv_global = 1, .ff = 6144, .window = 512, .context = 131072, .shared = 20, .ple = 256,
      .wide = true },
    { .name = "e4b", .layers = 42, .d = 2560, .period = 6, .heads = 8, .kv_sliding = 2,
      .kv_global = 2, .ff = 10240, .window = 512, .context = 131072, .shared = 18, .ple = 256 },
    { .name = "12b", .layers = 48, .d = 3840, .period = 6, .heads = 16, .kv_sliding = 8,
      .kv_global = 1, .ff = 15360, .window = 1024, .context = 262144, .values_are_keys = true },
    { .name = "26b", .layers = 30, .d = 2816, .period = 6, .heads = 16, .kv_sliding = 8,
      .kv_global = 2, .ff = 2112, .window = 1024, .context = 262144, .experts = 128,
      .expert_ff = 704, .values_are_keys = true },
    { .name = "31b", .layers = 60, .d = 5376, .period = 6, .heads = 32, .kv_sliding = 16,
      .kv_global = 4, .ff = 21504, .window = 1024, .context = 262144, .values_are_keys = true },
};

/* more: attn_v and ffn_down of every layer that gets more bits. mixed: every type in turn. */
struct synth_mix {
    const char *name;
    uint32_t base, more, embedding, ple;
    uint32_t file_type;
    bool mixed;
};

#define PLAIN(text, type, embd, number) { text, type, type, embd, type, number, false }

static const struct synth_mix mixes[] = {
    PLAIN("f32", LE_TYPE_F32, LE_TYPE_F32, 0),
    PLAIN("f16", LE_TYPE_F16, LE_TYPE_F16, 1),
    PLAIN("bf16", LE_TYPE_BF16, LE_TYPE_BF16, 32),
    PLAIN("q8_0", LE_TYPE_Q8_0, LE_TYPE_Q8_0, 7),
    PLAIN("q4_0", LE_TYPE_Q4_0, LE_TYPE_Q6_K, 2),
    PLAIN("q4_1", LE_TYPE_Q4_1, LE_TYPE_Q6_K, 3),
    PLAIN("q5_0", LE_TYPE_Q5_0, LE_TYPE_Q6_K, 8),
    PLAIN("q5_1", LE_TYPE_Q5_1, LE_TYPE_Q6_K, 9),
    PLAIN("q2_k", LE_TYPE_Q2_K, LE_TYPE_Q6_K, 10),
    PLAIN("q3_k", LE_TYPE_Q3_K, LE_TYPE_Q6_K, 11),
    PLAIN("q4_k", LE_TYPE_Q4_K, LE_TYPE_Q6_K, 14),
    PLAIN("q5_k", LE_TYPE_Q5_K, LE_TYPE_Q6_K, 16),
    PLAIN("q6_k", LE_TYPE_Q6_K, LE_TYPE_Q6_K, 18),
    PLAIN("iq4_nl", LE_TYPE_IQ4_NL, LE_TYPE_Q6_K, 25),
    PLAIN("iq4_xs", LE_TYPE_IQ4_XS, LE_TYPE_Q6_K, 30),
    PLAIN("mxfp4", LE_TYPE_MXFP4, LE_TYPE_Q8_0, 38),
    { "q3_k_m", LE_TYPE_Q3_K, LE_TYPE_Q5_K, LE_TYPE_Q6_K, LE_TYPE_Q6_K, 12, false },
    { "q4_k_m", LE_TYPE_Q4_K, LE_TYPE_Q6_K, LE_TYPE_Q6_K, LE_TYPE_Q6_K, 15, false },
    { "q5_k_m", LE_TYPE_Q5_K, LE_TYPE_Q6_K, LE_TYPE_Q6_K, LE_TYPE_Q6_K, 17, false },
    { "mixed", LE_TYPE_F32, LE_TYPE_F32, LE_TYPE_Q8_0, LE_TYPE_Q4_0, 1024, true },
};

enum { N_SHAPES = sizeof(shapes) / sizeof(*shapes), N_MIXES = sizeof(mixes) / sizeof(*mixes) };

const struct synth_shape *synth_find_shape(const char *name)
{
    for (size_t i = 0; i < N_SHAPES; i++)
        if (strcmp(shapes[i].name, name) == 0)
            return &shapes[i];
    return NULL;
}

const char *synth_shape_names(void)
{
    return "e2b, e4b, 12b, 26b, 31b";
}

const struct synth_mix *synth_find_mix(const char *name)
{
    for (size_t i = 0; i < N_MIXES; i++)
        if (strcmp(mixes[i].name, name) == 0)
            return &mixes[i];
    return NULL;
}

const char *synth_mix_names(void)
{
    return "f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_nl, "
           "iq4_xs, mxfp4, q3_k_m, q4_k_m, q5_k_m, mixed";
}

const char *synth_mix_name(const struct synth_mix *mix)
{
    return mix->name;
}

uint32_t synth_mix_file_type(const struct synth_mix *mix)
{
    return mix->file_type;
}

static uint32_t fallback(uint32_t type, uint64_t in)
{
    uint32_t block, bytes;
    if (!le_type_block(type, &block, &bytes) || in % block == 0)
        return type;
    switch (type) {
    case LE_TYPE_Q2_K:
    case LE_TYPE_Q3_K:
        return LE_TYPE_Q4_0;
    case LE_TYPE_Q4_K:
        return LE_TYPE_Q5_0;
    case LE_TYPE_Q5_K:
        return LE_TYPE_Q5_1;
    case LE_TYPE_Q6_K:
        return LE_TYPE_Q8_0;
    default:
        return LE_TYPE_IQ4_NL;
    }
}

/* The first eighth, the last eighth, every third between. */
static bool more_bits(uint32_t layer, uint32_t layers)
{
    uint32_t eighth = layers / 8;
    return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

/* Every type of the table within one layer, in another order on the next. */
static uint32_t mixed_type(const char *name, uint32_t layer)
{
    uint32_t h = layer * 5;
    for (const char *p = name; *p; p++)
        h = h * 31 + (unsigned char)*p;
    return mixes[h % 16].base;
}

uint32_t synth_mix_type(const struct synth_mix *mix, const char *name, uint32_t layer,
                        uint32_t layers, uint64_t in)
{
    if (strcmp(name, "token_embd") == 0 || strcmp(name, "output") == 0)
        return fallback(mix->embedding, in);
    if (strcmp(name, "per_layer_token_embd") == 0)
        return fallback(mix->ple, in);
    if (strcmp(name, "per_layer_model_proj") == 0) {
        bool wide = mix->base == LE_TYPE_F32 || mix->base == LE_TYPE_F16;
        return wide && !mix->mixed ? mix->base : LE_TYPE_BF16;
    }
    if (mix->mixed)
        return fallback(mixed_type(name, layer), in);
    bool gets_more = strcmp(name, "attn_v") == 0 || strncmp(name, "ffn_down", 8) == 0;
    return fallback(gets_more && more_bits(layer, layers) ? mix->more : mix->base, in);
}
