/* The queue and the worker pool; run under ThreadSanitizer too. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "config/base/queue.h"
#include "config/base/workers.h"
#include "tests/unit/check.h"

static bool readable(int fd, int timeout_ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return poll(&p, 1, timeout_ms) == 1;
}

static void order_and_descriptor(void)
{
    struct tg_queue *q = tg_queue_new(3, sizeof(int));
    CHECK(q);
    int v = 0;
    CHECK_INT(tg_queue_pop(q, &v), TG_AGAIN);
    CHECK(!readable(tg_queue_fd(q), 0));
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 3; i++)
            CHECK_INT(tg_queue_push(q, &i), TG_OK);
        CHECK_INT(tg_queue_push(q, &v), TG_AGAIN);
        CHECK_INT(tg_queue_count(q), 3);
        for (int i = 0; i < 3; i++) {
            CHECK(readable(tg_queue_fd(q), 0));
            CHECK_INT(tg_queue_pop(q, &v), TG_OK);
            CHECK_INT(v, i);
        }
        CHECK(!readable(tg_queue_fd(q), 0));
    }
    tg_queue_free(q);
    tg_queue_free(NULL);
}

static void reserved_slots(void)
{
    struct tg_queue *q = tg_queue_new(4, sizeof(int));
    int v = 9;
    CHECK(!tg_queue_reserve(q, 5));
    CHECK(!tg_queue_reserve(q, SIZE_MAX));
    CHECK(tg_queue_reserve(q, 3));
    CHECK(!tg_queue_reserve(q, 2)); /* all or none */
    CHECK_INT(tg_queue_push(q, &v), TG_OK);
    CHECK_INT(tg_queue_push(q, &v), TG_AGAIN); /* the rest is promised */
    tg_queue_unreserve(q, 1);
    CHECK_INT(tg_queue_push(q, &v), TG_OK);
    tg_queue_close(q);
    CHECK_INT(tg_queue_push(q, &v), TG_CLOSED);
    CHECK(!tg_queue_reserve(q, 1));
    v = 10;
    tg_queue_push_reserved(q, &v); /* a promise holds after the close */
    tg_queue_push_reserved(q, &v);
    CHECK_INT(tg_queue_count(q), 4);
    for (int i = 0; i < 4; i++) {
        CHECK_INT(tg_queue_wait_pop(q, &v, -1), TG_OK);
        CHECK_INT(v, i < 2 ? 9 : 10);
    }
    CHECK_INT(tg_queue_wait_pop(q, &v, -1), TG_CLOSED);
    tg_queue_free(q);
}

static void waiting_times_out(void)
{
    struct tg_queue *q = tg_queue_new(1, sizeof(int));
    int v;
    int64_t start = tg_mono_ns();
    CHECK_INT(tg_queue_wait_pop(q, &v, 30), TG_TIMEOUT);
    CHECK(tg_mono_ns() - start >= 29000000);
    CHECK_INT(tg_queue_wait_pop(q, &v, 0), TG_TIMEOUT);
    tg_queue_free(q);
}

static void without_memory(void)
{
    for (uint64_t nth = 1; nth <= 2; nth++) {
        tg_alloc_fail_nth(nth);
        CHECK(!tg_queue_new(4, 8));
    }
    tg_alloc_fail_nth(0);
    CHECK(!tg_queue_new(SIZE_MAX / 2, 8));
}

enum { PRODUCERS = 4, CONSUMERS = 3, EACH = 5000 };

struct crowd {
    struct tg_queue *q;
    _Atomic int producers_left;
    _Atomic uint64_t sum, count;
};

static void *produce(void *arg)
{
    struct crowd *c = arg;
    for (uint32_t i = 1; i <= EACH; i++) {
        if (i % 3 == 0) {
            while (!tg_queue_reserve(c->q, 1))
                sched_yield();
            tg_queue_push_reserved(c->q, &i);
        } else {
            while (tg_queue_push(c->q, &i) != TG_OK)
                sched_yield();
        }
    }
    if (atomic_fetch_sub(&c->producers_left, 1) == 1)
        tg_queue_close(c->q);
    return NULL;
}

static void *consume(void *arg)
{
    struct crowd *c = arg;
    uint32_t v;
    while (tg_queue_wait_pop(c->q, &v, -1) == TG_OK) {
        atomic_fetch_add(&c->sum, v);
        atomic_fetch_add(&c->count, 1);
    }
    return NULL;
}

