/* What the files of this folder share. Two sides meet in four queues: the loop (ledger.c, admit.c,
 * holds.c) and the telemetry thread (thread.c, ledger_db.c, log_db.c); keys_thread.c is of both.
 * Everything of one side is touched by it alone. */
#ifndef TELEMETRY_INTERNAL_H
#define TELEMETRY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "config/base/log.h"
#include "config/base/queue.h"
#include "telemetry/keys_db.h"
#include "telemetry/ledger_db.h"
#include "telemetry/log_db.h"
#include "telemetry/store.h"

enum {
    /* ends of reservations a request may queue: of the route's budget and of the key's, for each
     * tier of a plan */
    TEL_CHAIN_MAX = 2 * CFG_TIERS_MAX,
    TEL_ROWS_SPARE = 1024, /* slots for rows of requests that were refused while they waited */
    TEL_BATCH_MAX = 512,
    TEL_ROW_BATCH_MAX = 512,
    TEL_RETRY_FIRST_MS = 250, TEL_RETRY_LAST_MS = 5000,
    TEL_STUCK_MS = 250, /* a step of the thread that takes longer holds up no admission */
    TEL_GATHER_MS = 10, /* ends and rows that nobody waits for are written together */
    TEL_KEYS_LOOK_MS = 400, /* how often another process's changes of keys.db are looked for */
};

/* --- loop side --- */

enum { TEL_NO_HOLD = -1 };

/* A reservation, or a request for one that waits for a lease. */
struct tel_hold {
    uint64_t id, request;
    int64_t amount;
    struct tel_key key; /* the period it was made in; while it waits only the budget counts */
    bool used, waiting;
    tel_reserved_fn fn;
    void *arg;
    int32_t next_in_bucket; /* or next free */
    int32_t before, after;  /* among the waiting of its budget */
};

/* All holds by id: a hash table of fixed size, filled and emptied without allocation. */
struct tel_holds {
    struct tel_hold *hold;
    int32_t *bucket;
    size_t cap, mask, count;
    int32_t free;
};

/* TG_NOMEM; cap is the largest number of holds. */
enum tg_status tel_holds_init(struct tel_holds *h, size_t cap);
void tel_holds_free(struct tel_holds *h);
/* NULL when full; id must be new. */
struct tel_hold *tel_holds_add(struct tel_holds *h, uint64_t id);
struct tel_hold *tel_holds_find(const struct tel_holds *h, uint64_t id);
void tel_holds_remove(struct tel_holds *h, struct tel_hold *hold);

struct tel_purse {
    int64_t cap, alert_millionths;
    enum cfg_period period; /* as declared; the key's may still be the one before */
    struct tel_key key;
    int64_t start_ms, end_ms; /* of the key's period */
    int64_t spent, reserved;
    int64_t lease;  /* drawn from the ledger, not reserved */
    int64_t lease_size;
    bool loaded;    /* spent holds what the ledger knew */
    bool asked;     /* an ask is on its way there or back: never two */
    int64_t want;   /* of that ask */
    bool changed;   /* the thread knows an older cap or alert */
    bool denied;    /* the ledger had less room than the purse expected: reported once */
    bool drawn;     /* a reservation was asked for in this period */
    bool leaving;   /* the ask under way gives all back: its answer frees the place */
    size_t users;   /* tel_budget without its tel_budget_drop */
    size_t holds;   /* of any period, and those that wait */
    int32_t first, last; /* waiting holds */
};

/* --- thread side --- */

/* What the log knows of a database that fails. All zero: it never did. */
struct tel_told {
    char text[512]; /* the failure; "": it can be written */
    bool quiet;     /* no line told this one yet */
    struct tg_log_seldom line;
};

struct tel_worker {
    struct tel_ledger_db ledger;
    struct tel_log_db log;
    struct tel_op batch[TEL_BATCH_MAX]; /* popped, not durable yet */
    size_t n_batch;
    struct tel_reply reply[TEL_BUDGETS_MAX];
    struct tel_log_item row[TEL_ROW_BATCH_MAX];
    size_t n_rows;
    struct tel_keys_db keys;
    struct tel_pace pace;
    struct tel_told told[3]; /* of ledger, log and keys */
    int64_t ledger_retry_ns, log_retry_ns; /* 0: healthy; else not before */
    int64_t keys_next_ns;                  /* the next look at the keys */
    int64_t ledger_wait_ms, log_wait_ms, keys_wait_ms;
};

