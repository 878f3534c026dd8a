/* Keys on the way in: which secret, whose, what its limits leave. The clock is turned by hand. */
#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "gateway/auth.h"
#include "telemetry/keys_db.h"

#define SECOND INT64_C(1000000000)

static char secrets[4][TEL_SECRET + 1];

/* A key as keys.db would have it, with the secret of the same number; n at most 4. */
static struct tel_api_key *add(struct tel_keys *k, size_t secret, int64_t seq)
{
    struct tel_api_key *key = &k->key[k->n++];
    key->seq = seq;
    key->number = (uint64_t)seq + 100;
    snprintf(key->id, sizeof(key->id), "key_%012llx", (unsigned long long)key->number);
    tel_secret_hash(tg_str_of(secrets[secret]), key->hash);
    return key;
}

static struct tel_keys *one_key(void)
{
    struct tel_keys *k = tel_keys_new(4);
    CHECK(k);
    add(k, 0, 1);
    tel_keys_index(k);
    return k;
}

static struct api_error e;
static struct gw_caller who;

static struct gw_ask asking(const struct gw_header *headers, size_t n)
{
    return (struct gw_ask){ .headers = headers, .n_headers = n, .peer = TG_STR("127.0.0.1") };
}

static bool identify(struct tel_keys *k, const char *secret, int64_t now_ms)
{
    char value[200];
    snprintf(value, sizeof(value), "Bearer %s", secret);
    struct gw_header header = { TG_STR("Authorization"), tg_str_of(value) };
    struct gw_ask ask = asking(&header, 1);
    return gw_auth_who(k, &ask, now_ms, &who, &e);
}

static void the_secret_is_found_in_any_of_three_headers(void)
{
    static const struct {
        const char *name[2], *value[2], *secret; /* secret "!": refused */
    } rows[] = {
        { { "authorization" }, { "Bearer abc" }, "abc" },
        { { "Authorization" }, { "bEARER   abc  " }, "abc" },
        { { "x-api-key" }, { "abc" }, "abc" },
        { { "api-key" }, { "abc" }, "abc" },
        { { "accept" }, { "abc" }, NULL },
        { { "authorization" }, { "Basic abc" }, "!" },
        { { "authorization" }, { "Bearer" }, "!" },
        { { "authorization", "x-api-key" }, { "Bearer abc", "abc" }, "abc" },
        { { "authorization", "x-api-key" }, { "Bearer abc", "abd" }, "!" },
        { { "authorization", "authorization" }, { "Bearer abc", "Bearer abd" }, "!" },
        { { "x-api-key", "api-key" }, { "a", "b" }, "!" },
        { { "x-api-key", "authorization" }, { "abc", "Basic abc" }, "!" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct gw_header headers[2];
        size_t n = rows[i].name[1] ? 2 : 1;
        for (size_t k = 0; k < n; k++)
            headers[k] = (struct gw_header){ tg_str_of(rows[i].name[k]),
                                             tg_str_of(rows[i].value[k]) };
        struct gw_ask ask = asking(headers, n);
        struct tg_str secret;
        bool fine = gw_auth_secret(&ask, &secret);
        bool refused = rows[i].secret && rows[i].secret[0] == '!';
        if (fine == refused ||
            (fine && !tg_str_eq(secret, tg_str_of(rows[i].secret ? rows[i].secret : ""))))
            CHECK_FAIL("row %zu", i);
        CHECK(refused || (secret.p != NULL) == (rows[i].secret != NULL));
    }
}

static void without_keys_this_machine_is_served(void)
{
    static const struct {
        const char *peer;
        bool served;
    } rows[] = { { "127.0.0.1", true }, { "::1", true },        { "127.9.9.9", true },
                 { "192.0.2.1", false }, { "2001:db8::1", false }, { "", false } };
    struct tel_keys *none = tel_keys_new(0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct gw_ask ask = { .peer = tg_str_of(rows[i].peer) };
        CHECK_INT(gw_auth_who(none, &ask, 0, &who, &e), rows[i].served);
        CHECK(!who.key);
        CHECK(rows[i].served || e.status == 401);
        int64_t wait;
        CHECK(gw_caller_enter(&who, 0, &e, &wait) && gw_caller_owner(&who) == 0);
        CHECK(!gw_caller_local_only(&who));
        gw_caller_free(&who);
    }
    tel_keys_unref(none);
}

static void without_keys_nobody_is_served_through_a_proxy(void)
{
    static const struct {
        const char *name, *value;
        bool served;
    } rows[] = {
        { "x-forwarded-for", "203.0.113.9", false },
        { "X-Forwarded-For", "127.0.0.1, 203.0.113.9", false },
        { "x-forwarded-for", "203.0.113.9, 127.0.0.1", false },
        { "x-forwarded-for", "unknown", false },
        { "x-forwarded-for", "127.0.0.1,", true },
        { "x-forwarded-for", ",", false },
        { "x-forwarded-for", "127.0.0.1, ::1,::FFFF:127.0.0.1", true },
        { "x-forwarded-for", "::ffff:203.0.113.9", false },
        { "x-real-ip", "10.0.0.1", false },
        { "x-real-ip", "::1", true },
        { "forwarded", "for=127.0.0.1", false },
        { "x-forwarded-proto", "https", true },
    };
    struct tel_keys *none = tel_keys_new(0), *k = one_key();
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct gw_header header = { tg_str_of(rows[i].name), tg_str_of(rows[i].value) };
        struct gw_ask ask = asking(&header, 1);
        CHECK_INT(gw_auth_who(none, &ask, 0, &who, &e), rows[i].served);
        CHECK(rows[i].served || (e.status == 401 && strstr(e.message, "behind a proxy")));
        gw_caller_free(&who);
    }
    char value[80];
    snprintf(value, sizeof(value), "Bearer %s", secrets[0]);
    const struct gw_header both[] = { { TG_STR("x-forwarded-for"), TG_STR("203.0.113.9") },
                                      { TG_STR("authorization"), tg_str_of(value) } };
    struct gw_ask ask = asking(both, 2);
    CHECK(gw_auth_who(k, &ask, 5, &who, &e)); /* with keys it does not matter */
    gw_caller_free(&who);
    tel_keys_unref(none);
    tel_keys_unref(k);
}

