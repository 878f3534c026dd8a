#include "tests/unit/check.h"
#include "config/base/alloc.h"
#include "config/base/json.h"
#include "gateway/api/anthropic.h"

static const struct chat_request asked = { .stream = true, .thinking = true };
static const struct chat_request shy = { .stream = true, .thinking = true, .hide_thinking = true };
static const struct chat_request plain = { .stream = true };
static const struct api_answer answer = { .id = "msg_1", .model = { "m\"x", 3 },
                                          .request = &asked, .prompt = { true, 7 } };

#define IDENTITY "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\"," \
                 "\"model\":\"m\\\"x\",\"content\":["
#define USAGE(in, cached, out, more) "\"usage\":{\"input_tokens\":" in \
    ",\"cache_creation_input_tokens\":null,\"cache_read_input_tokens\":" cached \
    ",\"output_tokens\":" out more "}"
#define WHOLE(content, reason, usage) IDENTITY content "],\"stop_reason\":\"" reason \
    "\",\"stop_sequence\":null,\"stop_details\":null," usage "}"
#define EVENT(name, members) "event: " name "\ndata: {\"type\":\"" name "\"" members "}\n\n"
#define START(i, block) \
    EVENT("content_block_start", ",\"index\":" i ",\"content_block\":{" block "}")
#define DELTA(i, type, member) \
    EVENT("content_block_delta", ",\"index\":" i ",\"delta\":{\"type\":\"" type "\"," member "}")
#define STOP(i) EVENT("content_block_stop", ",\"index\":" i)
#define SIGNED "\"signature\":\"dG9sbGdhdGU=\""
#define END(reason, usage) EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"" reason \
                                 "\",\"stop_sequence\":null,\"stop_details\":null}," usage)
#define LAST EVENT("message_stop", "")

static struct chat_count count(uint64_t n)
{
    return (struct chat_count){ true, n };
}

static void check_whole(const struct api_answer *a, const struct api_whole *w, const char *want)
{
    struct tg_buf out;
    tg_buf_init(&out, 8192);
    CHECK_INT(ant_messages.whole(a, w, &out), TG_OK);
    CHECK_STR(out.p, want);
    CHECK_INT(tg_json_scan(tg_buf_str(&out), NULL), TG_OK);
    tg_buf_free(&out);
}

static void whole_answers(void)
{
    struct api_whole text = {
        .content = TG_STR("hi\n\xc3\xa4"),
        .usage = { count(5), count(2), count(3), count(1) },
    };
    check_whole(&answer, &text,
                WHOLE("{\"type\":\"text\",\"text\":\"hi\\n\xc3\xa4\"}", "end_turn",
                      USAGE("3", "2", "3", ",\"output_tokens_details\":{\"thinking_tokens\":1}")));
    const struct api_call calls[] = {
        { TG_STR("c1"), TG_STR("f"), TG_STR(" {\"a\":1} ") },
        { TG_STR("c2"), TG_STR("g"), TG_STR("") },
    };
    struct api_whole called = { .reasoning = TG_STR("why"), .content = TG_STR("so"),
                                .calls = calls, .n_calls = 2, .finish = CHAT_FINISH_TOOL_CALLS,
                                .usage = { .output = count(3) } };
#define CALLS "{\"type\":\"text\",\"text\":\"so\"},{\"type\":\"tool_use\",\"id\":\"c1\"," \
              "\"name\":\"f\",\"input\":{\"a\":1}},{\"type\":\"tool_use\",\"id\":\"c2\"," \
              "\"name\":\"g\",\"input\":{}}"
    check_whole(&answer, &called,
                WHOLE("{\"type\":\"thinking\",\"thinking\":\"why\"," SIGNED "}," CALLS, "tool_use",
                      USAGE("0", "null", "3", "")));
    struct api_answer hiding = answer;
    hiding.request = &shy;
    check_whole(&hiding, &called,
                WHOLE("{\"type\":\"thinking\",\"thinking\":\"\"," SIGNED "}," CALLS, "tool_use",
                      USAGE("0", "null", "3", "")));
    hiding.request = &plain;
    check_whole(&hiding, &called, WHOLE(CALLS, "tool_use", USAGE("0", "null", "3", "")));
    struct api_whole empty = { .finish = CHAT_FINISH_LENGTH,
                               .usage = { .input = count(1), .cached_input = count(9) } };
    check_whole(&answer, &empty, WHOLE("", "max_tokens", USAGE("0", "9", "0", "")));
}

