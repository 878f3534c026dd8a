/* One request from arrival to its row: the life that DESIGN.md section 1 draws. Internal to
 * gateway/; exchange.c is the state machine, arrive.c admits, prepare.c scores, attempt.c runs
 * backends and pays, answer.c writes to the client, explain.c says what scores are made of,
 * ending.c ends all with the program. Loop thread, but for gw_prepare.
 *
 *   RECEIVED -> SCORED          scored: decoded and routed, admitted, fetched, prepared
 *   SCORED -> RUNNING           gw_exchange_next: the plan's first step
 *   RUNNING -> RUNNING          gw_exchange_next: failure; escalate: low confidence, slow start
 *   RUNNING -> COMMITTED        gw_answer_commit: the first delta is written to the client
 *   any -> DONE                 gw_exchange_done: settled, row written, freed */
#ifndef GATEWAY_EXCHANGE_H
#define GATEWAY_EXCHANGE_H

#include <stdatomic.h>

#include "gateway/api/dialect.h"
#include "gateway/app.h"
#include "gateway/attempt.h"
#include "gateway/auth.h"
#include "gateway/responses_store.h"
#include "gateway/media.h"
#include "policy/complexity.h"
#include "policy/confidence.h"

enum gw_state { GW_RECEIVED, GW_SCORED, GW_RUNNING, GW_COMMITTED, GW_DONE };

/* Tags of a header, and a key's in front of them. */
enum { GW_TAGS_MAX = 16, GW_ALL_TAGS_MAX = GW_TAGS_MAX + TEL_KEY_TAGS_MAX };
enum { GW_EXPLAIN_MAX = 4096 };

/* The route of a request that names a model of a provider: its route's, with that model alone. */
struct gw_named {
    struct cfg_route settings;
    struct pol_route route; /* of settings; without triggers: nothing to free */
    struct prov_backend *backend; /* borrowed */
};

/* What a request is scored by; filled by gw_prepare, possibly on a worker thread. */
struct gw_prepared {
    const struct api_dialect *dialect;
    struct tg_arena *arena;
    struct tg_str body; /* borrowed from the connection, or body_taken */
    struct tg_buf body_taken;
    struct prov_backend *local;
    const struct cfg_settings *settings; /* of the exchange's snapshot */
    bool decoded;   /* request may be read, by all threads: it is not changed any more */
    bool unfetched; /* there are URLs to be fetched, then it is prepared again */
    bool ready;     /* scored, too: there is nothing left to prepare */
    atomic_bool unwanted; /* set by the loop: a worker that has not begun need not */
    bool failed;
    struct api_error error;
    struct gw_past past; /* of a dialect whose requests go on from earlier ones */
    struct chat_request request;
    int32_t *prompt; /* owned */
    uint32_t n_prompt;
    bool local_can;
    struct tg_error local_error;   /* why not */
    struct chat_overflow overflow; /* if that is why */
    struct pol_score complexity;
};

struct gw_exchange {
    struct gw_exchange *prev, *next; /* app->exchanges */
    struct gw_exchange *waiting_next;
    struct gw_app *app;
    struct gw_snapshot *config;
    size_t route;
    bool routed;                  /* false: not decoded yet, or it named no route of ours */
    struct gw_named *named;       /* in prepared.arena; NULL: the route is the configuration's */
    enum gw_state state;
    struct gw_request *rq; /* NULL once answered or gone */
    bool gone, admitted, headers_sent, blocked, local_only;
    unsigned on_worker; /* how many workers are at it, which must all be through before it ends */
    bool beats;       /* the heartbeat's timer is set, and sets itself again */
    bool overdue;     /* it fired when nobody knew whether this is a stream */
    bool window_over; /* confidence was judged: local may commit */
    bool weighed;     /* and a tier could have been tried for it */
    bool explain;     /* x-tollgate-explain: true */
    bool *done_flag;  /* set when x is freed; NULL: nobody asks */
    uint64_t id;
    int64_t begun_ns, started_ms, committed_ns; /* 0: not yet */
    struct gw_prepared prepared;
    struct gw_media *media;  /* fetched; NULL: nothing was */
    struct gw_caller caller; /* its key, as it was when the request came */
    struct tg_str tags[GW_ALL_TAGS_MAX];
    size_t n_tags;
    char *tags_text; /* owned: what the header's tags point into */
    struct api_answer answer;
    struct pol_plan plan;
    bool tried[POL_STEPS_MAX];
    struct gw_try local, remote; /* remote: one at a time */
    struct gw_try *current;      /* whose answer the client gets, if it commits */
    bool local_parked;           /* held while a tier is tried */
    struct pol_confidence confidence_sums;
    struct pol_score confidence; /* as it was judged */
    struct pol_key key;          /* what its calibration was looked for by */
    struct {
        struct api_whole whole;
        struct tg_buf out;
        enum tg_status status;
    } printed; /* a whole answer; a worker may be at it */
    struct gw_writing *writing; /* attempt.h; NULL: no worker is at it */
    char reason[POL_REASON_MAX];
    struct api_error failure; /* of the last attempt that failed */
    const char *failure_name; /* for the row; "" */
    int64_t retry_after_ms;   /* of that attempt; negative: not said */
    bool retry_in_vain;       /* before retry_after_ms, or ever where that is negative */
    struct gw_timer *heartbeat, *window, *latency, *deadline;
    int64_t cost_nano, reserved_nano;
    bool cost_unknown; /* a call without a price was made */
    bool estimated;
    int attempts;
    int status; /* HTTP status told or, for 499, that would have been */
};

