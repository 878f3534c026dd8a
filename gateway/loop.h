/* The event loop: timers, watched descriptors and signals. libevent stays behind it. One thread. */
#ifndef GATEWAY_LOOP_H
#define GATEWAY_LOOP_H

#include <stdint.h>

#include "config/base/status.h"
#include "gateway/watchdog.h"

struct event_base;
struct gw_loop;  /* opaque */
struct gw_timer; /* opaque: one-shot, may be set again */

struct gw_loop *gw_loop_new(struct tg_error *err);
/* All timers and watches must have been freed or belong to the loop (watches do). */
void gw_loop_free(struct gw_loop *loop);
struct event_base *gw_loop_base(struct gw_loop *loop);
/* Runs until gw_loop_stop. */
void gw_loop_run(struct gw_loop *loop);
void gw_loop_stop(struct gw_loop *loop);

/* Has a thread watch the turns of the loop from now on (watchdog.h). options NULL: the usual ones.
 * TG_NOMEM. Once. */
enum tg_status gw_loop_guard(struct gw_loop *loop, const struct gw_watchdog_options *options,
                             struct tg_error *err);
/* All 0 while nobody guards it. */
struct gw_watchdog_counts gw_loop_counts(const struct gw_loop *loop);
/* Calls fn at the end of each turn in which something was called back, with how long all of it
 * took, without the time for which the whole process stood still. */
void gw_loop_on_turn(struct gw_loop *loop, void (*fn)(void *arg, int64_t held_ns), void *arg);

/* Calls fn(arg) while fd is readable; for the life of the loop. TG_NOMEM. */
enum tg_status gw_loop_watch(struct gw_loop *loop, int fd, void (*fn)(void *arg), void *arg);
enum tg_status gw_loop_signal(struct gw_loop *loop, int signo, void (*fn)(void *arg), void *arg);

/* NULL when out of memory. Owned by the caller. */
struct gw_timer *gw_timer_new(struct gw_loop *loop, void (*fn)(void *arg), void *arg);
void gw_timer_set(struct gw_timer *t, int64_t ms);
void gw_timer_stop(struct gw_timer *t);
void gw_timer_free(struct gw_timer *t); /* NULL allowed */

#endif
