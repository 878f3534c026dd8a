#include "gateway/exchange.h"

#include <stdio.h>
#include <string.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "gateway/metrics.h"

/* Held-back bytes are bounded by the window; behind commit they leave at once. But one event may
 * print all that was said before, and again: a dialect that tells an item's text at its end. */
enum { TRY_OUT_MAX = 6 * GW_ANSWER_MAX };
/* Larger ones a worker writes: a megabyte of text, or of an image in base64, takes 1 to 2 ms. */
enum { WRITE_BYTES = 64 << 10 };

struct gw_writing {
    struct gw_exchange *x;
    struct gw_try *t; /* NULL: given up meanwhile */
    const struct prov_backend *backend;
    struct prov_call call;
    struct tg_buf body;
    enum tg_status status;
};

void gw_try_init(struct gw_try *t, struct gw_exchange *x)
{
    *t = (struct gw_try){ .x = x };
    t->tokens_end = &t->tokens;
    tg_buf_init(&t->out, TRY_OUT_MAX);
    tg_buf_init(&t->content, GW_ANSWER_MAX);
    tg_buf_init(&t->reasoning, GW_ANSWER_MAX);
    tg_buf_init(&t->refusal, GW_ANSWER_MAX);
    tg_buf_init(&t->stream.items, GW_ANSWER_MAX);
    tg_buf_init(&t->stream.tokens, GW_ANSWER_MAX);
    t->stream.content = &t->content;
    t->stream.reasoning = &t->reasoning;
    t->stream.refusal = &t->refusal;
}

void gw_try_free(struct gw_try *t)
{
    gw_attempt_end(t, true);
    gw_metrics_tried(t);
    tg_buf_free(&t->out);
    tg_buf_free(&t->content);
    tg_buf_free(&t->reasoning);
    tg_buf_free(&t->refusal);
    tg_buf_free(&t->stream.items);
    tg_buf_free(&t->stream.tokens);
    tg_arena_free(t->kept);
    t->kept = NULL;
    for (size_t i = 0; t->calls && i < t->calls->n; i++)
        tg_buf_free(&t->calls->arguments[i]);
    tg_free(t->calls);
    t->calls = NULL;
}

const struct cfg_tier *gw_try_tier(const struct gw_try *t)
{
    return &gw_exchange_route(t->x)->tiers[t->step.tier];
}

void gw_try_route(const struct gw_try *t, char *out, size_t n)
{
    bool local = t->step.target == POL_LOCAL;
    const char *first = local ? "local" : gw_try_tier(t)->provider;
    size_t at = strlen(first), more = local ? 0 : strlen(gw_try_tier(t)->model);
    if (at + 1 + more >= n) { /* it is made for each request, several times */
        snprintf(out, n, "%s%s%s", first, local ? "" : "/", local ? "" : gw_try_tier(t)->model);
        return;
    }
    memcpy(out, first, at + 1);
    if (local)
        return;
    out[at] = '/';
    memcpy(out + at + 1, gw_try_tier(t)->model, more + 1);
}

static uint64_t part_of(struct chat_count count, uint64_t whole)
{
    return !count.present ? 0 : count.n < whole ? count.n : whole;
}

bool gw_usage_cost(const struct cfg_price *price, const struct chat_usage *u, int64_t *nano)
{
    if (!price->known || !u->input.present || !u->output.present || u->input.n > INT64_MAX ||
        u->output.n > INT64_MAX)
        return false;
    uint64_t audio = part_of(u->audio_input, u->input.n);
    uint64_t cached = part_of(u->cached_input, u->input.n - audio); /* audio at its full price */
    int64_t plain_cost, cached_cost, audio_cost, output_cost;
    if (cfg_cost((int64_t)(u->input.n - audio - cached), price->input, &plain_cost) ||
        cfg_cost((int64_t)cached, price->cached_input, &cached_cost) ||
        cfg_cost((int64_t)audio, price->audio_input, &audio_cost) ||
        cfg_cost((int64_t)u->output.n, price->output, &output_cost))
        return false;
    return !__builtin_add_overflow(plain_cost, cached_cost, nano) &&
           !__builtin_add_overflow(*nano, audio_cost, nano) &&
           !__builtin_add_overflow(*nano, output_cost, nano);
}

