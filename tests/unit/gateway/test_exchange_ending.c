/* Many requests that end at once, and the end of the program: what is paid, and what is told. */
#include "tests/unit/gateway/exchange_world.h"

#include "config/base/log.h"
#include "gateway/ending.h"

/* --- many that wait --------------------------------------------------------------------------- */

enum { CROWD = 12 };

static struct gw_request crowd[CROWD];

/* They wait for slots, and each of them will be refused as soon as it is looked at. */
static void crowd_waits(void)
{
    static const struct gw_ask nonsense = { .body = { "{\"messages\":3}", 14 } };
    set_up(0, NULL);
    fake.no_slots = true;
    memset(crowd, 0, sizeof(crowd));
    for (size_t i = 0; i < CROWD; i++)
        CHECK(gw_exchange_new(&w.app, &crowd[i], &nonsense, w.dialect, &w.who));
    fake.no_slots = false;
}

static size_t crowd_answered(void)
{
    size_t n = 0;
    while (n < CROWD && crowd[n].over)
        CHECK_INT(crowd[n++].status, 400);
    for (size_t i = n; i < CROWD; i++) /* in order */
        CHECK(!crowd[i].over);
    return n;
}

static void the_stack_does_not_grow_with_a_crowd(void)
{
    enum { FRAME = 256 };
    crowd_waits();
    rows_at.low = rows_at.high = 0;
    while (w.app.waiting_head)
        fire(w.app.look_again);
    CHECK_INT(crowd_answered(), CROWD);
    CHECK(rows_at.high - rows_at.low < FRAME);
    tear_down();
}

static void a_crowd_takes_many_turns(void)
{
    crowd_waits();
    fake.admit_ms = 2;
    for (size_t turn = 1; turn <= CROWD; turn++) {
        fire(w.app.look_again);
        CHECK_INT(crowd_answered(), turn);
        CHECK_INT(w.app.look_again->ms, turn < CROWD ? 0 : -1);
    }
    tear_down();
}

/* The end of one that runs makes room for the next, but not inside that end. */
static void an_end_makes_room(void)
{
    static struct gw_request second;
    struct gw_ask also = { .body = tg_str_of(whole) };
    set_up(0, NULL);
    ask(false);
    fake.no_slots = true;
    memset(&second, 0, sizeof(second));
    gw_exchange_new(&w.app, &second, &also, &oai_chat, &w.who);
    CHECK(w.app.look_again->ms > 0);
    fake.no_slots = false;
    finishes(attempt(0, true), 1, 1);
    CHECK(w.rq.over && fake.n_attempts == 1);
    CHECK_INT(w.app.look_again->ms, 0);
    fire(w.app.look_again);
    finishes(attempt(1, true), 1, 1);
    CHECK(second.over);
    tear_down();
}

static void who_comes_later_does_not_put_off_the_look(void)
{
    set_up(0, NULL);
    fake.no_slots = true;
    ask(false);
    struct gw_exchange *first = w.x;
    w.app.look_again->ms = 1; /* as far as it has come */
    struct gw_request second = { 0 };
    struct gw_ask also = { .body = tg_str_of(whole) };
    struct gw_exchange *x = gw_exchange_new(&w.app, &second, &also, &oai_chat, &w.who);
    CHECK_INT(w.app.look_again->ms, 1);
    gw_exchange_gone(first);
    gw_exchange_gone(x);
    tear_down();
}

/* --- the drain's time is over ----------------------------------------------------------------- */

/* The client got the bytes, the row says the same, and nothing is begun or paid any more. */
static void check_told(size_t attempts)
{
    CHECK(w.rq.over && !w.rq.aborted);
    CHECK(in_text("shutting_down"));
    CHECK_INT(w.rq.status, w.rq.begun ? 200 : 503);
    if (fake.work)
        worker_works();
    CHECK_INT(fake.n_attempts, attempts);
    CHECK_INT(fake.row.status, w.rq.status);
    CHECK_STR(fake.error, "shutting-down");
    tear_down();
}

