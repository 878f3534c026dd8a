#include "gateway/api/openai_chat.h"
#include "tests/unit/gateway/decode_trial.h"
#include "tests/unit/gateway/media_part.h"

static struct trial decode(struct tg_str body)
{
    return decode_as(&oai_chat, body);
}

#define M "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define MSG(members) "{\"messages\":[{" members "}]}"
#define USER(content) MSG("\"role\":\"user\",\"content\":" content)
#define CALL "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\","      \
             "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}"
#define TOOL(function) "{" M ",\"tools\":[{\"type\":\"function\",\"function\":" function "}]}"
#define UNSUPPORTED "is not supported in this version"

static void refuses_what_is_no_request(void)
{
    static const struct bad rows[] = {
        { "", "", "empty" },
        { " \r\n", "", "empty" },
        { "{", "", "line 1, column 2" },
        { "[]", "", "not an array" },
        { "null", "", "object" },
        { "{} {}", "", "column 4" },
        { "{\"model\":\"a\",\"model\":\"b\"}", "", "duplicate key" },
        { "{\"model\":\"\xff\"}", "", "UTF-8" },
        { "{\"model\":\"\\ud800\"}", "", "surrogate" },
        { "{\"model\":\"\\u0000\"}", "", "U+0000" },
        { "{\"seed\":99999999999999999999}", "", "64 bits" },
        { "{}", "messages", "missing" },
        { "{\"messages\":null}", "messages", "missing" },
        { "{\"messages\":{}}", "messages", "an array was expected, not an object" },
        { "{\"messages\":[]}", "messages", "empty" },
        { "{\"messages\":[1]}", "messages[0]", "an object was expected, not a number" },
        { "{" M ",\"colour\":1}", "colour", "unknown field" },
    };
    CHECK_ALL_BAD(&oai_chat, rows);
}

static void refuses_wrong_values(void)
{
    static const struct bad rows[] = {
        { "{" M ",\"model\":7}", "model", "a string was expected, not a number" },
        { "{" M ",\"model\":\"\"}", "model", "empty" },
        { "{" M ",\"stream\":1}", "stream", "a boolean was expected" },
        { "{" M ",\"stream_options\":{\"include_usage\":true}}", "stream_options", "only allowed" },
        { "{" M ",\"stream\":true,\"stream_options\":{\"include_usage\":1}}",
          "stream_options.include_usage", "boolean" },
        { "{" M ",\"stream\":true,\"stream_options\":{\"x\":1}}", "stream_options.x", "unknown" },
        { "{" M ",\"stream\":true,\"stream_options\":[]}", "stream_options", "object" },
        { "{" M ",\"temperature\":2.01}", "temperature", "from 0 to 2" },
        { "{" M ",\"temperature\":-0.1}", "temperature", "from 0 to 2" },
        { "{" M ",\"temperature\":\"1\"}", "temperature", "a number" },
        { "{" M ",\"top_p\":0}", "top_p", "above 0" },
        { "{" M ",\"top_p\":1.1}", "top_p", "from 0 to 1" },
        { "{" M ",\"top_k\":1.5}", "top_k", "whole number" },
        { "{" M ",\"top_k\":-2}", "top_k", "whole number" },
        { "{" M ",\"min_p\":2}", "min_p", "from 0 to 1" },
        { "{" M ",\"seed\":0.5}", "seed", "whole" },
        { "{" M ",\"seed\":9007199254740994}", "seed", "whole" },
        { "{" M ",\"presence_penalty\":3}", "presence_penalty", "from -2 to 2" },
        { "{" M ",\"frequency_penalty\":-2.5}", "frequency_penalty", "from -2 to 2" },
        { "{" M ",\"max_tokens\":0}", "max_tokens", "whole number from 1" },
        { "{" M ",\"max_tokens\":-5}", "max_tokens", "whole" },
        { "{" M ",\"max_tokens\":1e300}", "max_tokens", "whole" },
        { "{" M ",\"max_tokens\":1048577}", "max_tokens", "1048576" },
        { "{" M ",\"max_completion_tokens\":1.5}", "max_completion_tokens", "whole" },
        { "{" M ",\"max_tokens\":5,\"max_completion_tokens\":6}", "max_completion_tokens",
          "differ" },
        { "{" M ",\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}", "stop", "more than 4" },
        { "{" M ",\"stop\":[\"a\",\"\"]}", "stop[1]", "empty" },
        { "{" M ",\"stop\":[1]}", "stop[0]", "a string" },
        { "{" M ",\"stop\":5}", "stop", "a string or an array" },
        { "{" M ",\"user\":5}", "user", "a string" },
        { "{" M ",\"n\":0}", "n", "whole" },
        { "{" M ",\"reasoning_effort\":\"most\"}", "reasoning_effort", "none, minimal, low" },
        { "{" M ",\"logprobs\":1}", "logprobs", "boolean" },
        { "{" M ",\"logprobs\":true,\"top_logprobs\":21}", "top_logprobs", "0 to 20" },
        { "{" M ",\"top_logprobs\":3}", "top_logprobs", "only allowed when logprobs" },
        { "{" M ",\"reasoning_effort\":\"most\"}", "reasoning_effort", "none, minimal, low" },
        { "{" M ",\"verbosity\":\"none\"}", "verbosity", "medium, low, high" },
        { "{" M ",\"prompt_cache_retention\":\"1h\"}", "prompt_cache_retention", "24h" },
        { "{" M ",\"response_format\":{}}", "response_format.type", "missing" },
        { "{" M ",\"response_format\":{\"type\":\"xml\"}}", "response_format.type", "one of" },
        { "{" M ",\"tool_choice\":\"x\"}", "tool_choice", "one of: auto, none, required" },
        { "{" M ",\"tool_choice\":\"required\"}", "tool_choice", "no tools are given" },
        { "{" M ",\"tool_choice\":{\"type\":\"x\"}}", "tool_choice.type", "one of: function" },
        { "{" M ",\"tool_choice\":{\"type\":\"custom\",\"custom\":{\"name\":\"f\"}}}",
          "tool_choice.type", UNSUPPORTED },
        { "{" M ",\"tool_choice\":{\"type\":\"function\"}}", "tool_choice.function", "missing" },
        { "{" M ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"\"}}}",
          "tool_choice.function.name", "empty" },
        { "{" M ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"g\"}},"
          "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]}",
          "tool_choice", "no tool is named \"g\"" },
        { "{" M ",\"parallel_tool_calls\":0}", "parallel_tool_calls", "boolean" },
        { TOOL("{\"name\":\"f\",\"strict\":1}"), "tools[0].function.strict", "boolean" },
        { "{" M ",\"response_format\":{\"type\":\"text\",\"json_schema\":{}}}",
          "response_format.json_schema", "unknown" },
        { "{" M ",\"response_format\":{\"type\":\"json_schema\"}}",
          "response_format.json_schema", "missing" },
        { "{" M ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}}}",
          "response_format.json_schema", "no name" },
        { "{" M ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":"
          "{\"name\":\"a b\"}}}", "response_format.json_schema.name", "letters" },
        { "{" M ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":"
          "{\"name\":\"a\",\"schema\":[]}}}", "response_format.json_schema.schema", "object" },
        { "{" M ",\"modalities\":[3]}", "modalities[0]", "a string" },
    };
    CHECK_ALL_BAD(&oai_chat, rows);
}

