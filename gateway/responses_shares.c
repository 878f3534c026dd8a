#include "gateway/responses_shares.h"

#include <assert.h>

#include "config/base/alloc.h"
#include "config/base/status.h"

enum { HEAP_MIN = 16 };

static struct gw_share **bucket_of(struct gw_shares *all, uint64_t owner)
{
    return &all->bucket[owner % GW_SHARE_BUCKETS];
}

/* --- the heap -------------------------------------------------------------------------------- */

static void set(struct gw_shares *all, size_t place, struct gw_share *share)
{
    all->heap[place] = share;
    share->place = place;
}

static void rise(struct gw_shares *all, struct gw_share *share)
{
    size_t at = share->place;
    for (; at > 0 && all->heap[(at - 1) / 2]->bytes < share->bytes; at = (at - 1) / 2)
        set(all, at, all->heap[(at - 1) / 2]);
    set(all, at, share);
}

static void sink(struct gw_shares *all, struct gw_share *share)
{
    size_t at = share->place;
    for (size_t child; (child = 2 * at + 1) < all->n; at = child) {
        if (child + 1 < all->n && all->heap[child + 1]->bytes > all->heap[child]->bytes)
            child++;
        if (all->heap[child]->bytes <= share->bytes)
            break;
        set(all, at, all->heap[child]);
    }
    set(all, at, share);
}

static enum tg_status make_room(struct gw_shares *all)
{
    if (all->n < all->cap)
        return TG_OK;
    size_t cap = all->cap ? 2 * all->cap : HEAP_MIN;
    struct gw_share **grown = tg_realloc_array(all->heap, cap, sizeof(*grown));
    if (!grown)
        return TG_NOMEM;
    all->heap = grown;
    all->cap = cap;
    return TG_OK;
}

/* --- shares ---------------------------------------------------------------------------------- */

struct gw_share *gw_shares_of(struct gw_shares *all, uint64_t owner)
{
    struct gw_share *share = *bucket_of(all, owner);
    while (share && share->owner != owner)
        share = share->next;
    if (share)
        return share;
    share = make_room(all) ? NULL : tg_calloc(1, sizeof(*share));
    if (!share)
        return NULL;
    share->owner = owner;
    share->next = *bucket_of(all, owner);
    *bucket_of(all, owner) = share;
    set(all, all->n++, share); /* with nothing it belongs there */
    return share;
}

static void leave(struct gw_shares *all, struct gw_share *share)
{
    struct gw_share **at = bucket_of(all, share->owner);
    while (*at != share)
        at = &(*at)->next;
    *at = share->next;
    struct gw_share *last = all->heap[--all->n];
    if (last != share) {
        set(all, share->place, last);
        rise(all, last);
        sink(all, last);
    }
    tg_free(share);
}

void gw_shares_count(struct gw_shares *all, struct gw_share *share, size_t bytes)
{
    share->bytes = bytes;
    if (!share->line.oldest) {
        assert(bytes == 0);
        leave(all, share);
        return;
    }
    rise(all, share);
    sink(all, share);
}

struct gw_share *gw_shares_largest(const struct gw_shares *all)
{
    return all->n ? all->heap[0] : NULL;
}

void gw_shares_free(struct gw_shares *all)
{
    assert(all->n == 0);
    tg_free(all->heap);
    all->heap = NULL;
    all->cap = 0;
}
