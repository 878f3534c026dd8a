#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/exchange.h"
#include "gateway/metrics.h"

enum {
    SCRAPE_MAX = 8 << 20, /* bytes; TEL_METRIC_SERIES_MAX of each family are well below */
    FDS_COUNT_MAX = 256,  /* connections above which they are not counted one by one */
};

static const int64_t NANO = 1000000000;

static void set(struct gw_app *app, enum gw_metric metric, int64_t value)
{
    tel_series_set(tel_series(app->metrics, metric, NULL), value);
}

static void set_of(struct gw_app *app, enum gw_metric metric, const char *label, int64_t value)
{
    tel_series_set(tel_series(app->metrics, metric, (const char *const[]){ label }), value);
}

/* Rates and sizes that nobody made so large. */
static int64_t capped(uint64_t n)
{
    return n < INT64_MAX ? (int64_t)n : INT64_MAX;
}

static void collect_money(struct gw_app *app)
{
    struct tel_load load = tel_load(app->store);
    struct tel_counters counters = tel_counters(app->store);
    for (int i = 0; i < tel_budgets(app->store); i++) {
        const char *name = tel_budget_name(app->store, i);
        if (!name)
            continue;
        struct tel_budget_state b = tel_budget_state(app->store, i);
        set_of(app, GW_M_BUDGET_CAP, name, b.cap);
        set_of(app, GW_M_BUDGET_SPENT, name, b.spent);
        set_of(app, GW_M_BUDGET_RESERVED, name, b.reserved);
    }
    for (int metric = GW_M_BUDGET_CAP; metric <= GW_M_BUDGET_RESERVED; metric++)
        tel_metrics_sweep(app->metrics, (size_t)metric); /* budgets that are gone */
    set_of(app, GW_M_RESERVATIONS, "open", (int64_t)load.open);
    set_of(app, GW_M_RESERVATIONS, "waiting", (int64_t)load.waiting);
    set(app, GW_M_LEDGER_AVAILABLE, load.available);
    set(app, GW_M_OVERAGES, capped(counters.overages));
    set(app, GW_M_OVERAGE, counters.overage_nano);
    set(app, GW_M_BAD_ENDS, capped(counters.bad_ends));
    set(app, GW_M_ROWS_DROPPED, capped(counters.rows_dropped));
    set_of(app, GW_M_QUEUE_DEPTH, "ledger", (int64_t)load.ends);
    set_of(app, GW_M_QUEUE_DEPTH, "log", (int64_t)load.rows);
}

static void collect_engine(struct gw_app *app)
{
    struct le_engine *e = app->engine;
    struct le_engine_work work = le_engine_work(e);
    struct le_engine_facts facts = le_engine_facts(e);
    const char *info[] = { le_engine_model_name(e), le_engine_device(e), le_engine_precision(e) };
    tel_series_set(tel_series(app->metrics, GW_M_ENGINE_INFO, info), 1);
    set_of(app, GW_M_ENGINE_JOBS, "waiting", work.waiting);
    set_of(app, GW_M_ENGINE_JOBS, "running", work.running);
    set(app, GW_M_ENGINE_PROMPT, capped(work.prompt_tokens));
    set(app, GW_M_ENGINE_GENERATED, capped(work.generated_tokens));
    set_of(app, GW_M_ENGINE_SPEED, "prompt", (int64_t)(work.prompt_rate * 1e3) * (NANO / 1000));
    set_of(app, GW_M_ENGINE_SPEED, "generation",
           (int64_t)(work.generation_rate * 1e3) * (NANO / 1000));
    set(app, GW_M_ENGINE_CONTEXT, le_engine_context(e));
    set_of(app, GW_M_ENGINE_BYTES, "file", capped(facts.bytes));
    if (facts.kv_bytes)
        set_of(app, GW_M_ENGINE_BYTES, "kv", capped(facts.kv_bytes));
}

/* The listener of the admin API counts as the other does. */
static struct gw_http_counters http_counters(const struct gw_app *app)
{
    struct gw_http_counters sum = *gw_http_counters(app->http);
    const struct gw_http_counters *admin =
        app->admin_http ? gw_http_counters(app->admin_http) : NULL;
    if (!admin)
        return sum;
    sum.accepted += admin->accepted;
    sum.requests += admin->requests;
    sum.body_bytes += admin->body_bytes;
    for (size_t i = 0; i < sizeof(sum.responses) / sizeof(*sum.responses); i++)
        sum.responses[i] += admin->responses[i];
    for (size_t i = 0; i < GW_HTTP_REFUSALS; i++)
        sum.refused[i] += admin->refused[i];
    return sum;
}

