#include "gateway/exchange.h"

#include <stdarg.h>
#include <stdio.h>

#include "config/base/clock.h"
#include "config/base/utf8.h"

enum {
    ANSWER_MAX = 2 * GW_ANSWER_MAX,
    END_MAX = 6 * GW_ANSWER_MAX, /* of a stream: some dialects say it all again, and again */
    VECTORS_MAX = 160 << 20, /* 12 bytes a number, of those that fit into what is kept */
    WORKER_NUMBERS = 4096,   /* above them a worker prints: about 0.3 us a number */
    WORKER_BYTES = 64 << 10, /* and above so much text: about 1 ns a byte, and as much for memory */
    LOGPROB_BYTES = 64,
    COMMENT_MAX = 16384,
    RETRY_AFTER_S = 5,
    LOCAL_AHEAD_MAX = 1 << 20, /* bytes of a local stream kept for a slow reader */
};

struct api_error gw_failure(int status, const char *type, const char *code, const char *fmt, ...)
{
    struct api_error e = { .status = status, .type = type, .code = code };
    va_list args;
    va_start(args, fmt);
    vsnprintf(e.message, sizeof(e.message), fmt, args);
    va_end(args);
    e.message[tg_utf8_complete(e.message, strlen(e.message))] = '\0'; /* where it was cut */
    return e;
}

