/* keys.db: API keys. One thread at a time for each handle; other processes may write beside it. */
#ifndef TELEMETRY_KEYS_DB_H
#define TELEMETRY_KEYS_DB_H

#include "telemetry/keys.h"
#include "telemetry/sql.h"

struct tel_keys_db {
    char *path;
    sqlite3 *db; /* NULL: closed */
    int version; /* PRAGMA data_version, when it was last loaded; 0: never */
};

/* Path is borrowed for the life of db. */
void tel_keys_db_init(struct tel_keys_db *db, char *path);
/* Opens, creates or migrates. TG_UNSUPPORTED: newer version; TG_INVALID: damaged or foreign; TG_IO.
 * Stays closed on failure. */
enum tg_status tel_keys_db_open(struct tel_keys_db *db, int busy_ms, struct tg_error *err);
/* To look at only. TG_NOTFOUND: no such file. */
enum tg_status tel_keys_db_open_readonly(struct tel_keys_db *db, struct tg_error *err);
void tel_keys_db_close(struct tel_keys_db *db);
/* Whether another connection has committed since the last load. TG_IO: the file is not at its path
 * any more. */
enum tg_status tel_keys_db_changed(struct tel_keys_db *db, bool *changed, struct tg_error *err);
/* *out owned by the caller, one reference. TG_INVALID: a row that this program did not write. */
enum tg_status tel_keys_db_load(struct tel_keys_db *db, struct tel_keys **out,
                                struct tg_error *err);
/* One immediate transaction; errors as tel_key_do. */
enum tg_status tel_keys_db_do(struct tel_keys_db *db, struct tel_key_op *op, int64_t now_ms,
                              struct tg_error *err);

/* keys.c: an empty set with room for n keys and their texts; NULL when out of memory. */
struct tel_keys *tel_keys_new(size_t n);
/* A terminated copy that lives as long as k; p is NULL when out of memory. */
struct tg_str tel_keys_text(struct tel_keys *k, const char *text, size_t n);
/* Builds the table for tel_keys_find once all keys are there. */
void tel_keys_index(struct tel_keys *k);

#endif
