#include "gateway/api/openai_internal.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

bool oai_is_name(struct tg_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '-';
        if (!fine)
            return false;
    }
    return s.n > 0;
}

enum tg_status oai_read_function(struct api_read *d, const struct tg_json *v,
                                 struct chat_tool *tool)
{
    enum tg_status status =
        api_copy_member(d, v, "name", true, 1, OAI_NAME_MAX, &tool->name);
    size_t mark = d->path_n;
    if (status == TG_OK && !oai_is_name(tool->name)) {
        api_enter(d, "name");
        status = api_bad(d, "may only have letters, digits, '_' and '-'");
    }
    if (status == TG_OK)
        status = api_copy_member(d, v, "description", false, 0, SIZE_MAX, &tool->description);
    const struct tg_json *parameters = api_member(v, "parameters"), *strict;
    if (status == TG_OK && parameters) {
        api_enter(d, "parameters");
        status = api_object_text(d, parameters, &tool->parameters);
        api_leave(d, mark);
    }
    strict = api_member(v, "strict");
    if (status == TG_OK && strict) {
        api_enter(d, "strict");
        tool->has_strict = true;
        status = api_bool(d, strict, &tool->strict);
    }
    api_leave(d, mark);
    return status;
}

static enum tg_status read_function(struct api_read *d, const struct tg_json *v,
                                    struct chat_tool *tool)
{
    static const struct api_field fields[] = {
        { "name", api_elsewhere },
        { "description", api_elsewhere },
        { "parameters", api_elsewhere },
        { "strict", api_elsewhere },
    };
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    return status ? status : oai_read_function(d, v, tool);
}

static enum tg_status read_tool(struct api_read *d, const struct tg_json *v,
                                struct chat_tool *tool)
{
    static const struct api_field fields[] = {
        { "type", api_elsewhere },
        { "function", api_elsewhere },
    };
    struct tg_str type = { NULL, 0 };
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    size_t mark = api_enter(d, "type");
    if (!tg_json_string(tg_json_get(v, "type"), &type))
        return api_wrong_type(d, tg_json_get(v, "type"), TG_JSON_STRING);
    if (!tg_str_eq(type, TG_STR("function")))
        return api_unsupported(d);
    api_leave(d, mark);
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    if (status)
        return status;
    api_enter(d, "function");
    status = read_function(d, tg_json_get(v, "function"), tool);
    api_leave(d, mark);
    return status;
}

enum tg_status oai_read_tools(struct api_read *d, const struct tg_json *v)
{
    return api_read_tool_list(d, v, OAI_TOOLS_MAX, read_tool, "function.name");
}
