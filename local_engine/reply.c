#include "local_engine/reply.h"

#include "config/base/alloc.h"
#include "local_engine/reply_call.h"

/* Where the next bytes go. Special tokens move between states, bytes only out of the short-lived
 * ones: NAME -> SPACE or back, SPACE -> REASONING, TURN -> CONTENT. */
enum state {
    CONTENT,
    NAME,      /* behind <|channel>: matching "thought" */
    SPACE,     /* behind "thought": white space before the first word */
    REASONING,
    CALL,
    TURN,      /* behind a <|turn> that should not be there: its role, up to the newline */
    LOST,      /* in a call that is too large: dropped up to its end */
    AFTER,     /* behind a call that was given: text is dropped */
    DONE,      /* behind a token that ends the answer */
};

enum { TURN_ROLE_MAX = 16, TEXT_MAX = 1 << 24 };

typedef void (*sink_fn)(void *arg, const struct le_delta *delta);

struct le_reply {
    const struct le_tokenizer *t;
    enum state state, plain; /* plain: CONTENT, or AFTER once a call was given */
    enum state outside;      /* where a channel that is no thought sends its text */
    size_t matched;          /* bytes of "thought", or of a stray turn's role */
    enum le_delta_kind kind; /* of text */
    struct le_decoder decoder;
    struct tg_buf text; /* decoded, not given out yet */
    struct tg_buf call, name, arguments;
    struct le_call_lexer lexer;
    size_t n_bad_calls;
    enum le_token_class cls; /* of the token being fed */
};

static const char k_thought[] = "thought";

struct le_reply *le_reply_new(const struct le_tokenizer *t, bool in_thought)
{
    struct le_reply *r = tg_calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->t = t;
    r->plain = r->outside = CONTENT;
    r->state = in_thought ? SPACE : CONTENT;
    tg_buf_init(&r->text, TEXT_MAX);
    tg_buf_init(&r->call, LE_CALL_MAX);
    tg_buf_init(&r->name, LE_CALL_NAME_MAX);
    tg_buf_init(&r->arguments, 6 * LE_CALL_MAX);
    return r;
}

void le_reply_free(struct le_reply *r)
{
    if (!r)
        return;
    tg_buf_free(&r->text);
    tg_buf_free(&r->call);
    tg_buf_free(&r->name);
    tg_buf_free(&r->arguments);
    tg_free(r);
}

size_t le_reply_bad_calls(const struct le_reply *r)
{
    return r->n_bad_calls;
}

/* Gives out what is whole; all: also the beginning of a character that will not be finished. */
static enum tg_status flush(struct le_reply *r, bool all, sink_fn sink, void *arg)
{
    if (all)
        le_decoder_end(&r->decoder, &r->text);
    if (r->text.failed)
        return r->text.failed;
    struct le_delta delta = { .kind = r->kind, .text = tg_buf_str(&r->text) };
    if (delta.text.n)
        sink(arg, &delta);
    tg_buf_reset(&r->text);
    return TG_OK;
}

/* All text of one token goes to one kind: kinds change at special tokens only, and those flush.
 * U+0000 is told as an invalid byte is: much that reads text ends there. */
static void put(struct le_reply *r, enum le_delta_kind kind, const char *p, size_t n)
{
    r->kind = kind;
    for (size_t i = 0; i < n; i++)
        le_decoder_bytes(&r->decoder, (struct tg_str){ p[i] ? p + i : "\xFF", 1 }, &r->text);
}

