/* Which model runs, by the hash of its file, and so which calibrations hold. Loop thread; hashing
 * has a thread of its own, since it may take minutes and the workers have requests to read. */
#ifndef GATEWAY_IDENTITY_H
#define GATEWAY_IDENTITY_H

#include "gateway/app.h"

struct gw_identity; /* opaque */

/* Sets app->model_hash: now when the hash is known from another time or the file is small, else
 * once it was read (the loop has to run for it); from then on calibrations are found. A file that
 * cannot be read, or is not the one that app->engine opened, is logged, and confidence stays
 * uncalibrated. app->identity is freed by gw_identity_free, also after an error, and before the
 * engine is closed. */
enum tg_status gw_identity_begin(struct gw_app *app, struct tg_error *err);
/* Logs which calibrations of app->now are used, or that there is none; nothing while the hash is
 * not known. At the start and after a reload. */
void gw_identity_tell(const struct gw_app *app);
/* Stops the reading and joins its thread. NULL allowed. */
void gw_identity_free(struct gw_identity *id);

#endif
