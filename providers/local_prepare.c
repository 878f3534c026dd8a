#include <stdio.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "local_engine/engine.h"
#include "providers/local_internal.h"

static const char *lacking(enum chat_part_kind kind)
{
    switch (kind) {
    case CHAT_PART_IMAGE:
        return "images";
    case CHAT_PART_AUDIO:
        return "audio";
    case CHAT_PART_VIDEO:
        return "video";
    case CHAT_PART_TOOL_CALL:
    case CHAT_PART_TOOL_RESULT:
    case CHAT_PART_TEXT:
    case CHAT_PART_REASONING:
        break;
    }
    return NULL;
}

/* Where the client wrote it. */
static size_t place_of(size_t place, size_t index)
{
    return place ? place - 1 : index;
}

/* Whether results at index at stand behind the message with their calls: the template writes only
 * those, so that others would be lost. */
static bool follows_calls(const struct chat_request *r, size_t at)
{
    while (at > 0 && r->messages[at].role == CHAT_TOOL)
        at--;
    const struct chat_message *m = &r->messages[at];
    for (size_t i = 0; i < m->n_parts && m->role == CHAT_ASSISTANT; i++)
        if (m->parts[i].kind == CHAT_PART_TOOL_CALL)
            return true;
    return false;
}

static enum tg_status check_message(const struct chat_request *r, size_t at, struct tg_error *err)
{
    const struct chat_message *m = &r->messages[at];
    size_t place = place_of(m->place, at);
    if (m->role == CHAT_TOOL && !follows_calls(r, at))
        return tg_fail(err, TG_UNSUPPORTED,
                       "messages[%zu].role: the local model takes a tool message only directly "
                       "behind the message with the call that it answers",
                       place);
    size_t calls = 0;
    for (size_t i = 0; i < m->n_parts; i++) {
        calls += m->parts[i].kind == CHAT_PART_TOOL_CALL;
        if (calls > LE_CALLS_MAX)
            return tg_fail(err, TG_UNSUPPORTED,
                           "messages[%zu].tool_calls: the local model takes at most %d calls in a "
                           "message",
                           place, LE_CALLS_MAX);
        if (lacking(m->parts[i].kind))
            return tg_fail(err, TG_UNSUPPORTED, "%.*s: the local model of this version takes no %s",
                           TG_FMT(m->parts[i].media->field), lacking(m->parts[i].kind));
    }
    return TG_OK;
}

/* What is asked of the answer, beyond what it may hold. */
static enum tg_status check_manner(const struct chat_request *r, struct tg_error *err)
{
    const struct chat_sampling *s = &r->sampling;
    bool presence = s->has_presence && (s->presence < 0 || s->presence > 0);
    bool frequency = s->has_frequency && (s->frequency < 0 || s->frequency > 0);
    if (r->verbosity.n)
        return tg_fail(err, TG_UNSUPPORTED,
                       "verbosity: the local model has one; leave it out, or ask for \"medium\"");
    if (r->top_logprobs)
        return tg_fail(err, TG_UNSUPPORTED,
                       "top_logprobs: the local model of this version tells the token that was "
                       "chosen alone");
    if (presence || frequency)
        return tg_fail(err, TG_UNSUPPORTED, "%s: the local model of this version applies none",
                       presence ? "presence_penalty" : "frequency_penalty");
    return TG_OK;
}

static enum tg_status check_tool(const struct chat_tool *tool, size_t at, struct tg_error *err)
{
    char place[32];
    snprintf(place, sizeof(place), "tools[%zu]", at);
    struct tg_str field = tool->field.n ? tool->field : tg_str_of(place);
    if (tool->strict)
        return tg_fail(err, TG_UNSUPPORTED,
                       "%.*s.function.strict: the local model of this version cannot be held to a "
                       "schema", TG_FMT(field));
    if (tool->parameters.n > LE_SCHEMA_BYTES_MAX)
        return tg_fail(err, TG_UNSUPPORTED,
                       "%.*s.function.parameters: the local model takes at most %d bytes",
                       TG_FMT(field), LE_SCHEMA_BYTES_MAX);
    return TG_OK;
}

static enum tg_status check_request(const struct chat_request *r, struct tg_error *err)
{
    if (r->n_inputs)
        return tg_fail(err, TG_UNSUPPORTED,
                       "input: the local model of this version makes no embeddings");
    for (size_t i = 0; i < r->n_messages; i++) {
        enum tg_status status = check_message(r, i, err);
        if (status)
            return status;
    }
    for (size_t i = 0; i < r->n_tools; i++) {
        enum tg_status status = check_tool(&r->tools[i], i, err);
        if (status)
            return status;
    }
    if (r->format != CHAT_FORMAT_TEXT)
        return tg_fail(err, TG_UNSUPPORTED,
                       "response_format: the local model of this version is not held to a "
                       "format");
    if (r->n_tools && r->tool_choice != CHAT_CHOICE_AUTO)
        return tg_fail(err, TG_UNSUPPORTED,
                       "tool_choice: the local model of this version is not made to call a "
                       "tool");
    if (r->n_tools && r->one_call)
        return tg_fail(err, TG_UNSUPPORTED,
                       "parallel_tool_calls: the local model of this version cannot be held to one "
                       "call");
    return check_manner(r, err);
}

