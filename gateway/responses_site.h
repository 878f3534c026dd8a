/* What is below /v1/responses: responses that are kept, read and deleted. Loop thread; each answers
 * at once. */
#ifndef GATEWAY_RESPONSES_SITE_H
#define GATEWAY_RESPONSES_SITE_H

#include "gateway/app.h"
#include "gateway/auth.h"

/* GET /v1/responses/{id} and .../{id}/input_items */
void gw_responses_get(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                      const struct gw_caller *who);
/* DELETE /v1/responses/{id} */
void gw_responses_remove(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                         const struct gw_caller *who);
/* POST .../{id}/cancel: nothing runs in the background here. */
void gw_responses_post(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                       const struct gw_caller *who);

#endif
