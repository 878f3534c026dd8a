#include <inttypes.h>
#include <stdio.h>

#include "gateway/api/logprobs.h"
#include "gateway/api/openai_responses_internal.h"

/* Text is printed by hand: the order and the bytes are part of what clients were written for. */

static const struct oai_asked *asked_of(const struct api_answer *a)
{
    return a->request->own;
}

static struct tg_str slice(struct tg_str text, size_t from, size_t to)
{
    to = to < text.n ? to : text.n;
    return from < to ? (struct tg_str){ text.p + from, to - from } : (struct tg_str){ NULL, 0 };
}

struct tg_str oai_item_tokens(const struct api_stream *s, const struct oai_item *item)
{
    if (s->tokens_lost)
        return TG_STR("");
    return slice(tg_buf_str(&s->tokens), item->tokens_from, item->tokens_to);
}

/* --- items ----------------------------------------------------------------------------------- */

void oai_item_id(const struct api_answer *a, enum oai_kind kind, size_t i, char id[OAI_ITEM_ID])
{
    static const char *const prefixes[] = { [OAI_REASONING] = "rs", [OAI_MESSAGE] = "msg",
                                            [OAI_REFUSAL] = "msg", [OAI_CALL] = "fc",
                                            [OAI_CUSTOM] = "ctc" };
    const char *number = strchr(a->id, '_');
    snprintf(id, OAI_ITEM_ID, "%s_%.16s%04zx", prefixes[kind], number ? number + 1 : "", i);
}

struct tg_str oai_text_of(const struct api_whole *w, enum oai_kind kind)
{
    return kind == OAI_MESSAGE ? w->content : kind == OAI_REFUSAL ? w->refusal : w->reasoning;
}

static void begin_text_part(struct tg_buf *out)
{
    tg_buf_adds(out, "{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[");
}

static void end_text_part(struct tg_str text, struct tg_buf *out)
{
    tg_buf_adds(out, "],\"text\":");
    tg_buf_add_json(out, text);
    tg_buf_addc(out, '}');
}

void oai_text_part_print(struct tg_str text, struct tg_str tokens, struct tg_buf *out)
{
    begin_text_part(out);
    tg_buf_add(out, tokens.p, tokens.n);
    end_text_part(text, out);
}

/* The part of a message that has ended: all tokens of a whole answer are its one text's. */
static void add_part(const struct api_stream *s, const struct api_whole *w,
                     const struct oai_item *item, struct tg_buf *out)
{
    struct tg_str text = slice(oai_text_of(w, item->kind), item->from, item->to);
    if (item->kind == OAI_REFUSAL) {
        tg_buf_adds(out, "{\"type\":\"refusal\",\"refusal\":");
        tg_buf_add_json(out, text);
        tg_buf_addc(out, '}');
    } else if (s) {
        oai_text_part_print(text, oai_item_tokens(s, item), out);
    } else {
        begin_text_part(out);
        api_add_logprob_list(out, w->logprobs, true);
        end_text_part(text, out);
    }
}

static void add_thought(const struct api_answer *a, struct tg_str text, bool begun,
                        struct tg_buf *out)
{
    bool summary = asked_of(a)->summary;
    tg_buf_adds(out, ",\"summary\":[");
    if (!begun && summary) {
        tg_buf_adds(out, "{\"type\":\"summary_text\",\"text\":");
        tg_buf_add_json(out, text);
        tg_buf_addc(out, '}');
    }
    tg_buf_addc(out, ']');
    if (!begun && !summary) {
        tg_buf_adds(out, ",\"content\":[{\"type\":\"reasoning_text\",\"text\":");
        tg_buf_add_json(out, text);
        tg_buf_adds(out, "}]");
    }
    if (!begun && asked_of(a)->sealed) {
        tg_buf_adds(out, ",\"encrypted_content\":\"");
        oai_seal(text, out);
        tg_buf_addc(out, '"');
    }
}

/* By the name and in the form that the client knows it by. */
static void add_call(const struct api_answer *a, const struct api_call *call, enum oai_kind kind,
                     bool begun, struct tg_buf *out)
{
    const struct oai_alias *alias = oai_find_alias(a->request, call->name);
    tg_buf_adds(out, kind == OAI_CUSTOM ? ",\"input\":" : ",\"arguments\":");
    tg_buf_add_json(out, begun ? TG_STR("") : call->arguments);
    tg_buf_adds(out, ",\"call_id\":");
    tg_buf_add_json(out, call->id);
    tg_buf_adds(out, ",\"name\":");
    tg_buf_add_json(out, alias ? alias->name : call->name);
    if (alias && alias->space.n) {
        tg_buf_adds(out, ",\"namespace\":");
        tg_buf_add_json(out, alias->space);
    }
}

