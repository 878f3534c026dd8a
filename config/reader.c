#include "config/reader.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { SHOWN_MAX = 64, TEXT_MAX = 1000, WORD_MAX = 32 };

enum tg_status cfg_refuse(struct cfg_reader *r, enum tg_status code, const char *fmt, ...)
{
    char cause[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(cause, sizeof(cause), fmt, args);
    va_end(args);
    return tg_fail(r->err, code, "%s: %s%s%s", r->file, r->path, r->path_n ? ": " : "", cause);
}

enum tg_status cfg_refuse_type(struct cfg_reader *r, const struct tg_json *v, const char *wanted)
{
    return cfg_refuse(r, TG_INVALID, "must be %s, is %s", wanted,
                      tg_json_type_name(tg_json_type(v)));
}

/* Names come from a file: what goes into an error is printable and short. A path that does not fit
 * is cut; it is for people. */
static void path_add(struct cfg_reader *r, const char *s)
{
    for (size_t n = 0; *s && n < SHOWN_MAX && r->path_n + 1 < sizeof(r->path); s++, n++)
        r->path[r->path_n++] = (unsigned char)*s < 0x20 || *s == 0x7F ? '?' : *s;
    r->path[r->path_n] = '\0';
}

size_t cfg_path_key(struct cfg_reader *r, const char *key)
{
    size_t mark = r->path_n;
    if (mark)
        path_add(r, ".");
    path_add(r, key);
    return mark;
}

size_t cfg_path_index(struct cfg_reader *r, size_t index)
{
    size_t mark = r->path_n;
    char text[32];
    snprintf(text, sizeof(text), "[%zu]", index);
    path_add(r, text);
    return mark;
}

void cfg_path_back(struct cfg_reader *r, size_t mark)
{
    r->path_n = mark;
    r->path[mark] = '\0';
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Levenshtein distance, for "did you mean"; far above any limit when a word is too long. */
static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), row[WORD_MAX + 1];
    if (n > WORD_MAX || m > WORD_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[m];
}

static enum tg_status refuse_unknown(struct cfg_reader *r, const char *key,
                                     const struct cfg_field *fields, size_t n)
{
    const char *best = NULL;
    size_t best_distance = 3;
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(key, fields[i].key);
        if (fields[i].kind != CFG_LATER && d < best_distance && d < strlen(fields[i].key)) {
            best = fields[i].key;
            best_distance = d;
        }
    }
    if (best)
        return cfg_refuse(r, TG_INVALID, "unknown key; did you mean \"%s\"?", best);
    return cfg_refuse(r, TG_INVALID, "unknown key");
}

static enum tg_status check_keys(struct cfg_reader *r, const struct tg_json *v,
                                 const struct cfg_field *fields, size_t n)
{
    for (const struct tg_json *m = tg_json_first(v); m; m = tg_json_next(m)) {
        const char *key = tg_json_key(m);
        size_t i = 0;
        while (i < n && strcmp(fields[i].key, key) != 0)
            i++;
        if (i < n && fields[i].kind != CFG_LATER)
            continue;
        cfg_path_key(r, key);
        return i == n ? refuse_unknown(r, key, fields, n)
                      : cfg_refuse(r, TG_UNSUPPORTED, "not in this version");
    }
    return TG_OK;
}

enum tg_status cfg_read_text(struct cfg_reader *r, const struct tg_json *v, size_t max,
                             const char **out)
{
    struct tg_str s;
    if (!tg_json_string(v, &s))
        return cfg_refuse_type(r, v, "a string");
    if (s.n == 0)
        return cfg_refuse(r, TG_INVALID, "must not be empty");
    if (s.n > max)
        return cfg_refuse(r, TG_INVALID, "has %zu bytes, %zu are allowed", s.n, max);
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7F)
            return cfg_refuse(r, TG_INVALID, "has a control character");
    *out = tg_arena_str(r->mem, s).p;
    return *out ? TG_OK : cfg_refuse(r, TG_NOMEM, "out of memory");
}

