#include "policy/bucket.h"
#include "tests/unit/check.h"

#define SECOND INT64_C(1000000000)

static void a_minutes_worth_at_once_then_evenly(void)
{
    struct pol_bucket b = { 0 };
    int64_t now = 5 * SECOND;
    pol_bucket_limit(&b, 6, now);
    for (int i = 0; i < 6; i++) {
        CHECK_INT(pol_bucket_left(&b, now), 6 - i);
        CHECK(pol_bucket_take(&b, 1, now));
    }
    CHECK(!pol_bucket_take(&b, 1, now));
    CHECK_INT(pol_bucket_wait_ms(&b, 1, now), 10000);
    CHECK_INT(pol_bucket_full_ms(&b, now), 60000);
    CHECK(!pol_bucket_take(&b, 1, now + 10 * SECOND - 1000000));
    CHECK(pol_bucket_take(&b, 1, now + 10 * SECOND));
    CHECK(!pol_bucket_take(&b, 1, now + 10 * SECOND));
    CHECK_INT(pol_bucket_left(&b, now + 3600 * SECOND), 6); /* it does not overflow */
}

/* Whoever waits as long as it was told is served: at any limit, with any fractions. */
static void the_wait_that_was_told_suffices(void)
{
    for (uint32_t limit = 1; limit < 100000; limit = limit * 7 / 3 + 1) {
        struct pol_bucket b = { 0 };
        int64_t now = 12345678901;
        pol_bucket_limit(&b, limit, now);
        for (int i = 0; i < 300; i++) {
            double n = 1 + (i * 37) % (limit + 3);
            if (pol_bucket_take(&b, n, now))
                continue;
            int64_t wait = pol_bucket_wait_ms(&b, n, now);
            CHECK(wait > 0 && wait <= 300000);
            now += wait * 1000000;
            CHECK_INT(pol_bucket_wait_ms(&b, n, now), 0);
            CHECK(pol_bucket_take(&b, n, now));
        }
    }
}

static void more_than_the_limit_needs_a_full_bucket_and_leaves_a_debt(void)
{
    struct pol_bucket b = { 0 };
    pol_bucket_limit(&b, 100, 0);
    CHECK(pol_bucket_take(&b, 250, 0));
    CHECK_INT(pol_bucket_left(&b, 0), 0);
    CHECK_INT(pol_bucket_wait_ms(&b, 1, 0), 90600);
    CHECK(!pol_bucket_take(&b, 250, 60 * SECOND));
    CHECK(pol_bucket_take(&b, 250, 150 * SECOND));
}

static void what_was_guessed_wrongly_is_corrected(void)
{
    struct pol_bucket b = { 0 };
    pol_bucket_limit(&b, 100, 0);
    CHECK(pol_bucket_take(&b, 80, 0));
    pol_bucket_correct(&b, 70, 0);
    CHECK_INT(pol_bucket_left(&b, 0), 90);
    pol_bucket_correct(&b, 50, 0);
    CHECK_INT(pol_bucket_left(&b, 0), 100);
    pol_bucket_correct(&b, -160, 0);
    CHECK_INT(pol_bucket_left(&b, 0), 0);
    CHECK_INT(pol_bucket_full_ms(&b, 0), 96000);
}

static void a_new_limit_keeps_what_was_used(void)
{
    struct pol_bucket b = { 0 };
    pol_bucket_limit(&b, 10, 0);
    CHECK(pol_bucket_take(&b, 8, 0));
    pol_bucket_limit(&b, 20, 0);
    CHECK_INT(pol_bucket_left(&b, 0), 12);
    pol_bucket_limit(&b, 5, 0);
    CHECK_INT(pol_bucket_left(&b, 0), 0);
    pol_bucket_limit(&b, 0, 0);
    CHECK(pol_bucket_take(&b, 1e9, 0));
    pol_bucket_correct(&b, -1e9, 0);
    pol_bucket_limit(&b, 3, SECOND);
    CHECK_INT(pol_bucket_left(&b, SECOND), 3);
}

static void a_clock_that_goes_back_takes_nothing(void)
{
    struct pol_bucket b = { 0 };
    pol_bucket_limit(&b, 2, 100 * SECOND);
    CHECK(pol_bucket_take(&b, 1, 50 * SECOND));
    CHECK_INT(pol_bucket_left(&b, 10 * SECOND), 1);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(a_minutes_worth_at_once_then_evenly),
        CASE(the_wait_that_was_told_suffices),
        CASE(more_than_the_limit_needs_a_full_bucket_and_leaves_a_debt),
        CASE(what_was_guessed_wrongly_is_corrected),
        CASE(a_new_limit_keeps_what_was_used),
        CASE(a_clock_that_goes_back_takes_nothing),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