struct tel_store {
    char *dir;
    char zone[8];
    int64_t lease_nano;
    uint32_t in_flight, in_flight_max; /* what the queues were made for */
    int64_t (*now_ms)(void *arg);
    void *clock_arg;
    int lock_fd;

    struct tg_queue *ops;     /* loop to thread: ends of reservations and asks, in order */
    struct tg_queue *rows;    /* loop to thread */
    struct tg_queue *key_ops; /* loop to thread: struct tel_key_op * */
    struct tg_queue *replies; /* thread to loop */
    /* written by the loop before the first op that means it; NULL: a free place, written when all
     * such ops were answered */
    const char *name[TEL_BUDGETS_MAX];

    /* loop */
    struct tel_purse purse[TEL_BUDGETS_MAX];
    size_t n_budgets; /* one above the highest that was ever in use */
    struct tel_holds holds;
    uint64_t last_id;
    size_t admitted, slots, row_slots; /* slots: taken in ops and not used yet */
    bool available;                    /* as last told by the thread */
    struct tel_counters counters;
    struct tel_keys *keys;
    size_t key_ops_out; /* changes that were asked for and not answered */

    /* thread */
    struct tel_worker *work;
    pthread_t thread;
    int wake_fd; /* stop, flush, and asks: the thread shall look now */

    /* both */
    atomic_int_fast64_t step_ns; /* when the step that the thread is at began; 0: it is idle */
    atomic_bool ledger_up;  /* written by the thread */
    atomic_bool log_up;     /* likewise */
    atomic_bool state_told; /* a reply about ledger_up waits in the queue */
    atomic_bool keys_told;  /* one about keys_fresh does */
    _Atomic(struct tel_keys *) keys_fresh; /* made by the thread, not taken by the loop yet */
    atomic_uint_fast64_t rows_dropped;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t flushed;
    uint64_t flush_wanted, flush_done;
    bool flush_ok, stop;
};

/* admit.c: slots for n ends; gives back what no admitted request and no open hold can use. */
bool tel_slots_take(struct tel_store *s, size_t n);
void tel_slots_trim(struct tel_store *s);

/* store.c: dir/name, owned by the caller; NULL when out of memory. */
char *tel_path(const char *dir, const char *name);
/* Makes a folder, 0700, with those above it. TG_IO. */
enum tg_status tel_make_dir(const char *dir, struct tg_error *err);
int64_t tel_now(const struct tel_store *s);
/* Any thread: ends the thread's wait, for more work too. */
void tel_wake(struct tel_store *s);
/* a + b, stopped at INT64_MAX; neither is negative. */
int64_t tel_add(int64_t a, int64_t b);

/* thread.c: the thread's main function, and its start and end for the one who opens and closes. */
void *tel_thread_run(void *store);
/* Opens all files. TG_UNSUPPORTED ends tel_open, and keys that cannot be read; what else fails is
 * retried by the thread. */
enum tg_status tel_thread_open(struct tel_store *s, struct tg_error *err);
/* After the join: ends the reservations still open, gives leases back, closes the files. */
void tel_thread_close(struct tel_store *s);

/* One line a failure, not one a try. One that follows a recovery within TG_LOG_SELDOM_S waits as
 * long for its line, as on a disk that is full on and off. */
void tel_tell_failure(struct tel_told *t, const char *event, const struct tg_error *err);
void tel_tell_recovery(struct tel_told *t, const char *event);
/* When to try again. */
void tel_back_off(int64_t *wait_ms, int64_t *retry_ns);

/* keys_thread.c, thread: changes that were asked for, and a look at the file when it is time or
 * forced. False when the file is down. */
bool tel_keys_step(struct tel_store *s, bool force);
/* Before the thread runs: the first set. Whatever keeps the keys from being read ends tel_open. */
enum tg_status tel_keys_first(struct tel_store *s, struct tg_error *err);
/* Loop: takes the fresh set, if there is one; tells whoever asked for a change. */
void tel_keys_take(struct tel_store *s);
void tel_keys_answered(struct tel_store *s, struct tel_key_op *op);

/* period.c: the period of this kind that holds now_ms, labelled with the date of its first day. */
void tel_period_key(enum cfg_period period, const char *time_zone, int64_t now_ms,
                    struct tel_key *key, int64_t *start_ms, int64_t *end_ms);
const char *tel_period_name(enum cfg_period period);
/* A wall clock within the years that periods can be named in, 1970 to 9999: a clock that is wrong
 * must find itself in a period, or the purses would look for theirs for ever. */
int64_t tel_clamp_ms(int64_t now_ms);

#endif
