/* SHA-256 (FIPS 180-4), streaming. No allocation; one thread at a time per state. */
#ifndef TG_BASE_SHA256_H
#define TG_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "config/base/str.h"

enum { TG_SHA256_BYTES = 32, TG_SHA256_HEX = 64 };

/* A copy is an independent state that goes on from the same point. */
struct tg_sha256 {
    uint32_t h[8];
    uint64_t n; /* bytes taken in so far */
    unsigned char block[64];
};

void tg_sha256_init(struct tg_sha256 *s);
/* p may be NULL when n is 0. At most 2^61 - 1 bytes in all. */
void tg_sha256_update(struct tg_sha256 *s, const void *p, size_t n);
/* The digest; s must be initialised again before further use. */
void tg_sha256_final(struct tg_sha256 *s, unsigned char digest[TG_SHA256_BYTES]);
/* Lower-case hexadecimal digits and a terminator. */
void tg_sha256_hex(const unsigned char digest[TG_SHA256_BYTES], char hex[TG_SHA256_HEX + 1]);
/* All in one: the digest of text as hexadecimal digits. */
void tg_sha256_text(struct tg_str text, char hex[TG_SHA256_HEX + 1]);

#endif
