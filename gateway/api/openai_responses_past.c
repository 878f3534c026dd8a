#include <inttypes.h>
#include <stdio.h>

#include "config/base/alloc.h"
#include "gateway/api/openai_responses_internal.h"

enum { MEMORY_FACTOR = 8 }; /* decoded items are a few times their text */

static struct oai_reading *reading_of(struct api_read *d)
{
    return d->dialect;
}

bool oai_id_number(struct tg_str id, const char *prefix, uint64_t *number, struct tg_str *rest)
{
    size_t n = strlen(prefix);
    if (id.n < n + 16 || memcmp(id.p, prefix, n) != 0)
        return false;
    *number = 0;
    for (size_t i = n; i < n + 16; i++) {
        char c = id.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        *number = *number << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *rest = (struct tg_str){ id.p + n + 16, id.n - n - 16 };
    return true;
}

/* --- looking up ------------------------------------------------------------------------------ */

static enum tg_status not_found(struct api_read *d, const char *code, const char *what,
                                struct tg_str id)
{
    enum tg_status status = api_bad(d, "%s with id '%.*s' not found.", what,
                                    TG_FMT(api_short(id)));
    d->err->status = 404;
    d->err->code = code;
    return status == TG_INVALID ? TG_NOTFOUND : status;
}

/* Room for so many bytes of what was said before. */
static enum tg_status make_room(struct api_read *d, size_t bytes)
{
    struct gw_past *past = reading_of(d)->past;
    if (!gw_responses_read(past->store, bytes)) {
        enum tg_status status = api_no_memory(d);
        snprintf(d->err->message, sizeof(d->err->message),
                 "%s: what it goes on from is too large to be read now; try again later, or raise "
                 "responses.maxBytes", d->path);
        return status;
    }
    past->reading += bytes;
    tg_arena_allow(d->arena, bytes > SIZE_MAX / MEMORY_FACTOR ? SIZE_MAX : bytes * MEMORY_FACTOR);
    return TG_OK;
}

enum tg_status oai_find_before(struct api_read *d)
{
    struct oai_reading *r = reading_of(d);
    struct gw_past *past = r->past;
    struct tg_str rest;
    uint64_t number;
    if (!r->previous.n)
        return TG_OK;
    size_t mark = api_enter(d, "previous_response_id");
    if (past->store && oai_id_number(r->previous, "resp_", &number, &rest) && rest.n == 0)
        r->before = gw_responses_find(past->store, past->owner, number, true, past->now_ms);
    if (!r->before) {
        enum tg_status none = not_found(d, "previous_response_not_found", "Previous response",
                                        r->previous);
        d->err->status = 400; /* as OpenAI has it, where items are 404 */
        return none;
    }
    for (const struct gw_response *b = r->before; b; b = b->before)
        past->local_only = past->local_only || b->local_only;
    enum tg_status status = make_room(d, r->before->chain);
    api_leave(d, mark);
    return status;
}

/* --- what is kept of the input --------------------------------------------------------------- */

/* Types of items whose ids begin in a way of their own; the others are messages. */
static const struct {
    const char *type, *prefix;
} prefixes[] = {
    { "message", "msg_" },
    { "function_call", "fc_" },
    { "function_call_output", "fco_" },
    { "custom_tool_call", "ctc_" },
    { "custom_tool_call_output", "ctco_" },
    { "reasoning", "rs_" },
    { "additional_tools", "at_" },
};

static const char *prefix_of(struct tg_str type)
{
    size_t i = sizeof(prefixes) / sizeof(*prefixes) - 1;
    while (i > 0 && !tg_str_eq(type, tg_str_of(prefixes[i].type)))
        i--;
    return prefixes[i].prefix;
}

/* A content that is a string becomes the list that it stands for. */
static void add_member(const struct tg_json *v, bool assistant, struct tg_buf *out)
{
    struct tg_str text;
    tg_buf_addc(out, ',');
    tg_buf_add_json(out, tg_str_of(tg_json_key(v)));
    tg_buf_addc(out, ':');
    if (strcmp(tg_json_key(v), "content") != 0 || !tg_json_string(v, &text)) {
        tg_json_print(v, out);
        return;
    }
    tg_buf_adds(out, assistant ? "[{\"type\":\"output_text\",\"annotations\":[],\"text\":"
                               : "[{\"type\":\"input_text\",\"text\":");
    tg_buf_add_json(out, text);
    tg_buf_adds(out, "}]");
}

static void begin_item(struct oai_reading *r, struct gw_span *span)
{
    tg_buf_addc(&r->input, r->spans.n ? ',' : '[');
    span->at = r->input.n;
}

static void add_id(struct oai_reading *r, struct tg_str type, struct tg_str id,
                   struct gw_span *span)
{
    char own[OAI_ITEM_ID];
    if (!id.n) {
        snprintf(own, sizeof(own), "%s%016" PRIx64 "%04zx", prefix_of(type), r->past->number,
                 OAI_INPUT_FIRST + r->spans.n);
        id = tg_str_of(own);
    }
    tg_buf_adds(&r->input, "{\"id\":");
    span->id_at = r->input.n + 1;
    tg_buf_add_json(&r->input, id);
    span->id_n = r->input.n - 1 - span->id_at;
    tg_buf_adds(&r->input, ",\"type\":");
    tg_buf_add_json(&r->input, type);
}

static enum tg_status end_item(struct api_read *d, struct gw_span span)
{
    struct oai_reading *r = reading_of(d);
    span.n = r->input.n - span.at;
    if (r->input.failed || gw_spans_add(&r->spans, span) != TG_OK)
        return api_no_memory(d);
    return TG_OK;
}

/* v as the list of input items tells it, with an id. */
static enum tg_status keep_item(struct api_read *d, const struct tg_json *v)
{
    struct oai_reading *r = reading_of(d);
    struct gw_span span = { 0 };
    struct tg_str type = TG_STR("message"), id = { NULL, 0 }, role = { NULL, 0 };
    if (!r->keeps)
        return TG_OK;
    tg_json_string(tg_json_get(v, "type"), &type);
    tg_json_string(tg_json_get(v, "role"), &role);
    tg_json_string(tg_json_get(v, "id"), &id);
    begin_item(r, &span);
    add_id(r, type, id, &span);
    for (const struct tg_json *m = tg_json_first(v); m; m = tg_json_next(m))
        if (strcmp(tg_json_key(m), "type") != 0 && strcmp(tg_json_key(m), "id") != 0)
            add_member(m, tg_str_eq(role, TG_STR("assistant")), &r->input);
    if (!api_member(v, "status") && !tg_str_eq(type, TG_STR("reasoning")) &&
        !tg_str_eq(type, TG_STR("additional_tools")))
        tg_buf_adds(&r->input, ",\"status\":\"completed\"");
    tg_buf_addc(&r->input, '}');
    return end_item(d, span);
}

enum tg_status oai_read_input_text(struct api_read *d, const struct tg_json *v)
{
    struct oai_reading *r = reading_of(d);
    struct gw_span span = { 0 };
    struct tg_str text;
    r->talk.place = 1;
    enum tg_status status = api_copy(d, v, 0, SIZE_MAX, &text);
    if (status == TG_OK)
        status = oai_add_user_text(d, text);
    if (status || !r->keeps)
        return status;
    begin_item(r, &span);
    add_id(r, TG_STR("message"), (struct tg_str){ NULL, 0 }, &span);
    tg_buf_adds(&r->input, ",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":");
    tg_buf_add_json(&r->input, text);
    tg_buf_adds(&r->input, "}],\"status\":\"completed\"}");
    return end_item(d, span);
}

/* --- what was said before -------------------------------------------------------------------- */

/* An item of the store; keep: it is an input item now. */
static enum tg_status read_text(struct api_read *d, struct tg_str text, bool keep)
{
    struct tg_json *item = NULL;
    if (tg_json_parse(text, &item, NULL) != TG_OK) /* it was JSON when it was kept */
        return api_no_memory(d);
    enum tg_status status = oai_read_item(d, item);
    if (status == TG_OK && keep)
        status = keep_item(d, item);
    tg_json_free(item);
    return status;
}

static enum tg_status read_spans(struct api_read *d, const struct gw_spans *spans)
{
    enum tg_status status = TG_OK;
    for (size_t i = 0; i < spans->n && status == TG_OK; i++)
        status = read_text(d, gw_span_text(spans, i), false);
    return status;
}

enum tg_status oai_read_before(struct api_read *d)
{
    struct oai_reading *r = reading_of(d);
    enum tg_status status = TG_OK;
    if (!r->before)
        return TG_OK;
    size_t mark = api_enter(d, "previous_response_id"), n = r->before->depth;
    if (n > OAI_ITEMS_MAX)
        return api_bad(d, "the conversation has more than %d items", OAI_ITEMS_MAX);
    const struct gw_response **chain = tg_arena_alloc(d->arena, n, sizeof(*chain));
    if (!chain)
        return api_no_memory(d);
    const struct gw_response *at = r->before;
    for (size_t i = n; i > 0; i--, at = at->before)
        chain[i - 1] = at;
    for (size_t i = 0; i < n && status == TG_OK; i++) {
        status = read_spans(d, &chain[i]->input);
        if (status == TG_OK)
            status = read_spans(d, &chain[i]->output);
    }
    if (status == TG_OK)
        api_leave(d, mark);
    return status;
}

/* --- references ------------------------------------------------------------------------------ */

/* The item of that id among those of the response whose number is in it. */
static bool find_item(const struct gw_response *r, struct tg_str id, struct tg_str *text)
{
    const struct gw_spans *lists[] = { &r->output, &r->input };
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < lists[k]->n; i++)
            if (tg_str_eq(gw_span_id(lists[k], i), id)) {
                *text = gw_span_text(lists[k], i);
                return true;
            }
    return false;
}

static enum tg_status read_reference(struct api_read *d, const struct tg_json *v)
{
    static const struct api_field fields[] = { { "type", api_elsewhere },
                                               { "id", api_elsewhere } };
    struct gw_past *past = reading_of(d)->past;
    struct gw_response *r = NULL;
    struct tg_str id = { NULL, 0 }, rest, text;
    uint64_t number;
    bool ours = false;
    enum tg_status status = api_read_fields(d, v, fields, sizeof(fields) / sizeof(*fields));
    if (status == TG_OK)
        status = api_copy_member(d, v, "id", true, 1, OAI_ID_MAX, &id);
    if (status)
        return status;
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes) && !ours; i++)
        ours = oai_id_number(id, prefixes[i].prefix, &number, &rest);
    if (ours && past->store)
        r = gw_responses_find(past->store, past->owner, number, false, past->now_ms);
    if (r && find_item(r, id, &text)) {
        past->local_only = past->local_only || r->local_only;
        status = make_room(d, text.n);
        if (status == TG_OK)
            status = read_text(d, text, true);
    } else {
        status = not_found(d, NULL, "Item", id);
    }
    if (r)
        gw_response_unref(past->store, r);
    return status;
}

