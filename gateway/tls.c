#include "gateway/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "config/base/alloc.h"
#include "config/base/log.h"
#include "gateway/files.h"

enum { FILE_MAX_BYTES = 1 << 20, SECURITY_LEVEL = 2, RSA_SLOW_BITS = 3072 };

static const int64_t DAY_S = 86400;

struct gw_tls {
    SSL_CTX *ctx;
    struct gw_tls_facts facts;
};

/* What OpenSSL says was wrong, in its words; its queue is empty after. */
static const char *openssl_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return reason ? reason : "no reason is known";
}

/* --- files ----------------------------------------------------------------------------------- */

/* The file in memory, text to be freed with forget. */
static enum tg_status open_pem(const char *path, struct tg_buf *text, BIO **out,
                               struct tg_error *err)
{
    *out = NULL;
    tg_buf_init(text, FILE_MAX_BYTES);
    enum tg_status status = gw_file_read(path, text, err);
    if (status)
        return status;
    *out = BIO_new_mem_buf(text->p ? text->p : "", (int)text->n);
    return *out ? TG_OK : tg_fail(err, TG_NOMEM, "%s: out of memory", path);
}

static void forget(struct tg_buf *text, BIO *bio)
{
    BIO_free(bio);
    if (text->p)
        OPENSSL_cleanse(text->p, text->n);
    tg_buf_free(text);
    ERR_clear_error();
}

/* DER begins with the tag of a sequence, in which no text begins. */
static const char *not_pem(const struct tg_buf *text, bool certificate)
{
    if (text->n && text->p[0] == 0x30)
        return certificate ? "is DER, not PEM: convert it with openssl x509 -inform der"
                           : "is DER, not PEM: convert it with openssl pkey -inform der";
    return certificate ? "holds no certificate that can be read: PEM text is wanted, with BEGIN "
                         "CERTIFICATE"
                       : "holds no key that can be read: PEM text is wanted, with BEGIN PRIVATE "
                         "KEY";
}

/* Without this OpenSSL would ask the terminal. */
static int no_passphrase(char *text, int n, int writing, void *asked)
{
    (void)text;
    (void)n;
    (void)writing;
    *(bool *)asked = true;
    return -1;
}

/* All certificates of a file, at least one; freed with sk_X509_pop_free. */
static enum tg_status read_certificates(const char *path, STACK_OF(X509) **out,
                                        struct tg_error *err)
{
    struct tg_buf text;
    BIO *bio;
    X509 *one;
    bool asked = false;
    *out = NULL;
    enum tg_status status = open_pem(path, &text, &bio, err);
    STACK_OF(X509) *all = status ? NULL : sk_X509_new_null();
    if (status == TG_OK && !all)
        status = tg_fail(err, TG_NOMEM, "%s: out of memory", path);
    while (status == TG_OK &&
           (one = PEM_read_bio_X509(bio, NULL, no_passphrase, &asked)) != NULL)
        if (!sk_X509_push(all, one)) {
            X509_free(one);
            status = tg_fail(err, TG_NOMEM, "%s: out of memory", path);
        }
    bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    int n = all ? sk_X509_num(all) : 0;
    if (status == TG_OK && asked)
        status = tg_fail(err, TG_INVALID,
                         "%s: certificate %d is encrypted, and nobody could type the passphrase: "
                         "write it plain (openssl x509 -in OLD -out NEW)",
                         path, n + 1);
    else if (status == TG_OK && n == 0)
        status = tg_fail(err, TG_INVALID, "%s %s", path, not_pem(&text, true));
    else if (status == TG_OK && !at_end)
        status = tg_fail(err, TG_INVALID, "%s: what follows certificate %d is damaged: %s", path,
                         n, openssl_reason());
    forget(&text, bio);
    if (status == TG_OK)
        *out = all;
    else
        sk_X509_pop_free(all, X509_free);
    return status;
}

static enum tg_status read_key(const char *path, EVP_PKEY **out, struct tg_error *err)
{
    struct tg_buf text;
    BIO *bio;
    bool asked = false;
    *out = NULL;
    enum tg_status status = open_pem(path, &text, &bio, err);
    if (status == TG_OK) {
        *out = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked);
        if (!*out && asked)
            status = tg_fail(err, TG_INVALID,
                             "%s is protected by a passphrase, which nobody could type: write it "
                             "without one (openssl pkey -in OLD -out NEW; chmod 600 NEW)",
                             path);
        else if (!*out)
            status = tg_fail(err, TG_INVALID, "%s %s", path, not_pem(&text, false));
    }
    forget(&text, bio);
    return status;
}

