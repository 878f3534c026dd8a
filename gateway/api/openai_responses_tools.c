#include <stdio.h>

#include "gateway/api/openai_responses_internal.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* Tools of a request, which may be in several lists and in namespaces, as functions in one. */

static struct oai_tools *tools_of(struct api_read *d)
{
    return &((struct oai_reading *)d->dialect)->tools;
}

/* Only the vendor's servers can run these, or only its models were taught to call them: nobody
 * does here, as a model is free to. */
static bool is_hosted(struct tg_str type)
{
    static const char *const types[] = {
        "apply_patch", "code_interpreter", "computer", "computer_use", "computer_use_preview",
        "file_search", "image_generation", "local_shell", "mcp", "programmatic_tool_calling",
        "shell", "tool_search",
    };
    static const char search[] = "web_search"; /* and those with a date */
    if (type.n >= sizeof(search) - 1 && memcmp(type.p, search, sizeof(search) - 1) == 0)
        return true;
    for (size_t i = 0; i < COUNT(types); i++)
        if (tg_str_eq(type, tg_str_of(types[i])))
            return true;
    return false;
}

static enum tg_status refuse_type(struct api_read *d, struct tg_str type)
{
    api_enter(d, "type");
    enum tg_status status = api_unsupported(d);
    snprintf(d->err->message, sizeof(d->err->message),
             "%s: %.*s is not supported in this version; tools of type function, custom and "
             "namespace are", d->path, TG_FMT(api_short(type)));
    return status;
}

/* --- one tool -------------------------------------------------------------------------------- */

static enum tg_status join(struct api_read *d, const struct tg_str *texts, size_t n,
                           struct tg_str *out)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += texts[i].n;
    char *at = tg_arena_alloc(d->arena, total + 1, 1);
    if (!at)
        return api_no_memory(d);
    *out = (struct tg_str){ at, total };
    for (size_t i = 0; i < n; i++)
        if (texts[i].n)
            at = (char *)memcpy(at, texts[i].p, texts[i].n) + texts[i].n;
    return TG_OK;
}

/* The first function of a namespace tells what that is about. */
static enum tg_status describe(struct api_read *d, struct chat_tool *tool)
{
    struct oai_tools *t = tools_of(d);
    const struct tg_str about[] = { TG_STR("Of all tools of "), t->space, TG_STR(": "), t->about,
                                    TG_STR("\n\n"), tool->description };
    if (!t->about.n)
        return TG_OK;
    t->about = (struct tg_str){ NULL, 0 };
    return join(d, about, COUNT(about), &tool->description);
}

/* The path of the tool, where that is not tools[n]. */
static enum tg_status locate(struct api_read *d, size_t n, struct chat_tool *tool)
{
    char usual[32];
    snprintf(usual, sizeof(usual), "tools[%zu]", n);
    if (strcmp(usual, d->path) == 0)
        return TG_OK;
    tool->field = tg_arena_str(d->arena, (struct tg_str){ d->path, d->path_n });
    return tool->field.p ? TG_OK : api_no_memory(d);
}

static enum tg_status add_alias(struct api_read *d, struct oai_alias alias)
{
    struct oai_tools *t = tools_of(d);
    struct oai_alias *grown =
        oai_room(d, t->aliases, t->n_aliases, &t->cap_aliases, sizeof(*grown));
    if (!grown)
        return TG_NOMEM;
    t->aliases = grown;
    t->aliases[t->n_aliases++] = alias;
    return TG_OK;
}

static const struct oai_alias *alias_of(const struct oai_tools *t, struct tg_str flat)
{
    return oai_alias_among(t->aliases, t->n_aliases, flat);
}

/* Whether an item brings a tool again that is there: clients repeat their lists at each turn. Two
 * that only look alike to a backend are not the same. */
static bool is_again(const struct oai_tools *t, const struct oai_alias *fresh)
{
    const struct oai_alias *old = alias_of(t, fresh->flat);
    struct tg_str space = old ? old->space : TG_STR("");
    return t->more && tg_str_eq(space, fresh->space) &&
           tg_str_eq(old ? old->name : fresh->flat, fresh->name);
}

