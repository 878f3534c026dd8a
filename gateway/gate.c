#include "gateway/gate.h"

#include <stdio.h>

#include "config/base/clock.h"
#include "config/base/log.h"
#include "config/host.h"
#include "gateway/exchange.h"

/* --- the administrator --- */

static bool is_admin_key(const char *key, struct tg_str sent)
{
    unsigned char a[TG_SHA256_BYTES], b[TG_SHA256_BYTES];
    if (!sent.p)
        return false;
    tel_secret_hash(tg_str_of(key), a);
    tel_secret_hash(sent, b);
    return tel_hash_equal(a, b);
}

static struct tg_str without_port(struct tg_str host)
{
    size_t n = host.n;
    while (n && host.p[n - 1] >= '0' && host.p[n - 1] <= '9')
        n--;
    if (n && host.p[n - 1] == ':')
        host.n = n - 1;
    if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = (struct tg_str){ host.p + 1, host.n - 2 };
    return host;
}

/* Without a key the listener is for this machine; a page whose name was made to lead here (DNS
 * rebinding) still says its own name. */
static bool is_plain_host(struct tg_str host)
{
    return cfg_is_loopback(without_port(host));
}

static bool admit_admin(const struct gw_door *door, const struct gw_ask *ask, struct api_error *e)
{
    const struct cfg_settings *s = door->app->now->settings;
    struct tg_str secret;
    if (!s->admin.listen_host && !s->admin.key) {
        *e = gw_failure(404, "invalid_request_error", "not_found",
                        "the admin API is off: set admin.listen, admin.key or both in the "
                        "configuration; `tollgate key` works without it");
        return false;
    }
    if (s->admin.listen_host && !door->admin) {
        *e = gw_failure(404, "invalid_request_error", "not_found",
                        "the admin API has a listener of its own: admin.listen");
        return false;
    }
    if (s->admin.key) {
        if (gw_auth_secret(ask, &secret) && is_admin_key(s->admin.key, secret))
            return true;
        *e = gw_failure(401, "invalid_request_error", "invalid_api_key",
                        "the admin key is needed: send it as Authorization: Bearer");
        return false;
    }
    if (is_plain_host(ask->host))
        return true;
    *e = gw_failure(403, "permission_denied", "host",
                    "without admin.key the admin API is asked by address, as localhost or as "
                    "127.0.0.1, not by another name");
    return false;
}

/* --- everybody --- */

/* While there are no keys the machine's own are served, and so is its browser: a page whose name
 * was made to lead here is of the same origin as what it asks for, and would read it all. Its name
 * gives it away; under TLS it would need a certificate for it. No name at all: no browser. */
static bool is_rebound(const struct gw_app *app, const struct gw_ask *ask, struct api_error *e)
{
    if (app->keys->n || app->now->tls || !ask->host.n || cfg_is_inside(without_port(ask->host)))
        return false;
    *e = gw_failure(403, "permission_denied", "host",
                    "without API keys this gateway is asked by address or as localhost, not by "
                    "another name, which may be that of a web page: use http://127.0.0.1, or make "
                    "a key with `tollgate key create`");
    return true;
}

bool gw_gate(const struct gw_door *door, const struct gw_ask *ask, enum gw_access access,
             struct gw_caller *who, struct api_error *e)
{
    const struct cfg_settings *s = door->app->now->settings;
    *who = (struct gw_caller){ 0 };
    bool governed = s->admin.listen_host || s->admin.key;
    if (access == GW_BY_ANYONE)
        return true;
    if (access == GW_BY_ADMIN || (access == GW_BY_EITHER && governed))
        return admit_admin(door, ask, e);
    if (is_rebound(door->app, ask, e) ||
        !gw_auth_who(door->app->keys, ask, tg_wall_ms(), who, e))
        return false;
    if (access != GW_BY_EITHER || !who->key)
        return true;
    *e = gw_failure(403, "permission_denied", "admin",
                    "this shows what all keys do and spend: set admin.key or admin.listen in the "
                    "configuration, and ask as the administrator");
    return false;
}

/* Guessing must not fill the log. */
static void count_stranger(struct gw_app *app, const struct gw_ask *ask, const char *why)
{
    uint64_t untold;
    if (tg_log_seldom(&app->strangers, tg_mono_ns(), &untold))
        tg_log(TG_LOG_WARN, "unauthorized",
               "%llu request(s) without a valid key since the last line like this; the latest from "
               "%.*s: %s",
               (unsigned long long)untold + 1, TG_FMT(ask->peer), why);
}

void gw_gate_refuse(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                    const struct api_dialect *dialect, const struct gw_caller *who,
                    const struct api_error *e, int64_t wait_ms)
{
    char wait[24];
    if (e->status == 401) {
        count_stranger(app, ask, e->message);
        gw_http_header(rq, "www-authenticate", TG_STR("Bearer"));
    }
    if (wait_ms > 0) {
        snprintf(wait, sizeof(wait), "%lld", (long long)(wait_ms + 999) / 1000);
        gw_http_header(rq, "retry-after", tg_str_of(wait));
        gw_caller_tell(who, rq, dialect->anthropic_limits);
    }
    gw_router_refuse(app, rq, dialect, e);
}

/* --- changes --- */

void gw_gate_warn(const struct cfg_settings *s, const struct tel_keys *keys)
{
    if (s->cors.any && keys->n == 0)
        tg_log(TG_LOG_WARN, "cors-open",
               "cors.origins is \"*\" and there is no API key: every web page that a browser on "
               "this machine opens may use this gateway and read its answers; make a key with "
               "`tollgate key create --config %s --name NAME`, or list the origins that may",
               s->path);
}

static size_t count_active(const struct tel_keys *keys)
{
    int64_t now_ms = tg_wall_ms();
    size_t n = 0;
    for (size_t i = 0; i < keys->n; i++)
        n += tel_key_state(&keys->key[i], now_ms) == TEL_KEY_ACTIVE;
    return n;
}

void gw_gate_sync(struct gw_app *app)
{
    struct tel_keys *now = tel_keys_now(app->store), *was = app->keys;
    if (was == now)
        return;
    if (was && was->n && now->n == 0) { /* rows stay for ever: it is another file */
        if (!app->keys_lost)
            tg_log(TG_LOG_ERROR, "keys-lost",
                   "keys.db holds no API keys any more: those that were known stay in force until "
                   "it has some again (put a backup in its place); only a restart goes on without");
        app->keys_lost = true;
        return;
    }
    app->keys_lost = false;
    gw_auth_move(was, now);
    gw_auth_retire(now, tg_wall_ms());
    app->keys = tel_keys_ref(now);
    if (now->n)
        tg_log(TG_LOG_INFO, "keys", "%zu of %zu API key(s) may be used", count_active(now), now->n);
    else
        tg_log(TG_LOG_WARN, "no-keys",
               "there are no API keys: whoever reaches this machine's own addresses is served, "
               "through a proxy that runs here too, nobody else; `tollgate key create --config %s "
               "--name NAME` makes one",
               app->now->settings->path);
    gw_gate_warn(app->now->settings, now);
    tel_keys_unref(was);
}

void gw_gate_free(struct gw_app *app)
{
    if (app->keys)
        gw_auth_drop(app->keys);
    tel_keys_unref(app->keys);
    app->keys = NULL;
}