void oai_item_print(const struct api_answer *a, const struct api_stream *s,
                    const struct api_whole *w, const struct oai_item *item, size_t i,
                    enum oai_state state, struct tg_buf *out)
{
    static const char *const types[] = { [OAI_REASONING] = "reasoning", [OAI_MESSAGE] = "message",
                                         [OAI_REFUSAL] = "message", [OAI_CALL] = "function_call",
                                         [OAI_CUSTOM] = "custom_tool_call" };
    static const char *const states[] = { "in_progress", "completed", "incomplete" };
    bool begun = state == OAI_BEGUN;
    char id[OAI_ITEM_ID];
    oai_item_id(a, item->kind, i, id);
    tg_buf_addf(out, "{\"id\":\"%s\",\"type\":\"%s\",\"status\":\"%s\"", id, types[item->kind],
                states[state]);
    if (item->kind == OAI_REASONING) {
        add_thought(a, slice(w->reasoning, item->from, item->to), begun, out);
    } else if (oai_is_call(item->kind)) {
        add_call(a, &w->calls[item->call], item->kind, begun, out);
    } else {
        tg_buf_adds(out, ",\"role\":\"assistant\",\"content\":[");
        if (!begun)
            add_part(s, w, item, out);
        tg_buf_addc(out, ']');
    }
    tg_buf_addc(out, '}');
}

static void add_item(struct tg_buf *items, struct oai_item item)
{
    tg_buf_add(items, &item, sizeof(item));
}

bool oai_items_of(const struct api_answer *a, const struct api_stream *s,
                  const struct api_whole *w, struct tg_buf *items)
{
    if (s) {
        tg_buf_add(items, s->items.p, s->items.n);
        return !items->failed;
    }
    if (w->reasoning.n)
        add_item(items, (struct oai_item){ .kind = OAI_REASONING, .to = w->reasoning.n });
    if (w->content.n || (!w->reasoning.n && !w->refusal.n && !w->n_calls))
        add_item(items, (struct oai_item){ .kind = OAI_MESSAGE, .to = w->content.n });
    if (w->refusal.n)
        add_item(items, (struct oai_item){ .kind = OAI_REFUSAL, .to = w->refusal.n });
    for (uint32_t i = 0; i < w->n_calls; i++)
        add_item(items, (struct oai_item){ .kind = oai_call_kind(a->request, w->calls[i].name),
                                           .call = i });
    return !items->failed;
}

/* --- the response ---------------------------------------------------------------------------- */

static bool is_cut(const struct api_whole *w)
{
    return w->finish == CHAT_FINISH_LENGTH || w->finish == CHAT_FINISH_FILTER;
}

static enum tg_status add_output(const struct api_answer *a, const struct api_stream *s,
                                 const struct api_whole *w, struct gw_spans *spans,
                                 struct tg_buf *out)
{
    struct tg_buf items;
    tg_buf_init(&items, SIZE_MAX / 2);
    enum tg_status status = oai_items_of(a, s, w, &items) ? TG_OK : items.failed;
    const struct oai_item *item = (const struct oai_item *)items.p;
    size_t n = items.n / sizeof(*item);
    for (size_t i = 0; i < n && status == TG_OK; i++) {
        char id[OAI_ITEM_ID];
        bool cut = i + 1 == n && is_cut(w);
        if (i)
            tg_buf_addc(out, ',');
        oai_item_id(a, item[i].kind, i, id);
        struct gw_span span = { .at = out->n, .id_at = out->n + strlen("{\"id\":\""),
                                .id_n = strlen(id) };
        oai_item_print(a, s, w, &item[i], i, cut ? OAI_INCOMPLETE : OAI_COMPLETED, out);
        span.n = out->n - span.at;
        if (spans)
            status = gw_spans_add(spans, span);
    }
    tg_buf_free(&items);
    return status;
}

/* Details are numbers to every client of this API: unknown ones are 0. Without both totals there is
 * no usage. */
static void add_usage(const struct chat_usage *u, struct tg_buf *out)
{
    if (!u->input.present || !u->output.present || u->input.n > UINT64_MAX - u->output.n) {
        tg_buf_adds(out, ",\"usage\":null");
        return;
    }
    tg_buf_addf(out,
                ",\"usage\":{\"input_tokens\":%" PRIu64 ",\"input_tokens_details\":{"
                "\"cached_tokens\":%" PRIu64 ",\"cache_write_tokens\":0},\"output_tokens\":%" PRIu64
                ",\"output_tokens_details\":{\"reasoning_tokens\":%" PRIu64 "},\"total_tokens\":"
                "%" PRIu64 "}",
                u->input.n, u->cached_input.present ? u->cached_input.n : 0, u->output.n,
                u->reasoning.present ? u->reasoning.n : 0, u->input.n + u->output.n);
}

