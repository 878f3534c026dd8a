/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef TG_BASE_UTF8_H
#define TG_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the code point at s (1 to 4) and its value, or 0 when s[0..n) does not begin with a
 * whole valid one. */
size_t tg_utf8_decode(const char *s, size_t n, uint32_t *rune);
/* How many bytes s begins with that are ASCII and stand in a JSON string as they are: no control
 * character, no quote, no backslash. Most of most texts is that, eight bytes at a time. */
size_t tg_utf8_plain(const char *s, size_t n);
/* Writes 1 to 4 bytes; rune must be a Unicode scalar value. */
size_t tg_utf8_encode(uint32_t rune, char out[4]);
bool tg_utf8_valid(const char *s, size_t n);
/* Length of the longest prefix of s that does not end inside a sequence that more bytes could still
 * complete: what may be shown now of a stream. Invalid bytes count as complete. */
size_t tg_utf8_complete(const char *s, size_t n);

#endif
