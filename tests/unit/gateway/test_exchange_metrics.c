/* What is counted of each way that a request can end. */
#include "tests/unit/gateway/exchange_world.h"

#include "gateway/metrics.h"

static struct tel_metrics *m;
static struct tg_buf text;

static void begin(size_t n_tiers, const char *trigger)
{
    set_up(n_tiers, trigger);
    tel_metrics_free(m);
    m = tel_metrics_new(gw_metric_table, GW_METRICS);
    CHECK(m);
    w.app.metrics = m;
}

/* Whether that line is among what is printed. */
static bool has(const char *line)
{
    tg_buf_free(&text);
    tg_buf_init(&text, 1 << 20);
    CHECK_INT(tel_metrics_print(m, &text), TG_OK);
    size_t n = strlen(line);
    for (const char *at = text.p; (at = strstr(at, line)); at++)
        if (at[-1] == '\n' && at[n] == '\n')
            return true;
    return false;
}

#define COUNTED(family, labels, n) CHECK(has("tollgate_" family "{" labels "} " #n))
#define REQUEST(outcome, n)                                                                        \
    COUNTED("requests_total", "dialect=\"openai\",route=\"default\",outcome=\"" outcome "\"", n)
#define TIMED(family, n)                                                                           \
    COUNTED(family "_seconds_count", "dialect=\"openai\",route=\"default\"", n)
#define ESCALATED(reason, n)                                                                       \
    COUNTED("escalations_total", "route=\"default\",reason=\"" reason "\"", n)

static void local_answers(void)
{
    begin(0, NULL);
    ask(false);
    started(attempt(0, true));
    says(attempt(0, true), "a", true);
    finishes(attempt(0, true), 7, 2);
    REQUEST("local", 1);
    TIMED("request_duration", 1);
    TIMED("time_to_first_byte", 1);
    TIMED("time_to_first_token", 1);
    TIMED("queue_wait", 1);
    COUNTED("attempts_total", "backend=\"local\",outcome=\"finished\"", 1);
    COUNTED("tokens_total", "backend=\"local\",direction=\"input\"", 7);
    COUNTED("tokens_total", "backend=\"local\",direction=\"output\"", 2);
    CHECK(!strstr(text.p, "tollgate_request_errors_total{"));
    CHECK(!strstr(text.p, "tollgate_spend_dollars_total{"));
    CHECK(!strstr(text.p, "tollgate_escalations_total{"));
    tear_down();
}

static void judged_and_paid(void)
{
    begin(1, "confidence < 0.5");
    ask(true);
    for (int i = 0; i < 4; i++)
        says(attempt(0, true), "local", false);
    says(attempt(1, false), "cloud", true);
    finishes(attempt(1, false), 10, 5);
    REQUEST("escalated", 1);
    ESCALATED("judged", 1);
    COUNTED("attempts_total", "backend=\"local\",outcome=\"given-up\"", 1);
    COUNTED("attempts_total", "backend=\"cloud/m\",outcome=\"finished\"", 1);
    COUNTED("spend_dollars_total", "route=\"default\",backend=\"cloud/m\"", 0.000020000);
    TIMED("time_to_first_byte", 1);
    tear_down();
}

static void triggered_before_the_run(void)
{
    begin(1, "turns > 0");
    ask(false);
    says(attempt(0, false), "cloud", true);
    finishes(attempt(0, false), 1, 1);
    REQUEST("provider", 1);
    ESCALATED("trigger", 1);
    CHECK(!strstr(text.p, "tollgate_queue_wait_seconds_count{"));
    tear_down();
}

static void slow_local(void)
{
    begin(1, NULL);
    w.settings.routes[0].max_latency_ms = 60000;
    ask(true);
    fire(w.x->latency);
    says(attempt(1, false), "cloud", true);
    finishes(attempt(1, false), 1, 1);
    REQUEST("escalated", 1);
    ESCALATED("max-latency", 1);
    tear_down();
}

static void local_fails_and_a_tier_answers(void)
{
    begin(1, NULL);
    ask(false);
    fails(attempt(0, true), false);
    says(attempt(1, false), "cloud", true);
    finishes(attempt(1, false), 1, 1);
    REQUEST("escalated", 1);
    ESCALATED("failover", 1);
    CHECK(!strstr(text.p, "tollgate_request_errors_total{")); /* it was answered */
    tear_down();
}

