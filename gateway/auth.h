/* Who asks, and whether it may: API keys (telemetry/keys.h) on the way in. What a key has under way
 * is kept in its lane. Loop thread; clocks are arguments, so that tests turn them. Internal to
 * gateway/. */
#ifndef GATEWAY_AUTH_H
#define GATEWAY_AUTH_H

#include "gateway/api/dialect.h"
#include "gateway/http.h"
#include "policy/bucket.h"
#include "policy/choose.h"
#include "telemetry/keys.h"

/* What one key uses now, whatever its secret: shared by the set of keys and all its requests. */
struct gw_lane {
    size_t refs;
    uint32_t running;
    struct pol_bucket requests, tokens;
    int64_t cap_nano; /* the budget, as the latest request knew it */
    enum cfg_period period;
    int budget; /* the store's number of it plus one, dropped when it is not needed; 0: none */
    bool declared; /* on these terms */
    struct tel_store *store; /* what budget is of; borrowed */
};

/* The key that a request came with, as it was then; all zero: no key was needed. */
struct gw_caller {
    struct tel_keys *keys;         /* one reference: what key lies in */
    const struct tel_api_key *key; /* NULL: nobody in particular */
    struct gw_lane *lane;          /* one reference; NULL until gw_caller_enter */
    double tokens;                 /* taken from lane->tokens for this request */
};

/* The secret that a request carries: Authorization: Bearer, x-api-key or api-key, whatever the
 * dialect; p NULL when it has none. False: several that differ, or another sort of
 * authorization. */
bool gw_auth_secret(const struct gw_ask *ask, struct tg_str *secret);

/* Finds the caller. Without any key in keys whoever asks from this machine is served, others are
 * not, nor those for whom a proxy on this machine says that it asks. False: e is 401 in OpenAI's
 * words, which never repeats what was sent; c is all zero. */
bool gw_auth_who(struct tel_keys *keys, const struct gw_ask *ask, int64_t now_ms,
                 struct gw_caller *c, struct api_error *e);
/* now replaces was: lanes move over. was may be NULL, or equal to now. */
void gw_auth_move(struct tel_keys *was, struct tel_keys *now);
/* Lets go of the lanes of keys that may not be used any more, revoked or expired, and that no
 * request has: a later call finds the others. (A key may be made good again meanwhile, and must not
 * get a second one.) */
void gw_auth_retire(struct tel_keys *keys, int64_t now_ms);
/* Lets go of all lanes that keys has. */
void gw_auth_drop(struct tel_keys *keys);

/* Right after gw_auth_who: counts one more request of the key, at once and a minute. False: e is
 * 429, or 503 without memory; *wait_ms: when to try again. gw_caller_free leaves what was entered.
 */
bool gw_caller_enter(struct gw_caller *c, int64_t now_ns, struct api_error *e, int64_t *wait_ms);
/* Takes what a request is expected to use. False as above. */
bool gw_caller_take(struct gw_caller *c, double tokens, int64_t now_ns, struct api_error *e,
                    int64_t *wait_ms);
/* What it did use; before gw_caller_free. */
void gw_caller_used(struct gw_caller *c, double tokens, int64_t now_ns);
void gw_caller_free(struct gw_caller *c); /* leaves all zero */

/* Whether the key may use what a request's model selects. */
bool gw_caller_may(const struct gw_caller *c, const struct cfg_settings *s,
                   const struct pol_choice *choice);
/* As pol_choose and pol_names, of what the key may use. */
bool gw_caller_choose(const struct gw_caller *c, const struct cfg_settings *s, struct tg_str name,
                      struct pol_choice *out);
size_t gw_caller_names(const struct gw_caller *c, const struct cfg_settings *s, bool remote,
                       const char *names[POL_NAMES_MAX]);
/* The store's number of the key's budget, on the terms of the latest request; declared when it is
 * first asked for. -1: there is no place for it, or no memory. c has a lane. */
int gw_caller_budget(const struct gw_caller *c, struct tel_store *store);
bool gw_caller_local_only(const struct gw_caller *c);
/* What is kept for one key and for no other belongs to this; 0: there are no keys. */
uint64_t gw_caller_owner(const struct gw_caller *c);

/* The headers of a key's limits, those that are set: x-ratelimit-..., or anthropic-ratelimit-... */
enum { GW_LIMIT_HEADERS = 6 };
struct gw_limit_header {
    const char *name;
    char value[40];
};
size_t gw_caller_limits(const struct gw_caller *c, bool anthropic, int64_t now_ns, int64_t now_ms,
                        struct gw_limit_header out[GW_LIMIT_HEADERS]);
/* Adds them, as they are now, to an answer whose headers have not left. */
void gw_caller_tell(const struct gw_caller *c, struct gw_request *rq, bool anthropic);

#endif
