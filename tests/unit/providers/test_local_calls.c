/* Tool calls of the local model, by an engine whose model speaks a script. */
#include <event2/event.h>
#include <stdlib.h>

#include "config/base/alloc.h"
#include "local_engine/engine_internal.h"
#include "tests/unit/check.h"
#include "tests/unit/providers/support.h"

enum { WAIT_MS = 60000, CONTEXT = 2048 };

/* Says the script, then its last token for ever. */
struct speaker {
    struct le_tokenizer *tokenizer;
    struct le_ids script;
    float *logits;
    uint32_t n_prompt;
};

static enum tg_status speaker_open(void *arg, const atomic_bool *stop, struct tg_error *err)
{
    (void)arg;
    (void)stop;
    (void)err;
    return TG_OK;
}

static void speaker_close(void *arg)
{
    (void)arg;
}

static uint32_t speaker_chunk(void *arg)
{
    (void)arg;
    return 64;
}

static enum tg_status speaker_step(void *arg, const int32_t *ids, uint32_t n, uint32_t pos,
                                   bool logits, struct tg_error *err)
{
    struct speaker *s = arg;
    size_t said = pos + n >= s->n_prompt ? pos + n - s->n_prompt : 0;
    (void)ids;
    (void)logits;
    (void)err;
    memset(s->logits, 0, le_tokenizer_n(s->tokenizer) * sizeof(*s->logits));
    s->logits[s->script.id[said < s->script.n ? said : s->script.n - 1]] = 20;
    return TG_OK;
}

static const float *speaker_logits(void *arg)
{
    return ((struct speaker *)arg)->logits;
}

static const struct chat_part k_text[] = { { .kind = CHAT_PART_TEXT, .text = { "go", 2 } } };
static const struct chat_message k_messages[] = {
    { .role = CHAT_USER, .parts = k_text, .n_parts = 1 },
};
static const struct chat_tool k_tools[] = { { .name = { "f", 1 } } };

static struct le_engine *open_engine(struct speaker *s)
{
    static struct le_engine_info info;
    struct le_gguf *g;
    struct tg_error err;
    struct le_engine *e;
    *s = (struct speaker){ .tokenizer = NULL };
    info.sampling = (struct le_sampling){ .top_p = 1 };
    CHECK_INT(le_gguf_open(TG_SOURCE_DIR "/tests/golden/tiny-dense-Q8_0.gguf", &g, &err), TG_OK);
    CHECK_INT(le_tokenizer_open(g, &s->tokenizer, &err), TG_OK);
    le_gguf_close(g);
    s->logits = tg_calloc(le_tokenizer_n(s->tokenizer), sizeof(*s->logits));
    CHECK(s->logits);
    const struct le_engine_setup setup = {
        .runner = { .arg = s, .n_vocab = le_tokenizer_n(s->tokenizer), .open = speaker_open,
                    .close = speaker_close, .chunk = speaker_chunk, .step = speaker_step,
                    .logits = speaker_logits, .destroy = speaker_close },
        .tokenizer = s->tokenizer, .info = &info, .context = CONTEXT,
    };
    CHECK_INT(le_engine_start(&setup, &e, &err), TG_OK);
    return e;
}

/* The speaker behind a backend. */
struct talk {
    struct event_base *base;
    struct speaker speaker;
    struct le_engine *engine;
    struct prov_backend *backend;
};

static void talk_open(struct talk *t)
{
    struct tg_error err = { .text = "" };
    t->base = event_base_new();
    t->engine = open_engine(&t->speaker);
    t->backend = prov_local_new(t->base, t->engine, &err);
    CHECK(t->backend != NULL);
}

static void talk_close(struct talk *t)
{
    prov_backend_free(t->backend);
    le_engine_close(t->engine);
    event_base_free(t->base);
    le_tokenizer_close(t->speaker.tokenizer);
    le_ids_free(&t->speaker.script);
    tg_free(t->speaker.logits);
}

