#include "gateway/auth.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "config/host.h"
#include "gateway/exchange.h"

enum { SECRET_MAX = 256, BUSY_WAIT_MS = 1000 };
/* Of a key's budget: when it is as far spent, the log says so. */
enum { KEY_ALERT_MILLIONTHS = 800000 };

/* --- who --- */

/* Two headers with the same secret are one. */
static bool note(struct tg_str *secret, struct tg_str found)
{
    if (secret->p && !tg_str_eq(*secret, found))
        return false;
    *secret = found;
    return true;
}

static bool bearer(struct tg_str value, struct tg_str *token)
{
    static const char scheme[] = "bearer ";
    const size_t n = sizeof(scheme) - 1;
    if (value.n < n || !tg_str_ieq((struct tg_str){ value.p, n }, tg_str_of(scheme)))
        return false;
    *token = tg_str_trim((struct tg_str){ value.p + n, value.n - n });
    return true;
}

bool gw_auth_secret(const struct gw_ask *ask, struct tg_str *secret)
{
    *secret = (struct tg_str){ NULL, 0 };
    for (size_t i = 0; i < ask->n_headers; i++) {
        const struct gw_header *h = &ask->headers[i];
        struct tg_str value = h->value;
        bool authorization = tg_str_ieq(h->name, TG_STR("authorization"));
        if (!authorization && !tg_str_ieq(h->name, TG_STR("x-api-key")) &&
            !tg_str_ieq(h->name, TG_STR("api-key")))
            continue;
        if ((authorization && !bearer(h->value, &value)) || !note(secret, value))
            return false;
    }
    return true;
}

static struct api_error stranger(const char *why)
{
    return gw_failure(401, "invalid_request_error", "invalid_api_key", "%s", why);
}

/* Why a secret that was found is of no use. */
static const char *useless(const struct tel_api_key *key, bool old, int64_t now_ms)
{
    switch (tel_key_state(key, now_ms)) {
    case TEL_KEY_REVOKED:
        return "the API key was revoked";
    case TEL_KEY_EXPIRED:
        return "the API key has expired";
    case TEL_KEY_ACTIVE:
        break;
    }
    return old && now_ms >= key->old_until_ms
               ? "the API key was replaced by a newer one, and its time is over"
               : NULL;
}

/* Hashed only if it can be one of ours. */
static const char *look_up(struct tel_keys *keys, struct tg_str secret, int64_t now_ms,
                           const struct tel_api_key **key)
{
    unsigned char hash[TG_SHA256_BYTES];
    bool old = false;
    if (!secret.p)
        return "an API key is needed: send it as Authorization: Bearer, or as x-api-key";
    if (secret.n > SECRET_MAX || !tel_secret_fits(secret))
        return "the API key is not one of this gateway's, or not whole: they begin with tg- and "
               "have 51 characters";
    tel_secret_hash(secret, hash);
    *key = tel_keys_find(keys, hash, &old);
    return *key ? useless(*key, old, now_ms) : "the API key is not known here";
}

/* "a, b": each of them this machine; IPv4 as some proxies write it (::ffff:127.0.0.1) too. */
static bool all_from_here(struct tg_str list)
{
    static const char mapped[] = "::ffff:";
    bool here = true;
    while (here && list.n) {
        const char *comma = memchr(list.p, ',', list.n);
        size_t n = comma ? (size_t)(comma - list.p) : list.n;
        struct tg_str one = tg_str_trim((struct tg_str){ list.p, n });
        if (one.n > strlen(mapped) && strncasecmp(one.p, mapped, strlen(mapped)) == 0)
            one = (struct tg_str){ one.p + strlen(mapped), one.n - strlen(mapped) };
        here = cfg_is_loopback(one);
        n += comma != NULL;
        list = (struct tg_str){ list.p + n, list.n - n };
    }
    return here;
}

/* Whether a proxy says that it asks for somebody elsewhere. Such headers may be made up, but who
 * makes them up is refused for it. */
static bool is_forwarded(const struct gw_ask *ask)
{
    for (size_t i = 0; i < ask->n_headers; i++) {
        const struct gw_header *h = &ask->headers[i];
        if (tg_str_ieq(h->name, TG_STR("forwarded")))
            return true;
        if ((tg_str_ieq(h->name, TG_STR("x-forwarded-for")) ||
             tg_str_ieq(h->name, TG_STR("x-real-ip"))) &&
            !all_from_here(h->value))
            return true;
    }
    return false;
}

bool gw_auth_who(struct tel_keys *keys, const struct gw_ask *ask, int64_t now_ms,
                 struct gw_caller *c, struct api_error *e)
{
    struct tg_str secret;
    const char *why = NULL;
    *c = (struct gw_caller){ 0 };
    if (keys->n == 0) {
        if (cfg_is_loopback(ask->peer) && !is_forwarded(ask))
            return true;
        why = "this gateway has no API keys, and serves its own machine only, not for others "
              "behind a proxy: `tollgate key create` makes a key";
    } else if (!gw_auth_secret(ask, &secret)) {
        why = "send one API key, as Authorization: Bearer or as x-api-key";
    } else {
        why = look_up(keys, secret, now_ms, &c->key);
    }
    if (why) {
        *c = (struct gw_caller){ 0 };
        *e = stranger(why);
        return false;
    }
    c->keys = tel_keys_ref(keys);
    return true;
}

