#include "tests/unit/check.h"
#include "config/base/alloc.h"
#include "config/base/json.h"
#include "gateway/api/openai_chat.h"

static const struct chat_request asked = { .stream = true, .include_usage = true };
static const struct chat_request silent = { .stream = true };
static const struct api_answer answer = { .id = "chatcmpl-1", .created_s = 1700000000,
                                          .model = { "m\"x", 3 }, .request = &asked };
static struct api_stream stream;

#define CHUNK "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\"," \
              "\"created\":1700000000,\"model\":\"m\\\"x\","
#define NO_USAGE "\"usage\":null,"
#define DELTA(members) CHUNK NO_USAGE "\"choices\":[{\"index\":0,\"delta\":{" members \
                       "},\"logprobs\":null,\"finish_reason\":null}]}\n\n"
#define END(reason) "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null," \
                    "\"finish_reason\":\"" reason "\"}]}\n\n"
#define FINISH(reason) CHUNK NO_USAGE END(reason)
#define DONE "data: [DONE]\n\n"
#define WHOLE(message, reason, usage) \
    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":" \
    "\"m\\\"x\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":" \
    message "},\"logprobs\":null,\"finish_reason\":\"" reason "\"}]" usage "}"

static struct chat_count count(uint64_t n)
{
    return (struct chat_count){ true, n };
}

static void whole_answers(void)
{
    struct tg_buf out;
    tg_buf_init(&out, 4096);
    struct api_whole text = {
        .content = TG_STR("hi\n\xc3\xa4"),
        .finish = CHAT_FINISH_STOP,
        .usage = { count(5), count(0), count(2), count(1) },
    };
    CHECK_INT(oai_chat.whole(&answer, &text, &out), TG_OK);
    CHECK_STR(out.p, WHOLE("\"hi\\n\xc3\xa4\",\"refusal\":null", "stop",
                           ",\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2,"
                           "\"total_tokens\":7,\"prompt_tokens_details\":{\"cached_tokens\":0},"
                           "\"completion_tokens_details\":{\"reasoning_tokens\":1}}"));
    tg_buf_reset(&out);
    const struct api_call calls[] = {
        { TG_STR("c1"), TG_STR("f"), TG_STR("{\"a\":1}") },
        { TG_STR("c2"), TG_STR("g"), TG_STR("") },
    };
    struct api_whole called = { .reasoning = TG_STR("why"), .calls = calls, .n_calls = 2,
                                .finish = CHAT_FINISH_TOOL_CALLS,
                                .usage = { .output = count(3) } };
    CHECK_INT(oai_chat.whole(&answer, &called, &out), TG_OK);
    CHECK_STR(out.p, WHOLE("null,\"reasoning_content\":\"why\",\"refusal\":null,\"tool_calls\":["
                           "{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
                           "\"arguments\":\"{\\\"a\\\":1}\"}},{\"id\":\"c2\",\"type\":\"function\","
                           "\"function\":{\"name\":\"g\",\"arguments\":\"\"}}]", "tool_calls", ""));
    tg_buf_reset(&out);
    struct api_whole empty = { .finish = CHAT_FINISH_LENGTH,
                               .usage = { .input = count(0), .output = count(0) } };
    oai_chat.whole(&answer, &empty, &out);
    CHECK_STR(out.p, WHOLE("\"\",\"refusal\":null", "length",
                           ",\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0,"
                           "\"total_tokens\":0}"));
    tg_buf_free(&out);
}

