/* Random use of a budget while days begin, clocks are set back and the disk fills up and empties:
 * nobody waits for ever, no day goes over its cap but by counted overage, and what lands on disk
 * is what was settled. */
#include "tests/unit/check.h"

#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/telemetry/support_store.h"

enum { HELD_MAX = 64, STEPS = 600, GAMES = 12 };

struct held {
    uint64_t id; /* 0: free */
    int64_t amount;
    bool waiting;
};

static struct {
    struct rig rig;
    int budget;
    int64_t cap, overage;
    struct held held[HELD_MAX];
    uint64_t random, reserved;
    bool full; /* the disk */
} m;

static uint64_t roll(uint64_t sides)
{
    return next_random(&m.random) % sides;
}

static void on_reserved(void *arg, enum tel_outcome outcome, uint64_t id)
{
    struct held *h = arg;
    h->waiting = false;
    h->id = outcome == TEL_RESERVED ? id : 0;
    m.reserved += outcome == TEL_RESERVED;
}

static void reserve_one(void)
{
    struct held *h = m.held;
    while (h < m.held + HELD_MAX && h->id)
        h++;
    if (h == m.held + HELD_MAX)
        return;
    h->amount = (int64_t)roll(60);
    enum tel_outcome outcome =
        tel_reserve(m.rig.store, m.budget, h->amount, 1, on_reserved, h, &h->id);
    h->waiting = outcome == TEL_WAIT;
    m.reserved += outcome == TEL_RESERVED;
    if (outcome != TEL_RESERVED && outcome != TEL_WAIT)
        h->id = 0;
}

static void end_one(void)
{
    struct held *h = &m.held[roll(HELD_MAX)];
    int64_t actual = (int64_t)roll((uint64_t)h->amount + 1);
    if (!h->id)
        return;
    if (roll(50) == 0) {
        int64_t more = (int64_t)roll(20);
        actual = h->amount + more;
        m.overage += h->waiting ? 0 : more;
    }
    if (h->waiting)
        tel_reserve_cancel(m.rig.store, h->id);
    else if (roll(4) == 0 && actual <= h->amount)
        tel_release(m.rig.store, h->id);
    else
        tel_settle(m.rig.store, h->id, actual, roll(2));
    *h = (struct held){ 0 };
}

/* No file may grow: writing fails until the next call. */
static void turn_disk(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    m.full = !m.full;
    limit.rlim_cur = m.full ? 0 : limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
    tel_flush(m.rig.store);
}

static int64_t disk(const char *sql)
{
    return rig_query(&m.rig, "ledger.db", sql);
}

static void check_all(void)
{
    rig_pump(&m.rig);
    for (size_t i = 0; i < HELD_MAX; i++)
        CHECK(!m.held[i].waiting);
    CHECK_INT(disk("SELECT count(*) FROM period"
                   " WHERE spent_nano + leased_nano > cap_nano + overage_nano"), 0);
    CHECK_INT(disk("SELECT count(*) FROM period AS p WHERE lost_nano <> 0 OR spent_nano <>"
                   " (SELECT coalesce(sum(cost_nano), 0) FROM settlement AS s"
                   "  WHERE s.start = p.start)"), 0);
    CHECK_INT(log_count(&m.rig, "ledger-mismatch"), 0);
}

static void step(void)
{
    uint64_t what = roll(24);
    if (what < 9)
        reserve_one();
    else if (what < 18)
        end_one();
    else if (what < 22)
        tel_dispatch(m.rig.store);
    else if (what == 22 && roll(4) == 0)
        atomic_fetch_add(&m.rig.now_ms, ((int64_t)roll(5) - 2) * 43200000); /* half days */
    else if (what == 23 && roll(6) == 0)
        turn_disk();
    struct tel_budget_state s = tel_budget_state(m.rig.store, m.budget);
    if (s.spent < 0 || s.reserved < 0 || s.spent + s.reserved > m.cap + m.overage) {
        if (m.full)
            turn_disk();
        CHECK_FAIL("spent %lld, reserved %lld, cap %lld", (long long)s.spent,
                   (long long)s.reserved, (long long)m.cap);
    }
    if (!m.full && roll(80) == 0)
        check_all();
}

static void play(uint64_t seed)
{
    struct tg_error err;
    memset(&m, 0, sizeof(m));
    m.random = seed * 0x9e3779b97f4a7c15ULL + 1;
    CHECK(rig_make(&m.rig));
    m.rig.lease_nano = (int64_t)(1 + roll(100));
    m.rig.in_flight = 64;
    m.cap = (int64_t)(100 + roll(2000));
    log_begin(&m.rig);
    CHECK_INT(rig_open(&m.rig, &err), TG_OK);
    m.budget = tel_budget(m.rig.store, "b", m.cap, CFG_PERIOD_DAY, 0);
    for (int i = 0; i < STEPS; i++)
        step();
    if (m.full)
        turn_disk();
    check_all();
    CHECK(m.reserved > 0);
    for (size_t i = 0; i < HELD_MAX; i++)
        if (m.held[i].id)
            tel_release(m.rig.store, m.held[i].id);
    check_all();
    rig_close(&m.rig);
    CHECK_INT(disk("SELECT sum(leased_nano) FROM period"), 0);
    log_end();
    rig_drop(&m.rig);
}

static void days_turn_and_disks_fill(void)
{
    signal(SIGXFSZ, SIG_IGN);
    for (uint64_t seed = 1; seed <= GAMES; seed++)
        play(seed);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = { CASE(days_turn_and_disks_fill) };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
