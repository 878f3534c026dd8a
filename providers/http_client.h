/* HTTPS requests on the event loop: curl's multi interface, driven by libevent. Transfers
 * deliver head, body and end through callbacks that run on the loop thread outside of curl, so
 * that a callback may start, pause and free any transfer. Nothing is ever called from inside the
 * functions below.
 *
 * HTTP/1.1, http and https only, certificates verified, no redirects, no proxy whatever the
 * environment says, no compression. A request whose body was begun is never sent twice: a reused
 * connection that turns out to be closed ends the transfer as broken (the provider may have
 * billed). */
#ifndef PROVIDERS_HTTP_CLIENT_H
#define PROVIDERS_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/buf.h"
#include "config/base/status.h"
#include "config/base/str.h"
#include "providers/backend.h"
#include "providers/http_head.h"

struct prov_transfer; /* opaque: one POST or GET */
struct sockaddr;

enum {
    PROV_HTTP_AHEAD_MAX = 65536, /* body bytes held for an owner that does not take them */
    PROV_HTTP_LINGER_MS = 500,
    PROV_HTTP_LINGER_BYTES = 4096,
};

enum prov_http_end {
    PROV_HTTP_DONE,    /* the whole answer came, whatever its status */
    PROV_HTTP_CONNECT, /* DNS, TCP or TLS failed: nothing of the body was sent */
    PROV_HTTP_TIMEOUT,
    PROV_HTTP_BROKEN,  /* the connection ended early, or what came is not HTTP */
    PROV_HTTP_LIMIT,   /* headers beyond their maximum */
    PROV_HTTP_NOMEM,
};

struct prov_http_result {
    enum prov_http_end end;
    bool sent;        /* some of the request's body may have reached the other side */
    const char *text; /* what went wrong, for people */
};

struct prov_http_handlers {
    /* Final status line and headers; at most once, before any body. */
    void (*on_head)(void *arg, const struct prov_http_head *head);
    /* Body bytes; returns how many were taken. Fewer than given: the rest waits until
     * prov_transfer_pause(t, false), and the sender is held back. */
    size_t (*on_body)(void *arg, struct tg_str data);
    /* Last; all body bytes were taken. The transfer must still be freed. */
    void (*on_done)(void *arg, const struct prov_http_result *result);
};

struct prov_http_request {
    const char *url;
    const char *const *headers; /* "Name: value" lines; copied */
    size_t n_headers;
    struct tg_buf *body; /* its memory is taken over, also on failure; left empty. NULL: a GET */
    /* Where the answer's Location is written, terminated; empty: none, or too long. It must outlive
     * the transfer. NULL: it is not wanted. */
    char *location;
    size_t location_max;
    int64_t connect_timeout_ms, idle_timeout_ms, timeout_ms; /* each > 0 */
    struct prov_http_handlers handlers;
    /* Not NULL: asked before each connection with the address that it would go to, and false keeps
     * it from being made. Such a transfer uses no connection of another, nor any other its own.
     * Runs inside curl: it may not call anything here. */
    bool (*may_connect)(void *arg, const struct sockaddr *address);
    void *arg;
};

/* NULL: err. Owned by the caller. */
struct prov_transfer *prov_transfer_start(struct prov_http *http,
                                          const struct prov_http_request *request,
                                          struct tg_error *err);
/* While paused on_body is not called, and reading stops once PROV_HTTP_AHEAD_MAX bytes wait. The
 * idle time does not run, the total time does. */
void prov_transfer_pause(struct prov_transfer *t, bool paused);
/* Whether some of the request's body may have reached the other side. */
bool prov_transfer_sent(const struct prov_transfer *t);
/* Closes the connection if the answer is incomplete, and frees. NULL allowed. */
void prov_transfer_free(struct prov_transfer *t);
/* Frees for the owner, but when only the end of the message is missing gives it a short while to
 * come, so that the connection can be used again. NULL allowed. */
void prov_transfer_linger(struct prov_transfer *t);

#endif
