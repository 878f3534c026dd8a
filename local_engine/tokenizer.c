#include "local_engine/tokenizer.h"

#include "config/base/alloc.h"
#include "config/base/utf8.h"
#include "local_engine/tokenizer_internal.h"

static const char k_tokens[] = "tokenizer.ggml.tokens";
static const char k_types[] = "tokenizer.ggml.token_type";
static const char k_merges[] = "tokenizer.ggml.merges";
static const char k_space[] = "\xE2\x96\x81"; /* U+2581 */

/* FNV-1a */
uint64_t le_tok_hash(uint64_t prefix, struct tg_str rest)
{
    uint64_t h = prefix;
    for (size_t i = 0; i < rest.n; i++)
        h = (h ^ (unsigned char)rest.p[i]) * UINT64_C(0x100000001b3);
    return h;
}

static uint64_t hash_mix(uint64_t h)
{
    h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ h >> 33;
}

/* The slot that holds the token a + b with that hash, or the free one where it would go. */
static uint32_t slot_of(const struct le_tokenizer *t, struct tg_str a, struct tg_str b,
                        uint64_t hash)
{
    uint32_t i = (uint32_t)hash_mix(hash) & t->slot_mask;
    for (;; i = (i + 1) & t->slot_mask) {
        if (t->slot[i] < 0)
            return i;
        const struct le_tok *tok = &t->tok[t->slot[i]];
        const char *text = t->text + tok->text;
        if (tok->text_n == a.n + b.n && (a.n == 0 || memcmp(text, a.p, a.n) == 0) &&
            (b.n == 0 || memcmp(text + a.n, b.p, b.n) == 0))
            return i;
    }
}

int32_t le_tok_find2(const struct le_tokenizer *t, struct tg_str a, struct tg_str b)
{
    return t->slot[slot_of(t, a, b, le_tok_hash(le_tok_hash(LE_TOK_HASH_EMPTY, a), b))];
}

int32_t le_tok_find_hash(const struct le_tokenizer *t, struct tg_str text, uint64_t hash)
{
    return t->slot[slot_of(t, text, (struct tg_str){ 0 }, hash)];
}

int32_t le_tok_find(const struct le_tokenizer *t, struct tg_str text)
{
    return le_tok_find2(t, text, (struct tg_str){ 0 });
}

static uint32_t merge_slot(const struct le_tokenizer *t, uint64_t key)
{
    uint32_t i = (uint32_t)hash_mix(key) & t->merge_mask;
    while (t->merge[i].id >= 0 && t->merge[i].key != key)
        i = (i + 1) & t->merge_mask;
    return i;
}

const struct le_merge *le_merge_find(const struct le_tokenizer *t, int32_t left, int32_t right)
{
    if (left < 0 || right < 0)
        return NULL;
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    const struct le_merge *m = &t->merge[merge_slot(t, key)];
    return m->id >= 0 ? m : NULL;
}

static enum tg_status count_of(const struct le_gguf *g, const char *key, uint64_t max, uint64_t *n,
                               struct tg_error *err)
{
    enum tg_status status = le_gguf_array_count(g, key, n, err);
    if (status == TG_NOTFOUND)
        return tg_fail(err, TG_INVALID, "%s: %s is missing", le_gguf_path(g), key);
    if (status)
        return status;
    if (*n > max)
        return tg_fail(err, TG_INVALID, "%s: %s has %llu entries, the maximum is %llu",
                       le_gguf_path(g), key, (unsigned long long)*n, (unsigned long long)max);
    return TG_OK;
}

