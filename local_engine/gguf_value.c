#include "local_engine/gguf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "local_engine/gguf_index.h"

static const struct {
    const char *name;
    uint32_t size;
} value_types[] = {
    [LE_GGUF_U8] = { "u8", 1 },         [LE_GGUF_I8] = { "i8", 1 },
    [LE_GGUF_U16] = { "u16", 2 },       [LE_GGUF_I16] = { "i16", 2 },
    [LE_GGUF_U32] = { "u32", 4 },       [LE_GGUF_I32] = { "i32", 4 },
    [LE_GGUF_F32] = { "f32", 4 },       [LE_GGUF_BOOL] = { "bool", 1 },
    [LE_GGUF_STRING] = { "string", 0 }, [LE_GGUF_ARRAY] = { "array", 0 },
    [LE_GGUF_U64] = { "u64", 8 },       [LE_GGUF_I64] = { "i64", 8 },
    [LE_GGUF_F64] = { "f64", 8 },
};

enum { N_VALUE_TYPES = sizeof(value_types) / sizeof(*value_types) };

uint32_t le_gguf_value_size(uint32_t type)
{
    return type < N_VALUE_TYPES ? value_types[type].size : 0;
}

const char *le_gguf_value_name(uint32_t type)
{
    return type < N_VALUE_TYPES ? value_types[type].name : "unknown";
}

int le_gguf_compare(struct tg_str a, struct tg_str b)
{
    int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return c ? c : a.n < b.n ? -1 : a.n > b.n;
}

static int compare_key(const void *key, const void *item)
{
    return le_gguf_compare(*(const struct tg_str *)key, ((const struct le_gguf_kv *)item)->key);
}

/* array: whether an array or a single value is wanted. */
static enum tg_status find(const struct le_gguf *g, const char *key, bool array,
                           const struct le_gguf_kv **out, struct tg_error *err)
{
    struct tg_str want = tg_str_of(key);
    const struct le_gguf_kv *kv =
        bsearch(&want, g->kv, (size_t)g->n_kv, sizeof(*g->kv), compare_key);
    if (!kv)
        return tg_fail(err, TG_NOTFOUND, "%s: key %s is missing", g->path, key);
    if ((kv->type == LE_GGUF_ARRAY) != array)
        return tg_fail(err, TG_INVALID, "%s: key %s is %s array", g->path, key,
                       array ? "no" : "an");
    *out = kv;
    return TG_OK;
}

static enum tg_status wrong_type(const struct le_gguf *g, const char *key, uint32_t type,
                                 const char *wanted, struct tg_error *err)
{
    return tg_fail(err, TG_INVALID, "%s: key %s is of type %s, not %s", g->path, key,
                   le_gguf_value_name(type), wanted);
}

