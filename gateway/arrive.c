#include "gateway/exchange.h"

#include <stdio.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "gateway/ending.h"
#include "policy/choose.h"

enum {
    WORKER_BODY = 8 << 10,  /* larger ones are read on a worker: about 0.4 ms a KiB; what is
                             * remembered of their tool calls counts */
    WAITING_MAX = 1024,     /* unadmitted requests above which accepting stops */
    LOOK_AGAIN_MS = 5,      /* slots come back from the disk's side without a word */
    TURN_US = 1000,         /* of those that are admitted: the others have theirs next */
};

/* A route of the request's own: a copy of the payer's, with nothing but the named model. */
static bool name_model(struct gw_exchange *x, const struct pol_choice *choice)
{
    const struct cfg_settings *s = x->config->settings;
    struct gw_named *named = tg_arena_alloc(x->prepared.arena, 1, sizeof(*named));
    struct tg_str model = { NULL, 0 };
    if (named)
        model = tg_arena_str(x->prepared.arena, choice->model);
    if (!model.p)
        return false;
    named->settings = s->routes[x->route];
    named->settings.n_tiers = 1;
    for (size_t i = 0; i < s->n_providers; i++)
        if (tg_str_eq(choice->provider, tg_str_of(s->providers[i].name))) {
            named->settings.tiers[0] = (struct cfg_tier){
                .provider = s->providers[i].name,
                .model = model.p,
                .max_tokens = choice->max_tokens,
                .price = cfg_price_for(s, choice->provider, choice->model),
            };
            named->backend = x->config->providers[i];
        }
    named->route.settings = &named->settings;
    x->named = named;
    return true;
}

/* What the request's model selects; "local" is the first route, kept local. */
static bool find_route(struct gw_exchange *x, struct api_error *e)
{
    struct tg_str model = x->prepared.request.model;
    bool vectors = x->prepared.request.n_inputs > 0;
    struct pol_choice choice;
    if (!pol_choose(x->config->settings, model, &choice)) {
        *e = gw_failure(404, "invalid_request_error", "model_not_found",
                        "no model is named \"%.*s\" here: name a route or PROVIDER/MODEL (GET "
                        "/v1/models or GET /api/tags lists them), or make it an alias in the "
                        "configuration: \"aliases\": {\"%.*s\": \"%s\"}",
                        TG_FMT(model), TG_FMT(model),
                        vectors ? "PROVIDER/EMBEDDING-MODEL"
                                : x->config->settings->routes[0].name);
        snprintf(e->param, sizeof(e->param), "model");
        return false;
    }
    if (!gw_caller_may(&x->caller, x->config->settings, &choice)) {
        struct tg_str asked = model.n ? model : tg_str_of(x->config->settings->routes[0].name);
        *e = gw_failure(403, "permission_denied", "model_not_allowed",
                        "the API key may not use the model \"%.*s\"%s; GET /v1/models or GET "
                        "/api/tags lists those that it may", TG_FMT(asked),
                        model.n ? "" : ", the first route, which is asked where none is named");
        snprintf(e->param, sizeof(e->param), "model");
        return false;
    }
    x->route = choice.route;
    x->local_only = x->local_only || choice.local;
    if (choice.provider.n && !name_model(x, &choice)) {
        *e = gw_failure(503, "server_error", NULL, "out of memory");
        return false;
    }
    x->routed = true;
    return true;
}

/* The field that an error's text begins with, as the client knows it. */
static void name_field(const struct gw_exchange *x, struct api_error *e)
{
    api_rename_field(x->prepared.dialect, e);
    size_t n = strcspn(e->message, ": ");
    if (e->message[n] == ':' && n < sizeof(e->param))
        snprintf(e->param, sizeof(e->param), "%.*s", (int)n, e->message);
    else
        snprintf(e->param, sizeof(e->param), "messages");
}

