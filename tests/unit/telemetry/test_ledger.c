/* The arithmetic of budgets: caps, leases, waiting, ends, periods, alerts. */
#include "tests/unit/check.h"

#include <stdlib.h>

#include "tests/unit/telemetry/support_store.h"

static struct rig rig;

static int begin(int64_t lease, int64_t cap, enum cfg_period period)
{
    CHECK(rig_make(&rig));
    rig.lease_nano = lease;
    struct tg_error err = { 0 };
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    int b = tel_budget(rig.store, "cloud", cap, period, 800000);
    rig_pump(&rig);
    return b;
}

static void state_is(int b, int64_t spent, int64_t reserved)
{
    struct tel_budget_state s = tel_budget_state(rig.store, b);
    CHECK_INT(s.spent, spent);
    CHECK_INT(s.reserved, reserved);
    CHECK(s.available);
}

static void row_is(int64_t spent, int64_t leased)
{
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT spent_nano FROM period"), spent);
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT leased_nano FROM period"), leased);
}

static void settles_at_actual_and_frees_the_rest(void)
{
    int b = begin(100, 1000, CFG_PERIOD_MONTH);
    uint64_t id;
    CHECK_INT(rig_reserve(&rig, b, 50, &id), TEL_RESERVED);
    state_is(b, 0, 50);
    tel_settle(rig.store, id, 25, false);
    state_is(b, 25, 0);
    CHECK(tel_flush(rig.store));
    row_is(25, 75);
    CHECK_INT(rig_reserve(&rig, b, 75, &id), TEL_RESERVED); /* no new lease was needed */
    tel_release(rig.store, id);
    state_is(b, 25, 0);
    rig_close(&rig);
    row_is(25, 0);
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT count(*) FROM settlement"), 2);
    CHECK_INT(rig_query(&rig, "ledger.db",
                        "SELECT cost_nano FROM settlement WHERE state = 'settled' AND request ="
                        " '0000000000000007' AND reserved_nano = 50 AND start = '2026-11-01'"),
              25);
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT count(*) FROM lost"), 0);
    rig_drop(&rig);
}

static void estimates_are_flagged(void)
{
    int b = begin(100, 1000, CFG_PERIOD_DAY);
    uint64_t id;
    CHECK_INT(rig_reserve(&rig, b, 60, &id), TEL_RESERVED);
    tel_settle(rig.store, id, 60, true);
    CHECK_INT(rig_reserve(&rig, b, 30, &id), TEL_RESERVED);
    tel_settle(rig.store, id, -5, false); /* a cost that overflowed: the bound counts */
    state_is(b, 90, 0);
    CHECK(tel_flush(rig.store));
    CHECK_INT(rig_query(&rig, "ledger.db",
                        "SELECT sum(cost_nano) FROM settlement WHERE state = 'estimated'"), 90);
    rig_drop(&rig);
}

static void cap_is_exact(void)
{
    int b = begin(100, 1000, CFG_PERIOD_MONTH);
    uint64_t id, rest;
    CHECK_INT(rig_reserve(&rig, b, 1001, &id), TEL_OVER_CAP);
    CHECK_INT(rig_reserve(&rig, b, 999, &id), TEL_RESERVED); /* far larger than a lease */
    CHECK_INT(rig_reserve(&rig, b, 2, &rest), TEL_OVER_CAP);
    CHECK_INT(rig_reserve(&rig, b, 1, &rest), TEL_RESERVED);
    CHECK_INT(rig_reserve(&rig, b, 1, &rest), TEL_OVER_CAP);
    CHECK_INT(rig_reserve(&rig, b, 0, &rest), TEL_RESERVED);
    CHECK_INT(rig_reserve(&rig, b, -1, &rest), TEL_OVER_CAP);
    tel_settle(rig.store, id, 10, false);
    CHECK_INT(rig_reserve(&rig, b, 989, &id), TEL_RESERVED);
    state_is(b, 10, 990);
    CHECK(tel_flush(rig.store));
    row_is(10, 990);
    rig_drop(&rig);
}

