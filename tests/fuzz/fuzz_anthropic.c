/* The decoders of messages and of token counts on any bytes: an error names its cause, and what was
 * accepted prints back as JSON that the scanner accepts. */
#include <stdlib.h>

#include "config/base/json.h"
#include "config/base/utf8.h"
#include "gateway/api/anthropic.h"

enum { MEMORY_MAX = 16 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_be_json(const struct tg_buf *text)
{
    if (text->failed || tg_json_scan(tg_buf_str(text), NULL) != TG_OK)
        abort();
}

static void check_error(enum tg_status status, const struct api_error *err, struct tg_buf *out)
{
    bool known = (err->status == 400 && (status == TG_INVALID || status == TG_UNSUPPORTED)) ||
                 (err->status == 503 && status == TG_NOMEM);
    bool utf8 = tg_utf8_valid(err->message, strlen(err->message)) &&
                tg_utf8_valid(err->param, strlen(err->param));
    ant_error_print(err, out);
    must_be_json(out);
    if (!known || !utf8 || !err->message[0])
        abort();
}

/* A part as an answer that holds nothing else. */
static void print_part(const struct chat_request *r, const struct chat_part *part,
                       struct tg_buf *out)
{
    struct api_answer a = { .id = "msg_0", .model = r->model, .request = r };
    struct api_call call = { part->id, part->name, part->text };
    struct api_whole w = { .content = part->text, .reasoning = r->user, .calls = &call,
                           .n_calls = 1 };
    tg_buf_reset(out);
    ant_messages.whole(&a, &w, out);
    must_be_json(out);
}

static void check_request(const struct chat_request *r, struct tg_buf *out)
{
    if (r->n_messages == 0 || r->n_stops > CHAT_STOPS_MAX)
        abort();
    for (size_t i = 0; i < r->n_messages; i++) {
        const struct chat_message *m = &r->messages[i];
        if (m->role == CHAT_TOOL && (m->n_parts != 1 || !m->parts[0].name.n))
            abort();
        for (size_t k = 0; k < m->n_parts; k++)
            print_part(r, &m->parts[k], out);
    }
    for (size_t i = 0; i < r->n_tools; i++)
        if (tg_json_scan(r->tools[i].parameters, NULL) != TG_OK)
            abort();
    if (r->format == CHAT_FORMAT_SCHEMA && tg_json_scan(r->schema.text, NULL) != TG_OK)
        abort();
}

static void decode(const struct api_dialect *dialect, struct tg_str body)
{
    struct tg_arena *arena = tg_arena_new(MEMORY_MAX);
    struct chat_request request;
    struct api_error err;
    struct tg_buf out;
    tg_buf_init(&out, MEMORY_MAX);
    enum tg_status status = dialect->decode(body, arena, &request, &err);
    if (status)
        check_error(status, &err, &out);
    else
        check_request(&request, &out);
    tg_buf_free(&out);
    tg_arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_str body = { (const char *)data, size };
    decode(&ant_messages, body);
    decode(&ant_count, body);
    return 0;
}