/* Clients run tools by the reason, whatever the provider called it. */
static void reasons(void)
{
    const struct api_call call = { TG_STR("c"), TG_STR("f"), TG_STR("{}") };
    struct {
        enum chat_finish finish;
        size_t n_calls;
        bool refused;
        const char *reason;
    } rows[] = {
        { CHAT_FINISH_STOP, 0, false, "\"end_turn\"" },
        { CHAT_FINISH_STOP, 1, false, "\"tool_use\"" },
        { CHAT_FINISH_TOOL_CALLS, 1, false, "\"tool_use\"" },
        { CHAT_FINISH_LENGTH, 1, false, "\"max_tokens\"" },
        { CHAT_FINISH_FILTER, 0, false, "\"refusal\"" },
        { CHAT_FINISH_STOP, 0, true, "\"refusal\"" },
        { CHAT_FINISH_STOP, 1, true, "\"tool_use\"" },
        { CHAT_FINISH_LENGTH, 0, true, "\"max_tokens\"" },
    };
    struct tg_buf out;
    tg_buf_init(&out, 4096);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct api_whole w = { .calls = &call, .n_calls = rows[i].n_calls,
                               .finish = rows[i].finish, .refused = rows[i].refused };
        tg_buf_reset(&out);
        ant_messages.whole(&answer, &w, &out);
        CHECK(strstr(out.p, rows[i].reason));
        const char *details = strcmp(rows[i].reason, "\"refusal\"") == 0
                                  ? "\"stop_details\":{\"type\":\"refusal\",\"category\":null,"
                                  : "\"stop_details\":null";
        CHECK(strstr(out.p, details));
        struct api_stream s = { 0 };
        struct chat_event e = { .kind = CHAT_EVENT_TOOL_CALL, .id = call.id, .name = call.name };
        if (rows[i].n_calls)
            ant_messages.event(&answer, &s, &e, &out);
        tg_buf_reset(&out);
        ant_messages.finish(&answer, &s, &w, TG_STR(""), &out);
        CHECK(strstr(out.p, rows[i].reason) && strstr(out.p, details));
    }
    tg_buf_free(&out);
}

