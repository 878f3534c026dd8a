/* Base64 as RFC 4648 section 4 has it. Pure, any thread. */
#ifndef TG_BASE_BASE64_H
#define TG_BASE_BASE64_H

#include <stddef.h>

#include "config/base/buf.h"
#include "config/base/status.h"
#include "config/base/str.h"

/* Room in bytes that n characters need to be decoded into. */
static inline size_t tg_base64_room(size_t n)
{
    return n / 4 * 3 + 3;
}

/* Decodes all of s into out, which has room for tg_base64_room(s.n) and does not overlap s; *n
 * bytes of it are used. NULL when it is fine, else what is wrong with it, static.
 * Line breaks (CR, LF) are passed over wherever they stand, since many encoders wrap their lines,
 * and padding may lack as a whole, as decoders of data URLs allow. Nothing else is forgiven: no
 * other character, no padding in part, no bits behind the last byte. */
const char *tg_base64_decode(struct tg_str s, char *out, size_t *n);
/* Appends the bytes with padding, without line breaks. The state of the buffer. */
enum tg_status tg_base64_add(struct tg_buf *b, struct tg_str bytes);

#endif
