#include "telemetry/keys_db.h"

#include <stdio.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "telemetry/internal.h"

void tel_keys_db_init(struct tel_keys_db *db, char *path)
{
    *db = (struct tel_keys_db){ .path = path };
}

void tel_keys_db_close(struct tel_keys_db *db)
{
    sqlite3_close(db->db);
    db->db = NULL;
    db->version = 0;
}

enum tg_status tel_keys_db_open(struct tel_keys_db *db, int busy_ms, struct tg_error *err)
{
    return tel_sql_open(db->path, true, busy_ms, &tel_keys_schema, &db->db, err);
}

enum tg_status tel_keys_db_open_readonly(struct tel_keys_db *db, struct tg_error *err)
{
    return tel_sql_open_readonly(db->path, &tel_keys_schema, &db->db, err);
}

enum tg_status tel_keys_db_changed(struct tel_keys_db *db, bool *changed, struct tg_error *err)
{
    int version = 0;
    if (tel_sql_moved(db->db))
        return tg_fail(err, TG_IO, "%s: moved or deleted while in use", db->path);
    enum tg_status status = tel_sql_int(db->db, db->path, "PRAGMA data_version", &version, err);
    *changed = status == TG_OK && version != db->version;
    return status;
}

/* --- a row --- */

enum {
    COL_SEQ,
    COL_ID,
    COL_NAME,
    COL_PREFIX,
    COL_HASH,
    COL_OLD_HASH,
    COL_OLD_UNTIL,
    COL_ROUTES,
    COL_MODELS,
    COL_TAGS,
    COL_LOCAL_ONLY,
    COL_BUDGET,
    COL_PERIOD,
    COL_RPM,
    COL_TPM,
    COL_CONCURRENT,
    COL_CREATED,
    COL_ROTATED,
    COL_EXPIRES,
    COL_REVOKED,
};

static const char select_all[] =
    "SELECT seq, id, name, prefix, hash, old_hash, old_until_ms, routes, models, tags, local_only,"
    " budget_nano, period, rpm, tpm, concurrent, created_ms, rotated_ms, expires_ms, revoked_ms"
    " FROM key ORDER BY seq";

static bool read_short(sqlite3_stmt *stmt, int column, char *out, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    size_t n = (size_t)sqlite3_column_bytes(stmt, column);
    if (!text || n + 1 != size || strlen(text) != n)
        return false;
    memcpy(out, text, size);
    return true;
}

static bool read_hash(sqlite3_stmt *stmt, int column, unsigned char out[TG_SHA256_BYTES])
{
    const void *blob = sqlite3_column_blob(stmt, column);
    if (!blob || sqlite3_column_bytes(stmt, column) != TG_SHA256_BYTES)
        return false;
    memcpy(out, blob, TG_SHA256_BYTES);
    return true;
}

static bool read_long(struct tel_keys *k, sqlite3_stmt *stmt, int column, size_t max,
                      struct tg_str *out, bool *nomem)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    size_t n = (size_t)sqlite3_column_bytes(stmt, column);
    if (!text || n > max || strlen(text) != n)
        return false;
    *out = tel_keys_text(k, text, n);
    *nomem = *nomem || !out->p;
    return true;
}

static bool read_limit(sqlite3_stmt *stmt, int column, uint32_t *out)
{
    int64_t value = sqlite3_column_int64(stmt, column);
    *out = (uint32_t)value;
    return value >= 0 && value <= UINT32_MAX;
}

