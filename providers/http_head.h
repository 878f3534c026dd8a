/* The few response headers that matter here, read from lines as they come. Pure. */
#ifndef PROVIDERS_HTTP_HEAD_H
#define PROVIDERS_HTTP_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include "config/base/status.h"
#include "config/base/str.h"

enum { PROV_HTTP_HEAD_MAX = 65536 }; /* bytes of response headers, trailers included */

struct prov_http_head {
    int status;
    struct tg_str content_type; /* empty when absent; borrowed from the reader */
    int64_t retry_after_ms;     /* retry-after-ms, or Retry-After in seconds or as a date, at most a
                                   day; -1: absent or not understood */
};

/* All zero at the beginning, but for location. */
struct prov_http_head_reader {
    char *location; /* where a Location is written, as text; empty: none, or too long. Or NULL */
    size_t location_max;
    struct prov_http_head head;
    char content_type[128];
    size_t bytes;
    int whole; /* the final head is complete */
};

/* One line with its end, the empty one that closes the head included; wall_ms is the time now,
 * for a Retry-After date. TG_AGAIN: more to come. TG_OK: with this line r->head is complete.
 * TG_LIMIT. */
enum tg_status prov_http_head_line(struct prov_http_head_reader *r, struct tg_str line,
                                   int64_t wall_ms);

#endif
