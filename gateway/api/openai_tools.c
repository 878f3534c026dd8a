#include "gateway/api/openai_internal.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* 1 to 64 of a-z, A-Z, 0-9, '_' and '-': what the API documents for function names. */
static bool is_function_name(struct tg_str s)
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

static enum tg_status read_strict(struct oai_decode *d, const struct tg_json *v)
{
    bool strict;
    if (!tg_json_bool(v, &strict))
        return oai_wrong_type(d, v, TG_JSON_BOOL);
    return strict ? oai_unsupported(d) : TG_OK;
}

static enum tg_status read_parameters(struct oai_decode *d, const struct tg_json *v,
                                      struct tg_str *out)
{
    struct tg_buf text;
    if (!v)
        return TG_OK;
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return oai_wrong_type(d, v, TG_JSON_OBJECT);
    tg_buf_init(&text, SIZE_MAX / 2); /* bounded by the body it came from */
    enum tg_status status = tg_json_print(v, &text);
    if (status == TG_OK)
        *out = tg_arena_str(d->arena, tg_buf_str(&text));
    tg_buf_free(&text);
    return status || !out->p ? oai_no_memory(d) : TG_OK;
}

static enum tg_status read_function(struct oai_decode *d, const struct tg_json *v,
                                    struct chat_tool *tool)
{
    static const struct oai_field fields[] = {
        { "name", oai_elsewhere },
        { "description", oai_elsewhere },
        { "parameters", oai_elsewhere },
        { "strict", read_strict },
    };
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return oai_wrong_type(d, v, TG_JSON_OBJECT);
    enum tg_status status = oai_read_fields(d, v, fields, COUNT(fields));
    if (status == TG_OK)
        status = oai_copy_member(d, v, "name", true, 1, OAI_NAME_MAX, &tool->name);
    size_t mark = d->path_n;
    if (status == TG_OK && !is_function_name(tool->name)) {
        oai_enter(d, "name");
        status = oai_bad(d, "may only have letters, digits, '_' and '-'");
    }
    if (status == TG_OK)
        status = oai_copy_member(d, v, "description", false, 0, SIZE_MAX, &tool->description);
    if (status == TG_OK) {
        oai_enter(d, "parameters");
        status = read_parameters(d, oai_member(v, "parameters"), &tool->parameters);
    }
    oai_leave(d, mark);
    return status;
}

static enum tg_status read_tool(struct oai_decode *d, const struct tg_json *v,
                                struct chat_tool *tool)
{
    static const struct oai_field fields[] = {
        { "type", oai_elsewhere },
        { "function", oai_elsewhere },
    };
    struct tg_str type = { NULL, 0 };
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return oai_wrong_type(d, v, TG_JSON_OBJECT);
    size_t mark = oai_enter(d, "type");
    if (!tg_json_string(tg_json_get(v, "type"), &type))
        return oai_wrong_type(d, tg_json_get(v, "type"), TG_JSON_STRING);
    if (!tg_str_eq(type, TG_STR("function")))
        return oai_unsupported(d);
    oai_leave(d, mark);
    enum tg_status status = oai_read_fields(d, v, fields, COUNT(fields));
    if (status)
        return status;
    oai_enter(d, "function");
    status = read_function(d, tg_json_get(v, "function"), tool);
    oai_leave(d, mark);
    return status;
}

static bool name_taken(const struct chat_tool *tools, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (tg_str_eq(tools[i].name, tools[n].name))
            return true;
    return false;
}

enum tg_status oai_read_tools(struct oai_decode *d, const struct tg_json *v)
{
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return oai_wrong_type(d, v, TG_JSON_ARRAY);
    size_t n = tg_json_count(v), i = 0;
    if (n > OAI_TOOLS_MAX)
        return oai_bad(d, "has more than %d tools", OAI_TOOLS_MAX);
    struct chat_tool *tools = tg_arena_alloc(d->arena, n, sizeof(*tools));
    if (!tools)
        return oai_no_memory(d);
    for (const struct tg_json *item = tg_json_first(v); item; item = tg_json_next(item), i++) {
        size_t mark = oai_enter_at(d, i);
        enum tg_status status = read_tool(d, item, &tools[i]);
        if (status == TG_OK && name_taken(tools, i)) {
            oai_enter(d, "function.name");
            status = oai_bad(d, "the name is taken by an earlier tool");
        }
        oai_leave(d, mark);
        if (status)
            return status;
    }
    d->out->tools = tools;
    d->out->n_tools = n;
    return TG_OK;
}
