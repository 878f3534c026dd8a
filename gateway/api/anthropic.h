/* The Anthropic dialect of messages, token counts and models. Pure. */
#ifndef GATEWAY_API_ANTHROPIC_H
#define GATEWAY_API_ANTHROPIC_H

#include "gateway/api/dialect.h"

/* Messages. Tool results become messages of their own, in front of what else their message says;
 * the thinking of a message becomes one part. Documented fields and blocks that this version does
 * not honour are refused by name, unknown ones too (README.md has the list). */
extern const struct api_dialect ant_messages;
/* Token counting: the same request without what only an answer needs. */
extern const struct api_dialect ant_count;

/* {"type":"error","error":{"type","message"},"request_id"}; the type follows from the status. */
enum tg_status ant_error_print(const struct api_error *err, struct tg_buf *out);

/* One page of GET /v1/models: n names; more: there are others behind them. */
enum tg_status ant_models_print(const char *const *names, size_t n, int64_t created_s, bool more,
                                struct tg_buf *out);
/* GET /v1/models/{id} */
enum tg_status ant_model_print(const char *name, int64_t created_s, struct tg_buf *out);

#endif
