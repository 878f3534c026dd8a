/* What Ollama's clients ask besides answers: models, version, and what is refused. Handlers of the
 * router; each answers rq at once. Loop thread. Internal to gateway/. */
#ifndef GATEWAY_OLLAMA_SITE_H
#define GATEWAY_OLLAMA_SITE_H

#include "gateway/app.h"
#include "gateway/auth.h"

void gw_ollama_root(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                    const struct gw_caller *who);
void gw_ollama_tags(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                    const struct gw_caller *who);
void gw_ollama_ps(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                  const struct gw_caller *who);
void gw_ollama_show(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                    const struct gw_caller *who);
void gw_ollama_version(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                       const struct gw_caller *who);
/* 501, with what to do instead. */
void gw_ollama_not_here(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                        const struct gw_caller *who);

#endif
