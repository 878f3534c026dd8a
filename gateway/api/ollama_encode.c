#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "config/base/json.h"
#include "gateway/api/logprobs.h"
#include "gateway/api/ollama_internal.h"

/* Text is printed by hand: the order and the bytes are part of what clients were written for. */

void oll_add_time(int64_t ms, struct tg_buf *out)
{
    time_t s = (time_t)(ms / 1000);
    struct tm tm = { 0 };
    gmtime_r(&s, &tm);
    tg_buf_addf(out, "\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\"", tm.tm_year + 1900, tm.tm_mon + 1,
                tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms % 1000));
}

static void add_text(struct tg_buf *out, const char *key, struct tg_str value)
{
    tg_buf_adds(out, key);
    tg_buf_add_json(out, value);
}

/* One function of arguments, as an object in one line. TG_INVALID: they are none. */
static enum tg_status add_arguments(struct tg_str text, struct tg_buf *out)
{
    struct tg_json *root = NULL;
    if (tg_str_trim(text).n == 0)
        return tg_buf_adds(out, "{}");
    enum tg_status status = tg_json_parse(text, &root, NULL);
    if (status)
        return status == TG_NOMEM ? status : TG_INVALID;
    status = tg_json_is(root, TG_JSON_OBJECT) ? tg_json_print(root, out) : TG_INVALID;
    tg_json_free(root);
    return status;
}

static enum tg_status add_calls(const struct api_whole *w, struct tg_buf *out)
{
    enum tg_status status = TG_OK;
    if (w->n_calls == 0)
        return TG_OK;
    tg_buf_adds(out, ",\"tool_calls\":[");
    for (size_t i = 0; i < w->n_calls && status == TG_OK; i++) {
        tg_buf_adds(out, i ? ",{" : "{");
        if (w->calls[i].id.n) {
            add_text(out, "\"id\":", w->calls[i].id);
            tg_buf_adds(out, ",");
        }
        tg_buf_addf(out, "\"function\":{\"index\":%zu", i);
        add_text(out, ",\"name\":", w->calls[i].name);
        tg_buf_adds(out, ",\"arguments\":");
        status = add_arguments(w->calls[i].arguments, out);
        tg_buf_adds(out, "}}");
    }
    tg_buf_adds(out, "]");
    return status;
}

/* What was said, up to "done": as a message, or flat as generate has it. */
static enum tg_status add_said(const struct api_answer *a, bool chat, const struct api_whole *w,
                               struct tg_buf *out)
{
    add_text(out, "{\"model\":", a->model);
    tg_buf_adds(out, ",\"created_at\":");
    oll_add_time(a->created_ms, out);
    add_text(out, chat ? ",\"message\":{\"role\":\"assistant\",\"content\":" : ",\"response\":",
             w->content);
    if (w->reasoning.n && !a->request->hide_thinking)
        add_text(out, ",\"thinking\":", w->reasoning);
    enum tg_status status = add_calls(w, out);
    tg_buf_addf(out, "%s,\"done\":", chat ? "}" : "");
    return status ? status : out->failed;
}

static void add_logprobs(const struct chat_logprobs *l, struct tg_buf *out)
{
    if (!l)
        return;
    tg_buf_adds(out, ",\"logprobs\":");
    api_add_logprobs(out, l, false);
}

static enum tg_status add_line(const struct api_answer *a, bool chat, const struct api_whole *w,
                               struct tg_buf *out)
{
    enum tg_status status = add_said(a, chat, w, out);
    tg_buf_adds(out, "false");
    add_logprobs(w->logprobs, out);
    tg_buf_adds(out, "}\n");
    return status ? status : out->failed;
}

void oll_add_span(const char *name, int64_t ns, struct tg_buf *out)
{
    if (ns > 0)
        tg_buf_addf(out, ",\"%s\":%" PRId64, name, ns);
}

void oll_add_count(const char *name, struct chat_count c, struct tg_buf *out)
{
    if (c.present)
        tg_buf_addf(out, ",\"%s\":%" PRIu64, name, c.n);
}

/* Clients know stop and length; that a filter cut the answer is not hidden from them. */
static void add_end(const struct api_whole *w, struct tg_buf *out)
{
    bool cut = w->finish == CHAT_FINISH_LENGTH || w->finish == CHAT_FINISH_FILTER;
    tg_buf_addf(out, "true,\"done_reason\":\"%s\"", cut ? chat_finish_name(w->finish) : "stop");
    oll_add_span("total_duration", w->times.total, out);
    oll_add_span("load_duration", w->times.wait, out);
    oll_add_count("prompt_eval_count", w->usage.input, out);
    oll_add_span("prompt_eval_duration", w->times.prompt, out);
    oll_add_count("eval_count", w->usage.output, out);
    oll_add_span("eval_duration", w->times.output, out);
}

static enum tg_status print_whole(const struct api_answer *a, bool chat,
                                  const struct api_whole *w, struct tg_buf *out)
{
    enum tg_status status = add_said(a, chat, w, out);
    if (status)
        return status;
    add_end(w, out);
    add_logprobs(w->logprobs, out);
    return tg_buf_adds(out, "}");
}

static enum tg_status print_event(const struct api_answer *a, bool chat,
                                  const struct chat_event *e, struct tg_buf *out)
{
    struct chat_logprobs list = { e->logprobs, e->n_logprobs, NULL };
    struct api_whole w = { .logprobs = e->n_logprobs ? &list : NULL };
    if (e->kind == CHAT_EVENT_TEXT)
        w.content = e->text;
    else if (e->kind == CHAT_EVENT_REASONING && !a->request->hide_thinking)
        w.reasoning = e->text;
    else
        return out->failed; /* calls are told whole, at the end */
    return add_line(a, chat, &w, out);
}

