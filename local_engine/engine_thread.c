/* The engine's thread. States of a job, and what moves it:
 *
 *   QUEUED  -> PREFILL  next_task: it is first in the queue            STARTED
 *   PREFILL -> DECODE   prefill: the prompt is in the cache            PREFILLED
 *   DECODE  -> DECODE   emit: a token was chosen                       TOKEN
 *   any     -> ENDED    finish, or le_engine_end_queued if it never ran  END
 *
 * Between two steps `may_go_on` looks for a cancel or a shutdown; a step that runs ends early by
 * the flag `stop`. */
#include <stdio.h>

#include "config/base/clock.h"
#include "config/base/log.h"
#include "local_engine/engine_internal.h"

/* What a job ended with; err.code TG_OK unless end is CANCELLED or ERROR. */
struct result {
    enum le_end end;
    struct tg_error err;
};

/* ---- taking jobs ---- */

/* Lock held. */
static void end_all_queued(struct le_engine *e, enum le_end end, enum tg_status status,
                           const char *text)
{
    while (e->first) {
        struct le_task *t = e->first;
        e->first = t->next;
        le_engine_end_queued(e, t, end, status, text);
    }
    e->last = NULL;
}

/* Lock held. */
static void announce(struct le_engine *e, const struct le_task *t, enum le_event_kind kind)
{
    struct le_event event = {
        .job = t->id,
        .kind = kind,
        .mono_ns = tg_mono_ns(),
        .n_prompt = t->n_prompt,
        .prefill_ns = t->prefill_ns,
    };
    le_ring_put(&e->ring, &event, NULL);
}

/* Waits for a job. NULL: shut down, and every job has its END. */
static struct le_task *next_task(struct le_engine *e)
{
    pthread_mutex_lock(&e->lock);
    while (!e->first && !e->stopping)
        pthread_cond_wait(&e->wake, &e->lock);
    struct le_task *t = NULL;
    if (e->stopping) {
        end_all_queued(e, LE_END_CANCELLED, TG_CANCELLED, NULL);
    } else {
        t = e->first;
        e->first = t->next;
        if (!e->first)
            e->last = NULL;
        t->next = NULL;
        t->state = LE_TASK_PREFILL;
        e->running = t;
        atomic_store(&e->stop, false);
        announce(e, t, LE_EVENT_STARTED);
    }
    pthread_mutex_unlock(&e->lock);
    return t;
}

static enum tg_status may_go_on(struct le_engine *e, const struct le_task *t)
{
    pthread_mutex_lock(&e->lock);
    enum tg_status status = t->cancelled || e->stopping ? TG_CANCELLED : TG_OK;
    pthread_mutex_unlock(&e->lock);
    return status;
}

/* As may_go_on, but first waits until a TOKEN event may be written, and takes the credit for it. */
static enum tg_status take_credit(struct le_engine *e, struct le_task *t)
{
    pthread_mutex_lock(&e->lock);
    int64_t paused = 0;
    while (!t->cancelled && !e->stopping &&
           (t->credit == 0 || e->ring.tokens == e->ring.tokens_max)) {
        if (!paused)
            paused = tg_mono_ns();
        pthread_cond_wait(&e->wake, &e->lock);
    }
    enum tg_status status = t->cancelled || e->stopping ? TG_CANCELLED : TG_OK;
    if (!status)
        t->credit--;
    pthread_mutex_unlock(&e->lock);
    if (paused)
        t->paused_ns += tg_mono_ns() - paused;
    return status;
}

/* ---- running one ---- */

static enum tg_status prefill(struct le_engine *e, struct le_task *t, struct tg_error *err)
{
    int64_t begin = tg_mono_ns();
    for (uint32_t pos = 0; pos < t->n_prompt;) {
        uint32_t left = t->n_prompt - pos, chunk = e->runner.chunk(e->runner.arg);
        uint32_t n = left < chunk ? left : chunk;
        enum tg_status status = may_go_on(e, t);
        if (!status)
            status = e->runner.step(e->runner.arg, t->prompt + pos, n, pos, n == left, err);
        if (status)
            return status;
        pos += n;
        atomic_fetch_add(&e->prompt_tokens, n);
        t->prefill_ns = tg_mono_ns() - begin;
    }
    pthread_mutex_lock(&e->lock);
    t->state = LE_TASK_DECODE;
    announce(e, t, LE_EVENT_PREFILLED);
    pthread_mutex_unlock(&e->lock);
    return TG_OK;
}