/* Its answer to the request: the script. */
static void talk_answer(struct talk *t, const struct chat_request *request, const char *script,
                        uint32_t max_tokens, struct record *r)
{
    struct speaker *s = &t->speaker;
    struct prov_call call = { .request = request, .max_tokens = max_tokens };
    struct tg_error err = { .text = "" };
    int32_t *ids;
    s->script.n = 0;
    CHECK_INT(le_tokenizer_encode(s->tokenizer, tg_str_of(script), true, &s->script), TG_OK);
    CHECK_INT(prov_local_prepare(t->backend, request, &ids, &call.n_prompt, NULL, &err), TG_OK);
    call.prompt = ids;
    s->n_prompt = call.n_prompt;
    record_init(r);
    r->attempt = prov_start(t->backend, &call, record_event, r, &err);
    CHECK(r->attempt != NULL);
    CHECK(loop_until(t->base, &r->ends, 1, WAIT_MS));
    prov_free(r->attempt);
    r->attempt = NULL;
    tg_free(ids);
}

/* The answer to a request with a tool, or without. */
static void answer(const char *script, bool with_tools, uint32_t max_tokens, struct record *r)
{
    struct talk t;
    struct chat_request request = { .messages = k_messages, .n_messages = 1, .tools = k_tools,
                                    .n_tools = with_tools };
    talk_open(&t);
    talk_answer(&t, &request, script, max_tokens, r);
    talk_close(&t);
}

#define CALL(inside) "<|tool_call>call:f{" inside "}<tool_call|>"
#define QUOTED(text) "<|\"|>" text "<|\"|>"
#define BROKEN "a:" "`x" /* the string never ends */

static void a_call_is_given(void)
{
    struct record r;
    answer("wait" CALL("x:" QUOTED("y") ",n:123456789012345678901,d:1.50")
           "<|tool_response>", true, 100, &r);
    CHECK_INT(r.last.kind, CHAT_EVENT_FINISH);
    CHECK_INT(r.last.finish, CHAT_FINISH_TOOL_CALLS);
    CHECK_STR(r.text.p, "wait");
    CHECK(strstr(r.calls.p, ":f:{\"x\":\"y\",\"n\":123456789012345678901,\"d\":1.50}|"));
    record_free(&r);
    answer(CALL("a:1") CALL("b:2") "<turn|>", true, 100, &r);
    CHECK_INT(r.last.finish, CHAT_FINISH_TOOL_CALLS);
    CHECK(strncmp(r.calls.p, "0:", 2) == 0 && strstr(r.calls.p, ":f:{\"a\":1}|1:"));
    record_free(&r);
}

/* Nobody declared a tool: there is nobody to call. */
static void a_call_without_tools_is_dropped(void)
{
    struct record r;
    answer("hm" CALL("a:1") "<turn|>", false, 100, &r);
    CHECK_INT(r.last.kind, CHAT_EVENT_FINISH);
    CHECK_INT(r.last.finish, CHAT_FINISH_STOP);
    CHECK_INT(r.calls.n, 0);
    record_free(&r);
    answer("hm" CALL(BROKEN) "<turn|>", false, 100, &r);
    CHECK_INT(r.last.kind, CHAT_EVENT_FINISH);
    record_free(&r);
}

static void a_call_that_cannot_be_read_is_an_error(void)
{
    struct record r;
    answer(CALL(BROKEN) "<|tool_response>", true, 100, &r);
    CHECK_INT(r.last.kind, CHAT_EVENT_ERROR);
    CHECK_INT(r.last.error, CHAT_ERROR_MALFORMED);
    CHECK_STR(r.error.p, "the local model wrote a tool call that cannot be read");
    CHECK_INT(r.usages, 1);
    record_free(&r);
    answer(CALL(BROKEN) CALL("a:1") "<turn|>", true, 100, &r); /* one of two: better than none */
    CHECK_INT(r.last.finish, CHAT_FINISH_TOOL_CALLS);
    CHECK(strstr(r.calls.p, ":f:{\"a\":1}|"));
    record_free(&r);
    answer("<|tool_call>call:f{a:" QUOTED("x"), true, 6, &r); /* cut */
    CHECK_INT(r.last.kind, CHAT_EVENT_FINISH);
    CHECK_INT(r.last.finish, CHAT_FINISH_LENGTH);
    record_free(&r);
}

