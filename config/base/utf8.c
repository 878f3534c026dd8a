#include "config/base/utf8.h"

#include <string.h>

/* Length that the first byte announces, 0 when no sequence begins with it. */
static size_t announced(unsigned char c)
{
    if (c < 0x80)
        return 1;
    if (c >= 0xC2 && c <= 0xDF)
        return 2;
    if (c >= 0xE0 && c <= 0xEF)
        return 3;
    if (c >= 0xF0 && c <= 0xF4)
        return 4;
    return 0;
}

/* Whether c may be byte number i (1 or later) of a sequence that begins with first. */
static bool continues(unsigned char first, size_t i, unsigned char c)
{
    if (i == 1 && first == 0xE0)
        return c >= 0xA0 && c <= 0xBF;
    if (i == 1 && first == 0xED)
        return c >= 0x80 && c <= 0x9F;
    if (i == 1 && first == 0xF0)
        return c >= 0x90 && c <= 0xBF;
    if (i == 1 && first == 0xF4)
        return c >= 0x80 && c <= 0x8F;
    return c >= 0x80 && c <= 0xBF;
}

size_t tg_utf8_decode(const char *s, size_t n, uint32_t *rune)
{
    static const unsigned char mask[] = { 0, 0x7F, 0x1F, 0x0F, 0x07 };
    if (n == 0)
        return 0;
    unsigned char first = (unsigned char)s[0];
    size_t width = announced(first);
    if (width == 0 || width > n)
        return 0;
    uint32_t value = first & mask[width];
    for (size_t i = 1; i < width; i++) {
        unsigned char c = (unsigned char)s[i];
        if (!continues(first, i, c))
            return 0;
        value = value << 6 | (c & 0x3F);
    }
    *rune = value;
    return width;
}

/* For each byte of a word its highest bit: set where the byte is 0. Bytes above a zero may be set
 * wrongly, so that only "none is" and the lowest are exact. */
static uint64_t zeros(uint64_t word)
{
    return (word - 0x0101010101010101u) & ~word & 0x8080808080808080u;
}

/* Whether one of eight bytes is not plain; some that are may be taken for it. */
static bool has_special(uint64_t word)
{
    uint64_t high = word & 0x8080808080808080u;
    uint64_t control = (word - 0x2020202020202020u) & ~word & 0x8080808080808080u;
    return high | control | zeros(word ^ 0x2222222222222222u) | zeros(word ^ 0x5C5C5C5C5C5C5C5Cu);
}

size_t tg_utf8_plain(const char *s, size_t n)
{
    size_t i = 0;
    uint64_t word;
    for (; n - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, s + i, sizeof(word));
        if (has_special(word))
            break;
    }
    while (i < n && (unsigned char)s[i] >= 0x20 && (unsigned char)s[i] < 0x80 && s[i] != '"' &&
           s[i] != '\\')
        i++;
    return i;
}

size_t tg_utf8_encode(uint32_t rune, char out[4])
{
    if (rune < 0x80) {
        out[0] = (char)rune;
        return 1;
    }
    if (rune < 0x800) {
        out[0] = (char)(0xC0 | rune >> 6);
        out[1] = (char)(0x80 | (rune & 0x3F));
        return 2;
    }
    if (rune < 0x10000) {
        out[0] = (char)(0xE0 | rune >> 12);
        out[1] = (char)(0x80 | (rune >> 6 & 0x3F));
        out[2] = (char)(0x80 | (rune & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | rune >> 18);
    out[1] = (char)(0x80 | (rune >> 12 & 0x3F));
    out[2] = (char)(0x80 | (rune >> 6 & 0x3F));
    out[3] = (char)(0x80 | (rune & 0x3F));
    return 4;
}

bool tg_utf8_valid(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t rune;
        size_t width = tg_utf8_decode(s + i, n - i, &rune);
        if (!width)
            return false;
        i += width;
    }
    return true;
}

size_t tg_utf8_complete(const char *s, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        unsigned char c = (unsigned char)s[n - back];
        size_t width = announced(c);
        if (width == 0)
            continue; /* a continuation or an invalid byte: look further back */
        if (width <= back)
            return n;
        for (size_t i = 1; i < back; i++)
            if (!continues(c, i, (unsigned char)s[n - back + i]))
                return n;
        return n - back;
    }
    return n;
}
