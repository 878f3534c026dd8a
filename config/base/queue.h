/* A bounded queue between threads, with slots that can be taken ahead of the push, so that a later
 * push can neither fail nor wait, and an eventfd for loops. Many producers, many consumers. */
#ifndef TG_BASE_QUEUE_H
#define TG_BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/status.h"

struct tg_queue; /* opaque */

/* cap items of item_size bytes, copied in and out. NULL when out of memory or descriptors. */
struct tg_queue *tg_queue_new(size_t cap, size_t item_size);
void tg_queue_free(struct tg_queue *q);

/* Takes n slots out of the capacity, all or none. Given back by tg_queue_push_reserved (one each)
 * or tg_queue_unreserve. */
bool tg_queue_reserve(struct tg_queue *q, size_t n);
void tg_queue_unreserve(struct tg_queue *q, size_t n);
/* Uses one slot taken before: cannot fail. */
void tg_queue_push_reserved(struct tg_queue *q, const void *item);
/* TG_AGAIN when no free slot is left, TG_CLOSED after tg_queue_close. */
enum tg_status tg_queue_push(struct tg_queue *q, const void *item);
/* TG_AGAIN when empty. The descriptor is cleared when the queue becomes empty. */
enum tg_status tg_queue_pop(struct tg_queue *q, void *item);
/* Waits up to timeout_ms (-1: for ever) for an item. TG_TIMEOUT, or TG_CLOSED once closed and
 * empty. */
enum tg_status tg_queue_wait_pop(struct tg_queue *q, void *item, int timeout_ms);
/* Wakes all waiters; items left can still be popped. */
void tg_queue_close(struct tg_queue *q);
/* Readable while an item waits. Owned by the queue. */
int tg_queue_fd(const struct tg_queue *q);
size_t tg_queue_count(struct tg_queue *q);

#endif