/* A power of two with room for n at half load. */
static uint32_t table_size(uint64_t n)
{
    uint32_t size = 16;
    while (size < 2 * n)
        size *= 2;
    return size;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "<0xHH>": the byte, or -1. */
static int byte_value(struct tg_str s)
{
    if (s.n != 6 || memcmp(s.p, "<0x", 3) != 0 || s.p[5] != '>')
        return -1;
    int high = hex_digit(s.p[3]), low = hex_digit(s.p[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* What the token looks like in text, written at t->piece + at; never longer than its text. */
static uint32_t make_piece(struct le_tokenizer *t, struct le_tok *tok, uint32_t at)
{
    struct tg_str s = { t->text + tok->text, tok->text_n };
    char *to = t->piece + at;
    uint32_t n = 0;
    if (tok->type == LE_TOK_BYTE) {
        to[n++] = (char)byte_value(s);
    } else {
        for (size_t i = 0; i < s.n;) {
            if (s.n - i >= 3 && memcmp(s.p + i, k_space, 3) == 0) {
                to[n++] = ' ';
                i += 3;
            } else {
                to[n++] = s.p[i++];
            }
        }
    }
    tok->piece = at;
    tok->piece_n = n;
    return n;
}

static enum tg_status read_type(struct le_tokenizer *t, const struct le_gguf *g, uint32_t i,
                                struct tg_error *err)
{
    struct le_tok *tok = &t->tok[i];
    uint32_t type;
    enum tg_status status = le_gguf_array_u32(g, k_types, i, &type, err);
    if (status)
        return status;
    if (type < LE_TOK_NORMAL || type > LE_TOK_BYTE)
        return tg_fail(err, TG_INVALID, "%s: %s[%u] is %u, known are 1 to 6", le_gguf_path(g),
                       k_types, i, type);
    tok->type = (uint8_t)type;
    if (type != LE_TOK_BYTE)
        return TG_OK;
    int value = byte_value((struct tg_str){ t->text + tok->text, tok->text_n });
    if (value < 0)
        return tg_fail(err, TG_INVALID, "%s: %s[%u] is a byte token but not of the form <0xHH>",
                       le_gguf_path(g), k_tokens, i);
    t->byte_id[value] = (int32_t)i;
    return TG_OK;
}

/* Two passes over the file: sizes, then copies. */
static enum tg_status copy_texts(struct le_tokenizer *t, const struct le_gguf *g,
                                 struct tg_error *err)
{
    uint64_t total = 0, cursor = 0;
    struct tg_str s;
    enum tg_status status;
    for (uint32_t i = 0; i < t->n; i++) {
        if ((status = le_gguf_array_string_next(g, k_tokens, &cursor, &s, err)))
            return status;
        total += s.n;
        if (s.n > LE_TOK_BYTES_MAX || total > LE_TOK_BYTES_MAX)
            return tg_fail(err, TG_INVALID, "%s: %s is larger than %d bytes", le_gguf_path(g),
                           k_tokens, LE_TOK_BYTES_MAX);
    }
    t->text = tg_alloc(total + 1);
    t->piece = tg_alloc(total + 1);
    if (!t->text || !t->piece)
        return tg_fail(err, TG_NOMEM, "out of memory for the vocabulary");
    uint32_t at = 0, shown = 0;
    cursor = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        struct le_tok *tok = &t->tok[i];
        if ((status = le_gguf_array_string_next(g, k_tokens, &cursor, &s, err)))
            return status;
        if (s.n > total - at) /* the sizes were others a moment ago */
            return tg_fail(err, TG_INVALID, "%s changed while it was read: load it anew",
                           le_gguf_path(g));
        if (s.n)
            memcpy(t->text + at, s.p, s.n);
        tok->text = at;
        tok->text_n = (uint32_t)s.n;
        at += (uint32_t)s.n;
        if ((status = read_type(t, g, i, err)))
            return status;
        shown += make_piece(t, tok, shown);
    }
    return TG_OK;
}

static enum tg_status read_tokens(struct le_tokenizer *t, const struct le_gguf *g,
                                  struct tg_error *err)
{
    uint64_t n, n_types;
    enum tg_status status = count_of(g, k_tokens, LE_TOK_MAX, &n, err);
    if (!status)
        status = count_of(g, k_types, LE_TOK_MAX, &n_types, err);
    if (status)
        return status;
    if (n == 0 || n != n_types)
        return tg_fail(err, TG_INVALID, "%s: %s has %llu entries and %s %llu", le_gguf_path(g),
                       k_tokens, (unsigned long long)n, k_types, (unsigned long long)n_types);
    t->n = (uint32_t)n;
    t->tok = tg_calloc(n, sizeof(*t->tok));
    uint32_t size = table_size(n);
    t->slot_mask = size - 1;
    t->slot = tg_alloc(size * sizeof(*t->slot));
    if (!t->tok || !t->slot)
        return tg_fail(err, TG_NOMEM, "out of memory for the vocabulary");
    memset(t->slot, 0xFF, size * sizeof(*t->slot));
    memset(t->byte_id, 0xFF, sizeof(t->byte_id));
    if ((status = copy_texts(t, g, err)))
        return status;
    for (uint32_t i = 0; i < t->n; i++) {
        struct tg_str text = { t->text + t->tok[i].text, t->tok[i].text_n };
        uint32_t slot = slot_of(t, text, (struct tg_str){ 0 },
                                le_tok_hash(LE_TOK_HASH_EMPTY, text));
        if (t->slot[slot] < 0)
            t->slot[slot] = (int32_t)i; /* the first of equal texts is the one that encodes */
    }
    for (int b = 0; b < 256; b++)
        if (t->byte_id[b] < 0)
            return tg_fail(err, TG_INVALID, "%s: %s has no byte token <0x%02X>", le_gguf_path(g),
                           k_tokens, (unsigned)b);
    return TG_OK;
}

static enum tg_status add_merge(struct le_tokenizer *t, struct tg_str s, uint32_t rank)
{
    /* The left side may itself be a space-like byte, so the separator is looked for from byte 1. */
    const char *space = s.n > 2 ? memchr(s.p + 1, ' ', s.n - 1) : NULL;
    if (!space || space == s.p + s.n - 1)
        return TG_INVALID;
    struct tg_str left = { s.p, (size_t)(space - s.p) };
    struct tg_str right = { space + 1, s.n - left.n - 1 };
    int32_t l = le_tok_find(t, left), r = le_tok_find(t, right), id = le_tok_find2(t, left, right);
    if (l < 0 || r < 0 || id < 0)
        return TG_OK; /* a merge to something that is no token can never be used */
    uint64_t key = (uint64_t)(uint32_t)l << 32 | (uint32_t)r;
    struct le_merge *m = &t->merge[merge_slot(t, key)];
    if (m->id < 0)
        *m = (struct le_merge){ .key = key, .rank = rank, .id = id };
    return TG_OK;
}

static enum tg_status read_merges(struct le_tokenizer *t, const struct le_gguf *g,
                                  struct tg_error *err)
{
    uint64_t n, cursor = 0;
    enum tg_status status = count_of(g, k_merges, LE_MERGE_MAX, &n, err);
    if (status)
        return status;
    uint32_t size = table_size(n);
    t->merge_mask = size - 1;
    t->merge = tg_alloc(size * sizeof(*t->merge));
    if (!t->merge)
        return tg_fail(err, TG_NOMEM, "out of memory for the merges");
    for (uint32_t i = 0; i < size; i++)
        t->merge[i].id = -1;
    for (uint32_t i = 0; i < (uint32_t)n; i++) {
        struct tg_str s;
        if ((status = le_gguf_array_string_next(g, k_merges, &cursor, &s, err)))
            return status;
        if (add_merge(t, s, i))
            return tg_fail(err, TG_INVALID, "%s: %s[%u] is not \"left right\"", le_gguf_path(g),
                           k_merges, i);
    }
    return TG_OK;
}

static enum tg_status check_model(const struct le_gguf *g, struct tg_error *err)
{
    struct tg_str model;
    char shown[96];
    enum tg_status status = le_gguf_string(g, "tokenizer.ggml.model", &model, err);
    if (status == TG_NOTFOUND)
        return tg_fail(err, TG_INVALID, "%s: tokenizer.ggml.model is missing", le_gguf_path(g));
    if (status)
        return status;
    if (!tg_str_eq(model, TG_STR("gemma4")))
        return tg_fail(err, TG_UNSUPPORTED,
                       "%s: tokenizer.ggml.model is \"%s\", this version runs \"gemma4\"",
                       le_gguf_path(g), le_gguf_text_print(model, shown, sizeof(shown)));
    return TG_OK;
}

enum tg_status le_tokenizer_open(const struct le_gguf *g, struct le_tokenizer **out,
                                 struct tg_error *err)
{
    *out = NULL;
    enum tg_status status = check_model(g, err);
    if (status)
        return status;
    struct le_tokenizer *t = tg_calloc(1, sizeof(*t));
    if (!t)
        return tg_fail(err, TG_NOMEM, "out of memory for the tokenizer");
    if ((status = read_tokens(t, g, err)) || (status = read_merges(t, g, err)) ||
        (status = le_tok_assign_roles(t, g, err)))
        goto fail;
    t->space_id = le_tok_find(t, TG_STR("\xE2\x96\x81"));
    for (uint32_t i = 0; i < t->n; i++)
        t->longest = t->tok[i].text_n > t->longest ? t->tok[i].text_n : t->longest;
    for (int c = 0; c < 128; c++) {
        char byte = (char)c;
        t->ascii_id[c] = c == ' ' ? t->space_id : le_tok_find(t, (struct tg_str){ &byte, 1 });
    }
    *out = t;
    return TG_OK;
fail:
    le_tokenizer_close(t);
    return status;
}

void le_tokenizer_close(struct le_tokenizer *t)
{
    if (!t)
        return;
    tg_free(t->tok);
    tg_free(t->text);
    tg_free(t->piece);
    tg_free(t->slot);
    tg_free(t->merge);
    tg_free(t->never);
    tg_free(t);
}

uint32_t le_tokenizer_n(const struct le_tokenizer *t)
{
    return t->n;
}

uint32_t le_tokenizer_longest(const struct le_tokenizer *t)
{
    return t->longest;
}

const struct le_special_ids *le_tokenizer_special(const struct le_tokenizer *t)
{
    return &t->special;
}

struct tg_str le_tokenizer_piece(const struct le_tokenizer *t, int32_t id)
{
    if (id < 0 || (uint32_t)id >= t->n)
        return (struct tg_str){ 0 };
    return (struct tg_str){ t->piece + t->tok[id].piece, t->tok[id].piece_n };
}

bool le_tokenizer_is_control(const struct le_tokenizer *t, int32_t id)
{
    return id >= 0 && (uint32_t)id < t->n && t->tok[id].control;
}

bool le_tokenizer_is_end(const struct le_tokenizer *t, int32_t id)
{
    return id >= 0 && (uint32_t)id < t->n && t->tok[id].end;
}

const int32_t *le_tokenizer_never(const struct le_tokenizer *t, size_t *n)
{
    *n = t->n_never;
    return t->never;
}
