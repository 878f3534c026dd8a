/* OpenAI's embeddings (POST /v1/embeddings). Never a stream. Pure. */
#ifndef GATEWAY_API_OPENAI_VECTORS_H
#define GATEWAY_API_OPENAI_VECTORS_H

#include "gateway/api/dialect.h"

extern const struct api_dialect oai_vectors;

#endif
