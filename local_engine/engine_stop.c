#include "local_engine/engine_stop.h"

#include <string.h>

#include "config/base/utf8.h"

enum tg_status le_stop_init(struct le_stop *s, const struct tg_str *text, uint32_t n,
                            struct tg_error *err)
{
    s->n = 0;
    s->n_held = 0;
    if (n > LE_STOPS_MAX)
        return tg_fail(err, TG_LIMIT, "%u stop strings; at most %d are possible", n, LE_STOPS_MAX);
    for (uint32_t i = 0; i < n; i++) {
        if (text[i].n == 0)
            return tg_fail(err, TG_INVALID, "stop string %u is empty", i + 1);
        if (text[i].n > LE_STOP_BYTES_MAX)
            return tg_fail(err, TG_LIMIT, "stop string %u has %zu bytes; at most %d are possible",
                           i + 1, text[i].n, LE_STOP_BYTES_MAX);
        if (!tg_utf8_valid(text[i].p, text[i].n))
            return tg_fail(err, TG_INVALID, "stop string %u is not valid UTF-8", i + 1);
        memcpy(s->text[i], text[i].p, text[i].n);
        s->n_text[i] = text[i].n;
    }
    s->n = n;
    s->ended_by = 0;
    return TG_OK;
}

/* Where the stop string that is complete first begins, or n; *which is 1 + its index. */
static size_t find(const struct le_stop *s, const char *p, size_t n, uint32_t *which)
{
    size_t begin = n, end = n + 1;
    for (uint32_t i = 0; i < s->n; i++) {
        const char *at = n ? memmem(p, n, s->text[i], s->n_text[i]) : NULL;
        if (!at)
            continue;
        size_t b = (size_t)(at - p), e = b + s->n_text[i];
        if (e < end || (e == end && b < begin)) {
            begin = b;
            end = e;
            *which = i + 1;
        }
    }
    return begin;
}

/* Length of the longest end of p[0..n) that begins a stop string without being one. */
static size_t unfinished(const struct le_stop *s, const char *p, size_t n)
{
    size_t longest = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        size_t most = s->n_text[i] - 1 < n ? s->n_text[i] - 1 : n;
        for (size_t len = most; len > longest; len--)
            if (memcmp(p + n - len, s->text[i], len) == 0)
                longest = len;
    }
    return longest;
}

enum tg_status le_stop_feed(struct le_stop *s, struct tg_str text, struct tg_buf *out, bool *hit)
{
    size_t base = out->n;
    *hit = false;
    if (s->n == 0)
        return tg_buf_add(out, text.p, text.n);
    tg_buf_add(out, s->held, s->n_held);
    if (tg_buf_add(out, text.p, text.n))
        return out->failed;
    size_t n = out->n - base;
    size_t certain = find(s, out->p + base, n, &s->ended_by);
    if (certain < n) {
        *hit = true;
        s->n_held = 0;
    } else {
        s->n_held = unfinished(s, out->p + base, n);
        certain = n - s->n_held;
        memcpy(s->held, out->p + base + certain, s->n_held);
    }
    out->n = base + certain;
    out->p[out->n] = '\0';
    return TG_OK;
}

enum tg_status le_stop_flush(struct le_stop *s, struct tg_buf *out)
{
    size_t n = s->n_held;
    s->n_held = 0;
    return tg_buf_add(out, s->held, n);
}
