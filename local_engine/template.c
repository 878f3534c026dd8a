#include "local_engine/template.h"

#include "config/base/utf8.h"
#include "local_engine/template_internal.h"

/* What the last thing written was, as far as the generation prompt depends on it. */
enum last { LAST_OTHER, LAST_CALL, LAST_RESPONSE };

struct state {
    struct le_writer *w;
    const struct le_chat *chat;
    struct le_template_style style;
    size_t first;     /* messages before it are in the system turn */
    size_t last_user; /* index + 1 of the last user message, 0: none */
    enum last last;
    bool after_model; /* the message before this one, tools aside, is the model's */
};

/* Unicode white space, as Python's str.strip() has it. */
static bool is_white(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

static struct tg_str trim(struct tg_str s)
{
    uint32_t rune;
    size_t width;
    while ((width = tg_utf8_decode(s.p, s.n, &rune)) && is_white(rune)) {
        s.p += width;
        s.n -= width;
    }
    for (;;) {
        size_t back = 1;
        while (back < 4 && back < s.n && ((unsigned char)s.p[s.n - back] & 0xC0) == 0x80)
            back++;
        if (back > s.n || tg_utf8_decode(s.p + s.n - back, back, &rune) != back || !is_white(rune))
            return s;
        s.n -= back;
    }
}

static size_t find(struct tg_str s, struct tg_str needle)
{
    const char *p = s.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
    return p ? (size_t)(p - s.p) : s.n;
}

/* Text of an earlier answer without its thoughts: of each stretch that ends at <channel|> (or at
 * the end), what precedes its first <|channel>; the whole trimmed. */
static bool write_stripped(struct le_writer *w, struct tg_str text)
{
    static const struct tg_str open = { "<|channel>", 10 }, close = { "<channel|>", 10 };
    struct tg_buf kept;
    tg_buf_init(&kept, text.n);
    while (text.n) {
        size_t end = find(text, close);
        struct tg_str part = { text.p, end };
        tg_buf_add(&kept, part.p, find(part, open));
        if (end == text.n)
            break;
        text.p += end + close.n;
        text.n -= end + close.n;
    }
    if (kept.failed && !w->status)
        w->status = kept.failed;
    struct tg_str left = trim(tg_buf_str(&kept));
    le_write_text(w, left);
    tg_buf_free(&kept);
    return left.n > 0;
}

/* True when anything but white space was written. */
static bool write_text_of(struct le_writer *w, enum le_role role, struct tg_str text)
{
    if (role == LE_ROLE_MODEL)
        return write_stripped(w, text);
    text = trim(text);
    le_write_text(w, text);
    return text.n > 0;
}

static void write_medium(struct state *s, enum le_part_kind kind)
{
    static const enum le_mark marks[] = {
        [LE_PART_IMAGE] = LE_MARK_IMAGE,
        [LE_PART_AUDIO] = LE_MARK_AUDIO,
        [LE_PART_VIDEO] = LE_MARK_VIDEO,
    };
    bool lines = s->style.media_lines && kind != LE_PART_AUDIO;
    le_write_literal(s->w, lines ? "\n\n" : "");
    le_write_mark(s->w, marks[kind]);
    le_write_literal(s->w, lines ? "\n\n" : "");
}

/* True when there was more than white space. spaced: see le_template_style.spaced_system. */
static bool write_content(struct state *s, const struct le_message *m, bool spaced)
{
    bool some = m->n_parts == 0 && write_text_of(s->w, m->role, m->text);
    for (size_t i = 0; i < m->n_parts; i++) {
        if (m->parts[i].kind != LE_PART_TEXT) {
            write_medium(s, m->parts[i].kind);
            some = true;
            if (!s->style.joined_turns) /* those templates forget calls and results over it */
                s->last = LAST_OTHER;
            continue;
        }
        some = write_text_of(s->w, m->role, m->parts[i].text) || some;
        le_write_literal(s->w, spaced ? " " : "");
    }
    return some;
}

static void open_turn(struct le_writer *w, const char *role)
{
    le_write_mark(w, LE_MARK_TURN);
    le_write_literal(w, role);
    le_write_literal(w, "\n");
}

static void close_turn(struct le_writer *w)
{
    le_write_mark(w, LE_MARK_TURN_END);
    le_write_literal(w, "\n");
}

static void write_system_turn(struct state *s)
{
    const struct le_chat *chat = s->chat;
    bool told = chat->messages[0].role == LE_ROLE_SYSTEM;
    if (!told && !chat->thinking && chat->n_tools == 0)
        return;
    open_turn(s->w, "system");
    if (chat->thinking) {
        le_write_mark(s->w, LE_MARK_THINK);
        le_write_literal(s->w, s->style.think_inline ? "" : "\n");
    }
    if (told) {
        write_content(s, &chat->messages[0], s->style.spaced_system);
        s->first = 1;
    }
    for (size_t i = 0; i < chat->n_tools; i++) {
        le_write_mark(s->w, LE_MARK_TOOL);
        le_write_declaration(s->w, &chat->tools[i]);
        le_write_mark(s->w, LE_MARK_TOOL_END);
    }
    close_turn(s->w);
}

/* The name of the call that a result answers; nth: its place among the results. */
static struct tg_str name_of_result(const struct le_message *model, const struct le_message *result,
                                    size_t nth)
{
    struct tg_str name = result->name;
    if (name.n == 0)
        name = result->call_id.n == 0 && nth < model->n_calls ? model->calls[nth].name
                                                              : TG_STR("unknown");
    for (size_t i = 0; i < model->n_calls && result->call_id.n; i++)
        if (tg_str_eq(model->calls[i].id, result->call_id))
            name = model->calls[i].name;
    return name;
}

static void write_result(struct state *s, struct tg_str name, const struct le_message *result)
{
    struct le_writer *w = s->w;
    le_write_mark(w, LE_MARK_RESPONSE);
    le_write_literal(w, "response:");
    le_write_text(w, name);
    le_write_literal(w, "{value:");
    le_write_mark(w, LE_MARK_QUOTE);
    if (result->n_parts == 0)
        le_write_text(w, result->text);
    for (size_t i = 0; i < result->n_parts; i++)
        if (result->parts[i].kind == LE_PART_TEXT)
            le_write_text(w, result->parts[i].text);
    le_write_mark(w, LE_MARK_QUOTE);
    le_write_literal(w, "}");
    le_write_mark(w, LE_MARK_RESPONSE_END);
    for (size_t i = 0; i < result->n_parts && s->style.result_media; i++)
        if (result->parts[i].kind != LE_PART_TEXT)
            write_medium(s, result->parts[i].kind);
}

static void write_reasoning(struct state *s, size_t i)
{
    const struct le_message *m = &s->chat->messages[i];
    if (m->reasoning.n == 0 || i + 1 <= s->last_user || (!m->n_calls && !s->style.all_reasoning))
        return;
    le_write_mark(s->w, LE_MARK_CHANNEL);
    le_write_literal(s->w, "thought\n");
    le_write_text(s->w, m->reasoning);
    le_write_literal(s->w, "\n");
    le_write_mark(s->w, LE_MARK_CHANNEL_END);
}

/* The calls of message i and the results that follow it. True when there was a result. */
static bool write_calls(struct state *s, size_t i)
{
    const struct le_message *m = &s->chat->messages[i];
    for (size_t k = 0; k < m->n_calls; k++) {
        le_write_mark(s->w, LE_MARK_CALL);
        le_write_literal(s->w, "call:");
        le_write_text(s->w, m->calls[k].name);
        le_write_literal(s->w, "{");
        le_write_arguments(s->w, m->calls[k].arguments);
        le_write_literal(s->w, "}");
        le_write_mark(s->w, LE_MARK_CALL_END);
    }
    s->last = LAST_CALL;
    size_t n = 0;
    for (size_t k = i + 1; k < s->chat->n && s->chat->messages[k].role == LE_ROLE_TOOL; k++, n++)
        write_result(s, name_of_result(m, &s->chat->messages[k], n), &s->chat->messages[k]);
    if (n)
        s->last = LAST_RESPONSE;
    return n > 0;
}

/* The next message that is no result, or NULL. */
static const struct le_message *next_of(const struct le_chat *chat, size_t i)
{
    for (i++; i < chat->n; i++)
        if (chat->messages[i].role != LE_ROLE_TOOL)
            return &chat->messages[i];
    return NULL;
}

/* What ends message i. A call without a result ends in the mark that the model stopped at; a turn
 * with results and nothing behind them stays open. */
static void end_message(struct state *s, size_t i, bool answered, bool content)
{
    const struct le_message *m = &s->chat->messages[i], *next = next_of(s->chat, i);
    bool joined = s->style.joined_turns;
    if (s->last == LAST_CALL)
        le_write_mark(s->w, LE_MARK_RESPONSE);
    else if (joined && m->role == LE_ROLE_MODEL && next && next->role == LE_ROLE_MODEL &&
             (m->n_calls == 0 || answered))
        return;
    else if (!answered || content || (joined && next))
        close_turn(s->w);
}

static void write_message(struct state *s, size_t i)
{
    static const char *const names[] = { "system", "user", "model" };
    const struct le_message *m = &s->chat->messages[i];
    bool model = m->role == LE_ROLE_MODEL, answered = false;
    s->last = LAST_OTHER;
    if (!model || !s->after_model)
        open_turn(s->w, names[m->role]);
    s->after_model = model;
    if (model)
        write_reasoning(s, i);
    if (model && m->n_calls)
        answered = write_calls(s, i);
    bool some = write_content(s, m, false);
    end_message(s, i, answered, s->style.blank_is_empty ? some : m->n_parts || m->text.n);
}

static enum tg_status check(const struct le_chat *chat)
{
    if (chat->n == 0)
        return TG_INVALID;
    for (size_t i = 0; i < chat->n; i++) {
        const struct le_message *m = &chat->messages[i];
        if ((unsigned)m->role > LE_ROLE_TOOL)
            return TG_INVALID;
        if (m->role == LE_ROLE_MODEL && m->n_calls > LE_CALLS_MAX)
            return TG_LIMIT;
        for (size_t k = 0; k < m->n_parts; k++)
            if ((unsigned)m->parts[k].kind > LE_PART_VIDEO)
                return TG_INVALID;
    }
    return TG_OK;
}

/* Nothing behind calls: their results are to come. Behind results the turn goes on. */
static void write_generation_prompt(struct state *s)
{
    bool thinking = s->chat->thinking;
    if (s->last == LAST_OTHER)
        open_turn(s->w, "model");
    bool empty = s->last == LAST_OTHER && !thinking && !s->style.bare_prompt;
    if (empty || (s->last == LAST_RESPONSE && thinking && s->style.thought_cue)) {
        le_write_mark(s->w, LE_MARK_CHANNEL);
        le_write_literal(s->w, "thought\n");
    }
    if (empty)
        le_write_mark(s->w, LE_MARK_CHANNEL_END);
}

static void write_chat(struct le_writer *w, const struct le_chat *chat)
{
    struct state s = { .w = w, .chat = chat, .style = chat->style };
    w->style = chat->style;
    if ((w->status = check(chat)))
        return;
    le_write_mark(w, LE_MARK_BOS);
    write_system_turn(&s);
    for (size_t i = s.first; i < chat->n; i++)
        if (chat->messages[i].role == LE_ROLE_USER)
            s.last_user = i + 1;
    for (size_t i = s.first; i < chat->n && !w->status; i++)
        if (chat->messages[i].role != LE_ROLE_TOOL)
            write_message(&s, i);
    if (chat->add_generation_prompt)
        write_generation_prompt(&s);
    le_write_end(w);
}

enum tg_status le_template_render(const struct le_chat *chat, struct tg_buf *out)
{
    struct le_writer w = { .text = out };
    write_chat(&w, chat);
    return w.status;
}

enum tg_status le_template_encode(const struct le_tokenizer *t, const struct le_chat *chat,
                                  size_t max, struct le_ids *out)
{
    struct tg_buf text;
    size_t n_before = out->n, longest = le_tokenizer_longest(t);
    struct le_writer w = { .text = &text, .t = t, .ids = out, .ids_max = n_before + max };
    if (w.ids_max < max)
        w.ids_max = SIZE_MAX;
    /* tokenising takes tens of times its text: one that must become too many ids is not begun */
    tg_buf_init(&text, max < INT32_MAX / longest ? max * longest : INT32_MAX);
    write_chat(&w, chat);
    if (w.status)
        out->n = n_before;
    tg_buf_free(&text);
    return w.status;
}
