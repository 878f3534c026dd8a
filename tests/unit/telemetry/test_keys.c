/* API keys in their file: what another process changes, what the loop asks for, files that are not
 * as they should be, and memory that runs out. */
#include "tests/unit/check.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "config/base/log.h"
#include "telemetry/keys.h"
#include "telemetry/sql.h"
#include "tests/unit/telemetry/support_store.h"

static struct rig rig;
static struct tg_error err;
static struct tel_keys *all;
static struct tel_key_op op;

static void set(char *to, size_t size, const char *text, unsigned field)
{
    snprintf(to, size, "%s", text);
    op.spec.set |= field;
}
#define SET(member, field, text) set(op.spec.member, sizeof(op.spec.member), text, field)

static void named(const char *name)
{
    op = (struct tel_key_op){ .kind = TEL_KEY_CREATE };
    SET(name, TEL_KEY_NAME, name);
}

/* As `tollgate key` does it: the file is opened, changed, read and closed. */
static enum tg_status run(void)
{
    tel_keys_unref(all);
    all = NULL;
    return tel_key_do(rig.dir, &op, &all, &err);
}

static void look(void)
{
    tel_keys_unref(all);
    all = NULL;
    if (tel_keys_load(rig.dir, &all, &err) != TG_OK)
        CHECK_FAIL("%s", err.text);
}

static const struct tel_api_key *find_in(const struct tel_keys *k, const char *secret, bool *old)
{
    unsigned char hash[TG_SHA256_BYTES];
    tel_secret_hash(tg_str_of(secret), hash);
    return tel_keys_find(k, hash, old);
}

static void begin(void)
{
    tel_keys_unref(all);
    all = NULL;
    CHECK(rig_make(&rig));
}

