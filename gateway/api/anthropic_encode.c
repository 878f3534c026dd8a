#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "config/base/json.h"
#include "gateway/api/anthropic_internal.h"

/* Text is printed by hand: the order and the bytes are part of what clients were written for. */

/* Of thinking blocks. Clients send it back and drop blocks without one; nothing is signed here, and
 * the word in it says by whom not. */
#define SIGNATURE "dG9sbGdhdGU="

enum block { BLOCK_NONE, BLOCK_TEXT, BLOCK_THINKING, BLOCK_TOOL_USE }; /* api_stream.open */

static void add_text(struct tg_buf *out, const char *key, struct tg_str value)
{
    tg_buf_adds(out, key);
    tg_buf_add_json(out, value);
}

/* --- usage and ends -------------------------------------------------------------------------- */

static void add_count(struct tg_buf *out, const char *key, struct chat_count c)
{
    if (c.present)
        tg_buf_addf(out, "%s%" PRIu64, key, c.n);
    else
        tg_buf_addf(out, "%snull", key);
}

/* Both totals are numbers to every client of this API, which has no word for unknown: 0 then. What
 * came from a cache is not part of the input here. */
static void add_usage(const struct chat_usage *u, struct tg_buf *out)
{
    uint64_t input = u->input.present ? u->input.n : 0;
    uint64_t cached = u->cached_input.present ? u->cached_input.n : 0;
    tg_buf_addf(out, "\"usage\":{\"input_tokens\":%" PRIu64, cached < input ? input - cached : 0);
    add_count(out, ",\"cache_creation_input_tokens\":", (struct chat_count){ .present = false });
    add_count(out, ",\"cache_read_input_tokens\":", u->cached_input);
    tg_buf_addf(out, ",\"output_tokens\":%" PRIu64, u->output.present ? u->output.n : 0);
    if (u->reasoning.present)
        tg_buf_addf(out, ",\"output_tokens_details\":{\"thinking_tokens\":%" PRIu64 "}",
                    u->reasoning.n);
    tg_buf_adds(out, "}");
}

/* Some servers say "stop" behind a tool call; to clients of this API the reason is what makes them
 * run the tool. A refusal ends with "stop" elsewhere; here a reader of structured output looks at
 * the reason. Where it is not known which stop sequence ended an answer, none is told. */
static const char *reason_of(const struct api_whole *w, bool called)
{
    switch (w->finish) {
    case CHAT_FINISH_LENGTH:
        return "max_tokens";
    case CHAT_FINISH_FILTER:
        return "refusal";
    case CHAT_FINISH_STOP:
    case CHAT_FINISH_TOOL_CALLS:
        break;
    }
    return called       ? "tool_use"
           : w->refused ? "refusal"
           : w->stop.n  ? "stop_sequence"
                        : "end_turn";
}

static void add_stop(const struct api_whole *w, bool called, struct tg_buf *out)
{
    const char *reason = reason_of(w, called);
    tg_buf_addf(out, "\"stop_reason\":\"%s\",\"stop_sequence\":", reason);
    if (strcmp(reason, "stop_sequence") == 0)
        tg_buf_add_json(out, w->stop);
    else
        tg_buf_adds(out, "null");
    bool refused = strcmp(reason, "refusal") == 0; /* nobody tells of which category, or why */
    tg_buf_addf(out, ",\"stop_details\":%s",
                refused ? "{\"type\":\"refusal\",\"category\":null,\"explanation\":null}"
                        : "null");
}

/* --- whole answers --------------------------------------------------------------------------- */

static void add_identity(const struct api_answer *a, struct tg_buf *out)
{
    add_text(out, "{\"id\":", tg_str_of(a->id));
    add_text(out, ",\"type\":\"message\",\"role\":\"assistant\",\"model\":", a->model);
}

/* Arguments that are no object cannot be the input; they travel as text under the name that the
 * API's documentation gives to such input, so that no tool runs on what was not said. */
