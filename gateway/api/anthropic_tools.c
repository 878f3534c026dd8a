#include <stdio.h>

#include "gateway/api/anthropic_internal.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

bool ant_is_name(struct tg_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '-';
        if (!fine)
            return false;
    }
    return s.n > 0 && s.n <= ANT_NAME_MAX;
}

static enum tg_status only_false(struct api_read *d, const struct tg_json *v)
{
    return api_only_bool(d, v, false);
}

/* Whether arguments are streamed before they are whole: they always are. */
static enum tg_status read_eager(struct api_read *d, const struct tg_json *v)
{
    bool eager;
    return api_bool(d, v, &eager);
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
        { "cache_control", ant_read_cache_control },
        { "eager_input_streaming", read_eager },
        { "defer_loading", only_false },
        { "input_examples", api_only_empty },
        { "allowed_callers", read_callers },
    };
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    enum tg_status status = check_type(d, v);
    if (status == TG_OK)
        status = api_read_fields(d, v, fields, COUNT(fields));
    if (status == TG_OK)
        status = api_copy_member(d, v, "name", true, 1, ANT_NAME_MAX, &tool->name);
    if (status == TG_OK && !ant_is_name(tool->name)) {
        api_enter(d, "name");
        return api_bad(d, "may only have letters, digits, '_' and '-'");
    }
    if (status == TG_OK)
        status = api_copy_member(d, v, "description", false, 0, SIZE_MAX, &tool->description);
    if (status)
        return status;
    size_t mark = api_enter(d, "input_schema");
    status = api_object_text(d, api_member(v, "input_schema"), &tool->parameters);
    if (status)
        return status;
    api_leave(d, mark);
    const struct tg_json *strict = api_member(v, "strict");
    if (!strict)
        return TG_OK;
    api_enter(d, "strict");
    tool->has_strict = true;
    status = api_bool(d, strict, &tool->strict);
    if (status == TG_OK)
        api_leave(d, mark);
    return status;
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
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    size_t mark = api_enter(d, "type");
    enum tg_status status = api_word(d, tg_json_get(v, "type"), words, COUNT(words), &which);
    if (status)
        return status;
    api_leave(d, mark);
    /* none has neither, only tool has a name */
    status = api_read_fields(d, v, fields, which == 3 ? 1 : which == 2 ? 3 : 2);
    if (status == TG_OK && which == 2)
        status = api_copy_member(d, v, "name", true, 1, ANT_NAME_MAX, &d->out->tool_name);
    if (status)
        return status;
    const struct tg_json *alone = api_member(v, "disable_parallel_tool_use");
    api_enter(d, "disable_parallel_tool_use");
    if (alone && api_bool(d, alone, &d->out->one_call))
        return TG_INVALID;
    api_leave(d, mark);
    if (which == 1)
        d->out->tool_choice = CHAT_CHOICE_REQUIRED;
    if (which == 2)
        d->out->tool_choice = CHAT_CHOICE_NAMED;
    return TG_OK;
}
