/* The life of a request without sockets, engine, network or disk: each case presses events in the
 * order it is about; the last one presses them at random and looks at what must always hold. */
#include "tests/unit/gateway/exchange_world.h"

#include "config/base/log.h"
#include "gateway/ending.h"

/* --- hold-back -------------------------------------------------------------------------------- */

static void low_confidence_escalates_unseen(void)
{
    set_up(1, "confidence < 0.5");
    ask(true);
    for (int i = 0; i < 4; i++)
        says(attempt(0, true), "local", false);
    CHECK(!w.rq.begun && attempt(0, true)->live);
    says(attempt(1, false), "cloud", true);
    CHECK(!fake.attempt[0].live);
    finishes(attempt(1, false), 10, 5);
    CHECK(w.rq.over && in_text("cloud") && !in_text("local\""));
    CHECK_INT(fake.money[0].paid, 10 * IN + 5 * OUT);
    CHECK_STR(fake.backend, "cloud/m");
    tear_down();
}

/* An answer without a word has no distributions to judge, and is none to be sure of. */
static void an_empty_answer_escalates(void)
{
    for (int stream = 0; stream < 2; stream++) {
        set_up(1, "confidence < 0.5");
        ask(stream);
        finishes(attempt(0, true), 10, 1);
        CHECK(!w.rq.begun && !w.rq.over);
        says(attempt(1, false), "cloud", true);
        finishes(attempt(1, false), 10, 5);
        CHECK(w.rq.over && in_text("cloud"));
        CHECK_STR(fake.backend, "cloud/m");
        tear_down();
    }
}

static void window_counts_text_not_framing(void)
{
    set_up(1, "confidence < 0.5");
    w.settings.routes[0].hold.tokens = 1000;
    w.settings.routes[0].hold.bytes = 20;
    ask(true);
    says(attempt(0, true), "123456789", true);
    says(attempt(0, true), "123456789", true);
    CHECK(!w.rq.begun);
    says(attempt(0, true), "123456789", true);
    CHECK(w.rq.begun);
    finishes(attempt(0, true), 1, 3);
    tear_down();
}

/* Slow prefill is no reason to give up the ways out: there is nothing to write yet. */
static void window_time_begins_with_the_first_token(void)
{
    set_up(1, "confidence < 0.5");
    ask(true);
    started(attempt(0, true));
    CHECK_INT(w.x->window->ms, -1);
    says(attempt(0, true), "a", false);
    CHECK(w.x->window->ms > 1000);
    fire(w.x->window);
    CHECK(!w.rq.begun);
    finishes(attempt(1, false), 1, 1);
    CHECK(w.rq.over);
    tear_down();
}

static void last_comment_has_the_whole_answers_confidence(void)
{
    set_up(1, "confidence < 0.1");
    ask(true);
    for (int i = 0; i < 4; i++)
        says(attempt(0, true), "sure ", true);
    CHECK(w.rq.begun);
    for (int i = 0; i < 40; i++)
        says(attempt(0, true), "unsure ", false);
    struct pol_confidence sums = w.x->confidence_sums;
    char want[64];
    snprintf(want, sizeof(want), "\"confidence\":%.4f",
             pol_confidence_score(&sums, POL_SPAN_ANSWER, NULL).value);
    finishes(attempt(0, true), 1, 44);
    CHECK(in_text(want));
    tear_down();
}

/* --- parking ---------------------------------------------------------------------------------- */

static void parked_local_answers_when_the_tier_fails(void)
{
    set_up(1, "confidence < 0.5");
    ask(false);
    says(attempt(0, true), "local", false);
    finishes(attempt(0, true), 1, 1);
    CHECK(!w.rq.over);
    fails(attempt(1, false), true);
    CHECK_INT(w.rq.status, 200);
    CHECK(in_text("local") && in_headers("x-tollgate-reason: provider-failed"));
    CHECK(fake.money[0].estimated && fake.money[0].paid == fake.money[0].amount);
    CHECK_STR(fake.error, "");
    tear_down();
}

static void local_dies_while_the_tier_waits_for_a_lease(void)
{
    for (int granted = 0; granted < 2; granted++) {
        set_up(1, "confidence < 0.5");
        fake.outcome = TEL_WAIT;
        ask(true);
        for (int i = 0; i < 4; i++)
            says(attempt(0, true), "local", false);
        fails(attempt(0, true), false);
        CHECK(!w.rq.over);
        lease_comes(0, granted ? TEL_RESERVED : TEL_OVER_CAP);
        if (granted)
            finishes(attempt(1, false), 1, 1);
        CHECK_INT(w.rq.status, granted ? 200 : 429);
        tear_down();
    }
}

