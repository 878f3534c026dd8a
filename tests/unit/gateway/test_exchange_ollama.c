/* What the Ollama dialect asks of an exchange beyond what OpenAI's does. */
#include "tests/unit/gateway/exchange_world.h"

#include "gateway/api/ollama.h"

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]"
static const char lines[] = "{\"model\":\"default\"," HI "}";
static const char one[] = "{\"model\":\"default\",\"stream\":false," HI "}";

/* A request in this dialect; n tiers that answer at once, or the local model. */
static void asks(const char *body, size_t n)
{
    set_up(n, n ? "turns > 0" : NULL);
    w.dialect = &oll_chat;
    ask_with(body, NULL, 0);
}

static void calls(struct prov_attempt *a, uint32_t index, const char *name, const char *text)
{
    press(a, (struct chat_event){ .kind = CHAT_EVENT_TOOL_CALL,
                                  .index = index,
                                  .id = tg_str_of(name),
                                  .name = tg_str_of(name),
                                  .text = tg_str_of(text) });
}

static void load_requests_run_nothing(void)
{
    static const char *const bodies[] = { "{\"model\":\"default\"}",
                                          "{\"model\":\"default:latest\",\"messages\":[]}" };
    for (size_t i = 0; i < 2; i++) {
        asks(bodies[i], 1);
        CHECK(w.rq.over && w.rq.status == 200 && fake.n_attempts == 0);
        CHECK(in_text("\"done_reason\":\"load\"") && in_headers("x-tollgate-request-id"));
        CHECK(in_text(i ? "\"model\":\"default:latest\"" : "\"model\":\"default\""));
        CHECK_INT(fake.rows, 1);
        CHECK_STR(fake.error, "");
        tear_down();
    }
    asks("{\"model\":\"other\"}", 1);
    CHECK(w.rq.status == 404 && in_text("{\"error\":\""));
    tear_down();
}

static void calls_come_whole_at_the_end(void)
{
    asks(lines, 1);
    calls(attempt(0, false), 0, "f", "");
    calls(attempt(0, false), 1, "g", "{\"b\":");
    calls(attempt(0, false), 0, "", "{\"a\":1}");
    CHECK(!w.rq.begun);
    says(attempt(0, false), "text", true);
    CHECK(w.rq.begun && in_text("text") && !in_text("tool_calls"));
    calls(attempt(0, false), 1, "", "2}");
    finishes(attempt(0, false), 3, 4);
    CHECK(in_text("\"tool_calls\":[{\"id\":\"f\",\"function\":{\"index\":0,\"name\":\"f\","
                  "\"arguments\":{\"a\":1}}},{\"id\":\"g\",\"function\":{\"index\":1,"
                  "\"name\":\"g\",\"arguments\":{\"b\":2}}}]"));
    CHECK(in_text("\"done\":true") && in_text("\"tollgate\":{\"request_id\""));
    tear_down();
}

/* The text of a stream is not kept: it may be as long as it likes. */
static void streams_keep_no_text(void)
{
    asks(lines, 1);
    says(attempt(0, false), "text", true);
    CHECK_INT(w.x->remote.content.n, 0);
    finishes(attempt(0, false), 3, 4);
    tear_down();
}

static void what_has_no_words_is_an_error(void)
{
    for (int stream = 0; stream < 2; stream++) {
        asks(stream ? lines : one, 1);
        calls(attempt(0, false), 0, "f", "[1]");
        finishes(attempt(0, false), 3, 4);
        CHECK(w.rq.over && !w.rq.aborted && in_text("{\"error\":\"the model's answer"));
        CHECK(!in_text("\"done\":true") && !in_text("tool_calls"));
        CHECK_INT(w.rq.status, stream ? 200 : 502);
        CHECK_STR(fake.error, "malformed-answer");
        CHECK_INT(fake.money[0].paid, 3 * IN + 4 * OUT);
        tear_down();
    }
}

