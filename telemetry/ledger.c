/* The loop's side of the ledger: purses filled by leases, reservations drawn from them in memory.
 *
 * For the period a purse stands in, spent + lease + reserved equals what the ledger will hold as
 * spent + leased once all that is queued has been applied; as the queue keeps its order, an ask
 * that fits here fits there. A reservation of an earlier period draws on nothing here: its end
 * goes to its own row. */
#include <assert.h>
#include <string.h>

#include "config/base/alloc.h"
#include "config/base/log.h"
#include "telemetry/internal.h"

/* How many of those that wait one ask looks at. */
enum { LINE_LOOK = 256 };

static bool same_period(const struct tel_key *a, const struct tel_key *b)
{
    return a->budget == b->budget && a->period == b->period && strcmp(a->label, b->label) == 0;
}

/* --- waiting holds --- */

static void wait_in_line(struct tel_store *s, struct tel_purse *p, struct tel_hold *h)
{
    int32_t at = (int32_t)(h - s->holds.hold);
    h->waiting = true;
    h->before = p->last;
    h->after = TEL_NO_HOLD;
    if (p->last == TEL_NO_HOLD)
        p->first = at;
    else
        s->holds.hold[p->last].after = at;
    p->last = at;
}

static void leave_line(struct tel_store *s, struct tel_purse *p, struct tel_hold *h)
{
    if (h->before == TEL_NO_HOLD)
        p->first = h->after;
    else
        s->holds.hold[h->before].after = h->after;
    if (h->after == TEL_NO_HOLD)
        p->last = h->before;
    else
        s->holds.hold[h->after].before = h->before;
    h->waiting = false;
}

/* --- purses --- */

static bool over_cap(const struct tel_purse *p, int64_t amount)
{
    int64_t used = tel_add(p->spent, p->reserved);
    return used > p->cap || amount > p->cap - used;
}

static int64_t alert_nano(const struct tel_purse *p)
{
    int64_t whole, rest = p->cap % 1000000 * p->alert_millionths / 1000000;
    if (__builtin_mul_overflow(p->cap / 1000000, p->alert_millionths, &whole))
        return INT64_MAX;
    return tel_add(whole, rest);
}

/* What to ask the ledger for: enough for those in line that the cap has room for, and a lease when
 * less than half of one is left. A budget that nobody drew from leases nothing: a crash, or a loop
 * of them, costs an idle route no money. */
static int64_t wanted(const struct tel_store *s, const struct tel_purse *p)
{
    int64_t used = tel_add(tel_add(p->spent, p->reserved), p->lease);
    int64_t room = used < p->cap ? p->cap - used : 0;
    bool ahead = p->users && p->drawn && !p->denied && p->lease < p->lease_size / 2;
    int64_t want = ahead ? p->lease_size : 0;
    int64_t line = 0, most = tel_add(room, p->lease);
    int32_t at = p->first;
    for (int i = 0; i < LINE_LOOK && at != TEL_NO_HOLD; i++, at = s->holds.hold[at].after)
        if (s->holds.hold[at].amount <= most - line)
            line += s->holds.hold[at].amount;
    if (line > p->lease && line - p->lease > want)
        want = line - p->lease;
    return want < room ? want : room;
}

static void ask(struct tel_store *s, struct tel_purse *p, const struct tel_key *drop_key,
                int64_t drop)
{
    p->want = wanted(s, p);
    struct tel_op op = { .kind = TEL_OP_ASK,
                         .key = p->key,
                         .id = ++s->last_id,
                         .at_ms = tel_now(s),
                         .cap = p->cap,
                         .alert_nano = alert_nano(p),
                         .want = p->want,
                         .drop = drop,
                         .drop_key = *drop_key };
    enum tg_status status = tg_queue_push(s->ops, &op);
    assert(status == TG_OK); /* tel_slots_take leaves room */
    (void)status;
    tel_wake(s);
    p->asked = true;
    p->changed = false;
}

/* Begins the period that holds now; the old one's lease goes back with the first ask. */
static void turn(struct tel_store *s, struct tel_purse *p, int64_t now_ms)
{
    struct tel_key old = p->key;
    int64_t drop = p->lease;
    tel_period_key(p->period, s->zone, now_ms, &p->key, &p->start_ms, &p->end_ms);
    p->spent = p->reserved = p->lease = 0;
    p->loaded = p->denied = p->drawn = false;
    /* A clock that went back may return to reservations made before. */
    size_t left = s->holds.count; /* they lie at the front: not all of a large table is walked */
    for (size_t i = 0; left && i < s->holds.cap; i++) {
        const struct tel_hold *h = &s->holds.hold[i];
        left -= h->used;
        if (h->used && !h->waiting && same_period(&h->key, &p->key))
            p->reserved = tel_add(p->reserved, h->amount);
    }
    ask(s, p, &old, drop);
}

