#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../check.h"
#include "config/base/buf.h"
#include "config/base/clock.h"
#include "gateway/http.h"

/* The server and its clients share one loop and one thread: a client is a non-blocking socket that is
 * polled between turns of the loop. */

static const struct cfg_limits defaults = {
    .body = 1 << 20,
    .headers = 4096,
    .header_timeout_ms = 5000,
    .body_timeout_ms = 5000,
    .idle_timeout_ms = 5000,
    .write_timeout_ms = 5000,
    .drain_ms = 1000,
    .connections = 64,
    .bodies_in_flight = 4 << 20,
};

/* What the handler does with a path:
 *   /echo answers with "METHOD body"; /hold keeps the request; /stream begins one and keeps it. */
struct site {
    struct event_base *base;
    struct gw_http *http;
    struct cfg_limits limits;
    struct gw_request *held;
    size_t asked, gone, writable;
    int64_t gone_ns;
    bool context_right;
};

static void *on_request(void *arg, struct gw_request *rq, const struct gw_ask *ask)
{
    struct site *s = arg;
    s->asked++;
    gw_http_header(rq, "x-path", ask->path);
    if (tg_str_eq(ask->path, TG_STR("/echo"))) {
        struct tg_buf b;
        tg_buf_init(&b, 2 << 20);
        tg_buf_add(&b, ask->method.p, ask->method.n);
        tg_buf_addc(&b, ' ');
        tg_buf_add(&b, ask->body.p, ask->body.n);
        gw_http_respond(rq, 200, "text/plain", tg_buf_str(&b));
        tg_buf_free(&b);
        return NULL;
    }
    if (tg_str_eq(ask->path, TG_STR("/stream")))
        gw_http_begin(rq, 200, "text/event-stream");
    s->held = rq;
    return &s->held;
}

static void on_gone(void *arg, struct gw_request *rq, void *context)
{
    struct site *s = arg;
    s->gone++;
    s->gone_ns = tg_mono_ns();
    s->context_right = rq == s->held && context == &s->held;
    s->held = NULL;
}

static void on_writable(void *arg, struct gw_request *rq, void *context)
{
    struct site *s = arg;
    s->writable += rq == s->held && context == &s->held;
}

static void open_on(struct site *s, const char *host, const struct cfg_limits *limits)
{
    struct gw_http_handlers handlers = { s, on_request, on_gone, on_writable };
    struct tg_error err = { 0 };
    *s = (struct site){ .base = event_base_new(), .limits = *limits };
    gw_http_open(s->base, host, 0, &s->limits, &handlers, &s->http, &err);
    CHECK_STR(err.text, "");
}

static void open_site(struct site *s)
{
    open_on(s, "127.0.0.1", &defaults);
}

static void turn(struct site *s)
{
    event_base_loop(s->base, EVLOOP_NONBLOCK);
}

static void close_site(struct site *s)
{
    if (s->http)
        gw_http_close(s->http);
    turn(s);
    event_base_free(s->base);
}

struct client {
    int fd;
    bool ended, reset;
    struct tg_buf got;
};