/* --- lanes --- */

static void drop_budget(struct gw_lane *lane)
{
    if (lane->budget)
        tel_budget_drop(lane->store, lane->budget - 1);
    lane->budget = 0;
    lane->declared = false;
}

static void let_go(struct gw_lane *lane)
{
    if (!lane || --lane->refs > 0)
        return;
    drop_budget(lane);
    tg_free(lane);
}

/* Both are in the order of creation. */
void gw_auth_move(struct tel_keys *was, struct tel_keys *now)
{
    size_t k = 0;
    if (!was || was == now)
        return;
    for (size_t i = 0; i < was->n; i++) {
        while (k < now->n && now->key[k].seq < was->key[i].seq)
            k++;
        if (k < now->n && now->key[k].seq == was->key[i].seq &&
            now->key[k].number == was->key[i].number && !now->slot[k])
            now->slot[k] = was->slot[i];
        else
            let_go(was->slot[i]);
        was->slot[i] = NULL;
    }
}

static void let_go_at(struct tel_keys *keys, size_t i)
{
    let_go(keys->slot[i]);
    keys->slot[i] = NULL;
}

void gw_auth_retire(struct tel_keys *keys, int64_t now_ms)
{
    for (size_t i = 0; i < keys->n; i++) {
        const struct gw_lane *lane = keys->slot[i];
        if (lane && lane->refs == 1 && tel_key_state(&keys->key[i], now_ms) != TEL_KEY_ACTIVE)
            let_go_at(keys, i);
    }
}

void gw_auth_drop(struct tel_keys *keys)
{
    for (size_t i = 0; i < keys->n; i++)
        let_go_at(keys, i);
}

/* The lane of the key, made when it is used for the first time. */
static struct gw_lane *lane_of(struct gw_caller *c)
{
    void **slot = &c->keys->slot[c->key - c->keys->key];
    if (!*slot) {
        struct gw_lane *lane = tg_calloc(1, sizeof(*lane));
        if (!lane)
            return NULL;
        lane->refs = 1;
        *slot = lane;
    }
    return *slot;
}

static struct api_error limited(const char *type, uint32_t limit, const char *of)
{
    return gw_failure(429, type, "rate_limit_exceeded",
                      "the API key's limit of %u %s is reached; try again later", limit, of);
}

bool gw_caller_enter(struct gw_caller *c, int64_t now_ns, struct api_error *e, int64_t *wait_ms)
{
    *wait_ms = BUSY_WAIT_MS;
    if (!c->key)
        return true;
    struct gw_lane *lane = lane_of(c);
    if (!lane) {
        *e = gw_failure(503, "server_error", NULL, "out of memory");
        return false;
    }
    pol_bucket_limit(&lane->requests, c->key->rpm, now_ns);
    pol_bucket_limit(&lane->tokens, c->key->tpm, now_ns);
    if (c->key->concurrent && lane->running >= c->key->concurrent) {
        *e = limited("requests", c->key->concurrent, "requests at once");
        return false;
    }
    if (!pol_bucket_take(&lane->requests, 1, now_ns)) {
        *wait_ms = pol_bucket_wait_ms(&lane->requests, 1, now_ns);
        *e = limited("requests", c->key->rpm, "requests a minute");
        return false;
    }
    if (c->key->has_budget) {
        if (lane->cap_nano != c->key->budget_nano || lane->period != c->key->period)
            lane->declared = false;
        lane->cap_nano = c->key->budget_nano;
        lane->period = c->key->period;
    } else if (lane->refs == 1) { /* those that run keep what they began with */
        drop_budget(lane);
    }
    lane->refs++;
    lane->running++;
    c->lane = lane;
    return true;
}

bool gw_caller_take(struct gw_caller *c, double tokens, int64_t now_ns, struct api_error *e,
                    int64_t *wait_ms)
{
    if (!c->lane)
        return true;
    if (!pol_bucket_take(&c->lane->tokens, tokens, now_ns)) {
        *wait_ms = pol_bucket_wait_ms(&c->lane->tokens, tokens, now_ns);
        *e = limited("tokens", c->key->tpm, "tokens a minute");
        return false;
    }
    c->tokens += tokens;
    return true;
}

void gw_caller_used(struct gw_caller *c, double tokens, int64_t now_ns)
{
    if (c->lane)
        pol_bucket_correct(&c->lane->tokens, c->tokens - tokens, now_ns);
    c->tokens = tokens;
}

void gw_caller_free(struct gw_caller *c)
{
    if (c->lane)
        c->lane->running--;
    let_go(c->lane);
    tel_keys_unref(c->keys);
    *c = (struct gw_caller){ 0 };
}

/* --- what it may --- */

