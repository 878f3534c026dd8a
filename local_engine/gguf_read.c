/* One file's header, keys and tensors, checked before anything is used. */
#include "local_engine/gguf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/alloc.h"
#include "local_engine/gguf_index.h"

enum {
    KV_MAX = 1 << 16,
    KEY_BYTES_MAX = 1024,
    HEADER_BYTES = 24,
    KV_BYTES_MIN = 14,     /* length, one byte of key, type, one byte of value */
    TENSOR_BYTES_MIN = 33, /* length, one byte of name, dimensions, one extent, type, offset */
    ALIGNMENT_DEFAULT = 32,
    ALIGNMENT_MAX = 1 << 20,
};

struct reader {
    const struct le_gguf *g;
    uint64_t at; /* never above g->size */
    struct tg_error *err;
};

static enum tg_status malformed(const struct reader *r, uint64_t at, const char *cause)
{
    return tg_fail(r->err, TG_INVALID, "%s: offset %" PRIu64 ": %s", r->g->path, at, cause);
}

static uint64_t left(const struct reader *r)
{
    return r->g->size - r->at;
}

/* Little-endian unsigned of n bytes. */
static enum tg_status read_uint(struct reader *r, uint32_t n, uint64_t *out)
{
    *out = 0;
    if (left(r) < n)
        return malformed(r, r->at, "the file ends inside a number");
    for (uint32_t i = n; i-- > 0;)
        *out = *out << 8 | r->g->base[r->at + i];
    r->at += n;
    return TG_OK;
}

static enum tg_status read_u32(struct reader *r, uint32_t *out)
{
    uint64_t v = 0;
    enum tg_status st = read_uint(r, 4, &v);
    if (!st)
        *out = (uint32_t)v;
    return st;
}

static enum tg_status read_string(struct reader *r, struct tg_str *out)
{
    uint64_t start = r->at, n = 0;
    enum tg_status st = read_uint(r, 8, &n);
    if (st)
        return st;
    if (n > left(r))
        return malformed(r, start, "a string is longer than the file");
    *out = (struct tg_str){ (const char *)r->g->base + r->at, (size_t)n };
    r->at += n;
    return TG_OK;
}

/* A key or tensor name: they end up in messages, so only printable ASCII is let in. */
static enum tg_status read_name(struct reader *r, const char *what, struct tg_str *out)
{
    uint64_t start = r->at;
    enum tg_status st = read_string(r, out);
    if (st)
        return st;
    bool good = out->n > 0 && out->n <= KEY_BYTES_MAX;
    for (size_t i = 0; good && i < out->n; i++)
        good = out->p[i] >= 0x20 && out->p[i] < 0x7f;
    if (!good)
        return tg_fail(r->err, TG_INVALID,
                       "%s: offset %" PRIu64 ": a %s must be 1 to %d printable ASCII characters",
                       r->g->path, start, what, KEY_BYTES_MAX);
    return TG_OK;
}

static enum tg_status read_items(struct reader *r, struct le_gguf_kv *kv)
{
    uint64_t start = r->at;
    kv->p = r->g->base + r->at;
    if (kv->item_type == LE_GGUF_STRING) {
        if (kv->count > left(r) / 8)
            return malformed(r, start, "an array holds more strings than the file has room for");
        for (uint64_t i = 0; i < kv->count; i++) {
            struct tg_str s;
            enum tg_status st = read_string(r, &s);
            if (st)
                return st;
        }
    } else {
        uint32_t size = le_gguf_value_size(kv->item_type);
        if (kv->count > left(r) / size)
            return malformed(r, start, "a value or array is longer than the file");
        r->at += kv->count * size;
    }
    kv->nbytes = r->at - start;
    return TG_OK;
}

static enum tg_status read_kv(struct reader *r, struct le_gguf_kv *kv)
{
    enum tg_status st = read_name(r, "metadata key", &kv->key);
    uint64_t at = r->at;
    if (!st)
        st = read_u32(r, &kv->type);
    if (st)
        return st;
    kv->item_type = kv->type;
    kv->count = 1;
    if (kv->type == LE_GGUF_ARRAY) {
        at = r->at;
        if ((st = read_u32(r, &kv->item_type)) || (st = read_uint(r, 8, &kv->count)))
            return st;
    }
    if (kv->item_type != LE_GGUF_STRING && le_gguf_value_size(kv->item_type) == 0)
        return tg_fail(r->err, TG_INVALID, "%s: offset %" PRIu64 ": key %.*s: value type %u %s",
                       r->g->path, at, TG_FMT(kv->key), kv->item_type,
                       kv->item_type == LE_GGUF_ARRAY ? "(an array inside an array) is refused"
                                                      : "is unknown");
    return read_items(r, kv);
}

