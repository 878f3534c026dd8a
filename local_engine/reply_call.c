#include "local_engine/reply_call.h"

#include "config/base/alloc.h"
#include "config/base/utf8.h"

struct span {
    size_t at, n;
};

struct parser {
    const unsigned char *p;
    size_t n, at;
    bool closed;
    struct tg_buf *out;
    struct tg_buf scratch; /* a string without its escapes */
    struct span *key;      /* in out: keys of the objects that are open, outermost first */
    size_t n_keys, depth;
};

static enum tg_status parse_value(struct parser *s);

static bool is_space(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(struct parser *s)
{
    while (s->at < s->n && is_space(s->p[s->at]))
        s->at++;
}

static bool ahead(const struct parser *s, unsigned char c)
{
    return s->at < s->n && s->p[s->at] == c;
}

static bool is_quote(unsigned char c)
{
    return c == LE_CALL_QUOTE || c == '"' || c == '`' || c == '\'';
}

static int hex4(const unsigned char *p, size_t n, uint32_t *out)
{
    if (n < 4)
        return 0;
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        unsigned char c = p[i], low = c | 0x20;
        if (c >= '0' && c <= '9')
            value = value << 4 | (uint32_t)(c - '0');
        else if (low >= 'a' && low <= 'f')
            value = value << 4 | (uint32_t)(low - 'a' + 10);
        else
            return 0;
    }
    *out = value;
    return 4;
}

/* Behind "\u": one scalar value, of two escapes when they are a surrogate pair. Returns the bytes
 * read, 0 when it is no such escape. */
static size_t unicode_escape(const unsigned char *p, size_t n, uint32_t *rune)
{
    if (!hex4(p, n, rune))
        return 0;
    if (*rune < 0xD800 || *rune > 0xDFFF)
        return *rune ? 4 : 0;
    uint32_t low;
    if (*rune > 0xDBFF || n < 10 || p[4] != '\\' || p[5] != 'u' || !hex4(p + 6, n - 6, &low) ||
        low < 0xDC00 || low > 0xDFFF)
        return 0;
    *rune = 0x10000 + ((*rune - 0xD800) << 10) + (low - 0xDC00);
    return 10;
}

/* The text of a "..." string with its JSON escapes undone; what is no escape stays as it is. */
static void unescape(struct tg_buf *out, const unsigned char *p, size_t n)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    tg_buf_reset(out);
    for (size_t i = 0; i < n; i++) {
        const char *simple = p[i] == '\\' && i + 1 < n && p[i + 1] ? strchr(from, p[i + 1]) : NULL;
        uint32_t rune;
        size_t used = 0;
        if (simple) {
            tg_buf_addc(out, to[simple - from]);
            i++;
        } else if (p[i] == '\\' && i + 1 < n && p[i + 1] == 'u' &&
                   (used = unicode_escape(p + i + 2, n - i - 2, &rune))) {
            char utf8[4];
            tg_buf_add(out, utf8, tg_utf8_encode(rune, utf8));
            i += 1 + used;
        } else {
            tg_buf_addc(out, (char)p[i]);
        }
    }
}

/* At a quote: the string to its end, as JSON. Between quote tokens nothing is escaped. */
static enum tg_status parse_string(struct parser *s)
{
    unsigned char quote = s->p[s->at++];
    size_t begin = s->at;
    while (s->at < s->n && s->p[s->at] != quote)
        s->at += quote == '"' && s->p[s->at] == '\\' && s->at + 1 < s->n ? 2 : 1;
    if (s->at >= s->n)
        return TG_INVALID;
    struct tg_str text = { (const char *)s->p + begin, s->at - begin };
    s->at++;
    if (quote == '"') {
        unescape(&s->scratch, s->p + begin, text.n);
        if (s->scratch.failed)
            return s->scratch.failed;
        text = tg_buf_str(&s->scratch);
    }
    return tg_buf_add_json(s->out, text);
}

