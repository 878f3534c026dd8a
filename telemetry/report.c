/* The report: sums over the request log, beside a running gateway or without one. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "config/base/alloc.h"
#include "config/base/buf.h"
#include "telemetry/internal.h"

enum { REPORT_MAX = 8 << 20, GROUPS_MAX = 256, LABEL_MAX = 512 };

struct sums {
    int64_t requests, local, escalated, failed, estimated, cost, saved, judged;
    double confidence; /* mean over judged requests */
};

#define SUMS                                                                                       \
    "count(*), coalesce(sum(backend = 'local' AND status < 400 AND error = ''), 0),"               \
    " coalesce(sum(escalated), 0),"                                                                \
    " coalesce(sum(status >= 400 OR error <> ''), 0), coalesce(sum(estimated), 0),"                \
    " coalesce(sum(cost_nano), 0), coalesce(sum(saved_nano), 0),"                                  \
    " count(confidence), coalesce(avg(confidence), 0)"
#define RANGE " FROM request WHERE started_ms >= ?1 AND started_ms < ?2"

struct report {
    sqlite3 *db;
    const char *path;
    int64_t since, until;
    bool json;
    struct tel_keys *keys; /* for their names; NULL where they cannot be read */
    struct tg_buf out;
};

static struct sums read_sums(sqlite3_stmt *stmt, int at)
{
    return (struct sums){
        .requests = sqlite3_column_int64(stmt, at),
        .local = sqlite3_column_int64(stmt, at + 1),
        .escalated = sqlite3_column_int64(stmt, at + 2),
        .failed = sqlite3_column_int64(stmt, at + 3),
        .estimated = sqlite3_column_int64(stmt, at + 4),
        .cost = sqlite3_column_int64(stmt, at + 5),
        .saved = sqlite3_column_int64(stmt, at + 6),
        .judged = sqlite3_column_int64(stmt, at + 7),
        .confidence = sqlite3_column_double(stmt, at + 8),
    };
}

/* Dollars without rounding: also a valid JSON number. */
static void add_money(struct tg_buf *out, int64_t nano)
{
    uint64_t size = nano < 0 ? 0 - (uint64_t)nano : (uint64_t)nano;
    tg_buf_addf(out, "%s%llu.%09llu", nano < 0 ? "-" : "", (unsigned long long)(size / 1000000000),
                (unsigned long long)(size % 1000000000));
}

static void add_money_field(struct tg_buf *out, const char *name, int64_t nano)
{
    tg_buf_addf(out, ",\"%s\":", name);
    add_money(out, nano);
}

/* Of the answers that were given: what was refused or failed is neither local nor a provider's. */
static double local_share(const struct sums *a)
{
    int64_t answered = a->requests - a->failed;
    return answered > 0 ? (double)a->local / (double)answered : 0.0;
}

static void add_sums_json(struct tg_buf *out, const struct sums *a)
{
    tg_buf_addf(out,
                "\"requests\":%lld,\"local\":%lld,\"local_share\":%.6f,\"escalated\":%lld,"
                "\"failed\":%lld,\"estimated\":%lld",
                (long long)a->requests, (long long)a->local, local_share(a),
                (long long)a->escalated, (long long)a->failed, (long long)a->estimated);
    add_money_field(out, "cost_usd", a->cost);
    add_money_field(out, "saved_usd", a->saved);
    if (a->judged)
        tg_buf_addf(out, ",\"mean_confidence\":%.6f", a->confidence);
    else
        tg_buf_adds(out, ",\"mean_confidence\":null");
}

/* A column of dollars, as wide as its title. */
static void add_money_column(struct tg_buf *out, int64_t nano)
{
    struct tg_buf text;
    tg_buf_init(&text, 64);
    tg_buf_adds(&text, "$");
    add_money(&text, nano);
    tg_buf_addf(out, " %18s", text.p ? text.p : "");
    tg_buf_free(&text);
}

