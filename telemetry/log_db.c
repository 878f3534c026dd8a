#include "telemetry/log_db.h"

#include <stdio.h>
#include <string.h>

#include "config/base/utf8.h"

/* Cut between characters. */
static void copy_text(char *to, size_t size, const char *from)
{
    size_t n = from ? strnlen(from, size) : 0;
    if (n == size)
        n = tg_utf8_complete(from, size - 1);
    if (n)
        memcpy(to, from, n);
    to[n] = '\0';
}

void tel_log_item(struct tel_log_item *item, const struct tel_row *row)
{
    item->row = *row;
    copy_text(item->route, sizeof(item->route), row->route);
    copy_text(item->backend, sizeof(item->backend), row->backend);
    copy_text(item->dialect, sizeof(item->dialect), row->dialect);
    copy_text(item->reason, sizeof(item->reason), row->reason);
    copy_text(item->error, sizeof(item->error), row->error);
    copy_text(item->key, sizeof(item->key), row->key);
    item->row.route = item->row.backend = item->row.dialect = NULL; /* the caller's */
    item->row.reason = item->row.error = item->row.key = NULL;
}

void tel_log_init(struct tel_log_db *db, char *path)
{
    *db = (struct tel_log_db){ .path = path };
}

void tel_log_close(struct tel_log_db *db)
{
    sqlite3_finalize(db->insert);
    sqlite3_close(db->db);
    db->insert = NULL;
    db->db = NULL;
}

enum tg_status tel_log_open(struct tel_log_db *db, int busy_ms, struct tg_error *err)
{
    static const char insert[] =
        "INSERT INTO request(request, started_ms, route, backend, dialect, reason, error, status,"
        " stream, escalated, local_only, estimated, confidence, complexity, prompt_tokens,"
        " output_tokens, cost_nano, saved_nano, queue_ms, ttft_ms, total_ms, attempts, key)"
        " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
    enum tg_status status =
        tel_sql_open(db->path, false, busy_ms, &tel_log_schema, &db->db, err);
    if (status)
        return status;
    if (sqlite3_prepare_v3(db->db, insert, -1, SQLITE_PREPARE_PERSISTENT, &db->insert, NULL) !=
        SQLITE_OK) {
        status = tel_sql_fail(db->db, db->path, "preparing", err);
        tel_log_close(db);
    }
    return status;
}

static void bind_int(sqlite3_stmt *stmt, int *at, int64_t value)
{
    sqlite3_bind_int64(stmt, (*at)++, value);
}

/* -1 stands for unknown, which is NULL in the table. */
static void bind_known(sqlite3_stmt *stmt, int *at, int64_t value)
{
    if (value >= 0)
        sqlite3_bind_int64(stmt, *at, value);
    else
        sqlite3_bind_null(stmt, *at);
    (*at)++;
}

static void bind_real(sqlite3_stmt *stmt, int *at, bool has, double value)
{
    if (has)
        sqlite3_bind_double(stmt, *at, value);
    else
        sqlite3_bind_null(stmt, *at);
    (*at)++;
}

/* text must live until the statement is reset */
static void bind_text(sqlite3_stmt *stmt, int *at, const char *text)
{
    sqlite3_bind_text(stmt, (*at)++, text, -1, SQLITE_STATIC);
}

static bool insert_row(sqlite3_stmt *stmt, const struct tel_log_item *item)
{
    const struct tel_row *row = &item->row;
    char request[20];
    int at = 1;
    snprintf(request, sizeof(request), "%016llx", (unsigned long long)row->request);
    bind_text(stmt, &at, request);
    bind_int(stmt, &at, row->started_ms);
    bind_text(stmt, &at, item->route);
    bind_text(stmt, &at, item->backend);
    bind_text(stmt, &at, item->dialect);
    bind_text(stmt, &at, item->reason);
    bind_text(stmt, &at, item->error);
    bind_int(stmt, &at, row->status);
    bind_int(stmt, &at, row->stream);
    bind_int(stmt, &at, row->escalated);
    bind_int(stmt, &at, row->local_only);
    bind_int(stmt, &at, row->estimated);
    bind_real(stmt, &at, row->has_confidence, row->confidence);
    bind_real(stmt, &at, row->has_complexity, row->complexity);
    bind_known(stmt, &at, row->prompt_tokens);
    bind_known(stmt, &at, row->output_tokens);
    bind_int(stmt, &at, row->cost_nano);
    bind_int(stmt, &at, row->saved_nano);
    bind_known(stmt, &at, row->queue_ms);
    bind_known(stmt, &at, row->ttft_ms);
    bind_known(stmt, &at, row->total_ms);
    bind_int(stmt, &at, row->attempts);
    bind_text(stmt, &at, item->key);
    bool done = sqlite3_step(stmt) == SQLITE_DONE;
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return done;
}

enum tg_status tel_log_write(struct tel_log_db *db, const struct tel_log_item *items, size_t n,
                             struct tg_error *err)
{
    if (tel_sql_moved(db->db)) /* a new one is made at the next try */
        return tg_fail(err, TG_IO, "%s: moved or deleted while in use", db->path);
    enum tg_status status = tel_sql_exec(db->db, db->path, "BEGIN IMMEDIATE", err);
    for (size_t i = 0; !status && i < n; i++) {
        if (!insert_row(db->insert, &items[i]))
            status = tel_sql_fail(db->db, db->path, "writing a request", err);
        tel_pace_row(db->pace);
    }
    if (!status)
        status = tel_sql_exec(db->db, db->path, "COMMIT", err);
    if (status)
        sqlite3_exec(db->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}
