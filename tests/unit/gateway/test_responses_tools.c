/* Tools of the Responses API that are no plain functions: hosted ones, custom ones, namespaces and
 * lists among the items; how they are asked for, called and told back. */
#include "gateway/api/openai_responses_internal.h"
#include "tests/unit/gateway/responses_talk.h"

#define WITH(member) "{\"input\":\"hi\"," member "}"
#define TOOLS(list) "\"tools\":[" list "]"
#define FN(name) "{\"type\":\"function\",\"name\":\"" name "\"}"
#define CUSTOM(name) "{\"type\":\"custom\",\"name\":\"" name "\"}"
#define SPACE(name, list) \
    "{\"type\":\"namespace\",\"name\":\"" name "\",\"description\":\"D\",\"tools\":[" list "]}"
#define CHOICE(choice) ",\"tool_choice\":" choice
#define MORE(list) "{\"type\":\"additional_tools\",\"role\":\"developer\",\"tools\":[" list "]}"
#define N "00000000000000ab"
#define L32 "abcdefghijklmnopqrstuvwxyz_12345"

static bool is(struct tg_str s, const char *want)
{
    return tg_str_eq(s, tg_str_of(want));
}

/* The names of the tools of a request, with spaces between them. */
static void check_tools(const char *body, const char *names, const char *ignored)
{
    struct ask t = decoded(1, body);
    if (t.status)
        CHECK_FAIL("%s: %s", body, t.err.message);
    for (size_t i = 0; i < t.rq.n_tools; i++)
        tg_buf_addf(&t.text, "%s%.*s", i ? " " : "", TG_FMT(t.rq.tools[i].name));
    CHECK_STR(t.text.p ? t.text.p : "", names);
    CHECK_STR(t.rq.ignored.p, ignored);
    done(&t);
}

static void hosted_tools_are_passed_over(void)
{
    static const char *const hosted[] = {
        "web_search", "web_search_2025_08_26", "web_search_preview", "image_generation", "mcp",
        "file_search", "code_interpreter", "computer", "computer_use_preview", "local_shell",
        "shell", "tool_search", "apply_patch", "programmatic_tool_calling",
    };
    for (size_t i = 0; i < sizeof(hosted) / sizeof(*hosted); i++) {
        char body[300];
        snprintf(body, sizeof(body), WITH(TOOLS(FN("f") ",{\"type\":\"%s\",\"any\":[1]}")),
                 hosted[i]);
        check_tools(body, "f", "tools[1]");
    }
    check_tools(WITH(TOOLS("{\"type\":\"mcp\"}," FN("f") ",{\"type\":\"shell\"}")
                     CHOICE("\"required\"")), "f", "tools[0],tools[2]");
    check_tools(WITH(TOOLS("{\"type\":\"mcp\"}")), "", "tools[0]");
    check_tools(WITH(TOOLS("{\"type\":\"mcp\"}") CHOICE("\"none\"")), "", "tools[0]");
    check_tools(WITH(TOOLS(FN("f") "," FN("g") ",{\"type\":\"mcp\"}")
                     CHOICE("{\"type\":\"allowed_tools\",\"mode\":\"required\",\"tools\":["
                            "{\"type\":\"mcp\",\"server_label\":\"s\"}," FN("g") "]}")),
                "g", "tools[2]");
    check_tools(WITH("\"reasoning\":{\"context\":\"all_turns\"}," TOOLS("{\"type\":\"mcp\"}")), "",
                "reasoning.context,tools[0]");
    check_tools(WITH(TOOLS("{\"type\":\"function\",\"name\":\"f\",\"output_schema\":{}},"
                           "{\"type\":\"custom\",\"name\":\"g\",\"defer_loading\":true},"
                           "{\"type\":\"function\",\"name\":\"h\",\"defer_loading\":false}")),
                "f g h", "tools[0].output_schema,tools[1].defer_loading");
}

