#include "config/base/alloc.h"
#include "config/base/log.h"
#include "providers/openai_reader.h"
#include "tests/unit/check.h"
#include "tests/unit/providers/support.h"

enum { ANSWER_MAX = 1 << 16 };

#define DELTA(members) "data: {\"choices\":[{\"index\":0,\"delta\":{" members "}}]}\n\n"
#define FINISH(reason)                                                                             \
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" reason "\"}]}\n\n"
#define USAGE(members) "data: {\"choices\":[],\"usage\":" members "}\n\n"
#define DONE "data: [DONE]\n\n"

/* The stream in pieces of `step`, ended in good order. */
static void read_stream(struct record *r, struct tg_str in, size_t step)
{
    struct prov_reader reader;
    record_init(r);
    prov_reader_init(&reader, ANSWER_MAX, record_event, r);
    reader.salt = 1;
    for (size_t at = 0; at < in.n; at += step)
        prov_reader_feed(&reader,
                         (struct tg_str){ in.p + at, in.n - at < step ? in.n - at : step });
    prov_reader_end(&reader);
    prov_reader_free(&reader);
}

static void read_whole(struct record *r, const char *body)
{
    struct prov_reader reader;
    record_init(r);
    prov_reader_init(&reader, ANSWER_MAX, record_event, r);
    reader.salt = 1;
    prov_reader_whole(&reader, tg_str_of(body));
    prov_reader_end(&reader);
    prov_reader_free(&reader);
}

static const char *text_of(const struct tg_buf *b)
{
    return b->p ? b->p : "";
}

