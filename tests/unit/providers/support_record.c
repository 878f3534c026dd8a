#include <string.h>

#include "config/base/clock.h"
#include "tests/unit/providers/support.h"

void record_init(struct record *r)
{
    *r = (struct record){ .attempt = NULL };
    tg_buf_init(&r->text, 64 << 20);
    tg_buf_init(&r->reasoning, 1 << 20);
    tg_buf_init(&r->calls, 1 << 20);
    tg_buf_init(&r->error, 1 << 16);
    tg_buf_init(&r->logprobs, 1 << 20);
}

void record_free(struct record *r)
{
    prov_free(r->attempt);
    r->attempt = NULL;
    tg_buf_free(&r->text);
    tg_buf_free(&r->reasoning);
    tg_buf_free(&r->calls);
    tg_buf_free(&r->error);
    tg_buf_free(&r->logprobs);
}

static void keep_logprobs(struct record *r, const struct chat_event *e)
{
    for (size_t i = 0; i < e->n_logprobs; i++) {
        const struct chat_logprob *l = &e->logprobs[i];
        tg_buf_addf(&r->logprobs, "%.*s %g", TG_FMT(l->token.text), l->token.logprob);
        for (size_t k = 0; k < l->n_top; k++)
            tg_buf_addf(&r->logprobs, " %.*s=%g", TG_FMT(l->top[k].text), l->top[k].logprob);
        tg_buf_addc(&r->logprobs, '|');
    }
}

static void keep(struct record *r, const struct chat_event *e)
{
    if (e->kind == CHAT_EVENT_TEXT)
        tg_buf_add(&r->text, e->text.p, e->text.n);
    if (e->kind == CHAT_EVENT_REFUSAL)
        tg_buf_addf(&r->text, "!%.*s", TG_FMT(e->text));
    keep_logprobs(r, e);
    if (e->kind == CHAT_EVENT_VECTOR)
        tg_buf_addf(&r->text, "%u:", (unsigned)e->index);
    for (size_t i = 0; i < e->n_vector; i++)
        tg_buf_addf(&r->text, i + 1 < e->n_vector ? "%g " : "%g|", (double)e->vector[i]);
    if (e->kind == CHAT_EVENT_REASONING)
        tg_buf_add(&r->reasoning, e->text.p, e->text.n);
    if (e->kind == CHAT_EVENT_TOOL_CALL)
        tg_buf_addf(&r->calls, "%u:%.*s:%.*s:%.*s|", (unsigned)e->index, TG_FMT(e->id),
                    TG_FMT(e->name), TG_FMT(e->text));
    if (e->kind == CHAT_EVENT_USAGE) {
        r->usage = e->usage;
        r->usages++;
    }
    r->started += e->kind == CHAT_EVENT_STARTED;
    r->tokens += e->has_token;
}

void record_event(void *arg, const struct chat_event *e)
{
    struct record *r = arg;
    r->events++;
    r->after_end += r->ends > 0;
    keep(r, e);
    if (e->kind == CHAT_EVENT_ERROR)
        tg_buf_add(&r->error, e->text.p, e->text.n);
    if (e->kind == CHAT_EVENT_ERROR || e->kind == CHAT_EVENT_FINISH) {
        r->ends++;
        r->last = *e;
        r->end_ns = tg_mono_ns();
    }
    if (r->events == r->pause_at)
        prov_pause(r->attempt, true);
    if (r->events == r->free_at) {
        prov_free(r->attempt);
        r->attempt = NULL;
    }
}
