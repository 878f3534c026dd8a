/* Failed calls of backends in the log. A dead provider under load fails thousands of times a
 * second: of each provider and cause the first is told at once, then one in TG_LOG_SELDOM_S with
 * how many were left out. Loop thread. */
#ifndef GATEWAY_FAILURES_H
#define GATEWAY_FAILURES_H

#include <stdbool.h>
#include <stdint.h>

#include "config/base/log.h"

struct api_error;
struct gw_try;

/* Above so many at once some share a place, and may hide one another. */
enum { GW_FAILURES_MAX = 256 };

/* All zero: nothing has failed. */
struct gw_failures {
    struct {
        uint64_t key; /* a hash of provider and cause; 0: free */
        struct tg_log_seldom line;
    } kind[GW_FAILURES_MAX];
};

/* Whether a line about this may be written now; *untold: how many like it were not since the last
 * one. detail: tells causes of one name apart. */
bool gw_failure_due(struct gw_failures *all, const char *who, const char *cause, int detail,
                    int64_t now_ns, uint64_t *untold);
/* The line attempt-failed, if it is time for one; name: as for the row. */
void gw_failure_tell(const struct gw_try *t, const char *name, const struct api_error *failure);
/* The line provider-key, likewise: a provider does not take our key, in its words. */
void gw_failure_tell_key(const struct gw_try *t, struct tg_str words);

#endif
