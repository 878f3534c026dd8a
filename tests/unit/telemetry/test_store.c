/* Opening, locking, versions, admission, rows, and memory that runs out. */
#include "tests/unit/check.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/log.h"
#include "tests/unit/telemetry/support_store.h"
#include "telemetry/sql.h"

static struct rig rig;
static struct tg_error err;

static void second_opener_is_told_the_holder(void)
{
    CHECK(rig_make(&rig));
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    struct rig second = { .store = NULL };
    memcpy(second.dir, rig.dir, sizeof(second.dir));
    CHECK_INT(rig_open(&second, &err), TG_AGAIN);
    char pid[32];
    snprintf(pid, sizeof(pid), "process %d", (int)getpid());
    CHECK(strstr(err.text, pid) != NULL);
    CHECK(strstr(err.text, rig.dir) != NULL);
    rig_close(&rig);
    CHECK_INT(rig_open(&second, &err), TG_OK); /* its holder is gone; the file is stale */
    rig_close(&second);
    rig_drop(&rig);
}

static void lock_of_a_killed_process_is_harmless(void)
{
    CHECK(rig_make(&rig));
    int ready[2];
    CHECK_INT(pipe(ready), 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        char ok = rig_open(&rig, &err) == TG_OK;
        if (write(ready[1], &ok, 1) != 1)
            _exit(1);
        pause();
    }
    char ok = 0;
    CHECK_INT(read(ready[0], &ok, 1), 1);
    CHECK(ok);
    CHECK_INT(rig_open(&rig, &err), TG_AGAIN);
    char text[32];
    snprintf(text, sizeof(text), "process %d", (int)pid);
    CHECK(strstr(err.text, text) != NULL);
    kill(pid, SIGKILL);
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    close(ready[0]);
    close(ready[1]);
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    rig_drop(&rig);
}

static void folder_is_made_with_its_parents(void)
{
    CHECK(rig_make(&rig));
    struct rig deep = { .store = NULL };
    snprintf(deep.dir, sizeof(deep.dir), "%.60s/a/b", rig.dir);
    CHECK_INT(rig_open(&deep, &err), TG_OK);
    rig_close(&deep);
    CHECK_INT(rig_query(&rig, "a/b/ledger.db", "PRAGMA user_version"), tel_ledger_schema.n_steps);
    CHECK_INT(rig_query(&rig, "a/b/log.db", "PRAGMA user_version"), tel_log_schema.n_steps);
    snprintf(deep.dir, sizeof(deep.dir), "%.60s/a/b/log.db", rig.dir);
    CHECK_INT(rig_open(&deep, &err), TG_IO);
    CHECK(strstr(err.text, "Not a directory") != NULL);
    rig_drop(&rig);
}

/* What is asked and paid is nobody else's business. */
static void files_are_private(void)
{
    static const char *const files[] = { "", "/lock", "/ledger.db", "/ledger.db-wal",
                                         "/ledger.db-shm", "/log.db", "/log.db-wal" };
    CHECK(rig_make(&rig));
    struct rig fresh = { .store = NULL };
    snprintf(fresh.dir, sizeof(fresh.dir), "%.60s/fresh", rig.dir);
    mode_t before = umask(0);
    enum tg_status status = rig_open(&fresh, &err);
    umask(before);
    CHECK_INT(status, TG_OK);
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        char path[160];
        struct stat st;
        snprintf(path, sizeof(path), "%s%s", fresh.dir, files[i]);
        CHECK_INT(stat(path, &st), 0);
        CHECK_INT(st.st_mode & 0777, i == 0 ? 0700 : 0600);
    }
    rig_close(&fresh);
    rig_drop(&rig);
}

/* A machine whose clock is not set yet, or far off, still gets its periods. */
static void wrong_clock_still_finds_a_period(void)
{
    static const int64_t clocks[] = { -86400001, INT64_MIN, INT64_MAX };
    CHECK(rig_make(&rig));
    rig.lease_nano = 100;
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    int b = tel_budget(rig.store, "cloud", 1000, CFG_PERIOD_DAY, 0);
    for (size_t i = 0; i < sizeof(clocks) / sizeof(*clocks); i++) {
        uint64_t id;
        atomic_store(&rig.now_ms, clocks[i]);
        CHECK_INT(rig_reserve(&rig, b, 10, &id), TEL_RESERVED);
        tel_settle(rig.store, id, 10, false);
    }
    rig_close(&rig);
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT sum(spent_nano) FROM period"), 30);
    rig_drop(&rig);
}

