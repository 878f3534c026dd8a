/* ledger.db: the durable side of the ledger. One thread at a time. All amounts in nano-dollars. */
#ifndef TELEMETRY_LEDGER_DB_H
#define TELEMETRY_LEDGER_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "telemetry/pace.h"
#include "telemetry/sql.h"
#include "telemetry/store.h"

/* A row of table period: a budget in one calendar period. */
struct tel_key {
    int budget; /* index into the store's names */
    enum cfg_period period;
    char label[12]; /* date of the period's first day, "2026-11-01"; "all" without periods */
};

enum tel_op_kind {
    TEL_OP_SETTLE,
    TEL_OP_RELEASE,
    TEL_OP_ABANDON, /* still open when the store closed: counts in full */
    TEL_OP_ASK,
};

struct tel_op {
    enum tel_op_kind kind;
    bool estimated;
    struct tel_key key;
    uint64_t id; /* of the reservation or ask, unique in this session */
    uint64_t request;
    int64_t reserved, actual;
    int64_t lease_drop; /* what leaves the lease with it */
    int64_t at_ms;
    /* TEL_OP_ASK: drop_key's lease shrinks by drop, then key's grows by at most want */
    int64_t cap, alert_nano; /* alert_nano 0: no alert */
    int64_t want, drop;
    struct tel_key drop_key;
};

enum tel_reply_kind { TEL_REPLY_LEASE, TEL_REPLY_STATE, TEL_REPLY_KEYS, TEL_REPLY_KEY_OP };

struct tel_key_op;

struct tel_reply {
    enum tel_reply_kind kind;
    int budget;
    int64_t granted;
    int64_t spent; /* of the period, before all that was queued behind the ask */
    struct tel_key_op *op; /* TEL_REPLY_KEY_OP */
};

enum tel_ledger_stmt {
    LEDGER_PERIOD_MAKE,
    LEDGER_PERIOD_READ,
    LEDGER_PERIOD_WRITE,
    LEDGER_SETTLEMENT,
    LEDGER_LEASE_MAKE,
    LEDGER_LEASE_READ,
    LEDGER_STMTS,
};

struct tel_alert {
    bool fired;
    struct tel_key key;
    int64_t spent, cap;
};

/* A row of table period, read once in a transaction and written back at its end. Sums are made here
 * and not in SQL, where an overflow would silently turn into floating point. */
struct tel_account {
    struct tel_key key;
    int64_t cap, spent, leased, lost, overage, alerted;
};

enum { TEL_ACCOUNTS_MAX = 16 /* kept at once */ };

struct tel_ledger_db {
    char *path;
    sqlite3 *db; /* NULL: closed */
    sqlite3_stmt *stmt[LEDGER_STMTS];
    int64_t session;           /* 0: never opened yet; else this process's number in the file */
    const char *const *names;  /* of budgets; borrowed */
    int64_t cap[TEL_BUDGETS_MAX], alert_nano[TEL_BUDGETS_MAX]; /* as of the latest ask */
    enum cfg_period period[TEL_BUDGETS_MAX];                   /* likewise */
    struct tel_alert alert[TEL_BUDGETS_MAX]; /* fired in this transaction */
    struct tel_account account[TEL_ACCOUNTS_MAX]; /* that this transaction has touched */
    size_t n_accounts;
    struct tel_pace *pace; /* between ends, borrowed; NULL: no pauses */
};

/* Path and names are borrowed for the life of db. */
void tel_ledger_init(struct tel_ledger_db *db, char *path, const char *const *names);
/* Opens, creates or migrates. The first time in a process it also takes a session number and
 * counts leases that a crash left behind as spent, with a row in table lost. TG_UNSUPPORTED: newer
 * version; TG_INVALID: damaged, foreign, gone or replaced while running; TG_IO. On failure it stays
 * closed. */
enum tg_status tel_ledger_open(struct tel_ledger_db *db, int64_t now_ms, struct tg_error *err);
/* TG_INVALID: the file is not at its path any more. */
enum tg_status tel_ledger_gone(const struct tel_ledger_db *db, struct tg_error *err);
void tel_ledger_close(struct tel_ledger_db *db);
/* Applies n ops in order in one immediate transaction and makes them durable; writes even for n =
 * 0, as a probe. replies: room for one each ask; *n_replies are valid after TG_OK. May be repeated
 * with the same ops after a failure, whether or not that had been committed. */
enum tg_status tel_ledger_commit(struct tel_ledger_db *db, const struct tel_op *ops, size_t n,
                                 struct tel_reply *replies, size_t *n_replies,
                                 struct tg_error *err);
/* The end of a clean shutdown: no lease is left in use. */
enum tg_status tel_ledger_give_back(struct tel_ledger_db *db, struct tg_error *err);

#endif