static void refuses_by_name_what_is_not_built(void)
{
    static const struct bad rows[] = {
        { "{" M ",\"n\":2}", "n", "n " UNSUPPORTED },
        { "{" M ",\"logit_bias\":{\"5\":1}}", "logit_bias", UNSUPPORTED },
        { "{" M ",\"audio\":{}}", "audio", UNSUPPORTED },
        { "{" M ",\"modalities\":[\"text\",\"audio\"]}", "modalities[1]", UNSUPPORTED },
        { "{" M ",\"prediction\":{}}", "prediction", UNSUPPORTED },
        { "{" M ",\"web_search_options\":{}}", "web_search_options", UNSUPPORTED },
        { "{" M ",\"functions\":[]}", "functions", UNSUPPORTED },
        { "{" M ",\"function_call\":\"auto\"}", "function_call", UNSUPPORTED },
        { "{" M ",\"store\":true}", "store", UNSUPPORTED },
        { "{" M ",\"metadata\":{\"a\":\"b\"}}", "metadata", UNSUPPORTED },
        { "{" M ",\"service_tier\":\"flex\"}", "service_tier", UNSUPPORTED },
        { "{" M ",\"prompt_cache_retention\":\"24h\"}", "prompt_cache_retention", UNSUPPORTED },
        { "{" M ",\"prompt_cache_options\":{}}", "prompt_cache_options", UNSUPPORTED },
        { "{" M ",\"moderation\":{}}", "moderation", UNSUPPORTED },
        { "{" M ",\"tools\":[{\"type\":\"custom\"}]}", "tools[0].type", UNSUPPORTED },
        { USER("[{\"type\":\"file\",\"file\":{}}]"), "messages[0].content[0].type",
          "file parts are not supported" },
        { USER("[{\"type\":\"image_url\",\"image_url\":{\"url\":\"u\",\"detail\":\"fine\"}}]"),
          "messages[0].content[0].image_url.detail", "one of: auto, low, high" },
        { USER("[{\"type\":\"refusal\",\"refusal\":\"no\"}]"), "messages[0].content[0].type",
          "only messages of the assistant" },
        { MSG("\"role\":\"assistant\",\"refusal\":7"), "messages[0].refusal", "a string" },
        { MSG("\"role\":\"assistant\",\"content\":[{\"type\":\"refusal\"}]"),
          "messages[0].content[0].refusal", "is missing" },
        { MSG("\"role\":\"assistant\",\"content\":null,\"refusal\":\"\""), "messages[0].content",
          "is missing" },
    };
    CHECK_ALL_BAD(&oai_chat, rows);
}

