#include "gateway/http_internal.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "config/base/log.h"
#include "config/base/turn.h"
#include "gateway/http_answer.h"

/* One connection: READING (idle or a request arriving) -> RUNNING (a handler has it) -> READING or
 * CLOSING (the output is flushed, our side is shut) -> LINGER (what still comes is thrown away, so
 * that a reset does not overtake the answer) -> closed. Input that belongs to nobody any more is
 * drained, never left unread.
 *
 * Nothing is freed below a handler or an entry point of http.h: those mark the connection and
 * activate `later`, which runs from the loop. */
enum conn_state { CONN_READING, CONN_RUNNING, CONN_CLOSING, CONN_LINGER, CONN_BROKEN };

/* What the connection's one timer stands for. */
enum conn_wait { WAIT_NONE, WAIT_IDLE, WAIT_HEAD, WAIT_BODY, WAIT_WATCH, WAIT_LINGER };

enum {
    INPUT_MAX = 64 * 1024,   /* read ahead of the request that runs; one read more at most */
    OUTPUT_HIGH = 64 * 1024,
    OUTPUT_LOW = 16 * 1024,
    WATCH_MS = 50,           /* with the input full, how often the peer's end is looked for */
    LINGER_MS = 2000,
    HEAD_MAX = GW_ANSWER_FIELDS_MAX + 1024,
};

struct gw_request {
    struct gw_conn *conn;
    void *context;
    struct tg_buf fields;
    enum gw_framing framing;
    bool no_body, begun;
    bool blocked; /* gw_http_write said false */
};

struct gw_conn {
    struct gw_http *server;
    struct gw_conn *prev, *next;
    struct bufferevent *bev;
    struct event *timer, *later;
    enum conn_state state;
    enum conn_wait wait;
    struct gw_parser parser;
    struct gw_request rq;
    size_t charged;    /* bytes of its body in server->bodies */
    bool parsing;      /* inside parse(): the handler may be on the stack */
    bool served;       /* a request was answered on it */
    bool full;         /* reading is off until the input is taken */
    bool eof;          /* the peer sends nothing more */
    bool reset_at_end; /* the broken end of an HTTP/1.0 stream must not look like a whole one */
    char peer[GW_PEER_MAX];
};

static struct evbuffer *input_of(const struct gw_conn *c)
{
    return bufferevent_get_input(c->bev);
}

static struct evbuffer *output_of(const struct gw_conn *c)
{
    return bufferevent_get_output(c->bev);
}

static size_t pending_output(const struct gw_conn *c)
{
    return evbuffer_get_length(output_of(c));
}

/* The timer is only restarted when its meaning changes: a slow trickle does not extend it. */
static void set_wait(struct gw_conn *c, enum conn_wait wait, int64_t ms)
{
    if (c->wait == wait && wait != WAIT_WATCH)
        return;
    c->wait = wait;
    struct timeval tv = { ms / 1000, ms % 1000 * 1000 };
    if (wait == WAIT_NONE)
        event_del(c->timer);
    else
        event_add(c->timer, &tv);
}

static void charge_body(struct gw_conn *c, size_t now)
{
    c->server->bodies += (int64_t)now - (int64_t)c->charged;
    c->charged = now;
}

static void next_request(struct gw_conn *c)
{
    struct gw_parse_limits limits = { .headers = (size_t)c->server->limits.headers,
                                      .body = (size_t)c->server->limits.body };
    charge_body(c, 0);
    gw_parser_free(&c->parser);
    gw_parser_init(&c->parser, &limits);
}

static void destroy(struct gw_conn *c)
{
    struct gw_http *server = c->server;
    charge_body(c, 0);
    gw_parser_free(&c->parser);
    tg_buf_free(&c->rq.fields);
    if (c->prev)
        c->prev->next = c->next;
    else
        server->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    server->n_conns--;
    if (c->timer)
        event_free(c->timer);
    if (c->later)
        event_free(c->later);
    bufferevent_free(c->bev);
    tg_free(c);
    gw_http_conn_closed(server);
}

