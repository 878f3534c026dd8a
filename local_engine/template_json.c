/* A small JSON reader for schemas and arguments: the engine stands alone, without the tree of the
 * upper layers. It is no validator: what upper layers took from a socket has been scanned there. */
#include <stdlib.h>

#include "config/base/utf8.h"
#include "local_engine/template_internal.h"

enum { DEPTH_MAX = 64 };

struct reader {
    const char *p;
    size_t n, at;
    struct tg_arena *arena;
    int depth;
};

static enum tg_status read_value(struct reader *r, struct le_json **out);

static void skip_space(struct reader *r)
{
    while (r->at < r->n && (r->p[r->at] == ' ' || (r->p[r->at] >= '\t' && r->p[r->at] <= '\r')))
        r->at++;
}

static bool take(struct reader *r, char c)
{
    skip_space(r);
    if (r->at >= r->n || r->p[r->at] != c)
        return false;
    r->at++;
    return true;
}

static bool hex4(const struct reader *r, size_t at, uint32_t *out)
{
    if (at + 4 > r->n)
        return false;
    uint32_t value = 0;
    for (size_t i = at; i < at + 4; i++) {
        char c = r->p[i], low = (char)(c | 0x20);
        if (c >= '0' && c <= '9')
            value = value << 4 | (uint32_t)(c - '0');
        else if (low >= 'a' && low <= 'f')
            value = value << 4 | (uint32_t)(low - 'a' + 10);
        else
            return false;
    }
    *out = value;
    return true;
}

/* At the four digits of \uXXXX; takes a second escape where it completes a surrogate pair. */
static size_t read_unicode(struct reader *r, char *to)
{
    uint32_t rune, low;
    if (!hex4(r, r->at, &rune))
        return 0;
    r->at += 4;
    if (rune >= 0xD800 && rune <= 0xDBFF && r->at + 6 <= r->n && r->p[r->at] == '\\' &&
        r->p[r->at + 1] == 'u' && hex4(r, r->at + 2, &low) && low >= 0xDC00 && low <= 0xDFFF) {
        rune = 0x10000 + ((rune - 0xD800) << 10) + (low - 0xDC00);
        r->at += 6;
    }
    if (rune >= 0xD800 && rune <= 0xDFFF)
        rune = 0xFFFD;
    return tg_utf8_encode(rune, to);
}

/* Behind the opening quote, to a copy; no longer than the source. */
static enum tg_status unescape(struct reader *r, size_t source_n, struct tg_str *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char *copy = tg_arena_alloc(r->arena, source_n + 4, 1);
    size_t n = 0;
    if (!copy)
        return TG_NOMEM;
    while (r->at < r->n && r->p[r->at] != '"') {
        char c = r->p[r->at++];
        if (c != '\\') {
            copy[n++] = c;
            continue;
        }
        char e = r->at < r->n ? r->p[r->at++] : '\0';
        const char *simple = e ? strchr(from, e) : NULL;
        size_t width = 1;
        if (simple)
            copy[n] = to[simple - from];
        else if (e != 'u' || !(width = read_unicode(r, copy + n)))
            return TG_INVALID;
        n += width;
    }
    r->at++;
    *out = (struct tg_str){ copy, n };
    return TG_OK;
}

static enum tg_status read_string(struct reader *r, struct tg_str *out)
{
    size_t begin = r->at, end = begin;
    bool escapes = false;
    for (; end < r->n && r->p[end] != '"'; end++) {
        if (r->p[end] == '\\') {
            escapes = true;
            end++;
        }
    }
    if (end >= r->n)
        return TG_INVALID;
    if (escapes)
        return unescape(r, end - begin, out);
    *out = (struct tg_str){ r->p + begin, end - begin };
    r->at = end + 1;
    return TG_OK;
}

static enum tg_status read_children(struct reader *r, struct le_json *v, char close)
{
    struct le_json **link = &v->first;
    enum tg_status status = TG_OK;
    if (++r->depth > DEPTH_MAX)
        return TG_INVALID;
    for (bool more = !take(r, close); more && !status;) {
        struct tg_str key = { 0 };
        if (close == '}' && (!take(r, '"') || (status = read_string(r, &key)) || !take(r, ':')))
            return status ? status : TG_INVALID;
        if ((status = read_value(r, link)))
            return status;
        (*link)->key = key;
        link = &(*link)->next;
        v->n++;
        more = take(r, ',');
        if (!more && !take(r, close))
            return TG_INVALID;
    }
    r->depth--;
    return status;
}

