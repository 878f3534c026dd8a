/* The telemetry thread: takes ends of reservations, asks for leases, rows and changes of keys from
 * their queues and makes them durable, the ledger first. What cannot be written is kept and tried
 * again. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/base/clock.h"
#include "config/base/log.h"
#include "telemetry/internal.h"

void tel_tell_failure(struct tel_told *t, const char *event, const struct tg_error *err)
{
    uint64_t untold;
    bool told = t->text[0] && !t->quiet;
    if (told && strcmp(t->text, err->text) == 0)
        return;
    snprintf(t->text, sizeof(t->text), "%s", err->text);
    t->quiet = !tg_log_seldom(&t->line, tg_mono_ns(), &untold) && !told;
    if (!t->quiet)
        tg_log(TG_LOG_ERROR, event, "%s", err->text);
}

void tel_tell_recovery(struct tel_told *t, const char *event)
{
    if (t->text[0] && !t->quiet)
        tg_log(TG_LOG_INFO, event, "written again, after: %s", t->text);
    t->text[0] = '\0';
}

void tel_back_off(int64_t *wait_ms, int64_t *retry_ns)
{
    *wait_ms = *wait_ms == 0 ? TEL_RETRY_FIRST_MS : *wait_ms * 2;
    if (*wait_ms > TEL_RETRY_LAST_MS)
        *wait_ms = TEL_RETRY_LAST_MS;
    *retry_ns = tg_mono_ns() + *wait_ms * 1000000;
}

static void set_ledger_up(struct tel_store *s, bool up)
{
    if (atomic_exchange(&s->ledger_up, up) == up || atomic_exchange(&s->state_told, true))
        return;
    struct tel_reply reply = { .kind = TEL_REPLY_STATE };
    (void)tg_queue_push(s->replies, &reply); /* has room for one state and one lease a budget */
}

static void ledger_failed(struct tel_store *s, const struct tg_error *err)
{
    struct tel_worker *w = s->work;
    tel_tell_failure(&w->told[0], "ledger-unavailable", err);
    tel_ledger_close(&w->ledger); /* a fresh handle sees the file as it is at the next try */
    tel_back_off(&w->ledger_wait_ms, &w->ledger_retry_ns);
    set_ledger_up(s, false);
}

static void ledger_worked(struct tel_store *s)
{
    struct tel_worker *w = s->work;
    tel_tell_recovery(&w->told[0], "ledger-available");
    w->ledger_wait_ms = w->ledger_retry_ns = 0;
    set_ledger_up(s, true);
}

static void log_failed(struct tel_store *s, const struct tg_error *err)
{
    struct tel_worker *w = s->work;
    tel_tell_failure(&w->told[1], "log-unavailable", err);
    tel_log_close(&w->log);
    tel_back_off(&w->log_wait_ms, &w->log_retry_ns);
    atomic_store(&s->log_up, false);
}

static void log_worked(struct tel_store *s)
{
    struct tel_worker *w = s->work;
    tel_tell_recovery(&w->told[1], "log-available");
    if (w->log_retry_ns)
        sqlite3_busy_timeout(w->log.db, TEL_BUSY_MS);
    w->log_wait_ms = w->log_retry_ns = 0;
    atomic_store(&s->log_up, true);
}

/* For an answer to an ask somebody may wait; for ends and rows nobody does. */
static bool has_ask(const struct tel_worker *w)
{
    for (size_t i = 0; i < w->n_batch; i++)
        if (w->batch[i].kind == TEL_OP_ASK)
            return true;
    return false;
}

