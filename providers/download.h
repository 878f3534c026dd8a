/* One HTTP request at a time, waited for: for commands that fetch files, never on the loop. It
 * follows no redirect: who calls it decides where a token may go. curl is behind it. */
#ifndef PROVIDERS_DOWNLOAD_H
#define PROVIDERS_DOWNLOAD_H

#include "config/base/status.h"
#include "providers/download_head.h"

enum prov_get_next {
    PROV_GET_BODY, /* on_body gets what follows */
    PROV_GET_SKIP, /* the body is not wanted; a small one is read so that the connection lives on */
};

struct prov_get {
    const char *url;
    bool head_only;       /* HEAD instead of GET */
    int64_t from;         /* above 0: from this byte on (Range) */
    const char *if_range; /* an entity tag: from there only if it still holds; NULL: always */
    const char *token; /* sent as Authorization: Bearer, or NULL; masked in the log by its owner */
    const char *ca_file; /* PEM of the authorities to trust instead of the system's, or NULL */
    int64_t connect_ms, stall_ms; /* to connect; without a byte */
    /* Once, when the final head is complete. */
    enum prov_get_next (*on_head)(void *arg, const struct prov_get_head *head);
    /* false: stop here. */
    bool (*on_body)(void *arg, const char *p, size_t n);
    /* At least once a second; false: stop here. */
    bool (*on_tick)(void *arg);
    void *arg;
};

enum prov_get_end {
    PROV_GET_DONE,      /* the whole answer came; its head says what it is */
    PROV_GET_STOPPED,   /* on_body said so, or a body that is skipped is too long to read */
    PROV_GET_CANCELLED, /* on_tick said so */
    PROV_GET_CONNECT,   /* no connection */
    PROV_GET_TLS,       /* the other side could not be verified, or the CA file is of no use */
    PROV_GET_BROKEN,    /* it ended before the answer did */
    PROV_GET_STALLED,   /* stall_ms without a byte */
    PROV_GET_NOMEM,
};

struct prov_get_result {
    enum prov_get_end end;
    char text[300]; /* why, in curl's words */
};

struct prov_getter; /* opaque: keeps connections between requests */

struct prov_getter *prov_getter_new(struct tg_error *err);
void prov_getter_free(struct prov_getter *g); /* NULL allowed */
/* Blocks until the end; callbacks run inside. A proxy named by the environment (https_proxy,
 * no_proxy) is used for other machines. */
void prov_get(struct prov_getter *g, const struct prov_get *request,
              struct prov_get_result *result);

/* https://, or http:// of this machine (any machine when insecure), without user and fragment.
 * TG_INVALID with the reason, TG_NOMEM. */
enum tg_status prov_url_check(const char *url, bool insecure, struct tg_error *err);
/* Where a URL leads. */
struct prov_place {
    char host[256]; /* an IPv6 address in brackets */
    uint16_t port, scheme_port; /* scheme_port: 443 or 80 */
};
/* Reads a URL of https or http without a user, and writes it anew into out[n], as curl understands
 * it, without fragment. TG_INVALID: it is not such a URL; TG_LIMIT, TG_NOMEM. */
enum tg_status prov_url_place(const char *url, struct prov_place *place, char *out, size_t n);
/* Scheme, host and port are the same. False when either is malformed. */
bool prov_url_same_origin(const char *a, const char *b);
/* Where a Location found at base leads, into out[n]. TG_INVALID, TG_LIMIT, TG_NOMEM. */
enum tg_status prov_url_follow(const char *base, const char *location, char *out, size_t n,
                               struct tg_error *err);

#endif
