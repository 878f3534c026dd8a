/* Series, their bounds, and the exposition format to the letter. */
#include "telemetry/metrics.h"

#include "config/base/alloc.h"
#include "tests/unit/check.h"

enum { CALLS, SPENT, LEFT, WAIT, SIZES, PLAIN };

static const int64_t waits[] = { 1000000, 20000000, 1000000000 };
static const int64_t sizes[] = { 10, 100 };
static const struct tel_metric families[] = {
    [CALLS] = { .name = "t_calls_total", .help = "Calls.", .type = TEL_COUNTER,
                .labels = { "a", "b" } },
    [SPENT] = { .name = "t_spent_dollars_total", .help = "Spent.", .type = TEL_COUNTER,
                .nano = true },
    [LEFT] = { .name = "t_left_dollars", .help = "Left.", .type = TEL_GAUGE, .nano = true,
               .labels = { "budget" } },
    [WAIT] = { .name = "t_wait_seconds", .help = "Waits.", .type = TEL_HISTOGRAM, .nano = true,
               .labels = { "route" }, .bounds = waits, .n_bounds = 3 },
    [SIZES] = { .name = "t_size_bytes", .help = "Sizes.", .type = TEL_HISTOGRAM, .bounds = sizes,
                .n_bounds = 2 },
    [PLAIN] = { .name = "t_plain", .help = "A number.", .type = TEL_GAUGE },
};

static struct tel_metrics *m;
static struct tg_buf out;

static void set_up(void)
{
    tel_metrics_free(m);
    tg_buf_free(&out);
    tg_buf_init(&out, 1 << 20);
    m = tel_metrics_new(families, sizeof(families) / sizeof(*families));
    CHECK(m);
}

static struct tel_series *one(size_t family, const char *a, const char *b)
{
    return tel_series(m, family, (const char *const[]){ a, b, "" });
}

static const char *text(void)
{
    tg_buf_reset(&out);
    CHECK_INT(tel_metrics_print(m, &out), TG_OK);
    return out.p;
}

static bool has(const char *line)
{
    return strstr(text(), line) != NULL;
}

static void an_empty_one_names_its_families(void)
{
    set_up();
    CHECK_STR(text(), "# HELP t_calls_total Calls.\n# TYPE t_calls_total counter\n"
                      "# HELP t_spent_dollars_total Spent.\n# TYPE t_spent_dollars_total counter\n"
                      "# HELP t_left_dollars Left.\n# TYPE t_left_dollars gauge\n"
                      "# HELP t_wait_seconds Waits.\n# TYPE t_wait_seconds histogram\n"
                      "# HELP t_size_bytes Sizes.\n# TYPE t_size_bytes histogram\n"
                      "# HELP t_plain A number.\n# TYPE t_plain gauge\n");
}

static void counters_and_gauges(void)
{
    set_up();
    tel_series_add(one(CALLS, "x", "y"), 2);
    tel_series_add(one(CALLS, "x", "y"), 3);
    tel_series_add(one(CALLS, "x", "z"), 1);
    tel_series_add(tel_series(m, SPENT, NULL), 21000);
    tel_series_add(tel_series(m, SPENT, NULL), 12000000005);
    tel_series_set(one(LEFT, "day", NULL), -1500000000);
    tel_series_set(one(LEFT, "none", NULL), INT64_MAX);
    tel_series_set(tel_series(m, PLAIN, NULL), -7);
    CHECK(has("\nt_calls_total{a=\"x\",b=\"y\"} 5\nt_calls_total{a=\"x\",b=\"z\"} 1\n"));
    CHECK(has("\nt_spent_dollars_total 12.000021005\n"));
    CHECK(has("\nt_left_dollars{budget=\"day\"} -1.500000000\n"));
    CHECK(has("\nt_left_dollars{budget=\"none\"} +Inf\n"));
    CHECK(has("\nt_plain -7\n"));
}

/* A value as long as another and a part of it must not be taken for the same. */
static void values_are_told_apart(void)
{
    set_up();
    tel_series_add(one(CALLS, "ab", "c"), 1);
    tel_series_add(one(CALLS, "a", "bc"), 2);
    tel_series_add(one(CALLS, "", "abc"), 4);
    CHECK(has("{a=\"ab\",b=\"c\"} 1\n"));
    CHECK(has("{a=\"a\",b=\"bc\"} 2\n"));
    CHECK(has("{a=\"\",b=\"abc\"} 4\n"));
    CHECK(one(LEFT, "ab", NULL) != one(CALLS, "ab", "c"));
}

