/* Keys and certificates made here, in files of a folder of the test's own. */
#ifndef TESTS_UNIT_GATEWAY_TLS_PAIR_H
#define TESTS_UNIT_GATEWAY_TLS_PAIR_H

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/check.h"

enum { PAIR_DAY = 86400 };

struct pair {
    X509 *cert;
    EVP_PKEY *key;
    char cert_file[300], key_file[300];
};

/* A folder below TMPDIR; static. */
static inline const char *pair_folder(void)
{
    static char dir[200];
    const char *tmp = getenv("TMPDIR");
    if (!dir[0]) {
        snprintf(dir, sizeof(dir), "%.150s/tollgate-tls-XXXXXX", tmp ? tmp : "/tmp");
        CHECK(mkdtemp(dir));
    }
    return dir;
}

static inline void pair_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    CHECK(e && X509_add_ext(cert, e, -1));
    X509_EXTENSION_free(e);
}

/* Signed by issuer, by itself when NULL (a CA then), valid from and until so many days from now. */
static inline X509 *pair_certificate(EVP_PKEY *key, const char *name, const struct pair *issuer,
                                     long from, long until)
{
    static long serial = 1;
    X509 *cert = X509_new(), *by = issuer ? issuer->cert : cert;
    X509_NAME *subject = X509_get_subject_name(cert);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(cert), from * PAIR_DAY);
    X509_gmtime_adj(X509_getm_notAfter(cert), until * PAIR_DAY);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1,
                               0);
    X509_set_issuer_name(cert, X509_get_subject_name(by));
    if (!issuer)
        pair_extension(cert, by, NID_basic_constraints, "critical,CA:TRUE");
    pair_extension(cert, by, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    CHECK(X509_sign(cert, issuer ? issuer->key : key, EVP_sha256()) > 0);
    return cert;
}

/* Writes NAME.pem and NAME.key; the key with mode 0600, under a passphrase unless NULL. */
static inline void pair_write(struct pair *p, const char *name, const char *passphrase)
{
    snprintf(p->cert_file, sizeof(p->cert_file), "%s/%s.pem", pair_folder(), name);
    snprintf(p->key_file, sizeof(p->key_file), "%s/%s.key", pair_folder(), name);
    FILE *f = fopen(p->cert_file, "w");
    CHECK(f && PEM_write_X509(f, p->cert) && fclose(f) == 0);
    f = fopen(p->key_file, "w");
    CHECK(f && PEM_write_PrivateKey(f, p->key, passphrase ? EVP_aes_128_cbc() : NULL, NULL, 0,
                                    NULL, (void *)(uintptr_t)passphrase) &&
          fclose(f) == 0);
    CHECK(chmod(p->key_file, 0600) == 0);
}

static inline void pair_make(struct pair *p, const char *name, const struct pair *issuer,
                             long from, long until)
{
    *p = (struct pair){ .key = EVP_EC_gen("P-256") };
    p->cert = pair_certificate(p->key, name, issuer, from, until);
    pair_write(p, name, NULL);
}

static inline void pair_free(struct pair *p)
{
    unlink(p->cert_file);
    unlink(p->key_file);
    X509_free(p->cert);
    EVP_PKEY_free(p->key);
}

#endif