/* The peer, or the memory for its answer, is gone. From the loop only. */
void gw_conn_close(struct gw_conn *c)
{
    if (c->rq.conn) {
        void *context = c->rq.context;
        c->server->n_running--;
        c->state = CONN_BROKEN;
        c->server->handlers.on_gone(c->server->handlers.arg, &c->rq, context);
        c->rq.conn = NULL;
    }
    destroy(c);
}

static void break_later(struct gw_conn *c)
{
    c->state = CONN_BROKEN;
    event_active(c->later, 0, 0);
}

/* The output is flushed: shut our side, then wait for the peer's end. */
static void begin_linger(struct gw_conn *c)
{
    int fd = bufferevent_getfd(c->bev);
    struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
    if (c->reset_at_end)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    if (c->reset_at_end || c->eof || shutdown(fd, SHUT_WR)) {
        break_later(c);
        return;
    }
    c->state = CONN_LINGER;
    set_wait(c, WAIT_LINGER, LINGER_MS);
}

/* Reading stops while the input is full, and an end of file would go unseen: a running request is
 * then watched by poll. (Not by libevent's high-water mark, which calls back without end while data
 * stays above it.) An end of file stuck behind data that the kernel cannot take either is seen when
 * the answer ends or its writing stalls. */
static void bound_input(struct gw_conn *c)
{
    bool full = evbuffer_get_length(input_of(c)) >= INPUT_MAX;
    if (full != c->full) {
        c->full = full;
        if (full)
            bufferevent_disable(c->bev, EV_READ);
        else if (!c->eof && bufferevent_enable(c->bev, EV_READ))
            break_later(c);
    }
    if (full && c->state == CONN_RUNNING)
        set_wait(c, WAIT_WATCH, WATCH_MS);
}

static void begin_closing(struct gw_conn *c)
{
    next_request(c);
    c->state = CONN_CLOSING;
    set_wait(c, WAIT_NONE, 0);
    evbuffer_drain(input_of(c), evbuffer_get_length(input_of(c)));
    bound_input(c);
    if (pending_output(c) == 0 && c->state == CONN_CLOSING)
        begin_linger(c);
}

static struct gw_ask ask_of(const struct gw_conn *c)
{
    struct gw_ask ask;
    gw_parser_ask(&c->parser, &ask);
    ask.peer = tg_str_of(c->peer);
    return ask;
}

static void print_refusal(struct gw_conn *c, int status, const char *text, struct tg_buf *out)
{
    const struct gw_http_handlers *handlers = &c->server->handlers;
    if (!handlers->refusal || (status != 413 && status != 503)) {
        gw_answer_error(status, text, out);
        return;
    }
    struct gw_ask ask = ask_of(c);
    handlers->refusal(handlers->arg, &ask, status, text, out);
}

/* Answers of the framing layer itself: bad requests, timeouts, no room. The connection closes. */
static void refuse(struct gw_conn *c, int status, const char *text)
{
    struct tg_buf body, head;
    tg_buf_init(&body, 1024);
    tg_buf_init(&head, HEAD_MAX);
    print_refusal(c, status, text, &body);
    if (status >= 400 && status < 400 + GW_HTTP_REFUSALS)
        c->server->counters.refused[status - 400]++;
    bool no_body = tg_str_eq(c->parser.head.method, TG_STR("HEAD"));
    struct gw_answer a = {
        .status = status,
        .content_type = "application/json",
        .fields = status == 503   ? TG_STR("Retry-After: 1\r\n")
                  : status == 405 ? TG_STR("Allow: GET, HEAD, POST, OPTIONS\r\n")
                                  : TG_STR(""),
        .now_s = tg_wall_ms() / 1000,
        .framing = GW_FRAMING_LENGTH,
        .length = body.n,
        .close = true,
    };
    bool made = gw_answer_head(&a, &head) == TG_OK && !body.failed &&
                evbuffer_add(output_of(c), head.p, head.n) == 0 &&
                (no_body || evbuffer_add(output_of(c), body.p, body.n) == 0);
    tg_log(TG_LOG_DEBUG, "http-refused", "%d: %s", status, text);
    tg_buf_free(&body);
    tg_buf_free(&head);
    if (made)
        begin_closing(c);
    else
        break_later(c);
}