static void a_key_is_needed_once_there_is_one(void)
{
    struct tel_keys *k = one_key();
    struct gw_ask ask = asking(NULL, 0);
    CHECK(!gw_auth_who(k, &ask, 0, &who, &e));
    CHECK(e.status == 401 && strstr(e.message, "is needed"));
    CHECK(identify(k, secrets[0], 5));
    CHECK(who.key == &k->key[0] && who.keys == k && k->refs == 2);
    CHECK_INT(gw_caller_owner(&who), 101);
    gw_caller_free(&who);
    CHECK(!who.key && k->refs == 1);
    CHECK(!identify(k, secrets[1], 5) && strstr(e.message, "not known"));
    CHECK(!who.key && k->refs == 1);
    /* never what was sent */
    char typo[TEL_SECRET + 1];
    memcpy(typo, secrets[0], sizeof(typo));
    typo[10] = typo[10] == 'a' ? 'b' : 'a';
    CHECK(!identify(k, typo, 5) && strstr(e.message, "not whole") && !strstr(e.message, typo + 5));
    CHECK(!identify(k, "", 5) && e.status == 401);
    tel_keys_unref(k);
}

static void time_and_revocation_end_a_key(void)
{
    struct tel_keys *k = tel_keys_new(2);
    struct tel_api_key *key = add(k, 0, 1);
    key->expires_ms = 1000;
    key->old_until_ms = 500;
    tel_secret_hash(tg_str_of(secrets[1]), key->old_hash);
    key = add(k, 2, 2);
    key->revoked_ms = 7;
    tel_keys_index(k);
    CHECK(identify(k, secrets[0], 999));
    gw_caller_free(&who);
    CHECK(!identify(k, secrets[0], 1000) && strstr(e.message, "expired"));
    CHECK(identify(k, secrets[1], 499));
    gw_caller_free(&who);
    CHECK(!identify(k, secrets[1], 500) && strstr(e.message, "replaced"));
    CHECK(!identify(k, secrets[2], 0) && strstr(e.message, "revoked"));
    tel_keys_unref(k);
}

