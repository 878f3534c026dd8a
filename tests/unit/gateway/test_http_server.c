#include "tests/unit/gateway/http_site.h"

static size_t count_of(const struct client *c, const char *text)
{
    size_t n = 0;
    for (const char *p = c->got.p; p && (p = strstr(p, text)); p += strlen(text))
        n++;
    return n;
}

static void answers(void)
{
    struct site s;
    open_site(&s);
    struct client c = connect_to(&s);
    say(&s, &c, POST("/echo", "Content-Length: 3\r\n", "abc"));
    CHECK(wait_for(&s, &c, "POST abc", 1000));
    CHECK(strncmp(c.got.p, "HTTP/1.1 200 OK\r\nDate: ", 23) == 0);
    CHECK(strstr(c.got.p, " GMT\r\nContent-Type: text/plain\r\nx-path: /echo\r\n"
                          "Content-Length: 8\r\n\r\nPOST abc"));
    tg_buf_reset(&c.got);
    say(&s, &c, "HEAD /echo HTTP/1.1\r\nHost: a\r\n\r\n" GET("/echo"));
    CHECK(wait_for(&s, &c, "GET ", 1000));
    CHECK(count_of(&c, "HEAD ") == 0 && strstr(c.got.p, "Content-Length: 5\r\n"));
    tg_buf_reset(&c.got);
    say(&s, &c, POST("/echo", "Transfer-Encoding: chunked\r\n",
                     "2\r\nxy\r\n1;e\r\nz\r\n0\r\n\r\n"));
    CHECK(wait_for(&s, &c, "POST xyz", 1000));
    CHECK(!c.ended && gw_http_requests(s.http) == 0 && gw_http_connections(s.http) == 1);
    hang_up(&c);
    close_site(&s);
}

static void split_at_every_byte(void)
{
    static const char text[] = POST("/echo", "Transfer-Encoding: chunked\r\n",
                                    "3\r\nabc\r\n0\r\nT: v\r\n\r\n");
    struct site s;
    open_site(&s);
    struct client c = connect_to(&s);
    for (size_t at = 1; at < sizeof(text) - 1; at++) {
        CHECK(say_n(&s, &c, text, at));
        turn(&s);
        CHECK(say_n(&s, &c, text + at, sizeof(text) - 1 - at));
        CHECK(wait_for(&s, &c, "POST abc", 1000));
        tg_buf_reset(&c.got);
    }
    for (size_t i = 0; i < sizeof(text) - 1; i++)
        CHECK(say_n(&s, &c, text + i, 1));
    CHECK(wait_for(&s, &c, "POST abc", 1000));
    CHECK_INT(s.asked, sizeof(text) - 1);
    hang_up(&c);
    close_site(&s);
}

static void pipelining_keeps_order(void)
{
    struct site s;
    open_site(&s);
    struct client c = connect_to(&s);
    say(&s, &c, GET("/hold") POST("/echo", "Content-Length: 1\r\n", "1")
                POST("/echo", "Content-Length: 1\r\n", "2"));
    spin(&s, 20);
    hear(&c);
    CHECK(s.asked == 1 && s.held && c.got.n == 0);
    gw_http_respond(s.held, 404, NULL, TG_STR("first"));
    s.held = NULL;
    CHECK(s.asked == 1); /* the next is not begun below the handler's own call */
    CHECK(wait_for(&s, &c, "POST 2", 1000));
    CHECK(s.asked == 3 && strncmp(c.got.p, "HTTP/1.1 404 Not Found", 22) == 0);
    CHECK(strstr(c.got.p, "first") < strstr(c.got.p, "POST 1"));
    CHECK(strstr(c.got.p, "POST 1") < strstr(c.got.p, "POST 2"));
    hang_up(&c);
    close_site(&s);
}

