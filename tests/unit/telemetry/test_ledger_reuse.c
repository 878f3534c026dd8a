/* The place of a budget that nobody uses any more is used again: not before all of it has ended,
 * and with its lease back in the ledger. */
#include <stdio.h>
#include <string.h>

#include "config/base/alloc.h"
#include "tests/unit/check.h"
#include "tests/unit/telemetry/support_store.h"

static struct rig rig;

static void begin(void)
{
    struct tg_error err = { 0 };
    CHECK(rig_make(&rig));
    rig.lease_nano = 100;
    CHECK_INT(rig_open(&rig, &err), TG_OK);
}

static int declare(const char *name)
{
    return tel_budget(rig.store, name, 1000, CFG_PERIOD_MONTH, 0);
}

static int64_t leased(void)
{
    return rig_query(&rig, "ledger.db", "SELECT sum(leased_nano) FROM period");
}

static int64_t spent_of(const char *name)
{
    char sql[128];
    snprintf(sql, sizeof(sql), "SELECT spent_nano FROM period WHERE budget = '%s'", name);
    return rig_query(&rig, "ledger.db", sql);
}

static void spend(int budget, int64_t amount)
{
    uint64_t id;
    CHECK_INT(rig_reserve(&rig, budget, amount, &id), TEL_RESERVED);
    tel_settle(rig.store, id, amount, false);
}

static void a_place_is_used_again(void)
{
    begin();
    int a = declare("a"), b = declare("b");
    spend(a, 30);
    spend(b, 40);
    rig_pump(&rig);
    CHECK(leased() > 0);
    tel_budget_drop(rig.store, a);
    CHECK_STR(tel_budget_name(rig.store, a), "a"); /* its lease is on the way back */
    rig_pump(&rig);
    CHECK(!tel_budget_name(rig.store, a) && tel_budgets(rig.store) == 2);
    CHECK_INT(tel_budget_state(rig.store, a).cap, 0);
    CHECK_INT(rig_query(&rig, "ledger.db",
                        "SELECT leased_nano FROM period WHERE budget = 'a'"), 0);
    CHECK_INT(declare("c"), a);
    rig_pump(&rig);
    CHECK_INT(tel_budget_state(rig.store, a).spent, 0);
    spend(a, 50);
    rig_pump(&rig);
    CHECK(spent_of("a") == 30 && spent_of("b") == 40 && spent_of("c") == 50);
    int again = declare("a"); /* what it spent is known by its name */
    CHECK_INT(again, 2);
    rig_pump(&rig);
    CHECK_INT(tel_budget_state(rig.store, again).spent, 30);
    rig_close(&rig);
    CHECK_INT(leased(), 0);
    rig_drop(&rig);
}

static void each_user_counts(void)
{
    begin();
    int a = declare("a");
    CHECK_INT(declare("a"), a);
    tel_budget_drop(rig.store, a);
    rig_pump(&rig);
    spend(a, 10);
    tel_budget_drop(rig.store, a);
    tel_budget_drop(rig.store, a); /* one too many: nothing */
    uint64_t id;
    CHECK_INT(rig_reserve(&rig, a, 10, &id), TEL_UNAVAILABLE);
    rig_pump(&rig);
    CHECK(!tel_budget_name(rig.store, a));
    tel_budget_drop(rig.store, a);
    tel_budget_drop(rig.store, -1);
    tel_budget_drop(rig.store, 7);
    CHECK_INT(rig_reserve(&rig, a, 10, &id), TEL_UNAVAILABLE);
    rig_drop(&rig);
}

