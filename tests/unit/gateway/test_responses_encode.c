/* Answers of the Responses API: whole, as streams of events, failed, kept; exact bytes. */
#include "gateway/api/openai_responses_internal.h"
#include "tests/unit/gateway/responses_talk.h"

#define N "00000000000000ab"
#define ECHO ",\"e\":1"
#define HEAD(status, completed, error, details) \
    "{\"id\":\"resp_" N "\",\"object\":\"response\",\"created_at\":1000,\"status\":\"" status \
    "\",\"background\":false,\"completed_at\":" completed ",\"error\":" error \
    ",\"incomplete_details\":" details ",\"model\":\"m\\\"x\",\"output\":["
#define TAIL(usage) "],\"usage\":" usage ECHO "}"
#define BEGUN HEAD("in_progress", "null", "null", "null") TAIL("null")
#define USAGE "{\"input_tokens\":5,\"input_tokens_details\":{\"cached_tokens\":2," \
    "\"cache_write_tokens\":0},\"output_tokens\":3,\"output_tokens_details\":{" \
    "\"reasoning_tokens\":1},\"total_tokens\":8}"
#define PART_OF(tokens, text) "{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[" \
    tokens "],\"text\":\"" text "\"}"
#define PART(text) PART_OF("", text)
#define MESSAGE(i, status, parts) "{\"id\":\"msg_" N i "\",\"type\":\"message\",\"status\":\"" \
    status "\",\"role\":\"assistant\",\"content\":[" parts "]}"
#define THOUGHT(status, more) \
    "{\"id\":\"rs_" N "0000\",\"type\":\"reasoning\",\"status\":\"" status "\"," more "}"
#define CALL(i, status, arguments, id, name) \
    "{\"id\":\"fc_" N i "\",\"type\":\"function_call\",\"status\":\"" status \
    "\",\"arguments\":\"" arguments "\",\"call_id\":\"" id "\",\"name\":\"" name "\"}"
#define AT(id, i) ",\"item_id\":\"" id "\",\"output_index\":" i
#define OF(id, i) AT(id, i) ",\"content_index\":0"
#define SUM(id, i) AT(id, i) ",\"summary_index\":0"

static struct oai_asked asked;
static const struct chat_request request = { .stream = true, .own = &asked };
static const struct api_answer answer = { .id = "resp_" N, .created_s = 1000,
                                          .model = { "m\"x", 3 }, .request = &request };

/* A stream, with what the exchange keeps of it. */
static struct {
    struct api_stream s;
    struct tg_buf content, reasoning, refusal, arguments[2], out;
    struct api_call calls[2];
    size_t n_calls;
} live;

static void begin(void)
{
    memset(&live, 0, sizeof(live));
    asked = (struct oai_asked){ .echo = TG_STR(ECHO), .store = true };
    tg_buf_init(&live.s.items, 1 << 20);
    tg_buf_init(&live.s.tokens, 4 << 20);
    tg_buf_init(&live.content, 1 << 20);
    tg_buf_init(&live.reasoning, 1 << 20);
    tg_buf_init(&live.refusal, 1 << 20);
    tg_buf_init(&live.out, 1 << 20);
    for (size_t i = 0; i < 2; i++)
        tg_buf_init(&live.arguments[i], 1 << 20);
    live.s.content = &live.content;
    live.s.reasoning = &live.reasoning;
    live.s.refusal = &live.refusal;
}

static void end(void)
{
    tg_buf_free(&live.s.items);
    tg_buf_free(&live.s.tokens);
    tg_buf_free(&live.content);
    tg_buf_free(&live.reasoning);
    tg_buf_free(&live.refusal);
    tg_buf_free(&live.out);
    for (size_t i = 0; i < 2; i++)
        tg_buf_free(&live.arguments[i]);
}

/* As the exchange does: first told, then kept. */
static void says(enum chat_event_kind kind, const char *text)
{
    struct chat_event e = { .kind = kind, .text = tg_str_of(text) };
    CHECK_INT(oai_responses.event(&answer, &live.s, &e, &live.out), TG_OK);
    tg_buf_adds(kind == CHAT_EVENT_TEXT      ? &live.content
                : kind == CHAT_EVENT_REFUSAL ? &live.refusal
                                             : &live.reasoning,
                text);
}

