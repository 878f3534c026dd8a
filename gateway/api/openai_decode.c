#include <stdio.h>

#include "gateway/api/openai_internal.h"

/* The members of a chat completion, one reader each. Every documented field is here: honoured, or
 * refused by name; an unknown one is refused too. null is the same as absent. */

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

const struct tg_json *oai_member(const struct tg_json *object, const char *key)
{
    const struct tg_json *v = tg_json_get(object, key);
    return v && tg_json_type(v) != TG_JSON_NULL ? v : NULL;
}

enum tg_status oai_copy(struct oai_decode *d, const struct tg_json *v, size_t min, size_t max,
                        struct tg_str *out)
{
    struct tg_str s;
    if (!tg_json_string(v, &s))
        return oai_wrong_type(d, v, TG_JSON_STRING);
    if (s.n < min)
        return oai_bad(d, "must not be empty");
    if (s.n > max)
        return oai_bad(d, "is longer than %zu bytes", max);
    *out = tg_arena_str(d->arena, s);
    return out->p ? TG_OK : oai_no_memory(d);
}

enum tg_status oai_copy_member(struct oai_decode *d, const struct tg_json *object,
                               const char *key, bool required, size_t min, size_t max,
                               struct tg_str *out)
{
    const struct tg_json *v = oai_member(object, key);
    if (!v && !required)
        return TG_OK;
    size_t mark = oai_enter(d, key);
    enum tg_status status = oai_copy(d, v, min, max, out);
    oai_leave(d, mark);
    return status;
}

enum tg_status oai_refuse(struct oai_decode *d, const struct tg_json *v)
{
    (void)v;
    return oai_unsupported(d);
}

enum tg_status oai_elsewhere(struct oai_decode *d, const struct tg_json *v)
{
    (void)d;
    (void)v;
    return TG_OK;
}

enum tg_status oai_only_empty(struct oai_decode *d, const struct tg_json *v)
{
    bool list = tg_json_is(v, TG_JSON_ARRAY) || tg_json_is(v, TG_JSON_OBJECT);
    return list && !tg_json_first(v) ? TG_OK : oai_unsupported(d);
}

enum tg_status oai_read_fields(struct oai_decode *d, const struct tg_json *object,
                               const struct oai_field *fields, size_t n)
{
    enum tg_status status = TG_OK;
    const struct tg_json *v = tg_json_first(object);
    for (; v && status == TG_OK; v = tg_json_next(v)) {
        size_t i = 0;
        while (i < n && strcmp(fields[i].name, tg_json_key(v)) != 0)
            i++;
        size_t mark = oai_enter(d, tg_json_key(v));
        if (i == n)
            status = oai_bad(d, "unknown field");
        else if (tg_json_type(v) != TG_JSON_NULL)
            status = fields[i].read(d, v);
        oai_leave(d, mark);
    }
    return status;
}

static enum tg_status read_bool(struct oai_decode *d, const struct tg_json *v, bool *out)
{
    return tg_json_bool(v, out) ? TG_OK : oai_wrong_type(d, v, TG_JSON_BOOL);
}

/* For switches of which only the given position exists here. */
static enum tg_status only_bool(struct oai_decode *d, const struct tg_json *v, bool wanted)
{
    bool value;
    enum tg_status status = read_bool(d, v, &value);
    if (status)
        return status;
    return value == wanted ? TG_OK : oai_unsupported(d);
}

static enum tg_status read_between(struct oai_decode *d, const struct tg_json *v, double min,
                                   double max, double *out)
{
    if (!tg_json_number(v, out))
        return oai_wrong_type(d, v, TG_JSON_NUMBER);
    if (!(*out >= min && *out <= max))
        return oai_bad(d, "must be from %g to %g", min, max);
    return TG_OK;
}

static enum tg_status read_whole(struct oai_decode *d, const struct tg_json *v, int64_t min,
                                 int64_t max, int64_t *out)
{
    if (!tg_json_is(v, TG_JSON_NUMBER))
        return oai_wrong_type(d, v, TG_JSON_NUMBER);
    if (!tg_json_int(v, out) || *out < min || *out > max)
        return oai_bad(d, "must be a whole number from %lld to %lld", (long long)min,
                       (long long)max);
    return TG_OK;
}

