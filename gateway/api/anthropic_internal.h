/* What the files of the Anthropic dialect share. */
#ifndef GATEWAY_API_ANTHROPIC_INTERNAL_H
#define GATEWAY_API_ANTHROPIC_INTERNAL_H

#include "gateway/api/anthropic.h"
#include "gateway/api/read.h"

enum {
    ANT_MESSAGES_MAX = 4096,
    ANT_CALLS_MAX = 2048, /* tool calls in all messages together */
    ANT_TOOLS_MAX = 512,
    ANT_ID_MAX = 256,    /* bytes of a tool call's id */
    ANT_NAME_MAX = 128,  /* bytes of a tool's name */
    ANT_USER_MAX = 512,
    ANT_USER_PLAIN = 64, /* such an id goes on as it is, if it is like a name */
    ANT_TOKENS_MAX = 1048576, /* largest max_tokens */
    ANT_OVERLOADED = 529, /* the status of an overloaded_error */
    ANT_BUDGET_MIN = 1024,    /* least budget_tokens, as documented */
};

/* api_error.code of a request that wants its conversation held here: errors have it in details. */
#define ANT_NO_THREADS "thread_unsupported_request"

/* anthropic_decode.c: the decode functions of ant_messages and ant_count. */
enum tg_status ant_messages_decode(struct tg_str body, struct tg_arena *arena,
                                   struct chat_request *out, struct api_error *err);
enum tg_status ant_count_decode(struct tg_str body, struct tg_arena *arena,
                                struct chat_request *out, struct api_error *err);

/* output_config.effort, of a request or a message: a hint. */
enum tg_status ant_read_effort(struct api_read *d, const struct tg_json *v);

/* anthropic_messages.c: system (NULL: none) and messages, in the vocabulary's order. */
enum tg_status ant_read_messages(struct api_read *d, const struct tg_json *system,
                                 const struct tg_json *messages);

/* anthropic_tools.c */
enum tg_status ant_read_tools(struct api_read *d, const struct tg_json *v);
enum tg_status ant_read_choice(struct api_read *d, const struct tg_json *v);

/* anthropic_blocks.c: one content block. The path is at the block. */
/* "document blocks are not supported in this version", or that the type is unknown, or that such a
 * block has no place where the path is. */
enum tg_status ant_refuse_block(struct api_read *d, struct tg_str type);
enum tg_status ant_read_text(struct api_read *d, const struct tg_json *v, struct chat_part *part);
/* anthropic_media.c: an image by base64 or URL. */
enum tg_status ant_read_image(struct api_read *d, const struct tg_json *v, struct chat_part *part);
/* A document of text, as a part of text: title and context as lines in front. PDFs, and what is
 * only a URL or an id, are refused. */
enum tg_status ant_read_document(struct api_read *d, const struct tg_json *v,
                                 struct chat_part *part);
enum tg_status ant_read_tool_use(struct api_read *d, const struct tg_json *v,
                                 struct chat_part *part);
/* Result into part, its text blocks joined; its images are added to images. The part's name is
 * left to the caller. */
enum tg_status ant_read_tool_result(struct api_read *d, const struct tg_json *v,
                                    struct chat_part *part, struct api_parts *images);
/* Text of a thinking block; of a redacted one, which nobody here can read, nothing. */
enum tg_status ant_read_thinking(struct api_read *d, const struct tg_json *v,
                                 struct tg_str *out);

#endif