static void refuses_bad_messages(void)
{
    static const struct bad rows[] = {
        { MSG("\"content\":\"a\""), "messages[0].role", "missing" },
        { MSG("\"role\":3,\"content\":\"a\""), "messages[0].role", "a string" },
        { MSG("\"role\":\"wizard\",\"content\":\"a\""), "messages[0].role", "\"wizard\"" },
        { MSG("\"role\":\"0123456789012345678901234567890123456789012345678901234567890123"
              "\xC3\xA9\""), "messages[0].role", "90123\"" }, /* cut between characters */
        { MSG("\"role\":\"x12345678901234567890123456789012345678901234567890123456789012"
              "\xC3\xA9z\""), "messages[0].role", "89012\"" },
        { MSG("\"role\":\"function\",\"content\":\"a\""), "messages[0].role", "use \"tool\"" },
        { MSG("\"role\":\"user\""), "messages[0].content", "missing" },
        { USER("null"), "messages[0].content", "missing" },
        { USER("5"), "messages[0].content", "a string or an array of parts" },
        { USER("[]"), "messages[0].content", "empty" },
        { USER("[\"a\"]"), "messages[0].content[0]", "an object" },
        { USER("[{}]"), "messages[0].content[0].type", "missing" },
        { USER("[{\"type\":\"smell\"}]"), "messages[0].content[0].type", "\"smell\"" },
        { USER("[{\"type\":\"text\"}]"), "messages[0].content[0].text", "missing" },
        { USER("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":1}]"),
          "messages[0].content[1].text", "a string was expected, not a number" },
        { USER("[{\"type\":\"text\",\"text\":\"a\",\"x\":1}]"), "messages[0].content[0].x",
          "unknown" },
        { USER("[{\"type\":\"image_url\"}]"), "messages[0].content[0].image_url", "missing" },
        { USER("[{\"type\":\"image_url\",\"image_url\":{}}]"),
          "messages[0].content[0].image_url.url", "missing" },
        { USER("[{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"AA\"}}]"),
          "messages[0].content[0].input_audio.format", "missing" },
        { USER("[{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"\",\"format\":\"wav\"}}]"),
          "messages[0].content[0].input_audio.data", "empty" },
        { USER("[{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"AA\",\"format\":\"a/b\"}}]"),
          "messages[0].content[0].input_audio.format", "one of: wav, mp3" },
        { USER("[{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"AA\",\"format\":\"wav\"}}]"),
          "messages[0].content[0].input_audio.data", "said to be audio/wav" },
        { USER("[{\"type\":\"image_url\",\"image_url\":{\"url\":\"gs://b/i\"}}]"),
          "messages[0].content[0].image_url.url", "begin with https://" },
        { USER("[{\"type\":\"video_url\",\"video_url\":{\"url\":\"data:image/png;base64,AA==\"}}]"),
          "messages[0].content[0].video_url.url", "one video of these" },
        { MSG("\"role\":\"system\",\"content\":[{\"type\":\"image_url\",\"image_url\":"
              "{\"url\":\"u\"}}]"), "messages[0].content[0].type", "only have text" },
        { MSG("\"role\":\"user\",\"content\":\"a\",\"tool_calls\":[]"), "messages[0].tool_calls",
          "unknown" },
        { MSG("\"role\":\"user\",\"content\":\"a\",\"name\":\"\""), "messages[0].name", "empty" },
        { MSG("\"role\":\"assistant\""), "messages[0].content", "missing" },
        { MSG("\"role\":\"assistant\",\"tool_calls\":{}"), "messages[0].content", "missing" },
        { MSG("\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":{}"),
          "messages[0].tool_calls", "an array" },
        { MSG("\"role\":\"assistant\",\"tool_calls\":[{}]"), "messages[0].tool_calls[0].id",
          "missing" },
        { MSG("\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\",\"type\":\"custom\"}]"),
          "messages[0].tool_calls[0].type", UNSUPPORTED },
        { MSG("\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\","
              "\"arguments\":{}}}]"), "messages[0].tool_calls[0].function.arguments", "a string" },
        { MSG("\"role\":\"assistant\",\"reasoning\":5"), "messages[0].reasoning", "a string or" },
        { MSG("\"role\":\"assistant\",\"reasoning\":[{\"a\":1}]"), "messages[0].reasoning[0]",
          "text" },
        { MSG("\"role\":\"assistant\",\"reasoning\":\"a\",\"reasoning_content\":\"b\""),
          "messages[0].reasoning", "differs" },
        { MSG("\"role\":\"tool\",\"content\":\"a\""), "messages[0].tool_call_id", "missing" },
        { MSG("\"role\":\"tool\",\"content\":\"a\",\"tool_call_id\":\"c1\""),
          "messages[0].tool_call_id", "no tool call" },
        { "{\"messages\":[" CALL ",{\"role\":\"tool\",\"tool_call_id\":\"c2\",\"content\":\"\"}]}",
          "messages[1].tool_call_id", "no tool call" },
        { "{\"messages\":[" CALL ",{\"role\":\"tool\",\"tool_call_id\":\"c1\"}]}",
          "messages[1].content", "missing" },
    };
    CHECK_ALL_BAD(&oai_chat, rows);
}

