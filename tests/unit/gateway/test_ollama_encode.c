#include "tests/unit/check.h"
#include "config/base/alloc.h"
#include "config/base/json.h"
#include "gateway/api/ollama.h"

static const struct chat_request asked = { .stream = true };
static const struct api_answer answer = { .id = "ollama-1", .created_s = 1700000000,
                                          .created_ms = 1700000000007, .model = { "m\"x", 3 },
                                          .request = &asked };
static struct api_stream stream;

#define HEAD "{\"model\":\"m\\\"x\",\"created_at\":\"2023-11-14T22:13:20.007Z\","
#define SAID(members) HEAD "\"message\":{\"role\":\"assistant\",\"content\":" members "},\"done\":"
#define FLAT(members) HEAD "\"response\":" members ",\"done\":"
#define CALLS "\"\",\"tool_calls\":[{\"id\":\"c1\",\"function\":{\"index\":0,\"name\":\"f\"," \
              "\"arguments\":{\"a\":1.50}}},{\"function\":{\"index\":1,\"name\":\"g\","        \
              "\"arguments\":{}}}]"

static struct chat_count count(uint64_t n)
{
    return (struct chat_count){ true, n };
}

static const struct api_call calls[] = {
    { TG_STR("c1"), TG_STR("f"), TG_STR("{\n \"a\": 1.50 }") },
    { TG_STR(""), TG_STR("g"), TG_STR(" ") },
};

/* Beside the message; without alternatives where there are none. */
static void logprobs(void)
{
    static const struct chat_top top = { { "b", 1 }, -2 };
    static const struct chat_logprob tokens[] = { { { { "a", 1 }, -0.5 }, &top, 1 },
                                                  { { { "b", 1 }, -2 }, NULL, 0 } };
#define TOKENS ",\"logprobs\":[{\"token\":\"a\",\"logprob\":-0.5,\"bytes\":[97],"           \
               "\"top_logprobs\":[{\"token\":\"b\",\"logprob\":-2,\"bytes\":[98]}]},"       \
               "{\"token\":\"b\",\"logprob\":-2,\"bytes\":[98]}]}"
    struct tg_buf out;
    tg_buf_init(&out, 4096);
    struct chat_event text = { .kind = CHAT_EVENT_TEXT, .text = TG_STR("ab"), .logprobs = tokens,
                               .n_logprobs = 2 };
    oll_chat.event(&answer, &stream, &text, &out);
    CHECK_STR(out.p, SAID("\"ab\"") "false" TOKENS "\n");
    tg_buf_reset(&out);
    struct chat_logprobs list = { tokens, 2, NULL };
    struct api_whole w = { .content = TG_STR("ab"), .logprobs = &list };
    oll_generate.whole(&answer, &w, &out);
    CHECK_STR(out.p, FLAT("\"ab\"") "true,\"done_reason\":\"stop\"" TOKENS);
    tg_buf_free(&out);
}

static void whole_answers(void)
{
    struct tg_buf out;
    tg_buf_init(&out, 4096);
    struct api_whole text = {
        .content = TG_STR("hi\n\xc3\xa4"),
        .reasoning = TG_STR("why"),
        .finish = CHAT_FINISH_STOP,
        .usage = { .input = count(5), .output = count(0) },
        .times = { 40, 10, 20, 9 },
    };
    CHECK_INT(oll_chat.whole(&answer, &text, &out), TG_OK);
    CHECK_STR(out.p, SAID("\"hi\\n\xc3\xa4\",\"thinking\":\"why\"")
              "true,\"done_reason\":\"stop\",\"total_duration\":40,\"load_duration\":10,"
              "\"prompt_eval_count\":5,\"prompt_eval_duration\":20,\"eval_count\":0,"
              "\"eval_duration\":9}");
    tg_buf_reset(&out);
    struct api_whole called = { .calls = calls, .n_calls = 2, .finish = CHAT_FINISH_TOOL_CALLS,
                                .usage = { .output = count(3) }, .times = { .total = 7 } };
    CHECK_INT(oll_chat.whole(&answer, &called, &out), TG_OK);
    CHECK_STR(out.p, SAID(CALLS) "true,\"done_reason\":\"stop\",\"total_duration\":7,"
                                 "\"eval_count\":3}");
    tg_buf_reset(&out);
    struct api_whole cut = { .content = TG_STR("a"), .finish = CHAT_FINISH_LENGTH };
    CHECK_INT(oll_generate.whole(&answer, &cut, &out), TG_OK);
    CHECK_STR(out.p, FLAT("\"a\"") "true,\"done_reason\":\"length\"}");
    tg_buf_reset(&out);
    cut.finish = CHAT_FINISH_FILTER;
    oll_generate.whole(&answer, &cut, &out);
    CHECK_STR(out.p, FLAT("\"a\"") "true,\"done_reason\":\"content_filter\"}");
    tg_buf_free(&out);
}

