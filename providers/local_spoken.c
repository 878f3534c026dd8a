#include "providers/local_spoken.h"

#include <string.h>

#include "config/base/alloc.h"

/* Both lists together, or neither. */
static bool grow(struct prov_spoken *l)
{
    size_t cap = l->cap ? 2 * l->cap : 32;
    struct chat_logprob *list = tg_calloc(cap, sizeof(*list));
    uint64_t *ends = tg_calloc(cap, sizeof(*ends));
    if (!list || !ends) {
        tg_free(list);
        tg_free(ends);
        return false;
    }
    if (l->n) {
        memcpy(list, l->list, l->n * sizeof(*list));
        memcpy(ends, l->ends, l->n * sizeof(*ends));
    }
    tg_free(l->list);
    tg_free(l->ends);
    l->list = list;
    l->ends = ends;
    l->cap = cap;
    return true;
}

enum tg_status prov_spoken_add(struct prov_spoken *l, struct tg_str piece, double logprob)
{
    l->said += piece.n;
    if (l->n == l->cap && !grow(l))
        return TG_NOMEM;
    l->list[l->n] = (struct chat_logprob){ .token = { piece, logprob } };
    l->ends[l->n++] = l->said;
    return TG_OK;
}

void prov_spoken_take(struct prov_spoken *l, size_t bytes, bool all, struct chat_event *event)
{
    size_t n = 0;
    l->given += bytes;
    if (l->given > l->said) /* a byte that is no text was told as three */
        l->given = l->said;
    while (n < l->n && (all || l->ends[n] <= l->given))
        n++;
    event->logprobs = n ? l->list : NULL;
    event->n_logprobs = n;
}

void prov_spoken_drop(struct prov_spoken *l, size_t n)
{
    if (n == 0)
        return;
    l->n -= n;
    memmove(l->list, l->list + n, l->n * sizeof(*l->list));
    memmove(l->ends, l->ends + n, l->n * sizeof(*l->ends));
}

void prov_spoken_free(struct prov_spoken *l)
{
    tg_free(l->list);
    tg_free(l->ends);
    *l = (struct prov_spoken){ .n = 0 };
}