static void calls(uint32_t i, const char *id, const char *name, const char *text)
{
    struct chat_event e = { .kind = CHAT_EVENT_TOOL_CALL, .index = i, .id = tg_str_of(id),
                            .name = tg_str_of(name), .text = tg_str_of(text) };
    CHECK_INT(oai_responses.event(&answer, &live.s, &e, &live.out), TG_OK);
    tg_buf_adds(&live.arguments[i], text);
    if (id[0])
        live.calls[i] = (struct api_call){ .id = e.id, .name = e.name };
    if (i >= live.n_calls)
        live.n_calls = i + 1;
}

static const struct chat_usage usage = { .input = { true, 5 }, .cached_input = { true, 2 },
                                         .output = { true, 3 }, .reasoning = { true, 1 } };

static struct api_whole said(enum chat_finish finish)
{
    for (size_t i = 0; i < 2; i++)
        live.calls[i].arguments = tg_buf_str(&live.arguments[i]);
    return (struct api_whole){ .content = tg_buf_str(&live.content),
                               .reasoning = tg_buf_str(&live.reasoning),
                               .refusal = tg_buf_str(&live.refusal), .calls = live.calls,
                               .n_calls = live.n_calls, .finish = finish, .usage = usage,
                               .times = { .total = 7999999999 } };
}

static void ends(enum chat_finish finish)
{
    struct api_whole w = said(finish);
    CHECK_INT(oai_responses.finish(&answer, &live.s, &w, TG_STR("{\"n\":1}"), &live.out), TG_OK);
}

static void check_whole(const struct api_whole *w, const char *want)
{
    struct tg_buf out;
    tg_buf_init(&out, 1 << 16);
    CHECK_INT(oai_responses.whole(&answer, w, &out), TG_OK);
    CHECK_STR(out.p, want);
    CHECK_INT(tg_json_scan(tg_buf_str(&out), NULL), TG_OK);
    tg_buf_free(&out);
}

static void whole_answers(void)
{
    struct api_call call = { TG_STR("c1"), TG_STR("f"), TG_STR("{\"a\":1}") };
    struct api_whole w = { .content = TG_STR("hi\n"), .reasoning = TG_STR("t"), .calls = &call,
                           .n_calls = 1, .usage = usage, .times = { .total = 7999999999 } };
    begin();
    check_whole(&w, HEAD("completed", "1007", "null", "null")
        THOUGHT("completed", "\"summary\":[],\"content\":[{\"type\":\"reasoning_text\",\"text\":"
                             "\"t\"}]") ","
        MESSAGE("0001", "completed", PART("hi\\n")) ","
        CALL("0002", "completed", "{\\\"a\\\":1}", "c1", "f") TAIL(USAGE));
    asked.summary = asked.sealed = true;
    w = (struct api_whole){ .reasoning = TG_STR("t"), .finish = CHAT_FINISH_LENGTH,
                            .usage = { .input = { true, 1 } } };
    check_whole(&w, HEAD("incomplete", "null", "null", "{\"reason\":\"max_output_tokens\"}")
        THOUGHT("incomplete", "\"summary\":[{\"type\":\"summary_text\",\"text\":\"t\"}],"
                              "\"encrypted_content\":\"dGdyMeO5ik2jGhJ9dA==\"")
        TAIL("null"));
    w = (struct api_whole){ .finish = CHAT_FINISH_FILTER };
    check_whole(&w, HEAD("incomplete", "null", "null", "{\"reason\":\"content_filter\"}")
        MESSAGE("0000", "incomplete", PART("")) TAIL("null"));
    end();
}

static void streams_begin(void)
{
    begin();
    CHECK_INT(oai_responses.begin(&answer, &live.out), TG_OK);
    CHECK_STR(live.out.p, EVENT("0", "response.created", ",\"response\":" BEGUN)
                          EVENT("1", "response.in_progress", ",\"response\":" BEGUN));
    end();
}