static void max_latency_counts_from_the_arrival(void)
{
    set_up(1, NULL);
    w.settings.routes[0].max_latency_ms = 60000;
    ask(true);
    CHECK(w.x->latency->ms > 50000 && w.x->latency->ms <= 60000);
    w.x->begun_ns -= 59000 * INT64_C(1000000);
    CHECK(gw_exchange_left_ms(w.x, 60000) <= 1000);
    CHECK_INT(gw_exchange_left_ms(w.x, 58000), 0);
    fire(w.x->latency);
    CHECK(attempt(0, true)->live);
    says(attempt(1, false), "cloud", true);
    finishes(attempt(1, false), 1, 1);
    CHECK(in_headers("x-tollgate-reason: max-latency"));
    tear_down();
}

/* --- money ------------------------------------------------------------------------------------ */

static void what_never_left_is_released(void)
{
    for (int sent = 0; sent < 2; sent++) {
        set_up(1, "turns > 0");
        ask(false);
        attempt(0, false)->sent = sent;
        gw_exchange_gone(w.x);
        CHECK_INT(fake.money[0].state, sent ? MONEY_SETTLED : MONEY_RELEASED);
        CHECK_INT(fake.row.status, 499);
        CHECK_STR(fake.error, "client-gone");
        tear_down();
    }
}

static void an_error_tells_what_it_cost(void)
{
    set_up(1, "turns > 0");
    ask(false);
    says(attempt(0, false), "half", true);
    fire(w.x->deadline);
    CHECK_INT(w.rq.status, 504);
    CHECK(in_headers("x-tollgate-request-id: ") && in_headers("x-tollgate-reason: trigger"));
    CHECK(in_headers("x-tollgate-cost-usd: 0.000"));
    CHECK(!in_headers("x-tollgate-cost-usd: 0.000000000"));
    CHECK(fake.row.cost_nano > 0 && fake.row.estimated);
    tear_down();
}

static void usage_above_the_ceiling_is_booked_as_it_is(void)
{
    set_up(1, "turns > 0");
    ask(false);
    finishes(attempt(0, false), 1000000, 1000000);
    CHECK_INT(fake.money[0].paid, INT64_C(1000000) * (IN + OUT));
    CHECK(!fake.money[0].estimated);
    tear_down();
    set_up(1, "turns > 0");
    ask(false);
    finishes(attempt(0, false), UINT64_MAX, 1); /* beyond arithmetic */
    CHECK(fake.money[0].estimated && fake.money[0].paid == fake.money[0].amount);
    tear_down();
}

static void a_stream_tells_the_most_it_can_cost(void)
{
    set_up(2, "turns > 0");
    ask(true);
    int64_t ceiling = fake.money[0].amount;
    fails(attempt(0, false), true);
    says(attempt(1, false), "cloud", true);
    char want[80];
    snprintf(want, sizeof(want), "x-tollgate-cost-usd-reserved: 0.%09lld\n",
             (long long)(2 * ceiling));
    CHECK(in_headers(want));
    finishes(attempt(1, false), 1, 1);
    tear_down();
    set_up(1, "turns > 0");
    w.settings.routes[0].has_budget = false;
    w.settings.routes[0].tiers[0].price = (struct cfg_price){ .known = true };
    w.settings.routes[0].tiers[0].price.input = 1;
    ask(true);
    w.settings.routes[0].tiers[0].price.known = false; /* as a table without the model */
    says(attempt(0, false), "cloud", true);
    CHECK(!in_headers("x-tollgate-cost-usd"));
    finishes(attempt(0, false), 1, 1);
    CHECK(!in_text("cost_usd"));
    tear_down();
}

/* --- errors and rows -------------------------------------------------------------------------- */

static void a_broken_stream_is_no_success(void)
{
    set_up(1, "turns > 0");
    ask(true);
    says(attempt(0, false), "cloud", true);
    fake.full_output = true;
    says(attempt(0, false), "burst", true);
    says(attempt(0, false), "kept for the slow reader", true);
    fails(attempt(0, false), true);
    CHECK(w.rq.over && in_text("\"error\":") && !in_text("[DONE]"));
    CHECK(in_text("kept for the slow reader"));
    CHECK(in_text(": tollgate {") && in_text("\"cost_usd\":0.") && in_text("\"estimated\":true"));
    CHECK_STR(fake.error, "provider-failed");
    tear_down();
}

