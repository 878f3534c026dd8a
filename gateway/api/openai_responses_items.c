#include <stdio.h>

#include "gateway/api/openai_responses_internal.h"

/* Items of a conversation, one by one, into messages. What the assistant said in a row (thoughts,
 * text, calls) is one message, as the vocabulary wants it. */

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static struct oai_talk *talk_of(struct api_read *d)
{
    return &((struct oai_reading *)d->dialect)->talk;
}

void *oai_room(struct api_read *d, void *p, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return p;
    size_t more = *cap ? 2 * *cap : 4;
    void *grown = tg_arena_alloc(d->arena, more, size);
    if (!grown) {
        api_no_memory(d);
        return NULL;
    }
    if (n)
        memcpy(grown, p, n * size);
    *cap = more;
    return grown;
}

static enum tg_status add_part(struct api_read *d, struct api_parts *parts,
                               struct chat_part part)
{
    struct chat_part *p = oai_room(d, parts->p, parts->n, &parts->cap, sizeof(*p));
    if (!p)
        return TG_NOMEM;
    parts->p = p;
    parts->p[parts->n++] = part;
    return TG_OK;
}

static enum tg_status append(struct api_read *d, struct chat_message message)
{
    struct oai_talk *t = talk_of(d);
    struct chat_message *m = oai_room(d, t->m, t->n, &t->cap, sizeof(*m));
    if (!m)
        return TG_NOMEM;
    t->m = m;
    message.place = t->place;
    t->m[t->n++] = message;
    return TG_OK;
}

/* The assistant's message is over, and if no more results come, so are their images. */
static enum tg_status close_message(struct api_read *d, bool result)
{
    struct oai_talk *t = talk_of(d);
    t->open = (struct api_parts){ NULL, 0, 0 };
    t->said = t->called = false;
    if (result || t->images.n == 0)
        return TG_OK;
    struct chat_message m = { .role = CHAT_USER, .parts = t->images.p, .n_parts = t->images.n };
    t->images = (struct api_parts){ NULL, 0, 0 };
    return append(d, m);
}

static enum tg_status add_message(struct api_read *d, struct chat_message m)
{
    enum tg_status status = close_message(d, m.role == CHAT_TOOL);
    return status ? status : append(d, m);
}

/* One more thing that the assistant said. Text behind text begins a new message; behind a call it
 * does not: the call's result has to follow it. */
static enum tg_status add_said(struct api_read *d, struct chat_part part)
{
    struct oai_talk *t = talk_of(d);
    bool call = part.kind == CHAT_PART_TOOL_CALL;
    enum tg_status status = TG_OK;
    if (!t->open.p || (t->said && !t->called && !call))
        status = add_message(d, (struct chat_message){ .role = CHAT_ASSISTANT });
    if (status == TG_OK)
        status = add_part(d, &t->open, part);
    if (status)
        return status;
    t->m[t->n - 1].parts = t->open.p;
    t->m[t->n - 1].n_parts = t->open.n;
    t->called = t->called || call;
    t->said = t->said || part.kind == CHAT_PART_TEXT;
    return TG_OK;
}

static enum tg_status add_plain(struct api_read *d, enum chat_role role, struct tg_str text)
{
    struct api_parts parts = { NULL, 0, 0 };
    enum tg_status status =
        add_part(d, &parts, (struct chat_part){ .kind = CHAT_PART_TEXT, .text = text });
    return status ? status
                  : add_message(d, (struct chat_message){ .role = role, .parts = parts.p,
                                                          .n_parts = 1 });
}

enum tg_status oai_add_user_text(struct api_read *d, struct tg_str text)
{
    return add_plain(d, CHAT_USER, text);
}

enum tg_status oai_add_system(struct api_read *d, struct tg_str text)
{
    return add_plain(d, CHAT_SYSTEM, text);
}

/* --- parts of content ------------------------------------------------------------------------ */