static bool in_period(const struct tel_purse *p, int64_t now_ms)
{
    return p->key.period == p->period && p->key.label[0] &&
           (p->period == CFG_PERIOD_NONE || (now_ms >= p->start_ms && now_ms < p->end_ms));
}

/* Ends that cost less than their bound fill the lease; a crash would lose all of it, so what is
 * more than two goes back. */
static void shed(struct tel_store *s, struct tel_purse *p)
{
    if (p->asked || !p->loaded || p->lease / 2 <= p->lease_size)
        return;
    int64_t drop = p->lease - p->lease_size;
    p->lease = p->lease_size;
    ask(s, p, &p->key, drop);
}

/* Keeps period, settings and lease up to date. True when the purse may be drawn from. */
static bool refresh(struct tel_store *s, struct tel_purse *p)
{
    int64_t now_ms = tel_now(s);
    bool current = in_period(p, now_ms);
    if (!p->asked && !current)
        turn(s, p, now_ms);
    else if (!p->asked && (p->changed || wanted(s, p) > 0))
        ask(s, p, &p->key, 0);
    return p->loaded && in_period(p, now_ms);
}

/* NULL: there is no such budget. */
static struct tel_purse *purse_of(struct tel_store *s, int budget)
{
    return tel_budget_name(s, budget) ? &s->purse[budget] : NULL;
}

static int64_t lease_size(const struct tel_store *s, int64_t cap)
{
    const int64_t least = 10000000, most = 1000000000; /* $0.01, $1 */
    if (s->lease_nano > 0)
        return s->lease_nano;
    if (cap == INT64_MAX) /* no cap to guard: only the book is kept, a crash should hardly show */
        return 5 * least;
    int64_t size = cap / 64;
    return size < least ? least : size > most ? most : size;
}

static struct tel_purse *find_purse(struct tel_store *s, const char *name)
{
    size_t place = s->n_budgets;
    for (size_t i = 0; i < s->n_budgets; i++)
        if (!s->name[i])
            place = i;
        else if (strcmp(s->name[i], name) == 0)
            return &s->purse[i];
    if (place == TEL_BUDGETS_MAX)
        return NULL;
    const char *copy = tg_strdup(name);
    if (!copy)
        return NULL;
    struct tel_purse *p = &s->purse[place];
    *p = (struct tel_purse){ .first = TEL_NO_HOLD, .last = TEL_NO_HOLD };
    p->key.budget = (int)place;
    s->name[place] = copy;
    s->n_budgets += place == s->n_budgets;
    return p;
}

/* Of a budget that nobody uses and nothing is reserved of or waits for: its lease goes back with an
 * ask for nothing. The answer tells that the thread is through with all that was queued about it;
 * then its place is free for another name. True: that ask is on its way. */
static bool retire(struct tel_store *s, struct tel_purse *p)
{
    if (p->users || p->holds || p->asked)
        return false;
    int64_t drop = p->lease;
    p->lease = 0;
    p->leaving = true;
    ask(s, p, &p->key, drop);
    return true;
}

static void forget(struct tel_store *s, struct tel_purse *p)
{
    int place = p->key.budget;
    tg_free((char *)(uintptr_t)s->name[place]);
    s->name[place] = NULL;
    *p = (struct tel_purse){ .first = TEL_NO_HOLD, .last = TEL_NO_HOLD };
}

int tel_budget(struct tel_store *s, const char *name, int64_t cap_nano, enum cfg_period period,
               int64_t alert_millionths)
{
    struct tel_purse *p = find_purse(s, name);
    if (!p)
        return -1;
    p->cap = cap_nano > 0 ? cap_nano : 0;
    p->period = period;
    p->alert_millionths = alert_millionths > 0 ? alert_millionths : 0;
    p->lease_size = lease_size(s, p->cap);
    p->changed = true;
    p->denied = p->leaving = false;
    p->users++;
    refresh(s, p);
    return p->key.budget;
}

void tel_budget_drop(struct tel_store *s, int budget)
{
    struct tel_purse *p = purse_of(s, budget);
    if (!p || !p->users)
        return;
    p->users--;
    retire(s, p);
}

struct tel_budget_state tel_budget_state(const struct tel_store *s, int budget)
{
    struct tel_budget_state state = { 0 };
    if (!tel_budget_name(s, budget))
        return state;
    const struct tel_purse *p = &s->purse[budget];
    state.cap = p->cap;
    state.available = s->available;
    /* A new period begins with its first reservation; until then it is known to be untouched. */
    if (in_period(p, tel_now(s))) {
        state.spent = p->spent;
        state.reserved = p->reserved;
    }
    return state;
}