static void what_a_worker_reads_is_told(void)
{
    char *large[] = { large_body(70 << 10), large_stream(70 << 10) };
    for (int stream = 0; stream < 2; stream++) {
        set_up(1, "turns > 0");
        ask_with(large[stream], NULL, 0);
        if (stream) { /* decoded on one, scored on one */
            worker_works();
            fire(w.x->heartbeat);
        }
        CHECK(fake.work && !w.rq.over);
        gw_exchange_fail_all(&w.app);
        CHECK(w.app.exchanges);
        check_told(0);
        CHECK_INT(fake.n_money, 0);
        tg_free(large[stream]);
    }
}

static void what_a_worker_writes_is_told(void)
{
    asks_much();
    gw_exchange_fail_all(&w.app);
    CHECK_INT(fake.money[0].state, MONEY_RELEASED);
    check_told(0);
}

/* The worker is not through when the process ends: its row says what the client was told. */
static void the_last_end_changes_no_row(void)
{
    asks_much();
    gw_exchange_fail_all(&w.app);
    gw_exchange_end_all(&w.app);
    check_told(0);
}

static void a_whole_answer_still_leaves(void)
{
    says_much();
    CHECK(fake.work);
    gw_exchange_fail_all(&w.app);
    CHECK(!w.rq.over);
    worker_works();
    CHECK_INT(w.rq.status, 200);
    CHECK_INT(fake.money[0].state, MONEY_SETTLED);
    CHECK_STR(fake.error, "");
    tear_down();
}

static void who_comes_after_it_is_told(void)
{
    char *large = large_body(70 << 10);
    set_up(1, "turns > 0");
    gw_exchange_fail_all(&w.app);
    ask(true);
    CHECK(!w.x && fake.n_money == 0);
    check_told(0);
    set_up(1, "turns > 0");
    gw_exchange_fail_all(&w.app);
    fake.no_slots = true;
    ask_with(large, NULL, 0);
    CHECK(!w.x && !fake.work && fake.rows_refused == 1);
    check_told(0);
    tg_free(large);
}

static void who_waits_is_told(void)
{
    set_up(1, "turns > 0");
    fake.no_slots = true;
    ask(false); /* for slots */
    gw_exchange_fail_all(&w.app);
    fake.no_slots = false;
    fire(w.app.look_again);
    check_told(0);
    set_up(1, "turns > 0");
    fake.outcome = TEL_WAIT;
    ask(true); /* for a lease */
    gw_exchange_fail_all(&w.app);
    CHECK_INT(fake.money[0].state, MONEY_DROPPED);
    check_told(0);
    set_up(1, "confidence < 0.5");
    ask(true);
    says(attempt(0, true), "held back", true);
    gw_exchange_fail_all(&w.app);
    check_told(1);
}

/* Until then all goes on as it did. */
static void a_drain_lets_run(void)
{
    asks_much();
    w.app.draining = true;
    worker_works();
    finishes(attempt(0, false), 1, 1);
    CHECK_INT(w.rq.status, 200);
    ask(false);
    finishes(attempt(1, false), 1, 1);
    CHECK_INT(w.rq.status, 200);
    tear_down();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(the_stack_does_not_grow_with_a_crowd),
        CASE(a_crowd_takes_many_turns),
        CASE(an_end_makes_room),
        CASE(who_comes_later_does_not_put_off_the_look),
        CASE(what_a_worker_reads_is_told),
        CASE(what_a_worker_writes_is_told),
        CASE(the_last_end_changes_no_row),
        CASE(a_whole_answer_still_leaves),
        CASE(who_comes_after_it_is_told),
        CASE(who_waits_is_told),
        CASE(a_drain_lets_run),
    };
    tg_log_set_level(TG_LOG_ERROR);
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
