#include <stdio.h>

#include "gateway/api/ollama_internal.h"
#include "gateway/api/read_media.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* The calls so far, for the results behind them. */
struct calls {
    struct chat_part *p;
    bool *answered;
    size_t n, newest; /* newest: the first call of the newest message that has any */
};

/* --- images ---------------------------------------------------------------------------------- */

enum tg_status oll_read_images(struct api_read *d, const struct tg_json *v,
                               struct chat_part *parts, size_t *n)
{
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return api_wrong_type(d, v, TG_JSON_ARRAY);
    enum tg_status status = TG_OK;
    size_t i = 0;
    const struct tg_json *item = tg_json_first(v);
    for (; item && status == TG_OK; item = tg_json_next(item), i++) {
        size_t mark = api_enter_at(d, i);
        status = api_read_media_base64(d, item, NULL, CHAT_PART_IMAGE, d->path_n, &parts[(*n)++]);
        api_leave(d, mark);
    }
    return status;
}

/* --- calls and their results ----------------------------------------------------------------- */

static enum tg_status read_function(struct api_read *d, const struct tg_json *v,
                                    struct chat_part *part)
{
    static const struct api_field fields[] = { { "name", api_elsewhere },
                                               { "arguments", api_elsewhere },
                                               { "index", api_elsewhere },
                                               { "description", api_elsewhere } };
    enum tg_status status = api_read_object(d, v, fields, COUNT(fields));
    if (status == TG_OK)
        status = api_copy_member(d, v, "name", true, 1, OLL_NAME_MAX, &part->name);
    part->text = TG_STR("{}");
    return status ? status : api_object_member(d, v, "arguments", false, &part->text);
}

/* Calls are told apart by their ids in the vocabulary; here most have none. */
static enum tg_status make_id(struct api_read *d, size_t number, struct chat_part *part)
{
    char id[32];
    int n = snprintf(id, sizeof(id), "call_tg_%zu", number);
    part->id = tg_arena_str(d->arena, (struct tg_str){ id, (size_t)n });
    return part->id.p ? TG_OK : api_no_memory(d);
}

static enum tg_status read_call(struct api_read *d, const struct tg_json *v, size_t number,
                                struct chat_part *part)
{
    static const char *const words[] = { "function" };
    static const struct api_field fields[] = { { "function", api_elsewhere },
                                               { "id", api_elsewhere },
                                               { "type", api_elsewhere } };
    *part = (struct chat_part){ .kind = CHAT_PART_TOOL_CALL };
    enum tg_status status = api_read_object(d, v, fields, COUNT(fields));
    const struct tg_json *type = api_member(v, "type");
    size_t which, mark = d->path_n;
    if (status == TG_OK && type) {
        api_enter(d, "type");
        status = api_word(d, type, words, COUNT(words), &which);
        api_leave(d, mark);
    }
    if (status == TG_OK)
        status = api_copy_member(d, v, "id", false, 0, OLL_ID_MAX, &part->id);
    if (status == TG_OK && !part->id.n)
        status = make_id(d, number, part);
    if (status)
        return status;
    api_enter(d, "function");
    status = read_function(d, api_member(v, "function"), part);
    api_leave(d, mark);
    return status;
}

static enum tg_status read_calls(struct api_read *d, const struct tg_json *v, struct calls *calls,
                                 struct chat_part *parts, size_t *n)
{
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return api_wrong_type(d, v, TG_JSON_ARRAY);
    size_t i = 0;
    if (tg_json_first(v))
        calls->newest = calls->n;
    for (const struct tg_json *item = tg_json_first(v); item; item = tg_json_next(item), i++) {
        size_t mark = api_enter_at(d, i);
        if (calls->n == OLL_CALLS_MAX)
            return api_bad(d, "the request has more than %d tool calls", OLL_CALLS_MAX);
        enum tg_status status = read_call(d, item, calls->n, &parts[*n]);
        if (status)
            return status;
        calls->answered[calls->n] = false;
        calls->p[calls->n++] = parts[(*n)++];
        api_leave(d, mark);
    }
    return TG_OK;
}

/* The call that a result answers: the one of its id, else the first of the newest message that is
 * not answered yet, and has the name if one is given. calls->n: none. */
static size_t find_call(const struct calls *calls, struct tg_str id, struct tg_str name)
{
    for (size_t i = calls->n; i > 0 && id.n; i--) /* from the newest: ids may come again */
        if (tg_str_eq(calls->p[i - 1].id, id))
            return i - 1;
    size_t i = id.n ? calls->n : calls->newest;
    while (i < calls->n &&
           (calls->answered[i] || (name.n && !tg_str_eq(calls->p[i].name, name))))
        i++;
    return i;
}

static enum tg_status read_result(struct api_read *d, const struct tg_json *v, struct calls *calls,
                                  struct chat_part *part)
{
    struct tg_str id = { NULL, 0 }, name = { NULL, 0 };
    *part = (struct chat_part){ .kind = CHAT_PART_TOOL_RESULT };
    enum tg_status status =
        api_copy_member(d, v, "tool_call_id", false, 0, OLL_ID_MAX, &id);
    if (status == TG_OK)
        status = api_copy_member(d, v, "name", false, 0, OLL_NAME_MAX, &name);
    if (status == TG_OK)
        status = api_copy_member(d, v, "tool_name", false, 0, OLL_NAME_MAX, &name);
    if (status == TG_OK)
        status = api_copy_member(d, v, "content", true, 0, SIZE_MAX, &part->text);
    if (status)
        return status;
    size_t i = find_call(calls, id, name);
    if (i == calls->n) {
        if (id.n || name.n)
            api_enter(d, id.n ? "tool_call_id" : "tool_name");
        return api_bad(d, id.n ? "answers no tool call of an earlier message"
                               : "answers no tool call of the message before that is not answered "
                                 "yet");
    }
    calls->answered[i] = true;
    part->id = calls->p[i].id;
    part->name = calls->p[i].name;
    return TG_OK;
}