/* Where deltas go: into the draft of the event. */
struct writer {
    struct le_engine *e;
    struct le_task *t;
    enum tg_status status;
};

static void write_call(struct writer *w, const struct le_delta *delta)
{
    struct tg_buf *text = w->e->draft.text;
    if (text[LE_TEXT_NAME].n) { /* the parser gives at most one a token */
        w->status = TG_INTERNAL;
        return;
    }
    w->t->called = true;
    w->status = tg_buf_add(&text[LE_TEXT_NAME], delta->text.p, delta->text.n);
    if (!w->status)
        w->status = tg_buf_add(&text[LE_TEXT_ARGUMENTS], delta->arguments.p, delta->arguments.n);
}

static void write_delta(void *arg, const struct le_delta *delta)
{
    struct writer *w = arg;
    struct tg_buf *text = w->e->draft.text;
    if (w->status || w->t->stopped)
        return;
    if (delta->kind == LE_DELTA_CONTENT) {
        w->status =
            le_stop_feed(&w->t->stop, delta->text, &text[LE_TEXT_CONTENT], &w->t->stopped);
        return;
    }
    w->status = le_stop_flush(&w->t->stop, &text[LE_TEXT_CONTENT]);
    if (w->status)
        return;
    if (delta->kind == LE_DELTA_REASONING)
        w->status = tg_buf_add(&text[LE_TEXT_REASONING], delta->text.p, delta->text.n);
    else
        write_call(w, delta);
}

static void push_draft(struct le_engine *e)
{
    e->draft.event.mono_ns = tg_mono_ns();
    pthread_mutex_lock(&e->lock);
    le_ring_push(&e->ring, &e->draft);
    pthread_mutex_unlock(&e->lock);
}

/* Writes the TOKEN event of an id. */
static enum tg_status emit(struct le_engine *e, struct le_task *t, int32_t id,
                           const struct le_token_stats *stats, struct tg_error *err)
{
    struct writer w = { .e = e, .t = t };
    enum le_token_class cls = LE_TOKEN_CONTROL;
    le_cell_reset(&e->draft);
    enum tg_status status = le_reply_feed(t->reply, id, &cls, write_delta, &w);
    if (!status)
        status = w.status;
    if (status)
        return tg_fail(err, status, "the answer cannot be put into events: %s",
                       tg_status_name(status));
    t->n_generated++;
    atomic_fetch_add(&e->generated_tokens, 1);
    e->draft.event = (struct le_event){
        .job = t->id,
        .kind = LE_EVENT_TOKEN,
        .token = id,
        .cls = cls,
        .stats = *stats,
        .n_prompt = t->n_prompt,
        .n_generated = t->n_generated,
    };
    push_draft(e);
    return TG_OK;
}

/* From the logits of the last position to the end of the answer. */
static enum tg_status decode(struct le_engine *e, struct le_task *t, enum le_end *end,
                             struct tg_error *err)
{
    for (;;) {
        int32_t id = 0;
        struct le_token_stats stats;
        enum tg_status status = take_credit(e, t);
        if (status)
            return status;
        status = le_sampler_choose(e->sampler, e->runner.logits(e->runner.arg), &id, &stats);
        if (status)
            return tg_fail(err, status, "token %u of the answer: %s", t->n_generated + 1,
                           status == TG_NOTFOUND ? "no token may be chosen, all are forbidden"
                                                 : "the logits are not finite");
        status = emit(e, t, id, &stats, err);
        if (status)
            return status;
        bool ended = !t->ignore_end && le_tokenizer_is_end(e->tokenizer, id);
        *end = t->stopped ? LE_END_STOP
               : ended    ? t->called ? LE_END_TOOL_CALLS : LE_END_STOP
                          : LE_END_LENGTH;
        if (t->stopped || ended || t->n_generated == t->max_tokens)
            return TG_OK;
        status = e->runner.step(e->runner.arg, &id, 1, t->n_prompt + t->n_generated - 1, true, err);
        if (status)
            return status;
    }
}

/* The last event of an answer that ended well: what was held back goes with it. */
static enum tg_status flush(struct le_engine *e, struct le_task *t)
{
    struct writer w = { .e = e, .t = t };
    enum tg_status status = le_reply_end(t->reply, write_delta, &w);
    if (!status)
        status = w.status;
    if (!status && !t->stopped)
        status = le_stop_flush(&t->stop, &e->draft.text[LE_TEXT_CONTENT]);
    return status;
}

static double rate(uint32_t n, int64_t ns)
{
    return ns > 0 ? n * 1e9 / (double)ns : 0;
}