static int compare_kv(const void *a, const void *b)
{
    return le_gguf_compare(((const struct le_gguf_kv *)a)->key,
                           ((const struct le_gguf_kv *)b)->key);
}

static enum tg_status read_metadata(struct reader *r, struct le_gguf *g)
{
    if (g->n_kv > KV_MAX || g->n_kv > left(r) / KV_BYTES_MIN)
        return malformed(r, 16, "more metadata keys than the file can hold: is the download "
                                "complete?");
    g->kv = tg_calloc((size_t)g->n_kv, sizeof(*g->kv));
    if (!g->kv)
        return tg_fail(r->err, TG_NOMEM, "%s: out of memory", g->path);
    for (uint64_t i = 0; i < g->n_kv; i++) {
        enum tg_status st = read_kv(r, &g->kv[i]);
        if (st)
            return st;
    }
    qsort(g->kv, (size_t)g->n_kv, sizeof(*g->kv), compare_kv);
    for (uint64_t i = 1; i < g->n_kv; i++)
        if (tg_str_eq(g->kv[i - 1].key, g->kv[i].key))
            return tg_fail(r->err, TG_INVALID, "%s: key %.*s occurs twice", g->path,
                           TG_FMT(g->kv[i].key));
    return TG_OK;
}

static enum tg_status read_alignment(const struct reader *r, struct le_gguf *g)
{
    uint32_t alignment = ALIGNMENT_DEFAULT;
    enum tg_status st = le_gguf_u32(g, "general.alignment", &alignment, r->err);
    if (st && st != TG_NOTFOUND)
        return st;
    if (alignment < 8 || alignment > ALIGNMENT_MAX || (alignment & (alignment - 1)) != 0)
        return tg_fail(r->err, TG_INVALID,
                       "%s: key general.alignment: %u is no power of two from 8 to %d", g->path,
                       alignment, ALIGNMENT_MAX);
    g->alignment = alignment;
    return TG_OK;
}

/* Elements, and bytes where the type's layout is known. */
static enum tg_status tensor_size(const struct reader *r, struct le_tensor *t)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        if (t->ne[i] == 0 || t->ne[i] > INT64_MAX / 8 / n)
            return tg_fail(r->err, TG_INVALID, "%s: tensor %.*s: impossible shape", r->g->path,
                           TG_FMT(t->name));
        n *= t->ne[i];
    }
    uint32_t block, bytes;
    if (!le_type_block(t->type, &block, &bytes))
        return TG_OK; /* nbytes stays 0: whoever needs the data refuses the type by name */
    if (t->ne[0] % block != 0)
        return tg_fail(r->err, TG_INVALID, "%s: tensor %.*s: rows of %" PRIu64
                       " elements are no multiple of %s's block of %u", r->g->path,
                       TG_FMT(t->name), t->ne[0], le_type_name(t->type), block);
    uint64_t blocks = n / block;
    if (blocks > UINT64_MAX / bytes)
        return tg_fail(r->err, TG_INVALID, "%s: tensor %.*s: impossible shape", r->g->path,
                       TG_FMT(t->name));
    t->nbytes = blocks * bytes;
    t->plane_bytes = t->nbytes / (t->ne[2] * t->ne[3]);
    return TG_OK;
}

/* *offset: from the start of the data section, which is only known after the last tensor. */
static enum tg_status read_tensor(struct reader *r, struct le_tensor *t, uint64_t *offset)
{
    enum tg_status st = read_name(r, "tensor name", &t->name);
    uint64_t at = r->at;
    if (!st)
        st = read_u32(r, &t->n_dims);
    if (st)
        return st;
    if (t->n_dims < 1 || t->n_dims > 4)
        return tg_fail(r->err, TG_INVALID, "%s: offset %" PRIu64 ": tensor %.*s: %u dimensions",
                       r->g->path, at, TG_FMT(t->name), t->n_dims);
    for (uint32_t i = 0; i < 4; i++) {
        t->ne[i] = 1;
        if (i < t->n_dims && (st = read_uint(r, 8, &t->ne[i])))
            return st;
    }
    if ((st = read_u32(r, &t->type)) || (st = read_uint(r, 8, offset)))
        return st;
    return tensor_size(r, t);
}