/* The client has no such tool. */
static void a_call_of_another_tool_is_an_error(void)
{
    struct record r;
    answer("<|tool_call>call:ff{a:1}<tool_call|><turn|>", true, 100, &r);
    CHECK_INT(r.last.kind, CHAT_EVENT_ERROR);
    CHECK_INT(r.last.error, CHAT_ERROR_MALFORMED);
    CHECK_STR(r.error.p, "the local model called a tool that was not declared");
    CHECK_INT(r.calls.n, 0);
    record_free(&r);
    answer("<|tool_call>call:ff{a:1}<tool_call|>" CALL("a:1") "<turn|>", true, 100, &r);
    CHECK_INT(r.last.finish, CHAT_FINISH_TOOL_CALLS);
    CHECK(strncmp(r.calls.p, "0:", 2) == 0 && strstr(r.calls.p, ":f:{\"a\":1}|"));
    CHECK(!strstr(r.calls.p, ":ff:")); /* an id may have those letters */
    record_free(&r);
}

/* A call that never ends: the tokens do. */
static void a_model_that_never_stops(void)
{
    struct record r;
    answer("<|tool_call>call:f{a:<|\"|>``````", true, CONTEXT, &r);
    CHECK_INT(r.last.finish, CHAT_FINISH_LENGTH);
    CHECK_INT(r.calls.n, 0);
    record_free(&r);
}

/* ---- what was thought before the calls ---- */

enum { TURNS = 3, CALLS_MAX = 2 };

#define THOUGHT(text) "<|channel>thought\n" text "\n<channel|>"

static const char *const k_turns[TURNS] = {
    THOUGHT("first the one") CALL("a:1") "<|tool_response>",
    THOUGHT("then two at once") "so" CALL("b:2") CALL("b:3") "<|tool_response>",
    THOUGHT("and \"the\" last:\n\n {x} \xC3\xA9") CALL("c:4") "<|tool_response>",
};

/* A conversation as a client keeps it: it returns what was thought, or says something else in its
 * place, or nothing. */
struct client {
    struct chat_message messages[1 + TURNS * (1 + CALLS_MAX) + 1];
    struct chat_part said[TURNS][2 + CALLS_MAX], results[TURNS][CALLS_MAX];
    struct chat_request request;
    struct record answers[TURNS];
};

static void client_init(struct client *c)
{
    *c = (struct client){ .messages = { k_messages[0] } };
    c->request = (struct chat_request){ .messages = c->messages, .n_messages = 1,
                                        .tools = k_tools, .n_tools = 1, .thinking = true };
}

static struct tg_str field(const char **at, char end)
{
    const char *from = *at, *to = strchr(from, end);
    CHECK(to);
    *at = to + 1;
    return (struct tg_str){ from, (size_t)(to - from) };
}

/* Answer i and the results of its calls, as messages. thought: NULL: left out. */
static void client_add(struct client *c, int i, const struct record *r,
                       const struct tg_str *thought)
{
    struct chat_part *said = c->said[i];
    size_t n = 0, n_results = 0;
    struct chat_message *m = &c->messages[c->request.n_messages];
    if (thought)
        said[n++] = (struct chat_part){ .kind = CHAT_PART_REASONING, .text = *thought };
    if (r->text.n)
        said[n++] = (struct chat_part){ .kind = CHAT_PART_TEXT, .text = tg_buf_str(&r->text) };
    for (const char *at = r->calls.p; *at; n_results++) {
        struct chat_part call = { .kind = CHAT_PART_TOOL_CALL };
        field(&at, ':');
        call.id = field(&at, ':');
        call.name = field(&at, ':');
        call.text = field(&at, '|');
        said[n++] = call;
        c->results[i][n_results] = (struct chat_part){ .kind = CHAT_PART_TOOL_RESULT,
                                                       .id = call.id, .text = TG_STR("ok") };
        m[1 + n_results] = (struct chat_message){ .role = CHAT_TOOL, .n_parts = 1,
                                                  .parts = &c->results[i][n_results] };
    }
    *m = (struct chat_message){ .role = CHAT_ASSISTANT, .parts = said, .n_parts = n };
    c->request.n_messages += 1 + n_results;
}

