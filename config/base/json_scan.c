#include "config/base/json.h"

#include <math.h>
#include <stdlib.h>
#include <sys/random.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "config/base/utf8.h"

/* The scanner walks the text once with an explicit stack, so depth costs no C stack. Duplicate keys
 * are found with one hash set per scan, keyed by (object number, key bytes after unescaping). The
 * hash is keyed with random bits: a body must not be able to choose colliding names. */

enum {
    NUMBER_MAX = 63, /* what cJSON's own buffer for a number holds */
    SCANS_A_SEED = 64,
};

struct key_slot {
    uint64_t object; /* 0: empty; otherwise the number of the object that holds the key */
    uint64_t hash;
    size_t start, n; /* the key's raw bytes in the text, without quotes */
};

struct scan {
    struct tg_str text;
    size_t at;
    size_t values;
    uint64_t objects;                      /* numbers given out so far */
    uint64_t open[TG_JSON_DEPTH_MAX];      /* 0: array; else the object's number */
    size_t depth;
    struct key_slot *keys;
    size_t n_keys, cap_keys;
    uint64_t seed[2];
    struct tg_error *err;
};

static enum tg_status fail_at(struct scan *s, enum tg_status code, size_t at, const char *cause)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at && i < s->text.n; i++) {
        column++;
        if (s->text.p[i] == '\n') {
            line++;
            column = 1;
        }
    }
    return tg_fail(s->err, code, "line %zu, column %zu: %s", line, column, cause);
}

static enum tg_status fail(struct scan *s, const char *cause)
{
    return fail_at(s, TG_INVALID, s->at, cause);
}

static int peek(const struct scan *s)
{
    return s->at < s->text.n ? (unsigned char)s->text.p[s->at] : -1;
}

static void skip_space(struct scan *s)
{
    int c;
    while ((c = peek(s)) == ' ' || c == '\t' || c == '\n' || c == '\r')
        s->at++;
}

