#include "gateway/exchange.h"

#include <stdio.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "gateway/metrics.h"

const struct cfg_route *gw_exchange_route(const struct gw_exchange *x)
{
    return x->named ? &x->named->settings : &x->config->settings->routes[x->route];
}

const struct pol_route *gw_exchange_policy(const struct gw_exchange *x)
{
    return x->named ? &x->named->route : &x->config->routes[x->route];
}

int64_t gw_exchange_left_ms(const struct gw_exchange *x, int64_t span_ms)
{
    int64_t left = span_ms - (tg_mono_ns() - x->begun_ns) / 1000000;
    return left > 0 ? left : 0;
}

void gw_exchange_fail(struct gw_exchange *x, const struct api_error *e, const char *name)
{
    x->failure = *e;
    x->failure_name = name;
    gw_attempt_end(&x->local, true); /* booked first: the error tells what it cost */
    gw_attempt_end(&x->remote, true);
    gw_answer_refuse(x, e);
    gw_exchange_done(x);
}

/* --- the end ------------------------------------------------------------------------------- */

static void unlink_exchange(struct gw_exchange *x)
{
    if (x->prev)
        x->prev->next = x->next;
    else
        x->app->exchanges = x->next;
    if (x->next)
        x->next->prev = x->prev;
}

static bool told_usage(const struct gw_try *t)
{
    return t->usage.input.present || t->usage.output.present;
}

/* What its key's limit of tokens is charged in the end: what both attempts used, where that was
 * told; nothing when none was made. An answer that broke off, by its client's going too, tells
 * none: it stays at what was expected, and what came beyond that counts by its bytes. */
static void settle_tokens(struct gw_exchange *x)
{
    enum { BYTES_A_TOKEN = 4 };
    const struct gw_try *tries[] = { &x->local, &x->remote };
    double used = 0, expected = x->caller.tokens;
    for (size_t i = 0; i < 2; i++) {
        const struct chat_usage *u = &tries[i]->usage;
        used += (double)(u->input.present ? u->input.n : 0) +
                (double)(u->output.present ? u->output.n : 0);
    }
    if (x->attempts && x->current && !told_usage(x->current)) {
        used += expected - x->prepared.request.max_tokens;
        used += (double)x->current->output_bytes / BYTES_A_TOKEN;
        if (used < expected)
            used = expected;
    }
    gw_caller_used(&x->caller, used, tg_mono_ns());
}

/* Nothing happens to it any more but that its workers come back to gw_exchange_done. */
static void wait_for_workers(struct gw_exchange *x)
{
    atomic_store(&x->prepared.unwanted, true);
    if (!x->admitted)
        gw_arrival_left(x);
    gw_attempt_end(&x->local, true);
    gw_attempt_end(&x->remote, true);
    gw_timer_stop(x->heartbeat);
    gw_timer_stop(x->window);
    gw_timer_stop(x->latency);
    gw_timer_stop(x->deadline);
}

void gw_exchange_done(struct gw_exchange *x)
{
    struct gw_app *app = x->app;
    if (x->on_worker && x->rq) { /* a worker prints its answer */
        atomic_store(&x->prepared.unwanted, true);
        return;
    }
    if (x->on_worker) {
        wait_for_workers(x);
        return;
    }
    gw_try_free(&x->local);
    gw_try_free(&x->remote);
    settle_tokens(x);
    gw_metrics_ended(x);
    if (!x->prepared.dialect->count) /* the log is of answers */
        gw_answer_row(x);
    if (x->admitted)
        tel_retire(app->store);
    else
        gw_arrival_left(x);
    x->state = GW_DONE;
    unlink_exchange(x);
    gw_timer_free(x->heartbeat);
    gw_timer_free(x->window);
    gw_timer_free(x->latency);
    gw_timer_free(x->deadline);
    gw_media_free(x->media);
    gw_writing_free(x->writing); /* none, but at the end of the program */
    gw_prepared_free(&x->prepared);
    gw_caller_free(&x->caller);
    gw_snapshot_unref(x->config);
    tg_free(x->tags_text);
    if (x->done_flag)
        *x->done_flag = true;
    tg_free(x);
    gw_arrival_room(app);
}

