#include <event2/event.h>
#include <float.h>
#include <string.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "config/base/turn.h"
#include "local_engine/engine.h"
#include "providers/local_internal.h"
#include "providers/local_spoken.h"

/* An attempt is found by the id of its job, never by a pointer that the engine kept: events of jobs
 * that were given up are dropped here. */

enum { EVENTS_A_TURN = 512 }; /* then the loop gets its turn; the descriptor stays readable */

struct attempt;

struct local {
    struct prov_backend base;
    struct event_base *loop;
    struct le_engine *engine;
    struct event *readable;
    struct attempt *attempts;
    struct prov_memory *memory;
};

struct attempt {
    struct prov_attempt base;
    struct local *local;
    struct attempt *next;
    uint64_t job;
    prov_event_fn fn;
    void *arg;
    struct event *timer; /* of the whole answer; NULL without one */
    uint32_t owed;       /* credit held back while paused */
    uint32_t n_calls;
    uint32_t n_odd_calls; /* of tools that nobody declared */
    uint64_t n_reasoning;
    uint64_t salt;           /* of its calls' ids, which open the memory: nobody else's follow */
    struct tg_buf reasoning; /* what it thought, to be remembered if it ends in calls */
    const struct chat_tool *tools; /* the request's */
    size_t n_tools;
    const struct tg_str *stops; /* the request's */
    size_t n_stops;
    bool wants_logprobs;
    struct prov_spoken spoken;
    bool paused, dead;
    bool guessable; /* the salt */
    unsigned depth; /* callbacks under way */
    int64_t event_ns; /* when the engine's event in hand happened; 0: none is */
};

static struct local *local_of(struct prov_backend *b)
{
    return (struct local *)(void *)b;
}

static struct attempt *attempt_of(struct prov_attempt *a)
{
    return (struct attempt *)(void *)a;
}

static struct attempt *find(struct local *l, uint64_t job)
{
    struct attempt *a = l->attempts;
    while (a && a->job != job)
        a = a->next;
    return a;
}

static void unlink_attempt(struct attempt *a)
{
    struct attempt **at = &a->local->attempts;
    while (*at && *at != a)
        at = &(*at)->next;
    if (*at)
        *at = a->next;
}

static void release(struct attempt *a)
{
    if (a->timer)
        event_free(a->timer);
    tg_buf_free(&a->reasoning);
    prov_spoken_free(&a->spoken);
    tg_free(a);
}

static void leave(struct attempt *a)
{
    if (--a->depth == 0 && a->dead)
        release(a);
}

/* No event of the job is wanted any more. */
static void retire(struct attempt *a)
{
    unlink_attempt(a);
    a->job = 0;
    if (a->timer)
        event_del(a->timer);
}

static void emit(struct attempt *a, const struct chat_event *event)
{
    struct chat_event timed = *event;
    timed.mono_ns = a->event_ns;
    if (!a->dead)
        a->fn(a->arg, &timed);
}

/* ---- the engine's events, translated ---- */

static enum chat_token_class class_of(enum le_token_class cls)
{
    return cls == LE_TOKEN_CONTENT      ? CHAT_TOKEN_CONTENT
           : cls == LE_TOKEN_CALL_VALUE ? CHAT_TOKEN_CALL_VALUE
                                        : CHAT_TOKEN_MASKED;
}

/* Whether the event has a call that is somebody's. Without tools no call is, which is as it should
 * be; with tools, one of another name is a mistake of the model. */
static bool take_call(struct attempt *a, const struct le_event *e)
{
    if (e->call_name.n == 0 || a->n_tools == 0)
        return false;
    for (size_t i = 0; i < a->n_tools; i++)
        if (tg_str_eq(a->tools[i].name, e->call_name))
            return true;
    a->n_odd_calls++;
    return false;
}

static void emit_call(struct attempt *a, const struct le_event *e, const struct chat_token *token)
{
    char id[PROV_CALL_ID_MAX];
    prov_call_id(id, a->salt, a->n_calls);
    struct chat_event event = {
        .kind = CHAT_EVENT_TOOL_CALL,
        .index = a->n_calls++,
        .id = tg_str_of(id),
        .name = e->call_name,
        .text = e->call_arguments.n ? e->call_arguments : TG_STR("{}"),
        .has_token = token,
    };
    if (token)
        event.token = *token;
    emit(a, &event);
}

/* Tokens of content, white space too, are what its text is made of. Out of memory a token is not
 * told: the answer is as good. */
