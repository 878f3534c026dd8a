/* The completions decoder on any bytes; what was accepted prints back, whole and as a stream. */
#include "gateway/api/openai_text.h"
#include "tests/fuzz/support_decode.h"

static void print_back(const struct api_dialect *dialect, const struct chat_request *r,
                       struct tg_buf *out)
{
    struct chat_logprob list[FUZZ_TOKENS];
    if (r->n_messages != 1 || r->messages[0].n_parts != 1 || !r->max_tokens || r->n_tools)
        abort();
    struct tg_str text = r->messages[0].parts[0].text;
    struct api_answer a = { .id = "cmpl-0", .model = r->model, .request = r };
    struct api_stream s = { 0 };
    struct chat_logprobs tokens = { list, fuzz_tokens(text, list), NULL };
    struct api_whole w = { .content = text, .logprobs = r->logprobs ? &tokens : NULL };
    struct chat_event e = { .kind = CHAT_EVENT_TEXT, .text = text, .logprobs = list,
                            .n_logprobs = tokens.n };
    dialect->whole(&a, &w, out);
    fuzz_json(out);
    tg_buf_reset(out);
    if (dialect->event(&a, &s, &e, out) || dialect->finish(&a, &s, &w, TG_STR("{}"), out))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_decode(&oai_text, (struct tg_str){ (const char *)data, size }, print_back);
    return 0;
}
