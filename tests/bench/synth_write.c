/* Streams a plan to disk: header, metadata and tensors of each file, through one buffer. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "tests/bench/synth.h"

enum {
    PATH_BYTES = 4096,
    CHUNK_BYTES = 4 << 20,
    /* Elements that are made at once: a multiple of what synth_blocks wants. */
    CHUNK_ELEMENTS = CHUNK_BYTES / 4,
    ALIGNMENT = 32,
    ROPE_GLOBAL = 1000000,
    ROPE_SLIDING = 10000,
};

#define ARCH "gemma4."

void synth_put(struct tg_buf *b, uint64_t v, unsigned n)
{
    char p[8];
    for (unsigned i = 0; i < n; i++)
        p[i] = (char)(v >> 8 * i);
    tg_buf_add(b, p, n);
}

void synth_put_string(struct tg_buf *b, const char *s, size_t n)
{
    synth_put(b, n, 8);
    tg_buf_add(b, s, n);
}

void synth_put_key(struct tg_buf *b, const char *key, uint32_t type)
{
    synth_put_string(b, key, strlen(key));
    synth_put(b, type, 4);
}

void synth_put_array(struct tg_buf *b, const char *key, uint32_t item_type, uint64_t count)
{
    synth_put_key(b, key, LE_GGUF_ARRAY);
    synth_put(b, item_type, 4);
    synth_put(b, count, 8);
}

void synth_put_u32(struct tg_buf *b, const char *key, uint32_t v)
{
    synth_put_key(b, key, LE_GGUF_U32);
    synth_put(b, v, 4);
}

void synth_put_f32(struct tg_buf *b, const char *key, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof(bits));
    synth_put_key(b, key, LE_GGUF_F32);
    synth_put(b, bits, 4);
}

void synth_put_bool(struct tg_buf *b, const char *key, bool v)
{
    synth_put_key(b, key, LE_GGUF_BOOL);
    synth_put(b, v, 1);
}

void synth_put_text(struct tg_buf *b, const char *key, const char *v)
{
    synth_put_key(b, key, LE_GGUF_STRING);
    synth_put_string(b, v, strlen(v));
}

/* Keys whose value is one number in every model. */
static uint64_t put_numbers(struct tg_buf *b, const struct synth_plan *p)
{
    const struct synth_shape *s = p->options->shape;
    const struct {
        const char *key;
        uint32_t v;
    } u32[] = {
        { "general.quantization_version", 2 },
        { "general.file_type", synth_mix_file_type(p->options->mix) },
        { "general.sampling.top_k", 64 },
        { ARCH "block_count", p->layers },
        { ARCH "context_length", s->context },
        { ARCH "embedding_length", s->d },
        { ARCH "attention.head_count", s->heads },
        { ARCH "attention.key_length", 512 },
        { ARCH "attention.value_length", 512 },
        { ARCH "attention.key_length_swa", 256 },
        { ARCH "attention.value_length_swa", 256 },
        { ARCH "attention.sliding_window", s->window },
        { ARCH "attention.shared_kv_layers", p->shared },
        { ARCH "embedding_length_per_layer_input", s->ple },
        { ARCH "rope.dimension_count", 512 },
        { ARCH "rope.dimension_count_swa", 256 },
        { ARCH "expert_count", s->experts },
        { ARCH "expert_used_count", 8 },
        { ARCH "expert_feed_forward_length", s->expert_ff },
    };
    const struct {
        const char *key;
        float v;
    } f32[] = {
        { "general.sampling.temp", 1.0f },
        { "general.sampling.top_p", 0.95f },
        { ARCH "attention.layer_norm_rms_epsilon", 1e-6f },
        { ARCH "rope.freq_base", ROPE_GLOBAL },
        { ARCH "rope.freq_base_swa", ROPE_SLIDING },
        { ARCH "final_logit_softcapping", 30.0f },
    };
    size_t n_u32 = sizeof(u32) / sizeof(*u32), n_f32 = sizeof(f32) / sizeof(*f32);
    if (s->experts == 0)
        n_u32 -= 3;
    for (size_t i = 0; i < n_u32; i++)
        synth_put_u32(b, u32[i].key, u32[i].v);
    for (size_t i = 0; i < n_f32; i++)
        synth_put_f32(b, f32[i].key, f32[i].v);
    return n_u32 + n_f32;
}

