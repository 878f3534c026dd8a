#include "gateway/tls.h"

#include "config/base/alloc.h"
#include "tests/unit/gateway/tls_pair.h"

static struct pair good, other;

static void write_file(const char *path, const void *p, size_t n)
{
    FILE *f = fopen(path, "w");
    CHECK(f && fwrite(p, 1, n, f) == n && fclose(f) == 0);
}

/* Adds the certificates of all to one file. */
static const char *bundle(const char *name, const struct pair *const *all, size_t n)
{
    static char path[300];
    snprintf(path, sizeof(path), "%s/%s", pair_folder(), name);
    FILE *f = fopen(path, "w");
    for (size_t i = 0; i < n; i++)
        CHECK(f && PEM_write_X509(f, all[i]->cert));
    CHECK(fclose(f) == 0);
    return path;
}

static void refused(const struct cfg_tls *settings, enum tg_status want, const char *file,
                    const char *why)
{
    struct gw_tls *t;
    struct tg_error err = { 0 };
    enum tg_status status = gw_tls_load(settings, time(NULL), &t, &err);
    if (status != want || t || !strstr(err.text, file) || !strstr(err.text, why))
        CHECK_FAIL("%s (wanted: %s): %s", tg_status_name(status), why, err.text);
    CHECK(ERR_peek_error() == 0); /* nothing is left for the next one to stumble over */
}

static void a_good_pair(void)
{
    struct cfg_tls s = { .certificate = good.cert_file, .key = good.key_file };
    struct gw_tls *t;
    struct tg_error err = { 0 };
    int64_t now = time(NULL);
    char day[16];
    gw_tls_load(&s, now, &t, &err);
    CHECK_STR(err.text, "");
    const struct gw_tls_facts *f = gw_tls_facts(t);
    CHECK_STR(f->subject, "CN = good");
    CHECK_STR(f->key, "EC, 256 bits");
    CHECK(!f->slow && !f->exposed);
    CHECK_INT(f->until_s - f->from_s, 91 * PAIR_DAY);
    CHECK(!gw_tls_ends_soon(f, now) && gw_tls_ends_soon(f, now + 77 * PAIR_DAY));
    CHECK(gw_tls_context(t) != NULL);
    gw_tls_free(t);
    gw_tls_free(NULL);
    gw_tls_day(951782400, day);
    CHECK_STR(day, "2000-02-29");
    struct gw_tls_facts brief = { .from_s = now - 4 * PAIR_DAY, .until_s = now + 3 * PAIR_DAY };
    CHECK(!gw_tls_ends_soon(&brief, now)); /* a week's: a third of it is near */
    CHECK(gw_tls_ends_soon(&brief, now + PAIR_DAY));
}

static void a_key_that_others_can_read(void)
{
    struct cfg_tls s = { .certificate = good.cert_file, .key = good.key_file };
    struct gw_tls *t;
    struct tg_error err = { 0 };
    chmod(good.key_file, 0640);
    gw_tls_load(&s, time(NULL), &t, &err);
    chmod(good.key_file, 0600);
    CHECK_STR(err.text, "");
    CHECK(gw_tls_facts(t)->exposed);
    gw_tls_free(t);
}

static void files_that_are_wrong(void)
{
    char path[300], text[4000];
    unsigned char *der = NULL;
    struct cfg_tls s = { .certificate = "/no/such/file", .key = good.key_file };
    refused(&s, TG_NOTFOUND, "/no/such/file", "No such file");
    s = (struct cfg_tls){ .certificate = good.cert_file, .key = pair_folder() };
    refused(&s, TG_IO, pair_folder(), "no regular file");
    s.key = good.cert_file;
    refused(&s, TG_INVALID, good.cert_file, "no key that can be read");
    s = (struct cfg_tls){ .certificate = good.key_file, .key = good.key_file };
    refused(&s, TG_INVALID, good.key_file, "no certificate that can be read");
    snprintf(path, sizeof(path), "%s/odd", pair_folder());
    s.certificate = path;
    write_file(path, "", 0);
    refused(&s, TG_INVALID, path, "no certificate");
    int n = i2d_X509(good.cert, &der);
    write_file(path, der, (size_t)n);
    OPENSSL_free(der);
    refused(&s, TG_INVALID, path, "openssl x509 -inform der");
    FILE *f = fopen(good.cert_file, "r");
    size_t read = f ? fread(text, 1, sizeof(text), f) : 0;
    CHECK(read > 300 && fclose(f) == 0);
    memcpy(text + read, "-----BEGIN CERTIFICATE-----\nAAAA", 32);
    write_file(path, text, read + 32);
    refused(&s, TG_INVALID, path, "follows certificate 1 is damaged");
    write_file(path, text, read / 2);
    refused(&s, TG_INVALID, path, "no certificate");
    s = (struct cfg_tls){ good.cert_file, good.key_file, path, false };
    refused(&s, TG_INVALID, path, "no certificate");
    s.client_ca = "/none";
    refused(&s, TG_NOTFOUND, "/none", "No such file");
    unlink(path);
}

