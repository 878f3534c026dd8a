#include <stdlib.h>

#include "gateway/api/anthropic.h"
#include "tests/unit/gateway/decode_trial.h"
#include "tests/unit/gateway/media_part.h"

static struct trial decode(const char *body)
{
    return accepted(&ant_messages, body);
}

#define HEAD "{\"model\":\"m\",\"max_tokens\":9,"
#define M "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define WITH(members) HEAD M "," members "}"
#define MESSAGES(list) HEAD "\"messages\":[" list "]}"
#define USER(content) "{\"role\":\"user\",\"content\":" content "}"
#define ASSISTANT(content) "{\"role\":\"assistant\",\"content\":" content "}"
#define CALL(id) "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"f\",\"input\":{\"a\":1}}"
#define RESULT(id, more) "{\"type\":\"tool_result\",\"tool_use_id\":\"" id "\"" more "}"
#define UNSUPPORTED "is not supported in this version"

static void refuses_what_is_no_request(void)
{
    static const struct bad rows[] = {
        { "", "", "empty" },
        { "{", "", "line 1, column 2" },
        { "[]", "", "not an array" },
        { "{\"model\":\"a\",\"model\":\"b\"}", "", "duplicate key" },
        { "{}", "model", "is missing; a string" },
        { "{\"model\":null,\"max_tokens\":1," M "}", "model", "is missing" },
        { "{\"model\":\"m\"," M "}", "max_tokens", "is missing; a number" },
        { HEAD "\"messages\":null}", "messages", "missing" },
        { HEAD "\"messages\":{}}", "messages", "an array was expected, not an object" },
        { HEAD "\"messages\":[]}", "messages", "empty" },
        { MESSAGES("1"), "messages[0]", "an object was expected, not a number" },
        { WITH("\"colour\":1"), "colour", "unknown field" },
        { WITH("\"stop\":[]"), "stop", "unknown field" },
    };
    CHECK_ALL_BAD(&ant_messages, rows);
}

static void refuses_wrong_values(void)
{
    static const struct bad rows[] = {
        { "{\"model\":7,\"max_tokens\":9," M "}", "model", "a string was expected" },
        { "{\"model\":\"\",\"max_tokens\":9," M "}", "model", "empty" },
        { "{\"model\":\"m\",\"max_tokens\":0," M "}", "max_tokens", "whole number from 1" },
        { "{\"model\":\"m\",\"max_tokens\":1048577," M "}", "max_tokens", "1048576" },
        { WITH("\"stream\":1"), "stream", "boolean" },
        { WITH("\"temperature\":1.01"), "temperature", "from 0 to 1" },
        { WITH("\"top_p\":-0.1"), "top_p", "from 0 to 1" },
        { WITH("\"top_k\":-1"), "top_k", "whole number from 0" },
        { WITH("\"stop_sequences\":\"a\""), "stop_sequences", "an array" },
        { WITH("\"stop_sequences\":[\"a\",\"b\",\"c\",\"d\",\"e\"]"), "stop_sequences",
          "more than 4" },
        { WITH("\"stop_sequences\":[\"a\",\"\"]"), "stop_sequences[1]", "empty" },
        { WITH("\"metadata\":5"), "metadata", "an object" },
        { WITH("\"metadata\":{\"user_id\":5}"), "metadata.user_id", "a string" },
        { WITH("\"metadata\":{\"team\":\"x\"}"), "metadata.team", "unknown" },
        { WITH("\"service_tier\":\"flex\""), "service_tier", "auto, standard_only" },
        { WITH("\"speed\":\"slow\""), "speed", "standard, fast" },
        { WITH("\"thinking\":true"), "thinking", "an object" },
        { WITH("\"thinking\":{}"), "thinking.type", "missing" },
        { WITH("\"thinking\":{\"type\":\"on\"}"), "thinking.type", "enabled, adaptive" },
        { WITH("\"thinking\":{\"type\":\"enabled\"}"), "thinking.budget_tokens", "missing" },
        { WITH("\"thinking\":{\"type\":\"adaptive\",\"block_binding\":\"strict\"}"),
          "thinking.block_binding", "not supported" },
        { WITH("\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1023}"),
          "thinking.budget_tokens", "from 1024" },
        { WITH("\"thinking\":{\"type\":\"adaptive\",\"budget_tokens\":2000}"),
          "thinking.budget_tokens", "unknown" },
        { WITH("\"thinking\":{\"type\":\"adaptive\",\"display\":\"all\"}"), "thinking.display",
          "summarized, omitted" },
        { WITH("\"output_config\":[]"), "output_config", "an object" },
        { WITH("\"output_config\":{\"effort\":\"some\"}"), "output_config.effort", "one of" },
        { WITH("\"output_config\":{\"format\":{\"type\":\"xml\"}}"), "output_config.format.type",
          "json_schema" },
        { WITH("\"output_config\":{\"format\":{\"type\":\"json_schema\"}}"),
          "output_config.format.schema", "missing" },
        { WITH("\"output_format\":{\"type\":\"json_schema\",\"schema\":[]}"),
          "output_format.schema", "an object" },
        { WITH("\"output_format\":{\"type\":\"json_schema\",\"schema\":{}},\"output_config\":"
               "{\"format\":{\"type\":\"json_schema\",\"schema\":{}}}"), "output_config.format",
          "both given" },
        { WITH("\"context_management\":{\"edits\":{}}"), "context_management.edits", "an array" },
        { WITH("\"cache_control\":\"yes\""), "cache_control", "an object" },
        { WITH("\"system\":5"), "system", "a string or an array of text blocks" },
        { WITH("\"system\":[{\"type\":\"image\"}]"), "system[0].type", "no place here" },
        { WITH("\"system\":[{\"type\":\"text\"}]"), "system[0].text", "missing" },
    };
    CHECK_ALL_BAD(&ant_messages, rows);
}

