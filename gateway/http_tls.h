/* TLS under a connection: how its bufferevent is made, how it fails, its farewell. Loop thread
 * only. */
#ifndef GATEWAY_HTTP_TLS_H
#define GATEWAY_HTTP_TLS_H

#include "gateway/tls.h"

struct bufferevent;
struct event_base;

/* A bufferevent that shakes hands as the server on an accepted socket, then carries plain bytes.
 * It owns fd, and its callbacks are deferred: without that libevent tells an end of file before the
 * bytes in front of it, and from inside its own functions. NULL: out of memory, fd is the caller's
 * still. */
struct bufferevent *gw_tls_accept(const struct gw_tls *tls, struct event_base *base, int fd);
/* Whether the client has begun the handshake. */
bool gw_tls_begun(struct bufferevent *bev);
/* Tells the peer that nothing more comes (close_notify); without it, it must take the end for a
 * cut. Once; TG_AGAIN: the socket is full, call again later. TG_CLOSED: it cannot be told any more.
 * Without TLS there is nothing to tell: TG_OK. */
enum tg_status gw_tls_farewell(struct bufferevent *bev);

enum gw_tls_fault {
    GW_TLS_LEFT, /* the peer went: no news */
    GW_TLS_HTTP, /* it spoke plain HTTP */
    GW_TLS_FAULT,
};

/* After BEV_EVENT_ERROR during the handshake, once: what it was; *why is static, in OpenSSL's
 * words, "" for the first two. */
enum gw_tls_fault gw_tls_fault(struct bufferevent *bev, const char **why);
/* Another bufferevent for the same socket, which it has from now on, without TLS. The old one is
 * the caller's to free. NULL: out of memory, and bev keeps the socket. */
struct bufferevent *gw_tls_leave(struct bufferevent *bev, struct event_base *base);

#endif
