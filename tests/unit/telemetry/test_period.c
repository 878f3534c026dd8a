/* Calendar periods in UTC and in local time. */
#include "tests/unit/check.h"

#include <stdlib.h>
#include <time.h>

#include "telemetry/internal.h"

static int64_t utc_ms(int year, int month, int day, int hour)
{
    struct tm t = { .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour };
    return (int64_t)timegm(&t) * 1000;
}

static void use_zone(const char *zone)
{
    setenv("TZ", zone, 1);
    tzset();
}

static void periods_in_utc(void)
{
    static const struct {
        enum cfg_period period;
        int at[4], start[3], end[3];
        const char *label;
    } cases[] = {
        { CFG_PERIOD_DAY, { 2026, 11, 20, 15 }, { 2026, 11, 20 }, { 2026, 11, 21 }, "2026-11-20" },
        { CFG_PERIOD_DAY, { 2026, 12, 31, 23 }, { 2026, 12, 31 }, { 2027, 1, 1 }, "2026-12-31" },
        { CFG_PERIOD_WEEK, { 2026, 11, 20, 15 }, { 2026, 11, 16 }, { 2026, 11, 23 }, "2026-11-16" },
        { CFG_PERIOD_WEEK, { 2026, 11, 16, 0 }, { 2026, 11, 16 }, { 2026, 11, 23 }, "2026-11-16" },
        { CFG_PERIOD_WEEK, { 2027, 1, 2, 5 }, { 2026, 12, 28 }, { 2027, 1, 4 }, "2026-12-28" },
        { CFG_PERIOD_WEEK, { 2026, 3, 1, 5 }, { 2026, 2, 23 }, { 2026, 3, 2 }, "2026-02-23" },
        { CFG_PERIOD_MONTH, { 2026, 11, 30, 23 }, { 2026, 11, 1 }, { 2026, 12, 1 }, "2026-11-01" },
        { CFG_PERIOD_MONTH, { 2026, 12, 1, 0 }, { 2026, 12, 1 }, { 2027, 1, 1 }, "2026-12-01" },
        { CFG_PERIOD_MONTH, { 2028, 2, 29, 9 }, { 2028, 2, 1 }, { 2028, 3, 1 }, "2028-02-01" },
    };
    use_zone("Asia/Tokyo"); /* must not matter */
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int64_t at = utc_ms(cases[i].at[0], cases[i].at[1], cases[i].at[2], cases[i].at[3]);
        int64_t start, end;
        struct tel_key key;
        tel_period_key(cases[i].period, "UTC", at, &key, &start, &end);
        CHECK_INT(start, utc_ms(cases[i].start[0], cases[i].start[1], cases[i].start[2], 0));
        CHECK_INT(end, utc_ms(cases[i].end[0], cases[i].end[1], cases[i].end[2], 0));
        CHECK_STR(key.label, cases[i].label);
        CHECK(start <= at && at < end);
    }
}

static void local_midnight_counts(void)
{
    int64_t start, end;
    use_zone("CET-1CEST,M3.5.0,M10.5.0/3");
    tel_period(CFG_PERIOD_MONTH, "local", utc_ms(2026, 10, 31, 23), &start, &end);
    CHECK_INT(start, utc_ms(2026, 10, 31, 23)); /* November has begun at +01:00 */
    CHECK_INT(end, utc_ms(2026, 11, 30, 23));
    tel_period(CFG_PERIOD_DAY, "local", utc_ms(2026, 3, 29, 12), &start, &end);
    CHECK_INT(end - start, 23 * 3600000); /* the clock goes forward */
    tel_period(CFG_PERIOD_DAY, "local", utc_ms(2026, 10, 25, 12), &start, &end);
    CHECK_INT(end - start, 25 * 3600000);
    tel_period(CFG_PERIOD_MONTH, NULL, utc_ms(2026, 10, 31, 23), &start, &end);
    CHECK_INT(start, utc_ms(2026, 10, 1, 0)); /* UTC unless said otherwise */
}

/* Every moment lies in exactly one period, also where midnight does not exist. */
static void periods_tile_the_year(void)
{
    static const char *const zones[] = { "CET-1CEST,M3.5.0,M10.5.0/3",
                                         "<-03>3<-02>,M10.3.0/0,M2.3.0/0",
                                         "CST5CDT,M3.2.0/0,M11.1.0/1", /* midnight comes twice */
                                         "EET-2EEST,M3.5.0/0,M10.5.0/0", "UTC0", "<+0545>-5:45" };
    for (size_t z = 0; z < sizeof(zones) / sizeof(*zones); z++) {
        use_zone(zones[z]);
        for (enum cfg_period p = CFG_PERIOD_DAY; p <= CFG_PERIOD_MONTH; p++) {
            int64_t at = utc_ms(2026, 1, 1, 12), start, end;
            tel_period(p, "local", at, &start, &end);
            while (at < utc_ms(2027, 2, 1, 0)) {
                int64_t next_start, next_end, last_start, last_end;
                tel_period(p, "local", end, &next_start, &next_end);
                tel_period(p, "local", end - 1, &last_start, &last_end);
                CHECK_INT(next_start, end);
                CHECK_INT(last_start, start);
                CHECK(next_end > next_start);
                at = start = next_start;
                end = next_end;
            }
        }
    }
    use_zone("UTC0");
}

/* Havana and the Azores have midnight twice in autumn; the last clock goes back over midnight. */
static void each_moment_lies_in_its_period(void)
{
    static const char *const zones[] = { "CST5CDT,M3.2.0/0,M11.1.0/1",
                                         "<-01>1<+00>,M3.5.0/0,M10.5.0/1",
                                         "<+1030>-10:30<+11>-11,M10.1.0/0,M4.1.0/0:15" };
    for (size_t z = 0; z < sizeof(zones) / sizeof(*zones); z++) {
        use_zone(zones[z]);
        for (int64_t at = utc_ms(2026, 1, 1, 0); at < utc_ms(2027, 1, 1, 0); at += 900000)
            for (enum cfg_period p = CFG_PERIOD_DAY; p <= CFG_PERIOD_MONTH; p++) {
                int64_t start, end;
                tel_period(p, "local", at, &start, &end);
                CHECK(start <= at && at < end);
            }
    }
    struct tel_key key;
    int64_t start, end;
    use_zone(zones[0]);
    tel_period_key(CFG_PERIOD_MONTH, "local", utc_ms(2026, 11, 1, 4), &key, &start, &end);
    CHECK_INT(start, utc_ms(2026, 11, 1, 4)); /* the first of the two midnights */
    CHECK_STR(key.label, "2026-11-01");
    use_zone("UTC0");
}

static void extremes_do_not_break_it(void)
{
    static const int64_t at[] = { INT64_MIN, -1, 0, 253402300799999, INT64_MAX };
    for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++) {
        for (enum cfg_period p = CFG_PERIOD_NONE; p <= CFG_PERIOD_MONTH; p++) {
            struct tel_key key;
            int64_t start, end;
            tel_period_key(p, "UTC", at[i], &key, &start, &end);
            CHECK(start < end);
            CHECK(strlen(key.label) == (p == CFG_PERIOD_NONE ? 3 : 10));
        }
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(periods_in_utc),
        CASE(local_midnight_counts),
        CASE(periods_tile_the_year),
        CASE(each_moment_lies_in_its_period),
        CASE(extremes_do_not_break_it),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
