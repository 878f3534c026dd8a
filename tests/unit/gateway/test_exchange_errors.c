/* What clients are told of a provider's failure: a status by which they try again or do not, when
 * to, and each dialect's own word for it. */
#include "tests/unit/gateway/exchange_world.h"

#include "gateway/api/anthropic.h"
#include "gateway/api/ollama.h"
#include "gateway/api/openai_responses.h"
#include "gateway/api/openai_text.h"

/* What a provider that nobody stands behind answers, and what comes of it. */
struct answered {
    int status;
    int64_t retry_after_ms;
    int told;
    const char *wait; /* "": no such header */
};

static const struct answered table[] = {
    { 400, -1, 400, "" },      { 422, -1, 400, "" },      { 413, -1, 413, "" },
    { 401, -1, 502, "" },      { 403, -1, 502, "" },      { 402, -1, 502, "" },
    { 404, -1, 502, "" },      { 408, -1, 504, "" },      { 429, -1, 429, "5" },
    { 429, 0, 429, "0" },      { 429, 2500, 429, "3" },   { 429, 900000, 429, "900" },
    { 500, -1, 502, "" },      { 500, 1000, 502, "1" },   { 502, -1, 502, "" },
    { 503, -1, 503, "5" },     { 503, 0, 503, "0" },      { 503, 12000, 503, "12" },
    { 529, -1, 503, "5" },     { 529, 1, 503, "1" },      { 504, -1, 504, "" },
    { 400, 5000, 400, "" },
};

static void fail_with(const struct api_dialect *dialect, const char *body, struct answered a)
{
    set_up(1, "turns > 0");
    w.dialect = dialect;
    fake.local_cannot = true;
    ask_with(body, NULL, 0);
    press(attempt(0, false),
          (struct chat_event){ .kind = CHAT_EVENT_ERROR, .error = CHAT_ERROR_STATUS,
                               .http_status = a.status, .retry_after_ms = a.retry_after_ms,
                               .text = TG_STR("its words") });
}

static void check_wait(const char *wait)
{
    char line[40];
    snprintf(line, sizeof(line), "retry-after: %s", wait);
    CHECK(*wait ? in_headers(line) : !in_headers("retry-after"));
}

static void statuses(void)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        fail_with(&oai_chat, whole, table[i]);
        CHECK_INT(w.rq.status, table[i].told);
        check_wait(table[i].wait);
        CHECK_INT(in_text("its words"), table[i].status != 401); /* which may be of our key */
        CHECK(in_text(table[i].told >= 500 || table[i].told == 429
                          ? "\"type\":\"upstream_error\""
                          : "\"type\":\"invalid_request_error\""));
        if (table[i].told == 429)
            CHECK(in_text("\"code\":\"rate_limit_exceeded\""));
        CHECK_INT(fake.row.status, table[i].told);
        tear_down();
    }
}

static const char message[] = "{\"model\":\"default\",\"max_tokens\":9,\"messages\":["
                              "{\"role\":\"user\",\"content\":\"Hi\"}]}";

