/* What went wrong elsewhere with answers of this family, a case each: stray channels, thoughts
 * behind tool results, markers in content, calls that never end, values that come back changed. */
#include "config/base/alloc.h"
#include "config/base/utf8.h"
#include "local_engine/reply.h"
#include "local_engine/template.h"
#include "tests/unit/check.h"
#include "tests/unit/engine/support_text.h"

static struct le_tokenizer *tokenizer;

/* An answer put together: deltas of each kind joined, calls as name(arguments) with a semicolon. */
struct said {
    struct tg_buf part[3];
    size_t bad;
};

static void collect(void *arg, const struct le_delta *delta)
{
    struct said *s = arg;
    struct tg_buf *b = &s->part[delta->kind];
    CHECK(delta->text.n > 0 && tg_utf8_valid(delta->text.p, delta->text.n));
    tg_buf_add(b, delta->text.p, delta->text.n);
    if (delta->kind == LE_DELTA_CALL)
        tg_buf_addf(b, "(%.*s);", TG_FMT(delta->arguments));
}

static void said_free(struct said *s)
{
    for (int i = 0; i < 3; i++)
        tg_buf_free(&s->part[i]);
}

static void feed_ids(const struct le_ids *ids, bool in_thought, struct said *s)
{
    struct le_reply *r = le_reply_new(tokenizer, in_thought);
    CHECK(r != NULL);
    for (int i = 0; i < 3; i++) {
        tg_buf_init(&s->part[i], 1 << 24);
        tg_buf_adds(&s->part[i], "");
    }
    for (size_t i = 0; i < ids->n; i++)
        CHECK_INT(le_reply_feed(r, ids->id[i], NULL, collect, s), TG_OK);
    CHECK_INT(le_reply_end(r, collect, s), TG_OK);
    s->bad = le_reply_bad_calls(r);
    le_reply_free(r);
}

static void feed(const char *raw, bool in_thought, struct said *s)
{
    struct le_ids ids = { 0 };
    CHECK_INT(le_tokenizer_encode(tokenizer, tg_str_of(raw), true, &ids), TG_OK);
    feed_ids(&ids, in_thought, s);
    le_ids_free(&ids);
}

struct shape {
    const char *raw, *content, *reasoning, *calls;
    bool in_thought;
    size_t bad;
};

static void check_shapes(const struct shape *shapes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct said s;
        feed(shapes[i].raw, shapes[i].in_thought, &s);
        const char *want[] = { shapes[i].content, shapes[i].reasoning, shapes[i].calls };
        for (int k = 0; k < 3; k++)
            if (strcmp(s.part[k].p, want[k] ? want[k] : "") != 0)
                CHECK_FAIL("\"%s\", part %d: got \"%s\"", shapes[i].raw, k, s.part[k].p);
        CHECK_INT(s.bad, shapes[i].bad);
        said_free(&s);
    }
}

#define SHAPES(...)                                                                                \
    do {                                                                                           \
        static const struct shape shapes[] = { __VA_ARGS__ };                                      \
        check_shapes(shapes, sizeof(shapes) / sizeof(*shapes));                                    \
    } while (0)

#define THOUGHT(text) "<|channel>thought\n" text "<channel|>"
#define CALL(inside) "<|tool_call>call:f{" inside "}<tool_call|>"
#define Q(text) "<|\"|>" text "<|\"|>"

static void stray_channels_fail_nothing(void)
{
    SHAPES({ THOUGHT("a") "b" THOUGHT(""), "b", "a", NULL, false, 0 },
           { THOUGHT("") THOUGHT("") "b<channel|><channel|>", "b", NULL, NULL, false, 0 },
           { "<channel|>" THOUGHT("a") "b", "b", "a", NULL, false, 0 },
           { "a" CALL("x:1") "<channel|>" THOUGHT(""), "a", NULL, "f({\"x\":1});", false, 0 },
           { "<|channel><channel|>b", "b", NULL, NULL, false, 0 },
           { "<|channel>thought<|channel>thought<channel|>b", "b", NULL, NULL, false, 0 },
           { "b<|channel>", "b", NULL, NULL, false, 0 });
}