static void the_provider_says_when_to_come_again(void)
{
    set_up(1, "turns > 0");
    fake.refuse_start = false;
    ask_with(whole, NULL, 0);
    struct prov_attempt *a = attempt(0, false);
    fake.refuse_start = true; /* the local model has no room */
    press(a, (struct chat_event){ .kind = CHAT_EVENT_ERROR, .error = CHAT_ERROR_STATUS,
                                  .http_status = 429, .retry_after_ms = 2500 });
    CHECK_INT(w.rq.status, 503);
    CHECK(in_headers("retry-after: 5"));
    tear_down();
    set_up(1, NULL);
    fake.local_cannot = true;
    ask(false);
    press(attempt(0, false),
          (struct chat_event){ .kind = CHAT_EVENT_ERROR, .error = CHAT_ERROR_STATUS,
                               .http_status = 429, .retry_after_ms = 2500 });
    CHECK_INT(w.rq.status, 429);
    CHECK(in_headers("retry-after: 3"));
    tear_down();
}

static void the_refused_field_is_named(void)
{
    set_up(0, NULL);
    fake.local_cannot = true;
    ask(false);
    CHECK_INT(w.rq.status, 400);
    CHECK(in_text("\"param\":\"tools\""));
    tear_down();
}

static void any_mark_of_privacy_holds(void)
{
    static const struct gw_header twice[] = {
        { { "x-tollgate-local-only", 21 }, { "false", 5 } },
        { { "X-Tollgate-Local-Only", 21 }, { "true", 4 } },
    };
    set_up(1, "turns > 0");
    ask_with(whole, twice, 2);
    finishes(attempt(0, true), 1, 1);
    CHECK(fake.row.local_only);
    CHECK_INT(fake.n_attempts, 1);
    tear_down();
}

static void tool_calls(void)
{
    set_up(1, "turns > 0");
    ask(false);
    for (uint32_t i = 0; i < CHAT_CALLS_MAX; i++)
        for (int k = 0; k < 400; k++) /* a server that repeats id and name in each delta */
            press(attempt(0, false), (struct chat_event){ .kind = CHAT_EVENT_TOOL_CALL,
                                                          .index = i,
                                                          .id = TG_STR("call_0123456789abcdef"),
                                                          .name = TG_STR("get_weather"),
                                                          .text = TG_STR("x") });
    press(attempt(0, false), (struct chat_event){ .kind = CHAT_EVENT_FINISH });
    CHECK_INT(w.rq.status, 200);
    CHECK(!in_text("\"id\":\"\"") && !in_text("\"name\":\"\""));
    tear_down();
}

/* --- admission, workers, back pressure -------------------------------------------------------- */

/* Told with their text, in pieces as they come or together; those of a local answer that nobody
 * sees are not. */
static void logprobs_stay_with_their_text(void)
{
    static const struct chat_logprob token[] = { { { { "Hi", 2 }, -0.5 }, NULL, 0 } };
    struct chat_event e = { .kind = CHAT_EVENT_TEXT, .text = TG_STR("Hi"), .logprobs = token,
                            .n_logprobs = 1 };
    struct chat_event half = { .kind = CHAT_EVENT_TEXT, .logprobs = token, .n_logprobs = 1 };
    for (int stream = 0; stream < 2; stream++) {
        set_up(1, "confidence < 0.5");
        ask(stream);
        press(attempt(0, true), e);
        says(attempt(0, true), "not sure", false);
        finishes(attempt(0, true), 3, 4);
        press(attempt(1, false), half);
        press(attempt(1, false), e);
        finishes(attempt(1, false), 3, 4);
        static const char said[] = "\"logprobs\":{\"content\":[{\"token\":\"Hi\"";
        CHECK(w.rq.over && w.rq.status == 200 && in_text(said) && !in_text("not sure"));
        const char *second = strstr(w.rq.text, "\"token\":\"Hi\"") + 1;
        CHECK(strstr(second, "\"token\":\"Hi\""));
        CHECK(!strstr(strstr(second, "\"token\":\"Hi\"") + 1, "\"token\":\"Hi\""));
        tear_down();
    }
}

/* An answer as any other: it commits, is told in one piece, and nobody else is asked. */
static void refusals_are_answers(void)
{
    for (int stream = 0; stream < 2; stream++) {
        set_up(2, "confidence < 0.5");
        ask(stream);
        says(attempt(0, true), "not sure", false);
        finishes(attempt(0, true), 3, 4);
        declines(attempt(1, false), "I can");
        CHECK_INT(w.x->state, stream ? GW_COMMITTED : GW_RUNNING);
        declines(attempt(1, false), "not.");
        finishes(attempt(1, false), 3, 4);
        CHECK(w.rq.over && w.rq.status == 200 && !in_text("not sure"));
        CHECK(in_text(stream ? "\"delta\":{\"refusal\":\"not.\"}"
                             : "\"content\":null,\"refusal\":\"I cannot.\""));
        CHECK_INT(fake.n_attempts, 2);
        CHECK_INT(fake.money[0].paid, 3 * IN + 4 * OUT);
        tear_down();
    }
}

