#include <stdio.h>

#include "gateway/api/openai_responses_internal.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* {"type": "function", "name": ...}: another type is refused by its name. */
static enum tg_status read_type(struct api_read *d, const struct tg_json *v)
{
    struct tg_str type = { NULL, 0 };
    enum tg_status status = api_type(d, v, &type);
    if (status || tg_str_eq(type, TG_STR("function")))
        return status;
    api_enter(d, "type");
    status = api_unsupported(d);
    snprintf(d->err->message, sizeof(d->err->message),
             "%s: %.*s is not supported in this version; tools of type function are", d->path,
             TG_FMT(api_short(type)));
    return status;
}

static enum tg_status read_tool(struct api_read *d, const struct tg_json *v,
                                struct chat_tool *tool)
{
    static const struct api_field fields[] = {
        { "type", api_elsewhere },         { "name", api_elsewhere },
        { "description", api_elsewhere },  { "parameters", api_elsewhere },
        { "strict", api_elsewhere },       { "defer_loading", api_only_false },
        { "allowed_callers", api_refuse }, { "output_schema", api_refuse },
    };
    enum tg_status status = read_type(d, v);
    if (status == TG_OK)
        status = api_read_fields(d, v, fields, COUNT(fields));
    return status ? status : oai_read_function(d, v, tool);
}

enum tg_status oai_read_response_tools(struct api_read *d, const struct tg_json *v)
{
    return api_read_tool_list(d, v, OAI_TOOLS_MAX, read_tool, "name");
}

static enum tg_status read_name(struct api_read *d, const struct tg_json *v, struct tg_str *out)
{
    static const struct api_field fields[] = { { "type", api_elsewhere },
                                               { "name", api_elsewhere } };
    enum tg_status status = read_type(d, v);
    if (status == TG_OK)
        status = api_read_fields(d, v, fields, COUNT(fields));
    return status ? status : api_copy_member(d, v, "name", true, 1, OAI_NAME_MAX, out);
}

enum tg_status oai_read_response_choice(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "auto", "required", "none" };
    static const struct api_field allowed[] = { { "type", api_elsewhere },
                                                { "mode", api_elsewhere },
                                                { "tools", api_elsewhere } };
    struct tg_str type = { NULL, 0 };
    size_t which = 0;
    if (!tg_json_is(v, TG_JSON_OBJECT)) {
        enum tg_status status = api_word(d, v, words, COUNT(words), &which);
        if (which == 1)
            d->out->tool_choice = CHAT_CHOICE_REQUIRED;
        return status;
    }
    if (tg_json_string(tg_json_get(v, "type"), &type) && tg_str_eq(type, TG_STR("allowed_tools")))
        return api_read_fields(d, v, allowed, COUNT(allowed)); /* the rest needs the tools */
    d->out->tool_choice = CHAT_CHOICE_NAMED;
    return read_name(d, v, &d->out->tool_name);
}

enum tg_status oai_settle_response_choice(struct api_read *d, const struct tg_json *root)
{
    return oai_settle_choice(d, root, NULL, read_name);
}
