#include "config/base/base64.h"

enum { CHUNK = 3072 }; /* bytes encoded at a time; of 3 */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Values of characters, 64 and above: not of the alphabet. */
static void make_values(unsigned char values[256])
{
    memset(values, 0xFF, 256);
    for (unsigned i = 0; i < 64; i++)
        values[(unsigned char)letters[i]] = (unsigned char)i;
}

static const char *why_not(char c)
{
    if (c == '-' || c == '_')
        return "has '-' or '_': base64 with '+' and '/' is wanted, not the form for URLs";
    if (c == '%')
        return "has '%': base64 is wanted without escapes";
    return "has a character that is not of base64";
}

/* The last group: have characters, whose bits are given, and pads of '='. */
static const char *finish(uint32_t bits, unsigned have, size_t pads, char *out, size_t *n)
{
    if (have == 0 && pads == 0)
        return NULL;
    if (have < 2)
        return pads ? "has more padding than it needs" : "ends inside a byte";
    if (pads && have + pads != 4)
        return "is not padded to a multiple of four characters";
    if (bits & (have == 2 ? 0xFu : 0x3u))
        return "has bits behind its last byte: it was cut, or is no base64";
    bits <<= have == 2 ? 12 : 6;
    out[(*n)++] = (char)(bits >> 16 & 0xFF);
    if (have == 3)
        out[(*n)++] = (char)(bits >> 8 & 0xFF);
    return NULL;
}

const char *tg_base64_decode(struct tg_str s, char *out, size_t *n)
{
    unsigned char values[256];
    uint32_t bits = 0;
    unsigned have = 0;
    size_t pads = 0, i = 0, at = 0;
    make_values(values);
    *n = 0;
    while (i < s.n) {
        for (; have == 0 && pads == 0 && s.n - i >= 4; i += 4) {
            unsigned a = values[(unsigned char)s.p[i]], b = values[(unsigned char)s.p[i + 1]];
            unsigned c = values[(unsigned char)s.p[i + 2]], d = values[(unsigned char)s.p[i + 3]];
            if ((a | b | c | d) > 63)
                break;
            bits = a << 18 | b << 12 | c << 6 | d;
            out[at++] = (char)(bits >> 16 & 0xFF);
            out[at++] = (char)(bits >> 8 & 0xFF);
            out[at++] = (char)(bits & 0xFF);
        }
        if (have == 0)
            bits = 0;
        if (i == s.n)
            break;
        char ch = s.p[i++];
        unsigned value = values[(unsigned char)ch];
        if (ch == '\n' || ch == '\r')
            continue;
        if (ch == '=') {
            pads++;
            continue;
        }
        if (value > 63)
            return why_not(ch);
        if (pads)
            return "goes on behind its padding";
        bits = bits << 6 | value;
        if (++have < 4)
            continue;
        out[at++] = (char)(bits >> 16 & 0xFF);
        out[at++] = (char)(bits >> 8 & 0xFF);
        out[at++] = (char)(bits & 0xFF);
        have = 0;
    }
    *n = at;
    return finish(bits, have, pads, out, n);
}

enum tg_status tg_base64_add(struct tg_buf *b, struct tg_str bytes)
{
    char out[CHUNK / 3 * 4];
    for (size_t at = 0; at < bytes.n; at += CHUNK) {
        const unsigned char *p = (const unsigned char *)bytes.p + at;
        size_t n = bytes.n - at < CHUNK ? bytes.n - at : CHUNK, used = 0;
        for (size_t i = 0; i < n; i += 3) {
            uint32_t bits = (uint32_t)p[i] << 16;
            bits |= i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0;
            bits |= i + 2 < n ? p[i + 2] : 0;
            out[used++] = letters[bits >> 18];
            out[used++] = letters[bits >> 12 & 63];
            out[used++] = i + 1 < n ? letters[bits >> 6 & 63] : '=';
            out[used++] = i + 2 < n ? letters[bits & 63] : '=';
        }
        if (tg_buf_add(b, out, used))
            return b->failed;
    }
    return b->failed;
}