static void refuses_by_name_what_is_not_built(void)
{
    static const struct bad rows[] = {
        { WITH("\"container\":\"c\""), "container", "container " UNSUPPORTED },
        { WITH("\"inference_geo\":\"eu\""), "inference_geo", UNSUPPORTED },
        { WITH("\"diagnostics\":{}"), "diagnostics", UNSUPPORTED },
        { WITH("\"fallbacks\":[]"), "fallbacks", UNSUPPORTED },
        { WITH("\"fallback_credit_token\":\"t\""), "fallback_credit_token", UNSUPPORTED },
        { WITH("\"billing_policy\":{}"), "billing_policy", UNSUPPORTED },
        { WITH("\"compaction\":{}"), "compaction", UNSUPPORTED },
        { WITH("\"thread\":{}"), "thread", UNSUPPORTED },
        { WITH("\"mcp_servers\":[{}]"), "mcp_servers", UNSUPPORTED },
        { WITH("\"speed\":\"fast\""), "speed", UNSUPPORTED },
        { WITH("\"output_config\":{\"task_budget\":{}}"), "output_config.task_budget",
          UNSUPPORTED },
        { WITH("\"thinking\":{\"type\":\"between_tools\"}"), "thinking.type", UNSUPPORTED },
        { WITH("\"context_management\":{\"edits\":[{\"type\":\"clear_tool_uses_20250919\"}]}"),
          "context_management.edits[0]", UNSUPPORTED },
        { WITH("\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}]"),
          "tools[0].type", "tools of type \"web_search_20250305\" are not supported" },
        { MESSAGES(USER("[{\"type\":\"search_result\"}]")),
          "messages[0].content[0].type", "search_result blocks are not supported" },
        { MESSAGES(USER("[{\"type\":\"image\",\"source\":{\"type\":\"file\",\"file_id\":\"f\"}}]")),
          "messages[0].content[0].source.type", UNSUPPORTED },
        { MESSAGES(USER("[{\"type\":\"image\",\"source\":{},\"transformations\":{}}]")),
          "messages[0].content[0].transformations", UNSUPPORTED },
        { MESSAGES(ASSISTANT("[{\"type\":\"server_tool_use\"}]") "," USER("\"a\"")),
          "messages[0].content[0].type", "server_tool_use blocks are not supported" },
        { MESSAGES(USER("\"a\"") "," ASSISTANT("\"The\"")), "messages[1]", "prefill" },
    };
    CHECK_ALL_BAD(&ant_messages, rows);
}

static void threads_are_refused_by_their_code(void)
{
    struct trial t = decode_as(&ant_messages, TG_STR(WITH("\"thread\":{\"type\":\"create\"}")));
    struct api_error err = t.err;
    struct tg_buf out;
    finish(&t);
    CHECK_STR(err.code, "thread_unsupported_request");
    tg_buf_init(&out, 4096);
    CHECK(ant_messages.error(&err, &out) == TG_OK);
    CHECK_STR(out.p,
              "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
              "\"message\":\"thread is not supported in this version\",\"details\":{"
              "\"error_code\":\"thread_unsupported_request\",\"unsupported\":[\"thread\"]}},"
              "\"request_id\":null}");
    tg_buf_free(&out);
}

#define FOUND(name, more) "{\"type\":\"tool_reference\",\"tool_name\":\"" name "\"" more "}"
#define SYSTEM(content, more) "{\"role\":\"system\",\"content\":" content more "}"
#define EFFORT(word) ",\"output_config\":{\"effort\":" word "}"

