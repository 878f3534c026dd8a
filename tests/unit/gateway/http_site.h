/* A server and its clients in one loop and one thread: a client is a non-blocking socket that is
 * polled between turns of the loop. */
#ifndef TESTS_UNIT_GATEWAY_HTTP_SITE_H
#define TESTS_UNIT_GATEWAY_HTTP_SITE_H

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/check.h"
#include "config/base/buf.h"
#include "config/base/clock.h"
#include "gateway/http.h"


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

/* /echo is answered with "METHOD body"; /hold is kept; /stream is begun and kept. */
struct site {
    struct event_base *base;
    struct gw_http *http;
    struct cfg_limits limits;
    struct gw_request *held;
    size_t asked, gone, writable;
    int64_t gone_ns;
    bool context_right;
};

static inline void *on_request(void *arg, struct gw_request *rq, const struct gw_ask *ask)
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

static inline void on_gone(void *arg, struct gw_request *rq, void *context)
{
    struct site *s = arg;
    s->gone++;
    s->gone_ns = tg_mono_ns();
    s->context_right = rq == s->held && context == &s->held;
    s->held = NULL;
}

static inline void on_writable(void *arg, struct gw_request *rq, void *context)
{
    struct site *s = arg;
    s->writable += rq == s->held && context == &s->held;
}

static inline void open_on(struct site *s, const struct cfg_limits *limits)
{
    struct gw_http_handlers handlers = { .arg = s,
                                         .on_request = on_request,
                                         .on_gone = on_gone,
                                         .on_writable = on_writable };
    struct tg_error err = { 0 };
    *s = (struct site){ .base = event_base_new(), .limits = *limits };
    gw_http_open(s->base, "127.0.0.1", 0, &s->limits, &handlers, &s->http, &err);
    CHECK_STR(err.text, "");
}

static inline void open_site(struct site *s)
{
    open_on(s, &defaults);
}

static inline void turn(struct site *s)
{
    event_base_loop(s->base, EVLOOP_NONBLOCK);
}

static inline void close_site(struct site *s)
{
    gw_http_close(s->http);
    turn(s);
    event_base_free(s->base);
}

struct client {
    int fd;
    bool ended, reset;
    struct tg_buf got;
};

static inline int dial(const struct site *s, int small_buffer)
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

static inline struct client connect_to(const struct site *s)
{
    struct client c = { .fd = dial(s, 0) };
    tg_buf_init(&c.got, 64 << 20);
    return c;
}

static inline void hang_up(struct client *c)
{
    close(c->fd);
    tg_buf_free(&c->got);
}

/* Sends all of it, turning the loop meanwhile; false when the server stopped taking. */
static inline bool say_n(struct site *s, struct client *c, const char *p, size_t n)
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

static inline void say(struct site *s, struct client *c, const char *text)
{
    CHECK(say_n(s, c, text, strlen(text)));
}

static inline void hear(struct client *c)
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
static inline bool wait_for(struct site *s, struct client *c, const char *text, int ms)
{
    int64_t end = tg_mono_ns() + (int64_t)ms * 1000000;
    do {
        struct pollfd p = { .fd = c->fd, .events = POLLIN };
        poll(&p, 1, 1);
        turn(s);
        hear(c);
        if (text ? c->got.p && strstr(c->got.p, text) : c->ended)
            return true;
    } while (tg_mono_ns() < end);
    return false;
}

static inline void spin(struct site *s, int ms)
{
    int64_t end = tg_mono_ns() + (int64_t)ms * 1000000;
    while (tg_mono_ns() < end) {
        turn(s);
        poll(NULL, 0, 1);
    }
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST(path, headers, body) "POST " path " HTTP/1.1\r\nHost: a\r\n" headers "\r\n" body

#endif
