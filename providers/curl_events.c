#include "providers/curl_events.h"

#include <event2/event.h>

#include "config/base/alloc.h"

struct socket_watch {
    struct prov_curl_events *owner;
    struct event *event;
};

static void on_socket_event(evutil_socket_t fd, short what, void *arg)
{
    struct socket_watch *w = arg;
    int mask =
        ((what & EV_READ) ? CURL_CSELECT_IN : 0) | ((what & EV_WRITE) ? CURL_CSELECT_OUT : 0);
    w->owner->drive(w->owner->arg, fd, mask); /* w may be freed inside */
}

static void on_curl_timer(evutil_socket_t fd, short what, void *arg)
{
    struct prov_curl_events *e = arg;
    (void)fd;
    (void)what;
    e->drive(e->arg, CURL_SOCKET_TIMEOUT, 0);
}

static int curl_wants_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct prov_curl_events *e = arg;
    (void)multi;
    if (timeout_ms < 0) {
        event_del(e->timer);
        return 0;
    }
    struct timeval tv = { timeout_ms / 1000, (timeout_ms % 1000) * 1000 };
    event_add(e->timer, &tv);
    return 0;
}

static void watch_free(struct socket_watch *w)
{
    if (w && w->event)
        event_free(w->event);
    tg_free(w);
}

/* Returning an error to curl would end every transfer; so a failure ends this one only. */
static int curl_wants_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct prov_curl_events *e = arg;
    struct socket_watch *w = socket_arg;
    if (what == CURL_POLL_REMOVE) {
        curl_multi_assign(e->multi, fd, NULL);
        watch_free(w);
        return 0;
    }
    short mask = (short)(EV_PERSIST | ((what & CURL_POLL_IN) ? EV_READ : 0) |
                         ((what & CURL_POLL_OUT) ? EV_WRITE : 0));
    bool ok = true;
    if (!w) {
        w = tg_calloc(1, sizeof(*w));
        if (w) {
            *w = (struct socket_watch){ .owner = e };
            w->event = event_new(e->base, fd, mask, on_socket_event, w);
        }
        ok = w && w->event && curl_multi_assign(e->multi, fd, w) == CURLM_OK;
    } else {
        event_del(w->event);
        ok = event_assign(w->event, e->base, fd, mask, on_socket_event, w) == 0;
    }
    if (ok && event_add(w->event, NULL) == 0)
        return 0;
    if (!socket_arg) {
        curl_multi_assign(e->multi, fd, NULL);
        watch_free(w);
    }
    e->lost(e->arg, easy);
    return 0;
}

bool prov_curl_events_open(struct prov_curl_events *e)
{
    e->timer = evtimer_new(e->base, on_curl_timer, e);
    e->multi = e->timer ? curl_multi_init() : NULL;
    if (!e->multi)
        return false;
    curl_multi_setopt(e->multi, CURLMOPT_SOCKETFUNCTION, curl_wants_socket);
    curl_multi_setopt(e->multi, CURLMOPT_SOCKETDATA, e);
    curl_multi_setopt(e->multi, CURLMOPT_TIMERFUNCTION, curl_wants_timer);
    curl_multi_setopt(e->multi, CURLMOPT_TIMERDATA, e);
    return true;
}

void prov_curl_events_close(struct prov_curl_events *e)
{
    if (e->multi)
        curl_multi_cleanup(e->multi);
    if (e->timer)
        event_free(e->timer);
    e->multi = NULL;
    e->timer = NULL;
}