/* "X items are not supported in this version", or that there are none of that name. */
static enum tg_status refuse_type(struct api_read *d, struct tg_str type, const char *what,
                                  const char *const *known, size_t n)
{
    api_enter(d, "type");
    for (size_t i = 0; i < n; i++) {
        if (!tg_str_eq(type, tg_str_of(known[i])))
            continue;
        enum tg_status status = api_unsupported(d);
        snprintf(d->err->message, sizeof(d->err->message),
                 "%s: %s %ss are not supported in this version", d->path, known[i], what);
        return status;
    }
    return api_bad(d, "unknown %s type \"%.*s\"", what, TG_FMT(api_short(type)));
}

/* A hint: prefixes are found by their content here. */
static const struct api_field text_fields[] = {
    { "type", api_elsewhere },
    { "text", api_elsewhere },
    { "annotations", api_only_empty },
    { "logprobs", api_elsewhere }, /* of an answer of ours */
    { "prompt_cache_breakpoint", api_elsewhere },
};

static enum tg_status read_text(struct api_read *d, const struct tg_json *v,
                                struct chat_part *part)
{
    part->kind = CHAT_PART_TEXT;
    enum tg_status status = api_read_fields(d, v, text_fields, COUNT(text_fields));
    return status ? status : api_copy_member(d, v, "text", true, 0, SIZE_MAX, &part->text);
}

static enum tg_status read_image(struct api_read *d, const struct tg_json *v,
                                 struct chat_part *part)
{
    static const struct api_field fields[] = {
        { "type", api_elsewhere },
        { "image_url", api_elsewhere },
        { "detail", oai_read_detail },
        { "file_id", api_refuse },
        { "prompt_cache_breakpoint", api_elsewhere },
    };
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    return status ? status : oai_read_url(d, v, "image_url", CHAT_PART_IMAGE, d->path_n, part);
}

/* Who says it: users have text and media, the assistant what it said, the others text; a result
 * has text and images. */
enum speaker { SPEAKER_USER, SPEAKER_ASSISTANT, SPEAKER_SYSTEM, SPEAKER_TOOL };

static enum tg_status read_part(struct api_read *d, const struct tg_json *v, enum speaker who,
                                struct chat_part *part)
{
    static const char *const refused[] = { "input_file" };
    bool assistant = who == SPEAKER_ASSISTANT;
    struct tg_str type = { NULL, 0 };
    enum tg_status status = api_type(d, v, &type);
    if (status)
        return status;
    if (tg_str_eq(type, assistant ? TG_STR("output_text") : TG_STR("input_text")))
        return read_text(d, v, part);
    if (tg_str_eq(type, TG_STR("refusal")) && assistant)
        return oai_read_refusal_part(d, v, part);
    bool image = tg_str_eq(type, TG_STR("input_image"));
    bool audio = tg_str_eq(type, TG_STR("input_audio"));
    if (image && (who == SPEAKER_USER || who == SPEAKER_TOOL))
        return read_image(d, v, part);
    if (audio && who == SPEAKER_USER)
        return oai_read_audio_part(d, v, part);
    if (image || audio || tg_str_eq(type, TG_STR("input_text")) ||
        tg_str_eq(type, TG_STR("output_text"))) {
        api_enter(d, "type");
        return api_bad(d, "has no place here: the assistant has output_text, others input_text, "
                          "and only users and outputs of functions have media");
    }
    return refuse_type(d, type, "part", refused, COUNT(refused));
}

/* A string or a list of parts. */
static enum tg_status read_content(struct api_read *d, const struct tg_json *v, enum speaker who,
                                   struct api_parts *parts)
{
    enum tg_status status = TG_OK;
    if (tg_json_is(v, TG_JSON_STRING)) {
        struct chat_part part = { .kind = CHAT_PART_TEXT };
        status = api_copy(d, v, 0, SIZE_MAX, &part.text);
        return status ? status : add_part(d, parts, part);
    }
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return oai_wrong_content(d, v);
    size_t i = 0;
    for (const struct tg_json *item = tg_json_first(v); item; item = tg_json_next(item), i++) {
        struct chat_part part = { .kind = CHAT_PART_TEXT };
        size_t mark = api_enter_at(d, i);
        status = read_part(d, item, who, &part);
        if (status == TG_OK)
            status = add_part(d, parts, part);
        if (status)
            return status;
        api_leave(d, mark);
    }
    return TG_OK;
}

