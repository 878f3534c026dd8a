#include "config/base/sha256.h"
#include "gateway/api/anthropic_internal.h"

/* The members of a request for a message, one reader each. Every documented field is here:
 * honoured, or refused by name; an unknown one is refused too. null is the same as absent. */

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* What only the whole of a request shows. */
struct seen {
    bool format; /* output_config.format or output_format */
};

/* 0 would only fill the API's cache. */
static enum tg_status read_max_tokens(struct api_read *d, const struct tg_json *v)
{
    int64_t value = 0;
    enum tg_status status = api_integer(d, v, 1, ANT_TOKENS_MAX, &value);
    d->out->max_tokens = (uint32_t)value;
    return status;
}

static enum tg_status read_temperature(struct api_read *d, const struct tg_json *v)
{
    d->out->sampling.has_temperature = true;
    return api_between(d, v, 0, 1, &d->out->sampling.temperature);
}

/* 0 is allowed here and nowhere else: the least share that there is means the same. */
static enum tg_status read_top_p(struct api_read *d, const struct tg_json *v)
{
    static const double least = 1e-6;
    enum tg_status status = api_between(d, v, 0, 1, &d->out->sampling.top_p);
    d->out->sampling.has_top_p = true;
    if (d->out->sampling.top_p < least)
        d->out->sampling.top_p = least;
    return status;
}

static enum tg_status read_top_k(struct api_read *d, const struct tg_json *v)
{
    int64_t value = 0;
    enum tg_status status = api_integer(d, v, 0, INT32_MAX, &value);
    d->out->sampling.has_top_k = true;
    d->out->sampling.top_k = (uint32_t)value;
    return status;
}

/* Agents put JSON of 150 bytes and more here. Providers' user is a short word, some refuse all
 * else: such an id goes on as its SHA-256, which is as good for telling users apart. */
static enum tg_status read_user_id(struct api_read *d, const struct tg_json *v)
{
    struct tg_str *user = &d->out->user;
    char hex[TG_SHA256_HEX + 1];
    enum tg_status status = api_copy(d, v, 0, ANT_USER_MAX, user);
    if (status || user->n == 0 || (user->n <= ANT_USER_PLAIN && api_is_name(*user)))
        return status;
    tg_sha256_text(*user, hex);
    *user = tg_arena_str(d->arena, tg_str_of(hex));
    return user->p ? TG_OK : api_no_memory(d);
}

static enum tg_status read_metadata(struct api_read *d, const struct tg_json *v)
{
    static const struct api_field fields[] = { { "user_id", read_user_id } };
    return api_read_object(d, v, fields, COUNT(fields));
}

static enum tg_status read_service_tier(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "auto", "standard_only" };
    size_t which;
    return api_word(d, v, words, COUNT(words), &which);
}

static enum tg_status read_speed(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "standard", "fast" };
    return api_only_words(d, v, words, COUNT(words), 1);
}

/* --- thinking ------------------------------------------------------------------------------ */

/* A hint, as ant_read_effort: that a budget is not too small is checked, the engine does not count
 * it. */
static enum tg_status read_budget(struct api_read *d, const struct tg_json *v)
{
    int64_t value;
    return api_integer(d, v, ANT_BUDGET_MIN, ANT_TOKENS_MAX, &value);
}

static enum tg_status read_display(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "summarized", "omitted" };
    size_t which = 0;
    enum tg_status status = api_word(d, v, words, COUNT(words), &which);
    d->out->hide_thinking = which == 1;
    return status;
}

static enum tg_status read_thinking(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "enabled", "adaptive", "disabled", "between_tools" };
    static const struct api_field fields[] = {
        { "type", api_elsewhere },
        { "display", read_display },
        { "block_binding", api_refuse },
        { "budget_tokens", read_budget },
    };
    static const size_t n_fields[] = { 4, 3, 1 };
    size_t which = 0;
    enum tg_status status = api_type_word(d, v, words, COUNT(words), &which);
    if (status == TG_OK && which == 3) {
        api_enter(d, "type");
        status = api_unsupported(d);
    }
    if (status)
        return status;
    status = api_read_fields(d, v, fields, n_fields[which]);
    d->out->thinking = which < 2;
    if (status == TG_OK && which == 0 && !api_member(v, "budget_tokens")) {
        api_enter(d, "budget_tokens");
        status = api_wrong_type(d, NULL, TG_JSON_NUMBER);
    }
    return status;
}

/* --- what the answer must be ---------------------------------------------------------------- */

static enum tg_status read_format(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "json_schema" };
    static const struct api_field fields[] = { { "type", api_elsewhere },
                                               { "schema", api_read_schema } };
    struct seen *seen = d->dialect;
    size_t which;
    enum tg_status status = api_type_word(d, v, words, COUNT(words), &which);
    if (status)
        return status;
    if (seen->format)
        return api_bad(d, "output_config.format and output_format are both given");
    seen->format = true;
    status = api_read_fields(d, v, fields, COUNT(fields));
    if (status == TG_OK && !d->out->schema.text.p) {
        api_enter(d, "schema");
        return api_wrong_type(d, NULL, TG_JSON_OBJECT);
    }
    d->out->format = CHAT_FORMAT_SCHEMA;
    d->out->schema.name = TG_STR("answer"); /* the vocabulary wants one */
    d->out->schema.has_strict = d->out->schema.strict = true;
    return status;
}

