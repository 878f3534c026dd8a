/* The decoders of requests for embeddings on any bytes, the first of which chooses the endpoint,
 * and the reader of a provider's answer to them: one end, and vectors only in front of a good one.
 */
#include <math.h>

#include "gateway/api/ollama.h"
#include "gateway/api/openai_vectors.h"
#include "providers/openai_vectors.h"
#include "tests/fuzz/support_decode.h"
#include "tests/fuzz/support_events.h"

/* Every input's bytes as a vector, printed back; and the request as a provider would get it. */
static void print_back(const struct api_dialect *dialect, const struct chat_request *r,
                       struct tg_buf *out)
{
    static const float numbers[] = { 1, -0.5f, 1e-30f };
    struct api_vector vectors[8];
    struct api_answer a = { .model = r->model, .request = r };
    struct prov_call call = { .request = r, .model = r->model };
    size_t n = r->n_inputs < 8 ? r->n_inputs : 8;
    if (r->n_messages || r->stream || (dialect == &oai_vectors && !n))
        abort();
    for (size_t i = 0; i < r->n_inputs; i++)
        if ((r->inputs[i].n_ids > 0) == (r->inputs[i].text.n > 0))
            abort();
    for (size_t i = 0; i < n; i++)
        vectors[i] = (struct api_vector){ numbers, 3 };
    dialect->whole(&a, &(struct api_whole){ .vectors = vectors, .n_vectors = n }, out);
    fuzz_json(out);
    tg_buf_reset(out);
    prov_vectors_body(&call, out);
    fuzz_json(out);
}

struct seen {
    struct fuzz_ends ends;
    size_t vectors;
};

static void on_event(void *arg, const struct chat_event *e)
{
    struct seen *s = arg;
    fuzz_end(&s->ends, e);
    if (e->kind == CHAT_EVENT_VECTOR && (e->index != s->vectors++ || !e->n_vector))
        abort();
    for (size_t i = 0; i < e->n_vector; i++)
        if (!isfinite(e->vector[i]))
            abort();
}

static void read_answer(struct tg_str body)
{
    static const struct chat_input inputs[2] = { { .text = { "a", 1 } }, { .text = { "b", 1 } } };
    const struct chat_request two = { .inputs = inputs, .n_inputs = 2 };
    struct prov_reader r;
    struct seen s = { .vectors = 0 };
    prov_reader_init(&r, 1 << 16, on_event, &s);
    struct tg_arena *arena = NULL;
    prov_vectors_read(&r, body, &two, &arena);
    tg_arena_free(arena);
    prov_reader_free(&r);
    if (s.ends.n != 1 || s.vectors != (s.ends.finished ? 2 : 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct tg_str body = { (const char *)data + 1, size - 1 };
    if (data[0] == 'a')
        read_answer(body);
    else
        fuzz_decode(data[0] == 'e' ? &oll_embed : data[0] == 'p' ? &oll_embeddings : &oai_vectors,
                    body, print_back);
    return 0;
}