/* What is no JSON object is told as text, and can be mistaken for no input. */
static void arguments_that_are_no_input(void)
{
    static const struct {
        const char *arguments, *input;
    } rows[] = {
        { "{\"a\":", "{\"INVALID_JSON\":\"{\\\"a\\\":\"}" },
        { "{} {}", "{\"INVALID_JSON\":\"{} {}\"}" },
        { "[1]", "{\"INVALID_JSON\":\"[1]\"}" },
        { "null", "{\"INVALID_JSON\":\"null\"}" },
        { "{\"a\":\"\xff\"}", "{\"INVALID_JSON\":\"{\\\"a\\\":\\\"\xef\xbf\xbd\\\"}\"}" },
        { " \n", "{}" },
        { "{\"a\":{\"b\":[]}}", "{\"a\":{\"b\":[]}}" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const struct api_call call = { TG_STR("c"), TG_STR("f"), tg_str_of(rows[i].arguments) };
        struct api_whole w = { .calls = &call, .n_calls = 1, .finish = CHAT_FINISH_TOOL_CALLS };
        struct tg_buf out;
        tg_buf_init(&out, 4096);
        ant_messages.whole(&answer, &w, &out);
        CHECK_INT(tg_json_scan(tg_buf_str(&out), NULL), TG_OK);
        const char *at = strstr(out.p, "\"input\":");
        CHECK(at && strncmp(at + 8, rows[i].input, strlen(rows[i].input)) == 0);
        tg_buf_free(&out);
    }
}

/* Nothing is told, no block opened, by thoughts that nobody asked for. */
static void thoughts_unasked(void)
{
    struct api_answer a = answer;
    struct api_stream s = { 0 };
    struct chat_event thought = { .kind = CHAT_EVENT_REASONING, .text = TG_STR("why") };
    struct chat_event text = { .kind = CHAT_EVENT_TEXT, .text = TG_STR("so") };
    struct tg_buf out;
    a.request = &plain;
    tg_buf_init(&out, 4096);
    CHECK_INT(ant_messages.event(&a, &s, &thought, &out), TG_OK);
    CHECK(out.n == 0);
    CHECK_INT(ant_messages.event(&a, &s, &text, &out), TG_OK);
    CHECK_STR(out.p, START("0", "\"type\":\"text\",\"text\":\"\"")
                     DELTA("0", "text_delta", "\"text\":\"so\""));
    tg_buf_free(&out);
}

static void the_sequence_that_stopped(void)
{
    struct api_whole w = { .content = TG_STR("a"), .stop = TG_STR("\n\"") };
#define STOPPED "\"stop_reason\":\"stop_sequence\",\"stop_sequence\":\"\\n\\\"\"," \
                "\"stop_details\":null"
    struct tg_buf out;
    struct api_stream s = { 0 };
    tg_buf_init(&out, 4096);
    ant_messages.whole(&answer, &w, &out);
    CHECK(strstr(out.p, "]," STOPPED ",\"usage\""));
    tg_buf_reset(&out);
    ant_messages.finish(&answer, &s, &w, TG_STR(""), &out);
    CHECK(strstr(out.p, "{" STOPPED "},\"usage\""));
    w.finish = CHAT_FINISH_LENGTH;
    tg_buf_reset(&out);
    ant_messages.whole(&answer, &w, &out);
    CHECK(strstr(out.p, "\"max_tokens\",\"stop_sequence\":null"));
    tg_buf_free(&out);
}

static enum tg_status say(const struct api_answer *a, struct api_stream *s, struct tg_buf *out,
                          enum chat_event_kind kind, const char *text)
{
    struct chat_event e = { .kind = kind, .text = tg_str_of(text) };
    return ant_messages.event(a, s, &e, out);
}

static enum tg_status call(struct api_stream *s, struct tg_buf *out, uint32_t index,
                           const char *name, const char *text)
{
    struct chat_event e = { .kind = CHAT_EVENT_TOOL_CALL, .index = index,
                            .id = tg_str_of(name), .name = tg_str_of(name),
                            .text = tg_str_of(text) };
    return ant_messages.event(&answer, s, &e, out);
}

#define TEXT_BLOCK "\"type\":\"text\",\"text\":\"\""
#define THINKING_BLOCK "\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\""
#define TOOL_BLOCK(name) \
    "\"type\":\"tool_use\",\"id\":\"" name "\",\"name\":\"" name "\",\"input\":{}"

static void streams(void)
{
    struct tg_buf out;
    struct api_stream s = { 0 };
    tg_buf_init(&out, 8192);
    ant_messages.begin(&answer, &out);
    say(&answer, &s, &out, CHAT_EVENT_REASONING, "hm");
    say(&answer, &s, &out, CHAT_EVENT_REASONING, ".");
    say(&answer, &s, &out, CHAT_EVENT_TEXT, "");
    say(&answer, &s, &out, CHAT_EVENT_TEXT, "a\"b");
    CHECK_INT(say(&answer, &s, &out, CHAT_EVENT_USAGE, "x"), TG_OK);
    struct api_whole end = { .finish = CHAT_FINISH_STOP,
                             .usage = { .input = count(4), .output = count(2) } };
    CHECK_INT(ant_messages.finish(&answer, &s, &end, TG_STR("{\"a\":1}"), &out), TG_OK);
    CHECK_STR(out.p,
              EVENT("message_start", ",\"message\":" IDENTITY "],\"stop_reason\":null,"
                    "\"stop_sequence\":null,\"stop_details\":null," USAGE("7", "null", "0", "") "}")
              START("0", THINKING_BLOCK)
              DELTA("0", "thinking_delta", "\"thinking\":\"hm\"")
              DELTA("0", "thinking_delta", "\"thinking\":\".\"")
              DELTA("0", "signature_delta", SIGNED) STOP("0")
              START("1", TEXT_BLOCK) DELTA("1", "text_delta", "\"text\":\"a\\\"b\"") STOP("1")
              END("end_turn", USAGE("4", "null", "2", "")) ": tollgate {\"a\":1}\n\n" LAST);
    tg_buf_free(&out);
}

static void streams_of_calls(void)
{
    struct tg_buf out;
    struct api_stream s = { 0 };
    tg_buf_init(&out, 8192);
    say(&answer, &s, &out, CHAT_EVENT_TEXT, "so");
    call(&s, &out, 0, "f", "");
    call(&s, &out, 0, "", "{\"a\"");
    call(&s, &out, 0, "", ":1}");
    call(&s, &out, 1, "g", "");
    call(&s, &out, 2, "h", "{}");
    CHECK_INT(call(&s, &out, 1, "", "{}"), TG_OK); /* that it has no arguments */
    struct api_whole end = { .finish = CHAT_FINISH_TOOL_CALLS };
    ant_messages.finish(&answer, &s, &end, TG_STR(""), &out);
    CHECK_STR(out.p, START("0", TEXT_BLOCK) DELTA("0", "text_delta", "\"text\":\"so\"") STOP("0")
              START("1", TOOL_BLOCK("f"))
              DELTA("1", "input_json_delta", "\"partial_json\":\"{\\\"a\\\"\"")
              DELTA("1", "input_json_delta", "\"partial_json\":\":1}\"") STOP("1")
              START("2", TOOL_BLOCK("g")) STOP("2")
              START("3", TOOL_BLOCK("h"))
              DELTA("3", "input_json_delta", "\"partial_json\":\"{}\"") STOP("3")
              END("tool_use", USAGE("0", "null", "0", "")) LAST);
    CHECK_INT(call(&s, &out, 0, "", "x"), TG_UNSUPPORTED); /* its block is closed */
    CHECK_INT(out.failed, TG_OK);
    tg_buf_free(&out);
}

static void hidden_thinking_is_a_block_without_text(void)
{
    struct tg_buf out;
    struct api_stream s = { 0 };
    struct api_answer hiding = answer;
    hiding.request = &shy;
    tg_buf_init(&out, 8192);
    say(&hiding, &s, &out, CHAT_EVENT_REASONING, "secret");
    say(&hiding, &s, &out, CHAT_EVENT_TEXT, "x");
    CHECK_STR(out.p, START("0", THINKING_BLOCK) DELTA("0", "signature_delta", SIGNED) STOP("0")
              START("1", TEXT_BLOCK) DELTA("1", "text_delta", "\"text\":\"x\""));
    tg_buf_free(&out);
}

static void errors(void)
{
    static const struct {
        int status;
        const char *type;
    } rows[] = {
        { 400, "invalid_request_error" }, { 401, "authentication_error" },
        { 402, "billing_error" },         { 403, "permission_error" },
        { 404, "not_found_error" },       { 405, "invalid_request_error" },
        { 413, "request_too_large" },     { 415, "invalid_request_error" },
        { 429, "rate_limit_error" },      { 500, "api_error" },
        { 502, "api_error" },             { 503, "overloaded_error" },
        { 504, "timeout_error" },
    };
    struct tg_buf out;
    char want[200];
    tg_buf_init(&out, 4096);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct api_error e = { .status = rows[i].status, .message = "a \"b\"" };
        tg_buf_reset(&out);
        ant_count.error(&e, &out);
        snprintf(want, sizeof(want), "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":"
                 "\"a \\\"b\\\"\"},\"request_id\":null}", rows[i].type);
        CHECK_STR(out.p, want);
    }
    struct api_error e = { .status = 502, .message = "m", .request = "0f" };
    struct api_stream s = { .open = 1 };
    tg_buf_reset(&out);
    ant_messages.failed(&answer, &s, &e, TG_STR("{}"), &out);
    CHECK_STR(out.p, ": tollgate {}\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":"
                     "\"api_error\",\"message\":\"m\"},\"request_id\":\"req_0f\"}\n\n");
    tg_buf_free(&out);
}