static bool read_id(const char *id, uint64_t *number)
{
    *number = 0;
    if (strncmp(id, "key_", 4) != 0 || strspn(id + 4, "0123456789abcdef") != TEL_KEY_ID - 4)
        return false;
    for (const char *p = id + 4; *p; p++)
        *number = *number << 4 | (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
    return *number != 0;
}

static bool read_period(sqlite3_stmt *stmt, enum cfg_period *out)
{
    static const enum cfg_period all[] = { CFG_PERIOD_NONE, CFG_PERIOD_DAY, CFG_PERIOD_WEEK,
                                           CFG_PERIOD_MONTH };
    const char *text = (const char *)sqlite3_column_text(stmt, COL_PERIOD);
    for (size_t i = 0; text && i < sizeof(all) / sizeof(*all); i++)
        if (strcmp(text, tel_period_name(all[i])) == 0) {
            *out = all[i];
            return true;
        }
    return false;
}

static bool read_times(sqlite3_stmt *stmt, struct tel_api_key *key)
{
    key->old_until_ms = sqlite3_column_int64(stmt, COL_OLD_UNTIL);
    key->created_ms = sqlite3_column_int64(stmt, COL_CREATED);
    key->rotated_ms = sqlite3_column_int64(stmt, COL_ROTATED);
    key->expires_ms = sqlite3_column_int64(stmt, COL_EXPIRES);
    key->revoked_ms = sqlite3_column_int64(stmt, COL_REVOKED);
    return key->old_until_ms >= 0 && key->created_ms >= 0 && key->rotated_ms >= 0 &&
           key->expires_ms >= 0 && key->revoked_ms >= 0;
}

/* False: not as this program writes it. */
static bool read_row(struct tel_keys *k, sqlite3_stmt *stmt, struct tel_api_key *key, bool *nomem)
{
    key->seq = sqlite3_column_int64(stmt, COL_SEQ);
    key->local_only = sqlite3_column_int(stmt, COL_LOCAL_ONLY) != 0;
    key->has_budget = sqlite3_column_type(stmt, COL_BUDGET) != SQLITE_NULL;
    key->budget_nano = sqlite3_column_int64(stmt, COL_BUDGET);
    return read_short(stmt, COL_ID, key->id, sizeof(key->id)) && read_id(key->id, &key->number) &&
           read_short(stmt, COL_PREFIX, key->prefix, sizeof(key->prefix)) &&
           read_hash(stmt, COL_HASH, key->hash) && read_times(stmt, key) &&
           (!key->old_until_ms || read_hash(stmt, COL_OLD_HASH, key->old_hash)) &&
           read_long(k, stmt, COL_NAME, TEL_KEY_NAME_MAX, &key->name, nomem) &&
           read_long(k, stmt, COL_ROUTES, TEL_KEY_LIST_MAX, &key->routes, nomem) &&
           read_long(k, stmt, COL_MODELS, TEL_KEY_LIST_MAX, &key->models, nomem) &&
           read_long(k, stmt, COL_TAGS, TEL_KEY_LIST_MAX, &key->tags, nomem) &&
           key->budget_nano >= 0 && read_period(stmt, &key->period) &&
           read_limit(stmt, COL_RPM, &key->rpm) && read_limit(stmt, COL_TPM, &key->tpm) &&
           read_limit(stmt, COL_CONCURRENT, &key->concurrent);
}

/* Fills k, which has room for room keys. */
static enum tg_status read_rows(struct tel_keys_db *db, sqlite3_stmt *stmt, struct tel_keys *k,
                                size_t room, struct tg_error *err)
{
    bool nomem = false;
    int step;
    while ((step = sqlite3_step(stmt)) == SQLITE_ROW) {
        if (k->n == room || !read_row(k, stmt, &k->key[k->n], &nomem))
            return tg_fail(err, TG_INVALID,
                           "%s: row %zu is no key of tollgate's: put a backup in its place, or "
                           "move the file away and create new keys",
                           db->path, k->n + 1);
        if (nomem)
            return tg_fail(err, TG_NOMEM, "%s: out of memory", db->path);
        k->n++;
    }
    return step == SQLITE_DONE ? TG_OK : tel_sql_fail(db->db, db->path, "reading the keys", err);
}

/* All within one read transaction, so that the version is that of what was read. */
static enum tg_status load(struct tel_keys_db *db, struct tel_keys **out, struct tg_error *err)
{
    int n = 0, version = 0;
    sqlite3_stmt *stmt = NULL;
    enum tg_status status = tel_sql_int(db->db, db->path, "SELECT count(*) FROM key", &n, err);
    if (!status)
        status = tel_sql_int(db->db, db->path, "PRAGMA data_version", &version, err);
    if (!status && (n < 0 || n > TEL_KEYS_MAX))
        status = tg_fail(err, TG_INVALID, "%s: more than %d keys; put a backup in its place",
                         db->path, TEL_KEYS_MAX);
    if (status)
        return status;
    struct tel_keys *k = tel_keys_new((size_t)n);
    if (!k)
        return tg_fail(err, TG_NOMEM, "%s: out of memory", db->path);
    if (sqlite3_prepare_v2(db->db, select_all, -1, &stmt, NULL) != SQLITE_OK)
        status = tel_sql_fail(db->db, db->path, "reading the keys", err);
    else
        status = read_rows(db, stmt, k, (size_t)n, err);
    sqlite3_finalize(stmt);
    if (status) {
        tel_keys_unref(k);
        return status;
    }
    tel_keys_index(k);
    db->version = version;
    *out = k;
    return TG_OK;
}

enum tg_status tel_keys_db_load(struct tel_keys_db *db, struct tel_keys **out,
                                struct tg_error *err)
{
    *out = NULL;
    enum tg_status status = tel_sql_exec(db->db, db->path, "BEGIN", err);
    if (!status)
        status = load(db, out, err);
    sqlite3_exec(db->db, "ROLLBACK", NULL, NULL, NULL); /* nothing was written */
    return status;
}

/* --- any process --- */

static enum tg_status open_in(const char *dir, struct tel_keys_db *db, struct tg_error *err)
{
    tel_keys_db_init(db, tel_path(dir, "keys.db"));
    return db->path ? TG_OK : tg_fail(err, TG_NOMEM, "%s: out of memory", dir);
}

enum tg_status tel_key_do(const char *dir, struct tel_key_op *op, struct tel_keys **after,
                          struct tg_error *err)
{
    struct tel_keys_db db;
    if (after)
        *after = NULL;
    enum tg_status status = tel_make_dir(dir, err);
    if (!status)
        status = open_in(dir, &db, err);
    if (status)
        return status;
    status = tel_keys_db_open(&db, TEL_BUSY_MS, err);
    if (!status)
        status = tel_keys_db_do(&db, op, tel_clamp_ms(tg_wall_ms()), err);
    if (!status && after)
        status = tel_keys_db_load(&db, after, err);
    tel_keys_db_close(&db);
    tg_free(db.path);
    return status;
}

enum tg_status tel_keys_load(const char *dir, struct tel_keys **out, struct tg_error *err)
{
    struct tel_keys_db db;
    *out = NULL;
    enum tg_status status = open_in(dir, &db, err);
    if (status)
        return status;
    status = tel_keys_db_open_readonly(&db, err);
    if (!status)
        status = tel_keys_db_load(&db, out, err);
    tel_keys_db_close(&db);
    tg_free(db.path);
    if (status != TG_NOTFOUND)
        return status;
    *out = tel_keys_new(0);
    return *out ? TG_OK : tg_fail(err, TG_NOMEM, "%s: out of memory", dir);
}