static void book(struct gw_try *t, int64_t nano, bool estimated)
{
    struct gw_exchange *x = t->x;
    for (int i = 0; i < GW_PURSES; i++)
        if (t->reservation[i])
            tel_settle(x->app->store, t->reservation[i], nano, estimated);
    memset(t->reservation, 0, sizeof(t->reservation));
    x->cost_nano += nano;
    gw_metrics_spent(t, nano);
    x->cost_unknown = x->cost_unknown || !gw_try_tier(t)->price.known;
    x->estimated = x->estimated || estimated;
}

/* The route's is the last one to come and never missing. */
static bool is_reserved(const struct gw_try *t)
{
    return t->reservation[GW_PURSE_ROUTE] != 0;
}

static void release(struct gw_try *t)
{
    for (int i = 0; i < GW_PURSES; i++)
        if (t->reservation[i])
            tel_release(t->x->app->store, t->reservation[i]);
    memset(t->reservation, 0, sizeof(t->reservation));
}

/* Whether a request has audio at a price of its own, and the provider did not tell how much of its
 * input that was. */
static bool audio_unknown(const struct gw_try *t)
{
    const struct chat_request *r = &t->x->prepared.request;
    const struct cfg_price *price = &gw_try_tier(t)->price;
    if (t->usage.audio_input.present || price->audio_input <= price->input)
        return false;
    for (size_t i = 0; i < r->n_messages; i++)
        for (size_t k = 0; k < r->messages[i].n_parts; k++)
            if (r->messages[i].parts[k].kind == CHAT_PART_AUDIO ||
                r->messages[i].parts[k].kind == CHAT_PART_VIDEO)
                return true;
    return false;
}

void gw_attempt_settle(struct gw_try *t)
{
    int64_t nano;
    if (!is_reserved(t))
        return;
    /* Some servers report usage as they go: before the end it bounds nothing. */
    if (t->finished && !audio_unknown(t) && gw_usage_cost(&gw_try_tier(t)->price, &t->usage, &nano))
        book(t, nano, false);
    else
        book(t, t->step.ceiling_nano, true);
}

/* What a broken or abandoned answer costs is not told by the provider. It is booked at its upper
 * bound, flagged, so that the cap holds whatever the provider will bill. */
void gw_attempt_end(struct gw_try *t, bool billed)
{
    if (t->ticket)
        tel_reserve_cancel(t->x->app->store, t->ticket);
    t->ticket = 0;
    bool writing = t->x->writing && t->x->writing->t == t;
    if (writing)
        t->x->writing->t = NULL;
    if (writing || (t->attempt && !prov_may_be_billed(t->attempt)))
        billed = false;
    prov_free(t->attempt);
    t->attempt = NULL;
    if (billed)
        gw_attempt_settle(t);
    release(t); /* what was not settled */
}

static void on_event(void *arg, const struct chat_event *e)
{
    gw_exchange_event(arg, e);
}

static void refuse(struct gw_exchange *x, const struct api_error *failure, const char *name)
{
    x->failure = *failure;
    x->failure_name = name;
    gw_metrics_passed_over(x, name);
    snprintf(x->reason, sizeof(x->reason), "%s", name);
    gw_exchange_next(x);
}

static struct prov_backend *backend_of(const struct gw_try *t)
{
    const struct gw_exchange *x = t->x;
    if (t->step.target == POL_LOCAL)
        return x->app->local;
    return x->named ? x->named->backend : x->config->tier[x->route][t->step.tier];
}

static struct prov_call call_of(const struct gw_try *t)
{
    const struct gw_exchange *x = t->x;
    const struct chat_request *r = &x->prepared.request;
    struct prov_call call = { .request = r };
    if (t->step.target != POL_LOCAL) {
        call.model = tg_str_of(gw_try_tier(t)->model);
        call.max_tokens = t->step.max_tokens;
        return call;
    }
    call.max_tokens = r->max_tokens ? r->max_tokens : x->config->settings->engine.max_tokens;
    if (!r->max_tokens && r->no_limit)
        call.max_tokens = UINT32_MAX; /* the context ends it */
    call.prompt = x->prepared.prompt;
    call.n_prompt = x->prepared.n_prompt;
    return call;
}

