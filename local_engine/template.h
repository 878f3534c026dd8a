/* The Gemma 4 chat template, written out in C: messages to prompt tokens. Only the template writes
 * special tokens; text of messages is encoded with special parsing off. Pure, any thread.
 *
 * Source: the templates of the model files (tokenizer.chat_template), of which there are several;
 * struct le_template_style says in what they differ. Where one loses or breaks something, this one
 * does not: a parameter whose name is a schema keyword is kept, and a declaration without a type
 * still closes its braces. Numbers in JSON texts are kept as written. */
#ifndef LE_TEMPLATE_H
#define LE_TEMPLATE_H

#include "config/base/buf.h"
#include "config/base/sha256.h"
#include "config/base/status.h"
#include "config/base/str.h"
#include "local_engine/tokenizer.h"

enum {
    LE_CALLS_MAX = 1024,           /* calls of one message */
    LE_SCHEMA_BYTES_MAX = 1 << 24, /* one JSON text */
};

/* What released templates do differently. All false: that of 2026-04-10 for the large models. */
struct le_template_style {
    bool bare_prompt;    /* thinking off: no empty thought behind the generation prompt */
    bool think_inline;   /* no newline behind <|think|> */
    bool media_lines;    /* blank lines around images and videos */
    bool spaced_system;  /* a space behind each text part of the first system message */
    bool blank_is_empty; /* white space behind results is no content */
    bool result_media;   /* media of a result follow it */
    bool null_word;      /* null is null, not Python's None */
    bool all_reasoning;  /* behind the last user message thoughts stay without calls, too */
    bool joined_turns;   /* the model's messages in a row are one turn, closed once */
    bool thought_cue;    /* thinking on: results are followed by an open thought */
    bool type_lists;     /* a list of types is a list of strings */
};

/* The template of a file. */
struct le_template_info {
    struct le_template_style style;
    const char *known;               /* which release it is, or NULL: not known, or none */
    char sha256[TG_SHA256_HEX + 1];  /* of its text as in the file; "" when the file has none */
    bool old_gemma;                  /* written for Gemma 1 to 3 (<start_of_turn>) */
    bool never_thinks;               /* tollgate.thinking is false: not trained to */
};

/* Reads tokenizer.chat_template: a known one by its SHA-256 (a newline at the end more or less), an
 * unknown one by the marks of each style in its text. Without one, or with one of an older Gemma,
 * the style is the default, bare_prompt for models with per-layer embeddings (E2B, E4B). TG_INVALID
 * when the key is no string, or tollgate.thinking, a key of ours, no boolean. */
enum tg_status le_template_read(const struct le_gguf *g, struct le_template_info *out,
                                struct tg_error *err);
/* Says once in the log, as a warning, when a file's template is not a known one; path names it. */
void le_template_warn(const struct le_template_info *info, const char *path);
/* The marks of each style in a template's text. For tests. */
struct le_template_style le_template_detect(struct tg_str text);
/* SHA-256 of the known template of the default style. */
const char *le_template_default_sha256(void);

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
    struct tg_str reasoning; /* MODEL: written behind the last user message; if so, with calls */
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
    struct le_template_style style;
};

/* The prompt as text, byte-equal to the model's own template. For tests and `render`. Appended to
 * out, whose maximum bounds it. TG_INVALID (no messages, a schema that is no JSON object),
 * TG_LIMIT, TG_NOMEM. */
enum tg_status le_template_render(const struct le_chat *chat, struct tg_buf *out);
/* The prompt as ids, BOS included: literals of the template as special tokens, texts with special
 * off; equal to encoding the rendered text where no text holds a special token. Appended to out,
 * nothing on failure. As above; TG_LIMIT also when there would be more than max ids, with no more
 * work and memory than for about as many; TG_UNSUPPORTED: the vocabulary lacks a token it needs. */
enum tg_status le_template_encode(const struct le_tokenizer *t, const struct le_chat *chat,
                                  size_t max, struct le_ids *out);

/* The first special token that templates write and the vocabulary lacks, as text; NULL: none. */
const char *le_template_missing(const struct le_tokenizer *t);

#endif