static void newer_version_is_refused(void)
{
    static const char *const files[] = { "ledger.db", "log.db" };
    for (int i = 0; i < 2; i++) {
        CHECK(rig_make(&rig));
        CHECK_INT(rig_open(&rig, &err), TG_OK);
        rig_close(&rig);
        CHECK(rig_exec(&rig, files[i], "PRAGMA user_version = 99"));
        CHECK_INT(rig_open(&rig, &err), TG_UNSUPPORTED);
        CHECK(strstr(err.text, files[i]) && strstr(err.text, "version 99"));
        CHECK(rig.store == NULL);
        rig_drop(&rig);
    }
}

static const char *const two_steps[] = {
    "CREATE TABLE t(a INTEGER) STRICT; INSERT INTO t VALUES(7);",
    "ALTER TABLE t ADD COLUMN b INTEGER NOT NULL DEFAULT 5;",
};
static const char *const bad_steps[] = {
    "CREATE TABLE t(a INTEGER) STRICT; INSERT INTO t VALUES(7);",
    "CREATE TABLE u(a INTEGER); INSERT INTO nothing VALUES(1);",
};

static enum tg_status migrate(const char *const *steps, int n)
{
    struct tel_schema schema = { "test", steps, n };
    char path[160];
    sqlite3 *db;
    snprintf(path, sizeof(path), "%s/t.db", rig.dir);
    enum tg_status status = tel_sql_open(path, false, TEL_BUSY_MS, &schema, &db, &err);
    sqlite3_close(db);
    return status;
}

static void older_version_is_migrated_and_keeps_its_rows(void)
{
    CHECK(rig_make(&rig));
    CHECK_INT(migrate(two_steps, 1), TG_OK);
    CHECK_INT(rig_query(&rig, "t.db", "PRAGMA user_version"), 1);
    CHECK(rig_exec(&rig, "t.db", "UPDATE t SET a = 8"));
    CHECK_INT(migrate(bad_steps, 2), TG_IO); /* all of it or nothing */
    CHECK_INT(rig_query(&rig, "t.db", "PRAGMA user_version"), 1);
    CHECK_INT(rig_query(&rig, "t.db", "SELECT count(*) FROM sqlite_schema"), 1);
    CHECK_INT(migrate(two_steps, 2), TG_OK);
    CHECK_INT(migrate(two_steps, 2), TG_OK);
    CHECK_INT(rig_query(&rig, "t.db", "SELECT a + b FROM t"), 13);
    CHECK_INT(migrate(two_steps, 1), TG_UNSUPPORTED);
    rig_drop(&rig);
}

static void admission_is_bounded_and_given_back(void)
{
    CHECK(rig_make(&rig));
    rig.in_flight = 8;
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    int b = tel_budget(rig.store, "b", INT64_MAX, CFG_PERIOD_NONE, 0);
    rig_pump(&rig);
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 8; i++)
            CHECK(tel_admit(rig.store));
        CHECK(!tel_admit(rig.store));
        tel_row_refused(rig.store, &(struct tel_row){ .request = 2 }); /* takes no slot of theirs */
        for (int i = 0; i < 8; i++) {
            uint64_t id;
            for (int k = 0; k < round % 10; k++) {
                CHECK_INT(rig_reserve(&rig, b, 5, &id), TEL_RESERVED);
                tel_settle(rig.store, id, 1, false);
            }
            tel_row(rig.store, &(struct tel_row){ .request = 1 });
            tel_retire(rig.store);
        }
        CHECK(tel_flush(rig.store)); /* a disk that keeps up */
    }
    rig_close(&rig);
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT spent_nano FROM period"), 60 / 10 * 45 * 8);
    CHECK_INT(rig_query(&rig, "log.db", "SELECT count(*) FROM request"), 540);
    rig_drop(&rig);
}

static void limit_moves_within_what_there_is_room_for(void)
{
    CHECK(rig_make(&rig));
    rig.in_flight = 4;
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    for (int i = 0; i < 3; i++)
        CHECK(tel_admit(rig.store));
    CHECK(!tel_limit(rig.store, 5));
    CHECK(tel_limit(rig.store, 2));
    CHECK(!tel_admit(rig.store)); /* three are there */
    tel_retire(rig.store);
    CHECK(!tel_admit(rig.store));
    tel_retire(rig.store);
    CHECK(tel_admit(rig.store) && !tel_admit(rig.store));
    CHECK(tel_limit(rig.store, 4));
    CHECK(tel_admit(rig.store) && tel_admit(rig.store) && !tel_admit(rig.store));
    rig_drop(&rig);
}

