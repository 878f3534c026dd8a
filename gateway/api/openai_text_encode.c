#include <inttypes.h>

#include "config/base/utf8.h"
#include "gateway/api/logprobs.h"
#include "gateway/api/openai_internal.h"
#include "gateway/api/openai_text_internal.h"

/* Text is printed by hand: the order and the bytes are part of what clients were written for. */

/* A token as a JSON string; of one that is no text alone its bytes, as the endpoint writes them. */
static void add_token(struct tg_str text, struct tg_buf *out)
{
    if (tg_utf8_valid(text.p, text.n)) {
        tg_buf_add_json(out, text);
        return;
    }
    tg_buf_adds(out, "\"bytes:");
    for (size_t i = 0; i < text.n; i++)
        tg_buf_addf(out, "\\\\x%02x", (unsigned)(unsigned char)text.p[i]);
    tg_buf_addc(out, '"');
}

static bool named_before(const struct chat_logprob *l, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (tg_str_eq(l->top[i].text, l->top[at].text))
            return true;
    return false;
}

static void add_tops(const struct chat_logprob *l, struct tg_buf *out)
{
    const char *comma = "";
    tg_buf_addc(out, '{');
    for (size_t i = 0; i < l->n_top; i++) {
        if (named_before(l, i)) /* an object has each name once; the first is the likeliest */
            continue;
        tg_buf_adds(out, comma);
        comma = ",";
        add_token(l->top[i].text, out);
        tg_buf_addc(out, ':');
        api_add_logprob(out, l->top[i].logprob);
    }
    tg_buf_addc(out, '}');
}

/* What one of the parallel lists has of a token. */
enum column { TOKENS, LOGPROBS, TOPS, OFFSETS };

static void add_cell(enum column column, const struct chat_logprob *l, uint64_t offset,
                     struct tg_buf *out)
{
    if (column == TOKENS)
        add_token(l->token.text, out);
    else if (column == LOGPROBS)
        api_add_logprob(out, l->token.logprob);
    else if (column == TOPS)
        add_tops(l, out);
    else
        tg_buf_addf(out, "%" PRIu64, offset);
}

/* Characters that begin in the text. */
static uint64_t characters(struct tg_str text)
{
    uint64_t n = 0;
    for (size_t i = 0; i < text.n; i++)
        n += ((unsigned char)text.p[i] & 0xC0) != 0x80;
    return n;
}

/* A whole list; the offset behind its last token. */
static uint64_t add_column(enum column column, const struct chat_logprobs *list, uint64_t offset,
                           struct tg_buf *out)
{
    const char *comma = "";
    tg_buf_addc(out, '[');
    for (const struct chat_logprobs *l = list; l; l = l->next) {
        for (size_t i = 0; i < l->n; i++) {
            tg_buf_adds(out, comma);
            comma = ",";
            add_cell(column, &l->list[i], offset, out);
            offset += characters(l->list[i].token.text);
        }
    }
    tg_buf_addc(out, ']');
    return offset;
}

static uint64_t add_logprobs(const struct chat_request *r, const struct chat_logprobs *list,
                             uint64_t offset, struct tg_buf *out)
{
    tg_buf_adds(out, ",\"logprobs\":");
    if (!list) {
        tg_buf_adds(out, "null");
        return offset;
    }
    tg_buf_adds(out, "{\"tokens\":");
    add_column(TOKENS, list, offset, out);
    tg_buf_adds(out, ",\"token_logprobs\":");
    add_column(LOGPROBS, list, offset, out);
    tg_buf_adds(out, ",\"top_logprobs\":");
    if (r->top_logprobs)
        add_column(TOPS, list, offset, out);
    else
        tg_buf_adds(out, "null");
    tg_buf_adds(out, ",\"text_offset\":");
    uint64_t end = add_column(OFFSETS, list, offset, out);
    tg_buf_addc(out, '}');
    return end;
}

/* No call was offered: an answer that ends in one has ended. */
static void add_finish(enum chat_finish finish, struct tg_buf *out)
{
    if (finish == CHAT_FINISH_TOOL_CALLS)
        finish = CHAT_FINISH_STOP;
    tg_buf_addf(out, ",\"finish_reason\":\"%s\"}]", chat_finish_name(finish));
}

