/* An arena: what belongs to one request is allocated here and freed together. One thread only. */
#ifndef TG_BASE_ARENA_H
#define TG_BASE_ARENA_H

#include <stddef.h>

#include "config/base/str.h"

struct tg_arena; /* opaque */

/* max: total bytes that may be handed out. NULL when out of memory. Owned by the caller. */
struct tg_arena *tg_arena_new(size_t max);
/* So much more may be handed out. */
void tg_arena_allow(struct tg_arena *a, size_t more);
/* Frees the arena and all that was allocated from it. NULL is allowed. */
void tg_arena_free(struct tg_arena *a);
/* 16-byte aligned, zeroed; NULL when out of memory or above the maximum. Borrowed until the arena
 * is freed. */
void *tg_arena_alloc(struct tg_arena *a, size_t n, size_t size);
/* A terminated copy; p is NULL on failure. */
struct tg_str tg_arena_str(struct tg_arena *a, struct tg_str s);
size_t tg_arena_used(const struct tg_arena *a);

#endif
