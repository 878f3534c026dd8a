/* What a dialect is: how its requests are read into the one vocabulary (providers/chat.h), and how
 * answers, streams and errors are printed in it. The life of a request (exchange.h) knows nothing
 * else of any dialect. All functions are pure: any thread, no I/O. */
#ifndef GATEWAY_API_DIALECT_H
#define GATEWAY_API_DIALECT_H

#include "config/base/arena.h"
#include "config/base/buf.h"
#include "config/base/status.h"
#include "providers/chat.h"

struct gw_past; /* gateway/responses_store.h */

#define API_TOO_LONG "context_length_exceeded" /* the code of a prompt that is too long */

/* An error of a request in the client's terms: OpenAI's words, which other dialects translate. */
struct api_error {
    int status;       /* HTTP: 400, 403, 404, 405, 413, 415, 429, 500, 502, 503, 504 */
    const char *type; /* invalid_request_error, ...; outlives the error, as code does */
    const char *code; /* or NULL */
    char param[128];  /* JSON path of the field, or empty */
    char message[512];
    char request[24]; /* the request's number in hex, or empty: not known yet */
};

/* Identity of an answer, the same in every chunk. */
struct api_answer {
    char id[48]; /* the dialect's prefix and the request's number */
    int64_t created_s;
    int64_t created_ms; /* the same, finer */
    struct tg_str model; /* as the client named it, or the route's name */
    const struct chat_request *request;
    struct chat_count prompt; /* tokens of the prompt, where they are known before the answer */
};

struct api_call {
    struct tg_str id, name, arguments; /* arguments: JSON text */
};

/* How long an answer took, as the exchange measured it: nanoseconds, 0 where that is not known. */
struct api_times {
    int64_t total;  /* from the request's arrival to the answer's end */
    int64_t wait;   /* of that, until its backend began with it */
    int64_t prompt; /* from there to its first token or text; unknown of an answer in one piece */
    int64_t output; /* from there to the end */
};

struct api_vector {
    const float *v;
    size_t n;
};

/* All that an answer says. */
struct api_whole {
    struct tg_str content, reasoning;
    struct tg_str refusal; /* empty unless the dialect tells it apart; else it is in content */
    bool refused;          /* there was one */
    const struct api_call *calls;
    size_t n_calls;
    enum chat_finish finish;
    struct tg_str stop; /* the stop string that ended it; empty: none, or not known which */
    const struct api_vector *vectors; /* of each input, if those were asked for */
    size_t n_vectors;
    const struct chat_logprobs *logprobs; /* of content; NULL: not asked for, or not told */
    struct chat_usage usage;
    struct api_times times;
};

/* Where the stream of one attempt stands; zero before its first event. For the dialect alone. */
struct api_stream {
    int open;       /* kind of the block that is open */
    uint32_t index; /* of that block */
    uint32_t call;  /* number of the call that is open */
    uint64_t sequence;
    /* What was said so far, to a dialect that keeps it. */
    const struct tg_buf *content, *reasoning, *refusal;
    struct tg_buf items, tokens; /* freed with the attempt */
    size_t held;      /* 1 + where the tokens of text to come begin in tokens; 0: there are none */
    bool tokens_lost; /* there were too many to be told again */
};

/* Backends name fields in OpenAI's words; here is what a dialect calls them. */
struct api_rename {
    const char *theirs, *ours; /* a part of a field's path, and what stands there instead */
};

/* By which words a dialect's clients know that a prompt was too long: overflow.c. */
enum api_overflow_words {
    API_OVERFLOW_OPENAI,
    API_OVERFLOW_ANTHROPIC,
    API_OVERFLOW_OLLAMA,
    API_OVERFLOW_OLLAMA_VECTORS,
};

/* Functions append to out and give its state: TG_OK, or TG_NOMEM or TG_LIMIT as tg_buf tells. Whole
 * and finish also give TG_INVALID when the dialect has no words for what a backend said; out is to
 * be thrown away then, and the client told of an error. note is JSON in one line, what Tollgate
 * knows at the end, or empty: a dialect puts it where its clients pass over it. */