/* The dialect has no other word for it. */
static void refusals_are_text(void)
{
    for (int stream = 0; stream < 2; stream++) {
        asks(stream ? lines : one, 1);
        says(attempt(0, false), "Hm. ", true);
        declines(attempt(0, false), "no");
        finishes(attempt(0, false), 3, 4);
        CHECK(in_text(stream ? "\"content\":\"no\"" : "\"content\":\"Hm. no\""));
        CHECK(in_text("\"done_reason\":\"stop\"") && !in_text("refusal"));
        tear_down();
    }
}

/* With the times of the events, not of their delivery. */
static void times_are_those_of_the_events(void)
{
    asks(one, 0);
    int64_t ms = 1000000, at = w.x->begun_ns;
    struct prov_attempt *a = attempt(0, true);
    press(a, (struct chat_event){ .kind = CHAT_EVENT_STARTED, .mono_ns = at + 1 * ms });
    press(a, (struct chat_event){ .kind = CHAT_EVENT_TEXT, .text = TG_STR("a"),
                                  .mono_ns = at + 3 * ms });
    press(a, (struct chat_event){ .kind = CHAT_EVENT_FINISH, .mono_ns = at + 10 * ms });
    CHECK(in_text("\"load_duration\":1000000,\"prompt_eval_duration\":2000000,"
                  "\"eval_duration\":7000000}"));
    CHECK(in_text("\"total_duration\":") && !in_text("_count"));
    tear_down();
}

/* How a provider spread the time of an answer in one piece is not known. */
static void one_piece_has_no_parts(void)
{
    asks(one, 1);
    says(attempt(0, false), "a", true);
    finishes(attempt(0, false), 3, 4);
    CHECK(in_text("\"load_duration\":") && in_text("\"eval_count\":4"));
    CHECK(!in_text("eval_duration"));
    tear_down();
}

static void heartbeats_do_not_commit(void)
{
    asks(lines, 1);
    fire(w.x->heartbeat);
    CHECK(w.rq.begun && in_text("\"content\":\"\"},\"done\":false}\n"));
    CHECK_INT(w.x->state, GW_RUNNING);
    fails(attempt(0, false), true);
    says(attempt(1, true), "local", true);
    finishes(attempt(1, true), 1, 1);
    CHECK(w.rq.over && in_text("local") && in_text("\"done\":true") && !in_text("error"));
    tear_down();
}

static void failures_behind_the_commit_are_lines(void)
{
    asks(lines, 1);
    says(attempt(0, false), "text", true);
    fails(attempt(0, false), true);
    CHECK(w.rq.over && in_text("\n{\"error\":\"cloud/m: broke\",\"tollgate\":{"));
    CHECK(!in_text("\"done\":true"));
    tear_down();
}

static void no_limit_is_what_the_backend_allows(void)
{
    static const char body[] =
        "{\"model\":\"default\",\"options\":{\"num_predict\":-1}," HI "}";
    asks(body, 0);
    CHECK(attempt(0, true)->max_tokens == UINT32_MAX);
    finishes(attempt(0, true), 1, 1);
    tear_down();
    asks(body, 1);
    CHECK_INT(attempt(0, false)->max_tokens, 64);
    finishes(attempt(0, false), 1, 1);
    tear_down();
    asks(lines, 0);
    CHECK_INT(attempt(0, true)->max_tokens, 100);
    finishes(attempt(0, true), 1, 1);
    tear_down();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(load_requests_run_nothing),
        CASE(calls_come_whole_at_the_end),
        CASE(streams_keep_no_text),
        CASE(what_has_no_words_is_an_error),
        CASE(refusals_are_text),
        CASE(times_are_those_of_the_events),
        CASE(one_piece_has_no_parts),
        CASE(heartbeats_do_not_commit),
        CASE(failures_behind_the_commit_are_lines),
        CASE(no_limit_is_what_the_backend_allows),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
