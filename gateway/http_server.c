#include "gateway/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "config/base/log.h"
#include "config/base/turn.h"
#include "gateway/http_internal.h"

enum { BACKLOG = 511, ACCEPTS_PER_TURN = 64, BACKOFF_MS = 100 };

static void set_accepting(struct gw_http *h, unsigned bit, bool off)
{
    unsigned before = h->accept_off;
    h->accept_off = off ? before | bit : before & ~bit;
    if (!h->accept_event || (before == 0) == (h->accept_off == 0))
        return;
    if (h->accept_off)
        event_del(h->accept_event);
    else
        event_add(h->accept_event, NULL);
}

static void backoff_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    set_accepting(arg, GW_OFF_BACKOFF, false);
}

/* Out of descriptors or memory: the listening socket stays readable, so look again a little later
 * instead of spinning. */
static void back_off(struct gw_http *h, int cause)
{
    struct timeval wait = { 0, BACKOFF_MS * 1000 };
    uint64_t untold;
    if (tg_log_seldom(&h->accept_line, tg_mono_ns(), &untold)) /* it lasts */
        tg_log(TG_LOG_WARN, "accept-failed", "cannot accept connections: %s", strerror(cause));
    if (event_add(h->backoff_event, &wait) == 0)
        set_accepting(h, GW_OFF_BACKOFF, true);
}

static void on_accept(evutil_socket_t listener, short what, void *arg)
{
    struct gw_http *h = arg;
    (void)what;
    tg_turn_mark("accept");
    for (int i = 0; i < ACCEPTS_PER_TURN && h->accept_off == 0; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            bool nothing = errno == EAGAIN || errno == EWOULDBLOCK;
            bool that_one = errno == EINTR || errno == ECONNABORTED || errno == EPROTO;
            if (nothing)
                return;
            if (that_one)
                continue;
            back_off(h, errno);
            return;
        }
        int on = 1;
        h->counters.accepted++;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
        if (gw_conn_open(h, fd))
            back_off(h, ENOMEM);
        set_accepting(h, GW_OFF_FULL, h->n_conns >= h->limits.connections);
    }
}

void gw_http_conn_closed(struct gw_http *h)
{
    set_accepting(h, GW_OFF_FULL, h->n_conns >= h->limits.connections);
}

/* "127.0.0.1", "::1" or "[::1]"; the length of the address, 0 when it is neither. */
static socklen_t numeric_address(const char *host, uint16_t port, struct sockaddr_storage *out)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    char plain[INET6_ADDRSTRLEN];
    size_t n = strlen(host);
    bool bracketed = n > 2 && host[0] == '[' && host[n - 1] == ']';
    snprintf(plain, sizeof(plain), "%.*s", (int)(bracketed ? n - 2 : n), host + bracketed);
    *out = (struct sockaddr_storage){ 0 };
    if (n >= sizeof(plain))
        return 0;
    if (!bracketed && inet_pton(AF_INET, plain, &v4.sin_addr) == 1) {
        memcpy(out, &v4, sizeof(v4));
        return sizeof(v4);
    }
    if (inet_pton(AF_INET6, plain, &v6.sin6_addr) == 1) {
        memcpy(out, &v6, sizeof(v6));
        return sizeof(v6);
    }
    return 0;
}

static enum tg_status listen_on(const char *host, uint16_t port, int *out, struct tg_error *err)
{
    struct sockaddr_storage address;
    socklen_t n = numeric_address(host, port, &address);
    if (n == 0)
        return tg_fail(err, TG_INVALID, "listen: \"%s\" is no numeric IPv4 or IPv6 address", host);
    int on = 1, fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return tg_fail(err, TG_IO, "listen on %s: %s", host, strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (address.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&address, n) || listen(fd, BACKLOG)) {
        int cause = errno;
        close(fd);
        if (cause == EADDRINUSE)
            return tg_fail(err, TG_IO, "listen on %s port %u: the port is taken",
                           host, port);
        return tg_fail(err, TG_IO, "listen on %s port %u: %s", host, port, strerror(cause));
    }
    *out = fd;
    return TG_OK;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage address = { 0 };
    socklen_t n = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &n))
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((const struct sockaddr_in *)&address)->sin_port);
}

enum tg_status gw_http_open(struct event_base *base, const char *host, uint16_t port,
                            const struct cfg_limits *limits,
                            const struct gw_http_handlers *handlers, struct gw_http **out,
                            struct tg_error *err)
{
    struct gw_http *h = tg_calloc(1, sizeof(*h));
    *out = NULL;
    if (!h)
        return tg_fail(err, TG_NOMEM, "listen on %s: out of memory", host);
    *h = (struct gw_http){
        .base = base, .handlers = *handlers, .limits = *limits, .listen_fd = -1
    };
    enum tg_status status = listen_on(host, port, &h->listen_fd, err);
    if (status)
        goto fail;
    h->port = bound_port(h->listen_fd);
    h->accept_event = event_new(base, h->listen_fd, EV_READ | EV_PERSIST, on_accept, h);
    h->backoff_event = evtimer_new(base, backoff_over, h);
    if (!h->accept_event || !h->backoff_event || event_add(h->accept_event, NULL)) {
        status = tg_fail(err, TG_NOMEM, "listen on %s: no event could be made", host);
        goto fail;
    }
    *out = h;
    return TG_OK;
fail:
    gw_http_close(h);
    return status;
}

void gw_http_set_limits(struct gw_http *h, const struct cfg_limits *limits)
{
    h->limits = *limits;
    for (struct gw_conn *c = h->conns; c && gw_http_crowded(h); c = gw_conn_next(c))
        gw_conn_time_again(c); /* or who comes now would wait for all of idleTimeout */
    set_accepting(h, GW_OFF_FULL, h->n_conns >= h->limits.connections);
}

void gw_http_set_tls(struct gw_http *h, const struct gw_tls *tls)
{
    h->tls = tls;
}

uint16_t gw_http_port(const struct gw_http *h)
{
    return h->port;
}

static void stop_listening(struct gw_http *h)
{
    if (h->accept_event)
        event_free(h->accept_event);
    if (h->backoff_event)
        event_free(h->backoff_event);
    h->accept_event = h->backoff_event = NULL;
    if (h->listen_fd >= 0)
        close(h->listen_fd);
    h->listen_fd = -1;
}

void gw_http_drain(struct gw_http *h)
{
    h->draining = true;
    stop_listening(h);
    for (struct gw_conn *c = h->conns; c; c = gw_conn_next(c))
        gw_conn_drain(c);
}

void gw_http_judge_again(struct gw_http *h)
{
    for (struct gw_conn *c = h->conns; c; c = gw_conn_next(c))
        gw_conn_judge_again(c);
}

size_t gw_http_requests(const struct gw_http *h)
{
    return h->n_running;
}

size_t gw_http_connections(const struct gw_http *h)
{
    return h->n_conns;
}

const struct gw_http_counters *gw_http_counters(struct gw_http *h)
{
    h->counters.body_bytes = h->bodies;
    return &h->counters;
}

void gw_http_accept(struct gw_http *h, bool on)
{
    set_accepting(h, GW_OFF_CALLER, !on);
}

void gw_http_close(struct gw_http *h)
{
    if (!h)
        return;
    h->draining = true;
    stop_listening(h);
    while (h->conns)
        gw_conn_close(h->conns);
    tg_free(h);
}