/* --- items ----------------------------------------------------------------------------------- */

static enum tg_status read_message(struct api_read *d, const struct tg_json *v)
{
    static const char *const roles[] = { "user", "assistant", "system", "developer" };
    static const enum chat_role role[] = { CHAT_USER, CHAT_ASSISTANT, CHAT_SYSTEM,
                                           CHAT_DEVELOPER };
    static const enum speaker who[] = { SPEAKER_USER, SPEAKER_ASSISTANT, SPEAKER_SYSTEM,
                                        SPEAKER_SYSTEM };
    static const struct api_field fields[] = {
        { "type", api_elsewhere },   { "role", api_elsewhere }, { "content", api_elsewhere },
        { "status", api_elsewhere }, { "id", api_elsewhere },   { "phase", api_elsewhere },
    };
    struct api_parts parts = { NULL, 0, 0 };
    size_t which = 0, mark = d->path_n;
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    if (status)
        return status;
    api_enter(d, "role");
    const struct tg_json *member = api_member(v, "role");
    status = member ? api_word(d, member, roles, COUNT(roles), &which)
                    : api_wrong_type(d, NULL, TG_JSON_STRING);
    if (status)
        return status;
    api_leave(d, mark);
    api_enter(d, "content");
    status = read_content(d, api_member(v, "content"), who[which], &parts);
    api_leave(d, mark);
    if (which != 1 && status == TG_OK && parts.n == 0) {
        api_enter(d, "content");
        return api_bad(d, "must not be an empty array");
    }
    if (which != 1)
        return status ? status
                      : add_message(d, (struct chat_message){ .role = role[which],
                                                              .parts = parts.p,
                                                              .n_parts = parts.n });
    bool called = talk_of(d)->called;
    for (size_t i = 0; i < parts.n && status == TG_OK; i++) {
        if (i > 0 && !called)
            talk_of(d)->said = false; /* parts of one message stay together */
        status = add_said(d, parts.p[i]);
    }
    return status;
}

/* What was thought: as sealed, else as told. */
static enum tg_status read_reasoning(struct api_read *d, const struct tg_json *v)
{
    static const struct api_field fields[] = {
        { "type", api_elsewhere },    { "id", api_elsewhere },
        { "summary", api_elsewhere }, { "content", api_elsewhere },
        { "status", api_elsewhere },  { "encrypted_content", api_elsewhere },
    };
    static const char *const keys[] = { "encrypted_content", "content", "summary" };
    struct chat_part part = { .kind = CHAT_PART_REASONING };
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    for (size_t i = 0; i < COUNT(keys) && status == TG_OK && part.text.n == 0; i++) {
        const struct tg_json *member = api_member(v, keys[i]);
        size_t mark = api_enter(d, keys[i]);
        if (member)
            status = i ? oai_read_reasoning(d, member, &part.text)
                       : oai_unseal(d, member, &part.text);
        if (status == TG_OK)
            api_leave(d, mark);
    }
    return status || part.text.n == 0 ? status : add_said(d, part);
}

/* {"type": "direct"}: not by a program of the vendor's. */
static enum tg_status read_caller(struct api_read *d, const struct tg_json *v)
{
    struct tg_str type = { NULL, 0 };
    bool known = tg_json_string(tg_json_get(v, "type"), &type);
    return known && tg_str_eq(type, TG_STR("direct")) ? TG_OK : api_unsupported(d);
}

/* The call that v tells, to which its arguments are still to come. */
static enum tg_status read_call_head(struct api_read *d, const struct tg_json *v,
                                     struct chat_part *part)
{
    struct tg_str space = { NULL, 0 }, name = { NULL, 0 };
    enum tg_status status = api_copy_member(d, v, "call_id", true, 1, OAI_ID_MAX, &part->id);
    if (status == TG_OK)
        status = api_copy_member(d, v, "namespace", false, 1, OAI_NAME_MAX, &space);
    if (status == TG_OK)
        status = api_copy_member(d, v, "name", true, 1, OAI_NAME_MAX, &name);
    if (status == TG_OK && space.n && !(api_is_name(space) && api_is_name(name))) {
        api_enter(d, api_is_name(space) ? "name" : "namespace");
        return api_bad(d, "letters, digits, _ and - were expected");
    }
    return status ? status : oai_flat_name(d, space, name, &part->name);
}

