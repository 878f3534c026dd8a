/* Disks that are full, folders that may not be written, files that are damaged: no paid call
 * without a ledger, nothing lost that can be kept, and one database does not hurt the other. */
#include "tests/unit/check.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/base/clock.h"
#include "telemetry/internal.h"
#include "telemetry/keys.h"
#include "telemetry/sql.h"
#include "tests/unit/telemetry/support_store.h"

static struct rig rig;
static struct tg_error err;

static const struct tel_row a_row = { .request = 1,
                                      .started_ms = 1795176000000,
                                      .route = "r",
                                      .backend = "local",
                                      .dialect = "openai-chat",
                                      .reason = "primary",
                                      .error = "",
                                      .status = 200,
                                      .prompt_tokens = -1,
                                      .output_tokens = -1,
                                      .attempts = 1 };

static int begin(void)
{
    int b = rig_begin(&rig, 0);
    CHECK(b >= 0);
    return b;
}

static void end(void)
{
    log_end();
    rig_drop(&rig);
}

/* No file may grow past n bytes: what a full disk looks like from here. */
static void limit_files(rlim_t n)
{
    static struct rlimit before;
    struct rlimit limit;
    if (n != RLIM_INFINITY) {
        signal(SIGXFSZ, SIG_IGN);
        getrlimit(RLIMIT_FSIZE, &before);
        limit = (struct rlimit){ n, before.rlim_max };
    } else {
        limit = before;
    }
    setrlimit(RLIMIT_FSIZE, &limit);
}

static enum tel_outcome late;

static void on_late(void *arg, enum tel_outcome outcome, uint64_t id)
{
    (void)arg;
    (void)id;
    late = outcome;
}

static void full_disk_stops_payment_and_loses_nothing(void)
{
    int b = begin();
    uint64_t first, id;
    CHECK_INT(rig_reserve(&rig, b, 30, &first), TEL_RESERVED);
    limit_files(0);
    tel_settle(rig.store, first, 30, false);
    tel_row(rig.store, &a_row);
    late = TEL_RESERVED;
    CHECK_INT(tel_reserve(rig.store, b, 500, 1, on_late, NULL, &id), TEL_WAIT);
    bool flushed = tel_flush(rig.store);
    tel_dispatch(rig.store);
    bool available = tel_budget_state(rig.store, b).available;
    enum tel_outcome now = tel_reserve(rig.store, b, 1, 1, on_late, NULL, &id);
    limit_files(RLIM_INFINITY);
    CHECK(!flushed);
    CHECK(!available);
    CHECK_INT(late, TEL_UNAVAILABLE);
    CHECK_INT(now, TEL_UNAVAILABLE);
    CHECK_INT(tel_budget_state(rig.store, b).spent, 30);
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT spent_nano FROM period"), 0);
    rig_pump(&rig);
    CHECK(tel_budget_state(rig.store, b).available);
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT spent_nano FROM period"), 30);
    CHECK_INT(rig_query(&rig, "log.db", "SELECT count(*) FROM request"), 1);
    CHECK_INT(rig_reserve(&rig, b, 970, &id), TEL_RESERVED);
    tel_settle(rig.store, id, 970, false);
    rig_close(&rig);
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT spent_nano FROM period"), 1000);
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT lost_nano FROM period"), 0);
    end();
}

/* Without any call from the loop but those of its descriptor. */
static void recovers_by_itself(void)
{
    int b = begin();
    uint64_t id;
    CHECK_INT(rig_reserve(&rig, b, 30, &id), TEL_RESERVED);
    limit_files(0);
    tel_settle(rig.store, id, 30, false);
    bool flushed = tel_flush(rig.store);
    tel_dispatch(rig.store);
    limit_files(RLIM_INFINITY);
    CHECK(!flushed && !tel_budget_state(rig.store, b).available);
    int64_t until = tg_mono_ns() + 20000000000;
    while (!tel_budget_state(rig.store, b).available && tg_mono_ns() < until) {
        struct pollfd p = { .fd = tel_fd(rig.store), .events = POLLIN };
        poll(&p, 1, 1000);
        tel_dispatch(rig.store);
    }
    CHECK(tel_budget_state(rig.store, b).available);
    end();
}