static void secrets_have_a_form_and_a_check(void)
{
    char a[TEL_SECRET + 1], b[TEL_SECRET + 1];
    CHECK_INT(tel_secret_make(a, &err), TG_OK);
    CHECK_INT(tel_secret_make(b, &err), TG_OK);
    CHECK(strcmp(a, b) != 0);
    CHECK_INT(strlen(a), TEL_SECRET);
    CHECK_INT(strspn(a + 3, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"),
              TEL_SECRET - 3);
    CHECK(tel_secret_fits(tg_str_of(a)) && tel_secret_fits(tg_str_of(b)));
    for (size_t i = 0; i < TEL_SECRET; i++) { /* no one character may be wrong */
        char typo[TEL_SECRET + 1];
        memcpy(typo, a, sizeof(typo));
        typo[i] = typo[i] == 'x' ? 'y' : 'x';
        CHECK(!tel_secret_fits(tg_str_of(typo)));
    }
    CHECK(!tel_secret_fits((struct tg_str){ a, TEL_SECRET - 1 }));
    CHECK(!tel_secret_fits((struct tg_str){ NULL, 0 }));
    unsigned char x[TG_SHA256_BYTES] = { 1 }, y[TG_SHA256_BYTES] = { 1 };
    CHECK(tel_hash_equal(x, y));
    y[TG_SHA256_BYTES - 1] = 1;
    CHECK(!tel_hash_equal(x, y));
}

static void a_key_is_made_and_found(void)
{
    bool old = true;
    begin();
    named("app \xc3\xa4");
    SET(routes, TEL_KEY_ROUTES, "default,local");
    SET(models, TEL_KEY_MODELS, "local,openai/gpt-4o-mini");
    SET(tags, TEL_KEY_TAGS, "a,b");
    op.spec.set |= TEL_KEY_BUDGET | TEL_KEY_RPM | TEL_KEY_TPM | TEL_KEY_CONCURRENT |
                   TEL_KEY_LOCAL_ONLY | TEL_KEY_EXPIRES;
    op.spec.local_only = op.spec.has_budget = true;
    op.spec.budget_nano = 20LL * DOLLAR;
    op.spec.period = CFG_PERIOD_MONTH;
    op.spec.rpm = 60;
    op.spec.tpm = 100000;
    op.spec.concurrent = 4;
    op.spec.expires_ms = tg_wall_ms() + 100000;
    CHECK_INT(run(), TG_OK);
    CHECK_INT(all->n, 1);
    const struct tel_api_key *k = find_in(all, op.secret, &old);
    CHECK(k == &all->key[0] && !old);
    CHECK_STR(k->id, op.id);
    CHECK(k->number != 0);
    CHECK(strncmp(k->prefix, op.secret, TEL_KEY_PREFIX) == 0);
    CHECK_STR(k->name.p, "app \xc3\xa4");
    CHECK(tel_list_has(k->routes, TG_STR("local")) && !tel_list_has(k->routes, TG_STR("loca")));
    CHECK_STR(k->models.p, "local,openai/gpt-4o-mini");
    CHECK_STR(k->tags.p, "a,b");
    CHECK(k->local_only && k->has_budget && k->period == CFG_PERIOD_MONTH);
    CHECK_INT(k->budget_nano, 20LL * DOLLAR);
    CHECK_INT(k->rpm, 60);
    CHECK_INT(k->tpm, 100000);
    CHECK_INT(k->concurrent, 4);
    CHECK_INT(k->expires_ms, op.spec.expires_ms);
    CHECK_INT(tel_key_state(k, k->expires_ms - 1), TEL_KEY_ACTIVE);
    CHECK_INT(tel_key_state(k, k->expires_ms), TEL_KEY_EXPIRED);
    CHECK(!find_in(all, "tg-nothing", &old));
    CHECK(tel_keys_by_id(all, tg_str_of(op.id)) == k && !tel_keys_by_id(all, TG_STR("key_")));
    struct stat st;
    char path[160];
    snprintf(path, sizeof(path), "%s/keys.db", rig.dir);
    CHECK_INT(stat(path, &st), 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    rig_drop(&rig);
}

/* Neither the file nor anything beside it has the secret. */
static void the_secret_is_stored_nowhere(void)
{
    char command[300];
    begin();
    named("app");
    CHECK_INT(run(), TG_OK);
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    snprintf(command, sizeof(command), "%s/keys.db", rig.dir);
    FILE *f = fopen(command, "rb");
    static char bytes[1 << 17];
    size_t n = f ? fread(bytes, 1, sizeof(bytes), f) : 0;
    if (f)
        fclose(f);
    CHECK(n > 0 && !memmem(bytes, n, op.secret + 3, TEL_SECRET - 3));
    CHECK(memmem(bytes, n, op.id, TEL_KEY_ID));
    rig_drop(&rig);
}

static void rotation_overlaps(void)
{
    char first[TEL_SECRET + 1], second[TEL_SECRET + 1];
    bool old = false;
    begin();
    named("app");
    CHECK_INT(run(), TG_OK);
    snprintf(first, sizeof(first), "%s", op.secret);
    op.kind = TEL_KEY_ROTATE;
    op.overlap_ms = 60000;
    CHECK_INT(run(), TG_OK);
    CHECK_INT(all->n, 1);
    snprintf(second, sizeof(second), "%s", op.secret);
    const struct tel_api_key *k = find_in(all, first, &old);
    CHECK(k && old);
    CHECK(k->old_until_ms > tg_wall_ms() && k->old_until_ms <= tg_wall_ms() + 60000);
    CHECK(find_in(all, second, &old) == k && !old);
    CHECK_INT(run(), TG_OK); /* the first one ends here: two at most */
    CHECK(!find_in(all, first, &old));
    CHECK(find_in(all, second, &old) && old);
    op.overlap_ms = 0;
    CHECK_INT(run(), TG_OK);
    CHECK(!find_in(all, second, &old));
    CHECK(find_in(all, op.secret, &old) && !old && !all->key[0].old_until_ms);
    op.overlap_ms = -1;
    CHECK_INT(run(), TG_INVALID);
    op.overlap_ms = INT64_MAX;
    CHECK_INT(run(), TG_INVALID);
    CHECK_STR(op.secret, "");
    rig_drop(&rig);
}

static void a_revoked_key_stays_revoked(void)
{
    bool old;
    char secret[TEL_SECRET + 1];
    begin();
    named("app");
    CHECK_INT(run(), TG_OK);
    snprintf(secret, sizeof(secret), "%s", op.secret);
    op.kind = TEL_KEY_REVOKE;
    CHECK_INT(run(), TG_OK);
    CHECK_INT(all->n, 1); /* the row is kept: without any, nobody would need a key */
    const struct tel_api_key *k = find_in(all, secret, &old);
    CHECK(k && tel_key_state(k, 0) == TEL_KEY_REVOKED);
    static const enum tel_key_op_kind kinds[] = { TEL_KEY_REVOKE, TEL_KEY_ROTATE, TEL_KEY_UPDATE };
    for (size_t i = 0; i < 3; i++) {
        op.kind = kinds[i];
        CHECK_INT(run(), TG_INVALID);
        CHECK(strstr(err.text, "was revoked"));
        snprintf(op.id + 4, 8, "000000");
        CHECK_INT(run(), TG_NOTFOUND);
        CHECK(strstr(err.text, "tollgate key list"));
        look();
        snprintf(op.id, sizeof(op.id), "%s", all->key[0].id);
    }
    rig_drop(&rig);
}

static void an_update_changes_what_it_names(void)
{
    begin();
    named("app");
    SET(tags, TEL_KEY_TAGS, "a");
    op.spec.set |= TEL_KEY_RPM | TEL_KEY_BUDGET;
    op.spec.rpm = 7;
    op.spec.has_budget = true;
    op.spec.budget_nano = DOLLAR;
    CHECK_INT(run(), TG_OK);
    op.kind = TEL_KEY_UPDATE;
    memset(&op.spec, 0, sizeof(op.spec));
    op.spec.set = TEL_KEY_BUDGET | TEL_KEY_CONCURRENT;
    op.spec.concurrent = 2;
    CHECK_INT(run(), TG_OK);
    const struct tel_api_key *k = &all->key[0];
    CHECK(!k->has_budget && k->rpm == 7 && k->concurrent == 2);
    CHECK_STR(k->name.p, "app");
    CHECK_STR(k->tags.p, "a");
    rig_drop(&rig);
}

static void nonsense_is_refused_by_field(void)
{
    static const struct {
        unsigned field;
        const char *text, *error;
    } rows[] = {
        { TEL_KEY_NAME, "", "name: " },
        { TEL_KEY_NAME, "a\nb", "name: " },
        { TEL_KEY_NAME, "\xff", "name: " },
        { TEL_KEY_ROUTES, "a b", "routes: \"a b\" is not" },
        { TEL_KEY_ROUTES, "a,,b", "routes: \"\" is not" },
        { TEL_KEY_ROUTES, "a,", "routes: ends with a comma" },
        { TEL_KEY_MODELS, "gpt-4o", "models: \"gpt-4o\" is not" },
        { TEL_KEY_MODELS, "/x", "models: " },
        { TEL_KEY_TAGS, "1,2,3,4,5,6,7,8,9", "tags: at most 8" },
        { TEL_KEY_TAGS, "\x01", "tags: " },
    };
    begin();
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        named("app");
        char *to = rows[i].field == TEL_KEY_NAME     ? op.spec.name
                   : rows[i].field == TEL_KEY_ROUTES ? op.spec.routes
                   : rows[i].field == TEL_KEY_MODELS ? op.spec.models
                                                     : op.spec.tags;
        set(to, TEL_KEY_NAME_MAX, rows[i].text, rows[i].field);
        CHECK_INT(run(), TG_INVALID);
        if (strncmp(err.text, rows[i].error, strlen(rows[i].error)) != 0)
            CHECK_FAIL("%zu: %s", i, err.text);
    }
    named("app");
    op.spec.set |= TEL_KEY_EXPIRES;
    op.spec.expires_ms = 1000;
    CHECK_INT(run(), TG_INVALID);
    op = (struct tel_key_op){ .kind = TEL_KEY_CREATE };
    CHECK_INT(run(), TG_INVALID);
    CHECK(strstr(err.text, "name: needed"));
    look();
    CHECK_INT(all->n, 0);
    rig_drop(&rig);
}

/* Until the loop has that many keys, or a second is over. */
static bool soon(size_t n)
{
    for (int i = 0; i < 100; i++) {
        tel_dispatch(rig.store);
        if (tel_keys_now(rig.store)->n == n)
            return true;
        usleep(10000);
    }
    return false;
}

static void another_process_is_noticed_within_a_second(void)
{
    bool old;
    begin();
    atomic_store(&rig.now_ms, 0);
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    CHECK_INT(tel_keys_now(rig.store)->n, 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        named("child");
        _exit(tel_key_do(rig.dir, &op, NULL, &err) == TG_OK ? 0 : 1);
    }
    int ended;
    CHECK_INT(waitpid(pid, &ended, 0), pid);
    CHECK_INT(ended, 0);
    CHECK(soon(1));
    CHECK_STR(tel_keys_now(rig.store)->key[0].name.p, "child");
    named("own"); /* a second handle of this process */
    CHECK_INT(run(), TG_OK);
    CHECK(soon(2));
    CHECK(find_in(tel_keys_now(rig.store), op.secret, &old));
    rig_drop(&rig);
}

static int answered;

static void on_done(void *arg)
{
    CHECK(arg == &op);
    answered++;
}

static void ask_and_wait(void)
{
    op.fn = on_done;
    op.arg = &op;
    answered = 0;
    CHECK_INT(tel_key_ask(rig.store, &op), TG_OK);
    for (int i = 0; i < 500 && !answered; i++) {
        tel_flush(rig.store);
        tel_dispatch(rig.store);
    }
    CHECK_INT(answered, 1);
}

static void the_loop_asks_and_sees_what_it_asked_for(void)
{
    bool old;
    begin();
    atomic_store(&rig.now_ms, 0);
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    named("app");
    ask_and_wait();
    CHECK_INT(op.status, TG_OK);
    CHECK(find_in(tel_keys_now(rig.store), op.secret, &old)); /* at once, not at the next look */
    op.kind = TEL_KEY_REVOKE;
    ask_and_wait();
    CHECK_INT(op.status, TG_OK);
    CHECK_INT(tel_key_state(&tel_keys_now(rig.store)->key[0], 0), TEL_KEY_REVOKED);
    op.kind = TEL_KEY_ROTATE;
    ask_and_wait();
    CHECK_INT(op.status, TG_INVALID);
    CHECK(strstr(op.err.text, "revoked"));
    static struct tel_key_op many[TEL_KEY_OPS_MAX + 1];
    for (size_t i = 0; i <= TEL_KEY_OPS_MAX; i++) {
        many[i] = op;
        many[i].arg = &op;
        CHECK_INT(tel_key_ask(rig.store, &many[i]), i < TEL_KEY_OPS_MAX ? TG_OK : TG_AGAIN);
    }
    answered = 0;
    rig_drop(&rig); /* nobody is called back */
    CHECK_INT(answered, 0);
}

/* A set that an exchange holds outlives those that follow it. */
static void a_set_lives_as_long_as_it_is_held(void)
{
    begin();
    atomic_store(&rig.now_ms, 0);
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    named("app");
    ask_and_wait();
    struct tel_keys *held = tel_keys_ref(tel_keys_now(rig.store));
    for (int i = 0; i < 5; i++) {
        op.kind = TEL_KEY_ROTATE;
        op.overlap_ms = 1000;
        ask_and_wait();
    }
    CHECK(held != tel_keys_now(rig.store));
    CHECK_STR(held->key[0].name.p, "app");
    CHECK(!held->key[0].old_until_ms && tel_keys_now(rig.store)->key[0].old_until_ms);
    rig_drop(&rig);
    tel_keys_unref(held);
}

static void a_file_that_is_not_ours_ends_the_start(void)
{
    static const struct {
        const char *sql;
        enum tg_status status;
    } rows[] = {
        { "PRAGMA user_version = 99", TG_UNSUPPORTED },
        { "PRAGMA user_version = 0", TG_INVALID },
        { "UPDATE key SET hash = x'00'", TG_INVALID },
        { "UPDATE key SET id = 'key_00000000000x'", TG_INVALID },
        { "UPDATE key SET id = 'key_000000000000'", TG_INVALID },
        { "UPDATE key SET rpm = -1", TG_INVALID },
        { "UPDATE key SET budget_nano = -1", TG_INVALID },
        { "UPDATE key SET period = 'year'", TG_INVALID },
        { "UPDATE key SET name = hex(zeroblob(100))", TG_INVALID },
        { "UPDATE key SET prefix = 'tg-'", TG_INVALID },
        { "UPDATE key SET revoked_ms = -5", TG_INVALID },
        { "UPDATE key SET old_until_ms = 5", TG_INVALID },
        { "UPDATE key SET routes = 'a' || char(0)", TG_INVALID },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        begin();
        named("app");
        CHECK_INT(run(), TG_OK);
        CHECK(rig_exec(&rig, "keys.db", rows[i].sql));
        enum tg_status status = rig_open(&rig, &err);
        if (status != rows[i].status || !strstr(err.text, "keys.db"))
            CHECK_FAIL("%s: %d, %s", rows[i].sql, (int)status, err.text);
        op.kind = TEL_KEY_ROTATE;
        CHECK_INT(tel_look(rig.dir, "keys.db", &err), i < 2 ? rows[i].status : TG_OK);
        rig_drop(&rig);
    }
}

static void damage_at_the_start_serves_nobody_and_later_keeps_what_was(void)
{
    bool old;
    begin();
    atomic_store(&rig.now_ms, 0);
    named("app");
    CHECK_INT(run(), TG_OK);
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    log_begin(&rig);
    CHECK(rig_exec(&rig, "keys.db", "UPDATE key SET hash = x'00'"));
    for (int i = 0; i < 3; i++) {
        tel_flush(rig.store);
        tel_dispatch(rig.store);
    }
    CHECK(find_in(tel_keys_now(rig.store), op.secret, &old));
    CHECK_INT(log_count(&rig, "keys-unavailable"), 1); /* once, however often it is tried */
    log_end();
    rig_close(&rig);
    CHECK(rig_damage(&rig, "keys.db", 0, 100));
    CHECK_INT(rig_open(&rig, &err), TG_INVALID);
    CHECK(strstr(err.text, "keys.db") && strstr(err.text, "damaged"));
    rig_drop(&rig);
}

static void a_file_that_vanishes_has_no_keys(void)
{
    char path[160];
    begin();
    atomic_store(&rig.now_ms, 0);
    named("app");
    CHECK_INT(run(), TG_OK);
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    CHECK_INT(tel_keys_now(rig.store)->n, 1);
    static const char *const files[] = { "keys.db", "keys.db-wal", "keys.db-shm" };
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", rig.dir, files[i]);
        unlink(path);
    }
    log_begin(&rig);
    tel_flush(rig.store);
    CHECK(soon(0));
    CHECK_INT(log_count(&rig, "moved or deleted while in use"), 1);
    log_end();
    rig_drop(&rig);
}