/* A client that sends without reading: its answers stay within a bound. */
/* Whoever sends a hundred requests at once holds up nobody else for all of them. */
static void pipelining_leaves_turns_to_others(void)
{
    struct site s;
    char many[100 * sizeof(GET("/slow"))] = "";
    for (int i = 0; i < 100; i++)
        strcat(many, GET("/slow"));
    open_site(&s);
    struct client greedy = connect_to(&s), other = connect_to(&s);
    say(&s, &greedy, GET("/echo"));
    say(&s, &other, GET("/echo"));
    CHECK(wait_for(&s, &greedy, "GET ", 1000) && wait_for(&s, &other, "GET ", 1000));
    s.asked = 0;
    CHECK(try_say(&greedy, many, strlen(many)) == (ssize_t)strlen(many));
    CHECK(try_say(&other, GET("/echo"), strlen(GET("/echo"))) > 0);
    spin(&s, 1);
    CHECK(s.echoed > 0 && s.echoed < 20);
    int64_t end = tg_mono_ns() + 5000000000;
    while (s.asked < 101 && tg_mono_ns() < end) /* none is forgotten */
        spin(&s, 1);
    CHECK_INT(s.asked, 101);
    hang_up(&greedy);
    hang_up(&other);
    close_site(&s);
}

static void pipelining_without_reading(void)
{
    struct site s;
    struct cfg_limits limits = defaults;
    open_on(&s, &limits);
    struct client c = connect_to(&s);
    static char body[4096];
    memset(body, 'b', sizeof(body));
    size_t sent = 0;
    say(&s, &c, GET("/echo")); /* shakes hands, under TLS */
    for (; sent < 20000; sent++) {
        char head[128];
        int n = snprintf(head, sizeof(head), POST("/echo", "Content-Length: %zu\r\n", ""),
                         sizeof(body));
        if (try_say(&c, head, (size_t)n) != n ||
            try_say(&c, body, sizeof(body)) != (ssize_t)sizeof(body))
            break;
        turn(&s);
    }
    CHECK(sent > 10 && sent < 20000);
    size_t asked = s.asked;
    spin(&s, 50);
    CHECK(s.asked < asked + 40); /* input and output are full: nothing more is run */
    asked = s.asked;
    spin(&s, 50);
    CHECK_INT(s.asked, asked);
    spin(&s, 1);
    CHECK(wait_for(&s, &c, "POST b", 1000));
    spin(&s, 20);
    hear(&c);
    spin(&s, 20);
    CHECK(s.asked > asked);
    hang_up(&c);
    close_site(&s);
}

struct exchange {
    const char *says, *status;
    bool closes;
};

