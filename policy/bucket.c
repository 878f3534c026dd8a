#include "policy/bucket.h"

#include <math.h>

static const double minute_ns = 60e9;
/* A wait that was told is over when it is over: rounding must not ask for one more nanosecond. */
static const double slack = 1e-6;

static void refill(struct pol_bucket *b, int64_t now_ns)
{
    if (now_ns <= b->at_ns)
        return;
    b->level += (double)(now_ns - b->at_ns) / minute_ns * b->per_minute;
    if (b->level > b->per_minute)
        b->level = b->per_minute;
    b->at_ns = now_ns;
}

void pol_bucket_limit(struct pol_bucket *b, uint32_t per_minute, int64_t now_ns)
{
    if (b->per_minute == per_minute)
        return;
    if (b->per_minute == 0) {
        b->level = per_minute;
        b->at_ns = now_ns;
    } else {
        refill(b, now_ns);
        b->level += (double)per_minute - b->per_minute;
    }
    b->per_minute = per_minute;
}

static double needed(const struct pol_bucket *b, double n)
{
    return n < b->per_minute ? n : b->per_minute;
}

bool pol_bucket_take(struct pol_bucket *b, double n, int64_t now_ns)
{
    if (b->per_minute == 0)
        return true;
    refill(b, now_ns);
    if (b->level + slack < needed(b, n))
        return false;
    b->level -= n;
    return true;
}

void pol_bucket_correct(struct pol_bucket *b, double n, int64_t now_ns)
{
    if (b->per_minute == 0)
        return;
    refill(b, now_ns);
    b->level += n;
    if (b->level > b->per_minute)
        b->level = b->per_minute;
}

static int64_t time_ms(const struct pol_bucket *b, double missing)
{
    if (missing <= slack || b->per_minute == 0)
        return 0;
    return (int64_t)ceil(missing / b->per_minute * 60000);
}

int64_t pol_bucket_wait_ms(struct pol_bucket *b, double n, int64_t now_ns)
{
    refill(b, now_ns);
    return time_ms(b, needed(b, n) - b->level);
}

uint32_t pol_bucket_left(struct pol_bucket *b, int64_t now_ns)
{
    refill(b, now_ns);
    return b->level + slack > 0 ? (uint32_t)(b->level + slack) : 0;
}

int64_t pol_bucket_full_ms(struct pol_bucket *b, int64_t now_ns)
{
    refill(b, now_ns);
    return time_ms(b, b->per_minute - b->level);
}
