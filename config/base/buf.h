/* A growing byte buffer that knows its maximum. One thread at a time. */
#ifndef TG_BASE_BUF_H
#define TG_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "config/base/status.h"
#include "config/base/str.h"

struct tg_buf {
    char *p;     /* always terminated behind n once something was added; NULL before */
    size_t n;    /* bytes in use, terminator not counted */
    size_t cap;
    size_t max;  /* n never exceeds it */
    enum tg_status failed; /* sticky: the first failure; later adds do nothing */
};

/* Cannot fail; max is the largest n. The buffer owns its memory until tg_buf_free. */
void tg_buf_init(struct tg_buf *b, size_t max);
/* Leaves the buffer empty, usable again with the same maximum. NULL allowed. */
void tg_buf_free(struct tg_buf *b);
/* n = 0 and failed = TG_OK; memory kept. */
void tg_buf_reset(struct tg_buf *b);
/* TG_NOMEM, TG_LIMIT (nothing added) or TG_OK. Failures stick, so a run of adds can be checked once
 * at its end by reading b->failed. */
enum tg_status tg_buf_add(struct tg_buf *b, const void *p, size_t n);
enum tg_status tg_buf_adds(struct tg_buf *b, const char *s);
enum tg_status tg_buf_addc(struct tg_buf *b, char c);
enum tg_status tg_buf_addf(struct tg_buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* In decimal; many times as fast as by a format. */
enum tg_status tg_buf_addu(struct tg_buf *b, uint64_t value);
/* Drops the first n bytes (all when n > b->n). */
void tg_buf_drop(struct tg_buf *b, size_t n);
/* s as a JSON string with its quotes: control characters, quote and backslash escaped, invalid
 * UTF-8 replaced by U+FFFD. */
enum tg_status tg_buf_add_json(struct tg_buf *b, struct tg_str s);

/* A finite number in the shortest form that reads back as the same double; nothing for others. */
enum tg_status tg_buf_add_number(struct tg_buf *b, double value);

static inline struct tg_str tg_buf_str(const struct tg_buf *b)
{
    return (struct tg_str){ b->p, b->n };
}

#endif
