#include "gateway/api/openai_internal.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* The calls that tool messages may answer: those of all messages so far. */
struct calls {
    struct chat_part *p;
    size_t n;
};

static enum tg_status read_role(struct api_read *d, const struct tg_json *v,
                                enum chat_role *out)
{
    static const struct {
        const char *name;
        enum chat_role role;
    } roles[] = {
        { "user", CHAT_USER },     { "assistant", CHAT_ASSISTANT }, { "system", CHAT_SYSTEM },
        { "tool", CHAT_TOOL },     { "developer", CHAT_DEVELOPER },
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
    if (tg_str_eq(s, TG_STR("function")))
        return api_bad(d, "the role \"function\" is not supported in this version; use \"tool\"");
    return api_bad(d, "unknown role \"%.*s\"", TG_FMT(api_short(s)));
}

/* What members a message of that role may have. */
static enum tg_status check_members(struct api_read *d, const struct tg_json *v,
                                    enum chat_role role)
{
    static const struct api_field plain[] = {
        { "role", api_elsewhere },
        { "content", api_elsewhere },
        { "cache_control", api_read_cache_control },
        { "name", api_elsewhere },
    };
    static const struct api_field tool[] = {
        { "role", api_elsewhere },
        { "content", api_elsewhere },
        { "cache_control", api_read_cache_control },
        { "tool_call_id", api_elsewhere },
        { "name", api_elsewhere },
    };
    static const struct api_field assistant[] = {
        { "role", api_elsewhere },
        { "content", api_elsewhere },
        { "cache_control", api_read_cache_control },
        { "name", api_elsewhere },
        { "tool_calls", api_elsewhere },
        { "reasoning_content", api_elsewhere },
        { "reasoning", api_elsewhere },
        { "annotations", api_only_empty },
        { "refusal", api_elsewhere },
        { "audio", api_refuse },
        { "function_call", api_refuse },
    };
    if (role == CHAT_ASSISTANT)
        return api_read_fields(d, v, assistant, COUNT(assistant));
    if (role == CHAT_TOOL)
        return api_read_fields(d, v, tool, COUNT(tool));
    return api_read_fields(d, v, plain, COUNT(plain));
}

static enum tg_status read_call_function(struct api_read *d, const struct tg_json *v,
                                         struct chat_part *part)
{
    static const struct api_field fields[] = {
        { "name", api_elsewhere },
        { "arguments", api_elsewhere },
    };
    enum tg_status status = api_read_object(d, v, fields, COUNT(fields));
    if (status == TG_OK)
        status = api_copy_member(d, v, "name", true, 1, OAI_NAME_MAX, &part->name);
    if (status == TG_OK)
        status = api_copy_member(d, v, "arguments", true, 0, SIZE_MAX, &part->text);
    return status;
}

static enum tg_status read_call(struct api_read *d, const struct tg_json *v,
                                struct chat_part *part)
{
    /* index: what a client that joined stream deltas may have left in place */
    static const struct api_field fields[] = {
        { "id", api_elsewhere },
        { "type", api_elsewhere },
        { "function", api_elsewhere },
        { "index", api_elsewhere },
    };
    enum tg_status status = api_read_object(d, v, fields, COUNT(fields));
    if (status == TG_OK)
        status = api_copy_member(d, v, "id", true, 1, OAI_ID_MAX, &part->id);
    if (status)
        return status;
    struct tg_str type = TG_STR("function");
    const struct tg_json *member = api_member(v, "type");
    size_t mark = api_enter(d, "type");
    if (member && !tg_json_string(member, &type))
        return api_wrong_type(d, member, TG_JSON_STRING);
    if (!tg_str_eq(type, TG_STR("function")))
        return api_unsupported(d);
    api_leave(d, mark);
    api_enter(d, "function");
    part->kind = CHAT_PART_TOOL_CALL;
    status = read_call_function(d, api_member(v, "function"), part);
    api_leave(d, mark);
    return status;
}

static enum tg_status read_calls(struct api_read *d, const struct tg_json *v,
                                 struct calls *calls, struct api_parts *parts)
{
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return api_wrong_type(d, v, TG_JSON_ARRAY);
    size_t i = 0;
    for (const struct tg_json *item = tg_json_first(v); item; item = tg_json_next(item), i++) {
        size_t mark = api_enter_at(d, i);
        if (calls->n == OAI_CALLS_MAX)
            return api_bad(d, "the request has more than %d tool calls", OAI_CALLS_MAX);
        struct chat_part *part = &parts->p[parts->n++];
        enum tg_status status = read_call(d, item, part);
        if (status)
            return status;
        calls->p[calls->n++] = *part;
        api_leave(d, mark);
    }
    return TG_OK;
}

static enum tg_status read_thoughts(struct api_read *d, const struct tg_json *v,
                                    struct api_parts *parts)
{
    static const char *const keys[] = { "reasoning_content", "reasoning" };
    struct tg_str text[2] = { { NULL, 0 }, { NULL, 0 } };
    for (size_t i = 0; i < 2; i++) {
        const struct tg_json *member = api_member(v, keys[i]);
        size_t mark = api_enter(d, keys[i]);
        enum tg_status status = member ? oai_read_reasoning(d, member, &text[i]) : TG_OK;
        if (status == TG_OK && i == 1 && text[0].p && text[1].p && !tg_str_eq(text[0], text[1]))
            status = api_bad(d, "differs from reasoning_content");
        if (status)
            return status;
        api_leave(d, mark);
    }
    struct tg_str said = text[0].p ? text[0] : text[1];
    if (said.n)
        parts->p[parts->n++] = (struct chat_part){ .kind = CHAT_PART_REASONING, .text = said };
    return TG_OK;
}

static enum tg_status read_assistant(struct api_read *d, const struct tg_json *v,
                                     struct calls *calls, struct api_parts *parts)
{
    const struct tg_json *content = api_member(v, "content"), *list = api_member(v, "tool_calls");
    struct chat_part refusal = { .kind = CHAT_PART_TEXT };
    struct tg_str text;
    enum tg_status status = read_thoughts(d, v, parts);
    if (status == TG_OK)
        status = api_copy_member(d, v, "refusal", false, 0, SIZE_MAX, &refusal.text);
    if (status)
        return status;
    size_t mark = d->path_n;
    /* Beside a refusal: what a client made of a stream without content. */
    if (refusal.text.n && tg_json_string(content, &text) && !text.n)
        content = NULL;
    if (content || (!tg_json_first(list) && parts->n == 0 && !refusal.text.n)) {
        api_enter(d, "content");
        status = oai_read_content(d, content, CHAT_ASSISTANT, parts);
        api_leave(d, mark);
    }
    if (status == TG_OK && refusal.text.n)
        parts->p[parts->n++] = refusal;
    if (status == TG_OK && list) {
        api_enter(d, "tool_calls");
        status = read_calls(d, list, calls, parts);
        api_leave(d, mark);
    }
    return status;
}

static enum tg_status read_tool_result(struct api_read *d, const struct tg_json *v,
                                       const struct calls *calls, struct api_parts *parts)
{
    struct chat_part *part = &parts->p[parts->n++];
    part->kind = CHAT_PART_TOOL_RESULT;
    enum tg_status status =
        api_copy_member(d, v, "tool_call_id", true, 1, OAI_ID_MAX, &part->id);
    if (status)
        return status;
    size_t i = calls->n; /* from the newest: ids may come again in a later turn */
    while (i > 0 && !tg_str_eq(calls->p[i - 1].id, part->id))
        i--;
    size_t mark = api_enter(d, "tool_call_id");
    if (i == 0)
        return api_bad(d, "answers no tool call of an earlier message");
    api_leave(d, mark);
    part->name = calls->p[i - 1].name;
    api_enter(d, "content");
    status = oai_join_text(d, api_member(v, "content"), &part->text);
    api_leave(d, mark);
    return status;
}

static enum tg_status read_message(struct api_read *d, const struct tg_json *v,
                                   struct calls *calls, struct chat_message *out)
{
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    enum tg_status status = read_role(d, v, &out->role);
    if (status == TG_OK)
        status = check_members(d, v, out->role);
    if (status == TG_OK)
        status = api_copy_member(d, v, "name", false, 1, OAI_NAME_MAX, &out->name);
    if (status)
        return status;
    /* content, which may be one string, calls, one part of reasoning and one of a refusal */
    struct api_parts parts = { .cap = api_list_count(tg_json_get(v, "content")) +
                                      api_list_count(tg_json_get(v, "tool_calls")) + 3 };
    parts.p = tg_arena_alloc(d->arena, parts.cap, sizeof(*parts.p));
    if (!parts.p)
        return api_no_memory(d);
    if (out->role == CHAT_ASSISTANT) {
        status = read_assistant(d, v, calls, &parts);
    } else if (out->role == CHAT_TOOL) {
        status = read_tool_result(d, v, calls, &parts);
    } else {
        size_t mark = api_enter(d, "content");
        status = oai_read_content(d, api_member(v, "content"), out->role, &parts);
        api_leave(d, mark);
    }
    out->parts = parts.p;
    out->n_parts = parts.n;
    return status;
}

enum tg_status oai_read_messages(struct api_read *d, const struct tg_json *v)
{
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return api_wrong_type(d, v, TG_JSON_ARRAY);
    size_t n = tg_json_count(v), i = 0;
    if (n == 0)
        return api_bad(d, "must not be empty");
    if (n > OAI_MESSAGES_MAX)
        return api_bad(d, "has more than %d messages", OAI_MESSAGES_MAX);
    struct calls calls = { .n = 0 };
    struct chat_message *messages = tg_arena_alloc(d->arena, n, sizeof(*messages));
    calls.p = tg_arena_alloc(d->arena, api_count_calls(v, OAI_CALLS_MAX), sizeof(*calls.p));
    if (!messages || !calls.p)
        return api_no_memory(d);
    for (const struct tg_json *item = tg_json_first(v); item; item = tg_json_next(item), i++) {
        size_t mark = api_enter_at(d, i);
        enum tg_status status = read_message(d, item, &calls, &messages[i]);
        if (status)
            return status;
        api_leave(d, mark);
    }
    d->out->messages = messages;
    d->out->n_messages = n;
    return TG_OK;
}
