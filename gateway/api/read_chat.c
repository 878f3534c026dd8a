#include "gateway/api/read.h"

/* Fields of a request that are alike in more than one dialect. */

enum tg_status api_read_model(struct api_read *d, const struct tg_json *v)
{
    return api_copy(d, v, 1, API_MODEL_MAX, &d->out->model);
}

enum tg_status api_read_stream(struct api_read *d, const struct tg_json *v)
{
    return api_bool(d, v, &d->out->stream);
}

enum tg_status api_read_schema(struct api_read *d, const struct tg_json *v)
{
    return api_object_text(d, v, &d->out->schema.text);
}

enum tg_status api_read_temperature(struct api_read *d, const struct tg_json *v)
{
    d->out->sampling.has_temperature = true;
    return api_between(d, v, 0, 2, &d->out->sampling.temperature);
}

enum tg_status api_read_top_p(struct api_read *d, const struct tg_json *v)
{
    d->out->sampling.has_top_p = true;
    enum tg_status status = api_between(d, v, 0, 1, &d->out->sampling.top_p);
    if (status == TG_OK && d->out->sampling.top_p <= 0)
        return api_bad(d, "must be above 0 and at most 1");
    return status;
}

enum tg_status api_read_top_k(struct api_read *d, const struct tg_json *v)
{
    int64_t value = 0;
    enum tg_status status = api_integer(d, v, -1, INT32_MAX, &value);
    d->out->sampling.has_top_k = true;
    d->out->sampling.top_k = value > 0 ? (uint32_t)value : 0;
    return status;
}

enum tg_status api_read_min_p(struct api_read *d, const struct tg_json *v)
{
    d->out->sampling.has_min_p = true;
    return api_between(d, v, 0, 1, &d->out->sampling.min_p);
}

enum tg_status api_read_presence(struct api_read *d, const struct tg_json *v)
{
    d->out->sampling.has_presence = true;
    return api_between(d, v, -2, 2, &d->out->sampling.presence);
}

enum tg_status api_read_frequency(struct api_read *d, const struct tg_json *v)
{
    d->out->sampling.has_frequency = true;
    return api_between(d, v, -2, 2, &d->out->sampling.frequency);
}

enum tg_status api_read_stops(struct api_read *d, const struct tg_json *v)
{
    struct chat_request *r = d->out;
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return api_wrong_type(d, v, TG_JSON_ARRAY);
    for (const struct tg_json *item = tg_json_first(v); item; item = tg_json_next(item)) {
        if (r->n_stops == CHAT_STOPS_MAX)
            return api_bad(d, "has more than %d stop strings", CHAT_STOPS_MAX);
        size_t i = r->n_stops++, mark = api_enter_at(d, i);
        enum tg_status status = api_copy(d, item, 1, API_STOP_MAX, &r->stop[i]);
        api_leave(d, mark);
        if (status)
            return status;
    }
    return TG_OK;
}

enum tg_status api_read_stop(struct api_read *d, const struct tg_json *v)
{
    if (tg_json_is(v, TG_JSON_STRING)) {
        d->out->n_stops = 1;
        return api_copy(d, v, 1, API_STOP_MAX, &d->out->stop[0]);
    }
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return api_bad(d, "a string or an array of strings was expected, not %s",
                       tg_json_type_name(tg_json_type(v)));
    return api_read_stops(d, v);
}

enum tg_status api_read_cache_control(struct api_read *d, const struct tg_json *v)
{
    return tg_json_is(v, TG_JSON_OBJECT) ? TG_OK : api_wrong_type(d, v, TG_JSON_OBJECT);
}

enum tg_status api_read_logprobs(struct api_read *d, const struct tg_json *v)
{
    return api_bool(d, v, &d->out->logprobs);
}

enum tg_status api_read_top_logprobs(struct api_read *d, const struct tg_json *v)
{
    int64_t value = 0;
    enum tg_status status = api_integer(d, v, 0, CHAT_TOP_MAX, &value);
    d->out->top_logprobs = (uint32_t)value;
    return status;
}

enum tg_status api_check_logprobs(struct api_read *d)
{
    if (d->out->logprobs || !d->out->top_logprobs)
        return TG_OK;
    api_enter(d, "top_logprobs");
    return api_bad(d, "is only allowed when logprobs is true");
}

enum tg_status api_read_tool(struct api_read *d, const struct tg_json *v, size_t name_max,
                             struct chat_tool *tool)
{
    enum tg_status status = api_copy_member(d, v, "name", true, 1, name_max, &tool->name);
    if (status == TG_OK && !api_is_name(tool->name)) {
        api_enter(d, "name");
        return api_bad(d, "may only have letters, digits, '_' and '-'");
    }
    if (status == TG_OK)
        status = api_copy_member(d, v, "description", false, 0, SIZE_MAX, &tool->description);
    tool->has_strict = api_member(v, "strict") != NULL;
    return status ? status : api_bool_member(d, v, "strict", &tool->strict);
}

static bool name_taken(const struct chat_tool *tools, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (tg_str_eq(tools[i].name, tools[n].name))
            return true;
    return false;
}

enum tg_status api_read_tool_list(struct api_read *d, const struct tg_json *v, size_t most,
                                  api_tool_reader read, const char *name)
{
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return api_wrong_type(d, v, TG_JSON_ARRAY);
    size_t n = tg_json_count(v), i = 0;
    if (n > most)
        return api_bad(d, "has more than %zu tools", most);
    struct chat_tool *tools = tg_arena_alloc(d->arena, n, sizeof(*tools));
    if (!tools)
        return api_no_memory(d);
    for (const struct tg_json *item = tg_json_first(v); item; item = tg_json_next(item), i++) {
        size_t mark = api_enter_at(d, i);
        enum tg_status status = read(d, item, &tools[i]);
        if (status == TG_OK && name_taken(tools, i)) {
            api_enter(d, name);
            status = api_bad(d, "the name is taken by an earlier tool");
        }
        api_leave(d, mark);
        if (status)
            return status;
    }
    d->out->tools = tools;
    d->out->n_tools = n;
    return TG_OK;
}
