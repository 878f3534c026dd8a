#include "config/base/sha256.h"

#include <string.h>

/* FIPS 180-4, 4.2.2: fractional parts of the cube roots of the first 64 primes. */
static const uint32_t k_round[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotr(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static inline uint32_t load_be(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* One round (6.2.2 step 3) without moving the eight variables: the caller turns their names. */
#define ROUND(a, b, c, d, e, f, g, h, t)                                                           \
    do {                                                                                           \
        uint32_t t1 = h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + (g ^ (e & (f ^ g))) +         \
                      k_round[t] + w[(t) & 15];                                                    \
        uint32_t t2 = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) | (c & (a | b)));        \
        d += t1;                                                                                   \
        h = t1 + t2;                                                                               \
    } while (0)

/* w is a ring of the last 16 words of the message schedule. */
static void extend(uint32_t w[16])
{
    for (int i = 0; i < 16; i++) {
        uint32_t x = w[(i + 1) & 15], y = w[(i + 14) & 15];
        w[i] += (rotr(x, 7) ^ rotr(x, 18) ^ x >> 3) + w[(i + 9) & 15] +
                (rotr(y, 17) ^ rotr(y, 19) ^ y >> 10);
    }
}

static void compress(uint32_t state[8], const unsigned char *p, size_t blocks)
{
    for (; blocks; blocks--, p += 64) {
        uint32_t w[16];
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
        uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
        for (int i = 0; i < 16; i++)
            w[i] = load_be(p + 4 * i);
        for (int t = 0; t < 64; t += 16) {
            if (t)
                extend(w);
            for (int i = t; i < t + 16; i += 8) {
                ROUND(a, b, c, d, e, f, g, h, i);
                ROUND(h, a, b, c, d, e, f, g, i + 1);
                ROUND(g, h, a, b, c, d, e, f, i + 2);
                ROUND(f, g, h, a, b, c, d, e, i + 3);
                ROUND(e, f, g, h, a, b, c, d, i + 4);
                ROUND(d, e, f, g, h, a, b, c, i + 5);
                ROUND(c, d, e, f, g, h, a, b, i + 6);
                ROUND(b, c, d, e, f, g, h, a, i + 7);
            }
        }
        state[0] += a;
        state[1] += b;
        state[2] += c;
        state[3] += d;
        state[4] += e;
        state[5] += f;
        state[6] += g;
        state[7] += h;
    }
}

void tg_sha256_init(struct tg_sha256 *s)
{
    /* FIPS 180-4, 5.3.3: square roots of the first eight primes. */
    static const uint32_t start[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    memcpy(s->h, start, sizeof(start));
    s->n = 0;
}

void tg_sha256_update(struct tg_sha256 *s, const void *data, size_t n)
{
    const unsigned char *p = data;
    size_t have = s->n & 63;
    s->n += n;
    if (have && n) {
        size_t take = 64 - have < n ? 64 - have : n;
        memcpy(s->block + have, p, take);
        if (have + take < 64)
            return;
        compress(s->h, s->block, 1);
        p += take;
        n -= take;
    }
    if (n >= 64)
        compress(s->h, p, n / 64);
    if (n & 63)
        memcpy(s->block, p + (n & ~(size_t)63), n & 63);
}

void tg_sha256_final(struct tg_sha256 *s, unsigned char digest[TG_SHA256_BYTES])
{
    uint64_t bits = s->n * 8;
    size_t have = s->n & 63;
    s->block[have++] = 0x80;
    if (have > 56) {
        memset(s->block + have, 0, 64 - have);
        compress(s->h, s->block, 1);
        have = 0;
    }
    memset(s->block + have, 0, 56 - have);
    for (int i = 0; i < 8; i++)
        s->block[56 + i] = (unsigned char)(bits >> (56 - 8 * i));
    compress(s->h, s->block, 1);
    for (int i = 0; i < TG_SHA256_BYTES; i++)
        digest[i] = (unsigned char)(s->h[i / 4] >> (24 - 8 * (i & 3)));
}

void tg_sha256_hex(const unsigned char digest[TG_SHA256_BYTES], char hex[TG_SHA256_HEX + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < TG_SHA256_BYTES; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[TG_SHA256_HEX] = '\0';
}

void tg_sha256_text(struct tg_str text, char hex[TG_SHA256_HEX + 1])
{
    struct tg_sha256 s;
    unsigned char digest[TG_SHA256_BYTES];
    tg_sha256_init(&s);
    tg_sha256_update(&s, text.p, text.n);
    tg_sha256_final(&s, digest);
    tg_sha256_hex(digest, hex);
}
