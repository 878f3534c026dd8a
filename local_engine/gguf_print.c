/* Metadata as short text for people. Values come from files of any origin: what a terminal or a
 * log could take for more than text is escaped. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/utf8.h"
#include "local_engine/gguf_index.h"

enum {
    TAIL = 40,         /* room kept for what ends a value that was cut */
    ITEMS = 8,         /* shown of an array */
    ITEM_STRING = 24,  /* bytes shown of a string in an array */
    PIECE = 16,        /* longest form of one character */
};

struct out {
    char *p;
    size_t at, limit; /* limit: of what is not a tail */
    size_t n;
};

__attribute__((format(printf, 2, 3))) static void put(struct out *o, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int k = vsnprintf(o->p + o->at, o->n - o->at, fmt, args);
    va_end(args);
    size_t left = o->n - 1 - o->at;
    if (k > 0)
        o->at += (size_t)k < left ? (size_t)k : left;
}

/* Controls (C0, C1, DEL), and what reorders or hides text: zero-width characters, line and
 * paragraph separators, direction marks, byte order mark, tags, private use, non-characters. */
static bool hidden(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c || c == 0x180e ||
           (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || (c >= 0xe000 && c <= 0xf8ff) || c == 0xfeff ||
           (c >= 0xfff0 && c <= 0xfffb) || (c & 0xfffe) == 0xfffe || c >= 0xe0000;
}

/* The character at s (n > 0) as it is shown; returns how many bytes of s it was. */
static size_t show_character(const char *s, size_t n, char out[PIECE])
{
    uint32_t c = 0;
    size_t k = tg_utf8_decode(s, n, &c);
    if (k == 0)
        snprintf(out, PIECE, "\\x%02x", (unsigned)(unsigned char)s[0]);
    else if (c == '\n')
        snprintf(out, PIECE, "\\n");
    else if (c == '\t')
        snprintf(out, PIECE, "\\t");
    else if (hidden(c))
        snprintf(out, PIECE, c < 0x80 ? "\\x%02x" : "\\u{%x}", c);
    else
        snprintf(out, PIECE, "%.*s", (int)k, s);
    return k ? k : 1;
}

/* Quoted; cut behind max bytes of s, or where the room ends. True when cut. */
static bool put_string(struct out *o, struct tg_str s, size_t max)
{
    size_t i = 0;
    put(o, "\"");
    while (i < s.n && i < max) {
        char piece[PIECE];
        size_t k = show_character(s.p + i, s.n - i, piece);
        if (s.p[i] == '"' || s.p[i] == '\\')
            snprintf(piece, PIECE, "\\%c", s.p[i]);
        if (o->at + strlen(piece) > o->limit)
            break;
        put(o, "%s", piece);
        i += k;
    }
    put(o, i < s.n ? "...\"" : "\"");
    return i < s.n;
}

/* With as few digits as give the value back. */
static void put_f64(struct out *o, double v, bool single)
{
    char text[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, v);
        double back = strtod(text, NULL);
        if (back == v || (single && (float)back == (float)v))
            break;
    }
    put(o, "%s", text);
}

static void put_number(struct out *o, uint32_t type, const uint8_t *p)
{
    uint32_t size = le_gguf_value_size(type);
    uint64_t v = le_gguf_little_endian(p, size);
    switch (type) {
    case LE_GGUF_F32: {
        uint32_t bits = (uint32_t)v;
        float f;
        memcpy(&f, &bits, sizeof(f));
        put_f64(o, (double)f, true);
        break;
    }
    case LE_GGUF_F64: {
        double d;
        memcpy(&d, &v, sizeof(d));
        put_f64(o, d, false);
        break;
    }
    case LE_GGUF_BOOL:
        if (v <= 1)
            put(o, "%s", v ? "true" : "false");
        else
            put(o, "neither true nor false (%u)", (unsigned)v);
        break;
    case LE_GGUF_I8: put(o, "%d", (int8_t)v); break;
    case LE_GGUF_I16: put(o, "%d", (int16_t)v); break;
    case LE_GGUF_I32: put(o, "%" PRId32, (int32_t)v); break;
    case LE_GGUF_I64: put(o, "%" PRId64, (int64_t)v); break;
    default: put(o, "%" PRIu64, v); break;
    }
}

static struct tg_str string_at(const uint8_t *p)
{
    return (struct tg_str){ (const char *)p + 8, (size_t)le_gguf_little_endian(p, 8) };
}

static void put_array(struct out *o, const struct le_gguf_kv *kv)
{
    const uint8_t *p = kv->p;
    uint64_t i = 0;
    put(o, "[");
    for (; i < kv->count && i < ITEMS && o->at + TAIL < o->limit; i++) {
        put(o, i ? ", " : "");
        if (kv->item_type == LE_GGUF_STRING) {
            struct tg_str s = string_at(p);
            put_string(o, s, ITEM_STRING);
            p += 8 + s.n;
        } else {
            put_number(o, kv->item_type, p);
            p += le_gguf_value_size(kv->item_type);
        }
    }
    if (i < kv->count)
        put(o, "%s... %" PRIu64 " in all]", i ? ", " : "", kv->count);
    else
        put(o, "]");
}

size_t le_gguf_n_keys(const struct le_gguf *g)
{
    return (size_t)g->n_kv;
}

bool le_gguf_key_at(const struct le_gguf *g, size_t i, struct le_gguf_key *out)
{
    if (i >= g->n_kv)
        return false;
    const struct le_gguf_kv *kv = &g->kv[i];
    *out = (struct le_gguf_key){ kv->key, kv->type, kv->item_type, kv->count };
    return true;
}

size_t le_gguf_value_print(const struct le_gguf *g, size_t i, char *out, size_t n)
{
    if (n > 0)
        out[0] = '\0';
    if (i >= g->n_kv || n < LE_GGUF_PRINT_MIN)
        return 0;
    const struct le_gguf_kv *kv = &g->kv[i];
    struct out o = { .p = out, .limit = n - TAIL, .n = n };
    if (kv->type == LE_GGUF_ARRAY) {
        put_array(&o, kv);
    } else if (kv->type == LE_GGUF_STRING) {
        struct tg_str s = string_at(kv->p);
        if (put_string(&o, s, s.n))
            put(&o, " (%zu bytes)", s.n);
    } else {
        put_number(&o, kv->type, kv->p);
    }
    return o.at;
}

const char *le_gguf_text_print(struct tg_str s, char *out, size_t n)
{
    struct out o = { .p = out, .limit = n > 0 ? n - 1 : 0, .n = n };
    if (n > 0)
        out[0] = '\0';
    for (size_t i = 0; i < s.n;) {
        char piece[PIECE];
        i += show_character(s.p + i, s.n - i, piece);
        if (o.at + strlen(piece) > o.limit)
            break;
        put(&o, "%s", piece);
    }
    return out;
}
