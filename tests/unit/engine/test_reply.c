#include "local_engine/reply.h"

#include "config/base/alloc.h"
#include "config/base/utf8.h"
#include "local_engine/reply_call.h"
#include "tests/unit/check.h"
#include "tests/unit/engine/support_text.h"

enum { CALLS = 8 };

struct answer {
    struct tg_buf content, reasoning, name[CALLS], arguments[CALLS];
    size_t n_calls, deltas;
    bool invalid; /* a delta was empty or no UTF-8 */
};

static void collect(void *arg, const struct le_delta *delta)
{
    struct answer *a = arg;
    a->deltas++;
    a->invalid = a->invalid || delta->text.n == 0 || !tg_utf8_valid(delta->text.p, delta->text.n) ||
                 memchr(delta->text.p, 0, delta->text.n);
    if (delta->kind == LE_DELTA_CONTENT) {
        tg_buf_add(&a->content, delta->text.p, delta->text.n);
    } else if (delta->kind == LE_DELTA_REASONING) {
        tg_buf_add(&a->reasoning, delta->text.p, delta->text.n);
    } else if (a->n_calls < CALLS) {
        tg_buf_add(&a->name[a->n_calls], delta->text.p, delta->text.n);
        tg_buf_add(&a->arguments[a->n_calls++], delta->arguments.p, delta->arguments.n);
        a->invalid = a->invalid || tg_json_scan(delta->arguments, NULL) != TG_OK;
    }
}

static void answer_init(struct answer *a)
{
    *a = (struct answer){ 0 };
    tg_buf_init(&a->content, 1 << 22);
    tg_buf_init(&a->reasoning, 1 << 22);
    tg_buf_adds(&a->content, "");
    tg_buf_adds(&a->reasoning, "");
    for (size_t i = 0; i < CALLS; i++) {
        tg_buf_init(&a->name[i], 1 << 22);
        tg_buf_init(&a->arguments[i], 1 << 23);
    }
}

static void answer_free(struct answer *a)
{
    tg_buf_free(&a->content);
    tg_buf_free(&a->reasoning);
    for (size_t i = 0; i < CALLS; i++) {
        tg_buf_free(&a->name[i]);
        tg_buf_free(&a->arguments[i]);
    }
}

/* The whole answer of some ids; the number of bad calls. */
static size_t parse_ids(const struct le_tokenizer *t, const struct le_ids *ids, bool in_thought,
                        struct answer *a)
{
    struct le_reply *r = le_reply_new(t, in_thought);
    answer_init(a);
    CHECK(r != NULL);
    for (size_t i = 0; i < ids->n; i++)
        CHECK_INT(le_reply_feed(r, ids->id[i], NULL, collect, a), TG_OK);
    CHECK_INT(le_reply_end(r, collect, a), TG_OK);
    CHECK(!a->invalid);
    size_t bad = le_reply_bad_calls(r);
    le_reply_free(r);
    return bad;
}

static size_t parse_text(const struct le_tokenizer *t, const char *raw, bool in_thought,
                         struct answer *a)
{
    struct le_ids ids = { 0 };
    CHECK_INT(le_tokenizer_encode(t, tg_str_of(raw), true, &ids), TG_OK);
    size_t bad = parse_ids(t, &ids, in_thought, a);
    le_ids_free(&ids);
    return bad;
}

static bool same(struct tg_str want, const struct tg_buf *got, const char *what)
{
    if (tg_str_eq(want, tg_buf_str(got)))
        return true;
    fprintf(stderr, "%s: want \"%.*s\", got \"%.*s\"\n", what, TG_FMT(want),
            TG_FMT(tg_buf_str(got)));
    return false;
}

static bool declared(const struct tg_json *tools, const struct tg_buf *name)
{
    for (const struct tg_json *v = tg_json_first(tools); v; v = tg_json_next(v)) {
        struct tg_str s;
        if (tg_json_string(v, &s) && tg_str_eq(s, tg_buf_str(name)))
            return true;
    }
    return false;
}