static void local_cannot(void)
{
    begin(1, NULL);
    fake.local_cannot = true;
    ask(false);
    says(attempt(0, false), "cloud", true);
    finishes(attempt(0, false), 1, 1);
    REQUEST("provider", 1);
    ESCALATED("local-cannot", 1);
    tear_down();
}

static void without_money(void)
{
    begin(1, "turns > 0");
    fake.outcome = TEL_OVER_CAP;
    ask(false);
    says(attempt(0, true), "local", true);
    finishes(attempt(0, true), 1, 1);
    REQUEST("local", 1);
    COUNTED("passed_over_total", "route=\"default\",reason=\"budget-exhausted\"", 1);
    CHECK(!strstr(text.p, "tollgate_escalations_total{"));
    CHECK(!strstr(text.p, "backend=\"cloud")); /* never called */
    tear_down();
}

/* 200 was told already. */
static void a_stream_that_breaks(void)
{
    begin(1, "turns > 0");
    ask(true);
    says(attempt(0, false), "cloud", true);
    CHECK(w.rq.begun);
    fails(attempt(0, false), true);
    REQUEST("failed", 1);
    COUNTED("request_errors_total", "dialect=\"openai\",kind=\"provider-failed\"", 1);
    TIMED("time_to_first_byte", 1);
    TIMED("request_duration", 1);
    CHECK(strstr(text.p, "tollgate_spend_dollars_total{")); /* as an estimate */
    tear_down();
}

static void nobody_answers(void)
{
    begin(0, NULL);
    ask(false);
    fails(attempt(0, true), false);
    REQUEST("failed", 1);
    COUNTED("request_errors_total", "dialect=\"openai\",kind=\"local-failed\"", 1);
    CHECK(!strstr(text.p, "tollgate_time_to_first_byte_seconds_count{"));
    fake.refuse_start = true;
    ask(false);
    REQUEST("failed", 2);
    COUNTED("passed_over_total", "route=\"default\",reason=\"local-unavailable\"", 1);
    COUNTED("attempts_total", "backend=\"local\",outcome=\"not-started\"", 1);
    tear_down();
}

static void refused_and_gone(void)
{
    begin(0, NULL);
    ask_with("{\"messages\":7}", NULL, 0);
    COUNTED("requests_total", "dialect=\"openai\",route=\"none\",outcome=\"refused\"", 1);
    ask_with("{\"model\":\"zz\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", NULL, 0);
    COUNTED("requests_total", "dialect=\"openai\",route=\"none\",outcome=\"refused\"", 2);
    CHECK(!strstr(text.p, "zz"));
    CHECK(!strstr(text.p, "tollgate_request_duration_seconds_count{"));
    ask(false);
    gw_exchange_gone(w.x);
    REQUEST("gone", 1);
    CHECK(!strstr(text.p, "tollgate_request_duration_seconds_count{"));
    COUNTED("request_errors_total", "dialect=\"openai\",kind=\"client-gone\"", 1);
    tear_down();
}

/* Counting is never in the way of an answer. */
static void without_memory(void)
{
    for (uint64_t nth = 1; nth < 12; nth++) {
        begin(0, NULL);
        ask(false);
        says(attempt(0, true), "a", true);
        struct tel_metrics *own = tel_metrics_new(gw_metric_table, GW_METRICS);
        w.app.metrics = own;
        gw_metrics_passed_over(w.x, "budget-exhausted");
        tg_alloc_fail_nth(nth);
        gw_metrics_tried(&w.x->local);
        gw_metrics_ended(w.x);
        gw_metrics_spent(&w.x->local, 1);
        tg_alloc_fail_nth(0);
        finishes(attempt(0, true), 7, 2);
        CHECK_INT(w.rq.status, 200);
        tear_down();
        tel_metrics_free(own);
    }
    tel_metrics_free(m);
    m = NULL;
    tg_buf_free(&text);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(local_answers),
        CASE(judged_and_paid),
        CASE(triggered_before_the_run),
        CASE(slow_local),
        CASE(local_fails_and_a_tier_answers),
        CASE(local_cannot),
        CASE(without_money),
        CASE(a_stream_that_breaks),
        CASE(nobody_answers),
        CASE(refused_and_gone),
        CASE(without_memory),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
