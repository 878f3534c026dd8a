#include <inttypes.h>

#include "gateway/api/ollama_internal.h"
#include "gateway/api/vectors.h"

/* /api/embed, and /api/embeddings, which is older and takes one prompt. */

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* Nothing is ever cut here: the default, true, is as good as absent, and false is what happens. */
static enum tg_status read_truncate(struct api_read *d, const struct tg_json *v)
{
    bool unused;
    return api_bool(d, v, &unused);
}

/* Without a text the client asks to load the model. */
static enum tg_status read_input(struct api_read *d, const struct tg_json *v, bool list)
{
    struct tg_str text;
    if (tg_json_string(v, &text) && text.n == 0)
        return TG_OK;
    if (!list && !tg_json_is(v, TG_JSON_STRING))
        return api_wrong_type(d, v, TG_JSON_STRING);
    if (tg_json_is(v, TG_JSON_ARRAY) && !tg_json_first(v))
        return TG_OK;
    return api_read_texts(d, v);
}

static enum tg_status read_prompt(struct api_read *d, const struct tg_json *v)
{
    return read_input(d, v, false);
}

static enum tg_status read_inputs(struct api_read *d, const struct tg_json *v)
{
    return read_input(d, v, true);
}

static enum tg_status decode(struct tg_str body, struct tg_arena *arena, struct chat_request *out,
                             struct api_error *err, const struct api_field *fields, size_t n)
{
    struct api_read d = { .arena = arena, .out = out, .err = err };
    struct tg_json *root = NULL;
    enum tg_status status = oll_read_all(&d, body, &root, fields, n);
    out->stream = false;
    tg_json_free(root);
    return status;
}

/* Options are read, so that wrong ones are told; none has to do with vectors. */
static enum tg_status embed_decode(struct tg_str body, struct tg_arena *arena,
                                   struct chat_request *out, struct api_error *err)
{
    static const struct api_field fields[] = {
        { "model", oll_read_model },           { "input", read_inputs },
        { "truncate", read_truncate },         { "options", oll_read_options },
        { "keep_alive", oll_read_keep_alive }, { "dimensions", api_read_dimensions },
    };
    return decode(body, arena, out, err, fields, COUNT(fields));
}

static enum tg_status embeddings_decode(struct tg_str body, struct tg_arena *arena,
                                        struct chat_request *out, struct api_error *err)
{
    static const struct api_field fields[] = {
        { "model", oll_read_model },
        { "prompt", read_prompt },
        { "options", oll_read_options },
        { "keep_alive", oll_read_keep_alive },
    };
    return decode(body, arena, out, err, fields, COUNT(fields));
}

static enum tg_status embed_whole(const struct api_answer *a, const struct api_whole *w,
                                  struct tg_buf *out)
{
    tg_buf_adds(out, "{\"model\":");
    tg_buf_add_json(out, a->model);
    tg_buf_adds(out, ",\"embeddings\":[");
    for (size_t i = 0; i < w->n_vectors && !out->failed; i++) {
        if (i)
            tg_buf_addc(out, ',');
        api_add_vector(out, &w->vectors[i], false);
    }
    tg_buf_addc(out, ']');
    oll_add_span("total_duration", w->times.total, out);
    oll_add_span("load_duration", w->times.wait, out);
    oll_add_count("prompt_eval_count", w->usage.input, out);
    return tg_buf_addc(out, '}');
}

static enum tg_status embeddings_whole(const struct api_answer *a, const struct api_whole *w,
                                       struct tg_buf *out)
{
    static const struct api_vector none = { NULL, 0 };
    (void)a;
    tg_buf_adds(out, "{\"embedding\":");
    api_add_vector(out, w->n_vectors ? &w->vectors[0] : &none, false);
    return tg_buf_addc(out, '}');
}

static enum tg_status embed_idle(const struct api_answer *a, struct tg_buf *out)
{
    return embed_whole(a, &(struct api_whole){ .n_vectors = 0 }, out);
}

static enum tg_status embeddings_idle(const struct api_answer *a, struct tg_buf *out)
{
    return embeddings_whole(a, &(struct api_whole){ .n_vectors = 0 }, out);
}

const struct api_dialect oll_embed = {
    .name = "ollama-embed",
    .id_prefix = "ollama-",
    .overflow = API_OVERFLOW_OLLAMA_VECTORS,
    .decode = embed_decode,
    .idle = embed_idle,
    .error = oll_error_print,
    .whole = embed_whole,
};

static const struct api_rename renames[] = { { "input", "prompt" }, { NULL, NULL } };

const struct api_dialect oll_embeddings = {
    .name = "ollama-embeddings",
    .id_prefix = "ollama-",
    .overflow = API_OVERFLOW_OLLAMA_VECTORS,
    .renames = renames,
    .decode = embeddings_decode,
    .idle = embeddings_idle,
    .error = oll_error_print,
    .whole = embeddings_whole,
};