static void collect_http(struct gw_app *app)
{
    static const char *const classes[] = { "1xx", "2xx", "3xx", "4xx", "5xx" };
    const struct gw_http_counters c = http_counters(app);
    size_t connections = gw_http_connections(app->http), running = gw_http_requests(app->http);
    char code[16];
    if (app->admin_http) {
        connections += gw_http_connections(app->admin_http);
        running += gw_http_requests(app->admin_http);
    }
    set(app, GW_M_HTTP_CONNECTIONS, (int64_t)connections);
    set(app, GW_M_HTTP_RUNNING, (int64_t)running);
    set(app, GW_M_HTTP_ACCEPTED, capped(c.accepted));
    set(app, GW_M_HTTP_REQUESTS, capped(c.requests));
    for (size_t i = 0; i < sizeof(classes) / sizeof(*classes); i++)
        if (c.responses[i])
            set_of(app, GW_M_HTTP_RESPONSES, classes[i], capped(c.responses[i]));
    for (size_t i = 0; i < GW_HTTP_REFUSALS; i++) {
        snprintf(code, sizeof(code), "%zu", 400 + i);
        if (c.refused[i])
            set_of(app, GW_M_HTTP_REFUSED, code, capped(c.refused[i]));
    }
    if (app->now->tls)
        set(app, GW_M_TLS_END, gw_tls_facts(app->now->tls)->until_s);
    tel_metrics_sweep(app->metrics, GW_M_TLS_END); /* a reload may have ended TLS */
    set_of(app, GW_M_BODY_BYTES, "connections", c.body_bytes);
    set_of(app, GW_M_BODY_BYTES, "workers", app->worker_bytes);
}

static void collect_queues(struct gw_app *app)
{
    set_of(app, GW_M_QUEUE_DEPTH, "admission", (int64_t)app->n_waiting);
    set_of(app, GW_M_QUEUE_DEPTH, "workers", (int64_t)tg_workers_waiting(app->workers));
    set(app, GW_M_UPSTREAM_TRANSFERS, (int64_t)prov_http_transfers(app->upstream));
    set(app, GW_M_UPSTREAM_CONNECTIONS, capped(prov_http_connections(app->upstream)));
    set(app, GW_M_DRAINING, app->draining);
}

/* --- the process: files of /proc, which come from memory --- */

static void collect_memory(struct gw_app *app)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return;
    text[n] = '\0';
    char *rest = text;
    int64_t page = sysconf(_SC_PAGESIZE), size = strtoll(rest, &rest, 10);
    set(app, GW_M_VSIZE, size * page);
    set(app, GW_M_RSS, strtoll(rest, NULL, 10) * page);
}

/* Linux 6.2 and later tell how many there are; before, looking takes a millisecond for some
 * hundreds, so that nothing is said where there may be more. */
static int64_t open_fds(const struct gw_app *app)
{
    struct stat st;
    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
        return st.st_size;
    DIR *dir = gw_http_connections(app->http) < FDS_COUNT_MAX ? opendir("/proc/self/fd") : NULL;
    if (!dir)
        return -1;
    int64_t n = -3; /* itself, and the two names of folders */
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void collect_process(struct gw_app *app)
{
    struct rusage used;
    struct rlimit limit;
    int64_t fds = open_fds(app);
    collect_memory(app);
    if (getrusage(RUSAGE_SELF, &used) == 0)
        set(app, GW_M_CPU,
            (int64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * NANO +
                (int64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000);
    set(app, GW_M_STARTED, app->started_s);
    if (fds >= 0)
        set(app, GW_M_OPEN_FDS, fds);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        set(app, GW_M_MAX_FDS, capped(limit.rlim_cur));
    set_of(app, GW_M_BUILD, TG_VERSION, 1);
}

static void collect(struct gw_app *app)
{
    struct gw_watchdog_counts loop = gw_loop_counts(app->loop);
    set(app, GW_M_LOOP_LAGS, capped(loop.lags));
    set(app, GW_M_LOOP_STALLS, capped(loop.stalls));
    collect_money(app);
    collect_engine(app);
    collect_http(app);
    collect_queues(app);
    collect_process(app);
}

void gw_metrics_answer(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                       const struct gw_caller *who)
{
    struct tg_buf out;
    (void)ask;
    (void)who;
    collect(app);
    tg_buf_init(&out, SCRAPE_MAX);
    if (tel_metrics_print(app->metrics, &out) == TG_OK)
        gw_http_respond(rq, 200, "text/plain; version=0.0.4; charset=utf-8", tg_buf_str(&out));
    else
        gw_http_respond(rq, 503, "text/plain; charset=utf-8", TG_STR("out of memory\n"));
    tg_buf_free(&out);
}
