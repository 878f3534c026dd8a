/* Logprobs of providers' answers, and which tokens a local answer's text is made of. */
#include "config/base/alloc.h"
#include "providers/local_spoken.h"
#include "providers/openai_reader.h"
#include "tests/unit/check.h"
#include "tests/unit/providers/support.h"

#define TOKEN(token, more) "{\"token\":\"" token "\",\"logprob\":-0.5" more "}"
#define CHOICE(member, said, tokens)                                                               \
    "{\"choices\":[{\"index\":0,\"" member "\":{" said "},\"logprobs\":{\"content\":" tokens       \
    "},\"finish_reason\":\"stop\"}]}"
#define CHUNK(said, tokens) "data: " CHOICE("delta", said, tokens) "\n\n"
#define DONE "data: [DONE]\n\n"

static void read_as(struct record *r, const char *in, bool whole, bool asked)
{
    struct prov_reader reader;
    record_init(r);
    tg_buf_adds(&r->text, "");
    tg_buf_adds(&r->logprobs, "");
    prov_reader_init(&reader, 1 << 16, record_event, r);
    reader.logprobs = asked;
    if (whole)
        prov_reader_whole(&reader, tg_str_of(in));
    else
        prov_reader_feed(&reader, tg_str_of(in));
    prov_reader_end(&reader);
    prov_reader_free(&reader);
}

static const struct row {
    const char *in, *text, *logprobs; /* logprobs: NULL: it is an error */
} rows[] = {
    { CHUNK("\"content\":\"ab\"", "[" TOKEN("a", "") "," TOKEN("b", ",\"top_logprobs\":null") "]"),
      "ab", "a -0.5|b -0.5|" },
    { CHUNK("\"content\":\"a\"", "[" TOKEN("a", ",\"bytes\":[97],\"top_logprobs\":["
            TOKEN("a", "") "," TOKEN("?", ",\"bytes\":[195]") "]") "]"),
      "a", "a -0.5 a=-0.5 \xc3=-0.5|" },
    /* half a character: its bytes tell; none for a special token; then the rest with the text */
    { CHUNK("\"content\":\"\"", "[" TOKEN("\\ufffd", ",\"bytes\":[195]") "]")
      CHUNK("\"content\":\"\xc3\xa4\"", "[" TOKEN("x", ",\"bytes\":[164]") "]")
      CHUNK("\"content\":null", "[" TOKEN("<|s|>", ",\"bytes\":[]") "]"),
      "\xc3\xa4", "\xc3 -0.5|\xa4 -0.5|<|s|> -0.5|" },
    { CHUNK("\"content\":\"a\"", "null") CHUNK("\"content\":\"b\"", "[]"), "ab", "" },
    /* tokens of a thought, of a refusal and of a call are none of the text */
    { CHUNK("\"reasoning_content\":\"t\"", "[" TOKEN("t", "") "]")
      CHUNK("\"refusal\":\"\",\"content\":\"a\"", "[" TOKEN("a", "") "]")
      CHUNK("\"refusal\":\"no\"", "[" TOKEN("no", "") "]")
      CHUNK("\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"f\"}}]",
            "[" TOKEN("c", "") "]"), "a!no", "a -0.5|" },
    { CHUNK("\"reasoning_content\":\"t\",\"content\":\"a\"", "[" TOKEN("a", "") "]"), "a",
      "a -0.5|" },
    { CHUNK("\"content\":\"a\"", "{}"), "", NULL },
    { CHUNK("\"content\":\"a\"", "[7]"), "", NULL },
    { CHUNK("\"content\":\"a\"", "[{\"token\":7,\"logprob\":0}]"), "", NULL },
    { CHUNK("\"content\":\"a\"", "[{\"token\":\"a\"}]"), "", NULL },
    { CHUNK("\"content\":\"a\"", "[" TOKEN("a", ",\"bytes\":[256]") "]"), "", NULL },
    { CHUNK("\"content\":\"a\"", "[" TOKEN("a", ",\"bytes\":[-1]") "]"), "", NULL },
    { CHUNK("\"content\":\"a\"", "[" TOKEN("a", ",\"bytes\":\"a\"") "]"), "", NULL },
    { CHUNK("\"content\":\"a\"", "[" TOKEN("a", ",\"top_logprobs\":{}") "]"), "", NULL },
    { CHUNK("\"content\":\"a\"", "[" TOKEN("a", ",\"top_logprobs\":[1]") "]"), "", NULL },
    { CHUNK("\"content\":\"a\"", "[" TOKEN("a", ",\"top_logprobs\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
            "1,1,1,1,1,1]") "]"), "", NULL },
};

