/* The store of exchange_fakes.h. A reservation that is ended twice, or never, fails the test. */
#ifndef TESTS_UNIT_GATEWAY_EXCHANGE_MONEY_H
#define TESTS_UNIT_GATEWAY_EXCHANGE_MONEY_H

#include <poll.h>

#include "tests/unit/gateway/exchange_fakes.h"

/* Addresses on the stack that rows were written at. */
static struct { uintptr_t low, high; } rows_at;

bool tel_admit(struct tel_store *s)
{
    (void)s;
    if (fake.admit_ms)
        poll(NULL, 0, (int)fake.admit_ms);
    fake.admitted += !fake.no_slots;
    return !fake.no_slots;
}

void tel_retire(struct tel_store *s)
{
    (void)s;
    CHECK_INT(++fake.retired, fake.rows);
}

enum tel_outcome tel_reserve(struct tel_store *s, int budget, int64_t amount_nano,
                             uint64_t request, tel_reserved_fn fn, void *arg, uint64_t *id)
{
    (void)s;
    CHECK(request && amount_nano > 0 && fake.n_money < FAKE_MONEY);
    if (budget < 0)
        return TEL_UNAVAILABLE;
    enum tel_outcome outcome = budget == FAKE_KEY_BUDGET ? fake.key_outcome : fake.outcome;
    if (outcome == TEL_OVER_CAP || outcome == TEL_UNAVAILABLE)
        return outcome;
    struct fake_reservation *r = &fake.money[fake.n_money++];
    *r = (struct fake_reservation){ .budget = budget, .amount = amount_nano, .fn = fn, .arg = arg };
    r->state = outcome == TEL_WAIT ? MONEY_WAITS : MONEY_OPEN;
    *id = fake.n_money;
    return outcome;
}

int tel_budget(struct tel_store *s, const char *name, int64_t cap_nano, enum cfg_period period,
               int64_t alert_millionths)
{
    (void)s;
    (void)period;
    CHECK(strncmp(name, "key:key_", 8) == 0 && alert_millionths > 0);
    if (fake.no_budget)
        return -1;
    fake.key_cap = cap_nano;
    fake.budgets_declared++;
    fake.budgets_held++;
    return FAKE_KEY_BUDGET;
}

void tel_budget_drop(struct tel_store *s, int budget)
{
    (void)s;
    CHECK_INT(budget, FAKE_KEY_BUDGET);
    CHECK(--fake.budgets_held >= 0);
}

static inline struct fake_reservation *reservation(uint64_t id, enum fake_money state)
{
    CHECK(id > 0 && id <= fake.n_money);
    CHECK_INT(fake.money[id - 1].state, state);
    return &fake.money[id - 1];
}

void tel_reserve_cancel(struct tel_store *s, uint64_t ticket)
{
    (void)s;
    reservation(ticket, MONEY_WAITS)->state = MONEY_DROPPED;
}

void tel_settle(struct tel_store *s, uint64_t id, int64_t actual_nano, bool estimated)
{
    (void)s;
    struct fake_reservation *r = reservation(id, MONEY_OPEN);
    r->state = MONEY_SETTLED;
    r->paid = actual_nano;
    r->estimated = estimated;
}

void tel_release(struct tel_store *s, uint64_t id)
{
    (void)s;
    reservation(id, MONEY_OPEN)->state = MONEY_RELEASED;
}

/* The lease that a reservation waits for is there, or is not to be had. */
static inline void lease_comes(size_t at, enum tel_outcome outcome)
{
    struct fake_reservation *r = reservation(at + 1, MONEY_WAITS);
    r->state = outcome == TEL_RESERVED ? MONEY_OPEN : MONEY_DROPPED;
    r->fn(r->arg, outcome, at + 1);
}

struct tel_budget_state tel_budget_state(const struct tel_store *s, int budget)
{
    (void)s;
    (void)budget;
    return (struct tel_budget_state){ .cap = 1000000, .spent = fake.spent, .available = true };
}

void tel_row(struct tel_store *s, const struct tel_row *row)
{
    (void)s;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    rows_at.low = rows_at.low && rows_at.low < here ? rows_at.low : here;
    rows_at.high = rows_at.high > here ? rows_at.high : here;
    fake.rows++;
    fake.row = *row;
    snprintf(fake.reason, sizeof(fake.reason), "%s", row->reason);
    snprintf(fake.error, sizeof(fake.error), "%s", row->error);
    snprintf(fake.key, sizeof(fake.key), "%s", row->key);
    snprintf(fake.backend, sizeof(fake.backend), "%s", row->backend);
}

void tel_row_refused(struct tel_store *s, const struct tel_row *row)
{
    tel_row(s, row);
    fake.rows--;
    fake.rows_refused++;
}

#endif
