/* What the files of the OpenAI decoder share. */
#ifndef GATEWAY_API_OPENAI_INTERNAL_H
#define GATEWAY_API_OPENAI_INTERNAL_H

#include "gateway/api/openai_chat.h"
#include "gateway/api/read.h"

enum {
    OAI_MESSAGES_MAX = 4096,
    OAI_CALLS_MAX = 2048, /* tool calls in all messages together */
    OAI_TOOLS_MAX = 128,
    OAI_ID_MAX = 256,          /* bytes of a tool call's id */
    OAI_NAME_MAX = 64,         /* bytes of a tool's, function's or participant's name */
    OAI_USER_MAX = 512,
    OAI_TOKENS_MAX = 1048576,  /* largest max_tokens */
};

/* oai_chat.decode, in openai_decode.c. */
enum tg_status oai_chat_decode(struct tg_str body, struct tg_arena *arena,
                               struct chat_request *out, struct api_error *err);

/* openai_fields.c: readers for the tables of more than one endpoint. */
enum tg_status oai_read_stream_options(struct api_read *d, const struct tg_json *v);
enum tg_status oai_read_seed(struct api_read *d, const struct tg_json *v);
enum tg_status oai_read_max_tokens(struct api_read *d, const struct tg_json *v);
enum tg_status oai_read_user(struct api_read *d, const struct tg_json *v);
enum tg_status oai_read_safety_identifier(struct api_read *d, const struct tg_json *v);
enum tg_status oai_read_n(struct api_read *d, const struct tg_json *v); /* 1, or refused by name */
/* A request of an endpoint: the table of its members; what no single one can know (or NULL); and
 * the member that is read last, since errors of the others are cheaper: its reader gets NULL where
 * it is absent. */
struct oai_form {
    const struct api_field *fields;
    size_t n;
    enum tg_status (*check)(struct api_read *d, const struct tg_json *root);
    const char *last;
    enum tg_status (*read_last)(struct api_read *d, const struct tg_json *v);
};
/* api_dialect.decode by a form. */
enum tg_status oai_read_form(const struct oai_form *form, struct tg_str body,
                             struct tg_arena *arena, struct chat_request *out,
                             struct api_error *err);
/* Refuses stream_options of what is no stream. */
enum tg_status oai_check_stream_options(struct api_read *d, const struct tg_json *root);

/* openai_encode.c: what answers of more than one endpoint have. */
/* An object's opening brace and its first members, id to model. */
void oai_add_identity(const struct api_answer *a, const char *object, struct tg_buf *out);
/* ,"usage":{...}; unknown counts are left out, never printed as 0, and without both sides there is
 * no usage. */
void oai_add_usage(const struct chat_usage *u, struct tg_buf *out);
/* Usage is wanted in a stream, and known. */
bool oai_tells_usage(const struct api_answer *a, const struct chat_usage *u);
/* The last event of a stream, with the note in front of it. */
enum tg_status oai_add_done(struct tg_str note, struct tg_buf *out);
/* api_dialect.failed: an error as an event. */
enum tg_status oai_failed_print(const struct api_answer *a, struct api_stream *s,
                                const struct api_error *e, struct tg_str note, struct tg_buf *out);

/* openai_decode.c: readers for tables, of fields that both of this vendor's dialects have. */
enum tg_status oai_read_effort(struct api_read *d, const struct tg_json *v);
enum tg_status oai_read_service_tier(struct api_read *d, const struct tg_json *v);
enum tg_status oai_read_verbosity(struct api_read *d, const struct tg_json *v);
enum tg_status oai_read_cache_key(struct api_read *d, const struct tg_json *v);
enum tg_status oai_read_parallel(struct api_read *d, const struct tg_json *v);
enum tg_status oai_read_schema_name(struct api_read *d, const struct tg_json *v);
enum tg_status oai_read_schema_description(struct api_read *d, const struct tg_json *v);
enum tg_status oai_read_schema_strict(struct api_read *d, const struct tg_json *v);
/* Behind those four: the name must be there, a schema that is not is any object. */
enum tg_status oai_check_schema(struct api_read *d);

enum tg_status oai_read_messages(struct api_read *d, const struct tg_json *v);
/* openai_tools.c: chat's tools, and the choice among them. */
enum tg_status oai_read_tools(struct api_read *d, const struct tg_json *v);
enum tg_status oai_read_tool(struct api_read *d, const struct tg_json *v, struct chat_tool *tool);
enum tg_status oai_read_choice(struct api_read *d, const struct tg_json *v);
enum tg_status oai_settle_chat_choice(struct api_read *d, const struct tg_json *root);
/* A function by its name, as a dialect of this vendor writes it in a choice; an empty one: it is
 * passed over, as it can never be called. */
typedef enum tg_status (*oai_name_reader)(struct api_read *d, const struct tg_json *v,
                                          struct tg_str *out);
/* Behind tools and tool_choice of root, which the choice's reader has looked at: leaves no tools
 * for "none", and of those of allowed_tools the ones that are listed; then checks that choice and
 * tools fit. inside: the member of the choice that has mode and tools; NULL: they are its own. */
enum tg_status oai_settle_choice(struct api_read *d, const struct tg_json *root,
                                 const char *inside, oai_name_reader read);
/* name, description, parameters and strict of an object whose members are checked. */
enum tg_status oai_read_function(struct api_read *d, const struct tg_json *v,
                                 struct chat_tool *tool);

/* openai_parts.c: the parts of one message. */
/* Detail of an image, for tables: its word is checked. */
enum tg_status oai_read_detail(struct api_read *d, const struct tg_json *v);
/* An image or video by v's member key, a URL, with v's detail; at: end of the part's own path. */
enum tg_status oai_read_url(struct api_read *d, const struct tg_json *v, const char *key,
                            enum chat_part_kind kind, size_t at, struct chat_part *part);
/* input_audio: base64 and the word of its format; the path stands at the part. */
enum tg_status oai_read_audio_part(struct api_read *d, const struct tg_json *v,
                                   struct chat_part *part);
/* The error for a content that is neither a string nor a list; v NULL: it is missing. */
enum tg_status oai_wrong_content(struct api_read *d, const struct tg_json *v);
/* {"type": "refusal", ...} of an assistant: text, as backends have no word for it. */
enum tg_status oai_read_refusal_part(struct api_read *d, const struct tg_json *v,
                                     struct chat_part *part);
/* Content of a message: a string, or an array of parts; users have media, assistants refusals. */
enum tg_status oai_read_content(struct api_read *d, const struct tg_json *v, enum chat_role role,
                                struct api_parts *parts);
/* Joined text of a content that may be text only. */
enum tg_status oai_join_text(struct api_read *d, const struct tg_json *v, struct tg_str *out);
/* reasoning_content or reasoning: a string, or an array of strings or text objects. */
enum tg_status oai_read_reasoning(struct api_read *d, const struct tg_json *v,
                                  struct tg_str *out);

#endif
