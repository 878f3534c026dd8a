#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "config/base/log.h"
#include "config/base/turn.h"
#include "gateway/http_conn.h"
#include "gateway/http_tls.h"

enum {
    INPUT_MAX = 64 * 1024,   /* read ahead of the request that runs; one read more at most */
    OUTPUT_LOW = 16 * 1024,
    WATCH_MS = 50,           /* with the input full, how often the peer's end is looked for */
    LINGER_MS = 2000,
    CROWDED_MS = 5000,       /* idle, where there are more connections than there may be */
    TURN_US = 1000,          /* of pipelined requests that are answered at once: others wait */
};

static struct evbuffer *input_of(const struct gw_conn *c)
{
    return bufferevent_get_input(c->bev);
}

static struct evbuffer *output_of(const struct gw_conn *c)
{
    return bufferevent_get_output(c->bev);
}

size_t gw_conn_pending(const struct gw_conn *c)
{
    return evbuffer_get_length(output_of(c));
}

enum tg_status gw_conn_put(struct gw_conn *c, const void *p, size_t n)
{
    return evbuffer_add(output_of(c), p, n) ? TG_NOMEM : TG_OK;
}

size_t gw_conn_send(struct gw_conn *c, struct tg_str head, struct tg_str body)
{
    struct iovec parts[2] = { { (void *)(uintptr_t)head.p, head.n },
                              { (void *)(uintptr_t)body.p, body.n } };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = body.n ? 2 : 1 };
    if (c->tls || gw_conn_pending(c) > 0)
        return 0;
    ssize_t sent = sendmsg(bufferevent_getfd(c->bev), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent > 0 ? (size_t)sent : 0;
}

static void free_output(const void *p, size_t n, void *arg)
{
    (void)n;
    (void)arg;
    tg_free((void *)(uintptr_t)p);
}

enum tg_status gw_conn_put_owned(struct gw_conn *c, struct tg_buf *b)
{
    if (evbuffer_add_reference(output_of(c), b->p, b->n, free_output, NULL))
        return TG_NOMEM;
    *b = (struct tg_buf){ .max = b->max };
    return TG_OK;
}