static void values_are_escaped(void)
{
    set_up();
    tel_series_add(one(CALLS, "say \"hi\"\n", "c:\\x\\"), 1);
    CHECK(has("{a=\"say \\\"hi\\\"\\n\",b=\"c:\\\\x\\\\\"} 1\n"));
}

static void long_values_are_cut_at_a_character(void)
{
    char longest[200];
    set_up();
    memset(longest, 'x', sizeof(longest));
    memcpy(longest + TEL_METRIC_VALUE_MAX - 1, "\xC3\xA9", 3);
    tel_series_set(one(LEFT, longest, NULL), 0);
    CHECK(one(LEFT, longest, NULL) == one(LEFT, longest, NULL));
    const char *end = strstr(text(), "x\"} 0.000000000\n");
    const char *begin = strstr(out.p, "budget=\"");
    CHECK(begin && end);
    CHECK_INT(end + 1 - (begin + 8), TEL_METRIC_VALUE_MAX - 1);
}

static void histograms(void)
{
    set_up();
    struct tel_series *s = one(WAIT, "r", NULL);
    const int64_t values[] = { -5, 0, 1000000, 1000001, 20000000, 999999999, 1000000001 };
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
        tel_series_observe(s, values[i]);
    tel_series_observe(tel_series(m, SIZES, NULL), 10);
    tel_series_observe(tel_series(m, SIZES, NULL), 101);
    CHECK(has("\nt_wait_seconds_bucket{route=\"r\",le=\"0.001\"} 3\n"
              "t_wait_seconds_bucket{route=\"r\",le=\"0.02\"} 5\n"
              "t_wait_seconds_bucket{route=\"r\",le=\"1\"} 6\n"
              "t_wait_seconds_bucket{route=\"r\",le=\"+Inf\"} 7\n"
              "t_wait_seconds_sum{route=\"r\"} 2.022000001\n"
              "t_wait_seconds_count{route=\"r\"} 7\n"));
    CHECK(has("\nt_size_bytes_bucket{le=\"10\"} 1\nt_size_bytes_bucket{le=\"100\"} 1\n"
              "t_size_bytes_bucket{le=\"+Inf\"} 2\nt_size_bytes_sum 111\nt_size_bytes_count 2\n"));
}

static void a_sum_stops_at_the_largest_number(void)
{
    set_up();
    tel_series_add(tel_series(m, SPENT, NULL), INT64_MAX);
    tel_series_add(tel_series(m, SPENT, NULL), 1);
    CHECK(has("\nt_spent_dollars_total 9223372036.854775807\n"));
    tel_series_set(tel_series(m, PLAIN, NULL), INT64_MIN);
    CHECK(has("\nt_plain -9223372036854775808\n"));
}

static void the_number_of_series_is_bounded(void)
{
    char name[16];
    set_up();
    for (int i = 0; i < 3 * TEL_METRIC_SERIES_MAX; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        tel_series_add(one(CALLS, name, "k"), 1);
        tel_series_set(one(LEFT, name, NULL), 1);
        tel_series_observe(one(WAIT, name, NULL), 1);
    }
    CHECK(one(CALLS, "n0", "k") != one(CALLS, "n600", "k"));
    CHECK(one(CALLS, "n601", "k") == one(CALLS, "n600", "k"));
    CHECK(!one(LEFT, "n600", NULL));
    CHECK(has("\nt_calls_total{a=\"other\",b=\"other\"} 512\n"));
    CHECK(has("\nt_wait_seconds_count{route=\"other\"} 512\n"));
    CHECK(!has("t_left_dollars{budget=\"other\"}"));
    size_t lines = 0;
    for (const char *at = text(); (at = strchr(at, '\n')); at++)
        lines++;
    CHECK_INT(lines, 12 + (TEL_METRIC_SERIES_MAX + 1) + TEL_METRIC_SERIES_MAX +
                         6 * (TEL_METRIC_SERIES_MAX + 1));
}

