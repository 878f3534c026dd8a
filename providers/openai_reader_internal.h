/* What the readers of an OpenAI-compatible server's answers share. */
#ifndef PROVIDERS_OPENAI_READER_INTERNAL_H
#define PROVIDERS_OPENAI_READER_INTERNAL_H

#include "config/base/json.h"
#include "providers/openai_reader.h"

/* The tree of an answer, an object, for tg_json_free. NULL: an ERROR was emitted. */
struct tg_json *prov_reader_root(struct prov_reader *r, struct tg_str text);
/* Whether the answer is an error object; then an ERROR was emitted. */
bool prov_reader_error_in(struct prov_reader *r, const struct tg_json *root);
/* A count of tokens: not present unless it is a whole number from 0. */
struct chat_count prov_reader_count(const struct tg_json *v);

#endif