static void client_says(struct client *c, enum chat_role role)
{
    struct chat_message *m = &c->messages[c->request.n_messages++];
    *m = (struct chat_message){ .role = role, .parts = k_text, .n_parts = 1 };
}

static bool same_prompt(struct talk *a, const struct chat_request *ra, struct talk *b,
                        const struct chat_request *rb)
{
    struct tg_error err;
    int32_t *ia, *ib;
    uint32_t na, nb;
    CHECK_INT(prov_local_prepare(a->backend, ra, &ia, &na, NULL, &err), TG_OK);
    CHECK_INT(prov_local_prepare(b->backend, rb, &ib, &nb, NULL, &err), TG_OK);
    bool same = na == nb && memcmp(ia, ib, na * sizeof(*ia)) == 0;
    tg_free(ia);
    tg_free(ib);
    return same;
}

/* fresh: remembers nothing. forgetful and returning: the same loop, held with t. */
struct loop {
    struct talk t, fresh;
    struct client forgetful, returning;
};

static void loop_open(struct loop *l)
{
    talk_open(&l->t);
    talk_open(&l->fresh);
    client_init(&l->forgetful);
    client_init(&l->returning);
}

static void loop_turn(struct loop *l, int i)
{
    struct record *r = &l->forgetful.answers[i];
    talk_answer(&l->t, &l->forgetful.request, k_turns[i], 300, r);
    CHECK_INT(r->last.finish, CHAT_FINISH_TOOL_CALLS);
    CHECK(r->reasoning.n > 0);
    struct tg_str thought = tg_buf_str(&r->reasoning);
    client_add(&l->forgetful, i, r, NULL);
    client_add(&l->returning, i, r, &thought);
}

static void loop_close(struct loop *l)
{
    for (int i = 0; i < TURNS; i++)
        record_free(&l->forgetful.answers[i]);
    talk_close(&l->fresh);
    talk_close(&l->t);
}

/* What a provider would be sent has none of the thoughts. */
static void check_not_sent(const struct chat_request *r)
{
    struct prov_call call = { .request = r, .model = TG_STR("m"), .max_tokens = 1 };
    struct tg_buf body;
    tg_buf_init(&body, 1 << 20);
    CHECK_INT(prov_openai_body(&call, &body), TG_OK);
    CHECK(strstr(body.p, "call_") && !strstr(body.p, "first the one"));
    tg_buf_free(&body);
}

/* llama.cpp#25072: the prompt has the thoughts all the same, id by id. */
static void a_loop_without_reasoning(void)
{
    struct loop l;
    loop_open(&l);
    const struct chat_request *forgetful = &l.forgetful.request, *returning = &l.returning.request;
    for (int i = 0; i < TURNS; i++) {
        loop_turn(&l, i);
        CHECK(same_prompt(&l.t, forgetful, &l.fresh, returning));
        CHECK(!same_prompt(&l.fresh, forgetful, &l.fresh, returning));
    }
    check_not_sent(forgetful);
    client_says(&l.forgetful, CHAT_SYSTEM); /* no end of the loop to the template */
    client_says(&l.returning, CHAT_SYSTEM);
    CHECK(same_prompt(&l.t, forgetful, &l.fresh, returning));
    l.forgetful.request.n_messages--;
    client_says(&l.forgetful, CHAT_USER); /* the loop is over: thoughts go, for both */
    CHECK(same_prompt(&l.t, forgetful, &l.fresh, forgetful));
    loop_close(&l);
}

/* Each id has the thought: a client that kept one call of two, in another message, gets it. */
static void one_call_of_an_answer(void)
{
    struct loop l;
    loop_open(&l);
    for (int i = 0; i < 2; i++)
        loop_turn(&l, i);
    struct client *a = &l.forgetful, *b = &l.returning;
    struct chat_part second[] = { b->said[1][0], b->said[1][3] };
    CHECK(second[0].kind == CHAT_PART_REASONING && second[1].kind == CHAT_PART_TOOL_CALL);
    struct chat_message in[] = {
        k_messages[0], { .role = CHAT_ASSISTANT, .parts = second + 1, .n_parts = 1 },
        { .role = CHAT_TOOL, .parts = &a->results[1][1], .n_parts = 1 },
    };
    struct chat_request left_out = a->request, with = a->request;
    left_out.messages = in;
    with.n_messages = left_out.n_messages = 3;
    CHECK(!same_prompt(&l.t, &left_out, &l.fresh, &left_out));
    struct chat_message whole[] = {
        in[0], { .role = CHAT_ASSISTANT, .parts = second, .n_parts = 2 }, in[2],
    };
    with.messages = whole;
    CHECK(same_prompt(&l.t, &left_out, &l.fresh, &with));
    loop_close(&l);
}