/* kind: 'F' and the finish, or 'E' and the error. */
static const struct row {
    const char *in, *text, *reasoning, *calls;
    char end;
    int kind;
} rows[] = {
    { DELTA("\"content\":\"a\"") FINISH("stop") DONE, "a", "", "", 'F', CHAT_FINISH_STOP },
    { FINISH("length") DONE, "", "", "", 'F', CHAT_FINISH_LENGTH },
    { FINISH("content_filter") DONE, "", "", "", 'F', CHAT_FINISH_FILTER },
    { FINISH("eos_token") DONE, "", "", "", 'F', CHAT_FINISH_STOP },
    { DELTA("\"content\":\"a\"") FINISH("stop"), "a", "", "", 'E', CHAT_ERROR_TRUNCATED },
    { DELTA("\"content\":\"a\"") DONE, "a", "", "", 'E', CHAT_ERROR_TRUNCATED },
    { DELTA("\"content\":\"a\"") FINISH("error") DONE, "a", "", "", 'E', CHAT_ERROR_TRUNCATED },
    { FINISH("stop") "data: [DONE]\n", "", "", "", 'F', CHAT_FINISH_STOP },
    { FINISH("stop") "data: [DONE]", "", "", "", 'E', CHAT_ERROR_TRUNCATED },
    { "", "", "", "", 'E', CHAT_ERROR_TRUNCATED },
    { DELTA("\"reasoning_content\":\"t\"") DELTA("\"reasoning\":\"u\"") DELTA("\"refusal\":\"no\"")
          FINISH("stop") DONE,
      "!no", "tu", "", 'F', CHAT_FINISH_STOP },
    { DELTA("\"content\":\"\",\"refusal\":null") DELTA("\"content\":\"a\",\"refusal\":\"\"")
          DELTA("\"content\":\"b\",\"refusal\":\"n\"") DELTA("\"refusal\":\"o\"")
              FINISH("stop") DONE,
      "ab!n!o", "", "", 'F', CHAT_FINISH_STOP },
    { DELTA("\"refusal\":[\"no\"]") FINISH("stop") DONE, "", "", "", 'E', CHAT_ERROR_MALFORMED },
    { DELTA("\"tool_calls\":[{\"index\":0,\"id\":\"c0\",\"function\":{\"name\":\"f\"}}]")
          DELTA("\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":\"}}]")
          DELTA("\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"1}\"}},"
                "{\"index\":1,\"id\":\"c1\",\"function\":{\"name\":\"g\",\"arguments\":\"\"}}]")
              FINISH("tool_calls") DONE,
      "", "", "0:c0:f:|0:::{\"a\":|0:::1}|1:c1:g:|1:::{}|", 'F', CHAT_FINISH_TOOL_CALLS },
    { DELTA(
          "\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":{\"x\":-0}}}]")
          DELTA("\"tool_calls\":[{\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"\"}}]")
              DELTA("\"tool_calls\":[{\"function\":{\"arguments\":\"{}\"}}]") FINISH("stop") DONE,
      "", "", "0:a:f:{\"x\":-0}|1:b:g:|1:::{}|", 'F', CHAT_FINISH_TOOL_CALLS },
    { DELTA("\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]")
          FINISH("tool_calls") DONE,
      "", "", "0:call_5692161d100b05e5:f:{}|", 'F', CHAT_FINISH_TOOL_CALLS },
    /* id and name again in each delta: told once */
    { DELTA("\"tool_calls\":[{\"index\":0,\"id\":\"c0\",\"function\":{\"name\":\"f\","
            "\"arguments\":\"{\"}}]")
          DELTA("\"tool_calls\":[{\"index\":0,\"id\":\"c0\",\"function\":{\"name\":\"f\","
                "\"arguments\":\"}\"}}]") FINISH("tool_calls") DONE,
      "", "", "0:c0:f:{|0:::}|", 'F', CHAT_FINISH_TOOL_CALLS },
    /* all calls of a stream under one index, and a piece of the second behind it */
    { DELTA("\"tool_calls\":[{\"index\":0,\"id\":\"c0\",\"function\":{\"name\":\"f\","
            "\"arguments\":\"{}\"}}]")
          DELTA("\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"f\","
                "\"arguments\":\"{\"}}]")
              DELTA("\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"}\"}}]")
                  FINISH("tool_calls") DONE,
      "", "", "0:c0:f:{}|1:c1:f:{|1:::}|", 'F', CHAT_FINISH_TOOL_CALLS },
    /* an id that comes late is none of a new call; nor is one that comes again without an index */
    { DELTA("\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]")
          DELTA("\"tool_calls\":[{\"index\":0,\"id\":\"c0\",\"function\":{\"name\":\"f\","
                "\"arguments\":\"}\"}}]") FINISH("tool_calls") DONE,
      "", "", "0:call_5692161d100b05e5:f:{|0:::}|", 'F', CHAT_FINISH_TOOL_CALLS },
    { DELTA("\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]")
          DELTA("\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\","
                "\"arguments\":\"}\"}}]") FINISH("tool_calls") DONE,
      "", "", "0:a:f:{|0:::}|", 'F', CHAT_FINISH_TOOL_CALLS },
    { DELTA("\"tool_calls\":[{\"index\":5,\"id\":\"c\",\"function\":{\"name\":\"f\"}}]"), "", "",
      "", 'E', CHAT_ERROR_MALFORMED },
    { DELTA("\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{}}]"), "", "", "", 'E',
      CHAT_ERROR_MALFORMED },
    { DELTA("\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"t\"},"
            "{\"type\":\"text\",\"text\":\"u\"}]},{\"type\":\"text\",\"text\":\"a\"}]")
          DELTA("\"content\":[{\"type\":\"reference\",\"reference_ids\":[1]},5,[]]")
              DELTA("\"content\":\"b\"") FINISH("stop") DONE,
      "ab", "tu", "", 'F', CHAT_FINISH_STOP },
    { DELTA("\"content\":[{\"type\":\"text\",\"text\":5}]"), "", "", "", 'E',
      CHAT_ERROR_MALFORMED },
    { DELTA("\"content\":7"), "", "", "", 'E', CHAT_ERROR_MALFORMED },
    { "data: {\n\n", "", "", "", 'E', CHAT_ERROR_MALFORMED },
    { "data: [1]\n\n", "", "", "", 'E', CHAT_ERROR_MALFORMED },
    { "data: {\"choices\":{}}\n\n", "", "", "", 'E', CHAT_ERROR_MALFORMED },
    { DELTA("\"content\":\"a\"") "data: {\"error\":{\"message\":\"boom\",\"code\":429}}\n\n" DONE,
      "a", "", "", 'E', CHAT_ERROR_STATUS },
    { "event: error\ndata: {\"message\":\"boom\"}\n\n" DONE, "", "", "", 'E', CHAT_ERROR_STATUS },
    { "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"other\"}}]}\n\n" FINISH("stop")
          DONE DELTA("\"content\":\"late\""),
      "", "", "", 'F', CHAT_FINISH_STOP },
    { ": keep-alive\n\ndata: {\"object\":\"ping\"}\n\n" FINISH("stop") DONE, "", "", "", 'F',
      CHAT_FINISH_STOP },
};