/* One that is called so already takes the rest. */
static void a_value_may_be_called_other(void)
{
    char name[16];
    set_up();
    tel_series_observe(one(WAIT, "other", NULL), 1);
    for (int i = 0; i < TEL_METRIC_SERIES_MAX; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        tel_series_observe(one(WAIT, name, NULL), 1);
    }
    CHECK(has("\nt_wait_seconds_count{route=\"other\"} 2\n"));
}

static void what_was_not_set_is_swept(void)
{
    set_up();
    tel_metrics_sweep(m, LEFT);
    for (int round = 0; round < 3; round++) {
        tel_series_set(one(LEFT, "a", ""), 1);
        tel_series_set(one(LEFT, "b", ""), 2);
        tel_series_set(one(LEFT, "c", ""), 3);
        tel_metrics_sweep(m, LEFT);
        CHECK(has("{budget=\"a\"}") && has("{budget=\"b\"}") && has("{budget=\"c\"}"));
        tel_series_set(one(LEFT, "b", ""), 2);
        tel_metrics_sweep(m, LEFT);
        CHECK(!has("{budget=\"a\"}") && has("{budget=\"b\"}") && !has("{budget=\"c\"}"));
        tel_series_set(one(LEFT, "d", ""), 4); /* behind what is left */
        CHECK(has("{budget=\"b\"}") && has("{budget=\"d\"}"));
        tel_metrics_sweep(m, LEFT);
        tel_metrics_sweep(m, LEFT);
        CHECK(!has("t_left_dollars{"));
    }
    for (int i = 0; i < 3 * TEL_METRIC_SERIES_MAX; i++) { /* the bound counts what is there */
        char name[16];
        snprintf(name, sizeof(name), "n%d", i);
        CHECK(one(LEFT, name, ""));
        tel_metrics_sweep(m, LEFT);
    }
}

static void nothing_is_taken(void)
{
    tel_series_add(NULL, 1);
    tel_series_set(NULL, 1);
    tel_series_observe(NULL, 1);
    CHECK(!tel_series(NULL, 0, NULL));
    tel_metrics_free(NULL);
    set_up();
    CHECK(!tel_series(m, 99, NULL));
}

static void failing_allocations(void)
{
    for (uint64_t nth = 1; nth < 3; nth++) {
        tg_alloc_fail_nth(nth);
        CHECK(!tel_metrics_new(families, 6));
    }
    set_up();
    for (uint64_t nth = 1;; nth++) {
        tg_alloc_fail_nth(nth);
        struct tel_series *s = one(WAIT, "r", NULL);
        bool done = tg_alloc_count() < nth;
        tg_alloc_fail_nth(0);
        CHECK(done == (s != NULL));
        tel_series_observe(s, 1);
        if (done)
            break;
        CHECK(nth < 10);
    }
    CHECK(has("\nt_wait_seconds_count{route=\"r\"} 1\n"));
    tg_buf_free(&out);
    tg_alloc_fail_nth(1);
    CHECK_INT(tel_metrics_print(m, &out), TG_NOMEM);
    tg_alloc_fail_nth(0);
    tg_buf_free(&out);
    tg_buf_init(&out, 100);
    CHECK_INT(tel_metrics_print(m, &out), TG_LIMIT);
}

/* What a request does with it costs no memory once its series are there. */
static void known_series_allocate_nothing(void)
{
    set_up();
    one(CALLS, "x", "y");
    tg_alloc_fail_nth(0);
    for (int i = 0; i < 100; i++)
        tel_series_add(one(CALLS, "x", "y"), 1);
    CHECK_INT(tg_alloc_count(), 0);
    tel_metrics_free(m);
    m = NULL;
    tg_buf_free(&out);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(an_empty_one_names_its_families),
        CASE(counters_and_gauges),
        CASE(values_are_told_apart),
        CASE(values_are_escaped),
        CASE(long_values_are_cut_at_a_character),
        CASE(histograms),
        CASE(a_sum_stops_at_the_largest_number),
        CASE(the_number_of_series_is_bounded),
        CASE(a_value_may_be_called_other),
        CASE(what_was_not_set_is_swept),
        CASE(nothing_is_taken),
        CASE(failing_allocations),
        CASE(known_series_allocate_nothing),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