static void streams(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const struct row *row = &rows[i];
        struct record r;
        struct tg_buf in;
        tg_buf_init(&in, 1 << 16);
        tg_buf_adds(&in, row->in);
        tg_buf_adds(&in, DONE);
        read_as(&r, in.p, false, true);
        bool error = r.last.kind == CHAT_EVENT_ERROR;
        bool ok = r.ends == 1 && strcmp(r.text.p, row->text) == 0 && error == !row->logprobs &&
                  (error ? r.last.error == CHAT_ERROR_MALFORMED
                         : strcmp(r.logprobs.p, row->logprobs) == 0);
        if (!ok)
            fprintf(stderr, "row %zu: \"%s\", \"%s\"\n", i, r.text.p, r.logprobs.p);
        tg_buf_free(&in);
        record_free(&r);
        CHECK(ok);
    }
}

static void whole_answers(void)
{
    struct record r;
    static const char body[] = CHOICE("message", "\"content\":\"ab\",\"reasoning\":\"t\"",
                                      "[" TOKEN("a", "") "," TOKEN("b", "") "]");
    read_as(&r, body, true, true);
    CHECK_STR(r.text.p, "ab");
    CHECK_STR(r.logprobs.p, "a -0.5|b -0.5|");
    record_free(&r);
    read_as(&r, body, true, false);
    CHECK_STR(r.text.p, "ab");
    CHECK_STR(r.logprobs.p, "");
    record_free(&r);
    /* what was not asked for need not be well formed */
    read_as(&r, CHOICE("message", "\"content\":\"a\"", "7"), true, false);
    CHECK_INT(r.last.kind, CHAT_EVENT_FINISH);
    record_free(&r);
}

static void a_copy_is_its_own(void)
{
    char text[] = "ab";
    const struct chat_top top[] = { { { text, 1 }, -1 }, { { text + 1, 1 }, -2 } };
    const struct chat_logprob list[] = { { { { text, 2 }, -0.25 }, top, 2 },
                                         { { { NULL, 0 }, 0 }, NULL, 0 } };
    struct chat_event e = { .logprobs = list, .n_logprobs = 2 };
    struct tg_arena *arena = tg_arena_new(1 << 12);
    struct chat_logprobs *copy = chat_logprobs_copy(arena, &e);
    CHECK(copy && copy->n == 2 && !copy->next);
    memset(text, 'x', 2);
    CHECK(tg_str_eq(copy->list[0].token.text, TG_STR("ab")));
    CHECK(tg_str_eq(copy->list[0].top[1].text, TG_STR("b")) && copy->list[0].n_top == 2);
    CHECK(copy->list[1].token.text.n == 0 && copy->list[1].n_top == 0);
    tg_arena_free(arena);
    for (size_t max = 0; max < 128; max++) {
        arena = tg_arena_new(max);
        CHECK(!chat_logprobs_copy(arena, &e));
        tg_arena_free(arena);
    }
}

/* Takes, checks how many, and drops. */
static void takes(struct prov_spoken *l, size_t bytes, bool all, size_t n)
{
    struct chat_event e = { .kind = CHAT_EVENT_TEXT };
    prov_spoken_take(l, bytes, all, &e);
    CHECK_INT(e.n_logprobs, n);
    CHECK(n || !e.logprobs);
    prov_spoken_drop(l, n);
}

static void tokens_wait_for_their_text(void)
{
    struct prov_spoken l = { .n = 0 };
    takes(&l, 0, false, 0);
    prov_spoken_add(&l, TG_STR("ab"), -1);
    takes(&l, 2, false, 1);
    prov_spoken_add(&l, TG_STR("\xc3"), -1);
    takes(&l, 0, false, 0);
    prov_spoken_add(&l, TG_STR("\xa4"), -1);
    takes(&l, 2, false, 2);
    prov_spoken_add(&l, TG_STR("\xff"), -1); /* told as U+FFFD */
    takes(&l, 3, false, 1);
    prov_spoken_add(&l, TG_STR("st"), -1);
    takes(&l, 0, false, 0);
    takes(&l, 2, false, 1);
    prov_spoken_add(&l, TG_STR("sto"), -1); /* may begin a stop string */
    takes(&l, 1, false, 0);
    prov_spoken_add(&l, TG_STR("re"), -1);
    takes(&l, 4, false, 2);
    prov_spoken_add(&l, TG_STR("stop"), -1);
    takes(&l, 0, false, 0); /* it was one: cut */
    takes(&l, 0, true, 1);  /* or not, at the end */
    for (size_t i = 0; i < 100; i++)
        CHECK_INT(prov_spoken_add(&l, TG_STR("x"), -(double)i), TG_OK);
    struct chat_event e = { .kind = CHAT_EVENT_TEXT };
    prov_spoken_take(&l, 1000, false, &e);
    CHECK(e.n_logprobs == 100 && e.logprobs[99].token.logprob < -98.5);
    prov_spoken_free(&l);
    for (uint64_t nth = 1; nth <= 2; nth++) {
        tg_alloc_fail_nth(nth);
        CHECK_INT(prov_spoken_add(&l, TG_STR("x"), 0), TG_NOMEM);
        tg_alloc_fail_nth(0);
    }
    takes(&l, 2, true, 0);
    prov_spoken_free(&l);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(streams),
        CASE(whole_answers),
        CASE(a_copy_is_its_own),
        CASE(tokens_wait_for_their_text),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