/* --- reservations --- */

static void draw(struct tel_purse *p, struct tel_hold *h)
{
    h->key = p->key;
    p->lease -= h->amount;
    p->reserved = tel_add(p->reserved, h->amount);
}

static void drop_hold(struct tel_store *s, struct tel_hold *h)
{
    struct tel_purse *p = &s->purse[h->key.budget];
    tel_holds_remove(&s->holds, h);
    tel_slots_trim(s);
    p->holds--;
    retire(s, p);
}

/* Takes a hold out of the line and tells its owner. */
static void answer(struct tel_store *s, struct tel_purse *p, struct tel_hold *h,
                   enum tel_outcome outcome)
{
    tel_reserved_fn fn = h->fn;
    void *arg = h->arg;
    uint64_t id = outcome == TEL_RESERVED ? h->id : 0;
    leave_line(s, p, h);
    if (outcome == TEL_RESERVED)
        draw(p, h);
    else
        drop_hold(s, h);
    fn(arg, outcome, id); /* may come back to us: nothing cached is used behind this */
}

enum tel_outcome tel_reserve(struct tel_store *s, int budget, int64_t amount_nano,
                             uint64_t request, tel_reserved_fn fn, void *arg, uint64_t *id)
{
    *id = 0;
    struct tel_purse *p = purse_of(s, budget);
    if (!p || !p->users || !s->available)
        return TEL_UNAVAILABLE;
    if (amount_nano < 0) /* a bound that overflowed */
        return TEL_OVER_CAP;
    bool ready = refresh(s, p);
    if (ready && over_cap(p, amount_nano))
        return TEL_OVER_CAP;
    if (s->slots <= s->holds.count && !tel_slots_take(s, 1))
        return TEL_UNAVAILABLE;
    struct tel_hold *h = tel_holds_add(&s->holds, s->last_id + 1);
    if (!h)
        return TEL_UNAVAILABLE;
    p->drawn = true;
    p->holds++;
    *id = ++s->last_id;
    h->request = request;
    h->amount = amount_nano;
    h->fn = fn;
    h->arg = arg;
    h->key.budget = budget;
    bool now = ready && p->first == TEL_NO_HOLD && amount_nano <= p->lease;
    if (now)
        draw(p, h);
    else
        wait_in_line(s, p, h);
    refresh(s, p);
    return now ? TEL_RESERVED : TEL_WAIT;
}

void tel_reserve_cancel(struct tel_store *s, uint64_t ticket)
{
    struct tel_hold *h = tel_holds_find(&s->holds, ticket);
    if (!h || !h->waiting)
        return;
    /* Those behind it are looked at when the ask under way is answered. */
    leave_line(s, &s->purse[h->key.budget], h);
    drop_hold(s, h);
}

/* --- ends --- */

static struct tel_hold *ending(struct tel_store *s, uint64_t id, const char *what)
{
    struct tel_hold *h = tel_holds_find(&s->holds, id);
    if (h && !h->waiting)
        return h;
    s->counters.bad_ends++;
    tg_log(TG_LOG_ERROR, "reservation-unknown",
           "%s of reservation %llu, which is not open: nothing was booked", what,
           (unsigned long long)id);
    return NULL;
}

static void push_end(struct tel_store *s, struct tel_op *op, struct tel_hold *h)
{
    op->key = h->key;
    op->id = h->id;
    op->request = h->request;
    op->reserved = h->amount;
    op->at_ms = tel_now(s);
    tg_queue_push_reserved(s->ops, op);
    s->slots--;
    shed(s, &s->purse[h->key.budget]); /* behind the end in the queue, as the sums want it */
    drop_hold(s, h);
}

static void count_overage(struct tel_store *s, const struct tel_hold *h, int64_t overage)
{
    s->counters.overages++;
    s->counters.overage_nano = tel_add(s->counters.overage_nano, overage);
    tg_log(TG_LOG_WARN, "budget-overage",
           "request %016llx cost $%lld.%09lld more than was reserved from budget \"%s\"",
           (unsigned long long)h->request, (long long)(overage / 1000000000),
           (long long)(overage % 1000000000), s->name[h->key.budget]);
}

