/* What the listener (http_server.c) and its connections (http_conn.c) share. Loop thread only. */
#ifndef GATEWAY_HTTP_INTERNAL_H
#define GATEWAY_HTTP_INTERNAL_H

#include "config/base/log.h"
#include "gateway/http.h"
#include "gateway/http_parse.h"

struct bufferevent;
struct event;
struct gw_conn;

/* Why accepting is off; any bit suffices. */
enum {
    GW_OFF_CALLER = 1,
    GW_OFF_FULL = 2,    /* limits.connections reached */
    GW_OFF_BACKOFF = 4, /* out of descriptors or memory */
};

struct gw_http {
    struct event_base *base;
    struct gw_http_handlers handlers;
    struct cfg_limits limits;
    const struct gw_tls *tls; /* borrowed; NULL: plain HTTP */
    int listen_fd; /* -1 once draining */
    uint16_t port;
    struct event *accept_event, *backoff_event;
    unsigned accept_off;
    bool draining;
    struct gw_conn *conns; /* doubly linked */
    size_t n_conns, n_running;
    struct tg_log_seldom accept_line, tls_line; /* of what fails: accepting, handshakes */
    int64_t bodies; /* bytes of request bodies held now */
    struct gw_http_counters counters;
};

/* Takes over the descriptor (closed on failure): TG_OK or TG_NOMEM. */
enum tg_status gw_conn_open(struct gw_http *server, int fd);
/* Closes it now; on_gone is called when a request runs. Not from inside a handler. */
void gw_conn_close(struct gw_conn *c);
/* Closes it if nothing was asked and nothing waits to be read; else it ends after its request. */
void gw_conn_drain(struct gw_conn *c);
/* The limits have changed: how long it may be idle is counted anew. */
void gw_conn_time_again(struct gw_conn *c);
/* Whether there are more connections than there may be, since a reload. */
static inline bool gw_http_crowded(const struct gw_http *h)
{
    return h->n_conns > h->limits.connections;
}
/* Asks admits again, if a body is arriving. */
void gw_conn_judge_again(struct gw_conn *c);
struct gw_conn *gw_conn_next(const struct gw_conn *c);
/* http_peer.c: the numeric address at the other end of a socket; empty where there is none. */
enum { GW_PEER_MAX = 46 };
void gw_http_peer(int fd, char out[GW_PEER_MAX]);
/* A connection ended: the listener may accept again. */
void gw_http_conn_closed(struct gw_http *server);

#endif
