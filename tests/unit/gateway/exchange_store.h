/* The snapshot, the workers and what backends say, of exchange_fakes.h. */
#ifndef TESTS_UNIT_GATEWAY_EXCHANGE_STORE_H
#define TESTS_UNIT_GATEWAY_EXCHANGE_STORE_H

#include "tests/unit/gateway/exchange_money.h"

struct gw_snapshot *gw_snapshot_ref(struct gw_snapshot *s)
{
    s->refs++;
    return s;
}

void gw_snapshot_unref(struct gw_snapshot *s)
{
    if (s)
        s->refs--;
}

size_t prov_local_recall_max(struct prov_backend *local, struct tg_str body)
{
    (void)body;
    CHECK(local->local);
    return fake.recall_max;
}

enum tg_status prov_local_count(struct prov_backend *local, const struct chat_request *r,
                                uint32_t *n, struct tg_error *err)
{
    CHECK(local->local);
    *n = (uint32_t)r->n_messages;
    return fake.local_cannot ? tg_fail(err, TG_UNSUPPORTED, "tools: takes no tools") : TG_OK;
}

enum tg_status prov_local_prepare(struct prov_backend *local, const struct chat_request *r,
                                  int32_t **ids, uint32_t *n, struct chat_overflow *overflow,
                                  struct tg_error *err)
{
    CHECK(local->local);
    *ids = NULL;
    *overflow = fake.overflow;
    if (r->n_inputs)
        return tg_fail(err, TG_UNSUPPORTED, "input: makes no embeddings");
    if (overflow->is)
        return tg_fail(err, TG_LIMIT, "messages: the prompt is long");
    *n = fake.local_cannot ? 0 : (uint32_t)r->n_messages;
    return fake.local_cannot ? tg_fail(err, TG_UNSUPPORTED, "tools: takes no tools") : TG_OK;
}

static struct tg_str fake_body; /* of the last request */

struct tg_buf gw_http_take_body(struct gw_request *rq)
{
    struct tg_buf taken;
    CHECK(!rq->over);
    tg_buf_init(&taken, 64 << 20);
    tg_buf_add(&taken, fake_body.p, fake_body.n);
    return taken;
}

enum tg_status prov_write(const struct prov_backend *b, const struct prov_call *call,
                          struct tg_buf *out)
{
    CHECK(!b->local && call->model.n && call->request->n_messages);
    tg_buf_init(out, 64);
    return tg_buf_adds(out, "written");
}

/* To be freed. more: further members, with a comma before each. */
static inline char *large_with(size_t n, const char *more)
{
    static const char head[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"";
    size_t room = n + sizeof(head) + strlen(more) + 8;
    char *body = tg_calloc(1, room);
    CHECK(body);
    memcpy(body, head, sizeof(head) - 1);
    memset(body + sizeof(head) - 1, 'x', n);
    snprintf(body + sizeof(head) - 1 + n, room - n - sizeof(head), "\"}]%s}", more);
    return body;
}

static inline char *large_body(size_t n)
{
    return large_with(n, "");
}

static inline char *large_stream(size_t n)
{
    return large_with(n, ",\"stream\":true");
}

enum tg_status tg_workers_submit(struct tg_workers *w, void (*work)(void *arg),
                                 void (*done)(void *arg), void *arg)
{
    (void)w;
    if (fake.worker_busy || fake.work)
        return TG_AGAIN;
    fake.work = work;
    fake.work_done = done;
    fake.work_arg = arg;
    return TG_OK;
}

static inline void worker_works(void)
{
    void (*work)(void *arg) = fake.work, (*done)(void *arg) = fake.work_done;
    CHECK(work);
    fake.work = NULL;
    work(fake.work_arg);
    done(fake.work_arg);
}

static inline void press(struct prov_attempt *a, struct chat_event e)
{
    CHECK(a->live && !a->ended);
    a->ended = e.kind == CHAT_EVENT_FINISH || e.kind == CHAT_EVENT_ERROR;
    a->fn(a->arg, &e);
}

static inline void started(struct prov_attempt *a)
{
    press(a, (struct chat_event){ .kind = CHAT_EVENT_STARTED });
}

void gw_http_respond_owned(struct gw_request *rq, int status, const char *type, struct tg_buf *body)
{
    gw_http_respond(rq, status, type, tg_buf_str(body));
}

void gw_router_refuse(struct gw_app *app, struct gw_request *rq, const struct api_dialect *dialect,
                      const struct api_error *e)
{
    (void)app;
    (void)dialect;
    gw_http_respond(rq, e->status, "application/json", tg_str_of(e->message));
}

/* A token of the local model, sure or not; a piece of text of the cloud's. */
static inline void says(struct prov_attempt *a, const char *text, bool sure)
{
    press(a, (struct chat_event){ .kind = CHAT_EVENT_TEXT,
                                  .text = tg_str_of(text),
                                  .has_token = a->local,
                                  .token = { CHAT_TOKEN_CONTENT, sure ? -0.001f : -6.0f,
                                             sure ? 0.01f : 5.0f, sure ? 0.99f : 0.01f } });
}

/* A piece of a provider's refusal. */
static inline void declines(struct prov_attempt *a, const char *text)
{
    press(a, (struct chat_event){ .kind = CHAT_EVENT_REFUSAL, .text = tg_str_of(text) });
}

static inline void finishes(struct prov_attempt *a, uint64_t in, uint64_t out)
{
    struct chat_event usage = { .kind = CHAT_EVENT_USAGE };
    usage.usage.input = (struct chat_count){ true, in };
    usage.usage.output = (struct chat_count){ true, out };
    press(a, usage);
    press(a, (struct chat_event){ .kind = CHAT_EVENT_FINISH });
}

static inline void fails(struct prov_attempt *a, bool billed)
{
    press(a, (struct chat_event){ .kind = CHAT_EVENT_ERROR,
                                  .error = a->local ? CHAT_ERROR_ENGINE : CHAT_ERROR_TRUNCATED,
                                  .text = TG_STR("broke"),
                                  .billed = billed });
}

#endif