static void add_note(struct tg_str note, struct tg_buf *out)
{
    if (note.n)
        tg_buf_addf(out, ",\"tollgate\":%.*s", TG_FMT(note));
}

static enum tg_status print_finish(const struct api_answer *a, bool chat,
                                   const struct api_whole *w, struct tg_str note,
                                   struct tg_buf *out)
{
    struct api_whole calls = { .calls = w->calls, .n_calls = w->n_calls };
    struct api_whole none = { .n_calls = 0 };
    enum tg_status status = w->n_calls ? add_line(a, chat, &calls, out) : TG_OK;
    if (status == TG_OK)
        status = add_said(a, chat, &none, out);
    if (status)
        return status;
    add_end(w, out);
    add_note(note, out);
    return tg_buf_adds(out, "}\n");
}

static enum tg_status print_idle(const struct api_answer *a, bool chat, struct tg_buf *out)
{
    struct api_whole none = { .n_calls = 0 };
    add_said(a, chat, &none, out);
    return tg_buf_addf(out, "true,\"done_reason\":\"%s\"}\n",
                       a->request->own ? OLL_UNLOAD : "load");
}

static enum tg_status nothing_first(const struct api_answer *a, struct tg_buf *out)
{
    (void)a;
    return out->failed;
}

/* The vocabulary's errors name the fields of OpenAI's dialect. */
static void add_message(const struct api_error *e, struct tg_buf *out)
{
    static const char *const names[][2] = {
        { "response_format", "format" },
        { "presence_penalty", "options.presence_penalty" },
        { "frequency_penalty", "options.frequency_penalty" },
    };
    char text[sizeof(e->message) + 16];
    const char *rest = e->message, *name = "";
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        size_t n = strlen(names[i][0]);
        if (strncmp(e->message, names[i][0], n) == 0 && e->message[n] == ':') {
            name = names[i][1];
            rest = e->message + n;
            break;
        }
    }
    int n = snprintf(text, sizeof(text), "%s%s", name, rest);
    tg_buf_add_json(out, (struct tg_str){ text, n < 0 ? 0 : strlen(text) });
}

enum tg_status oll_error_print(const struct api_error *e, struct tg_buf *out)
{
    tg_buf_adds(out, "{\"error\":");
    add_message(e, out);
    return tg_buf_adds(out, "}");
}

static enum tg_status print_failed(const struct api_answer *a, struct api_stream *s,
                                   const struct api_error *e, struct tg_str note,
                                   struct tg_buf *out)
{
    (void)a;
    (void)s;
    tg_buf_adds(out, "{\"error\":");
    add_message(e, out);
    add_note(note, out);
    return tg_buf_adds(out, "}\n");
}

static enum tg_status chat_whole(const struct api_answer *a, const struct api_whole *w,
                                 struct tg_buf *out)
{
    return print_whole(a, true, w, out);
}

static enum tg_status generate_whole(const struct api_answer *a, const struct api_whole *w,
                                     struct tg_buf *out)
{
    return print_whole(a, false, w, out);
}

static enum tg_status chat_event(const struct api_answer *a, struct api_stream *s,
                                 const struct chat_event *e, struct tg_buf *out)
{
    (void)s;
    return print_event(a, true, e, out);
}

static enum tg_status generate_event(const struct api_answer *a, struct api_stream *s,
                                     const struct chat_event *e, struct tg_buf *out)
{
    (void)s;
    return print_event(a, false, e, out);
}

static enum tg_status chat_finish(const struct api_answer *a, struct api_stream *s,
                                  const struct api_whole *w, struct tg_str note,
                                  struct tg_buf *out)
{
    (void)s;
    return print_finish(a, true, w, note, out);
}

static enum tg_status generate_finish(const struct api_answer *a, struct api_stream *s,
                                      const struct api_whole *w, struct tg_str note,
                                      struct tg_buf *out)
{
    (void)s;
    return print_finish(a, false, w, note, out);
}

/* A line with nothing in it. */
static enum tg_status chat_beat(const struct api_answer *a, struct tg_buf *out)
{
    return add_line(a, true, &(struct api_whole){ .n_calls = 0 }, out);
}

static enum tg_status generate_beat(const struct api_answer *a, struct tg_buf *out)
{
    return add_line(a, false, &(struct api_whole){ .n_calls = 0 }, out);
}

static enum tg_status chat_idle(const struct api_answer *a, struct tg_buf *out)
{
    return print_idle(a, true, out);
}

static enum tg_status generate_idle(const struct api_answer *a, struct tg_buf *out)
{
    return print_idle(a, false, out);
}

const struct api_dialect oll_chat = {
    .name = "ollama",
    .id_prefix = "ollama-",
    .stream_type = "application/x-ndjson",
    .keeps_calls = true,
    .overflow = API_OVERFLOW_OLLAMA,
    .decode = oll_chat_decode,
    .error = oll_error_print,
    .whole = chat_whole,
    .begin = nothing_first,
    .event = chat_event,
    .finish = chat_finish,
    .failed = print_failed,
    .beat = chat_beat,
    .idle = chat_idle,
};

const struct api_dialect oll_generate = {
    .name = "ollama-generate",
    .id_prefix = "ollama-",
    .stream_type = "application/x-ndjson",
    .keeps_calls = true,
    .overflow = API_OVERFLOW_OLLAMA,
    .decode = oll_generate_decode,
    .error = oll_error_print,
    .whole = generate_whole,
    .begin = nothing_first,
    .event = generate_event,
    .finish = generate_finish,
    .failed = print_failed,
    .beat = generate_beat,
    .idle = generate_idle,
};