static int hex_value(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Four hex digits at p[0..3]; -1 when malformed. */
static int32_t hex4(struct tg_str text, size_t at)
{
    int32_t value = 0;
    for (size_t i = 0; i < 4; i++) {
        int digit = at + i < text.n ? hex_value((unsigned char)text.p[at + i]) : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* One unit of a string body at *at: a code point, escapes resolved. False: malformed, *cause. */
static bool string_unit(struct tg_str text, size_t *at, uint32_t *rune, const char **cause)
{
    if (text.p[*at] != '\\') {
        size_t width = tg_utf8_decode(text.p + *at, text.n - *at, rune);
        *cause = width ? "control character in a string" : "invalid UTF-8 in a string";
        if (width == 0 || *rune < 0x20)
            return false;
        *at += width;
        return true;
    }
    static const char names[] = "\"\\/bfnrt", plain[] = "\"\\/\b\f\n\r\t";
    int c = *at + 1 < text.n ? (unsigned char)text.p[*at + 1] : 0;
    const char *simple = c ? strchr(names, c) : NULL;
    if (simple) {
        *rune = (unsigned char)plain[simple - names];
        *at += 2;
        return true;
    }
    *cause = "invalid escape in a string";
    int32_t unit = c == 'u' ? hex4(text, *at + 2) : -1;
    if (unit < 0)
        return false;
    *at += 6;
    *rune = (uint32_t)unit;
    *cause = "U+0000 is not accepted";
    if (unit == 0)
        return false;
    if (unit < 0xD800 || unit > 0xDFFF)
        return true;
    *cause = "lone surrogate in a string";
    bool low_follows = unit < 0xDC00 && *at + 1 < text.n && text.p[*at] == '\\' &&
                       text.p[*at + 1] == 'u';
    int32_t low = low_follows ? hex4(text, *at + 2) : -1;
    if (low < 0xDC00 || low > 0xDFFF)
        return false;
    *rune = 0x10000 + ((uint32_t)(unit - 0xD800) << 10) + (uint32_t)(low - 0xDC00);
    *at += 6;
    return true;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* The string at s->at (on its quote); for a key (else NULL) its raw body and a hash of what it
 * means. */
static enum tg_status scan_string(struct scan *s, struct key_slot *key)
{
    size_t at = s->at + 1;
    uint64_t hash = s->seed[0];
    for (;;) {
        if (!key && at < s->text.n)
            at += tg_utf8_plain(s->text.p + at, s->text.n - at);
        if (at >= s->text.n)
            return fail(s, "unterminated string");
        if (s->text.p[at] == '"')
            break;
        uint32_t rune = (unsigned char)s->text.p[at];
        const char *cause;
        size_t unit_at = at;
        if (rune >= 0x20 && rune < 0x80 && rune != '\\')
            at++;
        else if (!string_unit(s->text, &at, &rune, &cause))
            return fail_at(s, TG_INVALID, unit_at, cause);
        if (key)
            hash = mix(hash + rune + 1, s->seed[1]);
    }
    if (key) {
        key->start = s->at + 1;
        key->n = at - key->start;
        key->hash = hash;
    }
    s->at = at + 1;
    return TG_OK;
}

static bool same_key(const struct scan *s, const struct key_slot *a, const struct key_slot *b)
{
    if (a->object != b->object || a->hash != b->hash)
        return false;
    size_t i = a->start, j = b->start, i_end = a->start + a->n, j_end = b->start + b->n;
    struct tg_str one = { s->text.p, i_end }, two = { s->text.p, j_end };
    while (i < i_end && j < j_end) {
        uint32_t x, y;
        const char *cause;
        if (!string_unit(one, &i, &x, &cause) || !string_unit(two, &j, &y, &cause) || x != y)
            return false;
    }
    return i == i_end && j == j_end;
}

static struct key_slot *find_slot(const struct scan *s, struct key_slot *slots, size_t cap,
                                  const struct key_slot *key)
{
    size_t i = (size_t)mix(key->hash + key->object, s->seed[1]) & (cap - 1);
    while (slots[i].object != 0 && !same_key(s, &slots[i], key))
        i = (i + 1) & (cap - 1);
    return &slots[i];
}

static enum tg_status remember_key(struct scan *s, const struct key_slot *key, size_t key_at)
{
    if (s->n_keys * 2 >= s->cap_keys) {
        size_t cap = s->cap_keys ? s->cap_keys * 2 : 64;
        struct key_slot *bigger = tg_calloc(cap, sizeof(*bigger));
        if (!bigger)
            return tg_fail(s->err, TG_NOMEM, "out of memory while reading JSON");
        for (size_t i = 0; i < s->cap_keys; i++)
            if (s->keys[i].object != 0)
                *find_slot(s, bigger, cap, &s->keys[i]) = s->keys[i];
        tg_free(s->keys);
        s->keys = bigger;
        s->cap_keys = cap;
    }
    struct key_slot *slot = find_slot(s, s->keys, s->cap_keys, key);
    if (slot->object != 0)
        return fail_at(s, TG_INVALID, key_at, "duplicate key");
    *slot = *key;
    s->n_keys++;
    return TG_OK;
}

static size_t digits(struct scan *s)
{
    size_t start = s->at;
    while (peek(s) >= '0' && peek(s) <= '9')
        s->at++;
    return s->at - start;
}

static enum tg_status scan_number(struct scan *s)
{
    size_t start = s->at;
    bool negative = peek(s) == '-', whole = true;
    s->at += negative;
    size_t first = s->at;
    size_t n = digits(s);
    if (n == 0 || (n > 1 && s->text.p[first] == '0'))
        return fail(s, "malformed number");
    if (peek(s) == '.') {
        s->at++;
        whole = false;
        if (digits(s) == 0)
            return fail(s, "malformed number");
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        s->at++;
        whole = false;
        if (peek(s) == '+' || peek(s) == '-')
            s->at++;
        if (digits(s) == 0)
            return fail(s, "malformed number");
    }
    size_t length = s->at - start;
    if (length > NUMBER_MAX)
        return fail_at(s, TG_INVALID, start,
                       whole ? "integer beyond 64 bits" : "number with more than 63 characters");
    char copy[NUMBER_MAX + 1] = { 0 };
    memcpy(copy, s->text.p + start, length);
    if (!whole && !isfinite(strtod(copy, NULL)))
        return fail_at(s, TG_INVALID, start, "number beyond the range of a double");
    uint64_t value;
    if (whole && (!tg_parse_u64((struct tg_str){ s->text.p + first, n }, &value) ||
                  value > (uint64_t)INT64_MAX + (negative ? 1 : 0)))
        return fail_at(s, TG_INVALID, start, "integer beyond 64 bits");
    return TG_OK;
}

static enum tg_status scan_word(struct scan *s)
{
    static const char *const words[] = { "true", "false", "null" };
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(words[i]);
        if (n <= s->text.n - s->at && memcmp(s->text.p + s->at, words[i], n) == 0) {
            s->at += n;
            return TG_OK;
        }
    }
    return fail(s, s->at < s->text.n ? "unexpected character" : "unexpected end");
}

static enum tg_status push(struct scan *s, bool object)
{
    if (s->depth == TG_JSON_DEPTH_MAX)
        return fail_at(s, TG_LIMIT, s->at, "nested deeper than 64 levels");
    s->open[s->depth++] = object ? ++s->objects : 0;
    s->at++;
    return TG_OK;
}

/* The member name and colon in front of a value, in the object on top of the stack. */
static enum tg_status scan_key(struct scan *s)
{
    struct key_slot key = { .object = s->open[s->depth - 1] };
    size_t key_at = s->at;
    if (peek(s) != '"')
        return fail(s, "a member name in quotes was expected");
    enum tg_status status = scan_string(s, &key);
    if (status == TG_OK)
        status = remember_key(s, &key, key_at);
    if (status)
        return status;
    skip_space(s);
    if (peek(s) != ':')
        return fail(s, "':' was expected");
    s->at++;
    skip_space(s);
    return TG_OK;
}

/* One scalar, or the opening of an array or object (*opened). */
static enum tg_status scan_value(struct scan *s, bool *opened)
{
    int c = peek(s);
    *opened = c == '{' || c == '[';
    if (++s->values > TG_JSON_VALUES_MAX)
        return fail_at(s, TG_LIMIT, s->at, "more than a million values");
    if (*opened)
        return push(s, c == '{');
    if (c == '"')
        return scan_string(s, NULL);
    if (c == '-' || (c >= '0' && c <= '9'))
        return scan_number(s);
    return scan_word(s);
}

/* After a value: closes what ends here, and consumes the comma in front of the next value. *done
 * when the outermost value has ended. */
static enum tg_status scan_after(struct scan *s, bool just_opened, bool *done)
{
    for (;;) {
        *done = s->depth == 0;
        if (*done)
            return TG_OK;
        skip_space(s);
        int c = peek(s);
        bool object = s->open[s->depth - 1] != 0;
        if (c == (object ? '}' : ']')) {
            s->at++;
            s->depth--;
            just_opened = false;
            continue;
        }
        if (just_opened)
            return TG_OK;
        if (c != ',')
            return fail(s, c < 0 ? "unexpected end" : "',' or the closing bracket was expected");
        s->at++;
        skip_space(s);
        return TG_OK;
    }
}

static enum tg_status scan_all(struct scan *s)
{
    bool opened = false, done = false;
    skip_space(s);
    while (!done) {
        if (s->depth && s->open[s->depth - 1] != 0) {
            enum tg_status status = scan_key(s);
            if (status)
                return status;
        }
        enum tg_status status = scan_value(s, &opened);
        if (status == TG_OK)
            status = scan_after(s, opened, &done);
        if (status)
            return status;
    }
    skip_space(s);
    return s->at == s->text.n ? TG_OK : fail(s, "text behind the end of the value");
}

/* A system call for each small text would cost as much as reading it, so a thread's bits serve for
 * many scans: too few to learn them by measuring how long texts take. */
static void take_seed(uint64_t seed[2])
{
    static _Thread_local struct {
        uint64_t seed[2];
        unsigned left;
    } own;
    if (own.left == 0) {
        if (getrandom(own.seed, sizeof(own.seed), GRND_NONBLOCK) != (ssize_t)sizeof(own.seed)) {
            own.seed[0] = (uint64_t)tg_mono_ns();
            own.seed[1] = own.seed[0] * 0x9E3779B97F4A7C15u ^ (uint64_t)(uintptr_t)&own;
        }
        own.left = SCANS_A_SEED;
    }
    own.left--;
    seed[0] = own.seed[0];
    seed[1] = own.seed[1] | 1;
}

enum tg_status tg_json_scan(struct tg_str text, struct tg_error *err)
{
    struct scan s = { .text = text, .err = err };
    take_seed(s.seed);
    enum tg_status status = scan_all(&s);
    tg_free(s.keys);
    return status;
}
