#include <inttypes.h>

#include "gateway/api/logprobs.h"
#include "gateway/api/openai_internal.h"

/* Text is printed by hand: the order and the bytes are part of what clients were written for. */

static void add_text(struct tg_buf *out, const char *key, struct tg_str value)
{
    tg_buf_adds(out, key);
    tg_buf_add_json(out, value);
}

void oai_add_identity(const struct api_answer *a, const char *object, struct tg_buf *out)
{
    add_text(out, "{\"id\":", tg_str_of(a->id));
    tg_buf_adds(out, ",\"object\":\"");
    tg_buf_adds(out, object);
    tg_buf_adds(out, "\",\"created\":");
    tg_buf_addu(out, (uint64_t)a->created_s);
    add_text(out, ",\"model\":", a->model);
}

static bool usage_known(const struct chat_usage *u)
{
    return u->input.present && u->output.present && u->input.n <= UINT64_MAX - u->output.n;
}

static void add_count(struct tg_buf *out, const char *before, uint64_t n, const char *behind)
{
    tg_buf_adds(out, before);
    tg_buf_addu(out, n);
    tg_buf_adds(out, behind);
}

void oai_add_usage(const struct chat_usage *u, struct tg_buf *out)
{
    if (!usage_known(u))
        return;
    add_count(out, ",\"usage\":{\"prompt_tokens\":", u->input.n, "");
    add_count(out, ",\"completion_tokens\":", u->output.n, "");
    add_count(out, ",\"total_tokens\":", u->input.n + u->output.n, "");
    if (u->cached_input.present)
        add_count(out, ",\"prompt_tokens_details\":{\"cached_tokens\":", u->cached_input.n, "}");
    if (u->reasoning.present)
        add_count(out, ",\"completion_tokens_details\":{\"reasoning_tokens\":", u->reasoning.n,
                  "}");
    tg_buf_adds(out, "}");
}

bool oai_tells_usage(const struct api_answer *a, const struct chat_usage *u)
{
    return a->request->include_usage && usage_known(u);
}

static void add_calls(const struct api_whole *w, struct tg_buf *out)
{
    tg_buf_adds(out, ",\"tool_calls\":[");
    for (size_t i = 0; i < w->n_calls; i++) {
        add_text(out, i ? ",{\"id\":" : "{\"id\":", w->calls[i].id);
        add_text(out, ",\"type\":\"function\",\"function\":{\"name\":", w->calls[i].name);
        add_text(out, ",\"arguments\":", w->calls[i].arguments);
        tg_buf_adds(out, "}}");
    }
    tg_buf_adds(out, "]");
}

/* l: NULL: none are known. */
static void add_logprobs(const struct chat_logprobs *l, struct tg_buf *out)
{
    tg_buf_adds(out, "},\"logprobs\":");
    if (!l) {
        tg_buf_adds(out, "null");
        return;
    }
    tg_buf_adds(out, "{\"content\":");
    api_add_logprobs(out, l, true);
    tg_buf_adds(out, ",\"refusal\":null}");
}

