#include "config/base/alloc.h"
#include "telemetry/internal.h"

enum tg_status tel_holds_init(struct tel_holds *h, size_t cap)
{
    size_t buckets = 64;
    while (buckets < cap)
        buckets *= 2;
    h->hold = tg_calloc(cap, sizeof(*h->hold));
    h->bucket = tg_alloc(buckets * sizeof(*h->bucket));
    if (!h->hold || !h->bucket) {
        tel_holds_free(h);
        return TG_NOMEM;
    }
    for (size_t i = 0; i < buckets; i++)
        h->bucket[i] = TEL_NO_HOLD;
    h->cap = cap;
    h->mask = buckets - 1;
    h->count = 0;
    h->free = TEL_NO_HOLD; /* entries never used yet follow count + those on the free list */
    return TG_OK;
}

void tel_holds_free(struct tel_holds *h)
{
    tg_free(h->hold);
    tg_free(h->bucket);
    h->hold = NULL;
    h->bucket = NULL;
    h->cap = h->count = 0;
}

struct tel_hold *tel_holds_add(struct tel_holds *h, uint64_t id)
{
    int32_t at = h->free;
    if (at != TEL_NO_HOLD)
        h->free = h->hold[at].next_in_bucket;
    else if (h->count < h->cap)
        at = (int32_t)h->count; /* the free list is empty: all below count are in use */
    else
        return NULL;
    h->count++;
    int32_t *bucket = &h->bucket[id & h->mask];
    h->hold[at] = (struct tel_hold){ .id = id,
                                     .used = true,
                                     .next_in_bucket = *bucket,
                                     .before = TEL_NO_HOLD,
                                     .after = TEL_NO_HOLD };
    *bucket = at;
    return &h->hold[at];
}

struct tel_hold *tel_holds_find(const struct tel_holds *h, uint64_t id)
{
    for (int32_t at = h->bucket[id & h->mask]; at != TEL_NO_HOLD; at = h->hold[at].next_in_bucket)
        if (h->hold[at].id == id)
            return &h->hold[at];
    return NULL;
}

void tel_holds_remove(struct tel_holds *h, struct tel_hold *hold)
{
    int32_t at = (int32_t)(hold - h->hold);
    int32_t *link = &h->bucket[hold->id & h->mask];
    while (*link != at)
        link = &h->hold[*link].next_in_bucket;
    *link = hold->next_in_bucket;
    hold->used = false;
    hold->next_in_bucket = h->free;
    h->free = at;
    h->count--;
}
