/* The GGUF reader, the hyperparameters and the tokenizer on any bytes. What opens is read in full:
 * every key, every array and every tensor whose type is known. */
#include "config/base/alloc.h"
#include "local_engine/model.h"
#include "local_engine/tokenizer.h"

enum { ROW_MAX = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_keys(const struct le_gguf *g)
{
    static const char *const keys[] = {
        "general.alignment", "general.architecture", "general.name", "gemma4.block_count",
        "gemma4.attention.head_count_kv", "gemma4.attention.sliding_window_pattern",
        "tokenizer.ggml.tokens", "tokenizer.ggml.merges", "tokenizer.ggml.token_type",
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        uint32_t u;
        float f;
        bool b;
        struct tg_str s;
        uint64_t n = 0, cursor = 0;
        le_gguf_u32(g, keys[i], &u, NULL);
        le_gguf_f32(g, keys[i], &f, NULL);
        le_gguf_bool(g, keys[i], &b, NULL);
        le_gguf_string(g, keys[i], &s, NULL);
        le_gguf_array_count(g, keys[i], &n, NULL);
        for (uint64_t k = 0; k < n && k < 4096; k++)
            le_gguf_array_u32(g, keys[i], k, &u, NULL);
        while (le_gguf_array_string_next(g, keys[i], &cursor, &s, NULL) == TG_OK)
            continue;
    }
}

static void read_tensors(const struct le_gguf *g)
{
    float *row = tg_alloc(ROW_MAX * sizeof(float));
    for (size_t i = 0; row && i < le_gguf_n_tensors(g); i++) {
        const struct le_tensor *t = le_gguf_tensor_at(g, i);
        uint32_t block, bytes;
        if (!le_type_block(t->type, &block, &bytes))
            continue;
        uint64_t n = t->nbytes / bytes * block;
        le_dequantise(t->type, t->data, row, (size_t)(n > ROW_MAX ? ROW_MAX : n));
    }
    tg_free(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct le_params params;
    struct le_gguf *g;
    struct le_tokenizer *t;
    struct tg_error err;
    if (le_gguf_open_memory("fuzz", data, size, &g, &err) != TG_OK)
        return 0;
    read_keys(g);
    read_tensors(g);
    le_params_read(g, &params, &err);
    if (le_tokenizer_open(g, &t, &err) == TG_OK)
        le_tokenizer_close(t);
    le_gguf_close(g);
    return 0;
}