static void refuses_bad_tools(void)
{
    static const struct bad rows[] = {
        { "{" M ",\"tools\":{}}", "tools", "an array" },
        { "{" M ",\"tools\":[1]}", "tools[0]", "an object" },
        { "{" M ",\"tools\":[{}]}", "tools[0].type", "missing" },
        { "{" M ",\"tools\":[{\"type\":\"function\"}]}", "tools[0].function", "missing" },
        { "{" M ",\"tools\":[{\"type\":\"function\",\"x\":1}]}", "tools[0].x", "unknown" },
        { TOOL("{}"), "tools[0].function.name", "missing" },
        { TOOL("{\"name\":\"a b\"}"), "tools[0].function.name", "letters" },
        { TOOL("{\"name\":\"f\",\"parameters\":[]}"), "tools[0].function.parameters", "an object" },
        { TOOL("{\"name\":\"f\",\"description\":1}"), "tools[0].function.description", "string" },
        { TOOL("{\"name\":\"f\"}},{\"type\":\"function\",\"function\":{\"name\":\"f\"}"),
          "tools[1].function.name", "taken" },
    };
    CHECK_ALL_BAD(&oai_chat, rows);
}

static void honours_fields(void)
{
    struct trial t = decode(TG_STR(
        "{" M ",\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true,"
        "\"include_obfuscation\":false},\"temperature\":0,\"top_p\":0.5,\"top_k\":-1,\"min_p\":0.1,"
        "\"max_tokens\":7,\"max_completion_tokens\":7,\"stop\":[\"a\",\"\\u00e4\"],\"seed\":-3,"
        "\"presence_penalty\":-2,\"frequency_penalty\":2,\"safety_identifier\":\"s\","
        "\"user\":\"u\","
        "\"n\":1,\"reasoning_effort\":\"low\",\"response_format\":{\"type\":\"text\"},"
        "\"modalities\":[\"text\"],\"store\":false,\"metadata\":{},\"logit_bias\":null,"
        "\"logprobs\":false,\"top_logprobs\":null,\"parallel_tool_calls\":true,"
        "\"tool_choice\":\"auto\",\"prompt_cache_key\":\"k\",\"service_tier\":\"auto\","
        "\"verbosity\":\"medium\",\"prompt_cache_retention\":\"in_memory\",\"audio\":null}"));
    const struct chat_sampling *s = &t.rq.sampling;
    CHECK_STR(t.err.message, "");
    CHECK_INT(t.status, TG_OK);
    CHECK(is(t.rq.model, "m") && t.rq.stream && t.rq.include_usage && t.rq.thinking);
    CHECK(s->has_temperature && s->temperature == 0.0 && s->has_top_p && s->top_p == 0.5);
    CHECK(s->has_top_k && s->top_k == 0 && s->has_min_p && s->min_p == 0.1);
    CHECK(s->has_seed && s->seed == (uint64_t)-3 && t.rq.max_tokens == 7);
    CHECK(s->has_presence && s->presence == -2.0 && s->has_frequency && s->frequency == 2.0);
    CHECK(t.rq.n_stops == 2 && is(t.rq.stop[0], "a") && is(t.rq.stop[1], "\xc3\xa4"));
    CHECK(is(t.rq.user, "u") && t.rq.n_tools == 0);
    CHECK(is(t.rq.effort, "low") && !t.rq.verbosity.n);
    finish(&t);
    t = decode(TG_STR("{" M "}"));
    CHECK_INT(t.status, TG_OK);
    CHECK(!t.rq.model.n && !t.rq.stream && !t.rq.thinking && !t.rq.max_tokens && !t.rq.n_stops);
    CHECK(!t.rq.sampling.has_temperature && !t.rq.sampling.has_seed && !t.rq.sampling.has_top_k);
    CHECK(t.rq.n_messages == 1 && t.rq.messages[0].role == CHAT_USER);
    CHECK(t.rq.messages[0].n_parts == 1 && is(t.rq.messages[0].parts[0].text, "hi"));
    finish(&t);
    t = decode(TG_STR("{" M ",\"top_logprobs\":20,\"logprobs\":true}"));
    CHECK(t.status == TG_OK && t.rq.logprobs && t.rq.top_logprobs == 20);
    finish(&t);
    t = decode(TG_STR("{" M ",\"reasoning_effort\":\"none\",\"stop\":\"x\",\"top_k\":40}"));
    CHECK(t.status == TG_OK && !t.rq.thinking && t.rq.n_stops == 1 && t.rq.sampling.top_k == 40);
    CHECK(is(t.rq.effort, "none"));
    finish(&t);
    t = decode(TG_STR("{" M ",\"reasoning_effort\":\"max\",\"verbosity\":\"high\"}"));
    CHECK(t.rq.thinking && is(t.rq.effort, "max") && is(t.rq.verbosity, "high"));
    finish(&t);
}