static enum tg_status read_model(struct oai_decode *d, const struct tg_json *v)
{
    return oai_copy(d, v, 1, OAI_MODEL_MAX, &d->out->model);
}

static enum tg_status read_stream(struct oai_decode *d, const struct tg_json *v)
{
    return read_bool(d, v, &d->out->stream);
}

static enum tg_status read_include_usage(struct oai_decode *d, const struct tg_json *v)
{
    return read_bool(d, v, &d->out->include_usage);
}

static enum tg_status only_false(struct oai_decode *d, const struct tg_json *v)
{
    return only_bool(d, v, false);
}

static enum tg_status only_true(struct oai_decode *d, const struct tg_json *v)
{
    return only_bool(d, v, true);
}

static enum tg_status read_stream_options(struct oai_decode *d, const struct tg_json *v)
{
    static const struct oai_field fields[] = {
        { "include_usage", read_include_usage },
        { "include_obfuscation", only_false },
    };
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return oai_wrong_type(d, v, TG_JSON_OBJECT);
    return oai_read_fields(d, v, fields, COUNT(fields));
}

static enum tg_status read_temperature(struct oai_decode *d, const struct tg_json *v)
{
    d->out->sampling.has_temperature = true;
    return read_between(d, v, 0, 2, &d->out->sampling.temperature);
}

static enum tg_status read_top_p(struct oai_decode *d, const struct tg_json *v)
{
    d->out->sampling.has_top_p = true;
    enum tg_status status = read_between(d, v, 0, 1, &d->out->sampling.top_p);
    if (status == TG_OK && d->out->sampling.top_p <= 0)
        return oai_bad(d, "must be above 0 and at most 1");
    return status;
}

/* -1 is another common way to say "off", which is 0 here. */
static enum tg_status read_top_k(struct oai_decode *d, const struct tg_json *v)
{
    int64_t value = 0;
    enum tg_status status = read_whole(d, v, -1, INT32_MAX, &value);
    d->out->sampling.has_top_k = true;
    d->out->sampling.top_k = value > 0 ? (uint32_t)value : 0;
    return status;
}

static enum tg_status read_min_p(struct oai_decode *d, const struct tg_json *v)
{
    d->out->sampling.has_min_p = true;
    return read_between(d, v, 0, 1, &d->out->sampling.min_p);
}

static enum tg_status read_seed(struct oai_decode *d, const struct tg_json *v)
{
    int64_t value = 0, most = (int64_t)1 << 53; /* what a JSON number carries exactly */
    enum tg_status status = read_whole(d, v, -most, most, &value);
    d->out->sampling.has_seed = true;
    d->out->sampling.seed = (uint64_t)value;
    return status;
}

static enum tg_status read_presence(struct oai_decode *d, const struct tg_json *v)
{
    d->out->sampling.has_presence = true;
    return read_between(d, v, -2, 2, &d->out->sampling.presence);
}

static enum tg_status read_frequency(struct oai_decode *d, const struct tg_json *v)
{
    d->out->sampling.has_frequency = true;
    return read_between(d, v, -2, 2, &d->out->sampling.frequency);
}

/* max_tokens and its newer name. */
static enum tg_status read_max_tokens(struct oai_decode *d, const struct tg_json *v)
{
    int64_t value = 0;
    enum tg_status status = read_whole(d, v, 1, OAI_TOKENS_MAX, &value);
    if (status)
        return status;
    if (d->out->max_tokens && d->out->max_tokens != (uint32_t)value)
        return oai_bad(d, "max_tokens and max_completion_tokens are both given and differ");
    d->out->max_tokens = (uint32_t)value;
    return TG_OK;
}

static enum tg_status read_stop(struct oai_decode *d, const struct tg_json *v)
{
    if (tg_json_is(v, TG_JSON_STRING)) {
        d->out->n_stops = 1;
        return oai_copy(d, v, 1, OAI_STOP_MAX, &d->out->stop[0]);
    }
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return oai_bad(d, "a string or an array of strings was expected, not %s",
                       tg_json_type_name(tg_json_type(v)));
    enum tg_status status = TG_OK;
    const struct tg_json *item = tg_json_first(v);
    for (; item && status == TG_OK; item = tg_json_next(item)) {
        if (d->out->n_stops == CHAT_STOPS_MAX)
            return oai_bad(d, "has more than %d stop strings", CHAT_STOPS_MAX);
        size_t i = d->out->n_stops++, mark = oai_enter_at(d, i);
        status = oai_copy(d, item, 1, OAI_STOP_MAX, &d->out->stop[i]);
        oai_leave(d, mark);
    }
    return status;
}