void gw_exchange_gone(struct gw_exchange *x)
{
    x->rq = NULL;
    x->gone = true;
    x->failure_name = "client-gone";
    gw_exchange_done(x);
}

/* --- hold-back, escalation, commit --------------------------------------------------------- */

static bool has_tiers(const struct gw_exchange *x)
{
    for (size_t i = 0; i < x->plan.n; i++)
        if (x->plan.step[i].target == POL_TIER && !x->tried[i])
            return true;
    return false;
}

static void commit(struct gw_exchange *x, struct gw_try *t)
{
    if (t == &x->remote)
        gw_attempt_end(&x->local, false);
    x->local_parked = false;
    if (!gw_answer_commit(x, t)) {
        struct api_error e = gw_failure(503, "server_error", NULL, "out of memory");
        gw_exchange_fail(x, &e, "out-of-memory");
        return;
    }
    if (!t->finished)
        return;
    gw_answer_finish(x);
    gw_exchange_done(x);
}

/* The local job runs on while a tier is tried: stopped, it would hold up those behind it, and its
 * answer is wanted if the tier fails. */
static void park_local(struct gw_exchange *x)
{
    x->local_parked = true;
    gw_timer_stop(x->window);
    gw_timer_stop(x->latency);
}

/* The untried tier that wants the request now, as an index into the plan; -1: local may commit. */
static int wanted_tier(struct gw_exchange *x)
{
    struct pol_plan rest = { .n = 0 };
    struct pol_facts facts = gw_facts(x);
    for (size_t i = 0; i < x->plan.n; i++)
        if (x->plan.step[i].target == POL_LOCAL || !x->tried[i])
            rest.step[rest.n++] = x->plan.step[i];
    char reason[POL_REASON_MAX] = "";
    int tier = pol_escalate(gw_exchange_policy(x), &rest, &facts, reason);
    for (size_t i = 0; tier >= 0 && i < x->plan.n; i++)
        if (x->plan.step[i].target == POL_TIER && x->plan.step[i].tier == (size_t)tier &&
            !x->tried[i]) {
            snprintf(x->reason, sizeof(x->reason), "%s", reason);
            return (int)i;
        }
    return -1;
}

/* The window, or the whole answer, is there to be judged. */
static void judge(struct gw_exchange *x)
{
    bool whole = x->local.finished;
    x->window_over = true;
    x->weighed = has_tiers(x);
    x->confidence = gw_confidence(x, whole ? POL_SPAN_ANSWER : POL_SPAN_WINDOW, &x->key);
    int step = wanted_tier(x);
    if (step < 0) {
        commit(x, &x->local);
        return;
    }
    park_local(x);
    gw_attempt_start(x, (size_t)step);
}

static bool window_full(const struct gw_exchange *x)
{
    const struct cfg_route *r = gw_exchange_route(x);
    if (x->local.finished)
        return true;
    if (!x->prepared.request.stream)
        return false;
    if (!has_tiers(x))
        return x->local.first_ns != 0;
    return x->confidence_sums.n >= r->hold.tokens || x->local.output_bytes >= r->hold.bytes;
}

/* The window's time runs from the first thing there is to hold back: before that a commit would
 * gain the client nothing and lose the ways out. */
static void start_window(struct gw_exchange *x)
{
    int64_t held_ms = (tg_mono_ns() - x->local.held_ns) / 1000000;
    int64_t left = gw_exchange_route(x)->hold.time_ms - held_ms;
    gw_timer_set(x->window, left > 0 ? left : 0);
}

static void resume_local(struct gw_exchange *x)
{
    x->local_parked = false;
    x->current = &x->local;
    if (x->window_over)
        commit(x, &x->local);
    else if (window_full(x))
        judge(x);
    else if (x->prepared.request.stream && x->local.held_ns)
        start_window(x);
}

