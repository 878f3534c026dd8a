#include "config/base/queue.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "config/base/alloc.h"

struct tg_queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    char *items;
    size_t cap, item_size, head, count, reserved;
    int fd;
    bool closed;
};

struct tg_queue *tg_queue_new(size_t cap, size_t item_size)
{
    struct tg_queue *q = tg_calloc(1, sizeof(*q));
    if (!q)
        return NULL;
    q->items = tg_calloc(cap, item_size);
    q->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!q->items || q->fd < 0) {
        if (q->fd >= 0)
            close(q->fd);
        tg_free(q->items);
        tg_free(q);
        return NULL;
    }
    q->cap = cap;
    q->item_size = item_size;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->filled, &attr);
    pthread_condattr_destroy(&attr);
    return q;
}

void tg_queue_free(struct tg_queue *q)
{
    if (!q)
        return;
    pthread_cond_destroy(&q->filled);
    pthread_mutex_destroy(&q->lock);
    close(q->fd);
    tg_free(q->items);
    tg_free(q);
}

bool tg_queue_reserve(struct tg_queue *q, size_t n)
{
    pthread_mutex_lock(&q->lock);
    bool room = !q->closed && n <= q->cap - q->count - q->reserved;
    if (room)
        q->reserved += n;
    pthread_mutex_unlock(&q->lock);
    return room;
}

void tg_queue_unreserve(struct tg_queue *q, size_t n)
{
    pthread_mutex_lock(&q->lock);
    assert(n <= q->reserved);
    q->reserved -= n;
    pthread_mutex_unlock(&q->lock);
}

/* lock held; there is room */
static void put(struct tg_queue *q, const void *item)
{
    memcpy(q->items + (q->head + q->count) % q->cap * q->item_size, item, q->item_size);
    if (q->count++ == 0) {
        uint64_t one = 1;
        ssize_t written = write(q->fd, &one, sizeof(one));
        assert(written == (ssize_t)sizeof(one));
        (void)written;
    }
    pthread_cond_signal(&q->filled);
}

void tg_queue_push_reserved(struct tg_queue *q, const void *item)
{
    pthread_mutex_lock(&q->lock);
    assert(q->reserved > 0);
    q->reserved--;
    put(q, item);
    pthread_mutex_unlock(&q->lock);
}

enum tg_status tg_queue_push(struct tg_queue *q, const void *item)
{
    enum tg_status status = TG_AGAIN;
    pthread_mutex_lock(&q->lock);
    if (q->closed) {
        status = TG_CLOSED;
    } else if (q->count + q->reserved < q->cap) {
        put(q, item);
        status = TG_OK;
    }
    pthread_mutex_unlock(&q->lock);
    return status;
}

/* lock held; not empty */
static void take(struct tg_queue *q, void *item)
{
    memcpy(item, q->items + q->head * q->item_size, q->item_size);
    q->head = (q->head + 1) % q->cap;
    if (--q->count == 0) {
        q->head = 0; /* the same few places again: of a large queue not all memory is touched */
        uint64_t drained;
        ssize_t got = read(q->fd, &drained, sizeof(drained));
        (void)got; /* the descriptor may have been drained by its loop */
    }
}

enum tg_status tg_queue_pop(struct tg_queue *q, void *item)
{
    enum tg_status status = TG_AGAIN;
    pthread_mutex_lock(&q->lock);
    if (q->count) {
        take(q, item);
        status = TG_OK;
    }
    pthread_mutex_unlock(&q->lock);
    return status;
}

enum tg_status tg_queue_wait_pop(struct tg_queue *q, void *item, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    if (timeout_ms > 0) {
        until.tv_sec += timeout_ms / 1000;
        until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
    }
    enum tg_status status = TG_OK;
    pthread_mutex_lock(&q->lock);
    while (q->count == 0 && !q->closed && status == TG_OK) {
        if (timeout_ms < 0)
            pthread_cond_wait(&q->filled, &q->lock);
        else if (pthread_cond_timedwait(&q->filled, &q->lock, &until) == ETIMEDOUT)
            status = TG_TIMEOUT;
    }
    if (q->count) {
        take(q, item);
        status = TG_OK;
    } else if (q->closed) {
        status = TG_CLOSED;
    }
    pthread_mutex_unlock(&q->lock);
    return status;
}

void tg_queue_close(struct tg_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->filled);
    pthread_mutex_unlock(&q->lock);
}

int tg_queue_fd(const struct tg_queue *q)
{
    return q->fd;
}

size_t tg_queue_count(struct tg_queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t count = q->count;
    pthread_mutex_unlock(&q->lock);
    return count;
}
