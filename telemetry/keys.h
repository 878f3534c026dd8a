/* API keys: who may ask, for what, within which limits. They lie in keys.db of dataDir; any process
 * may change them there (tollgate key), and a gateway that runs has what the file holds in memory
 * within a second. Of a secret only the SHA-256 and the first characters are stored: it is made of
 * 256 random bits, so that nothing slower than a plain hash is needed. */
#ifndef TELEMETRY_KEYS_H
#define TELEMETRY_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/sha256.h"
#include "config/base/status.h"
#include "config/base/str.h"
#include "config/settings.h"
#include "telemetry/store.h"

enum {
    TEL_KEYS_MAX = 4096,     /* of one file; above, the oldest revoked one is forgotten */
    TEL_KEY_ID = 16,         /* "key_" and 12 hex digits */
    TEL_KEY_PREFIX = 9,      /* characters of a secret that are shown: "tg-" and 6 more */
    TEL_SECRET = 51,         /* "tg-", 43 characters of A-Z a-z 0-9, 5 that check them */
    TEL_KEY_NAME_MAX = 64,
    TEL_KEY_LIST_MAX = 2000, /* bytes of a list: a,b,c */
    TEL_KEY_TAGS_MAX = 8,
    TEL_KEY_OPS_MAX = 16,    /* changes that a loop may have under way */
};

#define TEL_KEY_OVERLAP_MS INT64_C(86400000) /* of a rotation, when nobody says otherwise */

/* --- secrets; any thread --- */

/* A fresh secret, terminated. TG_IO: the system has no random numbers. */
enum tg_status tel_secret_make(char out[TEL_SECRET + 1], struct tg_error *err);
/* Whether text has the form of a secret and its check is right: what fails was mistyped or cut. */
bool tel_secret_fits(struct tg_str text);
void tel_secret_hash(struct tg_str text, unsigned char out[TG_SHA256_BYTES]);
/* Takes as long for equal digests as for any others. */
bool tel_hash_equal(const unsigned char a[TG_SHA256_BYTES], const unsigned char b[TG_SHA256_BYTES]);

/* --- what a key is --- */

/* As the file holds it; strings are terminated and belong to the tel_keys. Times are wall clock in
 * ms, 0: not. */
struct tel_api_key {
    int64_t seq;      /* order of creation, never used twice in one file */
    char id[TEL_KEY_ID + 1];
    uint64_t number;  /* the digits of the id; never 0: an owner for what is kept by key */
    char prefix[TEL_KEY_PREFIX + 1]; /* of the newest secret */
    unsigned char hash[TG_SHA256_BYTES], old_hash[TG_SHA256_BYTES];
    int64_t old_until_ms; /* how long the secret before that one works */
    int64_t created_ms, rotated_ms, expires_ms, revoked_ms;
    struct tg_str name;
    struct tg_str routes, models; /* "a,b": what a request may name; both empty: all */
    struct tg_str tags;           /* "a,b" */
    bool local_only, has_budget;
    int64_t budget_nano;
    enum cfg_period period;       /* NONE: the budget is for the life of the key */
    uint32_t rpm, tpm, concurrent; /* 0: no limit */
};

/* Whether a list of a key has that item. */
bool tel_list_has(struct tg_str list, struct tg_str item);
/* The next item of a list; false at its end. *at begins at 0. */
bool tel_list_next(struct tg_str list, size_t *at, struct tg_str *item);

enum tel_key_state { TEL_KEY_ACTIVE, TEL_KEY_EXPIRED, TEL_KEY_REVOKED };
enum tel_key_state tel_key_state(const struct tel_api_key *k, int64_t now_ms);

/* All keys of a file at one moment, in the order of creation. Read-only but for refs and slot,
 * which belong to whoever it was handed to: one thread. */
struct tel_keys {
    size_t refs;
    size_t n;
    struct tel_api_key *key;
    void **slot; /* one for each key, for the owner; NULL at first */
    uint32_t *index;
    size_t mask;
    void *text;
};

