/* The compute threads: each chunk runs once, on threads of their own, whether the pool was spinning
 * or asleep, and many jobs in a row do not mix. */
#include "tests/unit/check.h"

#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "config/base/alloc.h"
#include "local_engine/cpu/pool.h"

enum { CHUNKS = 1000 };

static struct cpu_pool *pool;

static void start(uint32_t threads)
{
    struct tg_error err = { 0 };
    CHECK_INT(cpu_pool_open(threads, &pool, &err), TG_OK);
    CHECK_INT(cpu_pool_threads(pool), threads);
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

struct job {
    uint32_t runs[CHUNKS], n; /* written by the chunk's thread alone */
    atomic_uint busy[8];      /* calls under way with this thread */
    atomic_uint wrong;
};

static void count(void *arg, uint32_t chunk, uint32_t thread)
{
    struct job *j = arg;
    if (chunk >= j->n || thread >= 8 || atomic_fetch_add(&j->busy[thread], 1) != 0) {
        atomic_fetch_add(&j->wrong, 1);
        return;
    }
    j->runs[chunk]++;
    atomic_fetch_sub(&j->busy[thread], 1);
}

static void run_and_check(uint32_t n, uint32_t times)
{
    static struct job j;
    j = (struct job){ .n = n };
    for (uint32_t i = 0; i < times; i++)
        cpu_pool_run(pool, n, count, &j);
    CHECK_INT(atomic_load(&j.wrong), 0);
    for (uint32_t i = 0; i < n; i++)
        CHECK_INT(j.runs[i], times);
}

static void every_chunk_once(void)
{
    static const uint32_t threads[] = { 1, 2, 3, 8 };
    for (size_t i = 0; i < sizeof(threads) / sizeof(*threads); i++) {
        start(threads[i]);
        run_and_check(0, 3);
        run_and_check(1, 3);
        run_and_check(2, 2000);
        run_and_check(7, 500);
        run_and_check(CHUNKS, 5);
        for (int pause = 0; pause < 5; pause++) {
            sleep_ms(2); /* long enough that all sleep */
            run_and_check(9, 1);
        }
        cpu_pool_close(pool);
    }
}

static void opened_and_closed_at_once(void)
{
    for (int i = 0; i < 50; i++) {
        start(4);
        if (i % 2)
            sleep_ms(1);
        cpu_pool_close(pool);
    }
    cpu_pool_close(NULL);
}

static void wait_for_all(void *arg, uint32_t chunk, uint32_t thread)
{
    atomic_uint *arrived = arg;
    (void)chunk, (void)thread;
    atomic_fetch_add(arrived, 1);
    while (atomic_load(arrived) < 3)
        sleep_ms(1);
}

/* Three chunks that wait for each other end only if three threads run at the same time; while they
 * do, the caller waits longer than it spins. */
static void threads_run_at_the_same_time(void)
{
    atomic_uint arrived = 0;
    start(3);
    cpu_pool_run(pool, 3, wait_for_all, &arrived);
    CHECK_INT(atomic_load(&arrived), 3);
    cpu_pool_close(pool);
}

static void look_at_signals(void *arg, uint32_t chunk, uint32_t thread)
{
    atomic_uint *state = arg;
    sigset_t mask;
    (void)chunk;
    sigemptyset(&mask);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    if (thread > 0 && !sigismember(&mask, SIGTERM))
        atomic_fetch_add(&state[1], 1);
    atomic_fetch_add(&state[0], 1);
    while (atomic_load(&state[0]) < 2)
        sleep_ms(1);
}

static void signals_go_elsewhere(void)
{
    atomic_uint state[2] = { 0, 0 };
    sigset_t mask;
    start(2);
    cpu_pool_run(pool, 2, look_at_signals, state);
    CHECK_INT(atomic_load(&state[1]), 0);
    sigemptyset(&mask);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    CHECK(!sigismember(&mask, SIGTERM)); /* the caller's are as they were */
    cpu_pool_close(pool);
}

static void want_of_memory(void)
{
    struct tg_error err = { 0 };
    tg_alloc_fail_nth(1);
    CHECK_INT(cpu_pool_open(2, &pool, &err), TG_NOMEM);
    tg_alloc_fail_nth(0);
    CHECK(pool == NULL && err.text[0]);
}

static void cores_are_counted(void)
{
    uint32_t n = cpu_cores();
    CHECK(n >= 1 && n <= CPU_THREADS_MAX);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(every_chunk_once),     CASE(opened_and_closed_at_once),
        CASE(threads_run_at_the_same_time),
        CASE(signals_go_elsewhere), CASE(want_of_memory),
        CASE(cores_are_counted),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
