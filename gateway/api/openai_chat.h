/* The OpenAI chat-completions dialect: JSON to chat_request, chat_events to JSON or SSE. Pure. */
#ifndef GATEWAY_API_OPENAI_CHAT_H
#define GATEWAY_API_OPENAI_CHAT_H

#include "gateway/api/dialect.h"

/* Fields that the API documents and this version does not honour are refused by name (n > 1,
 * audio, logit_bias, ...); unknown fields too. A tool result's part carries the name of the
 * function that was called. A usage chunk ends a stream whose client asked for it, if both its
 * sides are known. */
extern const struct api_dialect oai_chat;

/* {"error": {"message", "type", "param", "code"}} */
enum tg_status oai_error_print(const struct api_error *err, struct tg_buf *out);

/* GET /v1/models/{id} */
enum tg_status oai_model_print(const char *name, int64_t created_s, struct tg_buf *out);
/* GET /v1/models: one entry per name. */
enum tg_status oai_models_print(const char *const *names, size_t n, int64_t created_s,
                                struct tg_buf *out);

#endif
