#include "providers/curl_events.h"

#include <event2/event.h>
#include <stddef.h>
#include <unistd.h>

#include "config/base/alloc.h"

/* What curl wants to know of a socket. That of a connection is kept while the connection waits in
 * curl's pool, with its event: the next request on it then costs no system call. */
struct socket_watch {
    struct prov_curl_events *owner;
    struct event *event;
    short mask;  /* of the event, while it is added */
    bool added;
    bool wanted; /* by curl now */
    bool kept;   /* in owner's table until the socket is closed */
};

static void forget(struct socket_watch *w)
{
    if (w->added)
        event_del(w->event);
    w->added = false;
}

static void on_socket_event(evutil_socket_t fd, short what, void *arg)
{
    struct socket_watch *w = arg;
    if (!w->wanted) { /* closed by the other side; curl finds out when it takes it up again */
        forget(w);
        return;
    }
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

static struct socket_watch *watch_new(struct prov_curl_events *e)
{
    struct socket_watch *w = tg_calloc(1, sizeof(*w));
    if (w)
        w->owner = e;
    return w;
}

static struct socket_watch *kept_watch(const struct prov_curl_events *e, curl_socket_t fd)
{
    return (size_t)fd < e->n_kept ? e->kept[fd] : NULL;
}

/* False when out of memory. */
static bool watch(struct socket_watch *w, curl_socket_t fd, short mask)
{
    w->wanted = true;
    if (w->added && w->mask == mask)
        return true;
    forget(w);
    if (!w->event)
        w->event = event_new(w->owner->base, fd, mask, on_socket_event, w);
    else if (event_assign(w->event, w->owner->base, fd, mask, on_socket_event, w) != 0)
        return false;
    w->mask = mask;
    w->added = w->event && event_add(w->event, NULL) == 0;
    return w->added;
}

static void unwatch(struct prov_curl_events *e, curl_socket_t fd, struct socket_watch *w)
{
    if (w->kept) {
        w->wanted = false;
        if (w->mask & EV_WRITE) /* always so: the loop would turn for nothing */
            forget(w);
        return;
    }
    curl_multi_assign(e->multi, fd, NULL);
    watch_free(w);
}

/* Returning an error to curl would end every transfer; so a failure ends this one only. */
static int curl_wants_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct prov_curl_events *e = arg;
    struct socket_watch *w = socket_arg ? socket_arg : kept_watch(e, fd);
    if (what == CURL_POLL_REMOVE) {
        if (w)
            unwatch(e, fd, w);
        return 0;
    }
    bool fresh = !w;
    if (fresh) {
        w = watch_new(e);
        if (w && curl_multi_assign(e->multi, fd, w) != CURLM_OK) {
            tg_free(w);
            w = NULL;
        }
    }
    short mask = (short)(EV_PERSIST | ((what & CURL_POLL_IN) ? EV_READ : 0) |
                         ((what & CURL_POLL_OUT) ? EV_WRITE : 0));
    if (w && watch(w, fd, mask))
        return 0;
    if (w && fresh)
        unwatch(e, fd, w);
    e->lost(e->arg, easy);
    return 0;
}

static void unkeep(struct prov_curl_events *e, curl_socket_t fd)
{
    if (!kept_watch(e, fd))
        return;
    watch_free(e->kept[fd]);
    e->kept[fd] = NULL;
}

int prov_curl_events_close_socket(void *events, curl_socket_t fd)
{
    unkeep(events, fd);
    return close(fd);
}

void prov_curl_events_opened(struct prov_curl_events *e, curl_socket_t fd)
{
    if ((size_t)fd >= e->n_kept) {
        size_t n = ((size_t)fd + 1) * 2;
        struct socket_watch **grown = tg_realloc_array(e->kept, n, sizeof(struct socket_watch *));
        if (!grown)
            return;
        for (size_t i = e->n_kept; i < n; i++)
            grown[i] = NULL;
        e->kept = grown;
        e->n_kept = n;
    }
    unkeep(e, fd); /* there is none, unless curl closed one without a word */
    struct socket_watch *w = watch_new(e);
    if (w)
        w->kept = true;
    e->kept[fd] = w;
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
    for (size_t i = 0; i < e->n_kept; i++)
        watch_free(e->kept[i]);
    tg_free(e->kept);
    e->multi = NULL;
    e->timer = NULL;
    e->kept = NULL;
    e->n_kept = 0;
}