/* OpenSSL would ask the terminal for the passphrase, and the server would hang there. */
static void a_certificate_that_is_encrypted(void)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/closed", pair_folder());
    BIO *f = BIO_new_file(path, "w");
    CHECK(f && PEM_ASN1_write_bio((i2d_of_void *)i2d_X509, PEM_STRING_X509, f, good.cert,
                                  EVP_aes_128_cbc(), (const unsigned char *)"secret", 6, NULL,
                                  NULL) == 1);
    BIO_free(f);
    struct cfg_tls s = { .certificate = path, .key = good.key_file };
    refused(&s, TG_INVALID, path, "certificate 1 is encrypted");
    s = (struct cfg_tls){ good.cert_file, good.key_file, path, false };
    refused(&s, TG_INVALID, path, "certificate 1 is encrypted");
    unlink(path);
}

static void pairs_that_do_not_fit(void)
{
    const struct pair *wrong_order[] = { &other, &good }, *right_order[] = { &good, &other };
    struct gw_tls *t;
    struct tg_error err = { 0 };
    struct cfg_tls s = { .certificate = good.cert_file, .key = other.key_file };
    refused(&s, TG_INVALID, good.cert_file, "is not the key of the certificate");
    s = (struct cfg_tls){ .certificate = bundle("b", wrong_order, 2), .key = good.key_file };
    refused(&s, TG_INVALID, s.certificate, "number 2: put it first");
    s.certificate = bundle("b", right_order, 2);
    CHECK_INT(gw_tls_load(&s, time(NULL), &t, &err), TG_OK);
    STACK_OF(X509) *chain;
    SSL_CTX_get0_chain_certs(gw_tls_context(t), &chain);
    CHECK_INT(sk_X509_num(chain), 1);
    gw_tls_free(t);
    unlink(s.certificate);
}

static void dates(void)
{
    struct pair past, future;
    pair_make(&past, "past", NULL, -3, -1);
    pair_make(&future, "future", NULL, 1, 3);
    struct cfg_tls s = { .certificate = past.cert_file, .key = past.key_file };
    refused(&s, TG_INVALID, past.cert_file, "expired on 20");
    refused(&s, TG_INVALID, past.cert_file, "renew the certificate");
    s = (struct cfg_tls){ .certificate = future.cert_file, .key = future.key_file };
    refused(&s, TG_INVALID, future.cert_file, "this machine's clock");
    pair_free(&past);
    pair_free(&future);
}

static void keys_that_cannot_be_used(void)
{
    struct pair weak = { .key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024) };
    weak.cert = pair_certificate(weak.key, "weak", NULL, -1, 90);
    pair_write(&weak, "weak", NULL);
    struct cfg_tls s = { .certificate = weak.cert_file, .key = weak.key_file };
    refused(&s, TG_INVALID, weak.cert_file, "ee key too small");
    pair_free(&weak);
    struct pair closed = { .key = EVP_EC_gen("P-256") };
    closed.cert = pair_certificate(closed.key, "closed", NULL, -1, 90);
    pair_write(&closed, "closed", "secret");
    s = (struct cfg_tls){ .certificate = closed.cert_file, .key = closed.key_file };
    refused(&s, TG_INVALID, closed.key_file, "protected by a passphrase");
    pair_free(&closed);
}

static void allocations_that_fail(void)
{
    struct cfg_tls s = { good.cert_file, good.key_file, other.cert_file, true };
    struct gw_tls *t;
    struct tg_error err;
    tg_alloc_fail_nth(0);
    CHECK_INT(gw_tls_load(&s, time(NULL), &t, &err), TG_OK);
    uint64_t total = tg_alloc_count();
    gw_tls_free(t);
    CHECK(total > 3);
    for (uint64_t nth = 1; nth <= total; nth++) {
        tg_alloc_fail_nth(nth);
        enum tg_status status = gw_tls_load(&s, time(NULL), &t, &err);
        tg_alloc_fail_nth(0);
        CHECK(status == TG_NOMEM && !t && strstr(err.text, "out of memory"));
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(a_good_pair),           CASE(a_key_that_others_can_read),
        CASE(files_that_are_wrong),  CASE(pairs_that_do_not_fit),
        CASE(dates),                 CASE(keys_that_cannot_be_used),
        CASE(allocations_that_fail), CASE(a_certificate_that_is_encrypted),
    };
    pair_make(&good, "good", NULL, -1, 90);
    pair_make(&other, "other", NULL, -1, 90);
    int status = check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
    pair_free(&good);
    pair_free(&other);
    rmdir(pair_folder());
    return status;
}