static enum tg_status read_user(struct oai_decode *d, const struct tg_json *v)
{
    return oai_copy(d, v, 0, OAI_USER_MAX, &d->out->user);
}

/* The newer name of user; user wins where both are given, whatever their order. */
static enum tg_status read_safety_identifier(struct oai_decode *d, const struct tg_json *v)
{
    struct tg_str id;
    enum tg_status status = oai_copy(d, v, 0, OAI_USER_MAX, &id);
    if (status == TG_OK && !d->out->user.p)
        d->out->user = id;
    return status;
}

/* A word out of a list: its index, or an error that lists them. */
static enum tg_status read_word(struct oai_decode *d, const struct tg_json *v,
                                const char *const *words, size_t n, size_t *which)
{
    struct tg_str s;
    if (!tg_json_string(v, &s))
        return oai_wrong_type(d, v, TG_JSON_STRING);
    char list[200] = "";
    for (*which = 0; *which < n; (*which)++) {
        if (tg_str_eq(s, tg_str_of(words[*which])))
            return TG_OK;
        size_t at = strlen(list);
        snprintf(list + at, sizeof(list) - at, "%s%s", at ? ", " : "", words[*which]);
    }
    return oai_bad(d, "must be one of: %s", list);
}

static enum tg_status read_effort(struct oai_decode *d, const struct tg_json *v)
{
    static const char *const words[] = { "none", "minimal", "low", "medium", "high", "xhigh" };
    size_t which = 0;
    enum tg_status status = read_word(d, v, words, COUNT(words), &which);
    d->out->thinking = status == TG_OK && which >= 2;
    return status;
}

static enum tg_status read_service_tier(struct oai_decode *d, const struct tg_json *v)
{
    static const char *const words[] = { "auto", "default", "flex", "scale", "priority" };
    size_t which = 0;
    enum tg_status status = read_word(d, v, words, COUNT(words), &which);
    return status == TG_OK && which >= 2 ? oai_unsupported(d) : status;
}

static enum tg_status read_verbosity(struct oai_decode *d, const struct tg_json *v)
{
    static const char *const words[] = { "medium", "low", "high" };
    size_t which = 0;
    enum tg_status status = read_word(d, v, words, COUNT(words), &which);
    return status == TG_OK && which >= 1 ? oai_unsupported(d) : status;
}

static enum tg_status read_n(struct oai_decode *d, const struct tg_json *v)
{
    int64_t value = 0;
    enum tg_status status = read_whole(d, v, 1, 128, &value);
    if (status == TG_OK && value > 1)
        return oai_unsupported(d);
    return status;
}

static enum tg_status read_response_format(struct oai_decode *d, const struct tg_json *v)
{
    static const char *const words[] = { "text", "json_object", "json_schema" };
    size_t which = 0;
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return oai_wrong_type(d, v, TG_JSON_OBJECT);
    size_t mark = oai_enter(d, "type");
    enum tg_status status = read_word(d, tg_json_get(v, "type"), words, COUNT(words), &which);
    if (status == TG_OK && which != 0)
        status = oai_unsupported(d);
    oai_leave(d, mark);
    static const struct oai_field fields[] = { { "type", oai_elsewhere } };
    return status ? status : oai_read_fields(d, v, fields, COUNT(fields));
}

static enum tg_status read_modalities(struct oai_decode *d, const struct tg_json *v)
{
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return oai_wrong_type(d, v, TG_JSON_ARRAY);
    size_t i = 0;
    for (const struct tg_json *item = tg_json_first(v); item; item = tg_json_next(item), i++) {
        struct tg_str s = { NULL, 0 };
        if (tg_json_string(item, &s) && tg_str_eq(s, TG_STR("text")))
            continue;
        size_t mark = oai_enter_at(d, i);
        enum tg_status status =
            s.p ? oai_unsupported(d) : oai_wrong_type(d, item, TG_JSON_STRING);
        oai_leave(d, mark);
        return status;
    }
    return TG_OK;
}

