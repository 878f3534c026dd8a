#include "gateway/reload.h"

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "config/base/log.h"
#include "gateway/exchange.h"
#include "gateway/gate.h"
#include "gateway/identity.h"
#include "gateway/key_fields.h"

enum { TEXT_MAX = 64 << 10 };

/* A request that waits for the reload of that number. */
struct wait {
    struct wait *next;
    struct gw_request *rq;
    const struct api_dialect *dialect;
    uint64_t number;
};

struct gw_reload {
    struct gw_app *app;
    const char *path;
    uint64_t begun;     /* the number of the latest one */
    bool running, again; /* again: another one was asked for meanwhile */
    struct gw_snapshot *loaded; /* the worker's, while it runs; as are these two: */
    enum tg_status status;
    struct tg_error err; /* why it was refused */
    struct wait *waits;  /* oldest first */
    size_t n_waits;
};

/* --- answers --- */

static struct api_error failure_of(enum tg_status status, const char *text)
{
    if (status == TG_CLOSED)
        return gw_failure(503, "server_error", "shutting_down", "%s", text);
    if (status == TG_AGAIN || status == TG_NOMEM)
        return gw_failure(503, "server_error", NULL, "%s", text);
    return gw_failure(400, "invalid_request_error", "reload_refused",
                      "%s; the old configuration stays in force", text);
}

static void print_now(const struct gw_reload *r, struct tg_buf *out)
{
    const struct gw_snapshot *now = r->app->now;
    const struct cfg_settings *s = now->settings;
    char ends[32];
    tg_buf_adds(out, "{\"reloaded\":true,\"config\":");
    tg_buf_add_json(out, tg_str_of(r->path));
    tg_buf_addf(out, ",\"routes\":%zu,\"providers\":%zu,\"prices\":", s->n_routes,
                s->n_providers);
    tg_buf_add_json(out, tg_str_of(s->prices_version));
    if (now->tls) {
        gw_key_print_time(gw_tls_facts(now->tls)->until_s * 1000, ends);
        tg_buf_addf(out, ",\"certificate_ends\":\"%s\"}\n", ends);
    } else {
        tg_buf_adds(out, ",\"certificate_ends\":null}\n");
    }
}

/* text: why not, NULL with TG_OK. */
static void respond(const struct gw_reload *r, const struct wait *w, enum tg_status status,
                    const char *text)
{
    struct tg_buf out;
    tg_buf_init(&out, TEXT_MAX);
    if (status == TG_OK) {
        print_now(r, &out);
        if (out.failed) {
            status = TG_NOMEM;
            text = "the configuration was reloaded, but there is no memory to say more";
        }
    }
    if (status) {
        struct api_error e = failure_of(status, text);
        gw_router_refuse(r->app, w->rq, w->dialect, &e);
    } else {
        gw_http_header(w->rq, "cache-control", TG_STR("no-store"));
        gw_http_respond(w->rq, 200, "application/json", tg_buf_str(&out));
    }
    tg_buf_free(&out);
}

/* All that wait for this reload or an older one. */
static void answer(struct gw_reload *r, uint64_t number, enum tg_status status, const char *text)
{
    while (r->waits && r->waits->number <= number) {
        struct wait *w = r->waits;
        r->waits = w->next;
        r->n_waits--;
        respond(r, w, status, text);
        tg_free(w);
    }
}

/* --- the reload --- */

static void set_door(struct gw_http *h, const struct gw_snapshot *now)
{
    gw_http_set_limits(h, &now->settings->limits);
    gw_http_set_tls(h, now->tls);
}

/* On a worker. */
static void read_files(void *arg)
{
    struct gw_reload *r = arg;
    r->status = gw_snapshot_load(r->path, &r->loaded, &r->err);
    if (r->status)
        r->loaded = NULL;
}

/* Makes next ready to be in force, or says in r->err why it cannot be. */
static enum tg_status prepare(struct gw_reload *r, struct gw_snapshot *next)
{
    struct gw_app *app = r->app;
    const struct cfg_settings *now = app->now->settings, *c = next->settings;
    const char *fixed = cfg_restart_needed(now, c);
    if (fixed)
        return tg_fail(&r->err, TG_INVALID, "%s: a change of this key needs a restart", fixed);
    if (!tel_limit(app->store, c->limits.connections))
        return tg_fail(&r->err, TG_INVALID,
                       "limits.connections: %u is more than at the start, which needs a restart",
                       c->limits.connections);
    enum tg_status status = gw_snapshot_bind(next, app, &r->err);
    if (status)
        (void)tel_limit(app->store, now->limits.connections);
    return status;
}