static void what_is_ignored_is_bounded(void)
{
    struct tg_buf body;
    tg_buf_init(&body, 1 << 16);
    tg_buf_adds(&body, "{\"input\":\"hi\",\"tools\":[");
    for (size_t i = 0; i < 100; i++)
        tg_buf_adds(&body, i ? ",{\"type\":\"mcp\"}" : "{\"type\":\"mcp\"}");
    tg_buf_adds(&body, "]}");
    struct ask t = decoded(1, body.p);
    CHECK_INT(t.status, TG_OK);
    CHECK(t.rq.ignored.n < OAI_IGNORED_MAX && t.rq.ignored.n > OAI_IGNORED_MAX - 30);
    CHECK_STR(t.rq.ignored.p + t.rq.ignored.n - 14, ",tools[19],...");
    done(&t);
    tg_buf_free(&body);
}

static void custom_tools_become_functions(void)
{
    struct ask t = decoded(1, WITH(TOOLS(
        CUSTOM("a") ",{\"type\":\"custom\",\"name\":\"b\",\"description\":\"Edits.\",\"format\":{"
        "\"type\":\"grammar\",\"syntax\":\"lark\",\"definition\":\"start: /x/\"}},{\"type\":"
        "\"custom\",\"name\":\"c\",\"format\":{\"type\":\"text\"},\"defer_loading\":false}")
        CHOICE("{\"type\":\"custom\",\"name\":\"b\"}")));
    CHECK_STR(t.err.message, "");
    CHECK_INT(t.rq.n_tools, 3);
    for (size_t i = 0; i < 3; i++)
        CHECK(is(t.rq.tools[i].parameters, "{\"type\":\"object\",\"properties\":{\"input\":{"
                                           "\"type\":\"string\"}},\"required\":[\"input\"],"
                                           "\"additionalProperties\":false}"));
    CHECK_STR(t.rq.tools[0].description.p,
              "\n\nThe text goes into the one argument \"input\", as it is.");
    CHECK_STR(t.rq.tools[1].description.p,
              "Edits.\n\nThe text goes into the one argument \"input\", as it is. It must match "
              "this grammar (lark):\nstart: /x/");
    CHECK_STR(t.rq.tools[2].description.p, t.rq.tools[0].description.p);
    CHECK(t.rq.tool_choice == CHAT_CHOICE_NAMED && is(t.rq.tool_name, "b"));
    const struct oai_asked *asked = t.rq.own;
    CHECK(strstr(asked->echo.p, "\"tools\":[" CUSTOM("a") ",{\"type\":\"custom\",\"name\":\"b\","
                                "\"description\":\"Edits.\",\"format\":{"));
    done(&t);
}

static void namespaces_become_parts_of_names(void)
{
    check_tools(WITH(TOOLS(FN("f") "," SPACE("crm", FN("f") "," CUSTOM("run")) ","
                           SPACE("mcp__x__", FN("f")) "," SPACE("e", ""))),
                "f crm__f crm__run mcp__x__f", "");
    check_tools(WITH(TOOLS(SPACE("s", FN("f") "," CUSTOM("g")))
                     CHOICE("{\"type\":\"function\",\"name\":\"f\"}")), "s__f s__g", "");
    /* 64 bytes fit; above that there is a checksum at the end, which tells apart what was cut. */
    check_tools(WITH(TOOLS(SPACE(L32, FN("abcdefghijklmnopqrstuvwxyz1234")))),
                L32 "__abcdefghijklmnopqrstuvwxyz1234", "");
    struct ask t = decoded(1, WITH(TOOLS(SPACE(L32, FN(L32) "," CUSTOM(L32 "x")))
                                   CHOICE("{\"type\":\"custom\",\"name\":\"" L32 "x\"}")));
    CHECK_STR(t.err.message, "");
    for (size_t i = 0; i < 2; i++) {
        struct tg_str name = t.rq.tools[i].name;
        CHECK(name.n == 64 && memcmp(name.p, L32 "__abcdefghijk", 45) == 0 && name.p[55] == '_');
    }
    CHECK(memcmp(t.rq.tools[0].name.p, t.rq.tools[1].name.p, 56) == 0);
    CHECK(!tg_str_eq(t.rq.tools[0].name, t.rq.tools[1].name));
    CHECK(tg_str_eq(t.rq.tool_name, t.rq.tools[1].name));
    CHECK_STR(t.rq.tools[0].description.p, "Of all tools of " L32 ": D\n\n");
    CHECK(!strstr(t.rq.tools[1].description.p, "Of all tools"));
    CHECK_STR(t.rq.tools[0].field.p, "tools[0].tools[0]");
    CHECK_STR(t.rq.tools[1].field.p, "tools[0].tools[1]");
    done(&t);
    t = decoded(1, WITH(TOOLS(FN("a") ",{\"type\":\"mcp\"}," FN("b"))));
    CHECK(!t.rq.tools[0].field.n && is(t.rq.tools[1].field, "tools[2]"));
    done(&t);
}

