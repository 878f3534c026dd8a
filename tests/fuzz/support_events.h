/* How the fuzz drivers of readers see that an answer ends once, with its last event. */
#ifndef TESTS_FUZZ_SUPPORT_EVENTS_H
#define TESTS_FUZZ_SUPPORT_EVENTS_H

#include <stdlib.h>

#include "providers/chat_event.h"

struct fuzz_ends {
    size_t n;
    bool finished; /* well */
};

static inline void fuzz_end(struct fuzz_ends *s, const struct chat_event *e)
{
    if (s->n)
        abort();
    s->n += e->kind == CHAT_EVENT_FINISH || e->kind == CHAT_EVENT_ERROR;
    s->finished |= e->kind == CHAT_EVENT_FINISH;
}

#endif