static enum tg_status add_call(struct api_read *d, struct chat_part part)
{
    struct oai_talk *t = talk_of(d);
    if (t->n_calls == OAI_CALLS_MAX)
        return api_bad(d, "the conversation has more than %d calls", OAI_CALLS_MAX);
    struct oai_talk_call *calls =
        oai_room(d, t->calls, t->n_calls, &t->cap_calls, sizeof(*calls));
    if (!calls)
        return TG_NOMEM;
    t->calls = calls;
    t->calls[t->n_calls++] = (struct oai_talk_call){ .id = part.id, .name = part.name };
    return add_said(d, part);
}

static enum tg_status read_call(struct api_read *d, const struct tg_json *v)
{
    static const struct api_field fields[] = {
        { "type", api_elsewhere },      { "id", api_elsewhere },
        { "call_id", api_elsewhere },   { "name", api_elsewhere },
        { "arguments", api_elsewhere }, { "status", api_elsewhere },
        { "caller", read_caller },      { "namespace", api_elsewhere },
    };
    struct chat_part part = { .kind = CHAT_PART_TOOL_CALL };
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    if (status == TG_OK)
        status = read_call_head(d, v, &part);
    if (status == TG_OK)
        status = api_copy_member(d, v, "arguments", true, 0, SIZE_MAX, &part.text);
    return status ? status : add_call(d, part);
}

static enum tg_status read_custom_call(struct api_read *d, const struct tg_json *v)
{
    static const struct api_field fields[] = {
        { "type", api_elsewhere },    { "id", api_elsewhere },   { "call_id", api_elsewhere },
        { "name", api_elsewhere },    { "input", api_elsewhere }, { "status", api_elsewhere },
        { "caller", read_caller },    { "namespace", api_elsewhere },
    };
    struct chat_part part = { .kind = CHAT_PART_TOOL_CALL };
    struct tg_str input = { NULL, 0 };
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    if (status == TG_OK)
        status = read_call_head(d, v, &part);
    if (status == TG_OK)
        status = api_copy_member(d, v, "input", true, 0, SIZE_MAX, &input);
    if (status == TG_OK)
        status = oai_wrap_input(d, input, &part.text);
    return status ? status : add_call(d, part);
}

/* The text of a result's parts, together; its images are left for a user's message. */
static enum tg_status join_output(struct api_read *d, const struct api_parts *parts,
                                  struct tg_str *out)
{
    size_t total = 0;
    for (size_t i = 0; i < parts->n; i++)
        total += parts->p[i].kind == CHAT_PART_TEXT ? parts->p[i].text.n : 0;
    char *at = tg_arena_alloc(d->arena, total + 1, 1);
    if (!at)
        return api_no_memory(d);
    *out = (struct tg_str){ at, total };
    for (size_t i = 0; i < parts->n; i++) {
        const struct chat_part *p = &parts->p[i];
        enum tg_status status = TG_OK;
        if (p->kind != CHAT_PART_TEXT)
            status = add_part(d, &talk_of(d)->images, *p);
        else if (p->text.n)
            at = (char *)memcpy(at, p->text.p, p->text.n) + p->text.n;
        if (status)
            return status;
    }
    return TG_OK;
}