/* Keys that are an array in some released models and one number in others. */
static uint64_t put_per_layer(struct tg_buf *b, const struct synth_plan *p)
{
    const struct synth_shape *s = p->options->shape;
    synth_put_array(b, ARCH "attention.sliding_window_pattern", LE_GGUF_BOOL, p->layers);
    for (uint32_t i = 0; i < p->layers; i++)
        synth_put(b, p->layer[i].sliding, 1);
    if (s->ple > 0)
        synth_put_u32(b, ARCH "attention.head_count_kv", s->kv_sliding);
    else
        synth_put_array(b, ARCH "attention.head_count_kv", LE_GGUF_I32, p->layers);
    for (uint32_t i = 0; s->ple == 0 && i < p->layers; i++)
        synth_put(b, p->layer[i].kv_heads, 4);
    if (!s->wide)
        synth_put_u32(b, ARCH "feed_forward_length", s->ff);
    else
        synth_put_array(b, ARCH "feed_forward_length", LE_GGUF_I32, p->layers);
    for (uint32_t i = 0; s->wide && i < p->layers; i++)
        synth_put(b, p->layer[i].ff, 4);
    return 3;
}

/* 12B: placeholders of its media, which it must never say. */
static uint64_t put_suppressed(struct tg_buf *b, const struct synth_plan *p)
{
    static const uint32_t ids[] = { 255999, 256000, 258880, 258881, 258882, 258883 };
    size_t n = sizeof(ids) / sizeof(*ids);
    if (strcmp(p->options->shape->name, "12b") != 0 || p->vocab <= ids[n - 1])
        return 0;
    synth_put_array(b, "tokenizer.ggml.suppress_tokens", LE_GGUF_I32, n);
    for (size_t i = 0; i < n; i++)
        synth_put(b, ids[i], 4);
    return 1;
}

static uint64_t put_model(struct tg_buf *b, const struct synth_plan *p)
{
    const struct synth_options *o = p->options;
    char name[128];
    snprintf(name, sizeof(name), "synthetic %s %s, %u layers, seed %" PRIu64, o->shape->name,
             synth_mix_name(o->mix), p->layers, o->seed);
    synth_put_text(b, "general.architecture", "gemma4");
    synth_put_text(b, "general.name", name);
    return 2 + put_numbers(b, p) + put_per_layer(b, p) + put_suppressed(b, p);
}

struct writer {
    const struct synth_plan *plan;
    int fd;
    char path[PATH_BYTES], hidden[PATH_BYTES];
    uint8_t *chunk;
    uint64_t at, done; /* bytes of this file, tensor bytes of all */
    struct tg_error *err;
};

static enum tg_status write_bytes(struct writer *w, const void *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t got = write(w->fd, (const char *)p + at, n - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return tg_fail(w->err, TG_IO, "%s: cannot be written at byte %" PRIu64 ": %s",
                           w->hidden, w->at + at, got < 0 ? strerror(errno) : "nothing is taken");
        at += (size_t)got;
    }
    w->at += n;
    return TG_OK;
}

static enum tg_status write_padding(struct writer *w)
{
    static const uint8_t zero[ALIGNMENT];
    return write_bytes(w, zero, (size_t)((ALIGNMENT - w->at % ALIGNMENT) % ALIGNMENT));
}