enum tg_status oai_read_input_item(struct api_read *d, const struct tg_json *v, size_t i)
{
    struct tg_str type = { NULL, 0 };
    bool bare = !api_member(v, "type") && !api_member(v, "role") && api_member(v, "id");
    reading_of(d)->talk.place = i + 1;
    if (bare || (tg_json_string(tg_json_get(v, "type"), &type) &&
                 tg_str_eq(type, TG_STR("item_reference"))))
        return read_reference(d, v);
    enum tg_status status = oai_read_item(d, v);
    return status ? status : keep_item(d, v);
}

/* Escapes could spell either word; they are rare enough. */
bool oai_looks_back(struct tg_str body)
{
    static const char *const words[] = { "previous_response_id", "item_reference", "\\u" };
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (body.n && memmem(body.p, body.n, words[i], strlen(words[i])))
            return true;
    return false;
}

/* --- what is kept of the answer -------------------------------------------------------------- */

void oai_keep(const struct api_answer *a, const struct api_stream *s, const struct api_whole *w,
              struct gw_past *past)
{
    struct gw_response *r = past->draft;
    struct oai_told told;
    struct api_stream bare;
    struct tg_buf out;
    if (!r || oai_tell_calls(a, w, &told))
        return;
    told.whole.logprobs = NULL; /* many times the text, and nobody reads them again */
    if (s) {
        bare = *s;
        tg_buf_init(&bare.tokens, 0);
        s = &bare;
    }
    tg_buf_init(&out, SIZE_MAX / 2); /* bounded by the answer */
    past->draft = NULL;
    r->local_only = past->local_only;
    if (oai_response_print(a, s, &told.whole, NULL, &r->output, &out) == TG_OK) {
        gw_spans_take(&r->output, &out);
        gw_responses_put(past->store, r, past->now_ms);
    } else {
        gw_response_drop(past->store, r);
    }
    tg_buf_free(&out);
    oai_told_free(&told);
}