static enum tg_status read_call_output(struct api_read *d, const struct tg_json *v)
{
    static const struct api_field fields[] = {
        { "type", api_elsewhere },   { "id", api_elsewhere },     { "call_id", api_elsewhere },
        { "output", api_elsewhere }, { "status", api_elsewhere }, { "caller", read_caller },
    };
    struct oai_talk *t = talk_of(d);
    struct api_parts parts = { NULL, 0, 0 };
    struct chat_part part = { .kind = CHAT_PART_TOOL_RESULT }, *kept = NULL;
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    if (status == TG_OK)
        status = api_copy_member(d, v, "call_id", true, 1, OAI_ID_MAX, &part.id);
    if (status)
        return status;
    size_t i = t->n_calls, mark = api_enter(d, "call_id"); /* from the newest: ids come again */
    while (i > 0 && !tg_str_eq(t->calls[i - 1].id, part.id))
        i--;
    if (i == 0)
        return api_bad(d, "No tool call found for function call output with call_id %.*s.",
                       (int)part.id.n, part.id.p);
    api_leave(d, mark);
    t->calls[i - 1].answered = true;
    part.name = t->calls[i - 1].name;
    api_enter(d, "output");
    status = read_content(d, api_member(v, "output"), SPEAKER_TOOL, &parts);
    api_leave(d, mark);
    if (status == TG_OK)
        status = join_output(d, &parts, &part.text);
    if (status == TG_OK && !(kept = tg_arena_alloc(d->arena, 1, sizeof(*kept))))
        status = api_no_memory(d);
    if (status)
        return status;
    *kept = part;
    return add_message(d, (struct chat_message){ .role = CHAT_TOOL, .parts = kept,
                                                 .n_parts = 1 });
}

/* Tools from here on; a model hears of all of them at once. */
static enum tg_status read_more_tools(struct api_read *d, const struct tg_json *v)
{
    static const char *const roles[] = { "developer" };
    static const struct api_field fields[] = { { "type", api_elsewhere },
                                               { "id", api_elsewhere },
                                               { "role", api_elsewhere },
                                               { "tools", api_elsewhere } };
    size_t which, mark = d->path_n;
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    if (status)
        return status;
    api_enter(d, "role");
    status = api_word(d, tg_json_get(v, "role"), roles, COUNT(roles), &which);
    if (status)
        return status;
    api_leave(d, mark);
    api_enter(d, "tools");
    status = oai_read_more_tools(d, tg_json_get(v, "tools"));
    if (status == TG_OK)
        api_leave(d, mark);
    return status;
}

/* --- the list -------------------------------------------------------------------------------- */

enum tg_status oai_read_item(struct api_read *d, const struct tg_json *v)
{
    static const struct api_field readers[] = {
        { "message", read_message },
        { "function_call", read_call },
        { "function_call_output", read_call_output },
        { "custom_tool_call", read_custom_call },
        { "custom_tool_call_output", read_call_output },
        { "additional_tools", read_more_tools },
        { "reasoning", read_reasoning },
    };
    static const char *const refused[] = {
        "file_search_call", "web_search_call", "computer_call", "computer_call_output",
        "image_generation_call", "code_interpreter_call", "local_shell_call",
        "local_shell_call_output", "shell_call", "shell_call_output", "apply_patch_call",
        "apply_patch_call_output", "mcp_list_tools", "mcp_approval_request",
        "mcp_approval_response", "mcp_call", "compaction", "compaction_trigger",
        "tool_search_call", "tool_search_output", "configuration_update", "program",
        "program_output",
    };
    struct oai_talk *t = talk_of(d);
    struct tg_str type = TG_STR("message");
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    if (++t->n_items > OAI_ITEMS_MAX)
        return api_bad(d, "the conversation has more than %d items", OAI_ITEMS_MAX);
    const struct tg_json *member = api_member(v, "type");
    if (member && !tg_json_string(member, &type)) {
        api_enter(d, "type");
        return api_wrong_type(d, member, TG_JSON_STRING);
    }
    for (size_t i = 0; i < COUNT(readers); i++)
        if (tg_str_eq(type, tg_str_of(readers[i].name)))
            return readers[i].read(d, v);
    return refuse_type(d, type, "item", refused, COUNT(refused));
}

enum tg_status oai_end_items(struct api_read *d)
{
    struct oai_talk *t = talk_of(d);
    for (size_t i = 0; i < t->n_calls; i++)
        if (!t->calls[i].answered)
            return api_bad(d, "No tool output found for function call %.*s.",
                           (int)t->calls[i].id.n, t->calls[i].id.p);
    enum tg_status status = close_message(d, false);
    d->out->messages = t->m;
    d->out->n_messages = t->n;
    return status;
}
