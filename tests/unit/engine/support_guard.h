/* Memory whose end is the end of the world: one byte behind it faults, whatever wrote or read it.
 * For code that is compiled without sanitizers. */
#ifndef TESTS_SUPPORT_GUARD_H
#define TESTS_SUPPORT_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* n > 0 bytes of 0xa5 right before a page that nothing may touch, and behind a page of which a
 * change is found later; aligned as n is, to 64 at most. NULL: no memory. */
void *guard_new(size_t n);

/* Frees it; NULL allowed. false: something was written in front of it. */
bool guard_free(void *p);

#endif
