/* The chat-completions decoder on any bytes: an error names its cause, and what was accepted prints
 * back as JSON that the scanner accepts. */
#include <stdlib.h>

#include "config/base/json.h"
#include "config/base/utf8.h"
#include "gateway/api/openai_chat.h"

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
    oai_error_print(err, out);
    must_be_json(out);
    if (!known || !utf8 || !err->message[0])
        abort();
}

/* Everything that was accepted, echoed through the encoder. */
static void print_back(const struct chat_request *r, struct tg_buf *out)
{
    struct api_answer a = { .id = "chatcmpl-0", .model = r->model };
    for (size_t i = 0; i < r->n_messages; i++) {
        for (size_t k = 0; k < r->messages[i].n_parts; k++) {
            const struct chat_part *part = &r->messages[i].parts[k];
            struct api_call call = { part->id, part->name, part->text };
            struct api_whole w = { .content = part->text, .reasoning = r->user, .calls = &call,
                                   .n_calls = part->kind == CHAT_PART_TOOL_CALL };
            tg_buf_reset(out);
            oai_chat.whole(&a, &w, out);
            must_be_json(out);
        }
    }
    for (size_t i = 0; i < r->n_tools; i++)
        if (r->tools[i].parameters.n && tg_json_scan(r->tools[i].parameters, NULL) != TG_OK)
            abort();
    if (r->n_messages == 0 || r->n_stops > CHAT_STOPS_MAX)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_arena *arena = tg_arena_new(MEMORY_MAX);
    struct chat_request request;
    struct api_error err;
    struct tg_buf out;
    struct tg_str body = { (const char *)data, size };
    tg_buf_init(&out, MEMORY_MAX);
    enum tg_status status = oai_chat.decode(body, arena, &request, &err);
    if (status)
        check_error(status, &err, &out);
    else
        print_back(&request, &out);
    tg_buf_free(&out);
    tg_arena_free(arena);
    return 0;
}
