/* The response headers that a download lives by, read from lines as they come. Pure. */
#ifndef PROVIDERS_DOWNLOAD_HEAD_H
#define PROVIDERS_DOWNLOAD_HEAD_H

#include <stdbool.h>

#include "config/base/sha256.h"
#include "providers/http_head.h"

enum { PROV_LOCATION_MAX = 16384, PROV_ETAG_MAX = 256 };

struct prov_get_head {
    int status;
    int64_t retry_after_ms; /* as prov_http_head */
    int64_t length;         /* Content-Length; -1: absent or malformed */
    int64_t range_from;     /* Content-Range "bytes F-T/N"; -1: absent, or "bytes *" */
    int64_t range_total;    /* N; -1: unknown */
    /* Of a model host, before it redirects to where the bytes are: the file's own size and SHA-256
     * (X-Linked-Size, X-Linked-ETag); -1 and "" when absent or not of that form. */
    int64_t linked_size;
    char linked_sha256[TG_SHA256_HEX + 1];
    /* What If-Range takes: the strong entity tag with its quotes, else Last-Modified; "" when there
     * is neither. */
    char validator[PROV_ETAG_MAX];
    bool encoded;      /* Content-Encoding other than identity: not the file's own bytes */
    bool has_location; /* and it fitted */
    char location[PROV_LOCATION_MAX];
};

/* All zero at the beginning. */
struct prov_get_head_reader {
    struct prov_http_head_reader base;
    struct prov_get_head head;
};

/* One line with its end; results as of prov_http_head_line. */
enum tg_status prov_get_head_line(struct prov_get_head_reader *r, struct tg_str line,
                                  int64_t wall_ms);

#endif
