#include "config/base/sha256.h"
#include "config/base/utf8.h"
#include "gateway/api/openai_responses_internal.h"

/* Base64 (RFC 4648, with padding) of a mark, the first bytes of the text's SHA-256, the text. */

static const char mark[] = "tgr1";
enum { MARK = sizeof(mark) - 1, SUM = 8, HEAD = MARK + SUM };

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void checksum(struct tg_str text, unsigned char sum[SUM])
{
    unsigned char digest[TG_SHA256_BYTES];
    struct tg_sha256 s;
    tg_sha256_init(&s);
    tg_sha256_update(&s, text.p, text.n);
    tg_sha256_final(&s, digest);
    memcpy(sum, digest, SUM);
}

/* Bits in, six at a time out. */
struct encoder {
    uint32_t bits;
    unsigned n;
    struct tg_buf *out;
};

static void encode(struct encoder *e, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++) {
        e->bits = (e->bits & 0xff) << 8 | p[i];
        for (e->n += 8; e->n >= 6; e->n -= 6)
            tg_buf_addc(e->out, digits[e->bits >> (e->n - 6) & 63]);
    }
}

enum tg_status oai_seal(struct tg_str text, struct tg_buf *out)
{
    unsigned char sum[SUM];
    struct encoder e = { .out = out };
    checksum(text, sum);
    encode(&e, mark, MARK);
    encode(&e, sum, SUM);
    encode(&e, text.p, text.n);
    if (e.n)
        tg_buf_addc(out, digits[e.bits << (6 - e.n) & 63]);
    for (size_t n = (HEAD + text.n) % 3; n > 0 && n < 3; n++)
        tg_buf_addc(out, '=');
    return out->failed;
}

/* -1: no digit. */
static int value_of(char c)
{
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Bytes written; SIZE_MAX: not base64. */
static size_t decode(struct tg_str text, unsigned char *out)
{
    size_t n = 0, end = text.n;
    uint32_t bits = 0;
    while (end > 0 && text.n - end < 2 && text.p[end - 1] == '=')
        end--;
    if (text.n % 4)
        return SIZE_MAX;
    for (size_t i = 0; i < end; i++) {
        int value = value_of(text.p[i]);
        if (value < 0)
            return SIZE_MAX;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4)
            out[n++] = (unsigned char)(bits >> (6 - i % 4 * 2));
    }
    static const uint32_t unused[] = { 0, 0x3f, 0xf, 3 }; /* bits of the last digit, which are 0 */
    return bits & unused[end % 4] ? SIZE_MAX : n;
}

enum tg_status oai_unseal(struct api_read *d, const struct tg_json *v, struct tg_str *out)
{
    struct tg_str sealed;
    if (!tg_json_string(v, &sealed))
        return api_wrong_type(d, v, TG_JSON_STRING);
    char *bytes = tg_arena_alloc(d->arena, sealed.n / 4 * 3 + 1, 1);
    if (!bytes)
        return api_no_memory(d);
    size_t n = decode(sealed, (unsigned char *)bytes);
    unsigned char sum[SUM];
    if (n != SIZE_MAX && n >= HEAD && memcmp(bytes, mark, MARK) == 0) {
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