#define NO(text) "{\"type\":\"refusal\",\"refusal\":\"" text "\"}"

static void whole_refusals(void)
{
    struct api_whole w = { .refusal = TG_STR("n\"o") };
    begin();
    check_whole(&w, HEAD("completed", "1000", "null", "null")
        MESSAGE("0000", "completed", NO("n\\\"o")) TAIL("null"));
    w.content = TG_STR("a");
    w.finish = CHAT_FINISH_LENGTH;
    check_whole(&w, HEAD("incomplete", "null", "null", "{\"reason\":\"max_output_tokens\"}")
        MESSAGE("0000", "completed", PART("a")) ","
        MESSAGE("0001", "incomplete", NO("n\\\"o")) TAIL("null"));
    end();
}

/* A message of its own, with events of its own; behind a text, too. */
static void streams_of_refusals(void)
{
#define SAID MESSAGE("0000", "completed", PART("a"))
#define DECLINED MESSAGE("0001", "completed", NO("n\\\"o"))
#define MNO ",\"item_id\":\"msg_" N "0001\",\"output_index\":1,\"content_index\":0"
    begin();
    says(CHAT_EVENT_TEXT, "a");
    says(CHAT_EVENT_REFUSAL, "n\"");
    says(CHAT_EVENT_REFUSAL, "o");
    ends(CHAT_FINISH_STOP);
    CHECK(strstr(live.out.p, DONE("7", "0", SAID)
        ADDED("8", "1", MESSAGE("0001", "in_progress", ""))
        EVENT("9", "response.content_part.added", MNO ",\"part\":" NO(""))
        EVENT("10", "response.refusal.delta", MNO ",\"delta\":\"n\\\"\"")
        EVENT("11", "response.refusal.delta", MNO ",\"delta\":\"o\"")
        EVENT("12", "response.refusal.done", MNO ",\"refusal\":\"n\\\"o\"")
        EVENT("13", "response.content_part.done", MNO ",\"part\":" NO("n\\\"o"))
        DONE("14", "1", DECLINED)
        ": tollgate {\"n\":1}\n\n"
        EVENT("15", "response.completed", ",\"response\":"
              HEAD("completed", "1007", "null", "null") SAID "," DECLINED TAIL(USAGE))));
    end();
}

#define M "msg_" N "0001"
#define R "rs_" N "0000"
#define TOLD "\"summary\":[],\"content\":[{\"type\":\"reasoning_text\",\"text\":\"hmm\"}]"
#define RPART(text) ",\"part\":{\"type\":\"reasoning_text\",\"text\":\"" text "\"}"

static void thoughts_then_text(void)
{
    begin();
    says(CHAT_EVENT_REASONING, "h");
    says(CHAT_EVENT_REASONING, "mm");
    says(CHAT_EVENT_TEXT, "a");
    says(CHAT_EVENT_TEXT, "");
    says(CHAT_EVENT_TEXT, "b");
    ends(CHAT_FINISH_STOP);
    CHECK_STR(live.out.p,
        ADDED("2", "0", THOUGHT("in_progress", "\"summary\":[]"))
        EVENT("3", "response.content_part.added", OF(R, "0") RPART(""))
        EVENT("4", "response.reasoning_text.delta", OF(R, "0") ",\"delta\":\"h\"")
        EVENT("5", "response.reasoning_text.delta", OF(R, "0") ",\"delta\":\"mm\"")
        EVENT("6", "response.reasoning_text.done", OF(R, "0") ",\"text\":\"hmm\"")
        EVENT("7", "response.content_part.done", OF(R, "0") RPART("hmm"))
        DONE("8", "0", THOUGHT("completed", TOLD))
        ADDED("9", "1", MESSAGE("0001", "in_progress", ""))
        EVENT("10", "response.content_part.added", OF(M, "1") ",\"part\":" PART(""))
        EVENT("11", "response.output_text.delta", OF(M, "1") ",\"logprobs\":[],\"delta\":\"a\"")
        EVENT("12", "response.output_text.delta", OF(M, "1") ",\"logprobs\":[],\"delta\":\"b\"")
        EVENT("13", "response.output_text.done", OF(M, "1") ",\"logprobs\":[],\"text\":\"ab\"")
        EVENT("14", "response.content_part.done", OF(M, "1") ",\"part\":" PART("ab"))
        DONE("15", "1", MESSAGE("0001", "completed", PART("ab")))
        ": tollgate {\"n\":1}\n\n"
        EVENT("16", "response.completed", ",\"response\":"
              HEAD("completed", "1007", "null", "null") THOUGHT("completed", TOLD) ","
              MESSAGE("0001", "completed", PART("ab")) TAIL(USAGE)));
    end();
}

