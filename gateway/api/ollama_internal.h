/* What the files of the Ollama dialect share. */
#ifndef GATEWAY_API_OLLAMA_INTERNAL_H
#define GATEWAY_API_OLLAMA_INTERNAL_H

#include "gateway/api/ollama.h"
#include "gateway/api/read.h"

enum {
    OLL_MESSAGES_MAX = 4096,
    OLL_CALLS_MAX = 2048, /* tool calls in all messages together */
    OLL_TOOLS_MAX = 512,
    OLL_ID_MAX = 256,     /* bytes of a tool call's id */
    OLL_NAME_MAX = 64,    /* bytes of a function's name */
    OLL_TOKENS_MAX = 1048576, /* largest num_predict */
};

/* chat_request.own of one that asks nothing but that the model be unloaded. */
#define OLL_UNLOAD "unload"

/* In ollama_decode.c. */
enum tg_status oll_chat_decode(struct tg_str body, struct tg_arena *arena,
                               struct chat_request *out, struct api_error *err);
enum tg_status oll_generate_decode(struct tg_str body, struct tg_arena *arena,
                                   struct chat_request *out, struct api_error *err);
/* Root, fields and the model's name, which must be there; *root is for tg_json_free whatever comes.
 * The request is a stream unless a field says otherwise. */
enum tg_status oll_read_all(struct api_read *d, struct tg_str body, struct tg_json **root,
                            const struct api_field *fields, size_t n);
/* For tables. */
enum tg_status oll_read_model(struct api_read *d, const struct tg_json *v);
enum tg_status oll_read_keep_alive(struct api_read *d, const struct tg_json *v); /* a hint */
/* A model's name with what it is without ":latest" in *bare. */
enum tg_status oll_read_name(struct api_read *d, const struct tg_json *v, struct tg_str *said,
                             struct tg_str *bare);
/* Accepts an empty string or list, refuses others as not supported. */
enum tg_status oll_only_empty(struct api_read *d, const struct tg_json *v);

/* ollama_options.c: the member "options". */
enum tg_status oll_read_options(struct api_read *d, const struct tg_json *v);

/* ollama_messages.c */
enum tg_status oll_read_messages(struct api_read *d, const struct tg_json *v);
/* A list of images in base64 into parts[0 ..]; there must be room for all. */
enum tg_status oll_read_images(struct api_read *d, const struct tg_json *v,
                               struct chat_part *parts, size_t *n);

/* ollama_encode.c: RFC 3339 with milliseconds, as a JSON string. */
void oll_add_time(int64_t ms, struct tg_buf *out);
/* ,"name":n; nothing where it is not known. */
void oll_add_span(const char *name, int64_t ns, struct tg_buf *out);
void oll_add_count(const char *name, struct chat_count c, struct tg_buf *out);

#endif
