#include <inttypes.h>

#include "gateway/api/logprobs.h"
#include "gateway/api/openai_responses_internal.h"

/* The stream's events. An item of text, of a refusal or of thoughts is open until another kind
 * begins, calls until the end: their pieces may come mixed, and those of a custom tool's are JSON
 * around the input, which is told at the end. api_stream.open is 1 + the number of the open item;
 * api_stream.tokens has the logprobs of all texts as they were printed, since the end repeats them
 * four times: where that is much, it repeats none. */

enum {
    FIRST = 2,             /* number of the first event behind those of the beginning */
    TOKENS_MAX = 1 << 20,  /* bytes of logprobs that a stream keeps, and its end copies at once */
};

static void begin_event(const char *name, uint64_t number, struct tg_buf *out)
{
    tg_buf_addf(out, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%" PRIu64, name, name,
                number);
}

static void next_event(struct api_stream *s, const char *name, struct tg_buf *out)
{
    begin_event(name, FIRST + s->sequence++, out);
}

static enum tg_status end_event(struct tg_buf *out)
{
    return tg_buf_adds(out, "}\n\n");
}

enum tg_status oai_stream_begin(const struct api_answer *a, struct tg_buf *out)
{
    static const char *const names[] = { "response.created", "response.in_progress" };
    for (uint64_t i = 0; i < FIRST; i++) {
        begin_event(names[i], i, out);
        tg_buf_adds(out, ",\"response\":");
        oai_response_print(a, NULL, NULL, NULL, NULL, out);
        end_event(out);
    }
    return out->failed;
}

static struct oai_item *item_at(struct api_stream *s, size_t i)
{
    return (struct oai_item *)s->items.p + i;
}

static size_t n_items(const struct api_stream *s)
{
    return s->items.n / sizeof(struct oai_item);
}

static void begin_item_event(struct api_stream *s, const char *name, size_t i, struct tg_buf *out)
{
    next_event(s, name, out);
    tg_buf_addf(out, ",\"output_index\":%zu,\"item\":", i);
}

static void add_item_done(const struct api_answer *a, struct api_stream *s,
                          const struct api_whole *w, size_t i, enum oai_state state,
                          struct tg_buf *out)
{
    begin_item_event(s, "response.output_item.done", i, out);
    oai_item_print(a, s, w, item_at(s, i), i, state, out);
    end_event(out);
}

/* Which item, and which part of it. */
static void add_place(const struct api_answer *a, struct api_stream *s, size_t i, const char *part,
                      struct tg_buf *out)
{
    char id[OAI_ITEM_ID];
    oai_item_id(a, item_at(s, i)->kind, i, id);
    tg_buf_addf(out, ",\"item_id\":\"%s\",\"output_index\":%zu", id, i);
    if (part)
        tg_buf_addf(out, ",\"%s\":0", part);
}

/* Names of the events of one kind of text. */
struct words {
    const char *added, *delta, *done, *ended; /* of its part, of its text */
    const char *index;
    const char *part; /* the part's type */
    const char *text; /* what its text is called */
};

static const struct words *words_of(const struct api_answer *a, enum oai_kind kind)
{
    static const struct words text = { "response.content_part.added",
                                       "response.output_text.delta",
                                       "response.output_text.done",
                                       "response.content_part.done", "content_index",
                                       "output_text", "text" };
    static const struct words refusal = { "response.content_part.added",
                                          "response.refusal.delta", "response.refusal.done",
                                          "response.content_part.done", "content_index",
                                          "refusal", "refusal" };
    static const struct words thought = { "response.content_part.added",
                                          "response.reasoning_text.delta",
                                          "response.reasoning_text.done",
                                          "response.content_part.done", "content_index",
                                          "reasoning_text", "text" };
    static const struct words summary = { "response.reasoning_summary_part.added",
                                          "response.reasoning_summary_text.delta",
                                          "response.reasoning_summary_text.done",
                                          "response.reasoning_summary_part.done",
                                          "summary_index", "summary_text", "text" };
    const struct oai_asked *asked = a->request->own;
    return kind == OAI_MESSAGE   ? &text
           : kind == OAI_REFUSAL ? &refusal
           : asked->summary      ? &summary
                                 : &thought;
}

