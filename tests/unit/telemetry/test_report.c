/* The report: sums, groups, an open range, beside a running store and without one. */
#include "tests/unit/check.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/base/json.h"
#include "tests/unit/telemetry/support_store.h"

static struct rig rig;
static struct tg_error err;

static void add(int64_t at, const char *route, const char *backend, int status, double confidence,
                int64_t cost, int64_t saved)
{
    struct tel_row row = { .request = 1, .started_ms = at, .route = route, .backend = backend,
                           .dialect = "openai-chat", .reason = "primary", .error = "",
                           .status = status, .escalated = cost > 0,
                           .has_confidence = confidence >= 0, .confidence = confidence,
                           .prompt_tokens = -1, .output_tokens = -1, .cost_nano = cost,
                           .saved_nano = saved, .queue_ms = -1, .ttft_ms = -1, .total_ms = -1,
                           .attempts = 1 };
    tel_row(rig.store, &row);
}

static void fill(void)
{
    CHECK(rig_make(&rig));
    CHECK_INT(rig_open(&rig, &err), TG_OK);
    int b = tel_budget(rig.store, "a \"quoted\" budget", 5 * (int64_t)DOLLAR, CFG_PERIOD_MONTH, 0);
    uint64_t id;
    CHECK_INT(rig_reserve(&rig, b, DOLLAR, &id), TEL_RESERVED);
    tel_settle(rig.store, id, DOLLAR / 2, false);
    add(999, "x", "local", 200, 0.5, 0, 1000);  /* before */
    add(1000, "x", "local", 200, 0.9, 0, 1000);
    add(1500, "x", "p/m", 200, 0.3, 1234567890, 0);
    add(1600, "y", "local", 200, -1, 0, 500);
    add(1999, "y", "", 499, -1, 0, 0);
    add(1999, "x", "local", 500, -1, 0, 0); /* no answer of its own */
    add(2000, "y", "local", 200, 0.1, 0, 1000); /* behind */
    CHECK(tel_flush(rig.store));
}

static char *report(int64_t since, int64_t until, bool json)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    enum tg_status status = tel_report(rig.dir, since, until, json, out, &err);
    fclose(out);
    if (status == TG_OK)
        return text;
    fprintf(stderr, "%s\n", err.text);
    free(text);
    return NULL;
}

static double number(const struct tg_json *v, const char *key)
{
    double out = -1;
    tg_json_number(tg_json_get(v, key), &out);
    return out;
}

static void name_is(const struct tg_json *v, const char *want)
{
    struct tg_str name = { 0 };
    tg_json_string(tg_json_get(v, "name"), &name);
    CHECK(tg_str_eq(name, tg_str_of(want)));
}

static void check_json(void)
{
    char *text = report(1000, 2000, true);
    CHECK(text != NULL);
    struct tg_json *root;
    CHECK_INT(tg_json_parse(tg_str_of(text), &root, &err), TG_OK);
    CHECK_INT(number(root, "requests"), 5);
    CHECK_INT(number(root, "local"), 2);
    CHECK_NEAR(number(root, "local_share"), 2.0 / 3, 1e-6);
    CHECK_INT(number(root, "escalated"), 1);
    CHECK_INT(number(root, "failed"), 2);
    CHECK_NEAR(number(root, "mean_confidence"), 0.6, 1e-6);
    CHECK_NEAR(number(root, "saved_usd"), 1500e-9, 1e-15);
    CHECK(strstr(text, "\"cost_usd\":1.234567890") != NULL);
    const struct tg_json *routes = tg_json_get(root, "routes"), *x = tg_json_first(routes);
    CHECK_INT(tg_json_count(routes), 2);
    name_is(x, "x");
    CHECK_INT(number(x, "requests"), 3);
    name_is(tg_json_next(x), "y");
    CHECK_INT(tg_json_type(tg_json_get(tg_json_next(x), "mean_confidence")), TG_JSON_NULL);
    const struct tg_json *backends = tg_json_get(root, "backends");
    CHECK_INT(tg_json_count(backends), 3);
    name_is(tg_json_first(backends), "local");
    const struct tg_json *budget = tg_json_first(tg_json_get(root, "budgets"));
    name_is(budget, "a \"quoted\" budget");
    CHECK_NEAR(number(budget, "spent_usd"), 0.5, 1e-12);
    CHECK_NEAR(number(budget, "cap_usd"), 5, 1e-12);
    tg_json_free(root);
    free(text);
}

static void sums_beside_a_running_store_and_without(void)
{
    fill();
    check_json();
    rig_close(&rig);
    check_json();
    char *table = report(1000, 2000, false);
    CHECK(table != NULL);
    CHECK(strstr(table, "\ntotal ") && strstr(table, "66.7%") && strstr(table, "$1.234567890"));
    CHECK(strstr(table, "$0.500000000 of $5.000000000"));
    free(table);
    rig_drop(&rig);
}

static void empty_range_has_no_confidence(void)
{
    fill();
    char *text = report(5000, 6000, true);
    CHECK(text && strstr(text, "\"requests\":0,") && strstr(text, "\"mean_confidence\":null"));
    free(text);
    rig_drop(&rig);
}

static void no_log_is_said(void)
{
    CHECK(rig_make(&rig));
    CHECK_INT(tel_report(rig.dir, 0, 1, true, stderr, &err), TG_NOTFOUND);
    CHECK(strstr(err.text, "log.db: no such file") != NULL);
    CHECK(rig_exec(&rig, "log.db", "PRAGMA user_version = 99"));
    CHECK_INT(tel_report(rig.dir, 0, 1, true, stderr, &err), TG_UNSUPPORTED);
    CHECK(rig_damage(&rig, "log.db", 0, 100));
    CHECK_INT(tel_report(rig.dir, 0, 1, true, stderr, &err), TG_INVALID);
    rig_drop(&rig);
}

/* In a child that is somebody else: the folder is the owner's alone. */
static void foreign_files_are_not_called_missing(void)
{
    if (geteuid() != 0)
        CHECK_SKIP("needs root to become somebody else");
    fill();
    rig_close(&rig);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        if (setresuid(65534, 65534, 65534) != 0)
            _exit(1);
        enum tg_status status = tel_report(rig.dir, 0, 1, true, stderr, &err);
        _exit(status == TG_IO && strstr(err.text, "Permission denied") ? 0 : 2);
    }
    int status = -1;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
    rig_drop(&rig);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(sums_beside_a_running_store_and_without),
        CASE(empty_range_has_no_confidence),
        CASE(foreign_files_are_not_called_missing),
        CASE(no_log_is_said),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
