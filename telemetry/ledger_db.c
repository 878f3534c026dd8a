#include "telemetry/ledger_db.h"

#include <stdio.h>
#include <string.h>

#include "config/base/log.h"
#include "telemetry/internal.h"

int64_t tel_add(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

void tel_ledger_init(struct tel_ledger_db *db, char *path, const char *const *names)
{
    *db = (struct tel_ledger_db){ .path = path, .names = names };
}

void tel_ledger_close(struct tel_ledger_db *db)
{
    for (int i = 0; i < LEDGER_STMTS; i++) {
        sqlite3_finalize(db->stmt[i]);
        db->stmt[i] = NULL;
    }
    sqlite3_close(db->db);
    db->db = NULL;
}

static enum tg_status fail(struct tel_ledger_db *db, const char *doing, struct tg_error *err)
{
    return tel_sql_fail(db->db, db->path, doing, err);
}

enum tg_status tel_ledger_gone(const struct tel_ledger_db *db, struct tg_error *err)
{
    return tg_fail(err, TG_INVALID,
                   "%s: moved or deleted while in use: put it back, or restart without it (what it "
                   "recorded is then unknown, and spending starts at $0)",
                   db->path);
}

static void rollback(struct tel_ledger_db *db)
{
    sqlite3_exec(db->db, "ROLLBACK", NULL, NULL, NULL);
}

/* Runs a statement that gives no row; its number of changed rows in *changed unless NULL. */
static enum tg_status run(struct tel_ledger_db *db, enum tel_ledger_stmt which, int *changed,
                          struct tg_error *err)
{
    sqlite3_stmt *stmt = db->stmt[which];
    enum tg_status status = TG_OK;
    if (sqlite3_step(stmt) != SQLITE_DONE)
        status = fail(db, "writing", err);
    else if (changed)
        *changed = sqlite3_changes(db->db);
    sqlite3_reset(stmt);
    return status;
}

/* Binds budget, period and start from parameter at on; all strings outlive the statement's run. */
static void bind_key(struct tel_ledger_db *db, sqlite3_stmt *stmt, int at,
                     const struct tel_key *key)
{
    sqlite3_bind_text(stmt, at, db->names[key->budget], -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, at + 1, tel_period_name(key->period), -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, at + 2, key->label, -1, SQLITE_TRANSIENT);
}

static enum tg_status account_read(struct tel_ledger_db *db, struct tel_account *a,
                                   struct tg_error *err)
{
    sqlite3_stmt *stmt = db->stmt[LEDGER_PERIOD_MAKE];
    bind_key(db, stmt, 1, &a->key);
    sqlite3_bind_int64(stmt, 4, db->cap[a->key.budget]);
    enum tg_status status = run(db, LEDGER_PERIOD_MAKE, NULL, err);
    if (status)
        return status;
    stmt = db->stmt[LEDGER_PERIOD_READ];
    bind_key(db, stmt, 1, &a->key);
    if (sqlite3_step(stmt) == SQLITE_ROW) {
        a->spent = sqlite3_column_int64(stmt, 0);
        a->leased = sqlite3_column_int64(stmt, 1);
        a->lost = sqlite3_column_int64(stmt, 2);
        a->overage = sqlite3_column_int64(stmt, 3);
        a->alerted = sqlite3_column_int64(stmt, 4);
        a->cap = sqlite3_column_int64(stmt, 5);
        if (a->spent < 0 || a->leased < 0 || a->overage < 0)
            status = tg_fail(err, TG_INVALID,
                             "%s: negative amounts for budget \"%s\"; put a backup in its place",
                             db->path, db->names[a->key.budget]);
    } else {
        status = fail(db, "reading a period", err);
    }
    sqlite3_reset(stmt);
    return status;
}

/* Writes back what the transaction changed, and forgets it. */
static enum tg_status accounts_write(struct tel_ledger_db *db, struct tg_error *err)
{
    enum tg_status status = TG_OK;
    for (size_t i = 0; !status && i < db->n_accounts; i++) {
        const struct tel_account *a = &db->account[i];
        sqlite3_stmt *stmt = db->stmt[LEDGER_PERIOD_WRITE];
        sqlite3_bind_int64(stmt, 1, a->cap);
        sqlite3_bind_int64(stmt, 2, a->spent);
        sqlite3_bind_int64(stmt, 3, a->leased);
        sqlite3_bind_int64(stmt, 4, a->lost);
        sqlite3_bind_int64(stmt, 5, a->overage);
        sqlite3_bind_int64(stmt, 6, a->alerted);
        bind_key(db, stmt, 7, &a->key);
        status = run(db, LEDGER_PERIOD_WRITE, NULL, err);
    }
    db->n_accounts = 0;
    return status;
}

/* *out is good until the next call. */
static enum tg_status account_of(struct tel_ledger_db *db, const struct tel_key *key,
                                 struct tel_account **out, struct tg_error *err)
{
    enum tg_status status = TG_OK;
    for (size_t i = 0; i < db->n_accounts; i++) {
        const struct tel_key *k = &db->account[i].key;
        *out = &db->account[i];
        if (k->budget == key->budget && k->period == key->period &&
            strcmp(k->label, key->label) == 0)
            return TG_OK;
    }
    if (db->n_accounts == TEL_ACCOUNTS_MAX)
        status = accounts_write(db, err);
    *out = &db->account[db->n_accounts];
    **out = (struct tel_account){ .key = *key };
    if (!status)
        status = account_read(db, *out, err);
    db->n_accounts += !status;
    return status;
}

/* Marks the threshold as told, in the same transaction that crosses it. */
static void check_alert(struct tel_ledger_db *db, struct tel_account *a)
{
    int64_t threshold = db->alert_nano[a->key.budget];
    if (threshold <= 0 || a->spent < threshold || a->alerted == threshold ||
        a->key.period != db->period[a->key.budget]) /* a day's spending is no month's */
        return;
    a->alerted = threshold;
    db->alert[a->key.budget] =
        (struct tel_alert){ true, a->key, a->spent, a->cap };
}

static const char *end_state(const struct tel_op *op)
{
    switch (op->kind) {
    case TEL_OP_RELEASE:
        return "released";
    case TEL_OP_ABANDON:
        return "abandoned";
    default:
        return op->estimated ? "estimated" : "settled";
    }
}

static enum tg_status apply_end(struct tel_ledger_db *db, const struct tel_op *op,
                                struct tg_error *err)
{
    sqlite3_stmt *stmt = db->stmt[LEDGER_SETTLEMENT];
    char request[20];
    int fresh = 0;
    snprintf(request, sizeof(request), "%016llx", (unsigned long long)op->request);
    sqlite3_bind_int64(stmt, 1, db->session);
    sqlite3_bind_int64(stmt, 2, (int64_t)op->id);
    sqlite3_bind_text(stmt, 3, request, -1, SQLITE_TRANSIENT);
    bind_key(db, stmt, 4, &op->key);
    sqlite3_bind_text(stmt, 7, end_state(op), -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 8, op->reserved);
    sqlite3_bind_int64(stmt, 9, op->actual);
    sqlite3_bind_int64(stmt, 10, op->at_ms);
    enum tg_status status = run(db, LEDGER_SETTLEMENT, &fresh, err);
    if (status || !fresh || (op->actual == 0 && op->lease_drop == 0))
        return status;
    struct tel_account *a;
    status = account_of(db, &op->key, &a, err);
    if (status)
        return status;
    a->spent = tel_add(a->spent, op->actual);
    a->leased = a->leased > op->lease_drop ? a->leased - op->lease_drop : 0;
    if (op->actual > op->reserved)
        a->overage = tel_add(a->overage, op->actual - op->reserved);
    check_alert(db, a);
    return TG_OK;
}

/* *repeated: an ask with this id was committed before, though that commit failed; what it was given
 * then. */
static enum tg_status find_ask(struct tel_ledger_db *db, const struct tel_op *op, bool *repeated,
                               int64_t *granted, struct tg_error *err)
{
    sqlite3_stmt *stmt = db->stmt[LEDGER_LEASE_READ];
    sqlite3_bind_int64(stmt, 1, db->session);
    sqlite3_bind_int64(stmt, 2, (int64_t)op->id);
    int step = sqlite3_step(stmt);
    enum tg_status status = TG_OK;
    *repeated = step == SQLITE_ROW;
    if (*repeated)
        *granted = sqlite3_column_int64(stmt, 0);
    else if (step != SQLITE_DONE)
        status = fail(db, "reading a lease", err);
    sqlite3_reset(stmt);
    return status;
}

static enum tg_status record_ask(struct tel_ledger_db *db, const struct tel_op *op, int64_t granted,
                                 struct tg_error *err)
{
    sqlite3_stmt *stmt = db->stmt[LEDGER_LEASE_MAKE];
    sqlite3_bind_int64(stmt, 1, db->session);
    sqlite3_bind_int64(stmt, 2, (int64_t)op->id);
    bind_key(db, stmt, 3, &op->key);
    sqlite3_bind_int64(stmt, 6, granted);
    sqlite3_bind_int64(stmt, 7, op->at_ms);
    return run(db, LEDGER_LEASE_MAKE, NULL, err);
}

static enum tg_status shrink_lease(struct tel_ledger_db *db, const struct tel_key *key, int64_t by,
                                   struct tg_error *err)
{
    struct tel_account *a;
    enum tg_status status = account_of(db, key, &a, err);
    if (!status)
        a->leased = a->leased > by ? a->leased - by : 0;
    return status;
}

static int64_t room_for(const struct tel_account *a, const struct tel_op *op)
{
    int64_t used = tel_add(a->spent, a->leased);
    int64_t room = op->cap > used ? op->cap - used : 0;
    return op->want < room ? op->want : room;
}

static enum tg_status apply_ask(struct tel_ledger_db *db, const struct tel_op *op,
                                struct tel_reply *reply, struct tg_error *err)
{
    struct tel_account *a;
    int64_t granted = 0;
    bool repeated = false;
    db->cap[op->key.budget] = op->cap;
    db->period[op->key.budget] = op->key.period;
    db->alert_nano[op->key.budget] = op->alert_nano;
    enum tg_status status = find_ask(db, op, &repeated, &granted, err);
    if (!status && !repeated && op->drop > 0)
        status = shrink_lease(db, &op->drop_key, op->drop, err);
    if (!status) /* behind the shrinking: both keys may name the same period */
        status = account_of(db, &op->key, &a, err);
    if (!status)
        a->cap = op->cap; /* drop_key's stays: it may be of another kind of period */
    if (!status && !repeated) {
        granted = room_for(a, op);
        a->leased = tel_add(a->leased, granted);
        if (granted > 0 || op->drop > 0)
            status = record_ask(db, op, granted, err);
    }
    if (status)
        return status;
    check_alert(db, a);
    *reply = (struct tel_reply){ .kind = TEL_REPLY_LEASE,
                                 .budget = op->key.budget,
                                 .granted = granted,
                                 .spent = a->spent };
    return TG_OK;
}

static enum tg_status begin(struct tel_ledger_db *db, struct tg_error *err)
{
    if (tel_sql_moved(db->db))
        return tel_ledger_gone(db, err);
    return tel_sql_exec(db->db, db->path, "BEGIN IMMEDIATE", err);
}

enum tg_status tel_ledger_commit(struct tel_ledger_db *db, const struct tel_op *ops, size_t n,
                                 struct tel_reply *replies, size_t *n_replies, struct tg_error *err)
{
    *n_replies = db->n_accounts = 0;
    memset(db->alert, 0, sizeof(db->alert));
    enum tg_status status = begin(db, err);
    if (!status && n == 0)
        status = tel_sql_exec(db->db, db->path,
                              "UPDATE meta SET value = (value + 1) % 1000000 WHERE key = 'probe'",
                              err);
    for (size_t i = 0; !status && i < n; i++) {
        if (ops[i].kind == TEL_OP_ASK)
            status = apply_ask(db, &ops[i], &replies[(*n_replies)++], err);
        else
            status = apply_end(db, &ops[i], err);
        tel_pace_row(db->pace);
    }
    if (!status)
        status = accounts_write(db, err);
    if (!status)
        status = tel_sql_exec(db->db, db->path, "COMMIT", err);
    if (status) {
        rollback(db);
        return status;
    }
    for (int i = 0; i < TEL_BUDGETS_MAX; i++)
        if (db->alert[i].fired)
            tg_log(TG_LOG_WARN, "budget-alert",
                   "budget \"%s\" has spent $%lld.%09lld of $%lld.%09lld (%s from %s)",
                   db->names[i], (long long)(db->alert[i].spent / 1000000000),
                   (long long)(db->alert[i].spent % 1000000000),
                   (long long)(db->alert[i].cap / 1000000000),
                   (long long)(db->alert[i].cap % 1000000000),
                   tel_period_name(db->alert[i].key.period), db->alert[i].key.label);
    return TG_OK;
}

enum tg_status tel_ledger_give_back(struct tel_ledger_db *db, struct tg_error *err)
{
    return tel_sql_exec(db->db, db->path, "UPDATE period SET leased_nano = 0 WHERE leased_nano > 0",
                        err);
}
