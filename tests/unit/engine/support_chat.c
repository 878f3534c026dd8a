#include "tests/unit/engine/support_chat.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/engine/support_text.h"

enum { LIST_MAX = 16 };

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "a golden conversation: %s\n", what);
    exit(1);
}

static struct tg_str print(struct tg_arena *a, const struct tg_json *v)
{
    struct tg_buf b;
    if (!v)
        return (struct tg_str){ 0 };
    tg_buf_init(&b, 1 << 20);
    need(tg_json_print(v, &b) == TG_OK, "out of memory");
    struct tg_str s = tg_arena_str(a, tg_buf_str(&b));
    tg_buf_free(&b);
    return s;
}

static enum le_role role_of(struct tg_str role)
{
    if (tg_str_eq(role, TG_STR("user")))
        return LE_ROLE_USER;
    if (tg_str_eq(role, TG_STR("assistant")))
        return LE_ROLE_MODEL;
    if (tg_str_eq(role, TG_STR("tool")))
        return LE_ROLE_TOOL;
    need(tg_str_eq(role, TG_STR("system")) || tg_str_eq(role, TG_STR("developer")), "role");
    return LE_ROLE_SYSTEM;
}

static void read_parts(struct tg_arena *a, const struct tg_json *list, struct le_message *m)
{
    static const char *const kinds[] = { "text", "image", "audio", "video" };
    struct le_part *parts = tg_arena_alloc(a, LIST_MAX, sizeof(*parts));
    const struct tg_json *v = tg_json_first(list);
    for (; v; v = tg_json_next(v)) {
        need(m->n_parts < LIST_MAX, "a list is too long");
        struct le_part *part = &parts[m->n_parts++];
        for (int k = 0; k < 4; k++)
            if (tg_str_eq(text_member(v, "type"), tg_str_of(kinds[k])))
                part->kind = (enum le_part_kind)k;
        part->text = text_member(v, "text");
    }
    m->parts = parts;
}

static void read_message(struct tg_arena *a, const struct tg_json *v, struct le_message *m)
{
    m->role = role_of(text_member(v, "role"));
    m->text = text_member(v, "content");
    m->reasoning = text_member(v, tg_json_get(v, "reasoning") ? "reasoning" : "reasoning_content");
    m->call_id = text_member(v, "tool_call_id");
    if (tg_json_is(tg_json_get(v, "content"), TG_JSON_ARRAY))
        read_parts(a, tg_json_get(v, "content"), m);
    struct le_call *calls = tg_arena_alloc(a, LIST_MAX, sizeof(*calls));
    for (const struct tg_json *c = tg_json_first(tg_json_get(v, "tool_calls")); c;
         c = tg_json_next(c)) {
        const struct tg_json *f = tg_json_get(c, "function");
        need(m->n_calls < LIST_MAX, "a list is too long");
        calls[m->n_calls++] = (struct le_call){ text_member(c, "id"), text_member(f, "name"),
                                                text_member(f, "arguments") };
    }
    m->calls = calls;
}

void chat_golden_read(struct chat_golden *g, const struct tg_json *c)
{
    *g = (struct chat_golden){ .a = tg_arena_new(1 << 22) };
    struct le_message *messages = tg_arena_alloc(g->a, LIST_MAX, sizeof(*messages));
    struct le_tool *tools = tg_arena_alloc(g->a, LIST_MAX, sizeof(*tools));
    need(messages && tools, "out of memory");
    g->chat = (struct le_chat){ .messages = messages, .tools = tools };
    g->chat.thinking = text_flag(c, "enable_thinking");
    g->chat.add_generation_prompt = text_flag(c, "add_generation_prompt");
    const struct tg_json *v = tg_json_first(tg_json_get(c, "messages"));
    for (; v; v = tg_json_next(v)) {
        need(g->chat.n < LIST_MAX, "a list is too long");
        read_message(g->a, v, &messages[g->chat.n++]);
    }
    for (v = tg_json_first(tg_json_get(c, "tools")); v; v = tg_json_next(v)) {
        const struct tg_json *f = tg_json_get(v, "function");
        need(g->chat.n_tools < LIST_MAX, "a list is too long");
        tools[g->chat.n_tools++] = (struct le_tool){
            text_member(f, "name"), text_member(f, "description"),
            print(g->a, tg_json_get(f, "parameters")), print(g->a, tg_json_get(f, "response"))
        };
    }
}

void chat_golden_free(struct chat_golden *g)
{
    tg_arena_free(g->a);
}
