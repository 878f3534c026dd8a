/* Random use of a budget against a model of it. At every step: spent + reserved never exceeds the
 * cap but by counted overage, outcomes are those of the model, and what lands on disk adds up. */
#include "tests/unit/check.h"

#include "config/base/log.h"
#include "tests/unit/telemetry/support_store.h"

enum { HELD_MAX = 64, STEPS = 400 };

struct held {
    uint64_t id;
    int64_t amount;
    bool waiting;
};

static struct {
    struct rig rig;
    int budget;
    int64_t cap, spent, reserved, overage;
    struct held held[HELD_MAX];
    size_t n, ended;
    uint64_t random;
    int wrong; /* outcomes that the model does not allow */
} m;

static void check_outcome(enum tel_outcome outcome, int64_t amount)
{
    bool fits = m.spent + m.reserved + amount <= m.cap;
    if (outcome == TEL_RESERVED ? !fits : outcome == TEL_OVER_CAP ? fits : true)
        m.wrong++;
}

static void on_reserved(void *arg, enum tel_outcome outcome, uint64_t id)
{
    struct held *h = arg;
    check_outcome(outcome, h->amount);
    if (outcome == TEL_RESERVED)
        m.reserved += h->amount;
    h->waiting = false;
    h->id = outcome == TEL_RESERVED ? id : 0;
}

static uint64_t roll(uint64_t sides)
{
    return next_random(&m.random) % sides;
}

static struct held *free_held(void)
{
    for (size_t i = 0; i < HELD_MAX; i++)
        if (!m.held[i].id)
            return &m.held[i];
    return NULL;
}

static void reserve_one(void)
{
    struct held *h = free_held();
    if (!h)
        return;
    h->amount = (int64_t)(roll(4) ? roll(40) : roll(400));
    enum tel_outcome outcome = tel_reserve(m.rig.store, m.budget, h->amount, m.n++, on_reserved, h,
                                           &h->id);
    h->waiting = outcome == TEL_WAIT;
    if (outcome == TEL_RESERVED) {
        check_outcome(outcome, h->amount);
        m.reserved += h->amount;
    } else if (outcome != TEL_WAIT) {
        check_outcome(outcome, h->amount);
        h->id = 0;
    }
}

static void end_one(void)
{
    struct held *h = &m.held[roll(HELD_MAX)];
    if (!h->id)
        return;
    if (h->waiting) {
        tel_reserve_cancel(m.rig.store, h->id);
    } else if (roll(4) == 0) {
        m.reserved -= h->amount;
        m.ended++;
        tel_release(m.rig.store, h->id);
    } else {
        int64_t actual = (int64_t)roll((uint64_t)h->amount + 1);
        if (roll(40) == 0)
            actual = h->amount + (int64_t)roll(30);
        m.overage += actual > h->amount ? actual - h->amount : 0;
        m.reserved -= h->amount;
        m.spent += actual;
        m.ended++;
        tel_settle(m.rig.store, h->id, actual, roll(2));
    }
    h->id = 0;
    h->waiting = false;
}

static int64_t disk(const char *sql)
{
    return rig_query(&m.rig, "ledger.db", sql);
}

static void check_step(void)
{
    struct tel_budget_state s = tel_budget_state(m.rig.store, m.budget);
    CHECK_INT(s.spent, m.spent);
    CHECK_INT(s.reserved, m.reserved);
    CHECK(s.spent + s.reserved <= m.cap + m.overage);
    CHECK_INT(m.wrong, 0);
}

static void check_disk(void)
{
    CHECK(tel_flush(m.rig.store));
    CHECK_INT(disk("SELECT coalesce(sum(spent_nano), 0) FROM period"), m.spent);
    CHECK_INT(disk("SELECT coalesce(sum(cost_nano), 0) FROM settlement"), m.spent);
    CHECK_INT(disk("SELECT count(*) FROM settlement"), (int64_t)m.ended);
    CHECK(disk("SELECT coalesce(sum(spent_nano + leased_nano), 0) FROM period") <=
          m.cap + m.overage);
}

static uint64_t m_seed; /* of the failing game, for a debugger */

static void play(uint64_t seed)
{
    memset(&m, 0, sizeof(m));
    m.random = seed * 0x9e3779b97f4a7c15ULL + 1;
    CHECK(rig_make(&m.rig));
    m.rig.lease_nano = (int64_t)(1 + roll(100));
    m.rig.in_flight = 64;
    m.cap = (int64_t)(100 + roll(5000));
    struct tg_error err;
    CHECK_INT(rig_open(&m.rig, &err), TG_OK);
    m.budget = tel_budget(m.rig.store, "b", m.cap, CFG_PERIOD_MONTH, 0);
    rig_pump(&m.rig);
    for (int i = 0; i < STEPS; i++) {
        uint64_t what = roll(16);
        if (what < 8)
            reserve_one();
        else if (what < 14)
            end_one();
        else
            tel_dispatch(m.rig.store);
        check_step();
        if (roll(100) == 0) {
            rig_pump(&m.rig);
            check_step();
            check_disk();
        }
    }
    rig_pump(&m.rig);
    check_step();
    for (size_t i = 0; i < HELD_MAX; i++)
        CHECK(!m.held[i].waiting); /* every wait ends */
    for (int i = 0; i < 100000 && m.reserved > 0; i++)
        end_one();
    CHECK_INT(m.reserved, 0);
    check_disk();
    rig_close(&m.rig);
    CHECK_INT(disk("SELECT sum(leased_nano) FROM period"), 0);
    CHECK_INT(disk("SELECT sum(lost_nano) FROM period"), 0);
    CHECK_INT(disk("SELECT sum(spent_nano) FROM period"), m.spent);
    CHECK_INT(disk("SELECT sum(overage_nano) FROM period"), m.overage);
    rig_drop(&m.rig);
}

static void random_use_agrees_with_the_model(void)
{
    tg_log_set_level(TG_LOG_ERROR); /* overages are meant here */
    for (m_seed = 1; m_seed <= 50; m_seed++)
        play(m_seed);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = { CASE(random_use_agrees_with_the_model) };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