/* Header, metadata (the first file's, or those every part has) and the index of one file. */
static void put_head(struct tg_buf *b, const struct synth_plan *p, uint32_t part,
                     const struct tg_buf *metadata, uint64_t n_metadata)
{
    uint64_t n = 0, n_kv = (part == 0 ? n_metadata : 0) + (p->n_parts > 1 ? 3 : 0);
    for (uint32_t i = 0; i < p->n_tensors; i++)
        n += p->tensor[i].part == part;
    tg_buf_adds(b, "GGUF");
    synth_put(b, 3, 4);
    synth_put(b, n, 8);
    synth_put(b, n_kv, 8);
    if (p->n_parts > 1) {
        synth_put_key(b, "split.no", LE_GGUF_U16);
        synth_put(b, part, 2);
        synth_put_key(b, "split.count", LE_GGUF_U16);
        synth_put(b, p->n_parts, 2);
        synth_put_key(b, "split.tensors.count", LE_GGUF_I32);
        synth_put(b, p->n_tensors, 4);
    }
    if (part == 0)
        tg_buf_add(b, metadata->p, metadata->n);
    for (uint32_t i = 0; i < p->n_tensors; i++) {
        const struct synth_tensor *t = &p->tensor[i];
        if (t->part != part)
            continue;
        synth_put_string(b, t->name, strlen(t->name));
        synth_put(b, t->n_dims, 4);
        for (uint32_t k = 0; k < t->n_dims; k++)
            synth_put(b, t->ne[k], 8);
        synth_put(b, t->type, 4);
        synth_put(b, t->offset, 8);
    }
}

static enum tg_status write_tensor(struct writer *w, const struct synth_tensor *t)
{
    const struct synth_options *o = w->plan->options;
    uint64_t n = t->ne[0] * t->ne[1] * t->ne[2];
    uint32_t block = 1, bytes = 0;
    le_type_block(t->type, &block, &bytes);
    enum tg_status st = TG_OK;
    for (uint64_t first = 0; !st && first < n; first += CHUNK_ELEMENTS) {
        uint64_t some = n - first < CHUNK_ELEMENTS ? n - first : CHUNK_ELEMENTS;
        size_t size = (size_t)(some / block * bytes);
        synth_fill(t, o->seed, first, some, w->chunk);
        st = write_bytes(w, w->chunk, size);
        w->done += size;
        if (!st && o->progress && !o->progress(o->arg, w->done, w->plan->total))
            st = tg_fail(w->err, TG_CANCELLED, "%s: stopped, and what was written is removed",
                         w->path);
    }
    return st ? st : write_padding(w);
}

static enum tg_status write_part(struct writer *w, uint32_t part, const struct tg_buf *metadata,
                                 uint64_t n_metadata)
{
    const struct synth_plan *p = w->plan;
    struct tg_buf head;
    w->at = 0;
    w->fd = open(w->hidden, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w->fd < 0)
        return tg_fail(w->err, TG_IO, "%s: cannot be made: %s", w->hidden, strerror(errno));
    tg_buf_init(&head, SYNTH_KV_BYTES_MAX + (1 << 20));
    put_head(&head, p, part, metadata, n_metadata);
    enum tg_status st = head.failed ? tg_fail(w->err, head.failed, "%s: out of memory", w->path)
                                    : write_bytes(w, head.p, head.n);
    tg_buf_free(&head);
    if (!st)
        st = write_padding(w);
    for (uint32_t i = 0; !st && i < p->n_tensors; i++)
        if (p->tensor[i].part == part)
            st = write_tensor(w, &p->tensor[i]);
    /* Some file systems tell of a full disk here. */
    if (close(w->fd) != 0 && !st)
        st = tg_fail(w->err, TG_IO, "%s: cannot be closed: %s", w->hidden, strerror(errno));
    w->fd = -1;
    return st;
}

void synth_part_path(const char *out, uint32_t i, uint32_t n, char *path, size_t size)
{
    size_t stem = strlen(out);
    if (n <= 1) {
        snprintf(path, size, "%s", out);
        return;
    }
    if (stem > 5 && strcmp(out + stem - 5, ".gguf") == 0)
        stem -= 5;
    snprintf(path, size, "%.*s-%05u-of-%05u.gguf", (int)stem, out, i + 1, n);
}

static void name_part(struct writer *w, uint32_t part)
{
    synth_part_path(w->plan->options->out, part, w->plan->n_parts, w->path, sizeof(w->path) - 16);
    snprintf(w->hidden, sizeof(w->hidden), "%.*s.part", PATH_BYTES - 16, w->path);
}