/* One batch. False when the ledger is down; force: try now, whatever the back-off says. */
static bool ledger_step(struct tel_store *s, bool force)
{
    struct tel_worker *w = s->work;
    struct tg_error err = { 0 };
    if (w->ledger_retry_ns && !force && tg_mono_ns() < w->ledger_retry_ns)
        return false;
    while (w->n_batch < TEL_BATCH_MAX && tg_queue_pop(s->ops, &w->batch[w->n_batch]) == TG_OK)
        w->n_batch++;
    if (w->n_batch == 0 && !w->ledger_retry_ns)
        return true;
    tel_pace_start(&w->pace, force || w->n_batch == TEL_BATCH_MAX || has_ask(w));
    size_t n_replies = 0;
    enum tg_status status = TG_OK;
    if (!w->ledger.db)
        status = tel_ledger_open(&w->ledger, tel_now(s), &err);
    if (!status)
        status = tel_ledger_commit(&w->ledger, w->batch, w->n_batch, w->reply, &n_replies, &err);
    if (status) {
        ledger_failed(s, &err);
        return false;
    }
    w->n_batch = 0;
    ledger_worked(s);
    for (size_t i = 0; i < n_replies; i++)
        (void)tg_queue_push(s->replies, &w->reply[i]); /* see set_ledger_up */
    return true;
}

static bool log_step(struct tel_store *s, bool force)
{
    struct tel_worker *w = s->work;
    struct tg_error err = { 0 };
    if (w->log_retry_ns && !force && tg_mono_ns() < w->log_retry_ns)
        return false;
    while (w->n_rows < TEL_ROW_BATCH_MAX && tg_queue_pop(s->rows, &w->row[w->n_rows]) == TG_OK)
        w->n_rows++;
    if (w->n_rows == 0 && !w->log_retry_ns)
        return true;
    tel_pace_start(&w->pace, force || w->n_rows == TEL_ROW_BATCH_MAX);
    enum tg_status status = TG_OK;
    bool again = w->log_retry_ns && !force; /* each try would hold up the ledger */
    if (!w->log.db)
        status = tel_log_open(&w->log, again ? TEL_BUSY_SHORT_MS : TEL_BUSY_MS, &err);
    if (!status)
        status = tel_log_write(&w->log, w->row, w->n_rows, &err);
    if (status) {
        log_failed(s, &err);
        return false;
    }
    w->n_rows = 0;
    log_worked(s);
    return true;
}

static void begin_step(struct tel_store *s)
{
    atomic_store(&s->step_ns, tg_mono_ns());
}

/* Until the wake-up descriptor, a queue whose file is up, the next try of one that is down, or the
 * next look at the keys. */
static void wait_for_work(struct tel_store *s)
{
    struct tel_worker *w = s->work;
    struct pollfd fds[4] = { { .fd = s->wake_fd, .events = POLLIN },
                             { .fd = tg_queue_fd(s->key_ops), .events = POLLIN } };
    nfds_t n = 2;
    int64_t retry_ns = w->keys_next_ns;
    if (!w->ledger_retry_ns)
        fds[n++] = (struct pollfd){ .fd = tg_queue_fd(s->ops), .events = POLLIN };
    else if (w->ledger_retry_ns < retry_ns)
        retry_ns = w->ledger_retry_ns;
    if (!w->log_retry_ns)
        fds[n++] = (struct pollfd){ .fd = tg_queue_fd(s->rows), .events = POLLIN };
    else if (w->log_retry_ns < retry_ns)
        retry_ns = w->log_retry_ns;
    int64_t left_ms = (retry_ns - tg_mono_ns()) / 1000000 + 1;
    /* A commit costs the same for one row as for a hundred: without haste more are let come. */
    if (poll(fds, n, left_ms > 0 ? (int)left_ms : 0) > 0 && !fds[0].revents && !fds[1].revents &&
        tg_queue_count(s->ops) < TEL_BATCH_MAX && tg_queue_count(s->rows) < TEL_ROW_BATCH_MAX)
        poll(fds, 2, TEL_GATHER_MS);
    uint64_t count;
    ssize_t got = fds[0].revents ? read(s->wake_fd, &count, sizeof(count)) : 0;
    (void)got;
}

