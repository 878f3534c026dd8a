/* Opening ledger.db: statements, session numbers, and what a crash left behind. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/base/log.h"
#include "telemetry/internal.h"

static const char *const statements[LEDGER_STMTS] = {
    [LEDGER_PERIOD_MAKE] = "INSERT INTO period(budget, period, start, cap_nano) VALUES(?,?,?,?)"
                           " ON CONFLICT DO NOTHING",
    [LEDGER_PERIOD_READ] = "SELECT spent_nano, leased_nano, lost_nano, overage_nano, alerted_nano,"
                           " cap_nano FROM period WHERE budget = ? AND period = ? AND start = ?",
    [LEDGER_PERIOD_WRITE] = "UPDATE period SET cap_nano = ?, spent_nano = ?, leased_nano = ?,"
                            " lost_nano = ?, overage_nano = ?, alerted_nano = ?"
                            " WHERE budget = ? AND period = ? AND start = ?",
    [LEDGER_SETTLEMENT] = "INSERT INTO settlement VALUES(?,?,?,?,?,?,?,?,?,?)"
                          " ON CONFLICT DO NOTHING",
    [LEDGER_LEASE_MAKE] = "INSERT INTO lease VALUES(?,?,?,?,?,?,?)",
    [LEDGER_LEASE_READ] = "SELECT granted_nano FROM lease WHERE session = ? AND id = ?",
};

/* The check of settlement.state is for those who write by hand: SQLite makes a table of the words
 * that it may be at each insert, half of an insert's cost, and end_state gives no others. */
static enum tg_status prepare(struct tel_ledger_db *db, struct tg_error *err)
{
    enum tg_status status =
        tel_sql_exec(db->db, db->path, "PRAGMA ignore_check_constraints = ON", err);
    for (int i = 0; !status && i < LEDGER_STMTS; i++)
        if (sqlite3_prepare_v3(db->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &db->stmt[i],
                               NULL) != SQLITE_OK)
            status = tel_sql_fail(db->db, db->path, "preparing", err);
    return status;
}

static enum tg_status read_session(struct tel_ledger_db *db, int64_t *session, struct tg_error *err)
{
    sqlite3_stmt *stmt = NULL;
    enum tg_status status = TG_OK;
    if (sqlite3_prepare_v2(db->db, "SELECT value FROM meta WHERE key = 'session'", -1, &stmt,
                           NULL) != SQLITE_OK)
        status = tel_sql_fail(db->db, db->path, "reading the session", err);
    else if (sqlite3_step(stmt) == SQLITE_ROW)
        *session = sqlite3_column_int64(stmt, 0);
    else
        status = tg_fail(err, TG_INVALID,
                         "%s: table meta has no session; put a backup in its place", db->path);
    sqlite3_finalize(stmt);
    return status;
}

static enum tg_status write_session(struct tel_ledger_db *db, int64_t session, struct tg_error *err)
{
    char sql[96];
    snprintf(sql, sizeof(sql), "UPDATE meta SET value = %lld WHERE key = 'session'",
             (long long)session);
    return tel_sql_exec(db->db, db->path, sql, err);
}

/* What the rows of that moment sum up to, in words; a sum that cannot be read is no failure. */
static void tell_lost(struct tel_ledger_db *db, int64_t now_ms, int periods)
{
    sqlite3_stmt *stmt = NULL;
    double dollars = 0;
    if (sqlite3_prepare_v2(db->db, "SELECT total(amount_nano) / 1e9 FROM lost WHERE found_ms = ?1",
                           -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_bind_int64(stmt, 1, now_ms) == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
        dollars = sqlite3_column_double(stmt, 0);
    sqlite3_finalize(stmt);
    tg_log(TG_LOG_WARN, "ledger-lost",
           "%s: the last process ended without closing the ledger; what it may have spent beyond "
           "its rows, $%.9f of %d budget period(s), counts as spent: `tollgate report` tells it as "
           "lost in crashes",
           db->path, dollars, periods);
}

/* Leases in the file belong to a process that is gone: the directory's lock is ours. What they may
 * have paid for is not known, so all of it counts as spent. Sums stop at the largest amount. */
static enum tg_status count_lost(struct tel_ledger_db *db, int64_t session, int64_t now_ms,
                                 int *periods, struct tg_error *err)
{
    char insert[256];
    snprintf(insert, sizeof(insert),
             "INSERT INTO lost(session, budget, period, start, amount_nano, found_ms)"
             " SELECT %lld, budget, period, start, leased_nano, %lld FROM period"
             " WHERE leased_nano > 0",
             (long long)session, (long long)now_ms);
    enum tg_status status = tel_sql_exec(db->db, db->path, insert, err);
    *periods = status ? 0 : sqlite3_changes(db->db);
    if (*periods > 0)
        status = tel_sql_exec(
            db->db, db->path,
            "UPDATE period SET leased_nano = 0,"
            " lost_nano = iif(lost_nano > 9223372036854775807 - leased_nano, 9223372036854775807,"
            "  lost_nano + leased_nano),"
            " spent_nano = iif(spent_nano > 9223372036854775807 - leased_nano, 9223372036854775807,"
            "  spent_nano + leased_nano) WHERE leased_nano > 0",
            err);
    return status;
}

static enum tg_status begin_session(struct tel_ledger_db *db, int64_t now_ms, struct tg_error *err)
{
    int64_t session = 0;
    int lost = 0;
    enum tg_status status = tel_sql_exec(db->db, db->path, "BEGIN IMMEDIATE", err);
    if (!status)
        status = read_session(db, &session, err);
    if (!status && (session < 0 || session == INT64_MAX))
        status =
            tg_fail(err, TG_INVALID, "%s: session %lld out of range; put a backup in its place",
                    db->path, (long long)session);
    if (!status)
        status = count_lost(db, session + 1, now_ms, &lost, err);
    if (!status)
        status = write_session(db, session + 1, err);
    if (!status)
        status = tel_sql_exec(db->db, db->path, "COMMIT", err);
    if (status) {
        sqlite3_exec(db->db, "ROLLBACK", NULL, NULL, NULL);
        return status;
    }
    db->session = session + 1;
    if (lost > 0)
        tell_lost(db, now_ms, lost);
    return TG_OK;
}

/* A ledger that was exchanged under a running process knows nothing of its leases. */
static enum tg_status resume_session(struct tel_ledger_db *db, struct tg_error *err)
{
    int64_t session = 0;
    enum tg_status status = read_session(db, &session, err);
    if (!status && session != db->session)
        status = tg_fail(err, TG_INVALID,
                         "%s: not the file this process began with; restart to use it", db->path);
    return status;
}

enum tg_status tel_ledger_open(struct tel_ledger_db *db, int64_t now_ms, struct tg_error *err)
{
    if (db->session && access(db->path, F_OK) != 0)
        return tel_ledger_gone(db, err); /* an empty one made in its place would count from $0 */
    enum tg_status status =
        tel_sql_open(db->path, true, TEL_BUSY_MS, &tel_ledger_schema, &db->db, err);
    if (status)
        return status;
    status = prepare(db, err);
    if (!status)
        status = db->session ? resume_session(db, err) : begin_session(db, now_ms, err);
    if (status)
        tel_ledger_close(db);
    return status;
}
