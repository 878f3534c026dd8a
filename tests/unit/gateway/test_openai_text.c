/* OpenAI's completions: what a request may hold, and what answers and streams look like. */
#include "config/base/json.h"
#include "gateway/api/openai_text.h"
#include "tests/unit/gateway/decode_trial.h"

#define P "\"prompt\":\"hi\""
#define UNSUPPORTED "is not supported in this version"

static void refuses_by_name(void)
{
    static const struct bad rows[] = {
        { "", "", "empty" },
        { "{}", "prompt", "missing" },
        { "{\"prompt\":7}", "prompt", "a string" },
        { "{\"prompt\":[]}", "prompt", "one prompt" },
        { "{\"prompt\":[\"a\",\"b\"]}", "prompt", "one prompt" },
        { "{\"prompt\":[1,2]}", "prompt", "token ids" },
        { "{\"prompt\":[[1,2]]}", "prompt", "token ids" },
        { "{\"prompt\":[true]}", "prompt[0]", "a string" },
        { "{" P ",\"messages\":[]}", "messages", "unknown field" },
        { "{" P ",\"tools\":[]}", "tools", "unknown field" },
        { "{" P ",\"max_tokens\":0}", "max_tokens", "from 1" },
        { "{" P ",\"temperature\":3}", "temperature", "from 0 to 2" },
        { "{" P ",\"n\":2}", "n", UNSUPPORTED },
        { "{" P ",\"best_of\":2}", "best_of", UNSUPPORTED },
        { "{" P ",\"best_of\":0}", "best_of", "from 1 to 20" },
        { "{" P ",\"suffix\":\"s\"}", "suffix", UNSUPPORTED },
        { "{" P ",\"logit_bias\":{\"5\":1}}", "logit_bias", UNSUPPORTED },
        { "{" P ",\"logprobs\":6}", "logprobs", "from 0 to 5" },
        { "{" P ",\"logprobs\":true}", "logprobs", "a number" },
        { "{" P ",\"echo\":1}", "echo", "boolean" },
        { "{" P ",\"echo\":true,\"logprobs\":0}", "echo", "together with logprobs" },
        { "{" P ",\"stream_options\":{}}", "stream_options", "only allowed when stream" },
    };
    CHECK_ALL_BAD(&oai_text, rows);
}

static void honours_fields(void)
{
    struct trial t = accepted(
        &oai_text,
        "{\"model\":\"m\",\"prompt\":[\"a\\u00e4\"],\"suffix\":null,\"max_tokens\":5,"
        "\"temperature\":0.5,\"top_p\":0.5,\"n\":1,\"stream\":true,\"stream_options\":"
        "{\"include_usage\":true},\"logprobs\":2,\"echo\":false,\"stop\":[\"x\"],"
        "\"presence_penalty\":1,\"frequency_penalty\":1,\"best_of\":1,\"logit_bias\":{},"
        "\"user\":\"u\",\"seed\":3}");
    const struct chat_request *r = &t.rq;
    CHECK(is(r->model, "m") && r->stream && r->include_usage && r->max_tokens == 5);
    CHECK(r->n_messages == 1 && r->messages[0].role == CHAT_USER && r->messages[0].n_parts == 1);
    CHECK(is(r->messages[0].parts[0].text, "a\xc3\xa4") && r->n_tools == 0);
    CHECK(r->logprobs && r->top_logprobs == 2 && !r->echo && r->n_stops == 1);
    CHECK(r->sampling.has_seed && r->sampling.has_presence && is(r->user, "u"));
    finish(&t);
    t = accepted(&oai_text, "{\"prompt\":\"\",\"logprobs\":0}");
    CHECK(t.rq.max_tokens == 16 && t.rq.logprobs && !t.rq.top_logprobs && !t.rq.stream);
    finish(&t);
    t = accepted(&oai_text, "{" P ",\"suffix\":\"\",\"echo\":true,\"logprobs\":null}");
    CHECK(t.rq.echo && !t.rq.logprobs);
    finish(&t);
}