/* Behind tool results the prompt may end inside a thought, or in none: thoughts are thoughts. */
static void thoughts_behind_results(void)
{
    SHAPES({ THOUGHT("so") "42", "42", "so", NULL, false, 0 },
           { "so<channel|>42", "42", "so", NULL, true, 0 },
           { "\nso<channel|>42", "42", "so", NULL, true, 0 },
           { "<tool_response|>" THOUGHT("so") "42", "42", "so", NULL, false, 0 },
           { THOUGHT("again") CALL("x:2") "<|tool_response>", NULL, "again", "f({\"x\":2});",
             false, 0 },
           { "so<channel|>" CALL("x:2"), NULL, "so", "f({\"x\":2});", true, 0 });
}

/* With thinking off some models think all the same; no setting is needed to see it. */
static void thoughts_with_thinking_off(void)
{
    SHAPES({ THOUGHT("") "hi", "hi", NULL, NULL, false, 0 },
           { THOUGHT("hm") "hi", "hi", "hm", NULL, false, 0 },
           { "<|channel>thought\nnever closed", NULL, "never closed", NULL, false, 0 });
}

/* Other quotes are repaired; what cannot be is counted and never shown as text. */
static void other_quotes(void)
{
    SHAPES({ CALL("x:`y`"), NULL, NULL, "f({\"x\":\"y\"});", false, 0 },
           { CALL("x:\"y\",z:'w'"), NULL, NULL, "f({\"x\":\"y\",\"z\":\"w\"});", false, 0 },
           { CALL("x:`y"), NULL, NULL, NULL, false, 1 },
           { "a" CALL("x:" "<|\"|>y") "b", "ab", NULL, NULL, false, 1 },
           { "<|tool_call>call:f{x:``````", NULL, NULL, NULL, false, 1 },
           { "<|tool_call><|tool_call><|tool_call>", NULL, NULL, NULL, false, 3 },
           { CALL("x:`y") CALL("x:1"), NULL, NULL, "f({\"x\":1});", false, 1 });
}

/* Text behind a call is dropped, but not behind one that was lost: the answer may lie there. */
static void text_behind_calls(void)
{
    SHAPES({ "a<|tool_call>bad<|\"|>x<tool_call|>the answer", "athe answer", NULL, NULL, false, 1 },
           { CALL("x:`y") THOUGHT("hm") "b<|channel>c", "bc", "hm", NULL, false, 1 },
           { CALL("x:`y") "a" CALL("x:1") "b", "a", NULL, "f({\"x\":1});", false, 1 },
           { CALL("x:1") "a" CALL("x:`y") "b", NULL, NULL, "f({\"x\":1});", false, 1 },
           { CALL("x:`y") "<|tool_response>a", NULL, NULL, NULL, false, 1 });
}

/* A call, its end and the stop in whatever order they come. */
static void stops_and_calls(void)
{
    SHAPES({ "<|tool_response>" CALL("x:1"), NULL, NULL, NULL, false, 0 },
           { CALL("x:1") "<|tool_response>" CALL("x:2"), NULL, NULL, "f({\"x\":1});", false, 0 },
           { THOUGHT("a") CALL("x:1") CALL("x:2") "<|tool_response>", NULL, "a",
             "f({\"x\":1});f({\"x\":2});", false, 0 },
           { "<tool_call|>a", "a", NULL, NULL, false, 0 },
           { THOUGHT("a" CALL("x:1")) "b", NULL, "a", "f({\"x\":1});", false, 0 },
           { "a" CALL("x:1") "b" CALL("x:2") "c", "a", NULL, "f({\"x\":1});f({\"x\":2});", false,
             0 });
}