static void items_may_have_tools(void)
{
    check_tools("{" TOOLS(FN("f") ",{\"type\":\"mcp\"}") ",\"input\":["
                MORE(SPACE("s", CUSTOM("g")) ",{\"type\":\"tool_search\"}")
                ",{\"role\":\"user\",\"content\":\"a\"}," MORE(FN("h")) "]"
                CHOICE("{\"type\":\"function\",\"name\":\"h\"}") "}",
                "f s__g h", "tools[1],input[0].tools[1]");
    check_talk("{\"input\":[" MORE(FN("h")) ",{\"role\":\"user\",\"content\":\"a\"}]}", "user:a");
}

#define TOLD(type, name, text) \
    "{\"type\":\"" type "\",\"name\":\"" name "\",\"description\":\"" text "\"}"

static void tools_may_be_told_again(void)
{
    struct ask t = decoded(1, "{" TOOLS(TOLD("function", "f", "given")) ",\"input\":["
                              MORE(TOLD("function", "f", "item") ","
                                   SPACE("s", TOLD("function", "g", "old"))) ","
                              MORE(SPACE("s", TOLD("function", "g", "new"))
                                   "," TOLD("custom", "h", "h")) ","
                              MORE(TOLD("function", "h", "now a function"))
                              ",{\"role\":\"user\",\"content\":\"a\"}]}");
    CHECK_STR(t.err.message, "");
    CHECK_INT(t.rq.n_tools, 3);
    CHECK(is(t.rq.tools[0].description, "given"));
    CHECK(is(t.rq.tools[1].description, "Of all tools of s: D\n\nnew"));
    CHECK(is(t.rq.tools[2].description, "now a function"));
    CHECK_INT(oai_call_kind(&t.rq, TG_STR("h")), OAI_CALL);
    done(&t);
    check_bad(&(struct bad){ "{\"input\":[" MORE(FN("s__g")) "," MORE(SPACE("s", FN("g"))) "]}",
                             "input[1].tools[0].tools[0].name", "(s__g)" }, TG_INVALID, 400);
}

static void calls_are_read_back(void)
{
    check_talk("{\"input\":[{\"type\":\"function_call\",\"call_id\":\"1\",\"namespace\":\"s\","
               "\"name\":\"f\",\"arguments\":\"{}\"},{\"type\":\"custom_tool_call\",\"id\":\"x\","
               "\"call_id\":\"2\",\"name\":\"p\",\"input\":\"a \\\"b\\\"\\n\",\"status\":"
               "\"completed\",\"caller\":{\"type\":\"direct\"}},{\"type\":\"custom_tool_call\","
               "\"call_id\":\"3\",\"namespace\":\"s\",\"name\":\"p\",\"input\":\"\"},"
               "{\"type\":\"custom_tool_call_output\",\"call_id\":\"2\",\"output\":\"o\"},"
               "{\"type\":\"function_call_output\",\"call_id\":\"1\",\"output\":\"\"},"
               "{\"type\":\"custom_tool_call_output\",\"call_id\":\"3\",\"output\":[{\"type\":"
               "\"input_text\",\"text\":\"q\"}]}]}",
               "assistant:s__f#1={},p#2={\"input\":\"a \\\"b\\\"\\n\"},s__p#3={\"input\":\"\"} "
               "tool:p#2=o tool:s__f#1= tool:s__p#3=q");
}