static void check_row(const struct row *row, size_t step)
{
    struct record r;
    read_stream(&r, tg_str_of(row->in), step);
    int kind = r.last.kind == CHAT_EVENT_FINISH ? (int)r.last.finish : (int)r.last.error;
    bool ok = strcmp(text_of(&r.text), row->text) == 0 &&
              strcmp(text_of(&r.reasoning), row->reasoning) == 0 &&
              strcmp(text_of(&r.calls), row->calls) == 0 && r.ends == 1 && r.after_end == 0 &&
              (r.last.kind == CHAT_EVENT_FINISH) == (row->end == 'F') && kind == row->kind;
    if (!ok)
        fprintf(stderr, "row %zu step %zu: text %s calls %s ends %zu kind %d/%d error %s\n",
                (size_t)(row - rows), step, text_of(&r.text), text_of(&r.calls), r.ends,
                r.last.kind, kind, text_of(&r.error));
    record_free(&r);
    CHECK(ok);
}

static void streams(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        for (size_t step = 1; step < 60; step++)
            check_row(&rows[i], step);
}

/* Cut anywhere, a good stream is an error; only with its [DONE] line is it an answer. */
static void every_prefix(void)
{
    struct tg_str in = tg_str_of(mock_sse);
    for (size_t n = 0; n <= in.n; n++) {
        struct record r;
        read_stream(&r, (struct tg_str){ in.p, n }, 17);
        bool finished = r.ends == 1 && r.last.kind == CHAT_EVENT_FINISH;
        bool truncated = r.ends == 1 && r.last.kind == CHAT_EVENT_ERROR && r.last.billed &&
                         r.last.error == CHAT_ERROR_TRUNCATED;
        record_free(&r);
        CHECK(n + 1 >= in.n ? finished : truncated);
    }
}

static void check_count(struct chat_count c, bool present, uint64_t n)
{
    CHECK_INT(c.present, present);
    CHECK_INT(c.n, n);
}

static void usage_is_present_zero_or_absent(void)
{
    struct record r;
    read_stream(&r, TG_STR(FINISH("stop") USAGE("{\"prompt_tokens\":0,\"completion_tokens\":5,"
                                                "\"prompt_tokens_details\":{\"cached_tokens\":3,"
                                                "\"audio_tokens\":2}}")
                               DONE), 9);
    CHECK_INT(r.usages, 1);
    check_count(r.usage.input, true, 0);
    check_count(r.usage.output, true, 5);
    check_count(r.usage.cached_input, true, 3);
    check_count(r.usage.audio_input, true, 2);
    check_count(r.usage.reasoning, false, 0);
    record_free(&r);
    read_stream(&r, TG_STR(USAGE("null") FINISH("stop") DONE), 9);
    CHECK_INT(r.usages, 0);
    record_free(&r);
    read_stream(&r, TG_STR(USAGE("{\"prompt_tokens\":-1,\"completion_tokens\":\"5\"}")
                               FINISH("stop") DONE), 9);
    check_count(r.usage.input, false, 0);
    check_count(r.usage.output, false, 0);
    record_free(&r);
    /* The last one counts: replaced, not added. */
    read_stream(&r, TG_STR(USAGE("{\"prompt_tokens\":4,\"completion_tokens\":1}") FINISH("stop")
                               USAGE("{\"prompt_tokens\":4,\"completion_tokens\":2}") DONE), 9);
    CHECK_INT(r.usages, 2);
    check_count(r.usage.output, true, 2);
    record_free(&r);
}

