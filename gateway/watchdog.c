#include "gateway/watchdog.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "config/base/log.h"

enum {
    NS_PER_MS = 1000000,
    QUIET_TICKS = 8, /* without a turn: then it sleeps */
    LATE_TICKS = 3,  /* a tick that takes so many was not run in time */
};

struct gw_watchdog {
    struct tg_turn *turn;
    int64_t tick_ns, lag_ns, stuck_ns;
    int wake_fd;
    atomic_bool stop;
    pthread_t thread;

    /* written by the thread, read by the loop */
    atomic_uint_fast64_t seen;        /* number of the turn that these are about */
    atomic_int_fast64_t unwatched_ns; /* of it */
    _Atomic(const char *) what;       /* ran when it was looked at last */
    atomic_uint_fast64_t told;        /* number of the turn that was told to be stuck */
    atomic_int_fast64_t looked_ns;    /* when it looked last */
    atomic_uint_fast64_t stalls;

    /* the thread's */
    int64_t watched_ns; /* of the turn seen */
    unsigned quiet;     /* ticks */

    /* the loop's */
    atomic_uint_fast64_t lags;
    struct tg_log_seldom line; /* of lags; stalls are told each */
};

/* --- the thread ----------------------------------------------------------------------------- */

static void tell_stuck(struct gw_watchdog *w, uint64_t n)
{
    atomic_store(&w->told, n);
    atomic_fetch_add(&w->stalls, 1);
    tg_log(TG_LOG_ERROR, "loop-stuck",
           "the loop has been held up for %lld ms and nothing is served meanwhile; at: %s",
           (long long)(w->watched_ns / NS_PER_MS), atomic_load(&w->what));
}

/* gap: since it looked last. What is seen is written before looked_ns: the loop, which may be at
 * the end of that very turn, reads them the other way round. */
static void look(struct gw_watchdog *w, int64_t gap)
{
    int64_t began = atomic_load(&w->turn->began_ns);
    uint64_t n = atomic_load(&w->turn->n);
    int64_t now = tg_mono_ns(), lost = gap > LATE_TICKS * w->tick_ns ? gap - w->tick_ns : 0;
    bool fresh = atomic_load(&w->seen) != n;
    if (began && fresh && lost > now - began) /* most of it was before the turn */
        lost = now - began;
    atomic_store(&w->what, atomic_load_explicit(&w->turn->what, memory_order_relaxed));
    if (fresh) {
        w->watched_ns = began ? now - began - lost : 0;
        atomic_store(&w->unwatched_ns, lost);
        atomic_store(&w->seen, n);
    } else {
        w->watched_ns += gap - lost;
        atomic_fetch_add(&w->unwatched_ns, lost);
    }
    atomic_store(&w->looked_ns, now);
    w->quiet = began || fresh ? 0 : w->quiet + 1;
    if (began && w->watched_ns >= w->stuck_ns && atomic_load(&w->told) != n)
        tell_stuck(w, n);
}

/* True: the loop waits, and will wake this thread when it does no longer. */
static bool falls_asleep(struct gw_watchdog *w)
{
    if (w->quiet < QUIET_TICKS)
        return false;
    w->quiet = 0;
    atomic_store(&w->turn->asleep, true);
    if (atomic_load(&w->turn->began_ns) == 0 && atomic_load(&w->turn->n) == atomic_load(&w->seen))
        return true;
    atomic_store(&w->turn->asleep, false);
    return false;
}

static void *watch(void *arg)
{
    struct gw_watchdog *w = arg;
    struct pollfd wake = { .fd = w->wake_fd, .events = POLLIN };
    pthread_setname_np(pthread_self(), "tg-watchdog");
    while (!atomic_load(&w->stop)) {
        uint64_t count;
        bool asleep = falls_asleep(w);
        int64_t before = tg_mono_ns();
        if (poll(&wake, 1, asleep ? -1 : (int)(w->tick_ns / NS_PER_MS)) > 0 &&
            read(w->wake_fd, &count, sizeof(count)) < 0)
            continue; /* somebody else's: cannot be */
        look(w, asleep ? 0 : tg_mono_ns() - before);
    }
    return NULL;
}

/* --- the loop's side ------------------------------------------------------------------------ */

static void wake(void *arg)
{
    struct gw_watchdog *w = arg;
    uint64_t one = 1;
    ssize_t written = write(w->wake_fd, &one, sizeof(one));
    (void)written; /* full means it is readable */
}

