#include "config/base/turn.h"

#include <stddef.h>
#include <time.h>

#include "config/base/clock.h"

enum { CPU_READ_NS = 10 * 1000 * 1000 }; /* reading it is a system call */

static _Thread_local struct tg_turn *current;

void tg_turn_use(struct tg_turn *t)
{
    current = t;
}

int64_t tg_turn_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void begin(struct tg_turn *t)
{
    int64_t now = tg_mono_ns();
    if (now - t->cpu_at_ns > CPU_READ_NS) {
        t->cpu_ns = tg_turn_cpu_ns();
        t->cpu_at_ns = now;
    }
    t->marks = 0;
    uint_fast64_t n = atomic_load_explicit(&t->n, memory_order_relaxed);
    atomic_store_explicit(&t->n, n + 1, memory_order_relaxed);
    /* Before asleep is looked at, which the watcher does the other way round. */
    atomic_store(&t->began_ns, now);
    if (atomic_load(&t->asleep) && atomic_exchange(&t->asleep, false) && t->wake)
        t->wake(t->arg);
}

void tg_turn_mark(const char *what)
{
    struct tg_turn *t = current;
    if (!t)
        return;
    atomic_store_explicit(&t->what, what, memory_order_relaxed);
    if (atomic_load_explicit(&t->began_ns, memory_order_relaxed) == 0)
        begin(t);
    t->marks++;
}

int64_t tg_turn_end(struct tg_turn *t)
{
    int64_t began = atomic_load_explicit(&t->began_ns, memory_order_relaxed);
    if (began)
        atomic_store_explicit(&t->began_ns, 0, memory_order_release);
    return began;
}