static void waiting_requests_keep_their_order(void)
{
    static struct gw_request second;
    set_up(0, NULL);
    fake.no_slots = true;
    ask(false);
    CHECK(w.x && w.app.look_again->ms > 0 && w.x->deadline->ms > 0);
    struct gw_exchange *first = w.x;
    fake.no_slots = false; /* the disk caught up: nobody tells */
    struct gw_ask later = { .body = tg_str_of(whole) };
    memset(&second, 0, sizeof(second));
    struct gw_exchange *x2 = gw_exchange_new(&w.app, &second, &later, &oai_chat, &w.who);
    CHECK_INT(fake.n_attempts, 0);
    w.app.look_again->ms = -1;
    gw_arrival_admit(&w.app);
    CHECK_INT(fake.n_attempts, 2);
    CHECK(attempt(0, true)->arg == &first->local && attempt(1, true)->arg == &x2->local);
    finishes(attempt(0, true), 1, 1);
    finishes(attempt(1, true), 1, 1);
    CHECK(w.rq.over && second.over);
    tear_down();
    set_up(0, NULL);
    fake.no_slots = true;
    ask(false);
    fire(w.x->deadline);
    CHECK_INT(w.rq.status, 503);
    tear_down();
}

static void bodies_on_workers_are_bounded(void)
{
    char *body = large_body(700 << 10);
    set_up(0, NULL);
    ask_with(body, NULL, 0);
    CHECK(fake.work && w.app.worker_bytes > 700 << 10);
    gw_exchange_gone(w.x); /* its copy stays until the worker has seen it */
    CHECK(w.app.exchanges);
    ask_with(body, NULL, 0);
    CHECK_INT(w.rq.status, 503);
    worker_works();
    ask_with(body, NULL, 0);
    worker_works();
    finishes(attempt(0, true), 1, 1);
    CHECK_INT(w.rq.status, 200);
    tg_free(body);
    tear_down();
}

/* A small body whose calls bring long thoughts with them would hold up the loop. */
static void remembered_thoughts_are_tokenised_on_a_worker(void)
{
    set_up(0, NULL);
    fake.recall_max = 4096;
    ask(false);
    CHECK(!fake.work);
    finishes(attempt(0, true), 1, 1);
    fake.recall_max = 8192;
    ask(false);
    CHECK(fake.work && fake.n_attempts == 1);
    worker_works();
    finishes(attempt(1, true), 1, 1);
    CHECK_INT(w.rq.status, 200);
    tear_down();
}

static void back_pressure_follows_the_attempt(void)
{
    set_up(1, "confidence < 0.5");
    ask(true);
    fake.full_output = true;
    fire(w.x->heartbeat);
    for (int i = 0; i < 4; i++)
        says(attempt(0, true), "local", false);
    CHECK(attempt(1, false)->paused && !attempt(0, true)->paused);
    size_t said = w.rq.n_text;
    fire(w.x->heartbeat);
    CHECK_INT(w.rq.n_text, said); /* there is enough to read */
    fake.full_output = false;
    gw_exchange_writable(w.x);
    CHECK(!attempt(1, false)->paused);
    finishes(attempt(1, false), 1, 1);
    tear_down();
}

/* The engine answers one at a time: it is not stopped for a reader that is a little behind. */
static void a_slow_reader_does_not_stop_the_engine(void)
{
    char *large = large_body(300 << 10);
    set_up(0, NULL);
    ask(true);
    fake.full_output = true;
    says(attempt(0, true), "one ", true);
    says(attempt(0, true), "two ", true);
    CHECK(!in_text("two") && !attempt(0, true)->paused);
    gw_exchange_writable(w.x);
    CHECK(in_text("two"));
    for (int i = 0; i < 4; i++)
        says(attempt(0, true), large, true);
    CHECK(attempt(0, true)->paused);
    fake.full_output = false;
    w.rq.n_text = 0;
    gw_exchange_writable(w.x);
    CHECK(!attempt(0, true)->paused && w.rq.n_text > 4 * 300 << 10);
    finishes(attempt(0, true), 1, 6);
    CHECK(w.rq.over);
    tg_free(large);
    tear_down();
}

/* --- everything at any time ------------------------------------------------------------------- */

static uint64_t dice;

static unsigned roll(unsigned sides)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(dice >> 33) % sides;
}