static void summaries_have_their_own_events(void)
{
    begin();
    asked.summary = true;
    says(CHAT_EVENT_REASONING, "h");
    CHECK_STR(live.out.p,
        ADDED("2", "0", THOUGHT("in_progress", "\"summary\":[]"))
        EVENT("3", "response.reasoning_summary_part.added",
              SUM(R, "0") ",\"part\":{\"type\":\"summary_text\",\"text\":\"\"}")
        EVENT("4", "response.reasoning_summary_text.delta", SUM(R, "0") ",\"delta\":\"h\""));
    tg_buf_reset(&live.out);
    ends(CHAT_FINISH_LENGTH);
    CHECK(strstr(live.out.p, "event: response.reasoning_summary_text.done\n"));
    CHECK(strstr(live.out.p, "event: response.reasoning_summary_part.done\n"));
    CHECK(strstr(live.out.p, DONE("7", "0", THOUGHT("incomplete",
                 "\"summary\":[{\"type\":\"summary_text\",\"text\":\"h\"}]"))));
    CHECK(strstr(live.out.p, "event: response.incomplete\n"));
    CHECK(!strstr(live.out.p, "response.completed"));
    end();
}

#define F(i) "fc_" N "000" i
#define PIECE(n, i, text) EVENT(n, "response.function_call_arguments.delta", \
                                AT(F(i), i) ",\"delta\":\"" text "\"")
#define WHOLE(n, i, name, text) EVENT(n, "response.function_call_arguments.done", \
    AT(F(i), i) ",\"name\":\"" name "\",\"arguments\":\"" text "\"")

/* Pieces of calls may come mixed: calls end at the end. */
static void calls_come_mixed(void)
{
    begin();
    calls(0, "c0", "f", "");
    calls(1, "c1", "g", "[");
    calls(0, "", "", "{}");
    calls(1, "", "", "]");
    ends(CHAT_FINISH_TOOL_CALLS);
    CHECK_STR(live.out.p,
        ADDED("2", "0", CALL("0000", "in_progress", "", "c0", "f"))
        ADDED("3", "1", CALL("0001", "in_progress", "", "c1", "g"))
        PIECE("4", "1", "[") PIECE("5", "0", "{}") PIECE("6", "1", "]")
        WHOLE("7", "0", "f", "{}") DONE("8", "0", CALL("0000", "completed", "{}", "c0", "f"))
        WHOLE("9", "1", "g", "[]") DONE("10", "1", CALL("0001", "completed", "[]", "c1", "g"))
        ": tollgate {\"n\":1}\n\n"
        EVENT("11", "response.completed", ",\"response\":"
              HEAD("completed", "1007", "null", "null")
              CALL("0000", "completed", "{}", "c0", "f") ","
              CALL("0001", "completed", "[]", "c1", "g") TAIL(USAGE)));
    end();
}

/* Text on both sides of a call is two messages, each with its own text. */
static void kinds_alternate(void)
{
    begin();
    says(CHAT_EVENT_TEXT, "one");
    calls(0, "c0", "f", "{}");
    says(CHAT_EVENT_TEXT, "two");
    says(CHAT_EVENT_REASONING, "t");
    says(CHAT_EVENT_TEXT, "three");
    ends(CHAT_FINISH_LENGTH);
    CHECK(strstr(live.out.p,
        HEAD("incomplete", "null", "null", "{\"reason\":\"max_output_tokens\"}")
        MESSAGE("0000", "completed", PART("one")) ","
        CALL("0001", "completed", "{}", "c0", "f") ","
        MESSAGE("0002", "completed", PART("two")) ","));
    CHECK(strstr(live.out.p, MESSAGE("0004", "incomplete", PART("three")) TAIL(USAGE)));
    end();
}

