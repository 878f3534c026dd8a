/* GET /v1/models and /v1/models/{id}: routes and "local", in the shape of the client that asks.
 * Internal to gateway/; loop thread. */
#ifndef GATEWAY_MODELS_H
#define GATEWAY_MODELS_H

#include "gateway/app.h"
#include "gateway/auth.h"

/* Answers and ends rq; shows what the key of who may use. Clients of the Anthropic API are told
 * apart by their header anthropic-version; their limit, after_id and before_id are honoured. An id
 * that is no model gets 404, a bad page 400, in the client's dialect. */
void gw_models_answer(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                      const struct gw_caller *who);

/* The dialect of whoever asks for a path that has none of its own. */
const struct api_dialect *gw_dialect_asked(const struct gw_ask *ask);

#endif