static void press_any_attempt(void)
{
    struct prov_attempt *a = &fake.attempt[roll((unsigned)fake.n_attempts + 1)];
    if (!a->live || a->ended)
        return;
    switch (roll(8)) {
    case 0:
        started(a);
        return;
    case 1:
        finishes(a, roll(50), roll(50));
        return;
    case 2:
        fails(a, roll(2));
        return;
    case 3:
        a->sent = true;
        return;
    default:
        says(a, roll(3) ? "word " : "", roll(2));
    }
}

static void press_anything(void)
{
    size_t m = fake.n_money ? roll((unsigned)fake.n_money) : 0;
    struct gw_timer *t = &fake.timer[1 + roll((unsigned)fake.n_timers - 1)];
    fake.refuse_start = roll(20) == 0;
    fake.full_output = roll(4) == 0;
    fake.outcome = (enum tel_outcome[]){ TEL_RESERVED, TEL_WAIT, TEL_OVER_CAP }[roll(3)];
    fake.no_slots = roll(3) == 0;
    unsigned what = roll(40);
    if (what < 6 && fake.n_money && fake.money[m].state == MONEY_WAITS)
        lease_comes(m, roll(2) ? TEL_RESERVED : TEL_UNAVAILABLE);
    else if (what < 10 && t->live && t->ms >= 0)
        fire(t);
    else if (what == 10 && w.app.exchanges->rq)
        gw_exchange_gone(w.app.exchanges);
    else if (what == 11 && w.app.exchanges->rq)
        gw_exchange_writable(w.app.exchanges);
    else if (what == 12)
        gw_arrival_admit(&w.app);
    else if (what == 13 && fake.work)
        worker_works();
    else
        press_any_attempt();
}

#ifdef __SANITIZE_THREAD__ /* ten times slower, and one thread here */
enum { SEEDS = 2000 };
#else
enum { SEEDS = 20000 };
#endif

static void anything_at_any_time(void)
{
    static const struct gw_header why = { { "x-tollgate-explain", 18 }, { "true", 4 } };
    static const char *const triggers[] = { NULL, "confidence < 0.5", "turns > 0" };
    char *large[] = { large_body(70 << 10), large_stream(70 << 10) };
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        dice = seed;
        set_up(roll(4), triggers[roll(3)]);
        w.settings.routes[0].max_latency_ms = roll(2) ? 100 : 0;
        fake.no_slots = roll(5) == 0;
        fake.local_cannot = roll(5) == 0;
        ask_with(roll(5) == 0 ? large[roll(2)] : roll(2) ? streamed : whole, &why, roll(2));
        for (int i = 0; i < 300 && w.app.exchanges; i++)
            press_anything();
        bool cut = w.app.exchanges && w.app.exchanges->rq, told = roll(2);
        size_t begun = fake.n_attempts;
        if (w.app.exchanges && told)
            gw_exchange_fail_all(&w.app);
        else if (w.app.exchanges)
            gw_exchange_end_all(&w.app);
        if (fake.work)
            worker_works();
        CHECK(!cut || (told ? w.rq.over && !w.rq.aborted : w.rq.aborted));
        CHECK_INT(fake.n_attempts, begun);
        tear_down();
    }
    tg_free(large[0]);
    tg_free(large[1]);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(low_confidence_escalates_unseen),
        CASE(an_empty_answer_escalates),
        CASE(window_counts_text_not_framing),
        CASE(window_time_begins_with_the_first_token),
        CASE(last_comment_has_the_whole_answers_confidence),
        CASE(parked_local_answers_when_the_tier_fails),
        CASE(local_dies_while_the_tier_waits_for_a_lease),
        CASE(max_latency_counts_from_the_arrival),
        CASE(what_never_left_is_released),
        CASE(an_error_tells_what_it_cost),
        CASE(usage_above_the_ceiling_is_booked_as_it_is),
        CASE(a_stream_tells_the_most_it_can_cost),
        CASE(a_broken_stream_is_no_success),
        CASE(the_provider_says_when_to_come_again),
        CASE(the_refused_field_is_named),
        CASE(any_mark_of_privacy_holds),
        CASE(tool_calls),
        CASE(logprobs_stay_with_their_text),
        CASE(refusals_are_answers),
        CASE(waiting_requests_keep_their_order),
        CASE(bodies_on_workers_are_bounded),
        CASE(remembered_thoughts_are_tokenised_on_a_worker),
        CASE(back_pressure_follows_the_attempt),
        CASE(a_slow_reader_does_not_stop_the_engine),
        CASE(anything_at_any_time),
    };
    tg_log_set_level(TG_LOG_ERROR);
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
