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
#include "providers/chat_event.h"

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
    struct tg_str detail;               /* of an image, the client's word for how closely to look;
                                           empty: the backend chooses */
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
    struct tg_str field; /* JSON path at which the client wrote it; empty: tools, and its index */
};

enum { CHAT_STOPS_MAX = 4 };

/* Absent values: the has_ flag is false and the backend's default holds. */
struct chat_sampling {
    bool has_temperature, has_top_p, has_top_k, has_min_p, has_seed;
    double temperature, top_p, min_p;
    uint32_t top_k;
    uint64_t seed; /* a negative one as two's complement; providers get an int64 */
    bool has_presence, has_frequency;
    double presence, frequency;
};

/* What an answer's text must be. */
enum chat_format { CHAT_FORMAT_TEXT, CHAT_FORMAT_JSON, CHAT_FORMAT_SCHEMA };

enum chat_choice { CHAT_CHOICE_AUTO, CHAT_CHOICE_REQUIRED, CHAT_CHOICE_NAMED };

/* Something to make a vector of: a text, or the ids of one in the provider's own vocabulary. */
struct chat_input {
    struct tg_str text;
    const uint32_t *ids;
    size_t n_ids; /* > 0: text is empty */
};

struct chat_request {
    struct tg_str model; /* as the client named it; may be empty */
    struct tg_str model_said; /* the same with a tag that only its dialect knows; empty: none */
    const struct chat_message *messages;
    size_t n_messages;
    const struct chat_input *inputs;
    size_t n_inputs;     /* > 0: a vector of each is wanted, and there are no messages */
    uint32_t dimensions; /* of the vectors; 0: not given */
    bool base64;         /* the client takes them in base64 */
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
    struct tg_str stop[CHAT_STOPS_MAX];
    size_t n_stops;
    bool logprobs;         /* TEXT events say what tokens they are made of */
    uint32_t top_logprobs; /* and so many that could have stood there; at most CHAT_TOP_MAX */
    bool stream;
    bool include_usage; /* a stream's client wants the usage chunk */
    bool thinking;
    struct tg_str effort;    /* how much, in the client's word, for providers; empty: not said */
    struct tg_str verbosity; /* "low" or "high" if that is asked for; else empty */
    bool echo; /* the answer's text begins with the prompt, which is one text */
    bool hide_thinking; /* what was thought is not wanted, whoever thought it */
    struct tg_str user;
    struct tg_str ignored; /* JSON paths of what has no effect here, with commas between them, which
                              the client is told; empty: nothing */
    const void *own; /* what the dialect that read it needs to know again; for it alone */
};

/* Asks nothing of a backend. */
static inline bool chat_is_empty(const struct chat_request *r)
{
    return r->n_messages == 0 && r->n_inputs == 0;
}
/* Bytes of all text in the request as it would travel (parts, names, tools, inputs; one for a token
 * that is given by its id): the base of a ledger bound and of complexity. */
size_t chat_request_bytes(const struct chat_request *r);
const char *chat_role_name(enum chat_role role);

#endif
