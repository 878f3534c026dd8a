#include "gateway/api/openai_vectors.h"

#include <inttypes.h>

#include "gateway/api/openai_internal.h"
#include "gateway/api/vectors.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static enum tg_status read_encoding(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "float", "base64" };
    size_t which = 0;
    enum tg_status status = api_word(d, v, words, COUNT(words), &which);
    d->out->base64 = which == 1;
    return status;
}

static enum tg_status decode(struct tg_str body, struct tg_arena *arena, struct chat_request *out,
                             struct api_error *err)
{
    static const struct api_field fields[] = {
        { "input", api_elsewhere }, /* read last: errors of the others are cheaper */
        { "model", api_read_model },
        { "encoding_format", read_encoding },
        { "dimensions", api_read_dimensions },
        { "user", oai_read_user },
    };
    static const struct oai_form form = { fields, COUNT(fields), NULL, "input", api_read_inputs };
    return oai_read_form(&form, body, arena, out, err);
}

static enum tg_status print_whole(const struct api_answer *a, const struct api_whole *w,
                                  struct tg_buf *out)
{
    tg_buf_adds(out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < w->n_vectors && !out->failed; i++) {
        tg_buf_addf(out, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":",
                    i ? "," : "", i);
        api_add_vector(out, &w->vectors[i], a->request->base64);
        tg_buf_addc(out, '}');
    }
    tg_buf_adds(out, "],\"model\":");
    tg_buf_add_json(out, a->model);
    if (w->usage.input.present)
        tg_buf_addf(out, ",\"usage\":{\"prompt_tokens\":%" PRIu64 ",\"total_tokens\":%" PRIu64 "}",
                    w->usage.input.n, w->usage.input.n);
    return tg_buf_addc(out, '}');
}

const struct api_dialect oai_vectors = {
    .name = "openai-embeddings",
    .id_prefix = "embd-",
    .id_header = "x-request-id",
    .decode = decode,
    .error = oai_error_print,
    .whole = print_whole,
};
