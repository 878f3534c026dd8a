/* An exchange that knows its API key: two budgets that both hold, marks, limits. The world around
 * it is made of fakes (exchange_world.h). */
#include "tests/unit/gateway/exchange_world.h"

#include <stdlib.h>

#include "config/base/clock.h"
#include "config/base/log.h"

static struct tel_keys keys;
static struct tel_api_key key;
static struct gw_lane lane;

/* The next request comes with a key: from a set that is never freed. */
static void with_key(void)
{
    memset(&keys, 0, sizeof(keys));
    memset(&lane, 0, sizeof(lane));
    keys.refs = lane.refs = 1;
    keys.key = &key;
    keys.n = 1;
    key = (struct tel_api_key){ .id = "key_0123456789ab", .number = 5, .name = TG_STR("app") };
}

static void present(void)
{
    keys.refs++;
    lane.refs++;
    lane.running++;
    lane.cap_nano = key.budget_nano;
    pol_bucket_limit(&lane.tokens, key.tpm, tg_mono_ns());
    w.who = (struct gw_caller){ .keys = &keys, .key = &key, .lane = &lane };
}

static void with_budget(void)
{
    set_up(1, "turns > 0");
    with_key();
    key.has_budget = true;
    key.budget_nano = 4000;
    present();
}

static void over(void)
{
    CHECK_INT(keys.refs, 1);
    CHECK(lane.refs == 1 && lane.running == 0);
    tear_down();
}

static void both_budgets_are_charged_once(void)
{
    with_budget();
    ask(false);
    CHECK_INT(fake.n_money, 2);
    CHECK(fake.money[0].budget == FAKE_KEY_BUDGET && fake.money[0].amount == fake.money[1].amount);
    finishes(attempt(0, false), 10, 5);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(fake.money[i].state, MONEY_SETTLED);
        CHECK_INT(fake.money[i].paid, 10 * IN + 5 * OUT);
    }
    CHECK_INT(fake.row.cost_nano, 10 * IN + 5 * OUT);
    CHECK_STR(fake.key, "key_0123456789ab");
    CHECK_INT(fake.key_cap, 4000);
    over();
    set_up(1, "turns > 0"); /* the budget is declared once, not for each request */
    present();
    ask(false);
    CHECK_INT(fake.budgets_declared, 0);
    fails(attempt(0, false), true);
    CHECK_INT(fake.money[0].state, MONEY_SETTLED);
    CHECK(fake.money[0].estimated && fake.money[1].estimated);
    finishes(attempt(1, true), 1, 1);
    over();
}

static void the_keys_budget_is_over_and_the_routes_untouched(void)
{
    with_budget();
    fake.key_outcome = TEL_OVER_CAP;
    ask(false);
    CHECK_INT(fake.n_money, 0);
    finishes(attempt(0, true), 1, 1);
    CHECK_INT(w.rq.status, 200);
    CHECK(in_headers("x-tollgate-reason: key-budget-exhausted"));
    over();
    set_up(1, "turns > 0");
    with_key();
    key.has_budget = true;
    present();
    fake.local_cannot = true; /* nobody else is left */
    fake.key_outcome = TEL_OVER_CAP;
    ask(false);
    CHECK_INT(w.rq.status, 429);
    CHECK(in_text("budget of its API key"));
    over();
}

/* Whether to ask again, and when, told by what has been spent and what is only reserved. */
static void asking_again(int64_t spent, enum cfg_period period, bool in_vain, bool dated)
{
    char wait[16] = "";
    set_up(1, "turns > 0");
    with_key();
    key.has_budget = true;
    lane.period = period;
    present();
    fake.local_cannot = true;
    fake.key_outcome = TEL_OVER_CAP;
    fake.spent = spent;
    ask(false);
    CHECK_INT(w.rq.status, 429);
    CHECK(in_headers("x-should-retry: false") == in_vain);
    CHECK(in_headers("retry-after: ") == (dated || !in_vain));
    CHECK(in_headers("retry-after: 5\n") == !in_vain);
    if (dated && sscanf(strstr(w.rq.headers, "retry-after: "), "retry-after: %15[0-9]", wait) == 1)
        CHECK(atoi(wait) >= 0 && atoi(wait) <= 86400);
    over();
}

static void who_is_over_the_budget_hears_when_to_ask_again(void)
{
    asking_again(0, CFG_PERIOD_DAY, false, false);
    asking_again(1000000, CFG_PERIOD_DAY, true, true);
    asking_again(1000000, CFG_PERIOD_NONE, true, false);
}

static void the_routes_budget_is_over_and_the_keys_is_given_back(void)
{
    with_budget();
    fake.outcome = TEL_OVER_CAP;
    ask(false);
    CHECK_INT(fake.n_money, 1);
    CHECK_INT(fake.money[0].state, MONEY_RELEASED);
    finishes(attempt(0, true), 1, 1);
    CHECK(in_headers("x-tollgate-reason: budget-exhausted"));
    over();
}

static void leases_are_waited_for_one_after_the_other(void)
{
    with_budget();
    fake.key_outcome = fake.outcome = TEL_WAIT;
    ask(false);
    CHECK(fake.n_money == 1 && fake.n_attempts == 0);
    lease_comes(0, TEL_RESERVED);
    CHECK(fake.n_money == 2 && fake.n_attempts == 0);
    lease_comes(1, TEL_RESERVED);
    CHECK_INT(fake.n_attempts, 1);
    finishes(attempt(0, false), 1, 1);
    CHECK_INT(fake.money[0].state, MONEY_SETTLED);
    over();
    with_budget();
    fake.key_outcome = fake.outcome = TEL_WAIT; /* the client goes while the route's is awaited */
    ask(false);
    lease_comes(0, TEL_RESERVED);
    gw_exchange_gone(w.x);
    CHECK_INT(fake.money[0].state, MONEY_RELEASED);
    CHECK_INT(fake.money[1].state, MONEY_DROPPED);
    over();
    with_budget();
    fake.key_outcome = fake.outcome = TEL_WAIT;
    ask(false);
    lease_comes(0, TEL_RESERVED);
    lease_comes(1, TEL_UNAVAILABLE); /* the ledger failed */
    CHECK_INT(fake.money[0].state, MONEY_RELEASED);
    finishes(attempt(0, true), 1, 1);
    CHECK(in_headers("x-tollgate-reason: ledger-unavailable"));
    over();
}

