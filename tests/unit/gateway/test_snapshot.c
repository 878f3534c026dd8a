/* Configurations at work: their budgets, and a reload that is refused half-way. */
#include <stdlib.h>
#include <unistd.h>

#include "gateway/app.h"
#include "tests/unit/check.h"

static char dir[] = P_tmpdir "/tollgate-snapshot-XXXXXX";

/* One with these routes; the first has this cap in nano-dollars. */
static void load(struct gw_snapshot **out, const char *cap, const char *more_routes)
{
    char path[96];
    struct tg_error err;
    snprintf(path, sizeof(path), "%s/config.json", dir);
    FILE *f = fopen(path, "w");
    CHECK(f);
    fprintf(f, "{\"dataDir\":\"data\",\"engine\":{\"model\":\"config.json\"},\"routes\":["
               "{\"name\":\"a\",\"primary\":{\"provider\":\"local\"},"
               "\"costPolicy\":{\"cloudBudget\":\"%s\"}}%s]}", cap, more_routes);
    CHECK(fclose(f) == 0);
    enum tg_status status = gw_snapshot_load(path, out, &err);
    remove(path);
    if (status)
        CHECK_FAIL("%s", err.text);
}

static int64_t cap_of(const struct gw_app *app)
{
    return tel_budget_state(app->store, app->now->budget[0]).cap;
}

/* The first route's new cap was declared already when the second one finds no place. */
static void a_reload_refused_half_way_changes_no_cap(void)
{
    struct gw_app app = { 0 };
    struct gw_snapshot *now, *next;
    struct tg_error err = { 0 };
    struct tel_options options = { .dir = mkdtemp(dir) };
    CHECK(options.dir && tel_open(&options, &app.store, &err) == TG_OK);
    load(&now, "$1/day", "");
    app.now = now;
    CHECK_INT(gw_snapshot_bind(now, &app, &err), TG_OK);
    CHECK_INT(cap_of(&app), 1000000000);
    char name[16];
    for (int i = 1; i < TEL_BUDGETS_MAX; i++) {
        snprintf(name, sizeof(name), "key:%d", i);
        CHECK(tel_budget(app.store, name, 1, CFG_PERIOD_DAY, 0) >= 0);
    }
    load(&next, "$2/day", ",{\"name\":\"b\",\"primary\":{\"provider\":\"local\"}}");
    CHECK_INT(gw_snapshot_bind(next, &app, &err), TG_LIMIT);
    CHECK(strstr(err.text, "revoke keys"));
    gw_snapshot_unref(next);
    CHECK_INT(cap_of(&app), 1000000000);
    load(&next, "$2/day", ""); /* without the second one there is room */
    CHECK_INT(gw_snapshot_bind(next, &app, &err), TG_OK);
    app.now = next;
    gw_snapshot_unref(now);
    CHECK_INT(cap_of(&app), 2000000000);
    gw_snapshot_unref(next);
    tel_close(app.store);
    static const char *const files[] = { "ledger.db", "log.db", "keys.db", "lock" };
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        char path[96];
        snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
        remove(path);
    }
    CHECK(rmdir(dir) == 0);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(a_reload_refused_half_way_changes_no_cap),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
