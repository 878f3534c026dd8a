#include "providers/http_head.h"

#include <string.h>
#include <time.h>

enum { RETRY_AFTER_MAX_MS = 86400000 };

/* RFC 9110's preferred form only: "Sun, 06 Nov 1994 08:49:37 GMT". */
static int64_t date_ms(struct tg_str value)
{
    char text[40];
    struct tm tm = { 0 };
    if (value.n >= sizeof(text))
        return -1;
    memcpy(text, value.p, value.n);
    text[value.n] = '\0';
    const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    return end && *end == '\0' ? (int64_t)timegm(&tm) * 1000 : -1;
}

static int64_t retry_after(struct tg_str value, bool in_ms, int64_t wall_ms)
{
    uint64_t n;
    if (tg_parse_u64(value, &n)) {
        if (n > RETRY_AFTER_MAX_MS)
            return RETRY_AFTER_MAX_MS;
        n = in_ms ? n : n * 1000;
        return n > RETRY_AFTER_MAX_MS ? RETRY_AFTER_MAX_MS : (int64_t)n;
    }
    int64_t when = in_ms ? -1 : date_ms(value);
    if (when < 0)
        return -1;
    int64_t ms = when - wall_ms;
    return ms < 0 ? 0 : ms > RETRY_AFTER_MAX_MS ? RETRY_AFTER_MAX_MS : ms;
}

static void read_field(struct prov_http_head_reader *r, struct tg_str line, int64_t wall_ms)
{
    const char *colon = memchr(line.p, ':', line.n);
    if (!colon)
        return;
    struct tg_str name = { line.p, (size_t)(colon - line.p) };
    struct tg_str value = tg_str_trim((struct tg_str){ colon + 1, line.n - name.n - 1 });
    if (tg_str_ieq(name, TG_STR("content-type"))) {
        size_t n = value.n < sizeof(r->content_type) ? value.n : sizeof(r->content_type);
        if (n)
            memcpy(r->content_type, value.p, n);
        r->head.content_type = (struct tg_str){ r->content_type, n };
    } else if (r->location && tg_str_ieq(name, TG_STR("location"))) {
        size_t n = value.n < r->location_max ? value.n : 0;
        memcpy(r->location, value.p, n);
        r->location[n] = '\0';
    } else if (tg_str_ieq(name, TG_STR("retry-after-ms"))) {
        int64_t ms = retry_after(value, true, wall_ms);
        r->head.retry_after_ms = ms >= 0 ? ms : r->head.retry_after_ms;
    } else if (tg_str_ieq(name, TG_STR("retry-after")) && r->head.retry_after_ms < 0) {
        r->head.retry_after_ms = retry_after(value, false, wall_ms);
    }
}

static int status_of(struct tg_str line)
{
    const char *space = memchr(line.p, ' ', line.n);
    int status = 0;
    for (const char *p = space ? space + 1 : line.p + line.n;
         p < line.p + line.n && *p >= '0' && *p <= '9' && status < 1000; p++)
        status = status * 10 + (*p - '0');
    return status;
}

enum tg_status prov_http_head_line(struct prov_http_head_reader *r, struct tg_str line,
                                   int64_t wall_ms)
{
    if (line.n > PROV_HTTP_HEAD_MAX - r->bytes)
        return TG_LIMIT;
    r->bytes += line.n;
    if (r->whole)
        return TG_AGAIN; /* trailers are dropped */
    if (line.n >= 5 && memcmp(line.p, "HTTP/", 5) == 0) {
        r->head = (struct prov_http_head){ .status = status_of(line), .retry_after_ms = -1 };
        if (r->location)
            r->location[0] = '\0';
        return TG_AGAIN;
    }
    if (tg_str_trim(line).n > 0) {
        read_field(r, line, wall_ms);
        return TG_AGAIN;
    }
    if (r->head.status < 200)
        return TG_AGAIN; /* an interim response; the final one follows */
    r->whole = 1;
    return TG_OK;
}