static void add_part_event(const struct api_answer *a, struct api_stream *s, size_t i,
                           const char *name, struct tg_str text, struct tg_str tokens,
                           struct tg_buf *out)
{
    const struct words *words = words_of(a, item_at(s, i)->kind);
    next_event(s, name, out);
    add_place(a, s, i, words->index, out);
    tg_buf_adds(out, ",\"part\":");
    if (item_at(s, i)->kind == OAI_MESSAGE) {
        oai_text_part_print(text, tokens, out);
    } else {
        tg_buf_addf(out, "{\"type\":\"%s\",\"%s\":", words->part, words->text);
        tg_buf_add_json(out, text);
        tg_buf_addc(out, '}');
    }
    end_event(out);
}

static void add_text_event(const struct api_answer *a, struct api_stream *s, size_t i,
                           const char *name, const char *key, struct tg_str text,
                           struct tg_str tokens, struct tg_buf *out)
{
    next_event(s, name, out);
    add_place(a, s, i, words_of(a, item_at(s, i)->kind)->index, out);
    if (item_at(s, i)->kind == OAI_MESSAGE) {
        tg_buf_adds(out, ",\"logprobs\":[");
        tg_buf_add(out, tokens.p, tokens.n);
        tg_buf_addc(out, ']');
    }
    tg_buf_addf(out, ",\"%s\":", key);
    tg_buf_add_json(out, text);
    end_event(out);
}

/* Ends the open item of text, of a refusal or of thoughts, whose text is all that w has from where
 * it began. */
static void close_item(const struct api_answer *a, struct api_stream *s,
                       const struct api_whole *w, enum oai_state state, struct tg_buf *out)
{
    if (!s->open)
        return;
    size_t i = (size_t)s->open - 1;
    struct oai_item *item = item_at(s, i);
    const struct words *words = words_of(a, item->kind);
    struct tg_str text = oai_text_of(w, item->kind);
    item->to = text.n;
    item->tokens_to = s->tokens.n;
    struct tg_str tokens = oai_item_tokens(s, item);
    text = (struct tg_str){ text.p + item->from, text.n - item->from };
    add_text_event(a, s, i, words->done, words->text, text, tokens, out);
    add_part_event(a, s, i, words->ended, text, tokens, out);
    add_item_done(a, s, w, i, state, out);
    s->open = 0;
}

/* call: what is known of a call's item. */
static enum tg_status open_item(const struct api_answer *a, struct api_stream *s,
                                struct oai_item item, const struct api_whole *w,
                                const struct api_call *call, struct tg_buf *out)
{
    struct api_whole shown = { .calls = call };
    struct oai_item first = { .kind = item.kind };
    size_t i = n_items(s);
    close_item(a, s, w, OAI_COMPLETED, out);
    if (tg_buf_add(&s->items, &item, sizeof(item)))
        return s->items.failed;
    begin_item_event(s, "response.output_item.added", i, out);
    oai_item_print(a, NULL, &shown, &first, i, OAI_BEGUN, out);
    end_event(out);
    if (oai_is_call(item.kind))
        return TG_OK;
    s->open = (int)i + 1;
    add_part_event(a, s, i, words_of(a, item.kind)->added, TG_STR(""), TG_STR(""), out);
    return TG_OK;
}

/* The item of a call, looked for from the newest; n_items when it has not begun. */
static size_t find_call(struct api_stream *s, uint32_t call)
{
    size_t n = n_items(s), i = n;
    while (i > 0 && (!oai_is_call(item_at(s, i - 1)->kind) || item_at(s, i - 1)->call != call))
        i--;
    return i > 0 ? i - 1 : n;
}

static enum tg_status print_call(const struct api_answer *a, struct api_stream *s,
                                 const struct chat_event *e, const struct api_whole *said,
                                 struct tg_buf *out)
{
    size_t i = find_call(s, e->index);
    if (i == n_items(s)) {
        struct api_call call = { .id = e->id, .name = e->name }; /* in its first piece */
        struct oai_item item = { .kind = oai_call_kind(a->request, e->name), .call = e->index };
        enum tg_status status = open_item(a, s, item, said, &call, out);
        if (status)
            return status;
    }
    if (e->text.n && item_at(s, i)->kind == OAI_CALL) { /* an input is told whole: close_call */
        next_event(s, "response.function_call_arguments.delta", out);
        add_place(a, s, i, NULL, out);
        tg_buf_adds(out, ",\"delta\":");
        tg_buf_add_json(out, e->text);
        end_event(out);
    }
    return out->failed;
}