static void honours_formats(void)
{
    struct trial t = decode(TG_STR("{" M ",\"response_format\":{\"type\":\"json_object\"},"
                                   "\"parallel_tool_calls\":false}"));
    CHECK_INT(t.status, TG_OK);
    CHECK(t.rq.format == CHAT_FORMAT_JSON && t.rq.one_call);
    finish(&t);
    t = decode(TG_STR("{" M ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
                      "\"name\":\"n\",\"description\":\"d\",\"strict\":true,\"schema\":"
                      "{\"type\": \"object\"}}}}"));
    CHECK_INT(t.status, TG_OK);
    CHECK(t.rq.format == CHAT_FORMAT_SCHEMA && is(t.rq.schema.name, "n"));
    CHECK(is(t.rq.schema.description, "d") && t.rq.schema.has_strict && t.rq.schema.strict);
    CHECK(is(t.rq.schema.text, "{\"type\":\"object\"}"));
    finish(&t);
    t = decode(TG_STR("{" M ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
                      "\"name\":\"n\"}}}"));
    CHECK(t.status == TG_OK && is(t.rq.schema.text, "{}") && !t.rq.schema.has_strict);
    finish(&t);
}

static void honours_choices(void)
{
    static const char tools[] = "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
                                "\"strict\":true}}]";
    struct tg_buf text;
    tg_buf_init(&text, 4096);
    tg_buf_addf(&text, "{\"tool_choice\":\"required\"," M ",%s}", tools);
    struct trial t = decode(tg_buf_str(&text));
    CHECK(t.status == TG_OK && t.rq.tool_choice == CHAT_CHOICE_REQUIRED);
    CHECK(t.rq.tools[0].has_strict && t.rq.tools[0].strict);
    finish(&t);
    tg_buf_reset(&text);
    tg_buf_addf(&text, "{\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}},"
                M ",%s}", tools);
    t = decode(tg_buf_str(&text));
    CHECK(t.status == TG_OK && t.rq.tool_choice == CHAT_CHOICE_NAMED && is(t.rq.tool_name, "f"));
    finish(&t);
    tg_buf_free(&text);
}

#define TWO "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},"             \
            "{\"type\":\"function\",\"function\":{\"name\":\"g\"}}]"
#define NAMED(name) "{\"type\":\"function\",\"function\":{\"name\":\"" name "\"}}"
#define ALLOWED(inside) "\"tool_choice\":{\"type\":\"allowed_tools\"" inside "}"
#define ALLOW(mode, list) \
    ALLOWED(",\"allowed_tools\":{\"mode\":\"" mode "\",\"tools\":[" list "]}")

/* Whether the choice stands before the tools or behind them. */
static void allowed_tools_are_all_there_are(void)
{
    struct trial t = accepted(&oai_chat, "{" M "," ALLOW("required", NAMED("g")) "," TWO "}");
    CHECK_INT(t.rq.n_tools, 1);
    CHECK(is(t.rq.tools[0].name, "g") && t.rq.tool_choice == CHAT_CHOICE_REQUIRED);
    finish(&t);
    t = accepted(&oai_chat, "{" M "," TWO ","
                 ALLOW("auto", NAMED("g") "," NAMED("f") "," NAMED("g")) "}");
    CHECK_INT(t.rq.n_tools, 2);
    CHECK(is(t.rq.tools[0].name, "f") && t.rq.tool_choice == CHAT_CHOICE_AUTO);
    finish(&t);
    t = accepted(&oai_chat, "{" M "," TWO "," ALLOW("auto", "") "}");
    CHECK_INT(t.rq.n_tools, 0);
    finish(&t);
    check_failing_allocations(&oai_chat, "{" M "," TWO "," ALLOW("auto", NAMED("g")) "}", 2);
}