/* Between the drop and the ledger's answer: the place stays, and nothing is lost. */
static void whoever_comes_back_in_time_keeps_the_place(void)
{
    begin();
    int a = declare("a");
    spend(a, 30);
    rig_pump(&rig);
    tel_budget_drop(rig.store, a);
    CHECK_INT(declare("a"), a);
    CHECK_INT(tel_budget_state(rig.store, a).spent, 30);
    spend(a, 970);
    uint64_t id;
    CHECK_INT(rig_reserve(&rig, a, 1, &id), TEL_OVER_CAP);
    rig_pump(&rig);
    CHECK(spent_of("a") == 1000 && leased() == 0);
    CHECK_INT(tel_budget_state(rig.store, a).spent, 1000);
    rig_drop(&rig);
}

static void what_is_reserved_keeps_the_place(void)
{
    begin();
    int a = declare("a");
    uint64_t first, second;
    CHECK_INT(rig_reserve(&rig, a, 60, &first), TEL_RESERVED);
    CHECK_INT(rig_reserve(&rig, a, 70, &second), TEL_RESERVED);
    tel_budget_drop(rig.store, a);
    rig_pump(&rig);
    CHECK_INT(declare("b"), 1);
    atomic_store(&rig.now_ms, atomic_load(&rig.now_ms) + 40 * 86400000LL); /* another month */
    tel_settle(rig.store, first, 50, false);
    rig_pump(&rig);
    CHECK_STR(tel_budget_name(rig.store, a), "a");
    tel_release(rig.store, second);
    CHECK_STR(tel_budget_name(rig.store, a), "a");
    rig_pump(&rig);
    CHECK(!tel_budget_name(rig.store, a));
    CHECK(spent_of("a") == 50 && leased() == 0);
    CHECK_INT(declare("c"), a);
    rig_drop(&rig);
}

static struct {
    int n;
    enum tel_outcome outcome;
} heard;

static void on_answer(void *arg, enum tel_outcome outcome, uint64_t id)
{
    (void)arg;
    heard.n++;
    heard.outcome = outcome;
    if (outcome == TEL_RESERVED)
        tel_release(rig.store, id);
}

static void what_waits_keeps_the_place(void)
{
    begin();
    int a = declare("a");
    uint64_t waiting, cancelled;
    heard.n = 0;
    CHECK_INT(tel_reserve(rig.store, a, 10, 1, on_answer, NULL, &waiting), TEL_WAIT);
    CHECK_INT(tel_reserve(rig.store, a, 10, 1, on_answer, NULL, &cancelled), TEL_WAIT);
    tel_budget_drop(rig.store, a);
    tel_reserve_cancel(rig.store, cancelled);
    rig_pump(&rig);
    CHECK(heard.n == 1 && heard.outcome == TEL_RESERVED);
    rig_pump(&rig);
    CHECK(!tel_budget_name(rig.store, a) && leased() == 0);
    rig_drop(&rig);
}

/* While the ledger is down nothing can go back: the place stays until it is up again. */
static void a_ledger_that_is_down_keeps_the_place(void)
{
    begin();
    int a = declare("a");
    spend(a, 30);
    rig_pump(&rig);
    CHECK(rig_exec(&rig, "ledger.db", "CREATE TRIGGER no BEFORE INSERT ON lease BEGIN SELECT "
                                      "RAISE(ABORT, 'no'); END"));
    log_begin(&rig);
    tel_budget_drop(rig.store, a);
    rig_pump(&rig);
    CHECK_STR(tel_budget_name(rig.store, a), "a");
    CHECK_INT(declare("b"), 1);
    CHECK(rig_exec(&rig, "ledger.db", "DROP TRIGGER no"));
    rig_pump(&rig);
    log_end();
    CHECK(!tel_budget_name(rig.store, a));
    CHECK_INT(rig_query(&rig, "ledger.db",
                        "SELECT leased_nano FROM period WHERE budget = 'a'"), 0);
    CHECK_INT(declare("c"), a);
    rig_drop(&rig);
}

