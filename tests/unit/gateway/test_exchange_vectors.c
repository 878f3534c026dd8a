/* The life of a request for embeddings: never local, paid by its input, printed by a worker when
 * there is much to print. */
#include "tests/unit/gateway/exchange_world.h"

#include "config/base/log.h"
#include "gateway/api/openai_vectors.h"

static const char body[] = "{\"input\":[\"a\",\"b\"]}";
enum { CEILING = (2 + 2 * 8 + 32) * IN }; /* bytes; what the price adds for inputs and request */

static void asks(size_t n)
{
    set_up(n, NULL);
    w.dialect = &oai_vectors;
    ask_with(body, NULL, 0);
}

static void gives(struct prov_attempt *a, uint32_t index, const float *v, size_t n)
{
    press(a, (struct chat_event){ .kind = CHAT_EVENT_VECTOR, .index = index, .vector = v,
                                  .n_vector = n });
}

static const float ones[8192] = { 1, -0.5f };

static void a_provider_answers(void)
{
    asks(1);
    struct prov_attempt *a = attempt(0, false);
    CHECK_INT(a->max_tokens, 0);
    CHECK_INT(fake.money[0].amount, CEILING);
    gives(a, 0, ones, 2);
    gives(a, 1, ones, 2);
    finishes(a, 7, 0);
    CHECK(w.rq.over && w.rq.status == 200 && in_text("\"embedding\":[1,-0.5]},{"));
    CHECK(in_headers("x-tollgate-route: cloud/m") && in_headers("reason: local-cannot: input"));
    CHECK(in_headers("x-tollgate-cost-usd: 0.000007000"));
    CHECK_INT(fake.money[0].paid, 7 * IN);
    CHECK(fake.row.prompt_tokens == 7 && fake.row.output_tokens == 0 && !fake.row.has_complexity);
    CHECK_STR(fake.row.dialect, "openai-embeddings");
    tear_down();
}

static void nobody_local_answers(void)
{
    static const struct gw_header local = { { "x-tollgate-local-only", 21 }, { "true", 4 } };
    asks(0);
    CHECK(w.rq.over && w.rq.status == 400 && in_text("input: makes no embeddings"));
    CHECK(in_text("\"param\":\"input\"") && fake.n_attempts == 0);
    tear_down();
    set_up(1, NULL);
    w.dialect = &oai_vectors;
    ask_with(body, &local, 1);
    CHECK(w.rq.over && w.rq.status == 400 && fake.n_attempts == 0);
    tear_down();
}

static void the_next_tier_answers(void)
{
    asks(2);
    gives(attempt(0, false), 0, ones, 2);
    fails(attempt(0, false), false);
    gives(attempt(1, false), 0, ones + 1, 1);
    gives(attempt(1, false), 1, ones + 1, 1);
    finishes(attempt(1, false), 7, 0);
    CHECK(w.rq.status == 200 && in_text("[-0.5]") && !in_text("[1,"));
    tear_down();
    fake.outcome = TEL_OVER_CAP;
    set_up(1, NULL);
    fake.outcome = TEL_OVER_CAP;
    w.dialect = &oai_vectors;
    ask_with(body, NULL, 0);
    CHECK(w.rq.status == 429 && in_text("budget_exhausted"));
    tear_down();
}

/* Until the end of what the test says, which a worker prints. */
static void gives_much(void)
{
    asks(1);
    gives(attempt(0, false), 0, ones, 8192);
    gives(attempt(0, false), 1, ones, 8192);
    finishes(attempt(0, false), 7, 0);
    CHECK(!w.rq.over && fake.work && w.app.exchanges);
}

static void a_worker_prints_much(void)
{
    gives_much();
    worker_works();
    CHECK(w.rq.over && w.rq.status == 200 && in_text("\"index\":1,\"embedding\":[1,-0.5,0,0"));
    CHECK_INT(fake.row.status, 200);
    tear_down();
    gives_much(); /* the client goes meanwhile */
    gw_exchange_gone(w.x);
    worker_works();
    CHECK(!w.rq.over && fake.row.status == 499);
    tear_down();
    gives_much(); /* or its time is over */
    fire(w.x->deadline);
    CHECK(w.rq.over && w.rq.status == 504);
    worker_works();
    tear_down();
    asks(1); /* no worker is free: here and now */
    fake.worker_busy = true;
    gives(attempt(0, false), 0, ones, 8192);
    gives(attempt(0, false), 1, ones, 8192);
    finishes(attempt(0, false), 7, 0);
    CHECK(w.rq.over && w.rq.status == 200);
    tear_down();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(a_provider_answers),
        CASE(nobody_local_answers),
        CASE(the_next_tier_answers),
        CASE(a_worker_prints_much),
    };
    tg_log_set_level(TG_LOG_ERROR);
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