bool gw_caller_may(const struct gw_caller *c, const struct cfg_settings *s,
                   const struct pol_choice *choice)
{
    if (!c->key || (c->key->routes.n == 0 && c->key->models.n == 0))
        return true;
    struct tg_str name = tg_str_of(choice->local ? "local" : s->routes[choice->route].name);
    if (choice->provider.n == 0)
        return tel_list_has(c->key->routes, name) || tel_list_has(c->key->models, name);
    char id[300];
    int n = snprintf(id, sizeof(id), "%.*s/%.*s", TG_FMT(choice->provider), TG_FMT(choice->model));
    return n > 0 && (size_t)n < sizeof(id) && tel_list_has(c->key->models, tg_str_of(id));
}

bool gw_caller_choose(const struct gw_caller *c, const struct cfg_settings *s, struct tg_str name,
                      struct pol_choice *out)
{
    return pol_choose(s, name, out) && gw_caller_may(c, s, out);
}

size_t gw_caller_names(const struct gw_caller *c, const struct cfg_settings *s, bool remote,
                       const char *names[POL_NAMES_MAX])
{
    struct pol_choice choice;
    size_t n = pol_names(s, remote, names), kept = 0;
    for (size_t i = 0; i < n; i++)
        if (gw_caller_choose(c, s, tg_str_of(names[i]), &choice))
            names[kept++] = names[i];
    return kept;
}

int gw_caller_budget(const struct gw_caller *c, struct tel_store *store)
{
    struct gw_lane *lane = c->lane;
    char name[8 + TEL_KEY_ID];
    if (lane->declared)
        return lane->budget - 1;
    snprintf(name, sizeof(name), "key:%s", c->key->id);
    int budget = tel_budget(store, name, lane->cap_nano, lane->period, KEY_ALERT_MILLIONTHS);
    if (budget < 0)
        return -1;
    if (lane->budget) /* the same one, on other terms: held once is enough */
        tel_budget_drop(store, budget);
    lane->store = store;
    lane->budget = budget + 1;
    lane->declared = true;
    return budget;
}

bool gw_caller_local_only(const struct gw_caller *c)
{
    return c->key && c->key->local_only;
}

uint64_t gw_caller_owner(const struct gw_caller *c)
{
    return c->key ? c->key->number : 0;
}

/* --- what is left --- */

/* As OpenAI writes a time to go: "1s", "6m0s", "120ms". */
static void print_span(int64_t ms, char out[40])
{
    if (ms < 1000)
        snprintf(out, 40, "%lldms", (long long)ms);
    else if (ms < 60000)
        snprintf(out, 40, "%lld.%03llds", (long long)(ms / 1000), (long long)(ms % 1000));
    else
        snprintf(out, 40, "%lldm%llds", (long long)(ms / 60000), (long long)(ms / 1000 % 60));
}

static void print_moment(int64_t ms, char out[40])
{
    time_t seconds = (time_t)((ms + 999) / 1000);
    struct tm utc = { 0 };
    gmtime_r(&seconds, &utc);
    strftime(out, 40, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

static size_t add_limit(struct pol_bucket *b, const char *const names[3], bool anthropic,
                        int64_t now_ns, int64_t now_ms, struct gw_limit_header *out)
{
    if (b->per_minute == 0)
        return 0;
    for (int i = 0; i < 3; i++)
        out[i].name = names[i];
    snprintf(out[0].value, sizeof(out[0].value), "%u", b->per_minute);
    snprintf(out[1].value, sizeof(out[1].value), "%u", pol_bucket_left(b, now_ns));
    int64_t full_ms = pol_bucket_full_ms(b, now_ns);
    if (anthropic)
        print_moment(now_ms + full_ms, out[2].value);
    else
        print_span(full_ms, out[2].value);
    return 3;
}

size_t gw_caller_limits(const struct gw_caller *c, bool anthropic, int64_t now_ns, int64_t now_ms,
                        struct gw_limit_header out[GW_LIMIT_HEADERS])
{
    static const char *const names[2][2][3] = {
        { { "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests" },
          { "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens",
            "x-ratelimit-reset-tokens" } },
        { { "anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset" },
          { "anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset" } },
    };
    struct gw_lane *lane = c->lane; /* the set may be an older one, whose lanes have moved on */
    if (!lane && c->key)
        lane = c->keys->slot[c->key - c->keys->key];
    if (!lane)
        return 0;
    size_t n = add_limit(&lane->requests, names[anthropic][0], anthropic, now_ns, now_ms, out);
    return n + add_limit(&lane->tokens, names[anthropic][1], anthropic, now_ns, now_ms, out + n);
}

void gw_caller_tell(const struct gw_caller *c, struct gw_request *rq, bool anthropic)
{
    struct gw_limit_header headers[GW_LIMIT_HEADERS];
    size_t n = c->key ? gw_caller_limits(c, anthropic, tg_mono_ns(), tg_wall_ms(), headers) : 0;
    for (size_t i = 0; i < n; i++)
        gw_http_header(rq, headers[i].name, tg_str_of(headers[i].value));
}