static void closing_on_a_full_disk_counts_the_leases_at_the_next_start(void)
{
    int b = begin();
    uint64_t id;
    CHECK_INT(rig_reserve(&rig, b, 30, &id), TEL_RESERVED);
    limit_files(0);
    tel_settle(rig.store, id, 10, false);
    rig_close(&rig);
    limit_files(RLIM_INFINITY);
    CHECK(rig_exec(&rig, "ledger.db", "CREATE TRIGGER no BEFORE UPDATE ON meta BEGIN"
                                      " SELECT raise(ABORT, 'not now'); END"));
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    rig_close(&rig);
    CHECK_INT(log_count(&rig, "not now"), 1);
    CHECK_INT(log_count(&rig, "ledger-lost"), 0);
    CHECK(rig_exec(&rig, "ledger.db", "DROP TRIGGER no"));
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    b = tel_budget(rig.store, "cloud", 1000, CFG_PERIOD_MONTH, 0);
    rig_pump(&rig);
    CHECK_INT(tel_budget_state(rig.store, b).spent, 100);
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT sum(amount_nano) FROM lost"), 100);
    CHECK_INT(log_count(&rig, "its rows, $0.000000100 of 1 budget period(s)"), 1);
    end();
}

static void damaged_ledger_is_reported_and_never_replaced(void)
{
    begin();
    rig_close(&rig);
    CHECK(rig_damage(&rig, "ledger.db", 0, 100));
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    int b = tel_budget(rig.store, "cloud", 1000, CFG_PERIOD_MONTH, 0);
    uint64_t id;
    CHECK(!tel_budget_state(rig.store, b).available);
    CHECK_INT(rig_reserve(&rig, b, 1, &id), TEL_UNAVAILABLE);
    tel_row(rig.store, &a_row);
    CHECK(!tel_flush(rig.store));
    CHECK_INT(rig_query(&rig, "log.db", "SELECT count(*) FROM request"), 1);
    CHECK_INT(log_count(&rig, "/ledger.db: reading its version: file is not a database; the file "
                              "is damaged: put a backup in its place"),
              1);
    rig_close(&rig);
    char path[160], head[16] = { 0 };
    snprintf(path, sizeof(path), "%s/ledger.db", rig.dir);
    FILE *file = fopen(path, "r");
    CHECK(file && fread(head, 1, 16, file) == 16);
    fclose(file);
    CHECK((unsigned char)head[0] == 0xa5 && (unsigned char)head[15] == 0xa5);
    end();
}

/* True when the ledger noticed that one of its pages is garbage. */
static bool notices_damage(int page)
{
    int b = begin();
    uint64_t id;
    CHECK_INT(rig_reserve(&rig, b, 50, &id), TEL_RESERVED);
    tel_settle(rig.store, id, 50, false);
    rig_close(&rig);
    CHECK_INT(rig_query(&rig, "ledger.db", "PRAGMA page_size"), 4096);
    CHECK(rig_damage(&rig, "ledger.db", page * 4096L, 4096));
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    b = tel_budget(rig.store, "cloud", 1000, CFG_PERIOD_MONTH, 0);
    rig_pump(&rig);
    enum tel_outcome outcome = rig_reserve(&rig, b, 951, &id);
    bool noticed = outcome == TEL_UNAVAILABLE;
    CHECK(noticed || outcome == TEL_OVER_CAP); /* never a fresh start */
    CHECK_INT(log_count(&rig, "put a backup in its place") > 0, noticed);
    end();
    return noticed;
}

static void damage_inside_is_found_when_it_is_read(void)
{
    int noticed = 0;
    for (int page = 1; page < 6; page++) /* one for each table */
        noticed += notices_damage(page);
    CHECK(noticed >= 2); /* meta and period are read at once, the others when they are needed */
}

static void foreign_file_is_left_alone(void)
{
    CHECK(rig_make(&rig));
    log_begin(&rig);
    CHECK(rig_exec(&rig, "ledger.db", "CREATE TABLE notes(text); INSERT INTO notes VALUES('x')"));
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    int b = tel_budget(rig.store, "cloud", 1000, CFG_PERIOD_MONTH, 0);
    CHECK(!tel_budget_state(rig.store, b).available);
    rig_close(&rig);
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT count(*) FROM sqlite_schema"), 1);
    CHECK_INT(log_count(&rig, "no ledger of tollgate"), 1);
    end();
}

static void log_that_fails_does_not_hurt_the_ledger(void)
{
    CHECK(rig_make(&rig));
    rig.in_flight = 4;
    log_begin(&rig);
    char path[160];
    snprintf(path, sizeof(path), "%s/log.db", rig.dir);
    CHECK_INT(mkdir(path, 0700), 0);
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    int b = tel_budget(rig.store, "cloud", 1000, CFG_PERIOD_MONTH, 0);
    rig_pump(&rig);
    for (int i = 0; i < 600; i++) { /* more than all that may wait */
        CHECK(tel_admit(rig.store));
        uint64_t id;
        if (i % 100 == 0) {
            CHECK_INT(rig_reserve(&rig, b, 1, &id), TEL_RESERVED);
            tel_settle(rig.store, id, 1, false);
        }
        tel_row(rig.store, &a_row);
        tel_retire(rig.store);
    }
    CHECK(!tel_flush(rig.store));
    CHECK(tel_budget_state(rig.store, b).available);
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT spent_nano FROM period"), 6);
    CHECK_INT(rmdir(path), 0);
    CHECK(tel_flush(rig.store));
    int64_t kept = rig_query(&rig, "log.db", "SELECT count(*) FROM request");
    CHECK(kept > 0);
    CHECK_INT(kept + (int64_t)tel_counters(rig.store).rows_dropped, 600);
    CHECK_INT(log_count(&rig, "log-unavailable"), 1);
    end();
}

