#include "local_engine/template_internal.h"
#include "local_engine/tokenizer_internal.h"

#define MARK(text, member)                                                                         \
    {                                                                                              \
        text, offsetof(struct le_special_ids, member)                                              \
    }

static const struct {
    const char *text;
    size_t member; /* offset in struct le_special_ids */
} k_marks[] = {
    [LE_MARK_BOS] = MARK("<bos>", bos),
    [LE_MARK_TURN] = MARK("<|turn>", turn_open),
    [LE_MARK_TURN_END] = MARK("<turn|>", turn_close),
    [LE_MARK_CHANNEL] = MARK("<|channel>", channel_open),
    [LE_MARK_CHANNEL_END] = MARK("<channel|>", channel_close),
    [LE_MARK_THINK] = MARK("<|think|>", think),
    [LE_MARK_TOOL] = MARK("<|tool>", tool_open),
    [LE_MARK_TOOL_END] = MARK("<tool|>", tool_close),
    [LE_MARK_CALL] = MARK("<|tool_call>", call_open),
    [LE_MARK_CALL_END] = MARK("<tool_call|>", call_close),
    [LE_MARK_RESPONSE] = MARK("<|tool_response>", response_open),
    [LE_MARK_RESPONSE_END] = MARK("<tool_response|>", response_close),
    [LE_MARK_QUOTE] = MARK("<|\"|>", quote),
    [LE_MARK_IMAGE] = MARK("<|image|>", image),
    [LE_MARK_AUDIO] = MARK("<|audio|>", audio),
    [LE_MARK_VIDEO] = MARK("<|video|>", video),
};

static int32_t id_of(const struct le_tokenizer *t, enum le_mark mark)
{
    int32_t id;
    const char *ids = (const char *)le_tokenizer_special(t);
    memcpy(&id, ids + k_marks[mark].member, sizeof(id));
    return id;
}

const char *le_template_missing(const struct le_tokenizer *t)
{
    for (size_t i = 0; i < sizeof(k_marks) / sizeof(*k_marks); i++)
        if (id_of(t, (enum le_mark)i) < 0)
            return k_marks[i].text;
    return NULL;
}

static void note(struct le_writer *w, enum tg_status status)
{
    if (!w->status)
        w->status = status;
}

static void check_limit(struct le_writer *w)
{
    if (w->ids->n > w->ids_max)
        note(w, TG_LIMIT);
}

void le_write_end(struct le_writer *w)
{
    if (w->status || !w->t || w->text->n == 0)
        return;
    note(w, le_tokenizer_encode(w->t, tg_buf_str(w->text), false, w->ids));
    tg_buf_reset(w->text);
    check_limit(w);
}

void le_write_mark(struct le_writer *w, enum le_mark mark)
{
    if (w->status)
        return;
    if (!w->t) {
        note(w, tg_buf_adds(w->text, k_marks[mark].text));
        return;
    }
    le_write_end(w);
    int32_t id = id_of(w->t, mark);
    if (!w->status)
        note(w, id < 0 ? TG_UNSUPPORTED : le_ids_add(w->ids, id));
    check_limit(w);
}

void le_write_text(struct le_writer *w, struct tg_str s)
{
    if (!w->status && s.n)
        note(w, tg_buf_add(w->text, s.p, s.n));
}

void le_write_literal(struct le_writer *w, const char *s)
{
    le_write_text(w, tg_str_of(s));
}

void le_write_quoted(struct le_writer *w, struct tg_str s)
{
    le_write_mark(w, LE_MARK_QUOTE);
    le_write_text(w, s);
    le_write_mark(w, LE_MARK_QUOTE);
}