static void a_budget_that_has_no_place_is_told(void)
{
    with_budget();
    fake.no_budget = true;
    fake.local_cannot = true;
    ask(false);
    CHECK(fake.n_money == 0 && w.rq.status == 503);
    CHECK(in_text("1088 budgets are in use") && in_text("revoke API keys"));
    over();
    with_budget();
    ask(false); /* the next one looks again */
    CHECK(fake.n_money == 2 && fake.budgets_held == 1);
    finishes(attempt(0, false), 1, 1);
    over();
}

static void an_unknown_price_is_not_paid_by_a_key_with_a_budget(void)
{
    with_budget();
    w.settings.routes[0].has_budget = false;
    w.settings.routes[0].tiers[0].price.known = false;
    ask(false);
    CHECK_INT(fake.n_money, 0);
    finishes(attempt(0, true), 1, 1);
    CHECK(in_headers("x-tollgate-reason: primary, price-unknown"));
    over();
}

static void marks_of_the_key_hold(void)
{
    set_up(1, "tag('b') AND tag('h')");
    with_key();
    key.tags = TG_STR("a,b");
    present();
    struct gw_header header = { TG_STR("x-tollgate-tags"), TG_STR("h, i") };
    ask_with(whole, &header, 1);
    finishes(attempt(0, false), 1, 1);
    CHECK(in_headers("x-tollgate-reason: trigger: "));
    over();
    set_up(1, "turns > 0");
    with_key();
    key.local_only = true;
    present();
    header = (struct gw_header){ TG_STR("x-tollgate-local-only"), TG_STR("false") };
    ask_with(whole, &header, 1);
    finishes(attempt(0, true), 1, 1);
    CHECK(fake.row.local_only && fake.n_attempts == 1 && fake.n_money == 0);
    over();
}

static void what_the_key_may_not_use(void)
{
    set_up(0, NULL);
    with_key();
    key.routes = TG_STR("other");
    present();
    ask(false);
    CHECK_INT(w.rq.status, 403);
    CHECK(in_text("\"type\":\"permission_denied\""));
    CHECK_STR(fake.error, "not-permitted");
    over();
}

static void tokens_are_charged(void)
{
    set_up(0, NULL);
    with_key();
    key.tpm = 100;
    present();
    ask_with("{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"max_tokens\":89}", NULL, 0);
    CHECK_INT(pol_bucket_left(&lane.tokens, tg_mono_ns()), 10); /* one of the prompt */
    finishes(attempt(0, true), 30, 20);
    CHECK_INT(pol_bucket_left(&lane.tokens, tg_mono_ns()), 50);
    CHECK(in_headers("x-ratelimit-limit-tokens: 100"));
    CHECK(in_headers("x-ratelimit-remaining-tokens: "));
    present();
    memset(&w.rq, 0, sizeof(w.rq));
    ask_with("{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"max_tokens\":89}", NULL, 0);
    CHECK_INT(w.rq.status, 429);
    CHECK(in_headers("retry-after: 24") && in_text("rate_limit_exceeded"));
    CHECK_STR(fake.error, "rate-limited");
    CHECK_INT(pol_bucket_left(&lane.tokens, tg_mono_ns()), 50);
    over();
}

/* Who goes before the usage is told has had the tokens all the same. */
static void tokens_are_charged_to_who_leaves_early(void)
{
    set_up(1, "confidence < 0.5");
    with_key();
    key.tpm = 1000;
    present();
    ask(true);
    for (int i = 0; i < 50; i++)
        says(attempt(0, true), "sixteen letters.", true);
    CHECK(in_text("sixteen letters.") && pol_bucket_left(&lane.tokens, tg_mono_ns()) == 999);
    gw_exchange_gone(w.x);
    uint32_t left = pol_bucket_left(&lane.tokens, tg_mono_ns());
    CHECK(left >= 799 && left < 820);
    over();
    set_up(1, "turns > 0"); /* of a provider's answer too, whatever the limit that was asked for */
    present();
    ask_with("{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"stream\":true,"
             "\"max_tokens\":400}", NULL, 0);
    uint32_t before = pol_bucket_left(&lane.tokens, tg_mono_ns());
    says(attempt(0, false), "sixteen letters.", true);
    gw_exchange_gone(w.x);
    CHECK(pol_bucket_left(&lane.tokens, tg_mono_ns()) < before + 20);
    over();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(both_budgets_are_charged_once),
        CASE(the_keys_budget_is_over_and_the_routes_untouched),
        CASE(who_is_over_the_budget_hears_when_to_ask_again),
        CASE(the_routes_budget_is_over_and_the_keys_is_given_back),
        CASE(leases_are_waited_for_one_after_the_other),
        CASE(a_budget_that_has_no_place_is_told),
        CASE(an_unknown_price_is_not_paid_by_a_key_with_a_budget),
        CASE(marks_of_the_key_hold),
        CASE(what_the_key_may_not_use),
        CASE(tokens_are_charged),
        CASE(tokens_are_charged_to_who_leaves_early),
    };
    tg_log_set_level(TG_LOG_ERROR);
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
