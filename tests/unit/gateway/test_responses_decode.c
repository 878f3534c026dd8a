/* Requests of the Responses API: items to messages, fields honoured or refused by name, what is
 * gone on from, what is kept. */
#include <stdlib.h>

#include "gateway/api/openai_responses_internal.h"
#include "tests/unit/gateway/responses_talk.h"

#define IN(items) "{\"input\":[" items "]}"
#define USER(text) "{\"role\":\"user\",\"content\":\"" text "\"}"
#define CALL(id) "{\"type\":\"function_call\",\"call_id\":\"" id "\",\"name\":\"f\"," \
                 "\"arguments\":\"{}\"}"
#define OUT(id, output) \
    "{\"type\":\"function_call_output\",\"call_id\":\"" id "\",\"output\":" output "}"
#define SAID(text) "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[" \
                   "{\"type\":\"output_text\",\"text\":\"" text "\",\"annotations\":[]}]}"
#define THOUGHT(text) "{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[{\"type\":" \
                      "\"summary_text\",\"text\":\"" text "\"}]}"
#define WITH(member) "{\"input\":\"hi\"," member "}"
#define UNSUPPORTED "is not supported in this version"
#define TOOLS "\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":{\"a\":1}," \
              "\"strict\":true},{\"type\":\"function\",\"name\":\"g\"}]"

static bool is(struct tg_str s, const char *want)
{
    return tg_str_eq(s, tg_str_of(want));
}