static void note_logprob(struct attempt *a, const struct le_event *e)
{
    const struct le_tokenizer *t = le_engine_tokenizer(a->local->engine);
    if (a->wants_logprobs && (e->cls == LE_TOKEN_CONTENT || e->cls == LE_TOKEN_SPACE))
        (void)prov_spoken_add(&a->spoken, le_tokenizer_piece(t, e->token),
                                 (double)e->stats.logprob);
}

static void emit_text(struct attempt *a, const struct le_event *e, const struct chat_token *token)
{
    struct chat_event event = { .kind = CHAT_EVENT_TEXT, .text = e->content };
    bool last = e->kind == LE_EVENT_END && !e->stopped_by;
    event.has_token = token;
    if (token)
        event.token = *token;
    prov_spoken_take(&a->spoken, e->content.n, last, &event);
    size_t n = event.n_logprobs;
    if (event.text.n || event.has_token || n)
        emit(a, &event);
    if (n)
        prov_spoken_drop(&a->spoken, n);
}

/* What an event of the engine holds, as at most three events of ours. token: NULL, or what one of
 * them has to carry, an empty TEXT if need be. */
static void emit_texts(struct attempt *a, const struct le_event *e, const struct chat_token *token)
{
    bool call = take_call(a, e), thought = e->cls == LE_TOKEN_REASONING;
    struct chat_event event = { .kind = CHAT_EVENT_REASONING, .text = e->reasoning };
    if (a->n_tools)
        tg_buf_add(&a->reasoning, e->reasoning.p, e->reasoning.n);
    event.has_token = token && !call && thought;
    if (event.has_token)
        event.token = *token;
    if (event.text.n || event.has_token)
        emit(a, &event);
    emit_text(a, e, call || thought ? NULL : token);
    if (call)
        emit_call(a, e, token);
}

static void on_token(struct attempt *a, const struct le_event *e)
{
    struct chat_token token = { class_of(e->cls), e->stats.logprob, e->stats.entropy,
                                e->stats.margin };
    a->n_reasoning += e->cls == LE_TOKEN_REASONING;
    a->owed++;
    note_logprob(a, e);
    emit_texts(a, e, &token);
    if (a->dead || a->paused || !a->job)
        return;
    le_engine_credit(a->local->engine, a->job, a->owed);
    a->owed = 0;
}

/* An answer whose only calls cannot be read, or are of no tool that was declared, is no answer:
 * NULL or why. One that was cut in its call ends as any that was cut. */
static const char *lost_its_calls(const struct attempt *a, const struct le_event *e)
{
    if (a->n_tools == 0 || a->n_calls || e->end == LE_END_LENGTH)
        return NULL;
    return e->n_bad_calls   ? "the local model wrote a tool call that cannot be read"
           : a->n_odd_calls ? "the local model called a tool that was not declared"
                            : NULL;
}

static void emit_end(struct attempt *a, const struct le_event *e)
{
    struct chat_event event = { .kind = CHAT_EVENT_FINISH, .retry_after_ms = -1 };
    const char *lost = lost_its_calls(a, e);
    if (e->end == LE_END_ERROR || e->end == LE_END_CANCELLED) {
        event.kind = CHAT_EVENT_ERROR;
        event.error = CHAT_ERROR_ENGINE;
        event.text = e->end == LE_END_ERROR && e->text ? tg_str_of(e->text)
                                                       : TG_STR("the engine is shutting down");
    } else if (lost) {
        event.kind = CHAT_EVENT_ERROR;
        event.error = CHAT_ERROR_MALFORMED;
        event.text = tg_str_of(lost);
    } else if (a->n_calls) {
        event.finish = CHAT_FINISH_TOOL_CALLS;
    } else {
        event.finish = e->end == LE_END_LENGTH ? CHAT_FINISH_LENGTH : CHAT_FINISH_STOP;
        if (e->stopped_by && e->stopped_by <= a->n_stops)
            event.stop = a->stops[e->stopped_by - 1];
    }
    emit(a, &event);
}

/* Before the client can answer. A thought that is not there whole is none; ids that others could
 * guess open nothing. */