/* prepare.c: decode, tokenise, score; or only decode, where media is to be fetched or a stream is
 * to have heartbeats from then on, and the rest when it is called again: until p is ready, or has
 * failed. Touches only p: any thread. */
void gw_prepare(struct gw_prepared *p);
/* Undoes that of a p that has failed. Any thread. */
void gw_prepared_forget(struct gw_prepared *p);
void gw_prepared_free(struct gw_prepared *p);
/* What triggers are evaluated over, as known now. */
struct pol_facts gw_facts(const struct gw_exchange *x);

/* arrive.c */
/* A request for an answer in a dialect; owns itself from here on, and who, which is zero behind it.
 * NULL: answered already. */
struct gw_exchange *gw_exchange_new(struct gw_app *app, struct gw_request *rq,
                                    const struct gw_ask *ask, const struct api_dialect *dialect,
                                    struct gw_caller *who);
/* Starts those that wait for slots, oldest first, for a turn at most. For look_again alone. */
void gw_arrival_admit(struct gw_app *app);
void gw_arrival_room(struct gw_app *app); /* there may be slots: look_again is due */
/* A heartbeat is due, but x is not decoded yet: so that waiting does not keep it from that. */
void gw_arrival_overdue(struct gw_exchange *x);
/* x waits no more. */
void gw_arrival_left(struct gw_exchange *x);
/* All its media are here now: on to the scores. */
void gw_arrival_fetched(struct gw_exchange *x);

/* exchange.c */
const struct cfg_route *gw_exchange_route(const struct gw_exchange *x);
const struct pol_route *gw_exchange_policy(const struct gw_exchange *x); /* of the same */
/* What is left, 0 at least, of a span of time that began with the request's arrival. */
int64_t gw_exchange_left_ms(const struct gw_exchange *x, int64_t span_ms);
/* Makes the timers; false when out of memory (those made are freed with x). */
bool gw_exchange_timers(struct gw_exchange *x);
/* Answers with an error and ends; name goes to the row (static storage). */
void gw_exchange_fail(struct gw_exchange *x, const struct api_error *e, const char *name);
void gw_exchange_gone(struct gw_exchange *x);
void gw_exchange_writable(struct gw_exchange *x);
/* An attempt's next event. */
void gw_exchange_event(struct gw_try *t, const struct chat_event *e);
/* The next permitted step of the plan, or the error if none is left. */
void gw_exchange_next(struct gw_exchange *x);
/* Nothing more to say: settles, writes the row, frees x. */
void gw_exchange_done(struct gw_exchange *x);

/* explain.c */
/* The score of what the local model has said so far, calibrated if something fits its key, which
 * is given too (key may be NULL). */
struct pol_score gw_confidence(const struct gw_exchange *x, enum pol_span span,
                               struct pol_key *key);
/* Unknown until x is scored; borrowed from it. */
const struct pol_score *gw_complexity(const struct gw_exchange *x);
/* What x-tollgate-explain gives: JSON in one line, below GW_EXPLAIN_MAX bytes (README.md). */
enum tg_status gw_explain(const struct gw_exchange *x, struct tg_buf *out);

/* answer.c */
/* An error in the client's terms; type and code are static. Pure, any thread. */
struct api_error gw_failure(int status, const char *type, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Gives what t holds to the client from now on; headers first if they are still due. False: out of
 * memory for it; nothing of it was written. */
bool gw_answer_commit(struct gw_exchange *x, struct gw_try *t);
/* What the committed attempt has said and the client can take. */
void gw_answer_flush(struct gw_exchange *x);
/* Pauses the current attempt if the client does not keep up with it. */
void gw_answer_hold_back(struct gw_exchange *x);
/* The committed attempt finished: ends the stream or sends the whole answer. x->rq is NULL after,
 * unless a worker prints the answer first (on_worker): it ends the exchange then. */
void gw_answer_finish(struct gw_exchange *x);
/* The answer to a request that asks for nothing. x->rq is NULL after. */
void gw_answer_idle(struct gw_exchange *x);
/* How many tokens the prompt has, to a dialect that counts; ends the exchange. */
void gw_answer_count(struct gw_exchange *x);
/* An error in the client's dialect, before or after the headers. x->rq is NULL after. */
void gw_answer_refuse(struct gw_exchange *x, const struct api_error *e);
/* Something that the client passes over, in a stream; headers first if they are still due. x is
 * decoded. */
void gw_answer_heartbeat(struct gw_exchange *x);
/* The row of the request log. */
void gw_answer_row(struct gw_exchange *x);

#endif