static void a_full_file_forgets_the_oldest_revoked_key(void)
{
    begin();
    named("first");
    CHECK_INT(run(), TG_OK);
    CHECK(rig_exec(&rig, "keys.db",
                   "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
                   " WHERE i < 4095) INSERT INTO key(id, name, prefix, hash, routes, models, tags,"
                   " local_only, period, rpm, tpm, concurrent, created_ms, expires_ms)"
                   " SELECT printf('key_%012x', i), 'n', 'tg-abcdef', randomblob(32), '', '', '',"
                   " 0, 'none', 0, 0, 0, 1, 0 FROM n"));
    named("one too many");
    CHECK_INT(run(), TG_LIMIT);
    CHECK(strstr(err.text, "revoke one"));
    CHECK(rig_exec(&rig, "keys.db", "UPDATE key SET revoked_ms = 9 WHERE seq IN (7, 9)"));
    CHECK_INT(run(), TG_OK);
    CHECK_INT(all->n, TEL_KEYS_MAX);
    CHECK_INT(rig_query(&rig, "keys.db", "SELECT count(*) FROM key WHERE seq = 7"), 0);
    bool old;
    for (size_t i = 0; i < all->n; i += 97) /* a full table still finds each */
        CHECK(tel_keys_find(all, all->key[i].hash, &old) == &all->key[i]);
    rig_drop(&rig);
}

