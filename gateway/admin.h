/* The admin API: keys as `tollgate key` has them, and what SIGHUP does, over HTTP. Loop thread;
 * internal to gateway/.
 *
 *   GET    /admin/keys?limit=N&after=ID   {"keys": [...], "has_more": bool}
 *   POST   /admin/keys                    201 and the key, with its secret as "key"
 *   GET    /admin/keys/ID
 *   PATCH  /admin/keys/ID                 the members that are there change
 *   DELETE /admin/keys/ID                 revokes it
 *   POST   /admin/keys/ID/rotate          {"overlap": "24h"}; a new secret as "key"
 *   POST   /admin/reload                  200 and what is in force (reload.h), or 400
 *
 * Members are those of key_fields.h. The answer to a change comes when it is on disk. */
#ifndef GATEWAY_ADMIN_H
#define GATEWAY_ADMIN_H

#include "gateway/app.h"

/* Answers now (NULL) or later (the context of the request). */
void *gw_admin_keys(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask);
void *gw_admin_reload(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask);
/* Whether context is one of ours, whose client has gone: its change is made all the same. */
bool gw_admin_gone(struct gw_app *app, const void *context);
/* After tel_close: changes that were still under way. */
void gw_admin_free(struct gw_app *app);

#endif