static void items_become_messages(void)
{
    static const char *const rows[][2] = {
        { "{\"input\":\"hi\"}", "user:hi" },
        { "{\"input\":\"hi\",\"instructions\":\"be kind\"}", "system:be kind user:hi" },
        { IN(USER("a") ",{\"type\":\"message\",\"role\":\"developer\",\"content\":[{\"type\":"
             "\"input_text\",\"text\":\"b\"}]}"), "user:a developer:b" },
        { IN("{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"a\"},{\"type\":"
             "\"input_image\",\"image_url\":\"data:image/png;base64," MEDIA_PNG
             "\",\"detail\":\"auto\"},{\"type\":"
             "\"input_audio\",\"input_audio\":{\"data\":\"" MEDIA_WAV "\",\"format\":\"wav\"}}]}"),
          "user:a,<png 16 input[0].content[1]>,<wav 16 input[0].content[2]>" },
        { IN("{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"image_url\":"
             "\"https://a.example/b.png\"}]}"), "user:<https://a.example/b.png>" },
        { IN(USER("a") "," THOUGHT("t") "," SAID("b") "," CALL("c1") "," CALL("c2") ","
             OUT("c2", "\"x\"") "," OUT("c1", "\"y\"")),
          "user:a assistant:(t),b,f#c1={},f#c2={} tool:f#c2=x tool:f#c1=y" },
        { IN(SAID("a") "," SAID("b") "," USER("c")), "assistant:a assistant:b user:c" },
        { IN(CALL("c") "," SAID("b") "," OUT("c", "\"\"")), "assistant:f#c={},b tool:f#c=" },
        { IN(CALL("c") "," OUT("c", "\"1\"") "," CALL("c") "," OUT("c", "\"2\"")),
          "assistant:f#c={} tool:f#c=1 assistant:f#c={} tool:f#c=2" },
        { IN(CALL("c") "," CALL("d") ","
             OUT("c", "[{\"type\":\"input_text\",\"text\":\"1\"},{\"type\":\"input_image\","
                      "\"image_url\":\"https://u\"},"
                      "{\"type\":\"input_text\",\"text\":\"2\"}]") ","
             OUT("d", "\"3\"") "," USER("e")),
          "assistant:f#c={},f#d={} tool:f#c=12 tool:f#d=3 user:<https://u> user:e" },
        { IN("{\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"a\"},"
             "{\"type\":\"refusal\",\"refusal\":\"no\"}]}," USER("b")),
          "assistant:a,no user:b" },
        { IN("{\"type\":\"reasoning\",\"summary\":[],\"content\":[{\"type\":\"reasoning_text\","
             "\"text\":\"deep\"}]}," SAID("a")), "assistant:(deep),a" },
        { IN("{\"type\":\"reasoning\",\"summary\":[]}," SAID("a")), "assistant:a" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        check_talk(rows[i][0], rows[i][1]);
}

static void fields_are_honoured(void)
{
    struct ask t = decoded(1,
        WITH("\"model\":\"m\",\"stream\":true,\"max_output_tokens\":9,\"temperature\":0.5,"
             "\"top_p\":0.25,\"user\":\"u\"," TOOLS ",\"parallel_tool_calls\":false,"
             "\"tool_choice\":{\"type\":\"function\",\"name\":\"g\"},\"reasoning\":{\"effort\":"
             "\"low\",\"summary\":\"auto\",\"context\":\"auto\",\"mode\":\"standard\"},"
             "\"text\":{\"format\":{\"type\":\"json_schema\","
             "\"name\":\"n\",\"schema\":{\"b\":2},\"strict\":true},\"verbosity\":\"medium\"},"
             "\"include\":[\"reasoning.encrypted_content\",\"message.input_image.image_url\","
             "\"web_search_call.action.sources\",\"file_search_call.results\"],"
             "\"truncation\":\"auto\",\"client_metadata\":{\"session_id\":\"s\",\"n\":1},"
             "\"background\":false,\"service_tier\":\"auto\","
             "\"store\":false,\"metadata\":{\"k\":\"v\"},\"max_tool_calls\":3,"
             "\"stream_options\":{\"include_obfuscation\":false},\"prompt_cache_key\":\"p\","
             "\"safety_identifier\":\"s\",\"top_logprobs\":0,\"conversation\":null"));
    CHECK_STR(t.err.message, "");
    CHECK_INT(t.status, TG_OK);
    const struct chat_request *r = &t.rq;
    const struct oai_asked *asked = r->own;
    CHECK(is(r->model, "m") && r->stream && r->max_tokens == 9 && is(r->user, "u"));
    CHECK(r->sampling.temperature == 0.5 && r->sampling.top_p == 0.25);
    CHECK(r->n_tools == 2 && r->tools[0].has_strict && r->tools[0].strict);
    CHECK(!r->tools[1].has_strict && is(r->tools[0].parameters, "{\"a\":1}"));
    CHECK(r->one_call && r->tool_choice == CHAT_CHOICE_NAMED && is(r->tool_name, "g"));
    CHECK(r->thinking && asked->summary && asked->sealed && !asked->store);
    CHECK(r->format == CHAT_FORMAT_SCHEMA && is(r->schema.name, "n") && r->schema.strict);
    CHECK(is(r->schema.text, "{\"b\":2}") && !r->logprobs);
    CHECK(strstr(asked->echo.p, "\"truncation\":\"auto\""));
    done(&t);
}

static void the_request_is_repeated(void)
{
    struct ask t = decoded(1, WITH("\"temperature\":0.50,\"tools\":[{\"name\":\"g\",\"type\":"
                                   "\"function\"}],\"metadata\":{\"k\":\"v\"},\"tool_choice\":"
                                   "\"none\",\"reasoning\":{\"effort\":\"none\"}"));
    const struct oai_asked *asked = t.rq.own;
    CHECK_STR(asked->echo.p,
              ",\"instructions\":null,\"max_output_tokens\":null,\"max_tool_calls\":null,"
              "\"parallel_tool_calls\":true,\"previous_response_id\":null,\"prompt_cache_key\":"
              "null,\"reasoning\":{\"effort\":\"none\",\"summary\":null},\"safety_identifier\":"
              "null,\"service_tier\":\"default\",\"store\":true,\"temperature\":0.50,\"text\":{"
              "\"format\":{\"type\":\"text\"},\"verbosity\":\"medium\"},\"tool_choice\":\"none\","
              "\"tools\":[{\"type\":\"function\",\"name\":\"g\",\"description\":null,"
              "\"parameters\":null,\"strict\":false}],\"top_logprobs\":0,\"top_p\":null,"
              "\"truncation\":\"disabled\",\"user\":null,\"metadata\":{\"k\":\"v\"}");
    CHECK(t.rq.n_tools == 0 && !t.rq.thinking && !t.past.draft);
    done(&t);
    t = decoded(1, WITH("\"text\":{\"verbosity\":\"high\"},\"reasoning\":{\"effort\":\"xhigh\"}"));
    asked = t.rq.own;
    CHECK(is(t.rq.verbosity, "high") && is(t.rq.effort, "xhigh"));
    CHECK(strstr(asked->echo.p, "\"format\":{\"type\":\"text\"},\"verbosity\":\"high\"}"));
    done(&t);
}

static void logprobs_are_asked_for(void)
{
    struct ask t = decoded(1, WITH("\"include\":[\"message.output_text.logprobs\"]"));
    CHECK(t.status == TG_OK && t.rq.logprobs && t.rq.top_logprobs == 0);
    done(&t);
    t = decoded(1, WITH("\"top_logprobs\":2"));
    const struct oai_asked *asked = t.rq.own;
    CHECK(t.rq.logprobs && t.rq.top_logprobs == 2);
    CHECK(strstr(asked->echo.p, ",\"top_logprobs\":2,"));
    done(&t);
    t = decoded(1, WITH("\"top_logprobs\":0"));
    CHECK(t.status == TG_OK && !t.rq.logprobs);
    done(&t);
}

static void choices_leave_tools(void)
{
    struct ask t = decoded(1, WITH(TOOLS ",\"tool_choice\":{\"type\":\"allowed_tools\",\"mode\":"
                                   "\"required\",\"tools\":[{\"type\":\"function\",\"name\":"
                                   "\"g\"}]}"));
    CHECK(t.rq.n_tools == 1 && is(t.rq.tools[0].name, "g"));
    CHECK_INT(t.rq.tool_choice, CHAT_CHOICE_REQUIRED);
    done(&t);
}

static void what_is_wrong_is_named(void)
{
    static const struct bad rows[] = {
        { "", "", "the body is empty" },
        { "[]", "", "must be a JSON object" },
        { "{}", "input", "not nothing" },
        { "{\"input\":7}", "input", "not a number" },
        { IN(""), "input", "must not be empty" },
        { IN("{\"type\":\"reasoning\",\"summary\":[]}"), "input", "has nothing to answer" },
        { IN("7"), "input[0]", "an object was expected" },
        { IN("{\"type\":7}"), "input[0].type", "a string was expected" },
        { IN("{\"type\":\"web_search_call\"}"), "input[0].type", "web_search_call items are not" },
        { IN("{\"type\":\"what\"}"), "input[0].type", "unknown item type \"what\"" },
        { IN("{\"type\":\"message\"}"), "input[0].role", "is missing" },
        { IN("{\"role\":\"tool\",\"content\":\"\"}"), "input[0].role", "user, assistant" },
        { "{\"tools\":[{\"type\":\"function\",\"name\":\"g\"}],\"tool_choice\":{\"type\":"
          "\"function\",\"name\":\"g\"},\"input\":[{\"role\":\"user\"}]}",
          "input[0].content", "is missing" },
        { IN("{\"role\":\"user\"}"), "input[0].content", "is missing" },
        { IN("{\"role\":\"user\",\"content\":[]}"), "input[0].content",
          "must not be an empty array" },
        { IN("{\"role\":\"user\",\"content\":[{\"type\":\"output_text\",\"text\":\"\"}]}"),
          "input[0].content[0].type", "has no place here" },
        { IN("{\"role\":\"user\",\"content\":[{\"type\":\"input_file\",\"file_id\":\"\"}]}"),
          "input[0].content[0].type", "input_file parts are not supported" },
        { IN("{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"file_id\":\"f\"}]}"),
          "input[0].content[0].file_id", UNSUPPORTED },
        { IN("{\"role\":\"user\",\"content\":[{\"type\":\"input_image\","
             "\"image_url\":\"https://u\","
             "\"detail\":1}]}"), "input[0].content[0].detail", "a string" },
        { IN("{\"role\":\"user\",\"content\":\"a\",\"color\":1}"), "input[0].color",
          "unknown field" },
        { IN(USER("a") "," OUT("c", "\"\"")), "input[1].call_id", "No tool call found" },
        { IN(CALL("c")), "input", "No tool output found for function call c." },
        { IN(CALL("c") "," OUT("c", "7")), "input[1].output", "a string or an array" },
        { IN("{\"type\":\"reasoning\",\"encrypted_content\":\"AAAA\"}"),
          "input[0].encrypted_content", "does not come from this gateway" },
        { WITH("\"prompt\":{}"), "prompt", UNSUPPORTED },
        { WITH("\"conversation\":\"c\""), "conversation", UNSUPPORTED },
        { WITH("\"personality\":\"friendly\""), "personality", UNSUPPORTED },
        { WITH("\"background\":true"), "background", UNSUPPORTED },
        { WITH("\"truncation\":\"middle\""), "truncation", "one of: disabled, auto" },
        { WITH("\"client_metadata\":\"x\""), "client_metadata", "an object was expected" },
        { WITH("\"top_logprobs\":21"), "top_logprobs", "0 to 20" },
        { WITH("\"include\":[\"file_search_call.results\",\"x\"]"), "include[1]",
          "computer_call_output.output.image_url" },
        { WITH("\"service_tier\":\"flex\""), "service_tier", UNSUPPORTED },
        { WITH("\"prompt_cache_retention\":\"24h\""), "prompt_cache_retention", UNSUPPORTED },
        { WITH("\"access_programs\":{}"), "access_programs", UNSUPPORTED },
        { WITH("\"background_options\":{}"), "background_options", UNSUPPORTED },
        { WITH("\"image\":{}"), "image", UNSUPPORTED },
        { WITH("\"context_management\":[]"), "context_management", UNSUPPORTED },
        { WITH("\"moderation\":{}"), "moderation", UNSUPPORTED },
        { WITH("\"reasoning\":{\"mode\":\"pro\"}"), "reasoning.mode", UNSUPPORTED },
        { WITH("\"reasoning\":{\"context\":\"x\"}"), "reasoning.context", "all_turns" },
        { WITH("\"text\":{\"verbosity\":\"most\"}"), "text.verbosity", "medium, low, high" },
        { WITH("\"text\":{\"format\":{\"type\":\"json_schema\"}}"), "text.format", "no name" },
        { WITH("\"text\":{\"format\":{\"type\":\"text\",\"name\":\"n\"}}"), "text.format.name",
          "unknown field" },
        { WITH("\"stream_options\":{}"), "stream_options", "only allowed when stream" },
        { WITH("\"metadata\":{\"k\":1}"), "metadata.k", "a string was expected" },
        { WITH("\"messages\":[]"), "messages", "unknown field" },
        { WITH("\"max_output_tokens\":0"), "max_output_tokens", "from 1" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        check_bad(&rows[i], TG_INVALID, 400);
}

static void wrong_tools_are_named(void)
{
    static const struct bad rows[] = {
        { WITH("\"tools\":[{\"type\":\"x\"}]"), "tools[0].type", "x is not supported" },
        { WITH("\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"allowed_callers\":[]}]"),
          "tools[0].allowed_callers", UNSUPPORTED },
        { WITH("\"tool_choice\":\"required\""), "tool_choice", "no tools are given" },
        { WITH(TOOLS ",\"tool_choice\":{\"type\":\"mcp\"}"), "tool_choice.type", "mcp is not" },
        { WITH(TOOLS ",\"tool_choice\":{\"type\":\"allowed_tools\",\"mode\":\"auto\",\"tools\":"
               "[{\"type\":\"function\",\"name\":\"h\"}]}"), "tool_choice.tools[0]",
          "no tool is named \"h\"" },
        { WITH(TOOLS ",\"tool_choice\":{\"type\":\"allowed_tools\",\"tools\":[]}"),
          "tool_choice.mode", "is missing" },
        { WITH(TOOLS ",\"tool_choice\":{\"type\":\"allowed_tools\",\"mode\":\"none\","
               "\"tools\":[]}"), "tool_choice.mode", "one of: auto, required" },
        { WITH(TOOLS ",\"tool_choice\":{\"type\":\"allowed_tools\",\"mode\":\"auto\"}"),
          "tool_choice.tools", "is missing" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        check_bad(&rows[i], TG_INVALID, 400);
}

static void nothing_of_the_past_is_made_up(void)
{
    static const struct bad rows[] = {
        { WITH("\"previous_response_id\":\"resp_0000000000000001\""), "previous_response_id",
          "Previous response with id 'resp_0000000000000001' not found." },
        { WITH("\"previous_response_id\":\"x\""), "previous_response_id", "'x' not found" },
        { WITH("\"previous_response_id\":\"resp_00000000000000011\""), "previous_response_id",
          "not found" },
        { IN("{\"type\":\"item_reference\",\"id\":\"msg_00000000000000010000\"}"), "input[0]",
          "Item with id 'msg_00000000000000010000' not found." },
    };
    for (int with = 0; with < 2; with++) {
        store = with ? gw_responses_new(1 << 20, 1000) : NULL;
        for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
            check_bad(&rows[i], TG_NOTFOUND, rows[i].param[0] == 'i' ? 404 : 400);
        gw_responses_free(store);
        store = NULL;
    }
}

/* --- conversations --------------------------------------------------------------------------- */

/* One turn of a conversation, kept. */
static void turn(uint64_t number, const char *body, const struct api_whole *w)
{
    struct ask t = decoded(number, body);
    if (t.status)
        CHECK_FAIL("%s: %s", body, t.err.message);
    CHECK(t.past.draft != NULL);
    answered(&t, w);
    CHECK(!t.past.draft);
    done(&t);
}

#define BEFORE(n) "\"previous_response_id\":\"resp_000000000000000" n "\""

static void conversations_go_on(void)
{
    struct api_call call = { TG_STR("c1"), TG_STR("f"), TG_STR("{}") };
    struct api_whole thought = { .reasoning = TG_STR("t"), .content = TG_STR("hello") };
    struct api_whole called = { .calls = &call, .n_calls = 1 };
    store = gw_responses_new(1 << 20, 1000);
    turn(1, "{\"input\":\"hi\",\"instructions\":\"old\"}", &thought);
    turn(2, "{" BEFORE("1") ",\"input\":\"more\",\"instructions\":\"new\"}", &called);
    check_talk("{" BEFORE("2") ",\"input\":[" OUT("c1", "\"x\"") "," USER("so") "]}",
               "user:hi assistant:(t),hello user:more assistant:f#c1={} tool:f#c1=x user:so");
    static const struct bad silent = { "{" BEFORE("2") ",\"input\":\"so\"}", "input",
                                       "No tool output" };
    check_bad(&silent, TG_INVALID, 400);
    struct ask t = decoded(3, "{" BEFORE("2") ",\"store\":false,\"input\":["
                              OUT("c1", "\"x\"") "]}");
    CHECK(t.status == TG_OK && !t.past.draft);
    done(&t);
    gw_responses_free(store);
    store = NULL;
}

static void references_are_resolved(void)
{
    struct api_whole thought = { .reasoning = TG_STR("t"), .content = TG_STR("hello") };
    store = gw_responses_new(1 << 20, 1000);
    turn(1, "{\"input\":\"hi\"}", &thought);
    check_talk(IN("{\"id\":\"msg_00000000000000018000\"},{\"type\":\"item_reference\",\"id\":"
                  "\"rs_00000000000000010000\"},{\"type\":\"item_reference\",\"id\":"
                  "\"msg_00000000000000010001\"}," USER("more")),
               "user:hi assistant:(t),hello user:more");
    check_bad(&(struct bad){ IN("{\"id\":\"fc_00000000000000010001\"}"), "input[0]",
                             "not found" }, TG_NOTFOUND, 404);
    gw_responses_free(store);
    store = NULL;
}

static void input_is_kept_as_items(void)
{
    static const char body[] = IN(
        USER("a") ",{\"type\":\"message\",\"id\":\"msg_x\",\"role\":\"assistant\",\"content\":"
        "\"b\",\"status\":\"incomplete\"}," CALL("c") "," OUT("c", "\"d\""));
    store = gw_responses_new(1 << 20, 1000);
    struct ask t = decoded(0xab, body);
    CHECK_STR(t.err.message, "");
    CHECK_STR(t.past.draft->input.text,
              "[{\"id\":\"msg_00000000000000ab8000\",\"type\":\"message\",\"role\":\"user\","
              "\"content\":[{\"type\":\"input_text\",\"text\":\"a\"}],\"status\":\"completed\"},"
              "{\"id\":\"msg_x\",\"type\":\"message\",\"role\":\"assistant\",\"content\":["
              "{\"type\":\"output_text\",\"annotations\":[],\"text\":\"b\"}],\"status\":"
              "\"incomplete\"},"
              "{\"id\":\"fc_00000000000000ab8002\",\"type\":\"function_call\",\"call_id\":\"c\","
              "\"name\":\"f\",\"arguments\":\"{}\",\"status\":\"completed\"},"
              "{\"id\":\"fco_00000000000000ab8003\",\"type\":\"function_call_output\",\"call_id\":"
              "\"c\",\"output\":\"d\",\"status\":\"completed\"}]");
    CHECK(is(gw_span_id(&t.past.draft->input, 1), "msg_x"));
    CHECK(t.past.draft->number == 0xab && t.past.draft->input.n == 4);
    done(&t);
    gw_responses_free(store);
    store = NULL;
}

static void local_only_is_handed_on(void)
{
    struct api_whole w = { .content = TG_STR("a") };
    store = gw_responses_new(1 << 20, 1000);
    struct ask t = decoded(1, "{\"input\":\"secret\"}");
    t.past.local_only = true; /* as the exchange tells it */
    answered(&t, &w);
    done(&t);
    static const char *const bodies[] = {
        "{" BEFORE("1") ",\"input\":\"x\"}",
        IN("{\"id\":\"msg_00000000000000010000\"}," USER("x")),
    };
    for (size_t i = 0; i < 2; i++) {
        t = decoded(2, bodies[i]);
        CHECK(t.status == TG_OK && t.past.local_only);
        done(&t);
    }
    t = decoded(2, "{" BEFORE("1") ",\"input\":\"x\"}");
    answered(&t, &w);
    done(&t);
    t = decoded(3, "{" BEFORE("2") ",\"input\":\"x\"}"); /* through the one between */
    CHECK(t.status == TG_OK && t.past.local_only);
    done(&t);
    gw_responses_free(store);
    store = NULL;
}

/* References could name one large item very often. */
static void what_is_read_again_is_bounded(void)
{
    struct api_whole w = { .content = TG_STR("a") };
    struct tg_buf body;
    tg_buf_init(&body, 1 << 20);
    store = gw_responses_new(4000, 1000);
    turn(1, "{\"input\":\"hi\"}", &w);
    tg_buf_adds(&body, "{\"input\":[");
    for (size_t i = 0; i < 1000; i++)
        tg_buf_addf(&body, "%s{\"id\":\"msg_00000000000000010000\"}", i ? "," : "");
    tg_buf_adds(&body, "]}");
    struct ask t = decoded(2, body.p);
    CHECK(t.status == TG_NOMEM && t.err.status == 503 && strstr(t.err.message, "too large"));
    done(&t);
    tg_buf_free(&body);
    gw_responses_free(store);
    store = NULL;
}

static void looks_back_where_it_must(void)
{
    CHECK(oai_responses.looks_back(TG_STR("{\"previous_response_id\":\"\"}")));
    CHECK(oai_responses.looks_back(TG_STR("\"item_reference\"")));
    CHECK(oai_responses.looks_back(TG_STR("{\"\\u0070revious_response_id\":\"\"}")));
    CHECK(!oai_responses.looks_back(TG_STR("{\"input\":\"hi\"}")));
    CHECK(!oai_responses.looks_back((struct tg_str){ NULL, 0 }));
}

static void seals_open_and_break(void)
{
    struct chat_request rq;
    struct api_error err;
    struct tg_arena *arena = tg_arena_new(1 << 20);
    struct api_read d = { .arena = arena, .out = &rq, .err = &err };
    char text[] = "thought \xc3\xa4";
    for (size_t n = 0; n < sizeof(text); n += n == 8 ? 2 : 1) { /* whole characters */
        struct tg_buf sealed, json;
        struct tg_json *v = NULL;
        struct tg_str out = { NULL, 0 };
        tg_buf_init(&sealed, 1000);
        tg_buf_init(&json, 1000);
        CHECK(oai_seal((struct tg_str){ text, n }, &sealed) == TG_OK && sealed.n % 4 == 0);
        tg_buf_add_json(&json, tg_buf_str(&sealed));
        CHECK(tg_json_parse(tg_buf_str(&json), &v, NULL) == TG_OK);
        CHECK(oai_unseal(&d, v, &out) == TG_OK && tg_str_eq(out, (struct tg_str){ text, n }));
        tg_json_free(v);
        for (size_t i = 1; i + 1 < json.n; i++) {
            char was = json.p[i];
            json.p[i] = was == 'A' ? 'B' : 'A';
            CHECK(tg_json_parse(tg_buf_str(&json), &v, NULL) == TG_OK);
            CHECK_INT(oai_unseal(&d, v, &out), TG_INVALID);
            CHECK_STR(err.code, "invalid_encrypted_content");
            tg_json_free(v);
            json.p[i] = was;
        }
        tg_buf_free(&sealed);
        tg_buf_free(&json);
    }
    tg_arena_free(arena);
}

static void failing_allocations(void)
{
    static const char body[] = "{" BEFORE("1") "," TOOLS ",\"input\":[" USER("a") "," CALL("c") ","
                               OUT("c", "[{\"type\":\"input_text\",\"text\":\"x\"}]") ","
                               "{\"id\":\"msg_00000000000000010000\"}]}";
    struct api_whole w = { .content = TG_STR("b") };
    store = gw_responses_new(1 << 20, 1000);
    turn(1, "{\"input\":\"hi\"}", &w);
    enum tg_status status = TG_NOMEM;
    for (uint64_t nth = 1; status; nth++) {
        struct ask t = { .arena = tg_arena_new(4 << 20), .past = { .store = store, .number = 2 } };
        CHECK(nth < 1000);
        tg_alloc_fail_nth(nth);
        status = oai_responses.decode_past(tg_str_of(body), &t.past, t.arena, &t.rq, &t.err);
        tg_alloc_fail_nth(0);
        CHECK(status == TG_OK || (status == TG_NOMEM && t.err.status == 503 && !t.past.draft));
        done(&t);
    }
    for (uint64_t nth = 1; nth < 20; nth++) {
        struct ask t = decoded(1 + nth, "{\"input\":\"hi\"}");
        tg_alloc_fail_nth(nth);
        answered(&t, &w); /* kept or not, but nothing else */
        tg_alloc_fail_nth(0);
        done(&t);
    }
    gw_responses_free(store);
    store = NULL;
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(items_become_messages),
        CASE(fields_are_honoured),
        CASE(the_request_is_repeated),
        CASE(logprobs_are_asked_for),
        CASE(choices_leave_tools),
        CASE(what_is_wrong_is_named),
        CASE(wrong_tools_are_named),
        CASE(nothing_of_the_past_is_made_up),
        CASE(conversations_go_on),
        CASE(references_are_resolved),
        CASE(input_is_kept_as_items),
        CASE(local_only_is_handed_on),
        CASE(what_is_read_again_is_bounded),
        CASE(looks_back_where_it_must),
        CASE(seals_open_and_break),
        CASE(failing_allocations),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