/* --- checks ---------------------------------------------------------------------------------- */

static int64_t seconds_of(const ASN1_TIME *t)
{
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

void gw_tls_day(int64_t s, char out[16])
{
    time_t at = (time_t)s;
    struct tm tm;
    if (!gmtime_r(&at, &tm) || strftime(out, 16, "%Y-%m-%d", &tm) == 0)
        memcpy(out, "?", 2);
}

static void learn(struct gw_tls_facts *f, X509 *leaf, EVP_PKEY *key, const char *key_file)
{
    struct stat info;
    X509_NAME *name = X509_get_subject_name(leaf);
    BIO *line = BIO_new(BIO_s_mem());
    if (line && X509_NAME_print_ex(line, name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB) >= 0)
        BIO_read(line, f->subject, sizeof(f->subject) - 1); /* cut; it is for people */
    BIO_free(line);
    const char *kind = EVP_PKEY_get0_type_name(key);
    int bits = EVP_PKEY_get_bits(key);
    snprintf(f->key, sizeof(f->key), "%s, %d bits", kind ? kind : "?", bits);
    f->slow = EVP_PKEY_is_a(key, "RSA") && bits > RSA_SLOW_BITS;
    f->from_s = seconds_of(X509_get0_notBefore(leaf));
    f->until_s = seconds_of(X509_get0_notAfter(leaf));
    f->exposed = stat(key_file, &info) == 0 && (info.st_mode & (S_IRGRP | S_IROTH));
}

static enum tg_status check_dates(const char *path, const struct gw_tls_facts *f, int64_t now_s,
                                  struct tg_error *err)
{
    char day[16];
    if (f->until_s <= now_s) {
        gw_tls_day(f->until_s, day);
        return tg_fail(err, TG_INVALID, "%s expired on %s: renew the certificate", path, day);
    }
    if (f->from_s > now_s) {
        gw_tls_day(f->from_s, day);
        return tg_fail(err, TG_INVALID,
                       "%s is only valid from %s on: look at this machine's clock, or wait", path,
                       day);
    }
    return TG_OK;
}

/* Which certificate of the file the key belongs to, -1: none. */
static int owner_of(const STACK_OF(X509) *chain, EVP_PKEY *key)
{
    for (int i = 0; i < sk_X509_num(chain); i++)
        if (X509_check_private_key(sk_X509_value(chain, i), key) == 1)
            return i;
    return -1;
}

static enum tg_status check_fit(const struct cfg_tls *s, const STACK_OF(X509) *chain,
                                EVP_PKEY *key, struct tg_error *err)
{
    int owner = owner_of(chain, key);
    ERR_clear_error();
    if (owner < 0)
        return tg_fail(err, TG_INVALID,
                       "%s is not the key of the certificate in %s: if one of them was being "
                       "replaced, try again when both are there",
                       s->key, s->certificate);
    if (owner > 0)
        return tg_fail(err, TG_INVALID,
                       "%s: the server's own certificate is number %d: put it first, then its "
                       "issuers",
                       s->certificate, owner + 1);
    return TG_OK;
}

/* --- the context ----------------------------------------------------------------------------- */

/* HTTP/1.1 is all that is spoken: a client that wants only others is told so by an alert. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                           const unsigned char *offered, unsigned offered_n, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    (void)ssl;
    (void)arg;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_n, ours, sizeof(ours) - 1, offered, offered_n) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *new_context(bool only_13)
{
    static const unsigned char scope[] = "tollgate"; /* of resumed sessions */
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx)
        return NULL;
    SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
    SSL_CTX_set_min_proto_version(ctx, only_13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    /* Requests tell their own length, so an end without a farewell cuts nothing unseen: it is an
     * end of file, as without TLS. */
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS); /* an idle connection costs less */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets resume */
    SSL_CTX_set_session_id_context(ctx, scope, sizeof(scope) - 1);
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    return ctx;
}

