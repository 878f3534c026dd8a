#include "gateway/api/openai_internal.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

enum tg_status oai_read_function(struct api_read *d, const struct tg_json *v,
                                 struct chat_tool *tool)
{
    enum tg_status status = api_read_tool(d, v, OAI_NAME_MAX, tool);
    return status ? status : api_object_member(d, v, "parameters", false, &tool->parameters);
}

static enum tg_status read_function(struct api_read *d, const struct tg_json *v,
                                    struct chat_tool *tool)
{
    static const struct api_field fields[] = {
        { "name", api_elsewhere },
        { "description", api_elsewhere },
        { "parameters", api_elsewhere },
        { "strict", api_elsewhere },
        { "cache_control", api_read_cache_control },
    };
    enum tg_status status = api_read_object(d, v, fields, COUNT(fields));
    return status ? status : oai_read_function(d, v, tool);
}

/* {"type": "function", ...}: another type is refused. */
static enum tg_status check_type(struct api_read *d, const struct tg_json *v)
{
    struct tg_str type = { NULL, 0 };
    enum tg_status status = api_type(d, v, &type);
    if (status || tg_str_eq(type, TG_STR("function")))
        return status;
    api_enter(d, "type");
    return api_unsupported(d);
}

enum tg_status oai_read_tool(struct api_read *d, const struct tg_json *v, struct chat_tool *tool)
{
    static const struct api_field fields[] = {
        { "type", api_elsewhere },
        { "function", api_elsewhere },
        { "cache_control", api_read_cache_control },
    };
    enum tg_status status = check_type(d, v);
    if (status == TG_OK)
        status = api_read_fields(d, v, fields, COUNT(fields));
    if (status)
        return status;
    size_t mark = api_enter(d, "function");
    status = read_function(d, tg_json_get(v, "function"), tool);
    api_leave(d, mark);
    return status;
}

enum tg_status oai_read_tools(struct api_read *d, const struct tg_json *v)
{
    return api_read_tool_list(d, v, OAI_TOOLS_MAX, oai_read_tool, "function.name");
}

/* --- the choice among them ------------------------------------------------------------------- */

/* {"type": "function", "function": {"name": ...}} */
static enum tg_status read_name(struct api_read *d, const struct tg_json *v, struct tg_str *out)
{
    static const struct api_field fields[] = { { "type", api_elsewhere },
                                               { "function", api_elsewhere } };
    static const struct api_field inner[] = { { "name", api_elsewhere } };
    enum tg_status status = check_type(d, v);
    if (status == TG_OK)
        status = api_read_fields(d, v, fields, COUNT(fields));
    if (status)
        return status;
    const struct tg_json *function = api_member(v, "function");
    size_t mark = api_enter(d, "function");
    status = api_read_object(d, function, inner, COUNT(inner));
    if (status == TG_OK)
        status = api_copy_member(d, function, "name", true, 1, OAI_NAME_MAX, out);
    api_leave(d, mark);
    return status;
}

/* What is in it needs the tools: oai_settle_choice. */
static enum tg_status read_allowed(struct api_read *d, const struct tg_json *v)
{
    static const struct api_field fields[] = { { "mode", api_elsewhere },
                                               { "tools", api_elsewhere } };
    return api_read_object(d, v, fields, COUNT(fields));
}

static enum tg_status read_choice_object(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "function", "allowed_tools", "custom" };
    static const struct api_field fields[] = { { "type", api_elsewhere },
                                               { "allowed_tools", read_allowed } };
    size_t which = 0;
    enum tg_status status = api_type_word(d, v, words, COUNT(words), &which);
    if (status == TG_OK && which == 2) {
        api_enter(d, "type");
        status = api_unsupported(d);
    }
    if (status)
        return status;
    if (which == 1)
        return api_read_fields(d, v, fields, COUNT(fields));
    d->out->tool_choice = CHAT_CHOICE_NAMED;
    return read_name(d, v, &d->out->tool_name);
}

enum tg_status oai_read_choice(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "auto", "none", "required" };
    size_t which = 0;
    if (tg_json_is(v, TG_JSON_OBJECT))
        return read_choice_object(d, v);
    enum tg_status status = api_word(d, v, words, COUNT(words), &which);
    if (which == 2)
        d->out->tool_choice = CHAT_CHOICE_REQUIRED;
    return status;
}

/* Leaves those of the list, in the order of the tools. */
static enum tg_status leave_only(struct api_read *d, const struct tg_json *list,
                                 oai_name_reader read)
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
        if (k == OAI_TOOLS_MAX)
            return api_bad(d, "there are more than %d tools", OAI_TOOLS_MAX);
        enum tg_status status = read(d, v, &name);
        if (status)
            return status;
        while (i < out->n_tools && !tg_str_eq(out->tools[i].name, name))
            i++;
        if (i == out->n_tools && name.n)
            return api_bad(d, "no tool is named \"%.*s\"", TG_FMT(name));
        if (name.n)
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

/* v: the object with mode and tools; NULL: there is none. */
static enum tg_status allow(struct api_read *d, const struct tg_json *v, oai_name_reader read)
{
    static const char *const modes[] = { "auto", "required" };
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    const struct tg_json *mode = api_member(v, "mode"), *tools = api_member(v, "tools");
    size_t which = 0, mark = api_enter(d, "mode");
    enum tg_status status = mode ? api_word(d, mode, modes, COUNT(modes), &which)
                                 : api_wrong_type(d, NULL, TG_JSON_STRING);
    if (status)
        return status;
    if (which == 1)
        d->out->tool_choice = CHAT_CHOICE_REQUIRED;
    api_leave(d, mark);
    api_enter(d, "tools");
    if (!tg_json_is(tools, TG_JSON_ARRAY))
        return api_wrong_type(d, tools, TG_JSON_ARRAY);
    return leave_only(d, tools, read);
}

enum tg_status oai_settle_choice(struct api_read *d, const struct tg_json *root,
                                 const char *inside, oai_name_reader read)
{
    const struct tg_json *choice = tg_json_get(root, "tool_choice");
    struct tg_str word = { NULL, 0 };
    if (tg_json_string(choice, &word) && tg_str_eq(word, TG_STR("none")))
        d->out->n_tools = 0;
    if (tg_json_string(tg_json_get(choice, "type"), &word) &&
        tg_str_eq(word, TG_STR("allowed_tools"))) {
        size_t mark = api_enter(d, "tool_choice");
        if (inside)
            api_enter(d, inside);
        enum tg_status status = allow(d, inside ? api_member(choice, inside) : choice, read);
        if (status)
            return status;
        api_leave(d, mark);
    }
    return api_check_choice(d, "tool_choice");
}

enum tg_status oai_settle_chat_choice(struct api_read *d, const struct tg_json *root)
{
    return oai_settle_choice(d, root, "allowed_tools", read_name);
}