static bool is_space(unsigned char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void put_outside(struct le_reply *r, const char *p, size_t n)
{
    r->state = r->outside;
    if (r->state == AFTER)
        return;
    put(r, r->state == REASONING ? LE_DELTA_REASONING : LE_DELTA_CONTENT, p, n);
    r->cls = r->state == REASONING ? LE_TOKEN_REASONING : LE_TOKEN_CONTENT;
}

/* Behind <|channel>: the word opens a thought; anything else is text, and the token is dropped. */
static void feed_name(struct le_reply *r, char c)
{
    if (c != k_thought[r->matched]) {
        put_outside(r, k_thought, r->matched);
        if (r->state != AFTER)
            put(r, r->kind, &c, 1);
    } else if (++r->matched == sizeof(k_thought) - 1) {
        r->state = SPACE;
    }
}

static void feed_byte(struct le_reply *r, char c)
{
    if (r->state == SPACE && !is_space((unsigned char)c))
        r->state = REASONING;
    switch (r->state) {
    case REASONING:
        put(r, LE_DELTA_REASONING, &c, 1);
        r->cls = LE_TOKEN_REASONING;
        return;
    case CONTENT:
        put(r, LE_DELTA_CONTENT, &c, 1);
        if (!is_space((unsigned char)c))
            r->cls = LE_TOKEN_CONTENT;
        else if (r->cls != LE_TOKEN_CONTENT)
            r->cls = LE_TOKEN_SPACE;
        return;
    case NAME:
        feed_name(r, c);
        return;
    case CALL:
        if ((unsigned char)c == LE_CALL_QUOTE || c == '\0')
            c = (char)0xFE; /* as invalid as before, but no marker */
        if (le_call_lex(&r->lexer, (unsigned char)c))
            r->cls = LE_TOKEN_CALL_VALUE;
        else if (r->cls != LE_TOKEN_CALL_VALUE)
            r->cls = LE_TOKEN_CALL_SYNTAX;
        tg_buf_addc(&r->call, c);
        return;
    case TURN:
        if (c == '\n' || ++r->matched > TURN_ROLE_MAX)
            r->state = r->plain;
        return;
    case SPACE:
    case LOST:
    case AFTER:
    case DONE:
        return;
    }
}

/* The end of a call, by its token or by whatever else cut it off. */
static enum tg_status end_call(struct le_reply *r, bool closed, sink_fn sink, void *arg)
{
    r->state = r->plain;
    tg_buf_reset(&r->name);
    tg_buf_reset(&r->arguments);
    enum tg_status status =
        le_call_parse(tg_buf_str(&r->call), closed, &r->name, &r->arguments);
    tg_buf_reset(&r->call);
    if (status == TG_NOMEM)
        return status;
    if (status) {
        r->n_bad_calls++;
        return TG_OK;
    }
    r->state = r->plain = AFTER;
    struct le_delta delta = { LE_DELTA_CALL, tg_buf_str(&r->name), tg_buf_str(&r->arguments) };
    sink(arg, &delta);
    return TG_OK;
}

/* What ends with any special token: text that waits, a half-matched channel name, a call. */
static enum tg_status end_pending(struct le_reply *r, bool closed, sink_fn sink, void *arg)
{
    if (r->state == NAME)
        put_outside(r, k_thought, r->matched);
    enum tg_status status = flush(r, true, sink, arg);
    if (!status && r->state == CALL)
        status = end_call(r, closed, sink, arg);
    return status;
}

static enum tg_status feed_special(struct le_reply *r, int32_t id, sink_fn sink, void *arg)
{
    const struct le_special_ids *special = le_tokenizer_special(r->t);
    if (r->state == CALL && id == special->quote) {
        le_call_lex(&r->lexer, LE_CALL_QUOTE);
        r->cls = LE_TOKEN_CALL_SYNTAX;
        return tg_buf_addc(&r->call, (char)LE_CALL_QUOTE);
    }
    bool ends = le_tokenizer_is_end(r->t, id), opens = id == special->call_open;
    bool inside = r->state == CALL || r->state == LOST;
    if (inside && !ends && !opens && id != special->call_close)
        return TG_OK; /* a stray token inside a call is dropped */
    if (r->state == LOST)
        r->state = r->plain;
    enum tg_status status = end_pending(r, id == special->call_close, sink, arg);
    if (status)
        return status;
    if (ends) {
        r->state = DONE;
    } else if (opens) {
        r->state = CALL;
        r->lexer = (struct le_call_lexer){ 0 };
    } else if (id == special->channel_open) {
        r->outside = r->state == REASONING || r->state == SPACE ? REASONING : r->plain;
        r->state = NAME;
        r->matched = 0;
    } else if (id == special->channel_close) {
        r->state = r->plain;
    } else if (id == special->turn_open) {
        r->state = TURN;
        r->matched = 0;
    }
    return TG_OK;
}

enum tg_status le_reply_feed(struct le_reply *r, int32_t id, enum le_token_class *cls,
                             void (*sink)(void *arg, const struct le_delta *delta), void *arg)
{
    enum tg_status status = TG_OK;
    r->cls = LE_TOKEN_CONTROL;
    if (id < 0 || (uint32_t)id >= le_tokenizer_n(r->t)) {
        status = TG_INVALID;
    } else if (r->state == DONE) {
        status = TG_OK;
    } else if (le_tokenizer_is_control(r->t, id)) {
        status = feed_special(r, id, sink, arg);
    } else {
        struct tg_str piece = le_tokenizer_piece(r->t, id);
        for (size_t i = 0; i < piece.n; i++)
            feed_byte(r, piece.p[i]);
        status = flush(r, false, sink, arg);
    }
    if (r->call.failed) {
        status = r->call.failed;
        r->n_bad_calls++;
        tg_buf_reset(&r->call);
        r->state = LOST;
    }
    if (cls)
        *cls = r->cls;
    return status;
}

enum tg_status le_reply_end(struct le_reply *r,
                            void (*sink)(void *arg, const struct le_delta *delta), void *arg)
{
    enum tg_status status = end_pending(r, false, sink, arg);
    r->state = DONE;
    return status;
}