static void streams(void)
{
    struct tg_buf out;
    tg_buf_init(&out, 8192);
    struct chat_event text = { .kind = CHAT_EVENT_TEXT, .text = TG_STR("a\"b") };
    struct chat_event thought = { .kind = CHAT_EVENT_REASONING, .text = TG_STR("t") };
    struct chat_event call = { .kind = CHAT_EVENT_TOOL_CALL, .index = 1, .id = TG_STR("c"),
                               .name = TG_STR("f") };
    struct chat_event more = { .kind = CHAT_EVENT_TOOL_CALL, .index = 1, .text = TG_STR("{") };
    struct chat_event none = { .kind = CHAT_EVENT_USAGE };
    struct chat_usage usage = { .input = count(1), .output = count(2) };
    oai_chat.begin(&answer, &out);
    oai_chat.event(&answer, &stream, &thought, &out);
    oai_chat.event(&answer, &stream, &text, &out);
    oai_chat.event(&answer, &stream, &call, &out);
    oai_chat.event(&answer, &stream, &more, &out);
    CHECK_INT(oai_chat.event(&answer, &stream, &none, &out), TG_OK);
    struct api_whole end = { .finish = CHAT_FINISH_FILTER, .usage = usage };
    CHECK_INT(oai_chat.finish(&answer, &stream, &end, TG_STR("{\"a\":1}"), &out), TG_OK);
    CHECK_STR(out.p, DELTA("\"role\":\"assistant\",\"content\":\"\"")
              DELTA("\"reasoning_content\":\"t\"") DELTA("\"content\":\"a\\\"b\"")
              DELTA("\"tool_calls\":[{\"index\":1,\"id\":\"c\",\"type\":\"function\",\"function\":"
                    "{\"name\":\"f\",\"arguments\":\"\"}}]")
              DELTA("\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"{\"}}]")
              FINISH("content_filter")
              CHUNK "\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,"
              "\"total_tokens\":3}}\n\n: tollgate {\"a\":1}\n\ndata: [DONE]\n\n");
    tg_buf_free(&out);
}

/* Clients with a schema read the text as JSON unless there is a refusal. */
static void refusals(void)
{
    struct tg_buf out;
    tg_buf_init(&out, 4096);
    struct api_whole w = { .refusal = TG_STR("n\"o"), .refused = true };
    oai_chat.whole(&answer, &w, &out);
    CHECK_STR(out.p, WHOLE("null,\"refusal\":\"n\\\"o\"", "stop", ""));
    tg_buf_reset(&out);
    w.content = TG_STR("a");
    oai_chat.whole(&answer, &w, &out);
    CHECK_STR(out.p, WHOLE("\"a\",\"refusal\":\"n\\\"o\"", "stop", ""));
    tg_buf_reset(&out);
    struct chat_event e = { .kind = CHAT_EVENT_REFUSAL, .text = TG_STR("n\"o") };
    CHECK_INT(oai_chat.event(&answer, &stream, &e, &out), TG_OK);
    CHECK_STR(out.p, DELTA("\"refusal\":\"n\\\"o\""));
    tg_buf_free(&out);
}

static const struct chat_top tops[] = { { { "a", 1 }, -0.125 }, { { "\"", 1 }, -3 } };
static const struct chat_logprob tokens[] = { { { { "a", 1 }, -0.125 }, tops, 2 },
                                              { { { "\xc3", 1 }, -(double)INFINITY }, NULL, 0 } };
#define A "{\"token\":\"a\",\"logprob\":-0.125,\"bytes\":[97]"
#define TOKENS "{\"content\":[" A ",\"top_logprobs\":[" A "},{\"token\":\"\\\"\",\"logprob\":-3," \
               "\"bytes\":[34]}]},{\"token\":\"\xef\xbf\xbd\",\"logprob\":-9999,\"bytes\":"  \
               "[195],\"top_logprobs\":[]}],\"refusal\":null}"

static void logprobs(void)
{
    struct tg_buf out;
    tg_buf_init(&out, 4096);
    struct chat_event text = { .kind = CHAT_EVENT_TEXT, .text = TG_STR("a"), .logprobs = tokens,
                               .n_logprobs = 2 };
    oai_chat.event(&answer, &stream, &text, &out);
    CHECK_STR(out.p, CHUNK NO_USAGE "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},"
                     "\"logprobs\":" TOKENS ",\"finish_reason\":null}]}\n\n");
    tg_buf_reset(&out);
    struct chat_logprobs second = { tokens + 1, 1, NULL }, first = { tokens, 1, &second };
    struct api_whole w = { .content = TG_STR("a"), .logprobs = &first };
    oai_chat.whole(&answer, &w, &out);
    CHECK(strstr(out.p, "},\"logprobs\":" TOKENS ",\"finish_reason\":\"stop\"}]"));
    CHECK_INT(tg_json_scan(tg_buf_str(&out), NULL), TG_OK);
    tg_buf_free(&out);
}

static void absent_usage_is_not_zero(void)
{
    struct tg_buf out;
    tg_buf_init(&out, 4096);
    struct api_answer no_usage = answer;
    no_usage.request = &silent;
    struct api_whole unknown = { .usage = { .input = count(4) } };
    struct api_whole absurd = { .usage = { .input = count(UINT64_MAX), .output = count(1) } };
    struct api_whole known = { .usage = { .input = count(2), .output = count(1) } };
    oai_chat.finish(&answer, &stream, &unknown, TG_STR(""), &out);
    oai_chat.finish(&answer, &stream, &absurd, TG_STR(""), &out);
    oai_chat.finish(&no_usage, &stream, &known, TG_STR(""), &out);
    CHECK_STR(out.p, FINISH("stop") DONE FINISH("stop") DONE CHUNK END("stop") DONE);
    tg_buf_free(&out);
}

static void errors_and_models(void)
{
    struct tg_buf out;
    tg_buf_init(&out, 4096);
    struct api_error named = { 400, "invalid_request_error", "c", "messages[0]", "a \"b\"", "" };
    struct api_error plain = { 500, "server_error", NULL, "", "m", "" };
    oai_error_print(&named, &out);
    CHECK_STR(out.p, "{\"error\":{\"message\":\"a \\\"b\\\"\",\"type\":\"invalid_request_error\","
                     "\"param\":\"messages[0]\",\"code\":\"c\"}}");
    tg_buf_reset(&out);
    oai_chat.failed(&answer, &stream, &plain, TG_STR("{}"), &out);
    CHECK_STR(out.p, "data: {\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"param\":null,"
                     "\"code\":null}}\n\n: tollgate {}\n\n");
    tg_buf_reset(&out);
    static const char *const names[] = { "local", "a/b" };
    oai_models_print(names, 2, 9, &out);
    CHECK_STR(out.p, "{\"object\":\"list\",\"data\":[{\"id\":\"local\",\"object\":\"model\","
                     "\"created\":9,\"owned_by\":\"tollgate\"},"
                     "{\"id\":\"a/b\",\"object\":\"model\","
                     "\"created\":9,\"owned_by\":\"tollgate\"}]}");
    CHECK_INT(tg_json_scan(tg_buf_str(&out), NULL), TG_OK);
    tg_buf_free(&out);
}

/* Out of memory and out of room are reported, and nothing is lost or leaked. */
static void reports_failures(void)
{
    struct api_whole w = { .content = TG_STR("0123456789"), .finish = CHAT_FINISH_STOP };
    struct tg_buf out;
    tg_buf_init(&out, 64);
    CHECK_INT(oai_chat.whole(&answer, &w, &out), TG_LIMIT);
    tg_buf_free(&out);
    bool succeeded = false;
    for (uint64_t nth = 1; nth < 20 && !succeeded; nth++) {
        tg_buf_init(&out, 4096);
        tg_alloc_fail_nth(nth);
        enum tg_status status = oai_chat.whole(&answer, &w, &out);
        tg_alloc_fail_nth(0);
        tg_buf_free(&out);
        succeeded = status == TG_OK;
        CHECK(succeeded || status == TG_NOMEM);
        CHECK(nth > 1 || !succeeded);
    }
    CHECK(succeeded);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(whole_answers),     CASE(streams),
        CASE(refusals),          CASE(absent_usage_is_not_zero),
        CASE(errors_and_models), CASE(logprobs), CASE(reports_failures),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
