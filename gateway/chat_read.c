#include "gateway/chat_read.h"

#include "gateway/api/openai_internal.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static enum tg_status read_flag(struct api_read *d, const struct tg_json *object,
                                const char *key, bool *out)
{
    const struct tg_json *v = api_member(object, key);
    size_t mark = api_enter(d, key);
    if (v && !tg_json_bool(v, out))
        return api_wrong_type(d, v, TG_JSON_BOOL);
    api_leave(d, mark);
    return TG_OK;
}

/* An object as JSON text; left empty when it is absent. */
static enum tg_status read_object_text(struct api_read *d, const struct tg_json *object,
                                       const char *key, struct tg_str *out)
{
    const struct tg_json *v = api_member(object, key);
    size_t mark = api_enter(d, key);
    struct tg_buf text;
    if (!v) {
        api_leave(d, mark);
        return TG_OK;
    }
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    tg_buf_init(&text, SIZE_MAX / 2); /* bounded by the input it came from */
    if (tg_json_print(v, &text) == TG_OK)
        *out = tg_arena_str(d->arena, tg_buf_str(&text));
    tg_buf_free(&text);
    api_leave(d, mark);
    return out->p ? TG_OK : api_no_memory(d);
}

/* ---- messages ---- */

static enum tg_status read_role(struct api_read *d, const struct tg_json *v, enum le_role *out)
{
    static const struct {
        const char *name;
        enum le_role role;
    } roles[] = {
        { "system", LE_ROLE_SYSTEM },   { "developer", LE_ROLE_SYSTEM }, { "user", LE_ROLE_USER },
        { "assistant", LE_ROLE_MODEL }, { "tool", LE_ROLE_TOOL },
    };
    const struct tg_json *member = api_member(v, "role");
    struct tg_str s;
    size_t mark = api_enter(d, "role");
    if (!tg_json_string(member, &s))
        return api_wrong_type(d, member, TG_JSON_STRING);
    for (size_t i = 0; i < COUNT(roles); i++) {
        if (tg_str_eq(s, tg_str_of(roles[i].name))) {
            *out = roles[i].role;
            api_leave(d, mark);
            return TG_OK;
        }
    }
    return api_bad(d, "unknown role; system, developer, user, assistant and tool are known");
}

static enum tg_status read_part(struct api_read *d, const struct tg_json *v,
                                struct le_part *part)
{
    static const struct {
        const char *name;
        enum le_part_kind kind;
    } types[] = {
        { "text", LE_PART_TEXT },
        { "image", LE_PART_IMAGE },
        { "image_url", LE_PART_IMAGE },
        { "audio", LE_PART_AUDIO },
        { "input_audio", LE_PART_AUDIO },
        { "video", LE_PART_VIDEO },
        { "video_url", LE_PART_VIDEO },
    };
    struct tg_str type;
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    size_t mark = api_enter(d, "type");
    if (!tg_json_string(tg_json_get(v, "type"), &type))
        return api_wrong_type(d, tg_json_get(v, "type"), TG_JSON_STRING);
    for (size_t i = 0; i < COUNT(types); i++) {
        if (!tg_str_eq(type, tg_str_of(types[i].name)))
            continue;
        api_leave(d, mark);
        part->kind = types[i].kind;
        return part->kind == LE_PART_TEXT
                   ? api_copy_member(d, v, "text", true, 0, SIZE_MAX, &part->text)
                   : TG_OK;
    }
    return api_bad(d, "unknown part type; text, image, audio and video are known");
}

static enum tg_status read_content(struct api_read *d, const struct tg_json *v,
                                   struct le_message *m)
{
    const struct tg_json *content = api_member(v, "content");
    size_t mark = api_enter(d, "content"), n = tg_json_count(content), i = 0;
    enum tg_status status = TG_OK;
    if (!content && m->role == LE_ROLE_MODEL) {
        api_leave(d, mark);
        return TG_OK;
    }
    if (!tg_json_is(content, TG_JSON_ARRAY)) {
        status = api_copy(d, content, 0, SIZE_MAX, &m->text);
    } else {
        struct le_part *parts = tg_arena_alloc(d->arena, n, sizeof(*parts));
        if (!parts)
            return api_no_memory(d);
        for (const struct tg_json *p = tg_json_first(content); p && !status; p = tg_json_next(p)) {
            size_t inner = api_enter_at(d, i);
            status = read_part(d, p, &parts[i++]);
            if (!status)
                api_leave(d, inner);
        }
        m->parts = parts;
        m->n_parts = n;
    }
    if (!status)
        api_leave(d, mark);
    return status;
}