static void run(struct gw_conn *c)
{
    const struct gw_http_handlers *handlers = &c->server->handlers;
    struct gw_ask ask = ask_of(c);
    c->state = CONN_RUNNING;
    c->served = true;
    c->server->n_running++;
    c->server->counters.requests++;
    c->rq = (struct gw_request){ .conn = c, .no_body = ask.head };
    tg_buf_init(&c->rq.fields, GW_ANSWER_FIELDS_MAX);
    set_wait(c, WAIT_NONE, 0);
    void *context = handlers->on_request(handlers->arg, &c->rq, &ask);
    if (c->rq.conn)
        c->rq.context = context;
}

/* A head with a body behind it: is it wanted, is there room, and does the client wait to be told
 * so? */
static void judge_head(struct gw_conn *c)
{
    const struct gw_http_handlers *handlers = &c->server->handlers;
    struct gw_ask ask = ask_of(c);
    if (handlers->admits && !handlers->admits(handlers->arg, &ask)) {
        c->parser.head.keep_alive = false;
        run(c);
        return;
    }
    int64_t room = c->server->limits.bodies_in_flight - c->server->bodies;
    if (room <= 0 || c->parser.head.length > (uint64_t)room) {
        refuse(c, 503, "too many request bodies are being held; try again");
        return;
    }
    if (c->parser.head.expect_continue && evbuffer_get_length(input_of(c)) == 0 &&
        evbuffer_add(output_of(c), "HTTP/1.1 100 Continue\r\n\r\n", 25))
        break_later(c);
}

/* What the parser made of the bytes it took. */
static void after_push(struct gw_conn *c, enum gw_parse_state before)
{
    struct gw_parser *p = &c->parser;
    charge_body(c, p->body.n);
    if (p->state == GW_PARSE_FAILED)
        refuse(c, p->refusal.status, p->refusal.text);
    else if (p->state == GW_PARSE_DONE)
        run(c);
    else if (p->state == GW_PARSE_BODY && before == GW_PARSE_HEAD)
        judge_head(c);
    else if (c->server->bodies > c->server->limits.bodies_in_flight)
        refuse(c, 503, "too many request bodies are being held; try again");
}

static void set_read_timer(struct gw_conn *c)
{
    const struct cfg_limits *limits = &c->server->limits;
    if (c->parser.state == GW_PARSE_BODY)
        set_wait(c, WAIT_BODY, limits->body_timeout_ms);
    else if (c->parser.begun || !c->served)
        set_wait(c, WAIT_HEAD, limits->header_timeout_ms);
    else
        set_wait(c, WAIT_IDLE, limits->idle_timeout_ms);
}

/* Requests strictly in order: the next is looked at when the one before has ended, and when the
 * client takes its answers. */
static void parse(struct gw_conn *c)
{
    struct evbuffer_iovec piece;
    c->parsing = true;
    while (c->state == CONN_READING && pending_output(c) <= OUTPUT_HIGH &&
           evbuffer_peek(input_of(c), -1, NULL, &piece, 1) > 0) {
        enum gw_parse_state before = c->parser.state;
        size_t took = gw_parser_push(&c->parser, piece.iov_base, piece.iov_len);
        evbuffer_drain(input_of(c), took);
        after_push(c, before);
    }
    c->parsing = false;
    if (c->state == CONN_READING)
        set_read_timer(c);
    bound_input(c);
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct gw_conn *c = arg;
    (void)bev;
    tg_turn_mark("connection");
    if (c->state == CONN_READING)
        parse(c);
    else if (c->state == CONN_RUNNING)
        bound_input(c);
    else
        evbuffer_drain(input_of(c), evbuffer_get_length(input_of(c)));
}

