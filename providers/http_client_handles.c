#include "providers/http_client_handles.h"

CURL *prov_handles_take(struct prov_handles *h)
{
    if (h->n)
        return h->spare[--h->n];
    CURL *easy = curl_easy_init();
    if (easy && h->configure(easy) != CURLE_OK) {
        curl_easy_cleanup(easy);
        easy = NULL;
    }
    return easy;
}

void prov_handles_keep(struct prov_handles *h, CURL *easy)
{
    if (h->n < PROV_HANDLES_KEPT)
        h->spare[h->n++] = easy;
    else
        curl_easy_cleanup(easy);
}

void prov_handles_free(struct prov_handles *h)
{
    while (h->n)
        curl_easy_cleanup(h->spare[--h->n]);
}
