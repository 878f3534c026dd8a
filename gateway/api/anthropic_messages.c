#include "gateway/api/anthropic_internal.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* What the messages become: lists with room for all that can come. */
struct reading {
    struct chat_message *messages;
    size_t n;
    const struct chat_part **calls; /* those of all messages so far, which results may answer */
    size_t n_calls;
    size_t last_user; /* place of the last message of the user; 0: there is none */
};

static size_t list_count(const struct tg_json *v)
{
    return tg_json_is(v, TG_JSON_ARRAY) ? tg_json_count(v) : 1;
}

static bool is_type(const struct tg_json *block, const char *name)
{
    struct tg_str s;
    return tg_json_string(tg_json_get(block, "type"), &s) && tg_str_eq(s, tg_str_of(name));
}

/* Blocks of a type in a message, or in all of them (an array). */
static size_t count_blocks(const struct tg_json *message, const char *type)
{
    size_t n = 0;
    const struct tg_json *item = tg_json_first(tg_json_get(message, "content"));
    for (; item; item = tg_json_next(item))
        n += is_type(item, type);
    return n;
}

static size_t count_all(const struct tg_json *messages, const char *type)
{
    size_t n = 0;
    for (const struct tg_json *m = tg_json_first(messages); m; m = tg_json_next(m))
        n += tg_json_is(tg_json_get(m, "content"), TG_JSON_ARRAY) ? count_blocks(m, type) : 0;
    return n;
}

static struct chat_message *add_message(struct reading *r, enum chat_role role, size_t place)
{
    struct chat_message *m = &r->messages[r->n++];
    m->role = role;
    m->place = place;
    return m;
}

static enum tg_status make_parts(struct api_read *d, size_t n, struct api_parts *parts)
{
    *parts = (struct api_parts){ .p = tg_arena_alloc(d->arena, n, sizeof(*parts->p)), .cap = n };
    return parts->p ? TG_OK : api_no_memory(d);
}

/* A string, or an array of text blocks. */
static enum tg_status read_texts(struct api_read *d, const struct tg_json *v,
                                 struct api_parts *parts)
{
    enum tg_status status = make_parts(d, list_count(v), parts);
    if (status)
        return status;
    if (tg_json_is(v, TG_JSON_STRING)) {
        struct chat_part *part = &parts->p[parts->n++];
        part->kind = CHAT_PART_TEXT;
        return api_copy(d, v, 0, SIZE_MAX, &part->text);
    }
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return api_bad(d, "a string or an array of text blocks was expected, not %s",
                       tg_json_type_name(tg_json_type(v)));
    size_t i = 0;
    for (const struct tg_json *item = tg_json_first(v); item; item = tg_json_next(item), i++) {
        struct tg_str type = { NULL, 0 };
        size_t mark = api_enter_at(d, i);
        status = api_type(d, item, &type);
        if (status == TG_OK && !tg_str_eq(type, TG_STR("text")))
            status = ant_refuse_block(d, type);
        if (status == TG_OK)
            status = ant_read_text(d, item, &parts->p[parts->n++]);
        if (status)
            return status;
        api_leave(d, mark);
    }
    return TG_OK;
}

static enum tg_status read_system(struct api_read *d, const struct tg_json *v, struct reading *r)
{
    struct api_parts parts;
    size_t mark = api_enter(d, "system");
    enum tg_status status = read_texts(d, v, &parts);
    if (status)
        return status;
    api_leave(d, mark);
    bool said = false;
    for (size_t i = 0; i < parts.n; i++)
        said = said || parts.p[i].text.n;
    if (!said)
        return TG_OK;
    struct chat_message *m = add_message(r, CHAT_SYSTEM, 0);
    m->parts = parts.p;
    m->n_parts = parts.n;
    return TG_OK;
}

