#include <stdio.h>

#include "gateway/api/openai_responses_internal.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* {"type": "function", "name": ...}: another type is refused by its name. */
static enum tg_status read_type(struct api_read *d, const struct tg_json *v)
{
    struct tg_str type = { NULL, 0 };
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    size_t mark = api_enter(d, "type");
    if (!tg_json_string(tg_json_get(v, "type"), &type))
        return api_wrong_type(d, tg_json_get(v, "type"), TG_JSON_STRING);
    if (tg_str_eq(type, TG_STR("function"))) {
        api_leave(d, mark);
        return TG_OK;
    }
    enum tg_status status = api_unsupported(d);
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
        { "strict", api_elsewhere },       { "defer_loading", oai_only_false },
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

static enum tg_status read_mode(struct api_read *d, const struct tg_json *v, size_t n)
{
    static const char *const words[] = { "auto", "required", "none" };
    struct oai_reading *r = d->dialect;
    size_t which = 0;
    enum tg_status status = v ? api_word(d, v, words, n, &which)
                              : api_wrong_type(d, NULL, TG_JSON_STRING);
    r->choice = tg_str_of(words[which < n ? which : 0]);
    if (status == TG_OK && which == 1)
        d->out->tool_choice = CHAT_CHOICE_REQUIRED;
    return status;
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

static enum tg_status read_allowed(struct api_read *d, const struct tg_json *v)
{
    static const struct api_field fields[] = { { "type", api_elsewhere },
                                               { "mode", api_elsewhere },
                                               { "tools", api_elsewhere } };
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    if (status)
        return status;
    size_t mark = api_enter(d, "mode");
    status = read_mode(d, api_member(v, "mode"), 2);
    if (status)
        return status;
    api_leave(d, mark);
    const struct tg_json *tools = api_member(v, "tools");
    api_enter(d, "tools");
    if (!tg_json_is(tools, TG_JSON_ARRAY))
        return api_wrong_type(d, tools, TG_JSON_ARRAY);
    api_leave(d, mark);
    return TG_OK;
}

enum tg_status oai_read_response_choice(struct api_read *d, const struct tg_json *v)
{
    struct tg_str type = { NULL, 0 };
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return read_mode(d, v, 3);
    if (tg_json_string(tg_json_get(v, "type"), &type) && tg_str_eq(type, TG_STR("allowed_tools")))
        return read_allowed(d, v);
    d->out->tool_choice = CHAT_CHOICE_NAMED;
    return read_name(d, v, &d->out->tool_name);
}

/* Leaves those of the list, in the order of the tools. */
static enum tg_status allow(struct api_read *d, const struct tg_json *list)
{
    struct chat_request *out = d->out;
    struct chat_tool *left = tg_arena_alloc(d->arena, out->n_tools, sizeof(*left));
    bool *wanted = tg_arena_alloc(d->arena, out->n_tools, sizeof(*wanted));
    size_t n = 0, k = 0;
    if (!left || !wanted)
        return api_no_memory(d);
    for (const struct tg_json *v = tg_json_first(list); v; v = tg_json_next(v), k++) {
        struct tg_str name = { NULL, 0 };
        size_t mark = api_enter_at(d, k), i = 0;
        enum tg_status status = read_name(d, v, &name);
        if (status)
            return status;
        while (i < out->n_tools && !tg_str_eq(out->tools[i].name, name))
            i++;
        if (i == out->n_tools)
            return api_bad(d, "no tool is named \"%.*s\"", TG_FMT(name));
        wanted[i] = true;
        api_leave(d, mark);
    }
    for (size_t i = 0; i < out->n_tools; i++)
        if (wanted[i])
            left[n++] = out->tools[i];
    out->tools = left;
    out->n_tools = n;
    return TG_OK;
}

enum tg_status oai_choose_tools(struct api_read *d, const struct tg_json *root)
{
    const struct oai_reading *r = d->dialect;
    const struct tg_json *choice = tg_json_get(root, "tool_choice");
    const struct tg_json *list = tg_json_get(choice, "tools");
    if (tg_str_eq(r->choice, TG_STR("none")))
        d->out->n_tools = 0;
    if (list) {
        size_t mark = api_enter(d, "tool_choice");
        api_enter(d, "tools");
        enum tg_status status = allow(d, list);
        if (status)
            return status;
        api_leave(d, mark);
    }
    return api_check_choice(d, "tool_choice");
}