static enum tg_status place_tensors(const struct reader *r, struct le_gguf *g,
                                    const uint64_t *offset)
{
    uint64_t pad = (g->alignment - r->at % g->alignment) % g->alignment;
    /* A file without tensors may end before the padding. */
    uint64_t start = pad > left(r) ? g->size : r->at + pad;
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        struct le_tensor *t = &g->tensor[i];
        if (offset[i] % g->alignment != 0)
            return tg_fail(r->err, TG_INVALID, "%s: tensor %.*s: offset %" PRIu64
                           " is not aligned to %" PRIu64, g->path, TG_FMT(t->name), offset[i],
                           g->alignment);
        if (offset[i] > g->size - start || t->nbytes > g->size - start - offset[i])
            return tg_fail(r->err, TG_INVALID, "%s: tensor %.*s: its data (%" PRIu64
                           " bytes at %" PRIu64 ") lies beyond the end of the file (%" PRIu64
                           " bytes); is the download complete?", g->path, TG_FMT(t->name),
                           t->nbytes, start + offset[i], g->size);
        t->data = g->base + start + offset[i];
        t->mapped = g->mapped;
    }
    return TG_OK;
}

static enum tg_status read_tensors(struct reader *r, struct le_gguf *g)
{
    if (g->n_tensors > LE_GGUF_TENSORS_MAX || g->n_tensors > left(r) / TENSOR_BYTES_MIN)
        return malformed(r, 8, "more tensors than the file can hold");
    size_t n = (size_t)g->n_tensors;
    uint64_t *offset = tg_calloc(n, sizeof(*offset));
    g->tensor = tg_calloc(n, sizeof(*g->tensor));
    enum tg_status st = TG_OK;
    if (!offset || !g->tensor)
        st = tg_fail(r->err, TG_NOMEM, "%s: out of memory", g->path);
    for (size_t i = 0; !st && i < n; i++)
        st = read_tensor(r, &g->tensor[i], &offset[i]);
    if (!st)
        st = place_tensors(r, g, offset);
    tg_free(offset);
    return st;
}

/* What people open by mistake, by its first bytes. */
static const char *other_format(const struct le_gguf *g)
{
    static const struct {
        const char *magic, *what;
    } known[] = {
        { "version https://git-lfs", "a Git LFS pointer: fetch the file that it stands for" },
        { "<!DOCTYPE", "a web page: download the file itself" },
        { "<!doctype", "a web page: download the file itself" },
        { "<html", "a web page: download the file itself" },
        { "PK\3\4", "a zip archive, as PyTorch writes: convert the model to GGUF" },
        { "lmgg", "a file of before GGUF: convert the model to GGUF" },
        { "fmgg", "a file of before GGUF: convert the model to GGUF" },
        { "tjgg", "a file of before GGUF: convert the model to GGUF" },
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        size_t n = strlen(known[i].magic);
        if (g->size >= n && memcmp(g->base, known[i].magic, n) == 0)
            return known[i].what;
    }
    static const uint8_t zeros[HEADER_BYTES];
    if (g->size >= HEADER_BYTES && memcmp(g->base, zeros, HEADER_BYTES) == 0)
        return "zeros: is the download complete?";
    if (g->size > 9 && g->base[8] == '{' && g->base[6] == 0 && g->base[7] == 0)
        return "safetensors, it seems: convert the model to GGUF";
    return NULL;
}

static enum tg_status read_version(struct reader *r, struct le_gguf *g)
{
    enum tg_status st = read_u32(r, &g->version);
    if (st || g->version == 2 || g->version == 3)
        return st;
    /* Versions are small numbers: one in the upper half is one of the other byte order. */
    if (g->version > 0 && (g->version & 0xffff) == 0)
        return tg_fail(r->err, TG_UNSUPPORTED,
                       "%s: offset 4: a GGUF file in big-endian byte order; only little-endian "
                       "ones are read: take that file or convert this one", g->path);
    return tg_fail(r->err, TG_UNSUPPORTED,
                   "%s: offset 4: GGUF version %u; versions 2 and 3, little-endian, are read%s",
                   g->path, g->version, g->version < 2 ? ": convert the model anew" : "");
}

enum tg_status le_gguf_parse(struct le_gguf *g, struct tg_error *err)
{
    struct reader r = { .g = g, .err = err };
    if (g->size >= 4 && g->size < HEADER_BYTES && memcmp(g->base, "GGUF", 4) == 0)
        return tg_fail(err, TG_INVALID, "%s: offset 4: the file ends within its header: is the "
                       "download complete?", g->path);
    if (g->size < HEADER_BYTES || memcmp(g->base, "GGUF", 4) != 0) {
        const char *other = other_format(g);
        return tg_fail(err, TG_INVALID, "%s: offset 0: this is no GGUF file%s%s", g->path,
                       other ? " but " : "", other ? other : "");
    }
    r.at = 4;
    enum tg_status st = read_version(&r, g);
    if (!st)
        st = read_uint(&r, 8, &g->n_tensors);
    if (!st)
        st = read_uint(&r, 8, &g->n_kv);
    if (!st)
        st = read_metadata(&r, g);
    if (!st)
        st = read_alignment(&r, g);
    if (!st)
        st = read_tensors(&r, g);
    return st;
}
