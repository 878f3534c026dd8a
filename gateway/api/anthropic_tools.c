#include <stdio.h>

#include "gateway/api/anthropic_internal.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* Switches that change nothing: arguments are always streamed before they are whole, and a tool
 * that a search would find is there at once, which costs its tokens. */
static enum tg_status read_either(struct api_read *d, const struct tg_json *v)
{
    bool unused;
    return api_bool(d, v, &unused);
}

static enum tg_status read_callers(struct api_read *d, const struct tg_json *v)
{
    struct tg_str s;
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return api_wrong_type(d, v, TG_JSON_ARRAY);
    for (const struct tg_json *item = tg_json_first(v); item; item = tg_json_next(item))
        if (!tg_json_string(item, &s) || !tg_str_eq(s, TG_STR("direct")))
            return api_unsupported(d);
    return TG_OK;
}

/* Only functions: what the API's own servers run is refused by its type. */
static enum tg_status check_type(struct api_read *d, const struct tg_json *v)
{
    const struct tg_json *type = api_member(v, "type");
    struct tg_str s = { NULL, 0 };
    size_t mark = api_enter(d, "type");
    if (type && !tg_json_string(type, &s))
        return api_wrong_type(d, type, TG_JSON_STRING);
    if (type && !tg_str_eq(s, TG_STR("custom"))) {
        enum tg_status status = api_unsupported(d);
        snprintf(d->err->message, sizeof(d->err->message),
                 "%s: tools of type \"%.*s\" are not supported in this version, only \"custom\"",
                 d->path, TG_FMT(api_short(s)));
        return status;
    }
    api_leave(d, mark);
    return TG_OK;
}

static enum tg_status read_tool(struct api_read *d, const struct tg_json *v,
                                struct chat_tool *tool)
{
    static const struct api_field fields[] = {
        { "type", api_elsewhere },
        { "name", api_elsewhere },
        { "description", api_elsewhere },
        { "input_schema", api_elsewhere },
        { "strict", api_elsewhere },
        { "cache_control", api_read_cache_control },
        { "eager_input_streaming", read_either },
        { "defer_loading", read_either },
        { "input_examples", api_only_empty },
        { "allowed_callers", read_callers },
    };
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    enum tg_status status = check_type(d, v);
    if (status == TG_OK)
        status = api_read_fields(d, v, fields, COUNT(fields));
    if (status == TG_OK)
        status = api_read_tool(d, v, ANT_NAME_MAX, tool);
    return status ? status : api_object_member(d, v, "input_schema", true, &tool->parameters);
}

enum tg_status ant_read_tools(struct api_read *d, const struct tg_json *v)
{
    return api_read_tool_list(d, v, ANT_TOOLS_MAX, read_tool, "name");
}

enum tg_status ant_read_choice(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "auto", "any", "tool", "none" };
    static const struct api_field fields[] = {
        { "type", api_elsewhere },
        { "disable_parallel_tool_use", api_elsewhere },
        { "name", api_elsewhere },
    };
    size_t which = 0;
    enum tg_status status = api_type_word(d, v, words, COUNT(words), &which);
    if (status)
        return status;
    /* none has neither, only tool has a name */
    status = api_read_fields(d, v, fields, which == 3 ? 1 : which == 2 ? 3 : 2);
    if (status == TG_OK && which == 2)
        status = api_copy_member(d, v, "name", true, 1, ANT_NAME_MAX, &d->out->tool_name);
    if (status == TG_OK)
        status = api_bool_member(d, v, "disable_parallel_tool_use", &d->out->one_call);
    if (status)
        return status;
    if (which == 1)
        d->out->tool_choice = CHAT_CHOICE_REQUIRED;
    if (which == 2)
        d->out->tool_choice = CHAT_CHOICE_NAMED;
    return TG_OK;
}
