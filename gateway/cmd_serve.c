#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "config/base/log.h"
#include "config/base/turn.h"
#include "config/host.h"
#include "gateway/admin.h"
#include "gateway/cmd.h"
#include "gateway/ending.h"
#include "gateway/exchange.h"
#include "gateway/gate.h"
#include "gateway/identity.h"
#include "gateway/metrics.h"
#include "gateway/holder.h"
#include "gateway/reload.h"
#include "local_engine/device.h"
#include "providers/answer_reads.h"

enum {
    SERVE_WORKERS = 2,
    SERVE_WORK_MAX = 4096,
    DRAIN_LOOK_MS = 50,
    DRAIN_LAST_MS = 500, /* for the last errors to leave */
    WORKERS_LAST_MS = 5000, /* for what they do */
    SERVE_EXPIRE_MS = 60000,
};

static const int64_t LOADING_LINE_NS = (int64_t)10 * 1000 * 1000 * 1000;

static const char usage[] =
    "usage: tollgate serve [--config FILE] [--check]\n"
    "\n"
    "Runs the gateway in the foreground. Signals: TERM or INT finishes what runs and ends (a "
    "second\n"
    "one ends at once), HUP reads the configuration again (a bad file changes nothing); POST\n"
    "/admin/reload does the same and answers with the outcome.\n"
    "\n"
    "  --config FILE  the configuration (JSON; see README.md). Default: config/default.json\n"
    "  --check        read and check the configuration, open nothing, say what is wrong\n"
    "  --help         this text\n";

struct server {
    struct gw_app app;
    const char *config;
    struct gw_timer *drain_look, *drain_end;
};

/* --- signals ------------------------------------------------------------------------------- */

static void on_drain_look(void *arg)
{
    struct server *s = arg;
    struct gw_http *admin = s->app.admin_http;
    size_t open = gw_http_connections(s->app.http) + (admin ? gw_http_connections(admin) : 0);
    if (open == 0 && !s->app.exchanges) /* all answers have left */
        gw_loop_stop(s->app.loop);
    else
        gw_timer_set(s->drain_look, DRAIN_LOOK_MS);
}

/* What still runs is told why it ends; for the bytes to leave there is a moment more. */
static void on_drain_end(void *arg)
{
    struct server *s = arg;
    if (s->app.ending) {
        gw_loop_stop(s->app.loop);
        return;
    }
    tg_log(TG_LOG_WARN, "drain-timeout", "requests still running were cut off after limits.drain");
    gw_exchange_fail_all(&s->app);
    gw_http_judge_again(s->app.http);
    gw_reload_end_waits(&s->app);
    gw_timer_set(s->drain_end, DRAIN_LAST_MS);
}

static void on_term(void *arg)
{
    struct server *s = arg;
    if (s->app.draining) {
        tg_log(TG_LOG_WARN, "stopping", "second signal: ending now");
        gw_loop_stop(s->app.loop);
        return;
    }
    s->app.draining = true;
    tg_log(TG_LOG_INFO, "draining", "%zu requests are running; a second signal ends now",
           gw_http_requests(s->app.http));
    gw_http_drain(s->app.http);
    if (s->app.admin_http)
        gw_http_drain(s->app.admin_http);
    gw_timer_set(s->drain_end, s->app.now->settings->limits.drain_ms);
    gw_timer_set(s->drain_look, 0);
}

static void on_hup(void *arg)
{
    gw_reload_ask(arg);
}

/* --- start ----------------------------------------------------------------------------------- */

static void on_workers(void *arg)
{
    tg_turn_mark("workers");
    tg_workers_dispatch(arg);
}

static void on_look_again(void *arg)
{
    gw_arrival_admit(arg);
}

static void on_expire(void *arg)
{
    struct gw_app *app = arg;
    gw_responses_expire(app->responses, tg_mono_ns() / 1000000);
    gw_auth_retire(app->keys, tg_wall_ms());
    gw_timer_set(app->expire, SERVE_EXPIRE_MS);
}