/* By what the local model cannot take. */
static void refuse_local(struct gw_exchange *x)
{
    const struct gw_prepared *p = &x->prepared;
    struct api_error e = gw_failure(400, "invalid_request_error", "unsupported", "%s",
                                    p->local_error.text);
    name_field(x, &e);
    if (p->overflow.is)
        api_overflow(p->dialect, &p->overflow, "", &e);
    gw_exchange_fail(x, &e, "no-backend");
}

/* The model that the client named may not be called. */
static void refuse_named(struct gw_exchange *x)
{
    const struct cfg_tier *tier = &x->named->settings.tiers[0];
    struct api_error e = gw_failure(
        403, "invalid_request_error", "local_only",
        "model: a local-only request cannot be answered by %s/%s; name a route, or \"local\"%s",
        tier->provider, tier->model,
        x->prepared.past.local_only ? " (it goes on from a response that was local-only)" : "");
    if (!x->local_only)
        e = gw_failure(400, "invalid_request_error", "price_unknown",
                       "model: what this request to %s/%s costs is not known, so it cannot be "
                       "made under a budget, of route %s or of the API key; add it to "
                       "providers.%s.prices",
                       tier->provider, tier->model, x->named->settings.name, tier->provider);
    name_field(x, &e);
    gw_exchange_fail(x, &e, x->local_only ? "local-only" : "price-unknown");
}

static void refuse_plan(struct gw_exchange *x)
{
    if (x->named) {
        refuse_named(x);
        return;
    }
    if (!x->prepared.local_can) {
        refuse_local(x);
        return;
    }
    struct api_error e =
        gw_failure(503, "server_error", "no_backend", "nobody may answer: %s", x->plan.reason);
    gw_exchange_fail(x, &e, "no-backend");
}

/* What a limit of tokens is charged until usage is known. */
static double expected_tokens(const struct gw_prepared *p)
{
    enum { BYTES_A_TOKEN = 4 };
    double prompt = p->n_prompt;
    if (!p->n_prompt) /* the local model cannot take it, so nobody has counted */
        prompt = (double)chat_request_bytes(&p->request) / BYTES_A_TOKEN;
    return prompt + p->request.max_tokens;
}

static bool has_streams(const struct api_dialect *d)
{
    return d->heartbeat || d->beat;
}

/* From here on it is known whether there will be a stream. One that asks nothing is answered whole
 * all the same. */
static void begin_heartbeats(struct gw_exchange *x)
{
    const struct chat_request *r = &x->prepared.request;
    bool stream = has_streams(x->prepared.dialect) && r->stream && !chat_is_empty(r);
    if (x->beats && !stream)
        gw_timer_stop(x->heartbeat);
    if (stream && !x->beats)
        gw_timer_set(x->heartbeat, x->config->settings->heartbeat_ms);
    x->beats = stream;
    if (stream && x->overdue)
        gw_answer_heartbeat(x);
}

/* Decoded: all that can be refused by that alone is, before a heartbeat has told a status. False:
 * x ended, or waits on. */
static bool decoded(struct gw_exchange *x)
{
    struct gw_prepared *p = &x->prepared;
    struct api_error e;
    if (p->failed && p->error.status >= 500 && !x->admitted) { /* there may be room when it is */
        gw_prepared_forget(p);
        return false;
    }
    if (p->failed) {
        gw_exchange_fail(x, &p->error, "invalid-request");
        return false;
    }
    if (!find_route(x, &e)) {
        gw_exchange_fail(x, &e, e.status == 404   ? "model-not-found"
                                : e.status == 403 ? "not-permitted"
                                                  : "overloaded");
        return false;
    }
    if (p->past.local_only) /* what was said on this machine only stays on it */
        x->local_only = true;
    if (p->unfetched && !gw_media_list(x))
        return false;
    x->answer.model = p->request.model.n ? p->request.model : tg_str_of(gw_exchange_route(x)->name);
    if (p->request.model_said.n)
        x->answer.model = p->request.model_said;
    gw_timer_set(x->deadline, gw_exchange_left_ms(x, gw_exchange_route(x)->timeout_ms));
    begin_heartbeats(x);
    return true;
}