static void print_tokens(struct api_stream *s, const struct chat_event *e)
{
    const struct chat_logprobs list = { e->logprobs, e->n_logprobs, NULL };
    api_add_logprob_list(&s->tokens, &list, true);
}

/* Forgets the tokens when there are too many. */
static void bound_tokens(struct api_stream *s)
{
    if (s->tokens.n <= TOKENS_MAX && !s->tokens_lost)
        return;
    s->tokens_lost = true;
    s->held = 0;
    tg_buf_reset(&s->tokens);
    if (s->open)
        item_at(s, (size_t)s->open - 1)->tokens_from = 0;
}

/* Tokens without text while no message is open: of a character that is not whole yet, or of
 * something that is not said. They go with the text that follows, if any does. */
static enum tg_status hold_tokens(struct api_stream *s, const struct chat_event *e)
{
    bound_tokens(s);
    if (s->held)
        tg_buf_addc(&s->tokens, ',');
    else
        s->held = s->tokens.n + 1;
    print_tokens(s, e);
    return s->tokens.failed;
}

/* Prints the event's tokens behind those of its item: they, and those that were held for it,
 * without a comma in front. */
static struct tg_str keep_tokens(struct api_stream *s, const struct chat_event *e, bool held)
{
    size_t first = item_at(s, (size_t)s->open - 1)->tokens_from, from = s->tokens.n;
    if (e->n_logprobs && from > first)
        tg_buf_addc(&s->tokens, ',');
    from = held ? first : s->tokens.n;
    if (e->n_logprobs)
        print_tokens(s, e);
    return s->tokens.n > from ? (struct tg_str){ s->tokens.p + from, s->tokens.n - from }
                              : TG_STR("");
}

enum tg_status oai_stream_event(const struct api_answer *a, struct api_stream *s,
                                const struct chat_event *e, struct tg_buf *out)
{
    static const enum oai_kind kinds[] = { [CHAT_EVENT_TEXT] = OAI_MESSAGE,
                                           [CHAT_EVENT_REFUSAL] = OAI_REFUSAL,
                                           [CHAT_EVENT_REASONING] = OAI_REASONING };
    struct api_whole said = { .content = tg_buf_str(s->content),
                              .reasoning = tg_buf_str(s->reasoning),
                              .refusal = tg_buf_str(s->refusal) };
    if (e->kind == CHAT_EVENT_TOOL_CALL)
        return print_call(a, s, e, &said, out);
    if ((size_t)e->kind >= sizeof(kinds) / sizeof(*kinds) || !kinds[e->kind] ||
        (e->text.n == 0 && e->n_logprobs == 0))
        return out->failed;
    bool text = e->kind == CHAT_EVENT_TEXT;
    struct oai_item item = { .kind = kinds[e->kind],
                             .from = oai_text_of(&said, kinds[e->kind]).n };
    bool open = s->open && item_at(s, (size_t)s->open - 1)->kind == item.kind, held = false;
    if (e->text.n == 0 && !open)
        return text ? hold_tokens(s, e) : out->failed;
    bound_tokens(s);
    if (!open) {
        held = text && s->held;
        item.tokens_from = held ? s->held - 1 : s->tokens.n;
        enum tg_status status = open_item(a, s, item, &said, NULL, out);
        if (status)
            return status;
    }
    if (text)
        s->held = 0;
    struct tg_str tokens = keep_tokens(s, e, held);
    if (s->tokens.failed)
        return s->tokens.failed;
    add_text_event(a, s, (size_t)s->open - 1, words_of(a, item.kind)->delta, "delta", e->text,
                   tokens, out);
    return out->failed;
}

static void add_member(const char *key, struct tg_str value, struct tg_buf *out)
{
    tg_buf_addf(out, ",\"%s\":", key);
    tg_buf_add_json(out, value);
}