static void refuses_bad_instructions(void)
{
    static const struct bad rows[] = {
        { MESSAGES(SYSTEM("\"s\"", EFFORT("\"some\""))), "messages[0].output_config.effort",
          "one of: low, medium, high, xhigh, max" },
        { MESSAGES(SYSTEM("\"s\"", ",\"output_config\":1")), "messages[0].output_config",
          "an object" },
        { MESSAGES(SYSTEM("\"s\"", ",\"output_config\":{\"format\":{}}")),
          "messages[0].output_config.format", "unknown" },
        { MESSAGES(SYSTEM("\"s\"", ",\"clear_at\":\"noon\"")), "messages[0].clear_at",
          "one of: never, next_user_message" },
        { MESSAGES("{\"role\":\"user\",\"content\":\"a\"" EFFORT("\"low\"") "}"),
          "messages[0].output_config", "only messages of system" },
        { MESSAGES("{\"role\":\"assistant\",\"content\":\"a\",\"clear_at\":\"never\"}"),
          "messages[0].clear_at", "only messages of system" },
        { MESSAGES(SYSTEM("[]", EFFORT("null"))), "messages[0].content", "empty" },
        { MESSAGES("{\"role\":\"system\",\"output_config\":{}}"), "messages[0].content",
          "missing" },
        { MESSAGES(SYSTEM("[]", EFFORT("\"low\""))), "messages", "say nothing" },
        { MESSAGES(USER("\"a\"") "," ASSISTANT("\"b\"") "," SYSTEM("[]", EFFORT("\"low\""))),
          "messages[2]", "prefill" },
        { MESSAGES(SYSTEM("[{\"type\":\"tool_addition\",\"tool\":{}}]", "")),
          "messages[0].content[0].type", "tool_addition blocks are not supported" },
    };
    CHECK_ALL_BAD(&ant_messages, rows);
}

static void refuses_bad_messages(void)
{
    static const struct bad rows[] = {
        { MESSAGES("{\"content\":\"a\"}"), "messages[0].role", "missing" },
        { MESSAGES("{\"role\":\"tool\",\"content\":\"a\"}"), "messages[0].role",
          "one of: user, assistant, system" },
        { MESSAGES("{\"role\":\"user\"}"), "messages[0].content", "missing" },
        { MESSAGES("{\"role\":\"user\",\"content\":\"a\",\"name\":\"b\"}"), "messages[0].name",
          "unknown" },
        { MESSAGES(USER("5")), "messages[0].content", "a string or an array of blocks" },
        { MESSAGES(USER("[]")), "messages[0].content", "empty" },
        { MESSAGES(USER("[\"a\"]")), "messages[0].content[0]", "an object" },
        { MESSAGES(USER("[{}]")), "messages[0].content[0].type", "missing" },
        { MESSAGES(USER("[{\"type\":\"smell\"}]")), "messages[0].content[0].type", "\"smell\"" },
        { MESSAGES(USER("[{\"type\":\"text\",\"text\":1}]")), "messages[0].content[0].text",
          "a string" },
        { MESSAGES(USER("[{\"type\":\"text\",\"text\":\"a\",\"x\":1}]")),
          "messages[0].content[0].x", "unknown" },
        { MESSAGES(USER("[" CALL("c") "]")), "messages[0].content[0].type", "no place here" },
        { MESSAGES(USER("[{\"type\":\"thinking\"}]")), "messages[0].content[0].type", "no place" },
        { MESSAGES("{\"role\":\"system\",\"content\":[{\"type\":\"image\"}]}"),
          "messages[0].content[0].type", "no place" },
        { MESSAGES(ASSISTANT("[{\"type\":\"image\"}]")), "messages[0].content[0].type",
          "no place" },
        { MESSAGES(ASSISTANT("[{\"type\":\"thinking\"}]")), "messages[0].content[0].thinking",
          "missing" },
        { MESSAGES(ASSISTANT("[{\"type\":\"redacted_thinking\"}]")),
          "messages[0].content[0].data", "missing" },
        { MESSAGES(ASSISTANT("[{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"f\"}]")),
          "messages[0].content[0].input", "missing" },
        { MESSAGES(ASSISTANT("[{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"f\",\"input\":3}]")),
          "messages[0].content[0].input", "an object" },
        { MESSAGES(USER("[" RESULT("c", "") "]")), "messages[0].content[0].tool_use_id",
          "answers no tool_use" },
        { MESSAGES(ASSISTANT("[" CALL("c") "]") ","
                   USER("[{\"type\":\"text\",\"text\":\"a\"}," RESULT("c", "") "]")),
          "messages[1].content[1]", "before all others" },
        { MESSAGES(ASSISTANT("[" CALL("c") "]") ","
                   USER("[" RESULT("c", ",\"is_error\":1") "]")),
          "messages[1].content[0].is_error", "boolean" },
        { MESSAGES(ASSISTANT("[" CALL("c") "]") ","
                   USER("[" RESULT("c", ",\"content\":[{\"type\":\"search_result\"}]") "]")),
          "messages[1].content[0].content[0].type", "not supported" },
        { MESSAGES(ASSISTANT("[" CALL("c") "]") ","
                   USER("[" RESULT("c", ",\"content\":[{\"type\":\"tool_reference\"}]") "]")),
          "messages[1].content[0].content[0].tool_name", "missing" },
        { MESSAGES(ASSISTANT("[" CALL("c") "]") ","
                   USER("[" RESULT("c", ",\"content\":[" FOUND("f", ",\"x\":1") "]") "]")),
          "messages[1].content[0].content[0].x", "unknown" },
        { MESSAGES(USER("[" FOUND("f", "") "]")), "messages[0].content[0].type", "not supported" },
    };
    CHECK_ALL_BAD(&ant_messages, rows);
}

