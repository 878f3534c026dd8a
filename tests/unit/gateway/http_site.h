/* A server and its clients in one loop and one thread: a client is a non-blocking socket that is
 * polled between turns of the loop. Over plain TCP, then over TLS (site_main). */
#ifndef TESTS_UNIT_GATEWAY_HTTP_SITE_H
#define TESTS_UNIT_GATEWAY_HTTP_SITE_H

#include <event2/event.h>
#include <poll.h>
#include <signal.h>

#include "tests/unit/check.h"
#include "config/base/buf.h"
#include "config/base/clock.h"
#include "gateway/http.h"
#include "gateway/tls.h"
#include "tests/unit/gateway/tls_pair.h"

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

static bool over_tls;
static struct pair site_pair; /* made by site_main */
static struct gw_tls *site_tls;

/* /echo is answered with "METHOD body", /slow with "METHOD" after 2 ms; /hold is kept; /stream is
 * begun and kept. */
struct site {
    struct event_base *base;
    struct gw_http *http;
    struct cfg_limits limits;
    struct gw_request *held;
    size_t asked, gone, writable;
    size_t echoed; /* the number of the latest request for /echo */
    int64_t gone_ns;
    bool context_right;
};

static inline void *on_request(void *arg, struct gw_request *rq, const struct gw_ask *ask)
{
    struct site *s = arg;
    s->asked++;
    gw_http_header(rq, "x-path", ask->path);
    if (tg_str_eq(ask->path, TG_STR("/echo"))) {
        struct tg_buf b, body = gw_http_take_body(rq);
        CHECK(body.p == ask->body.p && body.n == ask->body.n && !gw_http_take_body(rq).p);
        s->echoed = s->asked;
        tg_buf_init(&b, 2 << 20);
        tg_buf_add(&b, ask->method.p, ask->method.n);
        tg_buf_addc(&b, ' ');
        tg_buf_add(&b, ask->body.p, ask->body.n);
        tg_buf_free(&body);
        gw_http_respond_owned(rq, 200, "text/plain", &b);
        tg_buf_free(&b);
        return NULL;
    }
    if (tg_str_eq(ask->path, TG_STR("/slow"))) {
        poll(NULL, 0, 2);
        gw_http_respond(rq, 200, "text/plain", ask->method);
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
    gw_http_set_tls(s->http, over_tls ? site_tls : NULL);
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

static inline void spin(struct site *s, int ms)
{
    int64_t end = tg_mono_ns() + (int64_t)ms * 1000000;
    while (tg_mono_ns() < end) {
        turn(s);
        poll(NULL, 0, 1);
    }
}

/* check_main over TCP (unless only_tls), then over TLS. */
static inline int site_main(const struct check_case *cases, size_t n, bool only_tls, int argc,
                            char **argv)
{
    struct tg_error err = { 0 };
    signal(SIGPIPE, SIG_IGN); /* as serve does */
    pair_make(&site_pair, "site", NULL, -1, 90);
    struct cfg_tls settings = { .certificate = site_pair.cert_file, .key = site_pair.key_file };
    if (gw_tls_load(&settings, time(NULL), &site_tls, &err))
        fprintf(stderr, "%s\n", err.text);
    int status = only_tls ? 0 : check_main(cases, n, argc, argv);
    over_tls = true;
    int second = site_tls ? check_main(cases, n, argc, argv) : 1;
    gw_tls_free(site_tls);
    pair_free(&site_pair);
    rmdir(pair_folder());
    return status ? status : second;
}

#include "tests/unit/gateway/http_client.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST(path, headers, body) "POST " path " HTTP/1.1\r\nHost: a\r\n" headers "\r\n" body

#endif