/* A disk that is too small is said before an hour of writing. */
static enum tg_status check_space(const struct synth_plan *p, struct tg_error *err)
{
    char folder[PATH_BYTES];
    const char *slash = strrchr(p->options->out, '/');
    struct statvfs fs;
    if (strlen(p->options->out) >= PATH_BYTES - 64)
        return tg_fail(err, TG_INVALID, "the output's path is too long");
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - p->options->out + 1) : 1,
             slash ? p->options->out : ".");
    if (statvfs(folder, &fs) != 0)
        return tg_fail(err, TG_IO, "%s: %s", folder, strerror(errno));
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (room < p->total)
        return tg_fail(err, TG_IO, "%s: %.1f GB are free and the model needs %.1f GB: make room, "
                       "or cut it with --layers", folder, (double)room / 1e9,
                       (double)p->total / 1e9);
    return TG_OK;
}

static enum tg_status write_all(struct synth_plan *p, const struct tg_buf *metadata,
                                uint64_t n_metadata, struct tg_error *err)
{
    struct writer *w = tg_calloc(1, sizeof(*w));
    enum tg_status st = check_space(p, err);
    uint8_t *chunk = tg_alloc(CHUNK_BYTES);
    if (!w || !chunk)
        st = tg_fail(err, TG_NOMEM, "out of memory");
    uint32_t written = 0, named = 0;
    if (w) {
        w->plan = p;
        w->err = err;
        w->chunk = chunk;
    }
    for (; !st && written < p->n_parts; written++) {
        name_part(w, written);
        st = write_part(w, written, metadata, n_metadata);
    }
    for (; !st && named < p->n_parts; named++) {
        name_part(w, named);
        if (rename(w->hidden, w->path) != 0)
            st = tg_fail(err, TG_IO, "%s: cannot be renamed: %s", w->hidden, strerror(errno));
    }
    for (uint32_t i = 0; st && i < written; i++) {
        name_part(w, i);
        unlink(i + 1 < named ? w->path : w->hidden);
    }
    tg_free(chunk);
    tg_free(w);
    return st;
}

static enum tg_status make_metadata(const struct synth_options *o, struct synth_plan *p,
                                    struct tg_buf *b, uint64_t *n_kv, struct tg_error *err)
{
    uint32_t n_tokens = o->vocab_size ? o->vocab_size : SYNTH_VOCAB_FULL;
    enum tg_status st = TG_OK;
    struct tg_buf tokenizer;
    if (o->vocab_size && (n_tokens < SYNTH_VOCAB_MIN || n_tokens > SYNTH_VOCAB_FULL || o->vocab))
        return tg_fail(err, TG_INVALID, "a vocabulary of %u tokens: %u to %u are possible, and "
                       "none beside a file's", n_tokens, SYNTH_VOCAB_MIN, SYNTH_VOCAB_FULL);
    tg_buf_init(&tokenizer, SYNTH_KV_BYTES_MAX);
    if (o->vocab)
        st = synth_vocab_file(o->vocab, &tokenizer, n_kv, &n_tokens, err);
    else
        synth_vocab_made(n_tokens, &tokenizer, n_kv);
    if (!st)
        st = synth_plan(o, n_tokens, p, err);
    if (!st) {
        *n_kv += put_model(b, p);
        tg_buf_add(b, tokenizer.p, tokenizer.n);
    }
    if (!st && (tokenizer.failed || b->failed))
        st = tg_fail(err, tokenizer.failed ? tokenizer.failed : b->failed,
                     "the metadata need more memory than there is");
    tg_buf_free(&tokenizer);
    return st;
}

enum tg_status synth_write(const struct synth_options *options, struct synth_plan *plan,
                           struct tg_error *err)
{
    struct synth_plan *own = tg_calloc(1, sizeof(*own));
    struct tg_buf metadata;
    uint64_t n_kv = 0;
    if (!own)
        return tg_fail(err, TG_NOMEM, "out of memory");
    tg_buf_init(&metadata, SYNTH_KV_BYTES_MAX);
    enum tg_status st = make_metadata(options, own, &metadata, &n_kv, err);
    if (!st)
        st = write_all(own, &metadata, n_kv, err);
    if (!st && plan)
        *plan = *own;
    tg_buf_free(&metadata);
    tg_free(own);
    return st;
}
