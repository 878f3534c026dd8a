/* Borrowed byte strings with a length, and the few parsers of plain text that everyone needs. */
#ifndef TG_BASE_STR_H
#define TG_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Not terminated; p may be NULL when n is 0. Borrowed: the maker says until when. */
struct tg_str {
    const char *p;
    size_t n;
};

#define TG_STR(literal) ((struct tg_str){ "" literal, sizeof(literal) - 1 })
/* For printf: printf("%.*s", TG_FMT(s)). Cut to 1 MiB. */
#define TG_FMT(s) ((int)((s).n > (1u << 20) ? (1u << 20) : (s).n)), (s).p

static inline struct tg_str tg_str_of(const char *s)
{
    return (struct tg_str){ s, s ? strlen(s) : 0 };
}

static inline bool tg_str_eq(struct tg_str a, struct tg_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII case folded. */
bool tg_str_ieq(struct tg_str a, struct tg_str b);
/* Without leading and trailing space, tab, CR, LF. */
struct tg_str tg_str_trim(struct tg_str s);

/* The whole of s as decimal digits only (no sign, no space); false on anything else or overflow. */
bool tg_parse_u64(struct tg_str s, uint64_t *out);

/* "200ms", "10s", "5m", "2h", "30d": milliseconds. "32MiB", "64KiB", "1GiB", "100B": bytes. A
 * fraction is accepted when the result is whole. "$12.50", "$500": nano-dollars (1e-9 $).
 * "80%": millionths (800000). False when malformed, negative or out of int64. */
bool tg_parse_duration_ms(struct tg_str s, int64_t *out);
bool tg_parse_size(struct tg_str s, int64_t *out);
bool tg_parse_money_nano(struct tg_str s, int64_t *out);
bool tg_parse_percent_millionths(struct tg_str s, int64_t *out);

#endif
