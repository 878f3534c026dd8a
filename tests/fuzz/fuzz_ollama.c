/* The Ollama decoders on any bytes, the first of which chooses the endpoint: an error names its
 * cause, and what was accepted prints back as lines of JSON that the scanner accepts. */
#include "gateway/api/ollama.h"
#include "tests/fuzz/support_decode.h"

/* Each result has the id of a call before it. */
static void check_result(const struct chat_request *r, size_t at, const struct chat_part *result)
{
    for (size_t i = 0; i < at; i++)
        for (size_t k = 0; k < r->messages[i].n_parts; k++) {
            const struct chat_part *part = &r->messages[i].parts[k];
            if (part->kind == CHAT_PART_TOOL_CALL && tg_str_eq(part->id, result->id))
                return;
        }
    abort();
}

static void print_part(const struct api_dialect *dialect, const struct chat_request *r,
                       const struct chat_part *part, struct tg_buf *out)
{
    struct api_answer a = { .model = r->model, .request = r };
    struct api_stream s = { 0 };
    struct api_call call = { part->id, part->name, part->text };
    struct api_whole w = { .content = part->text, .reasoning = part->name, .calls = &call,
                           .n_calls = part->kind == CHAT_PART_TOOL_CALL };
    struct chat_event e = { .kind = CHAT_EVENT_TEXT, .text = part->text };
    tg_buf_reset(out);
    if (dialect->whole(&a, &w, out) != TG_OK) /* arguments of a request are objects */
        abort();
    fuzz_json(out);
    tg_buf_reset(out);
    dialect->event(&a, &s, &e, out);
    fuzz_json(out);
    if (memchr(out->p, '\n', out->n) != out->p + out->n - 1)
        abort();
}

static void print_back(const struct api_dialect *dialect, const struct chat_request *r,
                       struct tg_buf *out)
{
    for (size_t i = 0; i < r->n_messages; i++) {
        const struct chat_message *m = &r->messages[i];
        if (m->n_parts == 0)
            abort();
        for (size_t k = 0; k < m->n_parts; k++) {
            if (m->parts[k].kind == CHAT_PART_TOOL_RESULT)
                check_result(r, i, &m->parts[k]);
            print_part(dialect, r, &m->parts[k], out);
        }
    }
    if (r->n_stops > CHAT_STOPS_MAX || !r->model.n || (r->n_messages == 0 && r->stream))
        abort();
}

static void show(struct tg_str body)
{
    struct tg_arena *arena = tg_arena_new(FUZZ_MEMORY_MAX);
    struct tg_buf out;
    struct tg_str name;
    struct api_error err;
    tg_buf_init(&out, FUZZ_MEMORY_MAX);
    enum tg_status status = oll_show_decode(body, arena, &name, &err);
    if (status)
        fuzz_error(&oll_chat, status, &err, &out);
    else if (!name.n)
        abort();
    tg_buf_free(&out);
    tg_arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct tg_str body = { (const char *)data + 1, size - 1 };
    if (data[0] == 's')
        show(body);
    else
        fuzz_decode(data[0] == 'g' ? &oll_generate : &oll_chat, body, print_back);
    return 0;
}