static void zero_cap_pays_nothing_and_any_index_else_is_refused(void)
{
    int b = begin(100, 0, CFG_PERIOD_MONTH);
    uint64_t id;
    CHECK_INT(rig_reserve(&rig, b, 1, &id), TEL_OVER_CAP);
    CHECK_INT(rig_reserve(&rig, b, 0, &id), TEL_RESERVED); /* a free model */
    CHECK_INT(rig_reserve(&rig, -1, 1, &id), TEL_UNAVAILABLE);
    CHECK_INT(rig_reserve(&rig, 63, 1, &id), TEL_UNAVAILABLE);
    CHECK_INT(tel_budget_state(rig.store, 63).available, false);
    rig_drop(&rig);
}

static void what_settlements_leave_goes_back(void)
{
    int b = begin(100, 100000, CFG_PERIOD_MONTH);
    uint64_t id[8];
    for (int i = 0; i < 8; i++)
        CHECK_INT(rig_reserve(&rig, b, 1000, &id[i]), TEL_RESERVED);
    CHECK(tel_flush(rig.store));
    CHECK(rig_query(&rig, "ledger.db", "SELECT leased_nano FROM period") >= 8000);
    for (int i = 0; i < 8; i++)
        tel_settle(rig.store, id[i], 1, false);
    rig_pump(&rig);
    row_is(8, 100);
    state_is(b, 8, 0);
    rig_drop(&rig);
}

static void largest_amounts_do_not_overflow(void)
{
    int b = begin(0, INT64_MAX, CFG_PERIOD_NONE);
    uint64_t id, other;
    CHECK_INT(rig_reserve(&rig, b, INT64_MAX - 5, &id), TEL_RESERVED);
    CHECK_INT(rig_reserve(&rig, b, 6, &other), TEL_OVER_CAP);
    CHECK_INT(rig_reserve(&rig, b, INT64_MAX, &other), TEL_OVER_CAP);
    tel_settle(rig.store, id, INT64_MAX, false);
    state_is(b, INT64_MAX, 0);
    CHECK_INT(rig_reserve(&rig, b, 1, &other), TEL_OVER_CAP);
    CHECK(tel_flush(rig.store));
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT spent_nano FROM period"), INT64_MAX);
    rig_drop(&rig);
}

static void overage_is_booked_counted_and_taken_from_the_lease(void)
{
    int b = begin(100, 1000, CFG_PERIOD_MONTH);
    uint64_t id;
    log_begin(&rig);
    CHECK_INT(rig_reserve(&rig, b, 40, &id), TEL_RESERVED);
    tel_settle(rig.store, id, 70, false);
    state_is(b, 70, 0);
    CHECK(tel_flush(rig.store));
    row_is(70, 30);
    CHECK_INT(tel_counters(rig.store).overages, 1);
    CHECK_INT(tel_counters(rig.store).overage_nano, 30);
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT overage_nano FROM period"), 30);
    CHECK_INT(log_count(&rig, "budget-overage"), 1);
    CHECK_INT(rig_reserve(&rig, b, 930, &id), TEL_RESERVED);
    tel_settle(rig.store, id, 2000, false);
    state_is(b, 2070, 0);
    CHECK_INT(rig_reserve(&rig, b, 1, &id), TEL_OVER_CAP);
    rig_close(&rig);
    row_is(2070, 0);
    log_end();
    rig_drop(&rig);
}

static void an_end_counts_once(void)
{
    int b = begin(100, 1000, CFG_PERIOD_MONTH);
    uint64_t id;
    log_begin(&rig);
    CHECK_INT(rig_reserve(&rig, b, 40, &id), TEL_RESERVED);
    tel_settle(rig.store, id, 40, false);
    tel_settle(rig.store, id, 40, false);
    tel_release(rig.store, id);
    tel_settle(rig.store, 123456, 1, false);
    state_is(b, 40, 0);
    CHECK_INT(tel_counters(rig.store).bad_ends, 3);
    CHECK_INT(log_count(&rig, "reservation-unknown"), 3);
    CHECK(tel_flush(rig.store));
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT count(*) FROM settlement"), 1);
    log_end();
    rig_drop(&rig);
}

struct answer {
    int calls, order;
    enum tel_outcome outcome;
    uint64_t id;
};

