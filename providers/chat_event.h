/* What a backend answers, as a stream of events: the other half of the vocabulary of chat.h. */
#ifndef PROVIDERS_CHAT_EVENT_H
#define PROVIDERS_CHAT_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/arena.h"
#include "config/base/str.h"

enum {
    CHAT_CALLS_MAX = 128, /* tool calls of one answer */
    CHAT_TOP_MAX = 20,    /* alternatives of one token */
};

enum chat_event_kind {
    CHAT_EVENT_STARTED,   /* a local job left the queue; a remote answered its headers */
    CHAT_EVENT_TEXT,
    CHAT_EVENT_REFUSAL,   /* text, in which the model declines: instead of TEXT, or behind it */
    CHAT_EVENT_REASONING,
    CHAT_EVENT_TOOL_CALL, /* delta: index; id and name in the first; text = piece of arguments */
    CHAT_EVENT_VECTOR,    /* of one input: index; each comes once */
    CHAT_EVENT_USAGE,     /* replaces what an earlier one said */
    CHAT_EVENT_FINISH,    /* the last event of an answer that ended well */
    CHAT_EVENT_ERROR,     /* the last event of one that did not */
};

enum chat_finish { CHAT_FINISH_STOP, CHAT_FINISH_LENGTH, CHAT_FINISH_TOOL_CALLS,
                   CHAT_FINISH_FILTER };

/* A count that a provider may leave out: absent is not zero. */
struct chat_count {
    bool present;
    uint64_t n;
};

struct chat_usage {
    struct chat_count input, cached_input, output, reasoning;
    struct chat_count audio_input; /* part of input, as is cached_input */
};

/* What the local distribution said at one generated token; only local backends have it. */
enum chat_token_class {
    CHAT_TOKEN_CONTENT,
    CHAT_TOKEN_CALL_VALUE,
    CHAT_TOKEN_MASKED, /* control, thought, call syntax, white space, forced by a grammar */
};

struct chat_token {
    enum chat_token_class cls;
    float logprob, entropy, margin; /* nats; margin = p1 - p2 */
};

/* A token and the natural logarithm of its probability. One token alone need not be UTF-8. */
struct chat_top {
    struct tg_str text;
    double logprob;
};

/* A token of an answer's text, and the likeliest ones at its place, itself perhaps among them. */
struct chat_logprob {
    struct chat_top token;
    const struct chat_top *top;
    size_t n_top;
};

/* Those of one event, and of the events after it. */
struct chat_logprobs {
    const struct chat_logprob *list;
    size_t n;
    struct chat_logprobs *next;
};

enum chat_error_kind {
    CHAT_ERROR_CONNECT,   /* no connection, TLS or DNS failure */
    CHAT_ERROR_TIMEOUT,
    CHAT_ERROR_STATUS,    /* the provider answered an HTTP error: http_status */
    CHAT_ERROR_TRUNCATED, /* the stream ended without its end marker */
    CHAT_ERROR_MALFORMED, /* what came is not the dialect */
    CHAT_ERROR_LIMIT,     /* a bound of ours was exceeded */
    CHAT_ERROR_REQUEST,   /* this backend cannot take the request (capability, context) */
    CHAT_ERROR_ENGINE,    /* the local engine failed */
};

/* A prompt that is too long for the model. */
struct chat_overflow {
    bool is;          /* false: nothing is said of one */
    bool at_least;    /* it may have more tokens: nobody counted on */
    uint64_t tokens;  /* of the prompt; 0: not known, and neither is context */
    uint64_t context; /* tokens of prompt and answer together, of which the answer needs one */
};

struct chat_event {
    enum chat_event_kind kind;
    int64_t mono_ns; /* when it happened; 0: now */
    struct tg_str text;
    uint32_t index;
    struct tg_str id, name;
    /* TEXT, REASONING, TOOL_CALL of a local answer: exactly one event a token has it. Such a
     * TEXT or REASONING may be empty: it only carries its token, and there is nothing to print. */
    bool has_token;
    struct chat_token token;
    /* TEXT of a request with logprobs: the tokens of its text, in their order. A token may come
     * without its text, which follows or came before: text may be empty. */
    const struct chat_logprob *logprobs;
    size_t n_logprobs;
    const float *vector; /* VECTOR: finite */
    size_t n_vector;
    struct chat_usage usage;
    enum chat_finish finish;
    struct tg_str stop; /* FINISH: which of the request's ended it; empty: none, or not known */
    enum chat_error_kind error;
    int http_status; /* CHAT_ERROR_STATUS; 500 for an error inside a 200 answer without a code */
    int64_t retry_after_ms; /* -1: not said */
    /* CHAT_ERROR_STATUS: what the provider calls it, in words for programs; empty: it gave none
     * that may be passed on (README.md). */
    struct tg_str said_type, said_code, said_param;
    struct chat_overflow overflow; /* CHAT_ERROR_STATUS: if it is that */
    bool billed;           /* ERROR: the provider may bill what it did (README.md has the table) */
};

/* A copy of an event's list, its strings too, in the arena; NULL when that has no room. */
struct chat_logprobs *chat_logprobs_copy(struct tg_arena *arena, const struct chat_event *e);
const char *chat_finish_name(enum chat_finish finish); /* OpenAI's words */
const char *chat_error_name(enum chat_error_kind kind);

#endif
