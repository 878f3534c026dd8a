#include <signal.h>
#include <stdio.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "local_engine/engine_internal.h"

void le_task_free(struct le_task *t)
{
    if (!t)
        return;
    le_reply_free(t->reply);
    tg_free(t->prompt);
    tg_free(t);
}

void le_engine_end_queued(struct le_engine *e, struct le_task *t, enum le_end end,
                          enum tg_status status, const char *text)
{
    struct le_event event = {
        .job = t->id,
        .kind = LE_EVENT_END,
        .mono_ns = tg_mono_ns(),
        .end = end,
        .status = status,
        .n_prompt = t->n_prompt,
    };
    t->state = LE_TASK_ENDED;
    le_ring_put(&e->ring, &event, text);
    le_task_free(t);
}

/* ---- opening and closing ---- */

/* Starts the thread with every signal blocked, so that neither it nor the driver threads it makes
 * take one from the program. */
static enum tg_status start_thread(struct le_engine *e)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&e->thread, NULL, le_engine_main, e);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return failed ? TG_LIMIT : TG_OK;
}

static enum tg_status wait_ready(struct le_engine *e, struct tg_error *err)
{
    pthread_mutex_lock(&e->lock);
    while (!e->ready)
        pthread_cond_wait(&e->opened, &e->lock);
    enum tg_status status = e->status;
    if (status)
        tg_fail(err, status, "%s", e->error.text);
    pthread_mutex_unlock(&e->lock);
    return status;
}

static void find_end_ids(struct le_engine *e)
{
    for (uint32_t id = 0; id < e->runner.n_vocab && e->n_end_ids < LE_END_IDS_MAX; id++)
        if (le_tokenizer_is_end(e->tokenizer, (int32_t)id))
            e->end_id[e->n_end_ids++] = (int32_t)id;
}

static void destroy(struct le_engine *e)
{
    le_sampler_free(e->sampler);
    le_cell_free(&e->draft);
    le_cell_free(&e->taken);
    le_ring_free(&e->ring);
    pthread_cond_destroy(&e->opened);
    pthread_cond_destroy(&e->wake);
    pthread_mutex_destroy(&e->lock);
    tg_free(e);
}

static enum tg_status prepare(struct le_engine *e, struct tg_error *err)
{
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->wake, NULL);
    pthread_cond_init(&e->opened, NULL);
    le_cell_init(&e->draft);
    le_cell_init(&e->taken);
    size_t n_never = 0;
    const int32_t *never = le_tokenizer_never(e->tokenizer, &n_never);
    e->sampler = le_sampler_new(e->runner.n_vocab, never, n_never);
    enum tg_status status =
        le_ring_init(&e->ring, e->credit, (size_t)e->jobs_max * LE_JOB_EVENTS);
    if (status == TG_IO)
        return tg_fail(err, status, "the engine: no descriptor is left for its events");
    if (status || !e->sampler)
        return tg_fail(err, TG_NOMEM, "the engine: out of memory");
    find_end_ids(e);
    return TG_OK;
}

enum tg_status le_engine_start(const struct le_engine_setup *setup, struct le_engine **out,
                               struct tg_error *err)
{
    struct le_engine *e = tg_calloc(1, sizeof(*e));
    enum tg_status status = TG_NOMEM;
    *out = NULL;
    if (!e) {
        tg_fail(err, status, "the engine: out of memory");
        goto failed;
    }
    e->runner = setup->runner;
    e->tokenizer = setup->tokenizer;
    e->info = setup->info;
    e->context = setup->context;
    e->jobs_max = setup->jobs_max ? setup->jobs_max : LE_JOBS_DEFAULT;
    e->credit = setup->credit ? setup->credit : LE_CREDIT_DEFAULT;
    status = prepare(e, err);
    if (!status && start_thread(e))
        status = tg_fail(err, TG_LIMIT, "the engine: its thread cannot be started");
    if (status) {
        destroy(e);
        goto failed;
    }
    status = wait_ready(e, err);
    if (status) {
        le_engine_close(e);
        return status;
    }
    *out = e;
    return TG_OK;
failed:
    setup->runner.destroy(setup->runner.arg);
    return status;
}

