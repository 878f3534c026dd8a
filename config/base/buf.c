#include "config/base/buf.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/alloc.h"
#include "config/base/utf8.h"

void tg_buf_init(struct tg_buf *b, size_t max)
{
    *b = (struct tg_buf){ .max = max };
}

void tg_buf_free(struct tg_buf *b)
{
    if (!b)
        return;
    tg_free(b->p);
    *b = (struct tg_buf){ .max = b->max };
}

void tg_buf_reset(struct tg_buf *b)
{
    b->n = 0;
    b->failed = TG_OK;
    if (b->p)
        b->p[0] = '\0';
}

static enum tg_status reserve(struct tg_buf *b, size_t more)
{
    if (b->failed)
        return b->failed;
    if (more > b->max - b->n)
        return b->failed = TG_LIMIT;
    if (more > SIZE_MAX / 4 || b->n > SIZE_MAX / 4)
        return b->failed = TG_LIMIT; /* doubling below cannot overflow */
    size_t need = b->n + more + 1;
    if (need <= b->cap)
        return TG_OK;
    size_t cap = b->cap ? b->cap : 128;
    while (cap < need)
        cap *= 2;
    char *p = tg_realloc(b->p, cap);
    if (!p)
        return b->failed = TG_NOMEM;
    b->p = p;
    b->cap = cap;
    return TG_OK;
}

enum tg_status tg_buf_add(struct tg_buf *b, const void *p, size_t n)
{
    enum tg_status status = reserve(b, n);
    if (status)
        return status;
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = '\0';
    return TG_OK;
}

enum tg_status tg_buf_adds(struct tg_buf *b, const char *s)
{
    return tg_buf_add(b, s, strlen(s));
}

enum tg_status tg_buf_addc(struct tg_buf *b, char c)
{
    return tg_buf_add(b, &c, 1);
}

/* Most texts fit into the room that is there, so they are printed once. */
enum tg_status tg_buf_addf(struct tg_buf *b, const char *fmt, ...)
{
    enum tg_status status = b->p ? b->failed : reserve(b, 0);
    if (status)
        return status;
    size_t room = b->cap - b->n;
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int need = vsnprintf(b->p + b->n, room, fmt, args);
    va_end(args);
    status = need < 0 ? (b->failed = TG_INTERNAL) : reserve(b, (size_t)need);
    if (status == TG_OK && (size_t)need >= room)
        vsnprintf(b->p + b->n, (size_t)need + 1, fmt, again);
    if (status == TG_OK)
        b->n += (size_t)need;
    b->p[b->n] = '\0';
    va_end(again);
    return status;
}

enum tg_status tg_buf_addu(struct tg_buf *b, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);
    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    return tg_buf_add(b, digits + at, sizeof(digits) - at);
}

void tg_buf_drop(struct tg_buf *b, size_t n)
{
    if (n == 0 || b->n == 0)
        return;
    if (n > b->n)
        n = b->n;
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
    b->p[b->n] = '\0';
}

enum tg_status tg_buf_add_json(struct tg_buf *b, struct tg_str s)
{
    tg_buf_addc(b, '"');
    size_t plain = 0; /* start of the run that needs no escape */
    for (size_t i = 0; i < s.n;) {
        i += tg_utf8_plain(s.p + i, s.n - i);
        if (i == s.n)
            break;
        unsigned char c = (unsigned char)s.p[i];
        uint32_t rune;
        size_t width = tg_utf8_decode(s.p + i, s.n - i, &rune);
        if (width && c >= 0x20 && c != '"' && c != '\\') {
            i += width;
            continue;
        }
        tg_buf_add(b, s.p + plain, i - plain);
        if (!width)
            tg_buf_adds(b, "\xEF\xBF\xBD");
        else if (c == '"' || c == '\\')
            tg_buf_add(b, c == '"' ? "\\\"" : "\\\\", 2);
        else if (c == '\n')
            tg_buf_adds(b, "\\n");
        else
            tg_buf_addf(b, "\\u%04x", c);
        plain = ++i;
    }
    tg_buf_add(b, s.p ? s.p + plain : "", s.n - plain);
    return tg_buf_addc(b, '"');
}

enum tg_status tg_buf_add_number(struct tg_buf *b, double value)
{
    char text[40];
    if (!isfinite(value))
        return b->failed;
    snprintf(text, sizeof(text), "%.15g", value);
    if (strtod(text, NULL) != value)
        snprintf(text, sizeof(text), "%.17g", value);
    return tg_buf_adds(b, text);
}