/* Its clients know 529 where others know 503. */
static void anthropic_has_a_status_of_its_own(void)
{
    static const struct {
        int status, told;
        const char *type;
    } rows[] = {
        { 503, 529, "overloaded_error" }, { 529, 529, "overloaded_error" },
        { 429, 429, "rate_limit_error" }, { 400, 400, "invalid_request_error" },
        { 413, 413, "request_too_large" }, { 500, 502, "api_error" },
        { 504, 504, "timeout_error" },    { 401, 502, "api_error" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char type[60];
        fail_with(&ant_messages, message, (struct answered){ rows[i].status, 7000, 0, "" });
        CHECK_INT(w.rq.status, rows[i].told);
        check_wait(rows[i].told == 429 || rows[i].told >= 500 ? "7" : "");
        snprintf(type, sizeof(type), "\"error\":{\"type\":\"%s\",", rows[i].type);
        CHECK(in_text(type));
        CHECK_INT(fake.row.status, rows[i].told);
        tear_down();
    }
}

/* What an earlier provider said of its time is not what the last one says. */
static void the_last_one_is_told(void)
{
    set_up(2, "turns > 0");
    fake.local_cannot = true;
    ask(false);
    press(attempt(0, false), (struct chat_event){ .kind = CHAT_EVENT_ERROR,
                                                  .error = CHAT_ERROR_STATUS, .http_status = 429,
                                                  .retry_after_ms = 60000 });
    press(attempt(1, false), (struct chat_event){ .kind = CHAT_EVENT_ERROR,
                                                  .error = CHAT_ERROR_STATUS, .http_status = 503,
                                                  .retry_after_ms = -1 });
    CHECK_INT(w.rq.status, 503);
    check_wait("5");
    tear_down();
}

static const char responses[] = "{\"model\":\"default\",\"input\":\"Hi\"}";
static const char text[] = "{\"model\":\"default\",\"prompt\":\"Hi\"}";
static const char ollama[] = "{\"model\":\"default\",\"stream\":false,\"messages\":["
                             "{\"role\":\"user\",\"content\":\"Hi\"}]}";

/* The phrases are those that clients look for: each must stand as it is. */
static const struct phrase {
    const struct api_dialect *dialect;
    const char *body, *field;
    const char *known, *unknown;
} phrases[] = {
    { &oai_chat, whole, "\"param\":\"messages\",\"code\":\"context_length_exceeded\"",
      "the input exceeds the context window: this model's maximum context length is 4096 tokens, "
      "and the input has 5000 tokens",
      "the input exceeds the context window: " },
    { &oai_text, text, "\"param\":\"prompt\",\"code\":\"context_length_exceeded\"",
      "the input exceeds the context window: this model's maximum context length is 4096 tokens, ",
      "the input exceeds the context window: " },
    { &oai_responses, responses, "\"param\":\"input\",\"code\":\"context_length_exceeded\"",
      "the input exceeds the context window: this model's maximum context length is 4096 tokens, ",
      "the input exceeds the context window: " },
    { &ant_messages, message, "\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt",
      "prompt is too long: 5000 tokens > 4095 maximum. ", "prompt is too long: " },
    { &oll_chat, ollama, "{\"error\":\"prompt too long",
      "prompt too long; exceeded max context length by 905 tokens: it has 5000. ",
      "prompt too long; exceeded max context length: " },
};

static void a_prompt_too_long_for_the_local_model(void)
{
    for (size_t i = 0; i < sizeof(phrases) / sizeof(*phrases); i++)
        for (int at_least = 0; at_least < 2; at_least++) {
            set_up(0, NULL);
            w.dialect = phrases[i].dialect;
            fake.overflow = (struct chat_overflow){ true, at_least, 5000, 4096 };
            ask_with(phrases[i].body, NULL, 0);
            CHECK_INT(w.rq.status, 400);
            CHECK(in_text(phrases[i].field));
            CHECK(in_text("context of 4096 tokens needs one for the answer: shorten the prompt"));
            CHECK(in_text(at_least ? "at least" : phrases[i].known));
            tear_down();
        }
}

/* What a tier answers to body, with words for programs. */
static void refuse_with(const struct api_dialect *dialect, const char *body, int status,
                        struct chat_event e)
{
    e.kind = CHAT_EVENT_ERROR;
    e.error = CHAT_ERROR_STATUS;
    e.http_status = status;
    e.retry_after_ms = -1;
    e.text = TG_STR("its words");
    set_up(1, "turns > 0");
    w.dialect = dialect;
    fake.local_cannot = true;
    ask_with(body, NULL, 0);
    press(attempt(0, false), e);
}

static void a_prompt_too_long_for_a_provider(void)
{
    for (size_t i = 0; i < sizeof(phrases) / sizeof(*phrases); i++)
        for (int known = 0; known < 2; known++) {
            struct chat_event e = { .overflow = { .is = true } };
            if (known)
                e.overflow = (struct chat_overflow){ true, false, 5000, 4096 };
            refuse_with(phrases[i].dialect, phrases[i].body, i % 2 ? 500 : 413, e);
            CHECK_INT(w.rq.status, 400);
            CHECK(in_text(phrases[i].field));
            CHECK(in_text(i % 2 ? "cloud/m answered 500: its words"
                                : "cloud/m answered 413: its words"));
            if (!known)
                CHECK(in_text(phrases[i].unknown));
            else if (phrases[i].dialect == &ant_messages)
                CHECK(in_text("prompt is too long: 5000 tokens > 4095 maximum: cloud/m "));
            tear_down();
        }
}

static void words_of_a_provider(void)
{
    const struct chat_event e = { .said_type = TG_STR("odd_error"), .said_code = TG_STR("odd"),
                                  .said_param = TG_STR("messages[3].content") };
    refuse_with(&oai_chat, whole, 400, e);
    CHECK(in_text("\"type\":\"odd_error\",\"param\":\"messages[3].content\",\"code\":\"odd\""));
    tear_down();
    refuse_with(&oai_responses, responses, 422, e); /* whose lists have other places */
    CHECK(in_text("\"type\":\"odd_error\",\"param\":\"input\",\"code\":\"odd\""));
    tear_down();
    refuse_with(&oai_text, text, 400, (struct chat_event){ .said_param = TG_STR("top_p") });
    CHECK(in_text("\"type\":\"invalid_request_error\",\"param\":\"top_p\",\"code\":null"));
    tear_down();
    refuse_with(&ant_messages, message, 400, e);
    CHECK(!in_text("odd") && in_text("\"type\":\"invalid_request_error\""));
    tear_down();
    static const int ours[] = { 401, 403, 404, 429, 500, 503 };
    for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++) {
        refuse_with(&oai_chat, whole, ours[i], e);
        CHECK(!in_text("odd") && in_text("\"type\":\"upstream_error\",\"param\":null"));
        tear_down();
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(statuses),
        CASE(anthropic_has_a_status_of_its_own),
        CASE(the_last_one_is_told),
        CASE(a_prompt_too_long_for_the_local_model),
        CASE(a_prompt_too_long_for_a_provider),
        CASE(words_of_a_provider),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