static void remember(const struct attempt *a)
{
    char ids[CHAT_CALLS_MAX][PROV_CALL_ID_MAX];
    size_t n = a->n_calls < CHAT_CALLS_MAX ? a->n_calls : CHAT_CALLS_MAX;
    if (a->guessable || a->dead || n == 0 || a->reasoning.n == 0 || a->reasoning.failed)
        return;
    for (size_t i = 0; i < n; i++)
        prov_call_id(ids[i], a->salt, i);
    /* out of memory: the answer is as good, only its thought is lost */
    (void)prov_memory_keep(a->local->memory, (const char (*)[PROV_CALL_ID_MAX])ids, n,
                           tg_buf_str(&a->reasoning), tg_mono_ns());
}

static void on_end(struct attempt *a, const struct le_event *e)
{
    struct chat_event usage = { .kind = CHAT_EVENT_USAGE };
    usage.usage.input = (struct chat_count){ true, e->n_prompt };
    usage.usage.output = (struct chat_count){ true, e->n_generated };
    usage.usage.reasoning = (struct chat_count){ true, a->n_reasoning };
    emit_texts(a, e, NULL);
    retire(a);
    if (e->end != LE_END_ERROR && e->end != LE_END_CANCELLED)
        remember(a);
    emit(a, &usage);
    emit_end(a, e);
}

static void dispatch(struct local *l, const struct le_event *e)
{
    struct attempt *a = find(l, e->job);
    if (!a)
        return;
    a->depth++;
    a->event_ns = e->mono_ns;
    if (e->kind == LE_EVENT_STARTED)
        emit(a, &(struct chat_event){ .kind = CHAT_EVENT_STARTED });
    else if (e->kind == LE_EVENT_TOKEN)
        on_token(a, e);
    else if (e->kind == LE_EVENT_END)
        on_end(a, e);
    a->event_ns = 0;
    leave(a);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct local *l = arg;
    struct le_event e;
    (void)fd;
    (void)what;
    tg_turn_mark("engine");
    l->base.refs++; /* the last attempt may be freed by its callback */
    for (int i = 0; i < EVENTS_A_TURN && le_engine_next(l->engine, &e); i++)
        dispatch(l, &e);
    prov_unref(&l->base);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    struct attempt *a = arg;
    (void)fd;
    (void)what;
    tg_turn_mark("engine");
    le_engine_cancel(a->local->engine, a->job);
    retire(a);
    a->depth++;
    emit(a, &(struct chat_event){ .kind = CHAT_EVENT_ERROR,
                                  .error = CHAT_ERROR_TIMEOUT,
                                  .text = TG_STR("the local answer was not complete in time"),
                                  .retry_after_ms = -1 });
    leave(a);
}

/* ---- attempts ---- */

/* What is above 0 stays so as a float: 0 would be refused, and any least share of the probability
 * means the same, the best id alone. */
static float least(double top_p)
{
    return top_p > 0 && top_p < (double)FLT_MIN ? FLT_MIN : (float)top_p;
}

static struct le_sampling sampling_of(const struct local *l, const struct chat_sampling *s)
{
    struct le_sampling out = le_engine_default_sampling(l->engine);
    if (s->has_temperature)
        out.temperature = (float)s->temperature;
    if (s->has_top_p)
        out.top_p = least(s->top_p);
    if (s->has_min_p)
        out.min_p = (float)s->min_p;
    if (s->has_top_k)
        out.top_k = s->top_k;
    if (s->has_seed)
        out.seed = s->seed;
    else
        prov_salt(&out.seed);
    return out;
}

/* The template may leave a thought open for the model to go on with. */
static bool ends_in_thought(const struct le_tokenizer *t, const int32_t *ids, uint32_t n)
{
    const struct le_special_ids *special = le_tokenizer_special(t);
    for (uint32_t i = n; i > 0; i--) {
        int32_t id = ids[i - 1];
        if (id == special->channel_open && id >= 0)
            return true;
        if (id == special->channel_close || id == special->turn_open)
            return false;
    }
    return false;
}

static enum tg_status submit(struct attempt *a, const struct prov_call *call, struct tg_error *err)
{
    const struct chat_request *r = call->request;
    struct local *l = a->local;
    struct le_job job = {
        .prompt = call->prompt,
        .n_prompt = call->n_prompt,
        .max_tokens = call->max_tokens,
        .sampling = sampling_of(l, &r->sampling),
        .in_thought = ends_in_thought(le_engine_tokenizer(l->engine), call->prompt, call->n_prompt),
    };
    a->tools = r->tools;
    a->n_tools = r->n_tools;
    a->stops = r->stop;
    a->n_stops = r->n_stops;
    a->wants_logprobs = r->logprobs;
    for (size_t i = 0; i < r->n_stops && i < LE_STOPS_MAX; i++)
        job.stop[job.n_stops++] = r->stop[i];
    if (call->timeout_ms > 0) {
        struct timeval tv = { call->timeout_ms / 1000, (call->timeout_ms % 1000) * 1000 };
        a->timer = evtimer_new(l->loop, on_timeout, a);
        if (!a->timer || evtimer_add(a->timer, &tv) != 0)
            return tg_fail(err, TG_NOMEM, "out of memory");
    }
    return le_engine_submit(l->engine, &job, &a->job, err);
}