static int answers;

static void on_answer(void *arg, enum tel_outcome outcome, uint64_t id)
{
    struct answer *a = arg;
    a->calls++;
    a->order = ++answers;
    a->outcome = outcome;
    a->id = id;
}

static void those_that_wait_are_served_in_order(void)
{
    int b = begin(10, 100, CFG_PERIOD_MONTH);
    struct answer a[4] = { { 0 } };
    uint64_t ticket[4];
    answers = 0;
    CHECK_INT(tel_reserve(rig.store, b, 50, 1, on_answer, &a[0], &ticket[0]), TEL_WAIT);
    CHECK_INT(tel_reserve(rig.store, b, 5, 2, on_answer, &a[1], &ticket[1]), TEL_WAIT);
    CHECK_INT(tel_reserve(rig.store, b, 40, 3, on_answer, &a[2], &ticket[2]), TEL_WAIT);
    CHECK_INT(tel_reserve(rig.store, b, 50, 4, on_answer, &a[3], &ticket[3]), TEL_WAIT);
    CHECK_INT(a[0].calls, 0); /* never from inside tel_reserve */
    tel_reserve_cancel(rig.store, ticket[1]);
    rig_pump(&rig);
    CHECK_INT(a[0].outcome, TEL_RESERVED);
    CHECK(a[0].id == ticket[0] && a[2].id == ticket[2]);
    CHECK_INT(a[1].calls, 0);
    CHECK_INT(a[2].outcome, TEL_RESERVED);
    CHECK_INT(a[3].outcome, TEL_OVER_CAP);
    CHECK(a[0].order == 1 && a[2].order == 2 && a[3].order == 3);
    state_is(b, 0, 90);
    tel_reserve_cancel(rig.store, ticket[0]); /* too late: it is a reservation now */
    state_is(b, 0, 90);
    rig_drop(&rig);
}

static void what_it_holds_is_told(void)
{
    int b = begin(10, 100, CFG_PERIOD_MONTH);
    struct answer a = { 0 };
    uint64_t ticket, id;
    CHECK_STR(tel_budget_name(rig.store, b), "cloud");
    CHECK(!tel_budget_name(rig.store, b + 1) && !tel_budget_name(rig.store, -1));
    CHECK_INT(tel_reserve(rig.store, b, 50, 1, on_answer, &a, &ticket), TEL_WAIT);
    struct tel_load load = tel_load(rig.store);
    CHECK(load.open == 0 && load.waiting == 1 && load.available);
    rig_pump(&rig);
    CHECK_INT(rig_reserve(&rig, b, 5, &id), TEL_RESERVED);
    load = tel_load(rig.store);
    CHECK(load.open == 2 && load.waiting == 0);
    tel_settle(rig.store, id, 5, false);
    tel_release(rig.store, ticket);
    CHECK_INT(tel_load(rig.store).open, 0);
    rig_pump(&rig);
    CHECK_INT(tel_load(rig.store).ends + tel_load(rig.store).rows, 0);
    rig_drop(&rig);
}

static void two_hundred_at_once_never_exceed_the_cap(void)
{
    int b = begin(7, 1000, CFG_PERIOD_MONTH);
    static struct answer a[200];
    memset(a, 0, sizeof(a));
    int64_t reserved = 0;
    int n = 0;
    for (int i = 0; i < 200; i++) {
        uint64_t id;
        enum tel_outcome outcome =
            tel_reserve(rig.store, b, 10 + i % 7, (uint64_t)i, on_answer, &a[i], &id);
        if (outcome == TEL_WAIT)
            continue;
        a[i] = (struct answer){ 1, 0, outcome, id };
    }
    for (int i = 0; i < 400; i++)
        rig_pump(&rig);
    for (int i = 0; i < 200; i++) {
        CHECK_INT(a[i].calls, 1);
        CHECK(a[i].outcome == TEL_RESERVED || a[i].outcome == TEL_OVER_CAP);
        if (a[i].outcome == TEL_RESERVED) {
            reserved += 10 + i % 7;
            n++;
        }
    }
    CHECK(reserved <= 1000 && reserved > 1000 - 10); /* full to less than the smallest amount */
    state_is(b, 0, reserved);
    for (int i = 0; i < 200; i++)
        if (a[i].outcome == TEL_RESERVED)
            tel_settle(rig.store, a[i].id, 9, false);
    rig_close(&rig);
    row_is(9 * n, 0);
    rig_drop(&rig);
}