static void remove_file(const char *name)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", rig.dir, name);
    unlink(path);
}

/* Refuses to replace. */
static void move_file(const char *from, const char *to)
{
    char a[160], b[160];
    snprintf(a, sizeof(a), "%s/%s", rig.dir, from);
    snprintf(b, sizeof(b), "%s/%s", rig.dir, to);
    CHECK_INT(link(a, b), 0);
    CHECK_INT(unlink(a), 0);
}

static void ledger_exchanged_while_running_is_refused(void)
{
    int b = begin();
    uint64_t id;
    CHECK_INT(rig_reserve(&rig, b, 30, &id), TEL_RESERVED);
    limit_files(0);
    tel_release(rig.store, id);
    tel_flush(rig.store); /* fails, so the next try opens the file again */
    limit_files(RLIM_INFINITY);
    static const char *const files[] = { "ledger.db", "ledger.db-wal", "ledger.db-shm" };
    for (size_t i = 0; i < 3; i++)
        remove_file(files[i]);
    CHECK(rig_exec(&rig, "ledger.db", tel_ledger_schema.step[0]));
    CHECK(rig_exec(&rig, "ledger.db", "PRAGMA user_version = 1"));
    CHECK(!tel_flush(rig.store));
    tel_dispatch(rig.store);
    CHECK_INT(rig_reserve(&rig, b, 1, &id), TEL_UNAVAILABLE);
    CHECK(log_count(&rig, "not the file this process began with") > 0);
    end();
}

/* What is written to a file without a name is written nowhere. */
static void ledger_deleted_while_running_stops_payment(void)
{
    int b = begin();
    uint64_t id;
    CHECK_INT(rig_reserve(&rig, b, 30, &id), TEL_RESERVED);
    move_file("ledger.db", "aside");
    tel_settle(rig.store, id, 30, false);
    bool flushed = tel_flush(rig.store), again = tel_flush(rig.store);
    tel_dispatch(rig.store);
    CHECK(!flushed && !again);
    CHECK(!tel_budget_state(rig.store, b).available);
    CHECK_INT(log_count(&rig, "moved or deleted"), 1);
    move_file("aside", "ledger.db"); /* fails if one was made in its place */
    rig_pump(&rig);
    CHECK(tel_budget_state(rig.store, b).available);
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT spent_nano FROM period"), 30);
    end();
}

/* A disk that is full on and off is not told of at each turn; a failure that stays is. */
static void failures_that_come_and_go_are_told_seldom(void)
{
    begin();
    struct tel_told t = { .quiet = false };
    struct tg_error full = { .text = "full" }, gone = { .text = "gone" };
    for (int i = 0; i < 3; i++) {
        tel_tell_failure(&t, "down", &full);
        tel_tell_failure(&t, "down", &full);
        tel_tell_recovery(&t, "up");
    }
    CHECK_INT(log_count(&rig, "\"down\""), 1);
    CHECK_INT(log_count(&rig, "\"up\""), 1);
    tel_tell_failure(&t, "down", &gone);
    CHECK_INT(log_count(&rig, "gone"), 0);
    t.line.next_ns = 0; /* later */
    tel_tell_failure(&t, "down", &gone);
    tel_tell_failure(&t, "down", &gone);
    CHECK_INT(log_count(&rig, "gone"), 1);
    tel_tell_failure(&t, "down", &full); /* another cause meanwhile */
    CHECK_INT(log_count(&rig, "\"down\""), 3);
    tel_tell_recovery(&t, "up");
    CHECK_INT(log_count(&rig, "\"up\""), 2);
    end();
}

static void log_deleted_while_running_is_made_anew(void)
{
    static const char *const files[] = { "log.db", "log.db-wal", "log.db-shm" };
    begin();
    tel_row(rig.store, &a_row);
    CHECK(tel_flush(rig.store));
    for (size_t i = 0; i < 3; i++)
        remove_file(files[i]);
    tel_row(rig.store, &a_row);
    tel_flush(rig.store);
    CHECK(tel_flush(rig.store));
    CHECK_INT(rig_query(&rig, "log.db", "SELECT count(*) FROM request"), 1);
    end();
}

