/* The GGUF reader, the hyperparameters, the tokenizer and the scalar forward pass on any bytes.
 * What opens is read in full: every key, every array and every tensor whose type is known; what is
 * a model runs four tokens. The input is one file, or the parts of a split one with the separator
 * between them. */
#include <string.h>

#include "config/base/alloc.h"
#include "local_engine/backend.h"
#include "local_engine/model.h"
#include "local_engine/template.h"
#include "local_engine/tokenizer.h"

enum { ROW_MAX = 1 << 16, PARTS_MAX = 4, SHOWN_MAX = 300 };

static const char separator[] = "\n--PART--\n";


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

/* Every key as text, in several lengths of the buffer. */
static void show_keys(const struct le_gguf *g)
{
    static const size_t room[] = { LE_GGUF_PRINT_MIN, 150, SHOWN_MAX };
    for (size_t i = 0; i < le_gguf_n_keys(g); i++) {
        size_t n = room[i % 3];
        char *text = tg_alloc(n);
        if (text && le_gguf_value_print(g, i, text, n) >= n)
            __builtin_trap();
        tg_free(text);
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
        if (!le_gguf_tensor_path(g, t))
            __builtin_trap();
        uint64_t n = t->nbytes / bytes * block;
        le_dequantise(t->type, t->data, row, (size_t)(n > ROW_MAX ? ROW_MAX : n));
    }
    tg_free(row);
}

/* The parts of the input, each in a block of its own size so that reading beyond it is seen. */
static size_t cut(const uint8_t *data, size_t size, struct le_gguf_bytes parts[PARTS_MAX])
{
    static const char *const names[PARTS_MAX] = { "one", "two", "three", "four" };
    size_t n = 0;
    while (n < PARTS_MAX) {
        const uint8_t *end = memmem(data, size, separator, sizeof(separator) - 1);
        size_t len = end && n + 1 < PARTS_MAX ? (size_t)(end - data) : size;
        void *copy = tg_alloc(len);
        if (!copy)
            break;
        if (len > 0)
            memcpy(copy, data, len);
        parts[n] = (struct le_gguf_bytes){ names[n], copy, len };
        n++;
        if (len == size)
            break;
        data += len + sizeof(separator) - 1;
        size -= len + sizeof(separator) - 1;
    }
    return n;
}

static void use_tokenizer(const struct le_tokenizer *t)
{
    static const char text[] = "<bos><|turn>user\nabc aab  \xff\xe2\x96 \xf0\x9f\x99\x82<turn|>";
    for (int special = 0; special < 2; special++) {
        struct le_ids ids = { 0 };
        enum tg_status st = le_tokenizer_encode(t, (struct tg_str){ text, sizeof(text) - 1 },
                                                special != 0, &ids);
        for (size_t i = 0; !st && i < ids.n; i++)
            if (ids.id[i] < 0 || (uint32_t)ids.id[i] >= le_tokenizer_n(t))
                __builtin_trap();
        le_ids_free(&ids);
    }
    for (uint32_t i = 0; i < le_tokenizer_n(t); i++) {
        struct tg_str piece = le_tokenizer_piece(t, (int32_t)i);
        volatile char last = piece.n ? piece.p[piece.n - 1] : 0;
        (void)last;
    }
}

/* A model as small as its file: its buffers are bounded by the tensors that it must have. On the
 * oracle, or as it is served: the best kernels, packed. */
static void run_model(const struct le_gguf *g, const struct le_params *p,
                      const struct cpu_options *device)
{
    static const struct le_model_options options = { .context = 8 };
    const int32_t ids[3] = { 0, (int32_t)p->n_vocab - 1, 0 };
    const uint32_t out[1] = { 2 };
    const struct le_ops *ops;
    struct le_backend *be;
    struct le_model *m;
    if (cpu_open(device, &ops, &be, NULL))
        return;
    if (le_model_open(g, ops, be, &options, &m, NULL) == TG_OK) {
        (void)le_model_step(m, ids, 3, 0, out, 1, NULL);
        (void)le_model_step(m, ids, 1, 3, NULL, 0, NULL);
        le_model_close(m);
    }
    ops->close(be);
}

static void read_all(const struct le_gguf *g)
{
    static struct le_params params;
    struct le_template_info template;
    struct le_tokenizer *t;
    struct tg_error err;
    read_keys(g);
    show_keys(g);
    read_tensors(g);
    (void)le_template_read(g, &template, &err);
    if (le_params_read(g, &params, &err) == TG_OK) {
        for (int fast = 0; fast < 2; fast++)
            run_model(g, &params,
                      fast ? &(struct cpu_options){ .precision = LE_FAST, .threads = 1 } : NULL);
    }
    if (le_tokenizer_open(g, &t, &err) == TG_OK) {
        use_tokenizer(t);
        le_tokenizer_close(t);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct le_gguf_bytes parts[PARTS_MAX];
    struct le_gguf *g;
    struct tg_error err;
    size_t n = cut(data, size, parts);
    if (n > 0 && le_gguf_open_memory_parts(parts, n, &g, &err) == TG_OK) {
        read_all(g);
        le_gguf_close(g);
    }
    for (size_t i = 0; i < n; i++)
        tg_free((void *)(uintptr_t)parts[i].p);
    return 0;
}
