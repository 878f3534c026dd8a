/* Stop strings, matched over streamed text. Pure, one thread at a time. */
#ifndef LE_ENGINE_STOP_H
#define LE_ENGINE_STOP_H

#include <stdbool.h>

#include "config/base/buf.h"
#include "config/base/str.h"
#include "local_engine/engine.h"

struct le_stop {
    char text[LE_STOPS_MAX][LE_STOP_BYTES_MAX];
    size_t n_text[LE_STOPS_MAX];
    uint32_t n;
    char held[LE_STOP_BYTES_MAX]; /* seen, but may be the beginning of a stop string */
    size_t n_held;
    uint32_t ended_by; /* 1 + index of the string that was complete; 0: none was yet */
};

/* TG_INVALID (empty or not UTF-8), TG_LIMIT (too many or too long): err names the string. */
enum tg_status le_stop_init(struct le_stop *s, const struct tg_str *text, uint32_t n,
                            struct tg_error *err);
/* Appends to out what of the text so far can no longer be part of a stop string. *hit: a stop
 * string is complete; what came before it has been appended, the rest is dropped. The result does
 * not depend on how the text was cut into calls: the string whose last byte comes first wins, of
 * those the longest. TG_NOMEM or TG_LIMIT from out. */
enum tg_status le_stop_feed(struct le_stop *s, struct tg_str text, struct tg_buf *out, bool *hit);
/* Appends what is held back, and starts afresh. */
enum tg_status le_stop_flush(struct le_stop *s, struct tg_buf *out);

#endif
