/* Changes of keys.db, each in one transaction. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "config/base/utf8.h"
#include "telemetry/internal.h"
#include "telemetry/keys_db.h"

/* --- is it well formed? --- */

static bool is_printable(struct tg_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= 0x20 || (unsigned char)s.p[i] >= 0x7F)
            return false;
    return s.n > 0;
}

static bool is_route(struct tg_str s)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789._-";
    for (size_t i = 0; i < s.n; i++)
        if (!s.p[i] || !strchr(allowed, s.p[i]))
            return false;
    return s.n >= 1 && s.n <= 64;
}

static bool is_model(struct tg_str s)
{
    return tg_str_eq(s, TG_STR("local")) ||
           (is_printable(s) && s.n <= 270 && memchr(s.p, '/', s.n) && s.p[0] != '/');
}

static bool is_tag(struct tg_str s)
{
    return is_printable(s) && s.n <= 64;
}

static enum tg_status check_list(const char *field, const char *text,
                                 bool (*fits)(struct tg_str item), size_t max, const char *form,
                                 struct tg_error *err)
{
    struct tg_str item, list = tg_str_of(text);
    size_t n = 0;
    for (size_t at = 0; tel_list_next(list, &at, &item); n++)
        if (!fits(item))
            return tg_fail(err, TG_INVALID, "%s: \"%.*s\" is not %s", field,
                           (int)(item.n > 80 ? 80 : item.n), item.p, form);
    if (list.n && list.p[list.n - 1] == ',')
        return tg_fail(err, TG_INVALID, "%s: ends with a comma", field);
    if (n > max)
        return tg_fail(err, TG_INVALID, "%s: at most %zu", field, max);
    return TG_OK;
}

static enum tg_status check_name(const char *name, struct tg_error *err)
{
    size_t n = strlen(name);
    bool plain = n > 0 && tg_utf8_valid(name, n);
    for (size_t i = 0; i < n; i++)
        plain = plain && (unsigned char)name[i] >= 0x20 && name[i] != 0x7F;
    if (plain)
        return TG_OK;
    return tg_fail(err, TG_INVALID, "name: 1 to %d bytes of text without control characters",
                   (int)TEL_KEY_NAME_MAX);
}

enum tg_status tel_key_check(const struct tel_key_spec *spec, int64_t now_ms, struct tg_error *err)
{
    enum tg_status status = TG_OK;
    if (spec->set & TEL_KEY_NAME)
        status = check_name(spec->name, err);
    if (!status && spec->set & TEL_KEY_ROUTES)
        status = check_list("routes", spec->routes, is_route, CFG_ROUTES_MAX + 1,
                            "the name of a route (A-Z a-z 0-9 . _ -) or \"local\"", err);
    if (!status && spec->set & TEL_KEY_MODELS)
        status = check_list("models", spec->models, is_model, 256,
                            "a model as PROVIDER/MODEL, or \"local\"", err);
    if (!status && spec->set & TEL_KEY_TAGS)
        status = check_list("tags", spec->tags, is_tag, TEL_KEY_TAGS_MAX,
                            "a tag: 1 to 64 printable characters without spaces", err);
    if (!status && spec->set & TEL_KEY_BUDGET && spec->has_budget && spec->budget_nano < 0)
        status = tg_fail(err, TG_INVALID, "budget: must be an amount such as \"$20/month\"");
    if (!status && spec->set & TEL_KEY_EXPIRES && spec->expires_ms && spec->expires_ms <= now_ms)
        status = tg_fail(err, TG_INVALID, "expires: that time has passed already");
    return status;
}

/* --- statements --- */

static enum tg_status fail(struct tel_keys_db *db, struct tg_error *err)
{
    return tel_sql_fail(db->db, db->path, "writing a key", err);
}

static enum tg_status prepare(struct tel_keys_db *db, const char *sql, sqlite3_stmt **stmt,
                              struct tg_error *err)
{
    return sqlite3_prepare_v2(db->db, sql, -1, stmt, NULL) == SQLITE_OK ? TG_OK : fail(db, err);
}

/* Runs a statement that changes rows, and frees it. */
static enum tg_status finish(struct tel_keys_db *db, sqlite3_stmt *stmt, struct tg_error *err)
{
    enum tg_status status = sqlite3_step(stmt) == SQLITE_DONE ? TG_OK : fail(db, err);
    sqlite3_finalize(stmt);
    return status;
}

/* text must live until the statement has run */
static void bind_text(sqlite3_stmt *stmt, int at, const char *text)
{
    sqlite3_bind_text(stmt, at, text, -1, SQLITE_STATIC);
}

/* A key that may be changed: there and not revoked. */
static enum tg_status must_live(struct tel_keys_db *db, const char *id, struct tg_error *err)
{
    sqlite3_stmt *stmt = NULL;
    enum tg_status status = prepare(db, "SELECT revoked_ms FROM key WHERE id = ?", &stmt, err);
    if (status)
        return status;
    bind_text(stmt, 1, id);
    int step = sqlite3_step(stmt);
    if (step == SQLITE_DONE)
        status = tg_fail(err, TG_NOTFOUND,
                         "no key has the id \"%s\": tollgate key list or GET /admin/keys tells "
                         "them", id);
    else if (step != SQLITE_ROW)
        status = fail(db, err);
    else if (sqlite3_column_int64(stmt, 0))
        status = tg_fail(err, TG_INVALID, "the key %s was revoked, which is for ever: create "
                                          "another", id);
    sqlite3_finalize(stmt);
    return status;
}

