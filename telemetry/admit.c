/* The loop's side of the queues: slots that are taken before a request starts, and the rows of the
 * log.
 *
 * A disk that is behind holds up those who come, so that nothing is lost. One that is not written,
 * or not for a while, holds up nobody: a request is let in without the slots that there are none
 * of. Then its row may be dropped, which is counted, and it may find no slot for a reservation,
 * which is refused; one that was made has its slot, and its end is never lost. */
#include <assert.h>

#include "config/base/clock.h"
#include "telemetry/internal.h"

/* Always left free in the queue for asks, of which each budget has at most one under way. */
enum { ASK_SLOTS = TEL_BUDGETS_MAX };

bool tel_slots_take(struct tel_store *s, size_t n)
{
    if (!tg_queue_reserve(s->ops, n + ASK_SLOTS))
        return false;
    tg_queue_unreserve(s->ops, ASK_SLOTS);
    s->slots += n;
    return true;
}

static void give_back(struct tel_store *s, size_t n)
{
    tg_queue_unreserve(s->ops, n);
    s->slots -= n;
}

void tel_slots_trim(struct tel_store *s)
{
    size_t keep = s->admitted * TEL_CHAIN_MAX;
    if (keep < s->holds.count)
        keep = s->holds.count;
    if (s->slots > keep)
        give_back(s, s->slots - keep);
}

static bool take_row_slot(struct tel_store *s)
{
    if (!tg_queue_reserve(s->rows, 1 + TEL_ROWS_SPARE))
        return false;
    tg_queue_unreserve(s->rows, TEL_ROWS_SPARE);
    s->row_slots++;
    return true;
}

/* Another program holds a file that the thread wants to write, or the disk hangs. */
static bool stuck(const struct tel_store *s)
{
    int64_t begun_ns = atomic_load(&s->step_ns);
    return begun_ns && tg_mono_ns() - begun_ns >= (int64_t)TEL_STUCK_MS * 1000000;
}

bool tel_admit(struct tel_store *s)
{
    if (s->admitted >= s->in_flight)
        return false;
    bool row = take_row_slot(s), ends = tel_slots_take(s, TEL_CHAIN_MAX);
    bool behind = (!row && atomic_load(&s->log_up)) || (!ends && atomic_load(&s->ledger_up));
    if (behind && !stuck(s)) {
        if (row)
            tg_queue_unreserve(s->rows, 1);
        s->row_slots -= row;
        if (ends)
            give_back(s, TEL_CHAIN_MAX);
        tel_wake(s); /* what is queued shall be written now, however little it is */
        return false;
    }
    s->admitted++;
    return true;
}

void tel_retire(struct tel_store *s)
{
    assert(s->admitted > 0);
    s->admitted--;
    if (s->row_slots > s->admitted) {
        tg_queue_unreserve(s->rows, s->row_slots - s->admitted);
        s->row_slots = s->admitted;
    }
    tel_slots_trim(s);
}

bool tel_limit(struct tel_store *s, uint32_t in_flight)
{
    if (in_flight > s->in_flight_max)
        return false;
    s->in_flight = in_flight;
    return true;
}

static void push_row(struct tel_store *s, const struct tel_row *row, bool has_slot)
{
    struct tel_log_item item;
    tel_log_item(&item, row);
    bool crowded = !atomic_load(&s->log_up) && tg_queue_count(s->rows) >= s->in_flight_max;
    if (!crowded && has_slot) {
        s->row_slots--;
        tg_queue_push_reserved(s->rows, &item);
    } else if (crowded || tg_queue_push(s->rows, &item) != TG_OK) {
        atomic_fetch_add(&s->rows_dropped, 1);
    }
}

void tel_row(struct tel_store *s, const struct tel_row *row)
{
    push_row(s, row, s->row_slots > 0);
}

void tel_row_refused(struct tel_store *s, const struct tel_row *row)
{
    push_row(s, row, false);
}
