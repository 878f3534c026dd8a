/* What x-tollgate-explain tells, and which calibration a score is made with. */
#include "config/base/log.h"
#include "tests/unit/gateway/exchange_world.h"

static void ask_why(const char *body)
{
    static const struct gw_header why = { { "x-tollgate-explain", 18 }, { "true", 4 } };
    ask_with(body, &why, 1);
}

/* The score that decided is explained, which is the window's: not the answer's, that follows it. */
static void the_window_is_explained(void)
{
    char want[64];
    set_up(1, "confidence < 0.1");
    ask_why(streamed);
    for (int i = 0; i < 4; i++)
        says(attempt(0, true), "sure ", true);
    snprintf(want, sizeof(want), "\"value\":%.9g,", w.x->confidence.value);
    for (int i = 0; i < 40; i++)
        says(attempt(0, true), "unsure ", false);
    finishes(attempt(0, true), 1, 44);
    CHECK(in_text("\"explain\":{\"confidence\":{\"key\":{\"model\":null,\"precision\":\"fast\","
                  "\"features\":2,\"span\":\"window\",\"thinking\":false},\"calibrated\":false,"));
    CHECK(in_text(want) && in_text("\"complexity\":{\"value\":") && !in_headers("explain"));
    tear_down();
    set_up(0, NULL); /* nothing to decide: the whole answer */
    ask_why(streamed);
    says(attempt(0, true), "sure", true);
    says(attempt(0, true), "unsure", false);
    finishes(attempt(0, true), 1, 2);
    CHECK(in_text("\"span\":\"answer\"") && in_text("\"low_margin\":0.5,"));
    tear_down();
}

static void calibrations_are_found_by_key(void)
{
    static struct pol_calibration list[2];
    for (int exact = 0; exact < 2; exact++) {
        set_up(1, "confidence < 0.5");
        memset(w.app.model_hash, 'a', POL_MODEL_HEX);
        w.app.exact = exact;
        for (size_t i = 0; i < 2; i++) {
            list[i] = (struct pol_calibration){ .bias = i ? -8 : 8 };
            list[i].key = (struct pol_key){ .span = i ? POL_SPAN_WINDOW : POL_SPAN_ANSWER,
                                            .features = POL_FEATURES_VERSION };
            memset(list[i].key.model, 'a', POL_MODEL_HEX);
        }
        w.snapshot.calibrations = (struct gw_calibrations){ .list = list, .n = 2 };
        ask_why(whole);
        says(attempt(0, true), "unsure", false);
        finishes(attempt(0, true), 1, 1);
        CHECK(w.rq.over == !exact); /* unsure; the calibration says otherwise, of fast answers */
        if (exact)
            finishes(attempt(1, false), 1, 1);
        CHECK(in_headers(exact ? "\"precision\":\"exact\"" : "\"precision\":\"fast\""));
        CHECK(in_headers(exact ? "\"calibrated\":false" : "\"calibrated\":true,\"value\":0.99966"));
        CHECK(in_headers("\"span\":\"answer\"") && in_headers("x-tollgate-explain: {\"conf"));
        tear_down();
    }
}

/* An answer behind thoughts has a distribution of its own: the other's calibration is not its. */
static void thinking_is_part_of_the_key(void)
{
    static const char *const effort[] = { NULL, "none", "low", "high" }; /* the last two think */
    static struct pol_calibration c = { .bias = 8, .key = { .span = POL_SPAN_ANSWER,
                                                            .features = POL_FEATURES_VERSION } };
    for (size_t i = 0; i < 8; i++) { /* the second half: made with thinking on */
        char body[160];
        bool on = i >= 4, thinks = i % 4 >= 2;
        snprintf(body, sizeof(body), "%.*s%s%s%s}", (int)sizeof(whole) - 2, whole,
                 i % 4 ? ",\"reasoning_effort\":\"" : "", i % 4 ? effort[i % 4] : "",
                 i % 4 ? "\"" : "");
        set_up(0, NULL);
        memset(w.app.model_hash, 'a', POL_MODEL_HEX);
        memset(c.key.model, 'a', POL_MODEL_HEX);
        c.key.thinking = on;
        w.snapshot.calibrations = (struct gw_calibrations){ .list = &c, .n = 1 };
        ask_why(body);
        says(attempt(0, true), "unsure", false);
        finishes(attempt(0, true), 1, 1);
        CHECK(in_headers(thinks ? "\"thinking\":true" : "\"thinking\":false"));
        CHECK(in_headers(on == thinks ? "\"calibrated\":true,\"value\":0.99966"
                                      : "\"calibrated\":false"));
        tear_down();
    }
}

/* The local model ran, but nothing could be judged: the key is told, the values are null. */
static void given_up_before_it_was_judged(void)
{
    for (int stream = 0; stream < 2; stream++) {
        set_up(1, "confidence < 0.1");
        w.settings.routes[0].max_latency_ms = 50;
        ask_why(stream ? streamed : whole);
        fire(w.x->latency);
        finishes(attempt(1, false), 1, 1);
        const char *told = stream ? w.rq.text : w.rq.headers;
        CHECK(strstr(told, stream ? "\"span\":\"window\"" : "\"span\":\"answer\""));
        CHECK(strstr(told, "\"calibrated\":false,\"value\":null,\"raw\":null,\"features\":{}}"));
        tear_down();
    }
}

static void no_local_run_no_confidence(void)
{
    set_up(1, "turns > 0");
    ask_why(whole);
    finishes(attempt(0, false), 1, 1);
    CHECK(in_headers("x-tollgate-explain: {\"confidence\":null,\"complexity\":{\"value\":"));
    tear_down();
    set_up(1, "turns > 0");
    ask(false);
    finishes(attempt(0, false), 1, 1);
    CHECK(!in_headers("explain"));
    tear_down();
    static const struct gw_header bad = { { "x-tollgate-explain", 18 }, { "yes", 3 } };
    set_up(0, NULL);
    ask_with(whole, &bad, 1);
    CHECK_INT(w.rq.status, 400);
    CHECK(in_text("x-tollgate-explain takes true or false"));
    tear_down();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(the_window_is_explained),
        CASE(calibrations_are_found_by_key),
        CASE(thinking_is_part_of_the_key),
        CASE(given_up_before_it_was_judged),
        CASE(no_local_run_no_confidence),
    };
    tg_log_set_level(TG_LOG_ERROR);
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
