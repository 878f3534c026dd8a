#include <stdio.h>

#include "gateway/api/ollama.h"
#include "tests/unit/gateway/decode_trial.h"
#include "tests/unit/gateway/media_part.h"

static struct trial chat(const char *body)
{
    return decode_as(&oll_chat, tg_str_of(body));
}

static struct trial generate(const char *body)
{
    return decode_as(&oll_generate, tg_str_of(body));
}

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define M "\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define G "\"model\":\"m\",\"prompt\":\"hi\""
#define MSG(members) "{\"model\":\"m\",\"messages\":[{" members "}]}"
#define OPT(members) "{" M ",\"options\":{" members "}}"
#define CALL(members) MSG("\"role\":\"assistant\",\"tool_calls\":[" members "]")
#define CALLED "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":" \
               "\"f\",\"arguments\":{\"x\":1}}},{\"function\":{\"name\":\"g\"}},{\"function\":"   \
               "{\"name\":\"f\",\"arguments\":{}}}]}"
#define RESULT(members) "{\"model\":\"m\",\"messages\":[" CALLED ",{\"role\":\"tool\"," members \
                        "}]}"
#define UNSUPPORTED "is not supported in this version"
#define PNG MEDIA_PNG

static void refuses_wrong_values(void)
{
    static const struct bad rows[] = {
        { "", "", "empty" },
        { "[]", "", "not an array" },
        { "{}", "model", "missing" },
        { "{\"model\":null}", "model", "missing" },
        { "{\"model\":\"\"}", "model", "empty" },
        { "{\"model\":5}", "model", "a string" },
        { "{" M ",\"colour\":1}", "colour", "unknown field" },
        { "{" M ",\"colour\":null}", "colour", "unknown field" },
        { "{" M ",\"stream\":1}", "stream", "a boolean" },
        { "{" M ",\"think\":1}", "think", "a boolean or a word" },
        { "{" M ",\"think\":\"much\"}", "think", "one of: low, medium, high" },
        { "{" M ",\"format\":\"xml\"}", "format", "must be \"json\"" },
        { "{" M ",\"format\":1}", "format", "a JSON schema" },
        { "{" M ",\"format\":[]}", "format", "a JSON schema" },
        { "{" M ",\"keep_alive\":true}", "keep_alive", "a span" },
        { "{" M ",\"options\":[]}", "options", "an object" },
        { "{" M ",\"tools\":{}}", "tools", "an array" },
        { "{" M ",\"tools\":[{\"type\":\"x\"}]}", "tools[0].type", UNSUPPORTED },
        { "{" M ",\"truncate\":true}", "truncate", UNSUPPORTED },
        { "{" M ",\"shift\":true}", "shift", UNSUPPORTED },
        { "{" M ",\"logprobs\":1}", "logprobs", "boolean" },
        { "{" M ",\"top_logprobs\":2}", "top_logprobs", "only allowed when logprobs" },
        { "{" M ",\"logprobs\":true,\"top_logprobs\":-1}", "top_logprobs", "0 to 20" },
        { "{" M ",\"_debug_render_only\":true}", "_debug_render_only", UNSUPPORTED },
        { "{" M ",\"prompt\":\"x\"}", "prompt", "unknown" },
        { "{" M ",\"temperature\":3}", "temperature", "from 0 to 2" },
        { "{" M ",\"top_p\":0}", "top_p", "above 0" },
        { "{" M ",\"max_tokens\":0}", "max_tokens", "from 1" },
        { "{" M ",\"max_output_tokens\":\"9\"}", "max_output_tokens", "a number" },
        { "{" M ",\"top_k\":5}", "top_k", "unknown" },
    };
    CHECK_ALL_BAD(&oll_chat, rows);
}