static void on_store(void *arg)
{
    struct gw_app *app = arg;
    tg_turn_mark("store");
    tel_dispatch(app->store);
    gw_gate_sync(app);
}

/* A large file takes a while: a line now and then. */
static void log_loading(void *arg, uint64_t done, uint64_t total)
{
    int64_t *logged = arg, now = tg_mono_ns();
    if (now - *logged < LOADING_LINE_NS)
        return;
    *logged = now;
    tg_log(TG_LOG_INFO, "engine-loading", "%d %% of %.1f GiB",
           (int)((double)done * 100 / (double)total), (double)total / (1 << 30));
}

static enum tg_status open_engine(struct gw_app *app, struct tg_error *err)
{
    const struct cfg_settings *s = app->now->settings;
    int64_t logged = tg_mono_ns();
    struct le_engine_options options = {
        .model = s->engine.model,
        .threads = s->engine.threads,
        .context = s->engine.context,
        .jobs_max = s->engine.queue,
        .cache_dir = s->data_dir,
        .progress = log_loading,
        .progress_arg = &logged,
    };
    if (!le_device_parse(tg_str_of(s->engine.device), &options.device) ||
        !le_precision_parse(tg_str_of(s->engine.precision), &options.precision))
        return tg_fail(err, TG_INTERNAL,
                       "engine.device or engine.precision: the engine does not "
                       "know the word"); /* settings.c and the engine differ */
    tg_log(TG_LOG_INFO, "engine-loading", "%s", s->engine.model);
    enum tg_status status = le_engine_open(&options, &app->engine, err);
    if (status)
        return status;
    tg_log(TG_LOG_INFO, "engine-ready", "%s on %s, context %u", le_engine_model_name(app->engine),
           le_engine_device(app->engine), le_engine_context(app->engine));
    app->exact = strcmp(le_engine_precision(app->engine), "exact") == 0;
    app->never_thinks = le_engine_template(app->engine)->never_thinks;
    app->local = prov_local_new(gw_loop_base(app->loop), app->engine, err);
    return app->local ? TG_OK : err->code;
}

static enum tg_status open_store(struct gw_app *app, struct tg_error *err)
{
    const struct cfg_settings *s = app->now->settings;
    struct tel_options options = {
        .dir = s->data_dir,
        .time_zone = s->time_zone,
        .in_flight = s->limits.connections,
    };
    enum tg_status status = tel_open(&options, &app->store, err);
    if (status)
        return status;
    gw_gate_sync(app);
    if (app->keys->n == 0 && !cfg_is_loopback(tg_str_of(s->listen_host)))
        return tg_fail(err, TG_INVALID,
                       "listen: %s is not this machine alone, and without an API key anybody "
                       "could ask: make one with `tollgate key create --config %s --name NAME`, "
                       "or listen on 127.0.0.1",
                       s->listen_host, s->path);
    return gw_loop_watch(app->loop, tel_fd(app->store), on_store, app);
}

static enum tg_status watch_signals(struct server *s, struct tg_error *err)
{
    struct gw_loop *loop = s->app.loop;
    s->drain_look = gw_timer_new(loop, on_drain_look, s);
    s->drain_end = gw_timer_new(loop, on_drain_end, s);
    s->app.look_again = gw_timer_new(loop, on_look_again, &s->app);
    bool timers = s->drain_look && s->drain_end && s->app.look_again;
    if (!timers || gw_loop_signal(loop, SIGTERM, on_term, s) ||
        gw_loop_signal(loop, SIGINT, on_term, s) || gw_loop_signal(loop, SIGHUP, on_hup, &s->app) ||
        gw_loop_watch(loop, tg_workers_fd(s->app.workers), on_workers, s->app.workers))
        return tg_fail(err, TG_NOMEM, "out of memory for signals");
    return TG_OK;
}