uint64_t le_gguf_little_endian(const uint8_t *p, uint32_t n)
{
    uint64_t v = 0;
    for (uint32_t i = n; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

static bool is_signed(uint32_t type)
{
    return type == LE_GGUF_I8 || type == LE_GGUF_I16 || type == LE_GGUF_I32 || type == LE_GGUF_I64;
}

static bool is_integer(uint32_t type)
{
    return is_signed(type) || type == LE_GGUF_U8 || type == LE_GGUF_U16 || type == LE_GGUF_U32 ||
           type == LE_GGUF_U64;
}

/* One integer item; false when it is negative or above 32 bits. */
static bool item_u32(uint32_t type, const uint8_t *p, uint32_t *out)
{
    uint32_t size = le_gguf_value_size(type);
    uint64_t v = le_gguf_little_endian(p, size);
    bool negative = is_signed(type) && (v >> (8 * size - 1) & 1) != 0;
    *out = (uint32_t)v;
    return !negative && v <= UINT32_MAX && (type != LE_GGUF_BOOL || v <= 1);
}

enum tg_status le_gguf_u32(const struct le_gguf *g, const char *key, uint32_t *out,
                           struct tg_error *err)
{
    const struct le_gguf_kv *kv;
    enum tg_status st = find(g, key, false, &kv, err);
    if (st)
        return st;
    if (!is_integer(kv->type))
        return wrong_type(g, key, kv->type, "an integer", err);
    uint32_t v;
    if (!item_u32(kv->type, kv->p, &v))
        return tg_fail(err, TG_INVALID, "%s: key %s is out of range (0 to 2^32-1)", g->path, key);
    *out = v;
    return TG_OK;
}

enum tg_status le_gguf_f32(const struct le_gguf *g, const char *key, float *out,
                           struct tg_error *err)
{
    const struct le_gguf_kv *kv;
    enum tg_status st = find(g, key, false, &kv, err);
    if (st)
        return st;
    if (kv->type == LE_GGUF_F32) {
        uint32_t bits = (uint32_t)le_gguf_little_endian(kv->p, 4);
        memcpy(out, &bits, sizeof(*out));
    } else if (kv->type == LE_GGUF_F64) {
        uint64_t bits = le_gguf_little_endian(kv->p, 8);
        double v;
        memcpy(&v, &bits, sizeof(v));
        if (!(v >= -3.0e38 && v <= 3.0e38))
            return tg_fail(err, TG_INVALID, "%s: key %s is out of range", g->path, key);
        *out = (float)v;
    } else {
        return wrong_type(g, key, kv->type, "f32", err);
    }
    return TG_OK;
}

enum tg_status le_gguf_bool(const struct le_gguf *g, const char *key, bool *out,
                            struct tg_error *err)
{
    const struct le_gguf_kv *kv;
    enum tg_status st = find(g, key, false, &kv, err);
    if (st)
        return st;
    if (kv->type != LE_GGUF_BOOL)
        return wrong_type(g, key, kv->type, "bool", err);
    if (kv->p[0] > 1)
        return tg_fail(err, TG_INVALID, "%s: key %s is neither 0 nor 1", g->path, key);
    *out = kv->p[0] == 1;
    return TG_OK;
}

enum tg_status le_gguf_string(const struct le_gguf *g, const char *key, struct tg_str *out,
                              struct tg_error *err)
{
    const struct le_gguf_kv *kv;
    enum tg_status st = find(g, key, false, &kv, err);
    if (st)
        return st;
    if (kv->type != LE_GGUF_STRING)
        return wrong_type(g, key, kv->type, "a string", err);
    *out = (struct tg_str){ (const char *)kv->p + 8, (size_t)kv->nbytes - 8 };
    return TG_OK;
}

enum tg_status le_gguf_array_count(const struct le_gguf *g, const char *key, uint64_t *n,
                                   struct tg_error *err)
{
    const struct le_gguf_kv *kv;
    enum tg_status st = find(g, key, true, &kv, err);
    if (!st)
        *n = kv->count;
    return st;
}

enum tg_status le_gguf_array_u32(const struct le_gguf *g, const char *key, uint64_t i,
                                 uint32_t *out, struct tg_error *err)
{
    const struct le_gguf_kv *kv;
    enum tg_status st = find(g, key, true, &kv, err);
    if (st)
        return st;
    if (!is_integer(kv->item_type) && kv->item_type != LE_GGUF_BOOL)
        return wrong_type(g, key, kv->item_type, "an array of integers", err);
    if (i >= kv->count)
        return tg_fail(err, TG_INVALID, "%s: key %s has %" PRIu64 " items, no item %" PRIu64,
                       g->path, key, kv->count, i);
    uint32_t v;
    if (!item_u32(kv->item_type, kv->p + i * le_gguf_value_size(kv->item_type), &v))
        return tg_fail(err, TG_INVALID, "%s: key %s, item %" PRIu64 ": out of range", g->path, key,
                       i);
    *out = v;
    return TG_OK;
}

enum tg_status le_gguf_array_string_next(const struct le_gguf *g, const char *key, uint64_t *cursor,
                                         struct tg_str *out, struct tg_error *err)
{
    const struct le_gguf_kv *kv;
    enum tg_status st = find(g, key, true, &kv, err);
    if (st)
        return st;
    if (kv->item_type != LE_GGUF_STRING)
        return wrong_type(g, key, kv->item_type, "an array of strings", err);
    /* The cursor is the byte offset of the next item; a caller may hold anything. */
    if (*cursor > kv->nbytes || kv->nbytes - *cursor < 8)
        return tg_fail(err, TG_NOTFOUND, "%s: key %s has no further item", g->path, key);
    uint64_t n = le_gguf_little_endian(kv->p + *cursor, 8);
    if (n > kv->nbytes - *cursor - 8)
        return tg_fail(err, TG_INVALID, "%s: key %s: not a cursor of this array", g->path, key);
    *out = (struct tg_str){ (const char *)kv->p + *cursor + 8, (size_t)n };
    *cursor += 8 + n;
    return TG_OK;
}
