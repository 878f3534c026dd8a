/* Embeddings in OpenAI's dialect: POST base_url/embeddings. Pure: no socket, no clock. */
#ifndef PROVIDERS_OPENAI_VECTORS_H
#define PROVIDERS_OPENAI_VECTORS_H

#include "providers/openai_reader.h"

/* The body for call->request's inputs. The vectors are asked for in base64, which is a third of the
 * text and is read faster. The state of the buffer. */
enum tg_status prov_vectors_body(const struct prov_call *call, struct tg_buf *out);
/* An answer to it, in base64 or as lists of numbers: emits a VECTOR for each of the request's
 * inputs, in their order, USAGE and FINISH, or ERROR. There must be as many as inputs, each index
 * once, all of one length (dimensions, if the request has them), all numbers finite. The vectors
 * lie in *arena, which is made if need be and the caller's to free whatever comes (NULL before).
 * Any thread. */
void prov_vectors_read(struct prov_reader *r, struct tg_str body,
                       const struct chat_request *request, struct tg_arena **arena);

#endif
