/* One image, audio or video fetched from a URL that a client named: only from allowed hosts, never
 * from an address that is not public, and what comes must be what it should be. On the loop thread.
 *
 * The host is looked up in the list before anything is asked of a resolver, and again at each
 * redirect; the address is judged as the socket is made, so that a name which resolves otherwise
 * the second time gains nothing. No proxy, no cookies, no credentials, a connection of its own. */
#ifndef PROVIDERS_FETCH_H
#define PROVIDERS_FETCH_H

#include "config/settings.h"
#include "providers/backend.h"
#include "providers/media.h"

struct prov_fetch; /* opaque */

struct prov_fetch_result {
    bool ok;
    bool ours; /* not ok, and that is for lack of memory here, not for the URL */
    const struct chat_media_type *type;
    struct tg_str data; /* borrowed until prov_fetch_free */
    char text[300];     /* not ok: why, for the client; UTF-8 */
};

struct prov_fetch_request {
    struct tg_str url;
    enum chat_part_kind kind;
    const struct cfg_fetch *rules; /* borrowed until prov_fetch_free */
    size_t bytes_max;
    int64_t timeout_ms; /* redirects included */
    /* So many bytes more will be held; false ends the fetch as ours. */
    bool (*may_hold)(void *arg, size_t more);
    /* Last, once, never from inside prov_fetch_start. May free this fetch or any other. */
    void (*done)(void *arg, const struct prov_fetch_result *result);
    void *arg;
};

/* NULL: err, TG_INVALID where the URL may not be fetched, TG_NOMEM. Owned by the caller. */
struct prov_fetch *prov_fetch_start(struct prov_http *http,
                                    const struct prov_fetch_request *request,
                                    struct tg_error *err);
/* Ends it without another call if it is under way. NULL allowed. */
void prov_fetch_free(struct prov_fetch *f);

#endif