/* Calls of tools nobody declared, and calls behind the first where one was wanted, are the caller's
 * to drop: here the test does it. */
static bool same_calls(const struct tg_json *c, const struct answer *a)
{
    size_t i = 0;
    const struct tg_json *want = tg_json_get(tg_json_get(c, "expected"), "tool_calls");
    for (const struct tg_json *v = tg_json_first(want); v; v = tg_json_next(v), i++) {
        const struct tg_json *f = tg_json_get(v, "function");
        while (i < a->n_calls && !declared(tg_json_get(c, "tools"), &a->name[i]))
            i++;
        if (i >= a->n_calls || !same(text_member(f, "name"), &a->name[i], "name") ||
            !same(text_member(f, "arguments"), &a->arguments[i], "arguments"))
            return false;
    }
    for (; text_flag(c, "parallel") && i < a->n_calls; i++)
        if (declared(tg_json_get(c, "tools"), &a->name[i]))
            return false;
    return true;
}

static bool same_answer(const struct tg_json *c, const struct answer *a)
{
    const struct tg_json *want = tg_json_get(c, "expected");
    struct tg_str name = text_member(c, "name");
    if (tg_str_eq(name, TG_STR("reasoning_format none"))) /* a mode that we do not have */
        return same(TG_STR("Answer"), &a->content, "content") &&
               same(TG_STR("t\n"), &a->reasoning, "reasoning");
    if (tg_str_eq(name, TG_STR("malformed: json quotes"))) /* dropped there, repaired here */
        return a->n_calls == 1 && a->content.n == 0 &&
               same(TG_STR("{\"city\":\"Rome\"}"), &a->arguments[0], "arguments");
    return same(text_member(want, "content"), &a->content, "content") &&
           same(text_member(want, "reasoning_content"), &a->reasoning, "reasoning") &&
           same_calls(c, a);
}