static void requests_a_minute_and_at_once(void)
{
    struct tel_keys *k = one_key();
    struct gw_caller many[3];
    int64_t wait, now = 77 * SECOND;
    k->key[0].rpm = 3;
    k->key[0].concurrent = 2;
    for (int i = 0; i < 2; i++) {
        CHECK(identify(k, secrets[0], 1));
        CHECK(gw_caller_enter(&who, now, &e, &wait));
        many[i] = who;
    }
    CHECK(identify(k, secrets[0], 1));
    CHECK(!gw_caller_enter(&who, now, &e, &wait));
    CHECK(e.status == 429 && strstr(e.message, "2 requests at once") && wait > 0);
    CHECK_STR(e.code, "rate_limit_exceeded");
    gw_caller_free(&who);
    gw_caller_free(&many[0]);
    CHECK(identify(k, secrets[0], 1));
    CHECK(gw_caller_enter(&who, now, &e, &wait)); /* the third of this minute */
    gw_caller_free(&who);
    CHECK(identify(k, secrets[0], 1));
    CHECK(!gw_caller_enter(&who, now, &e, &wait));
    CHECK(strstr(e.message, "3 requests a minute"));
    CHECK_INT(wait, 20000);
    gw_caller_free(&who);
    CHECK(identify(k, secrets[0], 1));
    CHECK(gw_caller_enter(&who, now + 20 * SECOND, &e, &wait));
    gw_caller_free(&who);
    gw_caller_free(&many[1]);
    gw_auth_drop(k);
    tel_keys_unref(k);
}

static void tokens_are_charged_as_expected_and_corrected(void)
{
    struct tel_keys *k = one_key();
    int64_t wait;
    k->key[0].tpm = 1000;
    CHECK(identify(k, secrets[0], 1));
    CHECK(gw_caller_enter(&who, 0, &e, &wait));
    CHECK(gw_caller_take(&who, 900, 0, &e, &wait));
    struct gw_caller other;
    struct gw_caller first = who;
    CHECK(identify(k, secrets[0], 1) && gw_caller_enter(&who, 0, &e, &wait));
    other = who;
    CHECK(!gw_caller_take(&other, 400, 0, &e, &wait));
    CHECK(e.status == 429 && strstr(e.message, "1000 tokens a minute"));
    CHECK_STR(e.type, "tokens");
    CHECK_INT(wait, 18000);
    gw_caller_used(&first, 100, 0); /* it answered shortly */
    CHECK(gw_caller_take(&other, 400, 0, &e, &wait));
    gw_caller_used(&other, 2000, 0);
    gw_caller_free(&first);
    gw_caller_free(&other);
    CHECK(identify(k, secrets[0], 1) && gw_caller_enter(&who, 0, &e, &wait));
    CHECK(!gw_caller_take(&who, 1, 0, &e, &wait) && wait > 60000);
    gw_caller_free(&who);
    gw_auth_drop(k);
    tel_keys_unref(k);
}