/* A revoked row is kept, since the log names it and since without any row nobody would need a key;
 * when the file is full, the oldest of them makes room. */
static enum tg_status make_room(struct tel_keys_db *db, struct tg_error *err)
{
    int n = 0;
    enum tg_status status = tel_sql_int(db->db, db->path, "SELECT count(*) FROM key", &n, err);
    if (status || n < TEL_KEYS_MAX)
        return status;
    status = tel_sql_exec(db->db, db->path,
                          "DELETE FROM key WHERE seq = (SELECT min(seq) FROM key"
                          " WHERE revoked_ms > 0)",
                          err);
    if (!status && sqlite3_changes(db->db) == 0)
        status = tg_fail(err, TG_LIMIT, "there are %d keys already: revoke one that is not needed",
                         n);
    return status;
}

static enum tg_status make_id(char id[TEL_KEY_ID + 1], struct tg_error *err)
{
    unsigned char random[(TEL_KEY_ID - 4) / 2];
    do {
        if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
            return tg_fail(err, TG_IO, "no random numbers for a key: %s", strerror(errno));
    } while (random[0] == 0); /* its number is never 0 */
    memcpy(id, "key_", 4);
    for (size_t i = 0; i < sizeof(random); i++)
        snprintf(id + 4 + 2 * i, 3, "%02x", random[i]);
    return TG_OK;
}

static const char *prefix_of(const char *secret, char out[TEL_KEY_PREFIX + 1])
{
    memcpy(out, secret, TEL_KEY_PREFIX);
    out[TEL_KEY_PREFIX] = '\0';
    return out;
}

/* --- the changes --- */

static enum tg_status insert(struct tel_keys_db *db, struct tel_key_op *op, int64_t now_ms,
                             struct tg_error *err)
{
    sqlite3_stmt *stmt = NULL;
    unsigned char hash[TG_SHA256_BYTES];
    char prefix[TEL_KEY_PREFIX + 1];
    enum tg_status status =
        prepare(db,
                "INSERT INTO key(id, name, prefix, hash, created_ms, routes, models, tags,"
                " local_only, period, rpm, tpm, concurrent, expires_ms)"
                " VALUES(?, ?, ?, ?, ?, '', '', '', 0, 'none', 0, 0, 0, 0)",
                &stmt, err);
    if (status)
        return status;
    tel_secret_hash(tg_str_of(op->secret), hash);
    bind_text(stmt, 1, op->id);
    bind_text(stmt, 2, op->spec.name);
    bind_text(stmt, 3, prefix_of(op->secret, prefix));
    sqlite3_bind_blob(stmt, 4, hash, sizeof(hash), SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 5, now_ms);
    return finish(db, stmt, err);
}

/* One column of the row with that id. */
static enum tg_status set_text(struct tel_keys_db *db, const char *id, const char *sql,
                               const char *text, struct tg_error *err)
{
    sqlite3_stmt *stmt = NULL;
    enum tg_status status = prepare(db, sql, &stmt, err);
    if (status)
        return status;
    bind_text(stmt, 1, text);
    bind_text(stmt, 2, id);
    return finish(db, stmt, err);
}

static enum tg_status set_int(struct tel_keys_db *db, const char *id, const char *sql,
                              int64_t value, struct tg_error *err)
{
    sqlite3_stmt *stmt = NULL;
    enum tg_status status = prepare(db, sql, &stmt, err);
    if (status)
        return status;
    sqlite3_bind_int64(stmt, 1, value);
    bind_text(stmt, 2, id);
    return finish(db, stmt, err);
}

static enum tg_status set_budget(struct tel_keys_db *db, const char *id,
                                 const struct tel_key_spec *s, struct tg_error *err)
{
    sqlite3_stmt *stmt = NULL;
    enum tg_status status =
        prepare(db, "UPDATE key SET budget_nano = ?, period = ? WHERE id = ?", &stmt, err);
    if (status)
        return status;
    if (s->has_budget)
        sqlite3_bind_int64(stmt, 1, s->budget_nano);
    else
        sqlite3_bind_null(stmt, 1);
    bind_text(stmt, 2, tel_period_name(s->has_budget ? s->period : CFG_PERIOD_NONE));
    bind_text(stmt, 3, id);
    return finish(db, stmt, err);
}

#define SET(column) "UPDATE key SET " column " = ? WHERE id = ?"

