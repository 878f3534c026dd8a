/* GGUF files with the exact tensors and metadata of a released Gemma 4 model and seeded random
 * weights, streamed to disk: for measuring and for loading at real size without the real weights.
 * Nothing here is thread-safe; an options struct is only read. */
#ifndef TESTS_BENCH_SYNTH_H
#define TESTS_BENCH_SYNTH_H

#include <stdbool.h>
#include <stdint.h>

#include "config/base/buf.h"
#include "config/base/status.h"
#include "local_engine/gguf.h"

enum {
    SYNTH_NAME_BYTES = 64,
    SYNTH_LAYERS_MAX = 64,
    SYNTH_TENSORS_MAX = 32 * SYNTH_LAYERS_MAX,
    SYNTH_VOCAB_MIN = 512,
    SYNTH_VOCAB_FULL = 262144,
    SYNTH_KV_BYTES_MAX = 256 << 20,
};

/* Hyperparameters that differ between the released models. */
struct synth_shape {
    const char *name;      /* "e2b" */
    uint32_t layers, d, period; /* every period-th layer is global, and the last one */
    uint32_t heads, kv_sliding, kv_global;
    uint32_t ff, window, context;
    uint32_t shared;       /* layers at the end without keys and values of their own */
    uint32_t ple;          /* width of the per-layer embeddings, 0: none */
    uint32_t experts, expert_ff;
    bool wide;             /* feed-forward of the sharing layers is twice as wide */
    bool values_are_keys;  /* global layers have no attn_v */
};

struct synth_options {
    const struct synth_shape *shape; /* synth_find_shape */
    const struct synth_mix *mix;     /* synth_find_mix */
    const char *out;                 /* path; of a split file its stem, with or without .gguf */
    const char *vocab;               /* a GGUF to take the tokenizer from, or NULL: a made-up one */
    uint32_t vocab_size;             /* of the made-up one; 0: SYNTH_VOCAB_FULL */
    uint32_t layers;                 /* 0: all */
    uint64_t seed;
    uint64_t split_max_bytes;        /* of tensor data in one file of several; 0: one file */
    bool fused_qkv, split_experts, untied;
    bool omit_unused; /* no keys and values in layers that share another's */
    /* Called now and then, NULL allowed; false stops with TG_CANCELLED. */
    bool (*progress)(void *arg, uint64_t done, uint64_t total);
    void *arg;
};

/* What fills a tensor. */
enum synth_fill {
    SYNTH_MATRIX,     /* mean 0, standard deviation value */
    SYNTH_AROUND,     /* F32 within 10% of value */
    SYNTH_ROPE_FREQS, /* 1 for the pairs that rotate, 1e30 for the others */
};

struct synth_tensor {
    char name[SYNTH_NAME_BYTES];
    uint32_t type, n_dims;
    uint64_t ne[3];
    uint64_t nbytes, offset; /* offset from the start of its file's data */
    uint32_t part;
    enum synth_fill fill;
    float value;
};

/* The layer as cut or not: what metadata and tensors agree on. */
struct synth_layer {
    bool sliding, owns_kv;
    uint32_t head_dim, kv_heads, ff;
};

struct synth_plan {
    const struct synth_options *options;
    uint32_t layers, shared, vocab;
    struct synth_layer layer[SYNTH_LAYERS_MAX];
    uint32_t n_tensors, n_parts;
    struct synth_tensor tensor[SYNTH_TENSORS_MAX];
    uint64_t total; /* bytes of all tensors with their padding */
};

/* NULL when there is none of that name; the list for people is static. */
const struct synth_shape *synth_find_shape(const char *name);
const char *synth_shape_names(void);
const struct synth_mix *synth_find_mix(const char *name);
const char *synth_mix_names(void);
const char *synth_mix_name(const struct synth_mix *mix);
/* llama.cpp's number for general.file_type. */
uint32_t synth_mix_file_type(const struct synth_mix *mix);
/* The type of a matrix by its name, layer (of `layers`) and row length. */
uint32_t synth_mix_type(const struct synth_mix *mix, const char *name, uint32_t layer,
                        uint32_t layers, uint64_t in);

/* Fills *plan: layers, tensors, types, sizes, files. vocab: tokens of the tokenizer. TG_INVALID: an
 * impossible combination of options, said in err. */
enum tg_status synth_plan(const struct synth_options *options, uint32_t vocab,
                          struct synth_plan *plan, struct tg_error *err);

/* Writes n elements (whole blocks) of a matrix's type into out: element number `first` onwards of
 * the stream that belongs to seed, so that a tensor may be made in pieces. first is a multiple of
 * 2048. std: standard deviation. */
void synth_blocks(uint32_t type, uint64_t seed, uint64_t first, uint64_t n, float std,
                  uint8_t *out);
/* The same for any tensor of a plan. */
void synth_fill(const struct synth_tensor *t, uint64_t seed, uint64_t first, uint64_t n,
                uint8_t *out);

/* GGUF's primitives, little-endian. */
void synth_put(struct tg_buf *b, uint64_t v, unsigned n);
void synth_put_string(struct tg_buf *b, const char *s, size_t n);
void synth_put_key(struct tg_buf *b, const char *key, uint32_t type);
void synth_put_array(struct tg_buf *b, const char *key, uint32_t item_type, uint64_t count);
void synth_put_u32(struct tg_buf *b, const char *key, uint32_t v);
void synth_put_f32(struct tg_buf *b, const char *key, float v);
void synth_put_bool(struct tg_buf *b, const char *key, bool v);
void synth_put_text(struct tg_buf *b, const char *key, const char *v);

/* Appends the tokenizer's keys, counting them in *n_kv and its tokens in *n_tokens. From a file:
 * what le_gguf_open says, or TG_INVALID. */
enum tg_status synth_vocab_file(const char *path, struct tg_buf *b, uint64_t *n_kv,
                                uint32_t *n_tokens, struct tg_error *err);
void synth_vocab_made(uint32_t n_tokens, struct tg_buf *b, uint64_t *n_kv);

/* Writes the file or files: under another name until they are complete, and removed after an error.
 * *plan, if not NULL, says afterwards what was written. TG_INVALID, TG_IO (disk full, by name),
 * TG_NOMEM, TG_CANCELLED. */
enum tg_status synth_write(const struct synth_options *options, struct synth_plan *plan,
                           struct tg_error *err);
/* The path of part i (0 ..) of n: OUT itself, or STEM-00001-of-0000N.gguf. */
void synth_part_path(const char *out, uint32_t i, uint32_t n, char *path, size_t size);

#endif