static void headers_tell_what_is_left(void)
{
    struct tel_keys *k = one_key();
    struct gw_limit_header h[GW_LIMIT_HEADERS];
    int64_t wait;
    CHECK(identify(k, secrets[0], 1) && gw_caller_enter(&who, 0, &e, &wait));
    CHECK_INT(gw_caller_limits(&who, false, 0, 0, h), 0); /* none is set */
    gw_caller_free(&who);
    k->key[0].rpm = 60;
    k->key[0].tpm = 600;
    CHECK(identify(k, secrets[0], 1) && gw_caller_enter(&who, 0, &e, &wait));
    CHECK(gw_caller_take(&who, 150, 0, &e, &wait));
    CHECK_INT(gw_caller_limits(&who, false, 0, 0, h), 6);
    static const char *const openai[][2] = {
        { "x-ratelimit-limit-requests", "60" },   { "x-ratelimit-remaining-requests", "59" },
        { "x-ratelimit-reset-requests", "1.000s" }, { "x-ratelimit-limit-tokens", "600" },
        { "x-ratelimit-remaining-tokens", "450" }, { "x-ratelimit-reset-tokens", "15.000s" },
    };
    static const char *const anthropic[][2] = {
        { "anthropic-ratelimit-requests-limit", "60" },
        { "anthropic-ratelimit-requests-remaining", "59" },
        { "anthropic-ratelimit-requests-reset", "2026-11-20T12:00:01Z" },
        { "anthropic-ratelimit-tokens-limit", "600" },
        { "anthropic-ratelimit-tokens-remaining", "450" },
        { "anthropic-ratelimit-tokens-reset", "2026-11-20T12:00:15Z" },
    };
    for (size_t i = 0; i < 6; i++) {
        CHECK_STR(h[i].name, openai[i][0]);
        CHECK_STR(h[i].value, openai[i][1]);
    }
    CHECK_INT(gw_caller_limits(&who, true, 0, 1795176000000, h), 6);
    for (size_t i = 0; i < 6; i++) {
        CHECK_STR(h[i].name, anthropic[i][0]);
        CHECK_STR(h[i].value, anthropic[i][1]);
    }
    gw_caller_used(&who, 100000, 0);
    CHECK_INT(gw_caller_limits(&who, false, 0, 0, h), 6);
    CHECK_STR(h[4].value, "0");
    CHECK_STR(h[5].value, "166m40s");
    gw_caller_free(&who);
    gw_auth_drop(k);
    tel_keys_unref(k);
}

/* A new set of keys: what runs is counted on, whatever came, went or changed its place. */
static void lanes_move_to_a_new_set(void)
{
    struct tel_keys *was = tel_keys_new(3), *now = tel_keys_new(3);
    struct gw_caller running[3];
    int64_t wait;
    for (size_t i = 0; i < 3; i++)
        add(was, i, (int64_t)i + 1)->concurrent = 1;
    tel_keys_index(was);
    for (size_t i = 0; i < 3; i++) {
        CHECK(identify(was, secrets[i], 1) && gw_caller_enter(&who, 0, &e, &wait));
        running[i] = who;
    }
    add(now, 0, 1)->concurrent = 1; /* 2 is forgotten */
    add(now, 2, 3)->concurrent = 2;
    struct tel_api_key *other = add(now, 3, 4); /* and 4 is new */
    other->concurrent = 1;
    tel_keys_index(now);
    gw_auth_move(was, now);
    gw_auth_move(now, now);
    gw_auth_move(NULL, now);
    tel_keys_unref(was); /* the requests still hold it */
    CHECK(identify(now, secrets[0], 1) && !gw_caller_enter(&who, 0, &e, &wait));
    gw_caller_free(&who);
    gw_caller_free(&running[0]);
    CHECK(identify(now, secrets[0], 1) && gw_caller_enter(&who, 0, &e, &wait));
    gw_caller_free(&who);
    CHECK(identify(now, secrets[2], 1) && gw_caller_enter(&who, 0, &e, &wait));
    CHECK(who.lane == running[2].lane && who.lane->running == 2);
    gw_caller_free(&who);
    gw_caller_free(&running[1]);
    gw_caller_free(&running[2]);
    gw_auth_drop(now);
    tel_keys_unref(now);
}

static void pump(struct tel_store *store)
{
    for (int i = 0; i < 4; i++) {
        tel_flush(store);
        tel_dispatch(store);
    }
}

struct store_rig {
    char dir[64];
    struct tel_options options;
    struct tel_store *store;
};

static void open_store(struct store_rig *r)
{
    struct tg_error err;
    snprintf(r->dir, sizeof(r->dir), "%s/tollgate-auth-XXXXXX", P_tmpdir);
    r->options.dir = mkdtemp(r->dir);
    CHECK(r->options.dir && tel_open(&r->options, &r->store, &err) == TG_OK);
}

static void close_store(struct store_rig *r)
{
    static const char *const files[] = { "ledger.db", "log.db", "keys.db", "lock" };
    tel_close(r->store);
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        char path[96];
        snprintf(path, sizeof(path), "%s/%s", r->dir, files[i]);
        remove(path);
    }
    CHECK(rmdir(r->dir) == 0);
}