static void row_keeps_its_values(void)
{
    CHECK(rig_make(&rig));
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    char reason[400];
    for (int i = 0; i < 399; i += 3)
        memcpy(reason + i, "\xe2\x82\xac", 3); /* must not be cut inside a character */
    reason[399] = '\0';
    struct tel_row row = { .request = 0xfedcba9876543210ULL, .started_ms = 123, .route = "r",
                           .backend = "p/m", .dialect = "d", .reason = reason, .error = NULL,
                           .status = 499, .stream = true, .escalated = true, .has_confidence = true,
                           .confidence = 0.25, .prompt_tokens = 0, .output_tokens = -1,
                           .cost_nano = 17, .saved_nano = 18, .queue_ms = -1, .ttft_ms = 2,
                           .total_ms = 3, .attempts = 2 };
    tel_row(rig.store, &row);
    CHECK(tel_flush(rig.store));
    CHECK_INT(rig_query(&rig, "log.db",
                        "SELECT count(*) FROM request WHERE request = 'fedcba9876543210' AND"
                        " started_ms = 123 AND route = 'r' AND backend = 'p/m' AND dialect = 'd'"
                        " AND error = '' AND status = 499 AND stream = 1 AND escalated = 1 AND"
                        " local_only = 0 AND estimated = 0 AND confidence = 0.25 AND complexity IS"
                        " NULL AND prompt_tokens = 0 AND output_tokens IS NULL AND cost_nano = 17"
                        " AND saved_nano = 18 AND queue_ms IS NULL AND ttft_ms = 2 AND total_ms = 3"
                        " AND attempts = 2"),
              1);
    CHECK_INT(rig_query(&rig, "log.db", "SELECT length(CAST(reason AS BLOB)) FROM request"), 198);
    CHECK_INT(rig_query(&rig, "log.db",
                        "SELECT reason = replace(hex(zeroblob(66)), '00', char(8364))"
                        " FROM request"),
              1);
    rig_drop(&rig);
}

static void forget(void *arg, enum tel_outcome outcome, uint64_t id)
{
    (void)arg;
    (void)outcome;
    (void)id;
}

/* One life of a store in which the n-th allocation fails. True when it opened. */
static bool live_with_failure(uint64_t n)
{
    tg_alloc_fail_nth(n);
    bool opened = rig_open(&rig, &err) == TG_OK;
    if (opened) {
        uint64_t id;
        int b = tel_budget(rig.store, "b", 1000, CFG_PERIOD_MONTH, 0);
        tel_flush(rig.store);
        tel_dispatch(rig.store);
        if (tel_reserve(rig.store, b, 10, 1, forget, NULL, &id) == TEL_RESERVED)
            tel_settle(rig.store, id, 5, false);
        tel_row(rig.store, &(struct tel_row){ .request = 1 });
        rig_close(&rig);
    }
    FILE *null = fopen("/dev/null", "w");
    tel_report(rig.dir, 0, INT64_MAX, true, null, &err);
    fclose(null);
    return opened;
}

static void memory_that_runs_out_breaks_nothing(void)
{
    CHECK(rig_make(&rig));
    log_begin(&rig);
    uint64_t n = 0, made;
    int opened = 0;
    do {
        n++;
        opened += live_with_failure(n);
        made = tg_alloc_count();
    } while (n <= made && n < 1000);
    tg_alloc_fail_nth(0);
    CHECK(n > 10 && n < 1000);
    CHECK(opened > 0 && opened < (int)n);
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT sum(leased_nano) FROM period"), 0);
    log_end();
    rig_drop(&rig);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(second_opener_is_told_the_holder),
        CASE(lock_of_a_killed_process_is_harmless),
        CASE(folder_is_made_with_its_parents),
        CASE(files_are_private),
        CASE(wrong_clock_still_finds_a_period),
        CASE(newer_version_is_refused),
        CASE(older_version_is_migrated_and_keeps_its_rows),
        CASE(admission_is_bounded_and_given_back),
        CASE(limit_moves_within_what_there_is_room_for),
        CASE(row_keeps_its_values),
        CASE(memory_that_runs_out_breaks_nothing),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