static void nothing_said_is_an_empty_message(void)
{
    begin();
    ends(CHAT_FINISH_STOP);
    CHECK(strstr(live.out.p, ADDED("2", "0", MESSAGE("0000", "in_progress", ""))));
    CHECK(strstr(live.out.p, DONE("6", "0", MESSAGE("0000", "completed", PART("")))));
    end();
}

static void failures(void)
{
    struct api_error e = { .status = 502, .type = "upstream_error", .code = "truncated",
                           .param = "p", .message = "it \"broke\"" };
    struct api_stream unused = { 0 };
    begin();
    says(CHAT_EVENT_TEXT, "a");
    tg_buf_reset(&live.out);
    CHECK_INT(oai_responses.failed(&answer, &live.s, &e, TG_STR("{}"), &live.out), TG_OK);
    CHECK_STR(live.out.p, ": tollgate {}\n\n" EVENT("5", "response.failed", ",\"response\":"
        HEAD("failed", "null", "{\"code\":\"server_error\",\"message\":\"it \\\"broke\\\"\"}",
             "null") TAIL("null")));
    tg_buf_reset(&live.out);
    CHECK_INT(oai_responses.failed(&answer, &unused, &e, TG_STR(""), &live.out), TG_OK);
    CHECK_STR(live.out.p, EVENT("0", "error",
        ",\"code\":\"truncated\",\"message\":\"it \\\"broke\\\"\",\"param\":\"p\",\"error\":{"
        "\"message\":\"it \\\"broke\\\"\",\"type\":\"upstream_error\",\"param\":\"p\","
        "\"code\":\"truncated\"}"));
    e = (struct api_error){ 0 };
    api_overflow(&oai_responses, &(struct chat_overflow){ .is = true }, "told", &e);
    tg_buf_reset(&live.out);
    CHECK_INT(oai_responses.failed(&answer, &live.s, &e, TG_STR(""), &live.out), TG_OK);
    CHECK(strstr(live.out.p, "\"error\":{\"code\":\"context_length_exceeded\",\"message\":"
                             "\"the input exceeds the context window: told\"}"));
    end();
}

/* What is kept is what was told, with the places of its items. */
static void streams_are_kept(void)
{
    begin();
    store = gw_responses_new(1 << 20, 1000);
    struct gw_past past = { .store = store, .number = 0xab };
    past.draft = gw_response_new(NULL);
    past.draft->number = past.number;
    says(CHAT_EVENT_TEXT, "one");
    calls(0, "c0", "f", "{}");
    ends(CHAT_FINISH_TOOL_CALLS);
    struct api_whole w = said(CHAT_FINISH_TOOL_CALLS);
    oai_responses.keep(&answer, &live.s, &w, &past);
    CHECK(!past.draft);
    struct gw_response *r = gw_responses_find(store, 0, 0xab, true, 0);
    CHECK(r && r->output.n == 2);
    CHECK(strstr(live.out.p, r->output.text));
    CHECK(tg_str_eq(gw_span_text(&r->output, 1),
                    TG_STR(CALL("0001", "completed", "{}", "c0", "f"))));
    CHECK(tg_str_eq(gw_span_id(&r->output, 0), TG_STR("msg_" N "0000")));
    gw_response_unref(store, r);
    gw_responses_free(store);
    store = NULL;
    end();
}

/* --- logprobs -------------------------------------------------------------------------------- */

#define TOKEN(text, bytes, more) \
    "{\"token\":\"" text "\",\"logprob\":-0.5,\"bytes\":[" bytes "]" more "}"
#define TOKEN_A TOKEN("a", "97", ",\"top_logprobs\":[" TOKEN("c", "99", "") "]")
#define TOKEN_B TOKEN("b", "98", ",\"top_logprobs\":[]")
#define TOKENS(list) ",\"logprobs\":[" list "]"