#define IMAGE(source) MESSAGES(USER("[{\"type\":\"image\",\"source\":{" source "}}]"))
#define TOOL(members) WITH("\"tools\":[{\"name\":\"f\",\"input_schema\":{}" members "}]")

static void refuses_bad_images_and_tools(void)
{
    static const char at[] = "messages[0].content[0].source";
    static const struct bad rows[] = {
        { MESSAGES(USER("[{\"type\":\"image\"}]")), at, "missing" },
        { IMAGE("\"type\":\"url\""), "messages[0].content[0].source.url", "missing" },
        { IMAGE("\"type\":\"base64\",\"media_type\":\"image/tiff\",\"data\":\"AA\""),
          "messages[0].content[0].source.media_type", "image/jpeg, image/png" },
        { IMAGE("\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"A A\""),
          "messages[0].content[0].source.data", "base64" },
        { IMAGE("\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"==\""),
          "messages[0].content[0].source.data", "base64" },
        { IMAGE("\"type\":\"base64\",\"media_type\":\"image/jpeg\",\"data\":\"" MEDIA_PNG "\""),
          "messages[0].content[0].source.data", "its first bytes are those of image/png" },
        { IMAGE("\"type\":\"url\",\"url\":\"u\""), "messages[0].content[0].source.url",
          "begin with https://" },
        { WITH("\"tools\":{}"), "tools", "an array" },
        { WITH("\"tools\":[{\"name\":\"f\"}]"), "tools[0].input_schema", "missing" },
        { WITH("\"tools\":[{\"name\":\"a b\",\"input_schema\":{}}]"), "tools[0].name", "letters" },
        { WITH("\"tools\":[{\"type\":3}]"), "tools[0].type", "a string" },
        { WITH("\"tools\":[{\"name\":\"f\",\"input_schema\":{}},{\"name\":\"f\","
               "\"input_schema\":{}}]"), "tools[1].name", "taken" },
        { TOOL(",\"strict\":1"), "tools[0].strict", "boolean" },
        { TOOL(",\"defer_loading\":1"), "tools[0].defer_loading", "boolean" },
        { TOOL(",\"input_examples\":[{}]"), "tools[0].input_examples", UNSUPPORTED },
        { TOOL(",\"allowed_callers\":[\"code_execution_20250825\"]"), "tools[0].allowed_callers",
          UNSUPPORTED },
        { WITH("\"tool_choice\":\"auto\""), "tool_choice", "an object" },
        { WITH("\"tool_choice\":{\"type\":\"x\"}"), "tool_choice.type", "auto, any, tool, none" },
        { WITH("\"tool_choice\":{\"type\":\"any\"}"), "tool_choice", "no tools are given" },
        { WITH("\"tool_choice\":{\"type\":\"tool\"}"), "tool_choice.name", "missing" },
        { WITH("\"tool_choice\":{\"type\":\"auto\",\"name\":\"f\"}"), "tool_choice.name",
          "unknown" },
        { WITH("\"tool_choice\":{\"type\":\"auto\",\"disable_parallel_tool_use\":1}"),
          "tool_choice.disable_parallel_tool_use", "boolean" },
        { WITH("\"tools\":[{\"name\":\"f\",\"input_schema\":{}}],\"tool_choice\":"
               "{\"type\":\"tool\",\"name\":\"g\"}"), "tool_choice", "no tool is named \"g\"" },
    };
    CHECK_ALL_BAD(&ant_messages, rows);
}

