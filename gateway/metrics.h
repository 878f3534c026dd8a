/* What GET /metrics tells: the families (metrics_table.c), what is counted as it happens
 * (metrics.c) and what is looked up when it is asked for (metrics_scrape.c). README.md explains
 * each. Loop thread; what counts does nothing while app->metrics is NULL. */
#ifndef GATEWAY_METRICS_H
#define GATEWAY_METRICS_H

#include "gateway/app.h"
#include "telemetry/metrics.h"

struct gw_try;
struct gw_caller;

enum gw_metric {
    /* counted as it happens */
    GW_M_REQUESTS,
    GW_M_ERRORS,
    GW_M_DURATION,
    GW_M_FIRST_BYTE,
    GW_M_FIRST_TOKEN,
    GW_M_QUEUE_WAIT,
    GW_M_ATTEMPTS,
    GW_M_TOKENS,
    GW_M_ESCALATIONS,
    GW_M_PASSED_OVER,
    GW_M_SPEND,
    GW_M_LOOP_LAG,
    /* looked up */
    GW_M_LOOP_LAGS,
    GW_M_LOOP_STALLS,
    GW_M_BUDGET_CAP,
    GW_M_BUDGET_SPENT,
    GW_M_BUDGET_RESERVED,
    GW_M_RESERVATIONS,
    GW_M_LEDGER_AVAILABLE,
    GW_M_OVERAGES,
    GW_M_OVERAGE,
    GW_M_BAD_ENDS,
    GW_M_ROWS_DROPPED,
    GW_M_QUEUE_DEPTH,
    GW_M_BODY_BYTES,
    GW_M_ENGINE_INFO,
    GW_M_ENGINE_JOBS,
    GW_M_ENGINE_PROMPT,
    GW_M_ENGINE_GENERATED,
    GW_M_ENGINE_SPEED,
    GW_M_ENGINE_CONTEXT,
    GW_M_ENGINE_BYTES,
    GW_M_UPSTREAM_TRANSFERS,
    GW_M_UPSTREAM_CONNECTIONS,
    GW_M_HTTP_CONNECTIONS,
    GW_M_HTTP_ACCEPTED,
    GW_M_HTTP_RUNNING,
    GW_M_HTTP_REQUESTS,
    GW_M_HTTP_RESPONSES,
    GW_M_HTTP_REFUSED,
    GW_M_TLS_END,
    GW_M_DRAINING,
    GW_M_BUILD,
    GW_M_RSS,
    GW_M_VSIZE,
    GW_M_CPU,
    GW_M_STARTED,
    GW_M_OPEN_FDS,
    GW_M_MAX_FDS,
    GW_METRICS
};

extern const struct tel_metric gw_metric_table[GW_METRICS];

/* --- metrics.c --- */
/* A request is over: its outcome, its times. */
void gw_metrics_ended(const struct gw_exchange *x);
/* An attempt is over: what became of it, its tokens. */
void gw_metrics_tried(const struct gw_try *t);
/* A provider was called: why. */
void gw_metrics_called(const struct gw_try *t);
/* A step of the plan was not possible; reason as in x-tollgate-reason, one of a fixed few. */
void gw_metrics_passed_over(const struct gw_exchange *x, const char *reason);
/* Money was booked for an attempt. */
void gw_metrics_spent(const struct gw_try *t, int64_t nano);
/* For gw_loop_on_turn; arg: the series of GW_M_LOOP_LAG. */
void gw_metrics_turn(void *arg, int64_t held_ns);

/* --- metrics_scrape.c --- */
/* GET /metrics. */
void gw_metrics_answer(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                       const struct gw_caller *who);

#endif
