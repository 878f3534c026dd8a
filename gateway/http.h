/* Strict HTTP/1.1 over bufferevents: framing, limits, timeouts, keep-alive, pipelining, streaming
 * answers, and the client's end of file while a request runs. One loop thread. */
#ifndef GATEWAY_HTTP_H
#define GATEWAY_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/buf.h"
#include "config/base/status.h"
#include "config/base/str.h"
#include "config/settings.h"

struct event_base;
struct gw_tls;      /* tls.h */
struct gw_http;     /* opaque: a listener and its connections */
struct gw_request;  /* opaque: one request on a connection, until gw_http_end or abort */

enum { GW_HEADERS_MAX = 100 };

struct gw_header {
    struct tg_str name, value; /* name as sent; compare with gw_header_of */
};

/* What was asked. Borrowed until the request ends. */
struct gw_ask {
    struct tg_str method, path, query; /* path percent-decoded and checked: UTF-8, no controls */
    struct tg_str host;                /* of an absolute target, else of the Host header */
    const struct gw_header *headers;
    size_t n_headers;
    struct tg_str body;
    bool head; /* HEAD: the body of the answer is not sent */
    struct tg_str peer; /* numeric address of who is connected; empty: not known */
};
/* First header of that name (ASCII case folded); p NULL when absent. */
struct tg_str gw_header_of(const struct gw_ask *ask, const char *name);

struct gw_http_handlers {
    void *arg;
    /* A whole request arrived. The handler answers now or later. Return value is its context,
     * handed to the other callbacks; it may answer (and even end) inside the call. */
    void *(*on_request)(void *arg, struct gw_request *rq, const struct gw_ask *ask);
    /* The head of a request with a body is there: false, and the body is not read. on_request is
     * called at once, without a body, to refuse it; then the connection is closed. NULL: true. */
    bool (*admits)(void *arg, const struct gw_ask *head);
    /* The client went away (EOF, half-close, reset, write timeout) or memory ran out before the
     * answer ended: the request is over, rq is invalid after the call, nothing may be sent. Called
     * from the loop, never below a gw_http_ function other than gw_http_close. */
    void (*on_gone)(void *arg, struct gw_request *rq, void *context);
    /* The output fell below the low-water mark (16 KiB) after gw_http_write said false. */
    void (*on_writable)(void *arg, struct gw_request *rq, void *context);
    /* The body, JSON, of a refusal by the framing layer to a request whose head is known: a body
     * that is too large (413) or has no room now (503). NULL: gw_answer_error. */
    void (*refusal)(void *arg, const struct gw_ask *ask, int status, const char *text,
                    struct tg_buf *out);
};

/* Binds and listens on a numeric IPv4 or IPv6 address (::1 or [::1]), else TG_INVALID. TG_IO: err
 * names address and cause (for a taken port, that it is taken). limits
 * are copied; gw_http_set_limits changes them for what comes. */
enum tg_status gw_http_open(struct event_base *base, const char *host, uint16_t port,
                            const struct cfg_limits *limits,
                            const struct gw_http_handlers *handlers, struct gw_http **out,
                            struct tg_error *err);
void gw_http_set_limits(struct gw_http *h, const struct cfg_limits *limits);
/* Connections that come from now on speak TLS with it (NULL: none do, as after gw_http_open). It is
 * borrowed until the next call or gw_http_close; connections that there are keep what they have. */
void gw_http_set_tls(struct gw_http *h, const struct gw_tls *tls);
uint16_t gw_http_port(const struct gw_http *h);
/* Stops listening and closes idle connections; requests that run or are arriving are finished, then
 * their connections closed (Connection: close). All is flushed when gw_http_connections is 0. */
void gw_http_drain(struct gw_http *h);
/* Asks admits again, for those whose bodies are still arriving. Not from inside a handler. */
void gw_http_judge_again(struct gw_http *h);
size_t gw_http_requests(const struct gw_http *h); /* running now */
size_t gw_http_connections(const struct gw_http *h);

enum { GW_HTTP_REFUSALS = 200 };
/* Since gw_http_open, for metrics; but for body_bytes. */
struct gw_http_counters {
    uint64_t accepted;     /* connections */
    uint64_t requests;     /* handed to on_request */
    uint64_t responses[5]; /* begun by handlers, by class: [1] those from 200 on */
    uint64_t refused[GW_HTTP_REFUSALS]; /* by the framing layer, by status from 400 on */
    int64_t body_bytes;    /* of request bodies held now */
};
/* Borrowed, as it is now. */
const struct gw_http_counters *gw_http_counters(struct gw_http *h);
/* Stops or resumes accepting (high-water mark). */
void gw_http_accept(struct gw_http *h, bool on);
/* Closes everything at once; on_gone is called for what runs. Not from inside a handler. */
void gw_http_close(struct gw_http *h);

/* The memory of the request's body, which the caller frees (tg_buf_free); ask.body lies in it. It
 * goes on to count as held until the request ended. Empty when it was taken already. */
struct tg_buf gw_http_take_body(struct gw_request *rq);

/* An answer: headers first (gw_http_header may be called before either form), then either the whole
 * body at once, or a stream. date, content-length or transfer-encoding and connection are added. A
 * header with control characters, or one of those four, is dropped and logged. */
void gw_http_header(struct gw_request *rq, const char *name, struct tg_str value);
/* Whole answer; ends the request: rq is invalid after it. */
void gw_http_respond(struct gw_request *rq, int status, const char *content_type,
                     struct tg_str body);
/* The same; the body's memory is taken where that is cheaper than a copy. Still the caller's to
 * free. */
void gw_http_respond_owned(struct gw_request *rq, int status, const char *content_type,
                           struct tg_buf *body);
/* Streamed answer: chunked for HTTP/1.1, until close for HTTP/1.0. */
void gw_http_begin(struct gw_request *rq, int status, const char *content_type);
/* False: output is above the high-water mark (64 KiB); wait for on_writable (the data was taken).
 * Or the connection broke: on_gone follows. */
bool gw_http_write(struct gw_request *rq, struct tg_str data);
/* Ends a streamed answer cleanly; rq is invalid after it. */
void gw_http_end(struct gw_request *rq);
/* Ends it by closing the connection without the last chunk (HTTP/1.0: by a reset; TLS: without
 * close_notify): the client sees a broken answer. What was written is flushed. Before
 * gw_http_begin: closes without an answer. */
void gw_http_abort(struct gw_request *rq);

#endif