void *tel_thread_run(void *store)
{
    struct tel_store *s = store;
    uint64_t done = 0;
    bool stop = false;
    sigset_t all; /* signals are the loop's business */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    s->work->pace.wake_fd = s->wake_fd;
    while (!stop) {
        pthread_mutex_lock(&s->lock);
        uint64_t wanted = s->flush_wanted;
        stop = s->stop;
        pthread_mutex_unlock(&s->lock);
        bool force = stop || wanted != done, ledger_ok, log_ok;
        do {
            begin_step(s);
            ledger_ok = ledger_step(s, force);
            begin_step(s);
            log_ok = log_step(s, force);
            begin_step(s);
            tel_keys_step(s, force);
        } while (force && ((ledger_ok && tg_queue_count(s->ops)) ||
                           (log_ok && tg_queue_count(s->rows))));
        atomic_store(&s->step_ns, 0);
        if (force) {
            pthread_mutex_lock(&s->lock);
            done = s->flush_done = wanted;
            s->flush_ok = ledger_ok && log_ok;
            pthread_cond_broadcast(&s->flushed);
            pthread_mutex_unlock(&s->lock);
        } else {
            wait_for_work(s);
        }
    }
    return NULL;
}

enum tg_status tel_thread_open(struct tel_store *s, struct tg_error *err)
{
    struct tg_error cause = { 0 };
    enum tg_status status = tel_ledger_open(&s->work->ledger, tel_now(s), &cause);
    if (status == TG_UNSUPPORTED)
        return tg_fail(err, status, "%s", cause.text);
    atomic_store(&s->ledger_up, true);
    if (status)
        ledger_failed(s, &cause);
    status = tel_log_open(&s->work->log, TEL_BUSY_MS, &cause);
    if (status == TG_UNSUPPORTED)
        return tg_fail(err, status, "%s", cause.text);
    atomic_store(&s->log_up, true);
    if (status)
        log_failed(s, &cause);
    return tel_keys_first(s, err);
}

/* The caller ends without knowing what these cost: their bound is booked. */
static enum tg_status abandon(struct tel_store *s, struct tg_error *err)
{
    struct tel_worker *w = s->work;
    size_t total = 0, n_replies;
    enum tg_status status = TG_OK;
    tel_pace_start(&w->pace, true);
    for (size_t i = 0; !status && s->holds.count && i < s->holds.cap; i++) {
        const struct tel_hold *h = &s->holds.hold[i];
        if (h->used && !h->waiting) {
            w->batch[w->n_batch++] = (struct tel_op){ .kind = TEL_OP_ABANDON,
                                                      .key = h->key,
                                                      .id = h->id,
                                                      .request = h->request,
                                                      .reserved = h->amount,
                                                      .actual = h->amount,
                                                      .lease_drop = h->amount,
                                                      .at_ms = tel_now(s) };
            total++;
        }
        if (w->n_batch == TEL_BATCH_MAX) {
            status = tel_ledger_commit(&w->ledger, w->batch, w->n_batch, w->reply, &n_replies, err);
            w->n_batch = 0;
        }
    }
    if (!status && w->n_batch)
        status = tel_ledger_commit(&w->ledger, w->batch, w->n_batch, w->reply, &n_replies, err);
    if (!status && total)
        tg_log(TG_LOG_WARN, "reservations-abandoned",
               "%zu reservation(s) were still open at the end and count as spent in full", total);
    return status;
}

void tel_thread_close(struct tel_store *s)
{
    struct tel_worker *w = s->work;
    struct tg_error err = { 0 };
    size_t rows_left = w->n_rows + (s->rows ? tg_queue_count(s->rows) : 0);
    if (rows_left)
        tg_log(TG_LOG_ERROR, "rows-lost", "%zu request row(s) could not be written to %s",
               rows_left, w->log.path);
    if (w->ledger.db && w->n_batch == 0) {
        if (abandon(s, &err) || tel_ledger_give_back(&w->ledger, &err))
            tg_log(TG_LOG_ERROR, "ledger-unavailable",
                   "%s: the open leases will count as spent at the next start", err.text);
    } else if (w->n_batch) {
        tg_log(TG_LOG_ERROR, "ledger-unavailable",
               "%s: ended before all was written; the open leases will count as spent at the next "
               "start",
               w->ledger.path);
    }
    tel_ledger_close(&w->ledger);
    tel_log_close(&w->log);
    tel_keys_db_close(&w->keys);
}
