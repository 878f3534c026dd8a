/* The text of answers: status line, header fields, error bodies. No sockets. */
#ifndef GATEWAY_HTTP_ANSWER_H
#define GATEWAY_HTTP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/buf.h"
#include "config/base/str.h"

enum { GW_ANSWER_FIELDS_MAX = 16384 }; /* bytes of the fields that handlers add */

enum gw_framing {
    GW_FRAMING_NONE,    /* no body may follow and none is announced: 204, 304 */
    GW_FRAMING_LENGTH,
    GW_FRAMING_CHUNKED,
    GW_FRAMING_CLOSE,   /* HTTP/1.0 stream: the body ends with the connection */
};

struct gw_answer {
    int status;
    const char *content_type; /* or NULL */
    struct tg_str fields;     /* made by gw_answer_field */
    int64_t now_s;            /* wall clock, for Date */
    enum gw_framing framing;
    size_t length;
    bool close, keep_alive;   /* Connection: close, or keep-alive (to HTTP/1.0), or no field */
};

/* Reason phrase; "Unknown" when there is none. Static storage. */
const char *gw_answer_reason(int status);
/* Appends "Name: value\r\n", or nothing at all. TG_INVALID: the name is no token or one that the
 * server writes itself (date, content-length, transfer-encoding, connection), or the value has a
 * control character. TG_NOMEM, TG_LIMIT: fields stays usable. */
enum tg_status gw_answer_field(struct tg_buf *fields, struct tg_str name, struct tg_str value);
/* Appends the whole head with its empty line. Failures stick to out. */
enum tg_status gw_answer_head(const struct gw_answer *a, struct tg_buf *out);
/* Appends {"error":{...}} in OpenAI's shape; type follows from status. */
enum tg_status gw_answer_error(int status, const char *message, struct tg_buf *out);

#endif