static void thoughts_that_are_not_wanted(void)
{
    const struct chat_request off = { .hide_thinking = true };
    struct api_answer hidden = answer;
    hidden.request = &off;
    struct api_whole whole = { .reasoning = TG_STR("t"), .content = TG_STR("a") };
    struct chat_event thought = { .kind = CHAT_EVENT_REASONING, .text = TG_STR("t") };
    struct tg_buf out;
    tg_buf_init(&out, 8192);
    oll_chat.whole(&hidden, &whole, &out);
    CHECK(strstr(out.p, "\"content\":\"a\"}") && !strstr(out.p, "thinking"));
    tg_buf_reset(&out);
    CHECK_INT(oll_chat.event(&hidden, &stream, &thought, &out), TG_OK);
    CHECK_INT(out.n, 0);
    tg_buf_free(&out);
}

static void streams(void)
{
    struct tg_buf out;
    tg_buf_init(&out, 8192);
    struct chat_event thought = { .kind = CHAT_EVENT_REASONING, .text = TG_STR("t") };
    struct chat_event text = { .kind = CHAT_EVENT_TEXT, .text = TG_STR("a\"b") };
    struct chat_event call = { .kind = CHAT_EVENT_TOOL_CALL, .id = TG_STR("c"),
                               .name = TG_STR("f") };
    oll_chat.begin(&answer, &out);
    oll_chat.beat(&answer, &out);
    oll_chat.event(&answer, &stream, &thought, &out);
    oll_chat.event(&answer, &stream, &text, &out);
    CHECK_INT(oll_chat.event(&answer, &stream, &call, &out), TG_OK);
    struct api_whole end = { .calls = calls, .n_calls = 2, .finish = CHAT_FINISH_TOOL_CALLS,
                             .usage = { .input = count(1) }, .times = { .total = 3 } };
    CHECK_INT(oll_chat.finish(&answer, &stream, &end, TG_STR("{\"a\":1}"), &out), TG_OK);
    CHECK_STR(out.p, SAID("\"\"") "false}\n" SAID("\"\",\"thinking\":\"t\"") "false}\n"
              SAID("\"a\\\"b\"") "false}\n" SAID(CALLS) "false}\n"
              SAID("\"\"") "true,\"done_reason\":\"stop\",\"total_duration\":3,"
              "\"prompt_eval_count\":1,\"tollgate\":{\"a\":1}}\n");
    tg_buf_reset(&out);
    oll_generate.begin(&answer, &out);
    oll_generate.beat(&answer, &out);
    oll_generate.event(&answer, &stream, &thought, &out);
    oll_generate.event(&answer, &stream, &text, &out);
    struct api_whole plain = { .finish = CHAT_FINISH_LENGTH };
    CHECK_INT(oll_generate.finish(&answer, &stream, &plain, TG_STR(""), &out), TG_OK);
    CHECK_STR(out.p, FLAT("\"\"") "false}\n" FLAT("\"\",\"thinking\":\"t\"") "false}\n"
              FLAT("\"a\\\"b\"") "false}\n" FLAT("\"\"") "true,\"done_reason\":\"length\"}\n");
    tg_buf_free(&out);
}

