#include "gateway/http_tls.h"

#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

struct bufferevent *gw_tls_accept(const struct gw_tls *tls, struct event_base *base, int fd)
{
    enum { OPTIONS = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS };
    SSL *ssl = SSL_new(gw_tls_context(tls));
    if (!ssl) {
        ERR_clear_error();
        return NULL;
    }
    /* It is made without the socket, which stays the caller's if that fails; whether it has freed
     * the SSL object then depends on libevent's version, hence a reference of our own. */
    SSL_up_ref(ssl);
    struct bufferevent *bev =
        bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, OPTIONS);
    SSL_free(ssl);
    if (bev)
        bufferevent_setfd(bev, fd);
    return bev;
}

bool gw_tls_begun(struct bufferevent *bev)
{
    const SSL *ssl = bufferevent_openssl_get_ssl(bev);
    return ssl && SSL_get_state(ssl) != TLS_ST_BEFORE;
}

enum tg_status gw_tls_farewell(struct bufferevent *bev)
{
    SSL *ssl = bufferevent_openssl_get_ssl(bev);
    if (!ssl)
        return TG_OK;
    if (!SSL_is_init_finished(ssl))
        return TG_CLOSED;
    ERR_clear_error();
    int said = SSL_shutdown(ssl);
    bool again = said < 0 && SSL_get_error(ssl, said) == SSL_ERROR_WANT_WRITE;
    ERR_clear_error();
    return said >= 0 ? TG_OK : again ? TG_AGAIN : TG_CLOSED;
}

enum gw_tls_fault gw_tls_fault(struct bufferevent *bev, const char **why)
{
    const SSL *ssl = bufferevent_openssl_get_ssl(bev);
    unsigned long code = bufferevent_get_openssl_error(bev);
    long verdict = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;
    *why = "";
    if (code == 0 || ERR_SYSTEM_ERROR(code))
        return GW_TLS_LEFT;
    if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_HTTP_REQUEST)
        return GW_TLS_HTTP;
    const char *reason = ERR_reason_error_string(code);
    if (verdict != X509_V_OK)
        reason = X509_verify_cert_error_string(verdict);
    *why = reason ? reason : "unknown";
    return GW_TLS_FAULT;
}

/* The descriptor itself moves over. A copy of it would stay in the kernel's list of what is watched
 * under the old number when that is closed (epoll knows the open file), and wake the loop for
 * nothing. */
struct bufferevent *gw_tls_leave(struct bufferevent *bev, struct event_base *base)
{
    struct bufferevent *plain =
        bufferevent_socket_new(base, bufferevent_getfd(bev), BEV_OPT_CLOSE_ON_FREE);
    if (plain)
        bufferevent_setfd(bev, -1);
    return plain;
}