static void refuses_wrong_options(void)
{
    static const struct bad rows[] = {
        { OPT("\"warmth\":1"), "options.warmth", "unknown" },
        { OPT("\"temperature\":-1"), "options.temperature", "from 0 to 2" },
        { OPT("\"temperature\":\"1\""), "options.temperature", "a number" },
        { OPT("\"top_p\":0"), "options.top_p", "above 0" },
        { OPT("\"top_k\":1.5"), "options.top_k", "whole" },
        { OPT("\"min_p\":2"), "options.min_p", "from 0 to 1" },
        { OPT("\"seed\":0.5"), "options.seed", "whole" },
        { OPT("\"presence_penalty\":3"), "options.presence_penalty", "from -2" },
        { OPT("\"frequency_penalty\":3"), "options.frequency_penalty", "from -2" },
        { OPT("\"num_predict\":0"), "options.num_predict", "must not be 0" },
        { OPT("\"num_predict\":-3"), "options.num_predict", "from -2" },
        { OPT("\"num_ctx\":0"), "options.num_ctx", "from 1" },
        { OPT("\"num_ctx\":4294967296"), "options.num_ctx", "to 2147483647" },
        { OPT("\"num_ctx\":\"8k\""), "options.num_ctx", "a number" },
        { OPT("\"stop\":{}"), "options.stop", "an array" },
        { OPT("\"stop\":[\"\"]"), "options.stop[0]", "empty" },
        { OPT("\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"]"), "options.stop", "more than 4" },
        { OPT("\"num_gpu\":\"all\""), "options.num_gpu", "a number or a boolean" },
        { OPT("\"repeat_penalty\":1.1"), "options.repeat_penalty", UNSUPPORTED },
        { OPT("\"repeat_last_n\":64,\"presence_penalty\":1"), "options.repeat_last_n",
          UNSUPPORTED },
        { OPT("\"typical_p\":0.5"), "options.typical_p", UNSUPPORTED },
        { OPT("\"tfs_z\":0.5"), "options.tfs_z", UNSUPPORTED },
        { OPT("\"mirostat\":1"), "options.mirostat", UNSUPPORTED },
        { OPT("\"penalize_newline\":false"), "options.penalize_newline", UNSUPPORTED },
        { OPT("\"logits_all\":true"), "options.logits_all", UNSUPPORTED },
        { OPT("\"vocab_only\":true"), "options.vocab_only", UNSUPPORTED },
    };
    CHECK_ALL_BAD(&oll_chat, rows);
}

#define TOOLS "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}," \
              "{\"type\":\"function\",\"function\":{\"name\":\"g\"}}]"
#define CHOICE(v) "{" M "," TOOLS ",\"tool_choice\":" v "}"

static void refuses_wrong_choices(void)
{
    static const struct bad rows[] = {
        { CHOICE("\"any\""), "tool_choice", "one of: auto, none, required" },
        { CHOICE("1"), "tool_choice", "a string" },
        { CHOICE("{}"), "tool_choice.type", "missing" },
        { CHOICE("{\"type\":\"web_search_preview\"}"), "tool_choice.type", "one of: function" },
        { CHOICE("{\"type\":\"web_search_preview\",\"name\":\"f\"}"), "tool_choice.type",
          "one of: function" },
        { CHOICE("{\"type\":\"function\"}"), "tool_choice.function", "missing" },
        { CHOICE("{\"type\":\"function\",\"name\":\"h\"}"), "tool_choice", "no tool is named" },
        { CHOICE("{\"type\":\"function\",\"name\":\"\"}"), "tool_choice.name", "empty" },
        { CHOICE("{\"type\":\"function\",\"name\":\"f\",\"function\":{\"name\":\"f\"}}"),
          "tool_choice.function", "unknown" },
        { "{" M ",\"tool_choice\":\"required\"}", "tool_choice", "no tools are given" },
    };
    CHECK_ALL_BAD(&oll_chat, rows);
}

static void honours_choices(void)
{
    static const struct {
        const char *body, *name;
        size_t n_tools;
        enum chat_choice choice;
    } rows[] = {
        { CHOICE("\"auto\""), "", 2, CHAT_CHOICE_AUTO },
        { CHOICE("null"), "", 2, CHAT_CHOICE_AUTO },
        { CHOICE("\"none\""), "", 0, CHAT_CHOICE_AUTO },
        { CHOICE("\"required\""), "", 2, CHAT_CHOICE_REQUIRED },
        { CHOICE("{\"type\":\"function\",\"function\":{\"name\":\"g\"}}"), "g", 2,
          CHAT_CHOICE_NAMED },
        { CHOICE("{\"type\":\"function\",\"name\":\"f\"}"), "f", 2, CHAT_CHOICE_NAMED },
        { CHOICE("{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"auto\",\"tools\":["
                 "{\"type\":\"function\",\"function\":{\"name\":\"g\"}}]}}"), "", 1,
          CHAT_CHOICE_AUTO },
        { "{" M ",\"tool_choice\":\"auto\"}", "", 0, CHAT_CHOICE_AUTO },
        { "{" M ",\"tools\":[],\"tool_choice\":\"none\"}", "", 0, CHAT_CHOICE_AUTO },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct trial t = chat(rows[i].body);
        CHECK_STR(t.err.message, "");
        CHECK(t.rq.tool_choice == rows[i].choice && is(t.rq.tool_name, rows[i].name));
        CHECK_INT(t.rq.n_tools, rows[i].n_tools);
        finish(&t);
    }
}

/* As many as Anthropic's clients may send, which is above OpenAI's 128. */
static void counts_tools(void)
{
    for (size_t n = 512; n <= 513; n++) {
        struct tg_buf body;
        tg_buf_init(&body, 1 << 20);
        tg_buf_adds(&body, "{" M ",\"tools\":[");
        for (size_t i = 0; i < n; i++)
            tg_buf_addf(&body, "%s{\"type\":\"function\",\"function\":{\"name\":\"f%zu\"}}",
                        i ? "," : "", i);
        tg_buf_adds(&body, "]}");
        struct trial t = decode_as(&oll_chat, tg_buf_str(&body));
        CHECK(n == 512 ? t.status == TG_OK && t.rq.n_tools == n
                       : t.status == TG_INVALID && strstr(t.err.message, "more than 512"));
        finish(&t);
        tg_buf_free(&body);
    }
}

/* Settings beside the options, which win wherever they stand. */
static void honours_settings_of_either_place(void)
{
    static const char *const heads[] = { M, G };
    for (size_t i = 0; i < 2; i++) {
        const struct api_dialect *dialect = i ? &oll_generate : &oll_chat;
        char body[512];
        snprintf(body, sizeof(body),
                 "{%s,\"temperature\":0.5,\"top_p\":0.25,\"max_tokens\":20,"
                 "\"max_output_tokens\":10}", heads[i]);
        struct trial t = decode_as(dialect, tg_str_of(body));
        const struct chat_sampling *s = &t.rq.sampling;
        CHECK_STR(t.err.message, "");
        CHECK(s->has_temperature && s->temperature >= 0.5 && s->temperature <= 0.5);
        CHECK(s->has_top_p && s->top_p >= 0.25 && s->top_p <= 0.25 && t.rq.max_tokens == 10);
        finish(&t);
        snprintf(body, sizeof(body),
                 "{\"options\":{\"temperature\":1,\"num_predict\":30},%s,\"temperature\":0,"
                 "\"top_p\":0.5,\"max_output_tokens\":10,\"max_tokens\":20}", heads[i]);
        t = decode_as(dialect, tg_str_of(body));
        CHECK_STR(t.err.message, "");
        CHECK(s->temperature >= 1 && s->top_p <= 0.5 && t.rq.max_tokens == 30);
        finish(&t);
        snprintf(body, sizeof(body), "{\"options\":{\"num_predict\":-1},%s,\"max_tokens\":20}",
                 heads[i]);
        t = decode_as(dialect, tg_str_of(body));
        CHECK(t.status == TG_OK && !t.rq.max_tokens && t.rq.no_limit);
        finish(&t);
    }
}

static void refuses_bad_messages(void)
{
    static const struct bad rows[] = {
        { "{\"model\":\"m\",\"messages\":{}}", "messages", "an array" },
        { "{\"model\":\"m\",\"messages\":[1]}", "messages[0]", "an object" },
        { MSG("\"content\":\"a\""), "messages[0].role", "missing" },
        { MSG("\"role\":\"wizard\",\"content\":\"a\""), "messages[0].role", "one of: system" },
        { MSG("\"role\":\"user\""), "messages[0].content", "missing" },
        { MSG("\"role\":\"user\",\"content\":[]"), "messages[0].content", "a string" },
        { MSG("\"role\":\"user\",\"content\":\"a\",\"x\":1"), "messages[0].x", "unknown" },
        { MSG("\"role\":\"user\",\"content\":\"a\",\"thinking\":\"t\""), "messages[0].thinking",
          UNSUPPORTED },
        { MSG("\"role\":\"user\",\"content\":\"a\",\"tool_calls\":[{}]"),
          "messages[0].tool_calls", UNSUPPORTED },
        { MSG("\"role\":\"system\",\"content\":\"a\",\"images\":[\"" PNG "\"]"),
          "messages[0].images", UNSUPPORTED },
        { MSG("\"role\":\"user\",\"images\":\"" PNG "\""), "messages[0].images", "an array" },
        { MSG("\"role\":\"user\",\"images\":[1]"), "messages[0].images[0]", "a string" },
        { MSG("\"role\":\"user\",\"images\":[\"\"]"), "messages[0].images[0]", "empty" },
        { MSG("\"role\":\"user\",\"images\":[\"====\"]"), "messages[0].images[0]", "base64" },
        { MSG("\"role\":\"user\",\"images\":[\"iVBORw0KGgo==\"]"), "messages[0].images[0]",
          "padded" },
        { MSG("\"role\":\"user\",\"images\":[\"data:image/png;base64," PNG "\"]"),
          "messages[0].images[0]", "base64 alone" },
        { MSG("\"role\":\"user\",\"images\":[\"" PNG "\",\"AAAAAAAAAAAAAAAA\"]"),
          "messages[0].images[1]", "none of: png" },
        { MSG("\"role\":\"user\",\"images\":[\"iVBO\"]"), "messages[0].images[0]", "none of: png" },
        { CALL("1"), "messages[0].tool_calls[0]", "an object" },
        { CALL("{}"), "messages[0].tool_calls[0].function", "missing" },
        { CALL("{\"x\":1}"), "messages[0].tool_calls[0].x", "unknown" },
        { CALL("{\"type\":\"custom\"}"), "messages[0].tool_calls[0].type", "one of: function" },
        { CALL("{\"function\":{}}"), "messages[0].tool_calls[0].function.name", "missing" },
        { CALL("{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}"),
          "messages[0].tool_calls[0].function.arguments", "an object was expected" },
        { MSG("\"role\":\"tool\",\"content\":\"r\""), "messages[0]", "answers no tool call" },
        { RESULT("\"tool_name\":\"f\""), "messages[1].content", "missing" },
        { RESULT("\"tool_name\":\"h\",\"content\":\"r\""), "messages[1].tool_name",
          "answers no tool call" },
        { RESULT("\"tool_call_id\":\"x\",\"content\":\"r\""), "messages[1].tool_call_id",
          "answers no tool call" },
    };
    CHECK_ALL_BAD(&oll_chat, rows);
}

static void refuses_bad_prompts(void)
{
    static const struct bad rows[] = {
        { "{}", "model", "missing" },
        { "{" G ",\"messages\":[]}", "messages", "unknown" },
        { "{" G ",\"tools\":[]}", "tools", "unknown" },
        { "{" G ",\"tool_choice\":\"auto\"}", "tool_choice", "unknown" },
        { "{" G ",\"suffix\":\"x\"}", "suffix", UNSUPPORTED },
        { "{" G ",\"template\":\"x\"}", "template", UNSUPPORTED },
        { "{" G ",\"context\":[1]}", "context", UNSUPPORTED },
        { "{" G ",\"raw\":true}", "raw", UNSUPPORTED },
        { "{" G ",\"width\":64}", "width", UNSUPPORTED },
        { "{" G ",\"height\":64}", "height", UNSUPPORTED },
        { "{" G ",\"steps\":4}", "steps", UNSUPPORTED },
        { "{" G ",\"system\":1}", "system", "a string" },
        { "{" G ",\"images\":[\"x\"]}", "images[0]", "base64" },
        { "{\"model\":\"m\",\"prompt\":1}", "prompt", "a string" },
    };
    CHECK_ALL_BAD(&oll_generate, rows);
}

static void honours_fields(void)
{
    struct trial t = chat("{" M ",\"stream\":false,\"think\":\"low\","
                          "\"format\":{\"type\": \"object\"},"
                          "\"keep_alive\":\"5m\",\"tools\":[{\"type\":\"function\",\"function\":"
                          "{\"name\":\"f\",\"parameters\":{}}}],\"truncate\":false,\"options\":{"
                          "\"temperature\":0.5,\"top_p\":0.9,\"top_k\":40,\"min_p\":0.1,\"seed\":7,"
                          "\"num_predict\":9,\"num_ctx\":1048577,\"stop\":[\"a\",\"b\"],"
                          "\"presence_penalty\":0.5,\"frequency_penalty\":-0.5}}");
    CHECK_STR(t.err.message, "");
    CHECK(is(t.rq.model, "m") && !t.rq.model_said.n && !t.rq.stream && t.rq.thinking);
    CHECK(is(t.rq.effort, "low"));
    CHECK(t.rq.format == CHAT_FORMAT_SCHEMA && is(t.rq.schema.text, "{\"type\":\"object\"}"));
    CHECK(is(t.rq.schema.name, "answer") && t.rq.n_tools == 1 && is(t.rq.tools[0].name, "f"));
    const struct chat_sampling *s = &t.rq.sampling;
    CHECK(s->has_temperature && s->temperature > 0.49 && s->temperature < 0.51);
    CHECK(s->has_top_p && s->has_top_k && s->top_k == 40 && s->has_min_p && s->seed == 7);
    CHECK(s->has_seed && s->presence > 0.4 && s->frequency < -0.4);
    CHECK(t.rq.max_tokens == 9 && !t.rq.no_limit);
    CHECK(t.rq.n_stops == 2 && is(t.rq.stop[1], "b"));
    finish(&t);
    t = chat("{\"model\":\"m:latest\",\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}");
    CHECK(t.status == TG_OK && t.rq.stream && !t.rq.thinking);
    CHECK(!t.rq.hide_thinking);
    CHECK(is(t.rq.model, "m") && is(t.rq.model_said, "m:latest") && !t.rq.max_tokens);
    CHECK(!t.rq.sampling.has_seed && !t.rq.sampling.has_temperature && !t.rq.no_limit);
    finish(&t);
    t = chat("{\"model\":\":latest\",\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}");
    CHECK(t.status == TG_OK && is(t.rq.model, ":latest") && !t.rq.model_said.n);
    finish(&t);
    t = chat("{" M ",\"think\":false,\"format\":\"json\",\"keep_alive\":-1,\"options\":{"
             "\"num_predict\":-1,\"seed\":-1,\"stop\":\"x\",\"top_k\":-1}}");
    CHECK(t.status == TG_OK && !t.rq.thinking && t.rq.format == CHAT_FORMAT_JSON);
    CHECK(t.rq.hide_thinking);
    CHECK(t.rq.no_limit && !t.rq.max_tokens && !t.rq.sampling.has_seed && t.rq.n_stops == 1);
    CHECK(t.rq.sampling.has_top_k && t.rq.sampling.top_k == 0);
    finish(&t);
    t = generate("{" G ",\"logprobs\":true,\"top_logprobs\":3}");
    CHECK(t.status == TG_OK && t.rq.logprobs && t.rq.top_logprobs == 3);
    finish(&t);
    t = chat("{" M ",\"think\":true,\"options\":{\"num_predict\":-2}}");
    CHECK(t.status == TG_OK && t.rq.thinking && t.rq.no_limit && !t.rq.effort.n);
    CHECK(!t.rq.hide_thinking);
    finish(&t);
}

/* What clients send for what they do not use, and what has no effect. */
static void accepts_hints(void)
{
    struct trial t = chat("{" M ",\"format\":\"\",\"think\":null,\"tools\":[],\"logprobs\":false,"
                          "\"top_logprobs\":0,\"shift\":false,\"options\":{\"num_keep\":5,"
                          "\"num_batch\":2,\"num_gpu\":-1,\"main_gpu\":0,\"num_thread\":8,"
                          "\"numa\":false,\"low_vram\":false,\"f16_kv\":true,\"use_mmap\":true,"
                          "\"use_mlock\":false,\"logits_all\":false,\"vocab_only\":false,"
                          "\"repeat_penalty\":1,\"repeat_last_n\":64,\"typical_p\":1,\"tfs_z\":1,"
                          "\"mirostat\":0,\"mirostat_eta\":0.1,\"mirostat_tau\":5,"
                          "\"penalize_newline\":true,\"presence_penalty\":0}}");
    CHECK_STR(t.err.message, "");
    CHECK(t.rq.format == CHAT_FORMAT_TEXT && t.rq.n_tools == 0);
    finish(&t);
    t = generate("{" G ",\"suffix\":\"\",\"template\":\"\",\"system\":\"\",\"context\":[],"
                 "\"raw\":false,\"images\":[],\"width\":0,\"height\":0,\"steps\":0}");
    CHECK_STR(t.err.message, "");
    CHECK(t.rq.n_messages == 1 && t.rq.messages[0].role == CHAT_USER && t.rq.stream);
    CHECK(t.rq.messages[0].n_parts == 1 && is(t.rq.messages[0].parts[0].text, "hi"));
    finish(&t);
}

static void honours_messages(void)
{
    struct trial t = chat(
        "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"be\",\"images\":[],"
        "\"tool_calls\":null},"
        "{\"role\":\"user\",\"content\":\"see\",\"thinking\":\"\",\"images\":[\"" PNG "\","
        "\"/9j/4AAQSkZJRgAB\",\"R0lGODlhAQABAAAA\",\"UklGRiQAAABXRUJQVlA4\"]},"
        "{\"role\":\"assistant\",\"thinking\":\"why\",\"content\":\"\",\"tool_calls\":["
        "{\"function\":{\"index\":0,\"name\":\"f\",\"arguments\":{\"x\": 1}}},"
        "{\"id\":\"own\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":null}},"
        "{\"id\":\"\",\"function\":{\"name\":\"f\"}}]},"
        "{\"role\":\"tool\",\"tool_name\":\"g\",\"content\":\"1\"},"
        "{\"role\":\"tool\",\"content\":\"2\"},"
        "{\"role\":\"tool\",\"name\":\"f\",\"content\":\"3\"},"
        CALLED ",{\"role\":\"tool\",\"tool_call_id\":\"own\",\"content\":\"4\"},"
        "{\"role\":\"tool\",\"tool_name\":\"f\",\"content\":\"5\"},"
        "{\"role\":\"assistant\",\"content\":\"\"}]}");
    const struct chat_message *m = t.rq.messages;
    CHECK_STR(t.err.message, "");
    CHECK_INT(t.rq.n_messages, 10);
    CHECK(m[0].role == CHAT_SYSTEM && m[0].n_parts == 1 && is(m[0].parts[0].text, "be"));
    CHECK(m[1].role == CHAT_USER && m[1].n_parts == 5 && is(m[1].parts[4].text, "see"));
    CHECK(is_media(&m[1].parts[0], "image/png", TG_STR(MEDIA_PNG_BYTES), "messages[1].images[0]"));
    CHECK(is_media(&m[1].parts[1], "image/jpeg", TG_STR("\xff\xd8\xff\xe0\0\x10JFIF\0\x01"),
                   "messages[1].images[1]"));
    CHECK(is_media(&m[1].parts[2], "image/gif", TG_STR("GIF89a\1\0\1\0\0\0"),
                   "messages[1].images[2]"));
    CHECK(is_media(&m[1].parts[3], "image/webp", TG_STR("RIFF$\0\0\0WEBPVP8"),
                   "messages[1].images[3]"));
    CHECK(m[2].n_parts == 4 && m[2].parts[0].kind == CHAT_PART_REASONING);
    CHECK(m[2].parts[1].kind == CHAT_PART_TOOL_CALL && is(m[2].parts[1].id, "call_tg_0") &&
          is(m[2].parts[1].text, "{\"x\":1}"));
    CHECK(is(m[2].parts[2].id, "own") && is(m[2].parts[2].text, "{}"));
    CHECK(is(m[2].parts[3].id, "call_tg_2") && is(m[2].parts[3].name, "f"));
    CHECK(m[3].role == CHAT_TOOL && m[3].parts[0].kind == CHAT_PART_TOOL_RESULT);
    CHECK(is(m[3].parts[0].id, "own") && is(m[3].parts[0].name, "g"));
    CHECK(is(m[4].parts[0].id, "call_tg_0") && is(m[5].parts[0].id, "call_tg_2"));
    CHECK(is(m[5].parts[0].name, "f") && is(m[5].parts[0].text, "3"));
    CHECK(is(m[7].parts[0].id, "own") && is(m[7].parts[0].text, "4"));
    CHECK(is(m[8].parts[0].id, "call_tg_3") && is(m[8].parts[0].name, "f"));
    CHECK(m[9].n_parts == 1 && m[9].parts[0].text.n == 0);
    finish(&t);
}