/* This dialect has no words for arguments that are no object. */
static void bad_arguments_are_told(void)
{
    static const char *const texts[] = { "[]", "{", "1", "null", "{\"a\":1}{}",
                                         "{\"a\":1,\"a\":2}" };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct tg_buf out;
        struct api_call call = { TG_STR("c"), TG_STR("f"), tg_str_of(texts[i]) };
        struct api_whole w = { .calls = &call, .n_calls = 1 };
        tg_buf_init(&out, 4096);
        CHECK_INT(oll_chat.whole(&answer, &w, &out), TG_INVALID);
        CHECK_INT(oll_chat.finish(&answer, &stream, &w, TG_STR("{}"), &out), TG_INVALID);
        CHECK_INT(oll_generate.finish(&answer, &stream, &w, TG_STR("{}"), &out), TG_INVALID);
        tg_buf_free(&out);
    }
}

static void loads(void)
{
    struct tg_buf out;
    tg_buf_init(&out, 4096);
    oll_chat.idle(&answer, &out);
    oll_generate.idle(&answer, &out);
    CHECK_STR(out.p, SAID("\"\"") "true,\"done_reason\":\"load\"}\n"
                     FLAT("\"\"") "true,\"done_reason\":\"load\"}\n");
    tg_buf_free(&out);
}

static void errors(void)
{
    static const struct {
        const char *message, *want;
    } rows[] = {
        { "a \"b\"", "a \\\"b\\\"" },
        { "response_format: no", "format: no" },
        { "presence_penalty: no", "options.presence_penalty: no" },
        { "frequency_penalty: no", "options.frequency_penalty: no" },
        { "response_formats: no", "response_formats: no" },
        { "presence_penalty", "presence_penalty" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct api_error e = { .status = 400 };
        char want[256];
        struct tg_buf out;
        snprintf(e.message, sizeof(e.message), "%s", rows[i].message);
        tg_buf_init(&out, 4096);
        oll_error_print(&e, &out);
        snprintf(want, sizeof(want), "{\"error\":\"%s\"}", rows[i].want);
        CHECK_STR(out.p, want);
        tg_buf_reset(&out);
        oll_chat.failed(&answer, &stream, &e, TG_STR("{\"b\":2}"), &out);
        snprintf(want, sizeof(want), "{\"error\":\"%s\",\"tollgate\":{\"b\":2}}\n", rows[i].want);
        CHECK_STR(out.p, want);
        tg_buf_free(&out);
    }
}

static void longest_message_fits(void)
{
    struct api_error e = { .status = 400 };
    struct tg_buf out;
    memset(e.message, 'x', sizeof(e.message) - 1);
    memcpy(e.message, "presence_penalty:", 17);
    tg_buf_init(&out, 4096);
    oll_error_print(&e, &out);
    CHECK_INT(out.n, sizeof(e.message) - 1 + strlen("options.") + strlen("{\"error\":\"\"}"));
    tg_buf_free(&out);
}

static const struct oll_model model = { .name = "default", .family = "gemma4",
                                        .quantization = "Q8_0", .digest = "ab",
                                        .parameters = 4137928, .bytes = 99,
                                        .modified_s = 1700000000, .context = 512,
                                        .thinks = true, .on_gpu = true };
#define DETAILS(size) "\"details\":{\"parent_model\":\"\",\"format\":\"gguf\","               \
                      "\"family\":\"gemma4\",\"families\":[\"gemma4\"],\"parameter_size\":\"" size \
                      "\",\"quantization_level\":\"Q8_0\"}"
#define NAMES "{\"name\":\"default:latest\",\"model\":\"default:latest\","

static void models(void)
{
    struct tg_buf out;
    tg_buf_init(&out, 8192);
    oll_tags_print(&model, 1, &out);
    CHECK_STR(out.p, "{\"models\":[" NAMES "\"modified_at\":\"2023-11-14T22:13:20.000Z\","
                     "\"size\":99,\"digest\":\"ab\"," DETAILS("4.1M") "}]}");
    tg_buf_reset(&out);
    oll_ps_print(&model, &out);
    CHECK_STR(out.p, "{\"models\":[" NAMES "\"size\":99,\"digest\":\"ab\"," DETAILS("4.1M")
                     ",\"expires_at\":\"9000-01-01T00:00:00Z\",\"size_vram\":99,"
                     "\"context_length\":512}]}");
    tg_buf_reset(&out);
    oll_show_print(&model, &out);
    CHECK_STR(out.p, "{" DETAILS("4.1M") ",\"model_info\":{\"general.architecture\":\"gemma4\","
                     "\"general.parameter_count\":4137928,\"gemma4.context_length\":512},"
                     "\"capabilities\":[\"completion\",\"tools\",\"thinking\"],"
                     "\"modified_at\":\"2023-11-14T22:13:20.000Z\"}");
    struct oll_model plain = model;
    plain.thinks = false;
    tg_buf_reset(&out);
    oll_show_print(&plain, &out);
    CHECK(strstr(out.p, "\"capabilities\":[\"completion\",\"tools\"],"));
    tg_buf_reset(&out);
    oll_show_print(&(struct oll_model){ .modified_s = 1700000000, .remote = TG_STR("a\"b") }, &out);
    CHECK_STR(out.p, "{\"details\":{\"parent_model\":\"\",\"format\":\"\",\"family\":\"\","
                     "\"families\":[],\"parameter_size\":\"\",\"quantization_level\":\"\"},"
                     "\"model_info\":{},\"remote_model\":\"a\\\"b\",\"capabilities\":["
                     "\"completion\",\"tools\",\"vision\",\"thinking\",\"embedding\"],"
                     "\"modified_at\":\"2023-11-14T22:13:20.000Z\"}");
    tg_buf_reset(&out);
    oll_version_print("1.2", &out);
    CHECK_STR(out.p, "{\"version\":\"" OLL_API_VERSION "\",\"tollgate\":\"1.2\"}");
    static const struct {
        uint64_t n;
        const char *text;
    } sizes[] = { { 0, "\"\"" }, { 999, "\"999\"" }, { 1000, "\"1.0K\"" },
                  { 31000000000, "\"31.0B\"" } };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct oll_model m = model;
        char want[64];
        m.parameters = sizes[i].n;
        tg_buf_reset(&out);
        oll_tags_print(&m, 1, &out);
        snprintf(want, sizeof(want), "\"parameter_size\":%s,", sizes[i].text);
        CHECK(strstr(out.p, want));
        CHECK_INT(tg_json_scan(tg_buf_str(&out), NULL), TG_OK);
    }
    tg_buf_free(&out);
}