static void survives_failing_allocations(void)
{
    static const char body[] = "{\"model\":\"m\",\"prompt\":[\"hi\"],\"stop\":[\"a\",\"b\"]}";
    check_failing_allocations(&oai_text, body, 3);
    check_small_arenas(&oai_text, body);
}

static const struct chat_part said = { .text = { "Say \"", 5 } };
static const struct chat_message message = { .role = CHAT_USER, .parts = &said, .n_parts = 1 };
static struct chat_request request = { .messages = &message, .n_messages = 1, .stream = true };
static const struct api_answer answer = { .id = "cmpl-1", .created_s = 1700000000,
                                          .model = { "m", 1 }, .request = &request };

#define NAMED "{\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"created\":1700000000,"          \
              "\"model\":\"m\""
#define HEAD NAMED ",\"choices\":["
#define CHOICE(text, logprobs, reason)                                                             \
    HEAD "{\"text\":" text ",\"index\":0,\"logprobs\":" logprobs ",\"finish_reason\":" reason "}]"
#define CHUNK(text, logprobs, reason) "data: " CHOICE(text, logprobs, reason) "}\n\n"

static void ask(bool echo, bool usage, uint32_t top)
{
    request.echo = echo;
    request.include_usage = usage;
    request.top_logprobs = top;
}

static void answers(void)
{
    struct tg_buf out;
    tg_buf_init(&out, 4096);
    struct api_whole w = { .content = TG_STR("hi\n"), .reasoning = TG_STR("why"),
                           .finish = CHAT_FINISH_LENGTH,
                           .usage = { .input = { true, 2 }, .output = { true, 3 } } };
    ask(false, false, 0);
    CHECK_INT(oai_text.whole(&answer, &w, &out), TG_OK);
    CHECK_STR(out.p, CHOICE("\"hi\\n\"", "null", "\"length\"") ",\"usage\":{\"prompt_tokens\":2,"
                     "\"completion_tokens\":3,\"total_tokens\":5}}");
    tg_buf_reset(&out);
    ask(true, false, 0);
    w.usage.input.present = false;
    w.finish = CHAT_FINISH_TOOL_CALLS;
    oai_text.whole(&answer, &w, &out);
    CHECK_STR(out.p, CHOICE("\"Say \\\"hi\\n\"", "null", "\"stop\"") "}");
    tg_buf_free(&out);
    tg_buf_init(&out, 64);
    CHECK_INT(oai_text.whole(&answer, &w, &out), TG_LIMIT);
    tg_buf_free(&out);
}

static const struct chat_top tops[] = { { { "a", 1 }, -0.5 }, { { "\xc3", 1 }, -2 },
                                        { { "a", 1 }, -3 } };
static const struct chat_logprob tokens[] = { { { { "a\xc3\xa4", 3 }, -0.5 }, tops, 3 },
                                              { { { "\xc3", 1 }, -2 }, NULL, 0 },
                                              { { { "\xa4", 1 }, -0.25 }, NULL, 0 },
                                              { { { "b", 1 }, -1 }, NULL, 0 } };
#define COLUMNS(tops)                                                                              \
    "{\"tokens\":[\"a\xc3\xa4\",\"bytes:\\\\xc3\",\"bytes:\\\\xa4\",\"b\"],\"token_logprobs\":"    \
    "[-0.5,-2,-0.25,-1],\"top_logprobs\":" tops ",\"text_offset\":[0,2,3,3]}"

static void logprobs(void)
{
    struct tg_buf out;
    tg_buf_init(&out, 4096);
    struct chat_logprobs second = { tokens + 1, 3, NULL }, first = { tokens, 1, &second };
    struct api_whole w = { .content = TG_STR("a"), .logprobs = &first };
    ask(false, false, 0);
    oai_text.whole(&answer, &w, &out);
    CHECK_STR(out.p, CHOICE("\"a\"", COLUMNS("null"), "\"stop\"") "}");
    tg_buf_reset(&out);
    ask(false, false, 3);
    oai_text.whole(&answer, &w, &out);
    CHECK_STR(out.p, CHOICE("\"a\"", COLUMNS("[{\"a\":-0.5,\"bytes:\\\\xc3\":-2},{},{},{}]"),
                            "\"stop\"") "}");
    CHECK_INT(tg_json_scan(tg_buf_str(&out), NULL), TG_OK);
    tg_buf_free(&out);
}

