/* One exchange in a world of fakes, and how a test asks. Included by test programs only. */
#ifndef TESTS_UNIT_GATEWAY_EXCHANGE_WORLD_H
#define TESTS_UNIT_GATEWAY_EXCHANGE_WORLD_H

#include "gateway/api/openai_chat.h"
#include "tests/unit/gateway/exchange_fakes.h"

static struct world {
    struct gw_app app;
    struct gw_snapshot snapshot;
    struct cfg_settings settings;
    struct prov_backend local, cloud;
    struct gw_request rq;
    struct gw_exchange *x;
    const struct api_dialect *dialect; /* of the next requests */
    struct gw_caller who;              /* of the next one */
} w;

static inline void look_again(void *arg)
{
    gw_arrival_admit(arg);
}

enum { IN = 1000, OUT = 2000 }; /* nano-dollars a token of the price below */

/* n tiers with this trigger (NULL: none). */
static inline void set_up(size_t n, const char *trigger)
{
    memset(&fake, 0, sizeof(fake));
    memset(&w, 0, sizeof(w));
    w.local.local = true;
    w.dialect = &oai_chat;
    w.settings.n_routes = 1;
    w.settings.heartbeat_ms = 15000;
    w.settings.time_zone = "UTC";
    w.settings.engine.max_tokens = 100;
    w.settings.limits.bodies_in_flight = 1 << 20;
    w.settings.limits.media = (struct cfg_media_limits){ 1 << 20, 1 << 20, 32 };
    struct cfg_route *r = &w.settings.routes[0];
    *r = (struct cfg_route){ .name = "default", .timeout_ms = 600000, .n_tiers = n,
                             .has_budget = true, .budget_nano = 1000000 };
    r->hold.tokens = 4;
    r->hold.bytes = 4096;
    r->hold.time_ms = 2000;
    for (size_t i = 0; i < n; i++)
        r->tiers[i] = (struct cfg_tier){
            .provider = "cloud", .model = "m", .trigger = trigger, .max_tokens = 64,
            .price = { .known = true, .input = IN * 1000000LL, .cached_input = IN * 1000000LL,
                       .output = OUT * 1000000LL, .tokens_per_message = 8,
                       .tokens_per_request = 32 }
        };
    struct tg_error err;
    if (pol_route_compile(r, &w.snapshot.routes[0], &err) != TG_OK)
        CHECK_FAIL("%s", err.text);
    w.snapshot.refs = 1;
    w.snapshot.settings = &w.settings;
    for (size_t i = 0; i < n; i++)
        w.snapshot.tier[0][i] = &w.cloud;
    w.app.now = &w.snapshot;
    w.app.local = &w.local;
    w.app.next_id = 1;
    w.app.look_again = gw_timer_new(NULL, look_again, &w.app);
}

static inline void ask_with(const char *body, const struct gw_header *headers, size_t n)
{
    struct gw_ask ask = { .headers = headers, .n_headers = n, .body = tg_str_of(body) };
    memset(&w.rq, 0, sizeof(w.rq));
    fake_body = ask.body;
    w.x = gw_exchange_new(&w.app, &w.rq, &ask, w.dialect, &w.who);
}

static const char streamed[] =
    "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"stream\":true}";
static const char whole[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}";

static inline void ask(bool stream)
{
    ask_with(stream ? streamed : whole, NULL, 0);
}

static inline struct prov_attempt *attempt(size_t at, bool local)
{
    CHECK(at < fake.n_attempts);
    CHECK_INT(fake.attempt[at].local, local);
    CHECK(fake.attempt[at].live);
    return &fake.attempt[at];
}

static inline bool in_headers(const char *line)
{
    return strstr(w.rq.headers, line) != NULL;
}

static inline bool in_text(const char *text)
{
    return strstr(w.rq.text, text) != NULL;
}

/* Until the end of a long answer that is not streamed. */
static inline void says_much(void)
{
    static char text[4096];
    memset(text, 'x', sizeof(text) - 1);
    set_up(1, "turns > 0");
    ask(false);
    for (int i = 0; i < 17; i++)
        says(attempt(0, false), text, true);
    finishes(attempt(0, false), 1, 1);
}

/* Until a worker has the request to write; what prepared it has been on one, too. */
static inline void asks_much(void)
{
    char *large = large_body(70 << 10);
    set_up(1, "turns > 0");
    ask_with(large, NULL, 0);
    tg_free(large);
    worker_works();
    CHECK(fake.work && fake.n_attempts == 0 && fake.money[0].state == MONEY_OPEN);
}

/* What must hold when nothing is left: money ended once, all freed, one row for each admitted. */
static inline void tear_down(void)
{
    CHECK(!w.app.exchanges && !w.app.waiting_head && w.app.n_waiting == 0);
    CHECK_INT(w.app.worker_bytes, 0);
    for (size_t i = 0; i < fake.n_attempts; i++)
        CHECK(!fake.attempt[i].live);
    for (size_t i = 0; i < fake.n_money; i++)
        CHECK(fake.money[i].state >= MONEY_SETTLED);
    for (size_t i = 1; i < fake.n_timers; i++)
        CHECK(!fake.timer[i].live);
    CHECK_INT(fake.rows, fake.admitted);
    CHECK_INT(fake.retired, fake.admitted);
    CHECK_INT(w.snapshot.refs, 1);
    pol_route_free(&w.snapshot.routes[0]);
}

#endif
