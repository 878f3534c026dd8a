/* An OpenAI chat-completions answer, streamed or whole, to chat_events. Bytes in, events out: no
 * socket, no clock. One thread at a time.
 *
 * A stream is complete when both a finish reason and [DONE] have come; anything else is an ERROR
 * (truncated), also when the connection was closed in good order: a proxy that lost its server
 * closes in good order too. */
#ifndef PROVIDERS_OPENAI_READER_H
#define PROVIDERS_OPENAI_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/str.h"
#include "providers/backend.h"
#include "providers/sse.h"

struct tg_json;

enum { PROV_ERROR_TEXT_MAX = 512 };

struct prov_reader {
    struct prov_sse sse;
    prov_event_fn emit;
    void *arg;
    size_t left;      /* bytes of the answer that may still come */
    uint64_t salt;    /* for ids of calls that have none; 0: not needed yet */
    bool dead; /* set by the owner inside emit: nothing more is emitted, *this is left alone */
    bool logprobs;    /* set by the owner: those are asked for, and read */
    bool held;        /* set by the owner: prov_reader_feed stops between two SSE events */
    bool ended;       /* FINISH or ERROR was emitted */
    bool has_finish;
    enum chat_finish finish;
    uint32_t n_calls, last_call;
    bool has_arguments[CHAT_CALLS_MAX];
    uint64_t id_sum[CHAT_CALLS_MAX]; /* of a call's id; 0: it has none */
    uint32_t n_told;                 /* indexes of calls that were told */
    uint8_t call_of[CHAT_CALLS_MAX]; /* the newest call of each */
};

/* answer_max: bytes of the whole answer. Cannot fail. */
void prov_reader_init(struct prov_reader *r, size_t answer_max, prov_event_fn emit, void *arg);
void prov_reader_free(struct prov_reader *r);
/* The next bytes of a stream; returns how many were taken: all, unless r->held or r->dead. Bytes
 * after the end are taken and dropped. */
size_t prov_reader_feed(struct prov_reader *r, struct tg_str data);
/* The stream ended in good order. Emits ERROR unless the answer had ended. */
void prov_reader_end(struct prov_reader *r);
/* A whole answer that was not streamed. Emits everything up to FINISH or ERROR. */
void prov_reader_whole(struct prov_reader *r, struct tg_str body);
/* Emits an ERROR and ends, unless the answer had ended. text is cut and made valid UTF-8, and
 * registered secrets in it are masked. */
void prov_reader_fail(struct prov_reader *r, enum chat_error_kind kind, bool billed,
                      struct tg_str text);
/* Emits the ERROR of an HTTP error answer; body: what came of it. The message is looked for where
 * providers put it: error.message, error, message, detail, else the text itself. */
void prov_reader_status(struct prov_reader *r, int http_status, int64_t retry_after_ms,
                        struct tg_str body);

#endif