static void whole_answers(void)
{
    struct record r;
    read_whole(&r,
               "{\"choices\":[{\"message\":{\"content\":\"hi\",\"reasoning\":\"t\",\"tool_calls\":"
               "[{\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]},"
               "\"finish_reason\":\"tool_calls\"}],\"usage\":{\"prompt_tokens\":1,"
               "\"completion_tokens\":0,\"completion_tokens_details\":{\"reasoning_tokens\":9}}}");
    CHECK_STR(r.text.p, "hi");
    CHECK_STR(r.reasoning.p, "t");
    CHECK_STR(r.calls.p, "0:x:f:|0:::{}|");
    check_count(r.usage.output, true, 0);
    check_count(r.usage.reasoning, true, 9);
    CHECK_INT(r.last.kind, CHAT_EVENT_FINISH);
    CHECK_INT(r.last.finish, CHAT_FINISH_TOOL_CALLS);
    record_free(&r);
    read_whole(&r, /* without ids, under one index, under one id: each is a call */
               "{\"choices\":[{\"finish_reason\":\"stop\",\"message\":{\"tool_calls\":["
               "{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"1\"}},"
               "{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"g\",\"arguments\":\"2\"}},"
               "{\"function\":{\"name\":\"h\",\"arguments\":\"3\"}}]}}]}");
    CHECK(strstr(r.calls.p, "0:x:f:1|1:x:g:2|2:call_") && strstr(r.calls.p, ":h:3|"));
    record_free(&r);
    read_whole(&r, "{\"choices\":[{\"finish_reason\":\"stop\",\"message\":{\"content\":null,"
                   "\"refusal\":\"no\"}}]}");
    CHECK_STR(r.text.p, "!no");
    CHECK_INT(r.last.finish, CHAT_FINISH_STOP);
    record_free(&r);
    static const struct {
        const char *body;
        enum chat_error_kind kind;
    } bad[] = {
        { "", CHAT_ERROR_MALFORMED },
        { "{}", CHAT_ERROR_MALFORMED },
        { "{\"choices\":[]}", CHAT_ERROR_MALFORMED },
        { "{\"choices\":[{\"message\":{\"content\":\"x\"}}]}", CHAT_ERROR_TRUNCATED },
        { "{\"error\":\"no\"}", CHAT_ERROR_STATUS },
        { "<html>", CHAT_ERROR_MALFORMED },
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        read_whole(&r, bad[i].body);
        enum chat_error_kind kind = r.last.error;
        bool error = r.ends == 1 && r.last.kind == CHAT_EVENT_ERROR;
        record_free(&r);
        CHECK(error);
        CHECK_INT(kind, bad[i].kind);
    }
}

static void refused(struct record *r, int status, struct tg_str body)
{
    struct prov_reader reader;
    record_init(r);
    prov_reader_init(&reader, ANSWER_MAX, record_event, r);
    prov_reader_status(&reader, status, 1500, body);
    prov_reader_free(&reader);
    CHECK_INT(r->ends, 1);
    CHECK_INT(r->last.http_status, status);
    CHECK_INT(r->last.retry_after_ms, 1500);
}

static void http_errors(void)
{
    struct record r;
    static const struct {
        int status;
        struct tg_str body;
        const char *text;
        bool billed;
    } table[] = {
        { 429, TG_STR("{\"error\":{\"message\":\"slow down\"}}"), "slow down", false },
        { 401, TG_STR("{\"error\":\"bad key\"}"), "bad key", false },
        { 500, TG_STR("{\"message\":\"m\"}"), "m", false },
        { 502, TG_STR("<html>\nbad\xFF gateway"), "<html> bad? gateway", true },
        { 503, TG_STR("{\"detail\":\"d\"}"), "d", false },
        { 504, TG_STR(""), "", true },
        { 307, TG_STR("x"), "a redirect, which is not followed: check baseUrl", false },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        refused(&r, table[i].status, table[i].body);
        CHECK_STR(text_of(&r.error), table[i].text);
        CHECK_INT(r.last.billed, table[i].billed);
        record_free(&r);
    }
    char longer[4096];
    memset(longer, 'x', sizeof(longer));
    refused(&r, 400, (struct tg_str){ longer, sizeof(longer) });
    CHECK_INT(r.error.n, PROV_ERROR_TEXT_MAX - 1);
    record_free(&r);
}

