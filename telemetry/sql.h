/* The little of SQLite that all databases share: opening, versions, errors. */
#ifndef TELEMETRY_SQL_H
#define TELEMETRY_SQL_H

#include <sqlite3.h>
#include <stdbool.h>

#include "config/base/status.h"

/* How long a database waits for another program that holds its file, in ms: usually, and at another
 * try, which is to hold up the other databases of its thread for no longer. */
enum { TEL_BUSY_MS = 2000, TEL_BUSY_SHORT_MS = 100 };

/* Version v of a database is what steps 0 to v - 1 make of an empty one. */
struct tel_schema {
    const char *what; /* "ledger", for errors */
    const char *const *step;
    int n_steps;
};

/* Opens for writing (created when missing, mode 0600, by root for the owner of its folder) in WAL
 * mode and migrates. full_sync: every commit waits for the disk. busy_ms: above, then and later.
 * TG_UNSUPPORTED: newer than schema; TG_INVALID: damaged or somebody else's; TG_IO: the rest. *out
 * is NULL on failure, else owned by the caller. */
enum tg_status tel_sql_open(const char *path, bool full_sync, int busy_ms,
                            const struct tel_schema *schema, sqlite3 **out, struct tg_error *err);
/* For reading beside a writer, no migration. TG_NOTFOUND when there is no such file, TG_IO
 * when it may not be read. */
enum tg_status tel_sql_open_readonly(const char *path, const struct tel_schema *schema,
                                     sqlite3 **out, struct tg_error *err);
/* Whether the file that db has open is no longer the one at its path: what is written to it would
 * be lost. */
bool tel_sql_moved(sqlite3 *db);
/* Brings an open database to schema->n_steps in one transaction; on failure nothing changed. */
enum tg_status tel_sql_migrate(sqlite3 *db, const char *path, const struct tel_schema *schema,
                               struct tg_error *err);
/* The single integer that sql selects. */
enum tg_status tel_sql_int(sqlite3 *db, const char *path, const char *sql, int *out,
                           struct tg_error *err);
enum tg_status tel_sql_exec(sqlite3 *db, const char *path, const char *sql, struct tg_error *err);
/* The status and text for db's latest error, with the file's name and the remedy. */
enum tg_status tel_sql_fail(sqlite3 *db, const char *path, const char *doing, struct tg_error *err);

extern const struct tel_schema tel_ledger_schema, tel_log_schema, tel_keys_schema;

#endif
