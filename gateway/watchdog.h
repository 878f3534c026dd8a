/* Watches the turns of the event loop (config/base/turn.h) from a thread of its own: a turn that
 * holds the loop for too long is logged when it ends (loop-lag), one that does not end while it
 * still holds it (loop-stuck), each with what was seen running.
 *
 * The thread looks every tick while there are turns, and sleeps until the next one when there were
 * none for a while: an idle process is not woken. What it has not watched does not count: if it
 * did not run itself (SIGSTOP, a debugger, a frozen container), nothing else did. A suspended
 * machine stops the clock. */
#ifndef GATEWAY_WATCHDOG_H
#define GATEWAY_WATCHDOG_H

#include <stdint.h>

#include "config/base/status.h"
#include "config/base/turn.h"

struct gw_watchdog; /* opaque */

struct gw_watchdog_options {
    int64_t tick_ms;  /* 25 */
    int64_t lag_ms;   /* 50: a turn from here on is too long */
    int64_t stuck_ms; /* 1000: and from here on it is told of while it lasts */
};

struct gw_watchdog_counts {
    uint64_t lags, stalls; /* turns from lag_ms and from stuck_ms on */
};

/* Starts the thread; turn must outlive it. options NULL, or 0 in one: as above. TG_NOMEM. */
enum tg_status gw_watchdog_new(struct tg_turn *turn, const struct gw_watchdog_options *options,
                               struct gw_watchdog **out, struct tg_error *err);
void gw_watchdog_free(struct gw_watchdog *w); /* NULL allowed */
/* On the loop's thread, when a turn has ended that took held_ns: logs it if that was too long, and
 * gives it without the time that was not watched. */
int64_t gw_watchdog_turn(struct gw_watchdog *w, int64_t held_ns);
struct gw_watchdog_counts gw_watchdog_counts(const struct gw_watchdog *w); /* NULL: all 0 */

#endif