static enum tg_status open_responses(struct gw_app *app, struct tg_error *err)
{
    const struct cfg_responses *c = &app->now->settings->responses;
    app->responses = gw_responses_new(c->max_bytes, c->ttl_ms);
    app->expire = gw_timer_new(app->loop, on_expire, app);
    if (!app->responses || !app->expire)
        return tg_fail(err, TG_NOMEM, "out of memory for responses");
    gw_timer_set(app->expire, SERVE_EXPIRE_MS);
    return TG_OK;
}

/* Ids are unique over restarts: a random start, counted on. */
static uint64_t first_id(void)
{
    uint64_t id = (uint64_t)tg_wall_ms() << 20;
    uint64_t noise;
    if (getrandom(&noise, sizeof(noise), GRND_NONBLOCK) == (ssize_t)sizeof(noise))
        id = noise;
    return id >> 1 | 1;
}

static enum tg_status open_door(struct gw_app *app, bool admin, const char *host, uint16_t port,
                                struct gw_http **out, struct tg_error *err)
{
    struct gw_door *door = &app->doors[admin];
    *door = (struct gw_door){ .app = app, .admin = admin };
    struct gw_http_handlers handlers = gw_router(door);
    enum tg_status status = gw_http_open(gw_loop_base(app->loop), host, port,
                                         &app->now->settings->limits, &handlers, out, err);
    char holder[128];
    if (status == TG_OK)
        gw_http_set_tls(*out, app->now->tls);
    if (status == TG_IO && gw_port_holder(port, holder, sizeof(holder))) {
        size_t n = strlen(err->text);
        snprintf(err->text + n, sizeof(err->text) - n, " by %s: stop it, or give another \"%s\"",
                 holder, admin ? "admin.listen" : "listen");
    }
    return status;
}

static enum tg_status open_http(struct gw_app *app, struct tg_error *err)
{
    const struct cfg_settings *c = app->now->settings;
    enum tg_status status =
        open_door(app, false, c->listen_host, c->listen_port, &app->http, err);
    if (status == TG_OK && c->admin.listen_host)
        status = open_door(app, true, c->admin.listen_host, c->admin.listen_port, &app->admin_http,
                           err);
    return status;
}

static enum tg_status start(struct server *s, struct tg_error *err)
{
    struct gw_app *app = &s->app;
    enum tg_status status = gw_snapshot_load(s->config, &app->now, err);
    if (status)
        return status;
    app->loop = gw_loop_new(err);
    app->workers = tg_workers_new(SERVE_WORKERS, SERVE_WORK_MAX);
    if (!app->loop || !app->workers)
        return tg_fail(err, TG_NOMEM, "out of memory at the start");
    app->metrics = tel_metrics_new(gw_metric_table, GW_METRICS);
    if (!app->metrics)
        return tg_fail(err, TG_NOMEM, "out of memory at the start");
    gw_loop_on_turn(app->loop, gw_metrics_turn, tel_series(app->metrics, GW_M_LOOP_LAG, NULL));
    status = gw_loop_guard(app->loop, NULL, err);
    if (status == TG_OK)
        status = open_http(app, err); /* nothing is accepted before the loop runs */
    if (status == TG_OK)
        status = open_store(app, err);
    if (status == TG_OK)
        status = open_engine(app, err); /* may take long: signals end it as they do any program */
    if (status == TG_OK)
        status = watch_signals(s, err);
    if (status == TG_OK)
        status = open_responses(app, err);
    if (status == TG_OK)
        status = gw_reload_new(app, s->config, err);
    if (status == TG_OK)
        status = gw_identity_begin(app, err);
    if (status)
        return status;
    app->upstream = prov_http_new(gw_loop_base(app->loop), err);
    if (!app->upstream)
        return err->code;
    app->reads = prov_reads_new(app->workers);
    if (!app->reads)
        return tg_fail(err, TG_NOMEM, "out of memory");
    status = gw_snapshot_bind(app->now, app, err);
    if (status)
        return status;
    if (tel_flush(app->store)) /* what the budgets have spent is known before the first request */
        on_store(app);
    return TG_OK;
}

