/* A connection, as its two halves see it: what arrives and when it ends (http_conn.c), and what is
 * answered (http_reply.c). Loop thread only. */
#ifndef GATEWAY_HTTP_CONN_H
#define GATEWAY_HTTP_CONN_H

#include "gateway/http_answer.h"
#include "gateway/http_internal.h"

/* One connection: READING (idle or a request arriving) -> RUNNING (a handler has it) -> READING or
 * CLOSING (the output is flushed, our side is shut) -> LINGER (what still comes is thrown away, so
 * that a reset does not overtake the answer) -> closed. Input that belongs to nobody any more is
 * drained, never left unread.
 *
 * Nothing is freed below a handler or an entry point of http.h: those mark the connection and
 * activate `later`, which runs from the loop. */
enum conn_state { CONN_READING, CONN_RUNNING, CONN_CLOSING, CONN_LINGER, CONN_BROKEN };

/* What the connection's one timer stands for. */
enum conn_wait {
    WAIT_NONE,
    WAIT_IDLE,
    WAIT_HEAD, /* the handshake of TLS included */
    WAIT_BODY,
    WAIT_WATCH,
    WAIT_FAREWELL, /* the socket has no room for TLS's last words */
    WAIT_LINGER,
};

enum {
    GW_CONN_OUTPUT_HIGH = 64 * 1024, /* gw_http_write says false above it */
    GW_CONN_HEAD_MAX = GW_ANSWER_FIELDS_MAX + 1024,
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
    bool tls;          /* began with it */
    bool shaking;      /* the handshake of TLS is not over */
    bool cut;          /* the answer was given up: its end must not look like one */
    int farewells;     /* tried in vain */
    bool reset_at_end; /* the broken end of an HTTP/1.0 stream must not look like a whole one */
    char peer[GW_PEER_MAX];
};

/* Adds to the output; TG_NOMEM. */
enum tg_status gw_conn_put(struct gw_conn *c, const void *p, size_t n);
/* Sends what the socket takes at once, if nothing waits in front of it and there is no TLS, and
 * says how much that was: two calls of epoll_ctl and a turn of the loop less than by the output.
 * What is left, also after an error, is the caller's to put. */
size_t gw_conn_send(struct gw_conn *c, struct tg_str head, struct tg_str body);
/* The same without a copy: takes the buffer's memory and leaves it empty. TG_NOMEM: as it was. */
enum tg_status gw_conn_put_owned(struct gw_conn *c, struct tg_buf *b);
/* Bytes of output that the socket has not taken. */
size_t gw_conn_pending(const struct gw_conn *c);
/* Ends the connection from the loop: for callers that stand below a handler. */
void gw_conn_break_later(struct gw_conn *c);
/* The answer was handed over in full, or given up; keep: another request may follow. */
void gw_conn_end_request(struct gw_conn *c, bool keep);

#endif
