/* The databases of one dataDir, on a thread of their own: ledger.db (money), log.db (request rows)
 * and keys.db (API keys, keys.h). Everything in this header is called on the loop thread unless it
 * says otherwise; nothing here waits for a disk. */
#ifndef TELEMETRY_STORE_H
#define TELEMETRY_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "config/base/status.h"
#include "config/base/str.h"
#include "config/settings.h"

struct tel_store; /* opaque */

struct tel_options {
    const char *dir;       /* made if missing, mode 0700 */
    const char *time_zone; /* "UTC" or "local": calendar periods */
    int64_t lease_nano;    /* size of a lease; 0: cap / 64, between $0.01 and $1 */
    uint32_t in_flight;    /* requests admitted at once; default 4096, <= CFG_CONNECTIONS_MAX */
    /* Wall clock in ms, for tests; NULL: tg_wall_ms. Called from both threads. */
    int64_t (*now_ms)(void *arg);
    void *clock_arg;
};

/* Locks the directory (TG_AGAIN: another process holds it, its pid is in err), opens or creates
 * and migrates the databases (TG_UNSUPPORTED: made by a newer version), accounts what a crash left
 * open (the unspent part of its leases counts as spent, flagged), starts the thread. If only the
 * ledger or the log cannot be written the store still opens: reservations then answer
 * TEL_UNAVAILABLE. Keys that are there and cannot be read end it. */
enum tg_status tel_open(const struct tel_options *options, struct tel_store **out,
                        struct tg_error *err);
/* The process that the folder's file "lock" names: it holds the folder, or did so last. False: no
 * such file. Any process; takes no lock. */
enum { TEL_PID_TEXT = 16 };
bool tel_holder(const char *dir, char pid[TEL_PID_TEXT]);
/* Writes all that is pending, gives leases back, joins, closes; waits for the disk. Reservations
 * still open count as spent in full, flagged; requests that wait for one are dropped, fn not
 * called. NULL allowed. */
void tel_close(struct tel_store *s);

/* Readable when tel_dispatch has something to do: a lease came, the ledger failed or came back. */
int tel_fd(const struct tel_store *s);
void tel_dispatch(struct tel_store *s);

/* --- admission: slots for all that a request will push, taken before it starts --- */
/* Slots for the ends of 16 reservations (two for each tier of a route) and for one row: what they
 * push later neither fails nor waits. False: too many requests in flight, or the disk is that far
 * behind; try again later. A file that cannot be written, or has not been for a quarter of a
 * second, is not waited for: then true without slots, the row may be dropped (it is counted) and
 * tel_reserve may answer TEL_UNAVAILABLE; so may those of others in flight, who share what there
 * is. */
bool tel_admit(struct tel_store *s);
/* Changes in_flight; those above it that are admitted stay. False, and nothing changed: more than
 * tel_open made room for. */
bool tel_limit(struct tel_store *s, uint32_t in_flight);
/* Gives back what was not used; called once per admitted request, after its row and after its last
 * reservation ended. */
void tel_retire(struct tel_store *s);

/* --- money --- */
/* At once: of routes, and of keys that have one and are used. */
enum { TEL_BUDGETS_MAX = 1088 };

/* Declares or changes a budget (by name, also at reload); returns its index, which is good until
 * tel_budget_drop was called as often as this for it; -1 above the maximum or when out of memory.
 * Spending is kept per name and calendar period across restarts; it is read
 * by the thread and counts as 0 in tel_budget_state until then (at start: tel_flush, then
 * tel_dispatch), while reservations wait for it. alert_millionths of the cap: spending that fires
 * the alert, an event "budget-alert" in the log once per period and cap; 0: no alert. */
int tel_budget(struct tel_store *s, const char *name, int64_t cap_nano, enum cfg_period period,
               int64_t alert_millionths);

/* The caller uses that index no more. Once nobody does, and what was reserved has ended, the lease
 * goes back to the ledger and the place is free for another budget; what was spent stays known by
 * the name. */
void tel_budget_drop(struct tel_store *s, int budget);

struct tel_budget_state {
    int64_t cap, spent, reserved; /* nano-dollars, current period; spent includes lost leases */
    bool available;               /* the ledger can be written */
};
struct tel_budget_state tel_budget_state(const struct tel_store *s, int budget);

enum tel_outcome {
    TEL_RESERVED,    /* *id is a reservation: settle or release it exactly once */
    TEL_WAIT,        /* a lease was asked for: fn is called later with one of the others */
    TEL_OVER_CAP,    /* spent + reserved + amount would exceed the cap */
    TEL_UNAVAILABLE, /* the ledger cannot be written, or slots are out: no paid call */
};