static void refuses_wrong_allowed_tools(void)
{
#define AT "tool_choice.allowed_tools"
    static const struct bad rows[] = {
        { "{" M "," TWO "," ALLOWED("") "}", AT, "is missing; an object" },
        { "{" M "," TWO "," ALLOWED(",\"mode\":\"auto\"") "}", "tool_choice.mode", "unknown" },
        { "{" M "," TWO "," ALLOWED(",\"allowed_tools\":[]") "}", AT, "an object was expected" },
        { "{" M "," TWO "," ALLOWED(",\"allowed_tools\":{\"tools\":[]}") "}", AT ".mode",
          "is missing" },
        { "{" M "," TWO "," ALLOW("none", "") "}", AT ".mode", "one of: auto, required" },
        { "{" M "," TWO "," ALLOWED(",\"allowed_tools\":{\"mode\":\"auto\"}") "}", AT ".tools",
          "is missing" },
        { "{" M "," TWO "," ALLOWED(",\"allowed_tools\":{\"a\":1}") "}", AT ".a", "unknown" },
        { "{" M "," TWO "," ALLOW("auto", "1") "}", AT ".tools[0]", "an object was expected" },
        { "{" M "," TWO "," ALLOW("auto", "{\"type\":\"custom\"}") "}", AT ".tools[0].type",
          UNSUPPORTED },
        { "{" M "," TWO "," ALLOW("auto", NAMED("f") "," NAMED("h")) "}", AT ".tools[1]",
          "no tool is named \"h\"" },
        { "{" M "," ALLOW("auto", NAMED("f")) "}", AT ".tools[0]", "no tool is named \"f\"" },
        { "{" M "," TWO "," ALLOW("required", "") "}", "tool_choice", "no tools are given" },
    };
    CHECK_ALL_BAD(&oai_chat, rows);
}

static void honours_tools(void)
{
    static const char tools[] =
        "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"get_w\",\"description\":\"d\","
        "\"parameters\":{\"type\":\"object\", \"properties\":{},\"enum\":[9007199254740993, 1.50]},"
        "\"strict\":false}},"
        "{\"type\":\"function\",\"function\":{\"name\":\"g-2\",\"parameters\":null}}]";
    struct tg_buf text;
    tg_buf_init(&text, 4096);
    tg_buf_addf(&text, "{" M ",%s}", tools);
    struct trial t = decode(tg_buf_str(&text));
    CHECK_INT(t.status, TG_OK);
    CHECK_INT(t.rq.n_tools, 2);
    CHECK(is(t.rq.tools[0].name, "get_w") && is(t.rq.tools[0].description, "d"));
    CHECK(is(t.rq.tools[0].parameters, "{\"type\":\"object\",\"properties\":{},"
                                       "\"enum\":[9007199254740993,1.50]}"));
    CHECK(is(t.rq.tools[1].name, "g-2") && !t.rq.tools[1].parameters.n);
    finish(&t);
    tg_buf_reset(&text);
    tg_buf_addf(&text, "{\"tool_choice\":\"none\"," M ",%s}", tools);
    t = decode(tg_buf_str(&text));
    CHECK(t.status == TG_OK && t.rq.n_tools == 0);
    finish(&t);
    tg_buf_free(&text);
}

#define CACHE(v) "\"cache_control\":" v
#define EPHEMERAL CACHE("{\"type\":\"ephemeral\",\"ttl\":\"1h\"}")