/* What an earlier turn left without an answer is not answered by a later one's results. */
static void results_are_of_the_newest_calls(void)
{
    struct trial t = chat("{\"model\":\"m\",\"messages\":[" CALLED "," CALLED
                          ",{\"role\":\"tool\",\"content\":\"1\"},"
                          "{\"role\":\"tool\",\"tool_name\":\"g\",\"content\":\"2\"}]}");
    CHECK_STR(t.err.message, "");
    CHECK(is(t.rq.messages[2].parts[0].id, "call_tg_3"));
    CHECK(is(t.rq.messages[3].parts[0].id, "call_tg_4"));
    finish(&t);
    static const struct bad too_many = {
        "{\"model\":\"m\",\"messages\":[" CALLED ",{\"role\":\"tool\",\"tool_name\":\"g\","
        "\"content\":\"1\"},{\"role\":\"tool\",\"tool_name\":\"g\",\"content\":\"2\"}]}",
        "messages[2].tool_name", "not answered yet"
    };
    check_bad(&oll_chat, &too_many);
}

static void honours_prompts(void)
{
    struct trial t = generate("{" G ",\"system\":\"be\",\"images\":[\"" PNG "\"]}");
    CHECK_STR(t.err.message, "");
    CHECK(t.rq.n_messages == 2 && t.rq.messages[0].role == CHAT_SYSTEM);
    CHECK(is(t.rq.messages[0].parts[0].text, "be") && t.rq.messages[1].n_parts == 2);
    CHECK(t.rq.messages[1].parts[0].kind == CHAT_PART_IMAGE);
    CHECK(is(t.rq.messages[1].parts[1].text, "hi"));
    finish(&t);
    t = generate("{\"model\":\"m\",\"prompt\":\"\",\"images\":[\"" PNG "\"]}");
    CHECK(t.status == TG_OK && t.rq.n_messages == 1 && t.rq.messages[0].n_parts == 1);
    finish(&t);
}

