#include "gateway/app.h"

#include <string.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"

struct gw_snapshot *gw_snapshot_ref(struct gw_snapshot *s)
{
    s->refs++;
    return s;
}

void gw_snapshot_unref(struct gw_snapshot *s)
{
    if (!s || --s->refs > 0)
        return;
    for (size_t i = 0; i < CFG_PROVIDERS_MAX; i++)
        prov_backend_free(s->providers[i]);
    for (size_t i = 0; s->settings && i < s->settings->n_routes; i++)
        pol_route_free(&s->routes[i]);
    for (size_t i = 0; i < s->n_budgets; i++)
        tel_budget_drop(s->store, s->budget[i]);
    gw_calibrations_free(&s->calibrations);
    gw_tls_free(s->tls);
    cfg_free(s->settings);
    tg_free(s);
}

/* Errors of triggers begin with the file's name, as all others do. */
static enum tg_status compile_route(const char *path, const struct cfg_route *settings,
                                    struct pol_route *out, struct tg_error *err)
{
    struct tg_error cause = { 0 };
    enum tg_status status = pol_route_compile(settings, out, &cause);
    return status ? tg_fail(err, status, "%s: %.400s", path, cause.text) : TG_OK;
}

/* What the user made comes first: it is used where both have a key. */
static enum tg_status load_calibrations(struct gw_snapshot *s, struct tg_error *err)
{
    char *own = gw_calibrations_of_dir(s->settings->data_dir);
    char *shipped = gw_calibrations_of_model(s->settings->engine.model);
    enum tg_status status = TG_OK;
    if (!own || !shipped)
        status = tg_fail(err, TG_NOMEM, "out of memory for calibrations");
    if (status == TG_OK)
        status = gw_calibrations_add(&s->calibrations, own, err);
    s->n_own_calibrations = s->calibrations.n;
    if (status == TG_OK)
        status = gw_calibrations_add(&s->calibrations, shipped, err);
    tg_free(own);
    tg_free(shipped);
    if (status == TG_OK || status == TG_NOMEM)
        return status;
    struct tg_error cause = *err;
    return tg_fail(err, status, "%.400s; move this file away: tollgate calibrate makes another",
                   cause.text);
}

static enum tg_status load_tls(const char *path, struct gw_snapshot *s, struct tg_error *err)
{
    const struct cfg_tls *settings = &s->settings->tls;
    int64_t now_s = tg_wall_ms() / 1000;
    struct tg_error cause = { 0 };
    if (!settings->certificate)
        return TG_OK;
    enum tg_status status = gw_tls_load(settings, now_s, &s->tls, &cause);
    if (status)
        return tg_fail(err, status, "%s: tls: %.400s", path, cause.text);
    gw_tls_warn(settings, s->tls, now_s);
    return TG_OK;
}

enum tg_status gw_snapshot_load(const char *path, struct gw_snapshot **out, struct tg_error *err)
{
    struct gw_snapshot *s = tg_calloc(1, sizeof(*s));
    if (!s)
        return tg_fail(err, TG_NOMEM, "out of memory while loading %s", path);
    s->refs = 1;
    enum tg_status status = cfg_load(path, &s->settings, err);
    for (size_t i = 0; status == TG_OK && i < s->settings->n_routes; i++)
        status = compile_route(path, &s->settings->routes[i], &s->routes[i], err);
    if (status == TG_OK)
        status = load_calibrations(s, err);
    if (status == TG_OK)
        status = load_tls(path, s, err);
    if (status) {
        gw_snapshot_unref(s);
        return status;
    }
    *out = s;
    return TG_OK;
}

static struct prov_backend *provider_named(const struct gw_snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->settings->n_providers; i++)
        if (strcmp(s->settings->providers[i].name, name) == 0)
            return s->providers[i];
    return NULL;
}

static enum tg_status open_providers(struct gw_snapshot *s, struct gw_app *app,
                                     struct tg_error *err)
{
    for (size_t i = 0; i < s->settings->n_providers; i++) {
        const struct cfg_provider *p = &s->settings->providers[i];
        struct prov_openai_options options = {
            .name = p->name,
            .base_url = p->base_url,
            .api_key = p->api_key,
            .connect_timeout_ms = p->connect_timeout_ms,
            .idle_timeout_ms = p->idle_timeout_ms,
            .timeout_ms = p->timeout_ms,
            .transfers_max = CFG_CONNECTIONS_MAX, /* admission bounds them, by the newest limit */
            .reads = app->reads,
        };
        s->providers[i] = prov_openai_new(app->upstream, &options, err);
        if (!s->providers[i])
            return err->code;
    }
    return TG_OK;
}

/* Without a cap the spending of a route is still recorded, under the largest one. May be called
 * again, after another snapshot: these terms hold again. */
static bool declare_budgets(struct gw_snapshot *s, struct gw_app *app)
{
    s->store = app->store;
    for (size_t i = 0; i < s->settings->n_routes; i++) {
        const struct cfg_route *r = &s->settings->routes[i];
        int budget = tel_budget(app->store, r->name, r->has_budget ? r->budget_nano : INT64_MAX,
                                r->has_budget ? r->period : CFG_PERIOD_MONTH, r->alert_millionths);
        if (budget < 0)
            return false;
        if (i < s->n_budgets)
            tel_budget_drop(app->store, budget); /* it is held once */
        else
            s->budget[s->n_budgets++] = budget;
    }
    return true;
}

enum tg_status gw_snapshot_bind(struct gw_snapshot *s, struct gw_app *app, struct tg_error *err)
{
    enum tg_status status = open_providers(s, app, err);
    if (status)
        return status;
    for (size_t i = 0; i < s->settings->n_routes; i++) {
        const struct cfg_route *r = &s->settings->routes[i];
        for (size_t t = 0; t < r->n_tiers; t++) {
            s->tier[i][t] = provider_named(s, r->tiers[t].provider);
            if (!s->tier[i][t])
                return tg_fail(err, TG_INTERNAL, "route %s: no provider %s", r->name,
                               r->tiers[t].provider);
        }
    }
    if (declare_budgets(s, app))
        return TG_OK;
    if (app->now != s)
        declare_budgets(app->now, app); /* a refused reload changes nothing: no cap either */
    return tg_fail(err, TG_LIMIT,
                   "more than %d budgets are in use, of routes and of API keys: have fewer routes, "
                   "or revoke keys that have a budget and are not needed",
                   TEL_BUDGETS_MAX);
}