/* The timer is only restarted when its meaning changes: a slow trickle does not extend it. */
static void set_wait(struct gw_conn *c, enum conn_wait wait, int64_t ms)
{
    if (c->wait == wait && wait != WAIT_WATCH && wait != WAIT_FAREWELL)
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

void gw_conn_break_later(struct gw_conn *c)
{
    c->state = CONN_BROKEN;
    event_active(c->later, 0, 0);
}

/* False: the socket is full, and it is worth another try. */
static bool said_farewell(struct gw_conn *c)
{
    bool full = !c->cut && gw_tls_farewell(c->bev) == TG_AGAIN;
    return !full || c->farewells++ * (int64_t)WATCH_MS > c->server->limits.write_timeout_ms;
}

/* The output is flushed: shut our side, then wait for the peer's end. */
static void begin_linger(struct gw_conn *c)
{
    if (!said_farewell(c)) {
        set_wait(c, WAIT_FAREWELL, WATCH_MS);
        return;
    }
    int fd = bufferevent_getfd(c->bev);
    struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
    if (c->reset_at_end)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    if (c->reset_at_end || c->eof || shutdown(fd, SHUT_WR)) {
        gw_conn_break_later(c);
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
            gw_conn_break_later(c);
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
    if (gw_conn_pending(c) == 0 && c->state == CONN_CLOSING)
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
    tg_buf_init(&head, GW_CONN_HEAD_MAX);
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
                gw_conn_put(c, head.p, head.n) == TG_OK &&
                (no_body || gw_conn_put(c, body.p, body.n) == TG_OK);
    tg_log(TG_LOG_DEBUG, "http-refused", "%d: %s", status, text);
    tg_buf_free(&body);
    tg_buf_free(&head);
    if (made)
        begin_closing(c);
    else
        gw_conn_break_later(c);
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

/* True: the body is not wanted, and the request was refused without it. */
static bool turned_away(struct gw_conn *c)
{
    const struct gw_http_handlers *handlers = &c->server->handlers;
    struct gw_ask ask = ask_of(c);
    if (!handlers->admits || handlers->admits(handlers->arg, &ask))
        return false;
    c->parser.head.keep_alive = false;
    tg_buf_reset(&c->parser.body);
    run(c);
    return true;
}

void gw_conn_judge_again(struct gw_conn *c)
{
    if (c->state == CONN_READING && c->parser.state == GW_PARSE_BODY)
        turned_away(c);
}

/* A head with a body behind it: is it wanted, is there room, and does the client wait to be told
 * so? */
static void judge_head(struct gw_conn *c)
{
    if (turned_away(c))
        return;
    int64_t room = c->server->limits.bodies_in_flight - c->server->bodies;
    if (room <= 0 || c->parser.head.length > (uint64_t)room) {
        refuse(c, 503, "too many request bodies are being held; try again");
        return;
    }
    if (c->parser.head.expect_continue && evbuffer_get_length(input_of(c)) == 0 &&
        gw_conn_put(c, "HTTP/1.1 100 Continue\r\n\r\n", 25))
        gw_conn_break_later(c);
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

static int64_t idle_ms(const struct gw_http *h)
{
    int64_t ms = h->limits.idle_timeout_ms;
    return gw_http_crowded(h) && ms > CROWDED_MS ? CROWDED_MS : ms;
}

static void set_read_timer(struct gw_conn *c)
{
    const struct cfg_limits *limits = &c->server->limits;
    if (c->parser.state == GW_PARSE_BODY)
        set_wait(c, WAIT_BODY, limits->body_timeout_ms);
    else if (c->parser.begun || !c->served)
        set_wait(c, WAIT_HEAD, limits->header_timeout_ms);
    else
        set_wait(c, WAIT_IDLE, idle_ms(c->server));
}

void gw_conn_time_again(struct gw_conn *c)
{
    if (c->wait != WAIT_IDLE)
        return;
    c->wait = WAIT_NONE;
    set_read_timer(c);
}

/* Requests strictly in order: the next is looked at when the one before has ended, and when the
 * client takes its answers. Hundreds of small ones fit into the input: a connection that has had
 * its time goes on behind the others. */
static void parse(struct gw_conn *c)
{
    struct evbuffer_iovec piece;
    static const struct timeval at_once = { 0, 0 };
    int64_t until = tg_mono_ns() + (int64_t)TURN_US * 1000;
    c->parsing = true;
    /* (Empty pieces occur: room that was made for what did not come.) */
    while (c->state == CONN_READING && gw_conn_pending(c) <= GW_CONN_OUTPUT_HIGH &&
           evbuffer_get_length(input_of(c)) > 0 &&
           evbuffer_peek(input_of(c), -1, NULL, &piece, 1) > 0) {
        enum gw_parse_state before = c->parser.state;
        size_t took = gw_parser_push(&c->parser, piece.iov_base, piece.iov_len);
        evbuffer_drain(input_of(c), took);
        after_push(c, before);
        if (tg_mono_ns() >= until) {
            event_add(c->later, &at_once); /* (made active it would run in this same turn) */
            break;
        }
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
    if (c->state == CONN_RUNNING) {
        /* Under TLS this call may be older than what was written since. */
        if (!c->rq.blocked || gw_conn_pending(c) > OUTPUT_LOW)
            return;
        c->rq.blocked = false;
        c->server->handlers.on_writable(c->server->handlers.arg, &c->rq, c->rq.context);
    } else if (c->state == CONN_READING) {
        parse(c);
    } else if (c->state == CONN_CLOSING && gw_conn_pending(c) == 0) {
        begin_linger(c);
    }
}

static void tell_fault(struct gw_http *server, const char *why)
{
    uint64_t untold;
    if (tg_log_seldom(&server->tls_line, tg_mono_ns(), &untold))
        tg_log(TG_LOG_WARN, "tls-refused",
               "%llu handshakes failed since the last such line; the last: %s",
               (unsigned long long)untold + 1, why);
}

static bool attach(struct gw_conn *c);

/* Plain HTTP on a port for TLS is told so, in its own words. */
static void handshake_failed(struct gw_conn *c)
{
    const char *why;
    enum gw_tls_fault fault = gw_tls_fault(c->bev, &why);
    if (fault == GW_TLS_FAULT)
        tell_fault(c->server, why);
    struct bufferevent *shaken = c->bev,
                       *plain = fault == GW_TLS_HTTP ? gw_tls_leave(shaken, c->server->base) : NULL;
    if (!plain) {
        gw_conn_close(c);
        return;
    }
    c->bev = plain;
    c->shaking = false;
    bufferevent_free(shaken);
    if (attach(c))
        refuse(c, 400, "plain HTTP was sent to a port that speaks TLS: use https://");
    else
        gw_conn_close(c);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct gw_conn *c = arg;
    tg_turn_mark("connection");
    if (what & BEV_EVENT_CONNECTED) {
        c->shaking = false;
        return;
    }
    if ((what & BEV_EVENT_ERROR) && c->shaking) {
        handshake_failed(c);
        return;
    }
    c->eof = true;
    /* Under TLS what cannot be written to a peer that has said farewell is an "end of file" too. */
    bool end = (what & BEV_EVENT_EOF) && !(what & BEV_EVENT_WRITING);
    if (end && c->state == CONN_READING && gw_conn_pending(c) == 0)
        gw_tls_farewell(bev);
    bool may_flush = end && c->state != CONN_RUNNING &&
                     c->state != CONN_BROKEN && gw_conn_pending(c) > 0;
    /* Under TLS an end of file stops writing too. */
    if (!may_flush || bufferevent_enable(bev, EV_WRITE))
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
    } else if (c->wait == WAIT_IDLE && gw_conn_pending(c) > 0) {
        c->wait = WAIT_NONE; /* still sending a long answer: that has its own timeout */
        set_read_timer(c);
    } else if (c->wait == WAIT_BODY) {
        refuse(c, 408, "the body did not arrive in time");
    } else if (c->wait == WAIT_HEAD && c->parser.begun) {
        refuse(c, 408, "the head of the request did not arrive in time");
    } else if (c->wait == WAIT_FAREWELL) {
        begin_linger(c);
    } else {
        if (c->state == CONN_READING)
            gw_tls_farewell(c->bev);
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

/* Lets the bufferevent work for the connection; false: out of memory. */
static bool attach(struct gw_conn *c)
{
    const struct cfg_limits *limits = &c->server->limits;
    struct timeval stall = { limits->write_timeout_ms / 1000,
                             limits->write_timeout_ms % 1000 * 1000 };
    bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
    bufferevent_setwatermark(c->bev, EV_WRITE, OUTPUT_LOW, 0);
    bufferevent_set_timeouts(c->bev, NULL, &stall);
    return bufferevent_enable(c->bev, EV_READ | EV_WRITE) == 0;
}

enum tg_status gw_conn_open(struct gw_http *server, int fd)
{
    struct gw_conn *c = tg_calloc(1, sizeof(*c));
    if (!c) {
        close(fd);
        return TG_NOMEM;
    }
    c->bev = server->tls ? gw_tls_accept(server->tls, server->base, fd)
                         : bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!c->bev) {
        close(fd);
        tg_free(c);
        return TG_NOMEM;
    }
    c->server = server;
    gw_http_peer(fd, c->peer);
    c->tls = c->shaking = server->tls != NULL;
    c->next = server->conns;
    if (c->next)
        c->next->prev = c;
    server->conns = c;
    server->n_conns++;
    next_request(c);
    c->timer = evtimer_new(server->base, on_timer, c);
    c->later = event_new(server->base, -1, 0, on_later, c);
    if (!c->timer || !c->later || !attach(c)) {
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
    if (c->shaking && gw_tls_begun(c->bev)) /* a request is about to come */
        return;
    if (recv(bufferevent_getfd(c->bev), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
        return;
    if (gw_conn_pending(c) > 0) {
        begin_closing(c);
        return;
    }
    gw_tls_farewell(c->bev);
    gw_conn_break_later(c);
}

void gw_conn_end_request(struct gw_conn *c, bool keep)
{
    c->server->n_running--;
    tg_buf_free(&c->rq.fields);
    c->rq = (struct gw_request){ 0 };
    if (c->state == CONN_BROKEN)
        return; /* `later` is active already */
    if (!keep || c->eof || c->server->draining || gw_http_crowded(c->server)) {
        begin_closing(c);
        return;
    }
    next_request(c);
    c->state = CONN_READING;
    set_read_timer(c);
    if (!c->parsing && evbuffer_get_length(input_of(c)) > 0)
        event_active(c->later, 0, 0);
}
