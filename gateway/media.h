/* Images, audio and video of a request, once it is decoded: how much they may be, and fetching
 * those that are only a URL where the configuration allows it (media.fetch). Internal to
 * gateway/. */
#ifndef GATEWAY_MEDIA_H
#define GATEWAY_MEDIA_H

#include <stdbool.h>

#include "config/settings.h"
#include "gateway/api/dialect.h"

struct gw_exchange;
struct gw_media; /* opaque: what is fetched for one exchange */

/* Whether number and sizes of what came with the request are within the limits; else *e, which
 * names the part. Pure, any thread. */
bool gw_media_check(const struct chat_request *r, const struct cfg_media_limits *limits,
                    struct api_error *e);
/* Whether something is only a URL. Pure, any thread. */
bool gw_media_is_remote(const struct chat_request *r);
/* Lists that, to be fetched. False: x was ended with an error, since it stays on this machine or
 * there is no memory. Loop thread; once. */
bool gw_media_list(struct gw_exchange *x);
/* Fetches what was listed, then calls gw_arrival_fetched; or ends x with an error, now or later.
 * Loop thread. */
void gw_media_fetch(struct gw_exchange *x);
/* Ends what is under way and frees what was fetched: nobody may read the request's media any more.
 * Loop thread; NULL allowed. */
void gw_media_free(struct gw_media *m);

#endif
