/* kill -9 at random moments. A child reserves, "calls" and settles; before each call it writes
 * down, in a pipe that outlives it, what the call costs. Whatever the moment: no cost is missing
 * from the ledger, none is in it twice, and the cap holds. */
#include "tests/unit/check.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/base/log.h"
#include "tests/unit/telemetry/support_store.h"

enum { ROUNDS = 40, OPEN_MAX_CALLS = 24, CAP = 12000 };

/* 'C': a call that costs that much begins; 'F': all settlements so far are durable. */
struct fact {
    char kind;
    uint64_t id;
    int64_t cost;
    int32_t n_settled;
};

struct call {
    uint64_t id;
    int64_t cost;
};

static struct {
    struct rig rig;
    int out, budget;
    struct call open[OPEN_MAX_CALLS];
    int n_open, n_settled;
    uint64_t random;
} c;

static void tell(char kind, uint64_t id, int64_t cost)
{
    struct fact f = { kind, id, cost, c.n_settled };
    if (write(c.out, &f, sizeof(f)) != (ssize_t)sizeof(f))
        _exit(3);
}

static void begin_call(uint64_t id, int64_t amount)
{
    int64_t cost = (int64_t)(next_random(&c.random) % (uint64_t)(amount + 1));
    tell('C', id, cost);
    c.open[c.n_open++] = (struct call){ id, cost };
}

static void on_reserved(void *arg, enum tel_outcome outcome, uint64_t id)
{
    if (outcome == TEL_RESERVED)
        begin_call(id, *(int64_t *)arg);
    *(int64_t *)arg = -1;
}

static void end_call(void)
{
    int at = (int)(next_random(&c.random) % (uint64_t)c.n_open);
    struct call call = c.open[at];
    c.open[at] = c.open[--c.n_open];
    c.n_settled++;
    tel_settle(c.rig.store, call.id, call.cost, false);
}

static void child(void)
{
    struct tg_error err;
    int64_t asked = -1; /* the amount that waits */
    if (rig_open(&c.rig, &err))
        _exit(2);
    c.budget = tel_budget(c.rig.store, "b", CAP, CFG_PERIOD_MONTH, 0);
    for (;;) {
        uint64_t what = next_random(&c.random) % 64, id;
        if (what < 30 && asked < 0 && c.n_open < OPEN_MAX_CALLS) {
            asked = (int64_t)(next_random(&c.random) % 12);
            enum tel_outcome outcome =
                tel_reserve(c.rig.store, c.budget, asked, 1, on_reserved, &asked, &id);
            if (outcome == TEL_RESERVED)
                begin_call(id, asked);
            if (outcome != TEL_WAIT)
                asked = -1;
        } else if (what < 60 && c.n_open > 0) {
            end_call();
        } else if (what == 60) {
            if (tel_flush(c.rig.store))
                tell('F', 0, 0);
        } else if (what == 61) {
            struct pollfd p = { .fd = tel_fd(c.rig.store), .events = POLLIN };
            poll(&p, 1, 1);
        }
        tel_dispatch(c.rig.store);
    }
}

static int64_t ledger(const char *sql)
{
    return rig_query(&c.rig, "ledger.db", sql);
}

struct told {
    int64_t cost; /* of all calls */
    int n_durable, n_calls;
};

/* Until the child's end of the pipe is closed by its death. */
static struct told read_facts(int from, int64_t *bad, int64_t session)
{
    struct told t = { 0 };
    struct fact f;
    static struct call calls[1 << 18];
    while (read(from, &f, sizeof(f)) == (ssize_t)sizeof(f)) {
        if (f.kind == 'F')
            t.n_durable = f.n_settled;
        if (f.kind != 'C' || t.n_calls == 1 << 18)
            continue;
        t.cost += f.cost;
        calls[t.n_calls++] = (struct call){ f.id, f.cost };
    }
    *bad = 0;
    for (int i = 0; i < t.n_calls; i++) { /* a sample: each look opens the file */
        if (i % (t.n_calls / 16 + 1) != 0)
            continue;
        char sql[200];
        snprintf(sql, sizeof(sql),
                 "SELECT count(*) FROM settlement WHERE session = %d AND id = %d"
                 " AND cost_nano <> %d",
                 (int)session, (int)calls[i].id, (int)calls[i].cost);
        *bad += ledger(sql);
    }
    return t;
}

static struct told one_round(int round)
{
    int ends[2];
    CHECK_INT(pipe(ends), 0);
    int64_t before = round ? ledger("SELECT value FROM meta WHERE key = 'session'") : 0;
    CHECK(before >= 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        c.out = ends[1];
        c.random = 0x1234567ULL * (uint64_t)(round + 1);
        child();
    }
    close(ends[1]);
    usleep((useconds_t)(next_random(&c.random) % 60000));
    /* the pipe is drained only now: a child that fills it stands still, as under a slow disk */
    kill(pid, SIGKILL);
    int status;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    int64_t bad;
    struct told t = read_facts(ends[0], &bad, before + 1);
    close(ends[0]);
    CHECK_INT(bad, 0);
    return t;
}

static void reopen(void)
{
    struct tg_error err;
    CHECK_INT(rig_open(&c.rig, &err), TG_OK);
    rig_close(&c.rig);
}

static void kill_at_random_moments_loses_and_doubles_nothing(void)
{
    memset(&c, 0, sizeof(c));
    tg_log_set_level(TG_LOG_ERROR);
    CHECK(rig_make(&c.rig));
    c.rig.lease_nano = 200;
    c.rig.in_flight = 64;
    uint64_t seed = c.random = 77;
    int64_t spent = 0, called = 0, calls = 0, lost_rounds = 0;
    for (int round = 0; round < ROUNDS; round++) {
        c.random = seed;
        next_random(&c.random);
        seed = c.random;
        struct told t = one_round(round);
        int64_t rows_before = ledger("SELECT count(*) FROM settlement");
        reopen();
        int64_t now = ledger("SELECT coalesce(sum(spent_nano), 0) FROM period");
        int64_t lost = ledger("SELECT coalesce(sum(amount_nano), 0) FROM lost");
        called += t.cost;
        calls += t.n_calls;
        CHECK(now >= spent + t.cost); /* nothing that was called is missing */
        CHECK_INT(now, ledger("SELECT coalesce(sum(cost_nano), 0) FROM settlement") + lost);
        CHECK_INT(ledger("SELECT coalesce(sum(lost_nano), 0) FROM period"), lost);
        CHECK_INT(ledger("SELECT coalesce(sum(leased_nano), 0) FROM period"), 0);
        CHECK(now <= CAP);
        if (rows_before >= 0) /* else killed before there was a table */
            CHECK_INT(ledger("SELECT count(*) FROM settlement"), rows_before);
        char sql[128];
        snprintf(sql, sizeof(sql), "SELECT count(*) FROM settlement WHERE session = %d",
                 (int)ledger("SELECT value FROM meta WHERE key = 'session'") - 1);
        int64_t rows = t.n_calls ? ledger(sql) : t.n_durable;
        CHECK(rows >= t.n_durable && rows <= t.n_calls);
        lost_rounds += lost > 0;
        spent = now;
    }
    fprintf(stderr, "%d rounds: %d calls cost %d, the ledger holds %d, %d of it lost\n", ROUNDS,
            (int)calls, (int)called, (int)spent,
            (int)ledger("SELECT coalesce(sum(amount_nano), 0) FROM lost"));
    CHECK(calls > ROUNDS && lost_rounds > 0); /* the test did test something */
    CHECK_INT(ledger("SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
    rig_drop(&c.rig);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(kill_at_random_moments_loses_and_doubles_nothing),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
