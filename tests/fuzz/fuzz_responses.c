/* The decoder of the Responses API on any bytes, with a conversation to go on from and to refer to:
 * an error names its cause; what was accepted prints back as JSON that the scanner accepts, whole
 * and as a stream, is kept, and can be gone on from itself. */
#include "gateway/api/openai_chat.h"
#include "gateway/api/openai_responses.h"
#include "tests/fuzz/support_decode.h"

static struct gw_responses *store;

static void must_be_json(struct tg_str text)
{
    if (tg_json_scan(text, NULL) != TG_OK)
        abort();
}

static void check_error(enum tg_status status, const struct api_error *err)
{
    struct tg_buf out;
    bool known = (err->status == 400 && (status == TG_INVALID || status == TG_UNSUPPORTED)) ||
                 ((err->status == 404 || err->status == 400) && status == TG_NOTFOUND) ||
                 (err->status == 503 && status == TG_NOMEM);
    bool utf8 = tg_utf8_valid(err->message, strlen(err->message)) &&
                tg_utf8_valid(err->param, strlen(err->param));
    tg_buf_init(&out, FUZZ_MEMORY_MAX);
    oai_error_print(err, &out);
    must_be_json(tg_buf_str(&out));
    tg_buf_free(&out);
    if (!known || !utf8 || !err->message[0])
        abort();
}

static void check_request(const struct chat_request *r)
{
    if (r->n_messages == 0)
        abort();
    for (size_t i = 0; i < r->n_messages; i++) {
        const struct chat_message *m = &r->messages[i];
        if (m->role == CHAT_TOOL && (m->n_parts != 1 || !m->parts[0].name.n))
            abort();
        for (size_t k = 0; k < m->n_parts; k++)
            if (!tg_utf8_valid(m->parts[k].text.p, m->parts[k].text.n))
                abort();
    }
}

static void must_be_events(struct tg_str text)
{
    static const struct tg_str start = { "\ndata: ", 7 };
    const char *at = text.p, *end = text.p + text.n;
    while ((at = memmem(at, (size_t)(end - at), start.p, start.n)) != NULL) {
        at += start.n;
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        must_be_json((struct tg_str){ at, (size_t)(line_end - at) });
    }
}

enum { CALLS = 4 };

/* Calls of the first tools, with text as what they are called with, every other one as the input of
 * a custom tool comes; memory is the request's. */
static size_t call_tools(const struct chat_request *r, struct tg_arena *arena, struct tg_str text,
                         struct api_call *calls)
{
    size_t n = 0;
    for (; n < CALLS && n < r->n_tools; n++) {
        struct tg_buf wrapped;
        tg_buf_init(&wrapped, FUZZ_MEMORY_MAX);
        tg_buf_adds(&wrapped, "{\"input\":");
        tg_buf_add_json(&wrapped, text);
        tg_buf_addc(&wrapped, '}');
        calls[n] = (struct api_call){ .id = TG_STR("c"), .name = r->tools[n].name,
                                      .arguments = text };
        if (n % 2 == 0)
            calls[n].arguments = tg_arena_str(arena, tg_buf_str(&wrapped));
        tg_buf_free(&wrapped);
    }
    return n;
}

static void stream_calls(const struct api_answer *a, struct api_stream *s,
                         const struct api_whole *w, struct tg_buf *out)
{
    for (uint32_t i = 0; i < 2 * w->n_calls; i++) {
        const struct api_call *call = &w->calls[i / 2];
        struct tg_str text = call->arguments;
        size_t half = tg_utf8_complete(text.p, text.n / 2);
        struct chat_event e = { .kind = CHAT_EVENT_TOOL_CALL, .index = i / 2,
                                .text = { text.p, half } };
        if (i % 2)
            e.text = (struct tg_str){ text.p + half, text.n - half };
        else
            e.id = call->id;
        if (i % 2 == 0)
            e.name = call->name;
        if (oai_responses.event(a, s, &e, out))
            abort();
    }
}

/* What w thought, as text with its tokens, as thoughts and as refusals, in turns; then its
 * calls. */
