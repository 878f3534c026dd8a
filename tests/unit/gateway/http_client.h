/* The clients of http_site.h. Under TLS the handshake happens with the first that is said or heard.
 */
#ifndef TESTS_UNIT_GATEWAY_HTTP_CLIENT_H
#define TESTS_UNIT_GATEWAY_HTTP_CLIENT_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/unit/gateway/http_site.h"

struct client {
    int fd;
    SSL *ssl; /* NULL: plain */
    bool ended, reset;
    bool cut; /* TLS: it ended without a farewell */
    struct tg_buf got;
    const char *left; /* said as soon as it can be (leave) */
};

static inline int dial(const struct site *s, int small_buffer)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(gw_http_port(s->http)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (small_buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small_buffer, sizeof(small_buffer));
    CHECK(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* With the certificate of own, unless NULL; version 0: any. */
static inline SSL *client_tls(int fd, const struct pair *own, int version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), site_pair.cert);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_security_level(ctx, 0);
    if (version) {
        SSL_CTX_set_min_proto_version(ctx, version);
        SSL_CTX_set_max_proto_version(ctx, version);
    }
    if (own)
        CHECK(SSL_CTX_use_certificate(ctx, own->cert) == 1 &&
              SSL_CTX_use_PrivateKey(ctx, own->key) == 1);
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    SSL_set_fd(ssl, fd);
    SSL_set_connect_state(ssl);
    return ssl;
}

static inline struct client connect_slim(const struct site *s, int small_buffer)
{
    struct client c = { .fd = dial(s, small_buffer) };
    c.ssl = over_tls ? client_tls(c.fd, NULL, 0) : NULL;
    tg_buf_init(&c.got, 64 << 20);
    return c;
}

static inline struct client connect_to(const struct site *s)
{
    return connect_slim(s, 0);
}

static inline void hang_up(struct client *c)
{
    SSL_free(c->ssl);
    close(c->fd);
    tg_buf_free(&c->got);
}

/* Ends the client's side: with a farewell if that is asked for, or by a reset. */
enum leaving { LEAVE_END, LEAVE_FAREWELL, LEAVE_RESET };
static inline void end_side(struct client *c, enum leaving how)
{
    struct linger at_once = { 1, 0 };
    if (c->ssl && how == LEAVE_FAREWELL)
        SSL_shutdown(c->ssl);
    if (how != LEAVE_RESET) {
        shutdown(c->fd, SHUT_WR);
        return;
    }
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(c->fd);
    c->fd = -1;
}

/* As send and recv: -1 with EAGAIN when it has to wait. */
static inline ssize_t try_say(struct client *c, const char *p, size_t n)
{
    if (!c->ssl)
        return send(c->fd, p, n, MSG_NOSIGNAL);
    ERR_clear_error();
    int sent = SSL_write(c->ssl, p, (int)n);
    int e = SSL_get_error(c->ssl, sent);
    if (sent <= 0)
        errno = e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
    return sent > 0 ? sent : -1;
}

static inline ssize_t try_hear(struct client *c, char *p, size_t n)
{
    if (!c->ssl)
        return recv(c->fd, p, n, 0);
    ERR_clear_error();
    errno = 0;
    int got = SSL_read(c->ssl, p, (int)n);
    int e = SSL_get_error(c->ssl, got), cause = errno;
    if (got > 0 || e == SSL_ERROR_ZERO_RETURN)
        return got > 0 ? got : 0;
    errno = e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
    if (errno == EAGAIN || (e == SSL_ERROR_SYSCALL && cause == ECONNRESET))
        return -1;
    c->cut = true; /* an end without a farewell, or an alert */
    return 0;
}

/* Sends all of it, turning the loop meanwhile; false when the server stopped taking. */
static inline bool say_n(struct site *s, struct client *c, const char *p, size_t n)
{
    int64_t end = tg_mono_ns() + 2000000000;
    while (n && tg_mono_ns() < end) {
        ssize_t sent = try_say(c, p, n);
        if (sent < 0 && errno != EAGAIN)
            return false;
        p += sent > 0 ? sent : 0;
        n -= sent > 0 ? (size_t)sent : 0;
        turn(s);
    }
    return n == 0;
}

static inline void say(struct site *s, struct client *c, const char *text)
{
    CHECK(say_n(s, c, text, strlen(text)));
}

/* Says it now or, as far as the server is not there yet, in hear. */
static inline void leave(struct client *c, const char *text)
{
    c->left = try_say(c, text, strlen(text)) > 0 ? NULL : text;
}

static inline void hear(struct client *c)
{
    char block[65536];
    ssize_t n;
    if (c->left)
        leave(c, c->left);
    while (!c->ended && (n = try_hear(c, block, sizeof(block))) >= 0) {
        tg_buf_add(&c->got, block, (size_t)n);
        c->ended = n == 0;
    }
    if (!c->ended && errno != EAGAIN)
        c->ended = c->reset = true;
}

/* Turns the loop for at most ms, until the client has received text (NULL: the end). */
static inline bool wait_for(struct site *s, struct client *c, const char *text, int ms)
{
    int64_t end = tg_mono_ns() + (int64_t)ms * 1000000;
    do {
        struct pollfd p = { .fd = c->fd, .events = POLLIN };
        poll(&p, 1, 1);
        turn(s);
        hear(c);
        if (text ? c->got.p && strstr(c->got.p, text) : c->ended)
            return true;
    } while (tg_mono_ns() < end);
    return false;
}

#endif