void gw_exchange_next(struct gw_exchange *x)
{
    if (x->local_parked) {
        char why[POL_REASON_MAX];
        snprintf(why, sizeof(why), "%s", x->reason);
        int step = wanted_tier(x);
        if (step >= 0) {
            gw_attempt_start(x, (size_t)step);
            return;
        }
        snprintf(x->reason, sizeof(x->reason), "%s", why);
        resume_local(x);
        return;
    }
    for (size_t i = 0; i < x->plan.n; i++)
        if (!x->tried[i]) {
            gw_attempt_start(x, i);
            return;
        }
    struct api_error failure = x->failure;
    if (!failure.status)
        failure = gw_failure(503, "server_error", "no_backend", "nobody may answer: %s",
                             x->plan.reason);
    gw_exchange_fail(x, &failure, x->failure_name[0] ? x->failure_name : "no-backend");
}

/* --- timers ---------------------------------------------------------------------------------- */

static void on_heartbeat(void *arg)
{
    struct gw_exchange *x = arg;
    if (!x->rq)
        return;
    gw_timer_set(x->heartbeat, x->config->settings->heartbeat_ms);
    if (x->routed)
        gw_answer_heartbeat(x);
    else
        gw_arrival_overdue(x);
}

static void on_window(void *arg)
{
    struct gw_exchange *x = arg;
    if (x->state == GW_RUNNING && x->current == &x->local && !x->window_over)
        judge(x);
}

static void on_latency(void *arg)
{
    struct gw_exchange *x = arg;
    bool late = x->prepared.request.stream ? x->state == GW_RUNNING : x->local.first_ns == 0;
    if (!late || x->current != &x->local)
        return;
    for (size_t i = 0; i < x->plan.n; i++)
        if (x->plan.step[i].target == POL_TIER && !x->tried[i]) {
            snprintf(x->reason, sizeof(x->reason), "max-latency");
            park_local(x);
            gw_attempt_start(x, i);
            return;
        }
}

static void on_deadline(void *arg)
{
    struct gw_exchange *x = arg;
    if (x->local_parked && x->local.finished) { /* an answer is better than an error */
        snprintf(x->reason, sizeof(x->reason), "timeout");
        gw_attempt_end(&x->remote, true);
        x->window_over = true;
        commit(x, &x->local);
        return;
    }
    struct api_error e = gw_failure(504, "server_error", "timeout",
                                    "no complete answer within the route's timeout of %lld ms",
                                    (long long)gw_exchange_route(x)->timeout_ms);
    if (!x->admitted)
        e = gw_failure(503, "server_error", "overloaded", "too many requests are waiting");
    gw_exchange_fail(x, &e, x->admitted ? "timeout" : "overloaded");
}

bool gw_exchange_timers(struct gw_exchange *x)
{
    struct gw_loop *loop = x->app->loop;
    x->heartbeat = gw_timer_new(loop, on_heartbeat, x);
    x->window = gw_timer_new(loop, on_window, x);
    x->latency = gw_timer_new(loop, on_latency, x);
    x->deadline = gw_timer_new(loop, on_deadline, x);
    return x->heartbeat && x->window && x->latency && x->deadline;
}

/* --- events of an attempt -------------------------------------------------------------------- */

/* A loop that is busy takes an event later than it happened. */
static int64_t time_of(const struct chat_event *e)
{
    return e->mono_ns ? e->mono_ns : tg_mono_ns();
}

/* Adds a delta to what the attempt holds. */
static enum tg_status hold(struct gw_try *t, const struct chat_event *e)
{
    struct gw_exchange *x = t->x;
    if (!t->first_ns && (e->text.n || e->name.n))
        t->first_ns = time_of(e);
    if (!t->held_ns)
        t->held_ns = time_of(e);
    t->output_bytes += e->text.n;
    if (e->has_token)
        pol_confidence_add(&x->confidence_sums, &e->token);
    return gw_try_hold(t, e);
}

