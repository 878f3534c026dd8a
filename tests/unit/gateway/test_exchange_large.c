/* The life of a request with a long answer, and of a long one: what would hold up the loop is done
 * on a worker. */
#include "tests/unit/gateway/exchange_world.h"

#include "config/base/log.h"

static void a_long_answer_is_printed_on_a_worker(void)
{
    says_much();
    CHECK(!w.rq.over && fake.work);
    worker_works();
    CHECK(w.rq.over && w.rq.status == 200 && w.rq.n_text > 17 * 4095);
    CHECK(in_headers("x-tollgate-cost-usd: ") && in_text("\"finish_reason\":\"stop\""));
    tear_down();
    says_much();
    gw_exchange_gone(w.x);
    worker_works();
    CHECK(!w.rq.over && fake.row.status == 499);
    tear_down();
}

/* A short answer of so many tokens, each with all alternatives that there may be. */
static void says_tokens(int n)
{
    static const struct chat_top top[CHAT_TOP_MAX] = { { { "b", 1 }, -1 } };
    static const struct chat_logprob token = { { { "a", 1 }, -1 }, top, CHAT_TOP_MAX };
    set_up(1, "turns > 0");
    ask(false);
    for (int i = 0; i < n; i++)
        press(attempt(0, false), (struct chat_event){ .kind = CHAT_EVENT_TEXT,
                                                      .text = TG_STR("a"), .logprobs = &token,
                                                      .n_logprobs = 1 });
    finishes(attempt(0, false), 1, 1);
}

static void alternatives_of_tokens_count(void)
{
    says_tokens(10);
    CHECK(w.rq.over && !fake.work);
    tear_down();
    says_tokens(60);
    CHECK(!w.rq.over && fake.work);
    worker_works();
    CHECK(w.rq.over && w.rq.status == 200);
    tear_down();
}

static void large_requests_are_written_on_a_worker(void)
{
    asks_much();
    worker_works();
    CHECK(attempt(0, false)->written);
    finishes(attempt(0, false), 1, 1);
    CHECK(w.rq.status == 200 && fake.money[0].state == MONEY_SETTLED);
    tear_down();
    for (int late = 0; late < 2; late++) { /* the client goes meanwhile, or its time is over */
        asks_much();
        if (late)
            fire(w.x->deadline);
        else
            gw_exchange_gone(w.x);
        CHECK_INT(fake.money[0].state, MONEY_RELEASED);
        worker_works();
        CHECK_INT(fake.n_attempts, 0);
        CHECK_INT(fake.row.status, late ? 504 : 499);
        tear_down();
    }
    char *large = large_body(70 << 10);
    set_up(1, "turns > 0");
    ask_with(large, NULL, 0);
    fake.worker_busy = true; /* then here and now */
    worker_works();
    CHECK(!attempt(0, false)->written);
    finishes(attempt(0, false), 1, 1);
    CHECK_INT(w.rq.status, 200);
    tear_down();
    tg_free(large);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(a_long_answer_is_printed_on_a_worker),
        CASE(alternatives_of_tokens_count),
        CASE(large_requests_are_written_on_a_worker),
    };
    tg_log_set_level(TG_LOG_ERROR);
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
