/* curl's handles of transfers, kept for the next ones: making and configuring one costs as much as
 * the whole rest of a short call. Internal to providers/. Loop thread. */
#ifndef PROVIDERS_HTTP_CLIENT_HANDLES_H
#define PROVIDERS_HTTP_CLIENT_HANDLES_H

#include <curl/curl.h>
#include <stddef.h>

enum { PROV_HANDLES_KEPT = 64 };

struct prov_handles {
    CURLcode (*configure)(CURL *easy); /* what is alike in all; set by the caller, which owns it */
    CURL *spare[PROV_HANDLES_KEPT];
    size_t n;
};

/* A configured handle, the caller's; NULL: out of memory. */
CURL *prov_handles_take(struct prov_handles *h);
/* Of a transfer that came whole, out of the multi handle; it must point to nothing of its
 * transfer's any more. Taken over. */
void prov_handles_keep(struct prov_handles *h, CURL *easy);
void prov_handles_free(struct prov_handles *h);

#endif