static void reads_the_settings(void)
{
    struct trial t = decode(WITH(
        "\"stream\":true,\"temperature\":0.5,\"top_p\":0.25,\"top_k\":7,\"stop_sequences\":[\"a\","
        "\"b\"],\"metadata\":{\"user_id\":\"u\"},\"service_tier\":\"standard_only\",\"speed\":"
        "\"standard\",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024,\"display\":"
        "\"omitted\"},\"output_config\":{\"effort\":\"max\",\"format\":{\"type\":\"json_schema\","
        "\"schema\":{\"type\":\"object\"}}},\"cache_control\":{\"type\":\"ephemeral\"},"
        "\"context_management\":{\"edits\":[{\"type\":\"clear_thinking_20251015\",\"keep\":"
        "\"all\"}]},\"mcp_servers\":[],\"container\":null"));
    const struct chat_request *r = &t.rq;
    CHECK(is(r->model, "m") && is(r->user, "u") && r->max_tokens == 9 && r->stream);
    CHECK_INT((int64_t)(r->sampling.temperature * 100), 50);
    CHECK_INT((int64_t)(r->sampling.top_p * 100), 25);
    CHECK(r->sampling.has_temperature && r->sampling.has_top_p && r->sampling.has_top_k);
    CHECK_INT(r->sampling.top_k, 7);
    CHECK(r->n_stops == 2 && is(r->stop[0], "a") && is(r->stop[1], "b"));
    CHECK(r->thinking && r->hide_thinking && !r->effort.n); /* how much: for no provider */
    CHECK_INT(r->format, CHAT_FORMAT_SCHEMA);
    CHECK(is(r->schema.text, "{\"type\":\"object\"}") && r->schema.strict && r->schema.name.n);
    finish(&t);
    t = decode(WITH("\"thinking\":{\"type\":\"adaptive\"},\"top_p\":0"));
    CHECK(t.rq.thinking && !t.rq.hide_thinking && t.rq.sampling.top_p > 0);
    finish(&t);
    t = decode(WITH("\"thinking\":{\"type\":\"disabled\"},\"output_format\":{\"type\":"
                    "\"json_schema\",\"schema\":{}}"));
    CHECK(!t.rq.thinking && t.rq.format == CHAT_FORMAT_SCHEMA && is(t.rq.schema.text, "{}"));
    finish(&t);
    t = decode(WITH("\"metadata\":{\"user_id\":\"{\\\"device_id\\\":\\\"x\\\"}\"}"));
    CHECK(is(t.rq.user, "e4552d03b1c31cce9609ebd45229a298"
                        "01b2da4fe891a0dcd7f5302d80fe7d74"));
    finish(&t);
    t = decode(WITH("\"system\":null,\"tools\":null,\"thinking\":null"));
    CHECK(!t.rq.thinking && t.rq.n_messages == 1 && t.rq.n_tools == 0);
    CHECK(!t.rq.sampling.has_temperature && !t.rq.sampling.has_top_p && !t.rq.stream);
    finish(&t);
}

static void reads_tools_and_choices(void)
{
#define TOOLS "\"tools\":[{\"name\":\"f\",\"description\":\"d\",\"input_schema\":{\"a\": 1}," \
              "\"strict\":true,\"cache_control\":{},\"eager_input_streaming\":true," \
              "\"allowed_callers\":[\"direct\"],\"defer_loading\":true},{\"type\":\"custom\"," \
              "\"name\":\"g\",\"input_schema\":{},\"input_examples\":[]}]"
    struct trial t = decode(WITH(TOOLS));
    CHECK_INT(t.rq.n_tools, 2);
    CHECK(is(t.rq.tools[0].name, "f") && is(t.rq.tools[0].description, "d"));
    CHECK(is(t.rq.tools[0].parameters, "{\"a\":1}") && t.rq.tools[0].strict);
    CHECK(is(t.rq.tools[1].name, "g") && !t.rq.tools[1].has_strict && !t.rq.one_call);
    CHECK_INT(t.rq.tool_choice, CHAT_CHOICE_AUTO);
    finish(&t);
    t = decode(WITH(TOOLS ",\"tool_choice\":{\"type\":\"any\","
                    "\"disable_parallel_tool_use\":true}"));
    CHECK(t.rq.tool_choice == CHAT_CHOICE_REQUIRED && t.rq.one_call);
    finish(&t);
    t = decode(WITH(TOOLS ",\"tool_choice\":{\"type\":\"tool\",\"name\":\"g\"}"));
    CHECK(t.rq.tool_choice == CHAT_CHOICE_NAMED && is(t.rq.tool_name, "g") && !t.rq.one_call);
    finish(&t);
    t = decode(WITH("\"tool_choice\":{\"type\":\"none\"}," TOOLS));
    CHECK(t.rq.tool_choice == CHAT_CHOICE_AUTO && t.rq.n_tools == 0);
    finish(&t);
}

/* What became of one part. */
static void check_part(const struct trial *t, size_t m, size_t p, enum chat_part_kind kind,
                       const char *text)
{
    CHECK(m < t->rq.n_messages && p < t->rq.messages[m].n_parts);
    const struct chat_part *part = &t->rq.messages[m].parts[p];
    if (part->kind != kind || !is(part->text, text))
        CHECK_FAIL("messages[%zu].parts[%zu]: kind %d, \"%.*s\"", m, p, (int)part->kind,
                   TG_FMT(part->text));
}

