/* The OpenAI chat-completions dialect: JSON to chat_request, chat_events to JSON or SSE. Pure. */
#ifndef GATEWAY_API_OPENAI_CHAT_H
#define GATEWAY_API_OPENAI_CHAT_H

#include "config/base/arena.h"
#include "config/base/buf.h"
#include "config/base/status.h"
#include "providers/chat.h"

/* An error of a request in the client's terms. */
struct oai_error {
    int status;           /* HTTP: 400, 404, 408, 413, 415, 429, 500, 502, 503, 504 */
    const char *type;     /* invalid_request_error, ... */
    const char *code;     /* or NULL */
    char param[128];      /* JSON path of the field, or empty */
    char message[512];
};

/* Decodes and validates a body. The request and its strings are allocated from arena. TG_OK or a
 * filled error: 400 (TG_INVALID, TG_UNSUPPORTED), or 503 (TG_NOMEM: also above the arena's
 * maximum). Fields that the API documents and this version does not honour are refused by name
 * (n > 1, logprobs, response_format other than text, audio, ...); unknown fields too. A tool
 * result's part carries the name of the function that was called. */
enum tg_status oai_chat_decode(struct tg_str body, struct tg_arena *arena,
                               struct chat_request *out, struct oai_error *err);

/* {"error": {"message", "type", "param", "code"}} */
enum tg_status oai_error_print(const struct oai_error *err, struct tg_buf *out);

/* Identity of an answer, the same in every chunk. */
struct oai_answer {
    char id[48];          /* chatcmpl-... */
    int64_t created_s;
    struct tg_str model;  /* as the client named it, or the route's name */
};

/* A whole answer. tool calls come as events of kind CHAT_EVENT_TOOL_CALL merged by index. */
struct oai_call { struct tg_str id, name, arguments; };
struct oai_whole {
    struct tg_str content, reasoning;
    const struct oai_call *calls;
    size_t n_calls;
    enum chat_finish finish;
    struct chat_usage usage;
};
enum tg_status oai_whole_print(const struct oai_answer *a, const struct oai_whole *w,
                               struct tg_buf *out);

/* Streaming: each appends complete SSE events ("data: {...}\n\n"). */
enum tg_status oai_stream_role(const struct oai_answer *a, struct tg_buf *out); /* first chunk */
enum tg_status oai_stream_event(const struct oai_answer *a, const struct chat_event *e,
                                struct tg_buf *out); /* TEXT, REASONING, TOOL_CALL */
/* The usage chunk follows when usage is given and both its sides are known. */
enum tg_status oai_stream_finish(const struct oai_answer *a, enum chat_finish finish,
                                 const struct chat_usage *usage_or_null, struct tg_buf *out);
enum tg_status oai_stream_error(const struct oai_error *err, struct tg_buf *out);
enum tg_status oai_stream_done(struct tg_buf *out); /* data: [DONE] */

/* GET /v1/models: one entry per name. */
enum tg_status oai_models_print(const char *const *names, size_t n, int64_t created_s,
                                struct tg_buf *out);

#endif
