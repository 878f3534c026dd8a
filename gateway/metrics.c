#include "gateway/metrics.h"

#include <stdio.h>

#include "config/base/clock.h"
#include "gateway/exchange.h"

enum { BACKEND_MAX = 300 };

static struct tel_series *series(const struct gw_exchange *x, enum gw_metric metric, const char *a,
                                 const char *b, const char *c)
{
    return tel_series(x->app->metrics, metric, (const char *const[]){ a, b, c });
}

/* A route that does not exist has no name but the client's. */
static const char *route_of(const struct gw_exchange *x)
{
    return x->routed ? gw_exchange_route(x)->name : "none";
}

static bool is_tier(const struct cfg_settings *s, const struct cfg_tier *tier)
{
    for (size_t i = 0; i < s->n_routes; i++)
        for (size_t k = 0; k < s->routes[i].n_tiers; k++)
            if (strcmp(s->routes[i].tiers[k].provider, tier->provider) == 0 &&
                strcmp(s->routes[i].tiers[k].model, tier->model) == 0)
                return true;
    return false;
}

/* "local" or "provider/model". A client may name any model of a provider where no budget asks for
 * its price: what neither a configuration nor a price table knows is not told by its name. */
static const char *backend_of(const struct gw_try *t, char out[BACKEND_MAX])
{
    if (t->step.target == POL_TIER && t->x->named && !gw_try_tier(t)->price.known &&
        !is_tier(t->x->config->settings, gw_try_tier(t)))
        snprintf(out, BACKEND_MAX, "%s/other", gw_try_tier(t)->provider);
    else
        gw_try_route(t, out, BACKEND_MAX);
    return out;
}

static const char *outcome_of(const struct gw_exchange *x)
{
    if (x->gone)
        return "gone";
    if (x->status >= 400 && x->status < 500)
        return "refused";
    if (x->status >= 500 || x->failure_name[0])
        return "failed";
    if (x->prepared.dialect->count)
        return "counted";
    if (x->state != GW_COMMITTED)
        return "idle";
    if (x->current->step.target == POL_LOCAL)
        return "local";
    return x->local.used ? "escalated" : "provider";
}

static void observe(const struct gw_exchange *x, enum gw_metric metric, int64_t from_ns,
                    int64_t to_ns)
{
    if (from_ns && to_ns)
        tel_series_observe(series(x, metric, x->prepared.dialect->name, route_of(x), ""),
                           to_ns - from_ns);
}

/* Requests that named no route, or asked for no answer, have no times worth a histogram. */
static void observe_times(const struct gw_exchange *x)
{
    int64_t now = tg_mono_ns();
    bool committed = x->state == GW_COMMITTED, asked = x->plan.n || x->failure_name[0];
    if (!x->routed || x->prepared.dialect->count || !asked)
        return;
    if (!x->gone)
        observe(x, GW_M_DURATION, x->begun_ns, now);
    if (committed && (x->prepared.request.stream || !x->gone))
        observe(x, GW_M_FIRST_BYTE, x->begun_ns,
                x->prepared.request.stream ? x->committed_ns : now);
    if (committed)
        observe(x, GW_M_FIRST_TOKEN, x->begun_ns, x->current->first_ns);
    observe(x, GW_M_QUEUE_WAIT, x->local.begun_ns, x->local.started_ns);
}

void gw_metrics_ended(const struct gw_exchange *x)
{
    const char *dialect = x->prepared.dialect->name;
    if (!x->app->metrics)
        return;
    tel_series_add(series(x, GW_M_REQUESTS, dialect, route_of(x), outcome_of(x)), 1);
    if (x->failure_name[0])
        tel_series_add(series(x, GW_M_ERRORS, dialect, x->failure_name, ""), 1);
    observe_times(x);
}

static void count_tokens(const struct gw_try *t, const char *backend, const char *direction,
                         struct chat_count count)
{
    if (count.present && count.n <= INT64_MAX)
        tel_series_add(series(t->x, GW_M_TOKENS, backend, direction, ""), (int64_t)count.n);
}

void gw_metrics_tried(const struct gw_try *t)
{
    char backend[BACKEND_MAX];
    if (!t->x->app->metrics || !t->outcome)
        return;
    backend_of(t, backend);
    tel_series_add(series(t->x, GW_M_ATTEMPTS, backend, t->outcome, ""), 1);
    count_tokens(t, backend, "input", t->usage.input);
    count_tokens(t, backend, "output", t->usage.output);
}

/* While the local job is parked, a tier is called for what it said or did not say in time. */
static const char *why(const struct gw_exchange *x)
{
    if (x->named)
        return "named";
    if (x->local_parked)
        return strcmp(x->reason, "max-latency") == 0 ? "max-latency" : "judged";
    if (x->failure_name[0] || x->local.used)
        return "failover";
    return x->prepared.local_can ? "trigger" : "local-cannot";
}

void gw_metrics_called(const struct gw_try *t)
{
    if (t->x->app->metrics)
        tel_series_add(series(t->x, GW_M_ESCALATIONS, route_of(t->x), why(t->x), ""), 1);
}

void gw_metrics_passed_over(const struct gw_exchange *x, const char *reason)
{
    if (x->app->metrics)
        tel_series_add(series(x, GW_M_PASSED_OVER, route_of(x), reason, ""), 1);
}

void gw_metrics_spent(const struct gw_try *t, int64_t nano)
{
    char backend[BACKEND_MAX];
    if (t->x->app->metrics)
        tel_series_add(series(t->x, GW_M_SPEND, route_of(t->x), backend_of(t, backend), ""), nano);
}

void gw_metrics_turn(void *arg, int64_t held_ns)
{
    tel_series_observe(arg, held_ns);
}