struct said {
    struct prov_reader reader;
    char text[240]; /* type, code and param, and the numbers */
};

static void note_words(void *arg, const struct chat_event *e)
{
    struct said *s = arg;
    CHECK_INT(e->kind, CHAT_EVENT_ERROR);
    CHECK(!e->overflow.at_least);
    snprintf(s->text, sizeof(s->text), "%.*s|%.*s|%.*s|%s %llu %llu", TG_FMT(e->said_type),
             TG_FMT(e->said_code), TG_FMT(e->said_param), e->overflow.is ? "long" : "",
             (unsigned long long)e->overflow.tokens, (unsigned long long)e->overflow.context);
}

/* body: with ' for ". */
static void said_by(int status, const char *body, const char *want)
{
    struct said s = { .text = "" };
    char text[512];
    snprintf(text, sizeof(text), "%s", body);
    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    prov_reader_init(&s.reader, ANSWER_MAX, note_words, &s);
    if (status == 200)
        prov_reader_whole(&s.reader, tg_str_of(text));
    else
        prov_reader_status(&s.reader, status, -1, tg_str_of(text));
    prov_reader_free(&s.reader);
    CHECK_STR(s.text, want);
}

#define LONG_WORD "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void words_of_errors(void)
{
    said_by(400, "{'error':{'message':'m','type':'an_error','param':'m[0].c_d','code':'e'}}",
            "an_error|e|m[0].c_d| 0 0");
    said_by(400, "{'error':{'message':'m','type':'sk-abc','code':'a-b'}}", "||| 0 0");
    said_by(400, "{'message':'m','type':'a','code':400,'param':null}", "a||| 0 0");
    said_by(400, "{'error':{'message':'m','type':'Bad','code':'a b','param':'a/b'}}", "||| 0 0");
    said_by(400, "{'error':{'type':'a\\u0000b','code':'','param':'\\u00e9'}}", "||| 0 0");
    said_by(400, "{'error':{'type':'" LONG_WORD "','code':'" LONG_WORD "0'}}",
            LONG_WORD "||| 0 0");
    CHECK_INT(tg_log_secret(TG_STR("hidden-key-of-ours")), TG_OK);
    said_by(400, "{'error':{'code':'hidden-key-of-ours','param':'n'}}", "||n| 0 0");
    said_by(400, "{'error':'m'}", "||| 0 0");
    said_by(400, "not json", "||| 0 0");
}

static void prompts_that_are_too_long(void)
{
    said_by(400, "{'error':{'message':'m','code':'context_length_exceeded'}}",
            "|context_length_exceeded||long 0 0");
#define LLAMA(n, ctx) "{'error':{'code':400,'message':'m','type':'exceed_context_size_error'," \
                      "'n_prompt_tokens':" n ",'n_ctx':" ctx "}}"
    said_by(400, LLAMA("5000", "4096"), "exceed_context_size_error|||long 5000 4096");
    said_by(400, LLAMA("5", "4096"), "exceed_context_size_error|||long 0 0");
    said_by(400, LLAMA("0", "0"), "exceed_context_size_error|||long 0 0");
    said_by(400, LLAMA("-1", "-2"), "exceed_context_size_error|||long 0 0");
    said_by(413, "Prompt is too long: 9 tokens > 8 maximum", "|||long 0 0");
    said_by(422, "{'message':'x exceeds the context window'}", "|||long 0 0");
    said_by(500, "{'error':'the input length exceeds the context length'}", "|||long 0 0");
    said_by(200, "{'error':{'message':'its MAXIMUM CONTEXT LENGTH is 5'}}", "|||long 0 0");
    said_by(429, "{'message':'prompt is too long'}", "||| 0 0");
    said_by(500, "{'message':'failed at \"the input is too long for me\"'}", "||| 0 0");
#define WRONG "{'message':'beyond the maximum context length','param':"
    said_by(400, WRONG "'max_tokens'}", "||max_tokens| 0 0");
    said_by(400, WRONG "'messages'}", "||messages|long 0 0");
    said_by(401, "{'message':'prompt is too long'}", "||| 0 0");
    said_by(400, "{'message':'the prompt is long'}", "||| 0 0");
}