/* RECEIVED -> SCORED -> RUNNING. */
static void scored(struct gw_exchange *x)
{
    struct gw_prepared *p = &x->prepared;
    struct api_error e;
    x->state = GW_SCORED;
    if (p->dialect->count) {
        if (p->local_can)
            gw_answer_count(x);
        else
            refuse_local(x);
        return;
    }
    if (chat_is_empty(&p->request)) {
        gw_answer_idle(x);
        gw_exchange_done(x);
        return;
    }
    if (!gw_caller_take(&x->caller, expected_tokens(p), tg_mono_ns(), &e, &x->retry_after_ms)) {
        gw_exchange_fail(x, &e, "rate-limited");
        return;
    }
    struct pol_request_facts facts = {
        .request = &p->request,
        .body_bytes = chat_request_bytes(&p->request),
        .local_can = p->local_can,
        .local_cannot = p->local_error.text,
        .local_only = x->local_only,
        .capped = x->caller.key && x->caller.key->has_budget,
        .facts = gw_facts(x),
    };
    if (x->named)
        pol_decide_named(&x->named->route, &facts, &x->plan);
    else
        pol_decide(gw_exchange_policy(x), &facts, &x->plan);
    snprintf(x->reason, sizeof(x->reason), "%s", x->plan.reason);
    if (x->plan.n == 0) {
        refuse_plan(x);
        return;
    }
    gw_exchange_next(x);
}

static void prepare(struct gw_exchange *x);

/* On with what was received, as far as it can be now. */
static void advance(struct gw_exchange *x)
{
    struct gw_prepared *p = &x->prepared;
    if ((p->decoded || p->failed) && !x->routed && !decoded(x))
        return;
    if (!x->admitted)
        return;
    if (p->unfetched)
        gw_media_fetch(x);
    else if (!p->ready)
        prepare(x);
    else
        scored(x);
}

static void worker_run(void *arg)
{
    struct gw_exchange *x = arg;
    if (!atomic_load(&x->prepared.unwanted))
        gw_prepare(&x->prepared);
}

static void worker_done(void *arg)
{
    struct gw_exchange *x = arg;
    x->on_worker--;
    x->app->worker_bytes -= (int64_t)x->prepared.body.n;
    if (!x->rq) /* gone, or answered already */
        gw_exchange_done(x);
    else
        advance(x);
}

/* The connection goes when the client goes, so the body is taken from it. Bodies on workers are
 * counted, or clients that leave at once could heap them up in front of these. */
static enum tg_status hand_to_worker(struct gw_exchange *x)
{
    struct gw_prepared *p = &x->prepared;
    struct gw_app *app = x->app;
    int64_t n = (int64_t)p->body.n;
    if (n > x->config->settings->limits.bodies_in_flight - app->worker_bytes)
        return TG_LIMIT;
    if (!p->body_taken.p) /* it is taken where it was decoded by a worker */
        p->body_taken = gw_http_take_body(x->rq);
    p->body.p = p->body_taken.p;
    enum tg_status status = tg_workers_submit(app->workers, worker_run, worker_done, x);
    if (status == TG_OK) {
        x->on_worker++;
        app->worker_bytes += n;
    }
    return status;
}

static bool takes_long(const struct gw_prepared *p)
{
    return p->body.n > WORKER_BODY ||
           (p->dialect->looks_back && p->dialect->looks_back(p->body)) ||
           p->body.n + prov_local_recall_max(p->local, p->body) > WORKER_BODY;
}

static void prepare(struct gw_exchange *x)
{
    if (!takes_long(&x->prepared)) {
        gw_prepare(&x->prepared);
        advance(x);
        return;
    }
    enum tg_status status = hand_to_worker(x);
    if (status) {
        struct api_error e =
            gw_failure(503, "server_error", "overloaded", "too busy: %s", tg_status_name(status));
        gw_exchange_fail(x, &e, "overloaded");
    }
}

void gw_arrival_fetched(struct gw_exchange *x)
{
    x->prepared.unfetched = false;
    advance(x);
}