static enum tg_status read_function(struct api_read *d, const struct tg_json *v,
                                    struct le_call *call)
{
    static const struct api_field fields[] = { { "name", api_elsewhere },
                                               { "arguments", api_elsewhere } };
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    if (!status)
        status = api_copy_member(d, v, "name", true, 1, SIZE_MAX, &call->name);
    if (!status && tg_json_is(tg_json_get(v, "arguments"), TG_JSON_OBJECT))
        status = read_object_text(d, v, "arguments", &call->arguments);
    else if (!status)
        status = api_copy_member(d, v, "arguments", false, 0, SIZE_MAX, &call->arguments);
    if (!status && call->arguments.n == 0)
        call->arguments = TG_STR("{}");
    return status;
}

static enum tg_status read_calls(struct api_read *d, const struct tg_json *list,
                                 struct le_message *m)
{
    static const struct api_field fields[] = { { "id", api_elsewhere }, { "type", api_elsewhere },
                                               { "function", api_elsewhere },
                                               { "index", api_elsewhere } };
    if (!tg_json_is(list, TG_JSON_ARRAY))
        return api_wrong_type(d, list, TG_JSON_ARRAY);
    if (tg_json_count(list) > LE_CALLS_MAX)
        return api_bad(d, "has more than %d tool calls", LE_CALLS_MAX);
    struct le_call *calls = tg_arena_alloc(d->arena, tg_json_count(list), sizeof(*calls));
    enum tg_status status = calls ? TG_OK : api_no_memory(d);
    for (const struct tg_json *v = tg_json_first(list); v && !status; v = tg_json_next(v)) {
        struct le_call *call = &calls[m->n_calls++];
        size_t mark = api_enter_at(d, m->n_calls - 1);
        if (!tg_json_is(v, TG_JSON_OBJECT))
            return api_wrong_type(d, v, TG_JSON_OBJECT);
        status = api_read_fields(d, v, fields, COUNT(fields));
        if (!status)
            status = api_copy_member(d, v, "id", false, 0, SIZE_MAX, &call->id);
        if (status)
            return status;
        api_enter(d, "function");
        status = read_function(d, api_member(v, "function"), call);
        if (!status)
            api_leave(d, mark);
    }
    m->calls = calls;
    return status;
}

static enum tg_status read_reasoning(struct api_read *d, const struct tg_json *v,
                                     struct le_message *m)
{
    static const char *const keys[] = { "reasoning_content", "reasoning" };
    for (size_t i = 0; i < 2; i++) {
        const struct tg_json *member = api_member(v, keys[i]);
        size_t mark = api_enter(d, keys[i]);
        enum tg_status status = member ? oai_read_reasoning(d, member, &m->reasoning) : TG_OK;
        if (status)
            return status;
        api_leave(d, mark);
    }
    return TG_OK;
}

static enum tg_status read_message(struct api_read *d, const struct tg_json *v,
                                   struct le_message *m)
{
    static const struct api_field fields[] = {
        { "role", api_elsewhere },         { "content", api_elsewhere },
        { "name", api_elsewhere },         { "tool_calls", api_elsewhere },
        { "tool_call_id", api_elsewhere }, { "reasoning_content", api_elsewhere },
        { "reasoning", api_elsewhere },    { "refusal", api_refuse },
        { "annotations", api_only_empty },
        { "audio", api_refuse },           { "function_call", api_refuse },
    };
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    const struct tg_json *calls = api_member(v, "tool_calls");
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    if (!status)
        status = read_role(d, v, &m->role);
    if (!status)
        status = read_content(d, v, m);
    if (!status)
        status = read_reasoning(d, v, m);
    if (!status)
        status = api_copy_member(d, v, "tool_call_id", false, 0, SIZE_MAX, &m->call_id);
    if (!status)
        status = api_copy_member(d, v, "name", false, 0, SIZE_MAX, &m->name);
    if (status || !calls)
        return status;
    size_t mark = api_enter(d, "tool_calls");
    if (m->role != LE_ROLE_MODEL)
        return api_bad(d, "only an assistant's message may have tool calls");
    status = read_calls(d, calls, m);
    if (!status)
        api_leave(d, mark);
    return status;
}

static enum tg_status read_messages(struct api_read *d, const struct tg_json *list,
                                    struct le_chat *out)
{
    size_t mark = api_enter(d, "messages"), n = tg_json_count(list);
    if (!tg_json_is(list, TG_JSON_ARRAY))
        return api_wrong_type(d, list, TG_JSON_ARRAY);
    if (n == 0 || n > OAI_MESSAGES_MAX)
        return api_bad(d, "has %zu messages; 1 to %d are possible", n, OAI_MESSAGES_MAX);
    struct le_message *messages = tg_arena_alloc(d->arena, n, sizeof(*messages));
    if (!messages)
        return api_no_memory(d);
    for (const struct tg_json *v = tg_json_first(list); v; v = tg_json_next(v)) {
        size_t inner = api_enter_at(d, out->n);
        enum tg_status status = read_message(d, v, &messages[out->n++]);
        if (status)
            return status;
        api_leave(d, inner);
    }
    out->messages = messages;
    api_leave(d, mark);
    return TG_OK;
}

/* ---- tools ---- */

