/* Which tokens the text of a local answer is made of, for clients that want their logprobs. Text is
 * held back while it may be half a character or the beginning of a stop string: its tokens wait for
 * it, and those of a stop string, which is not given out, are dropped. One thread at a time. */
#ifndef PROVIDERS_LOCAL_SPOKEN_H
#define PROVIDERS_LOCAL_SPOKEN_H

#include "providers/chat.h"

/* Zero is empty. */
struct prov_spoken {
    struct chat_logprob *list; /* owned; [n]: those that wait, oldest first */
    uint64_t *ends;            /* owned; [n]: of each, in bytes of all tokens */
    size_t n, cap;
    uint64_t said, given; /* bytes of all tokens, and of the text that was given out */
};

/* piece: borrowed until it is dropped. TG_NOMEM: it is not told. */
enum tg_status prov_spoken_add(struct prov_spoken *l, struct tg_str piece, double logprob);
/* So many bytes of text are given out now: into the event go the tokens that end there or before.
 * all: it is the last text, nothing was cut, and all that wait go. They stay the list's until
 * prov_spoken_drop. */
void prov_spoken_take(struct prov_spoken *l, size_t bytes, bool all, struct chat_event *event);
/* Forgets the n oldest. */
void prov_spoken_drop(struct prov_spoken *l, size_t n);
void prov_spoken_free(struct prov_spoken *l);

#endif