/* On a worker, whatever its size: many may be due at once, and none of them is in a hurry. */
void gw_arrival_overdue(struct gw_exchange *x)
{
    x->overdue = true;
    if (!x->on_worker)
        hand_to_worker(x); /* refused: at the next heartbeat, or when there are slots */
}

void gw_arrival_left(struct gw_exchange *x)
{
    struct gw_app *app = x->app;
    struct gw_exchange **at = &app->waiting_head, *before = NULL;
    while (*at && *at != x) {
        before = *at;
        at = &(*at)->waiting_next;
    }
    if (!*at)
        return;
    *at = x->waiting_next;
    if (app->waiting_tail == x)
        app->waiting_tail = before;
    app->n_waiting--;
}

static void accept_again(struct gw_app *app)
{
    if (!app->draining && app->n_waiting < WAITING_MAX / 2)
        gw_http_accept(app->http, true);
}

/* Each of them may be refused at once, and thousands may wait: begun inside one that ends they
 * would heap up on the stack. The turn of the timer begins them one after another. */
void gw_arrival_admit(struct gw_app *app)
{
    if (app->ending)
        return;
    int64_t until = tg_mono_ns() + (int64_t)TURN_US * 1000;
    bool room = true, time = true;
    while (app->waiting_head && time && (room = tel_admit(app->store))) {
        struct gw_exchange *x = app->waiting_head;
        gw_arrival_left(x);
        x->admitted = true;
        if (!x->on_worker)
            advance(x);
        time = tg_mono_ns() < until;
    }
    if (app->waiting_head)
        gw_timer_set(app->look_again, room ? 0 : LOOK_AGAIN_MS);
    accept_again(app);
}

void gw_arrival_room(struct gw_app *app)
{
    if (app->ending)
        return;
    if (app->waiting_head)
        gw_timer_set(app->look_again, 0);
    accept_again(app);
}

static int64_t longest_timeout_ms(const struct cfg_settings *s)
{
    int64_t longest = 0;
    for (size_t i = 0; i < s->n_routes; i++)
        if (s->routes[i].timeout_ms > longest)
            longest = s->routes[i].timeout_ms;
    return longest;
}

/* No slots: behind those that wait already. Its route is not known yet. */
static void wait_for_slots(struct gw_exchange *x)
{
    struct gw_app *app = x->app;
    if (app->waiting_tail) {
        app->waiting_tail->waiting_next = x;
    } else {
        app->waiting_head = x;
        gw_timer_set(app->look_again, LOOK_AGAIN_MS); /* once: later ones must not put it off */
    }
    app->waiting_tail = x;
    gw_timer_set(x->deadline, longest_timeout_ms(x->config->settings));
    x->beats = has_streams(x->prepared.dialect);
    if (x->beats)
        gw_timer_set(x->heartbeat, x->config->settings->heartbeat_ms);
    if (++app->n_waiting >= WAITING_MAX)
        gw_http_accept(app->http, false);
}

/* The key's first: a header cannot keep them out. */
static bool read_tags(struct gw_exchange *x, struct tg_str list)
{
    struct tg_str tag;
    for (size_t at = 0; x->caller.key && tel_list_next(x->caller.key->tags, &at, &tag);)
        if (x->n_tags < TEL_KEY_TAGS_MAX)
            x->tags[x->n_tags++] = tag;
    size_t most = x->n_tags + GW_TAGS_MAX;
    x->tags_text = tg_strndup(list.p ? list.p : "", list.n);
    if (!x->tags_text)
        return false;
    struct tg_str text = { x->tags_text, list.n };
    for (size_t at = 0; tel_list_next(text, &at, &tag);) {
        tag = tg_str_trim(tag);
        if (tag.n && x->n_tags == most)
            return false;
        if (tag.n)
            x->tags[x->n_tags++] = tag;
    }
    return true;
}