static enum tg_status read_result(struct api_read *d, const struct tg_json *v, size_t place,
                                  struct reading *r, struct api_parts *said)
{
    struct api_parts one;
    enum tg_status status = make_parts(d, 1, &one);
    if (status == TG_OK)
        status = ant_read_tool_result(d, v, &one.p[0], said);
    if (status)
        return status;
    size_t i = r->n_calls; /* from the newest: ids may come again in a later turn */
    while (i > 0 && !tg_str_eq(r->calls[i - 1]->id, one.p[0].id))
        i--;
    if (i == 0) {
        api_enter(d, "tool_use_id");
        return api_bad(d, "answers no tool_use block of an earlier message");
    }
    one.p[0].name = r->calls[i - 1]->name;
    struct chat_message *m = add_message(r, CHAT_TOOL, place);
    m->parts = one.p;
    m->n_parts = 1;
    return TG_OK;
}

static enum tg_status read_user_block(struct api_read *d, const struct tg_json *v, size_t place,
                                      struct reading *r, struct api_parts *said, bool *other)
{
    struct tg_str type = { NULL, 0 };
    enum tg_status status = api_type(d, v, &type);
    if (status)
        return status;
    if (tg_str_eq(type, TG_STR("tool_result"))) {
        if (*other)
            return api_bad(d, "tool_result blocks must come before all others of their message");
        return read_result(d, v, place, r, said);
    }
    *other = true;
    if (tg_str_eq(type, TG_STR("text")))
        return ant_read_text(d, v, &said->p[said->n++]);
    if (tg_str_eq(type, TG_STR("image")))
        return ant_read_image(d, v, &said->p[said->n++]);
    if (tg_str_eq(type, TG_STR("document")))
        return ant_read_document(d, v, &said->p[said->n++]);
    return ant_refuse_block(d, type);
}

/* Room for the blocks of a message and for the images inside its tool results. */
static size_t parts_of(const struct tg_json *content)
{
    size_t n = list_count(content);
    for (const struct tg_json *item = tg_json_first(content); item; item = tg_json_next(item))
        if (is_type(item, "tool_result"))
            n += list_count(tg_json_get(item, "content"));
    return n;
}

/* Tool results in front, each a message of its own; what else there is, and images that tools
 * gave, behind them: a tool's message has text only. */
static enum tg_status read_user(struct api_read *d, const struct tg_json *v, size_t place,
                                struct reading *r)
{
    struct api_parts said;
    bool other = false;
    size_t i = 0;
    enum tg_status status = make_parts(d, parts_of(v), &said);
    for (const struct tg_json *item = tg_json_first(v); item && status == TG_OK;
         item = tg_json_next(item), i++) {
        size_t mark = api_enter_at(d, i);
        status = read_user_block(d, item, place, r, &said, &other);
        if (status == TG_OK)
            api_leave(d, mark);
    }
    if (status || said.n == 0)
        return status;
    struct chat_message *m = add_message(r, CHAT_USER, place);
    m->parts = said.p;
    m->n_parts = said.n;
    return TG_OK;
}

static enum tg_status read_assistant_block(struct api_read *d, const struct tg_json *v,
                                           struct reading *r, struct api_parts *parts,
                                           struct tg_buf *thoughts)
{
    struct tg_str type = { NULL, 0 }, thought = { NULL, 0 };
    enum tg_status status = api_type(d, v, &type);
    if (status)
        return status;
    if (tg_str_eq(type, TG_STR("text")))
        return ant_read_text(d, v, &parts->p[parts->n++]);
    if (tg_str_eq(type, TG_STR("tool_use"))) {
        struct chat_part *part = &parts->p[parts->n++];
        if (r->n_calls == ANT_CALLS_MAX)
            return api_bad(d, "the request has more than %d tool calls", ANT_CALLS_MAX);
        r->calls[r->n_calls++] = part;
        return ant_read_tool_use(d, v, part);
    }
    if (!tg_str_eq(type, TG_STR("thinking")) && !tg_str_eq(type, TG_STR("redacted_thinking")))
        return ant_refuse_block(d, type);
    status = ant_read_thinking(d, v, &thought);
    if (status == TG_OK && tg_buf_add(thoughts, thought.p ? thought.p : "", thought.n))
        status = api_no_memory(d);
    return status;
}

