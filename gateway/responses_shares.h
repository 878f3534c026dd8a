/* Who holds how much of the store of responses, so that the one who holds the most gives way first.
 * Internal to responses_store.c, under its lock. No step walks all owners: finding one looks at
 * those of its bucket, all else takes log2 of their number. */
#ifndef GATEWAY_RESPONSES_SHARES_H
#define GATEWAY_RESPONSES_SHARES_H

#include <stddef.h>
#include <stdint.h>

struct gw_response;

/* Responses in the order of their use. */
struct gw_response_line {
    struct gw_response *newest, *oldest;
};

/* What one owner holds; it is there as long as that is something, or about to be. */
struct gw_share {
    uint64_t owner;
    size_t bytes;
    struct gw_response_line line;
    size_t place; /* in the heap */
    struct gw_share *next;
};

enum { GW_SHARE_BUCKETS = 256 };

/* All zero: nobody has anything. */
struct gw_shares {
    struct gw_share *bucket[GW_SHARE_BUCKETS];
    struct gw_share **heap; /* the largest first: heap[i] is not below heap[2i + 1], heap[2i + 2] */
    size_t n, cap;
};

/* The share of that owner, made if there is none. NULL: out of memory. */
struct gw_share *gw_shares_of(struct gw_shares *all, uint64_t owner);
/* It holds so many bytes now; one without any response is freed. */
void gw_shares_count(struct gw_shares *all, struct gw_share *share, size_t bytes);
/* NULL: there is none. */
struct gw_share *gw_shares_largest(const struct gw_shares *all);
/* There is no share any more. */
void gw_shares_free(struct gw_shares *all);

#endif
