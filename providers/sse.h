/* Server-sent events, read incrementally as the WHATWG HTML standard parses an event stream:
 * lines end with CR, LF or CRLF, one leading BOM is dropped, lines with a colon first are
 * comments, several data lines are joined with LF. No socket, no callback: the caller pulls.
 * What comes out does not depend on how the bytes were cut. One thread at a time. */
#ifndef PROVIDERS_SSE_H
#define PROVIDERS_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/buf.h"
#include "config/base/status.h"
#include "config/base/str.h"

struct prov_sse_event {
    struct tg_str event; /* empty: "message" */
    struct tg_str data;
    struct tg_str id;    /* the last one seen in the stream; empty when none */
    int64_t retry_ms;    /* the last one seen; -1 when none */
};

struct prov_sse {
    struct tg_buf line, data, event, id;
    int64_t retry_ms;
    bool has_data;  /* a data field was seen since the last event */
    bool after_cr;  /* an LF that comes now belongs to the line before */
    bool started;   /* the first line is behind us: no BOM any more */
    bool given;     /* data and event were handed out and are to be emptied */
    enum tg_status failed; /* sticky */
};

/* line_max: bytes of one line, comments too; event_max: bytes of one event's data. Cannot fail. */
void prov_sse_init(struct prov_sse *p, size_t line_max, size_t event_max);
void prov_sse_free(struct prov_sse *p);
/* Takes bytes from *input, which is advanced, until an event is complete.
 * TG_OK: *out is an event, borrowed until the next call. TG_AGAIN: *input is used up, no event yet.
 * TG_LIMIT, TG_NOMEM: for good. Events without a data field are dropped, as the standard says. */
enum tg_status prov_sse_next(struct prov_sse *p, struct tg_str *input, struct prov_sse_event *out);
/* The stream ended. TG_OK: *out is an event whose lines were complete but whose blank line is
 * missing (the standard drops it; the caller decides). TG_AGAIN: there is none. */
enum tg_status prov_sse_end(struct prov_sse *p, struct prov_sse_event *out);

#endif
