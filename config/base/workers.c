#include "config/base/workers.h"

#include <pthread.h>
#include <time.h>

#include "config/base/alloc.h"
#include "config/base/queue.h"

enum { WORKERS_MAX = 16 };

struct piece {
    void (*work)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

struct tg_workers {
    struct tg_queue *waiting, *finished;
    pthread_t threads[WORKERS_MAX];
    size_t n;
};

static void *worker_main(void *arg)
{
    struct tg_workers *w = arg;
    struct piece piece;
    while (tg_queue_wait_pop(w->waiting, &piece, -1) == TG_OK) {
        piece.work(piece.arg);
        tg_queue_push_reserved(w->finished, &piece); /* slot taken at submit */
    }
    return NULL;
}

struct tg_workers *tg_workers_new(size_t n, size_t cap)
{
    struct tg_workers *w = tg_calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->waiting = tg_queue_new(cap, sizeof(struct piece));
    w->finished = tg_queue_new(cap, sizeof(struct piece));
    for (; w->waiting && w->finished && w->n < n && w->n < WORKERS_MAX; w->n++)
        if (pthread_create(&w->threads[w->n], NULL, worker_main, w) != 0)
            break;
    if (w->n == 0) {
        tg_workers_free(w);
        return NULL;
    }
    return w;
}

/* until: NULL for as long as it takes. */
static bool join_all(struct tg_workers *w, const struct timespec *until)
{
    struct piece dropped;
    while (w->waiting && tg_queue_pop(w->waiting, &dropped) == TG_OK)
        ;
    if (w->waiting)
        tg_queue_close(w->waiting);
    for (; w->n > 0; w->n--)
        if (until ? pthread_timedjoin_np(w->threads[w->n - 1], NULL, until) != 0
                  : pthread_join(w->threads[w->n - 1], NULL) != 0)
            return false;
    tg_queue_free(w->waiting);
    tg_queue_free(w->finished);
    tg_free(w);
    return true;
}

void tg_workers_free(struct tg_workers *w)
{
    if (w)
        join_all(w, NULL);
}

bool tg_workers_end(struct tg_workers *w, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return !w || join_all(w, &until);
}

enum tg_status tg_workers_submit(struct tg_workers *w, void (*work)(void *arg),
                                 void (*done)(void *arg), void *arg)
{
    struct piece piece = { work, done, arg };
    if (!tg_queue_reserve(w->finished, 1))
        return TG_AGAIN;
    enum tg_status status = tg_queue_push(w->waiting, &piece);
    if (status)
        tg_queue_unreserve(w->finished, 1);
    return status;
}

size_t tg_workers_waiting(const struct tg_workers *w)
{
    return tg_queue_count(w->waiting);
}

int tg_workers_fd(const struct tg_workers *w)
{
    return tg_queue_fd(w->finished);
}

void tg_workers_dispatch(struct tg_workers *w)
{
    struct piece piece;
    /* Only what is finished now: work submitted by done() must not keep the loop in here. */
    for (size_t left = tg_queue_count(w->finished); left; left--)
        if (tg_queue_pop(w->finished, &piece) == TG_OK)
            piece.done(piece.arg);
}