static void add_sums_row(struct tg_buf *out, const char *name, const struct sums *a)
{
    char confidence[16] = "-";
    if (a->judged)
        snprintf(confidence, sizeof(confidence), "%.3f", a->confidence);
    tg_buf_addf(out, "%-36s %9lld %6.1f%% %9lld %7lld %10s", name, (long long)a->requests,
                100.0 * local_share(a), (long long)a->escalated, (long long)a->failed,
                confidence);
    add_money_column(out, a->cost);
    add_money_column(out, a->saved);
    tg_buf_adds(out, "\n");
}

/* n 0: none that may be shown. id NULL: none. */
static struct tg_str name_of_key(const struct report *r, const char *id)
{
    const struct tel_api_key *key = NULL;
    if (r->keys && id)
        key = tel_keys_by_id(r->keys, tg_str_of(id));
    for (size_t i = 0; key && i < key->name.n; i++)
        if ((unsigned char)key->name.p[i] < 0x20 || key->name.p[i] == 0x7F)
            return TG_STR(""); /* a terminal would obey it */
    return key ? key->name : TG_STR("");
}

/* "NAME (TEXT)" for people, where text is of a key with a name. */
static void label(char out[LABEL_MAX], const char *text, struct tg_str name)
{
    snprintf(out, LABEL_MAX, name.n ? "%.*s (%s)" : "%.*s%s", TG_FMT(name), text);
}

static void add_key_name(struct report *r, struct tg_str name)
{
    if (!name.n)
        return;
    tg_buf_adds(&r->out, ",\"key_name\":");
    tg_buf_add_json(&r->out, name);
}

static enum tg_status prepare(struct report *r, const char *sql, sqlite3_stmt **stmt,
                              struct tg_error *err)
{
    if (sqlite3_prepare_v2(r->db, sql, -1, stmt, NULL) != SQLITE_OK)
        return tel_sql_fail(r->db, r->path, "reading", err);
    return TG_OK;
}

/* The time that the table is about, in UTC. */
static void add_span(struct report *r)
{
    int64_t ends[2] = { r->since, r->until };
    for (int i = 0; i < 2; i++) {
        time_t seconds = (time_t)(ends[i] / 1000);
        struct tm utc;
        char text[32] = "the beginning";
        if (ends[i] > 0 && gmtime_r(&seconds, &utc))
            strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &utc);
        tg_buf_addf(&r->out, "%s%s", i ? " to " : "", text);
    }
    tg_buf_adds(&r->out, " UTC\n\n");
}

static enum tg_status add_totals(struct report *r, struct tg_error *err)
{
    sqlite3_stmt *stmt = NULL;
    enum tg_status status = prepare(r, "SELECT " SUMS RANGE, &stmt, err);
    if (!status) {
        sqlite3_bind_int64(stmt, 1, r->since);
        sqlite3_bind_int64(stmt, 2, r->until);
        if (sqlite3_step(stmt) != SQLITE_ROW)
            status = tel_sql_fail(r->db, r->path, "reading", err);
    }
    if (!status) {
        struct sums total = read_sums(stmt, 0);
        if (r->json) {
            tg_buf_addf(&r->out, "{\"since_ms\":%lld,\"until_ms\":%lld,", (long long)r->since,
                        (long long)r->until);
            add_sums_json(&r->out, &total);
        } else {
            add_span(r);
            tg_buf_addf(&r->out, "%-36s %9s %7s %9s %7s %10s %18s %18s\n", "", "requests", "local",
                        "escalated", "failed", "confidence", "cost", "saved");
            add_sums_row(&r->out, "total", &total);
        }
    }
    sqlite3_finalize(stmt);
    return status;
}

