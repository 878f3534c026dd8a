/* Many requests that end at once. */
#include "tests/unit/gateway/exchange_world.h"

#include "config/base/log.h"

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

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(the_stack_does_not_grow_with_a_crowd),
        CASE(a_crowd_takes_many_turns),
        CASE(an_end_makes_room),
        CASE(who_comes_later_does_not_put_off_the_look),
    };
    tg_log_set_level(TG_LOG_ERROR);
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