static void on_write(struct bufferevent *bev, void *arg)
{
    struct gw_conn *c = arg;
    (void)bev;
    tg_turn_mark("connection");
    if (c->state == CONN_RUNNING && c->rq.blocked) {
        c->rq.blocked = false;
        c->server->handlers.on_writable(c->server->handlers.arg, &c->rq, c->rq.context);
    } else if (c->state == CONN_READING) {
        parse(c);
    } else if (c->state == CONN_CLOSING && pending_output(c) == 0) {
        begin_linger(c);
    }
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct gw_conn *c = arg;
    (void)bev;
    tg_turn_mark("connection");
    c->eof = true;
    bool may_flush = (what & BEV_EVENT_EOF) && c->state != CONN_RUNNING &&
                     c->state != CONN_BROKEN && pending_output(c) > 0;
    if (!may_flush)
        gw_conn_close(c);
    else if (c->state == CONN_READING)
        begin_closing(c);
}

static bool peer_ended(const struct gw_conn *c)
{
    struct pollfd p = { .fd = bufferevent_getfd(c->bev), .events = POLLRDHUP };
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct gw_conn *c = arg;
    (void)fd;
    (void)what;
    tg_turn_mark("connection");
    if (c->wait == WAIT_WATCH) {
        if (peer_ended(c))
            gw_conn_close(c);
        else
            bound_input(c);
    } else if (c->wait == WAIT_IDLE && pending_output(c) > 0) {
        c->wait = WAIT_NONE; /* still sending a long answer: that has its own timeout */
        set_read_timer(c);
    } else if (c->wait == WAIT_BODY) {
        refuse(c, 408, "the body did not arrive in time");
    } else if (c->wait == WAIT_HEAD && c->parser.begun) {
        refuse(c, 408, "the head of the request did not arrive in time");
    } else {
        gw_conn_close(c);
    }
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
    struct gw_conn *c = arg;
    (void)fd;
    (void)what;
    tg_turn_mark("connection");
    if (c->state == CONN_BROKEN)
        gw_conn_close(c);
    else if (c->state == CONN_READING)
        parse(c);
}

enum tg_status gw_conn_open(struct gw_http *server, int fd)
{
    const struct cfg_limits *limits = &server->limits;
    struct timeval stall = { limits->write_timeout_ms / 1000,
                             limits->write_timeout_ms % 1000 * 1000 };
    struct gw_conn *c = tg_calloc(1, sizeof(*c));
    if (!c) {
        close(fd);
        return TG_NOMEM;
    }
    c->bev = bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!c->bev) {
        close(fd);
        tg_free(c);
        return TG_NOMEM;
    }
    c->server = server;
    gw_http_peer(fd, c->peer);
    c->next = server->conns;
    if (c->next)
        c->next->prev = c;
    server->conns = c;
    server->n_conns++;
    next_request(c);
    c->timer = evtimer_new(server->base, on_timer, c);
    c->later = event_new(server->base, -1, 0, on_later, c);
    bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
    bufferevent_setwatermark(c->bev, EV_WRITE, OUTPUT_LOW, 0);
    bufferevent_set_timeouts(c->bev, NULL, &stall);
    if (!c->timer || !c->later || bufferevent_enable(c->bev, EV_READ | EV_WRITE)) {
        destroy(c);
        return TG_NOMEM;
    }
    set_read_timer(c);
    return TG_OK;
}

struct gw_conn *gw_conn_next(const struct gw_conn *c)
{
    return c->next;
}

