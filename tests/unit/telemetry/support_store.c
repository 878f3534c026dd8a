#include "tests/unit/telemetry/support_store.h"

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/clock.h"
#include "config/base/log.h"

bool rig_make(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    atomic_init(&r->now_ms, 1795176000000); /* 2026-11-20 12:00 UTC */
    snprintf(r->dir, sizeof(r->dir), "%s/tollgate-test-XXXXXX", P_tmpdir);
    return mkdtemp(r->dir) != NULL;
}

static int64_t rig_now(void *arg)
{
    struct rig *r = arg;
    int64_t now = atomic_load(&r->now_ms);
    return now ? now : tg_wall_ms();
}

enum tg_status rig_open(struct rig *r, struct tg_error *err)
{
    struct tel_options options = { .dir = r->dir,
                                   .time_zone = "UTC",
                                   .lease_nano = r->lease_nano,
                                   .in_flight = r->in_flight,
                                   .now_ms = rig_now,
                                   .clock_arg = r };
    return tel_open(&options, &r->store, err);
}

void rig_close(struct rig *r)
{
    tel_close(r->store);
    r->store = NULL;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void rig_drop(struct rig *r)
{
    rig_close(r);
    nftw(r->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void rig_pump(struct rig *r)
{
    /* an ask may lead to another one: turn of period, then the first in line */
    for (int i = 0; i < 8; i++) {
        tel_flush(r->store);
        tel_dispatch(r->store);
    }
}

struct waited {
    bool done;
    enum tel_outcome outcome;
    uint64_t id;
};

static void on_reserved(void *arg, enum tel_outcome outcome, uint64_t id)
{
    struct waited *w = arg;
    *w = (struct waited){ true, outcome, id };
}

static void pump_unhurried(struct rig *r, const struct waited *w)
{
    for (int i = 0; i < 5000 && !w->done; i++) {
        poll(NULL, 0, 1);
        tel_dispatch(r->store);
    }
}

static enum tel_outcome reserve(struct rig *r, int budget, int64_t amount, bool hurry, uint64_t *id)
{
    struct waited w = { 0 };
    enum tel_outcome outcome = tel_reserve(r->store, budget, amount, 7, on_reserved, &w, id);
    if (outcome != TEL_WAIT)
        return outcome;
    uint64_t ticket = *id;
    if (hurry)
        rig_pump(r);
    else
        pump_unhurried(r, &w);
    if (!w.done) {
        tel_reserve_cancel(r->store, ticket);
        return TEL_WAIT;
    }
    *id = w.id;
    return w.outcome;
}

enum tel_outcome rig_reserve(struct rig *r, int budget, int64_t amount, uint64_t *id)
{
    return reserve(r, budget, amount, true, id);
}

enum tel_outcome rig_reserve_unhurried(struct rig *r, int budget, int64_t amount, uint64_t *id)
{
    return reserve(r, budget, amount, false, id);
}

static sqlite3 *open_file(const struct rig *r, const char *file)
{
    char path[160];
    sqlite3 *db = NULL;
    snprintf(path, sizeof(path), "%s/%s", r->dir, file);
    if (sqlite3_open(path, &db) == SQLITE_OK) {
        sqlite3_busy_timeout(db, 5000);
        return db;
    }
    sqlite3_close(db);
    return NULL;
}

int64_t rig_query(const struct rig *r, const char *file, const char *sql)
{
    sqlite3 *db = open_file(r, file);
    sqlite3_stmt *stmt = NULL;
    int64_t value = -999;
    if (db && sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW)
        value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return value;
}

bool rig_exec(const struct rig *r, const char *file, const char *sql)
{
    sqlite3 *db = open_file(r, file);
    bool ok = db && sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
    sqlite3_close(db);
    return ok;
}

bool rig_damage(const struct rig *r, const char *file, long offset, size_t n)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", r->dir, file);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    bool ok = fd >= 0;
    for (size_t i = 0; ok && i < n; i++)
        ok = pwrite(fd, "\xa5", 1, offset + (long)i) == 1;
    if (fd >= 0)
        close(fd);
    return ok;
}

static int log_fd = -1;

void log_begin(const struct rig *r)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/test.log", r->dir);
    log_fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
    tg_log_set_fd(log_fd);
}

void log_end(void)
{
    tg_log_set_fd(2);
    close(log_fd);
}

int log_count(const struct rig *r, const char *text)
{
    char path[160], line[8192];
    int count = 0;
    snprintf(path, sizeof(path), "%s/test.log", r->dir);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file))
        count += strstr(line, text) != NULL;
    if (file)
        fclose(file);
    return count;
}

int rig_begin(struct rig *r, uint32_t in_flight)
{
    struct tg_error err;
    if (!rig_make(r))
        return -1;
    r->lease_nano = 100;
    r->in_flight = in_flight;
    log_begin(r);
    if (rig_open(r, &err) != TG_OK)
        return -1;
    int budget = tel_budget(r->store, "cloud", 1000, CFG_PERIOD_MONTH, 0);
    rig_pump(r);
    return budget;
}

uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return x * 0x2545f4914f6cdd1dULL;
}