/* A worker reads a file that does not come, as from a network that is gone (or a pipe). What it may
 * still touch stays; the money is accounted for, and what a worker has counts as spent in full. */
static void stop_without_workers(struct gw_app *app)
{
    tg_log(TG_LOG_ERROR, "worker-stuck",
           "a worker does not end with what it reads (a file of the configuration, perhaps) or "
           "computes: the process ends without it");
    for (struct gw_exchange *x = app->exchanges, *next; x; x = next) {
        next = x->next;
        if (!x->on_worker)
            gw_exchange_done(x);
    }
    tel_close(app->store);
    _exit(1);
}

static void stop(struct server *s)
{
    struct gw_app *app = &s->app;
    gw_exchange_end_all(app);
    gw_http_close(app->http);
    gw_http_close(app->admin_http);
    if (!tg_workers_end(app->workers, WORKERS_LAST_MS))
        stop_without_workers(app); /* never returns */
    /* Exchanges on a worker are orphans now. */
    gw_identity_free(app->identity);
    while (app->exchanges) {
        app->exchanges->on_worker = 0;
        gw_exchange_done(app->exchanges);
    }
    gw_responses_free(app->responses);
    gw_timer_free(app->expire);
    gw_reload_free(app);
    gw_snapshot_unref(app->now);
    prov_backend_free(app->local);
    prov_http_free(app->upstream);
    prov_reads_free(app->reads);
    le_engine_close(app->engine);
    gw_gate_free(app);
    tel_close(app->store);
    gw_admin_free(app);
    gw_timer_free(s->drain_look);
    gw_timer_free(s->drain_end);
    gw_timer_free(app->look_again);
    gw_loop_free(app->loop);
    tel_metrics_free(app->metrics);
}

/* The models of tests/golden. */
static bool has_random_weights(const struct gw_app *app)
{
    static const char *const names[] = { "Tiny Dense", "Tiny E", "Tiny Moe" };
    bool found = false;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        found = found || strcmp(le_engine_model_name(app->engine), names[i]) == 0;
    return found;
}

/* What a user must know of a model before believing it. */
static const char *model_note(const struct gw_app *app)
{
    if (has_random_weights(app))
        return "This model has random weights: it shows that everything works, its answers are "
               "noise.\nSet engine.model to a Gemma 4 GGUF file for real ones.\n";
    if (strcmp(le_engine_model_name(app->engine), "Spark") == 0)
        return "Spark is a demonstration model of 4 million parameters: small talk, a few facts, "
               "small sums, tool calls.\nAnything else it answers wrongly, with low confidence. "
               "For a real Gemma 4: build/tollgate pull gemma-4-e2b-it\n";
    return "";
}

/* What a user must know of who is let in. */
static void tell_access(const struct gw_app *app)
{
    if (app->keys->n)
        printf("Requests need an API key: send it as Authorization: Bearer, or as x-api-key.\n");
    else
        printf("No API key exists: only this machine is served, without one. "
               "`tollgate key create --config %s --name NAME` makes one.\n",
               app->now->settings->path);
}

static void tell_admin(const struct gw_app *app)
{
    const struct cfg_settings *c = app->now->settings;
    bool v6 = c->admin.listen_host && strchr(c->admin.listen_host, ':');
    if (app->admin_http)
        tg_log(TG_LOG_INFO, "admin-listening", "%s%s%s:%u%s", v6 ? "[" : "", c->admin.listen_host,
               v6 ? "]" : "", (unsigned)gw_http_port(app->admin_http),
               c->admin.key ? "" : ", for this machine without a key");
}

