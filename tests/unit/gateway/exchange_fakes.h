/* Everything around an exchange, made of records that a test reads and of buttons that it presses:
 * HTTP, backends, store, workers and timers are defined here instead of being linked. Included by
 * the tests of exchanges only. */
#ifndef TESTS_UNIT_GATEWAY_EXCHANGE_FAKES_H
#define TESTS_UNIT_GATEWAY_EXCHANGE_FAKES_H

#include "config/base/alloc.h"
#include "gateway/exchange.h"
#include "tests/unit/check.h"

enum { FAKE_ATTEMPTS = 64, FAKE_MONEY = 64, FAKE_TIMERS = 64, FAKE_TEXT = 2 << 20 };
enum { FAKE_KEY_BUDGET = 77 };

struct gw_request {
    bool over, begun, aborted;
    int status;
    size_t n_headers, n_text;
    char headers[4096], text[FAKE_TEXT];
};

struct prov_backend {
    bool local;
};

struct prov_attempt {
    bool live, written, local, paused, sent, ended;
    prov_event_fn fn;
    void *arg;
    uint32_t max_tokens;
};

struct gw_timer {
    void (*fn)(void *arg);
    void *arg;
    int64_t ms; /* -1: not set */
    bool live;
};

enum fake_money {
    MONEY_NONE, MONEY_WAITS, MONEY_OPEN, MONEY_SETTLED, MONEY_RELEASED, MONEY_DROPPED
};

struct fake_reservation {
    enum fake_money state;
    int budget;
    int64_t amount, paid;
    bool estimated;
    tel_reserved_fn fn;
    void *arg;
};

static struct fake {
    struct prov_attempt attempt[FAKE_ATTEMPTS + 1]; /* the last one never lives */
    struct fake_reservation money[FAKE_MONEY]; /* id - 1 */
    struct gw_timer timer[FAKE_TIMERS];
    size_t n_attempts, n_money, n_timers, recall_max;
    enum tel_outcome outcome, key_outcome; /* of the next reservations: a route's, a key's */
    int64_t spent;                         /* of each budget; its cap is 1000000 */
    int64_t key_cap, admit_ms; /* how long an admission takes */
    int budgets_declared, budgets_held; /* none if no_budget */
    bool full_output, no_slots, no_budget, refuse_start, worker_busy, local_cannot, accepting;
    struct chat_overflow overflow; /* of the local model's prompt */
    int rows, rows_refused, retired, admitted;
    struct tel_row row;
    char reason[POL_REASON_MAX], error[64], backend[160], key[32];
    void (*work)(void *arg), (*work_done)(void *arg);
    void *work_arg;
} fake;

void gw_http_header(struct gw_request *rq, const char *name, struct tg_str value)
{
    CHECK(!rq->over && !rq->begun);
    int n = snprintf(rq->headers + rq->n_headers, sizeof(rq->headers) - rq->n_headers,
                     "%s: %.*s\n", name, TG_FMT(value));
    rq->n_headers += (size_t)n;
    CHECK(rq->n_headers < sizeof(rq->headers));
}

static inline void fake_text(struct gw_request *rq, struct tg_str data)
{
    CHECK(rq->n_text + data.n < sizeof(rq->text));
    memcpy(rq->text + rq->n_text, data.p, data.n);
    rq->n_text += data.n;
}

void gw_http_respond(struct gw_request *rq, int status, const char *type, struct tg_str body)
{
    CHECK(!rq->over && !rq->begun && type);
    rq->over = true;
    rq->status = status;
    fake_text(rq, body);
}

void gw_http_begin(struct gw_request *rq, int status, const char *type)
{
    CHECK(!rq->over && !rq->begun && type);
    rq->begun = true;
    rq->status = status;
}

bool gw_http_write(struct gw_request *rq, struct tg_str data)
{
    CHECK(!rq->over && rq->begun);
    fake_text(rq, data);
    return !fake.full_output;
}

void gw_http_end(struct gw_request *rq)
{
    CHECK(!rq->over && rq->begun);
    rq->over = true;
}

void gw_http_abort(struct gw_request *rq)
{
    CHECK(!rq->over);
    rq->over = rq->aborted = true;
}

void gw_http_accept(struct gw_http *h, bool on)
{
    (void)h;
    fake.accepting = on;
}

struct prov_attempt *prov_start(struct prov_backend *b, const struct prov_call *call,
                                prov_event_fn fn, void *arg, struct tg_error *err)
{
    CHECK((call->max_tokens > 0) == (call->request->n_inputs == 0));
    if (fake.refuse_start) {
        tg_fail(err, TG_LIMIT, "full");
        return NULL;
    }
    CHECK(fake.n_attempts < FAKE_ATTEMPTS);
    struct prov_attempt *a = &fake.attempt[fake.n_attempts++];
    *a = (struct prov_attempt){ .max_tokens = call->max_tokens, .written = call->body != NULL,
        .live = true, .local = b->local, .sent = !b->local, .fn = fn, .arg = arg
    };
    return a;
}

void prov_pause(struct prov_attempt *a, bool paused)
{
    CHECK(a->live);
    a->paused = paused;
}

void prov_free(struct prov_attempt *a)
{
    if (!a)
        return;
    CHECK(a->live);
    a->live = false;
}

bool prov_may_be_billed(const struct prov_attempt *a)
{
    CHECK(a->live);
    return a->sent;
}

struct gw_timer *gw_timer_new(struct gw_loop *loop, void (*fn)(void *arg), void *arg)
{
    (void)loop;
    CHECK(fake.n_timers < FAKE_TIMERS);
    struct gw_timer *t = &fake.timer[fake.n_timers++];
    *t = (struct gw_timer){ .fn = fn, .arg = arg, .ms = -1, .live = true };
    return t;
}

void gw_timer_set(struct gw_timer *t, int64_t ms)
{
    CHECK(t->live && ms >= 0);
    t->ms = ms;
}

void gw_timer_stop(struct gw_timer *t)
{
    CHECK(t->live);
    t->ms = -1;
}

void gw_timer_free(struct gw_timer *t)
{
    if (!t)
        return;
    CHECK(t->live);
    *t = (struct gw_timer){ .ms = -1 };
}

static inline void fire(struct gw_timer *t)
{
    CHECK(t->ms >= 0);
    t->ms = -1;
    t->fn(t->arg);
}

#include "tests/unit/gateway/exchange_store.h"

#endif
