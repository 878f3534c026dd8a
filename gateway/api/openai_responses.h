/* OpenAI's Responses API over the one vocabulary: items to messages, answers to items, its stream
 * of events. gateway/README.md has what is honoured. */
#ifndef GATEWAY_API_OPENAI_RESPONSES_H
#define GATEWAY_API_OPENAI_RESPONSES_H

#include "gateway/api/dialect.h"
#include "gateway/responses_store.h"

extern const struct api_dialect oai_responses;
/* Its count of the tokens of a prompt. */
extern const struct api_dialect oai_count;

/* The number in an id of ours, PREFIX and 16 digits in lower-case hexadecimal; rest: what follows.
 * False: it is not of that form. */
bool oai_id_number(struct tg_str id, const char *prefix, uint64_t *number, struct tg_str *rest);

#endif
