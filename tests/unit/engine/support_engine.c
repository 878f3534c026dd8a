#include "tests/unit/engine/support_engine.h"

#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "config/base/alloc.h"
#include "local_engine/gguf.h"

struct le_tokenizer *fake_tokenizer(void)
{
    struct le_gguf *g = NULL;
    struct le_tokenizer *t = NULL;
    struct tg_error err = { .text = "" };
    enum tg_status status =
        le_gguf_open(TG_SOURCE_DIR "/tests/golden/tiny-dense-Q8_0.gguf", &g, &err);
    if (!status)
        status = le_tokenizer_open(g, &t, &err);
    if (status)
        fprintf(stderr, "%s\n", err.text);
    le_gguf_close(g);
    return t;
}

/* ---- the fake ---- */

static enum tg_status fake_open(void *arg, const atomic_bool *stop, struct tg_error *err)
{
    struct fake *f = arg;
    f->stop = stop;
    pthread_mutex_lock(&f->lock);
    f->opened++;
    bool fails = f->open_fails_from && f->opened >= f->open_fails_from;
    fails = fails || (f->open_heeds_stop && atomic_load(stop));
    pthread_mutex_unlock(&f->lock);
    return fails ? tg_fail(err, TG_DEVICE, "the fake does not open") : TG_OK;
}

static void fake_close(void *arg)
{
    struct fake *f = arg;
    pthread_mutex_lock(&f->lock);
    f->closed++;
    pthread_mutex_unlock(&f->lock);
}

static void fake_destroy(void *arg)
{
    struct fake *f = arg;
    f->destroyed++;
}

static uint32_t fake_chunk(void *arg)
{
    const struct fake *f = arg;
    return f->chunk;
}

/* For a change, or ten milliseconds: nobody wakes us when the stop flag is set. Lock held. */
static void wait_a_while(struct fake *f)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 10 * 1000 * 1000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&f->changed, &f->lock, &until);
}

static enum tg_status fake_step(void *arg, const int32_t *ids, uint32_t n, uint32_t pos,
                                bool logits, struct tg_error *err)
{
    struct fake *f = arg;
    (void)ids;
    pthread_mutex_lock(&f->lock);
    if (f->begun < FAKE_STEPS_MAX) {
        f->step[f->begun].n = n;
        f->step[f->begun].pos = pos;
        f->step[f->begun].logits = logits;
    }
    uint32_t number = ++f->begun;
    pthread_cond_broadcast(&f->changed);
    while (f->gate == 0 && !(f->heeds_stop && atomic_load(f->stop)))
        wait_a_while(f);
    if (f->gate > 0)
        f->gate--;
    bool stopped = f->heeds_stop && atomic_load(f->stop);
    bool fails = f->fail_at && number == f->fail_at;
    if (f->fail_every && number > f->fail_at)
        fails = (number - f->fail_at) % f->fail_every == 0;
    pthread_mutex_unlock(&f->lock);
    if (stopped)
        return tg_fail(err, TG_CANCELLED, "the fake was stopped at step %u", number);
    if (fails)
        return tg_fail(err, f->failure, "the fake fails at step %u", number);
    uint32_t next = pos + n >= f->prompt ? pos + n - f->prompt : 0;
    uint32_t last = (uint32_t)f->script.n - 1;
    int32_t id = f->script.id[next < last ? next : last];
    for (uint32_t i = 0; i < le_tokenizer_n(f->tokenizer); i++)
        f->logits[i] = (int32_t)i == id ? 20 : 0;
    if (number == f->nan_at)
        f->logits[17] = NAN;
    return TG_OK;
}

static const float *fake_logits(void *arg)
{
    const struct fake *f = arg;
    return f->logits;
}

bool fake_init(struct fake *f, const struct le_tokenizer *t, uint32_t prompt, const char *script)
{
    *f = (struct fake){ .tokenizer = t, .prompt = prompt, .chunk = 64, .gate = -1 };
    pthread_mutex_init(&f->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&f->changed, &attr);
    pthread_condattr_destroy(&attr);
    f->logits = tg_calloc(le_tokenizer_n(t), sizeof(*f->logits));
    return f->logits && !le_tokenizer_encode(t, tg_str_of(script), true, &f->script) && f->script.n;
}