static void cap_and_name_survive_reload_and_restart(void)
{
    int b = begin(100, 1000, CFG_PERIOD_MONTH);
    uint64_t id;
    CHECK_INT(rig_reserve(&rig, b, 900, &id), TEL_RESERVED);
    tel_settle(rig.store, id, 900, false);
    CHECK_INT(tel_budget(rig.store, "cloud", 500, CFG_PERIOD_MONTH, 0), b);
    CHECK_INT(rig_reserve(&rig, b, 1, &id), TEL_OVER_CAP);
    CHECK_INT(tel_budget(rig.store, "cloud", 2000, CFG_PERIOD_MONTH, 0), b);
    CHECK_INT(rig_reserve(&rig, b, 1100, &id), TEL_RESERVED);
    tel_settle(rig.store, id, 100, false);
    int other = tel_budget(rig.store, "judge", 50, CFG_PERIOD_MONTH, 0);
    CHECK(other != b);
    rig_close(&rig);
    struct tg_error err;
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    b = tel_budget(rig.store, "cloud", 2000, CFG_PERIOD_MONTH, 0);
    CHECK_INT(tel_reserve(rig.store, b, 1001, 1, on_answer, &(struct answer){ 0 }, &id), TEL_WAIT);
    tel_reserve_cancel(rig.store, id);
    rig_pump(&rig);
    state_is(b, 1000, 0);
    for (int i = 1; i < TEL_BUDGETS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof(name), "b%d", i);
        CHECK_INT(tel_budget(rig.store, name, 1, CFG_PERIOD_DAY, 0), i);
    }
    CHECK_INT(tel_budget(rig.store, "one more", 1, CFG_PERIOD_DAY, 0), -1);
    rig_pump(&rig);
    rig_drop(&rig);
}

static void new_period_starts_at_zero_and_old_ends_count_in_the_old(void)
{
    int b = begin(100, 1000, CFG_PERIOD_DAY);
    uint64_t old, id;
    CHECK_INT(rig_reserve(&rig, b, 600, &old), TEL_RESERVED);
    CHECK_INT(rig_reserve(&rig, b, 600, &id), TEL_OVER_CAP);
    int64_t day = 86400000, today = atomic_load(&rig.now_ms);
    atomic_store(&rig.now_ms, today + day);
    state_is(b, 0, 0); /* before any reservation asked for it */
    CHECK_INT(rig_reserve(&rig, b, 600, &id), TEL_RESERVED);
    state_is(b, 0, 600);
    tel_settle(rig.store, old, 550, false);
    state_is(b, 0, 600);
    tel_settle(rig.store, id, 20, false);
    state_is(b, 20, 0);
    CHECK(tel_flush(rig.store));
    CHECK_INT(rig_query(&rig, "ledger.db",
                        "SELECT spent_nano FROM period WHERE start = '2026-11-20'"), 550);
    CHECK_INT(rig_query(&rig, "ledger.db",
                        "SELECT leased_nano FROM period WHERE start = '2026-11-20'"), 0);
    /* the clock goes back: the old day is not a second budget */
    atomic_store(&rig.now_ms, today);
    CHECK_INT(rig_reserve(&rig, b, 451, &id), TEL_OVER_CAP);
    CHECK_INT(rig_reserve(&rig, b, 450, &id), TEL_RESERVED);
    state_is(b, 550, 450);
    /* there and back again with a reservation open */
    atomic_store(&rig.now_ms, today + day);
    CHECK_INT(rig_reserve(&rig, b, 981, &old), TEL_OVER_CAP);
    atomic_store(&rig.now_ms, today);
    CHECK_INT(rig_reserve(&rig, b, 1, &old), TEL_OVER_CAP);
    state_is(b, 550, 450);
    tel_release(rig.store, id);
    rig_close(&rig);
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT sum(leased_nano) FROM period"), 0);
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT sum(spent_nano) FROM period"), 570);
    rig_drop(&rig);
}

