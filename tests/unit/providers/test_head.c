#include "providers/http_head.h"
#include "tests/unit/check.h"

static const int64_t now_ms = 784111770000; /* Sun, 06 Nov 1994 08:49:30 GMT */

static int64_t retry_of(struct tg_str line)
{
    struct prov_http_head_reader r = { 0 };
    CHECK_INT(prov_http_head_line(&r, TG_STR("HTTP/1.1 429 Slow\r\n"), now_ms), TG_AGAIN);
    CHECK_INT(prov_http_head_line(&r, line, now_ms), TG_AGAIN);
    CHECK_INT(prov_http_head_line(&r, TG_STR("\r\n"), now_ms), TG_OK);
    CHECK_INT(r.head.status, 429);
    return r.head.retry_after_ms;
}

static void retry_after(void)
{
    CHECK_INT(retry_of(TG_STR("Retry-After: 3\r\n")), 3000);
    CHECK_INT(retry_of(TG_STR("retry-after:0\r\n")), 0);
    CHECK_INT(retry_of(TG_STR("Retry-After-Ms: 250\r\n")), 250);
    CHECK_INT(retry_of(TG_STR("Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n")), 7000);
    CHECK_INT(retry_of(TG_STR("Retry-After: Sun, 06 Nov 1994 08:00:00 GMT\r\n")), 0);
    CHECK_INT(retry_of(TG_STR("Retry-After: 99999999999999999\r\n")), 86400000);
    CHECK_INT(retry_of(TG_STR("Retry-After: soon\r\n")), -1);
    CHECK_INT(retry_of(TG_STR("Retry-After: -1\r\n")), -1);
    CHECK_INT(retry_of(TG_STR("X: 1\r\n")), -1);
    CHECK_INT(retry_of(TG_STR("no colon\r\n")), -1);
}

static void interim_heads_and_trailers(void)
{
    struct prov_http_head_reader r = { 0 };
    CHECK_INT(prov_http_head_line(&r, TG_STR("HTTP/1.1 100 Continue\r\n"), 0), TG_AGAIN);
    CHECK_INT(prov_http_head_line(&r, TG_STR("Content-Type: a/b\r\n"), 0), TG_AGAIN);
    CHECK_INT(prov_http_head_line(&r, TG_STR("\r\n"), 0), TG_AGAIN);
    CHECK_INT(prov_http_head_line(&r, TG_STR("HTTP/1.1 204\r\n"), 0), TG_AGAIN);
    CHECK_INT(prov_http_head_line(&r, TG_STR("\r\n"), 0), TG_OK);
    CHECK_INT(r.head.status, 204);
    CHECK_INT(r.head.content_type.n, 0);
    CHECK_INT(prov_http_head_line(&r, TG_STR("HTTP/1.1 500 x\r\n"), 0), TG_AGAIN);
    CHECK_INT(r.head.status, 204);
}

/* Of the final head alone, and whole or not at all. */
static void location(void)
{
    char text[8] = "old";
    struct prov_http_head_reader r = { .location = text, .location_max = sizeof(text) };
    CHECK_INT(prov_http_head_line(&r, TG_STR("HTTP/1.1 103 Early\r\n"), 0), TG_AGAIN);
    CHECK_STR(text, "");
    CHECK_INT(prov_http_head_line(&r, TG_STR("location: /early\r\n"), 0), TG_AGAIN);
    CHECK_STR(text, "/early");
    CHECK_INT(prov_http_head_line(&r, TG_STR("\r\n"), 0), TG_AGAIN);
    CHECK_INT(prov_http_head_line(&r, TG_STR("HTTP/1.1 302 Found\r\n"), 0), TG_AGAIN);
    CHECK_STR(text, "");
    CHECK_INT(prov_http_head_line(&r, TG_STR("LOCATION:  /123456 \r\n"), 0), TG_AGAIN);
    CHECK_STR(text, "/123456");
    CHECK_INT(prov_http_head_line(&r, TG_STR("Location: /1234567\r\n"), 0), TG_AGAIN);
    CHECK_STR(text, "");
    CHECK_INT(prov_http_head_line(&r, TG_STR("Location:\r\n"), 0), TG_AGAIN);
    CHECK_STR(text, "");
}

static void bytes_have_a_maximum(void)
{
    struct prov_http_head_reader r = { 0 };
    static char line[1024];
    memset(line, 'x', sizeof(line));
    for (size_t i = 0; i < PROV_HTTP_HEAD_MAX / sizeof(line); i++)
        CHECK_INT(prov_http_head_line(&r, (struct tg_str){ line, sizeof(line) }, 0), TG_AGAIN);
    CHECK_INT(prov_http_head_line(&r, TG_STR("\n"), 0), TG_LIMIT);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = { CASE(retry_after), CASE(interim_heads_and_trailers),
                                               CASE(location), CASE(bytes_have_a_maximum) };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