/* How long of the turn that has just ended this process may have stood still. */
static int64_t unwatched(const struct gw_watchdog *w, int64_t held_ns)
{
    uint64_t n = atomic_load_explicit(&w->turn->n, memory_order_relaxed);
    int64_t looked = atomic_load(&w->looked_ns), now = tg_mono_ns();
    int64_t sum = atomic_load(&w->seen) == n ? atomic_load(&w->unwatched_ns) : 0;
    if (looked < now - held_ns)
        looked = now - held_ns;
    if (now - looked > LATE_TICKS * w->tick_ns)
        sum += now - looked - w->tick_ns;
    return sum < held_ns ? sum : held_ns;
}

static void tell_lag(struct gw_watchdog *w, int64_t held_ns)
{
    const struct tg_turn *t = w->turn;
    uint64_t n = atomic_load_explicit(&t->n, memory_order_relaxed);
    int64_t cpu = tg_turn_cpu_ns() - t->cpu_ns;
    uint64_t untold;
    char more[64] = "";
    if (atomic_load(&w->told) == n) /* its beginning was told */
        w->line.next_ns = 0;
    if (!tg_log_seldom(&w->line, tg_mono_ns(), &untold))
        return;
    if (untold)
        snprintf(more, sizeof(more), "; %llu more since the last of these lines",
                 (unsigned long long)untold);
    if (cpu > held_ns) /* it was read a little before the turn */
        cpu = held_ns;
    const char *what = atomic_load(&w->seen) == n ? atomic_load(&w->what) : atomic_load(&t->what);
    tg_log(TG_LOG_WARN, "loop-lag",
           "the loop was held up for %lld ms (%lld ms of processor time) in %u steps; at: %s%s",
           (long long)(held_ns / NS_PER_MS), (long long)(cpu / NS_PER_MS), t->marks, what, more);
}

int64_t gw_watchdog_turn(struct gw_watchdog *w, int64_t held_ns)
{
    if (held_ns < w->lag_ns)
        return held_ns;
    held_ns -= unwatched(w, held_ns);
    if (held_ns < w->lag_ns)
        return held_ns;
    atomic_fetch_add_explicit(&w->lags, 1, memory_order_relaxed);
    tell_lag(w, held_ns);
    return held_ns;
}

struct gw_watchdog_counts gw_watchdog_counts(const struct gw_watchdog *w)
{
    struct gw_watchdog_counts counts = { 0, 0 };
    if (w) {
        counts.lags = atomic_load(&w->lags);
        counts.stalls = atomic_load(&w->stalls);
    }
    return counts;
}

/* --- start and end -------------------------------------------------------------------------- */

static int64_t ns_of(int64_t ms, int64_t usual)
{
    return (ms > 0 ? ms : usual) * NS_PER_MS;
}

/* With all signals blocked: they are the loop's. */
static bool start_thread(struct gw_watchdog *w)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&w->thread, NULL, watch, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return failed == 0;
}

enum tg_status gw_watchdog_new(struct tg_turn *turn, const struct gw_watchdog_options *options,
                               struct gw_watchdog **out, struct tg_error *err)
{
    const struct gw_watchdog_options o = options ? *options : (struct gw_watchdog_options){ 0 };
    struct gw_watchdog *w = tg_calloc(1, sizeof(*w));
    *out = NULL;
    if (!w)
        return tg_fail(err, TG_NOMEM, "out of memory for the loop's watchdog");
    w->turn = turn;
    w->tick_ns = ns_of(o.tick_ms, 25);
    w->lag_ns = ns_of(o.lag_ms, 50);
    w->stuck_ns = ns_of(o.stuck_ms, 1000);
    w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    turn->wake = wake;
    turn->arg = w;
    if (w->wake_fd < 0 || !start_thread(w)) {
        turn->wake = NULL;
        if (w->wake_fd >= 0)
            close(w->wake_fd);
        tg_free(w);
        return tg_fail(err, TG_NOMEM, "no thread or descriptor is left for the loop's watchdog");
    }
    *out = w;
    return TG_OK;
}

void gw_watchdog_free(struct gw_watchdog *w)
{
    if (!w)
        return;
    atomic_store(&w->stop, true);
    wake(w);
    pthread_join(w->thread, NULL);
    w->turn->wake = NULL;
    close(w->wake_fd);
    tg_free(w);
}