static void many_threads(void)
{
    struct crowd c = { .q = tg_queue_new(16, sizeof(uint32_t)), .producers_left = PRODUCERS };
    pthread_t threads[PRODUCERS + CONSUMERS];
    CHECK(c.q);
    for (int i = 0; i < PRODUCERS + CONSUMERS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, i < PRODUCERS ? produce : consume, &c), 0);
    for (int i = 0; i < PRODUCERS + CONSUMERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(c.count, PRODUCERS * EACH);
    CHECK_INT(c.sum, (uint64_t)PRODUCERS * EACH * (EACH + 1) / 2);
    tg_queue_free(c.q);
}

struct sum {
    int in, out;
    struct tg_workers *again; /* submits itself once more from done */
    int dones;
    _Atomic bool *gate;       /* work waits for it */
};

static void square(void *arg)
{
    struct sum *s = arg;
    while (s->gate && !atomic_load(s->gate))
        sched_yield();
    s->out = s->in * s->in;
}

static void count_done(void *arg)
{
    struct sum *s = arg;
    s->dones++;
    if (s->again && s->dones < 3)
        tg_workers_submit(s->again, square, count_done, s);
}

static void drain(struct tg_workers *w, const int *dones, int want)
{
    for (int i = 0; i < 1000 && *dones < want; i++)
        if (readable(tg_workers_fd(w), 100))
            tg_workers_dispatch(w);
}

static void workers_do_and_report(void)
{
    struct tg_workers *w = tg_workers_new(3, 8);
    struct sum s[8] = { 0 };
    CHECK(w);
    for (int i = 0; i < 8; i++) {
        s[i].in = i;
        CHECK_INT(tg_workers_submit(w, square, count_done, &s[i]), TG_OK);
    }
    for (int i = 0; i < 8; i++) {
        drain(w, &s[i].dones, 1);
        CHECK_INT(s[i].dones, 1);
        CHECK_INT(s[i].out, i * i);
    }
    struct sum again = { .in = 5, .again = w };
    CHECK_INT(tg_workers_submit(w, square, count_done, &again), TG_OK);
    drain(w, &again.dones, 3);
    CHECK_INT(again.dones, 3);
    tg_workers_free(w);
}

static void workers_full_and_freed(void)
{
    _Atomic bool gate = false;
    struct tg_workers *w = tg_workers_new(1, 2);
    struct sum s[3] = { { .in = 3, .gate = &gate }, { .in = 4, .gate = &gate }, { .in = 5 } };
    CHECK(w);
    CHECK_INT(tg_workers_submit(w, square, count_done, &s[0]), TG_OK);
    CHECK_INT(tg_workers_submit(w, square, count_done, &s[1]), TG_OK);
    CHECK_INT(tg_workers_submit(w, square, count_done, &s[2]), TG_AGAIN);
    size_t waiting = tg_workers_waiting(w); /* the first may have been begun */
    CHECK(waiting == 1 || waiting == 2);
    atomic_store(&gate, true);
    drain(w, &s[1].dones, 1);
    CHECK_INT(tg_workers_submit(w, square, count_done, &s[2]), TG_OK);
    tg_workers_free(w); /* begun or dropped, never reported */
    CHECK_INT(s[2].dones, 0);
    tg_workers_free(NULL);
}

static void workers_that_do_not_end(void)
{
    _Atomic bool gate = false;
    struct tg_workers *w = tg_workers_new(2, 2);
    struct sum s = { .in = 3, .gate = &gate };
    CHECK(w);
    CHECK_INT(tg_workers_submit(w, square, count_done, &s), TG_OK);
    while (tg_workers_waiting(w)) /* else it would be dropped */
        sched_yield();
    CHECK(!tg_workers_end(w, 50));
    CHECK(!tg_workers_end(w, 0));
    atomic_store(&gate, true);
    CHECK(tg_workers_end(w, 60000));
    CHECK_INT(s.out, 9);
    CHECK(tg_workers_end(NULL, 0));
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(order_and_descriptor), CASE(reserved_slots), CASE(waiting_times_out),
        CASE(without_memory), CASE(many_threads), CASE(workers_do_and_report),
        CASE(workers_full_and_freed),
        CASE(workers_that_do_not_end),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