static void begin_choice(const struct api_answer *a, struct tg_buf *out)
{
    oai_add_identity(a, "text_completion", out);
    if (a->request->stream && a->request->include_usage) /* null in all chunks but the last one */
        tg_buf_adds(out, ",\"usage\":null");
    tg_buf_adds(out, ",\"choices\":[{\"text\":");
}

static struct tg_str prompt_of(const struct chat_request *r)
{
    bool echo = r->echo && r->n_messages && r->messages[0].n_parts;
    return echo ? r->messages[0].parts[0].text : (struct tg_str){ NULL, 0 };
}

static enum tg_status print_whole(const struct api_answer *a, const struct api_whole *w,
                                  struct tg_buf *out)
{
    struct tg_str prompt = prompt_of(a->request);
    struct tg_buf text;
    tg_buf_init(&text, out->max);
    tg_buf_add(&text, prompt.p, prompt.n);
    enum tg_status status = tg_buf_add(&text, w->content.p, w->content.n);
    begin_choice(a, out);
    tg_buf_add_json(out, tg_buf_str(&text));
    tg_buf_free(&text);
    tg_buf_adds(out, ",\"index\":0");
    add_logprobs(a->request, w->logprobs, 0, out);
    add_finish(w->finish, out);
    oai_add_usage(&w->usage, out);
    tg_buf_addc(out, '}');
    return status ? status : out->failed;
}

static enum tg_status add_chunk(const struct api_answer *a, struct api_stream *s,
                                struct tg_str text, const struct chat_logprobs *l,
                                struct tg_buf *out)
{
    tg_buf_adds(out, "data: ");
    begin_choice(a, out);
    tg_buf_add_json(out, text);
    tg_buf_adds(out, ",\"index\":0");
    s->sequence = add_logprobs(a->request, l, s->sequence, out);
    return tg_buf_adds(out, ",\"finish_reason\":null}]}\n\n");
}

/* The prompt in front of the first text, in a chunk of its own. */
static void add_echo(const struct api_answer *a, struct api_stream *s, struct tg_buf *out)
{
    struct tg_str prompt = prompt_of(a->request);
    if (!s->open && prompt.n)
        add_chunk(a, s, prompt, NULL, out);
    s->open = 1;
}

static enum tg_status print_nothing(const struct api_answer *a, struct tg_buf *out)
{
    (void)a;
    return out->failed;
}

static enum tg_status print_event(const struct api_answer *a, struct api_stream *s,
                                  const struct chat_event *e, struct tg_buf *out)
{
    struct chat_logprobs list = { e->logprobs, e->n_logprobs, NULL };
    if (e->kind != CHAT_EVENT_TEXT)
        return out->failed;
    add_echo(a, s, out);
    return add_chunk(a, s, e->text, e->n_logprobs ? &list : NULL, out);
}

static enum tg_status print_finish(const struct api_answer *a, struct api_stream *s,
                                   const struct api_whole *w, struct tg_str note,
                                   struct tg_buf *out)
{
    add_echo(a, s, out);
    tg_buf_adds(out, "data: ");
    begin_choice(a, out);
    tg_buf_adds(out, "\"\",\"index\":0,\"logprobs\":null");
    add_finish(w->finish, out);
    tg_buf_adds(out, "}\n\n");
    if (oai_tells_usage(a, &w->usage)) {
        tg_buf_adds(out, "data: ");
        oai_add_identity(a, "text_completion", out);
        tg_buf_adds(out, ",\"choices\":[]");
        oai_add_usage(&w->usage, out);
        tg_buf_adds(out, "}\n\n");
    }
    return oai_add_done(note, out);
}

static const struct api_rename renames[] = { { "messages", "prompt" },
                                             { "top_logprobs", "logprobs" },
                                             { "max_completion_tokens", "max_tokens" },
                                             { NULL, NULL } };

const struct api_dialect oai_text = {
    .name = "openai-completions",
    .id_prefix = "cmpl-",
    .stream_type = "text/event-stream",
    .heartbeat = ": heartbeat\n\n",
    .id_header = "x-request-id",
    .renames = renames,
    .decode = oai_text_decode,
    .error = oai_error_print,
    .whole = print_whole,
    .begin = print_nothing,
    .event = print_event,
    .finish = print_finish,
    .failed = oai_failed_print,
};
