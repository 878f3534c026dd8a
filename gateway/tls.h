/* What TLS on a listener needs: the certificate and its key, and whose certificates clients must
 * show; read from files, checked and kept as OpenSSL wants it. */
#ifndef GATEWAY_TLS_H
#define GATEWAY_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "config/base/status.h"
#include "config/settings.h"

struct gw_tls;      /* opaque; connections that use it keep what they need of it */
struct ssl_ctx_st;

struct gw_tls_facts {
    char subject[256];       /* of the certificate, as one line */
    char key[64];            /* "RSA, 2048 bits" */
    int64_t from_s, until_s; /* validity, seconds since 1970 */
    bool slow;               /* RSA above 3072 bits: each handshake holds up the loop */
    bool exposed;            /* others than the key file's owner can read it */
};

/* Reads the files that settings name (certificate must not be NULL) and checks them: certificate
 * and key fit each other, are strong enough for OpenSSL's security level 2, and the certificate is
 * valid at now_s (seconds since 1970). Blocks on the files; any thread. err names file, cause and
 * remedy: TG_NOTFOUND, TG_IO, TG_LIMIT, TG_INVALID, TG_NOMEM. *out is owned by the caller, NULL on
 * failure. */
enum tg_status gw_tls_load(const struct cfg_tls *settings, int64_t now_s, struct gw_tls **out,
                           struct tg_error *err);
void gw_tls_free(struct gw_tls *t); /* NULL allowed */
const struct gw_tls_facts *gw_tls_facts(const struct gw_tls *t);
/* Borrowed. */
struct ssl_ctx_st *gw_tls_context(const struct gw_tls *t);
/* Whether it ends so soon that somebody should act: within 14 days, or a third of its life if that
 * is shorter. */
bool gw_tls_ends_soon(const struct gw_tls_facts *facts, int64_t now_s);
/* A day as "2026-11-29", for people. */
void gw_tls_day(int64_t s, char out[16]);
/* Writes what is worth a look to the log: a key that others can read, an end that is near, a key
 * that is slow. */
void gw_tls_warn(const struct cfg_tls *settings, const struct gw_tls *t, int64_t now_s);

#endif
