/* A backend answers a chat_request with a stream of chat_events: the local engine or a provider.
 * Everything here runs on the loop thread, unless it says otherwise. */
#ifndef PROVIDERS_BACKEND_H
#define PROVIDERS_BACKEND_H

#include "config/base/buf.h"
#include "config/base/status.h"
#include "providers/chat.h"

struct event_base;
struct le_engine;
struct prov_backend; /* opaque: one configured provider, or the local engine */
struct prov_attempt; /* opaque: one answer under way */
struct prov_reads;   /* opaque: answer_reads.h */
struct prov_http;    /* opaque: the curl multi handle on the loop */

struct prov_call {
    const struct chat_request *request; /* borrowed until the attempt ended */
    struct tg_str model;                /* upstream model name (remote) */
    uint32_t max_tokens;                /* always sent upstream; > 0, but 0 for vectors */
    int64_t timeout_ms;                 /* whole answer; 0: the provider's own */
    bool by_vendor;                     /* the server is OpenAI's own: prov_openai_is_vendor */
    /* Local only: the prompt as prov_local_prepare made it, borrowed until the attempt ended. */
    const int32_t *prompt;
    uint32_t n_prompt;
    /* Remote only: what prov_write made of the rest. prov_start takes its memory unless it fails.
     * NULL: it is written there. */
    struct tg_buf *body;
};

/* Events come in order, on the loop thread, never from inside prov_start, prov_pause or
 * prov_free. Strings are borrowed for the call. FINISH or ERROR is the last; the attempt must
 * then still be freed. The callee may call prov_pause and prov_free of this attempt or of any
 * other, and prov_start. */
typedef void (*prov_event_fn)(void *arg, const struct chat_event *event);

/* NULL when out of memory or when the backend is full (err). Owned by the caller: prov_free. */
struct prov_attempt *prov_start(struct prov_backend *b, const struct prov_call *call,
                                prov_event_fn fn, void *arg, struct tg_error *err);
/* What prov_start would send for the call, into *out, which is initialised, and the caller's to
 * free. Any thread; only reads. For large requests: megabytes would hold up the loop. Not TG_OK:
 * prov_start says why. */
enum tg_status prov_write(const struct prov_backend *b, const struct prov_call *call,
                          struct tg_buf *out);
/* Back pressure: while paused no TEXT, REASONING or TOOL_CALL events come (a bounded number may
 * still be under way) and the producer stops when its credit is used up. */
void prov_pause(struct prov_attempt *a, bool paused);
/* Ends the attempt now if it is under way (the transfer is closed, the job cancelled), without
 * another event, and frees it. NULL allowed. */
void prov_free(struct prov_attempt *a);

/* Whether an answer that is given up now may be billed: some of the request has left, and its usage
 * is not known. False for the local engine. */
bool prov_may_be_billed(const struct prov_attempt *a);

const char *prov_name(const struct prov_backend *b);
bool prov_is_local(const struct prov_backend *b);
/* The owner's reference: attempts under way go on and keep the backend until they are freed. NULL
 * allowed. */
void prov_backend_free(struct prov_backend *b);

/* The local engine as a backend; the engine stays the caller's and must outlive it. NULL: err. */
struct prov_backend *prov_local_new(struct event_base *base, struct le_engine *engine,
                                    struct tg_error *err);
/* Renders and tokenises for the local engine. Any thread; the request is not changed. Where a
 * message's calls are answers of this backend and come without their reasoning, the prompt has the
 * reasoning remembered for them, unless it fits into the context only without. *ids is owned by the
 * caller (tg_free). TG_UNSUPPORTED when the local model cannot take the request: err names the
 * field. TG_LIMIT when the prompt does not fit into the context: err has both numbers, and so has
 * *overflow (NULL allowed), which is zero otherwise. */
enum tg_status prov_local_prepare(struct prov_backend *local, const struct chat_request *r,
                                  int32_t **ids, uint32_t *n, struct chat_overflow *overflow,
                                  struct tg_error *err);
/* How many tokens that prompt would have, in whatever context: up to PROV_COUNT_BYTES_MAX bytes of
 * text (TG_LIMIT above). Any thread. */
enum { PROV_COUNT_BYTES_MAX = 1 << 20 };
enum tg_status prov_local_count(struct prov_backend *local, const struct chat_request *r,
                                uint32_t *n, struct tg_error *err);
/* The most bytes of remembered reasoning that prov_local_prepare may add to a request with this
 * JSON body: it takes as long as for a body that has them. Any thread. */
size_t prov_local_recall_max(struct prov_backend *local, struct tg_str body);

struct prov_openai_options {
    const char *name;      /* the provider's name in the configuration */
    const char *base_url;  /* such as https://api.openai.com/v1 */
    const char *api_key;   /* or NULL */
    int64_t connect_timeout_ms; /* default 10 s */
    int64_t idle_timeout_ms;    /* no byte for so long ends the transfer; default 60 s */
    int64_t timeout_ms;         /* whole answer; default 10 min */
    size_t answer_max;     /* bytes of one answer; default 16 MiB */
    uint32_t transfers_max; /* at once; default 256 */
    struct prov_reads *reads; /* borrowed: where large whole answers are read; or NULL */
};
/* An OpenAI-compatible provider: POST base_url/chat/completions, or base_url/embeddings for
 * vectors. Options are copied. TG_INVALID for a base URL or key that cannot be used. */
struct prov_backend *prov_openai_new(struct prov_http *http,
                                     const struct prov_openai_options *options,
                                     struct tg_error *err);

/* curl's multi interface driven by the event loop. NULL: err. Free it after all backends. */
struct prov_http *prov_http_new(struct event_base *base, struct tg_error *err);
void prov_http_free(struct prov_http *http);
/* Connections opened to upstreams since start: tests of local-only read it. */
uint64_t prov_http_connections(const struct prov_http *http);
/* Calls under way now, and those that linger for the end of their message. */
size_t prov_http_transfers(const struct prov_http *http);

/* Body that the adapter would send for this call: for tests, and for the ledger's bound (its length
 * bounds the prompt tokens). Pure. TG_UNSUPPORTED: a part that the dialect has no words for (video,
 * audio that is only a URL), top_k or min_p for by_vendor; TG_INVALID: a tool's parameters are not
 * JSON; TG_LIMIT, TG_NOMEM. */
enum tg_status prov_openai_body(const struct prov_call *call, struct tg_buf *out);
/* Whether the server at that base URL is OpenAI's own. It refuses max_tokens for its reasoning
 * models and knows max_completion_tokens for all, where others know the older name; and it refuses
 * fields that are not its own, such as top_k and min_p, which others take. */
bool prov_openai_is_vendor(const char *base_url);
/* Whether that dialect has words for this part. */
bool prov_openai_takes(const struct chat_part *part);

#endif
