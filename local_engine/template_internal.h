/* What the template's files share; nobody else includes it. */
#ifndef LE_TEMPLATE_INTERNAL_H
#define LE_TEMPLATE_INTERNAL_H

#include "config/base/arena.h"
#include "local_engine/template.h"

/* Special tokens that the template writes. */
enum le_mark {
    LE_MARK_BOS,
    LE_MARK_TURN,
    LE_MARK_TURN_END,
    LE_MARK_CHANNEL,
    LE_MARK_CHANNEL_END,
    LE_MARK_THINK,
    LE_MARK_TOOL,
    LE_MARK_TOOL_END,
    LE_MARK_CALL,
    LE_MARK_CALL_END,
    LE_MARK_RESPONSE,
    LE_MARK_RESPONSE_END,
    LE_MARK_QUOTE,
    LE_MARK_IMAGE,
    LE_MARK_AUDIO,
    LE_MARK_VIDEO,
};

/* Where the prompt goes: to text, or to ids. Text between two marks is encoded in one piece, as an
 * encoder of the whole rendering would see it. */
struct le_writer {
    struct tg_buf *text; /* rendering: the output; encoding: text since the last mark */
    const struct le_tokenizer *t; /* NULL: rendering */
    struct le_ids *ids;
    size_t ids_max; /* what ids->n may become */
    enum tg_status status; /* sticky */
    struct le_template_style style;
};

void le_write_mark(struct le_writer *w, enum le_mark mark);
void le_write_text(struct le_writer *w, struct tg_str s);
void le_write_literal(struct le_writer *w, const char *s);
/* <|"|>s<|"|> */
void le_write_quoted(struct le_writer *w, struct tg_str s);
/* Encodes what is left. */
void le_write_end(struct le_writer *w);

/* JSON, as a list of children per value; in an arena. */
enum le_json_kind {
    LE_JSON_NULL,
    LE_JSON_TRUE,
    LE_JSON_FALSE,
    LE_JSON_NUMBER,
    LE_JSON_STRING,
    LE_JSON_ARRAY,
    LE_JSON_OBJECT,
};

struct le_json {
    enum le_json_kind kind;
    struct tg_str text; /* NUMBER as written, STRING unescaped */
    struct tg_str key;  /* of a member */
    struct le_json *first, *next;
    size_t n; /* children */
};

/* TG_INVALID when text is no JSON or deeper than 64. *out lives as long as the arena; strings
 * without escapes are borrowed from text. */
enum tg_status le_json_read(struct tg_arena *a, struct tg_str text, struct le_json **out);
/* Accept NULL for v. */
const struct le_json *le_json_get(const struct le_json *v, const char *key);
bool le_json_is(const struct le_json *v, enum le_json_kind kind);
/* As Jinja sees it: false for absent, null, false, 0, "", [] and {}. */
bool le_json_truthy(const struct le_json *v);
/* Members in order of their keys, ASCII case folded, equal ones as they came; a NULL ends them.
 * NULL when out of memory. */
const struct le_json **le_json_sorted(struct tg_arena *a, const struct le_json *object);

/* The arguments of a call without their braces, from JSON text. */
void le_write_arguments(struct le_writer *w, struct tg_str json);
/* declaration:NAME{...} */
void le_write_declaration(struct le_writer *w, const struct le_tool *tool);

#endif
