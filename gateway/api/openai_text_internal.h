/* What the files of the completions dialect share. */
#ifndef GATEWAY_API_OPENAI_TEXT_INTERNAL_H
#define GATEWAY_API_OPENAI_TEXT_INTERNAL_H

#include "gateway/api/openai_text.h"

/* oai_text.decode, in openai_text.c. */
enum tg_status oai_text_decode(struct tg_str body, struct tg_arena *arena,
                               struct chat_request *out, struct api_error *err);

#endif