void fake_free(struct fake *f)
{
    tg_free(f->logits);
    le_ids_free(&f->script);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
}

enum tg_status fake_engine(struct fake *f, uint32_t context, uint32_t jobs, uint32_t credit,
                           struct le_engine **e, struct tg_error *err)
{
    const struct le_engine_setup setup = {
        .runner = {
            .arg = f,
            .n_vocab = le_tokenizer_n(f->tokenizer),
            .open = fake_open,
            .close = fake_close,
            .chunk = fake_chunk,
            .step = fake_step,
            .logits = fake_logits,
            .destroy = fake_destroy,
        },
        .tokenizer = f->tokenizer,
        .context = context,
        .jobs_max = jobs,
        .credit = credit,
    };
    return le_engine_start(&setup, e, err);
}

void fake_let(struct fake *f, int n)
{
    pthread_mutex_lock(&f->lock);
    f->gate = n < 0 || f->gate < 0 ? n : f->gate + n;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

bool fake_wait_step(struct fake *f, uint32_t n)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 10;
    int timed_out = 0;
    pthread_mutex_lock(&f->lock);
    while (f->begun < n && !timed_out)
        timed_out = pthread_cond_timedwait(&f->changed, &f->lock, &until);
    bool begun = f->begun >= n;
    pthread_mutex_unlock(&f->lock);
    return begun;
}

uint32_t fake_begun(struct fake *f)
{
    pthread_mutex_lock(&f->lock);
    uint32_t begun = f->begun;
    pthread_mutex_unlock(&f->lock);
    return begun;
}

/* ---- events ---- */

bool events_next(struct le_engine *e, struct le_event *event, int timeout_ms)
{
    struct pollfd fd = { .fd = le_engine_fd(e), .events = POLLIN };
    return poll(&fd, 1, timeout_ms) == 1 && le_engine_next(e, event);
}

void answer_init(struct answer *a)
{
    *a = (struct answer){ .tokens = 0 };
    tg_buf_init(&a->content, 1 << 24);
    tg_buf_init(&a->reasoning, 1 << 24);
    tg_buf_init(&a->name, 1 << 20);
    tg_buf_init(&a->arguments, 1 << 24);
    tg_buf_adds(&a->content, "");
    tg_buf_adds(&a->reasoning, "");
    tg_buf_adds(&a->name, "");
    tg_buf_adds(&a->arguments, "");
}

void answer_free(struct answer *a)
{
    tg_buf_free(&a->content);
    tg_buf_free(&a->reasoning);
    tg_buf_free(&a->name);
    tg_buf_free(&a->arguments);
}

bool answer_add(struct answer *a, const struct le_event *event)
{
    bool in_order = a->ends == 0;
    switch (event->kind) {
    case LE_EVENT_STARTED:
        in_order = in_order && a->started++ == 0 && a->prefilled == 0;
        break;
    case LE_EVENT_PREFILLED:
        in_order = in_order && a->prefilled++ == 0 && a->started == 1 && a->tokens == 0;
        break;
    case LE_EVENT_TOKEN:
        in_order = in_order && a->prefilled == 1 && a->tokens < FAKE_EVENTS_MAX &&
                   event->n_generated == a->tokens + 1;
        if (in_order)
            a->token[a->tokens++] = event->token;
        break;
    case LE_EVENT_END:
        a->ends++;
        a->end = event->end;
        a->status = event->status;
        snprintf(a->error, sizeof(a->error), "%s", event->text ? event->text : "");
        in_order = in_order && event->n_generated == a->tokens;
        break;
    }
    tg_buf_add(&a->content, event->content.p, event->content.n);
    tg_buf_add(&a->reasoning, event->reasoning.p, event->reasoning.n);
    tg_buf_add(&a->name, event->call_name.p, event->call_name.n);
    tg_buf_add(&a->arguments, event->call_arguments.p, event->call_arguments.n);
    a->last = *event;
    return in_order;
}

bool answer_read(struct le_engine *e, uint64_t id, struct answer *a)
{
    struct le_event event;
    while (a->ends == 0)
        if (!events_next(e, &event, 20000) || event.job != id || !answer_add(a, &event))
            return false;
    return true;
}