/* A text alone is a string to the template, several are parts: it tells the two apart. */
static void make_text(struct le_part *parts, size_t n, struct le_message *out)
{
    if (n == 1) {
        out->text = parts[0].text;
    } else {
        out->parts = parts;
        out->n_parts = n;
    }
}

static bool make_message(struct tg_arena *arena, const struct chat_message *m,
                         struct le_message *out)
{
    static const enum le_role roles[] = {
        [CHAT_SYSTEM] = LE_ROLE_SYSTEM,     [CHAT_DEVELOPER] = LE_ROLE_SYSTEM,
        [CHAT_USER] = LE_ROLE_USER,         [CHAT_ASSISTANT] = LE_ROLE_MODEL,
        [CHAT_TOOL] = LE_ROLE_TOOL,
    };
    struct le_part *parts = tg_arena_alloc(arena, m->n_parts, sizeof(*parts));
    struct le_call *calls = tg_arena_alloc(arena, m->n_parts, sizeof(*calls));
    size_t n = 0;
    if (!parts || !calls)
        return false;
    out->role = roles[m->role];
    out->calls = calls;
    for (size_t i = 0; i < m->n_parts; i++) {
        const struct chat_part *part = &m->parts[i];
        if (part->kind == CHAT_PART_TOOL_CALL) {
            calls[out->n_calls++] = (struct le_call){ part->id, part->name, part->text };
        } else if (part->kind == CHAT_PART_REASONING) {
            out->reasoning = part->text; /* decoders give one part at most */
        } else {
            parts[n++] = (struct le_part){ LE_PART_TEXT, part->text };
        }
        if (part->kind == CHAT_PART_TOOL_RESULT) {
            out->call_id = part->id;
            out->name = part->name;
        }
    }
    make_text(parts, n, out);
    return true;
}

/* Puts what is remembered where a client left it out. Behind the last user message: the template
 * drops it elsewhere. A request that repeats ids gets no more than there is. *n: bytes put in. */
static bool recall(struct prov_memory *memory, struct tg_arena *arena, const struct chat_request *r,
                   struct le_message *messages, size_t *n)
{
    int64_t now = tg_mono_ns();
    size_t left = PROV_MEMORY_BYTES, at = r->n_messages;
    while (at > 0 && r->messages[at - 1].role != CHAT_USER)
        at--;
    for (; at < r->n_messages; at++) {
        struct le_message *m = &messages[at];
        bool wanted = m->role == LE_ROLE_MODEL && m->reasoning.n == 0;
        for (size_t i = 0; i < m->n_calls && wanted && m->reasoning.n == 0; i++)
            if (prov_memory_find(memory, m->calls[i].id, now, left, arena, &m->reasoning))
                return false;
        left -= wanted ? m->reasoning.n : 0;
    }
    *n = PROV_MEMORY_BYTES - left;
    return true;
}

/* memory: NULL: nothing is recalled. *recalled: bytes of the prompt that r does not have. */
static bool make_chat(struct tg_arena *arena, const struct le_engine *engine,
                      struct prov_memory *memory, const struct chat_request *r,
                      struct le_chat *out, size_t *recalled)
{
    struct le_message *messages = tg_arena_alloc(arena, r->n_messages, sizeof(*messages));
    struct le_tool *tools = tg_arena_alloc(arena, r->n_tools, sizeof(*tools));
    if (!messages || !tools)
        return false;
    for (size_t i = 0; i < r->n_messages; i++)
        if (!make_message(arena, &r->messages[i], &messages[i]))
            return false;
    *recalled = 0;
    if (memory && !recall(memory, arena, r, messages, recalled))
        return false;
    for (size_t i = 0; i < r->n_tools; i++)
        tools[i] = (struct le_tool){ .name = r->tools[i].name,
                                     .description = r->tools[i].description,
                                     .parameters = r->tools[i].parameters };
    const struct le_template_info *template = le_engine_template(engine);
    *out = (struct le_chat){ .messages = messages,
                             .n = r->n_messages,
                             .thinking = r->thinking && !template->never_thinks,
                             .add_generation_prompt = true,
                             .tools = tools,
                             .n_tools = r->n_tools,
                             .style = template->style };
    return true;
}

/* how: "", or what of a number that stands for more. */
static enum tg_status too_long(const struct le_engine *engine, const char *how, size_t tokens,
                               struct chat_overflow *overflow, struct tg_error *err)
{
    *overflow = (struct chat_overflow){ .is = true, .at_least = *how != '\0',
                                        .tokens = tokens, .context = le_engine_context(engine) };
    return tg_fail(err, TG_LIMIT,
                   "messages: the prompt has %s%zu tokens, tools included; the local model's "
                   "context holds %u and needs one for the answer",
                   how, tokens, (unsigned)overflow->context);
}