/* body: NULL: the request is not written yet. */
static void run(struct gw_try *t, struct tg_buf *body)
{
    struct gw_exchange *x = t->x;
    bool local = t->step.target == POL_LOCAL;
    struct tg_error err = { 0 };
    struct prov_call call = call_of(t);
    call.body = body;
    x->attempts++;
    t->outcome = "given-up";
    if (!local)
        gw_metrics_called(t);
    t->attempt = prov_start(backend_of(t), &call, on_event, t, &err);
    if (t->attempt) {
        x->state = GW_RUNNING;
        gw_answer_hold_back(x);
        return;
    }
    t->outcome = "not-started";
    gw_attempt_end(t, false);
    bool theirs = err.code == TG_UNSUPPORTED || err.code == TG_INVALID;
    struct api_error failure =
        gw_failure(theirs ? 400 : 503, theirs ? "invalid_request_error" : "server_error",
                   theirs ? "unsupported" : NULL, "%s", err.text);
    refuse(x, &failure, local ? "local-unavailable" : "provider-unavailable");
}

/* --- large requests are written on a worker ------------------------------------------------ */

void gw_writing_free(struct gw_writing *w)
{
    if (w)
        tg_buf_free(&w->body);
    tg_free(w);
}

static bool is_large(const struct chat_request *r)
{
    size_t n = chat_request_bytes(r);
    for (size_t i = 0; i < r->n_messages; i++)
        for (size_t k = 0; k < r->messages[i].n_parts; k++)
            if (r->messages[i].parts[k].media)
                n += r->messages[i].parts[k].media->data.n;
    return n > WRITE_BYTES;
}

static void write_request(void *arg)
{
    struct gw_writing *w = arg;
    if (!atomic_load(&w->x->prepared.unwanted))
        w->status = prov_write(w->backend, &w->call, &w->body);
}

static void written(void *arg)
{
    struct gw_writing *w = arg;
    struct gw_exchange *x = w->x;
    x->on_worker--;
    x->writing = NULL;
    if (!x->rq) /* gone, or answered already */
        gw_exchange_done(x);
    else if (w->t)
        run(w->t, w->status ? NULL : &w->body);
    gw_writing_free(w);
}

/* False: it has to be written here. */
static bool write_on_worker(struct gw_try *t)
{
    struct gw_exchange *x = t->x;
    if (x->writing || !is_large(&x->prepared.request))
        return false;
    struct gw_writing *w = tg_calloc(1, sizeof(*w));
    if (!w)
        return false;
    *w = (struct gw_writing){ .x = x, .t = t, .backend = backend_of(t), .call = call_of(t),
                              .status = TG_AGAIN };
    if (tg_workers_submit(x->app->workers, write_request, written, w) != TG_OK) {
        gw_writing_free(w);
        return false;
    }
    x->writing = w;
    x->on_worker++;
    return true;
}

static void launch(struct gw_try *t)
{
    if (t->step.target == POL_LOCAL || !write_on_worker(t))
        run(t, NULL);
}

/* The store's number of the budget behind a purse; a key's is declared when it is first drawn
 * from. -1: it could not be. */
static int budget_of(const struct gw_exchange *x, enum gw_purse purse)
{
    if (purse == GW_PURSE_ROUTE)
        return x->config->budget[x->route];
    return gw_caller_budget(&x->caller, x->app->store);
}

/* What is only reserved may come back in a moment; what is spent, with the next period. */
static void tell_when(const struct gw_try *t, enum gw_purse purse, const struct tel_budget_state *b)
{
    struct gw_exchange *x = t->x;
    int64_t now_ms = tg_wall_ms(), start_ms, end_ms;
    const struct cfg_settings *s = x->config->settings;
    enum cfg_period period =
        purse == GW_PURSE_KEY ? x->caller.lane->period : s->routes[x->route].period;
    if (b->cap - b->spent >= t->step.ceiling_nano)
        return;
    x->retry_in_vain = true;
    tel_period(period, s->time_zone, now_ms, &start_ms, &end_ms);
    if (period != CFG_PERIOD_NONE && t->step.ceiling_nano <= b->cap)
        x->retry_after_ms = end_ms - now_ms;
}

static struct api_error over_budget(const struct gw_try *t, enum gw_purse purse)
{
    const struct gw_exchange *x = t->x;
    struct tel_budget_state b = tel_budget_state(x->app->store, budget_of(x, purse));
    double left = (double)b.cap - (double)b.spent - (double)b.reserved;
    tell_when(t, purse, &b);
    return gw_failure(429, "insufficient_quota", "budget_exhausted",
                      "this request may cost up to $%.6f, and $%.6f is left of the %s",
                      (double)t->step.ceiling_nano / 1e9, left > 0 ? left / 1e9 : 0.0,
                      purse == GW_PURSE_KEY ? "budget of its API key"
                                            : "cloud budget of its route");
}

