/* A limit per minute: a bucket that is full at first and is refilled evenly, so that a minute's
 * worth may come at once. What does not fit is told how long to wait. Pure: the clock is an
 * argument. */
#ifndef POLICY_BUCKET_H
#define POLICY_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

/* Zero: never used. */
struct pol_bucket {
    uint32_t per_minute; /* its size, and what flows in; 0: no limit */
    double level;        /* below 0: more was used than was asked for */
    int64_t at_ns;       /* when the level was that; monotonic */
};

/* The limit as it is now: what has been used stays used when it changes. */
void pol_bucket_limit(struct pol_bucket *b, uint32_t per_minute, int64_t now_ns);
/* Takes n (>= 0). False, and nothing is taken: it has to wait. More than a whole bucket is taken
 * when the bucket is full: who asks for more than a minute's worth waits a minute, not for ever. */
bool pol_bucket_take(struct pol_bucket *b, double n, int64_t now_ns);
/* Puts n back, or takes more (n < 0), whatever the level is. */
void pol_bucket_correct(struct pol_bucket *b, double n, int64_t now_ns);
/* How long until n can be taken; 0: now. */
int64_t pol_bucket_wait_ms(struct pol_bucket *b, double n, int64_t now_ns);
/* What can be taken now, whole units; how long until it is full. */
uint32_t pol_bucket_left(struct pol_bucket *b, int64_t now_ns);
int64_t pol_bucket_full_ms(struct pol_bucket *b, int64_t now_ns);

#endif
