/* Tool calls of the local model, by an engine whose model speaks a script. */
#include <event2/event.h>

#include "config/base/alloc.h"
#include "local_engine/engine_internal.h"
#include "tests/unit/check.h"
#include "tests/unit/providers/support.h"

enum { WAIT_MS = 60000, CONTEXT = 512 };

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

static struct le_engine *open_engine(struct speaker *s, const char *script)
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
    CHECK_INT(le_tokenizer_encode(s->tokenizer, tg_str_of(script), true, &s->script), TG_OK);
    const struct le_engine_setup setup = {
        .runner = { .arg = s, .n_vocab = le_tokenizer_n(s->tokenizer), .open = speaker_open,
                    .close = speaker_close, .chunk = speaker_chunk, .step = speaker_step,
                    .logits = speaker_logits, .destroy = speaker_close },
        .tokenizer = s->tokenizer, .info = &info, .context = CONTEXT,
    };
    CHECK_INT(le_engine_start(&setup, &e, &err), TG_OK);
    return e;
}

/* The answer to a request with a tool, or without. */
static void answer(const char *script, bool with_tools, uint32_t max_tokens, struct record *r)
{
    struct speaker s;
    struct tg_error err = { .text = "" };
    struct event_base *base = event_base_new();
    struct le_engine *engine = open_engine(&s, script);
    struct prov_backend *backend = prov_local_new(base, engine, &err);
    struct chat_request request = { .messages = k_messages, .n_messages = 1, .tools = k_tools,
                                    .n_tools = with_tools };
    struct prov_call call = { .request = &request, .max_tokens = max_tokens };
    int32_t *ids;
    CHECK(backend != NULL);
    CHECK_INT(prov_local_prepare(engine, &request, &ids, &call.n_prompt, &err), TG_OK);
    call.prompt = ids;
    s.n_prompt = call.n_prompt;
    record_init(r);
    r->attempt = prov_start(backend, &call, record_event, r, &err);
    CHECK(r->attempt != NULL);
    CHECK(loop_until(base, &r->ends, 1, WAIT_MS));
    prov_free(r->attempt);
    r->attempt = NULL;
    tg_free(ids);
    prov_backend_free(backend);
    le_engine_close(engine);
    event_base_free(base);
    le_tokenizer_close(s.tokenizer);
    le_ids_free(&s.script);
    tg_free(s.logits);
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

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(a_call_is_given),
        CASE(a_call_without_tools_is_dropped),
        CASE(a_call_that_cannot_be_read_is_an_error),
        CASE(a_call_of_another_tool_is_an_error),
        CASE(a_model_that_never_stops),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