static enum tg_status print_whole(const struct api_answer *a, const struct api_whole *w,
                                  struct tg_buf *out)
{
    oai_add_identity(a, "chat.completion", out);
    tg_buf_adds(out, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    if (w->content.n == 0 && (w->n_calls > 0 || w->refusal.n > 0))
        tg_buf_adds(out, "null");
    else
        tg_buf_add_json(out, w->content);
    if (w->reasoning.n)
        add_text(out, ",\"reasoning_content\":", w->reasoning);
    if (w->refusal.n)
        add_text(out, ",\"refusal\":", w->refusal);
    else
        tg_buf_adds(out, ",\"refusal\":null");
    if (w->n_calls)
        add_calls(w, out);
    add_logprobs(w->logprobs, out);
    tg_buf_adds(out, ",\"finish_reason\":\"");
    tg_buf_adds(out, chat_finish_name(w->finish));
    tg_buf_adds(out, "\"}]");
    oai_add_usage(&w->usage, out);
    return tg_buf_adds(out, "}");
}

static void begin_chunk(const struct api_answer *a, struct tg_buf *out)
{
    tg_buf_adds(out, "data: ");
    oai_add_identity(a, "chat.completion.chunk", out);
}

static void begin_delta(const struct api_answer *a, struct tg_buf *out)
{
    begin_chunk(a, out);
    if (a->request->include_usage) /* documented: null in all chunks but the last one */
        tg_buf_adds(out, ",\"usage\":null");
    tg_buf_adds(out, ",\"choices\":[{\"index\":0,\"delta\":{");
}

static enum tg_status end_delta(const struct chat_logprobs *l, struct tg_buf *out)
{
    add_logprobs(l, out);
    return tg_buf_adds(out, ",\"finish_reason\":null}]}\n\n");
}

static enum tg_status print_role(const struct api_answer *a, struct tg_buf *out)
{
    begin_delta(a, out);
    tg_buf_adds(out, "\"role\":\"assistant\",\"content\":\"\"");
    return end_delta(NULL, out);
}

static void add_call_delta(const struct chat_event *e, struct tg_buf *out)
{
    tg_buf_addf(out, "\"tool_calls\":[{\"index\":%" PRIu32, e->index);
    if (e->id.n) {
        add_text(out, ",\"id\":", e->id);
        tg_buf_adds(out, ",\"type\":\"function\"");
    }
    tg_buf_adds(out, ",\"function\":{");
    if (e->name.n) {
        add_text(out, "\"name\":", e->name);
        tg_buf_adds(out, ",");
    }
    add_text(out, "\"arguments\":", e->text);
    tg_buf_adds(out, "}}]");
}

static enum tg_status print_event(const struct api_answer *a, struct api_stream *s,
                                  const struct chat_event *e, struct tg_buf *out)
{
    (void)s;
    const char *key = e->kind == CHAT_EVENT_TEXT        ? "\"content\":"
                      : e->kind == CHAT_EVENT_REFUSAL   ? "\"refusal\":"
                      : e->kind == CHAT_EVENT_REASONING ? "\"reasoning_content\":"
                                                        : NULL;
    if (!key && e->kind != CHAT_EVENT_TOOL_CALL)
        return out->failed;
    begin_delta(a, out);
    if (key)
        add_text(out, key, e->text);
    else
        add_call_delta(e, out);
    struct chat_logprobs list = { e->logprobs, e->n_logprobs, NULL };
    return end_delta(e->n_logprobs ? &list : NULL, out);
}

static void add_note(struct tg_str note, struct tg_buf *out)
{
    if (note.n)
        tg_buf_addf(out, ": tollgate %.*s\n\n", TG_FMT(note));
}

enum tg_status oai_add_done(struct tg_str note, struct tg_buf *out)
{
    add_note(note, out);
    return tg_buf_adds(out, "data: [DONE]\n\n");
}

static enum tg_status print_finish(const struct api_answer *a, struct api_stream *s,
                                   const struct api_whole *w, struct tg_str note,
                                   struct tg_buf *out)
{
    (void)s;
    begin_delta(a, out);
    tg_buf_addf(out, "},\"logprobs\":null,\"finish_reason\":\"%s\"}]}\n\n",
                chat_finish_name(w->finish));
    if (oai_tells_usage(a, &w->usage)) {
        begin_chunk(a, out);
        tg_buf_adds(out, ",\"choices\":[]");
        oai_add_usage(&w->usage, out);
        tg_buf_adds(out, "}\n\n");
    }
    return oai_add_done(note, out);
}

enum tg_status oai_failed_print(const struct api_answer *a, struct api_stream *s,
                                const struct api_error *e, struct tg_str note, struct tg_buf *out)
{
    (void)a;
    (void)s;
    tg_buf_adds(out, "data: ");
    oai_error_print(e, out);
    tg_buf_adds(out, "\n\n");
    add_note(note, out);
    return out->failed;
}

enum tg_status oai_model_print(const char *name, int64_t created_s, struct tg_buf *out)
{
    add_text(out, "{\"id\":", tg_str_of(name));
    return tg_buf_addf(out,
                       ",\"object\":\"model\",\"created\":%" PRId64
                       ",\"owned_by\":\"tollgate\"}",
                       created_s);
}

enum tg_status oai_models_print(const char *const *names, size_t n, int64_t created_s,
                                struct tg_buf *out)
{
    tg_buf_adds(out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < n; i++) {
        if (i)
            tg_buf_addc(out, ',');
        oai_model_print(names[i], created_s, out);
    }
    return tg_buf_adds(out, "]}");
}

enum tg_status oai_error_print(const struct api_error *err, struct tg_buf *out)
{
    tg_buf_adds(out, "{\"error\":{\"message\":");
    tg_buf_add_json(out, tg_str_of(err->message));
    tg_buf_adds(out, ",\"type\":");
    tg_buf_add_json(out, tg_str_of(err->type ? err->type : "server_error"));
    tg_buf_adds(out, ",\"param\":");
    if (err->param[0])
        tg_buf_add_json(out, tg_str_of(err->param));
    else
        tg_buf_adds(out, "null");
    tg_buf_adds(out, ",\"code\":");
    if (err->code)
        tg_buf_add_json(out, tg_str_of(err->code));
    else
        tg_buf_adds(out, "null");
    return tg_buf_adds(out, "}}");
}

const struct api_dialect oai_chat = {
    .name = "openai",
    .id_prefix = "chatcmpl-",
    .stream_type = "text/event-stream",
    .heartbeat = ": heartbeat\n\n",
    .id_header = "x-request-id",
    .refusals = true,
    .decode = oai_chat_decode,
    .error = oai_error_print,
    .whole = print_whole,
    .begin = print_role,
    .event = print_event,
    .finish = print_finish,
    .failed = oai_failed_print,
};
