#include "telemetry/sql.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/log.h"

enum tg_status tel_sql_fail(sqlite3 *db, const char *path, const char *doing, struct tg_error *err)
{
    int code = db ? sqlite3_errcode(db) & 0xff : SQLITE_NOMEM;
    const char *text = db ? sqlite3_errmsg(db) : "out of memory";
    switch (code) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return tg_fail(err, TG_INVALID,
                       "%s: %s: %s; the file is damaged: put a backup in its place, or move it "
                       "away (what it recorded is then unknown; without ledger.db spending starts "
                       "at $0, without keys.db nobody needs a key)",
                       path, doing, text);
    case SQLITE_FULL:
        return tg_fail(err, TG_IO, "%s: %s: %s; free some space", path, doing, text);
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return tg_fail(err, TG_IO, "%s: %s: %s; make the file and its folder writable", path, doing,
                       text);
    case SQLITE_BUSY:
        return tg_fail(err, TG_IO, "%s: %s: %s; another program holds the file", path, doing, text);
    case SQLITE_NOMEM:
        return tg_fail(err, TG_NOMEM, "%s: %s: %s", path, doing, text);
    default:
        return tg_fail(err, TG_IO, "%s: %s: %s", path, doing, text);
    }
}

enum tg_status tel_sql_exec(sqlite3 *db, const char *path, const char *sql, struct tg_error *err)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return TG_OK;
    char doing[64];
    snprintf(doing, sizeof(doing), "%.*s", (int)strcspn(sql, "\n;("), sql);
    return tel_sql_fail(db, path, doing, err);
}

enum tg_status tel_sql_int(sqlite3 *db, const char *path, const char *sql, int *out,
                           struct tg_error *err)
{
    sqlite3_stmt *stmt = NULL;
    enum tg_status status = TG_OK;
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW)
        status = tel_sql_fail(db, path, "reading its version", err);
    else
        *out = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    return status;
}

/* Refuses what this program must not touch. *version is that of the file. */
static enum tg_status check_version(sqlite3 *db, const char *path, const struct tel_schema *schema,
                                    int *version, struct tg_error *err)
{
    int objects = 0;
    enum tg_status status = tel_sql_int(db, path, "PRAGMA user_version", version, err);
    if (!status)
        status = tel_sql_int(db, path, "SELECT count(*) FROM sqlite_schema", &objects, err);
    if (status)
        return status;
    if (*version > schema->n_steps)
        return tg_fail(err, TG_UNSUPPORTED,
                       "%s: this %s has version %d, made by a newer tollgate; this one knows "
                       "versions up to %d: start the newer program",
                       path, schema->what, *version, schema->n_steps);
    if (*version < 0 || (*version == 0 && objects > 0))
        return tg_fail(err, TG_INVALID, "%s: a database, but no %s of tollgate; move it away", path,
                       schema->what);
    return TG_OK;
}

enum tg_status tel_sql_migrate(sqlite3 *db, const char *path, const struct tel_schema *schema,
                               struct tg_error *err)
{
    int version = 0;
    enum tg_status status = check_version(db, path, schema, &version, err);
    if (status || version == schema->n_steps)
        return status;
    status = tel_sql_exec(db, path, "BEGIN IMMEDIATE", err);
    for (int i = version; !status && i < schema->n_steps; i++)
        status = tel_sql_exec(db, path, schema->step[i], err);
    char set[48];
    snprintf(set, sizeof(set), "PRAGMA user_version = %d", schema->n_steps);
    if (!status)
        status = tel_sql_exec(db, path, set, err);
    if (!status)
        status = tel_sql_exec(db, path, "COMMIT", err);
    if (status)
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

bool tel_sql_moved(sqlite3 *db)
{
    int moved = 0;
    return sqlite3_file_control(db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved;
}

/* What root makes in the folder of the user that runs the gateway is that user's. */
static void give_to_folder(const char *path, int fd)
{
    struct stat folder;
    const char *slash = strrchr(path, '/');
    char *dir = geteuid() == 0 && slash ? tg_strndup(path, (size_t)(slash - path) + 1) : NULL;
    if (dir && stat(dir, &folder) == 0 && fchown(fd, folder.st_uid, folder.st_gid) != 0)
        tg_log(TG_LOG_WARN, "file-owner", "%s: cannot be given to the owner of its folder: %s",
               path, strerror(errno));
    tg_free(dir);
}

/* SQLite would let others read it; its -wal and -shm take mode and owner of the file. One that is
 * there keeps the mode that somebody gave it, and is not even opened: closing it again would drop
 * the locks that this process may hold on it. */
static void make_private(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return; /* SQLite says why it cannot be made */
    give_to_folder(path, fd);
    close(fd);
}

enum tg_status tel_sql_open(const char *path, bool full_sync, int busy_ms,
                            const struct tel_schema *schema, sqlite3 **out, struct tg_error *err)
{
    sqlite3 *db = NULL;
    enum tg_status status = TG_OK;
    *out = NULL;
    make_private(path);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &db, flags, NULL) != SQLITE_OK) {
        status = tel_sql_fail(db, path, "opening", err);
        goto done;
    }
    sqlite3_busy_timeout(db, busy_ms);
    int version; /* refuse before the journal mode changes a file that is not ours */
    status = check_version(db, path, schema, &version, err);
    if (status)
        goto done;
    /* SQLite opens what it may not write for reading, without a word. */
    if (sqlite3_db_readonly(db, "main") == 1) {
        status = tg_fail(err, TG_IO, "%s: read-only; make the file and its folder writable", path);
        goto done;
    }
    const char *sync = full_sync ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL";
    status = tel_sql_exec(db, path, "PRAGMA journal_mode = WAL", err);
    if (!status)
        status = tel_sql_exec(db, path, sync, err);
    if (!status)
        status = tel_sql_migrate(db, path, schema, err);
done:
    if (status) {
        sqlite3_close(db);
        return status;
    }
    *out = db;
    return TG_OK;
}