void le_engine_shutdown(struct le_engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->stopping = true;
    atomic_store(&e->stop, true);
    pthread_cond_signal(&e->wake);
    pthread_mutex_unlock(&e->lock);
}

void le_engine_close(struct le_engine *e)
{
    if (!e)
        return;
    le_engine_shutdown(e);
    pthread_join(e->thread, NULL);
    e->runner.destroy(e->runner.arg);
    destroy(e);
}

/* ---- jobs in ---- */

static enum tg_status check_job(const struct le_engine *e, const struct le_job *job,
                                struct tg_error *err)
{
    if (!job->prompt || job->n_prompt == 0)
        return tg_fail(err, TG_INVALID, "the prompt is empty");
    if (job->n_prompt >= e->context)
        return tg_fail(err, TG_LIMIT, "the prompt has %u tokens; the context holds %u and needs "
                       "one for the answer", job->n_prompt, e->context);
    if (job->max_tokens == 0)
        return tg_fail(err, TG_INVALID, "max_tokens is 0");
    for (uint32_t i = 0; i < job->n_prompt; i++)
        if (job->prompt[i] < 0 || (uint32_t)job->prompt[i] >= e->runner.n_vocab)
            return tg_fail(err, TG_INVALID, "prompt[%u] is %d; the vocabulary ends at %u", i,
                           job->prompt[i], e->runner.n_vocab - 1);
    return le_sampling_check(&job->sampling, err);
}

static enum tg_status make_task(const struct le_engine *e, const struct le_job *job,
                                struct le_task **out, struct tg_error *err)
{
    struct le_task *t = tg_calloc(1, sizeof(*t));
    *out = NULL;
    if (!t)
        return tg_fail(err, TG_NOMEM, "out of memory");
    enum tg_status status = le_stop_init(&t->stop, job->stop, job->n_stops, err);
    if (status) {
        le_task_free(t);
        return status;
    }
    t->prompt = tg_calloc(job->n_prompt, sizeof(*t->prompt));
    t->reply = le_reply_new(e->tokenizer, job->in_thought);
    if (!t->prompt || !t->reply) {
        le_task_free(t);
        return tg_fail(err, TG_NOMEM, "out of memory");
    }
    memcpy(t->prompt, job->prompt, job->n_prompt * sizeof(*t->prompt));
    t->n_prompt = job->n_prompt;
    uint32_t room = e->context - job->n_prompt;
    t->max_tokens = job->max_tokens < room ? job->max_tokens : room;
    t->sampling = job->sampling;
    t->ignore_end = job->ignore_end;
    t->credit = e->credit;
    t->state = LE_TASK_QUEUED;
    *out = t;
    return TG_OK;
}

/* Lock held. */
static enum tg_status enqueue(struct le_engine *e, struct le_task *t, struct tg_error *err)
{
    if (e->stopping)
        return tg_fail(err, TG_CLOSED, "the engine is shutting down");
    if (e->lost)
        return tg_fail(err, TG_DEVICE, "%s", e->error.text);
    if (e->active >= e->jobs_max)
        return tg_fail(err, TG_LIMIT, "the engine's queue is full: %u jobs", e->jobs_max);
    e->active++;
    t->id = ++e->last_id;
    if (e->last)
        e->last->next = t;
    else
        e->first = t;
    e->last = t;
    pthread_cond_signal(&e->wake);
    return TG_OK;
}

enum tg_status le_engine_submit(struct le_engine *e, const struct le_job *job, uint64_t *id,
                                struct tg_error *err)
{
    struct le_task *t = NULL;
    *id = 0;
    enum tg_status status = check_job(e, job, err);
    if (!status)
        status = make_task(e, job, &t, err);
    if (status)
        return status;
    pthread_mutex_lock(&e->lock);
    status = enqueue(e, t, err);
    if (!status)
        *id = t->id;
    pthread_mutex_unlock(&e->lock);
    if (status)
        le_task_free(t);
    return status;
}