static void golden_messages(void)
{
    struct le_tokenizer *t = text_tokenizer_reduced();
    struct tg_json *golden = text_golden("parse.json");
    size_t n = 0;
    const struct tg_json *c = tg_json_first(tg_json_get(golden, "cases"));
    for (; c; c = tg_json_next(c), n++) {
        char *raw = text_member_dup(c, "raw"), *name = text_member_dup(c, "name");
        struct answer a;
        CHECK_INT(parse_text(t, raw, false, &a), 0);
        if (!same_answer(c, &a))
            CHECK_FAIL("case \"%s\" differs", name);
        answer_free(&a);
        tg_free(raw);
        tg_free(name);
    }
    CHECK_INT(n, 47);
    tg_json_free(golden);
    le_tokenizer_close(t);
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* The same special tokens, with the text between them cut at random bytes and tokenised anew: ids
 * that no encoder would give, down to byte tokens inside characters. */
static void retokenise(const struct le_tokenizer *t, const struct le_ids *ids, uint32_t *random,
                       struct le_ids *out)
{
    for (size_t i = 0; i < ids->n;) {
        size_t end = i;
        while (end < ids->n && !le_tokenizer_is_control(t, ids->id[end]))
            end++;
        struct tg_buf text = text_decode(t, ids->id + i, end - i);
        for (size_t at = 0; at < text.n;) {
            size_t len = 1 + next_random(random) % 5;
            len = len > text.n - at ? text.n - at : len;
            struct tg_str part = { text.p + at, len };
            CHECK_INT(le_tokenizer_encode(t, part, false, out), TG_OK);
            at += len;
        }
        tg_buf_free(&text);
        if (end < ids->n) {
            struct tg_str special = le_tokenizer_piece(t, ids->id[end++]);
            CHECK_INT(le_tokenizer_encode(t, special, true, out), TG_OK);
        }
        i = end;
    }
}

static void any_tokenisation_gives_the_same_message(void)
{
    struct le_tokenizer *t = text_tokenizer_reduced();
    struct tg_json *golden = text_golden("parse.json");
    uint32_t random = 12345;
    size_t different = 0;
    const struct tg_json *c = tg_json_first(tg_json_get(golden, "cases"));
    for (; c; c = tg_json_next(c)) {
        struct le_ids ids = { 0 };
        CHECK_INT(le_tokenizer_encode(t, text_member(c, "raw"), true, &ids), TG_OK);
        for (int round = 0; round < 40; round++) {
            struct le_ids other = { 0 };
            struct answer a;
            retokenise(t, &ids, &random, &other);
            different += other.n != ids.n;
            CHECK_INT(parse_ids(t, &other, false, &a), 0);
            CHECK(same_answer(c, &a));
            answer_free(&a);
            le_ids_free(&other);
        }
        le_ids_free(&ids);
    }
    CHECK(different > 1000);
    tg_json_free(golden);
    le_tokenizer_close(t);
}

/* The golden state after a number of characters of the raw text. */
static const struct tg_json *state_at(const struct tg_json *states, size_t chars)
{
    for (const struct tg_json *v = tg_json_first(states); v; v = tg_json_next(v)) {
        int64_t n;
        if (tg_json_int(tg_json_get(v, "prefix_chars"), &n) && (size_t)n == chars)
            return v;
    }
    return NULL;
}

static size_t count_chars(struct tg_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

/* After each token: text and reasoning so far are those of the golden prefix. (Calls are given
 * whole by us and in pieces there, so they are compared at the end only, above.) */
static void streaming_states(void)
{
    struct le_tokenizer *t = text_tokenizer_reduced();
    struct tg_json *golden = text_golden("parse.json");
    size_t compared = 0;
    const struct tg_json *c = tg_json_first(tg_json_get(golden, "streaming_prefix_states"));
    for (; c; c = tg_json_next(c)) {
        struct le_ids ids = { 0 };
        struct answer a;
        struct le_reply *r = le_reply_new(t, false);
        size_t chars = 0;
        answer_init(&a);
        CHECK_INT(le_tokenizer_encode(t, text_member(c, "raw"), true, &ids), TG_OK);
        for (size_t i = 0; i < ids.n; i++) {
            CHECK_INT(le_reply_feed(r, ids.id[i], NULL, collect, &a), TG_OK);
            chars += count_chars(le_tokenizer_piece(t, ids.id[i]));
            const struct tg_json *state = state_at(tg_json_get(c, "states"), chars);
            if (!state)
                continue;
            CHECK(same(text_member(state, "content"), &a.content, "content"));
            CHECK(same(text_member(state, "reasoning_content"), &a.reasoning, "reasoning"));
            compared++;
        }
        le_reply_free(r);
        le_ids_free(&ids);
        answer_free(&a);
    }
    CHECK(compared > 40);
    tg_json_free(golden);
    le_tokenizer_close(t);
}

struct shape {
    const char *raw, *content, *reasoning;
};

static void odd_shapes(void)
{
    static const struct shape shapes[] = {
        { "<|turn>model\nHi", "Hi", "" },
        { "a<|turn>userxxxxxxxxxxxxxxxxx b", "axxxx b", "" }, /* 17 bytes of role */
        { "<channel|><channel|>x<channel|>", "x", "" },
        { "<|channel>final\nx", "final\nx", "" },
        { "<|channel>tho<channel|>x", "thox", "" },
        { "<|channel>thoroughly", "thoroughly", "" },
        { "<|channel>", "", "" },
        { "<|channel>thought", "", "" },
        { "<|channel><|channel>thought\nb<channel|>c", "c", "b" },
        { "<|channel>thought\na<|channel>thought\nb<channel|>c", "c", "ab" },
        { "<|channel>thought\na<|channel>x<channel|>c", "c", "ax" },
        { "say <|\"|>this<|\"|>", "say this", "" },
        { "x<turn|>y", "x", "" },
        { "x<eos>y<|channel>thought\nz", "x", "" },
        { "x<|tool_response>response:f{}", "x", "" },
        { "a<bos>b<|image|>c", "abc", "" },
        { "<|channel>thought\n\n \t a", "", "a" },
        { "<|tool_call>call:f{}<tool_call|>b<|channel>thought\nt<channel|>c", "", "t" },
        { "<|tool_call>call:f{}<tool_call|><|channel>fina", "", "" },
    };
    struct le_tokenizer *t = text_tokenizer_reduced();
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
        struct answer a;
        CHECK_INT(parse_text(t, shapes[i].raw, false, &a), 0);
        if (!same(tg_str_of(shapes[i].content), &a.content, "content") ||
            !same(tg_str_of(shapes[i].reasoning), &a.reasoning, "reasoning"))
            CHECK_FAIL("shape \"%s\"", shapes[i].raw);
        answer_free(&a);
    }
    struct answer a;
    CHECK_INT(parse_text(t, "\n so <channel|>yes", true, &a), 0);
    CHECK_STR(a.reasoning.p, "so ");
    CHECK_STR(a.content.p, "yes");
    answer_free(&a);
    le_tokenizer_close(t);
}

/* #: the quote token. NULL arguments: the call is bad. */
static const struct {
    const char *call, *arguments;
    bool unclosed;
} k_calls[] = {
    { "call:f{a:#x#}", "{\"a\":\"x\"}", false },
    { "f{a:1}", "{\"a\":1}", false },
    { "call:f", "{}", false },
    { "call:f", NULL, true },
    { " call: f { a : 1 , b : [ 1 , 2 ] } ", "{\"a\":1,\"b\":[1,2]}", false },
    { "call:f{\"a\":\"q\\\"\\u00e9\\n\",'b':'x y',`c`:`d`}",
      "{\"a\":\"q\\\"\xC3\xA9\\n\",\"b\":\"x y\",\"c\":\"d\"}", false },
    { "call:f{a:\"\\ud83e\\udd99\\ud83e\"}", "{\"a\":\"\xF0\x9F\xA6\x99\\\\ud83e\"}", false },
    { "call:f{\"a\":\"\\u0000\"}", "{\"a\":\"\\\\u0000\"}", false },
    { "call:f{#a:b#:#c#}", "{\"a:b\":\"c\"}", false },
    { "call:f{a:New York,b:None,c:True,d:007,e:+5,f:1.}",
      "{\"a\":\"New York\",\"b\":null,\"c\":true,\"d\":\"007\",\"e\":\"+5\",\"f\":\"1.\"}", false },
    { "call:f{a:[1,2,],b:3,}", "{\"a\":[1,2],\"b\":3}", false },
    { "call:f{a:{b:[{c:1", "{\"a\":{\"b\":[{\"c\":1}]}}", false },
    { "call:f{a:{b:[{c:1", NULL, true },
    { "call:f{a:1}}", "{\"a\":1}", false },
    { "call:f{a:1}", "{\"a\":1}", true },
    { "call:f{a:-0.5E+3,b:null,c:0}", "{\"a\":-0.5E+3,\"b\":null,\"c\":0}", true },
    { "call:f{a:#x", NULL, false },
    { "call:f{a:`x}", NULL, false },
    { "call:f{a:}", NULL, false },
    { "call:f{a}", NULL, false },
    { "call:f{:1}", NULL, false },
    { "call:f{a:1 b}c", NULL, false },
    { "call:f{a:1,a:2}", NULL, false },
    { "call:f{a:{a:1},b:{a:2}}", "{\"a\":{\"a\":1},\"b\":{\"a\":2}}", false },
    { "call:f{a:1,\"a\":2}", NULL, false },
    { "call:f{a:#x##y#}", NULL, false },
    { "call:f[1]", NULL, false },
    { "call:{a:1}", NULL, false },
    { "call:f g{a:1}", NULL, false },
    { "", NULL, false },
    { "{}", NULL, false },
};

static void calls_are_repaired_or_refused(void)
{
    struct le_tokenizer *t = text_tokenizer_reduced();
    for (size_t i = 0; i < sizeof(k_calls) / sizeof(*k_calls); i++) {
        struct tg_buf raw;
        struct answer a;
        tg_buf_init(&raw, 4096);
        tg_buf_adds(&raw, "<|tool_call>");
        for (const char *p = k_calls[i].call; *p; p++)
            tg_buf_add(&raw, *p == '#' ? "<|\"|>" : p, *p == '#' ? 5 : 1);
        tg_buf_adds(&raw, k_calls[i].unclosed ? "" : "<tool_call|><turn|>");
        size_t bad = parse_text(t, raw.p, false, &a);
        const char *want = k_calls[i].arguments;
        if (bad != (want == NULL) || a.n_calls != (want != NULL) || a.content.n ||
            (want && (!same(tg_str_of(want), &a.arguments[0], "arguments") ||
                      !same(TG_STR("f"), &a.name[0], "name"))))
            CHECK_FAIL("call \"%s\": %zu bad, %zu calls", k_calls[i].call, bad, a.n_calls);
        answer_free(&a);
        tg_buf_free(&raw);
    }
    le_tokenizer_close(t);
}

/* n levels: fine up to 64, refused above, never a crash. */
static void depth_is_bounded(void)
{
    for (size_t depth = 62; depth <= 4000; depth += depth < 70 ? 1 : 1000) {
        struct tg_buf text, name, arguments;
        tg_buf_init(&text, 1 << 16);
        tg_buf_init(&name, 256);
        tg_buf_init(&arguments, 1 << 16);
        tg_buf_adds(&text, "call:f{a:");
        for (size_t i = 1; i < depth; i++)
            tg_buf_adds(&text, "[");
        enum tg_status status = le_call_parse(tg_buf_str(&text), true, &name, &arguments);
        CHECK_INT(status, depth <= LE_CALL_DEPTH_MAX ? TG_OK : TG_INVALID);
        tg_buf_adds(&text, "1");
        tg_buf_reset(&name);
        tg_buf_reset(&arguments);
        status = le_call_parse(tg_buf_str(&text), true, &name, &arguments);
        CHECK_INT(status, depth <= LE_CALL_DEPTH_MAX ? TG_OK : TG_INVALID);
        tg_buf_free(&text);
        tg_buf_free(&name);
        tg_buf_free(&arguments);
    }
}

/* 20 KB of code with everything in it that could end a string elsewhere. */
static void long_code_argument(void)
{
    static const char line[] =
        "if (a[\"x\"] == '\\n' && b`c`) { s = \"<|tool_call>\"; } // {}[],:\n";
    struct le_tokenizer *t = text_tokenizer_reduced();
    const struct le_special_ids *s = le_tokenizer_special(t);
    struct tg_buf code, want;
    struct le_ids ids = { 0 };
    struct answer a;
    tg_buf_init(&code, 1 << 16);
    tg_buf_init(&want, 1 << 17);
    while (code.n < 20000)
        tg_buf_adds(&code, line);
    CHECK_INT(le_tokenizer_encode(t, TG_STR("<|tool_call>call:f{code:<|\"|>"), true, &ids), TG_OK);
    CHECK_INT(le_tokenizer_encode(t, tg_buf_str(&code), false, &ids), TG_OK);
    CHECK_INT(le_tokenizer_encode(t, TG_STR("<|\"|>}<tool_call|>"), true, &ids), TG_OK);
    CHECK_INT(ids.id[0], s->call_open);
    CHECK_INT(parse_ids(t, &ids, false, &a), 0);
    CHECK_INT(a.n_calls, 1);
    tg_buf_adds(&want, "{\"code\":");
    tg_buf_add_json(&want, tg_buf_str(&code));
    tg_buf_adds(&want, "}");
    CHECK(same(tg_buf_str(&want), &a.arguments[0], "arguments"));
    answer_free(&a);
    le_ids_free(&ids);
    tg_buf_free(&code);
    tg_buf_free(&want);
    le_tokenizer_close(t);
}

static void limits(void)
{
    struct le_tokenizer *t = text_tokenizer_reduced();
    struct le_reply *r = le_reply_new(t, false);
    struct answer a;
    size_t fed = 0;
    enum tg_status status = TG_OK;
    answer_init(&a);
    CHECK_INT(le_reply_feed(r, -1, NULL, collect, &a), TG_INVALID);
    CHECK_INT(le_reply_feed(r, 4096, NULL, collect, &a), TG_INVALID);
    CHECK_INT(le_reply_feed(r, 48, NULL, collect, &a), TG_OK);
    for (; !status && fed < 200000; fed++)
        status = le_reply_feed(r, 138, NULL, collect, &a); /* two spaces */
    CHECK_INT(status, TG_OK);
    for (; !status && fed < (1 << 20); fed++)
        status = le_reply_feed(r, 138, NULL, collect, &a);
    CHECK_INT(status, TG_LIMIT);
    CHECK_INT(fed, (1 << 19) + 1);
    CHECK_INT(le_reply_feed(r, 3029, NULL, collect, &a), TG_OK); /* still the call's */
    CHECK_INT(a.deltas, 0);
    CHECK_INT(le_reply_feed(r, 49, NULL, collect, &a), TG_OK);
    CHECK_INT(le_reply_feed(r, 3029, NULL, collect, &a), TG_OK);
    CHECK_INT(le_reply_end(r, collect, &a), TG_OK);
    CHECK_INT(le_reply_bad_calls(r), 1);
    CHECK_INT(a.deltas, 1);
    CHECK_INT(a.content.n, 1);
    answer_free(&a);
    le_reply_free(r);
    le_tokenizer_close(t);
}

/* Bytes that are no UTF-8, and U+0000, are told as U+FFFD, in content and in arguments. */
static void invalid_bytes(void)
{
    struct le_tokenizer *t = text_tokenizer_reduced();
    enum { BYTE = 238 };
    const int32_t content[] = { BYTE + 0xE2, BYTE + 0x96, 3067, BYTE + 0xFF, BYTE, BYTE + 0xC3 };
    struct le_ids ids = { (int32_t *)(uintptr_t)content, 6, 6 };
    struct answer a;
    CHECK_INT(parse_ids(t, &ids, false, &a), 0);
    CHECK_STR(a.content.p, "\xEF\xBF\xBD\xEF\xBF\xBDx\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
    answer_free(&a);
    ids = (struct le_ids){ 0 };
    CHECK_INT(le_tokenizer_encode(t, TG_STR("<|tool_call>call:f{a:<|\"|>\xFF\xC3" "b"), true, &ids),
              TG_OK);
    CHECK_INT(le_tokenizer_encode(t, (struct tg_str){ "", 1 }, false, &ids), TG_OK);
    CHECK_INT(le_tokenizer_encode(t, TG_STR("<|\"|>}<tool_call|>"), true, &ids), TG_OK);
    CHECK_INT(parse_ids(t, &ids, false, &a), 0);
    CHECK_STR(a.arguments[0].p, "{\"a\":\"\xEF\xBF\xBD\xEF\xBF\xBD" "b\xEF\xBF\xBD\"}");
    answer_free(&a);
    le_ids_free(&ids);
    le_tokenizer_close(t);
}

/* Characters that arrive as byte tokens, in content and in thoughts. */
static void characters_in_pieces(void)
{
    static const char raw[] =
        "<|channel>thought\n\xF0\x92\x80\x80\xCD\xB8<channel|>\xF0\x9F\xAB\xA0";
    struct le_tokenizer *t = text_tokenizer_reduced();
    struct le_ids ids = { 0 }, other = { 0 };
    struct answer a;
    uint32_t random = 7;
    CHECK_INT(le_tokenizer_encode(t, tg_str_of(raw), true, &ids), TG_OK);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(parse_ids(t, i ? &other : &ids, false, &a), 0);
        CHECK_STR(a.reasoning.p, "\xF0\x92\x80\x80\xCD\xB8");
        CHECK_STR(a.content.p, "\xF0\x9F\xAB\xA0");
        answer_free(&a);
        other.n = 0;
        retokenise(t, &ids, &random, &other);
    }
    le_ids_free(&ids);
    le_ids_free(&other);
    le_tokenizer_close(t);
}

static void token_classes(void)
{
    static const char raw[] = "<|channel>thought\nab<channel|>x y\n\n<|tool_call>call:f{k:<|\"|>v"
                              "<|\"|>,n:12,l:[true]}<tool_call|>z<turn|>";
    static const char letters[] = "csxr.v"; /* content, space, control, reasoning, syntax, value */
    struct le_tokenizer *t = text_tokenizer_reduced();
    struct le_reply *r = le_reply_new(t, false);
    struct le_ids ids = { 0 };
    struct answer a;
    struct tg_buf got;
    answer_init(&a);
    tg_buf_init(&got, 4096);
    CHECK_INT(le_tokenizer_encode(t, tg_str_of(raw), true, &ids), TG_OK);
    for (size_t i = 0; i < ids.n; i++) {
        enum le_token_class cls;
        CHECK_INT(le_reply_feed(r, ids.id[i], &cls, collect, &a), TG_OK);
        struct tg_str piece = le_tokenizer_piece(t, ids.id[i]);
        tg_buf_addf(&got, "%c", letters[cls]);
        tg_buf_add(&got, piece.p, piece.n);
    }
    CHECK_STR(got.p, "x<|channel>xthxoughtx\nrabx<channel|>cxc ys\n\nx<|tool_call>.c.all.:.f.{.k.:"
                     ".<|\"|>vv.<|\"|>.,.n.:v1v2.,.l.:.[vtrvue.].}x<tool_call|>xzx<turn|>");
    tg_buf_free(&got);
    answer_free(&a);
    le_ids_free(&ids);
    le_reply_free(r);
    le_tokenizer_close(t);
}

static enum tg_status run_failing(const struct le_tokenizer *t, const struct le_ids *ids,
                                  struct answer *a)
{
    struct le_reply *r = le_reply_new(t, false);
    enum tg_status status = r ? TG_OK : TG_NOMEM;
    for (size_t i = 0; i < ids->n && !status; i++)
        status = le_reply_feed(r, ids->id[i], NULL, collect, a);
    if (!status)
        status = le_reply_end(r, collect, a);
    le_reply_free(r);
    return status;
}

static void failing_allocations(void)
{
    struct le_tokenizer *t = text_tokenizer_reduced();
    struct le_ids ids = { 0 };
    enum tg_status status = TG_NOMEM;
    uint64_t nth = 0;
    static const char raw[] = "<|channel>thought\nhm<channel|>Check\xFF<|tool_call>"
                              "call:f{\"a\":\"x\\n\",b:[1]}<tool_call|><turn|>";
    CHECK_INT(le_tokenizer_encode(t, tg_str_of(raw), true, &ids), TG_OK);
    while (status && nth < 1000) {
        struct answer a;
        answer_init(&a);
        /* The collector's own buffers are made beforehand, so that only the parser can fail. */
        for (size_t i = 0; i < CALLS; i++) {
            tg_buf_adds(&a.name[i], "");
            tg_buf_adds(&a.arguments[i], "");
        }
        tg_alloc_fail_nth(++nth);
        status = run_failing(t, &ids, &a);
        tg_alloc_fail_nth(0);
        CHECK(status == TG_OK || status == TG_NOMEM);
        CHECK(status != TG_OK || a.n_calls == 1);
        answer_free(&a);
    }
    CHECK_INT(status, TG_OK);
    CHECK(nth > 6);
    le_ids_free(&ids);
    le_tokenizer_close(t);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(golden_messages),
        CASE(any_tokenisation_gives_the_same_message),
        CASE(streaming_states),
        CASE(odd_shapes),
        CASE(calls_are_repaired_or_refused),
        CASE(depth_is_bounded),
        CASE(long_code_argument),
        CASE(limits),
        CASE(invalid_bytes),
        CASE(characters_in_pieces),
        CASE(token_classes),
        CASE(failing_allocations),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
