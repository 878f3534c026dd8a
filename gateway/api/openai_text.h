/* OpenAI's older completions (POST /v1/completions): text that goes on from a text. Pure. */
#ifndef GATEWAY_API_OPENAI_TEXT_H
#define GATEWAY_API_OPENAI_TEXT_H

#include "gateway/api/dialect.h"

/* The prompt becomes one message of the user, since nobody behind the gateway takes text without a
 * conversation. Reasoning is not told, and there are no calls. logprobs are told in the endpoint's
 * own form: parallel lists, with offsets in characters from where the answer's text begins. */
extern const struct api_dialect oai_text;

#endif