/* NULL when there is none; id: "key_..." */
const struct tel_api_key *tel_keys_by_id(const struct tel_keys *k, struct tg_str id);
/* The key that a secret of this digest belongs to, newest or older (*old), of whatever state. The
 * table's place is found by the digest itself, whose bytes nobody can choose; equality is judged in
 * constant time. */
const struct tel_api_key *tel_keys_find(const struct tel_keys *k,
                                        const unsigned char hash[TG_SHA256_BYTES], bool *old);
struct tel_keys *tel_keys_ref(struct tel_keys *k);
void tel_keys_unref(struct tel_keys *k); /* NULL allowed */

/* --- changes --- */

enum tel_key_field {
    TEL_KEY_NAME = 1,
    TEL_KEY_ROUTES = 2,
    TEL_KEY_MODELS = 4,
    TEL_KEY_TAGS = 8,
    TEL_KEY_LOCAL_ONLY = 16,
    TEL_KEY_BUDGET = 32,
    TEL_KEY_RPM = 64,
    TEL_KEY_TPM = 128,
    TEL_KEY_CONCURRENT = 256,
    TEL_KEY_EXPIRES = 512,
};

/* What is asked for. Members that are not in set keep their value, or are without a limit. */
struct tel_key_spec {
    unsigned set; /* of enum tel_key_field */
    char name[TEL_KEY_NAME_MAX + 1];
    char routes[TEL_KEY_LIST_MAX + 1], models[TEL_KEY_LIST_MAX + 1], tags[TEL_KEY_LIST_MAX + 1];
    bool local_only, has_budget;
    int64_t budget_nano;
    enum cfg_period period;
    uint32_t rpm, tpm, concurrent;
    int64_t expires_ms;
};

enum tel_key_op_kind { TEL_KEY_CREATE, TEL_KEY_UPDATE, TEL_KEY_ROTATE, TEL_KEY_REVOKE };

struct tel_key_op {
    enum tel_key_op_kind kind;
    char id[TEL_KEY_ID + 1]; /* which; of a new one it is filled in */
    struct tel_key_spec spec; /* CREATE, UPDATE */
    int64_t overlap_ms;       /* ROTATE: how long the old secret still works; 0: not at all */
    /* filled in */
    char secret[TEL_SECRET + 1]; /* CREATE, ROTATE: the only time that it is seen */
    enum tg_status status;
    struct tg_error err;
    /* tel_key_ask only */
    void (*fn)(void *arg);
    void *arg;
};

/* Whether spec holds together: texts within their maximum, names of routes and models in their
 * form, at most TEL_KEY_TAGS_MAX tags, an expiry in the future. TG_INVALID: "FIELD: cause". */
enum tg_status tel_key_check(const struct tel_key_spec *spec, int64_t now_ms, struct tg_error *err);

/* In any process, while a gateway runs on dir or not; makes folder and file where they are missing.
 * *after, if wanted, is what the file holds then, owned by the caller (tel_keys_unref).
 * TG_NOTFOUND: no key has that id; TG_INVALID: spec, a key that was revoked, a file that is damaged
 * or somebody else's; TG_LIMIT: TEL_KEYS_MAX keys; TG_UNSUPPORTED: a newer file; TG_IO. Waits for
 * the disk. */
enum tg_status tel_key_do(const char *dir, struct tel_key_op *op, struct tel_keys **after,
                          struct tg_error *err);
/* What the file holds, without changing it; none when there is no file. Errors as above. */
enum tg_status tel_keys_load(const char *dir, struct tel_keys **out, struct tg_error *err);

/* --- the loop of a running gateway --- */

/* What the file held when it was last looked at; borrowed until the next tel_dispatch. */
struct tel_keys *tel_keys_now(const struct tel_store *s);
/* Begins a change: op->fn(op->arg) is called by tel_dispatch when it is durable, or has failed
 * (op->status), and tel_keys_now has it. op is borrowed until then, or until tel_close has
 * returned, which drops it without a call. TG_AGAIN: TEL_KEY_OPS_MAX are under way. */
enum tg_status tel_key_ask(struct tel_store *s, struct tel_key_op *op);

#endif
