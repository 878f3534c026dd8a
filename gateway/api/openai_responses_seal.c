#include "config/base/base64.h"
#include "config/base/sha256.h"
#include "config/base/utf8.h"
#include "gateway/api/openai_responses_internal.h"

/* Base64 (RFC 4648, with padding) of a mark, the first bytes of the text's SHA-256, the text. */

static const char mark[] = "tgr1";
enum { MARK = sizeof(mark) - 1, SUM = 8, HEAD = MARK + SUM };
_Static_assert(HEAD % 3 == 0, "the text goes on where the head ends, without padding");

static void checksum(struct tg_str text, unsigned char sum[SUM])
{
    unsigned char digest[TG_SHA256_BYTES];
    struct tg_sha256 s;
    tg_sha256_init(&s);
    tg_sha256_update(&s, text.p, text.n);
    tg_sha256_final(&s, digest);
    memcpy(sum, digest, SUM);
}

enum tg_status oai_seal(struct tg_str text, struct tg_buf *out)
{
    unsigned char sum[SUM];
    char head[HEAD];
    checksum(text, sum);
    memcpy(head, mark, MARK);
    memcpy(head + MARK, sum, SUM);
    tg_base64_add(out, (struct tg_str){ head, HEAD });
    return tg_base64_add(out, text);
}

enum tg_status oai_unseal(struct api_read *d, const struct tg_json *v, struct tg_str *out)
{
    struct tg_str sealed;
    if (!tg_json_string(v, &sealed))
        return api_wrong_type(d, v, TG_JSON_STRING);
    char *bytes = tg_arena_alloc(d->arena, tg_base64_room(sealed.n), 1);
    if (!bytes)
        return api_no_memory(d);
    size_t n = 0;
    unsigned char sum[SUM];
    if (!tg_base64_decode(sealed, bytes, &n) && n >= HEAD && memcmp(bytes, mark, MARK) == 0) {
        *out = (struct tg_str){ bytes + HEAD, n - HEAD };
        checksum(*out, sum);
        if (memcmp(sum, bytes + MARK, SUM) == 0 && tg_utf8_valid(out->p, out->n) &&
            !memchr(out->p, '\0', out->n)) /* anybody can compute the sum */
            return TG_OK;
    }
    enum tg_status status = api_bad(d, "is damaged, or does not come from this gateway; leave the "
                                       "reasoning item out");
    d->err->code = "invalid_encrypted_content";
    return status;
}