static void add_error(const struct api_error *e, struct tg_buf *out)
{
    bool too_long = e->code && strcmp(e->code, API_TOO_LONG) == 0; /* agents look for it */
    tg_buf_addf(out, ",\"error\":{\"code\":\"%s\",\"message\":",
                too_long ? API_TOO_LONG
                : e->status == 429 ? "rate_limit_exceeded" : "server_error");
    tg_buf_add_json(out, tg_str_of(e->message));
    tg_buf_addc(out, '}');
}

enum tg_status oai_response_print(const struct api_answer *a, const struct api_stream *s,
                                  const struct api_whole *w, const struct api_error *e,
                                  struct gw_spans *spans, struct tg_buf *out)
{
    static const char *const reasons[] = { [CHAT_FINISH_LENGTH] = "max_output_tokens",
                                           [CHAT_FINISH_FILTER] = "content_filter" };
    bool cut = w && is_cut(w);
    struct tg_str echo = asked_of(a)->echo;
    tg_buf_addf(out,
                "{\"id\":\"%s\",\"object\":\"response\",\"created_at\":%" PRId64
                ",\"status\":\"%s\",\"background\":false,\"completed_at\":",
                a->id, a->created_s,
                e ? "failed" : cut ? "incomplete" : w ? "completed" : "in_progress");
    if (w && !cut)
        tg_buf_addf(out, "%" PRId64, a->created_s + w->times.total / 1000000000);
    else
        tg_buf_adds(out, "null");
    if (e)
        add_error(e, out);
    else
        tg_buf_adds(out, ",\"error\":null");
    if (cut)
        tg_buf_addf(out, ",\"incomplete_details\":{\"reason\":\"%s\"}", reasons[w->finish]);
    else
        tg_buf_adds(out, ",\"incomplete_details\":null");
    tg_buf_adds(out, ",\"model\":");
    tg_buf_add_json(out, a->model);
    tg_buf_adds(out, ",\"output\":[");
    enum tg_status status = w ? add_output(a, s, w, spans, out) : TG_OK;
    tg_buf_addc(out, ']');
    if (w)
        add_usage(&w->usage, out);
    else
        tg_buf_adds(out, ",\"usage\":null");
    tg_buf_add(out, echo.p, echo.n);
    tg_buf_addc(out, '}');
    return status ? status : out->failed;
}

static enum tg_status print_whole(const struct api_answer *a, const struct api_whole *w,
                                  struct tg_buf *out)
{
    struct oai_told told;
    enum tg_status status = oai_tell_calls(a, w, &told);
    if (status)
        return status;
    status = oai_response_print(a, NULL, &told.whole, NULL, NULL, out);
    oai_told_free(&told);
    return status;
}

static enum tg_status print_count(uint32_t n_prompt, struct tg_buf *out)
{
    return tg_buf_addf(out, "{\"object\":\"response.input_tokens\",\"input_tokens\":%" PRIu32 "}",
                       n_prompt);
}

/* Backends name fields as chat completions do. */
static const struct api_rename renames[] = {
    { "response_format", "text.format" },
    { "reasoning_effort", "reasoning.effort" },
    { "verbosity", "text.verbosity" },
    { ".function.strict", ".strict" },
    { ".function.parameters", ".parameters" },
    { "max_tokens", "max_output_tokens" },
    { "max_completion_tokens", "max_output_tokens" },
    { ".tool_calls", "" },
    { "messages", "input" },
    { NULL, NULL },
};

const struct api_dialect oai_responses = {
    .name = "openai-responses",
    .id_prefix = "resp_",
    .id_header = "x-request-id",
    .stream_type = "text/event-stream",
    .heartbeat = ": heartbeat\n\n",
    .renames = renames,
    .keeps = true,
    .refusals = true,
    .decode_past = oai_responses_decode,
    .looks_back = oai_looks_back,
    .keep = oai_keep,
    .error = oai_error_print,
    .whole = print_whole,
    .begin = oai_stream_begin,
    .event = oai_stream_event,
    .finish = oai_stream_finish,
    .failed = oai_stream_failed,
};

const struct api_dialect oai_count = {
    .name = "openai-count",
    .id_prefix = "",
    .id_header = "x-request-id",
    .renames = renames,
    .decode_past = oai_count_decode,
    .looks_back = oai_looks_back,
    .error = oai_error_print,
    .count = print_count,
};