static void what_is_wrong_is_named(void)
{
    static const struct bad rows[] = {
        { WITH(TOOLS("{\"type\":\"mcp\"}") CHOICE("\"required\"")), "tool_choice", "none can be" },
        { WITH(TOOLS(FN("f") ",{\"type\":\"web_search\"}") CHOICE("{\"type\":\"web_search\"}")),
          "tool_choice.type", "web_search is not supported" },
        { WITH(TOOLS(FN("f") ",{\"type\":\"mcp\"}")
               CHOICE("{\"type\":\"allowed_tools\",\"mode\":\"required\",\"tools\":[{\"type\":"
                      "\"mcp\"}]}")), "tool_choice", "no tools are given" },
        { WITH(TOOLS("{\"type\":\"nope\"}")), "tools[0].type", "nope is not supported" },
        { WITH(TOOLS("{}")), "tools[0].type", "is missing" },
        { WITH(TOOLS("{\"type\":\"function\",\"name\":\"f\",\"output_schema\":1}")),
          "tools[0].output_schema", "an object was expected" },
        { WITH(TOOLS(FN("f") "," CUSTOM("f"))), "tools[1].name", "taken by an earlier tool (f)" },
        { WITH(TOOLS(FN("s__f") "," SPACE("s", FN("f")))), "tools[1].tools[0].name", "(s__f)" },
        { WITH(TOOLS(SPACE("a b", FN("f")))), "tools[0].name", "letters, digits" },
        { WITH(TOOLS(SPACE("s", "{\"type\":\"mcp\"}"))), "tools[0].tools[0].type", "mcp is not" },
        { WITH(TOOLS(SPACE("s", SPACE("t", "")))), "tools[0].tools[0].type", "namespace is not" },
        { WITH(TOOLS("{\"type\":\"namespace\",\"name\":\"s\"}")), "tools[0].tools", "is missing" },
        { WITH(TOOLS("{\"type\":\"custom\"}")), "tools[0].name", "is missing" },
        { WITH(TOOLS("{\"type\":\"custom\",\"name\":\"c\",\"parameters\":{}}")),
          "tools[0].parameters", "unknown field" },
        { WITH(TOOLS("{\"type\":\"custom\",\"name\":\"c\",\"format\":{\"type\":\"grammar\","
                     "\"syntax\":\"ebnf\",\"definition\":\"\"}}")), "tools[0].format.syntax",
          "one of: lark, regex" },
        { WITH(TOOLS("{\"type\":\"custom\",\"name\":\"c\",\"format\":{\"type\":\"grammar\","
                     "\"syntax\":\"regex\"}}")), "tools[0].format.definition", "is missing" },
        { WITH(TOOLS("{\"type\":\"custom\",\"name\":\"c\",\"format\":{\"type\":\"text\","
                     "\"syntax\":\"regex\"}}")), "tools[0].format.syntax", "unknown field" },
        { WITH(TOOLS(FN("f") "," CUSTOM("c")) CHOICE("{\"type\":\"custom\",\"name\":\"f\"}")),
          "tool_choice", "no custom tool is named \"f\"" },
        { WITH(TOOLS(FN("f") "," CUSTOM("c")) CHOICE("{\"type\":\"function\",\"name\":\"c\"}")),
          "tool_choice", "no tool is named \"c\"" },
        { WITH(TOOLS(SPACE("s", FN("f")) "," SPACE("t", FN("f")))
               CHOICE("{\"type\":\"function\",\"name\":\"f\"}")), "tool_choice",
          "more than one namespace" },
        { "{\"input\":[" MORE("{\"type\":\"function\"}") "]}", "input[0].tools[0].name",
          "is missing" },
        { "{\"input\":[{\"type\":\"additional_tools\",\"role\":\"user\",\"tools\":[]}]}",
          "input[0].role", "one of: developer" },
        { "{\"input\":[" MORE(FN("f")) "]}", "input", "has nothing to answer" },
        { "{\"input\":[{\"type\":\"function_call\",\"call_id\":\"1\",\"namespace\":\"s\","
          "\"name\":\"\\u00e4\",\"arguments\":\"{}\"}]}", "input[0].name", "letters, digits" },
        { "{\"input\":[{\"type\":\"function_call\",\"call_id\":\"1\",\"namespace\":\"s t\","
          "\"name\":\"f\",\"arguments\":\"{}\"}]}", "input[0].namespace", "letters, digits" },
        { "{\"input\":[{\"type\":\"custom_tool_call\",\"call_id\":\"1\",\"name\":\"p\"}]}",
          "input[0].input", "is missing" },
        { "{\"input\":[{\"type\":\"custom_tool_call\",\"call_id\":\"1\",\"name\":\"p\",\"input\":"
          "\"\"}]}", "input", "No tool output found" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        check_bad(&rows[i], TG_INVALID, 400);
    struct tg_buf body;
    tg_buf_init(&body, 1 << 16);
    tg_buf_adds(&body, "{\"input\":\"hi\",\"tools\":[");
    for (size_t i = 0; i < 129; i++)
        tg_buf_addf(&body, "%s{\"type\":\"function\",\"name\":\"f%zu\"}", i ? "," : "", i);
    tg_buf_adds(&body, "]}");
    const struct bad many = { body.p, "tools[128]", "more than 128 tools" };
    check_bad(&many, TG_INVALID, 400);
    tg_buf_reset(&body);
    tg_buf_adds(&body, "{\"input\":\"hi\"," TOOLS(FN("f")) ",\"tool_choice\":{\"type\":"
                       "\"allowed_tools\",\"mode\":\"auto\",\"tools\":[");
    for (size_t i = 0; i < 129; i++)
        tg_buf_adds(&body, i ? "," FN("f") : FN("f"));
    tg_buf_adds(&body, "]}}");
    const struct bad allowed = { body.p, "tool_choice.tools[128]", "more than 128 tools" };
    check_bad(&allowed, TG_INVALID, 400);
    tg_buf_free(&body);
}

/* --- answers --------------------------------------------------------------------------------- */

#define ASKED "{\"stream\":true,\"input\":\"hi\"," TOOLS(FN("f") "," CUSTOM("p") "," \
              SPACE("s", FN("f") "," CUSTOM("p"))) "}"
#define CTC(i, status, input, id, more) \
    "{\"id\":\"ctc_" N i "\",\"type\":\"custom_tool_call\",\"status\":\"" status "\",\"input\":\"" \
    input "\",\"call_id\":\"" id "\",\"name\":\"p\"" more "}"
#define FC(i, status, arguments, id, more) \
    "{\"id\":\"fc_" N i "\",\"type\":\"function_call\",\"status\":\"" status "\",\"arguments\":\"" \
    arguments "\",\"call_id\":\"" id "\",\"name\":\"f\"" more "}"
#define IN_S ",\"namespace\":\"s\""

static const struct api_call calls[] = {
    { TG_STR("c0"), TG_STR("p"), TG_STR("{\"input\":\"a\\n\\\"b\\\"\"}") },
    { TG_STR("c1"), TG_STR("s__f"), TG_STR("{\"x\":1}") },
    { TG_STR("c2"), TG_STR("s__p"), TG_STR("not JSON") },
    { TG_STR("c3"), TG_STR("f"), TG_STR("{\"input\":\"x\"}") },
    { TG_STR("c4"), TG_STR("p"), TG_STR("{\"input\":\"\"}") },
    { TG_STR("c5"), TG_STR("p"), TG_STR("{\"patch\":\"x\"}") },
};
enum { N_CALLS = sizeof(calls) / sizeof(*calls) };

#define OUTPUT \
    "\"output\":[" CTC("0000", "completed", "a\\n\\\"b\\\"", "c0", "") "," \
    FC("0001", "completed", "{\\\"x\\\":1}", "c1", IN_S) "," \
    CTC("0002", "completed", "not JSON", "c2", IN_S) "," \
    FC("0003", "completed", "{\\\"input\\\":\\\"x\\\"}", "c3", "") "," \
    CTC("0004", "completed", "", "c4", "") "," \
    CTC("0005", "completed", "{\\\"patch\\\":\\\"x\\\"}", "c5", "") "],\"usage\""

static const struct api_whole whole = { .calls = calls, .n_calls = N_CALLS };

static void calls_are_told_as_they_were_asked_for(void)
{
    struct ask t = decoded(0xab, ASKED);
    struct api_answer a = answer_to(&t);
    CHECK_INT(oai_responses.whole(&a, &whole, &t.text), TG_OK);
    if (!strstr(t.text.p, OUTPUT))
        CHECK_FAIL("%s", t.text.p);
    CHECK_INT(tg_json_scan(tg_buf_str(&t.text), NULL), TG_OK);
    done(&t);
}

/* Arguments of a custom tool's call that a limit cut, and the input that is told. */
static void inputs_that_were_cut(void)
{
    static const char *const rows[][2] = {
        { "{\"input\":\"a\\nb", "a\\nb" },    { "{\"input\":\"a\\", "a" },
        { "{\"input\":\"a\\u00e", "a" },      { " { \"input\" : \"a\\u00e4", "a\xC3\xA4" },
        { "{\"input\":\"a\"", "a" },           { "{\"input\":\"", "" },
        { "{\"input\":", "{\\\"input\\\":" },
        { "{\"inpux\":\"a", "{\\\"inpux\\\":\\\"a" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char want[100];
        struct ask t = decoded(0xab, ASKED);
        struct api_answer a = answer_to(&t);
        struct api_call call = { TG_STR("c"), TG_STR("p"), tg_str_of(rows[i][0]) };
        const struct api_whole w = { .calls = &call, .n_calls = 1, .finish = CHAT_FINISH_LENGTH };
        CHECK_INT(oai_responses.whole(&a, &w, &t.text), TG_OK);
        snprintf(want, sizeof(want), "\"input\":\"%s\",\"call_id\"", rows[i][1]);
        if (!strstr(t.text.p, want))
            CHECK_FAIL("%s: %s", want, t.text.p);
        done(&t);
    }
}

static void keys_of_servers_are_not_told(void)
{
    struct ask t = decoded(0xab, WITH(TOOLS("{\"type\":\"mcp\",\"server_label\":\"s\","
                                            "\"authorization\":\"k1\",\"headers\":"
                                            "{\"a\":\"k2\"}}")));
    struct api_answer a = answer_to(&t);
    const struct api_whole w = { .content = TG_STR("a") };
    CHECK_INT(oai_responses.whole(&a, &w, &t.text), TG_OK);
    CHECK(strstr(t.text.p, "\"tools\":[{\"type\":\"mcp\",\"server_label\":\"s\"}]"));
    CHECK(!strstr(t.text.p, "k1") && !strstr(t.text.p, "k2"));
    done(&t);
}

/* All the calls as a stream tells them, in two pieces each. */
static enum tg_status stream(const struct api_answer *a, struct tg_buf *out)
{
    struct tg_buf none;
    tg_buf_init(&none, 1);
    struct api_stream s = { .content = &none, .reasoning = &none, .refusal = &none };
    tg_buf_init(&s.items, 1 << 16);
    tg_buf_init(&s.tokens, 1 << 16);
    enum tg_status status = TG_OK;
    for (uint32_t i = 0; i < 2 * N_CALLS && status == TG_OK; i++) {
        const struct api_call *call = &calls[i / 2];
        struct chat_event e = { .kind = CHAT_EVENT_TOOL_CALL, .index = i / 2,
                                .text = { call->arguments.p, 3 } };
        if (i % 2)
            e.text = (struct tg_str){ call->arguments.p + 3, call->arguments.n - 3 };
        else
            e.id = call->id;
        if (i % 2 == 0)
            e.name = call->name;
        status = oai_responses.event(a, &s, &e, out);
    }
    if (status == TG_OK)
        status = oai_responses.finish(a, &s, &whole, TG_STR(""), out);
    tg_buf_free(&s.items);
    tg_buf_free(&s.tokens);
    return status;
}

#define INPUT(n, what, prefix, i, members) \
    EVENT(n, "response." what, ",\"item_id\":\"" prefix "_" N "000" i "\",\"output_index\":" i \
          members)

static void streams_tell_inputs_at_their_end(void)
{
    static const char begun[] =
        ADDED("2", "0", CTC("0000", "in_progress", "", "c0", ""))
        ADDED("3", "1", FC("0001", "in_progress", "", "c1", IN_S))
        INPUT("4", "function_call_arguments.delta", "fc", "1", ",\"delta\":\"{\\\"x\"")
        INPUT("5", "function_call_arguments.delta", "fc", "1", ",\"delta\":\"\\\":1}\"")
        ADDED("6", "2", CTC("0002", "in_progress", "", "c2", IN_S))
        ADDED("7", "3", FC("0003", "in_progress", "", "c3", ""));
    static const char ended[] =
        INPUT("12", "custom_tool_call_input.delta", "ctc", "0", ",\"delta\":\"a\\n\\\"b\\\"\"")
        INPUT("13", "custom_tool_call_input.done", "ctc", "0", ",\"input\":\"a\\n\\\"b\\\"\"")
        DONE("14", "0", CTC("0000", "completed", "a\\n\\\"b\\\"", "c0", ""))
        INPUT("15", "function_call_arguments.done", "fc", "1",
              ",\"name\":\"f\",\"arguments\":\"{\\\"x\\\":1}\"")
        DONE("16", "1", FC("0001", "completed", "{\\\"x\\\":1}", "c1", IN_S))
        INPUT("17", "custom_tool_call_input.delta", "ctc", "2", ",\"delta\":\"not JSON\"");
    static const char empty[] =
        INPUT("22", "custom_tool_call_input.done", "ctc", "4", ",\"input\":\"\"");
    struct ask t = decoded(0xab, ASKED);
    struct api_answer a = answer_to(&t);
    CHECK_INT(stream(&a, &t.text), TG_OK);
    if (strncmp(t.text.p, begun, strlen(begun)) != 0 || !strstr(t.text.p, ended) ||
        !strstr(t.text.p, empty) || !strstr(t.text.p, OUTPUT))
        CHECK_FAIL("%s", t.text.p);
    done(&t);
}

#define BEFORE(n) "\"previous_response_id\":\"resp_000000000000000" n "\""
#define OUT(kind, id) "{\"type\":\"" kind "_output\",\"call_id\":\"" id "\",\"output\":\"" id "\"}"

static void conversations_go_on_with_them(void)
{
    store = gw_responses_new(1 << 20, 1000);
    struct ask t = decoded(1, "{" TOOLS(CUSTOM("p") "," SPACE("s", FN("f") "," CUSTOM("p")))
                              ",\"input\":[" MORE(FN("g")) ",{\"role\":\"user\",\"content\":"
                              "\"a\"}]}");
    struct api_whole w = { .calls = calls, .n_calls = 3 };
    CHECK_INT(t.status, TG_OK);
    answered(&t, &w);
    done(&t);
    t = decoded(2, "{" BEFORE("1") ",\"input\":[" OUT("custom_tool_call", "c0") ","
                   OUT("function_call", "c1") "," OUT("custom_tool_call", "c2") ",{\"id\":"
                   "\"at_00000000000000018000\"}," MORE(FN("g") "," FN("h")) "]}");
    CHECK_STR(t.err.message, "");
    CHECK(t.rq.n_tools == 2 && is(t.rq.tools[1].name, "h"));
    CHECK(is(t.rq.tools[0].field, "input[4].tools[0]")); /* the newest */
    done(&t);
    t = decoded(2, "{" BEFORE("1") ",\"input\":[" OUT("custom_tool_call", "c0") ","
                   OUT("function_call", "c1") "," OUT("custom_tool_call", "c2") "]}");
    CHECK_STR(t.err.message, "");
    CHECK_STR(talk(&t), "user:a assistant:p#c0={\"input\":\"a\\n\\\"b\\\"\"},s__f#c1={\"x\":1},"
                        "s__p#c2={\"input\":\"not JSON\"} tool:p#c0=c0 tool:s__f#c1=c1 "
                        "tool:s__p#c2=c2");
    CHECK(t.rq.n_tools == 1 && is(t.rq.tools[0].name, "g"));
    answered(&t, &(struct api_whole){ .content = TG_STR("b") });
    done(&t);
    struct gw_response *r = gw_responses_find(store, 0, 2, false, 0);
    CHECK(r && is(gw_span_id(&r->input, 0), "ctco_00000000000000028000"));
    gw_response_unref(store, r);
    check_talk("{\"input\":[{\"id\":\"ctc_00000000000000010000\"},{\"id\":"
               "\"ctco_00000000000000028000\"}]}",
               "assistant:p#c0={\"input\":\"a\\n\\\"b\\\"\"} tool:p#c0=c0");
    gw_responses_free(store);
    store = NULL;
}

static void failing_allocations(void)
{
    static const char body[] =
        "{\"stream\":true," TOOLS("{\"type\":\"mcp\"},{\"type\":\"custom\",\"name\":\"q\","
        "\"description\":\"d\",\"format\":{\"type\":\"grammar\",\"syntax\":\"lark\",\"definition\":"
        "\"x\"}}," FN("f") "," CUSTOM("p") "," SPACE("s", FN("f") "," CUSTOM("p") "," FN("h"))
        "," SPACE(L32, FN(L32))) ",\"input\":[" MORE(FN("g")) ",{\"type\":\"custom_tool_call\","
        "\"call_id\":\"1\",\"namespace\":\"s\",\"name\":\"p\",\"input\":\"x\"},"
        OUT("custom_tool_call", "1") "]}";
    enum tg_status status = TG_NOMEM;
    for (uint64_t nth = 1; status; nth++) {
        struct ask t = { .arena = tg_arena_new(4 << 20), .past = { .number = 0xab } };
        CHECK(nth < 1000);
        tg_alloc_fail_nth(nth);
        status = oai_responses.decode_past(tg_str_of(body), &t.past, t.arena, &t.rq, &t.err);
        tg_alloc_fail_nth(0);
        CHECK(status == TG_OK || (status == TG_NOMEM && t.err.status == 503));
        CHECK(status || (t.rq.n_tools == 8 && is(t.rq.ignored, "tools[0]")));
        done(&t);
    }
    for (int streamed = 0; streamed < 2; streamed++) {
        struct ask t = decoded(0xab, ASKED);
        struct api_answer a = answer_to(&t);
        status = TG_NOMEM;
        for (uint64_t nth = 1; status; nth++) {
            CHECK(nth < 1000);
            tg_buf_free(&t.text);
            tg_alloc_fail_nth(nth);
            status = streamed ? stream(&a, &t.text) : oai_responses.whole(&a, &whole, &t.text);
            tg_alloc_fail_nth(0);
            CHECK(status == TG_OK || status == TG_NOMEM);
            CHECK(status || strstr(t.text.p, OUTPUT));
        }
        done(&t);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(hosted_tools_are_passed_over),
        CASE(what_is_ignored_is_bounded),
        CASE(custom_tools_become_functions),
        CASE(namespaces_become_parts_of_names),
        CASE(items_may_have_tools),
        CASE(tools_may_be_told_again),
        CASE(calls_are_read_back),
        CASE(what_is_wrong_is_named),
        CASE(calls_are_told_as_they_were_asked_for),
        CASE(inputs_that_were_cut),
        CASE(keys_of_servers_are_not_told),
        CASE(streams_tell_inputs_at_their_end),
        CASE(conversations_go_on_with_them),
        CASE(failing_allocations),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