/* Other vendors' hint, wherever their clients write it. */
static void marks_of_caches(void)
{
    struct trial t = decode(TG_STR(
        "{" EPHEMERAL ",\"messages\":[{\"role\":\"system\",\"content\":\"s\"," EPHEMERAL "},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"," EPHEMERAL "},"
        "{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://i\"}," EPHEMERAL "}]},"
        "{\"role\":\"assistant\",\"content\":null," EPHEMERAL ",\"tool_calls\":[{\"id\":\"c\","
        "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"r\"," EPHEMERAL "}],"
        "\"tools\":[{\"type\":\"function\"," EPHEMERAL ",\"function\":{\"name\":\"f\"}},"
        "{\"type\":\"function\",\"function\":{\"name\":\"g\"," EPHEMERAL "}}]}"));
    CHECK_STR(t.err.message, "");
    CHECK(t.rq.n_messages == 4 && t.rq.n_tools == 2 && t.rq.messages[1].n_parts == 2);
    finish(&t);
    static const struct bad rows[] = {
        { "{" M "," CACHE("true") "}", "cache_control", "an object was expected" },
        { "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"," CACHE("\"ephemeral\"") "}]}",
          "messages[0].cache_control", "an object was expected" },
        { "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\","
          CACHE("1") "}]}]}", "messages[0].content[0].cache_control", "an object was expected" },
        { "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"video_url\","
          "\"video_url\":{\"url\":\"http://v\"}," CACHE("[]") "}]}]}",
          "messages[0].content[0].cache_control", "an object was expected" },
        { "{" M ",\"tools\":[{\"type\":\"function\"," CACHE("1") ",\"function\":{}}]}",
          "tools[0].cache_control", "an object was expected" },
        { "{" M ",\"tools\":[{\"type\":\"function\",\"function\":{" CACHE("1") "}}]}",
          "tools[0].function.cache_control", "an object was expected" },
    };
    CHECK_ALL_BAD(&oai_chat, rows);
}

static const char conversation[] =
    "{\"messages\":["
    "{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"be\"},"
    "{\"type\":\"text\",\"text\":\"kind\"}]},"
    "{\"role\":\"developer\",\"content\":\"\"},"
    "{\"role\":\"user\",\"name\":\"bo\",\"content\":[{\"type\":\"text\",\"text\":\"see\"},"
    "{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://i\",\"detail\":\"auto\"},"
    "\"prompt_cache_breakpoint\":{\"mode\":\"explicit\"}},"
    "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"" MEDIA_WAV "\",\"format\":\"wav\"}},"
    "{\"type\":\"video_url\",\"video_url\":{\"url\":\"http://v\"}},"
    "{\"type\":\"image_url\",\"image_url\":{\"detail\":\"high\",\"url\":\"data:image/PNG;base64,"
    MEDIA_PNG "\"}}]},"
    "{\"role\":\"assistant\",\"content\":null,\"refusal\":null,\"annotations\":[],"
    "\"reasoning\":[\"a\",{\"type\":\"text\",\"text\":\"b\"}],\"reasoning_content\":\"ab\","
    "\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"index\":0,\"function\":"
    "{\"name\":\"f\",\"arguments\":\"{\\\"x\\\":1}\"}},"
    "{\"id\":\"c2\",\"function\":{\"name\":\"g\",\"arguments\":\"\"}}]},"
    "{\"role\":\"tool\",\"tool_call_id\":\"c2\",\"content\":[{\"type\":\"text\",\"text\":\"r\"},"
    "{\"type\":\"text\",\"text\":\"s\"}]},"
    "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"t\"},"
    "{\"role\":\"assistant\",\"content\":\"done\",\"tool_calls\":[]}]}";

static void honours_messages(void)
{
    struct trial t = decode(tg_str_of(conversation));
    const struct chat_message *m = t.rq.messages;
    CHECK_STR(t.err.message, "");
    CHECK_INT(t.rq.n_messages, 7);
    CHECK(m[0].role == CHAT_SYSTEM && m[0].n_parts == 2 && is(m[0].parts[1].text, "kind"));
    CHECK(m[1].role == CHAT_DEVELOPER && m[1].n_parts == 1 && m[1].parts[0].text.n == 0);
    CHECK(m[2].role == CHAT_USER && m[2].n_parts == 5 && is(m[2].name, "bo"));
    CHECK(is_url(&m[2].parts[1], CHAT_PART_IMAGE, "http://i", "messages[2].content[1]"));
    CHECK(is_media(&m[2].parts[2], "audio/wav", TG_STR("RIFF$\0\0\0WAVEfmt "),
                   "messages[2].content[2]"));
    CHECK(is_url(&m[2].parts[3], CHAT_PART_VIDEO, "http://v", "messages[2].content[3]"));
    CHECK(is_media(&m[2].parts[4], "image/png", TG_STR(MEDIA_PNG_BYTES),
                   "messages[2].content[4]"));
    CHECK(!m[2].parts[1].media->detail.n && is(m[2].parts[4].media->detail, "high"));
    CHECK(m[3].role == CHAT_ASSISTANT && m[3].n_parts == 3);
    CHECK(m[3].parts[0].kind == CHAT_PART_REASONING && is(m[3].parts[0].text, "ab"));
    CHECK(m[3].parts[1].kind == CHAT_PART_TOOL_CALL && is(m[3].parts[1].id, "c1") &&
          is(m[3].parts[1].name, "f") && is(m[3].parts[1].text, "{\"x\":1}"));
    CHECK(is(m[3].parts[2].id, "c2") && m[3].parts[2].text.n == 0);
    CHECK(m[4].role == CHAT_TOOL && m[4].n_parts == 1 && is(m[4].parts[0].text, "rs"));
    CHECK(m[4].parts[0].kind == CHAT_PART_TOOL_RESULT && is(m[4].parts[0].id, "c2") &&
          is(m[4].parts[0].name, "g"));
    CHECK(is(m[5].parts[0].name, "f") && is(m[5].parts[0].text, "t"));
    CHECK(m[6].n_parts == 1 && is(m[6].parts[0].text, "done"));
    finish(&t);
}

