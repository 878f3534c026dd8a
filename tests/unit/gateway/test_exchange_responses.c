/* What the Responses API asks of an exchange: keeping what was answered, going on from it, staying
 * local, large beginnings of streams. */
#include "tests/unit/gateway/exchange_world.h"

#include "config/base/clock.h"
#include "gateway/api/openai_responses.h"

#define GO_ON(n) "\"previous_response_id\":\"resp_000000000000000" n "\""
static const char streams[] = "{\"input\":\"Hi\",\"stream\":true}";
static const char one[] = "{\"input\":\"Hi\"}";

static struct gw_responses *store;

/* A world with n tiers that answer at once, or the local model. */
static void open_world(size_t n)
{
    set_up(n, n ? "turns > 0" : NULL);
    w.dialect = &oai_responses;
    if (!store)
        store = gw_responses_new(1 << 20, 100000);
    w.app.responses = store;
}

static void close_world(void)
{
    tear_down();
    gw_responses_free(store);
    store = NULL;
}

static bool kept(uint64_t number)
{
    struct gw_response *r = gw_responses_find(store, 0, number, true, tg_mono_ns() / 1000000);
    gw_response_unref(store, r);
    return r != NULL;
}

static void answers_are_kept_and_gone_on_from(void)
{
    open_world(1);
    ask_with(one, NULL, 0);
    says(attempt(0, false), "hello", true);
    finishes(attempt(0, false), 3, 4);
    CHECK(w.rq.status == 200 && in_text("\"id\":\"resp_0000000000000001\"") && kept(1));
    memset(&w.rq, 0, sizeof(w.rq));
    ask_with("{" GO_ON("1") ",\"input\":\"more\",\"stream\":true}", NULL, 0);
    worker_works(); /* it looks back */
    worker_works(); /* a stream is decoded first, then scored */
    CHECK_INT(w.x->prepared.request.n_messages, 3);
    says(attempt(1, false), "again", true);
    CHECK(!kept(2));
    finishes(attempt(1, false), 3, 4);
    CHECK(w.rq.over && in_text("event: response.completed") && in_text(": tollgate {") && kept(2));
    memset(&w.rq, 0, sizeof(w.rq));
    ask_with("{" GO_ON("9") ",\"input\":\"more\"}", NULL, 0);
    worker_works();
    CHECK(w.rq.status == 400 && in_text("\"code\":\"previous_response_not_found\""));
    memset(&w.rq, 0, sizeof(w.rq));
    ask_with("{\"store\":false,\"input\":\"Hi\"}", NULL, 0);
    says(attempt(2, false), "hello", true);
    finishes(attempt(2, false), 3, 4);
    CHECK(w.rq.status == 200 && in_text("\"store\":false") && !kept(4));
    close_world();
}

static void refusals_are_kept_and_gone_on_from(void)
{
    open_world(1);
    ask_with(streams, NULL, 0);
    declines(attempt(0, false), "I can");
    declines(attempt(0, false), "not.");
    finishes(attempt(0, false), 3, 4);
    CHECK(in_text("event: response.refusal.done") && in_text("\"refusal\":\"I cannot.\"}]"));
    CHECK(!in_text("output_text"));
    memset(&w.rq, 0, sizeof(w.rq));
    ask_with("{" GO_ON("1") ",\"input\":\"more\"}", NULL, 0);
    worker_works();
    const struct chat_message *m = w.x->prepared.request.messages;
    CHECK_INT(w.x->prepared.request.n_messages, 3);
    CHECK(m[1].role == CHAT_ASSISTANT && m[1].parts[0].kind == CHAT_PART_TEXT &&
          tg_str_eq(m[1].parts[0].text, TG_STR("I cannot.")));
    declines(attempt(1, false), "No.");
    finishes(attempt(1, false), 3, 4);
    CHECK(w.rq.status == 200 && in_text("[{\"type\":\"refusal\",\"refusal\":\"No.\"}]"));
    CHECK(kept(2));
    close_world();
}

