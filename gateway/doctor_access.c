#include <string.h>

#include "config/base/clock.h"
#include "config/host.h"
#include "gateway/doctor.h"
#include "telemetry/keys.h"

/* The gateway warns of the same: gw_gate_warn. */
static void check_pages(struct gw_doctor *d, const struct tel_keys *keys)
{
    if (d->settings && d->settings->cors.any && keys->n == 0)
        gw_check_add(d, GW_CHECK_WARN, "access",
                     "tollgate key create --name NAME with the same --config, or list the origins "
                     "that may",
                     "cors.origins is \"*\" and there is no API key: every web page that a browser "
                     "on this machine opens may use the gateway and read its answers");
}

/* Who is let in, as far as keys tell. */
static void check_api_keys(struct gw_doctor *d, const struct tel_keys *keys)
{
    const char *host = d->survey->listen_host;
    bool here = cfg_is_loopback(tg_str_of(host));
    size_t counts[3] = { 0 };
    int64_t now_ms = tg_wall_ms();
    for (size_t i = 0; i < keys->n; i++)
        counts[tel_key_state(&keys->key[i], now_ms)]++;
    if (keys->n == 0 && here)
        gw_check_add(d, GW_CHECK_OK, "access", NULL,
                     "no API key: whoever is on this machine is served, and whoever comes through "
                     "a reverse proxy or tunnel on it, nobody else");
    else if (keys->n == 0)
        gw_check_add(d, GW_CHECK_FAIL, "access",
                     "tollgate key create --name NAME with the same --config, or listen on "
                     "127.0.0.1",
                     "listen is %s, which others can reach, and there is no API key", host);
    else if (counts[TEL_KEY_ACTIVE] == 0)
        gw_check_add(d, GW_CHECK_WARN, "access",
                     "tollgate key create --name NAME with the same --config",
                     "none of the %zu API key(s) may be used: everybody is refused", keys->n);
    else
        gw_check_add(d, GW_CHECK_OK, "access", NULL,
                     "%zu API key(s) may be used, %zu expired, %zu revoked; listen is %s",
                     counts[TEL_KEY_ACTIVE], counts[TEL_KEY_EXPIRED], counts[TEL_KEY_REVOKED],
                     host);
}

static void check_admin(struct gw_doctor *d)
{
    const struct cfg_settings *s = d->settings;
    if (!s)
        return;
    if (s->admin.listen_host)
        gw_check_add(d, GW_CHECK_OK, "access", NULL, "admin API: %s port %u, %s",
                     s->admin.listen_host, s->admin.listen_port,
                     s->admin.key ? "with a key" : "for this machine, without a key");
    else
        gw_check_add(d, GW_CHECK_OK, "access", NULL, "admin API: %s",
                     s->admin.key ? "where the gateway listens, with a key" : "off");
}

void gw_check_access(struct gw_doctor *d)
{
    struct tel_keys *keys = NULL;
    struct tg_error err;
    if (!d->survey->data_dir)
        return;
    if (tel_keys_load(d->survey->data_dir, &keys, &err) == TG_OK) {
        check_api_keys(d, keys);
        check_pages(d, keys);
    } else {
        gw_check_add(d, GW_CHECK_FAIL, "access", "nobody is served before that is mended", "%s",
                     err.text);
    }
    tel_keys_unref(keys);
    check_admin(d);
}