static void framing_errors(void)
{
    static const struct exchange rows[] = {
        { POST("/echo", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nGET"),
          "400 Bad Request", true },
        { POST("/echo", "Content-Length: 3\r\nContent-Length: 5\r\n", "abcde"), "400 Bad", true },
        { POST("/echo", "Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), "501 Not", true },
        { "GET /echo HTTP/1.1\nHost: a\n\n", "400 Bad Request", true },
        { "GET /echo HTTP/1.1\r\n\r\n", "400 Bad Request", true },
        { "GET /echo HTTP/3.0\r\n\r\n", "505 HTTP Version", true },
        { "CONNECT a:1 HTTP/1.1\r\n\r\n", "405 Method", true },
        { POST("/echo", "Expect: tea\r\n", ""), "417 Expectation", true },
        { POST("/echo", "Content-Length: 9999999\r\n", ""), "413 Content", true },
        { POST("/echo", "Transfer-Encoding: chunked\r\n", "xx\r\n"), "400 Bad", true },
        { POST("/echo", "Transfer-Encoding: chunked\r\n", "FFFFFF\r\n"), "413 Content", true },
        { "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "200 OK", true },
        { "GET /echo HTTP/1.0\r\n\r\n", "200 OK", true },
        { "GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "200 OK", false },
        { "GET http://b/echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", "200 OK", false },
        { "GET /%65cho HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK", false },
    };
    struct site s;
    open_site(&s);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct client c = connect_to(&s);
        say(&s, &c, rows[i].says);
        bool ended = wait_for(&s, &c, rows[i].closes ? NULL : "GET ", 1000);
        bool fine = ended && !c.reset && !c.cut && c.got.p && strstr(c.got.p, rows[i].status) &&
                    count_of(&c, "\r\nDate: ") == 1 &&
                    count_of(&c, "Connection: close") == rows[i].closes;
        if (fine && strncmp(rows[i].status, "200", 3) != 0)
            fine = strstr(c.got.p, "{\"error\":{\"message\":\"") &&
                   strstr(c.got.p, "\"type\":\"invalid_request_error\",\"param\":null,"
                                   "\"code\":null}}");
        if (!fine)
            fprintf(stderr, "got: %s\n", c.got.p ? c.got.p : "nothing");
        hang_up(&c);
        if (!fine)
            CHECK_FAIL("%s", rows[i].says);
    }
    close_site(&s);
}

/* An error answer is not lost though the client goes on sending a large body. */
static void lingers_after_an_error(void)
{
    struct site s;
    open_site(&s);
    struct client c = connect_to(&s);
    static char block[1 << 16];
    say(&s, &c, POST("/echo", "Content-Length: 8000000\r\n", ""));
    size_t sent = 0;
    for (int i = 0; i < 100; i++)
        sent += say_n(&s, &c, block, sizeof(block));
    CHECK_INT(sent, 100);
    CHECK(wait_for(&s, &c, NULL, 1000));
    CHECK(!c.reset && !c.cut && strstr(c.got.p, "413 Content Too Large"));
    hang_up(&c);
    spin(&s, 20);
    CHECK_INT(gw_http_connections(s.http), 0);
    close_site(&s);
}

static void expectation(void)
{
    struct site s;
    open_site(&s);
    struct client c = connect_to(&s);
    say(&s, &c, POST("/echo", "Expect: 100-continue\r\nContent-Length: 2\r\n", ""));
    CHECK(wait_for(&s, &c, "HTTP/1.1 100 Continue\r\n\r\n", 1000));
    CHECK_INT(s.asked, 0);
    say(&s, &c, "ok");
    CHECK(wait_for(&s, &c, "POST ok", 1000));
    tg_buf_reset(&c.got);
    say(&s, &c, POST("/echo", "Expect: 100-continue\r\nContent-Length: 9000000\r\n", ""));
    CHECK(wait_for(&s, &c, NULL, 1000));
    CHECK(strstr(c.got.p, "413") && !strstr(c.got.p, "100 Continue"));
    hang_up(&c);
    close_site(&s);
}

static void header_values_are_checked(void)
{
    struct site s;
    open_site(&s);
    struct client c = connect_to(&s);
    say(&s, &c, GET("/hold"));
    spin(&s, 10);
    gw_http_header(s.held, "x-bad", TG_STR("a\r\nx-evil: 1"));
    gw_http_header(s.held, "x bad", TG_STR("a"));
    gw_http_header(s.held, "content-length", TG_STR("7"));
    gw_http_header(s.held, "x-good", TG_STR("a b"));
    gw_http_respond(s.held, 204, NULL, TG_STR("ignored"));
    CHECK(wait_for(&s, &c, "\r\n\r\n", 1000));
    CHECK(strstr(c.got.p, "204 No Content") && strstr(c.got.p, "x-good: a b\r\n"));
    CHECK(!strstr(c.got.p, "evil") && !strstr(c.got.p, "bad") && !strstr(c.got.p, "ength"));
    CHECK(!strstr(c.got.p, "ignored"));
    hang_up(&c);
    close_site(&s);
}

static bool wants_only_echo(void *arg, const struct gw_ask *head)
{
    struct site *s = arg;
    s->writable++; /* how often it was asked */
    return tg_str_eq(head->path, TG_STR("/echo")) && tg_str_eq(head->peer, TG_STR("127.0.0.1"));
}

static struct gw_http_handlers handlers_of(struct site *s)
{
    return (struct gw_http_handlers){ .arg = s,
                                      .on_request = on_request,
                                      .on_gone = on_gone,
                                      .on_writable = on_writable };
}

static void open_judging(struct site *s, bool (*admits)(void *arg, const struct gw_ask *head))
{
    struct tg_error err;
    open_site(s);
    struct gw_http_handlers handlers = handlers_of(s);
    handlers.admits = admits;
    gw_http_close(s->http);
    CHECK_INT(gw_http_open(s->base, "127.0.0.1", 0, &defaults, &handlers, &s->http, &err), TG_OK);
    gw_http_set_tls(s->http, over_tls ? site_tls : NULL);
}

/* Who may not ask is answered before its body is there, and the connection ends. */
static void a_body_that_is_not_wanted_is_not_read(void)
{
    struct site s;
    open_judging(&s, wants_only_echo);
    struct client c = connect_to(&s);
    say(&s, &c, POST("/echo", "Content-Length: 3\r\n", "abc"));
    CHECK(wait_for(&s, &c, "POST abc", 1000));
    CHECK(s.writable == 1 && !c.ended);
    say(&s, &c, POST("/hold", "Content-Length: 1000000\r\nExpect: 100-continue\r\n", ""));
    spin(&s, 20);
    CHECK(s.held && s.asked == 2);
    gw_http_respond(s.held, 401, "text/plain", TG_STR("who are you"));
    s.held = NULL;
    CHECK(wait_for(&s, &c, NULL, 1000));
    CHECK(strstr(c.got.p, "HTTP/1.1 401 ") && strstr(c.got.p, "Connection: close\r\n"));
    CHECK(!strstr(c.got.p, "100 Continue"));
    hang_up(&c);
    struct client d = connect_to(&s); /* what it sends all the same is thrown away */
    say(&s, &d, POST("/hold", "Content-Length: 300000\r\n", "x"));
    spin(&s, 20);
    CHECK(s.held);
    static char body[300000];
    say_n(&s, &d, body, sizeof(body) - 1);
    gw_http_respond(s.held, 401, "text/plain", TG_STR("who are you"));
    s.held = NULL;
    CHECK(wait_for(&s, &d, "who are you", 1000));
    CHECK_INT(s.asked, 3);
    hang_up(&d);
    spin(&s, 20);
    CHECK_INT(gw_http_connections(s.http), 0);
    close_site(&s);
}

static bool wants_what_came_first(void *arg, const struct gw_ask *head)
{
    struct site *s = arg;
    (void)head;
    return s->writable++ < 2;
}

/* A body that is half there when it is not wanted any more; whole ones are not asked about. */
static void a_body_is_judged_again(void)
{
    struct site s;
    open_judging(&s, wants_what_came_first);
    struct client whole = connect_to(&s), half = connect_to(&s), idle = connect_to(&s);
    say(&s, &whole, POST("/hold", "Content-Length: 3\r\n", "abc"));
    spin(&s, 10);
    struct gw_request *held = s.held;
    say(&s, &half, POST("/echo", "Content-Length: 300000\r\n", "abc"));
    say(&s, &idle, "POST /hold HTTP/1.1\r\n");
    spin(&s, 10);
    CHECK(held && s.asked == 1 && s.writable == 2);
    gw_http_judge_again(s.http);
    CHECK(s.asked == 2 && s.writable == 3);
    CHECK(wait_for(&s, &half, "POST ", 1000) && !half.reset);
    CHECK(strstr(half.got.p, "Connection: close\r\n") && !strstr(half.got.p, "abc"));
    gw_http_respond(held, 200, NULL, TG_STR("bye"));
    CHECK(wait_for(&s, &whole, "bye", 1000));
    hang_up(&whole);
    hang_up(&half);
    hang_up(&idle);
    spin(&s, 20);
    CHECK_INT(gw_http_connections(s.http), 0);
    close_site(&s);
}

static void opens_and_closes(void)
{
    struct site s;
    struct tg_error err;
    struct gw_http *second = NULL;
    struct gw_http_handlers handlers = handlers_of(&s);
    open_site(&s);
    uint16_t port = gw_http_port(s.http);
    CHECK(port != 0);
    CHECK_INT(gw_http_open(s.base, "127.0.0.1", port, &defaults, &handlers, &second, &err), TG_IO);
    CHECK(strstr(err.text, "127.0.0.1") && strstr(err.text, "taken") && !second);
    CHECK(gw_http_open(s.base, "localhost", 0, &defaults, &handlers, &second, &err) == TG_INVALID);
    CHECK(strstr(err.text, "\"localhost\""));
    if (gw_http_open(s.base, "[::1]", 0, &defaults, &handlers, &second, &err) == TG_OK) {
        CHECK(gw_http_port(second) != 0);
        gw_http_close(second);
    }
    struct client c = connect_to(&s);
    say(&s, &c, GET("/hold"));
    spin(&s, 10);
    gw_http_close(s.http); /* on_gone for what runs */
    s.http = NULL;
    CHECK(s.gone == 1 && s.context_right);
    hang_up(&c);
    close_site(&s);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(answers),
        CASE(split_at_every_byte),
        CASE(pipelining_keeps_order),
        CASE(pipelining_leaves_turns_to_others),
        CASE(pipelining_without_reading),
        CASE(framing_errors),
        CASE(lingers_after_an_error),
        CASE(expectation),
        CASE(header_values_are_checked),
        CASE(a_body_that_is_not_wanted_is_not_read),
        CASE(a_body_is_judged_again),
        CASE(opens_and_closes),
    };
    return site_main(cases, sizeof(cases) / sizeof(*cases), false, argc, argv);
}
