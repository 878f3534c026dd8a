/* The allocator of every layer: malloc with a fault-injection hook, so that tests can fail the
 * n-th allocation and prove that nothing crashes or leaks. All may be called from any thread. */
#ifndef TG_BASE_ALLOC_H
#define TG_BASE_ALLOC_H

#include <stddef.h>
#include <stdint.h>

/* As malloc, calloc, realloc, free; NULL on failure or when n * size overflows. n = 0 gives a
 * pointer that may be freed. Memory is owned by the caller. */
void *tg_alloc(size_t size);
void *tg_calloc(size_t n, size_t size);
void *tg_realloc(void *old, size_t size);
/* realloc for arrays: NULL and the old block kept on failure or overflow of n * size. */
void *tg_realloc_array(void *old, size_t n, size_t size);
void tg_free(void *p);
/* A terminated copy of n bytes, or of a string; NULL on failure. Owned by the caller. */
char *tg_strndup(const char *s, size_t n);
char *tg_strdup(const char *s);

/* Tests only: the nth allocation from now (1 = the next) fails, once; 0 disarms. */
void tg_alloc_fail_nth(uint64_t nth);
/* Allocations made since the last tg_alloc_fail_nth call. */
uint64_t tg_alloc_count(void);

#endif
