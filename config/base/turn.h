/* The turns of an event loop, for one who watches it: a turn is all callbacks between two waits.
 * Who is called back says what it is; the watcher, on another thread, reads how long the turn has
 * taken and what runs. A mark costs a few nanoseconds, a turn one look at the clock more. */
#ifndef TG_BASE_TURN_H
#define TG_BASE_TURN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct tg_turn {
    /* any thread */
    atomic_int_fast64_t began_ns;      /* tg_mono_ns; 0: the loop waits */
    atomic_uint_fast64_t n;            /* turns begun */
    _Atomic(const char *) what;        /* static: the kind of callback that was marked last */
    atomic_bool asleep;                /* the watcher is, and wants wake at the next begin */
    /* the loop's thread */
    uint32_t marks;                    /* of this turn */
    int64_t cpu_ns, cpu_at_ns;         /* of the thread, as last read, up to 10 ms before a begin */
    void (*wake)(void *arg);           /* called with asleep already cleared */
    void *arg;
};

/* The calling thread runs this loop from now on; NULL: none. */
void tg_turn_use(struct tg_turn *t);
/* A callback begins, of a kind with this name (static storage); nothing without a loop. The first
 * one begins the turn. A callback that turns to something else may mark that too. */
void tg_turn_mark(const char *what);
/* The callbacks have ended; gives when the turn began (0: there was none) and ends it. */
int64_t tg_turn_end(struct tg_turn *t);
/* Processor time of the calling thread. */
int64_t tg_turn_cpu_ns(void);

#endif
