#include "providers/download_head.h"

#include <string.h>

static int64_t number(struct tg_str value)
{
    uint64_t n;
    return tg_parse_u64(value, &n) && n <= INT64_MAX ? (int64_t)n : -1;
}

/* "bytes F-T/N", either side of the slash may be an asterisk (RFC 9110, 14.4). */
static void read_range(struct prov_get_head *h, struct tg_str value)
{
    if (value.n < 6 || !tg_str_ieq((struct tg_str){ value.p, 6 }, TG_STR("bytes ")))
        return;
    struct tg_str rest = { value.p + 6, value.n - 6 };
    const char *slash = memchr(rest.p, '/', rest.n);
    if (!slash)
        return;
    struct tg_str span = { rest.p, (size_t)(slash - rest.p) };
    h->range_total = number((struct tg_str){ slash + 1, rest.n - span.n - 1 });
    const char *dash = memchr(span.p, '-', span.n);
    if (dash)
        h->range_from = number((struct tg_str){ span.p, (size_t)(dash - span.p) });
}

static bool is_hex(struct tg_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!(s.p[i] >= '0' && s.p[i] <= '9') && !(s.p[i] >= 'a' && s.p[i] <= 'f') &&
            !(s.p[i] >= 'A' && s.p[i] <= 'F'))
            return false;
    return true;
}

/* A quoted SHA-256 (files in large-file storage); other files carry a shorter id here. */
static void read_linked(struct prov_get_head *h, struct tg_str value)
{
    if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
        value = (struct tg_str){ value.p + 1, value.n - 2 };
    h->linked_sha256[0] = '\0';
    if (value.n != TG_SHA256_HEX || !is_hex(value))
        return;
    for (size_t i = 0; i < value.n; i++)
        h->linked_sha256[i] =
            value.p[i] >= 'A' && value.p[i] <= 'F' ? (char)(value.p[i] + 32) : value.p[i];
    h->linked_sha256[value.n] = '\0';
}

static void copy(char *out, size_t max, struct tg_str value)
{
    size_t n = value.n < max ? value.n : 0; /* what does not fit is as good as absent */
    memcpy(out, value.p, n);
    out[n] = '\0';
}

static void read_field(struct prov_get_head *h, struct tg_str name, struct tg_str value)
{
    if (tg_str_ieq(name, TG_STR("content-length"))) {
        h->length = number(value);
    } else if (tg_str_ieq(name, TG_STR("content-range"))) {
        read_range(h, value);
    } else if (tg_str_ieq(name, TG_STR("x-linked-size"))) {
        h->linked_size = number(value);
    } else if (tg_str_ieq(name, TG_STR("x-linked-etag"))) {
        read_linked(h, value);
    } else if (tg_str_ieq(name, TG_STR("etag"))) {
        if (value.n >= 2 && value.p[0] == '"') /* weak ones cannot be used with ranges */
            copy(h->validator, sizeof(h->validator), value);
    } else if (tg_str_ieq(name, TG_STR("last-modified"))) {
        if (h->validator[0] != '"' && value.n && value.p[0] != '"')
            copy(h->validator, sizeof(h->validator), value);
    } else if (tg_str_ieq(name, TG_STR("content-encoding"))) {
        h->encoded = !tg_str_ieq(value, TG_STR("identity"));
    } else if (tg_str_ieq(name, TG_STR("location"))) {
        copy(h->location, sizeof(h->location), value);
        h->has_location = h->location[0] != '\0';
    }
}

enum tg_status prov_get_head_line(struct prov_get_head_reader *r, struct tg_str line,
                                  int64_t wall_ms)
{
    if (!r->base.whole && line.n >= 5 && memcmp(line.p, "HTTP/", 5) == 0)
        r->head = (struct prov_get_head){
            .length = -1, .range_from = -1, .range_total = -1, .linked_size = -1
        };
    const char *colon = r->base.whole ? NULL : memchr(line.p, ':', line.n);
    enum tg_status status = prov_http_head_line(&r->base, line, wall_ms);
    if (status == TG_AGAIN && colon) {
        size_t n = (size_t)(colon - line.p);
        read_field(&r->head, (struct tg_str){ line.p, n },
                   tg_str_trim((struct tg_str){ colon + 1, line.n - n - 1 }));
    }
    r->head.status = r->base.head.status;
    r->head.retry_after_ms = r->base.head.retry_after_ms;
    return status;
}