static int enter_with_budget(struct tel_keys *k, size_t secret, int64_t nano, struct gw_caller *out,
                             struct tel_store *store)
{
    int64_t wait;
    k->key[secret].has_budget = true;
    k->key[secret].budget_nano = nano;
    CHECK(identify(k, secrets[secret], 1) && gw_caller_enter(&who, 0, &e, &wait));
    *out = who;
    return gw_caller_budget(out, store);
}

/* A key that expires while a request of it runs, and then is good again on narrower terms: the one
 * that runs has the same lane, so that it neither brings the old terms back nor is left out of
 * count. */
static void an_expired_key_comes_back(void)
{
    struct store_rig rig = { .options.lease_nano = 100 };
    struct tel_keys *k = tel_keys_new(1);
    struct gw_caller early, late;
    open_store(&rig);
    add(k, 0, 1);
    tel_keys_index(k);
    int64_t wait;
    k->key[0].budget_nano = 1000;
    k->key[0].has_budget = true;
    CHECK(identify(k, secrets[0], 1) && gw_caller_enter(&who, 0, &e, &wait));
    early = who; /* nothing was drawn yet */
    k->key[0].expires_ms = 2;
    gw_auth_retire(k, 3);
    k->key[0].expires_ms = 0;
    k->key[0].budget_nano = 10;
    k->key[0].concurrent = 2;
    CHECK(identify(k, secrets[0], 4) && gw_caller_enter(&who, 0, &e, &wait));
    late = who;
    CHECK_INT(gw_caller_budget(&late, rig.store), 0);
    CHECK_INT(gw_caller_budget(&early, rig.store), 0);
    CHECK_INT(tel_budget_state(rig.store, 0).cap, 10);
    CHECK(identify(k, secrets[0], 4) && !gw_caller_enter(&who, 0, &e, &wait)); /* two run */
    gw_caller_free(&who);
    k->key[0].has_budget = false; /* those that run keep it, behind them its place is free */
    k->key[0].budget_nano = 0;
    k->key[0].concurrent = 0;
    for (int alone = 0; alone < 2; alone++) {
        CHECK(identify(k, secrets[0], 4) && gw_caller_enter(&who, 0, &e, &wait));
        pump(rig.store);
        CHECK((tel_budget_name(rig.store, 0) == NULL) == alone);
        CHECK(alone || (gw_caller_budget(&early, rig.store) == 0 &&
                        tel_budget_state(rig.store, 0).cap == 10));
        gw_caller_free(&who);
        gw_caller_free(&early);
        gw_caller_free(&late);
    }
    gw_auth_drop(k);
    tel_keys_unref(k);
    close_store(&rig);
}

/* A key that is revoked or has expired gives the place of its budget back, behind the last of its
 * requests. */
static void budgets_go_with_their_keys(void)
{
    struct store_rig rig = { .options.lease_nano = 100 };
    struct tel_keys *was = tel_keys_new(3), *now = tel_keys_new(3);
    struct gw_caller running[3], again;
    open_store(&rig);
    struct tel_store *store = rig.store;
    for (size_t i = 0; i < 3; i++) {
        add(was, i, (int64_t)i + 1);
        add(now, i, (int64_t)i + 1);
    }
    tel_keys_index(was);
    for (size_t i = 0; i < 3; i++)
        CHECK_INT(enter_with_budget(was, i, 1000, &running[i], store), i);
    CHECK_INT(enter_with_budget(was, 0, 500, &again, store), 0); /* other terms, the same budget */
    CHECK_INT(tel_budget_state(store, 0).cap, 500);
    gw_caller_free(&again);
    gw_caller_free(&running[1]);
    now->key[0].revoked_ms = now->key[1].revoked_ms = 2;
    tel_keys_index(now);
    gw_auth_move(was, now);
    gw_auth_retire(now, 3);
    tel_keys_unref(was);
    pump(store);
    CHECK(tel_budget_name(store, 0) && !tel_budget_name(store, 1) && tel_budget_name(store, 2));
    gw_caller_free(&running[0]);
    gw_caller_free(&running[2]);
    gw_auth_retire(now, 4); /* the next look */
    pump(store);
    CHECK(!tel_budget_name(store, 0) && tel_budget_name(store, 2)); /* which may be used */
    now->key[2].expires_ms = 9;
    gw_auth_retire(now, 8);
    pump(store);
    CHECK_STR(tel_budget_name(store, 2), "key:key_000000000067");
    gw_auth_retire(now, 9);
    pump(store);
    CHECK(!tel_budget_name(store, 2));
    gw_auth_drop(now);
    tel_keys_unref(now);
    close_store(&rig);
}

