/* The reply parser: token ids of an answer in, typed deltas out. Driven by ids, never by text, so
 * that its output does not depend on how tokens arrive. A delta never ends inside a UTF-8 sequence.
 * One thread at a time. */
#ifndef LE_REPLY_H
#define LE_REPLY_H

#include "config/base/buf.h"
#include "local_engine/tokenizer.h"

enum le_delta_kind {
    LE_DELTA_CONTENT,
    LE_DELTA_REASONING,
    LE_DELTA_CALL, /* a whole tool call: name and arguments (JSON text) */
};

struct le_delta {
    enum le_delta_kind kind;
    struct tg_str text;      /* content or reasoning; the call's name */
    struct tg_str arguments; /* LE_DELTA_CALL */
};

/* What a token was, for masking confidence (DESIGN.md section 5). */
enum le_token_class {
    LE_TOKEN_CONTENT,
    LE_TOKEN_SPACE,     /* content, white space only */
    LE_TOKEN_CONTROL,   /* special tokens, channel names */
    LE_TOKEN_REASONING,
    LE_TOKEN_CALL_SYNTAX,
    LE_TOKEN_CALL_VALUE,
};

struct le_reply; /* opaque */

/* in_thought: the prompt ended inside an open thought. NULL when out of memory. */
struct le_reply *le_reply_new(const struct le_tokenizer *t, bool in_thought);
void le_reply_free(struct le_reply *r);
/* Feeds one id. Deltas that became certain are given to sink at once, borrowed for the call.
 * *cls (may be NULL): what the token was. TG_INVALID (no such id; nothing else happens), TG_NOMEM,
 * TG_LIMIT (a call above 1 MiB: it is dropped up to its end and counted, feeding may go on).
 *
 * What is shown is valid UTF-8 without U+0000 (U+FFFD instead), never the text of a special token.
 * A stray <channel|> or <|"|> is dropped, an unknown channel's text is content, a call inside a
 * thought ends the thought. Text behind a call that was given is dropped; behind calls that could
 * not be read it stays content, as the answer may lie there. Nothing is given after a token that
 * ends the answer. Names of calls are not compared with the tools that were declared, and all calls
 * are given, however many were wanted: both are the caller's to judge. */
enum tg_status le_reply_feed(struct le_reply *r, int32_t id, enum le_token_class *cls,
                             void (*sink)(void *arg, const struct le_delta *delta), void *arg);
/* The end of the answer: gives out what was held back; an unfinished call is given if only its
 * closing token is missing. */
enum tg_status le_reply_end(struct le_reply *r,
                            void (*sink)(void *arg, const struct le_delta *delta), void *arg);
/* Calls so far that could neither be read nor repaired: the answer then lacks them. */
size_t le_reply_bad_calls(const struct le_reply *r);

#endif