/* Requests to load the model. */
static void asks_for_nothing(void)
{
    static const char *const bodies[] = { "{\"model\":\"m\"}",
                                          "{\"model\":\"m\",\"keep_alive\":0}" };
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct trial t = chat(bodies[i]);
        CHECK(t.status == TG_OK && t.rq.n_messages == 0 && !t.rq.stream);
        finish(&t);
        t = generate(bodies[i]);
        CHECK(t.status == TG_OK && t.rq.n_messages == 0 && !t.rq.stream);
        finish(&t);
    }
    struct trial t = chat("{\"model\":\"m\",\"messages\":[]}");
    CHECK(t.status == TG_OK && t.rq.n_messages == 0);
    finish(&t);
    t = generate("{\"model\":\"m\",\"prompt\":\"\",\"system\":\"s\"}");
    CHECK(t.status == TG_OK && t.rq.n_messages == 0);
    finish(&t);
}

static void reads_what_is_to_be_shown(void)
{
    static const struct {
        const char *body, *name, *param;
    } rows[] = {
        { "{\"model\":\"a:latest\",\"verbose\":true}", "a", NULL },
        { "{\"name\":\"b\"}", "b", NULL },
        { "{\"model\":\"\",\"name\":\"b\",\"system\":\"\",\"options\":{}}", "b", NULL },
        { "{\"model\":\"a\",\"name\":\"b\"}", "a", NULL },
        { "{}", "", "model" },
        { "{\"model\":\"\"}", "", "model" },
        { "{\"model\":\"a\",\"x\":1}", "", "x" },
        { "{\"model\":\"a\",\"system\":\"x\"}", "", "system" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tg_arena *arena = tg_arena_new(ARENA);
        struct api_error err;
        struct tg_str name;
        enum tg_status status = oll_show_decode(tg_str_of(rows[i].body), arena, &name, &err);
        CHECK((status == TG_OK) == !rows[i].param);
        if (rows[i].param)
            CHECK_STR(err.param, rows[i].param);
        else
            CHECK(is(name, rows[i].name));
        tg_arena_free(arena);
    }
}

/* head, then n times unit with commas, then tail. */
static void check_long(const char *head, const char *unit, size_t n, const char *tail,
                       const char *says)
{
    struct tg_buf text;
    tg_buf_init(&text, 64 << 20);
    tg_buf_adds(&text, head);
    for (size_t i = 0; i < n; i++)
        tg_buf_addf(&text, "%s%s", i ? "," : "", unit);
    tg_buf_adds(&text, tail);
    struct trial t = decode_as(&oll_chat, tg_buf_str(&text));
    tg_buf_free(&text);
    if (says)
        CHECK(t.status == TG_INVALID && strstr(t.err.message, says));
    else
        CHECK_STR(t.err.message, "");
    finish(&t);
}

static void holds_its_limits(void)
{
    static const char say[] = "{\"role\":\"user\",\"content\":\"a\"}";
    static const char call[] = "{\"function\":{\"name\":\"f\"}}";
    static const char head[] =
        "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[";
    check_long("{\"model\":\"m\",\"messages\":[", say, 4096, "]}", NULL);
    check_long("{\"model\":\"m\",\"messages\":[", say, 4097, "]}", "more than 4096 messages");
    check_long(head, call, 2048, "]}]}", NULL);
    check_long(head, call, 2049, "]}]}", "more than 2048 tool calls");
    char body[1200];
    snprintf(body, sizeof(body), "{\"model\":\"%0*d\"}", 257, 0);
    struct trial t = chat(body);
    CHECK(t.status == TG_INVALID && strstr(t.err.message, "longer than 256"));
    finish(&t);
}

static void survives_failing_allocations(void)
{
    static const char body[] =
        "{\"model\":\"m:latest\",\"format\":{\"type\":\"object\"},\"options\":{\"stop\":[\"a\"]},"
        "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{}}}],"
        "\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"images\":[\"" PNG "\"]}," CALLED
        ",{\"role\":\"tool\",\"content\":\"r\"}]}";
    check_failing_allocations(&oll_chat, body, 10);
}

static void survives_a_full_arena(void)
{
    static const char body[] = "{" G ",\"system\":\"be\",\"images\":[\"" PNG "\"]}";
    check_small_arenas(&oll_generate, body);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(refuses_wrong_values),
        CASE(refuses_wrong_options),
        CASE(refuses_wrong_choices),
        CASE(refuses_bad_messages),
        CASE(refuses_bad_prompts),
        CASE(honours_fields),
        CASE(honours_choices),
        CASE(counts_tools),
        CASE(honours_settings_of_either_place),
        CASE(accepts_hints),
        CASE(honours_messages),
        CASE(results_are_of_the_newest_calls),
        CASE(honours_prompts),
        CASE(asks_for_nothing),
        CASE(reads_what_is_to_be_shown),
        CASE(holds_its_limits),
        CASE(survives_failing_allocations),
        CASE(survives_a_full_arena),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
