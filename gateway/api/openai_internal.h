/* What the files of the OpenAI decoder share. */
#ifndef GATEWAY_API_OPENAI_INTERNAL_H
#define GATEWAY_API_OPENAI_INTERNAL_H

#include "config/base/json.h"
#include "gateway/api/openai_chat.h"

enum {
    OAI_MESSAGES_MAX = 4096,
    OAI_CALLS_MAX = 2048, /* tool calls in all messages together */
    OAI_TOOLS_MAX = 128,
    OAI_MODEL_MAX = 256,       /* bytes */
    OAI_ID_MAX = 256,          /* bytes of a tool call's id */
    OAI_NAME_MAX = 64,         /* bytes of a tool's, function's or participant's name */
    OAI_STOP_MAX = 256,        /* bytes of one stop string */
    OAI_USER_MAX = 512,
    OAI_TOKENS_MAX = 1048576,  /* largest max_tokens */
};

/* One decoding: where it stands (path) and what it fills. */
struct oai_decode {
    struct tg_arena *arena;
    struct chat_request *out;
    struct oai_error *err;
    char path[128]; /* JSON path of the value at hand; cut when deeper */
    size_t path_n;
};

/* Appends ".key" or "[i]" to the path; the return value is given to oai_leave afterwards. */
size_t oai_enter(struct oai_decode *d, const char *key);
size_t oai_enter_at(struct oai_decode *d, size_t i);
void oai_leave(struct oai_decode *d, size_t mark);

/* Fills the error for the value at the path: 400. Always TG_INVALID. */
enum tg_status oai_bad(struct oai_decode *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* "X is not supported in this version", X being the path: 400. Always TG_UNSUPPORTED. */
enum tg_status oai_unsupported(struct oai_decode *d);
/* Out of memory or above the arena's maximum: 503. Always TG_NOMEM. */
enum tg_status oai_no_memory(struct oai_decode *d);
/* "an object was expected, not a string" and so on. v may be NULL: "is missing". */
enum tg_status oai_wrong_type(struct oai_decode *d, const struct tg_json *v,
                              enum tg_json_type wanted);

/* Member that is neither absent nor null; else NULL. */
const struct tg_json *oai_member(const struct tg_json *object, const char *key);
/* Copies a string of min to max bytes into the arena. */
enum tg_status oai_copy(struct oai_decode *d, const struct tg_json *v, size_t min, size_t max,
                        struct tg_str *out);
/* The same for a member; with required false an absent one leaves *out alone. */
enum tg_status oai_copy_member(struct oai_decode *d, const struct tg_json *object,
                               const char *key, bool required, size_t min, size_t max,
                               struct tg_str *out);

/* A field of an object: read it, refuse it, or accept it unread. */
struct oai_field {
    const char *name;
    /* v is not null. Called with the path at the field. */
    enum tg_status (*read)(struct oai_decode *d, const struct tg_json *v);
};
/* Calls the reader of every member that is not null; an unknown one is refused by name. */
enum tg_status oai_read_fields(struct oai_decode *d, const struct tg_json *object,
                               const struct oai_field *fields, size_t n);
/* Readers for tables. */
enum tg_status oai_refuse(struct oai_decode *d, const struct tg_json *v);
enum tg_status oai_elsewhere(struct oai_decode *d, const struct tg_json *v);
/* Accepts an empty array or object, refuses others as not supported. */
enum tg_status oai_only_empty(struct oai_decode *d, const struct tg_json *v);

enum tg_status oai_read_messages(struct oai_decode *d, const struct tg_json *v);
enum tg_status oai_read_tools(struct oai_decode *d, const struct tg_json *v);

/* openai_parts.c: the parts of one message. */
struct oai_parts {
    struct chat_part *p;
    size_t n, cap;
};
/* Content of a message: a string, or an array of parts; media only when the role may carry them. */
enum tg_status oai_read_content(struct oai_decode *d, const struct tg_json *v, bool media,
                                struct oai_parts *parts);
/* Joined text of a content that may be text only. */
enum tg_status oai_join_text(struct oai_decode *d, const struct tg_json *v, struct tg_str *out);
/* reasoning_content or reasoning: a string, or an array of strings or text objects. */
enum tg_status oai_read_reasoning(struct oai_decode *d, const struct tg_json *v,
                                  struct tg_str *out);

#endif
