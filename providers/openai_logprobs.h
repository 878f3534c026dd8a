/* The tokens of an answer in OpenAI's form, {token, logprob, bytes, top_logprobs}. */
#ifndef PROVIDERS_OPENAI_LOGPROBS_H
#define PROVIDERS_OPENAI_LOGPROBS_H

#include "config/base/json.h"
#include "providers/chat.h"

/* Reads the list v into the event's logprobs; absent, null and empty are none. What they are made
 * of is borrowed from v and from *arena, which is made if need be and the caller's to free whatever
 * comes (NULL before). TG_INVALID: not the form, or more than CHAT_TOP_MAX alternatives.
 * TG_NOMEM: also above 32 MiB. Pure, any thread. */
enum tg_status prov_logprobs_read(const struct tg_json *v, struct tg_arena **arena,
                                  struct chat_event *event);

#endif