/* --- messages -------------------------------------------------------------------------------- */

static enum tg_status read_role(struct api_read *d, const struct tg_json *v, enum chat_role *out)
{
    static const char *const words[] = { "system", "user", "assistant", "tool" };
    static const enum chat_role roles[] = { CHAT_SYSTEM, CHAT_USER, CHAT_ASSISTANT, CHAT_TOOL };
    size_t which = 0, mark = api_enter(d, "role");
    enum tg_status status = api_word(d, api_member(v, "role"), words, COUNT(words), &which);
    api_leave(d, mark);
    if (status == TG_OK)
        *out = roles[which];
    return status;
}

/* What members a message of that role may have; all may be there empty. */
static enum tg_status check_members(struct api_read *d, const struct tg_json *v,
                                    enum chat_role role)
{
    bool user = role == CHAT_USER, assistant = role == CHAT_ASSISTANT, tool = role == CHAT_TOOL;
    const struct api_field fields[] = {
        { "role", api_elsewhere },
        { "content", api_elsewhere },
        { "images", user ? api_elsewhere : oll_only_empty },
        { "thinking", assistant ? api_elsewhere : oll_only_empty },
        { "tool_calls", assistant ? api_elsewhere : oll_only_empty },
        { "tool_name", tool ? api_elsewhere : oll_only_empty },
        { "tool_call_id", tool ? api_elsewhere : oll_only_empty },
        { "name", tool ? api_elsewhere : oll_only_empty },
    };
    return api_read_fields(d, v, fields, COUNT(fields));
}

/* Images and thinking, text, calls, in this order. */
static enum tg_status read_parts(struct api_read *d, const struct tg_json *v, struct calls *calls,
                                 struct chat_part *parts, size_t *n)
{
    const struct tg_json *images = api_member(v, "images"), *list = api_member(v, "tool_calls");
    struct tg_str thinking = { NULL, 0 }, text = { NULL, 0 };
    enum tg_status status = TG_OK;
    size_t mark = d->path_n;
    if (api_list_count(images)) {
        api_enter(d, "images");
        status = oll_read_images(d, images, parts, n);
        api_leave(d, mark);
    } else if (images && !tg_json_is(images, TG_JSON_ARRAY)) {
        api_enter(d, "images");
        return api_wrong_type(d, images, TG_JSON_ARRAY);
    }
    if (status == TG_OK)
        status = api_copy_member(d, v, "thinking", false, 0, SIZE_MAX, &thinking);
    if (status == TG_OK && thinking.n)
        parts[(*n)++] = (struct chat_part){ .kind = CHAT_PART_REASONING, .text = thinking };
    bool alone = *n == 0 && !api_list_count(list);
    if (status == TG_OK)
        status = api_copy_member(d, v, "content", alone, 0, SIZE_MAX, &text);
    if (status == TG_OK && (text.n || alone))
        parts[(*n)++] = (struct chat_part){ .kind = CHAT_PART_TEXT, .text = text };
    if (status == TG_OK && list) {
        api_enter(d, "tool_calls");
        status = read_calls(d, list, calls, parts, n);
        api_leave(d, mark);
    }
    return status;
}

static enum tg_status read_message(struct api_read *d, const struct tg_json *v,
                                   struct calls *calls, struct chat_message *out)
{
    *out = (struct chat_message){ .role = CHAT_USER };
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    enum tg_status status = read_role(d, v, &out->role);
    if (status == TG_OK)
        status = check_members(d, v, out->role);
    if (status)
        return status;
    size_t room = api_list_count(tg_json_get(v, "images")) +
                  api_list_count(tg_json_get(v, "tool_calls"));
    struct chat_part *parts = tg_arena_alloc(d->arena, room + 2, sizeof(*parts));
    if (!parts)
        return api_no_memory(d);
    out->parts = parts;
    if (out->role == CHAT_TOOL) {
        out->n_parts = 1;
        return read_result(d, v, calls, parts);
    }
    return read_parts(d, v, calls, parts, &out->n_parts);
}

enum tg_status oll_read_messages(struct api_read *d, const struct tg_json *v)
{
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return api_wrong_type(d, v, TG_JSON_ARRAY);
    size_t n = tg_json_count(v), i = 0, n_calls = api_count_calls(v, OLL_CALLS_MAX);
    if (n == 0)
        return TG_OK;
    if (n > OLL_MESSAGES_MAX)
        return api_bad(d, "has more than %d messages", OLL_MESSAGES_MAX);
    struct calls calls = { .n = 0 };
    struct chat_message *messages = tg_arena_alloc(d->arena, n, sizeof(*messages));
    calls.p = tg_arena_alloc(d->arena, n_calls, sizeof(*calls.p));
    calls.answered = tg_arena_alloc(d->arena, n_calls, sizeof(*calls.answered));
    if (!messages || !calls.p || !calls.answered)
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
