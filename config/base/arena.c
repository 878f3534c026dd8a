#include "config/base/arena.h"

#include <stdint.h>
#include <string.h>

#include "config/base/alloc.h"

enum { ARENA_BLOCK = 8192, ARENA_ALIGN = 16 };

struct arena_block {
    struct arena_block *next;
    size_t used, cap;
    _Alignas(ARENA_ALIGN) char bytes[];
};

struct tg_arena {
    struct arena_block *head; /* the block that is being filled */
    size_t used, max;
};

struct tg_arena *tg_arena_new(size_t max)
{
    struct tg_arena *a = tg_calloc(1, sizeof(*a));
    if (a)
        a->max = max;
    return a;
}

void tg_arena_allow(struct tg_arena *a, size_t more)
{
    a->max = more > SIZE_MAX - a->max ? SIZE_MAX : a->max + more;
}

void tg_arena_free(struct tg_arena *a)
{
    if (!a)
        return;
    for (struct arena_block *b = a->head, *next; b; b = next) {
        next = b->next;
        tg_free(b);
    }
    tg_free(a);
}

void *tg_arena_alloc(struct tg_arena *a, size_t n, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(n, size, &total) || total > a->max - a->used)
        return NULL;
    size_t rounded = (total + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (rounded < total)
        return NULL;
    if (!a->head || rounded > a->head->cap - a->head->used) {
        size_t cap = rounded > ARENA_BLOCK ? rounded : ARENA_BLOCK;
        if (cap > SIZE_MAX - sizeof(struct arena_block))
            return NULL;
        struct arena_block *b = tg_alloc(sizeof(*b) + cap);
        if (!b)
            return NULL;
        *b = (struct arena_block){ .next = a->head, .cap = cap };
        a->head = b;
    }
    void *p = a->head->bytes + a->head->used;
    a->head->used += rounded;
    a->used += total;
    return memset(p, 0, rounded);
}

struct tg_str tg_arena_str(struct tg_arena *a, struct tg_str s)
{
    char *copy = s.n < SIZE_MAX ? tg_arena_alloc(a, s.n + 1, 1) : NULL;
    if (!copy)
        return (struct tg_str){ NULL, 0 };
    if (s.n)
        memcpy(copy, s.p, s.n);
    return (struct tg_str){ copy, s.n };
}

size_t tg_arena_used(const struct tg_arena *a)
{
    return a->used;
}