static int dial(const struct site *s, int small_buffer)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(gw_http_port(s->http)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (small_buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small_buffer, sizeof(small_buffer));
    CHECK(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static struct client connect_to(const struct site *s)
{
    struct client c = { .fd = dial(s, 0) };
    tg_buf_init(&c.got, 64 << 20);
    return c;
}

static void hang_up(struct client *c)
{
    close(c->fd);
    tg_buf_free(&c->got);
}

/* Sends all of it, turning the loop when the socket is full; false when the server stopped taking. */
static bool say_n(struct site *s, struct client *c, const char *p, size_t n)
{
    int64_t end = tg_mono_ns() + 2000000000;
    while (n && tg_mono_ns() < end) {
        ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return false;
        p += sent > 0 ? sent : 0;
        n -= sent > 0 ? (size_t)sent : 0;
        turn(s);
    }
    return n == 0;
}

static void say(struct site *s, struct client *c, const char *text)
{
    CHECK(say_n(s, c, text, strlen(text)));
}

static void hear(struct client *c)
{
    char block[65536];
    ssize_t n;
    while (!c->ended && (n = recv(c->fd, block, sizeof(block), 0)) >= 0) {
        tg_buf_add(&c->got, block, (size_t)n);
        c->ended = n == 0;
    }
    if (!c->ended && errno != EAGAIN)
        c->ended = c->reset = true;
}

/* Turns the loop for at most ms, until the client has received text (NULL: the end). */
static bool wait_for(struct site *s, struct client *c, const char *text, int ms)
{
    int64_t end = tg_mono_ns() + (int64_t)ms * 1000000;
    for (;;) {
        turn(s);
        hear(c);
        if (text ? c->got.p && strstr(c->got.p, text) : c->ended)
            return true;
        if (tg_mono_ns() > end)
            return false;
        struct pollfd p = { .fd = c->fd, .events = POLLIN };
        poll(&p, 1, 1);
    }
}

static void spin(struct site *s, int ms)
{
    int64_t end = tg_mono_ns() + (int64_t)ms * 1000000;
    while (tg_mono_ns() < end) {
        turn(s);
        poll(NULL, 0, 1);
    }
}

static size_t count_of(const struct client *c, const char *text)
{
    size_t n = 0;
    for (const char *p = c->got.p; p && (p = strstr(p, text)); p += strlen(text))
        n++;
    return n;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST(path, headers, body) "POST " path " HTTP/1.1\r\nHost: a\r\n" headers "\r\n" body

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
    say(&s, &c, POST("/echo", "Transfer-Encoding: chunked\r\n", "2\r\nxy\r\n1;e\r\nz\r\n0\r\n\r\n"));
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
static void pipelining_without_reading(void)
{
    struct site s;
    struct cfg_limits limits = defaults;
    open_on(&s, "127.0.0.1", &limits);
    struct client c = connect_to(&s);
    static char body[4096];
    memset(body, 'b', sizeof(body));
    size_t sent = 0;
    for (; sent < 20000; sent++) {
        char head[128];
        int n = snprintf(head, sizeof(head), POST("/echo", "Content-Length: %zu\r\n", ""),
                         sizeof(body));
        if (send(c.fd, head, (size_t)n, MSG_NOSIGNAL) != n ||
            send(c.fd, body, sizeof(body), MSG_NOSIGNAL) != (ssize_t)sizeof(body))
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
        bool fine = ended && !c.reset && c.got.p && strstr(c.got.p, rows[i].status) &&
                    count_of(&c, "\r\nDate: ") == 1 &&
                    count_of(&c, "Connection: close") == rows[i].closes;
        if (fine && strncmp(rows[i].status, "200", 3) != 0)
            fine = strstr(c.got.p, "{\"error\":{\"message\":\"") &&
                   strstr(c.got.p, "\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}");
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
    CHECK(!c.reset && strstr(c.got.p, "413 Content Too Large"));
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

/* Sends text, then ends its side (or resets); the time until on_gone in ms, -1 when it never came. */
static double gone_after(const char *text, size_t extra, bool reset)
{
    struct site s;
    open_site(&s);
    struct client c = connect_to(&s);
    say(&s, &c, text);
    spin(&s, 10);
    CHECK(s.asked == 1 && s.held && s.gone == 0);
    static char more[70000];
    memcpy(more, "GET /", 5);
    if (extra)
        CHECK(say_n(&s, &c, more, extra));
    spin(&s, 10);
    struct linger at_once = { 1, 0 };
    int64_t start = tg_mono_ns();
    if (reset) {
        setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        close(c.fd);
    } else {
        shutdown(c.fd, SHUT_WR);
    }
    spin(&s, 110);
    bool right = s.gone == 1 && s.context_right && gw_http_requests(s.http) == 0 &&
                 gw_http_connections(s.http) == 0;
    double ms = right ? (double)(s.gone_ns - start) / 1e6 : -1;
    if (reset)
        tg_buf_free(&c.got);
    else
        hang_up(&c);
    close_site(&s);
    return ms;
}

static void a_client_that_goes_cancels(void)
{
    static const char *const texts[] = { GET("/hold"), GET("/stream") };
    for (int i = 0; i < 2; i++) {
        for (int reset = 0; reset < 2; reset++) {
            double alone = gone_after(texts[i], 0, reset);
            double behind = gone_after(texts[i], 30, reset);
            double full = gone_after(texts[i], 66000, reset);
            CHECK(alone >= 0 && alone < 30);
            CHECK(behind >= 0 && behind < 30);
            CHECK(full >= 0 && full < 100);
        }
    }
}

static void back_pressure(void)
{
    struct site s;
    open_site(&s);
    struct client c = { .fd = dial(&s, 4096) };
    tg_buf_init(&c.got, 64 << 20);
    static char block[16384];
    memset(block, 'x', sizeof(block));
    say(&s, &c, GET("/stream"));
    spin(&s, 10);
    size_t wrote = 0;
    while (wrote < (32 << 20) && gw_http_write(s.held, (struct tg_str){ block, sizeof(block) })) {
        wrote += sizeof(block);
        turn(&s);
    }
    CHECK(wrote > 0 && wrote < (32 << 20)); /* it said stop */
    wrote += sizeof(block);
    spin(&s, 20);
    CHECK_INT(s.writable, 0);
    for (int i = 0; i < 2000 && !s.writable; i++) {
        hear(&c);
        spin(&s, 1);
    }
    CHECK_INT(s.writable, 1);
    CHECK(gw_http_write(s.held, TG_STR("last")));
    gw_http_end(s.held);
    CHECK(wait_for(&s, &c, "4\r\nlast\r\n0\r\n\r\n", 3000));
    size_t x = 0;
    for (const char *p = strstr(c.got.p, "\r\n\r\n"); *p; p++)
        x += *p == 'x';
    CHECK_INT(x, wrote);
    hang_up(&c);
    close_site(&s);
}

static void streams(void)
{
    struct site s;
    open_site(&s);
    struct client c = connect_to(&s);
    say(&s, &c, GET("/stream"));
    CHECK(wait_for(&s, &c, "Transfer-Encoding: chunked\r\n\r\n", 1000));
    CHECK(gw_http_write(s.held, TG_STR("ab")) && gw_http_write(s.held, TG_STR("")));
    CHECK(wait_for(&s, &c, "2\r\nab\r\n", 1000));
    gw_http_end(s.held);
    CHECK(wait_for(&s, &c, "2\r\nab\r\n0\r\n\r\n", 1000));
    tg_buf_reset(&c.got);
    say(&s, &c, GET("/stream"));
    spin(&s, 10);
    gw_http_write(s.held, TG_STR("ab"));
    gw_http_abort(s.held); /* the end without the last chunk */
    CHECK(wait_for(&s, &c, NULL, 1000));
    CHECK(!c.reset && strstr(c.got.p, "2\r\nab\r\n") && !strstr(c.got.p, "\r\n0\r\n"));
    hang_up(&c);
    c = connect_to(&s);
    say(&s, &c, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    spin(&s, 10);
    gw_http_write(s.held, TG_STR("ab"));
    gw_http_end(s.held);
    CHECK(wait_for(&s, &c, NULL, 1000));
    CHECK(!c.reset && strstr(c.got.p, "Connection: close\r\n\r\nab") && c.got.p[c.got.n - 1] == 'b');
    hang_up(&c);
    c = connect_to(&s);
    say(&s, &c, "GET /stream HTTP/1.0\r\n\r\n");
    spin(&s, 10);
    gw_http_abort(s.held); /* must not look like a whole answer: a reset */
    CHECK(wait_for(&s, &c, NULL, 1000));
    CHECK(c.reset);
    hang_up(&c);
    CHECK_INT(s.gone, 0);
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

static void timeouts(void)
{
    struct site s;
    struct cfg_limits limits = defaults;
    limits.header_timeout_ms = limits.body_timeout_ms = limits.idle_timeout_ms = 60;
    open_on(&s, "127.0.0.1", &limits);
    struct client silent = connect_to(&s), head = connect_to(&s), body = connect_to(&s),
                  idle = connect_to(&s);
    say(&s, &idle, GET("/echo"));
    say(&s, &body, POST("/echo", "Content-Length: 9\r\n", "ab"));
    for (int i = 0; i < 30 && !head.ended; i++) { /* a trickle does not extend the time */
        send(head.fd, "G", 1, MSG_NOSIGNAL);
        spin(&s, 5);
        hear(&head);
    }
    CHECK(head.ended && !head.reset && strstr(head.got.p, "408 Request Timeout"));
    CHECK(wait_for(&s, &body, NULL, 500) && strstr(body.got.p, "408 Request Timeout"));
    CHECK(wait_for(&s, &silent, NULL, 500) && silent.got.n == 0);
    CHECK(wait_for(&s, &idle, NULL, 500) && strstr(idle.got.p, "200 OK") &&
          !strstr(idle.got.p, "408"));
    hang_up(&silent);
    hang_up(&head);
    hang_up(&body);
    hang_up(&idle);
    struct client held = connect_to(&s); /* a request that runs has none of these timeouts */
    say(&s, &held, GET("/hold"));
    spin(&s, 150);
    CHECK(s.held && s.gone == 0);
    hang_up(&held);
    close_site(&s);
}

static void write_stall(void)
{
    struct site s;
    struct cfg_limits limits = defaults;
    limits.write_timeout_ms = 80;
    open_on(&s, "127.0.0.1", &limits);
    struct client c = { .fd = dial(&s, 4096) };
    static char block[1 << 20];
    memset(block, 'x', sizeof(block));
    say(&s, &c, GET("/stream"));
    spin(&s, 10);
    for (int i = 0; i < 16; i++)
        gw_http_write(s.held, (struct tg_str){ block, sizeof(block) });
    CHECK(s.gone == 0);
    spin(&s, 300);
    CHECK(s.gone == 1 && s.context_right && gw_http_connections(s.http) == 0);
    close(c.fd);
    close_site(&s);
}

static void drains(void)
{
    struct site s;
    open_site(&s);
    struct client busy = connect_to(&s), idle = connect_to(&s), fresh = connect_to(&s);
    say(&s, &idle, GET("/echo"));
    say(&s, &busy, GET("/hold"));
    CHECK(wait_for(&s, &idle, "GET ", 1000));
    spin(&s, 10);
    send(fresh.fd, GET("/echo"), strlen(GET("/echo")), MSG_NOSIGNAL); /* arrives with the drain */
    gw_http_drain(s.http);
    CHECK(wait_for(&s, &idle, NULL, 500));
    CHECK(wait_for(&s, &fresh, NULL, 500));
    CHECK(strstr(fresh.got.p, "Connection: close") && strstr(fresh.got.p, "GET "));
    CHECK(gw_http_requests(s.http) == 1 && s.held);
    gw_http_respond(s.held, 200, NULL, TG_STR("bye"));
    CHECK(wait_for(&s, &busy, NULL, 500));
    CHECK(!busy.reset && strstr(busy.got.p, "Connection: close") && strstr(busy.got.p, "bye"));
    hang_up(&idle);
    hang_up(&busy);
    hang_up(&fresh);
    spin(&s, 20);
    CHECK_INT(gw_http_connections(s.http), 0);
    CHECK_INT(s.gone, 0);
    close_site(&s);
}

static void limits_connections(void)
{
    struct site s;
    struct cfg_limits limits = defaults;
    limits.connections = 2;
    open_on(&s, "127.0.0.1", &limits);
    struct client a = connect_to(&s), b = connect_to(&s), c = connect_to(&s);
    say(&s, &a, GET("/echo"));
    say(&s, &c, GET("/echo"));
    CHECK(wait_for(&s, &a, "GET ", 500));
    spin(&s, 30);
    hear(&c);
    CHECK(gw_http_connections(s.http) == 2 && c.got.n == 0 && !c.ended); /* waits, not refused */
    hang_up(&b);
    CHECK(wait_for(&s, &c, "GET ", 500));
    gw_http_accept(s.http, false);
    hang_up(&a);
    spin(&s, 20);
    struct client d = connect_to(&s);
    say(&s, &d, GET("/echo"));
    spin(&s, 20);
    CHECK_INT(gw_http_connections(s.http), 1);
    gw_http_accept(s.http, true);
    CHECK(wait_for(&s, &d, "GET ", 500));
    hang_up(&c);
    hang_up(&d);
    close_site(&s);
}

static void limits_bodies_in_flight(void)
{
    struct site s;
    struct cfg_limits limits = defaults;
    limits.bodies_in_flight = 1000;
    open_on(&s, "127.0.0.1", &limits);
    struct client a = connect_to(&s), b = connect_to(&s), c = connect_to(&s);
    static char block[601];
    memset(block, 'b', 600);
    say(&s, &a, POST("/hold", "Content-Length: 600\r\n", ""));
    say(&s, &a, block);
    spin(&s, 10);
    say(&s, &b, POST("/echo", "Content-Length: 600\r\n", ""));
    CHECK(wait_for(&s, &b, NULL, 500));
    CHECK(strstr(b.got.p, "503 Service Unavailable") && strstr(b.got.p, "Retry-After: 1\r\n"));
    say(&s, &c, POST("/echo", "Transfer-Encoding: chunked\r\n", "258\r\n"));
    say(&s, &c, block);
    CHECK(wait_for(&s, &c, NULL, 500) && strstr(c.got.p, "503 Service Unavailable"));
    gw_http_respond(s.held, 200, NULL, TG_STR("done"));
    hang_up(&b);
    b = connect_to(&s);
    say(&s, &b, POST("/echo", "Content-Length: 600\r\n", ""));
    say(&s, &b, block);
    CHECK(wait_for(&s, &b, "POST bbbb", 500)); /* room again */
    hang_up(&a);
    hang_up(&b);
    hang_up(&c);
    close_site(&s);
}

static void opens_and_closes(void)
{
    struct site s;
    struct tg_error err;
    struct gw_http *second = NULL;
    struct gw_http_handlers handlers = { &s, on_request, on_gone, on_writable };
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
        CASE(pipelining_without_reading),
        CASE(framing_errors),
        CASE(lingers_after_an_error),
        CASE(expectation),
        CASE(a_client_that_goes_cancels),
        CASE(back_pressure),
        CASE(streams),
        CASE(header_values_are_checked),
        CASE(timeouts),
        CASE(write_stall),
        CASE(drains),
        CASE(limits_connections),
        CASE(limits_bodies_in_flight),
        CASE(opens_and_closes),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