/* column and among: literals of ours, not input. A table without groups is left out. */
static enum tg_status add_groups(struct report *r, const char *title, const char *column,
                                 const char *among, struct tg_error *err)
{
    char sql[1024], shown[LABEL_MAX];
    bool of_keys = strcmp(title, "keys") == 0;
    snprintf(sql, sizeof(sql),
             "SELECT %s, " SUMS RANGE " %s GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %d", column, among,
             GROUPS_MAX);
    sqlite3_stmt *stmt = NULL;
    enum tg_status status = prepare(r, sql, &stmt, err);
    if (status)
        return status;
    sqlite3_bind_int64(stmt, 1, r->since);
    sqlite3_bind_int64(stmt, 2, r->until);
    if (r->json)
        tg_buf_addf(&r->out, ",\"%s\":[", title);
    int step, n = 0;
    for (; (step = sqlite3_step(stmt)) == SQLITE_ROW; n++) {
        struct sums group = read_sums(stmt, 1);
        const char *name = (const char *)sqlite3_column_text(stmt, 0);
        if (!name || !*name)
            name = "(none)";
        struct tg_str owner = name_of_key(r, of_keys ? name : NULL);
        if (r->json) {
            tg_buf_adds(&r->out, n ? ",{\"name\":" : "{\"name\":");
            tg_buf_add_json(&r->out, tg_str_of(name));
            add_key_name(r, owner);
            tg_buf_adds(&r->out, ",");
            add_sums_json(&r->out, &group);
            tg_buf_adds(&r->out, "}");
        } else {
            if (n == 0)
                tg_buf_addf(&r->out, "\n%s\n", title);
            label(shown, name, owner);
            add_sums_row(&r->out, shown, &group);
        }
    }
    if (step != SQLITE_DONE)
        status = tel_sql_fail(r->db, r->path, "reading", err);
    if (r->json)
        tg_buf_adds(&r->out, "]");
    sqlite3_finalize(stmt);
    return status;
}

static void add_budget(struct report *r, sqlite3_stmt *stmt, int n)
{
    static const char *const names[] = { "cap_usd", "spent_usd", "lost_usd", "overage_usd" };
    const char *text[3];
    for (int i = 0; i < 3; i++)
        text[i] = (const char *)sqlite3_column_text(stmt, i);
    const char *name = text[0] ? text[0] : "";
    struct tg_str owner = name_of_key(r, strncmp(name, "key:", 4) == 0 ? name + 4 : NULL);
    if (r->json) {
        static const char *const keys[] = { "name", "period", "start" };
        tg_buf_adds(&r->out, n ? ",{" : "{");
        for (int i = 0; i < 3; i++) {
            tg_buf_addf(&r->out, "%s\"%s\":", i ? "," : "", keys[i]);
            tg_buf_add_json(&r->out, tg_str_of(text[i] ? text[i] : ""));
        }
        add_key_name(r, owner);
        for (int i = 0; i < 4; i++) {
            int64_t nano = sqlite3_column_int64(stmt, 3 + i);
            if (nano == INT64_MAX)
                tg_buf_addf(&r->out, ",\"%s\":null", names[i]); /* no cap */
            else
                add_money_field(&r->out, names[i], nano);
        }
        tg_buf_adds(&r->out, "}");
        return;
    }
    char shown[LABEL_MAX];
    label(shown, name, owner);
    tg_buf_addf(&r->out, "%-36s %s from %s: $", shown, text[1] ? text[1] : "",
                text[2] ? text[2] : "");
    add_money(&r->out, sqlite3_column_int64(stmt, 4));
    if (sqlite3_column_int64(stmt, 3) == INT64_MAX) {
        tg_buf_adds(&r->out, ", no cap");
    } else {
        tg_buf_adds(&r->out, " of $");
        add_money(&r->out, sqlite3_column_int64(stmt, 3));
    }
    static const char *const labels[] = { ", lost in crashes $", ", above reservations $" };
    for (int i = 0; i < 2; i++) {
        if (sqlite3_column_int64(stmt, 5 + i) == 0)
            continue;
        tg_buf_adds(&r->out, labels[i]);
        add_money(&r->out, sqlite3_column_int64(stmt, 5 + i));
    }
    tg_buf_adds(&r->out, "\n");
}