static void stream_back(const struct api_answer *a, const struct api_whole *w)
{
    struct chat_logprob list[FUZZ_TOKENS];
    struct chat_event e = { .text = w->reasoning, .logprobs = list };
    static const enum chat_event_kind kinds[] = { CHAT_EVENT_TEXT, CHAT_EVENT_REASONING,
                                                  CHAT_EVENT_REFUSAL };
    struct tg_buf said[3], out;
    struct api_stream s = { .content = said, .reasoning = said + 1, .refusal = said + 2 };
    struct tg_buf *const all[] = { said, said + 1, said + 2, &out, &s.items, &s.tokens };
    for (size_t i = 0; i < 6; i++)
        tg_buf_init(all[i], FUZZ_MEMORY_MAX);
    for (size_t i = 0; i < 6; i++) {
        e.kind = kinds[i % 3];
        e.n_logprobs = i % 3 ? 0 : fuzz_tokens(e.text, list);
        if (oai_responses.event(a, &s, &e, &out))
            abort();
        tg_buf_add(&said[i % 3], e.text.p, e.text.n);
    }
    stream_calls(a, &s, w, &out);
    struct api_whole all_said = { .content = tg_buf_str(said), .reasoning = tg_buf_str(said + 1),
                                  .refusal = tg_buf_str(said + 2), .calls = w->calls,
                                  .n_calls = w->n_calls };
    if (oai_responses.finish(a, &s, &all_said, TG_STR("{}"), &out))
        abort();
    must_be_events(tg_buf_str(&out));
    for (size_t i = 0; i < 6; i++)
        tg_buf_free(all[i]);
}

/* The last part of it as an answer. */
static void answer(const struct chat_request *r, struct tg_arena *arena, struct gw_past *past)
{
    const struct chat_message *last = &r->messages[r->n_messages - 1];
    struct api_answer a = { .model = r->model, .request = r };
    struct chat_logprob list[FUZZ_TOKENS];
    struct api_call calls[CALLS];
    struct api_whole w = { .content = TG_STR("x"), .calls = calls };
    struct tg_buf out;
    if (last->n_parts)
        w.reasoning = w.refusal = last->parts[0].text;
    struct chat_logprobs tokens = { list, fuzz_tokens(w.reasoning, list), NULL };
    w.logprobs = r->logprobs ? &tokens : NULL;
    w.n_calls = call_tools(r, arena, w.reasoning, calls);
    snprintf(a.id, sizeof(a.id), "resp_%016llx", (unsigned long long)past->number);
    tg_buf_init(&out, FUZZ_MEMORY_MAX);
    if (oai_responses.whole(&a, &w, &out) != TG_OK)
        abort();
    must_be_json(tg_buf_str(&out));
    tg_buf_free(&out);
    if (r->stream)
        stream_back(&a, &w);
    if (!r->one_call) /* else they must be answered to go on */
        w.n_calls = 0;
    oai_responses.keep(&a, NULL, &w, past);
}

static void check_kept(uint64_t number)
{
    struct gw_response *r = gw_responses_find(store, 0, number, true, 0);
    if (!r)
        return; /* store: false, or it is too large */
    const struct gw_spans *lists[] = { &r->input, &r->output };
    must_be_json((struct tg_str){ r->input.text, r->input.n_text });
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < lists[k]->n; i++) {
            must_be_json(gw_span_text(lists[k], i));
            if (!gw_span_id(lists[k], i).n)
                abort();
        }
    gw_response_unref(store, r);
}

/* One request; true when it was accepted. */
static bool ask(struct tg_str body, uint64_t number)
{
    struct tg_arena *arena = tg_arena_new(FUZZ_MEMORY_MAX);
    struct gw_past past = { .store = store, .number = number };
    struct chat_request request;
    struct api_error err;
    oai_responses.looks_back(body);
    enum tg_status status = oai_responses.decode_past(body, &past, arena, &request, &err);
    if (status) {
        check_error(status, &err);
    } else {
        check_request(&request);
        answer(&request, arena, &past);
    }
    gw_past_free(&past);
    tg_arena_free(arena);
    return status == TG_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char first[] = "{\"input\":\"a\"}";
    static const char third[] = "{\"previous_response_id\":\"resp_0000000000000002\",\"input\":["
                                "{\"role\":\"user\",\"content\":\"b\"}]}";
    store = gw_responses_new(1 << 20, 1000);
    ask(tg_str_of(first), 1);
    if (ask((struct tg_str){ (const char *)data, size }, 2)) {
        check_kept(2);
        ask(tg_str_of(third), 3);
        check_kept(3);
    }
    gw_responses_free(store);
    return 0;
}