static void streams(void)
{
    struct tg_buf out;
    struct api_stream s = { 0 };
    struct chat_event text = { .kind = CHAT_EVENT_TEXT, .text = TG_STR("a"), .logprobs = tokens,
                               .n_logprobs = 1 };
    struct chat_event more = { .kind = CHAT_EVENT_TEXT, .text = TG_STR("b"),
                               .logprobs = tokens + 3, .n_logprobs = 1 };
    struct chat_event thought = { .kind = CHAT_EVENT_REASONING, .text = TG_STR("t") };
    struct api_whole end = { .usage = { .input = { true, 1 }, .output = { true, 2 } } };
    tg_buf_init(&out, 8192);
    ask(true, true, 0);
    oai_text.begin(&answer, &out);
    oai_text.event(&answer, &s, &thought, &out);
    CHECK_INT(out.n, 0);
    text.n_logprobs = more.n_logprobs = 0;
    oai_text.event(&answer, &s, &text, &out);
    oai_text.event(&answer, &s, &more, &out);
    CHECK_INT(oai_text.finish(&answer, &s, &end, TG_STR("{}"), &out), TG_OK);
#define LATER(text, reason)                                                                        \
    "data: " NAMED ",\"usage\":null,\"choices\":[{\"text\":" text ",\"index\":0,\"logprobs\":" \
    "null,\"finish_reason\":" reason "}]}\n\n"
    CHECK_STR(out.p, LATER("\"Say \\\"\"", "null") LATER("\"a\"", "null") LATER("\"b\"", "null")
              LATER("\"\"", "\"stop\"") "data: " HEAD "],\"usage\":{\"prompt_tokens\":1,"
              "\"completion_tokens\":2,\"total_tokens\":3}}\n\n: tollgate {}\n\ndata: [DONE]\n\n");
    tg_buf_reset(&out);
    ask(false, false, 0);
    s = (struct api_stream){ 0 };
    text.n_logprobs = more.n_logprobs = 1;
    oai_text.event(&answer, &s, &text, &out);
    oai_text.event(&answer, &s, &more, &out);
    CHECK(strstr(out.p, "\"text_offset\":[0]") && strstr(out.p, "\"text_offset\":[2]"));
    tg_buf_reset(&out);
    ask(true, false, 0); /* nothing was said: the prompt is there all the same */
    s = (struct api_stream){ 0 };
    oai_text.finish(&answer, &s, &end, TG_STR(""), &out);
    CHECK_STR(out.p, CHUNK("\"Say \\\"\"", "null", "null") CHUNK("\"\"", "null", "\"stop\"")
              "data: [DONE]\n\n");
    tg_buf_free(&out);
}

static void fields_are_named_as_here(void)
{
    struct api_error e = { .message = "top_logprobs: no" };
    api_rename_field(&oai_text, &e);
    CHECK_STR(e.message, "logprobs: no");
    e = (struct api_error){ .message = "messages: too long" };
    api_rename_field(&oai_text, &e);
    CHECK_STR(e.message, "prompt: too long");
    static const char *const params[][2] = {
        { "messages[0].content", "prompt" }, { "max_completion_tokens", "max_tokens" },
        { "top_p", "top_p" }, { "", "" }, { "[0]", "" },
    };
    for (size_t i = 0; i < sizeof(params) / sizeof(*params); i++) {
        api_rename_param(&oai_text, tg_str_of(params[i][0]), &e);
        CHECK_STR(e.param, params[i][1]);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(refuses_by_name), CASE(honours_fields), CASE(survives_failing_allocations),
        CASE(answers),         CASE(logprobs),       CASE(streams),
        CASE(fields_are_named_as_here),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