/* Out of memory and out of room are reported, and nothing is lost or leaked. */
static void reports_failures(void)
{
    struct api_whole w = { .content = TG_STR("0123456789"), .calls = calls, .n_calls = 2 };
    struct tg_buf out;
    tg_buf_init(&out, 64);
    CHECK_INT(oll_chat.whole(&answer, &w, &out), TG_LIMIT);
    tg_buf_reset(&out);
    CHECK_INT(oll_chat.finish(&answer, &stream, &w, TG_STR(""), &out), TG_LIMIT);
    tg_buf_free(&out);
    bool succeeded = false;
    size_t failed = 0;
    for (uint64_t nth = 1; nth < 60 && !succeeded; nth++) {
        tg_buf_init(&out, 4096);
        tg_alloc_fail_nth(nth);
        enum tg_status status = oll_chat.finish(&answer, &stream, &w, TG_STR("{}"), &out);
        tg_alloc_fail_nth(0);
        tg_buf_free(&out);
        succeeded = status == TG_OK;
        failed += status == TG_NOMEM;
        CHECK(succeeded || status == TG_NOMEM);
    }
    CHECK(succeeded && failed > 1);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(logprobs),
        CASE(whole_answers),
        CASE(thoughts_that_are_not_wanted),
        CASE(streams),
        CASE(bad_arguments_are_told),
        CASE(loads),
        CASE(errors),
        CASE(longest_message_fits),
        CASE(models),
        CASE(reports_failures),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