/* In a child without root's privileges: returns the number of the check that failed. */
static int use_readonly_folder(void)
{
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
        return 1;
    if (rig_open(&rig, &err) != TG_OK)
        return 2;
    int b = tel_budget(rig.store, "cloud", 1000, CFG_PERIOD_MONTH, 0);
    uint64_t id;
    if (tel_budget_state(rig.store, b).available)
        return 3;
    if (rig_reserve(&rig, b, 1, &id) != TEL_UNAVAILABLE)
        return 4;
    tel_row(rig.store, &a_row);
    if (tel_flush(rig.store))
        return 5;
    struct rig second = { .store = NULL };
    memcpy(second.dir, rig.dir, sizeof(second.dir));
    if (rig_open(&second, &err) != TG_AGAIN) /* locked all the same */
        return 6;
    rig_close(&rig);
    FILE *null = fopen("/dev/null", "w");
    if (!null || tel_report(rig.dir, 0, INT64_MAX, false, null, &err) != TG_OK)
        return 7;
    fclose(null);
    return 0;
}

static void readonly_folder_opens_without_payment(void)
{
    static const char *const files[] = { "ledger.db", "log.db", "lock", "test.log", "keys.db" };
    begin();
    rig_close(&rig);
    for (size_t i = 0; i < 5; i++) {
        char path[160];
        snprintf(path, sizeof(path), "%s/%s", rig.dir, files[i]);
        chmod(path, 0444);
    }
    CHECK_INT(chmod(rig.dir, 0555), 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        _exit(use_readonly_folder());
    int status = -1;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    chmod(rig.dir, 0700);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
    CHECK(log_count(&rig, "writable") >= 2);
    end();
}

static void count_done(void *arg)
{
    ++*(size_t *)arg;
}

/* Dispatches until *count is at least n; for 5 s at most. */
static void wait_for_done(const size_t *count, size_t n)
{
    for (int i = 0; i < 5000 && *count < n; i++) {
        poll(NULL, 0, 1);
        tel_dispatch(rig.store);
    }
}

/* Whoever holds keys.db holds up changes of keys, not the money. */
static void locked_keys_do_not_hold_up_the_ledger(void)
{
    static struct tel_key_op ops[TEL_KEY_OPS_MAX];
    int b = begin();
    size_t done = 0;
    uint64_t id;
    char path[160];
    sqlite3 *other = NULL;
    snprintf(path, sizeof(path), "%s/keys.db", rig.dir);
    CHECK(sqlite3_open(path, &other) == SQLITE_OK &&
          sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
    for (size_t i = 0; i < TEL_KEY_OPS_MAX; i++) {
        ops[i] = (struct tel_key_op){ .kind = TEL_KEY_CREATE, .fn = count_done, .arg = &done,
                                      .spec = { .set = TEL_KEY_NAME, .name = "app" } };
        CHECK_INT(tel_key_ask(rig.store, &ops[i]), TG_OK);
    }
    int64_t begun = tg_mono_ns();
    CHECK_INT(rig_reserve_unhurried(&rig, b, 500, &id), TEL_RESERVED);
    CHECK(tg_mono_ns() - begun < INT64_C(1000000000)); /* a try or two */
    wait_for_done(&done, 1);
    sqlite3_close(other);
    wait_for_done(&done, TEL_KEY_OPS_MAX);
    CHECK_INT(done, TEL_KEY_OPS_MAX);
    CHECK(ops[0].status == TG_IO && strstr(ops[0].err.text, "another program holds the file"));
    CHECK_INT(ops[TEL_KEY_OPS_MAX - 1].status, TG_OK);
    tel_release(rig.store, id);
    log_end();
    rig_drop(&rig);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(locked_keys_do_not_hold_up_the_ledger),
        CASE(full_disk_stops_payment_and_loses_nothing),
        CASE(recovers_by_itself),
        CASE(closing_on_a_full_disk_counts_the_leases_at_the_next_start),
        CASE(damaged_ledger_is_reported_and_never_replaced),
        CASE(damage_inside_is_found_when_it_is_read),
        CASE(foreign_file_is_left_alone),
        CASE(log_that_fails_does_not_hurt_the_ledger),
        CASE(ledger_exchanged_while_running_is_refused),
        CASE(ledger_deleted_while_running_stops_payment),
        CASE(failures_that_come_and_go_are_told_seldom),
        CASE(log_deleted_while_running_is_made_anew),
        CASE(readonly_folder_opens_without_payment),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