static struct cfg_settings settings;

static bool may(struct tel_keys *k, const char *name)
{
    struct pol_choice choice;
    struct gw_caller c = { .keys = k, .key = &k->key[0] };
    return gw_caller_choose(&c, &settings, tg_str_of(name), &choice);
}

static void lists_say_what_a_request_may_name(void)
{
    static const struct {
        const char *routes, *models, *may; /* of a, b, local, p/m, q: as digits */
    } rows[] = {
        { "", "", "12345" },      { "a", "", "1" },        { "b,local", "", "235" },
        { "", "p/m", "4" },       { "a", "p/m", "14" },    { "", "local", "3" },
        { "other", "", "" },
    };
    static const char *const names[] = { "a", "b", "local", "p/m", "q" };
    settings = (struct cfg_settings){ .n_routes = 2, .n_providers = 1, .n_aliases = 1 };
    settings.routes[0].name = "a";
    settings.routes[1].name = "b";
    settings.providers[0].name = "p";
    settings.aliases[0] = (struct cfg_alias){ .name = "q", .target = "b" };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct tel_keys *k = one_key();
        k->key[0].routes = tg_str_of(rows[i].routes);
        k->key[0].models = tg_str_of(rows[i].models);
        for (size_t n = 0; n < 5; n++)
            if (may(k, names[n]) != (strchr(rows[i].may, (int)('1' + n)) != NULL))
                CHECK_FAIL("row %zu: %s", i, names[n]);
        CHECK_INT(may(k, ""), may(k, "a"));
        CHECK(!may(k, "p/other") || rows[i].models[0] == rows[i].routes[0]);
        tel_keys_unref(k);
    }
    struct gw_caller c = { 0 };
    const char *shown[POL_NAMES_MAX];
    CHECK_INT(gw_caller_names(&c, &settings, true, shown), 4);
    struct tel_keys *k = one_key();
    k->key[0].routes = TG_STR("b");
    c.key = &k->key[0];
    CHECK_INT(gw_caller_names(&c, &settings, true, shown), 2);
    CHECK_STR(shown[0], "b");
    CHECK_STR(shown[1], "q");
    tel_keys_unref(k);
}

static void a_lane_without_memory(void)
{
    struct tel_keys *k = one_key();
    int64_t wait;
    CHECK(identify(k, secrets[0], 1));
    tg_alloc_fail_nth(1);
    CHECK(!gw_caller_enter(&who, 0, &e, &wait));
    tg_alloc_fail_nth(0);
    CHECK_INT(e.status, 503);
    gw_caller_free(&who);
    gw_auth_drop(k);
    tel_keys_unref(k);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(the_secret_is_found_in_any_of_three_headers),
        CASE(without_keys_this_machine_is_served),
        CASE(without_keys_nobody_is_served_through_a_proxy),
        CASE(a_key_is_needed_once_there_is_one),
        CASE(time_and_revocation_end_a_key),
        CASE(requests_a_minute_and_at_once),
        CASE(tokens_are_charged_as_expected_and_corrected),
        CASE(headers_tell_what_is_left),
        CASE(lanes_move_to_a_new_set),
        CASE(an_expired_key_comes_back), CASE(budgets_go_with_their_keys),
        CASE(lists_say_what_a_request_may_name),
        CASE(a_lane_without_memory),
    };
    struct tg_error err;
    for (size_t i = 0; i < 4; i++)
        if (tel_secret_make(secrets[i], &err))
            return 1;
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