/* A certificate that is too weak fails here. */
static enum tg_status show_pair(SSL_CTX *ctx, const struct cfg_tls *s, STACK_OF(X509) *chain,
                                EVP_PKEY *key, struct tg_error *err)
{
    bool fine = SSL_CTX_use_certificate(ctx, sk_X509_value(chain, 0)) == 1;
    for (int i = 1; i < sk_X509_num(chain) && fine; i++)
        fine = SSL_CTX_add1_chain_cert(ctx, sk_X509_value(chain, i)) == 1;
    if (!fine)
        return tg_fail(err, TG_INVALID,
                       "%s: OpenSSL refuses it at security level %d (%s): have one made with "
                       "SHA-256 and an EC or RSA key of 2048 bits at least",
                       s->certificate, SECURITY_LEVEL, openssl_reason());
    if (SSL_CTX_use_PrivateKey(ctx, key) == 1)
        return TG_OK;
    return tg_fail(err, TG_INVALID, "%s: OpenSSL refuses this key: %s", s->key, openssl_reason());
}

static enum tg_status ask_clients(SSL_CTX *ctx, const char *path, struct tg_error *err)
{
    STACK_OF(X509) *all;
    enum tg_status status = read_certificates(path, &all, err);
    if (status)
        return status;
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    for (int i = 0; i < sk_X509_num(all) && status == TG_OK; i++)
        if (X509_STORE_add_cert(store, sk_X509_value(all, i)) != 1 ||
            SSL_CTX_add_client_CA(ctx, sk_X509_value(all, i)) != 1)
            status = tg_fail(err, TG_INVALID, "%s: certificate %d cannot be used: %s", path, i + 1,
                             openssl_reason());
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    sk_X509_pop_free(all, X509_free);
    return status;
}

static enum tg_status fill(struct gw_tls *t, const struct cfg_tls *s, int64_t now_s,
                           struct tg_error *err)
{
    STACK_OF(X509) *chain = NULL;
    EVP_PKEY *key = NULL;
    t->ctx = new_context(s->only_13);
    enum tg_status status = t->ctx ? TG_OK : tg_fail(err, TG_NOMEM, "out of memory for TLS");
    if (status == TG_OK)
        status = read_certificates(s->certificate, &chain, err);
    if (status == TG_OK)
        status = read_key(s->key, &key, err);
    if (status == TG_OK)
        status = check_fit(s, chain, key, err);
    if (status == TG_OK) {
        learn(&t->facts, sk_X509_value(chain, 0), key, s->key);
        status = check_dates(s->certificate, &t->facts, now_s, err);
    }
    if (status == TG_OK)
        status = show_pair(t->ctx, s, chain, key, err);
    if (status == TG_OK && s->client_ca)
        status = ask_clients(t->ctx, s->client_ca, err);
    sk_X509_pop_free(chain, X509_free);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return status;
}

enum tg_status gw_tls_load(const struct cfg_tls *settings, int64_t now_s, struct gw_tls **out,
                           struct tg_error *err)
{
    *out = NULL;
    struct gw_tls *t = tg_calloc(1, sizeof(*t));
    if (!t)
        return tg_fail(err, TG_NOMEM, "out of memory for TLS");
    enum tg_status status = fill(t, settings, now_s, err);
    if (status)
        gw_tls_free(t);
    else
        *out = t;
    return status;
}

void gw_tls_free(struct gw_tls *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    tg_free(t);
}

const struct gw_tls_facts *gw_tls_facts(const struct gw_tls *t)
{
    return &t->facts;
}

struct ssl_ctx_st *gw_tls_context(const struct gw_tls *t)
{
    return t->ctx;
}

/* --- what is worth a look -------------------------------------------------------------------- */

bool gw_tls_ends_soon(const struct gw_tls_facts *f, int64_t now_s)
{
    int64_t third = (f->until_s - f->from_s) / 3, near = 14 * DAY_S;
    return f->until_s - now_s < (third < near ? third : near);
}

void gw_tls_warn(const struct cfg_tls *settings, const struct gw_tls *t, int64_t now_s)
{
    const struct gw_tls_facts *f = &t->facts;
    char day[16];
    gw_tls_day(f->until_s, day);
    if (f->exposed)
        tg_log(TG_LOG_WARN, "tls-key-exposed",
               "%s can be read by others than its owner: chmod 600 it", settings->key);
    if (f->slow)
        tg_log(TG_LOG_WARN, "tls-key-slow",
               "%s: with %s each handshake holds up the others for milliseconds: an EC key (P-256) "
               "is as strong",
               settings->key, f->key);
    if (gw_tls_ends_soon(f, now_s))
        tg_log(TG_LOG_WARN, "tls-ends-soon", "%s expires on %s: renew it, then send HUP",
               settings->certificate, day);
}