/* One part of thinking in front, as the vocabulary has it: the blocks' texts joined. */
static enum tg_status read_assistant(struct api_read *d, const struct tg_json *v, size_t place,
                                     struct reading *r)
{
    struct api_parts parts;
    struct tg_buf thoughts;
    size_t i = 0;
    tg_buf_init(&thoughts, SIZE_MAX / 2); /* bounded by the body it came from */
    enum tg_status status = make_parts(d, list_count(v) + 1, &parts);
    parts.n = 1; /* the first one is of the thinking */
    for (const struct tg_json *item = tg_json_first(v); item && status == TG_OK;
         item = tg_json_next(item), i++) {
        size_t mark = api_enter_at(d, i);
        status = read_assistant_block(d, item, r, &parts, &thoughts);
        if (status == TG_OK)
            api_leave(d, mark);
    }
    if (status == TG_OK && thoughts.n) {
        parts.p[0].kind = CHAT_PART_REASONING;
        parts.p[0].text = tg_arena_str(d->arena, tg_buf_str(&thoughts));
        status = parts.p[0].text.p ? TG_OK : api_no_memory(d);
    }
    if (status == TG_OK) {
        struct chat_message *m = add_message(r, CHAT_ASSISTANT, place);
        m->parts = parts.p + !thoughts.n;
        m->n_parts = parts.n - !thoughts.n;
    }
    tg_buf_free(&thoughts);
    return status;
}

static enum tg_status read_content(struct api_read *d, const struct tg_json *v,
                                   enum chat_role role, size_t place, struct reading *r)
{
    if (!v)
        return api_bad(d, "is missing; a string or an array of blocks was expected");
    if (role == CHAT_SYSTEM || tg_json_is(v, TG_JSON_STRING)) {
        struct api_parts parts;
        enum tg_status status = read_texts(d, v, &parts);
        if (status)
            return status;
        struct chat_message *m = add_message(r, role, place);
        m->parts = parts.p;
        m->n_parts = parts.n;
        return TG_OK;
    }
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return api_bad(d, "a string or an array of blocks was expected, not %s",
                       tg_json_type_name(tg_json_type(v)));
    if (!tg_json_first(v))
        return api_bad(d, "must not be an empty array");
    return role == CHAT_USER ? read_user(d, v, place, r) : read_assistant(d, v, place, r);
}

static enum tg_status only_of_system(struct api_read *d, const struct tg_json *v)
{
    (void)v;
    return api_bad(d, "only messages of system have it");
}

static enum tg_status read_turn_config(struct api_read *d, const struct tg_json *v)
{
    static const struct api_field fields[] = { { "effort", ant_read_effort } };
    return api_read_object(d, v, fields, COUNT(fields));
}

static enum tg_status read_clear_at(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "never", "next_user_message" };
    size_t which;
    return api_word(d, v, words, COUNT(words), &which);
}

/* What one says for a single turn is left out once the user has said more; one that only has an
 * effort says nothing. */
static enum tg_status read_instruction(struct api_read *d, const struct tg_json *v, size_t place,
                                       struct reading *r)
{
    const struct tg_json *content = api_member(v, "content");
    const struct tg_json *effort = api_member(api_member(v, "output_config"), "effort");
    struct tg_str until = { NULL, 0 };
    bool list = tg_json_is(content, TG_JSON_ARRAY), empty = list && !tg_json_first(content);
    size_t n = r->n;
    if (effort && (!content || empty))
        return TG_OK;
    if (empty)
        return api_bad(d, "must not be an empty array");
    enum tg_status status = read_content(d, content, CHAT_SYSTEM, place, r);
    if (place < r->last_user && tg_json_string(tg_json_get(v, "clear_at"), &until) &&
        tg_str_eq(until, TG_STR("next_user_message")))
        r->n = n;
    return status;
}