static const struct chat_top other = { { "c", 1 }, -0.5 };
static const struct chat_logprob token_a = { { { "a", 1 }, -0.5 }, &other, 1 };
static const struct chat_logprob token_b = { { { "b", 1 }, -0.5 }, NULL, 0 };

static void says_token(const char *text, const struct chat_logprob *token)
{
    struct chat_event e = { .kind = CHAT_EVENT_TEXT, .text = tg_str_of(text), .logprobs = token,
                            .n_logprobs = 1 };
    CHECK_INT(oai_responses.event(&answer, &live.s, &e, &live.out), TG_OK);
    tg_buf_adds(&live.content, text);
}

static void whole_answers_have_logprobs(void)
{
    struct chat_logprobs second = { &token_b, 1, NULL }, first = { &token_a, 1, &second };
    struct api_whole w = { .content = TG_STR("ab"), .reasoning = TG_STR("t"), .logprobs = &first,
                           .usage = usage, .times = { .total = 7999999999 } };
    begin();
    check_whole(&w, HEAD("completed", "1007", "null", "null")
        THOUGHT("completed", "\"summary\":[],\"content\":[{\"type\":\"reasoning_text\",\"text\":"
                             "\"t\"}]") ","
        MESSAGE("0001", "completed", PART_OF(TOKEN_A "," TOKEN_B, "ab")) TAIL(USAGE));
    end();
}

#define M0 "msg_" N "0000"

#define THREE TOKEN_A "," TOKEN_B "," TOKEN_B

/* A token may come without its text: in front of a message it waits for that. */
static void streams_tell_logprobs(void)
{
    begin();
    says_token("", &token_a);
    says_token("ab", &token_b);
    says_token("", &token_b);
    says(CHAT_EVENT_TEXT, "c");
    ends(CHAT_FINISH_STOP);
    CHECK_STR(live.out.p,
        ADDED("2", "0", MESSAGE("0000", "in_progress", ""))
        EVENT("3", "response.content_part.added", OF(M0, "0") ",\"part\":" PART(""))
        EVENT("4", "response.output_text.delta",
              OF(M0, "0") TOKENS(TOKEN_A "," TOKEN_B) ",\"delta\":\"ab\"")
        EVENT("5", "response.output_text.delta", OF(M0, "0") TOKENS(TOKEN_B) ",\"delta\":\"\"")
        EVENT("6", "response.output_text.delta", OF(M0, "0") TOKENS("") ",\"delta\":\"c\"")
        EVENT("7", "response.output_text.done", OF(M0, "0") TOKENS(THREE) ",\"text\":\"abc\"")
        EVENT("8", "response.content_part.done", OF(M0, "0") ",\"part\":" PART_OF(THREE, "abc"))
        DONE("9", "0", MESSAGE("0000", "completed", PART_OF(THREE, "abc")))
        ": tollgate {\"n\":1}\n\n"
        EVENT("10", "response.completed", ",\"response\":" HEAD("completed", "1007", "null", "null")
              MESSAGE("0000", "completed", PART_OF(THREE, "abc")) TAIL(USAGE)));
    end();
}

/* Tokens alone begin no message, and do not cut thoughts in two. */
static void tokens_without_text_are_no_item(void)
{
    begin();
    says(CHAT_EVENT_REASONING, "t");
    says_token("", &token_a);
    says_token("", &token_a);
    says(CHAT_EVENT_REASONING, "u");
    calls(0, "c0", "f", "{}");
    says_token("", &token_b);
    ends(CHAT_FINISH_TOOL_CALLS);
    CHECK(!strstr(live.out.p, "output_text"));
    CHECK(strstr(live.out.p, "\"output_index\":1") && !strstr(live.out.p, "\"output_index\":2"));
    CHECK(strstr(live.out.p, "\"text\":\"tu\""));
    end();
    begin(); /* and those of both waits come with the text */
    says_token("", &token_a);
    says(CHAT_EVENT_REASONING, "t");
    says_token("", &token_b);
    says_token("b", &token_b);
    ends(CHAT_FINISH_STOP);
    CHECK(strstr(live.out.p, TOKENS(THREE) ",\"delta\":\"b\""));
    CHECK(strstr(live.out.p, TOKENS(THREE) ",\"text\":\"b\""));
    end();
}

