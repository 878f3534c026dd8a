#include "gateway/http_parse.h"

#include <stdlib.h>

#include "tests/unit/check.h"
#include "config/base/alloc.h"

static const struct gw_parse_limits small = { .headers = 512, .body = 64 };

/* Pushes text in pieces of at most `piece` bytes, as a server would; the number of bytes taken. */
static size_t feed(struct gw_parser *p, struct tg_str text, size_t piece)
{
    size_t at = 0;
    while (at < text.n && p->state != GW_PARSE_DONE && p->state != GW_PARSE_FAILED) {
        size_t n = text.n - at < piece ? text.n - at : piece;
        at += gw_parser_push(p, text.p + at, n);
    }
    return at;
}

struct row {
    const char *text;
    int status;          /* 0: accepted */
    const char *body;    /* accepted: the body */
    bool unfinished;     /* neither: more bytes are needed */
};

#define HOST "Host: a\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

static void check_row(const struct row *row, size_t piece)
{
    struct gw_parser p;
    struct tg_str text = tg_str_of(row->text);
    gw_parser_init(&p, &small);
    size_t took = feed(&p, text, piece);
    bool as_wanted = row->unfinished ? p.state == GW_PARSE_HEAD || p.state == GW_PARSE_BODY
                     : row->status   ? p.state == GW_PARSE_FAILED && p.refusal.status == row->status
                                     : p.state == GW_PARSE_DONE && took == text.n;
    bool same_body = !row->body || tg_str_eq(tg_buf_str(&p.body), tg_str_of(row->body));
    int status = p.refusal.status, state = (int)p.state;
    bool explained = p.state != GW_PARSE_FAILED || (p.refusal.text && strlen(p.refusal.text) > 5);
    gw_parser_free(&p);
    if (!as_wanted || !same_body || !explained)
        CHECK_FAIL("pieces of %zu, state %d, status %d (want %d): %s", piece, state, status,
                   row->status, row->text);
}

static void check_rows(const struct row *rows, size_t n)
{
    static const size_t pieces[] = { 1, 2, 3, 7, 100000 };
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof(pieces) / sizeof(*pieces); k++)
            check_row(&rows[i], pieces[k]);
}

#define CHECK_ROWS(rows) check_rows(rows, sizeof(rows) / sizeof(*(rows)))