/* A hint: clients send it to all models alike, and those of providers that do not think refuse to
 * be told how much. */
enum tg_status ant_read_effort(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "low", "medium", "high", "xhigh", "max" };
    size_t which;
    return api_word(d, v, words, COUNT(words), &which);
}

static enum tg_status read_output_config(struct api_read *d, const struct tg_json *v)
{
    static const struct api_field fields[] = {
        { "format", read_format },
        { "effort", ant_read_effort },
        { "task_budget", api_refuse },
    };
    return api_read_object(d, v, fields, COUNT(fields));
}

/* --- context_management ---------------------------------------------------------------------- */

/* The one edit that happens here anyway: old thinking reaches no backend. */
static enum tg_status read_edits(struct api_read *d, const struct tg_json *v)
{
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return api_wrong_type(d, v, TG_JSON_ARRAY);
    size_t i = 0;
    for (const struct tg_json *item = tg_json_first(v); item; item = tg_json_next(item), i++) {
        struct tg_str type = { NULL, 0 };
        size_t mark = api_enter_at(d, i);
        enum tg_status status = api_type(d, item, &type);
        if (status == TG_OK && !tg_str_eq(type, TG_STR("clear_thinking_20251015")))
            status = api_unsupported(d);
        if (status)
            return status;
        api_leave(d, mark);
    }
    return TG_OK;
}

static enum tg_status read_context_management(struct api_read *d, const struct tg_json *v)
{
    static const struct api_field fields[] = { { "edits", read_edits } };
    return api_read_object(d, v, fields, COUNT(fields));
}

/* Clients that know of conversations held by the server ask for one unless they are told not to; by
 * this code they know that they have to send everything again, and do. */
static enum tg_status refuse_thread(struct api_read *d, const struct tg_json *v)
{
    (void)v;
    enum tg_status status = api_unsupported(d);
    d->err->code = ANT_NO_THREADS;
    return status;
}

/* Those that count_tokens has too come first. */
static const struct api_field request_fields[] = {
    { "messages", api_elsewhere }, /* read last, with system: errors above are cheaper */
    { "system", api_elsewhere },
    { "model", api_read_model },
    { "tools", ant_read_tools },
    { "tool_choice", ant_read_choice },
    { "thinking", read_thinking },
    { "output_config", read_output_config },
    { "output_format", read_format },
    { "cache_control", api_read_cache_control },
    { "context_management", read_context_management },
    { "mcp_servers", api_only_empty },
    { "speed", read_speed },
    { "max_tokens", read_max_tokens },
    { "stream", api_read_stream },
    { "temperature", read_temperature },
    { "top_p", read_top_p },
    { "top_k", read_top_k },
    { "stop_sequences", api_read_stops },
    { "metadata", read_metadata },
    { "service_tier", read_service_tier },
    { "container", api_refuse },
    { "inference_geo", api_refuse },
    { "diagnostics", api_refuse },
    { "fallbacks", api_refuse },
    { "fallback_credit_token", api_refuse },
    { "billing_policy", api_refuse },
    { "compaction", api_refuse },
    { "thread", refuse_thread },
};

enum { COUNT_FIELDS = 12 };

/* What no single field can know. */
static enum tg_status check_together(struct api_read *d, const struct tg_json *root, bool counts)
{
    const char *missing = !api_member(root, "model")                   ? "model"
                          : !counts && !api_member(root, "max_tokens") ? "max_tokens"
                                                                       : NULL;
    if (missing) {
        api_enter(d, missing);
        return api_wrong_type(d, NULL, missing[1] == 'o' ? TG_JSON_STRING : TG_JSON_NUMBER);
    }
    struct tg_str choice = { NULL, 0 };
    if (tg_json_string(tg_json_get(tg_json_get(root, "tool_choice"), "type"), &choice) &&
        tg_str_eq(choice, TG_STR("none")))
        d->out->n_tools = 0;
    return api_check_choice(d, "tool_choice");
}

static enum tg_status decode(struct tg_str body, struct tg_arena *arena, bool counts,
                             struct chat_request *out, struct api_error *err)
{
    struct seen seen = { .format = false };
    struct api_read d = { .arena = arena, .out = out, .err = err, .dialect = &seen };
    struct tg_json *root = NULL;
    *out = (struct chat_request){ 0 };
    *err = (struct api_error){ 0 };
    enum tg_status status = api_read_root(&d, body, &root);
    if (status == TG_OK)
        status = api_read_fields(&d, root, request_fields,
                                 counts ? COUNT_FIELDS : COUNT(request_fields));
    if (status == TG_OK)
        status = check_together(&d, root, counts);
    if (status == TG_OK)
        status = ant_read_messages(&d, api_member(root, "system"), api_member(root, "messages"));
    tg_json_free(root);
    return status;
}

enum tg_status ant_messages_decode(struct tg_str body, struct tg_arena *arena,
                                   struct chat_request *out, struct api_error *err)
{
    return decode(body, arena, false, out, err);
}

enum tg_status ant_count_decode(struct tg_str body, struct tg_arena *arena,
                                struct chat_request *out, struct api_error *err)
{
    return decode(body, arena, true, out, err);
}