/* A tool that is there is what the newest item says, unless the request itself has it. */
static enum tg_status put_tool(struct api_read *d, struct chat_tool tool, struct oai_alias alias,
                               size_t at)
{
    struct oai_tools *t = tools_of(d);
    const struct oai_alias *old = alias_of(t, alias.flat);
    enum tg_status status = describe(d, &tool);
    if (status == TG_OK)
        status = locate(d, at, &tool);
    if (status == TG_OK && old)
        t->aliases[old - t->aliases] = alias;
    else if (status == TG_OK && (alias.space.n || alias.custom))
        status = add_alias(d, alias);
    struct chat_tool *list = status ? NULL : oai_room(d, t->list, t->n, &t->cap, sizeof(*list));
    if (!list)
        return TG_NOMEM;
    t->list = list;
    t->list[at] = tool;
    t->n += at == t->n;
    return TG_OK;
}

/* The tool as read, under the name that it had from the client. */
static enum tg_status add_tool(struct api_read *d, struct chat_tool tool, bool custom)
{
    struct oai_tools *t = tools_of(d);
    struct oai_alias alias = { .space = t->space, .name = tool.name, .custom = custom };
    enum tg_status status = oai_flat_name(d, t->space, tool.name, &tool.name);
    size_t at = 0;
    if (status)
        return status;
    alias.flat = tool.name;
    while (at < t->n && !tg_str_eq(t->list[at].name, tool.name))
        at++;
    if (at < t->n && !is_again(t, &alias)) {
        api_enter(d, "name");
        return api_bad(d, "the name is taken by an earlier tool (%.*s)", TG_FMT(tool.name));
    }
    if (at < t->n_given)
        return TG_OK;
    if (at == OAI_TOOLS_MAX)
        return api_bad(d, "there are more than %d tools", OAI_TOOLS_MAX);
    return put_tool(d, tool, alias, at);
}

/* A tool that is to be shown only when it was searched for is shown at once: nobody searches. */
static enum tg_status read_defer(struct api_read *d, const struct tg_json *v)
{
    bool defer = false;
    enum tg_status status = api_bool(d, v, &defer);
    if (status == TG_OK && defer)
        oai_ignore(d);
    return status;
}

/* What a tool's result looks like: backends have no word for it. */
static enum tg_status read_output_schema(struct api_read *d, const struct tg_json *v)
{
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    oai_ignore(d);
    return TG_OK;
}

static enum tg_status read_function(struct api_read *d, const struct tg_json *v)
{
    static const struct api_field fields[] = {
        { "type", api_elsewhere },         { "name", api_elsewhere },
        { "description", api_elsewhere },  { "parameters", api_elsewhere },
        { "strict", api_elsewhere },       { "defer_loading", read_defer },
        { "allowed_callers", api_refuse }, { "output_schema", read_output_schema },
    };
    struct chat_tool tool = { .name = { NULL, 0 } };
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    if (status == TG_OK)
        status = oai_read_function(d, v, &tool);
    return status ? status : add_tool(d, tool, false);
}

/* What is said of the input behind the tool's description. A grammar is not enforced. */
static enum tg_status read_format(struct api_read *d, const struct tg_json *v,
                                  struct tg_str *description)
{
    static const char *const types[] = { "text", "grammar" };
    static const char *const syntaxes[] = { "lark", "regex" };
    static const struct api_field fields[] = { { "type", api_elsewhere },
                                               { "syntax", api_elsewhere },
                                               { "definition", api_elsewhere } };
    struct tg_str definition = { NULL, 0 };
    size_t type = 0, syntax = 0, mark = d->path_n;
    enum tg_status status = v ? api_type_word(d, v, types, COUNT(types), &type) : TG_OK;
    if (status == TG_OK && v)
        status = api_read_fields(d, v, fields, type ? COUNT(fields) : 1);
    if (status == TG_OK && type) {
        api_enter(d, "syntax");
        status = api_word(d, tg_json_get(v, "syntax"), syntaxes, COUNT(syntaxes), &syntax);
        if (status == TG_OK)
            api_leave(d, mark);
    }
    if (status == TG_OK && type)
        status = api_copy_member(d, v, "definition", true, 0, SIZE_MAX, &definition);
    if (status)
        return status;
    const struct tg_str texts[] = {
        *description,
        TG_STR("\n\nThe text goes into the one argument \"input\", as it is."),
        TG_STR(" It must match this grammar ("), tg_str_of(syntaxes[syntax]), TG_STR("):\n"),
        definition,
    };
    return join(d, texts, type ? COUNT(texts) : 2, description);
}