static void add_input(struct tg_str arguments, struct tg_buf *out)
{
    struct tg_str text = tg_str_trim(arguments);
    if (text.n == 0) {
        tg_buf_adds(out, "{}");
        return;
    }
    enum tg_status status = tg_json_scan(text, NULL);
    if (status == TG_OK && text.p[0] == '{') {
        tg_buf_add(out, text.p, text.n);
        return;
    }
    add_text(out, "{\"INVALID_JSON\":", arguments);
    tg_buf_adds(out, "}");
}

static void next_block(size_t *n, struct tg_buf *out)
{
    if ((*n)++)
        tg_buf_addc(out, ',');
}

/* Some models of providers always think. This API tells of it only where it was asked for, and old
 * code takes the first block for the answer. */
static void add_content(const struct api_answer *a, const struct api_whole *w, struct tg_buf *out)
{
    size_t n = 0;
    tg_buf_adds(out, ",\"content\":[");
    if (w->reasoning.n && a->request->thinking) {
        struct tg_str hidden = { NULL, 0 };
        next_block(&n, out);
        add_text(out, "{\"type\":\"thinking\",\"thinking\":",
                 a->request->hide_thinking ? hidden : w->reasoning);
        tg_buf_adds(out, ",\"signature\":\"" SIGNATURE "\"}");
    }
    if (w->content.n) {
        next_block(&n, out);
        add_text(out, "{\"type\":\"text\",\"text\":", w->content);
        tg_buf_adds(out, "}");
    }
    for (size_t i = 0; i < w->n_calls; i++) {
        next_block(&n, out);
        add_text(out, "{\"type\":\"tool_use\",\"id\":", w->calls[i].id);
        add_text(out, ",\"name\":", w->calls[i].name);
        tg_buf_adds(out, ",\"input\":");
        add_input(w->calls[i].arguments, out);
        tg_buf_adds(out, "}");
    }
    tg_buf_adds(out, "]");
}

static enum tg_status print_whole(const struct api_answer *a, const struct api_whole *w,
                                  struct tg_buf *out)
{
    add_identity(a, out);
    add_content(a, w, out);
    tg_buf_addc(out, ',');
    add_stop(w, w->n_calls > 0, out);
    tg_buf_addc(out, ',');
    add_usage(&w->usage, out);
    return tg_buf_adds(out, "}");
}

/* --- streams --------------------------------------------------------------------------------- */

static void begin_event(const char *name, struct tg_buf *out)
{
    tg_buf_addf(out, "event: %s\ndata: {\"type\":\"%s\"", name, name);
}

static enum tg_status end_event(struct tg_buf *out)
{
    return tg_buf_adds(out, "}\n\n");
}

static enum tg_status print_begin(const struct api_answer *a, struct tg_buf *out)
{
    struct chat_usage usage = { .input = a->prompt };
    begin_event("message_start", out);
    tg_buf_adds(out, ",\"message\":");
    add_identity(a, out);
    tg_buf_adds(out, ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
                     "\"stop_details\":null,");
    add_usage(&usage, out);
    tg_buf_adds(out, "}");
    return end_event(out);
}

static void begin_delta(const struct api_stream *s, const char *type, struct tg_buf *out)
{
    begin_event("content_block_delta", out);
    tg_buf_addf(out, ",\"index\":%" PRIu32 ",\"delta\":{\"type\":\"%s\"", s->index, type);
}

static void add_delta(const struct api_stream *s, const char *type, const char *key,
                      struct tg_str text, struct tg_buf *out)
{
    begin_delta(s, type, out);
    tg_buf_addf(out, ",\"%s\":", key);
    tg_buf_add_json(out, text);
    tg_buf_adds(out, "}");
    end_event(out);
}

static void close_block(struct api_stream *s, struct tg_buf *out)
{
    if (s->open == BLOCK_NONE)
        return;
    if (s->open == BLOCK_THINKING)
        add_delta(s, "signature_delta", "signature", TG_STR(SIGNATURE), out);
    begin_event("content_block_stop", out);
    tg_buf_addf(out, ",\"index\":%" PRIu32, s->index);
    end_event(out);
    s->open = BLOCK_NONE;
    s->index++;
}