static void models_and_counts(void)
{
    static const char *const names[] = { "local", "a/b" };
#define MODEL(name) "{\"type\":\"model\",\"id\":\"" name "\",\"display_name\":\"" name \
                    "\",\"created_at\":\"2023-11-14T22:13:20Z\"}"
    struct tg_buf out;
    tg_buf_init(&out, 4096);
    ant_models_print(names, 2, 1700000000, true, &out);
    CHECK_STR(out.p, "{\"data\":[" MODEL("local") "," MODEL("a/b") "],\"has_more\":true,"
                     "\"first_id\":\"local\",\"last_id\":\"a/b\"}");
    tg_buf_reset(&out);
    ant_models_print(names, 0, 0, false, &out);
    CHECK_STR(out.p, "{\"data\":[],\"has_more\":false,\"first_id\":null,\"last_id\":null}");
    tg_buf_reset(&out);
    ant_count.count(12, &out);
    CHECK_STR(out.p, "{\"input_tokens\":12}");
    tg_buf_free(&out);
}

static void fields_have_their_names(void)
{
    static const struct {
        const char *message, *want;
    } rows[] = {
        { "response_format: none", "output_config.format: none" },
        { "parallel_tool_calls: x", "tool_choice.disable_parallel_tool_use: x" },
        { "tools[3].function.strict: x", "tools[3].strict: x" },
        { "tools[3].function.parameters: x", "tools[3].input_schema: x" },
        { "messages[1].tool_calls: x", "messages[1].content: x" },
        { "messages[1].role: no response_format", "messages[1].role: no response_format" },
        { "no response_format", "no response_format" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct api_error e = { .status = 400 };
        snprintf(e.message, sizeof(e.message), "%s", rows[i].message);
        api_rename_field(&ant_messages, &e);
        CHECK_STR(e.message, rows[i].want);
    }
}

/* Out of memory and out of room are reported, and nothing is lost or leaked. */
static void reports_failures(void)
{
    struct api_whole w = { .content = TG_STR("0123456789") };
    struct tg_buf out;
    tg_buf_init(&out, 64);
    CHECK_INT(ant_messages.whole(&answer, &w, &out), TG_LIMIT);
    tg_buf_free(&out);
    bool succeeded = false;
    for (uint64_t nth = 1; nth < 20 && !succeeded; nth++) {
        struct api_stream s = { 0 };
        tg_buf_init(&out, 4096);
        tg_alloc_fail_nth(nth);
        say(&answer, &s, &out, CHAT_EVENT_TEXT, "x");
        enum tg_status status = ant_messages.finish(&answer, &s, &w, TG_STR("{}"), &out);
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
        CASE(whole_answers),
        CASE(reasons),
        CASE(arguments_that_are_no_input),
        CASE(thoughts_unasked),
        CASE(the_sequence_that_stopped),
        CASE(streams),
        CASE(streams_of_calls),
        CASE(hidden_thinking_is_a_block_without_text),
        CASE(errors),
        CASE(models_and_counts),
        CASE(fields_have_their_names),
        CASE(reports_failures),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