/* The store cannot say yes. */
static void refuse_unpayable(struct gw_try *t, const struct api_error *failure)
{
    release(t);
    refuse(t->x, failure, "ledger-unavailable");
}

/* There is no place for the key's budget: those of routes have theirs since the start. */
static void refuse_unkept(struct gw_try *t)
{
    const struct gw_exchange *x = t->x;
    uint64_t untold;
    if (gw_failure_due(&x->app->failures, "", "budgets-full", 0, tg_mono_ns(), &untold))
        tg_log(TG_LOG_ERROR, "budgets-full",
               "API key %s cannot pay: %d budgets are in use, which is the most: revoke keys that "
               "have one and are not needed (%llu more such requests since the last of these "
               "lines)",
               x->caller.key->id, TEL_BUDGETS_MAX, (unsigned long long)untold);
    struct api_error failure =
        gw_failure(503, "server_error", "ledger_unavailable",
                   "the budget of this request's API key cannot be kept: %d budgets are in use, "
                   "which is the most; revoke API keys that have one and are not needed",
                   TEL_BUDGETS_MAX);
    refuse_unpayable(t, &failure);
}

static void reserve_from(struct gw_try *t, enum gw_purse purse);

static void reserved(struct gw_try *t, enum gw_purse purse, enum tel_outcome outcome, uint64_t id)
{
    struct api_error failure;
    switch (outcome) {
    case TEL_RESERVED:
        t->reservation[purse] = id;
        if (purse == GW_PURSE_KEY) {
            reserve_from(t, GW_PURSE_ROUTE);
            return;
        }
        t->x->reserved_nano = t->step.ceiling_nano;
        launch(t);
        return;
    case TEL_WAIT:
        t->ticket = id;
        return;
    case TEL_OVER_CAP:
        failure = over_budget(t, purse);
        release(t);
        refuse(t->x, &failure,
               purse == GW_PURSE_KEY ? "key-budget-exhausted" : "budget-exhausted");
        return;
    case TEL_UNAVAILABLE:
        failure = gw_failure(503, "server_error", "ledger_unavailable",
                             "the ledger cannot be written, so nothing may be paid");
        refuse_unpayable(t, &failure);
        return;
    }
}

static void on_reserved_by_key(void *arg, enum tel_outcome outcome, uint64_t id)
{
    struct gw_try *t = arg;
    t->ticket = 0;
    reserved(t, GW_PURSE_KEY, outcome, id);
}

static void on_reserved_by_route(void *arg, enum tel_outcome outcome, uint64_t id)
{
    struct gw_try *t = arg;
    t->ticket = 0;
    reserved(t, GW_PURSE_ROUTE, outcome, id);
}

/* The key's budget first: it is the narrower one, and what it refuses never held up the route's. */
static void reserve_from(struct gw_try *t, enum gw_purse purse)
{
    struct gw_exchange *x = t->x;
    const struct tel_api_key *key = x->caller.key;
    bool keyed = x->caller.lane && key->has_budget;
    if (purse == GW_PURSE_KEY && !keyed)
        purse = GW_PURSE_ROUTE;
    uint64_t id = 0;
    int budget = budget_of(x, purse);
    if (budget < 0) {
        refuse_unkept(t);
        return;
    }
    enum tel_outcome outcome = tel_reserve(
        x->app->store, budget, t->step.ceiling_nano, x->id,
        purse == GW_PURSE_KEY ? on_reserved_by_key : on_reserved_by_route, t, &id);
    reserved(t, purse, outcome, id);
}

void gw_attempt_start(struct gw_exchange *x, size_t step)
{
    bool local = x->plan.step[step].target == POL_LOCAL;
    struct gw_try *t = local ? &x->local : &x->remote;
    gw_try_free(t);
    gw_try_init(t, x);
    t->used = true;
    t->step = x->plan.step[step];
    t->begun_ns = tg_mono_ns();
    x->tried[step] = true;
    x->retry_after_ms = -1;
    x->retry_in_vain = false;
    x->current = t;
    if (local) {
        int64_t latency = gw_exchange_route(x)->max_latency_ms;
        if (latency > 0 && x->plan.n > 1)
            gw_timer_set(x->latency, gw_exchange_left_ms(x, latency));
        launch(t);
        return;
    }
    reserve_from(t, GW_PURSE_KEY);
}