static void greet(const struct gw_app *app)
{
    const struct cfg_settings *c = app->now->settings;
    const char *scheme = app->now->tls ? "https" : "http";
    bool v6 = strchr(c->listen_host, ':') != NULL;
    unsigned port = gw_http_port(app->http);
    tell_admin(app);
    tg_log(TG_LOG_INFO, "listening", "%s%s%s:%u", v6 ? "[" : "", c->listen_host, v6 ? "]" : "",
           port);
    printf("Tollgate %s is ready at %s://%s%s%s:%u\n"
           "model %s on %s\n%s",
           TG_VERSION, scheme, v6 ? "[" : "", c->listen_host, v6 ? "]" : "", port,
           le_engine_model_name(app->engine), le_engine_device(app->engine), model_note(app));
    tell_access(app);
    printf("try:  curl -s %s://%s%s%s:%u/v1/chat/completions -H 'content-type: application/json' "
           "%s-d "
           "'{\"model\":\"%s\",\"max_tokens\":32,\"messages\":[{\"role\":\"user\",\"content\":"
           "\"Hello\"}]}'\n",
           scheme, v6 ? "[" : "", c->listen_host, v6 ? "]" : "", port,
           app->keys->n ? "-H 'authorization: Bearer tg-...' " : "", c->routes[0].name);
    fflush(stdout);
}

static int check(const char *path)
{
    struct gw_snapshot *s;
    struct tg_error err = { 0 };
    if (gw_snapshot_load(path, &s, &err) != TG_OK) {
        fprintf(stderr, "tollgate serve --check: %s\n", err.text);
        return 1;
    }
    printf("%s: ok, %zu route(s), %zu provider(s), prices of %s\n", path, s->settings->n_routes,
           s->settings->n_providers, s->settings->prices_version);
    struct tel_keys *keys = NULL; /* those that cannot be read are doctor's business, and serve's */
    if (tel_keys_load(s->settings->data_dir, &keys, &err) == TG_OK)
        gw_gate_warn(s->settings, keys);
    tel_keys_unref(keys);
    gw_snapshot_unref(s);
    return 0;
}

/* While the model loads nothing is promised to anybody yet. */
static void end_early(int signo)
{
    (void)signo;
    _exit(0);
}

/* Thousands of connections need more descriptors than most shells give. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Says so when limits.connections cannot be reached. */
static void check_descriptors(const struct gw_app *app)
{
    struct rlimit limit;
    uint32_t connections = app->now->settings->limits.connections;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
        limit.rlim_cur < gw_descriptors_needed(connections))
        tg_log(TG_LOG_WARN, "few-descriptors",
               "limits.connections is %u, but the process may open %llu files: raise the limit "
               "(ulimit -n), or calls to providers may fail under load",
               connections, (unsigned long long)limit.rlim_cur);
}

int gw_cmd_serve(int argc, char **argv)
{
    static const struct option options[] = { { "config", required_argument, NULL, 'c' },
                                             { "check", no_argument, NULL, 'k' },
                                             { "help", no_argument, NULL, 'h' },
                                             { NULL, 0, NULL, 0 } };
    struct server s = { .config = "config/default.json" };
    bool only_check = false;
    int letter;
    while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (letter == 'h')
            return fputs(usage, stdout) < 0;
        if (letter == 'c')
            s.config = optarg;
        else if (letter == 'k')
            only_check = true;
        else
            return fputs(usage, stderr) < 0 ? 1 : 2;
    }
    if (optind < argc) {
        fprintf(stderr, "tollgate serve: unexpected argument \"%s\"\n%s", argv[optind], usage);
        return 2;
    }
    if (only_check)
        return check(s.config);
    struct tg_error err = { 0 };
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN); /* until there is something to reload */
    signal(SIGTERM, end_early);
    signal(SIGINT, end_early);
    raise_descriptors();
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error of the write, as a full disk is */
    s.app.next_id = first_id();
    s.app.started_s = tg_wall_ms() / 1000;
    enum tg_status status = start(&s, &err);
    if (status == TG_OK) {
        check_descriptors(&s.app);
        greet(&s.app);
        gw_loop_run(s.app.loop);
    } else {
        fprintf(stderr, "tollgate serve: %s\n", err.text);
    }
    stop(&s);
    return status == TG_OK ? 0 : 1;
}