static void memory_that_runs_out(void)
{
    begin();
    named("app");
    SET(routes, TEL_KEY_ROUTES, "default");
    CHECK_INT(run(), TG_OK);
    bool done = false;
    for (uint64_t nth = 1; !done && nth < 100; nth++) {
        op.kind = TEL_KEY_ROTATE;
        tg_alloc_fail_nth(nth);
        enum tg_status status = run();
        done = tg_alloc_count() < nth;
        tg_alloc_fail_nth(0);
        CHECK_INT(status, done ? TG_OK : TG_NOMEM);
    }
    CHECK(done);
    for (uint64_t nth = 1; nth < 100; nth++) {
        tg_alloc_fail_nth(nth);
        enum tg_status status = rig_open(&rig, &err);
        bool over = tg_alloc_count() < nth;
        tg_alloc_fail_nth(0);
        rig_close(&rig);
        CHECK(status == TG_OK || status == TG_NOMEM);
        if (over)
            break;
    }
    rig_drop(&rig);
}

static void a_log_of_the_first_version_gets_its_column(void)
{
    begin();
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    rig_close(&rig);
    CHECK(rig_exec(&rig, "log.db",
                   "DROP INDEX request_report; ALTER TABLE request DROP COLUMN key;"
                   "CREATE INDEX request_report ON request(started_ms);"
                   "INSERT INTO request(request, started_ms, route, backend, dialect, reason,"
                   " error, status, stream, escalated, local_only, estimated, cost_nano,"
                   " saved_nano, attempts)"
                   " VALUES('1', 1, '', '', '', '', '', 200, 0, 0, 0, 0, 0, 0, 0);"
                   "PRAGMA user_version = 1"));
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    struct tel_row row = { .request = 2, .route = "r", .backend = "local", .dialect = "d",
                           .reason = "", .error = "", .key = "key_0123456789ab", .status = 200 };
    tel_row(rig.store, &row);
    CHECK(tel_flush(rig.store));
    CHECK_INT(rig_query(&rig, "log.db", "SELECT count(*) FROM request WHERE key = ''"), 1);
    CHECK_INT(rig_query(&rig, "log.db",
                        "SELECT count(*) FROM request WHERE key = 'key_0123456789ab'"), 1);
    rig_drop(&rig);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(secrets_have_a_form_and_a_check),
        CASE(a_key_is_made_and_found),
        CASE(the_secret_is_stored_nowhere),
        CASE(rotation_overlaps),
        CASE(a_revoked_key_stays_revoked),
        CASE(an_update_changes_what_it_names),
        CASE(nonsense_is_refused_by_field),
        CASE(another_process_is_noticed_within_a_second),
        CASE(the_loop_asks_and_sees_what_it_asked_for),
        CASE(a_set_lives_as_long_as_it_is_held),
        CASE(a_file_that_is_not_ours_ends_the_start),
        CASE(damage_at_the_start_serves_nobody_and_later_keeps_what_was),
        CASE(a_file_that_vanishes_has_no_keys),
        CASE(a_full_file_forgets_the_oldest_revoked_key),
        CASE(memory_that_runs_out),
        CASE(a_log_of_the_first_version_gets_its_column),
    };
    tg_log_set_level(TG_LOG_ERROR);
    int status = check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
    tel_keys_unref(all);
    return status;
}
