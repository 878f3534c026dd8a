/* API keys in a running gateway: the thread looks for changes of keys.db several times a second and
 * hands the loop a fresh set; changes that the loop asks for go the other way. */
#include <stdio.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "config/base/log.h"
#include "telemetry/internal.h"

/* How long changes may take in a row: the ledger waits meanwhile. */
enum { CHANGES_MS = TEL_BUSY_SHORT_MS };

/* --- thread --- */

/* The set that was not taken yet is of no use any more. */
static void hand_over(struct tel_store *s, struct tel_keys *fresh)
{
    tel_keys_unref(atomic_exchange(&s->keys_fresh, fresh));
    if (atomic_exchange(&s->keys_told, true))
        return;
    struct tel_reply reply = { .kind = TEL_REPLY_KEYS };
    (void)tg_queue_push(s->replies, &reply); /* see make_parts */
}

static enum tg_status load(struct tel_store *s, struct tg_error *err)
{
    struct tel_keys *fresh;
    enum tg_status status = tel_keys_db_load(&s->work->keys, &fresh, err);
    if (!status)
        hand_over(s, fresh);
    return status;
}

/* Opens it if it is closed, and loads what somebody has changed. */
static enum tg_status look(struct tel_store *s, struct tg_error *err)
{
    struct tel_keys_db *db = &s->work->keys;
    bool changed = false;
    enum tg_status status = TG_OK;
    if (!db->db) {
        bool again = s->work->keys_wait_ms > 0;
        status = tel_keys_db_open(db, again ? TEL_BUSY_SHORT_MS : TEL_BUSY_MS, err);
        if (!status)
            sqlite3_busy_timeout(db->db, TEL_BUSY_SHORT_MS);
    }
    if (!status)
        status = tel_keys_db_changed(db, &changed, err);
    return status || !changed ? status : load(s, err);
}

static void failed(struct tel_store *s, const struct tg_error *err)
{
    struct tel_worker *w = s->work;
    tel_tell_failure(&w->told[2], "keys-unavailable", err);
    tel_keys_db_close(&w->keys);
    tel_back_off(&w->keys_wait_ms, &w->keys_next_ns);
}

static void worked(struct tel_store *s)
{
    struct tel_worker *w = s->work;
    tel_tell_recovery(&w->told[2], "keys-available");
    w->keys_wait_ms = 0;
    w->keys_next_ns = tg_mono_ns() + (int64_t)TEL_KEYS_LOOK_MS * 1000000;
}

/* A change fails with what the file failed with: whoever asked for it is told, and asks again. */
static void run_op(struct tel_store *s, struct tel_key_op *op)
{
    struct tel_keys_db *db = &s->work->keys;
    struct tg_error err = { 0 };
    op->status = look(s, &err);
    if (op->status)
        failed(s, &err);
    else
        op->status = tel_keys_db_do(db, op, tel_now(s), &err);
    op->err = err;
    if (!op->status)
        db->version = 0; /* our own commits do not show in it */
}

bool tel_keys_step(struct tel_store *s, bool force)
{
    struct tel_key_op *done[TEL_KEY_OPS_MAX];
    struct tg_error err = { 0 };
    size_t n = 0;
    int64_t until = tg_mono_ns() + (int64_t)CHANGES_MS * 1000000;
    do {
        if (tg_queue_pop(s->key_ops, &done[n]) != TG_OK)
            break;
        run_op(s, done[n++]);
    } while (n < TEL_KEY_OPS_MAX && tg_mono_ns() < until); /* the rest is still readable */
    bool fine = true;
    if (n || force || tg_mono_ns() >= s->work->keys_next_ns) {
        fine = look(s, &err) == TG_OK;
        if (fine)
            worked(s);
        else
            failed(s, &err);
    }
    for (size_t i = 0; i < n; i++) { /* behind the set that has the change */
        struct tel_reply reply = { .kind = TEL_REPLY_KEY_OP, .op = done[i] };
        (void)tg_queue_push(s->replies, &reply);
    }
    return fine;
}

/* What can be read counts, even where it cannot be written. Without a file there are no keys; one
 * that is there and cannot be read may hold some, so that nobody may be served. */
enum tg_status tel_keys_first(struct tel_store *s, struct tg_error *err)
{
    struct tel_keys *all = NULL;
    struct tg_error cause = { 0 }, second;
    enum tg_status status = look(s, &cause);
    if (!status) {
        worked(s);
    } else {
        failed(s, &cause);
        if (tel_keys_load(s->dir, &all, &second))
            return tg_fail(err, status, "%s", cause.text);
        hand_over(s, all);
    }
    s->keys = atomic_exchange(&s->keys_fresh, NULL);
    return TG_OK;
}

/* --- loop --- */

struct tel_keys *tel_keys_now(const struct tel_store *s)
{
    return s->keys;
}

enum tg_status tel_key_ask(struct tel_store *s, struct tel_key_op *op)
{
    if (s->key_ops_out == TEL_KEY_OPS_MAX)
        return TG_AGAIN;
    enum tg_status status = tg_queue_push(s->key_ops, &op);
    s->key_ops_out += status == TG_OK;
    return status;
}

void tel_keys_take(struct tel_store *s)
{
    atomic_store(&s->keys_told, false);
    struct tel_keys *fresh = atomic_exchange(&s->keys_fresh, NULL);
    if (!fresh)
        return;
    tel_keys_unref(s->keys);
    s->keys = fresh;
}

void tel_keys_answered(struct tel_store *s, struct tel_key_op *op)
{
    s->key_ops_out--;
    tel_keys_take(s);
    op->fn(op->arg);
}