/* path as a file: URI that promises nobody writes; needed where a WAL file cannot be made. */
static char *immutable_uri(const char *path)
{
    static const char hex[] = "0123456789ABCDEF", head[] = "file:", tail[] = "?immutable=1";
    char *uri = tg_alloc(3 * strlen(path) + sizeof(head) + sizeof(tail));
    if (!uri)
        return NULL;
    memcpy(uri, head, sizeof(head));
    char *to = uri + sizeof(head) - 1;
    for (const char *from = path; *from; from++) {
        unsigned char c = (unsigned char)*from;
        if (c == '?' || c == '#' || c == '%') {
            *to++ = '%';
            *to++ = hex[c >> 4];
            *to++ = hex[c & 15];
        } else {
            *to++ = (char)c;
        }
    }
    memcpy(to, tail, sizeof(tail));
    return uri;
}

/* A file that was closed cleanly, in a folder that may not be written. */
static enum tg_status open_immutable(const char *path, const struct tel_schema *schema,
                                     int *version, sqlite3 **db, struct tg_error *err)
{
    char *uri = immutable_uri(path);
    if (!uri)
        return tg_fail(err, TG_NOMEM, "%s: out of memory", path);
    enum tg_status status;
    if (sqlite3_open_v2(uri, db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL) != SQLITE_OK)
        status = tel_sql_fail(*db, path, "opening", err);
    else
        status = check_version(*db, path, schema, version, err);
    tg_free(uri);
    return status;
}

static bool has_wal(const char *path)
{
    size_t n = strlen(path) + sizeof("-wal");
    char *wal = tg_alloc(n);
    if (!wal)
        return true;
    snprintf(wal, n, "%s-wal", path);
    bool there = access(wal, F_OK) == 0;
    tg_free(wal);
    return there;
}

enum tg_status tel_sql_open_readonly(const char *path, const struct tel_schema *schema,
                                     sqlite3 **out, struct tg_error *err)
{
    sqlite3 *db = NULL;
    enum tg_status status;
    int version = 0;
    *out = NULL;
    if (access(path, R_OK) != 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return tg_fail(err, TG_NOTFOUND, "%s: no such file", path);
        return tg_fail(err, TG_IO, "%s: %s; it can be read by the user whose gateway wrote it",
                       path, strerror(errno));
    }
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK) {
        status = tel_sql_fail(db, path, "opening", err);
    } else {
        sqlite3_busy_timeout(db, TEL_BUSY_MS);
        status = check_version(db, path, schema, &version, err);
    }
    int code = sqlite3_errcode(db) & 0xff;
    if (status == TG_IO && (code == SQLITE_CANTOPEN || code == SQLITE_READONLY) && !has_wal(path)) {
        sqlite3_close(db);
        db = NULL;
        status = open_immutable(path, schema, &version, &db, err);
    }
    if (!status && version < schema->n_steps)
        status = tg_fail(err, TG_UNSUPPORTED,
                         "%s: version %d is older than this program's %d; start the gateway once "
                         "to migrate it",
                         path, version, schema->n_steps);
    if (status) {
        sqlite3_close(db);
        return status;
    }
    *out = db;
    return TG_OK;
}