static void error_inside_a_stream(void)
{
    struct record r;
    read_stream(&r, TG_STR("data: {\"error\":{\"message\":\"m\",\"code\":429}}\n\n"), 5);
    CHECK_INT(r.last.http_status, 429);
    CHECK_STR(r.error.p, "m");
    CHECK(r.last.billed);
    record_free(&r);
}

static void limits(void)
{
    struct record r;
    struct prov_reader reader;
    record_init(&r);
    prov_reader_init(&reader, 2000, record_event, &r);
    for (int i = 0; i < 100 && !reader.ended; i++)
        prov_reader_feed(&reader, TG_STR(DELTA("\"content\":\"abcdefgh\"")));
    CHECK_INT(r.last.error, CHAT_ERROR_LIMIT);
    CHECK(r.text.n > 8 && r.text.n < 2000);
    prov_reader_free(&reader);
    record_free(&r);
}

static void held_between_events(void)
{
    struct record r;
    struct prov_reader reader;
    struct tg_str in =
        TG_STR(DELTA("\"content\":\"a\"") DELTA("\"content\":\"b\"") FINISH("stop") DONE);
    record_init(&r);
    prov_reader_init(&reader, ANSWER_MAX, record_event, &r);
    reader.held = true;
    CHECK_INT(prov_reader_feed(&reader, in), 0);
    CHECK_INT(r.events, 0);
    reader.held = false;
    CHECK_INT(prov_reader_feed(&reader, in), in.n);
    CHECK_STR(r.text.p, "ab");
    CHECK_INT(r.last.kind, CHAT_EVENT_FINISH);
    prov_reader_free(&reader);
    record_free(&r);
}

static void no_memory_for(const char *in)
{
    bool finished = false;
    for (uint64_t nth = 1; nth < 2000 && !finished; nth++) {
        struct prov_reader reader;
        struct record r;
        record_init(&r);
        tg_buf_adds(&r.text, "");
        tg_buf_adds(&r.calls, "");
        tg_buf_adds(&r.error, "");
        tg_buf_adds(&r.logprobs, "memory for what comes");
        prov_reader_init(&reader, ANSWER_MAX, record_event, &r);
        reader.logprobs = true;
        tg_alloc_fail_nth(nth);
        prov_reader_feed(&reader, tg_str_of(in));
        prov_reader_end(&reader);
        finished = tg_alloc_count() < nth;
        tg_alloc_fail_nth(0);
        prov_reader_free(&reader);
        bool ok = r.ends == 1 &&
                  (r.last.kind == CHAT_EVENT_FINISH || r.last.error == CHAT_ERROR_LIMIT);
        record_free(&r);
        CHECK(ok);
    }
    CHECK(finished);
}

static void no_memory(void)
{
    no_memory_for(rows[11].in);
    no_memory_for("data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"logprobs\":{\"content\":["
                  "{\"token\":\"a\",\"logprob\":-1,\"bytes\":[98],\"top_logprobs\":[{\"token\":"
                  "\"c\",\"logprob\":-2}]}]},\"finish_reason\":\"stop\"}]}\n\n" DONE);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(streams),       CASE(every_prefix), CASE(usage_is_present_zero_or_absent),
        CASE(whole_answers), CASE(http_errors), CASE(words_of_errors),
        CASE(prompts_that_are_too_long), CASE(error_inside_a_stream),
        CASE(limits),        CASE(held_between_events), CASE(no_memory),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