static void null_and_numbers_survive(void)
{
    SHAPES({ CALL("a:null,b:[null,1],c:{d:null}"), NULL, NULL,
             "f({\"a\":null,\"b\":[null,1],\"c\":{\"d\":null}});", false, 0 },
           { CALL("a:123456789012345678901234567890,b:-9223372036854775809"), NULL, NULL,
             "f({\"a\":123456789012345678901234567890,\"b\":-9223372036854775809});", false, 0 },
           { CALL("a:1.50,b:1e400,c:-0.0,d:1E-7,e:0.1000"), NULL, NULL,
             "f({\"a\":1.50,\"b\":1e400,\"c\":-0.0,\"d\":1E-7,\"e\":0.1000});", false, 0 });
}

/* The calls of an answer as messages, rendered again: between the call tokens stands what the model
 * wrote (its keys must be in order for that). */
static void check_round_trip(const char *inside)
{
    struct said s;
    struct tg_buf raw, prompt, want;
    struct le_message m[] = { { .role = LE_ROLE_USER, .text = TG_STR("u") },
                              { .role = LE_ROLE_MODEL } };
    tg_buf_init(&raw, 1 << 20);
    tg_buf_init(&prompt, 1 << 20);
    tg_buf_init(&want, 1 << 20);
    tg_buf_addf(&raw, "<|tool_call>call:f{%s}<tool_call|>", inside);
    feed(raw.p, false, &s);
    CHECK_INT(s.bad, 0);
    CHECK(strncmp(s.part[LE_DELTA_CALL].p, "f(", 2) == 0);
    struct tg_str arguments = { s.part[LE_DELTA_CALL].p + 2, s.part[LE_DELTA_CALL].n - 4 };
    struct le_call call = { TG_STR("c1"), TG_STR("f"), arguments };
    m[1].calls = &call;
    m[1].n_calls = 1;
    struct le_chat chat = { .messages = m, .n = 2, .style = { .null_word = true } };
    CHECK_INT(le_template_render(&chat, &prompt), TG_OK);
    tg_buf_addf(&want, "<bos><|turn>user\nu<turn|>\n<|turn>model\n%s<|tool_response>", raw.p);
    CHECK_STR(prompt.p, want.p);
    tg_buf_free(&raw);
    tg_buf_free(&prompt);
    tg_buf_free(&want);
    said_free(&s);
}

static void calls_come_back_as_they_were(void)
{
    struct tg_buf code;
    check_round_trip("a:123456789012345678901234567890,b:1.50,c:1e400,d:null,e:true,f:[1,2.0]");
    check_round_trip("a:{b:{c:[{d:" Q("x") "}]}},e:" Q("") ",f:{},g:[]");
    check_round_trip("a:" Q("\"quotes\", 'too', `and these`\n\ttabs \\n {braces} [1]: , "
                            "\xE6\x9D\xB1 \xF0\x9F\x99\x82"));
    tg_buf_init(&code, 1 << 20);
    tg_buf_adds(&code, "code:<|\"|>");
    while (code.n < 20480)
        tg_buf_adds(&code, "if (m[\"k\"] == '}') { put(`<|`, \"\\\\\", a:b, [x]); } // <| tool\n");
    tg_buf_adds(&code, "<|\"|>");
    check_round_trip(code.p);
    tg_buf_free(&code);
}

/* Three calls one after the other, from a client that never gives back what the model thought: the
 * prompt stays one turn, and the answer to it is read as always. */
