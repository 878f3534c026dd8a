/* Another program holds a file, or its disk hangs: requests are let in all the same, rows that find
 * no room are dropped and counted, and no end of a reservation is lost. */
#include "tests/unit/check.h"

#include <poll.h>
#include <sqlite3.h>
#include <stdlib.h>

#include "config/base/clock.h"
#include "telemetry/internal.h"
#include "tests/unit/telemetry/support_store.h"

static struct rig rig;
static sqlite3 *other; /* the other program */

static const struct tel_row a_row = { .request = 1, .started_ms = 1795176000000, .status = 200 };

static int begin(void)
{
    int b = rig_begin(&rig, 4);
    CHECK(b >= 0);
    return b;
}

static void end(void)
{
    log_end();
    rig_drop(&rig);
}

static void hold_by(const char *file, const char *sql)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", rig.dir, file);
    CHECK(sqlite3_open(path, &other) == SQLITE_OK &&
          sqlite3_exec(other, sql, NULL, NULL, NULL) == SQLITE_OK);
}

static void hold(const char *file)
{
    hold_by(file, "BEGIN IMMEDIATE");
}

static void let_go(const char *sql)
{
    CHECK(sqlite3_exec(other, sql, NULL, NULL, NULL) == SQLITE_OK &&
          sqlite3_exec(other, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_close(other);
}

static int64_t ms_since(int64_t begun_ns)
{
    return (tg_mono_ns() - begun_ns) / 1000000;
}

/* How long a request waited; -1: not let in within the time. */
static int64_t admitted_after(int64_t most_ms)
{
    int64_t begun = tg_mono_ns();
    while (!tel_admit(rig.store)) {
        if (ms_since(begun) > most_ms)
            return -1;
        poll(NULL, 0, 1);
    }
    return ms_since(begun);
}

static uint64_t dropped(void)
{
    return tel_counters(rig.store).rows_dropped;
}

/* Requests that end at once; how many there were until the first row was dropped. */
static int fill_the_log(void)
{
    int n = 0;
    for (; n < 4000 && dropped() == 0; n++) {
        CHECK(admitted_after(1500) >= 0); /* SQLite waits for longer */
        tel_row(rig.store, &a_row);
        tel_retire(rig.store);
    }
    return n;
}

static void held_log_drops_rows_and_lets_requests_in(void)
{
    begin();
    hold("log.db");
    int64_t begun = tg_mono_ns();
    int n = fill_the_log();
    CHECK(dropped() == 1 && ms_since(begun) >= TEL_STUCK_MS); /* behind at first: that waits */
    CHECK(n > TEL_ROWS_SPARE);
    for (int i = 0; i < 100; i++, n++) {
        CHECK(tel_admit(rig.store));
        tel_row(rig.store, &a_row);
        tel_retire(rig.store);
    }
    CHECK_INT(dropped(), 101);
    let_go("SELECT 1");
    CHECK(tel_flush(rig.store));
    CHECK_INT(rig_query(&rig, "log.db", "SELECT count(*) FROM request"), n - 101);
    end();
}

/* The queue was filled while the thread was stuck; then the log cannot be written. */
static void failing_log_with_a_full_queue_lets_requests_in(void)
{
    begin();
    hold("log.db");
    int n = fill_the_log();
    let_go("CREATE TRIGGER no BEFORE INSERT ON request BEGIN SELECT raise(ABORT, 'not now'); END");
    for (int i = 0; i < 5000 && atomic_load(&rig.store->log_up); i++)
        poll(NULL, 0, 1);
    CHECK(!atomic_load(&rig.store->log_up));
    for (int i = 0; i < 100; i++, n++) {
        CHECK(tel_admit(rig.store));
        tel_row_refused(rig.store, &a_row);
        tel_retire(rig.store);
    }
    CHECK_INT(dropped(), 101);
    CHECK(rig_exec(&rig, "log.db", "DROP TRIGGER no"));
    CHECK(tel_flush(rig.store));
    CHECK_INT(rig_query(&rig, "log.db", "SELECT count(*) FROM request"), n - 101);
    end();
}

/* How long the ledger took for a lease. */
static int64_t leased_after(int budget)
{
    int64_t begun = tg_mono_ns();
    uint64_t id;
    CHECK_INT(rig_reserve_unhurried(&rig, budget, 500, &id), TEL_RESERVED);
    int64_t took = ms_since(begun);
    tel_release(rig.store, id);
    return took;
}

/* The tries of a log that is down; the first one has SQLite's 2 s, as of a log that works. */
/* By a writer, and by one that lets nobody open the file. */
static void hold_up(const char *sql)
{
    int b = begin();
    static const char no[] =
        "CREATE TRIGGER no BEFORE INSERT ON request BEGIN SELECT raise(ABORT, 'not now'); END";
    CHECK(rig_exec(&rig, "log.db", no));
    tel_row(rig.store, &a_row);
    CHECK(!tel_flush(rig.store));
    hold_by("log.db", sql);
    int64_t begun = tg_mono_ns();
    while (ms_since(begun) < 2 * TEL_RETRY_FIRST_MS) { /* a try at least */
        CHECK(leased_after(b) < 1000);
        poll(NULL, 0, 10);
    }
    let_go("DROP TRIGGER no");
    CHECK(tel_flush(rig.store));
    CHECK_INT(rig_query(&rig, "log.db", "SELECT count(*) FROM request"), 1);
    end();
}

static void held_log_does_not_hold_up_the_ledger_again_and_again(void)
{
    hold_up("BEGIN IMMEDIATE");
    hold_up("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE");
}

static void no_answer(void *arg, enum tel_outcome outcome, uint64_t id)
{
    (void)arg;
    (void)outcome;
    (void)id;
}

/* As many ends as the queue has room for: then what is free goes on, and what is paid does not. */
static void held_ledger_lets_requests_in_and_keeps_all_ends(void)
{
    int b = begin();
    uint64_t id, first;
    CHECK_INT(rig_reserve(&rig, b, 10, &first), TEL_RESERVED);
    rig_pump(&rig);
    hold("ledger.db");
    int ends = 0;
    for (int64_t begun = tg_mono_ns(); ms_since(begun) < 2 * TEL_STUCK_MS;) {
        if (tel_reserve(rig.store, b, 1, 7, no_answer, NULL, &id) == TEL_RESERVED) {
            tel_release(rig.store, id);
            ends++;
        } else {
            poll(NULL, 0, 1); /* the thread may not have taken its batch yet */
        }
    }
    CHECK(ends > 4096);
    CHECK(tel_budget_state(rig.store, b).available); /* SQLite still waits */
    for (int i = 0; i < 4; i++)
        CHECK(admitted_after(1500) >= 0);
    CHECK(!tel_admit(rig.store)); /* in_flight */
    for (int i = 0; i < 4; i++) {
        CHECK_INT(tel_reserve(rig.store, b, 1, 7, no_answer, NULL, &id), TEL_UNAVAILABLE);
        tel_row(rig.store, &a_row);
        tel_retire(rig.store);
        CHECK(tel_admit(rig.store));
    }
    tel_settle(rig.store, first, 10, false); /* has its slot */
    let_go("SELECT 1");
    rig_pump(&rig);
    for (int i = 0; i < 4; i++) { /* those without slots find some again */
        CHECK_INT(rig_reserve(&rig, b, 1, &id), TEL_RESERVED);
        tel_release(rig.store, id);
        tel_retire(rig.store);
    }
    rig_pump(&rig);
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT count(*) FROM settlement"), ends + 5);
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT spent_nano FROM period"), 10);
    CHECK_INT(dropped(), 0);
    end();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(held_log_drops_rows_and_lets_requests_in),
        CASE(failing_log_with_a_full_queue_lets_requests_in),
        CASE(held_log_does_not_hold_up_the_ledger_again_and_again),
        CASE(held_ledger_lets_requests_in_and_keeps_all_ends),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
