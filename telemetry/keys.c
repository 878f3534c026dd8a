/* Secrets, and sets of keys in memory. */
#include "telemetry/keys.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "config/base/alloc.h"
#include "config/base/arena.h"
#include "telemetry/keys_db.h"

enum { SECRET_BODY = 43, SECRET_CHECK = 5, TEXTS_MAX = 64 << 20, SLOTS_MIN = 64 };

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/* --- secrets --- */

void tel_secret_hash(struct tg_str text, unsigned char out[TG_SHA256_BYTES])
{
    struct tg_sha256 s;
    tg_sha256_init(&s);
    tg_sha256_update(&s, text.p, text.n);
    tg_sha256_final(&s, out);
}

bool tel_hash_equal(const unsigned char a[TG_SHA256_BYTES], const unsigned char b[TG_SHA256_BYTES])
{
    unsigned char different = 0;
    for (int i = 0; i < TG_SHA256_BYTES; i++)
        different |= (unsigned char)(a[i] ^ b[i]);
    return different == 0;
}

/* Of all that stands in front of it. */
static void write_check(struct tg_str front, char out[SECRET_CHECK])
{
    unsigned char hash[TG_SHA256_BYTES];
    tel_secret_hash(front, hash);
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | hash[i];
    for (int i = 0; i < SECRET_CHECK; i++, value /= 62)
        out[i] = alphabet[value % 62];
}

/* 43 characters of 62 are 256 bits; bytes from 248 on are thrown away, or some characters would be
 * more likely than others. */
enum tg_status tel_secret_make(char out[TEL_SECRET + 1], struct tg_error *err)
{
    unsigned char random[64];
    size_t n = 0;
    memcpy(out, "tg-", 3);
    while (n < SECRET_BODY) {
        if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
            return tg_fail(err, TG_IO, "no random numbers for a key: %s", strerror(errno));
        for (size_t i = 0; i < sizeof(random) && n < SECRET_BODY; i++)
            if (random[i] < 248)
                out[3 + n++] = alphabet[random[i] % 62];
    }
    explicit_bzero(random, sizeof(random));
    write_check((struct tg_str){ out, 3 + SECRET_BODY }, out + 3 + SECRET_BODY);
    out[TEL_SECRET] = '\0';
    return TG_OK;
}

bool tel_secret_fits(struct tg_str text)
{
    char check[SECRET_CHECK];
    if (text.n != TEL_SECRET || memcmp(text.p, "tg-", 3) != 0)
        return false;
    write_check((struct tg_str){ text.p, 3 + SECRET_BODY }, check);
    return memcmp(check, text.p + 3 + SECRET_BODY, SECRET_CHECK) == 0;
}

/* --- lists --- */

bool tel_list_next(struct tg_str list, size_t *at, struct tg_str *item)
{
    if (*at >= list.n)
        return false;
    size_t end = *at;
    while (end < list.n && list.p[end] != ',')
        end++;
    *item = (struct tg_str){ list.p + *at, end - *at };
    *at = end + 1;
    return true;
}

bool tel_list_has(struct tg_str list, struct tg_str item)
{
    struct tg_str one;
    for (size_t at = 0; tel_list_next(list, &at, &one);)
        if (tg_str_eq(one, item))
            return true;
    return false;
}

enum tel_key_state tel_key_state(const struct tel_api_key *k, int64_t now_ms)
{
    if (k->revoked_ms)
        return TEL_KEY_REVOKED;
    return k->expires_ms && now_ms >= k->expires_ms ? TEL_KEY_EXPIRED : TEL_KEY_ACTIVE;
}

/* --- sets --- */

struct tel_keys *tel_keys_new(size_t n)
{
    size_t slots = SLOTS_MIN;
    while (slots < 4 * n) /* two digests a key at most, and half of it empty */
        slots *= 2;
    struct tel_keys *k = tg_calloc(1, sizeof(*k));
    if (!k)
        return NULL;
    k->refs = 1;
    k->key = tg_calloc(n + 1, sizeof(*k->key));
    k->slot = tg_calloc(n + 1, sizeof(*k->slot));
    k->index = tg_calloc(slots, sizeof(*k->index));
    k->mask = slots - 1;
    k->text = tg_arena_new(TEXTS_MAX);
    if (!k->key || !k->slot || !k->index || !k->text) {
        tel_keys_unref(k);
        return NULL;
    }
    return k;
}

struct tel_keys *tel_keys_ref(struct tel_keys *k)
{
    k->refs++;
    return k;
}

void tel_keys_unref(struct tel_keys *k)
{
    if (!k || --k->refs > 0)
        return;
    tg_arena_free(k->text);
    tg_free(k->index);
    tg_free(k->slot);
    tg_free(k->key);
    tg_free(k);
}

struct tg_str tel_keys_text(struct tel_keys *k, const char *text, size_t n)
{
    return tg_arena_str(k->text, (struct tg_str){ text, n });
}

static size_t place_of(const struct tel_keys *k, const unsigned char *hash)
{
    uint64_t value;
    memcpy(&value, hash, sizeof(value));
    return (size_t)value & k->mask;
}

/* An entry is twice the key's number plus one, plus one more for its older secret. */
static void enter(struct tel_keys *k, const unsigned char *hash, uint32_t entry)
{
    size_t at = place_of(k, hash);
    while (k->index[at])
        at = (at + 1) & k->mask;
    k->index[at] = entry;
}

void tel_keys_index(struct tel_keys *k)
{
    for (size_t i = 0; i < k->n; i++) {
        enter(k, k->key[i].hash, (uint32_t)(2 * i + 1));
        if (k->key[i].old_until_ms)
            enter(k, k->key[i].old_hash, (uint32_t)(2 * i + 2));
    }
}

const struct tel_api_key *tel_keys_find(const struct tel_keys *k,
                                        const unsigned char hash[TG_SHA256_BYTES], bool *old)
{
    for (size_t at = place_of(k, hash); k->index[at]; at = (at + 1) & k->mask) {
        const struct tel_api_key *key = &k->key[(k->index[at] - 1) / 2];
        *old = (k->index[at] - 1) % 2;
        if (tel_hash_equal(*old ? key->old_hash : key->hash, hash))
            return key;
    }
    return NULL;
}

const struct tel_api_key *tel_keys_by_id(const struct tel_keys *k, struct tg_str id)
{
    for (size_t i = 0; i < k->n; i++)
        if (tg_str_eq(tg_str_of(k->key[i].id), id))
            return &k->key[i];
    return NULL;
}