/* Keys come and go for months. */
static void more_than_the_table_holds_come_and_go(void)
{
    char name[32];
    begin();
    int route = declare("route");
    for (int i = 0; i < 3 * TEL_BUDGETS_MAX; i++) {
        snprintf(name, sizeof(name), "key:%d", i);
        int b = declare(name);
        CHECK(b >= 0 && b != route);
        tel_budget_drop(rig.store, b);
        if (i % 500 == 0)
            rig_pump(&rig);
    }
    rig_pump(&rig);
    CHECK(tel_budgets(rig.store) < TEL_BUDGETS_MAX);
    for (int i = 1; i < TEL_BUDGETS_MAX; i++) {
        snprintf(name, sizeof(name), "other:%d", i);
        CHECK(declare(name) >= 0);
    }
    CHECK_INT(declare("one more"), -1);
    tel_budget_drop(rig.store, 1);
    rig_pump(&rig);
    tg_alloc_fail_nth(1);
    CHECK_INT(declare("one more"), -1);
    tg_alloc_fail_nth(0);
    CHECK_INT(declare("one more"), 1);
    rig_drop(&rig);
}

/* Any order of it all: what the ledger holds of each name is what was settled of it, and in the end
 * nothing is leased. */
static void random_comings_and_goings(void)
{
    enum { NAMES = 12, STEPS = 3000, OPEN = 6 };
    static struct {
        char name[8];
        int users, budget, n_open;
        uint64_t open[OPEN];
        int64_t spent;
    } of[NAMES];
    uint64_t noise = 11;
    begin();
    log_begin(&rig); /* an overage is a line */
    for (int i = 0; i < NAMES; i++)
        snprintf(of[i].name, sizeof(of[i].name), "n%d", i);
    for (int step = 0; step < STEPS; step++) {
        uint64_t dice = next_random(&noise);
        int i = (int)(dice % NAMES), what = (int)(dice >> 8) % 8;
        int64_t amount = (int64_t)(dice >> 16) % 60;
        uint64_t id;
        if (what < 2 && of[i].users < 3) {
            int b = tel_budget(rig.store, of[i].name, INT64_MAX, CFG_PERIOD_NONE, 0);
            CHECK(b >= 0 && (!of[i].users || b == of[i].budget));
            of[i].budget = b;
            of[i].users++;
        } else if (what < 4 && of[i].users) {
            of[i].users--;
            tel_budget_drop(rig.store, of[i].budget);
        } else if (what < 6 && of[i].users && of[i].n_open < OPEN) {
            CHECK_STR(tel_budget_name(rig.store, of[i].budget), of[i].name);
            if (tel_reserve(rig.store, of[i].budget, amount, 1, on_answer, NULL, &id) ==
                TEL_RESERVED)
                of[i].open[of[i].n_open++] = id;
        } else if (of[i].n_open) {
            id = of[i].open[--of[i].n_open];
            of[i].spent += amount;
            tel_settle(rig.store, id, amount, false); /* overages too */
        }
        if (dice >> 60 == 0)
            rig_pump(&rig);
    }
    for (int i = 0; i < NAMES; i++) {
        while (of[i].n_open)
            tel_release(rig.store, of[i].open[--of[i].n_open]);
        while (of[i].users-- > 0)
            tel_budget_drop(rig.store, of[i].budget);
    }
    rig_pump(&rig);
    CHECK_INT(leased(), 0);
    for (int i = 0; i < NAMES; i++) {
        CHECK(!tel_budget_name(rig.store, i));
        CHECK_INT(spent_of(of[i].name), of[i].spent);
    }
    CHECK_INT(tel_counters(rig.store).bad_ends, 0);
    log_end();
    rig_drop(&rig);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(a_place_is_used_again),
        CASE(each_user_counts),
        CASE(whoever_comes_back_in_time_keeps_the_place),
        CASE(what_is_reserved_keeps_the_place),
        CASE(what_waits_keeps_the_place),
        CASE(a_ledger_that_is_down_keeps_the_place),
        CASE(more_than_the_table_holds_come_and_go),
        CASE(random_comings_and_goings),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