/* The end of what a call is made with; an input's only delta is all of it. */
static void end_call(const struct api_answer *a, struct api_stream *s, size_t i,
                     const struct api_call *call, struct tg_buf *out)
{
    const struct oai_alias *alias = oai_find_alias(a->request, call->name);
    bool custom = item_at(s, i)->kind == OAI_CUSTOM;
    if (custom && call->arguments.n) {
        next_event(s, "response.custom_tool_call_input.delta", out);
        add_place(a, s, i, NULL, out);
        add_member("delta", call->arguments, out);
        end_event(out);
    }
    next_event(s, custom ? "response.custom_tool_call_input.done"
                         : "response.function_call_arguments.done", out);
    add_place(a, s, i, NULL, out);
    if (!custom)
        add_member("name", alias ? alias->name : call->name, out);
    add_member(custom ? "input" : "arguments", call->arguments, out);
    end_event(out);
}

static void close_calls(const struct api_answer *a, struct api_stream *s,
                        const struct api_whole *w, bool cut, struct tg_buf *out)
{
    size_t n = n_items(s);
    for (size_t i = 0; i < n; i++) {
        if (!oai_is_call(item_at(s, i)->kind))
            continue;
        end_call(a, s, i, &w->calls[item_at(s, i)->call], out);
        add_item_done(a, s, w, i, cut && i + 1 == n ? OAI_INCOMPLETE : OAI_COMPLETED, out);
    }
}

static void add_note(struct tg_str note, struct tg_buf *out)
{
    if (note.n)
        tg_buf_addf(out, ": tollgate %.*s\n\n", TG_FMT(note));
}

static enum tg_status finish(const struct api_answer *a, struct api_stream *s,
                             const struct api_whole *w, struct tg_str note, struct tg_buf *out)
{
    bool cut = w->finish == CHAT_FINISH_LENGTH || w->finish == CHAT_FINISH_FILTER;
    enum tg_status status = TG_OK;
    if (n_items(s) == 0) /* nothing was said: as a whole answer tells it */
        status = open_item(a, s, (struct oai_item){ .kind = OAI_MESSAGE }, w, NULL, out);
    if (status)
        return status;
    bool last = (size_t)s->open == n_items(s);
    close_item(a, s, w, cut && last ? OAI_INCOMPLETE : OAI_COMPLETED, out);
    close_calls(a, s, w, cut, out);
    add_note(note, out);
    next_event(s, cut ? "response.incomplete" : "response.completed", out);
    tg_buf_adds(out, ",\"response\":");
    status = oai_response_print(a, s, w, NULL, NULL, out);
    end_event(out);
    return status ? status : out->failed;
}

enum tg_status oai_stream_finish(const struct api_answer *a, struct api_stream *s,
                                 const struct api_whole *w, struct tg_str note,
                                 struct tg_buf *out)
{
    struct oai_told told;
    enum tg_status status = oai_tell_calls(a, w, &told);
    if (status)
        return status;
    status = finish(a, s, &told.whole, note, out);
    oai_told_free(&told);
    return status;
}

/* Before the response was begun there is none that could fail: then it is an error event, in the
 * documented form and in the older one that some clients look for. */
enum tg_status oai_stream_failed(const struct api_answer *a, struct api_stream *s,
                                 const struct api_error *e, struct tg_str note,
                                 struct tg_buf *out)
{
    add_note(note, out); /* in front: clients stop reading at the error */
    if (s->content) {
        next_event(s, "response.failed", out);
        tg_buf_adds(out, ",\"response\":");
        oai_response_print(a, NULL, NULL, e, NULL, out);
        return end_event(out);
    }
    begin_event("error", 0, out);
    tg_buf_adds(out, ",\"code\":");
    if (e->code)
        tg_buf_add_json(out, tg_str_of(e->code));
    else
        tg_buf_adds(out, "null");
    tg_buf_adds(out, ",\"message\":");
    tg_buf_add_json(out, tg_str_of(e->message));
    tg_buf_adds(out, ",\"param\":");
    if (e->param[0])
        tg_buf_add_json(out, tg_str_of(e->param));
    else
        tg_buf_adds(out, "null");
    tg_buf_addc(out, ',');
    struct tg_buf old; /* {"error":{...}}: its member goes in here */
    tg_buf_init(&old, sizeof(*e) * 8);
    oai_error_print(e, &old);
    if (!old.failed)
        tg_buf_add(out, old.p + 1, old.n - 2);
    else
        tg_buf_adds(out, "\"error\":null");
    tg_buf_free(&old);
    return end_event(out);
}
