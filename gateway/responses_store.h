/* What later requests may go on from: responses, each with a reference to the one before it, in
 * memory, bounded by bytes and by the time since they were last used. Each belongs to an owner, and
 * to all others it does not exist; where room is short, the owner that holds the most makes it. Any
 * thread: a mutex around small steps; what a response holds is never changed once it is in the
 * store, and a reference keeps it and all before it readable. */
#ifndef GATEWAY_RESPONSES_STORE_H
#define GATEWAY_RESPONSES_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/buf.h"
#include "config/base/status.h"
#include "config/base/str.h"

struct gw_responses; /* opaque: the store */
struct gw_share;

/* The lines by use that a response stands in. */
enum gw_response_order { GW_RESPONSE_OF_ALL, GW_RESPONSE_OF_OWNER, GW_RESPONSE_ORDERS };

/* One item inside a text: its JSON object, and the value of its id. */
struct gw_span {
    size_t at, n;
    size_t id_at, id_n;
};

/* A text with its items. Memory from tg_alloc, owned by the response. */
struct gw_spans {
    char *text;
    size_t n_text;
    struct gw_span *item;
    size_t n;
};

/* One response. Its maker fills it before gw_responses_put; readers only read. */
struct gw_response {
    uint64_t number, owner;
    bool local_only; /* it must never leave this machine */
    struct gw_spans input;  /* items of the request: "[{...},...]" */
    struct gw_spans output; /* the response object, and its output items */
    struct gw_response *before; /* what it goes on from, or NULL */
    size_t depth;  /* responses up to this one, itself counted */
    size_t chain;  /* bytes of them */
    struct {       /* of the store, under its lock */
        struct gw_response *newer[GW_RESPONSE_ORDERS], *older[GW_RESPONSE_ORDERS], *next;
        struct gw_share *share; /* its owner's, while it is kept */
        size_t bytes, refs, children;
        int64_t used_ms;
        bool kept, deleted;
    } in;
};

/* max_bytes: of all that is kept, structs counted too; ttl_ms: since the last use. NULL: out of
 * memory. */
struct gw_responses *gw_responses_new(int64_t max_bytes, int64_t ttl_ms);
/* All references are back. NULL allowed. */
void gw_responses_free(struct gw_responses *s);
/* Other bounds, at a reload; what is above them goes at once. */
void gw_responses_limit(struct gw_responses *s, int64_t max_bytes, int64_t ttl_ms,
                        int64_t now_ms);
/* Drops what is too old. now_ms here and below: any clock that does not go back. */
void gw_responses_expire(struct gw_responses *s, int64_t now_ms);

/* A response to be filled; before: what it goes on from, or NULL, whose reference it takes over.
 * Owned by the caller until gw_responses_put or gw_response_drop. NULL: out of memory, and before
 * is still the caller's. */
struct gw_response *gw_response_new(struct gw_response *before);
/* Frees a response that was not put, and gives its reference to the one before back. */
void gw_response_drop(struct gw_responses *s, struct gw_response *r);
/* Keeps r, which is the store's from then on. Whoever holds the most bytes makes room, with what it
 * used least recently, the newest of a conversation first; so nobody loses what is within an equal
 * part (the bytes by the number of owners, but for one response) to somebody else. One that is too
 * large, or goes on from something that is gone, is not kept, and neither is anything if there is
 * no memory. Takes time by what it evicts, and log2 of the number of owners. */
void gw_responses_put(struct gw_responses *s, struct gw_response *r, int64_t now_ms);

/* The response of that number. NULL: unknown, expired, deleted or another's. whole: only if all
 * that it goes on from is still there. A reference for the caller; it and those before it count as
 * used. */
struct gw_response *gw_responses_find(struct gw_responses *s, uint64_t owner, uint64_t number,
                                      bool whole, int64_t now_ms);
/* Gives a reference back. NULL allowed. */
void gw_response_unref(struct gw_responses *s, struct gw_response *r);
/* False when there is none. Its text goes as soon as nobody reads it; what goes on from it can
 * still be read, but not be gone on from. */
bool gw_responses_delete(struct gw_responses *s, uint64_t owner, uint64_t number, int64_t now_ms);

/* Room to read so many bytes, given back by gw_responses_unread: conversations that are being gone
 * on from at the same time are copied. False: too many at once. */
bool gw_responses_read(struct gw_responses *s, size_t bytes);
void gw_responses_unread(struct gw_responses *s, size_t bytes);

/* What a request may go on from, and what it leaves. */
struct gw_past {
    struct gw_responses *store; /* NULL: nothing is found, nothing kept */
    uint64_t owner, number;     /* of the request */
    int64_t now_ms;
    bool local_only; /* what it goes on from must never leave this machine */
    struct gw_response *draft; /* owned: to be kept when it is answered, or NULL */
    size_t reading;            /* given to gw_responses_read */
};
void gw_past_free(struct gw_past *past);

struct gw_responses_state {
    size_t n, bytes; /* kept now */
};
struct gw_responses_state gw_responses_state(struct gw_responses *s);

/* Adds an item to spans; at, n: its place in the text. TG_NOMEM: nothing was added. */
enum tg_status gw_spans_add(struct gw_spans *spans, struct gw_span item);
/* The text is what text held, whose memory it takes over: text is empty then. */
void gw_spans_take(struct gw_spans *spans, struct tg_buf *text);
void gw_spans_free(struct gw_spans *spans);
struct tg_str gw_span_text(const struct gw_spans *spans, size_t i);
struct tg_str gw_span_id(const struct gw_spans *spans, size_t i);

#endif