static void a_loop_without_reasoning(void)
{
    static const struct le_template_style styles[] = {
        { .bare_prompt = false }, { .joined_turns = true, .all_reasoning = true,
                                    .thought_cue = true },
    };
    struct le_call calls[3];
    struct le_message m[7] = { { .role = LE_ROLE_USER, .text = TG_STR("u") } };
    for (int i = 0; i < 3; i++) {
        static const char *const ids[] = { "c1", "c2", "c3" };
        calls[i] = (struct le_call){ tg_str_of(ids[i]), TG_STR("f"), TG_STR("{\"x\":1}") };
        m[1 + 2 * i] = (struct le_message){ .role = LE_ROLE_MODEL, .calls = &calls[i],
                                            .n_calls = 1 };
        m[2 + 2 * i] = (struct le_message){ .role = LE_ROLE_TOOL, .text = TG_STR("ok"),
                                            .call_id = tg_str_of(ids[i]) };
    }
    for (int k = 0; k < 2; k++) {
        struct le_chat chat = { .messages = m, .n = 7, .add_generation_prompt = true,
                                .thinking = true, .style = styles[k] };
        struct tg_buf prompt;
        tg_buf_init(&prompt, 1 << 16);
        CHECK_INT(le_template_render(&chat, &prompt), TG_OK);
        const char *turn = strstr(prompt.p, "<|turn>model\n");
        CHECK(turn && !strstr(turn + 1, "<|turn>"));
        CHECK(!strstr(turn, "<turn|>")); /* the turn is still open */
        const char *end = prompt.p + prompt.n;
        bool cue = strcmp(end - 18, "<|channel>thought\n") == 0;
        CHECK_INT(cue, k);
        struct said s;
        feed(cue ? "so<channel|>done<turn|>" : THOUGHT("so") "done<turn|>", cue, &s);
        CHECK_STR(s.part[LE_DELTA_CONTENT].p, "done");
        CHECK_STR(s.part[LE_DELTA_REASONING].p, "so");
        said_free(&s);
        tg_buf_free(&prompt);
    }
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Any special tokens between ordinary ones without a '<': then no '<' may come out, wherever. */
static void no_marker_leaks(void)
{
    static const char *const pieces[] = {
        "a", " ", "\n", "thought", "call:f{", "x:", "1", ",", "}", "{", "[", "]", "model\n", "\"",
        "`", "\xF0\x9F\x99\x82", "\xFF",
    };
    const struct le_special_ids *sp = le_tokenizer_special(tokenizer);
    const int32_t special[] = {
        sp->pad, sp->bos, sp->turn_open, sp->channel_open, sp->channel_close, sp->think,
        sp->tool_open, sp->tool_close, sp->call_open, sp->call_close, sp->response_close,
        sp->quote, sp->image, sp->audio, sp->video, 3, 4, sp->call_open, sp->call_close,
        sp->quote, sp->quote, sp->channel_open, sp->channel_close,
    };
    uint32_t random = 3;
    size_t content = 0, calls = 0;
    for (int round = 0; round < 20000; round++) {
        struct le_ids ids = { 0 };
        struct said s;
        size_t n = 1 + next_random(&random) % 40;
        for (size_t i = 0; i < n; i++) {
            size_t k = next_random(&random) % (sizeof(pieces) / sizeof(*pieces));
            size_t l = next_random(&random) % (sizeof(special) / sizeof(*special));
            struct tg_str text = next_random(&random) % 2 ? tg_str_of(pieces[k])
                                 : le_tokenizer_piece(tokenizer, special[l]);
            CHECK_INT(le_tokenizer_encode(tokenizer, text, true, &ids), TG_OK);
        }
        feed_ids(&ids, round % 2, &s);
        for (int i = 0; i < 3; i++)
            if (memchr(s.part[i].p, '<', s.part[i].n) || strstr(s.part[i].p, "|>"))
                CHECK_FAIL("round %d, part %d: %s", round, i, s.part[i].p);
        content += s.part[0].n;
        calls += s.part[2].n > 0;
        said_free(&s);
        le_ids_free(&ids);
    }
    CHECK(content > 1000 && calls > 10);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(stray_channels_fail_nothing),
        CASE(thoughts_behind_results),
        CASE(thoughts_with_thinking_off),
        CASE(other_quotes),
        CASE(text_behind_calls),
        CASE(stops_and_calls),
        CASE(null_and_numbers_survive),
        CASE(calls_come_back_as_they_were),
        CASE(a_loop_without_reasoning),
        CASE(no_marker_leaks),
    };
    tokenizer = text_tokenizer_reduced();
    int status = check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
    le_tokenizer_close(tokenizer);
    return status;
}