static void finish(struct le_engine *e, struct le_task *t, struct result *r)
{
    le_cell_reset(&e->draft);
    if (!r->err.code && flush(e, t)) {
        r->end = LE_END_ERROR;
        tg_fail(&r->err, TG_NOMEM, "the end of the answer does not fit into memory");
    }
    if (!r->err.code && t->stopped) /* what was held back may have completed a stop string */
        r->end = LE_END_STOP;
    if (r->err.code)
        le_cell_reset(&e->draft);
    struct le_cell *c = &e->draft;
    c->event = (struct le_event){
        .job = t->id,
        .kind = LE_EVENT_END,
        .end = r->end,
        .status = r->err.code,
        .n_prompt = t->n_prompt,
        .n_generated = t->n_generated,
        .prefill_ns = t->prefill_ns,
        .decode_ns = t->decode_ns,
        .n_bad_calls = (uint32_t)le_reply_bad_calls(t->reply),
        .stopped_by = r->end == LE_END_STOP && t->stopped ? t->stop.ended_by : 0,
    };
    if (r->end == LE_END_ERROR)
        snprintf(c->error, sizeof(c->error), "%.*s", (int)sizeof(c->error) - 1, r->err.text);
    pthread_mutex_lock(&e->lock);
    e->running = NULL;
    t->state = LE_TASK_ENDED;
    if (!r->err.code) {
        e->prompt_rate = rate(t->n_prompt, t->prefill_ns);
        e->generation_rate = rate(t->n_generated, t->decode_ns);
    }
    pthread_mutex_unlock(&e->lock);
    push_draft(e);
    le_task_free(t);
}

/* After a lost device: once more from the start, or every job fails from now on. */
static void recover(struct le_engine *e)
{
    struct tg_error err = { .code = TG_DEVICE, .text = "lost again right after it was reopened" };
    e->runner.close(e->runner.arg);
    pthread_mutex_lock(&e->lock);
    bool stopping = e->stopping;
    if (!stopping) /* it was the ended job's: opening would take it for its own */
        atomic_store(&e->stop, false);
    pthread_mutex_unlock(&e->lock);
    if (stopping) /* nothing runs any more */
        return;
    tg_log(TG_LOG_WARN, "engine-device-lost", "%s", e->reopened ? "for good" : "reopening it");
    if (!e->reopened) {
        e->reopened = true;
        if (e->runner.open(e->runner.arg, &e->stop, &err) == TG_OK)
            return;
    }
    pthread_mutex_lock(&e->lock);
    e->lost = true;
    tg_fail(&e->error, TG_DEVICE, "the engine's device was lost: %.400s", err.text);
    end_all_queued(e, LE_END_ERROR, TG_DEVICE, e->error.text);
    pthread_mutex_unlock(&e->lock);
    tg_log(TG_LOG_ERROR, "engine-lost", "%s", err.text);
}

static void forbid_ends(struct le_engine *e, bool forbid)
{
    for (uint32_t i = 0; i < e->n_end_ids; i++)
        le_sampler_forbid(e->sampler, e->end_id[i], forbid);
}

static void run(struct le_engine *e, struct le_task *t)
{
    struct result r = { .end = LE_END_ERROR };
    le_sampler_start(e->sampler, &t->sampling);
    forbid_ends(e, t->ignore_end);
    enum tg_status status = prefill(e, t, &r.err);
    if (!status) {
        int64_t begin = tg_mono_ns();
        status = decode(e, t, &r.end, &r.err);
        t->decode_ns = tg_mono_ns() - begin - t->paused_ns;
    }
    if (status) {
        r.end = status == TG_CANCELLED ? LE_END_CANCELLED : LE_END_ERROR;
        r.err.code = status;
    }
    finish(e, t, &r);
    if (status == TG_DEVICE)
        recover(e);
    else if (!status)
        e->reopened = false;
}

void *le_engine_main(void *arg)
{
    struct le_engine *e = arg;
    pthread_setname_np(pthread_self(), "tg-engine");
    struct tg_error err = { .code = TG_OK };
    enum tg_status status = e->runner.open(e->runner.arg, &e->stop, &err);
    pthread_mutex_lock(&e->lock);
    e->status = status;
    e->error = err;
    e->ready = true;
    pthread_cond_signal(&e->opened);
    pthread_mutex_unlock(&e->lock);
    if (!status)
        for (struct le_task *t = next_task(e); t; t = next_task(e))
            run(e, t);
    e->runner.close(e->runner.arg);
    return NULL;
}