static enum tg_status apply(struct tel_keys_db *db, const char *id, const struct tel_key_spec *s,
                            struct tg_error *err)
{
    const struct {
        unsigned field;
        const char *sql, *text;
        int64_t value;
    } columns[] = {
        { TEL_KEY_NAME, SET("name"), s->name, 0 },
        { TEL_KEY_ROUTES, SET("routes"), s->routes, 0 },
        { TEL_KEY_MODELS, SET("models"), s->models, 0 },
        { TEL_KEY_TAGS, SET("tags"), s->tags, 0 },
        { TEL_KEY_LOCAL_ONLY, SET("local_only"), NULL, s->local_only },
        { TEL_KEY_RPM, SET("rpm"), NULL, s->rpm },
        { TEL_KEY_TPM, SET("tpm"), NULL, s->tpm },
        { TEL_KEY_CONCURRENT, SET("concurrent"), NULL, s->concurrent },
        { TEL_KEY_EXPIRES, SET("expires_ms"), NULL, s->expires_ms },
    };
    enum tg_status status = TG_OK;
    for (size_t i = 0; !status && i < sizeof(columns) / sizeof(*columns); i++) {
        if (!(s->set & columns[i].field))
            continue;
        status = columns[i].text ? set_text(db, id, columns[i].sql, columns[i].text, err)
                                 : set_int(db, id, columns[i].sql, columns[i].value, err);
    }
    if (!status && s->set & TEL_KEY_BUDGET)
        status = set_budget(db, id, s, err);
    return status;
}

static enum tg_status create(struct tel_keys_db *db, struct tel_key_op *op, int64_t now_ms,
                             struct tg_error *err)
{
    if (!(op->spec.set & TEL_KEY_NAME))
        return tg_fail(err, TG_INVALID, "name: needed, so that people know whose key it is");
    enum tg_status status = make_room(db, err);
    if (!status)
        status = make_id(op->id, err);
    if (!status)
        status = tel_secret_make(op->secret, err);
    if (!status)
        status = insert(db, op, now_ms, err);
    return status ? status : apply(db, op->id, &op->spec, err);
}

/* Two secrets live at most: one that was on its way out already ends here. */
static enum tg_status rotate(struct tel_keys_db *db, struct tel_key_op *op, int64_t now_ms,
                             struct tg_error *err)
{
    sqlite3_stmt *stmt = NULL;
    unsigned char hash[TG_SHA256_BYTES];
    char prefix[TEL_KEY_PREFIX + 1];
    if (op->overlap_ms < 0 || op->overlap_ms > INT64_MAX - now_ms)
        return tg_fail(err, TG_INVALID, "overlap: must be a time such as \"24h\"");
    enum tg_status status = tel_secret_make(op->secret, err);
    if (!status)
        status = prepare(db,
                         "UPDATE key SET old_hash = iif(?3 > 0, hash, NULL), old_until_ms = ?3,"
                         " hash = ?1, prefix = ?2, rotated_ms = ?4 WHERE id = ?5",
                         &stmt, err);
    if (status)
        return status;
    tel_secret_hash(tg_str_of(op->secret), hash);
    sqlite3_bind_blob(stmt, 1, hash, sizeof(hash), SQLITE_STATIC);
    bind_text(stmt, 2, prefix_of(op->secret, prefix));
    sqlite3_bind_int64(stmt, 3, op->overlap_ms ? now_ms + op->overlap_ms : 0);
    sqlite3_bind_int64(stmt, 4, now_ms);
    bind_text(stmt, 5, op->id);
    return finish(db, stmt, err);
}

static enum tg_status revoke(struct tel_keys_db *db, const struct tel_key_op *op, int64_t now_ms,
                             struct tg_error *err)
{
    enum tg_status status = set_int(db, op->id, SET("revoked_ms"), now_ms > 0 ? now_ms : 1, err);
    return status ? status
                  : set_int(db, op->id,
                            "UPDATE key SET old_hash = NULL, old_until_ms = ? WHERE id = ?", 0,
                            err);
}

static enum tg_status change(struct tel_keys_db *db, struct tel_key_op *op, int64_t now_ms,
                             struct tg_error *err)
{
    if (op->kind == TEL_KEY_CREATE)
        return create(db, op, now_ms, err);
    enum tg_status status = must_live(db, op->id, err);
    if (status)
        return status;
    switch (op->kind) {
    case TEL_KEY_ROTATE:
        return rotate(db, op, now_ms, err);
    case TEL_KEY_REVOKE:
        return revoke(db, op, now_ms, err);
    default:
        return apply(db, op->id, &op->spec, err);
    }
}

enum tg_status tel_keys_db_do(struct tel_keys_db *db, struct tel_key_op *op, int64_t now_ms,
                              struct tg_error *err)
{
    enum tg_status status = tel_key_check(&op->spec, now_ms, err);
    op->secret[0] = '\0';
    if (!status)
        status = tel_sql_exec(db->db, db->path, "BEGIN IMMEDIATE", err);
    if (status)
        return status;
    status = change(db, op, now_ms, err);
    if (!status)
        status = tel_sql_exec(db->db, db->path, "COMMIT", err);
    if (status) {
        sqlite3_exec(db->db, "ROLLBACK", NULL, NULL, NULL);
        explicit_bzero(op->secret, sizeof(op->secret));
    }
    return status;
}
