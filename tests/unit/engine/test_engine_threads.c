/* Many threads submit, cancel and give credit at once while one drains: every accepted job gets its
 * events in order and exactly one END. Worth most under ThreadSanitizer. */
#include "tests/unit/engine/support_engine.h"

#include "config/base/alloc.h"
#include "tests/unit/check.h"

enum { THREADS = 6, JOBS_A_THREAD = 40, IDS_MAX = THREADS * JOBS_A_THREAD + 1, PROMPT = 130 };

struct client {
    pthread_t thread;
    struct le_engine *e;
    uint32_t number, accepted, refused, wrong;
};

/* Submits until accepted, then cancels every third job and feeds credit to the rest. */
static void *client_main(void *arg)
{
    struct client *c = arg;
    int32_t prompt[PROMPT];
    for (int i = 0; i < PROMPT; i++)
        prompt[i] = 300;
    for (uint32_t k = 0; k < JOBS_A_THREAD;) {
        struct le_job job = {
            .prompt = prompt,
            .n_prompt = PROMPT,
            .max_tokens = 1 + (k + c->number) % 9,
            .sampling = { .temperature = 1, .top_k = 4, .top_p = 1, .seed = k },
        };
        uint64_t id = 0;
        enum tg_status status = le_engine_submit(c->e, &job, &id, NULL);
        if (status == TG_LIMIT) {
            c->refused++;
            sched_yield();
            continue;
        }
        c->wrong += status != TG_OK;
        c->accepted++;
        if ((k + c->number) % 3 == 0)
            le_engine_cancel(c->e, id);
        for (int i = 0; i < 3; i++)
            le_engine_credit(c->e, id, 3);
        le_engine_cancel(c->e, id + 1000000);
        k++;
    }
    return NULL;
}

struct seen {
    uint32_t started, prefilled, tokens, ends;
};

static void check_event(struct seen *s, const struct le_event *event)
{
    CHECK_INT(s->ends, 0);
    switch (event->kind) {
    case LE_EVENT_STARTED:
        CHECK_INT(s->started++, 0);
        break;
    case LE_EVENT_PREFILLED:
        CHECK_INT(s->started, 1);
        CHECK_INT(s->prefilled++, 0);
        break;
    case LE_EVENT_TOKEN:
        CHECK_INT(s->prefilled, 1);
        CHECK_INT(event->n_generated, ++s->tokens);
        break;
    case LE_EVENT_END:
        s->ends++;
        CHECK_INT(event->n_generated, s->tokens);
        CHECK(event->end == LE_END_CANCELLED || event->end == LE_END_LENGTH ||
              event->end == LE_END_STOP);
        break;
    }
}

static void storm(void)
{
    struct le_tokenizer *t = fake_tokenizer();
    struct fake fake;
    struct le_engine *e = NULL;
    struct client client[THREADS] = { 0 };
    struct seen *seen = tg_calloc(IDS_MAX, sizeof(*seen));
    uint32_t ends = 0, cancelled = 0;
    CHECK(t && seen && fake_init(&fake, t, PROMPT, "some words and more words"));
    CHECK_INT(fake_engine(&fake, 200, 8, 2, &e, NULL), TG_OK);
    for (uint32_t i = 0; i < THREADS; i++) {
        client[i].e = e;
        client[i].number = i;
        CHECK_INT(pthread_create(&client[i].thread, NULL, client_main, &client[i]), 0);
    }
    while (ends < THREADS * JOBS_A_THREAD) {
        struct le_event event;
        CHECK(events_next(e, &event, 20000));
        CHECK(event.job > 0 && event.job < IDS_MAX);
        check_event(&seen[event.job], &event);
        ends += event.kind == LE_EVENT_END;
        cancelled += event.kind == LE_EVENT_END && event.end == LE_END_CANCELLED;
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(client[i].thread, NULL);
        CHECK_INT(client[i].accepted, JOBS_A_THREAD);
        CHECK_INT(client[i].wrong, 0);
    }
    CHECK(cancelled > 0 && cancelled < ends);
    le_engine_close(e);
    fake_free(&fake);
    le_tokenizer_close(t);
    tg_free(seen);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = { CASE(storm) };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
