#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "tests/unit/providers/support.h"

#define SSE_BODY                                                                                   \
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\","            \
    "\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n"                               \
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"}}]}\n\n"                    \
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\", world\"}}]}\n\n"                  \
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"              \
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":3,"               \
    "\"total_tokens\":14,\"prompt_tokens_details\":{\"cached_tokens\":0}}}\n\n"                    \
    "data: [DONE]\n\n"
#define WHOLE_BODY                                                                                 \
    "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hello, world\"}" \
    ",\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":3}}"

const char *const mock_sse = SSE_BODY;
/* The sizes that the answers state. */
_Static_assert(sizeof(SSE_BODY) - 1 == 0x1CB, "chunk size of mock_stream");
_Static_assert(sizeof(WHOLE_BODY) - 1 == 155, "content-length of mock_whole");
const char *const mock_stream =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    "Transfer-Encoding: chunked\r\n\r\n1CB\r\n" SSE_BODY "\r\n0\r\n\r\n";
const char *const mock_whole = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                               "Content-Length: 155\r\n\r\n" WHOLE_BODY;

struct connection {
    struct mock *mock;
    struct connection *next;
    struct bufferevent *bev;
    struct event *idle;
    size_t requests, left;
    bool closing;
};

static void connection_free(struct connection *c)
{
    struct connection **at = (struct connection **)&c->mock->connections;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    bufferevent_free(c->bev);
    if (c->idle)
        event_free(c->idle);
    free(c);
}

static void on_idle(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    connection_free(arg);
}

static void answer(struct connection *c)
{
    const struct mock_script *s = &c->mock->script;
    size_t n = s->n ? s->n : s->answer ? strlen(s->answer) : 0;
    if (s->close_on_second && c->requests > 1) {
        connection_free(c);
        return;
    }
    if (s->hang)
        return;
    c->closing = s->close || s->cut > 0;
    c->left = s->repeat;
    bufferevent_write(c->bev, s->answer, s->cut > 0 ? s->cut : n);
    if (s->close_idle_ms > 0) {
        struct timeval tv = { s->close_idle_ms / 1000, (s->close_idle_ms % 1000) * 1000 };
        c->idle = evtimer_new(c->mock->base, on_idle, c);
        evtimer_add(c->idle, &tv);
    }
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct connection *c = arg;
    struct mock *m = c->mock;
    struct evbuffer *in = bufferevent_get_input(bev);
    size_t n = evbuffer_get_length(in);
    const char *p = (const char *)evbuffer_pullup(in, -1);
    const char *end = n ? memmem(p, n, "\r\n\r\n", 4) : NULL;
    const char *length = end ? memmem(p, (size_t)(end - p), "Content-Length: ", 16) : NULL;
    if (!end)
        return;
    size_t need = (size_t)(end - p) + 4 + (length ? strtoul(length + 16, NULL, 10) : 0);
    if (n < need)
        return;
    tg_buf_reset(&m->request);
    tg_buf_add(&m->request, p, need);
    evbuffer_drain(in, need);
    m->requests++;
    c->requests++;
    answer(c);
}

static void on_written(struct bufferevent *bev, void *arg)
{
    struct connection *c = arg;
    if (c->left > 0) {
        c->left--;
        c->mock->repeated++;
        bufferevent_write(bev, c->mock->script.tail, strlen(c->mock->script.tail));
    } else if (c->closing) {
        connection_free(c);
    }
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct connection *c = arg;
    (void)bev;
    (void)what;
    c->mock->peer_closed++;
    c->mock->closed_ns = tg_mono_ns();
    connection_free(c);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int n, void *arg)
{
    struct mock *m = arg;
    struct connection *c = calloc(1, sizeof(*c));
    (void)listener;
    (void)address;
    (void)n;
    m->accepted++;
    c->mock = m;
    c->next = m->connections;
    m->connections = c;
    c->bev = bufferevent_socket_new(m->base, fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(c->bev, on_read, on_written, on_event, c);
    bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

void mock_start(struct mock *m, struct event_base *base)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(a);
    *m = (struct mock){ .base = base };
    tg_buf_init(&m->request, 1 << 20);
    struct evconnlistener *l =
        evconnlistener_new_bind(base, on_accept, m, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
                                512, (struct sockaddr *)&a, sizeof(a));
    getsockname(evconnlistener_get_fd(l), (struct sockaddr *)&a, &n);
    m->listener = l;
    m->port = ntohs(a.sin_port);
}

void mock_stop(struct mock *m)
{
    while (m->connections)
        connection_free(m->connections);
    evconnlistener_free(m->listener);
    tg_buf_free(&m->request);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

bool loop_until(struct event_base *base, const size_t *done, size_t n, int64_t ms)
{
    int64_t until = tg_mono_ns() + ms * 1000000;
    struct timeval tick = { 0, 2000 };
    struct event *e = event_new(base, -1, EV_PERSIST, on_tick, NULL);
    event_add(e, &tick);
    while (*done < n && tg_mono_ns() < until)
        event_base_loop(base, EVLOOP_ONCE);
    event_free(e);
    return *done >= n;
}

void loop_for(struct event_base *base, int64_t ms)
{
    static const size_t never = 0;
    loop_until(base, &never, 1, ms);
}