/* Of what has so many bytes and more, nobody asks for the tokens. */
static enum tg_status too_much(struct tg_error *err)
{
    return tg_fail(err, TG_LIMIT, "messages: more than %d bytes of text are not counted",
                   PROV_COUNT_BYTES_MAX);
}

static enum tg_status encode(const struct le_engine *engine, const struct le_chat *chat,
                             bool counting, int32_t **ids, uint32_t *n,
                             struct chat_overflow *overflow, struct tg_error *err)
{
    struct le_ids out = { 0 };
    uint32_t context = le_engine_context(engine);
    const struct le_tokenizer *t = le_engine_tokenizer(engine);
    /* A prompt that is too long is told by its tokens up to there. */
    size_t max = counting ? 2 * (size_t)PROV_COUNT_BYTES_MAX : 2 * (size_t)context;
    enum tg_status status = le_template_encode(t, chat, max, &out);
    if (status == TG_LIMIT && counting)
        too_much(err);
    else if (status == TG_LIMIT)
        too_long(engine, "at least ", max + 1, overflow, err);
    else if (status == TG_UNSUPPORTED && le_template_missing(t))
        tg_fail(err, status, "the prompt cannot be tokenised: the local model's vocabulary has no "
                "token %s", le_template_missing(t));
    else if (status)
        tg_fail(err, status, "the prompt cannot be tokenised: %s", tg_status_name(status));
    else if (out.n >= context && !counting)
        status = too_long(engine, "", out.n, overflow, err);
    if (status) {
        le_ids_free(&out);
        return status;
    }
    *ids = out.id;
    *n = (uint32_t)out.n;
    return TG_OK;
}

/* Bytes of text that the template keeps whatever it trims. (What it keeps of a schema shows when it
 * is written, which ends where the prompt gets too long.) */
static size_t kept_bytes(const struct chat_request *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_tools; i++)
        n += r->tools[i].name.n + r->tools[i].description.n;
    for (size_t i = 0; i < r->n_messages; i++)
        for (size_t k = 0; k < r->messages[i].n_parts; k++)
            if (r->messages[i].role != CHAT_ASSISTANT)
                n += tg_str_trim(r->messages[i].parts[k].text).n;
    return n;
}

/* Tokenising takes tens of times its text in memory: a text that cannot fit however long its tokens
 * are is refused by its length. */
static enum tg_status check_length(const struct le_engine *engine, const struct chat_request *r,
                                   bool counting, struct chat_overflow *overflow,
                                   struct tg_error *err)
{
    if (counting)
        return chat_request_bytes(r) > PROV_COUNT_BYTES_MAX ? too_much(err) : TG_OK;
    size_t bytes = kept_bytes(r), longest = le_tokenizer_longest(le_engine_tokenizer(engine));
    if (bytes / longest < le_engine_context(engine))
        return TG_OK;
    return too_long(engine, "at least ", bytes / longest, overflow, err);
}

enum tg_status prov_local_render(const struct le_engine *engine, struct prov_memory *memory,
                                 const struct chat_request *r, bool counting, int32_t **ids,
                                 uint32_t *n, struct chat_overflow *overflow,
                                 struct tg_error *err)
{
    struct le_chat chat;
    size_t recalled;
    *ids = NULL;
    *n = 0;
    *overflow = (struct chat_overflow){ 0 };
    enum tg_status status = check_request(r, err);
    if (status == TG_OK)
        status = check_length(engine, r, counting, overflow, err);
    if (status)
        return status;
    size_t parts = 0;
    for (size_t i = 0; i < r->n_messages; i++)
        parts += r->messages[i].n_parts;
    /* each message has three lists and a thought, each of which may be rounded up to 16 bytes */
    size_t size = r->n_messages * (sizeof(struct le_message) + 64) +
                  parts * (sizeof(struct le_part) + sizeof(struct le_call)) +
                  r->n_tools * sizeof(struct le_tool) + 64;
    struct tg_arena *arena = tg_arena_new(2 * size + PROV_MEMORY_BYTES);
    if (!arena || !make_chat(arena, engine, memory, r, &chat, &recalled)) {
        status = tg_fail(err, TG_NOMEM, "out of memory");
    } else {
        status = encode(engine, &chat, counting, ids, n, overflow, err);
        if (status == TG_LIMIT && recalled) { /* by what the client did not send: not refused */
            *overflow = (struct chat_overflow){ 0 };
            status = make_chat(arena, engine, NULL, r, &chat, &recalled)
                         ? encode(engine, &chat, counting, ids, n, overflow, err)
                         : tg_fail(err, TG_NOMEM, "out of memory");
        }
    }
    tg_arena_free(arena);
    return status;
}