static enum tg_status read_message(struct api_read *d, const struct tg_json *v, size_t place,
                                   struct reading *r)
{
    static const char *const words[] = { "user", "assistant", "system" };
    static const enum chat_role roles[] = { CHAT_USER, CHAT_ASSISTANT, CHAT_SYSTEM };
    static const struct api_field spoken[] = { { "role", api_elsewhere },
                                               { "content", api_elsewhere },
                                               { "output_config", only_of_system },
                                               { "clear_at", only_of_system } };
    static const struct api_field system[] = { { "role", api_elsewhere },
                                               { "content", api_elsewhere },
                                               { "output_config", read_turn_config },
                                               { "clear_at", read_clear_at } };
    size_t which = 0;
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    size_t mark = api_enter(d, "role");
    enum tg_status status = api_word(d, api_member(v, "role"), words, COUNT(words), &which);
    if (status)
        return status;
    api_leave(d, mark);
    status = api_read_fields(d, v, which == 2 ? system : spoken, COUNT(system));
    if (status)
        return status;
    api_enter(d, "content");
    status = which == 2 ? read_instruction(d, v, place, r)
                        : read_content(d, api_member(v, "content"), roles[which], place, r);
    if (status == TG_OK)
        api_leave(d, mark);
    return status;
}

/* 1 + the index of the last message of the user; 0: there is none. */
static size_t find_last_user(const struct tg_json *messages)
{
    size_t last = 0, place = 0;
    struct tg_str role;
    for (const struct tg_json *m = tg_json_first(messages); m; m = tg_json_next(m)) {
        place++;
        if (tg_json_string(tg_json_get(m, "role"), &role) && tg_str_eq(role, TG_STR("user")))
            last = place;
    }
    return last;
}

static enum tg_status make_lists(struct api_read *d, const struct tg_json *messages,
                                 struct reading *r)
{
    size_t calls = count_all(messages, "tool_use");
    size_t n = 1 + tg_json_count(messages) + count_all(messages, "tool_result");
    r->messages = tg_arena_alloc(d->arena, n, sizeof(*r->messages));
    r->calls = tg_arena_alloc(d->arena, calls < ANT_CALLS_MAX ? calls : ANT_CALLS_MAX,
                              sizeof(struct chat_part *));
    return r->messages && r->calls ? TG_OK : api_no_memory(d);
}

enum tg_status ant_read_messages(struct api_read *d, const struct tg_json *system,
                                 const struct tg_json *messages)
{
    struct reading r = { .last_user = find_last_user(messages) };
    size_t place = 0, mark = api_enter(d, "messages");
    if (!tg_json_is(messages, TG_JSON_ARRAY))
        return api_wrong_type(d, messages, TG_JSON_ARRAY);
    if (!tg_json_first(messages))
        return api_bad(d, "must not be empty");
    if (tg_json_count(messages) > ANT_MESSAGES_MAX)
        return api_bad(d, "has more than %d messages", ANT_MESSAGES_MAX);
    enum tg_status status = make_lists(d, messages, &r);
    api_leave(d, mark);
    if (status == TG_OK && system)
        status = read_system(d, system, &r);
    if (status)
        return status;
    api_enter(d, "messages");
    for (const struct tg_json *item = tg_json_first(messages); item; item = tg_json_next(item)) {
        size_t inside = api_enter_at(d, place++);
        status = read_message(d, item, place, &r);
        if (status)
            return status;
        if (!tg_json_next(item) && r.n && r.messages[r.n - 1].role == CHAT_ASSISTANT)
            return api_bad(d, "an answer that begins with a given text (prefill) is not supported "
                              "in this version: end with a user message");
        api_leave(d, inside);
    }
    if (r.n == 0)
        return api_bad(d, "say nothing");
    api_leave(d, mark);
    d->out->messages = r.messages;
    d->out->n_messages = r.n;
    return TG_OK;
}