/* RFC 8259 number. */
static bool is_number(struct tg_str s)
{
    size_t i = 0, digits;
#define DIGITS()                                                                                   \
    for (digits = 0; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)                               \
    digits++
    if (i < s.n && s.p[i] == '-')
        i++;
    size_t first = i;
    DIGITS();
    if (digits == 0 || (digits > 1 && s.p[first] == '0'))
        return false;
    if (i < s.n && s.p[i] == '.') {
        i++;
        DIGITS();
        if (digits == 0)
            return false;
    }
    if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
        i++;
        if (i < s.n && (s.p[i] == '+' || s.p[i] == '-'))
            i++;
        DIGITS();
        if (digits == 0)
            return false;
    }
#undef DIGITS
    return i == s.n;
}

/* A value without quotes: a literal, a number as written, or else a string that lost its quotes. */
static enum tg_status parse_bare(struct parser *s)
{
    static const char *const words[][2] = {
        { "true", "true" },   { "false", "false" },   { "null", "null" },
        { "True", "true" },   { "False", "false" },   { "None", "null" },
    };
    size_t begin = s->at;
    while (s->at < s->n && !strchr(",}]", s->p[s->at]) && s->p[s->at] != LE_CALL_QUOTE)
        s->at++;
    struct tg_str text = tg_str_trim((struct tg_str){ (const char *)s->p + begin, s->at - begin });
    if (text.n == 0)
        return TG_INVALID;
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (tg_str_eq(text, tg_str_of(words[i][0])))
            return tg_buf_adds(s->out, words[i][1]);
    return is_number(text) ? tg_buf_add(s->out, text.p, text.n) : tg_buf_add_json(s->out, text);
}

static enum tg_status parse_key(struct parser *s, size_t first_key)
{
    enum tg_status status;
    struct span key = { s->out->n, 0 };
    if (s->at < s->n && is_quote(s->p[s->at])) {
        status = parse_string(s);
        skip_space(s);
    } else {
        size_t begin = s->at;
        while (s->at < s->n && !strchr(":}{,", s->p[s->at]) && s->p[s->at] != LE_CALL_QUOTE)
            s->at++;
        struct tg_str text = { (const char *)s->p + begin, s->at - begin };
        text = tg_str_trim(text);
        status = text.n ? tg_buf_add_json(s->out, text) : TG_INVALID;
    }
    if (status)
        return status;
    if (!ahead(s, ':'))
        return TG_INVALID;
    s->at++;
    key.n = s->out->n - key.at;
    for (size_t i = first_key; i < s->n_keys; i++)
        if (s->key[i].n == key.n &&
            memcmp(s->out->p + s->key[i].at, s->out->p + key.at, key.n) == 0)
            return TG_INVALID;
    if (s->n_keys == LE_CALL_KEYS_MAX)
        return TG_LIMIT;
    s->key[s->n_keys++] = key;
    return tg_buf_addc(s->out, ':');
}

/* Behind an item: true when the list goes on; a missing bracket ends it if the call was closed. */
static enum tg_status next_item(struct parser *s, unsigned char close, bool *more)
{
    skip_space(s);
    *more = false;
    if (ahead(s, ',')) {
        s->at++;
        skip_space(s);
        *more = !ahead(s, close);
    }
    if (*more && s->at < s->n)
        return TG_OK;
    *more = false;
    if (ahead(s, close))
        s->at++;
    else if (s->at < s->n || !s->closed)
        return TG_INVALID;
    return TG_OK;
}

/* At '{' or '['. */
static enum tg_status parse_list(struct parser *s)
{
    bool object = s->p[s->at++] == '{';
    unsigned char close = object ? '}' : ']';
    size_t first_key = s->n_keys;
    if (++s->depth > LE_CALL_DEPTH_MAX)
        return TG_INVALID;
    tg_buf_addc(s->out, object ? '{' : '[');
    skip_space(s);
    bool more = s->at < s->n && !ahead(s, close);
    enum tg_status status = more ? TG_OK : next_item(s, close, &more);
    for (bool first = true; more && !status; first = false) {
        if (!first)
            tg_buf_addc(s->out, ',');
        if (object)
            status = parse_key(s, first_key);
        if (!status)
            status = parse_value(s);
        if (!status)
            status = next_item(s, close, &more);
    }
    if (status)
        return status;
    s->n_keys = first_key;
    s->depth--;
    return tg_buf_addc(s->out, object ? '}' : ']');
}