static void reads_the_conversation(void)
{
    struct trial t = decode(
        HEAD "\"system\":[{\"type\":\"text\",\"text\":\"s\",\"cache_control\":{\"type\":"
        "\"ephemeral\",\"ttl\":\"1h\"}},{\"type\":\"text\",\"text\":\"t\",\"citations\":null}],"
        "\"messages\":[" USER("[{\"type\":\"image\",\"source\":{\"type\":\"base64\","
        "\"media_type\":\"image/png\",\"data\":\"" MEDIA_PNG "\"}},{\"type\":\"image\","
        "\"source\":{\"type\":"
        "\"url\",\"url\":\"https://h/i\"}},{\"type\":\"text\",\"text\":\"what\"}]") ","
        ASSISTANT("[{\"type\":\"thinking\",\"thinking\":\"one \",\"signature\":\"x\"},{\"type\":"
        "\"redacted_thinking\",\"data\":\"zz\"},{\"type\":\"thinking\",\"thinking\":\"two\"},"
        "{\"type\":\"text\",\"text\":\"I call\"}," CALL("c1") ",{\"type\":\"tool_use\",\"id\":"
        "\"c2\",\"name\":\"g\",\"input\":{},\"caller\":{\"type\":\"direct\"}}]") ","
        USER("[" RESULT("c2", ",\"content\":[{\"type\":\"text\",\"text\":\"r\"},{\"type\":"
        "\"image\",\"source\":{\"type\":\"url\",\"url\":\"http://u\"}},{\"type\":\"text\",\"text\":"
        "\"s\"}]") ","
        RESULT("c1", ",\"content\":\"no\",\"is_error\":true") ",{\"type\":\"text\",\"text\":"
        "\"go on\"}]") ",{\"role\":\"system\",\"content\":\"later\"}]}");
    CHECK_INT(t.rq.n_messages, 7);
    static const enum chat_role roles[] = { CHAT_SYSTEM, CHAT_USER, CHAT_ASSISTANT, CHAT_TOOL,
                                            CHAT_TOOL,   CHAT_USER, CHAT_SYSTEM };
    static const size_t places[] = { 0, 1, 2, 3, 3, 3, 4 };
    for (size_t i = 0; i < 7; i++) {
        CHECK_INT(t.rq.messages[i].role, roles[i]);
        CHECK_INT(t.rq.messages[i].place, places[i]);
    }
    check_part(&t, 0, 0, CHAT_PART_TEXT, "s");
    check_part(&t, 0, 1, CHAT_PART_TEXT, "t");
    const struct chat_message *m = t.rq.messages;
    CHECK(is_media(&m[1].parts[0], "image/png", TG_STR(MEDIA_PNG_BYTES), "messages[0].content[0]"));
    CHECK(is_url(&m[1].parts[1], CHAT_PART_IMAGE, "https://h/i", "messages[0].content[1]"));
    check_part(&t, 1, 2, CHAT_PART_TEXT, "what");
    check_part(&t, 2, 0, CHAT_PART_REASONING, "one two");
    check_part(&t, 2, 1, CHAT_PART_TEXT, "I call");
    check_part(&t, 2, 2, CHAT_PART_TOOL_CALL, "{\"a\":1}");
    check_part(&t, 2, 3, CHAT_PART_TOOL_CALL, "{}");
    CHECK_INT(t.rq.messages[2].n_parts, 4);
    check_part(&t, 3, 0, CHAT_PART_TOOL_RESULT, "rs");
    CHECK(is(t.rq.messages[3].parts[0].id, "c2") && is(t.rq.messages[3].parts[0].name, "g"));
    check_part(&t, 4, 0, CHAT_PART_TOOL_RESULT, "Error: no");
    CHECK(is(t.rq.messages[4].parts[0].name, "f"));
    CHECK(is_url(&m[5].parts[0], CHAT_PART_IMAGE, "http://u",
                 "messages[2].content[0].content[1]"));
    check_part(&t, 5, 1, CHAT_PART_TEXT, "go on");
    finish(&t);
}

#define DOCUMENT(source, more)                                                                     \
    "{\"type\":\"document\",\"source\":{\"type\":" source "}" more "}"
#define PLAIN "\"text\",\"media_type\":\"text/plain\",\"data\":\"It is.\""