/* What a client sends is what it means; an empty thought is one that it left out. */
static void a_clients_own_reasoning_wins(void)
{
    struct loop l;
    struct client other, empty;
    loop_open(&l);
    client_init(&other);
    client_init(&empty);
    loop_turn(&l, 0);
    client_add(&other, 0, &l.forgetful.answers[0], &TG_STR("its own"));
    client_add(&empty, 0, &l.forgetful.answers[0], &TG_STR(""));
    CHECK(same_prompt(&l.t, &other.request, &l.fresh, &other.request));
    CHECK(!same_prompt(&l.t, &other.request, &l.fresh, &l.returning.request));
    CHECK(same_prompt(&l.t, &empty.request, &l.fresh, &l.returning.request));
    loop_close(&l);
}

/* The context has no room for the thought: without it the client's request still fits. */
static void a_prompt_that_fits_only_without(void)
{
    static char padding[8 * CONTEXT];
    struct loop l;
    struct tg_error err;
    int32_t *ids;
    uint32_t n;
    loop_open(&l);
    loop_turn(&l, 0);
    struct chat_part *result = &l.forgetful.results[0][0];
    memset(padding, '#', sizeof(padding));
    result->text.p = padding;
    size_t fits = 1;
    for (size_t step = sizeof(padding) / 2; step; step /= 2) { /* the longest that fits */
        result->text.n = fits + step;
        if (!prov_local_prepare(l.fresh.backend, &l.forgetful.request, &ids, &n, NULL, &err))
            fits += step;
        tg_free(ids);
    }
    CHECK(fits > CONTEXT && fits < sizeof(padding) - 1);
    result->text.n = fits;
    l.returning.results[0][0] = *result;
    CHECK_INT(prov_local_prepare(l.t.backend, &l.returning.request, &ids, &n, NULL, &err),
              TG_LIMIT);
    CHECK(same_prompt(&l.t, &l.forgetful.request, &l.fresh, &l.forgetful.request));
    for (uint64_t nth = 1, done = 0; !done; nth++) {
        tg_alloc_fail_nth(nth);
        enum tg_status status =
            prov_local_prepare(l.t.backend, &l.forgetful.request, &ids, &n, NULL, &err);
        done = tg_alloc_count() < nth;
        tg_alloc_fail_nth(0);
        tg_free(ids);
        CHECK_INT(status, done ? TG_OK : TG_NOMEM);
    }
    loop_close(&l);
}

/* The answer to a first request, and whether its thought is there in the second. */
static bool is_remembered(struct talk *t, struct talk *fresh, const char *script)
{
    struct client c;
    struct record *r = &c.answers[0];
    client_init(&c);
    talk_answer(t, &c.request, script, 300, r);
    CHECK_INT(r->last.finish, CHAT_FINISH_TOOL_CALLS);
    client_add(&c, 0, r, NULL);
    bool same = same_prompt(t, &c.request, fresh, &c.request);
    record_free(r);
    return !same;
}