static void alert_fires_once_for_a_period_and_cap(void)
{
    int b = begin(100, 1000, CFG_PERIOD_DAY);
    uint64_t id;
    log_begin(&rig);
    for (int i = 0; i < 9; i++) {
        CHECK_INT(rig_reserve(&rig, b, 100, &id), TEL_RESERVED);
        tel_settle(rig.store, id, 100, false);
        CHECK(tel_flush(rig.store));
        CHECK_INT(log_count(&rig, "budget-alert"), i < 7 ? 0 : 1);
    }
    rig_close(&rig);
    struct tg_error err;
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    b = tel_budget(rig.store, "cloud", 1000, CFG_PERIOD_DAY, 800000);
    rig_pump(&rig);
    CHECK_INT(log_count(&rig, "budget-alert"), 1);
    tel_budget(rig.store, "cloud", 1100, CFG_PERIOD_DAY, 800000); /* 900 of 1100: armed again */
    rig_pump(&rig);
    CHECK_INT(log_count(&rig, "budget-alert"), 2);
    tel_budget(rig.store, "cloud", 1100, CFG_PERIOD_DAY, 0); /* none */
    atomic_fetch_add(&rig.now_ms, 86400000);
    tel_budget(rig.store, "cloud", 1000, CFG_PERIOD_DAY, 800000);
    rig_pump(&rig);
    CHECK_INT(log_count(&rig, "budget-alert"), 2);
    CHECK_INT(rig_reserve(&rig, b, 800, &id), TEL_RESERVED);
    tel_settle(rig.store, id, 800, false);
    CHECK(tel_flush(rig.store));
    CHECK_INT(log_count(&rig, "budget-alert"), 3);
    log_end();
    rig_drop(&rig);
}

static void reservations_open_at_close_count_in_full(void)
{
    int b = begin(100, 1000, CFG_PERIOD_MONTH);
    uint64_t id;
    log_begin(&rig);
    CHECK_INT(rig_reserve(&rig, b, 70, &id), TEL_RESERVED);
    CHECK_INT(rig_reserve(&rig, b, 10, &id), TEL_RESERVED);
    tel_settle(rig.store, id, 4, false);
    rig_close(&rig);
    row_is(74, 0);
    CHECK_INT(rig_query(&rig, "ledger.db",
                        "SELECT cost_nano FROM settlement WHERE state = 'abandoned'"), 70);
    CHECK_INT(log_count(&rig, "reservations-abandoned"), 1);
    log_end();
    rig_drop(&rig);
}

static void ledger_changed_by_another_hand_is_noticed(void)
{
    int b = begin(100, 1000, CFG_PERIOD_MONTH);
    uint64_t id;
    log_begin(&rig);
    CHECK_INT(rig_reserve(&rig, b, 50, &id), TEL_RESERVED);
    CHECK(rig_exec(&rig, "ledger.db", "UPDATE period SET spent_nano = 990"));
    uint64_t other;
    CHECK_INT(rig_reserve(&rig, b, 600, &other), TEL_OVER_CAP);
    CHECK_INT(log_count(&rig, "ledger-mismatch"), 1);
    log_end();
    rig_drop(&rig);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(settles_at_actual_and_frees_the_rest),
        CASE(estimates_are_flagged),
        CASE(cap_is_exact),
        CASE(zero_cap_pays_nothing_and_any_index_else_is_refused),
        CASE(what_settlements_leave_goes_back),
        CASE(largest_amounts_do_not_overflow),
        CASE(overage_is_booked_counted_and_taken_from_the_lease),
        CASE(an_end_counts_once),
        CASE(those_that_wait_are_served_in_order),
        CASE(what_it_holds_is_told),
        CASE(two_hundred_at_once_never_exceed_the_cap),
        CASE(cap_and_name_survive_reload_and_restart),
        CASE(new_period_starts_at_zero_and_old_ends_count_in_the_old),
        CASE(alert_fires_once_for_a_period_and_cap),
        CASE(reservations_open_at_close_count_in_full),
        CASE(ledger_changed_by_another_hand_is_noticed),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