/* Called by tel_dispatch only; may call everything here but tel_close. */
typedef void (*tel_reserved_fn)(void *arg, enum tel_outcome outcome, uint64_t id);

/* Draws amount (>= 0) from a lease of the budget. request: the request's id, kept for the audit.
 * With TEL_WAIT *id is a ticket for tel_reserve_cancel, and becomes the reservation's id. Those
 * that wait are served in order. A reservation belongs to the period in which it was made, however
 * late it ends. */
enum tel_outcome tel_reserve(struct tel_store *s, int budget, int64_t amount_nano,
                             uint64_t request, tel_reserved_fn fn, void *arg, uint64_t *id);
void tel_reserve_cancel(struct tel_store *s, uint64_t ticket);
/* The end of a reservation. actual may exceed the reserved amount: the overage is counted and
 * alarmed. estimated: no usage was reported. An id that is unknown or ended before changes
 * nothing; it is logged and counted. */
void tel_settle(struct tel_store *s, uint64_t id, int64_t actual_nano, bool estimated);
void tel_release(struct tel_store *s, uint64_t id);

/* Since tel_open, for metrics. */
struct tel_counters {
    uint64_t bad_ends;     /* settle or release of an unknown or ended reservation */
    uint64_t overages;     /* settlements above their reservation */
    int64_t overage_nano;
    uint64_t rows_dropped; /* the log could not be written, or not in time */
};
struct tel_counters tel_counters(const struct tel_store *s);

/* What it holds now, for metrics. */
struct tel_load {
    size_t open, waiting; /* reservations: made and not ended; asked for and not answered */
    size_t ends, rows;    /* on their way to the thread: ends and asks, rows of the log */
    bool available;       /* the ledger can be written */
};
struct tel_load tel_load(const struct tel_store *s);
/* All indexes are below it. */
int tel_budgets(const struct tel_store *s);
/* The name of a budget by its index, borrowed; NULL: there is none at that place. */
const char *tel_budget_name(const struct tel_store *s, int budget);

/* --- rows --- */
struct tel_row {
    uint64_t request;       /* id as in x-tollgate-request-id */
    int64_t started_ms;     /* wall clock */
    const char *route;      /* configuration route */
    const char *backend;    /* "local" or "provider/model" that answered; "" when none did */
    const char *dialect;
    const char *reason;
    const char *error;      /* error kind, or "" */
    const char *key;        /* id of the API key, or "" */
    int status;             /* HTTP status; 499: the client went away */
    bool stream, escalated, local_only, estimated;
    bool has_confidence, has_complexity;
    double confidence, complexity;
    int64_t prompt_tokens, output_tokens; /* -1: unknown */
    int64_t cost_nano;
    int64_t saved_nano;     /* what the first fallback would have billed; 0 when it is unknown */
    int64_t queue_ms, ttft_ms, total_ms; /* -1: not reached */
    int attempts;
};
/* Copied (long strings are cut); uses the slot taken by tel_admit. Without one, see there, it is
 * dropped and counted where there is no room. */
void tel_row(struct tel_store *s, const struct tel_row *row);
/* The same for a request that was never admitted. */
void tel_row_refused(struct tel_store *s, const struct tel_row *row);

/* Waits until everything queued so far is on disk (start, tests, drain). Not for the loop while
 * serving. False: one of the files could not be written; what is pending stays so. */
bool tel_flush(struct tel_store *s);

/* Whether file ("ledger.db", "log.db" or "keys.db") of dir is one that this program opens; TG_OK
 * where there is none. Errors as tel_open logs them. Any process, read-only, while a gateway runs
 * or not. */
enum tg_status tel_look(const char *dir, const char *file, struct tg_error *err);

/* --- report: any process, read-only, while a gateway runs or not --- */
/* since_ms, until_ms: wall clock, half-open. Prints totals (requests, share local, cost, saved,
 * mean confidence), per route and per backend, and the budgets of the ledger in their latest
 * periods; json: one JSON object instead of a table. TG_NOTFOUND: no log in dir. */
enum tg_status tel_report(const char *dir, int64_t since_ms, int64_t until_ms, bool json, FILE *out,
                          struct tg_error *err);
/* Midnight-aligned start of the calendar period that holds now_ms, and of the one after it; weeks
 * begin on Monday. CFG_PERIOD_NONE: INT64_MIN and INT64_MAX. Any thread. */
void tel_period(enum cfg_period period, const char *time_zone, int64_t now_ms, int64_t *start_ms,
                int64_t *end_ms);

#endif
