/* Reading the configuration again: files on a worker, checks and the swap on the loop. One runs at
 * a time; who asks while one runs (SIGHUP or the admin API, however often) is served by one more,
 * so that what counts is always read after it was asked for. A refused configuration changes
 * nothing. Loop thread; internal to gateway/. */
#ifndef GATEWAY_RELOAD_H
#define GATEWAY_RELOAD_H

#include "gateway/app.h"

enum { GW_RELOAD_WAITS = 16 }; /* requests that may wait for a reload */

/* Sets app->reload. path is borrowed, as at the start. TG_NOMEM. */
enum tg_status gw_reload_new(struct gw_app *app, const char *path, struct tg_error *err);
/* When the workers are joined and no request lives any more; app->reload may be NULL. */
void gw_reload_free(struct gw_app *app);

/* As SIGHUP: the outcome is in the log alone. Nothing while the gateway drains. */
void gw_reload_ask(struct gw_app *app);
/* The same, and rq is answered when it is over: 200 and what is in force,
 *   {"reloaded":true,"config":PATH,"routes":N,"providers":N,"prices":VERSION,
 *    "certificate_ends":TIME or null}
 * 400 `reload_refused` with the cause, while the old one stays in force, or 503: too many wait, no
 * memory, no worker, or the gateway is ending. Returns the request's context; NULL: it was answered
 * at once. */
void *gw_reload_wait(struct gw_app *app, struct gw_request *rq, const struct api_dialect *dialect);
/* Whether context is one of ours, whose client has gone: the reload goes on without it. */
bool gw_reload_gone(struct gw_app *app, const void *context);
/* At the end of a drain: who still waits gets 503. */
void gw_reload_end_waits(struct gw_app *app);

#endif
