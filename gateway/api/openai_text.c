#include "gateway/api/openai_internal.h"
#include "gateway/api/openai_text_internal.h"

/* The members of a completion, one reader each: honoured, or refused by name; unknown ones are
 * refused too. */

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

enum { TOKENS_DEFAULT = 16, TOP_MAX = 5, BEST_MAX = 20 };

/* One text, alone or in a list. */
static enum tg_status read_prompt(struct api_read *d, const struct tg_json *v)
{
    const struct tg_json *text = v, *first = tg_json_first(v);
    if (v && tg_json_is(v, TG_JSON_ARRAY)) {
        if (tg_json_is(first, TG_JSON_NUMBER) || tg_json_is(first, TG_JSON_ARRAY))
            return api_bad(d, "token ids are not supported in this version: send the text");
        if (tg_json_count(v) != 1)
            return api_bad(d, "one prompt a request is supported in this version");
        api_enter_at(d, 0);
        text = first;
    }
    struct chat_part *part = tg_arena_alloc(d->arena, 1, sizeof(*part));
    struct chat_message *m = tg_arena_alloc(d->arena, 1, sizeof(*m));
    if (!part || !m)
        return api_no_memory(d);
    *m = (struct chat_message){ .role = CHAT_USER, .parts = part, .n_parts = 1 };
    d->out->messages = m;
    d->out->n_messages = 1;
    return api_copy(d, text, 0, SIZE_MAX, &part->text);
}

/* So many alternatives of each token; 0: the token alone. */
static enum tg_status read_logprobs(struct api_read *d, const struct tg_json *v)
{
    int64_t value = 0;
    enum tg_status status = api_integer(d, v, 0, TOP_MAX, &value);
    d->out->logprobs = true;
    d->out->top_logprobs = (uint32_t)value;
    return status;
}

static enum tg_status read_echo(struct api_read *d, const struct tg_json *v)
{
    return api_bool(d, v, &d->out->echo);
}

static enum tg_status read_best_of(struct api_read *d, const struct tg_json *v)
{
    int64_t value = 0;
    enum tg_status status = api_integer(d, v, 1, BEST_MAX, &value);
    return status == TG_OK && value > 1 ? api_unsupported(d) : status;
}

static enum tg_status read_suffix(struct api_read *d, const struct tg_json *v)
{
    struct tg_str text;
    enum tg_status status = api_copy(d, v, 0, SIZE_MAX, &text);
    return status == TG_OK && text.n ? api_unsupported(d) : status;
}

static const struct api_field request_fields[] = {
    { "prompt", api_elsewhere }, /* read last: errors above are cheaper */
    { "model", api_read_model },
    { "max_tokens", oai_read_max_tokens },
    { "temperature", api_read_temperature },
    { "top_p", api_read_top_p },
    { "top_k", api_read_top_k },
    { "min_p", api_read_min_p },
    { "n", oai_read_n },
    { "stream", api_read_stream },
    { "stream_options", oai_read_stream_options },
    { "logprobs", read_logprobs },
    { "echo", read_echo },
    { "stop", api_read_stop },
    { "presence_penalty", api_read_presence },
    { "frequency_penalty", api_read_frequency },
    { "seed", oai_read_seed },
    { "user", oai_read_user },
    { "best_of", read_best_of },
    { "suffix", read_suffix },
    { "logit_bias", api_only_empty },
};

static enum tg_status check_together(struct api_read *d, const struct tg_json *root)
{
    if (d->out->echo && d->out->logprobs) {
        api_enter(d, "echo");
        return api_bad(d, "is not supported together with logprobs: nobody tells those of the "
                          "prompt");
    }
    return oai_check_stream_options(d, root);
}

enum tg_status oai_text_decode(struct tg_str body, struct tg_arena *arena,
                               struct chat_request *out, struct api_error *err)
{
    static const struct oai_form form = { request_fields, COUNT(request_fields), check_together,
                                          "prompt", read_prompt };
    enum tg_status status = oai_read_form(&form, body, arena, out, err);
    if (!out->max_tokens)
        out->max_tokens = TOKENS_DEFAULT;
    return status;
}