static struct prov_attempt *start(struct prov_backend *b, const struct prov_call *call,
                                  prov_event_fn fn, void *arg, struct tg_error *err)
{
    struct local *l = local_of(b);
    struct attempt *a = tg_calloc(1, sizeof(*a));
    if (!a) {
        tg_fail(err, TG_NOMEM, "out of memory");
        return NULL;
    }
    a->local = l;
    a->fn = fn;
    a->arg = arg;
    a->guessable = !prov_salt(&a->salt);
    tg_buf_init(&a->reasoning, PROV_MEMORY_THOUGHT);
    if (submit(a, call, err)) {
        release(a);
        return NULL;
    }
    a->next = l->attempts;
    l->attempts = a;
    return &a->base;
}

static void pause_attempt(struct prov_attempt *base, bool paused)
{
    struct attempt *a = attempt_of(base);
    a->paused = paused;
    if (paused || !a->owed || !a->job)
        return;
    le_engine_credit(a->local->engine, a->job, a->owed);
    a->owed = 0;
}

static void end_attempt(struct prov_attempt *base)
{
    struct attempt *a = attempt_of(base);
    struct local *l = a->local;
    if (a->job)
        le_engine_cancel(l->engine, a->job);
    retire(a);
    a->dead = true;
    if (a->depth == 0)
        release(a);
    prov_unref(&l->base);
}

static void destroy(struct prov_backend *b)
{
    struct local *l = local_of(b);
    if (l->readable)
        event_free(l->readable);
    prov_memory_free(l->memory);
    tg_free(l);
}

struct prov_backend *prov_local_new(struct event_base *base, struct le_engine *engine,
                                    struct tg_error *err)
{
    static const struct prov_ops ops = { .start = start, .pause = pause_attempt,
                                         .end = end_attempt, .destroy = destroy };
    static const struct prov_memory_limits limits = { PROV_MEMORY_CALLS, PROV_MEMORY_BYTES,
                                                      PROV_MEMORY_AGE_MS * INT64_C(1000000) };
    struct local *l = tg_calloc(1, sizeof(*l));
    if (!l || prov_backend_init(&l->base, &ops, "local", true)) {
        tg_free(l);
        tg_fail(err, TG_NOMEM, "out of memory");
        return NULL;
    }
    l->loop = base;
    l->engine = engine;
    l->memory = prov_memory_new(&limits);
    l->readable = event_new(base, le_engine_fd(engine), EV_READ | EV_PERSIST, on_readable, l);
    if (!l->memory || !l->readable || event_add(l->readable, NULL) != 0) {
        prov_unref(&l->base);
        tg_fail(err, TG_NOMEM, "out of memory, or the engine's descriptor cannot be watched");
        return NULL;
    }
    return &l->base;
}

enum tg_status prov_local_prepare(struct prov_backend *local, const struct chat_request *r,
                                  int32_t **ids, uint32_t *n, struct chat_overflow *overflow,
                                  struct tg_error *err)
{
    struct local *l = local_of(local);
    struct chat_overflow unasked;
    return prov_local_render(l->engine, l->memory, r, false, ids, n,
                             overflow ? overflow : &unasked, err);
}

enum tg_status prov_local_count(struct prov_backend *local, const struct chat_request *r,
                                uint32_t *n, struct tg_error *err)
{
    struct local *l = local_of(local);
    struct chat_overflow none;
    int32_t *ids;
    enum tg_status status = prov_local_render(l->engine, l->memory, r, true, &ids, n, &none, err);
    tg_free(ids);
    return status;
}

/* An id of ours has no byte that JSON must escape, but may be escaped all the same. */
size_t prov_local_recall_max(struct prov_backend *local, struct tg_str body)
{
    bool named = body.n && (memmem(body.p, body.n, "call_", 5) || memmem(body.p, body.n, "\\u", 2));
    return named ? prov_memory_bytes(local_of(local)->memory) : 0;
}