/* Above a mebibyte of them a stream tells each once, with its delta. */
static void too_many_tokens_are_not_told_again(void)
{
    begin();
    says_token("a", &token_a);
    for (size_t n = 0; n < 12000; n++) { /* of some 120 bytes */
        tg_buf_reset(&live.out);
        says_token("a", &token_a);
        CHECK(strstr(live.out.p, TOKENS(TOKEN_A) ",\"delta\":\"a\""));
    }
    CHECK(live.s.tokens.n < 1000);
    tg_buf_reset(&live.out);
    ends(CHAT_FINISH_STOP);
    CHECK(strstr(live.out.p, TOKENS("") ",\"text\":\"aaa"));
    CHECK(!strstr(live.out.p, "\"token\""));
    end();
}

/* Tokens belong to the message that they came in; what is kept has none. */
static void messages_have_their_own_logprobs(void)
{
    begin();
    store = gw_responses_new(1 << 20, 1000);
    struct gw_past past = { .store = store, .number = 0xab };
    past.draft = gw_response_new(NULL);
    past.draft->number = past.number;
    says_token("a", &token_a);
    calls(0, "c0", "f", "{}");
    says_token("b", &token_b);
    says_token("b", &token_b);
    ends(CHAT_FINISH_STOP);
    CHECK(strstr(live.out.p, HEAD("completed", "1007", "null", "null")
                             MESSAGE("0000", "completed", PART_OF(TOKEN_A, "a")) ","
                             CALL("0001", "completed", "{}", "c0", "f") ","
                             MESSAGE("0002", "completed", PART_OF(TOKEN_B "," TOKEN_B, "bb"))));
    struct api_whole w = said(CHAT_FINISH_STOP);
    oai_responses.keep(&answer, &live.s, &w, &past);
    struct gw_response *r = gw_responses_find(store, 0, 0xab, true, 0);
    CHECK(r && tg_str_eq(gw_span_text(&r->output, 2),
                         TG_STR(MESSAGE("0002", "completed", PART("bb")))));
    gw_response_unref(store, r);
    gw_responses_free(store);
    store = NULL;
    end();
}

/* Each is told by the status: what was printed is thrown away then. */
static void failing_allocations(void)
{
    enum tg_status status = TG_NOMEM;
    for (uint64_t nth = 1; status; nth++) {
        CHECK(nth < 100);
        struct chat_event e = { .kind = CHAT_EVENT_TEXT, .text = TG_STR("a"),
                                .logprobs = &token_a, .n_logprobs = 1 };
        begin();
        tg_alloc_fail_nth(nth);
        status = oai_responses.event(&answer, &live.s, &e, &live.out);
        if (status == TG_OK) {
            tg_buf_adds(&live.content, "a");
            struct api_whole w = said(CHAT_FINISH_STOP);
            status = oai_responses.finish(&answer, &live.s, &w, TG_STR(""), &live.out);
        }
        tg_alloc_fail_nth(0);
        CHECK(status == TG_OK || status == TG_NOMEM);
        CHECK(status || strstr(live.out.p, TAIL(USAGE) "}\n\n"));
        CHECK(status || strstr(live.out.p, OF(M0, "0") TOKENS(TOKEN_A) ",\"text\":"));
        end();
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(whole_answers),
        CASE(whole_refusals),
        CASE(streams_of_refusals),
        CASE(streams_begin),
        CASE(thoughts_then_text),
        CASE(summaries_have_their_own_events),
        CASE(calls_come_mixed),
        CASE(kinds_alternate),
        CASE(nothing_said_is_an_empty_message),
        CASE(failures),
        CASE(streams_are_kept),
        CASE(whole_answers_have_logprobs),
        CASE(streams_tell_logprobs),
        CASE(tokens_without_text_are_no_item),
        CASE(too_many_tokens_are_not_told_again),
        CASE(messages_have_their_own_logprobs),
        CASE(failing_allocations),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