void gw_conn_drain(struct gw_conn *c)
{
    char byte;
    if (c->state != CONN_READING || c->parser.begun || evbuffer_get_length(input_of(c)) > 0)
        return;
    if (recv(bufferevent_getfd(c->bev), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
        return;
    if (pending_output(c) > 0)
        begin_closing(c);
    else
        break_later(c);
}

/* The answer was handed over in full, or given up. */
static void end_request(struct gw_conn *c, bool keep)
{
    c->server->n_running--;
    tg_buf_free(&c->rq.fields);
    c->rq = (struct gw_request){ 0 };
    if (c->state == CONN_BROKEN)
        return; /* `later` is active already */
    if (!keep || c->eof || c->server->draining) {
        begin_closing(c);
        return;
    }
    next_request(c);
    c->state = CONN_READING;
    set_read_timer(c);
    if (!c->parsing && evbuffer_get_length(input_of(c)) > 0)
        event_active(c->later, 0, 0);
}

static bool keeps_alive(const struct gw_conn *c)
{
    return c->parser.head.keep_alive && !c->server->draining && !c->eof;
}

static bool put(struct gw_conn *c, const void *p, size_t n)
{
    if (c->state == CONN_BROKEN)
        return false;
    if (n && evbuffer_add(output_of(c), p, n)) {
        tg_log(TG_LOG_ERROR, "http-out-of-memory", "an answer was cut");
        break_later(c);
        return false;
    }
    return true;
}

static void put_head(struct gw_request *rq, int status, const char *content_type, size_t length)
{
    struct gw_conn *c = rq->conn;
    struct tg_buf head;
    tg_buf_init(&head, HEAD_MAX);
    bool close = !keeps_alive(c) || rq->framing == GW_FRAMING_CLOSE;
    struct gw_answer a = {
        .status = status,
        .content_type = content_type,
        .fields = tg_buf_str(&rq->fields),
        .now_s = tg_wall_ms() / 1000,
        .framing = rq->framing,
        .length = length,
        .close = close,
        .keep_alive = !close && c->parser.head.http10,
    };
    rq->begun = true;
    if (status >= 100 && status < 600)
        c->server->counters.responses[status / 100 - 1]++;
    if (gw_answer_head(&a, &head))
        break_later(c);
    else
        put(c, head.p, head.n);
    tg_buf_free(&head);
}

void gw_http_header(struct gw_request *rq, const char *name, struct tg_str value)
{
    enum tg_status status =
        rq->begun ? TG_CLOSED : gw_answer_field(&rq->fields, tg_str_of(name), value);
    if (status)
        tg_log(TG_LOG_WARN, "header-dropped", "response header %s: %s", name,
               tg_status_name(status));
}

static bool bodiless(int status)
{
    return status == 204 || status == 304;
}

void gw_http_respond(struct gw_request *rq, int status, const char *content_type,
                     struct tg_str body)
{
    struct gw_conn *c = rq->conn;
    rq->framing = bodiless(status) ? GW_FRAMING_NONE : GW_FRAMING_LENGTH;
    put_head(rq, status, content_type, body.n);
    if (!rq->no_body && !bodiless(status))
        put(c, body.p, body.n);
    end_request(c, keeps_alive(c));
}

void gw_http_begin(struct gw_request *rq, int status, const char *content_type)
{
    rq->framing = bodiless(status)                ? GW_FRAMING_NONE
                  : rq->conn->parser.head.http10 ? GW_FRAMING_CLOSE
                                                  : GW_FRAMING_CHUNKED;
    rq->no_body = rq->no_body || bodiless(status);
    put_head(rq, status, content_type, 0);
}

bool gw_http_write(struct gw_request *rq, struct tg_str data)
{
    struct gw_conn *c = rq->conn;
    if (data.n && !rq->no_body) {
        char size[24];
        int n = snprintf(size, sizeof(size), "%zx\r\n", data.n);
        bool chunked = rq->framing == GW_FRAMING_CHUNKED;
        bool fine = (!chunked || put(c, size, (size_t)n)) && put(c, data.p, data.n) &&
                    (!chunked || put(c, "\r\n", 2));
        if (!fine)
            return false;
    }
    rq->blocked = pending_output(c) > OUTPUT_HIGH;
    return !rq->blocked;
}

void gw_http_end(struct gw_request *rq)
{
    struct gw_conn *c = rq->conn;
    bool close = rq->framing == GW_FRAMING_CLOSE;
    if (rq->framing == GW_FRAMING_CHUNKED && !rq->no_body)
        put(c, "0\r\n\r\n", 5);
    end_request(c, !close && keeps_alive(c));
}

void gw_http_abort(struct gw_request *rq)
{
    struct gw_conn *c = rq->conn;
    c->reset_at_end = rq->begun && rq->framing == GW_FRAMING_CLOSE;
    end_request(c, false);
}