static enum tg_status read_custom(struct api_read *d, const struct tg_json *v)
{
    static const struct api_field fields[] = {
        { "type", api_elsewhere },        { "name", api_elsewhere },
        { "description", api_elsewhere }, { "format", api_elsewhere },
        { "defer_loading", read_defer },  { "allowed_callers", api_refuse },
    };
    struct chat_tool tool = { .parameters = tg_str_of(oai_custom_parameters) };
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    if (status == TG_OK)
        status = api_read_tool(d, v, OAI_NAME_MAX, &tool);
    if (status)
        return status;
    size_t mark = api_enter(d, "format");
    status = read_format(d, api_member(v, "format"), &tool.description);
    if (status)
        return status;
    api_leave(d, mark);
    return add_tool(d, tool, true);
}

/* --- lists of them --------------------------------------------------------------------------- */

typedef enum tg_status (*tool_reader)(struct api_read *d, const struct tg_json *v);

static enum tg_status read_list(struct api_read *d, const struct tg_json *v, tool_reader read)
{
    size_t i = 0;
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return api_wrong_type(d, v, TG_JSON_ARRAY);
    for (const struct tg_json *m = tg_json_first(v); m; m = tg_json_next(m), i++) {
        size_t mark = api_enter_at(d, i);
        enum tg_status status = read(d, m);
        if (status)
            return status;
        api_leave(d, mark);
    }
    return TG_OK;
}

static enum tg_status read_inner(struct api_read *d, const struct tg_json *v)
{
    struct tg_str type = { NULL, 0 };
    enum tg_status status = api_type(d, v, &type);
    if (status)
        return status;
    if (tg_str_eq(type, TG_STR("function")))
        return read_function(d, v);
    return tg_str_eq(type, TG_STR("custom")) ? read_custom(d, v) : refuse_type(d, type);
}

static enum tg_status read_space(struct api_read *d, const struct tg_json *v)
{
    static const struct api_field fields[] = { { "type", api_elsewhere },
                                               { "name", api_elsewhere },
                                               { "description", api_elsewhere },
                                               { "tools", api_elsewhere } };
    struct oai_tools *t = tools_of(d);
    struct chat_tool space = { .name = { NULL, 0 } };
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    if (status == TG_OK)
        status = api_read_tool(d, v, OAI_NAME_MAX, &space);
    if (status)
        return status;
    t->space = space.name;
    t->about = space.description;
    size_t mark = api_enter(d, "tools");
    status = read_list(d, tg_json_get(v, "tools"), read_inner);
    if (status)
        return status;
    api_leave(d, mark);
    t->space = t->about = (struct tg_str){ NULL, 0 };
    return TG_OK;
}

static enum tg_status read_tool(struct api_read *d, const struct tg_json *v)
{
    struct tg_str type = { NULL, 0 };
    enum tg_status status = api_type(d, v, &type);
    if (status)
        return status;
    if (!is_hosted(type))
        return tg_str_eq(type, TG_STR("namespace")) ? read_space(d, v) : read_inner(d, v);
    tools_of(d)->hosted = true;
    oai_ignore(d);
    return TG_OK;
}

enum tg_status oai_read_response_tools(struct api_read *d, const struct tg_json *v)
{
    return read_list(d, v, read_tool);
}

enum tg_status oai_read_more_tools(struct api_read *d, const struct tg_json *v)
{
    struct oai_tools *t = tools_of(d);
    if (!t->more)
        t->n_given = t->n;
    t->more = true;
    return read_list(d, v, read_tool);
}

