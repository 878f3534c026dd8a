/* Which failed calls get a line in the log: of each provider and cause one in a while. */
#include "gateway/failures.h"

#include <stdio.h>

#include "tests/unit/check.h"

static const int64_t SPAN = (int64_t)TG_LOG_SELDOM_S * 1000000000;
static struct gw_failures all;
static uint64_t untold;

static bool due(const char *who, const char *cause, int detail, int64_t now)
{
    return gw_failure_due(&all, who, cause, detail, now, &untold);
}

static void each_provider_and_cause_has_its_own(void)
{
    static const struct {
        const char *who, *cause;
        int detail;
    } rows[] = { { "a", "timeout", 504 }, { "b", "timeout", 504 }, { "a", "connect", 504 },
                 { "a", "timeout", 502 }, { "at", "imeout", 504 }, { "", "", 0 } };
    const size_t n = sizeof(rows) / sizeof(*rows);
    all = (struct gw_failures){ 0 };
    for (int64_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < n; i++) {
            CHECK(due(rows[i].who, rows[i].cause, rows[i].detail, round * SPAN));
            CHECK_INT(untold, round ? 50 : 0);
        }
        for (int again = 0; again < 50; again++)
            for (size_t i = 0; i < n; i++)
                CHECK(!due(rows[i].who, rows[i].cause, rows[i].detail, round * SPAN + again));
    }
}

/* However many there are, and however they come: no more lines than places in each span. */
static void a_full_table_stays_bounded(void)
{
    char who[16];
    all = (struct gw_failures){ 0 };
    for (int64_t round = 0; round < 3; round++) {
        size_t lines = 0;
        for (int i = 0; i < 4000; i++) {
            snprintf(who, sizeof(who), "p%d", i % 1000);
            lines += due(who, "connect", 0, round * SPAN + i);
        }
        CHECK_INT(lines, GW_FAILURES_MAX);
    }
    CHECK(due("new", "connect", 0, 9 * SPAN) && untold == 0); /* it takes the place of an old one */
    CHECK(!due("new", "connect", 0, 9 * SPAN));
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(each_provider_and_cause_has_its_own),
        CASE(a_full_table_stays_bounded),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
