/* log.db: request rows. One thread at a time. */
#ifndef TELEMETRY_LOG_DB_H
#define TELEMETRY_LOG_DB_H

#include <stddef.h>

#include "telemetry/pace.h"
#include "telemetry/sql.h"
#include "telemetry/store.h"

/* A row as it travels to the thread, by copy: its strings are here and not in row. */
struct tel_log_item {
    struct tel_row row;
    char route[64], backend[160], dialect[24], reason[200], error[48], key[24];
};

struct tel_log_db {
    char *path;
    sqlite3 *db; /* NULL: closed */
    sqlite3_stmt *insert;
    struct tel_pace *pace; /* between rows, borrowed; NULL: no pauses */
};

/* Copies row; strings too long are cut between characters. */
void tel_log_item(struct tel_log_item *item, const struct tel_row *row);

void tel_log_init(struct tel_log_db *db, char *path);
/* TG_UNSUPPORTED: newer version; TG_INVALID: damaged or foreign; TG_IO. Stays closed on failure. */
enum tg_status tel_log_open(struct tel_log_db *db, int busy_ms, struct tg_error *err);
void tel_log_close(struct tel_log_db *db);
/* One transaction: all rows or none. */
enum tg_status tel_log_write(struct tel_log_db *db, const struct tel_log_item *items, size_t n,
                             struct tg_error *err);

#endif