static void on_failed(struct gw_try *t, const struct api_error *failure, const char *name,
                      bool billed)
{
    struct gw_exchange *x = t->x;
    bool local = t == &x->local, current = x->current == t;
    gw_attempt_end(t, billed);
    gw_failure_tell(t, name, failure);
    if (local && !current) { /* parked: the tier that runs has to answer */
        x->local_parked = false;
        return;
    }
    x->failure = *failure;
    x->failure_name = name;
    if (x->state == GW_COMMITTED) {
        gw_exchange_fail(x, failure, name);
        return;
    }
    snprintf(x->reason, sizeof(x->reason), "%s", name);
    gw_exchange_next(x);
}

/* An event that could not be held. */
static void on_untellable(struct gw_try *t, enum tg_status status)
{
    struct api_error failure = gw_failure(503, "server_error", NULL, "out of memory");
    const char *name = "out-of-memory";
    if (status == TG_UNSUPPORTED) {
        failure = gw_failure(502, "upstream_error", "untellable",
                             "the answer's tool calls come interleaved, which a stream of this "
                             "kind has no form for; ask without stream");
        name = "answer-untellable";
    } else if (status != TG_NOMEM) {
        failure = gw_failure(502, "upstream_error", "limit",
                             "the answer is above %d MiB or %d tool calls", GW_ANSWER_MAX >> 20,
                             (int)CHAT_CALLS_MAX);
        name = "answer-too-large";
    }
    on_failed(t, &failure, name, true);
}

static void on_delta(struct gw_try *t, const struct chat_event *e)
{
    struct gw_exchange *x = t->x;
    bool first = t->held_ns == 0;
    enum tg_status status = hold(t, e);
    if (status) {
        on_untellable(t, status);
        return;
    }
    if (x->current != t)
        return; /* parked */
    if (x->state == GW_COMMITTED)
        gw_answer_flush(x);
    else if (t == &x->remote && x->prepared.request.stream && t->out.n)
        commit(x, t);
    else if (t == &x->local && !x->window_over && window_full(x))
        judge(x);
    else if (t == &x->local && first && x->prepared.request.stream)
        start_window(x);
}

static void on_finish(struct gw_try *t, const struct chat_event *e)
{
    struct gw_exchange *x = t->x;
    t->finished = true;
    t->outcome = "finished";
    t->ended_ns = time_of(e);
    t->finish = e->finish;
    t->stop = e->stop;
    gw_attempt_end(t, true);
    if (x->current != t)
        return; /* parked */
    if (x->state == GW_COMMITTED) {
        gw_answer_finish(x);
        gw_exchange_done(x);
    } else if (t == &x->local && !x->window_over) {
        judge(x);
    } else {
        commit(x, t);
    }
}

void gw_exchange_event(struct gw_try *t, const struct chat_event *e)
{
    struct gw_exchange *x = t->x;
    struct api_error failure;
    switch (e->kind) {
    case CHAT_EVENT_STARTED:
        t->started_ns = time_of(e);
        return;
    case CHAT_EVENT_TEXT:
    case CHAT_EVENT_REFUSAL:
    case CHAT_EVENT_REASONING:
    case CHAT_EVENT_TOOL_CALL:
    case CHAT_EVENT_VECTOR:
        on_delta(t, e);
        return;
    case CHAT_EVENT_USAGE:
        t->usage = e->usage;
        return;
    case CHAT_EVENT_FINISH:
        on_finish(t, e);
        return;
    case CHAT_EVENT_ERROR:
        t->outcome = chat_error_name(e->error);
        t->http_status = e->http_status;
        failure = gw_try_error(t, e);
        x->retry_after_ms = e->retry_after_ms;
        on_failed(t, &failure, t == &x->local ? "local-failed" : "provider-failed", e->billed);
        return;
    }
}

void gw_exchange_writable(struct gw_exchange *x)
{
    x->blocked = false;
    if (x->local.attempt)
        prov_pause(x->local.attempt, false);
    if (x->remote.attempt)
        prov_pause(x->remote.attempt, false);
    if (x->state == GW_COMMITTED)
        gw_answer_flush(x);
}