/* Takes what was loaded over; the old snapshot lives on in the requests that have it. */
static enum tg_status swap(struct gw_reload *r)
{
    struct gw_app *app = r->app;
    struct gw_snapshot *old = app->now, *next = r->loaded;
    const struct cfg_settings *c = next->settings;
    enum tg_status status = prepare(r, next);
    r->loaded = NULL;
    if (status) {
        gw_snapshot_unref(next);
        return status;
    }
    app->now = next;
    set_door(app->http, next);
    if (app->admin_http)
        set_door(app->admin_http, next);
    gw_responses_limit(app->responses, c->responses.max_bytes, c->responses.ttl_ms,
                       tg_mono_ns() / 1000000);
    gw_snapshot_unref(old);
    tg_log(TG_LOG_INFO, "reloaded", "%s is in force", r->path);
    gw_gate_warn(c, app->keys);
    gw_identity_tell(app);
    return TG_OK;
}

static bool begin(struct gw_reload *r);

static const char ending[] = "the gateway is being stopped, and reads no configuration any more";

static void on_read(void *arg)
{
    struct gw_reload *r = arg;
    if (r->status == TG_OK)
        r->status = swap(r);
    if (r->status)
        tg_log(TG_LOG_ERROR, "reload-refused", "%s; the old configuration stays in force",
               r->err.text);
    answer(r, r->begun, r->status, r->err.text);
    r->running = false;
    if (!r->again)
        return;
    if (r->app->draining)
        answer(r, r->begun + 1, TG_CLOSED, ending);
    else if (!begin(r))
        answer(r, r->begun + 1, r->status, r->err.text);
}

/* False: no worker takes it, err. */
static bool begin(struct gw_reload *r)
{
    r->again = false;
    r->running = tg_workers_submit(r->app->workers, read_files, on_read, r) == TG_OK;
    if (r->running) {
        r->begun++;
        return true;
    }
    r->status = tg_fail(&r->err, TG_AGAIN, "too busy to reload: ask again");
    tg_log(TG_LOG_ERROR, "reload-refused", "%s", r->err.text);
    return false;
}

/* --- who asks --- */

void gw_reload_ask(struct gw_app *app)
{
    struct gw_reload *r = app->reload;
    if (r->running)
        r->again = true;
    else if (!app->draining)
        begin(r);
}

/* What the next reload needs: TG_OK, or why w cannot wait. */
static enum tg_status enter(struct gw_reload *r, struct wait *w, struct tg_error *err)
{
    if (r->app->draining)
        return tg_fail(err, TG_CLOSED, "%s", ending);
    if (r->n_waits == GW_RELOAD_WAITS)
        return tg_fail(err, TG_AGAIN, "too many requests wait for a reload; try again");
    w->number = r->begun + 1;
    if (r->running)
        r->again = true;
    else if (!begin(r))
        return tg_fail(err, r->status, "%s", r->err.text);
    struct wait **last = &r->waits;
    while (*last)
        last = &(*last)->next;
    *last = w;
    r->n_waits++;
    return TG_OK;
}

void *gw_reload_wait(struct gw_app *app, struct gw_request *rq, const struct api_dialect *dialect)
{
    struct gw_reload *r = app->reload;
    struct tg_error err = { .text = "out of memory" };
    struct wait on_stack = { .rq = rq, .dialect = dialect }, *w = tg_calloc(1, sizeof(*w));
    enum tg_status status = TG_NOMEM;
    if (w) {
        *w = on_stack;
        status = enter(r, w, &err);
    }
    if (status == TG_OK)
        return w;
    tg_free(w);
    respond(r, &on_stack, status, err.text);
    return NULL;
}

bool gw_reload_gone(struct gw_app *app, const void *context)
{
    struct gw_reload *r = app->reload;
    for (struct wait **at = r ? &r->waits : NULL; at && *at; at = &(*at)->next)
        if (*at == context) {
            struct wait *w = *at;
            *at = w->next;
            r->n_waits--;
            tg_free(w);
            return true;
        }
    return false;
}

void gw_reload_end_waits(struct gw_app *app)
{
    answer(app->reload, UINT64_MAX, TG_CLOSED, ending);
}

/* --- life --- */

enum tg_status gw_reload_new(struct gw_app *app, const char *path, struct tg_error *err)
{
    app->reload = tg_calloc(1, sizeof(*app->reload));
    if (!app->reload)
        return tg_fail(err, TG_NOMEM, "out of memory at the start");
    app->reload->app = app;
    app->reload->path = path;
    return TG_OK;
}

void gw_reload_free(struct gw_app *app)
{
    struct gw_reload *r = app->reload;
    if (!r)
        return;
    gw_snapshot_unref(r->loaded); /* read, and nobody was there to take it */
    while (r->waits)
        gw_reload_gone(app, r->waits);
    tg_free(r);
    app->reload = NULL;
}
