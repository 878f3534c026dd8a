/* One tool call in Gemma's own syntax, as bytes: call:NAME{key:value,...}. For the reply files. */
#ifndef LE_REPLY_CALL_H
#define LE_REPLY_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "config/base/buf.h"

enum {
    LE_CALL_MAX = 1 << 20,     /* bytes of a call as the model wrote it */
    LE_CALL_DEPTH_MAX = 64,    /* objects and arrays inside each other */
    LE_CALL_NAME_MAX = 256,    /* bytes of a name */
    LE_CALL_KEYS_MAX = 4096,   /* keys of all objects that are open at once */
    LE_CALL_QUOTE = 0xFF,      /* stands for the token <|"|>; no byte of UTF-8 is 0xFF */
};

/* Which part of a call the next byte belongs to, for confidence masks. Follows the bytes as they
 * come; malformed calls only make the classes less exact. */
struct le_call_lexer {
    uint64_t is_object; /* one bit per open level */
    uint32_t depth;
    bool in_string, in_value;
};

/* True when the byte is part of a value: inside a string value, or of a bare one. */
bool le_call_lex(struct le_call_lexer *l, unsigned char c);

/* Parses text (where LE_CALL_QUOTE stands for the quote token). closed: the model ended the call
 * itself, so that missing brackets may be supplied; otherwise the call must be complete. name and
 * arguments (JSON object text) are appended. TG_INVALID: no usable call; TG_LIMIT, TG_NOMEM.
 *
 * Repaired on the way: keys and strings in ", ' or ` quotes, bare words as strings, trailing
 * commas, None/True/False, brackets missing at the end. A repeated key is refused. */
enum tg_status le_call_parse(struct tg_str text, bool closed, struct tg_buf *name,
                             struct tg_buf *arguments);

#endif