/* As the answer told it, and in the form of parts. */
static void refusals_are_text(void)
{
    static const char body[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},"
        "{\"role\":\"assistant\",\"content\":null,\"refusal\":\"no\"},"
        "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":\"no\"},"
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"b\"},"
        "{\"type\":\"refusal\",\"refusal\":\"never\"}],\"refusal\":\"so\"}]}";
    struct trial t = decode(tg_str_of(body));
    const struct chat_message *m = t.rq.messages;
    CHECK_STR(t.err.message, "");
    for (size_t i = 1; i < 3; i++)
        CHECK(m[i].n_parts == 1 && m[i].parts[0].kind == CHAT_PART_TEXT &&
              is(m[i].parts[0].text, "no"));
    CHECK(m[3].n_parts == 3 && is(m[3].parts[0].text, "b") && is(m[3].parts[1].text, "never"));
    CHECK(m[3].parts[1].kind == CHAT_PART_TEXT && is(m[3].parts[2].text, "so"));
    finish(&t);
}

/* head, then n times unit, then tail. */
static struct trial decode_long(const char *head, const char *unit, size_t n, const char *tail)
{
    struct tg_buf text;
    tg_buf_init(&text, 64 << 20);
    tg_buf_adds(&text, head);
    for (size_t i = 0; i < n; i++)
        tg_buf_adds(&text, unit);
    tg_buf_adds(&text, tail);
    struct trial t = decode(tg_buf_str(&text));
    tg_buf_free(&text);
    finish(&t);
    return t; /* status and error only */
}

static void holds_its_limits(void)
{
    static const char user[] = ",{\"role\":\"user\",\"content\":\"\"}";
    struct trial t = decode_long("{\"messages\":[{\"role\":\"user\",\"content\":\"\"}", user, 4095,
                                 "]}");
    CHECK_INT(t.status, TG_OK);
    t = decode_long("{\"messages\":[{\"role\":\"user\",\"content\":\"\"}", user, 4096, "]}");
    CHECK(t.err.status == 400 && strcmp(t.err.param, "messages") == 0);
    t = decode_long("{" M ",\"stop\":\"", "s", 256, "\"}");
    CHECK_INT(t.status, TG_OK);
    t = decode_long("{" M ",\"stop\":[\"", "s", 257, "\"]}");
    CHECK(t.err.status == 400 && strcmp(t.err.param, "stop[0]") == 0);
    t = decode_long("", "[", 100000, "");
    CHECK(t.err.status == 400 && strstr(t.err.message, "64 levels"));
    static const char call[] = ",{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}";
    t = decode_long("{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":["
                    "{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}", call, 2048,
                    "]}]}");
    CHECK(t.err.status == 400 && strstr(t.err.message, "more than 2048 tool calls"));
    t = decode_long(USER("\"") "", "", 0, "");
    CHECK_INT(t.err.status, 400);
    t = decode_long("{\"messages\":[{\"role\":\"user\",\"content\":\"", "x", 5 << 20, "\"}]}");
    CHECK(t.status == TG_NOMEM && t.err.status == 503); /* above the arena's 4 MiB */
    /* a path cut inside a two-byte character stays UTF-8 */
    t = decode_long("{\"x", "\xc3\xa4", 200, "\":1}");
    CHECK(t.err.status == 400 && strlen(t.err.param) >= 126);
    CHECK_INT((unsigned char)t.err.param[strlen(t.err.param) - 1], 0xa4);
}

static void survives_failing_allocations(void)
{
    check_failing_allocations(&oai_chat, conversation, 5);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(refuses_what_is_no_request),
        CASE(refuses_wrong_values),
        CASE(refuses_by_name_what_is_not_built),
        CASE(refuses_bad_messages),
        CASE(refuses_bad_tools),
        CASE(honours_fields),
        CASE(honours_formats),
        CASE(honours_choices),
        CASE(allowed_tools_are_all_there_are),
        CASE(refuses_wrong_allowed_tools),
        CASE(honours_tools),
        CASE(marks_of_caches),
        CASE(honours_messages),
        CASE(refusals_are_text),
        CASE(holds_its_limits),
        CASE(survives_failing_allocations),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
