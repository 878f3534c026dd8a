#include "gateway/loop.h"

#include <event2/event.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "config/base/turn.h"

enum { LOOP_WATCHES_MAX = 16 };

struct watch {
    struct event *event;
    void (*fn)(void *arg);
    void *arg;
};

struct gw_loop {
    struct event_base *base;
    struct watch watches[LOOP_WATCHES_MAX];
    size_t n;
    bool stopped;
    struct tg_turn turn;
    struct gw_watchdog *watchdog;
    void (*on_turn)(void *arg, int64_t held_ns);
    void *turn_arg;
};

struct gw_timer {
    struct event *event;
    void (*fn)(void *arg);
    void *arg;
};

struct gw_loop *gw_loop_new(struct tg_error *err)
{
    struct gw_loop *loop = tg_calloc(1, sizeof(*loop));
    if (loop)
        loop->base = event_base_new();
    if (!loop || !loop->base) {
        tg_free(loop);
        tg_fail(err, TG_NOMEM, "out of memory for the event loop");
        return NULL;
    }
    return loop;
}

void gw_loop_free(struct gw_loop *loop)
{
    if (!loop)
        return;
    gw_watchdog_free(loop->watchdog);
    for (size_t i = 0; i < loop->n; i++)
        event_free(loop->watches[i].event);
    event_base_free(loop->base);
    tg_free(loop);
}

struct event_base *gw_loop_base(struct gw_loop *loop)
{
    return loop->base;
}

enum tg_status gw_loop_guard(struct gw_loop *loop, const struct gw_watchdog_options *options,
                             struct tg_error *err)
{
    return gw_watchdog_new(&loop->turn, options, &loop->watchdog, err);
}

void gw_loop_on_turn(struct gw_loop *loop, void (*fn)(void *arg, int64_t held_ns), void *arg)
{
    loop->on_turn = fn;
    loop->turn_arg = arg;
}

struct gw_watchdog_counts gw_loop_counts(const struct gw_loop *loop)
{
    return gw_watchdog_counts(loop->watchdog);
}

static void end_turn(struct gw_loop *loop)
{
    int64_t began = tg_turn_end(&loop->turn);
    if (!began)
        return;
    int64_t held = tg_mono_ns() - began;
    if (loop->watchdog)
        held = gw_watchdog_turn(loop->watchdog, held);
    if (loop->on_turn)
        loop->on_turn(loop->turn_arg, held);
}

/* Turn by turn, so that the end of each is seen. */
void gw_loop_run(struct gw_loop *loop)
{
    tg_turn_use(&loop->turn);
    loop->stopped = false;
    while (!loop->stopped &&
           event_base_loop(loop->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY) == 0)
        end_turn(loop);
    tg_turn_end(&loop->turn); /* what follows is nobody's turn */
    tg_turn_use(NULL);
}

void gw_loop_stop(struct gw_loop *loop)
{
    loop->stopped = true;
    event_base_loopbreak(loop->base);
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    struct watch *w = arg;
    (void)fd;
    tg_turn_mark(what & EV_SIGNAL ? "signal" : "descriptor");
    w->fn(w->arg);
}

static enum tg_status watch(struct gw_loop *loop, int fd, short what, void (*fn)(void *arg),
                            void *arg)
{
    if (loop->n == LOOP_WATCHES_MAX)
        return TG_LIMIT;
    struct watch *w = &loop->watches[loop->n];
    *w = (struct watch){ .fn = fn, .arg = arg };
    w->event = event_new(loop->base, fd, (short)(what | EV_PERSIST), on_watch, w);
    if (!w->event || event_add(w->event, NULL) != 0) {
        if (w->event)
            event_free(w->event);
        return TG_NOMEM;
    }
    loop->n++;
    return TG_OK;
}

enum tg_status gw_loop_watch(struct gw_loop *loop, int fd, void (*fn)(void *arg), void *arg)
{
    return watch(loop, fd, EV_READ, fn, arg);
}

enum tg_status gw_loop_signal(struct gw_loop *loop, int signo, void (*fn)(void *arg), void *arg)
{
    return watch(loop, signo, EV_SIGNAL, fn, arg);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct gw_timer *t = arg;
    (void)fd;
    (void)what;
    tg_turn_mark("timer");
    t->fn(t->arg);
}

struct gw_timer *gw_timer_new(struct gw_loop *loop, void (*fn)(void *arg), void *arg)
{
    struct gw_timer *t = tg_calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    *t = (struct gw_timer){ .fn = fn, .arg = arg };
    t->event = evtimer_new(loop->base, on_timer, t);
    if (!t->event) {
        tg_free(t);
        return NULL;
    }
    return t;
}

void gw_timer_set(struct gw_timer *t, int64_t ms)
{
    struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
    evtimer_add(t->event, &tv);
}

void gw_timer_stop(struct gw_timer *t)
{
    evtimer_del(t->event);
}

void gw_timer_free(struct gw_timer *t)
{
    if (!t)
        return;
    event_free(t->event);
    tg_free(t);
}
