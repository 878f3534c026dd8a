#include "config/base/alloc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static _Atomic bool counting; /* since tg_alloc_fail_nth was called: in tests only, for a counter
                               * that all threads write to costs them more than malloc */
static _Atomic uint64_t fail_at;
static _Atomic uint64_t made;

static bool must_fail(void)
{
    if (!atomic_load_explicit(&counting, memory_order_relaxed))
        return false;
    uint64_t count = atomic_fetch_add_explicit(&made, 1, memory_order_relaxed) + 1;
    uint64_t at = atomic_load_explicit(&fail_at, memory_order_relaxed);
    return at != 0 && count == at;
}

void tg_alloc_fail_nth(uint64_t nth)
{
    atomic_store(&made, 0);
    atomic_store(&fail_at, nth);
    atomic_store(&counting, true);
}

uint64_t tg_alloc_count(void)
{
    return atomic_load(&made);
}

void *tg_alloc(size_t size)
{
    return must_fail() ? NULL : malloc(size ? size : 1);
}

void *tg_calloc(size_t n, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(n, size, &total) || must_fail())
        return NULL;
    return calloc(1, total ? total : 1);
}

void *tg_realloc(void *old, size_t size)
{
    return must_fail() ? NULL : realloc(old, size ? size : 1);
}

void *tg_realloc_array(void *old, size_t n, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(n, size, &total))
        return NULL;
    return tg_realloc(old, total);
}

void tg_free(void *p)
{
    free(p);
}

char *tg_strndup(const char *s, size_t n)
{
    char *copy = n < SIZE_MAX ? tg_alloc(n + 1) : NULL;
    if (!copy)
        return NULL;
    memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

char *tg_strdup(const char *s)
{
    return tg_strndup(s, strlen(s));
}