static enum tg_status read_tool(struct api_read *d, const struct tg_json *v,
                                struct le_tool *tool)
{
    static const struct api_field outer[] = { { "type", api_elsewhere },
                                              { "function", api_elsewhere } };
    static const struct api_field inner[] = {
        { "name", api_elsewhere },     { "description", api_elsewhere },
        { "response", api_elsewhere }, { "parameters", api_elsewhere },
        { "strict", api_elsewhere },
    };
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    enum tg_status status = api_read_fields(d, v, outer, COUNT(outer));
    if (status)
        return status;
    const struct tg_json *f = api_member(v, "function");
    api_enter(d, "function");
    if (!tg_json_is(f, TG_JSON_OBJECT))
        return api_wrong_type(d, f, TG_JSON_OBJECT);
    status = api_read_fields(d, f, inner, COUNT(inner));
    if (!status)
        status = api_copy_member(d, f, "name", true, 1, SIZE_MAX, &tool->name);
    if (!status)
        status = api_copy_member(d, f, "description", false, 0, SIZE_MAX, &tool->description);
    if (!status)
        status = read_object_text(d, f, "parameters", &tool->parameters);
    return status ? status : read_object_text(d, f, "response", &tool->response);
}

static enum tg_status read_tools(struct api_read *d, const struct tg_json *list,
                                 struct le_chat *out)
{
    size_t mark = api_enter(d, "tools"), n = tg_json_count(list);
    if (!list) {
        api_leave(d, mark);
        return TG_OK;
    }
    if (!tg_json_is(list, TG_JSON_ARRAY))
        return api_wrong_type(d, list, TG_JSON_ARRAY);
    if (n > OAI_TOOLS_MAX)
        return api_bad(d, "has more than %d tools", OAI_TOOLS_MAX);
    struct le_tool *tools = tg_arena_alloc(d->arena, n, sizeof(*tools));
    if (!tools)
        return api_no_memory(d);
    for (const struct tg_json *v = tg_json_first(list); v; v = tg_json_next(v)) {
        size_t inner = api_enter_at(d, out->n_tools);
        enum tg_status status = read_tool(d, v, &tools[out->n_tools++]);
        if (status)
            return status;
        api_leave(d, inner);
    }
    out->tools = tools;
    api_leave(d, mark);
    return TG_OK;
}

enum tg_status gw_tool_names_read(const struct tg_json *list, struct tg_arena *arena,
                                  struct tg_str **names, size_t *n, struct api_error *err)
{
    struct api_read d = { .arena = arena, .err = err };
    struct le_chat chat = { .n_tools = 0 };
    *n = tg_json_count(list);
    *names = tg_arena_alloc(arena, *n, sizeof(**names));
    if (!*names)
        return api_no_memory(&d);
    const struct tg_json *v = tg_json_first(list);
    if (tg_json_is(list, TG_JSON_ARRAY) && tg_json_is(v, TG_JSON_STRING)) {
        api_enter(&d, "tools");
        for (size_t i = 0; v; v = tg_json_next(v), i++) {
            size_t mark = api_enter_at(&d, i);
            enum tg_status status = api_copy(&d, v, 1, SIZE_MAX, &(*names)[i]);
            if (status)
                return status;
            api_leave(&d, mark);
        }
        return TG_OK;
    }
    enum tg_status status = read_tools(&d, list, &chat);
    for (size_t i = 0; i < chat.n_tools && !status; i++)
        (*names)[i] = chat.tools[i].name;
    return status;
}

enum tg_status gw_chat_read(struct tg_str text, struct tg_arena *arena, struct le_chat *out,
                            struct api_error *err)
{
    static const struct api_field fields[] = {
        { "messages", api_elsewhere },
        { "tools", api_elsewhere },
        { "add_generation_prompt", api_elsewhere },
        { "enable_thinking", api_elsewhere },
    };
    struct api_read d = { .arena = arena, .err = err };
    struct tg_json *root = NULL;
    struct tg_error cause;
    *err = (struct api_error){ 0 };
    *out = (struct le_chat){ .add_generation_prompt = true };
    enum tg_status status = tg_json_parse(text, &root, &cause);
    if (status == TG_NOMEM)
        return api_no_memory(&d);
    if (status)
        return api_bad(&d, "standard input is not acceptable JSON: %s", cause.text);
    if (!tg_json_is(root, TG_JSON_OBJECT))
        status = api_bad(&d, "standard input must be a JSON object, not %s",
                         tg_json_type_name(tg_json_type(root)));
    if (!status)
        status = api_read_fields(&d, root, fields, COUNT(fields));
    if (!status)
        status = read_flag(&d, root, "add_generation_prompt", &out->add_generation_prompt);
    if (!status)
        status = read_flag(&d, root, "enable_thinking", &out->thinking);
    if (!status)
        status = read_tools(&d, api_member(root, "tools"), out);
    if (!status)
        status = read_messages(&d, api_member(root, "messages"), out);
    tg_json_free(root);
    return status;
}
