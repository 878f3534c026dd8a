/* Embeddings in the dialects that have them: what is to be embedded, and vectors as JSON. Pure. */
#ifndef GATEWAY_API_VECTORS_H
#define GATEWAY_API_VECTORS_H

#include "gateway/api/read.h"

enum { API_INPUTS_MAX = 2048 };

/* A text or a list of texts; with ids, also the token ids of one input, or a list of such lists.
 * For tables. */
enum tg_status api_read_inputs(struct api_read *d, const struct tg_json *v);
enum tg_status api_read_texts(struct api_read *d, const struct tg_json *v); /* no ids */
enum tg_status api_read_dimensions(struct api_read *d, const struct tg_json *v);

/* A list of numbers, each of which reads back as the same float; or base64 of the floats. */
void api_add_vector(struct tg_buf *out, const struct api_vector *v, bool base64);

#endif
