#include "providers/download_head.h"

#include "tests/unit/check.h"

static enum tg_status feed(struct prov_get_head_reader *r, const char *text)
{
    enum tg_status status = TG_AGAIN;
    while (*text && status == TG_AGAIN) {
        size_t n = strcspn(text, "\n") + 1;
        status = prov_get_head_line(r, (struct tg_str){ text, n }, 0);
        text += n;
    }
    return status;
}

#define SHA "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"

static void a_host_that_redirects(void)
{
    struct prov_get_head_reader r = { 0 };
    CHECK_INT(feed(&r, "HTTP/1.1 100 Continue\r\nETag: \"no\"\r\n\r\n"
                       "HTTP/1.1 302 Found\r\nX-Linked-Size: 3349516256\r\n"
                       "x-linked-etag: \"" SHA "\"\r\nLocation: https://cdn.example/x?a=b:c\r\n"
                       "Content-Length: 1100\r\n\r\n"), TG_OK);
    CHECK_INT(r.head.status, 302);
    CHECK_INT(r.head.linked_size, 3349516256);
    CHECK_STR(r.head.linked_sha256,
              "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    CHECK_STR(r.head.location, "https://cdn.example/x?a=b:c");
    CHECK(r.head.has_location && !r.head.encoded);
    CHECK_STR(r.head.validator, "");
    CHECK_INT(r.head.length, 1100);
    CHECK_INT(r.head.range_from, -1);
    /* trailers change nothing */
    CHECK_INT(prov_get_head_line(&r, TG_STR("Content-Length: 5\r\n"), 0), TG_AGAIN);
    CHECK_INT(r.head.length, 1100);
}

static void a_part(void)
{
    struct prov_get_head_reader r = { 0 };
    CHECK_INT(feed(&r, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/10\r\n"
                       "ETag: \"abc\"\r\nRetry-After: 7\r\nContent-Encoding: identity\r\n\r\n"),
              TG_OK);
    CHECK_INT(r.head.range_from, 5);
    CHECK_INT(r.head.range_total, 10);
    CHECK_STR(r.head.validator, "\"abc\"");
    CHECK_INT(r.head.retry_after_ms, 7000);
    CHECK_INT(r.head.linked_size, -1);
    CHECK(!r.head.encoded && !r.head.has_location);
}

static void what_if_range_takes(void)
{
    static const struct { const char *lines, *validator; } table[] = {
        { "ETag: \"a\"\r\nLast-Modified: Mon\r\n", "\"a\"" },
        { "Last-Modified: Mon\r\nETag: \"a\"\r\n", "\"a\"" },
        { "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n", "Mon, 01 Jan 2024 00:00:00 GMT" },
        { "ETag: W/\"a\"\r\nLast-Modified: Mon\r\n", "Mon" },
        { "Last-Modified: \"Mon\r\n", "" },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct prov_get_head_reader r = { 0 };
        char text[400];
        snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%s\r\n", table[i].lines);
        CHECK_INT(feed(&r, text), TG_OK);
        CHECK_STR(r.head.validator, table[i].validator);
    }
}

static void odd_values(void)
{
    static const struct { const char *line; int64_t length, from, total, linked; bool encoded; }
    table[] = {
        { "Content-Length: -5", -1, -1, -1, -1, false },
        { "Content-Length: 99999999999999999999", -1, -1, -1, -1, false },
        { "Content-Length: 5 6", -1, -1, -1, -1, false },
        { "Content-Range: bytes */77", -1, -1, 77, -1, false },
        { "Content-Range: bytes 3-4/*", -1, 3, -1, -1, false },
        { "Content-Range: lines 3-4/5", -1, -1, -1, -1, false },
        { "Content-Range: bytes 3", -1, -1, -1, -1, false },
        { "Content-Range: b", -1, -1, -1, -1, false },
        { "X-Linked-Size: 12x", -1, -1, -1, -1, false },
        { "Content-Encoding: gzip", -1, -1, -1, -1, true },
        { "ETag: W/\"weak\"", -1, -1, -1, -1, false },
        { "X-Linked-ETag: \"0123\"", -1, -1, -1, -1, false },
        { "X-Linked-ETag: \"", -1, -1, -1, -1, false },
        { "X-Linked-ETag: x123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", -1, -1,
          -1, -1, false },
        { ":", -1, -1, -1, -1, false },
        { "Location:", -1, -1, -1, -1, false },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct prov_get_head_reader r = { 0 };
        char text[400];
        snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%s\r\n\r\n", table[i].line);
        CHECK_INT(feed(&r, text), TG_OK);
        const struct prov_get_head *h = &r.head;
        if (h->length != table[i].length || h->range_from != table[i].from ||
            h->range_total != table[i].total || h->linked_size != table[i].linked ||
            h->encoded != table[i].encoded || h->validator[0] || h->linked_sha256[0] ||
            h->has_location)
            CHECK_FAIL("%s", table[i].line);
    }
}

static void too_long(void)
{
    static struct prov_get_head_reader r;
    static char line[PROV_HTTP_HEAD_MAX + 100];
    CHECK_INT(feed(&r, "HTTP/1.1 302 Found\r\n"), TG_AGAIN);
    memset(line, 'a', sizeof(line));
    memcpy(line, "Location: ", 10);
    CHECK_INT(prov_get_head_line(&r, (struct tg_str){ line, PROV_LOCATION_MAX + 10 }, 0), TG_AGAIN);
    CHECK(!r.head.has_location && r.head.location[0] == '\0');
    CHECK_INT(prov_get_head_line(&r, (struct tg_str){ line, 1000 }, 0), TG_AGAIN);
    CHECK(r.head.has_location && strlen(r.head.location) == 990);
    memcpy(line, "ETag: \"   ", 10);
    CHECK_INT(prov_get_head_line(&r, (struct tg_str){ line, 1000 }, 0), TG_AGAIN);
    CHECK_STR(r.head.validator, "");
    CHECK_INT(prov_get_head_line(&r, (struct tg_str){ line, sizeof(line) }, 0), TG_LIMIT);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(a_host_that_redirects), CASE(a_part), CASE(what_if_range_takes), CASE(odd_values),
        CASE(too_long),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