static enum tg_status read_word(struct reader *r, struct le_json *v)
{
    static const char *const words[] = { "null", "true", "false" };
    static const enum le_json_kind kinds[] = { LE_JSON_NULL, LE_JSON_TRUE, LE_JSON_FALSE };
    size_t begin = r->at;
    while (r->at < r->n && r->p[r->at] && strchr("+-.0123456789abcdefghijklmnopqrstuvwxyzE",
                                                 r->p[r->at]))
        r->at++;
    v->text = (struct tg_str){ r->p + begin, r->at - begin };
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (tg_str_eq(v->text, tg_str_of(words[i]))) {
            v->kind = kinds[i];
            return TG_OK;
        }
    }
    if (v->text.n == 0)
        return TG_INVALID;
    for (size_t i = 0; i < v->text.n; i++)
        if (!strchr("+-.0123456789eE", v->text.p[i]))
            return TG_INVALID;
    v->kind = LE_JSON_NUMBER;
    return TG_OK;
}

static enum tg_status read_value(struct reader *r, struct le_json **out)
{
    struct le_json *v = tg_arena_alloc(r->arena, 1, sizeof(*v));
    if (!v)
        return TG_NOMEM;
    *out = v;
    if (take(r, '{')) {
        v->kind = LE_JSON_OBJECT;
        return read_children(r, v, '}');
    }
    if (take(r, '[')) {
        v->kind = LE_JSON_ARRAY;
        return read_children(r, v, ']');
    }
    if (take(r, '"')) {
        v->kind = LE_JSON_STRING;
        return read_string(r, &v->text);
    }
    return read_word(r, v);
}

enum tg_status le_json_read(struct tg_arena *a, struct tg_str text, struct le_json **out)
{
    struct reader r = { .p = text.p, .n = text.n, .arena = a };
    if (text.n == 0 || text.n > LE_SCHEMA_BYTES_MAX)
        return text.n ? TG_LIMIT : TG_INVALID;
    enum tg_status status = read_value(&r, out);
    if (status)
        return status;
    skip_space(&r);
    return r.at == r.n ? TG_OK : TG_INVALID;
}

const struct le_json *le_json_get(const struct le_json *v, const char *key)
{
    if (!le_json_is(v, LE_JSON_OBJECT))
        return NULL;
    for (const struct le_json *m = v->first; m; m = m->next)
        if (tg_str_eq(m->key, tg_str_of(key)))
            return m;
    return NULL;
}

bool le_json_is(const struct le_json *v, enum le_json_kind kind)
{
    return v && v->kind == kind;
}

bool le_json_truthy(const struct le_json *v)
{
    if (!v || v->kind == LE_JSON_NULL || v->kind == LE_JSON_FALSE)
        return false;
    if (v->kind == LE_JSON_STRING)
        return v->text.n > 0;
    if (v->kind == LE_JSON_ARRAY || v->kind == LE_JSON_OBJECT)
        return v->n > 0;
    if (v->kind == LE_JSON_NUMBER)
        for (size_t i = 0; i < v->text.n && v->text.p[i] != 'e' && v->text.p[i] != 'E'; i++)
            if (v->text.p[i] >= '1' && v->text.p[i] <= '9')
                return true;
    return v->kind == LE_JSON_TRUE;
}

struct keyed {
    const struct le_json *v;
    size_t order;
};

static int fold(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static int compare(const void *pa, const void *pb)
{
    const struct keyed *a = pa, *b = pb;
    struct tg_str x = a->v->key, y = b->v->key;
    for (size_t i = 0; i < x.n && i < y.n; i++) {
        int d = fold((unsigned char)x.p[i]) - fold((unsigned char)y.p[i]);
        if (d)
            return d;
    }
    if (x.n != y.n)
        return x.n < y.n ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

const struct le_json **le_json_sorted(struct tg_arena *a, const struct le_json *object)
{
    struct keyed *keyed = tg_arena_alloc(a, object->n + 1, sizeof(*keyed));
    const struct le_json **out = tg_arena_alloc(a, object->n + 1, sizeof(*out));
    if (!keyed || !out)
        return NULL;
    size_t n = 0;
    for (const struct le_json *m = object->first; m; m = m->next, n++)
        keyed[n] = (struct keyed){ m, n };
    qsort(keyed, n, sizeof(*keyed), compare);
    for (size_t i = 0; i < n; i++)
        out[i] = keyed[i].v;
    return out; /* ends with NULL: the arena gives zeroed memory */
}