/* The latest period of each budget. */
static enum tg_status add_budgets(struct report *r, struct tg_error *err)
{
    sqlite3_stmt *stmt = NULL;
    enum tg_status status =
        prepare(r,
                "SELECT budget, period, start, cap_nano, spent_nano, lost_nano, overage_nano"
                " FROM period AS p WHERE start = (SELECT max(start) FROM period AS q"
                "  WHERE q.budget = p.budget AND q.period = p.period) ORDER BY 1, 2 LIMIT 2048",
                &stmt, err);
    if (status)
        return status;
    tg_buf_adds(&r->out, r->json ? ",\"budgets\":[" : "\nbudgets\n");
    int step, n = 0;
    while ((step = sqlite3_step(stmt)) == SQLITE_ROW)
        add_budget(r, stmt, n++);
    if (step != SQLITE_DONE)
        status = tel_sql_fail(r->db, r->path, "reading", err);
    if (r->json)
        tg_buf_adds(&r->out, "]");
    sqlite3_finalize(stmt);
    return status;
}

static enum tg_status open_in(struct report *r, const char *dir, const char *name,
                              const struct tel_schema *schema, char **path, struct tg_error *err)
{
    struct tg_buf text;
    tg_buf_init(&text, 1 << 16);
    enum tg_status status = tg_buf_addf(&text, "%s/%s", dir, name);
    tg_free(*path);
    *path = status ? NULL : tg_strdup(text.p);
    tg_buf_free(&text);
    if (!*path)
        return tg_fail(err, TG_NOMEM, "%s: out of memory", dir);
    r->path = *path;
    return tel_sql_open_readonly(*path, schema, &r->db, err);
}

enum tg_status tel_look(const char *dir, const char *file, struct tg_error *err)
{
    struct report r = { .since = 0 };
    char *path = NULL;
    const struct tel_schema *schema = strcmp(file, "ledger.db") == 0 ? &tel_ledger_schema
                                      : strcmp(file, "keys.db") == 0 ? &tel_keys_schema
                                                                     : &tel_log_schema;
    enum tg_status status = open_in(&r, dir, file, schema, &path, err);
    sqlite3_close(r.db);
    tg_free(path);
    return status == TG_NOTFOUND ? TG_OK : status;
}

enum tg_status tel_report(const char *dir, int64_t since_ms, int64_t until_ms, bool json, FILE *out,
                          struct tg_error *err)
{
    struct report r = { .since = since_ms, .until = until_ms, .json = json };
    char *path = NULL;
    tg_buf_init(&r.out, REPORT_MAX);
    struct tg_error ignored;
    tel_keys_load(dir, &r.keys, &ignored); /* without it ids alone are told */
    enum tg_status status = open_in(&r, dir, "log.db", &tel_log_schema, &path, err);
    if (!status)
        status = tel_sql_exec(r.db, path, "BEGIN", err); /* one moment for all sums */
    if (!status)
        status = add_totals(&r, err);
    if (!status)
        status = add_groups(&r, "routes", "route", "", err);
    if (!status)
        status = add_groups(&r, "backends", "backend", "", err);
    if (!status)
        status = add_groups(&r, "keys", "key", "AND key <> ''", err);
    sqlite3_close(r.db);
    r.db = NULL;
    if (!status) {
        status = open_in(&r, dir, "ledger.db", &tel_ledger_schema, &path, err);
        if (!status)
            status = add_budgets(&r, err);
        else if (status == TG_NOTFOUND)
            status = tg_buf_adds(&r.out, json ? ",\"budgets\":[]" : "");
    }
    sqlite3_close(r.db);
    if (!status && json)
        tg_buf_adds(&r.out, "}\n");
    if (!status && r.out.failed)
        status = tg_fail(err, r.out.failed, "%s: the report does not fit in memory", dir);
    if (!status && fwrite(r.out.p, 1, r.out.n, out) != r.out.n)
        status = tg_fail(err, TG_IO, "cannot write the report");
    tel_keys_unref(r.keys);
    tg_buf_free(&r.out);
    tg_free(path);
    return status;
}
