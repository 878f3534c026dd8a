/* The Gemma 4 chat template, written out in C: messages to prompt tokens. Only the template writes
 * special tokens; text of messages is encoded with special parsing off. Pure, any thread.
 *
 * Source: the template of the model files (tokenizer.chat_template). Where it loses or breaks
 * something, this one does not: a parameter whose name is a schema keyword is kept, and a
 * declaration without a type still closes its braces. Numbers in JSON texts are kept as written. */
#ifndef LE_TEMPLATE_H
#define LE_TEMPLATE_H

#include "config/base/buf.h"
#include "config/base/status.h"
#include "config/base/str.h"
#include "local_engine/tokenizer.h"

enum {
    LE_CALLS_MAX = 1024,           /* calls of one message */
    LE_SCHEMA_BYTES_MAX = 1 << 24, /* one JSON text */
};

enum le_role { LE_ROLE_SYSTEM, LE_ROLE_USER, LE_ROLE_MODEL, LE_ROLE_TOOL };

enum le_part_kind { LE_PART_TEXT, LE_PART_IMAGE, LE_PART_AUDIO, LE_PART_VIDEO };

struct le_part {
    enum le_part_kind kind;
    struct tg_str text; /* LE_PART_TEXT; the others become one placeholder token each */
};

struct le_call {
    struct tg_str id, name;
    struct tg_str arguments; /* JSON object text; anything else is put in as it is */
};

/* Texts are borrowed for the call. Fields that a role does not name are ignored. */
struct le_message {
    enum le_role role; /* developer is system */
    struct tg_str text;
    const struct le_part *parts; /* all roles: instead of text when n_parts > 0 */
    size_t n_parts;
    struct tg_str reasoning; /* MODEL: written only with calls, behind the last user message */
    const struct le_call *calls; /* MODEL */
    size_t n_calls;
    struct tg_str call_id, name; /* TOOL: which call it answers (by id, else name, else order) */
};

struct le_tool {
    struct tg_str name, description;
    struct tg_str parameters; /* JSON schema (an object), or empty */
    struct tg_str response;   /* the same of the result; usually empty */
};

struct le_chat {
    const struct le_message *messages;
    size_t n;
    bool thinking;
    bool add_generation_prompt; /* adds nothing behind calls and results: the turn goes on */
    const struct le_tool *tools;
    size_t n_tools;
};

/* The prompt as text, byte-equal to the model's own template. For tests and `render`. Appended to
 * out. TG_INVALID (no messages, a schema that is no JSON object), TG_LIMIT, TG_NOMEM. */
enum tg_status le_template_render(const struct le_chat *chat, struct tg_buf *out);
/* The prompt as ids, BOS included: literals of the template as special tokens, texts with special
 * off; equal to encoding the rendered text where no text holds a special token. Appended to out,
 * nothing on failure. As above, and TG_UNSUPPORTED: the vocabulary lacks a token it needs. */
enum tg_status le_template_encode(const struct le_tokenizer *t, const struct le_chat *chat,
                                  struct le_ids *out);

#endif
