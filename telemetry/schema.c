/* What the databases look like. A released step is never edited: changes are appended as
 * steps. */
#include "telemetry/sql.h"

static const char *const ledger_steps[] = {
    /* 1 */
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "INSERT INTO meta VALUES('session', 0), ('probe', 0);"
    /* spent includes lost; leased is money in the hands of the running process */
    "CREATE TABLE period("
    "  budget TEXT NOT NULL, period TEXT NOT NULL, start TEXT NOT NULL,"
    "  cap_nano INTEGER NOT NULL, spent_nano INTEGER NOT NULL DEFAULT 0,"
    "  leased_nano INTEGER NOT NULL DEFAULT 0, lost_nano INTEGER NOT NULL DEFAULT 0,"
    "  overage_nano INTEGER NOT NULL DEFAULT 0, alerted_nano INTEGER NOT NULL DEFAULT -1,"
    "  PRIMARY KEY(budget, period, start)) STRICT, WITHOUT ROWID;"
    /* one row for each reservation that ended: session and id make repeats harmless */
    "CREATE TABLE settlement("
    "  session INTEGER NOT NULL, id INTEGER NOT NULL, request TEXT NOT NULL,"
    "  budget TEXT NOT NULL, period TEXT NOT NULL, start TEXT NOT NULL,"
    "  state TEXT NOT NULL CHECK(state IN ('settled', 'estimated', 'released', 'abandoned')),"
    "  reserved_nano INTEGER NOT NULL, cost_nano INTEGER NOT NULL, at_ms INTEGER NOT NULL,"
    "  PRIMARY KEY(session, id)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE lease("
    "  session INTEGER NOT NULL, id INTEGER NOT NULL,"
    "  budget TEXT NOT NULL, period TEXT NOT NULL, start TEXT NOT NULL,"
    "  granted_nano INTEGER NOT NULL, at_ms INTEGER NOT NULL,"
    "  PRIMARY KEY(session, id)) STRICT, WITHOUT ROWID;"
    /* parts of leases that a crash left unaccounted, counted as spent */
    "CREATE TABLE lost("
    "  id INTEGER PRIMARY KEY, session INTEGER NOT NULL,"
    "  budget TEXT NOT NULL, period TEXT NOT NULL, start TEXT NOT NULL,"
    "  amount_nano INTEGER NOT NULL, found_ms INTEGER NOT NULL) STRICT;",
};

static const char *const log_steps[] = {
    /* 1 */
    "CREATE TABLE request("
    "  id INTEGER PRIMARY KEY, request TEXT NOT NULL, started_ms INTEGER NOT NULL,"
    "  route TEXT NOT NULL, backend TEXT NOT NULL, dialect TEXT NOT NULL, reason TEXT NOT NULL,"
    "  error TEXT NOT NULL, status INTEGER NOT NULL, stream INTEGER NOT NULL,"
    "  escalated INTEGER NOT NULL, local_only INTEGER NOT NULL, estimated INTEGER NOT NULL,"
    "  confidence REAL, complexity REAL, prompt_tokens INTEGER, output_tokens INTEGER,"
    "  cost_nano INTEGER NOT NULL, saved_nano INTEGER NOT NULL,"
    "  queue_ms INTEGER, ttft_ms INTEGER, total_ms INTEGER, attempts INTEGER NOT NULL) STRICT;"
    /* all that a report reads, so that it never touches the rows themselves */
    "CREATE INDEX request_report ON request("
    "  started_ms, route, backend, status, error, cost_nano, saved_nano, confidence, escalated,"
    "  estimated);",
    /* 2 */
    "ALTER TABLE request ADD COLUMN key TEXT NOT NULL DEFAULT '';" /* id of its API key */
    "DROP INDEX request_report;"
    "CREATE INDEX request_report ON request("
    "  started_ms, route, backend, status, error, cost_nano, saved_nano, confidence, escalated,"
    "  estimated, key);",
};

static const char *const keys_steps[] = {
    /* 1: hash is the SHA-256 of the newest secret; the one before works until old_until_ms */
    "CREATE TABLE key("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL,"
    "  prefix TEXT NOT NULL, hash BLOB NOT NULL UNIQUE,"
    "  old_hash BLOB, old_until_ms INTEGER NOT NULL DEFAULT 0,"
    "  routes TEXT NOT NULL, models TEXT NOT NULL, tags TEXT NOT NULL,"
    "  local_only INTEGER NOT NULL, budget_nano INTEGER, period TEXT NOT NULL,"
    "  rpm INTEGER NOT NULL, tpm INTEGER NOT NULL, concurrent INTEGER NOT NULL,"
    "  created_ms INTEGER NOT NULL, rotated_ms INTEGER NOT NULL DEFAULT 0,"
    "  expires_ms INTEGER NOT NULL, revoked_ms INTEGER NOT NULL DEFAULT 0) STRICT;",
};

const struct tel_schema tel_ledger_schema = {
    "ledger", ledger_steps, sizeof(ledger_steps) / sizeof(*ledger_steps)
};
const struct tel_schema tel_log_schema = {
    "request log", log_steps, sizeof(log_steps) / sizeof(*log_steps)
};
const struct tel_schema tel_keys_schema = {
    "key database", keys_steps, sizeof(keys_steps) / sizeof(*keys_steps)
};