/* --- the choice among them ------------------------------------------------------------------- */

/* A tool that can be called, by its type and name. */
static enum tg_status read_name(struct api_read *d, const struct tg_json *v, bool *custom,
                                struct tg_str *out)
{
    static const struct api_field fields[] = { { "type", api_elsewhere },
                                               { "name", api_elsewhere } };
    struct tg_str type = { NULL, 0 };
    enum tg_status status = api_type(d, v, &type);
    *custom = tg_str_eq(type, TG_STR("custom"));
    if (status == TG_OK && !*custom && !tg_str_eq(type, TG_STR("function")))
        return refuse_type(d, type);
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
    bool custom;
    if (!tg_json_is(v, TG_JSON_OBJECT)) {
        enum tg_status status = api_word(d, v, words, COUNT(words), &which);
        if (which == 1)
            d->out->tool_choice = CHAT_CHOICE_REQUIRED;
        return status;
    }
    if (tg_json_string(tg_json_get(v, "type"), &type) && tg_str_eq(type, TG_STR("allowed_tools")))
        return api_read_fields(d, v, allowed, COUNT(allowed)); /* the rest needs the tools */
    d->out->tool_choice = CHAT_CHOICE_NAMED;
    return read_name(d, v, &custom, &d->out->tool_name);
}

/* The tool's name for a backend: one of that type with this name, or else the only one in all
 * namespaces. */
static enum tg_status find_tool(struct api_read *d, const struct tg_json *v, struct tg_str *out)
{
    const struct oai_tools *t = tools_of(d);
    struct tg_str name = { NULL, 0 }, inner = { NULL, 0 };
    size_t n_inner = 0;
    bool custom = false;
    enum tg_status status = read_name(d, v, &custom, &name);
    if (status)
        return status;
    for (size_t i = 0; i < t->n; i++)
        if (tg_str_eq(t->list[i].name, name)) {
            const struct oai_alias *alias = alias_of(t, name);
            *out = t->list[i].name;
            if (custom == (alias && alias->custom))
                return TG_OK;
        }
    for (size_t i = 0; i < t->n_aliases; i++) {
        const struct oai_alias *alias = &t->aliases[i];
        if (alias->custom == custom && alias->space.n && tg_str_eq(alias->name, name)) {
            inner = alias->flat;
            n_inner++;
        }
    }
    *out = inner;
    if (n_inner == 0)
        return api_bad(d, "no %s is named \"%.*s\"", custom ? "custom tool" : "tool", TG_FMT(name));
    return n_inner == 1 ? TG_OK
                        : api_bad(d, "more than one namespace has a tool \"%.*s\"", TG_FMT(name));
}

/* One of a list of those that may be called: a hosted one never is. */
static enum tg_status find_allowed(struct api_read *d, const struct tg_json *v,
                                   struct tg_str *out)
{
    struct tg_str type = { NULL, 0 };
    enum tg_status status = api_type(d, v, &type);
    return status || is_hosted(type) ? status : find_tool(d, v, out);
}

enum tg_status oai_settle_response_tools(struct api_read *d, const struct tg_json *root)
{
    struct oai_reading *r = d->dialect;
    struct oai_tools *t = &r->tools;
    enum tg_status status = TG_OK;
    d->out->tools = t->list;
    d->out->n_tools = t->n;
    r->asked->aliases = t->aliases;
    r->asked->n_aliases = t->n_aliases;
    size_t mark = api_enter(d, "tool_choice");
    if (t->hosted && t->n == 0 && d->out->tool_choice == CHAT_CHOICE_REQUIRED)
        return api_bad(d, "a tool must be called, and of those that are given none can be here");
    if (d->out->tool_choice == CHAT_CHOICE_NAMED && t->n)
        status = find_tool(d, tg_json_get(root, "tool_choice"), &d->out->tool_name);
    if (status)
        return status;
    api_leave(d, mark);
    return oai_settle_choice(d, root, NULL, find_allowed);
}
