/* One word says all about the job under way: its generation, its number of chunks and the next
 * chunk. A thread claims a chunk by moving that word on, which fails once the job is over: a thread
 * that comes late can neither take a chunk of a later job by mistake nor hold up the caller, who
 * waits for chunks and not for threads. */
#include "local_engine/cpu/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "config/base/alloc.h"

enum { SPIN_NS = 50000, SPINS_BETWEEN_LOOKS = 16, LINE = 64 };

struct worker {
    struct cpu_pool *pool;
    pthread_t thread;
    uint32_t index; /* from 1: the caller is 0 */
};

/* What all threads write lies apart, so that no line of the cache is fought over in vain. */
struct cpu_pool {
    char apart0[LINE];
    _Atomic uint64_t job; /* generation << 32 | chunks << 16 | next */
    char apart1[LINE];
    _Atomic uint32_t ended; /* chunks of the job that have */
    char apart2[LINE];
    _Atomic uint32_t sleepers;
    atomic_bool caller_sleeps, quit;
    cpu_pool_fn *_Atomic fn;
    void *_Atomic arg;
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    uint32_t threads, started;
    struct worker worker[];
};

static uint32_t generation_of(uint64_t job)
{
    return (uint32_t)(job >> 32);
}

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Takes chunks of the job of this generation until there are none. */
static void take_chunks(struct cpu_pool *p, uint32_t generation, uint32_t thread)
{
    uint64_t job = atomic_load_explicit(&p->job, memory_order_acquire);
    for (;;) {
        uint32_t n = job >> 16 & 0xffff, next = job & 0xffff;
        if (generation_of(job) != generation || next >= n)
            return;
        cpu_pool_fn *fn = atomic_load_explicit(&p->fn, memory_order_relaxed);
        void *arg = atomic_load_explicit(&p->arg, memory_order_relaxed);
        /* Success also says that fn and arg were this job's. */
        if (!atomic_compare_exchange_weak_explicit(&p->job, &job, job + 1, memory_order_acq_rel,
                                                   memory_order_acquire))
            continue;
        fn(arg, next, thread);
        /* Sequential order with the load of caller_sleeps: one of the two sees the other. */
        if (atomic_fetch_add(&p->ended, 1) + 1 == n && atomic_load(&p->caller_sleeps)) {
            pthread_mutex_lock(&p->mutex);
            pthread_cond_signal(&p->done);
            pthread_mutex_unlock(&p->mutex);
        }
        job = atomic_load_explicit(&p->job, memory_order_acquire);
    }
}

/* Waits for a job of another generation: first awake, then asleep. */
static uint64_t next_job(struct cpu_pool *p, uint32_t generation)
{
    int64_t until = now_ns() + SPIN_NS;
    uint64_t job;
    do {
        for (int i = 0; i < SPINS_BETWEEN_LOOKS; i++) {
            job = atomic_load_explicit(&p->job, memory_order_acquire);
            if (generation_of(job) != generation)
                return job;
            relax();
        }
    } while (now_ns() < until);
    pthread_mutex_lock(&p->mutex);
    atomic_fetch_add(&p->sleepers, 1);
    while (generation_of(job = atomic_load(&p->job)) == generation && !atomic_load(&p->quit))
        pthread_cond_wait(&p->work, &p->mutex);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->mutex);
    return job;
}

static void *worker_main(void *arg)
{
    const struct worker *w = arg;
    struct cpu_pool *p = w->pool;
    uint32_t generation = 0;
    /* A wish only: threads that wake now and then, such as a server's loop, go first. */
    (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &(struct sched_param){ 0 });
    (void)pthread_setname_np(pthread_self(), "tg-compute");
    while (!atomic_load(&p->quit)) {
        generation = generation_of(next_job(p, generation));
        take_chunks(p, generation, w->index);
    }
    return NULL;
}

/* Waits until the n chunks of the job have ended. */
static void wait_ended(struct cpu_pool *p, uint32_t n)
{
    int64_t until = now_ns() + SPIN_NS;
    do {
        for (int i = 0; i < SPINS_BETWEEN_LOOKS; i++) {
            if (atomic_load_explicit(&p->ended, memory_order_acquire) == n)
                return;
            relax();
        }
    } while (now_ns() < until);
    pthread_mutex_lock(&p->mutex);
    atomic_store(&p->caller_sleeps, true);
    while (atomic_load(&p->ended) != n)
        pthread_cond_wait(&p->done, &p->mutex);
    atomic_store(&p->caller_sleeps, false);
    pthread_mutex_unlock(&p->mutex);
}

void cpu_pool_run(struct cpu_pool *p, uint32_t n, cpu_pool_fn *fn, void *arg)
{
    if (p->threads == 1 || n < 2) {
        for (uint32_t i = 0; i < n; i++)
            fn(arg, i, 0);
        return;
    }
    uint32_t generation = generation_of(atomic_load_explicit(&p->job, memory_order_relaxed)) + 1;
    atomic_store_explicit(&p->ended, 0, memory_order_relaxed);
    atomic_store_explicit(&p->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&p->arg, arg, memory_order_relaxed);
    atomic_store(&p->job, (uint64_t)generation << 32 | (uint64_t)n << 16);
    if (atomic_load(&p->sleepers) > 0) {
        pthread_mutex_lock(&p->mutex);
        pthread_cond_broadcast(&p->work);
        pthread_mutex_unlock(&p->mutex);
    }
    take_chunks(p, generation, 0);
    wait_ended(p, n);
}

uint32_t cpu_pool_threads(const struct cpu_pool *p)
{
    return p->threads;
}

enum tg_status cpu_pool_open(uint32_t threads, struct cpu_pool **out, struct tg_error *err)
{
    sigset_t all, before;
    struct cpu_pool *p = tg_calloc(1, sizeof(*p) + threads * sizeof(struct worker));
    *out = NULL;
    if (!p)
        return tg_fail(err, TG_NOMEM, "no memory for %u compute threads", threads);
    p->threads = threads;
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (uint32_t i = 1; i < threads; i++) {
        p->worker[i] = (struct worker){ .pool = p, .index = i };
        if (pthread_create(&p->worker[i].thread, NULL, worker_main, &p->worker[i]))
            break;
        p->started = i;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (p->started + 1 < threads) {
        uint32_t got = p->started + 1;
        cpu_pool_close(p);
        return tg_fail(err, TG_LIMIT, "the system gives %u of %u compute threads: ask for fewer "
                       "(threads), or raise its limit of processes", got, threads);
    }
    *out = p;
    return TG_OK;
}

void cpu_pool_close(struct cpu_pool *p)
{
    if (!p)
        return;
    atomic_store(&p->quit, true);
    /* A job without chunks ends what spins; the signal ends what sleeps. */
    atomic_fetch_add(&p->job, UINT64_C(1) << 32);
    pthread_mutex_lock(&p->mutex);
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->mutex);
    for (uint32_t i = 1; i <= p->started; i++)
        pthread_join(p->worker[i].thread, NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->mutex);
    tg_free(p);
}
