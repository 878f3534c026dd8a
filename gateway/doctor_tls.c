#include <string.h>

#include "config/base/clock.h"
#include "gateway/doctor.h"
#include "gateway/tls.h"

static void check_pair(struct gw_doctor *d, const struct cfg_tls *files, const struct gw_tls *t)
{
    const struct gw_tls_facts *f = gw_tls_facts(t);
    bool soon = gw_tls_ends_soon(f, tg_wall_ms() / 1000);
    char day[16];
    gw_tls_day(f->until_s, day);
    gw_check_add(d, soon ? GW_CHECK_WARN : GW_CHECK_OK, "tls",
                 soon ? "renew it, then send HUP to the gateway" : NULL, "%s: %s, %s, until %s",
                 files->certificate, f->subject, f->key, day);
    if (f->exposed)
        gw_check_add(d, GW_CHECK_WARN, "tls", "chmod 600 it",
                     "%s: others than its owner can read the key", files->key);
    if (f->slow)
        gw_check_add(d, GW_CHECK_WARN, "tls",
                     "have a certificate made for an EC key (P-256): it is as strong",
                     "%s: %s: each handshake holds up the others for milliseconds", files->key,
                     f->key);
    if (files->client_ca)
        gw_check_add(d, GW_CHECK_OK, "tls", NULL, "clients must show a certificate of %s",
                     files->client_ca);
}

/* What is wrong with the key "tls" itself is said where the configuration is judged. */
void gw_check_tls(struct gw_doctor *d)
{
    const struct cfg_tls *files = d->settings ? &d->settings->tls : &d->survey->tls;
    struct gw_tls *t;
    struct tg_error err = { 0 };
    if (!files->certificate || !files->key) {
        gw_check_add(d, GW_CHECK_OK, "tls", NULL, "off: the listener speaks plain HTTP");
        return;
    }
    if (gw_tls_load(files, tg_wall_ms() / 1000, &t, &err))
        gw_check_add(d, GW_CHECK_FAIL, "tls",
                     "mend or replace the file; \"tls\" in config/README.md says what is wanted",
                     "%s", err.text);
    else
        check_pair(d, files, t);
    gw_tls_free(t);
}
