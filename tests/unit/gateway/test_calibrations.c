/* Files of calibrations and of examples, when memory or room runs out. */
#include "gateway/calibrations.h"

#include <stdlib.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "gateway/calibrate.h"
#include "gateway/files.h"
#include "policy/calibration_json.h"
#include "tests/unit/check.h"

static char dir[64], path[128];

static void set_up(void)
{
    strcpy(dir, "/tmp/tollgate-cal-XXXXXX");
    CHECK(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/calibration.json", dir);
}

static void tear_down(void)
{
    unlink(path);
    CHECK_INT(rmdir(dir), 0); /* no temporary file is left */
}

static struct pol_calibration numbered(int i)
{
    struct pol_calibration c = { .made = "2026-11-29", .n = 9, .bias = i,
                                 .key = { .features = POL_FEATURES_VERSION } };
    snprintf(c.key.model, sizeof(c.key.model), "%064x", (unsigned)i);
    return c;
}

static void room_for_so_many(void)
{
    struct gw_calibrations all = { 0 }, back = { 0 };
    struct tg_error err;
    set_up();
    for (int i = 0; i < POL_CALIBRATIONS_MAX; i++) {
        struct pol_calibration c = numbered(i);
        CHECK_INT(gw_calibrations_put(&all, &c, &err), TG_OK);
    }
    struct pol_calibration more = numbered(-1), again = numbered(7);
    again.bias = 70;
    CHECK_INT(gw_calibrations_put(&all, &more, &err), TG_LIMIT);
    CHECK_INT(gw_calibrations_put(&all, &again, &err), TG_OK); /* in the place of the old one */
    CHECK_INT(all.n, POL_CALIBRATIONS_MAX);
    CHECK_INT(gw_calibrations_write(&all, path, &err), TG_OK);
    CHECK_INT(gw_calibrations_add(&back, path, &err), TG_OK);
    CHECK_INT(gw_calibrations_add(&back, path, &err), TG_OK);
    CHECK_INT(back.n, 2 * POL_CALIBRATIONS_MAX);
    CHECK_NEAR(back.list[7].bias, 70, 0);
    CHECK_NEAR(back.list[POL_CALIBRATIONS_MAX + 9].bias, 9, 0);
    gw_calibrations_free(&all);
    gw_calibrations_free(&back);
    CHECK_INT(gw_calibrations_add(&back, dir, &err), TG_IO);
    CHECK(strstr(err.text, "is no regular file"));
    CHECK_INT(gw_calibrations_add(&back, "/nowhere/at/all", &err), TG_OK);
    CHECK_INT(back.n, 0);
    tear_down();
}

static void what_cannot_be_read_is_not_written(void)
{
    struct gw_calibrations c = { 0 }, back = { 0 };
    struct tg_error err;
    set_up();
    struct pol_calibration one = numbered(1);
    CHECK_INT(gw_calibrations_put(&c, &one, &err), TG_OK);
    CHECK_INT(gw_calibrations_write(&c, path, &err), TG_OK);
    c.list[0].weight[POL_MAX_ENTROPY] = -1.1e6;
    CHECK_INT(gw_calibrations_write(&c, path, &err), TG_INVALID);
    CHECK(strstr(err.text, "calibrations[0].weights.max_entropy: must be"));
    CHECK(strstr(err.text, "would refuse it"));
    c.list[0].weight[POL_MAX_ENTROPY] = INFINITY;
    CHECK_INT(gw_calibrations_write(&c, path, &err), TG_INVALID);
    CHECK_INT(gw_calibrations_add(&back, path, &err), TG_OK);
    CHECK_INT(back.n, 1);
    CHECK_NEAR(back.list[0].weight[POL_MAX_ENTROPY], 0, 0);
    gw_calibrations_free(&c);
    gw_calibrations_free(&back);
    tear_down();
}

static void a_name_that_is_too_long_is_of_no_file(void)
{
    struct gw_calibrations c = { 0 };
    struct tg_error err;
    char model[512];
    set_up();
    snprintf(model, sizeof(model), "%s/%0250d.gguf", dir, 7); /* which may be there */
    char *beside = gw_calibrations_of_model(model);
    CHECK_INT(gw_calibrations_add(&c, beside, &err), TG_OK);
    CHECK_INT(c.n, 0);
    tg_free(beside);
    tear_down();
}

static void names(void)
{
    static const struct {
        const char *model, *want;
    } cases[] = {
        { "/m/spark.gguf", "/m/spark.calibration.json" },
        { "/m/spark.bin", "/m/spark.bin.calibration.json" },
        { ".gguf", ".gguf.calibration.json" },
        { "/m/a-00001-of-00002.gguf", "/m/a-00001-of-00002.calibration.json" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *got = gw_calibrations_of_model(cases[i].model);
        CHECK_STR(got, cases[i].want);
        tg_free(got);
    }
    char *own = gw_calibrations_of_dir("/d");
    CHECK_STR(own, "/d/calibration.json");
    tg_free(own);
}

/* A failure leaves what was there: in memory, and in the file. */
static void failing_allocations(void)
{
    struct tg_error err;
    set_up();
    struct gw_calibrations old = { 0 };
    struct pol_calibration one = numbered(1), two = numbered(2);
    CHECK_INT(gw_calibrations_put(&old, &one, &err), TG_OK);
    CHECK_INT(gw_calibrations_write(&old, path, &err), TG_OK);
    for (uint64_t nth = 1, failures = 1; failures; nth++) {
        struct gw_calibrations c = { 0 };
        failures = 0;
        tg_alloc_fail_nth(nth);
        enum tg_status status = gw_calibrations_add(&c, path, &err);
        CHECK(status == TG_NOMEM ? c.n == 0 : status == TG_OK && c.n == 1);
        failures += status != TG_OK;
        if (status == TG_OK)
            status = gw_calibrations_put(&c, &two, &err);
        CHECK(status == TG_OK ? c.n == 2 : status == TG_NOMEM && c.n <= 1);
        failures += status != TG_OK;
        if (status == TG_OK)
            status = gw_calibrations_write(&c, path, &err);
        failures += status != TG_OK;
        tg_alloc_fail_nth(0);
        gw_calibrations_free(&c);
        CHECK_INT(gw_calibrations_add(&c, path, &err), TG_OK);
        CHECK_INT(c.n, failures ? 1 : 2); /* all of the new ones, or the old one */
        gw_calibrations_free(&c);
        CHECK(nth < 1000);
    }
    gw_calibrations_free(&old);
    tear_down();
}

static void examples_and_failing_allocations(void)
{
    char line[1024];
    struct tg_buf text;
    struct tg_error err;
    struct gw_groups g;
    int n = snprintf(line, sizeof(line),
                     "{\"key\":{\"model\":\"%064d\",\"precision\":\"fast\",\"features\":%d,"
                     "\"span\":\"answer\",\"thinking\":false},\"label\":1,\"features\":{", 0,
                     (int)POL_FEATURES_VERSION);
    for (size_t f = 0; f < POL_FEATURES; f++)
        n += snprintf(line + n, sizeof(line) - (size_t)n, "%s\"%s\":0.5", f ? "," : "",
                      pol_feature_name((enum pol_feature)f));
    set_up();
    tg_buf_init(&text, 1 << 20);
    for (int i = 0; i < 300; i++) /* the list of examples grows once */
        tg_buf_addf(&text, "%s}}\r\n", line);
    CHECK_INT(gw_file_write(path, tg_buf_str(&text), &err), TG_OK);
    tg_buf_free(&text);
    tg_alloc_fail_nth(0);
    CHECK_INT(gw_groups_read(path, &g, &err), TG_OK);
    CHECK(g.n == 1 && g.examples == 300 && g.group[0]->n == 300 && g.group[0]->examples[9].right);
    gw_groups_free(&g);
    uint64_t count = tg_alloc_count();
    for (uint64_t nth = 1; nth <= count; nth += 1 + nth / 8) {
        tg_alloc_fail_nth(nth);
        CHECK_INT(gw_groups_read(path, &g, &err), TG_NOMEM);
        tg_alloc_fail_nth(0);
        CHECK(g.n == 0 && g.examples == 0);
    }
    tear_down();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(room_for_so_many), CASE(what_cannot_be_read_is_not_written), CASE(names),
        CASE(a_name_that_is_too_long_is_of_no_file),
        CASE(failing_allocations), CASE(examples_and_failing_allocations),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