static void request_line(void)
{
    static const struct row rows[] = {
        { "GET / HTTP/1.1\r\n" HOST "\r\n", 0, "", false },
        { "\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 0, "", false },
        { "\r\n\r\nGET / HTTP/1.1\r\n", 400, NULL, false },
        { "GET / HTTP/1.0\r\n\r\n", 0, "", false },
        { "GET / HTTP/1.2\r\n", 505, NULL, false },
        { "GET / HTTP/2.0\r\n", 505, NULL, false },
        { "PRI * HTTP/2.0\r\n", 505, NULL, false },
        { "GET / HTTP/0.9\r\n", 505, NULL, false },
        { "GET / http/1.1\r\n", 400, NULL, false },
        { "GET / HTTP/1.1 \r\n", 400, NULL, false },
        { "GET / HTTP/11\r\n", 400, NULL, false },
        { "GET /\r\n", 400, NULL, false },
        { "GET\r\n", 400, NULL, false },
        { "GET  / HTTP/1.1\r\n", 400, NULL, false },
        { " GET / HTTP/1.1\r\n", 400, NULL, false },
        { "GET / a HTTP/1.1\r\n", 400, NULL, false },
        { "G(T / HTTP/1.1\r\n", 400, NULL, false },
        { "GET\t/\tHTTP/1.1\r\n", 400, NULL, false },
        { "GET / HTTP/1.1\n", 400, NULL, false },
        { "GET / HTTP/1.1\rX", 400, NULL, false },
        { "\x16\x03\x01", 400, NULL, false },
        { "CONNECT a:80 HTTP/1.1\r\n", 405, NULL, false },
        { "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 0, "", false },
        { "GET * HTTP/1.1\r\n", 400, NULL, false },
        { "GET a HTTP/1.1\r\n", 400, NULL, false },
        { "GET ftp://a/ HTTP/1.1\r\n", 400, NULL, false },
        { "GET /#x HTTP/1.1\r\n", 400, NULL, false },
        { "GET /\xc3\xa4 HTTP/1.1\r\n", 400, NULL, false },
        { "GET /%", 0, NULL, true },
        { "GET /% HTTP/1.1\r\n", 400, NULL, false },
        { "GET /%4 HTTP/1.1\r\n", 400, NULL, false },
        { "GET /%4g HTTP/1.1\r\n", 400, NULL, false },
        { "GET /%00 HTTP/1.1\r\n", 400, NULL, false },
        { "GET /?a=%00 HTTP/1.1\r\n", 400, NULL, false },
        { "GET /?a=%zz HTTP/1.1\r\n", 400, NULL, false },
        { "GET /%0d%0a HTTP/1.1\r\n", 400, NULL, false },
        { "GET /%ff HTTP/1.1\r\n" HOST "\r\n", 400, NULL, false },
        { "GET /?a=%0a HTTP/1.1\r\n" HOST "\r\n", 0, "", false },
        { "GET http:// HTTP/1.1\r\n" HOST "\r\n", 400, NULL, false },
        { "GET http://u@h/ HTTP/1.1\r\n" HOST "\r\n", 400, NULL, false },
    };
    CHECK_ROWS(rows);
}

static void fields(void)
{
    static const struct row rows[] = {
        { "GET / HTTP/1.1\r\n\r\n", 400, NULL, false },
        { "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, NULL, false },
        { "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, NULL, false },
        { "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, NULL, false },
        { "GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", 400, NULL, false },
        { "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400, NULL, false },
        { "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0, "", false },
        { "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400, NULL, false },
        { "GET / HTTP/1.1\r\nHost:\r\n\r\n", 0, "", false },
        { "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n", 400, NULL, false },
        { "GET / HTTP/1.1\r\n" HOST "X: a\r\n\tb\r\n\r\n", 400, NULL, false },
        { "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, NULL, false },
        { "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, NULL, false },
        { "GET / HTTP/1.1\r\n" HOST "no colon\r\n\r\n", 400, NULL, false },
        { "GET / HTTP/1.1\r\n" HOST ": v\r\n\r\n", 400, NULL, false },
        { "GET / HTTP/1.1\r\n" HOST "X\x01: v\r\n\r\n", 400, NULL, false },
        { "GET / HTTP/1.1\r\n" HOST "X: a\x01\r\n\r\n", 400, NULL, false },
        { "GET / HTTP/1.1\r\n" HOST "X: a\x7f\r\n\r\n", 400, NULL, false },
        { "GET / HTTP/1.1\r\n" HOST "X: a\n", 400, NULL, false },
        { "GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", 400, NULL, false },
        { "GET / HTTP/1.1\r\n" HOST "\n", 400, NULL, false },
        { "GET / HTTP/1.1\r\n" HOST "X: a\tb \xe4\r\nX:\r\n\r\n", 0, "", false },
        { "GET / HTTP/1.1\r\n" HOST "Upgrade: h2c\r\nConnection: upgrade\r\n\r\n", 0, "", false },
        { POST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx", 0, "x", false },
        { POST "Expect: magic\r\nContent-Length: 1\r\n\r\n", 417, NULL, false },
        { POST "Expect:\r\n\r\n", 417, NULL, false },
        { "POST / HTTP/1.0\r\nExpect: magic\r\nContent-Length: 1\r\n\r\nx", 0, "x", false },
    };
    CHECK_ROWS(rows);
}

static void lengths(void)
{
    static const struct row rows[] = {
        { POST "Content-Length: 3\r\n\r\nabc", 0, "abc", false },
        { POST "Content-Length: 3\r\n\r\nab", 0, NULL, true },
        { POST "Content-Length: 0\r\n\r\n", 0, "", false },
        { POST "Content-Length: 003\r\n\r\nabc", 0, "abc", false },
        { "GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx", 0, "x", false },
        { POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, NULL, false },
        { POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400, NULL, false },
        { POST "Content-Length: 3, 3\r\n\r\nabc", 400, NULL, false },
        { POST "Content-Length: +3\r\n\r\nabc", 400, NULL, false },
        { POST "Content-Length: -3\r\n\r\nabc", 400, NULL, false },
        { POST "Content-Length: 0x3\r\n\r\nabc", 400, NULL, false },
        { POST "Content-Length: 3 \r\n\r\nabc", 0, "abc", false },
        { POST "Content-Length: 3 4\r\n\r\nabc", 400, NULL, false },
        { POST "Content-Length:\r\n\r\n", 400, NULL, false },
        { POST "Content-Length: 65\r\n\r\n", 413, NULL, false },
        { POST "Content-Length: 99999999999999999999999\r\n\r\n", 413, NULL, false },
        { POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400, NULL, false },
        { POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", 400, NULL, false },
        { POST "Transfer-Encoding: gzip\r\n\r\n", 501, NULL, false },
        { POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, NULL, false },
        { POST "Transfer-Encoding: chunked, chunked\r\n\r\n", 501, NULL, false },
        { POST "Transfer-Encoding: xchunked\r\n\r\n", 501, NULL, false },
        { POST "Transfer-Encoding: \"chunked\"\r\n\r\n", 501, NULL, false },
        { POST "Transfer-Encoding:\r\n\r\n", 400, NULL, false },
        { POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400, NULL,
          false },
        { POST "Transfer-Encoding : chunked\r\n\r\n", 400, NULL, false },
        { "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, NULL, false },
    };
    CHECK_ROWS(rows);
}

static void chunks(void)
{
    static const struct row rows[] = {
        { CHUNKED "3\r\nabc\r\n0\r\n\r\n", 0, "abc", false },
        { CHUNKED "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", 0, "abc", false },
        { CHUNKED "0\r\n\r\n", 0, "", false },
        { CHUNKED "000\r\n\r\n", 0, "", false },
        { CHUNKED "A\r\n0123456789\r\n0\r\n\r\n", 0, "0123456789", false },
        { CHUNKED "3;name=\"v\"\r\nabc\r\n0 ; x\r\n\r\n", 0, "abc", false },
        { CHUNKED "0\r\nX: y\r\nZ:\r\n\r\n", 0, "", false },
        { CHUNKED "0\r\n", 0, NULL, true },
        { CHUNKED "3\nabc", 400, NULL, false },
        { CHUNKED "3\r\nabcd", 400, NULL, false },
        { CHUNKED "3\r\nabc\n", 400, NULL, false },
        { CHUNKED "3\r\nabc\rX", 400, NULL, false },
        { CHUNKED "\r\n", 400, NULL, false },
        { CHUNKED ";x\r\n", 400, NULL, false },
        { CHUNKED "0x3\r\n", 400, NULL, false },
        { CHUNKED "-1\r\n", 400, NULL, false },
        { CHUNKED " 3\r\n", 400, NULL, false },
        { CHUNKED "00000000000000001\r\n", 400, NULL, false },
        { CHUNKED "FFFFFFFFFFFFFFFF\r\n", 413, NULL, false },
        { CHUNKED "41\r\n", 413, NULL, false },
        { CHUNKED "1\r\na\r\n40\r\n", 413, NULL, false },
        { CHUNKED "3;a\nb\r\n", 400, NULL, false },
        { CHUNKED "3;a\x01\r\n", 400, NULL, false },
        { CHUNKED "0\r\n X: y\r\n\r\n", 400, NULL, false },
        { CHUNKED "0\r\nX y\r\n\r\n", 400, NULL, false },
        { CHUNKED "0\r\n: y\r\n\r\n", 400, NULL, false },
        { CHUNKED "0\r\nX: y\n", 400, NULL, false },
        { CHUNKED "0\r\nX: \x02", 400, NULL, false },
        { CHUNKED "0\r\n\rX", 400, NULL, false },
    };
    CHECK_ROWS(rows);
}

/* A request with `n` times `unit` between head and tail. */
static int status_of(const char *head, const char *unit, size_t n, const char *tail)
{
    struct tg_buf text;
    struct gw_parser p;
    tg_buf_init(&text, 1 << 20);
    tg_buf_adds(&text, head);
    for (size_t i = 0; i < n; i++)
        tg_buf_adds(&text, unit);
    tg_buf_adds(&text, tail);
    gw_parser_init(&p, &small);
    feed(&p, tg_buf_str(&text), 4096);
    int status = p.state == GW_PARSE_FAILED ? p.refusal.status : p.state == GW_PARSE_DONE ? 0 : -1;
    struct gw_parser q;
    gw_parser_init(&q, &small);
    feed(&q, tg_buf_str(&text), 1);
    bool same = q.state == p.state && q.refusal.status == p.refusal.status;
    gw_parser_free(&p);
    gw_parser_free(&q);
    tg_buf_free(&text);
    CHECK(same);
    return status;
}

static void limits(void)
{
    static const char end[] = " HTTP/1.1\r\n" HOST "\r\n";
    /* "GET /" and " HTTP/1.1" around it are 14 bytes */
    CHECK_INT(status_of("GET /", "a", GW_REQUEST_LINE_MAX - 14, end), 0);
    CHECK_INT(status_of("GET /", "a", GW_REQUEST_LINE_MAX - 13, end), 414);
    /* 512 bytes of fields, each with its CR: "Host: a" and CR is 8, "X:" and CR 3, the last CR 1 */
    CHECK_INT(status_of("GET / HTTP/1.1\r\n" HOST "X:", "a", 500, "\r\n\r\n"), 0);
    CHECK_INT(status_of("GET / HTTP/1.1\r\n" HOST "X:", "a", 501, "\r\n\r\n"), 431);
    CHECK_INT(status_of("GET / HTTP/1.1\r\n" HOST, "a:\r\n", 99, "\r\n"), 0);
    CHECK_INT(status_of("GET / HTTP/1.1\r\n" HOST, "a:\r\n", 100, "\r\n"), 431);
    CHECK_INT(status_of(CHUNKED "0;", "a", GW_CHUNK_EXTENSIONS_MAX, "\r\n\r\n"), 0);
    CHECK_INT(status_of(CHUNKED "0;", "a", GW_CHUNK_EXTENSIONS_MAX + 1, "\r\n\r\n"), 400);
    CHECK_INT(status_of(CHUNKED "0\r\n", "X: aaaaaa\r\n", 46, "\r\n"), 0);
    CHECK_INT(status_of(CHUNKED "0\r\n", "X: aaaaaa\r\n", 52, "\r\n"), 431);
    CHECK_INT(status_of(CHUNKED, "1\r\na\r\n", 64, "0\r\n\r\n"), 0);
    CHECK_INT(status_of(CHUNKED, "1\r\na\r\n", 65, "0\r\n\r\n"), 413);
}

static bool is(struct tg_str s, const char *want)
{
    return tg_str_eq(s, tg_str_of(want));
}

static void what_was_asked(void)
{
    struct gw_parser p;
    struct gw_ask ask;
    gw_parser_init(&p, &small);
    feed(&p, TG_STR("POST /v1/m%2Fa%20b?x=%41&y HTTP/1.1\r\nHost: h:1\r\nX-A:  v w\t\r\nx-a: 2\r\n"
                    "Content-Length: 2\r\n\r\nhiGET /"), 5);
    CHECK_INT(p.state, GW_PARSE_DONE);
    gw_parser_ask(&p, &ask);
    CHECK(is(ask.method, "POST") && is(ask.path, "/v1/m/a b") && is(ask.query, "x=%41&y"));
    CHECK(is(ask.host, "h:1") && is(ask.body, "hi") && !ask.head);
    CHECK(ask.n_headers == 4 && is(ask.headers[1].name, "X-A"));
    CHECK(is(gw_header_of(&ask, "x-a"), "v w") && !gw_header_of(&ask, "x-b").p);
    CHECK(p.head.keep_alive);
    gw_parser_reset(&p);
    feed(&p, TG_STR("HEAD http://Other:8/a?b HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n"),
         99);
    gw_parser_ask(&p, &ask);
    CHECK(is(ask.path, "/a") && is(ask.query, "b") && is(ask.host, "Other:8") && ask.head);
    CHECK(!p.head.keep_alive);
    gw_parser_reset(&p);
    feed(&p, TG_STR("GET HTTPS://h?q/r HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), 99);
    gw_parser_ask(&p, &ask);
    CHECK(is(ask.path, "/") && is(ask.query, "q/r") && is(ask.host, "h") && p.head.keep_alive);
    gw_parser_reset(&p);
    feed(&p, TG_STR("GET / HTTP/1.0\r\n\r\n"), 99);
    CHECK(p.state == GW_PARSE_DONE && !p.head.keep_alive);
    gw_parser_free(&p);
}

/* Each request takes its own bytes and no more: what smuggling is about. */
static void pipelined_bytes(void)
{
    static const char two[] = CHUNKED "3\r\nabc\r\n0\r\n\r\n" POST "Content-Length: 2\r\n\r\nhi"
                              "GET /third HTTP/1.1\r\nHost: a\r\n\r\n";
    for (size_t piece = 1; piece < sizeof(two); piece++) {
        struct gw_parser p;
        gw_parser_init(&p, &small);
        size_t at = 0, n = sizeof(two) - 1, seen = 0;
        static const char *const bodies[] = { "abc", "hi", "" };
        while (at < n) {
            size_t took = feed(&p, (struct tg_str){ two + at, n - at }, piece);
            bool fine = p.state == GW_PARSE_DONE && seen < 3 &&
                        tg_str_eq(tg_buf_str(&p.body), tg_str_of(bodies[seen]));
            seen++;
            at += took;
            gw_parser_reset(&p);
            if (!fine) {
                gw_parser_free(&p);
                CHECK_FAIL("request %zu in pieces of %zu", seen, piece);
            }
        }
        gw_parser_free(&p);
        CHECK_INT(seen, 3);
    }
}

static void stops_where_the_body_begins(void)
{
    struct gw_parser p;
    static const char text[] = POST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi";
    gw_parser_init(&p, &small);
    size_t took = gw_parser_push(&p, text, sizeof(text) - 1);
    CHECK_INT(took, sizeof(text) - 3);
    CHECK(p.state == GW_PARSE_BODY && p.head.expect_continue && p.head.length == 2);
    gw_parser_free(&p);
}

/* Every allocation failed in turn: 503 or success, and no leak (ASan). */
static void out_of_memory(void)
{
    static const char text[] = CHUNKED "3\r\nabc\r\n0\r\n\r\n";
    bool succeeded = false;
    for (uint64_t nth = 1; nth < 50 && !succeeded; nth++) {
        struct gw_parser p;
        gw_parser_init(&p, &small);
        tg_alloc_fail_nth(nth);
        feed(&p, tg_str_of(text), 3);
        tg_alloc_fail_nth(0);
        succeeded = p.state == GW_PARSE_DONE;
        bool refused = p.state == GW_PARSE_FAILED && p.refusal.status == 503;
        gw_parser_free(&p);
        CHECK(succeeded || refused);
        CHECK(succeeded == (nth > 3));
    }
    CHECK(succeeded);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(request_line),    CASE(fields),
        CASE(lengths),         CASE(chunks),
        CASE(limits),          CASE(what_was_asked),
        CASE(pipelined_bytes), CASE(stops_where_the_body_begins),
        CASE(out_of_memory),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