void le_engine_cancel(struct le_engine *e, uint64_t id)
{
    pthread_mutex_lock(&e->lock);
    if (e->running && e->running->id == id) {
        e->running->cancelled = true;
        atomic_store(&e->stop, true);
        pthread_cond_signal(&e->wake);
    }
    struct le_task *before = NULL, *t = e->first;
    while (t && t->id != id) {
        before = t;
        t = t->next;
    }
    if (t) {
        if (before)
            before->next = t->next;
        else
            e->first = t->next;
        if (e->last == t)
            e->last = before;
        le_engine_end_queued(e, t, LE_END_CANCELLED, TG_CANCELLED, NULL);
    }
    pthread_mutex_unlock(&e->lock);
}

void le_engine_credit(struct le_engine *e, uint64_t id, uint32_t n)
{
    pthread_mutex_lock(&e->lock);
    struct le_task *t = e->running && e->running->id == id ? e->running : e->first;
    while (t && t->id != id)
        t = t->next;
    if (t) {
        t->credit = n < UINT32_MAX - t->credit ? t->credit + n : UINT32_MAX;
        pthread_cond_signal(&e->wake);
    }
    pthread_mutex_unlock(&e->lock);
}

/* ---- events out ---- */

int le_engine_fd(const struct le_engine *e)
{
    return e->ring.fd;
}

bool le_engine_next(struct le_engine *e, struct le_event *event)
{
    struct le_cell *c = &e->taken;
    pthread_mutex_lock(&e->lock);
    bool got = le_ring_pop(&e->ring, c);
    if (got && c->event.kind == LE_EVENT_END)
        e->active--;
    if (got && c->event.kind == LE_EVENT_TOKEN && e->ring.tokens + 1 == e->ring.tokens_max)
        pthread_cond_signal(&e->wake); /* the engine may have waited for room */
    pthread_mutex_unlock(&e->lock);
    if (!got)
        return false;
    *event = c->event;
    event->content = tg_buf_str(&c->text[LE_TEXT_CONTENT]);
    event->reasoning = tg_buf_str(&c->text[LE_TEXT_REASONING]);
    event->call_name = tg_buf_str(&c->text[LE_TEXT_NAME]);
    event->call_arguments = tg_buf_str(&c->text[LE_TEXT_ARGUMENTS]);
    if (c->event.kind == LE_EVENT_END && c->event.end == LE_END_ERROR)
        event->text = c->error;
    return true;
}

const struct le_tokenizer *le_engine_tokenizer(const struct le_engine *e)
{
    return e->tokenizer;
}

const struct le_template_info *le_engine_template(const struct le_engine *e)
{
    return &e->info->template;
}

uint32_t le_engine_context(const struct le_engine *e)
{
    return e->context;
}

const char *le_engine_device(const struct le_engine *e)
{
    return e->info->device;
}

const char *le_engine_device_kind(const struct le_engine *e)
{
    return e->info->kind;
}

const char *le_engine_precision(const struct le_engine *e)
{
    return e->info->precision == LE_EXACT ? "exact" : "fast";
}

const char *le_engine_model_name(const struct le_engine *e)
{
    return e->info->name;
}

struct le_engine_facts le_engine_facts(const struct le_engine *e)
{
    return (struct le_engine_facts){ .family = e->info->family,
                                     .type = e->info->type,
                                     .parameters = e->info->parameters,
                                     .bytes = e->info->bytes,
                                     .kv_bytes = e->info->kv_bytes };
}

struct le_engine_work le_engine_work(struct le_engine *e)
{
    struct le_engine_work work = { 0 };
    pthread_mutex_lock(&e->lock);
    for (const struct le_task *t = e->first; t; t = t->next)
        work.waiting++;
    work.running = e->running != NULL;
    work.prompt_rate = e->prompt_rate;
    work.generation_rate = e->generation_rate;
    pthread_mutex_unlock(&e->lock);
    work.prompt_tokens = atomic_load(&e->prompt_tokens);
    work.generated_tokens = atomic_load(&e->generated_tokens);
    return work;
}

bool le_engine_file(const struct le_engine *e, size_t i, struct le_file_id *out)
{
    return e->info->files && le_gguf_file_id(e->info->files, i, out);
}

struct le_sampling le_engine_default_sampling(const struct le_engine *e)
{
    return e->info->sampling;
}
