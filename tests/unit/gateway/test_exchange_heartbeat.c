/* Heartbeats of streams that wait before their first attempt: for slots, for a worker, for a lease.
 * What can be refused by its body alone is told by a status all the same. */
#include "tests/unit/gateway/exchange_world.h"

#include "config/base/log.h"
#include "gateway/api/anthropic.h"
#include "gateway/api/ollama.h"

static const char sse[] = ": heartbeat\n\n", ping[] = "event: ping\n";

static const char anthropic[] = "{\"model\":\"default\",\"max_tokens\":9,\"stream\":true,"
                                "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}";
static const char ollama[] = "{\"model\":\"default\",\"messages\":[{\"role\":\"user\","
                             "\"content\":\"Hi\"}]}";
static const char load[] = "{\"model\":\"default\"}";

static size_t times_in_text(const char *what)
{
    size_t n = 0;
    for (const char *at = w.rq.text; (at = strstr(at, what)); at++)
        n++;
    return n;
}

/* Waits for slots until its first heartbeat was due and a worker has its body. */
static void wait_with(const struct api_dialect *dialect, const char *body)
{
    set_up(0, NULL);
    w.dialect = dialect;
    fake.no_slots = true;
    ask_with(body, NULL, 0);
    CHECK_INT(w.x->heartbeat->ms, 15000);
    CHECK(!fake.work && !w.rq.begun);
    fire(w.x->heartbeat);
    CHECK(fake.work && !w.rq.begun && w.x->heartbeat->ms == 15000);
}

static void slots_come(void)
{
    fake.no_slots = false;
    gw_arrival_admit(&w.app);
}