static void documents(void)
{
    struct trial t = decode(
        HEAD "\"messages\":[" ASSISTANT("[" CALL("c") "]") "," USER("["
        RESULT("c", ",\"content\":[" DOCUMENT(PLAIN, "") ",{\"type\":\"text\",\"text\":\"!\"}]") ","
        DOCUMENT(PLAIN, ",\"title\":\"T\",\"context\":\"C\",\"citations\":{\"enabled\":false},"
                        "\"cache_control\":{\"type\":\"ephemeral\"}") ","
        DOCUMENT("\"content\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":"
                 "\"text\",\"text\":\"b\"}]", ",\"title\":null") ","
        DOCUMENT("\"content\",\"content\":\"\"", "") "]") "]}");
    CHECK_STR(t.err.message, "");
    check_part(&t, 1, 0, CHAT_PART_TOOL_RESULT, "It is.!");
    check_part(&t, 2, 0, CHAT_PART_TEXT, "Title: T\nContext: C\n\nIt is.");
    check_part(&t, 2, 1, CHAT_PART_TEXT, "ab");
    check_part(&t, 2, 2, CHAT_PART_TEXT, "");
    finish(&t);
    static const char pdf[] = "documents by base64 are not supported in this version; send their";
    static const char at[] = "messages[0].content[0].source.type";
    static const struct bad rows[] = {
        { MESSAGES(USER("[" DOCUMENT("\"base64\",\"media_type\":\"application/pdf\",\"data\":"
                                     "\"AA==\"", "") "]")), at, pdf },
        { MESSAGES(USER("[" DOCUMENT("\"url\",\"url\":\"http://h/\"", "") "]")), at, "by url" },
        { MESSAGES(USER("[" DOCUMENT("\"file\",\"file_id\":\"f\"", "") "]")), at, "by file" },
        { MESSAGES(USER("[" DOCUMENT("\"smell\"", "") "]")), at, "one of: text, content" },
        { MESSAGES(USER("[{\"type\":\"document\"}]")), "messages[0].content[0].source",
          "missing" },
        { MESSAGES(USER("[" DOCUMENT("\"text\",\"media_type\":\"text/html\",\"data\":\"\"", "")
                        "]")), "messages[0].content[0].source.media_type", "text/plain" },
        { MESSAGES(USER("[" DOCUMENT("\"text\",\"media_type\":\"text/plain\"", "") "]")),
          "messages[0].content[0].source.data", "missing" },
        { MESSAGES(USER("[" DOCUMENT("\"text\",\"media_type\":\"text/plain\",\"data\":[]", "")
                        "]")), "messages[0].content[0].source.data", "a string" },
        { MESSAGES(USER("[" DOCUMENT("\"content\",\"content\":[{\"type\":\"image\"}]", "") "]")),
          "messages[0].content[0].source.content[0].type", "no place here" },
        { MESSAGES(USER("[" DOCUMENT(PLAIN, ",\"citations\":{\"enabled\":true}") "]")),
          "messages[0].content[0].citations.enabled", UNSUPPORTED },
        { MESSAGES(USER("[" DOCUMENT(PLAIN, ",\"title\":3") "]")), "messages[0].content[0].title",
          "a string" },
        { MESSAGES(USER("[" DOCUMENT(PLAIN, ",\"pages\":3") "]")), "messages[0].content[0].pages",
          "unknown" },
        { MESSAGES(ASSISTANT("[" DOCUMENT(PLAIN, "") "]")), "messages[0].content[0].type",
          "no place" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        check_bad(&ant_messages, &rows[i]);
}

/* What is said for a turn, and how hard to think in it. */
static void instructions_of_a_turn(void)
{
#define TURN ",\"clear_at\":\"next_user_message\""
    struct trial t = decode(MESSAGES(
        USER("\"a\"") "," SYSTEM("\"once\"", TURN EFFORT("\"max\"")) ","
        SYSTEM("\"always\"", ",\"clear_at\":\"never\"" EFFORT("null")) ","
        ASSISTANT("[" CALL("c") "]") "," USER("[" RESULT("c", ",\"content\":[" FOUND("g", "") ","
        FOUND("h", ",\"cache_control\":{\"type\":\"ephemeral\"}") "]") "]") ","
        SYSTEM("[{\"type\":\"text\",\"text\":\"now\"}]", TURN) ","
        "{\"role\":\"system\"" EFFORT("\"low\"") "}," SYSTEM("[]", EFFORT("\"high\""))));
    CHECK_STR(t.err.message, "");
    CHECK_INT(t.rq.n_messages, 5);
    CHECK(!t.rq.effort.n && !t.rq.thinking);
    static const size_t places[] = { 1, 3, 4, 5, 6 };
    for (size_t i = 0; i < 5; i++)
        CHECK_INT(t.rq.messages[i].place, places[i]);
    check_part(&t, 1, 0, CHAT_PART_TEXT, "always");
    check_part(&t, 3, 0, CHAT_PART_TOOL_RESULT, "Found the tool g.\nFound the tool h.");
    check_part(&t, 4, 0, CHAT_PART_TEXT, "now");
    finish(&t);
}

static void small_conversations(void)
{
    struct trial t = decode(HEAD "\"system\":\"\"," M "}");
    CHECK_INT(t.rq.n_messages, 1);
    check_part(&t, 0, 0, CHAT_PART_TEXT, "hi");
    finish(&t);
    t = decode(HEAD "\"system\":\"be\"," M "}");
    CHECK_INT(t.rq.n_messages, 2);
    check_part(&t, 0, 0, CHAT_PART_TEXT, "be");
    finish(&t);
    /* no thinking: the first part is what was said; results alone make no user message */
    t = decode(MESSAGES(ASSISTANT("[{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"s\"},"
                                  CALL("c") "]") "," USER("[" RESULT("c", ",\"is_error\":true")
                                  "]")));
    CHECK_INT(t.rq.n_messages, 2);
    CHECK_INT(t.rq.messages[0].n_parts, 1);
    check_part(&t, 0, 0, CHAT_PART_TOOL_CALL, "{\"a\":1}");
    check_part(&t, 1, 0, CHAT_PART_TOOL_RESULT, "Error");
    finish(&t);
    t = decode(MESSAGES(ASSISTANT("[" CALL("c") "]") "," USER("[" RESULT("c", ",\"is_error\":true,"
                        "\"content\":\" error 5\"") "]")));
    check_part(&t, 1, 0, CHAT_PART_TOOL_RESULT, " error 5");
    finish(&t);
}

static void counting_takes_less(void)
{
    static const struct bad rows[] = {
        { "{\"model\":\"m\",\"max_tokens\":9," M "}", "max_tokens", "unknown field" },
        { "{\"model\":\"m\",\"stream\":true," M "}", "stream", "unknown field" },
        { "{" M "}", "model", "missing" },
        { "{\"model\":\"m\",\"container\":\"c\"," M "}", "container", "unknown field" },
    };
    CHECK_ALL_BAD(&ant_count, rows);
    struct trial t = decode_as(&ant_count, TG_STR("{\"model\":\"m\",\"system\":\"s\"," M ","
                                                  "\"thinking\":{\"type\":\"adaptive\"},"
                                                  "\"tools\":[],\"speed\":\"standard\"}"));
    CHECK_INT(t.status, TG_OK);
    CHECK(t.rq.n_messages == 2 && t.rq.thinking);
    finish(&t);
}

static char *repeated(const char *head, const char *item, size_t n, const char *tail)
{
    size_t size = strlen(head) + n * (strlen(item) + 1) + strlen(tail) + 1;
    char *text = calloc(1, size), *at = text;
    at += snprintf(at, size, "%s", head);
    for (size_t i = 0; i < n; i++)
        at += snprintf(at, size - (size_t)(at - text), "%s%s", i ? "," : "", item);
    snprintf(at, size - (size_t)(at - text), "%s", tail);
    return text;
}

static void has_limits(void)
{
    struct {
        const char *head, *item, *tail;
        size_t n;
        struct bad bad;
    } rows[] = {
        { HEAD "\"messages\":[", USER("\"a\""), "]}", 4097,
          { NULL, "messages", "more than 4096" } },
        { HEAD M ",\"tools\":[", "{}", "]}", 513, { NULL, "tools", "more than 512" } },
        { HEAD "\"messages\":[{\"role\":\"assistant\",\"content\":[", CALL("c"), "]}]}", 2049,
          { NULL, "messages[0].content[2048]", "more than 2048 tool calls" } },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char *body = repeated(rows[i].head, rows[i].item, rows[i].n, rows[i].tail);
        rows[i].bad.body = body;
        check_bad(&ant_messages, &rows[i].bad);
        free(body);
    }
}

static const char everything[] =
    HEAD "\"system\":\"s\",\"stop_sequences\":[\"a\"],\"tools\":[{\"name\":\"f\",\"description\":"
    "\"d\",\"input_schema\":{}}],\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\"},"
    "\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":{}}},\"metadata\":"
    "{\"user_id\":\"u\"},\"messages\":[" ASSISTANT("[{\"type\":\"thinking\",\"thinking\":\"t\","
    "\"signature\":\"s\"},{\"type\":\"text\",\"text\":\"x\"}," CALL("c") "]") "," USER("["
    RESULT("c", ",\"is_error\":true,\"content\":[{\"type\":\"text\",\"text\":\"r\"},"
           FOUND("f", "") "]") ",{\"type\":\"image\",\"source\":{\"type\":"
    "\"base64\",\"media_type\":\"image/png\",\"data\":\"" MEDIA_PNG "\"}},"
    DOCUMENT(PLAIN, ",\"title\":\"T\"") "]")
    "]}";

static void survives_failing_allocations(void)
{
    check_failing_allocations(&ant_messages, everything, 10);
}

static void survives_small_arenas(void)
{
    check_small_arenas(&ant_messages, everything);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(refuses_what_is_no_request),
        CASE(refuses_wrong_values),
        CASE(refuses_by_name_what_is_not_built),
        CASE(threads_are_refused_by_their_code),
        CASE(refuses_bad_instructions),
        CASE(refuses_bad_messages),
        CASE(refuses_bad_images_and_tools),
        CASE(reads_the_settings),
        CASE(reads_tools_and_choices),
        CASE(reads_the_conversation),
        CASE(documents), CASE(small_conversations),
        CASE(instructions_of_a_turn),
        CASE(counting_takes_less),
        CASE(has_limits),
        CASE(survives_failing_allocations),
        CASE(survives_small_arenas),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
