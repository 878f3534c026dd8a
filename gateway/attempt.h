/* One attempt of a request's plan: what runs, what it has said, what it may cost. Internal to
 * gateway/. Loop thread. */
#ifndef GATEWAY_ATTEMPT_H
#define GATEWAY_ATTEMPT_H

#include "gateway/api/dialect.h"
#include "policy/decide.h"
#include "providers/backend.h"

struct gw_exchange;

enum { GW_ANSWER_MAX = 16 << 20 };

/* The tool calls of an answer that is kept whole. */
struct gw_calls {
    struct tg_buf arguments[CHAT_CALLS_MAX];
    struct api_call call[CHAT_CALLS_MAX];
    size_t n;
};

/* What a paid attempt is paid from, all of its cost out of each. */
enum gw_purse { GW_PURSE_KEY, GW_PURSE_ROUTE, GW_PURSES };

/* One attempt of the plan, and what it has said so far. */
struct gw_try {
    struct gw_exchange *x;
    struct prov_attempt *attempt; /* NULL: not running */
    bool used;                    /* was started in this exchange */
    bool finished;                /* FINISH was seen */
    struct pol_step step;
    uint64_t reservation[GW_PURSES];        /* 0: none; all that are needed, once it runs */
    uint64_t ticket;                        /* 0: not waiting for a lease */
    int64_t begun_ns, started_ns, first_ns; /* 0: not reached */
    int64_t held_ns;                        /* first event of a token or text; 0: none yet */
    int64_t ended_ns;                       /* FINISH; 0: not reached */
    struct tg_buf out;                      /* stream: bytes not yet given to the client */
    struct api_stream stream;               /* where that stream is */
    struct tg_buf content, reasoning;       /* whole answer, or a dialect that keeps it */
    struct tg_buf refusal;                  /* the same; of a dialect that tells it apart */
    bool refused;                           /* some of what it said was a refusal */
    struct gw_calls *calls;                 /* owned; NULL: none came */
    struct tg_arena *kept;                  /* what else a whole answer has; NULL: nothing yet */
    struct chat_logprobs *tokens, **tokens_end; /* of content, in kept */
    struct api_vector *vectors;             /* [n_inputs], in kept */
    size_t output_bytes;
    int http_status;     /* of a provider that refused; 0: none */
    const char *outcome; /* for metrics: how it ended, or is about to; NULL: never called */
    struct chat_usage usage;
    enum chat_finish finish;
    struct tg_str stop; /* of the request: what ended it */
};

/* A request that a worker writes for the provider that is called next; NULL allowed. */
struct gw_writing;
void gw_writing_free(struct gw_writing *w);

void gw_try_init(struct gw_try *t, struct gw_exchange *x);
/* Reserves if the step is a paid one, then starts; a refusal goes on with gw_exchange_next. */
void gw_attempt_start(struct gw_exchange *x, size_t step);
/* Stops the attempt if it runs; its money is settled if it may be billed, else released. An attempt
 * that runs and has sent nothing yet is never billed. */
void gw_attempt_end(struct gw_try *t, bool billed);
void gw_try_free(struct gw_try *t);
/* After FINISH: settles at the usage, or at the reservation when there is none. */
void gw_attempt_settle(struct gw_try *t);
/* Cost of usage at a tier's price; false when a count or the price is missing. */
bool gw_usage_cost(const struct cfg_price *price, const struct chat_usage *u, int64_t *nano);
const struct cfg_tier *gw_try_tier(const struct gw_try *t);
/* "local" or "provider/model". */
void gw_try_route(const struct gw_try *t, char *out, size_t n);

/* held.c */
/* Prints a delta for the stream and keeps what the end will need of it: TG_OK, TG_LIMIT, TG_NOMEM,
 * or TG_UNSUPPORTED as the dialect says. */
enum tg_status gw_try_hold(struct gw_try *t, const struct chat_event *e);

/* attempt_error.c */
/* The client's view of a backend's failure; its type and code live as the exchange. */
struct api_error gw_try_error(const struct gw_try *t, const struct chat_event *e);

#endif