/* A hint without effect: prefixes are found by their content here. */
static enum tg_status read_cache_key(struct oai_decode *d, const struct tg_json *v)
{
    struct tg_str key;
    return oai_copy(d, v, 0, OAI_USER_MAX, &key);
}

static enum tg_status read_tool_choice(struct oai_decode *d, const struct tg_json *v)
{
    static const char *const words[] = { "auto", "none", "required" };
    size_t which = 0;
    if (tg_json_is(v, TG_JSON_OBJECT))
        return oai_unsupported(d);
    enum tg_status status = read_word(d, v, words, COUNT(words), &which);
    return status == TG_OK && which == 2 ? oai_unsupported(d) : status;
}

static const struct oai_field request_fields[] = {
    { "messages", oai_elsewhere }, /* read last: it needs nothing, and errors above are cheaper */
    { "model", read_model },
    { "stream", read_stream },
    { "stream_options", read_stream_options },
    { "temperature", read_temperature },
    { "top_p", read_top_p },
    { "top_k", read_top_k },
    { "min_p", read_min_p },
    { "max_tokens", read_max_tokens },
    { "max_completion_tokens", read_max_tokens },
    { "stop", read_stop },
    { "seed", read_seed },
    { "presence_penalty", read_presence },
    { "frequency_penalty", read_frequency },
    { "user", read_user },
    { "safety_identifier", read_safety_identifier },
    { "tools", oai_read_tools },
    { "tool_choice", read_tool_choice },
    { "parallel_tool_calls", only_true },
    { "n", read_n },
    { "reasoning_effort", read_effort },
    { "response_format", read_response_format },
    { "modalities", read_modalities },
    { "prompt_cache_key", read_cache_key },
    { "service_tier", read_service_tier },
    { "verbosity", read_verbosity },
    { "store", only_false },
    { "metadata", oai_only_empty },
    { "logit_bias", oai_only_empty },
    { "logprobs", only_false },
    { "top_logprobs", oai_refuse },
    { "audio", oai_refuse },
    { "prediction", oai_refuse },
    { "web_search_options", oai_refuse },
    { "prompt_cache_retention", oai_refuse },
    { "functions", oai_refuse },
    { "function_call", oai_refuse },
    { "moderation", oai_refuse },
};

/* What no single field can know. */
static enum tg_status check_together(struct oai_decode *d, const struct tg_json *root)
{
    struct tg_str choice = { NULL, 0 };
    if (tg_json_string(tg_json_get(root, "tool_choice"), &choice) &&
        tg_str_eq(choice, TG_STR("none")))
        d->out->n_tools = 0;
    if (oai_member(root, "stream_options") && !d->out->stream) {
        oai_enter(d, "stream_options");
        return oai_bad(d, "is only allowed when stream is true");
    }
    return TG_OK;
}

enum tg_status oai_chat_decode(struct tg_str body, struct tg_arena *arena,
                               struct chat_request *out, struct oai_error *err)
{
    struct oai_decode d = { .arena = arena, .out = out, .err = err };
    struct tg_json *root = NULL;
    struct tg_error cause;
    *out = (struct chat_request){ 0 };
    *err = (struct oai_error){ 0 };
    if (tg_str_trim(body).n == 0)
        return oai_bad(&d, "the body is empty; a JSON object was expected");
    enum tg_status status = tg_json_parse(body, &root, &cause);
    if (status == TG_NOMEM)
        return oai_no_memory(&d);
    if (status)
        return oai_bad(&d, "the body is not acceptable JSON: %s", cause.text);
    if (!tg_json_is(root, TG_JSON_OBJECT))
        status = oai_bad(&d, "the body must be a JSON object, not %s",
                         tg_json_type_name(tg_json_type(root)));
    if (status == TG_OK)
        status = oai_read_fields(&d, root, request_fields, COUNT(request_fields));
    if (status == TG_OK)
        status = check_together(&d, root);
    if (status == TG_OK) {
        oai_enter(&d, "messages");
        status = oai_read_messages(&d, oai_member(root, "messages"));
    }
    tg_json_free(root);
    return status;
}
