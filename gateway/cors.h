/* Which web pages may call, and what their browsers are told. Loop thread only. */
#ifndef GATEWAY_CORS_H
#define GATEWAY_CORS_H

#include "config/settings.h"
#include "gateway/http.h"

enum gw_origin {
    GW_ORIGIN_NONE,    /* no browser's page asks, as far as can be seen */
    GW_ORIGIN_LISTED,  /* of cors.origins: its scripts may read the answer */
    GW_ORIGIN_LOCAL,   /* a page of this machine: served, but told nothing */
    GW_ORIGIN_FOREIGN, /* may not spend money here */
};

enum { GW_CORS_NAMES_MAX = 64, GW_CORS_NAMES_BYTES = 2048 };

/* Pure. origin: the header's value; p NULL: there is none. */
enum gw_origin gw_cors_origin(const struct cfg_cors *cors, struct tg_str origin);
/* Pure. Appends what of a list of header names is well formed, GW_CORS_NAMES_MAX names and
 * GW_CORS_NAMES_BYTES at most, separated by ", ". TG_NOMEM, TG_LIMIT. */
enum tg_status gw_cors_names(struct tg_str list, struct tg_buf *out);
/* Adds to whatever will be answered what a page of a listed origin needs to read it, and Vary. */
void gw_cors_mark(const struct cfg_cors *cors, struct gw_request *rq, const struct gw_ask *ask);
/* Whether it asks for leave on behalf of a page, and is no call itself. */
bool gw_cors_is_preflight(const struct gw_ask *ask);
/* Adds that leave: these methods ("GET, HEAD"), and the headers that it asks for. */
void gw_cors_permit(const struct cfg_cors *cors, struct gw_request *rq, const struct gw_ask *ask,
                    const char *methods);

#endif