struct api_dialect {
    const char *name; /* of the request log */
    const char *id_prefix;
    const char *stream_type; /* content type of a stream */
    /* A dialect whose decode gives no streams has nothing of what follows about them. */
    const char *heartbeat;   /* bytes that a client passes over; NULL: beat prints them */
    enum tg_status (*beat)(const struct api_answer *a, struct tg_buf *out);
    const char *id_header;            /* header with "req_" and the request's number, or NULL */
    const struct api_rename *renames; /* ended by a NULL, or NULL */
    bool keeps;                       /* finish and later events need what was said before */
    bool keeps_calls;                 /* finish needs the calls, and nothing else */
    bool refusals;                    /* it tells them apart; else a REFUSAL comes as a TEXT */
    bool anthropic_limits;            /* how its clients read what is left of their limits */
    enum api_overflow_words overflow;
    int overloaded;                   /* the status that it has for 503; 0: the same */
    /* Decodes and validates a body. The request and its strings are allocated from arena. TG_OK or
     * a filled error: 400 (TG_INVALID, TG_UNSUPPORTED), or 503 (TG_NOMEM: also above the arena's
     * maximum). Documented fields are honoured or refused by name; unknown ones are refused. */
    enum tg_status (*decode)(struct tg_str body, struct tg_arena *arena, struct chat_request *out,
                             struct api_error *err);
    /* Instead of decode, for requests that may go on from what was answered before: it is found in
     * past, and what is to be kept of this one goes there. Also TG_NOTFOUND (404, or 400 where
     * the service has that). */
    enum tg_status (*decode_past)(struct tg_str body, struct gw_past *past,
                                  struct tg_arena *arena, struct chat_request *out,
                                  struct api_error *err);
    /* With decode_past: whether it may look something up, which the loop has no time for. */
    bool (*looks_back)(struct tg_str body);
    /* With decode_past: keeps an answer that is about to be told. s: NULL for a whole one. Without
     * memory it is not kept. */
    void (*keep)(const struct api_answer *a, const struct api_stream *s,
                 const struct api_whole *w, struct gw_past *past);
    /* The answer to a request that decode gave no messages: it asks nothing of a backend. NULL:
     * decode refuses such. */
    enum tg_status (*idle)(const struct api_answer *a, struct tg_buf *out);
    enum tg_status (*error)(const struct api_error *e, struct tg_buf *out);
    enum tg_status (*whole)(const struct api_answer *a, const struct api_whole *w,
                            struct tg_buf *out);
    /* What comes before the first event. */
    enum tg_status (*begin)(const struct api_answer *a, struct tg_buf *out);
    /* TEXT, REFUSAL, REASONING or TOOL_CALL with something to print. Also TG_UNSUPPORTED: the
     * dialect has no way to tell it, and the answer fails. */
    enum tg_status (*event)(const struct api_answer *a, struct api_stream *s,
                            const struct chat_event *e, struct tg_buf *out);
    /* The end. Text, reasoning and calls of w are empty unless the dialect keeps them. Printed
     * before anything of it is sent. */
    enum tg_status (*finish)(const struct api_answer *a, struct api_stream *s,
                             const struct api_whole *w, struct tg_str note, struct tg_buf *out);
    /* The end of a stream that failed: an error event, never a clean end. */
    enum tg_status (*failed)(const struct api_answer *a, struct api_stream *s,
                             const struct api_error *e, struct tg_str note, struct tg_buf *out);
    /* Not NULL: requests of this dialect only ask how many tokens their prompt has, and of the
     * functions above only the decoder and error are called. */
    enum tg_status (*count)(uint32_t n_prompt, struct tg_buf *out);
};

/* The HTTP status by which a dialect tells an error. */
static inline int api_error_status(const struct api_dialect *d, const struct api_error *e)
{
    return e->status == 503 && d->overloaded ? d->overloaded : e->status;
}

/* The field that e's message begins with, "FIELD: ...", in the dialect's words (d->renames). */
void api_rename_field(const struct api_dialect *d, struct api_error *e);

/* Sets e's param to a field that a provider named, in the dialect's words. Where those are others,
 * lists are too, perhaps, and what stands inside a field: then it is the field alone. */
void api_rename_param(const struct api_dialect *d, struct tg_str param, struct api_error *e);

/* Makes e the refusal of a prompt that is too long, in words by which the dialect's clients know
 * it; param stays. says: what the provider said of it, in one line; empty: it is the local model,
 * and both numbers are known. */
void api_overflow(const struct api_dialect *d, const struct chat_overflow *o, const char *says,
                  struct api_error *e);

#endif
