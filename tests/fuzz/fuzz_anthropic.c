/* The decoders of messages and of token counts on any bytes: an error names its cause, and what was
 * accepted prints back as JSON that the scanner accepts. */
#include "gateway/api/anthropic.h"
#include "tests/fuzz/support_decode.h"

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
    fuzz_json(out);
}

static void check_request(const struct api_dialect *dialect, const struct chat_request *r,
                          struct tg_buf *out)
{
    (void)dialect; /* the one that counts prints no answers */
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_str body = { (const char *)data, size };
    fuzz_decode(&ant_messages, body, check_request);
    fuzz_decode(&ant_count, body, check_request);
    return 0;
}
