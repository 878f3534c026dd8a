/* The chat-completions decoder on any bytes: an error names its cause, and what was accepted prints
 * back as JSON that the scanner accepts. */
#include "gateway/api/openai_chat.h"
#include "tests/fuzz/support_decode.h"

/* Everything that was accepted, echoed through the encoder. */
static void print_back(const struct api_dialect *dialect, const struct chat_request *r,
                       struct tg_buf *out)
{
    struct api_answer a = { .id = "chatcmpl-0", .model = r->model };
    for (size_t i = 0; i < r->n_messages; i++) {
        for (size_t k = 0; k < r->messages[i].n_parts; k++) {
            const struct chat_part *part = &r->messages[i].parts[k];
            struct api_call call = { part->id, part->name, part->text };
            struct api_whole w = { .content = part->text, .reasoning = r->user, .calls = &call,
                                   .n_calls = part->kind == CHAT_PART_TOOL_CALL };
            if (k % 2)
                w.refusal = part->text;
            tg_buf_reset(out);
            dialect->whole(&a, &w, out);
            fuzz_json(out);
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
    fuzz_decode(&oai_chat, (struct tg_str){ (const char *)data, size }, print_back);
    return 0;
}