/* Sets *mark when a header of that name says true. */
static bool read_mark(const struct gw_ask *ask, const char *name, bool *mark, struct api_error *e)
{
    for (size_t i = 0; i < ask->n_headers; i++) { /* a proxy may have added a second one */
        struct tg_str value = ask->headers[i].value;
        if (!tg_str_ieq(ask->headers[i].name, tg_str_of(name)))
            continue;
        *mark = *mark || tg_str_ieq(value, TG_STR("true"));
        if (tg_str_ieq(value, TG_STR("true")) || tg_str_ieq(value, TG_STR("false")))
            continue;
        *e = gw_failure(400, "invalid_request_error", NULL, "header %s takes true or false", name);
        return false;
    }
    return true;
}

/* x-tollgate-local-only, x-tollgate-explain, x-tollgate-tags. False with *e filled. */
static bool read_marks(struct gw_exchange *x, const struct gw_ask *ask, struct api_error *e)
{
    if (!read_mark(ask, "x-tollgate-local-only", &x->local_only, e) ||
        !read_mark(ask, "x-tollgate-explain", &x->explain, e))
        return false;
    if (!read_tags(x, gw_header_of(ask, "x-tollgate-tags"))) {
        *e = gw_failure(400, "invalid_request_error", NULL,
                        "header x-tollgate-tags takes at most %d tags", GW_TAGS_MAX);
        return false;
    }
    return true;
}

static struct gw_exchange *create(struct gw_app *app, struct gw_request *rq,
                                  const struct gw_ask *ask, const struct api_dialect *dialect,
                                  struct gw_caller *who)
{
    struct gw_exchange *x = tg_calloc(1, sizeof(*x));
    if (!x) {
        gw_caller_free(who);
        return NULL;
    }
    x->caller = *who;
    *who = (struct gw_caller){ 0 };
    x->local_only = gw_caller_local_only(&x->caller);
    x->app = app;
    x->rq = rq;
    x->id = app->next_id++;
    x->begun_ns = tg_mono_ns();
    x->started_ms = tg_wall_ms();
    x->failure_name = "";
    x->retry_after_ms = -1;
    x->prepared.dialect = dialect;
    x->prepared.body = ask->body;
    x->prepared.local = app->local;
    x->prepared.past = (struct gw_past){
        .store = app->responses,
        .owner = gw_caller_owner(&x->caller),
        .number = x->id,
        .now_ms = x->begun_ns / 1000000,
    };
    x->answer.created_s = x->started_ms / 1000;
    x->answer.created_ms = x->started_ms;
    x->answer.request = &x->prepared.request;
    snprintf(x->answer.id, sizeof(x->answer.id), "%s%016llx", dialect->id_prefix,
             (unsigned long long)x->id);
    gw_try_init(&x->local, x);
    gw_try_init(&x->remote, x);
    pol_confidence_init(&x->confidence_sums);
    x->config = gw_snapshot_ref(app->now);
    x->prepared.settings = x->config->settings;
    x->next = app->exchanges;
    if (x->next)
        x->next->prev = x;
    app->exchanges = x;
    return x;
}

struct gw_exchange *gw_exchange_new(struct gw_app *app, struct gw_request *rq,
                                    const struct gw_ask *ask, const struct api_dialect *dialect,
                                    struct gw_caller *who)
{
    struct gw_exchange *x = create(app, rq, ask, dialect, who);
    struct api_error e = gw_failure(500, "server_error", NULL, "out of memory");
    bool done = false;
    if (!x) {
        gw_router_refuse(app, rq, dialect, &e);
        return NULL;
    }
    x->done_flag = &done;
    x->admitted = !app->waiting_head && tel_admit(app->store);
    if (app->ending) {
        gw_exchange_too_late(x);
    } else if (!gw_exchange_timers(x) || !read_marks(x, ask, &e)) {
        gw_exchange_fail(x, &e, "invalid-request");
    } else if (x->admitted) {
        prepare(x);
    } else {
        wait_for_slots(x);
    }
    if (done)
        return NULL;
    x->done_flag = NULL;
    return x;
}
