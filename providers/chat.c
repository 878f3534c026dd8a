#include "providers/chat.h"

size_t chat_request_bytes(const struct chat_request *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_messages; i++) {
        const struct chat_message *m = &r->messages[i];
        n += m->name.n;
        for (size_t k = 0; k < m->n_parts; k++)
            n += m->parts[k].text.n + m->parts[k].id.n + m->parts[k].name.n;
    }
    for (size_t i = 0; i < r->n_inputs; i++)
        n += r->inputs[i].text.n + r->inputs[i].n_ids;
    for (size_t i = 0; i < r->n_tools; i++)
        n += r->tools[i].name.n + r->tools[i].description.n + r->tools[i].parameters.n;
    return n + r->tool_name.n + r->schema.name.n + r->schema.description.n + r->schema.text.n;
}

static bool copy_top(struct tg_arena *arena, const struct chat_top *from, struct chat_top *to)
{
    *to = (struct chat_top){ tg_arena_str(arena, from->text), from->logprob };
    return to->text.p != NULL;
}

struct chat_logprobs *chat_logprobs_copy(struct tg_arena *arena, const struct chat_event *e)
{
    struct chat_logprobs *out = tg_arena_alloc(arena, 1, sizeof(*out));
    struct chat_logprob *list = tg_arena_alloc(arena, e->n_logprobs, sizeof(*list));
    if (!out || !list)
        return NULL;
    *out = (struct chat_logprobs){ .list = list, .n = e->n_logprobs };
    for (size_t i = 0; i < e->n_logprobs; i++) {
        const struct chat_logprob *from = &e->logprobs[i];
        struct chat_top *top = tg_arena_alloc(arena, from->n_top, sizeof(*top));
        if (!top || !copy_top(arena, &from->token, &list[i].token))
            return NULL;
        for (size_t k = 0; k < from->n_top; k++)
            if (!copy_top(arena, &from->top[k], &top[k]))
                return NULL;
        list[i].top = top;
        list[i].n_top = from->n_top;
    }
    return out;
}

const char *chat_role_name(enum chat_role role)
{
    static const char *const names[] = {
        [CHAT_SYSTEM] = "system",       [CHAT_DEVELOPER] = "developer", [CHAT_USER] = "user",
        [CHAT_ASSISTANT] = "assistant", [CHAT_TOOL] = "tool",
    };
    return names[role];
}

const char *chat_finish_name(enum chat_finish finish)
{
    static const char *const names[] = {
        [CHAT_FINISH_STOP] = "stop",
        [CHAT_FINISH_LENGTH] = "length",
        [CHAT_FINISH_TOOL_CALLS] = "tool_calls",
        [CHAT_FINISH_FILTER] = "content_filter",
    };
    return names[finish];
}

const char *chat_error_name(enum chat_error_kind kind)
{
    static const char *const names[] = {
        [CHAT_ERROR_CONNECT] = "connect",     [CHAT_ERROR_TIMEOUT] = "timeout",
        [CHAT_ERROR_STATUS] = "status",       [CHAT_ERROR_TRUNCATED] = "truncated",
        [CHAT_ERROR_MALFORMED] = "malformed", [CHAT_ERROR_LIMIT] = "limit",
        [CHAT_ERROR_REQUEST] = "request",     [CHAT_ERROR_ENGINE] = "engine",
    };
    return names[kind];
}