/* Nothing said under that mark reaches a provider later. */
static void local_only_is_for_the_whole_conversation(void)
{
    struct gw_header mark = { TG_STR("x-tollgate-local-only"), TG_STR("true") };
    open_world(1);
    ask_with(one, &mark, 1);
    says(attempt(0, true), "hello", true);
    finishes(attempt(0, true), 3, 4);
    CHECK(kept(1));
    memset(&w.rq, 0, sizeof(w.rq));
    ask_with("{" GO_ON("1") ",\"input\":\"more\"}", NULL, 0);
    worker_works();
    CHECK(w.x->local_only);
    says(attempt(1, true), "again", true);
    finishes(attempt(1, true), 3, 4);
    CHECK(w.rq.status == 200 && fake.row.local_only && fake.n_money == 0);
    close_world();
}

static void what_failed_is_not_kept(void)
{
    open_world(1);
    ask_with(streams, NULL, 0);
    says(attempt(0, false), "text", true);
    fails(attempt(0, false), true);
    CHECK(w.rq.over && in_text("event: response.failed") && in_text("\"status\":\"failed\""));
    CHECK(!in_text("response.completed") && !kept(1));
    memset(&w.rq, 0, sizeof(w.rq));
    ask_with(streams, NULL, 0);
    says(attempt(1, false), "text", true);
    gw_exchange_gone(w.x);
    CHECK(!kept(2) && gw_responses_state(store).n == 0);
    close_world();
}

/* Behind a heartbeat and in front of the first event there is no response that could fail. */
static void failures_before_the_beginning_are_errors(void)
{
    open_world(0);
    ask_with(streams, NULL, 0);
    fire(w.x->heartbeat);
    CHECK(w.rq.begun && in_text(": heartbeat\n\n"));
    fails(attempt(0, true), false);
    CHECK(w.rq.over && in_text("event: error\ndata: {\"type\":\"error\",\"sequence_number\":0,"));
    CHECK(!in_text("response."));
    close_world();
}

/* The request is repeated in the first events, and in the one that says that it failed. */
static void long_requests_begin_and_fail(void)
{
    enum { LONG = 60000 };
    static char body[LONG + 100];
    open_world(1);
    int n = snprintf(body, sizeof(body), "{\"stream\":true,\"input\":\"Hi\",\"instructions\":\"");
    memset(body + n, 'a', LONG);
    snprintf(body + n + LONG, sizeof(body) - (size_t)n - LONG, "\"}");
    ask_with(body, NULL, 0);
    worker_works();
    worker_works();
    says(attempt(0, false), "text", true);
    CHECK(in_text("event: response.in_progress") && w.rq.n_text > (size_t)2 * LONG);
    fails(attempt(0, false), true);
    CHECK(in_text("event: response.failed") && w.rq.n_text > (size_t)3 * LONG);
    close_world();
}

static void no_memory_for_the_beginning(void)
{
    for (uint64_t nth = 1; nth < 60; nth++) {
        open_world(1);
        ask_with(streams, NULL, 0);
        struct prov_attempt *a = attempt(0, false);
        tg_alloc_fail_nth(nth);
        says(a, "text", true);
        tg_alloc_fail_nth(0);
        if (a->live)
            finishes(a, 3, 4);
        bool good = in_text("event: response.completed");
        CHECK(w.rq.over || fake.n_attempts > 1);
        CHECK(!good || in_text("event: response.created"));
        if (!w.rq.over)
            gw_exchange_gone(w.x);
        close_world();
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(answers_are_kept_and_gone_on_from),
        CASE(refusals_are_kept_and_gone_on_from),
        CASE(local_only_is_for_the_whole_conversation),
        CASE(what_failed_is_not_kept),
        CASE(failures_before_the_beginning_are_errors),
        CASE(long_requests_begin_and_fail),
        CASE(no_memory_for_the_beginning),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
