/* Tokens and their logprobs as JSON, for the dialects that tell them. Pure. */
#ifndef GATEWAY_API_LOGPROBS_H
#define GATEWAY_API_LOGPROBS_H

#include "config/base/buf.h"
#include "providers/chat.h"

/* As much below as clients take for "very unlikely", where there is no number. */
#define API_LOGPROB_LEAST (-9999.0)

/* [{"token", "logprob", "bytes", "top_logprobs"}, ...], the last one also where it is empty if
 * always is set. What is no UTF-8 in a token is U+FFFD: its bytes tell. */
void api_add_logprobs(struct tg_buf *out, const struct chat_logprobs *l, bool always);
/* The same without the brackets around it all. */
void api_add_logprob_list(struct tg_buf *out, const struct chat_logprobs *l, bool always);
/* A number that JSON can tell. */
void api_add_logprob(struct tg_buf *out, double logprob);

#endif