static enum tg_status parse_value(struct parser *s)
{
    skip_space(s);
    if (s->at >= s->n)
        return TG_INVALID;
    unsigned char c = s->p[s->at];
    if (c == '{' || c == '[')
        return parse_list(s);
    return is_quote(c) ? parse_string(s) : parse_bare(s);
}

/* [call:]NAME up to the brace. */
static enum tg_status parse_name(struct parser *s, struct tg_buf *name)
{
    skip_space(s);
    if (s->n - s->at >= 5 && memcmp(s->p + s->at, "call:", 5) == 0)
        s->at += 5;
    size_t begin = s->at;
    while (s->at < s->n && s->p[s->at] != '{')
        s->at++;
    struct tg_str text = tg_str_trim((struct tg_str){ (const char *)s->p + begin, s->at - begin });
    if (text.n == 0 || text.n > LE_CALL_NAME_MAX || !tg_utf8_valid(text.p, text.n))
        return TG_INVALID;
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] <= ' ' || strchr("\"'`,:[]}", text.p[i]))
            return TG_INVALID;
    return tg_buf_add(name, text.p, text.n);
}

static enum tg_status parse_call(struct parser *s, struct tg_buf *name)
{
    enum tg_status status = parse_name(s, name);
    if (status)
        return status;
    if (s->at >= s->n)
        return s->closed ? tg_buf_adds(s->out, "{}") : TG_INVALID;
    if ((status = parse_list(s)))
        return status;
    while (s->at < s->n && (is_space(s->p[s->at]) || ahead(s, '}')))
        s->at++;
    return s->at < s->n ? TG_INVALID : TG_OK;
}

enum tg_status le_call_parse(struct tg_str text, bool closed, struct tg_buf *name,
                             struct tg_buf *arguments)
{
    if (text.n == 0)
        return TG_INVALID;
    struct parser s = {
        .p = (const unsigned char *)text.p, .n = text.n, .closed = closed, .out = arguments
    };
    s.key = tg_alloc(LE_CALL_KEYS_MAX * sizeof(*s.key));
    if (!s.key)
        return TG_NOMEM;
    tg_buf_init(&s.scratch, LE_CALL_MAX);
    enum tg_status status = parse_call(&s, name);
    if (name->failed || arguments->failed)
        status = name->failed ? name->failed : arguments->failed;
    tg_buf_free(&s.scratch);
    tg_free(s.key);
    return status;
}

static void open_level(struct le_call_lexer *l, bool object)
{
    uint64_t bit = UINT64_C(1) << (l->depth & 63);
    l->is_object = object ? l->is_object | bit : l->is_object & ~bit;
    l->depth++;
    l->in_value = !object;
}

static bool inside_object(const struct le_call_lexer *l)
{
    return l->depth == 0 || (l->is_object >> ((l->depth - 1) & 63) & 1);
}

bool le_call_lex(struct le_call_lexer *l, unsigned char c)
{
    if (c == LE_CALL_QUOTE) {
        l->in_string = !l->in_string;
        return false;
    }
    if (l->in_string)
        return l->in_value;
    if (c == '{' || c == '[') {
        open_level(l, c == '{');
    } else if (c == '}' || c == ']') {
        l->depth -= l->depth > 0;
        l->in_value = false;
    } else if (c == ',') {
        l->in_value = !inside_object(l);
    } else if (c == ':') {
        bool was = l->in_value;
        l->in_value = l->depth > 0;
        return was; /* a colon inside a bare value */
    } else {
        return l->in_value && !is_space(c);
    }
    return false;
}