static void a_stream_that_waits_for_slots_gets_them(void)
{
    static const struct {
        const struct api_dialect *dialect;
        const char *body, *beat, *end;
    } rows[] = {
        { &oai_chat, streamed, sse, "data: [DONE]" },
        { &ant_messages, anthropic, ping, "event: message_stop" },
        { &oll_chat, ollama, "\"model\":\"default\",", "\"done\":true" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        wait_with(rows[i].dialect, rows[i].body);
        worker_works();
        CHECK_INT(times_in_text(rows[i].beat), 1);
        CHECK_INT(w.rq.status, 200);
        CHECK(in_headers("x-tollgate-request-id: ") && !in_headers("x-tollgate-route"));
        fire(w.x->heartbeat);
        CHECK(!fake.work && times_in_text(rows[i].beat) == 2);
        slots_come();
        CHECK(!fake.work && w.x->heartbeat->ms == 15000);
        says(attempt(0, true), "Hello", true);
        finishes(attempt(0, true), 1, 1);
        CHECK(w.rq.over && in_text("Hello") && in_text(rows[i].end));
        CHECK(in_text("\"route\":\"local\"") && in_text("\"complexity\":"));
        tear_down();
    }
}

static void what_is_no_stream_gets_none(void)
{
    wait_with(&oai_chat, whole);
    worker_works();
    CHECK_INT(w.x->heartbeat->ms, -1);
    CHECK(!w.rq.begun && fake.n_attempts == 0);
    slots_come();
    CHECK(!fake.work); /* it is prepared already */
    finishes(attempt(0, true), 1, 1);
    CHECK_INT(w.rq.status, 200);
    tear_down();
    wait_with(&oll_chat, load); /* Ollama streams unless told otherwise, but this asks nothing */
    worker_works();
    CHECK(!w.rq.begun && w.x->heartbeat->ms == -1);
    slots_come();
    CHECK(w.rq.over && in_text("\"done_reason\":\"load\""));
    tear_down();
}

static void who_waits_is_refused_by_a_status(void)
{
    static const struct {
        const char *body;
        int status;
    } rows[] = {
        { "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"stream\":1}", 400 },
        { "{\"model\":\"nobody\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],"
          "\"stream\":true}", 404 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        wait_with(&oai_chat, rows[i].body);
        worker_works();
        CHECK(w.rq.over && !w.rq.begun);
        CHECK_INT(w.rq.status, rows[i].status);
        CHECK_INT(fake.admitted, 0);
        CHECK_INT(fake.rows_refused, 1); /* a row of its own all the same */
        CHECK_INT(fake.row.status, rows[i].status);
        tear_down();
    }
}

/* Its time is over, behind heartbeats and without them. */
static void who_waits_too_long_is_told(void)
{
    wait_with(&oai_chat, streamed);
    w.x->begun_ns -= 59000 * INT64_C(1000000);
    worker_works(); /* now its route is known */
    CHECK(w.x->deadline->ms > 540000 && w.x->deadline->ms <= 541000);
    fire(w.x->deadline);
    CHECK(w.rq.over && in_text("\"code\":\"overloaded\"") && !in_text("[DONE]"));
    tear_down();
    wait_with(&oai_chat, streamed);
    fire(w.x->deadline); /* while the worker is at it */
    CHECK_INT(w.rq.status, 503);
    slots_come(); /* not for this one */
    CHECK_INT(fake.admitted, 0);
    worker_works();
    tear_down();
}

static void a_client_may_go_while_a_worker_decodes(void)
{
    for (int later = 0; later < 2; later++) {
        wait_with(&oai_chat, streamed);
        if (later)
            worker_works();
        gw_exchange_gone(w.x);
        slots_come();
        CHECK_INT(fake.admitted, 0);
        if (!later)
            worker_works();
        tear_down();
    }
}

/* The worker, which has begun with it, is not overtaken. */
static void slots_come_while_a_worker_decodes(void)
{
    wait_with(&oai_chat, streamed);
    slots_come();
    CHECK_INT(fake.n_attempts, 0);
    worker_works();
    CHECK_INT(times_in_text(sse), 1);
    finishes(attempt(0, true), 1, 1);
    CHECK(w.rq.over && in_text("[DONE]"));
    tear_down();
}

/* Neither is a reason to refuse somebody who waits. */
static void without_room_it_waits_on(void)
{
    set_up(0, NULL);
    fake.no_slots = fake.worker_busy = true;
    ask(true);
    fire(w.x->heartbeat);
    CHECK(!fake.work && !w.rq.begun && w.app.worker_bytes == 0);
    fake.worker_busy = false;
    fire(w.x->heartbeat);
    tg_alloc_fail_nth(1);
    worker_works();
    tg_alloc_fail_nth(0);
    CHECK(!w.rq.over && !w.rq.begun);
    fire(w.x->heartbeat);
    worker_works();
    CHECK_INT(times_in_text(sse), 1);
    slots_come();
    finishes(attempt(0, true), 1, 1);
    CHECK(w.rq.over);
    tear_down();
}

/* A large body is decoded by a worker, and scored by one: from the first on it gets them. */
static void a_large_stream_gets_them_while_it_is_scored(void)
{
    char *large = large_stream(70 << 10);
    static const struct gw_header why = { { "x-tollgate-explain", 18 }, { "true", 4 } };
    for (int late = 0; late < 2; late++) {
        set_up(0, NULL);
        ask_with(large, &why, 1);
        CHECK_INT(w.x->heartbeat->ms, -1);
        worker_works();
        CHECK(fake.work && !w.rq.begun && w.x->heartbeat->ms == 15000);
        fire(w.x->heartbeat);
        CHECK(times_in_text(sse) == 1 && !in_headers("x-tollgate-complexity"));
        if (late) {
            fire(w.x->deadline);
            CHECK(w.rq.over && in_text("\"code\":\"timeout\"") && !in_text("[DONE]"));
            CHECK(in_text("\"features\":{}}")); /* of its complexity: a worker may write them now */
            worker_works();
            CHECK_STR(fake.error, "timeout");
        } else {
            worker_works();
            says(attempt(0, true), "Hello", true);
            finishes(attempt(0, true), 1, 1);
            CHECK(w.rq.over && in_text("Hello") && in_text("\"features\":{\"length\":0."));
        }
        tear_down();
    }
    tg_free(large);
}

static void a_stream_that_waits_for_a_lease_gets_them(void)
{
    for (int granted = 0; granted < 2; granted++) {
        set_up(1, "turns > 0");
        fake.local_cannot = true;
        fake.outcome = TEL_WAIT;
        ask(true);
        fire(w.x->heartbeat);
        CHECK_INT(times_in_text(sse), 1);
        lease_comes(0, granted ? TEL_RESERVED : TEL_OVER_CAP);
        if (granted)
            finishes(attempt(0, false), 1, 1);
        CHECK_INT(w.rq.status, 200);
        CHECK_INT(in_text("[DONE]"), granted);
        CHECK_INT(in_text("\"code\":\"budget_exhausted\""), !granted);
        tear_down();
    }
}

/* With nobody yet who could be held back. */
static void a_client_that_does_not_read_them(void)
{
    wait_with(&oai_chat, streamed);
    fake.full_output = true;
    worker_works();
    fire(w.x->heartbeat);
    CHECK_INT(times_in_text(sse), 1);
    fake.full_output = false;
    gw_exchange_writable(w.x);
    fire(w.x->heartbeat);
    CHECK_INT(times_in_text(sse), 2);
    slots_come();
    finishes(attempt(0, true), 1, 1);
    CHECK(w.rq.over);
    tear_down();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(a_stream_that_waits_for_slots_gets_them),
        CASE(what_is_no_stream_gets_none),
        CASE(who_waits_is_refused_by_a_status),
        CASE(who_waits_too_long_is_told),
        CASE(a_client_may_go_while_a_worker_decodes),
        CASE(slots_come_while_a_worker_decodes),
        CASE(without_room_it_waits_on),
        CASE(a_large_stream_gets_them_while_it_is_scored),
        CASE(a_stream_that_waits_for_a_lease_gets_them),
        CASE(a_client_that_does_not_read_them),
    };
    tg_log_set_level(TG_LOG_ERROR);
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