static void what_is_not_remembered(void)
{
    struct talk t, fresh;
    struct record r;
    struct chat_request request = { .messages = k_messages, .n_messages = 1, .tools = k_tools,
                                    .n_tools = 1 };
    struct tg_str body = TG_STR("{\"id\":\"call_0\"}");
    talk_open(&t);
    talk_open(&fresh);
    CHECK(!is_remembered(&t, &fresh, CALL("a:1") "<turn|>")); /* no thought */
    talk_answer(&t, &request, THOUGHT("hm") "done<turn|>", 300, &r); /* no call */
    CHECK_INT(r.last.finish, CHAT_FINISH_STOP);
    record_free(&r);
    talk_answer(&t, &request, THOUGHT("hm") CALL(BROKEN) "<turn|>", 300, &r);
    CHECK_INT(r.last.kind, CHAT_EVENT_ERROR);
    record_free(&r);
    request.n_tools = 0;
    talk_answer(&t, &request, THOUGHT("hm") CALL("a:1") "<turn|>", 300, &r); /* no tools */
    record_free(&r);
    CHECK_INT(prov_local_recall_max(t.backend, body), 0);
    CHECK(is_remembered(&t, &fresh, k_turns[0]));
    CHECK(prov_local_recall_max(t.backend, body) > strlen("first the one"));
    CHECK(prov_local_recall_max(t.backend, TG_STR("\"c\\u0061ll_0\"")) > 0);
    CHECK_INT(prov_local_recall_max(t.backend, TG_STR("{\"call\":\"\\n\"}")), 0);
    CHECK_INT(prov_local_recall_max(t.backend, (struct tg_str){ NULL, 0 }), 0);
    talk_close(&fresh);
    talk_close(&t);
}

/* Ids open the memory: one says nothing about another answer's, though it tells its salt. */
static void ids_cannot_be_reckoned(void)
{
    struct loop l;
    loop_open(&l);
    loop_turn(&l, 0);
    loop_turn(&l, 1);
    uint64_t id[3];
    for (int i = 0; i < 3; i++) {
        struct tg_str s = l.forgetful.said[i > 0][i > 0 ? i : 0].id;
        CHECK_INT(s.n, 21);
        id[i] = strtoull(s.p + 5, NULL, 16);
    }
    for (int i = 0; i < 3; i++) { /* undo the mixing of prov_call_id */
        uint64_t x = id[i];
        x = (x ^ (x >> 31) ^ (x >> 62)) * 0x319642B2D24D8EC3u;
        x = (x ^ (x >> 27) ^ (x >> 54)) * 0x96DE1B173F119089u;
        id[i] = x ^ (x >> 30) ^ (x >> 60);
    }
    uint64_t step = 0x9E3779B97F4A7C15u, inverse = 0xF1DE83E19937733Du;
    CHECK_INT(id[2] - id[1], step); /* of one answer */
    CHECK((id[1] - id[0]) * inverse > 1u << 30 && (id[0] - id[1]) * inverse > 1u << 30);
    loop_close(&l);
}

static void a_request_with_thoughts_without_memory(void)
{
    struct loop l;
    struct tg_error err;
    bool finished = false;
    loop_open(&l);
    for (int i = 0; i < TURNS; i++)
        loop_turn(&l, i);
    for (uint64_t nth = 1; nth < 1000 && !finished; nth++) {
        int32_t *ids;
        uint32_t n;
        tg_alloc_fail_nth(nth);
        enum tg_status status =
            prov_local_prepare(l.t.backend, &l.forgetful.request, &ids, &n, NULL, &err);
        finished = tg_alloc_count() < nth;
        tg_alloc_fail_nth(0);
        tg_free(ids);
        CHECK_INT(status, finished ? TG_OK : TG_NOMEM);
    }
    CHECK(finished);
    for (uint64_t nth = 1; nth <= 3; nth++) { /* the backend's own, its name, its memory */
        tg_alloc_fail_nth(nth);
        CHECK(!prov_local_new(l.t.base, l.t.engine, &err));
        CHECK_INT(err.code, TG_NOMEM);
        tg_alloc_fail_nth(0);
    }
    loop_close(&l);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(a_call_is_given),
        CASE(a_call_without_tools_is_dropped),
        CASE(a_call_that_cannot_be_read_is_an_error),
        CASE(a_call_of_another_tool_is_an_error),
        CASE(a_model_that_never_stops),
        CASE(a_loop_without_reasoning),
        CASE(one_call_of_an_answer),
        CASE(a_clients_own_reasoning_wins),
        CASE(a_prompt_that_fits_only_without),
        CASE(what_is_not_remembered),
        CASE(ids_cannot_be_reckoned),
        CASE(a_request_with_thoughts_without_memory),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