void tel_settle(struct tel_store *s, uint64_t id, int64_t actual_nano, bool estimated)
{
    struct tel_hold *h = ending(s, id, "settlement");
    if (!h)
        return;
    struct tel_purse *p = &s->purse[h->key.budget];
    struct tel_op op = { .kind = TEL_OP_SETTLE, .estimated = estimated || actual_nano < 0 };
    /* No cost is negative: a sum that overflowed counts as the bound. */
    op.actual = actual_nano < 0 ? h->amount : actual_nano;
    op.lease_drop = h->amount;
    int64_t overage = op.actual > h->amount ? op.actual - h->amount : 0;
    if (overage)
        count_overage(s, h, overage);
    if (same_period(&h->key, &p->key)) {
        p->reserved -= h->amount;
        p->spent = tel_add(p->spent, op.actual);
        if (overage) { /* the lease pays as far as it goes, so that the sum keeps to the cap */
            int64_t taken = overage < p->lease ? overage : p->lease;
            p->lease -= taken;
            op.lease_drop += taken;
        } else { /* the rest stays in the lease */
            p->lease += h->amount - op.actual;
            op.lease_drop = op.actual;
        }
    }
    push_end(s, &op, h);
}

void tel_release(struct tel_store *s, uint64_t id)
{
    struct tel_hold *h = ending(s, id, "release");
    if (!h)
        return;
    struct tel_purse *p = &s->purse[h->key.budget];
    struct tel_op op = { .kind = TEL_OP_RELEASE, .lease_drop = h->amount };
    if (same_period(&h->key, &p->key)) {
        p->reserved -= h->amount;
        p->lease += h->amount;
        op.lease_drop = 0;
    }
    push_end(s, &op, h);
}

struct tel_counters tel_counters(const struct tel_store *s)
{
    struct tel_counters counters = s->counters;
    counters.rows_dropped = atomic_load(&s->rows_dropped);
    return counters;
}

struct tel_load tel_load(const struct tel_store *s)
{
    struct tel_load load = { .available = s->available };
    for (size_t i = 0; i < s->n_budgets; i++)
        for (int32_t at = s->purse[i].first; at != TEL_NO_HOLD; at = s->holds.hold[at].after)
            load.waiting++;
    load.open = s->holds.count - load.waiting;
    load.ends = tg_queue_count(s->ops);
    load.rows = tg_queue_count(s->rows);
    return load;
}

int tel_budgets(const struct tel_store *s)
{
    return (int)s->n_budgets;
}

const char *tel_budget_name(const struct tel_store *s, int budget)
{
    return budget >= 0 && (size_t)budget < s->n_budgets ? s->name[budget] : NULL;
}

/* --- what the thread tells --- */

/* The ledger had less room than the queue's order allows for: its file was changed by another
 * hand. */
static void deny(struct tel_store *s, struct tel_purse *p)
{
    if (!p->denied)
        tg_log(TG_LOG_ERROR, "ledger-mismatch",
               "the ledger holds more spending of budget \"%s\" than this process knows; restart "
               "to read it anew",
               s->name[p->key.budget]);
    p->denied = true;
}

/* Behind it, the line is empty or an ask is under way. */
static void serve_line(struct tel_store *s, struct tel_purse *p)
{
    while (p->first != TEL_NO_HOLD) {
        struct tel_hold *first = &s->holds.hold[p->first];
        if (!s->available)
            answer(s, p, first, TEL_UNAVAILABLE);
        else if (!refresh(s, p))
            return; /* a new period is being read */
        else if (over_cap(p, first->amount))
            answer(s, p, first, TEL_OVER_CAP);
        else if (first->amount <= p->lease)
            answer(s, p, first, TEL_RESERVED);
        else if (p->denied || !p->asked)
            answer(s, p, first, TEL_OVER_CAP);
        else
            return;
    }
}

static void on_lease(struct tel_store *s, const struct tel_reply *reply)
{
    struct tel_purse *p = &s->purse[reply->budget];
    p->asked = false;
    if (p->leaving) { /* nobody came back to it */
        forget(s, p);
        return;
    }
    p->lease = tel_add(p->lease, reply->granted);
    if (!p->loaded) {
        p->spent = tel_add(p->spent, reply->spent);
        p->loaded = true;
    } else if (reply->granted < p->want) {
        deny(s, p);
    }
    if (retire(s, p))
        return;
    refresh(s, p);
    serve_line(s, p);
    shed(s, p);
}

void tel_dispatch(struct tel_store *s)
{
    struct tel_reply reply;
    while (tg_queue_pop(s->replies, &reply) == TG_OK) {
        if (reply.kind == TEL_REPLY_LEASE) {
            on_lease(s, &reply);
            continue;
        }
        if (reply.kind == TEL_REPLY_KEYS) {
            tel_keys_take(s);
            continue;
        }
        if (reply.kind == TEL_REPLY_KEY_OP) {
            tel_keys_answered(s, reply.op);
            continue;
        }
        atomic_store(&s->state_told, false);
        s->available = atomic_load(&s->ledger_up);
        for (size_t i = 0; !s->available && i < s->n_budgets; i++)
            serve_line(s, &s->purse[i]);
    }
}
