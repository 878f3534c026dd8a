#include "gateway/api/openai_internal.h"

/* The members of a chat completion, one reader each. Every documented field is here: honoured, or
 * refused by name; an unknown one is refused too. null is the same as absent. */

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

enum tg_status oai_read_effort(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "none", "minimal", "low", "medium",
                                         "high", "xhigh",   "max" };
    size_t which = 0;
    enum tg_status status = api_word(d, v, words, COUNT(words), &which);
    if (status)
        return status;
    d->out->thinking = which >= 2;
    d->out->effort = tg_str_of(words[which]);
    return TG_OK;
}

enum tg_status oai_read_service_tier(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "auto", "default", "flex", "scale", "priority" };
    return api_only_words(d, v, words, COUNT(words), 2);
}

enum tg_status oai_read_verbosity(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "medium", "low", "high" }; /* the first is the default */
    size_t which = 0;
    enum tg_status status = api_word(d, v, words, COUNT(words), &which);
    if (status == TG_OK && which)
        d->out->verbosity = tg_str_of(words[which]);
    return status;
}

/* Kept in memory, which is the default, is a hint; that it be kept for a day is a demand. */
static enum tg_status read_retention(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "in_memory", "in-memory", "24h" };
    return api_only_words(d, v, words, COUNT(words), 2);
}

enum tg_status oai_read_schema_strict(struct api_read *d, const struct tg_json *v)
{
    d->out->schema.has_strict = true;
    return api_bool(d, v, &d->out->schema.strict);
}

enum tg_status oai_read_schema_name(struct api_read *d, const struct tg_json *v)
{
    enum tg_status status = api_copy(d, v, 1, OAI_NAME_MAX, &d->out->schema.name);
    if (status == TG_OK && !api_is_name(d->out->schema.name))
        return api_bad(d, "may only have letters, digits, '_' and '-'");
    return status;
}

enum tg_status oai_read_schema_description(struct api_read *d, const struct tg_json *v)
{
    return api_copy(d, v, 0, SIZE_MAX, &d->out->schema.description);
}

enum tg_status oai_check_schema(struct api_read *d)
{
    if (!d->out->schema.name.n)
        return api_bad(d, "has no name");
    if (!d->out->schema.text.n) /* the API takes it as any object */
        d->out->schema.text = TG_STR("{}");
    return TG_OK;
}

static enum tg_status read_json_schema(struct api_read *d, const struct tg_json *v)
{
    static const struct api_field fields[] = {
        { "name", oai_read_schema_name },
        { "description", oai_read_schema_description },
        { "schema", api_read_schema },
        { "strict", oai_read_schema_strict },
    };
    enum tg_status status = api_read_object(d, v, fields, COUNT(fields));
    return status ? status : oai_check_schema(d);
}

static enum tg_status read_response_format(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "text", "json_object", "json_schema" };
    static const struct api_field fields[] = { { "type", api_elsewhere },
                                               { "json_schema", api_elsewhere } };
    size_t which = 0;
    enum tg_status status = api_type_word(d, v, words, COUNT(words), &which);
    if (status == TG_OK)
        status = api_read_fields(d, v, fields, which == 2 ? 2 : 1);
    if (status)
        return status;
    d->out->format = (enum chat_format)which;
    if (which != 2)
        return TG_OK;
    size_t mark = api_enter(d, "json_schema");
    status = read_json_schema(d, api_member(v, "json_schema"));
    api_leave(d, mark);
    return status;
}

static enum tg_status read_modalities(struct api_read *d, const struct tg_json *v)
{
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return api_wrong_type(d, v, TG_JSON_ARRAY);
    size_t i = 0;
    for (const struct tg_json *item = tg_json_first(v); item; item = tg_json_next(item), i++) {
        struct tg_str s = { NULL, 0 };
        if (tg_json_string(item, &s) && tg_str_eq(s, TG_STR("text")))
            continue;
        size_t mark = api_enter_at(d, i);
        enum tg_status status =
            s.p ? api_unsupported(d) : api_wrong_type(d, item, TG_JSON_STRING);
        api_leave(d, mark);
        return status;
    }
    return TG_OK;
}

/* A hint without effect: prefixes are found by their content here. */
enum tg_status oai_read_cache_key(struct api_read *d, const struct tg_json *v)
{
    struct tg_str key;
    return api_copy(d, v, 0, OAI_USER_MAX, &key);
}

enum tg_status oai_read_parallel(struct api_read *d, const struct tg_json *v)
{
    bool parallel = true;
    enum tg_status status = api_bool(d, v, &parallel);
    d->out->one_call = !parallel;
    return status;
}

static const struct api_field request_fields[] = {
    { "messages", api_elsewhere }, /* read last: it needs nothing, and errors above are cheaper */
    { "model", api_read_model },
    { "stream", api_read_stream },
    { "stream_options", oai_read_stream_options },
    { "temperature", api_read_temperature },
    { "top_p", api_read_top_p },
    { "top_k", api_read_top_k },
    { "min_p", api_read_min_p },
    { "max_tokens", oai_read_max_tokens },
    { "max_completion_tokens", oai_read_max_tokens },
    { "stop", api_read_stop },
    { "seed", oai_read_seed },
    { "presence_penalty", api_read_presence },
    { "frequency_penalty", api_read_frequency },
    { "user", oai_read_user },
    { "safety_identifier", oai_read_safety_identifier },
    { "tools", oai_read_tools },
    { "tool_choice", oai_read_choice },
    { "parallel_tool_calls", oai_read_parallel },
    { "n", oai_read_n },
    { "reasoning_effort", oai_read_effort },
    { "response_format", read_response_format },
    { "modalities", read_modalities },
    { "prompt_cache_key", oai_read_cache_key },
    { "cache_control", api_read_cache_control }, /* other vendors', as in messages, parts, tools */
    { "service_tier", oai_read_service_tier },
    { "verbosity", oai_read_verbosity },
    { "store", api_only_false },
    { "metadata", api_only_empty },
    { "logit_bias", api_only_empty },
    { "logprobs", api_read_logprobs },
    { "top_logprobs", api_read_top_logprobs },
    { "audio", api_refuse },
    { "prediction", api_refuse },
    { "web_search_options", api_refuse },
    { "prompt_cache_retention", read_retention },
    { "prompt_cache_options", api_refuse },
    { "functions", api_refuse },
    { "function_call", api_refuse },
    { "moderation", api_refuse },
};

/* What no single field can know. */
static enum tg_status check_together(struct api_read *d, const struct tg_json *root)
{
    enum tg_status status = oai_settle_chat_choice(d, root);
    if (status == TG_OK)
        status = api_check_logprobs(d);
    if (status)
        return status;
    return oai_check_stream_options(d, root);
}

enum tg_status oai_chat_decode(struct tg_str body, struct tg_arena *arena,
                               struct chat_request *out, struct api_error *err)
{
    static const struct oai_form form = { request_fields, COUNT(request_fields), check_together,
                                          "messages", oai_read_messages };
    return oai_read_form(&form, body, arena, out, err);
}
