/* For the tests of providers: a recorder of chat_events, and a scripted HTTP server on loopback
 * that runs on the same event loop as what is tested. */
#ifndef TESTS_UNIT_PROVIDERS_SUPPORT_H
#define TESTS_UNIT_PROVIDERS_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/buf.h"
#include "providers/backend.h"

struct event_base;

struct record {
    struct tg_buf text; /* refusals as "!piece"; and vectors, "index:number number|..." */
    struct tg_buf reasoning;
    struct tg_buf calls;  /* "index:id:name:piece|..." */
    struct tg_buf error;
    struct tg_buf logprobs; /* "token logprob top=logprob ...|..." */
    size_t events, started, usages, ends, tokens, after_end;
    struct chat_event last; /* of FINISH or ERROR; its strings are gone */
    struct chat_usage usage;
    int64_t end_ns;
    /* What to do at the nth event (1 = the first); 0: nothing. */
    size_t pause_at, free_at;
    struct prov_attempt *attempt;
};
void record_init(struct record *r);
void record_free(struct record *r);
/* A prov_event_fn. */
void record_event(void *arg, const struct chat_event *e);

/* Whole requests are answered with `answer`, as raw bytes. */
struct mock_script {
    const char *answer;
    size_t n;           /* 0: strlen(answer) */
    bool close;         /* behind the answer */
    bool hang;          /* no answer at all */
    size_t cut;         /* > 0: only so many bytes of it, then close */
    int64_t close_idle_ms; /* > 0: closes so long after the answer */
    bool close_on_second;  /* a connection's second request is read, then the connection closed */
    /* > 0: behind the answer the tail is written so often, as fast as the socket takes it */
    size_t repeat;
    const char *tail;
};
struct mock {
    struct event_base *base;
    void *listener, *connections;
    uint16_t port;
    struct mock_script script;
    size_t accepted, requests, peer_closed, repeated;
    int64_t closed_ns;     /* when a peer last closed */
    struct tg_buf request; /* the last whole one */
};
void mock_start(struct mock *m, struct event_base *base);
void mock_stop(struct mock *m);

/* Runs the loop until *done is at least n, or ms have passed: false. */
bool loop_until(struct event_base *base, const size_t *done, size_t n, int64_t ms);
/* Runs it for ms. */
void loop_for(struct event_base *base, int64_t ms);

/* Answers: a head with chunked encoding and the SSE body in one chunk each; static storage. */
extern const char *const mock_stream;   /* "Hello, world", usage 11/3, finish stop, [DONE] */
extern const char *const mock_sse;      /* its body, decoded */
extern const char *const mock_whole;    /* the same, not streamed */

#endif