static void header(struct gw_exchange *x, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void header(struct gw_exchange *x, const char *name, const char *fmt, ...)
{
    char value[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(value, sizeof(value), fmt, args);
    va_end(args);
    gw_http_header(x->rq, name, tg_str_of(value));
}

/* Nano-dollars as dollars, exactly. */
static const char *dollars(int64_t nano, char out[32])
{
    snprintf(out, 32, "%lld.%09lld", (long long)(nano / 1000000000),
             (long long)(nano % 1000000000));
    return out;
}

/* Why headers are sent now. */
enum occasion { TELL_HEARTBEAT, TELL_STREAM, TELL_WHOLE, TELL_ERROR };

/* The most that a stream's request can cost: what earlier attempts did, and what is reserved. */
static void tell_reserved(struct gw_exchange *x)
{
    char text[32];
    bool remote = x->current->step.target == POL_TIER;
    if (x->cost_unknown || (remote && !gw_try_tier(x->current)->price.known))
        return;
    int64_t most = x->cost_nano + (remote ? x->reserved_nano : 0);
    header(x, "x-tollgate-cost-usd-reserved", "%s", dollars(most, text));
}

static void tell_id(struct gw_exchange *x)
{
    const char *name = x->prepared.dialect->id_header;
    header(x, "x-tollgate-request-id", "%016llx", (unsigned long long)x->id);
    if (name)
        header(x, name, "req_%016llx", (unsigned long long)x->id);
}

/* What of the request has no effect. */
static void tell_ignored(struct gw_exchange *x)
{
    if (x->routed && x->prepared.request.ignored.n) /* decoded, and nobody is at that */
        gw_http_header(x->rq, "x-tollgate-ignored", x->prepared.request.ignored);
}

/* What is known now about the answer. */
static void tell(struct gw_exchange *x, enum occasion occasion)
{
    char text[160];
    const struct pol_score *complexity = gw_complexity(x);
    tell_id(x);
    gw_caller_tell(&x->caller, x->rq, x->prepared.dialect->anthropic_limits);
    if (complexity->known)
        header(x, "x-tollgate-complexity", "%.4f", complexity->value);
    tell_ignored(x);
    if (occasion == TELL_HEARTBEAT)
        return;
    if (occasion != TELL_ERROR) {
        gw_try_route(x->current, text, sizeof(text));
        header(x, "x-tollgate-route", "%s", text);
    }
    if (x->confidence.known)
        header(x, "x-tollgate-confidence", "%.4f", x->confidence.value);
    if (x->reason[0])
        header(x, "x-tollgate-reason", "%s", x->reason);
    if (occasion == TELL_STREAM)
        tell_reserved(x);
    else if (!x->cost_unknown)
        header(x, "x-tollgate-cost-usd", "%s", dollars(x->cost_nano, text));
}

/* As a header of a whole answer. Without memory it is left out: it is only asked for by people. */
static void tell_explanation(struct gw_exchange *x)
{
    struct tg_buf out;
    if (!x->explain)
        return;
    tg_buf_init(&out, GW_EXPLAIN_MAX);
    if (gw_explain(x, &out) == TG_OK)
        gw_http_header(x->rq, "x-tollgate-explain", tg_buf_str(&out));
    tg_buf_free(&out);
}

static void begin_stream(struct gw_exchange *x, enum occasion occasion)
{
    if (x->headers_sent)
        return;
    x->headers_sent = true;
    x->status = 200;
    tell(x, occasion);
    gw_http_header(x->rq, "cache-control", TG_STR("no-store"));
    gw_http_begin(x->rq, 200, x->prepared.dialect->stream_type);
}

static void write_out(struct gw_exchange *x, struct tg_str bytes)
{
    if (bytes.n == 0 || gw_http_write(x->rq, bytes) || x->blocked)
        return;
    x->blocked = true;
    gw_answer_hold_back(x);
}

/* A provider waits at once. The engine, whose pause would stop everybody behind it, is allowed to
 * get well ahead first: at its speed that is most answers. */
void gw_answer_hold_back(struct gw_exchange *x)
{
    struct gw_try *t = x->current; /* NULL: nothing but heartbeats can have been written */
    bool local = t && t->step.target == POL_LOCAL;
    if (t && x->blocked && t->attempt && (!local || t->out.n > LOCAL_AHEAD_MAX))
        prov_pause(t->attempt, true);
}

void gw_answer_heartbeat(struct gw_exchange *x)
{
    const struct api_dialect *dialect = x->prepared.dialect;
    struct tg_buf out;
    if (x->blocked) /* there is enough to read */
        return;
    begin_stream(x, TELL_HEARTBEAT);
    if (dialect->heartbeat) {
        write_out(x, tg_str_of(dialect->heartbeat));
        return;
    }
    tg_buf_init(&out, COMMENT_MAX);
    if (dialect->beat(&x->answer, &out) == TG_OK) /* the next one may have memory */
        write_out(x, tg_buf_str(&out));
    tg_buf_free(&out);
}

bool gw_answer_commit(struct gw_exchange *x, struct gw_try *t)
{
    x->current = t;
    x->state = GW_COMMITTED;
    x->committed_ns = tg_mono_ns();
    x->answer.prompt = (struct chat_count){ t == &x->local, x->prepared.n_prompt };
    gw_timer_stop(x->window);
    gw_timer_stop(x->latency);
    if (!x->prepared.request.stream)
        return true;
    begin_stream(x, TELL_STREAM);
    struct tg_buf first;
    tg_buf_init(&first, ANSWER_MAX); /* some repeat the request */
    bool begun = x->prepared.dialect->begin(&x->answer, &first) == TG_OK;
    if (begun)
        write_out(x, tg_buf_str(&first));
    else
        x->state = GW_RUNNING;
    tg_buf_free(&first);
    if (begun)
        gw_answer_flush(x);
    return begun;
}

void gw_answer_flush(struct gw_exchange *x)
{
    if (!x->prepared.request.stream)
        return;
    if (x->blocked) { /* kept for gw_exchange_writable */
        gw_answer_hold_back(x);
        return;
    }
    struct tg_str out = tg_buf_str(&x->current->out);
    write_out(x, out);
    tg_buf_reset(&x->current->out);
}

/* The window's confidence where a tier answered, since that is why; else the whole answer's. */
static struct pol_score last_confidence(const struct gw_exchange *x)
{
    if (x->state != GW_COMMITTED || x->current->step.target != POL_LOCAL || !x->current->finished)
        return x->confidence;
    return gw_confidence(x, POL_SPAN_ANSWER, NULL);
}

/* The note of a stream's end: what was not known when the headers left. */
static void add_note(struct gw_exchange *x, struct tg_buf *out)
{
    char text[160];
    struct pol_score confidence = last_confidence(x);
    const struct pol_score *complexity = gw_complexity(x);
    tg_buf_addf(out, "{\"request_id\":\"%016llx\"", (unsigned long long)x->id);
    if (x->state == GW_COMMITTED) {
        gw_try_route(x->current, text, sizeof(text));
        tg_buf_adds(out, ",\"route\":");
        tg_buf_add_json(out, tg_str_of(text));
    }
    if (x->reason[0]) {
        tg_buf_adds(out, ",\"reason\":");
        tg_buf_add_json(out, tg_str_of(x->reason));
    }
    if (confidence.known)
        tg_buf_addf(out, ",\"confidence\":%.4f", confidence.value);
    if (complexity->known)
        tg_buf_addf(out, ",\"complexity\":%.4f", complexity->value);
    if (!x->cost_unknown)
        tg_buf_addf(out, ",\"cost_usd\":%s", dollars(x->cost_nano, text));
    if (x->explain) {
        tg_buf_adds(out, ",\"explain\":");
        gw_explain(x, out);
    }
    tg_buf_addf(out, ",\"estimated\":%s}", x->estimated ? "true" : "false");
}

static int64_t since(int64_t from_ns, int64_t to_ns)
{
    return from_ns && to_ns > from_ns ? to_ns - from_ns : 0;
}

/* A provider's answer in one piece comes all at once: what of its time was the prompt's is unknown.
 * A local job begins when it leaves the queue, a call to a provider when it is made. */
static struct api_times times_of(const struct gw_try *t)
{
    const struct gw_exchange *x = t->x;
    bool local = t->step.target == POL_LOCAL, pieces = local || x->prepared.request.stream;
    int64_t began = local ? t->started_ns : t->begun_ns;
    return (struct api_times){
        .total = since(x->begun_ns, tg_mono_ns()),
        .wait = since(x->begun_ns, began),
        .prompt = pieces && t->held_ns ? since(began, t->held_ns) : 0,
        .output = pieces ? since(t->held_ns, t->ended_ns) : 0,
    };
}

static struct api_whole whole_of(struct gw_try *t)
{
    struct gw_calls *calls = t->calls;
    for (size_t i = 0; calls && i < calls->n; i++)
        calls->call[i].arguments = tg_buf_str(&calls->arguments[i]);
    return (struct api_whole){
        .content = tg_buf_str(&t->content),
        .reasoning = tg_buf_str(&t->reasoning),
        .refusal = tg_buf_str(&t->refusal),
        .refused = t->refused,
        .calls = calls ? calls->call : NULL,
        .n_calls = calls ? calls->n : 0,
        .finish = t->finish,
        .stop = t->stop,
        .logprobs = t->tokens,
        .vectors = t->vectors,
        .n_vectors = t->vectors ? t->x->prepared.request.n_inputs : 0,
        .usage = t->usage,
        .times = times_of(t),
    };
}

/* The dialect has no words for the answer: whole and finish said TG_INVALID. */
static struct api_error unspeakable(struct gw_exchange *x)
{
    x->failure_name = "malformed-answer";
    return gw_failure(502, "upstream_error", "malformed",
                      "the model's answer cannot be told: a tool call's arguments are no JSON "
                      "object");
}

/* Before the client reads the end: it may go on from it at once. */
static void keep(struct gw_exchange *x, const struct api_stream *s, const struct api_whole *w)
{
    struct gw_past *past = &x->prepared.past;
    past->local_only = x->local_only;
    past->now_ms = tg_mono_ns() / 1000000;
    if (x->prepared.dialect->keep)
        x->prepared.dialect->keep(&x->answer, s, w, past);
}

static void fail_stream(struct gw_exchange *x, const struct api_error *e);

static void finish_stream(struct gw_exchange *x)
{
    struct gw_try *t = x->current;
    struct tg_buf out, note;
    struct api_whole whole = whole_of(t);
    tg_buf_init(&out, END_MAX);
    tg_buf_init(&note, COMMENT_MAX);
    x->blocked = false; /* the rest leaves now, and with it the memory */
    gw_answer_flush(x);
    add_note(x, &note);
    enum tg_status status =
        x->prepared.dialect->finish(&x->answer, &t->stream, &whole, tg_buf_str(&note), &out);
    if (status == TG_INVALID) {
        struct api_error e = unspeakable(x);
        fail_stream(x, &e);
    } else if (status || note.failed) {
        x->failure_name = "out-of-memory";
        gw_http_abort(x->rq);
    } else {
        x->failure_name = "";
        keep(x, &t->stream, &whole);
        gw_http_write(x->rq, tg_buf_str(&out));
        gw_http_end(x->rq);
    }
    x->rq = NULL;
    tg_buf_free(&out);
    tg_buf_free(&note);
}

static void print_whole(void *arg)
{
    struct gw_exchange *x = arg;
    x->printed.status =
        x->prepared.dialect->whole(&x->answer, &x->printed.whole, &x->printed.out);
}

static void send_whole(struct gw_exchange *x)
{
    if (x->printed.status != TG_OK) {
        struct api_error e = gw_failure(500, "server_error", NULL, "out of memory");
        x->failure_name = "out-of-memory";
        if (x->printed.status == TG_INVALID)
            e = unspeakable(x);
        gw_answer_refuse(x, &e);
    } else {
        x->status = 200;
        x->failure_name = "";
        keep(x, NULL, &x->printed.whole);
        tell(x, TELL_WHOLE);
        tell_explanation(x);
        gw_http_respond_owned(x->rq, 200, "application/json", &x->printed.out);
        x->rq = NULL;
    }
    tg_buf_free(&x->printed.out);
}

static void printed_by_worker(void *arg)
{
    struct gw_exchange *x = arg;
    x->on_worker--;
    if (x->rq) /* else it is gone, or answered already */
        send_whole(x);
    tg_buf_free(&x->printed.out);
    gw_exchange_done(x);
}

/* Many numbers take long to print, and so does much text. */
static bool takes_long(const struct api_whole *w)
{
    size_t numbers = 0, bytes = w->content.n + w->reasoning.n + w->refusal.n;
    for (size_t i = 0; i < w->n_vectors; i++)
        numbers += w->vectors[i].n;
    for (size_t i = 0; i < w->n_calls; i++)
        bytes += w->calls[i].arguments.n;
    for (const struct chat_logprobs *l = w->logprobs; l; l = l->next)
        for (size_t i = 0; i < l->n; i++)
            bytes += (1 + l->list[i].n_top) * LOGPROB_BYTES;
    return numbers > WORKER_NUMBERS || bytes > WORKER_BYTES;
}

/* While a worker prints, gw_exchange_done waits for it. */
static void finish_whole(struct gw_exchange *x)
{
    x->printed.whole = whole_of(x->current);
    bool vectors = x->printed.whole.n_vectors > 0;
    tg_buf_init(&x->printed.out, vectors ? VECTORS_MAX : ANSWER_MAX);
    if (takes_long(&x->printed.whole) &&
        tg_workers_submit(x->app->workers, print_whole, printed_by_worker, x) == TG_OK) {
        x->on_worker++;
        return;
    }
    print_whole(x);
    send_whole(x);
}

void gw_answer_idle(struct gw_exchange *x)
{
    struct tg_buf out;
    tg_buf_init(&out, COMMENT_MAX);
    if (x->prepared.dialect->idle(&x->answer, &out) != TG_OK) {
        struct api_error e = gw_failure(500, "server_error", NULL, "out of memory");
        x->failure_name = "out-of-memory";
        gw_answer_refuse(x, &e);
    } else {
        x->status = 200;
        snprintf(x->reason, sizeof(x->reason), "nothing-asked");
        tell(x, TELL_HEARTBEAT);
        gw_http_respond(x->rq, 200, "application/json", tg_buf_str(&out));
        x->rq = NULL;
    }
    tg_buf_free(&out);
}

void gw_answer_count(struct gw_exchange *x)
{
    struct tg_buf out;
    tg_buf_init(&out, COMMENT_MAX);
    if (x->prepared.dialect->count(x->prepared.n_prompt, &out) != TG_OK) {
        struct api_error e = gw_failure(500, "server_error", NULL, "out of memory");
        gw_answer_refuse(x, &e);
    } else {
        tell_id(x);
        tell_ignored(x);
        gw_http_respond(x->rq, 200, "application/json", tg_buf_str(&out));
        x->rq = NULL;
    }
    tg_buf_free(&out);
    gw_exchange_done(x);
}

void gw_answer_finish(struct gw_exchange *x)
{
    if (x->prepared.request.stream)
        finish_stream(x);
    else
        finish_whole(x);
}

/* Behind the headers: an error event, then the end without any sign of a good one. */
static void fail_stream(struct gw_exchange *x, const struct api_error *e)
{
    struct tg_buf out, note;
    struct api_stream unused = { 0 };
    bool committed = x->state == GW_COMMITTED;
    tg_buf_init(&out, ANSWER_MAX);
    tg_buf_init(&note, COMMENT_MAX);
    x->blocked = false;
    if (committed)
        gw_answer_flush(x);
    add_note(x, &note);
    x->prepared.dialect->failed(&x->answer, committed ? &x->current->stream : &unused, e,
                                note.failed ? TG_STR("") : tg_buf_str(&note), &out);
    if (out.failed) { /* nothing would look like a good end */
        gw_http_abort(x->rq);
    } else {
        gw_http_write(x->rq, tg_buf_str(&out));
        gw_http_end(x->rq);
    }
    tg_buf_free(&out);
    tg_buf_free(&note);
}

/* When to come again: as the provider says, which may be now. Where it says nothing, only those
 * that were one too many are told a time. */
static void tell_wait(struct gw_exchange *x, int status)
{
    bool said = x->retry_after_ms >= 0, in_vain = status == 429 && x->retry_in_vain;
    long long wait_s = said ? (x->retry_after_ms + 999) / 1000 : RETRY_AFTER_S;
    if (in_vain) /* the SDKs of OpenAI and Anthropic look at this first */
        header(x, "x-should-retry", "%s", "false");
    if (said ? status == 429 || status >= 500 : (status == 429 && !in_vain) || status == 503)
        header(x, "retry-after", "%lld", wait_s);
}

static void refuse_whole(struct gw_exchange *x, const struct api_error *e)
{
    struct tg_buf out;
    tg_buf_init(&out, COMMENT_MAX);
    x->prepared.dialect->error(e, &out);
    x->status = api_error_status(x->prepared.dialect, e);
    tell(x, TELL_ERROR);
    tell_wait(x, e->status);
    gw_http_respond(x->rq, x->status, "application/json", tg_buf_str(&out));
    tg_buf_free(&out);
}

void gw_answer_refuse(struct gw_exchange *x, const struct api_error *error)
{
    if (!x->rq)
        return;
    struct api_error e = *error;
    snprintf(e.request, sizeof(e.request), "%016llx", (unsigned long long)x->id);
    if (x->headers_sent)
        fail_stream(x, &e);
    else
        refuse_whole(x, &e);
    x->rq = NULL;
}

/* What the first tier would have billed for the tokens that the local model answered with. */
static int64_t saved(const struct gw_exchange *x)
{
    const struct cfg_route *route = gw_exchange_route(x);
    int64_t nano = 0;
    bool local = x->state == GW_COMMITTED && x->current && x->current->step.target == POL_LOCAL;
    if (!local || route->n_tiers == 0 || x->status != 200 ||
        !gw_usage_cost(&route->tiers[0].price, &x->current->usage, &nano))
        return 0;
    return nano;
}

static int64_t ms_since(int64_t from_ns, int64_t to_ns)
{
    return to_ns ? (to_ns - from_ns) / 1000000 : -1;
}

static int64_t count_of(struct chat_count c)
{
    return c.present && c.n <= INT64_MAX ? (int64_t)c.n : -1;
}

void gw_answer_row(struct gw_exchange *x)
{
    char backend[160] = "";
    const struct gw_try *t = x->state == GW_COMMITTED ? x->current : NULL;
    if (t)
        gw_try_route(t, backend, sizeof(backend));
    struct tel_row row = {
        .request = x->id,
        .started_ms = x->started_ms,
        .route = x->routed ? gw_exchange_route(x)->name : "",
        .backend = backend,
        .dialect = x->prepared.dialect->name,
        .reason = x->reason,
        .error = x->failure_name,
        .status = x->gone ? 499 : x->status,
        .stream = x->prepared.request.stream,
        .escalated = t && t->step.target == POL_TIER && x->local.used,
        .local_only = x->local_only,
        .estimated = x->estimated,
        .has_confidence = x->confidence.known,
        .confidence = x->confidence.value,
        .has_complexity = x->prepared.complexity.known,
        .complexity = x->prepared.complexity.value,
        .prompt_tokens = t ? count_of(t->usage.input) : -1,
        .output_tokens = t ? count_of(t->usage.output) : -1,
        .cost_nano = x->cost_nano,
        .saved_nano = saved(x),
        .queue_ms = t && t->started_ns ? ms_since(t->begun_ns, t->started_ns) : -1,
        .ttft_ms = t ? ms_since(x->begun_ns, t->first_ns) : -1,
        .total_ms = ms_since(x->begun_ns, tg_mono_ns()),
        .attempts = x->attempts,
        .key = x->caller.key ? x->caller.key->id : "",
    };
    if (x->admitted)
        tel_row(x->app->store, &row);
    else
        tel_row_refused(x->app->store, &row);
}
