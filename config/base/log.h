/* The log: one JSON object a line on stderr. Never pass a secret: tg_log_secret registers those
 * that are known, and every line is checked for them and masked. Any thread. */
#ifndef TG_BASE_LOG_H
#define TG_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "config/base/status.h"
#include "config/base/str.h"

enum tg_log_level { TG_LOG_DEBUG, TG_LOG_INFO, TG_LOG_WARN, TG_LOG_ERROR };

/* Lines below level are dropped. Default TG_LOG_INFO. */
void tg_log_set_level(enum tg_log_level level);
/* Where lines go; default 2. The descriptor stays the caller's. */
void tg_log_set_fd(int fd);
/* event: a short fixed name, such as "engine-loaded"; the text follows printf. A line that cannot
 * be written at once is dropped: a stopped reader of the log stops nobody. The next one that goes
 * out tells how many were. */
void tg_log(enum tg_log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* For a line that may come too often, whose owner keeps one of these, all zero at first. */
enum { TG_LOG_SELDOM_S = 10 };
struct tg_log_seldom {
    int64_t next_ns; /* not before */
    uint64_t untold; /* since the last one */
};
/* True: it may be written now, the next one TG_LOG_SELDOM_S later, and *untold were left out since
 * the last one; false: this one is left out. now_ns: any clock that does not go back. One thread
 * for each line. */
bool tg_log_seldom(struct tg_log_seldom *line, int64_t now_ns, uint64_t *untold);
/* A secret of 8 bytes or more that must never be printed. The 64 that were registered last are
 * kept: secrets change while a server runs, and each reload registers those in use again.
 * TG_NOMEM. */
enum tg_status tg_log_secret(struct tg_str secret);
/* Replaces every registered secret in text by '*'. */
void tg_log_mask(char *text);

#endif