/* A value in its unit, for an error: the way it would be written in the file. */
static void show(char out[40], enum cfg_field_kind kind, int64_t value)
{
    if (kind == CFG_TIME)
        snprintf(out, 40, value % 1000 ? "%" PRId64 "ms" : "%" PRId64 "s",
                 value % 1000 ? value : value / 1000);
    else if (kind == CFG_MONEY)
        snprintf(out, 40, "$%.9g", (double)value / 1e9);
    else if (kind == CFG_PERCENT)
        snprintf(out, 40, "%.6g%%", (double)value / 1e4);
    else if (kind == CFG_COUNT)
        snprintf(out, 40, "%" PRId64, value);
    else if (value && value % (1 << 20) == 0)
        snprintf(out, 40, "%" PRId64 "MiB", value >> 20);
    else
        snprintf(out, 40, "%" PRId64 "B", value);
}

static enum tg_status read_number(struct cfg_reader *r, const struct tg_json *v,
                                  const struct cfg_field *field, int64_t *out)
{
    static const struct {
        bool (*parse)(struct tg_str s, int64_t *out);
        const char *wanted;
    } kinds[] = {
        [CFG_TIME] = { tg_parse_duration_ms, "a duration such as \"10s\" or \"200ms\"" },
        [CFG_BYTES] = { tg_parse_size, "a size such as \"64KiB\"" },
        [CFG_BYTES32] = { tg_parse_size, "a size such as \"64KiB\"" },
        [CFG_MONEY] = { tg_parse_money_nano, "an amount such as \"$2.50\"" },
        [CFG_PERCENT] = { tg_parse_percent_millionths, "a percentage such as \"80%\"" },
    };
    struct tg_str s;
    if (field->kind == CFG_COUNT) {
        if (!tg_json_int(v, out))
            return tg_json_is(v, TG_JSON_NUMBER)
                       ? cfg_refuse(r, TG_INVALID, "must be a whole number")
                       : cfg_refuse_type(r, v, "a whole number");
    } else if (!tg_json_string(v, &s)) {
        return cfg_refuse_type(r, v, kinds[field->kind].wanted);
    } else if (!kinds[field->kind].parse(s, out)) {
        return cfg_refuse(r, TG_INVALID, "must be %s", kinds[field->kind].wanted);
    }
    if (*out >= field->min && *out <= field->max)
        return TG_OK;
    char low[40], high[40];
    show(low, field->kind, field->min);
    show(high, field->kind, field->max);
    return cfg_refuse(r, TG_INVALID, "must be between %s and %s", low, high);
}

static enum tg_status read_field(struct cfg_reader *r, const struct tg_json *v,
                                 const struct cfg_field *field, void *base)
{
    char *at = (char *)base + field->offset;
    int64_t number;
    if (field->kind == CFG_READ)
        return field->read(r, v, base);
    if (field->kind == CFG_TEXT) {
        const char *text;
        enum tg_status status =
            cfg_read_text(r, v, field->max ? (size_t)field->max : TEXT_MAX, &text);
        if (status == TG_OK)
            memcpy(at, &text, sizeof(text));
        return status;
    }
    enum tg_status status = read_number(r, v, field, &number);
    if (status)
        return status;
    if (field->kind == CFG_COUNT || field->kind == CFG_BYTES32) {
        uint32_t small = (uint32_t)number; /* the table's max is below 2^32 */
        memcpy(at, &small, sizeof(small));
    } else {
        memcpy(at, &number, sizeof(number));
    }
    return TG_OK;
}

enum tg_status cfg_read_object(struct cfg_reader *r, const struct tg_json *v,
                               const struct cfg_field *fields, size_t n, void *base)
{
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return cfg_refuse_type(r, v, "an object");
    enum tg_status status = check_keys(r, v, fields, n);
    for (size_t i = 0; i < n && status == TG_OK; i++) {
        const struct tg_json *member = tg_json_get(v, fields[i].key);
        if (!member)
            continue;
        size_t mark = cfg_path_key(r, fields[i].key);
        status = read_field(r, member, &fields[i], base);
        if (status == TG_OK)
            cfg_path_back(r, mark);
    }
    return status;
}