static void open_block(struct api_stream *s, enum block kind, const struct chat_event *e,
                       struct tg_buf *out)
{
    close_block(s, out);
    s->open = kind;
    begin_event("content_block_start", out);
    tg_buf_addf(out, ",\"index\":%" PRIu32 ",\"content_block\":", s->index);
    if (kind == BLOCK_TEXT) {
        tg_buf_adds(out, "{\"type\":\"text\",\"text\":\"\"}");
    } else if (kind == BLOCK_THINKING) {
        tg_buf_adds(out, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
    } else {
        add_text(out, "{\"type\":\"tool_use\",\"id\":", e->id);
        add_text(out, ",\"name\":", e->name);
        tg_buf_adds(out, ",\"input\":{}}");
        s->call = e->index;
        s->sequence = (uint64_t)e->index + 1; /* calls begun so far */
    }
    end_event(out);
}

/* Blocks come one behind the other: what is said to a call that another block has closed has no
 * place. (Providers that end a call without arguments by "{}" said nothing.) */
static enum tg_status print_call(struct api_stream *s, const struct chat_event *e,
                                 struct tg_buf *out)
{
    bool begun = e->index < s->sequence;
    bool open = s->open == BLOCK_TOOL_USE && s->call == e->index;
    if (begun && !open)
        return e->text.n == 0 || tg_str_eq(e->text, TG_STR("{}")) ? out->failed : TG_UNSUPPORTED;
    if (!begun)
        open_block(s, BLOCK_TOOL_USE, e, out);
    if (e->text.n)
        add_delta(s, "input_json_delta", "partial_json", e->text, out);
    return out->failed;
}

static enum tg_status print_event(const struct api_answer *a, struct api_stream *s,
                                  const struct chat_event *e, struct tg_buf *out)
{
    if (e->kind == CHAT_EVENT_TOOL_CALL)
        return print_call(s, e, out);
    if ((e->kind != CHAT_EVENT_TEXT && e->kind != CHAT_EVENT_REASONING) || e->text.n == 0)
        return out->failed;
    bool text = e->kind == CHAT_EVENT_TEXT;
    if (!text && !a->request->thinking)
        return out->failed;
    enum block kind = text ? BLOCK_TEXT : BLOCK_THINKING;
    if (s->open != (int)kind)
        open_block(s, kind, e, out);
    if (text)
        add_delta(s, "text_delta", "text", e->text, out);
    else if (!a->request->hide_thinking)
        add_delta(s, "thinking_delta", "thinking", e->text, out);
    return out->failed;
}

static void add_note(struct tg_str note, struct tg_buf *out)
{
    if (note.n)
        tg_buf_addf(out, ": tollgate %.*s\n\n", TG_FMT(note));
}

static enum tg_status print_finish(const struct api_answer *a, struct api_stream *s,
                                   const struct api_whole *w, struct tg_str note,
                                   struct tg_buf *out)
{
    (void)a;
    close_block(s, out);
    begin_event("message_delta", out);
    tg_buf_adds(out, ",\"delta\":{");
    add_stop(w, s->sequence > 0, out);
    tg_buf_adds(out, "},");
    add_usage(&w->usage, out);
    end_event(out);
    add_note(note, out);
    begin_event("message_stop", out);
    return end_event(out);
}

static enum tg_status print_failed(const struct api_answer *a, struct api_stream *s,
                                   const struct api_error *e, struct tg_str note,
                                   struct tg_buf *out)
{
    (void)a;
    (void)s;
    add_note(note, out); /* in front: clients stop reading at the error */
    tg_buf_adds(out, "event: error\ndata: ");
    ant_error_print(e, out);
    return tg_buf_adds(out, "\n\n");
}

/* --- the rest -------------------------------------------------------------------------------- */

static const char *error_type(int status)
{
    static const struct {
        int status;
        const char *type;
    } table[] = {
        { 401, "authentication_error" }, { 402, "billing_error" },
        { 403, "permission_error" },     { 404, "not_found_error" },
        { 413, "request_too_large" },    { 429, "rate_limit_error" },
        { 503, "overloaded_error" },     { 504, "timeout_error" },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        if (table[i].status == status)
            return table[i].type;
    return status < 500 ? "invalid_request_error" : "api_error";
}

enum tg_status ant_error_print(const struct api_error *err, struct tg_buf *out)
{
    tg_buf_addf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":",
                error_type(err->status));
    tg_buf_add_json(out, tg_str_of(err->message));
    if (err->code && strcmp(err->code, ANT_NO_THREADS) == 0)
        tg_buf_adds(out, ",\"details\":{\"error_code\":\"" ANT_NO_THREADS
                         "\",\"unsupported\":[\"thread\"]}");
    if (err->request[0])
        tg_buf_addf(out, "},\"request_id\":\"req_%s\"}", err->request);
    else
        tg_buf_adds(out, "},\"request_id\":null}");
    return out->failed;
}

enum tg_status ant_model_print(const char *name, int64_t created_s, struct tg_buf *out)
{
    char at[40] = "1970-01-01T00:00:00Z";
    time_t t = (time_t)created_s;
    struct tm tm;
    if (gmtime_r(&t, &tm))
        strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%SZ", &tm);
    add_text(out, "{\"type\":\"model\",\"id\":", tg_str_of(name));
    add_text(out, ",\"display_name\":", tg_str_of(name));
    return tg_buf_addf(out, ",\"created_at\":\"%s\"}", at);
}

static void add_id(const char *key, const char *name, struct tg_buf *out)
{
    tg_buf_adds(out, key);
    if (name)
        tg_buf_add_json(out, tg_str_of(name));
    else
        tg_buf_adds(out, "null");
}

enum tg_status ant_models_print(const char *const *names, size_t n, int64_t created_s, bool more,
                                struct tg_buf *out)
{
    tg_buf_adds(out, "{\"data\":[");
    for (size_t i = 0; i < n; i++) {
        if (i)
            tg_buf_addc(out, ',');
        ant_model_print(names[i], created_s, out);
    }
    tg_buf_addf(out, "],\"has_more\":%s", more ? "true" : "false");
    add_id(",\"first_id\":", n ? names[0] : NULL, out);
    add_id(",\"last_id\":", n ? names[n - 1] : NULL, out);
    return tg_buf_adds(out, "}");
}

static enum tg_status print_count(uint32_t n_prompt, struct tg_buf *out)
{
    return tg_buf_addf(out, "{\"input_tokens\":%" PRIu32 "}", n_prompt);
}

static const struct api_rename renames[] = {
    { "response_format", "output_config.format" },
    { "parallel_tool_calls", "tool_choice.disable_parallel_tool_use" },
    { ".function.strict", ".strict" },
    { ".function.parameters", ".input_schema" },
    { ".tool_calls", ".content" },
    { NULL, NULL },
};

const struct api_dialect ant_messages = {
    .name = "anthropic",
    .id_prefix = "msg_",
    .stream_type = "text/event-stream",
    .heartbeat = "event: ping\ndata: {\"type\":\"ping\"}\n\n",
    .id_header = "request-id",
    .anthropic_limits = true,
    .overflow = API_OVERFLOW_ANTHROPIC,
    .overloaded = ANT_OVERLOADED,
    .renames = renames,
    .decode = ant_messages_decode,
    .error = ant_error_print,
    .whole = print_whole,
    .begin = print_begin,
    .event = print_event,
    .finish = print_finish,
    .failed = print_failed,
};

const struct api_dialect ant_count = {
    .name = "anthropic-count",
    .id_prefix = "",
    .id_header = "request-id",
    .anthropic_limits = true,
    .overflow = API_OVERFLOW_ANTHROPIC,
    .overloaded = ANT_OVERLOADED,
    .renames = renames,
    .decode = ant_count_decode,
    .error = ant_error_print,
    .count = print_count,
};
