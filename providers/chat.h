/* The one vocabulary: what a client asks and what a backend answers, whatever their dialects.
 * Dialect decoders fill a chat_request, backends take it and emit chat_events, dialect encoders
 * print those. Everything a request points to lives in its arena. */
#ifndef PROVIDERS_CHAT_H
#define PROVIDERS_CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/arena.h"
#include "config/base/status.h"
#include "config/base/str.h"

enum chat_role { CHAT_SYSTEM, CHAT_DEVELOPER, CHAT_USER, CHAT_ASSISTANT, CHAT_TOOL };

enum chat_part_kind {
    CHAT_PART_TEXT,
    CHAT_PART_IMAGE,
    CHAT_PART_AUDIO,
    CHAT_PART_VIDEO,
    CHAT_PART_TOOL_CALL,   /* id, name, text = arguments as JSON text */
    CHAT_PART_TOOL_RESULT, /* id, text */
    CHAT_PART_REASONING,
};

struct chat_media_type; /* providers/media.h */

/* What an image, audio or video part holds: bytes, a URL of them, or both once it was fetched. */
struct chat_media {
    const struct chat_media_type *type; /* of the bytes; NULL: not known, there is only a URL */
    struct tg_str data;                 /* as decoded, first bytes checked; p NULL: not here */
    struct tg_str url;                  /* http or https, as written; empty: there was none */
    struct tg_str field;                /* JSON path at which the client wrote the part */
};

struct chat_part {
    enum chat_part_kind kind;
    struct tg_str text; /* UTF-8; empty for media */
    struct chat_media *media; /* of IMAGE, AUDIO and VIDEO, which all have one */
    struct tg_str id, name;
};

struct chat_message {
    enum chat_role role;
    struct tg_str name;
    const struct chat_part *parts;
    size_t n_parts;
    size_t place; /* 1 + its index in the client's list, for errors; 0: the same as here */
};

struct chat_tool {
    struct tg_str name, description;
    struct tg_str parameters; /* JSON text, may be empty */
    bool has_strict, strict;
};

enum { CHAT_STOPS_MAX = 4, CHAT_CALLS_MAX = 128 /* tool calls of one answer */ };

/* Absent values: the has_ flag is false and the backend's default holds. */
struct chat_sampling {
    bool has_temperature, has_top_p, has_top_k, has_min_p, has_seed;
    double temperature, top_p, min_p;
    uint32_t top_k;
    uint64_t seed;
    bool has_presence, has_frequency;
    double presence, frequency;
};

/* What an answer's text must be. */
enum chat_format { CHAT_FORMAT_TEXT, CHAT_FORMAT_JSON, CHAT_FORMAT_SCHEMA };

enum chat_choice { CHAT_CHOICE_AUTO, CHAT_CHOICE_REQUIRED, CHAT_CHOICE_NAMED };

struct chat_request {
    struct tg_str model; /* as the client named it; may be empty */
    struct tg_str model_said; /* the same with a tag that only its dialect knows; empty: none */
    const struct chat_message *messages;
    size_t n_messages;
    const struct chat_tool *tools;
    size_t n_tools; /* 0 too where the client wants none called */
    enum chat_choice tool_choice;
    struct tg_str tool_name; /* CHAT_CHOICE_NAMED */
    bool one_call;           /* parallel_tool_calls: false */
    enum chat_format format;
    struct {
        struct tg_str name, description, text; /* text: JSON */
        bool has_strict, strict;
    } schema; /* CHAT_FORMAT_SCHEMA */
    struct chat_sampling sampling;
    uint32_t max_tokens; /* 0: not given */
    bool no_limit;       /* 0 as well, and the client wants none: as much as the backend allows */
    uint32_t context;    /* positions that the client wants there to be; 0: not given */
    struct tg_str stop[CHAT_STOPS_MAX];
    size_t n_stops;
    bool stream;
    bool include_usage; /* a stream's client wants the usage chunk */
    bool thinking;
    bool hide_thinking; /* the client wants to know that it was thought, not what */
    struct tg_str user;
    const void *own; /* what the dialect that read it needs to know again; for it alone */
};

enum chat_event_kind {
    CHAT_EVENT_STARTED,   /* a local job left the queue; a remote answered its headers */
    CHAT_EVENT_TEXT,
    CHAT_EVENT_REASONING,
    CHAT_EVENT_TOOL_CALL, /* delta: index; id and name in the first; text = piece of arguments */
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
    struct chat_usage usage;
    enum chat_finish finish;
    struct tg_str stop; /* FINISH: which of the request's ended it; empty: none, or not known */
    enum chat_error_kind error;
    int http_status; /* CHAT_ERROR_STATUS; 500 for an error inside a 200 answer without a code */
    int64_t retry_after_ms; /* -1: not said */
    bool billed;           /* ERROR: the provider may bill what it did (README.md has the table) */
};

/* Bytes of all text in the request as it would travel (parts, names, tools): the base of a ledger
 * bound and of complexity. */
size_t chat_request_bytes(const struct chat_request *r);
const char *chat_role_name(enum chat_role role);
const char *chat_finish_name(enum chat_finish finish); /* OpenAI's words */
const char *chat_error_name(enum chat_error_kind kind);

#endif
