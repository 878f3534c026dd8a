#include "local_engine/sampler.h"

#include <math.h>
#include <string.h>

#include "config/base/alloc.h"

/* exp(-50) is below half a unit in the last place of any sum that begins with exp(0) = 1, even
 * 262144 times over, so such terms are skipped. */
#define NEGLIGIBLE (-50.0)

enum { RADIX_BITS = 11, RADIX = 1 << RADIX_BITS };
enum { ALLOWED = 0, FORBIDDEN = 1, NEVER = 2 };

struct candidate {
    int32_t id;
    float logit;
    double weight; /* exp(logit - best), or 1 while candidates are only counted */
};

struct le_sampler {
    uint32_t n_vocab;
    uint8_t *mark;               /* [n_vocab] ALLOWED, FORBIDDEN or NEVER */
    struct candidate *candidate; /* [n_vocab] scratch, ids ascending */
    double bucket[RADIX];
    struct le_sampling sampling;
    uint64_t rng[4];
};

/* The two best allowed ids of one distribution. */
struct best {
    int32_t first, second; /* -1: none */
    float top, next;
};

enum tg_status le_sampling_check(const struct le_sampling *sampling, struct tg_error *err)
{
    if (!(sampling->temperature >= 0 && sampling->temperature <= 2))
        return tg_fail(err, TG_INVALID, "temperature is %g; it must be within 0 and 2",
                       (double)sampling->temperature);
    if (!(sampling->top_p > 0 && sampling->top_p <= 1))
        return tg_fail(err, TG_INVALID, "top_p is %g; it must be above 0 and at most 1",
                       (double)sampling->top_p);
    if (!(sampling->min_p >= 0 && sampling->min_p <= 1))
        return tg_fail(err, TG_INVALID, "min_p is %g; it must be within 0 and 1",
                       (double)sampling->min_p);
    return TG_OK;
}

struct le_sampler *le_sampler_new(uint32_t n_vocab, const int32_t *never, size_t n_never)
{
    if (n_vocab == 0 || n_vocab > INT32_MAX)
        return NULL;
    struct le_sampler *s = tg_calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->n_vocab = n_vocab;
    s->mark = tg_calloc(n_vocab, sizeof(*s->mark));
    s->candidate = tg_calloc(n_vocab, sizeof(*s->candidate));
    if (!s->mark || !s->candidate) {
        le_sampler_free(s);
        return NULL;
    }
    for (size_t i = 0; i < n_never; i++)
        if (never[i] >= 0 && (uint32_t)never[i] < n_vocab)
            s->mark[never[i]] = NEVER;
    const struct le_sampling greedy = { .top_p = 1 };
    le_sampler_start(s, &greedy);
    return s;
}

void le_sampler_free(struct le_sampler *s)
{
    if (!s)
        return;
    tg_free(s->candidate);
    tg_free(s->mark);
    tg_free(s);
}

void le_sampler_forbid(struct le_sampler *s, int32_t id, bool forbid)
{
    if (id >= 0 && (uint32_t)id < s->n_vocab && s->mark[id] != NEVER)
        s->mark[id] = forbid ? FORBIDDEN : ALLOWED;
}

/* SplitMix64 (Steele, Lea, Flood 2014): spreads a seed over the generator's state. */
static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

/* xoshiro256** (Blackman, Vigna 2018); the top 53 bits as a number in [0, 1). */
static double draw_uniform(uint64_t s[4])
{
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return (double)(result >> 11) * 0x1p-53;
}

void le_sampler_start(struct le_sampler *s, const struct le_sampling *sampling)
{
    s->sampling = *sampling;
    uint64_t state = sampling->seed;
    for (int i = 0; i < 4; i++)
        s->rng[i] = splitmix(&state);
}

static enum tg_status find_best(const struct le_sampler *s, const float *logits, struct best *best)
{
    *best = (struct best){ .first = -1, .second = -1, .top = -INFINITY, .next = -INFINITY };
    for (uint32_t i = 0; i < s->n_vocab; i++) {
        float l = logits[i];
        if (!isfinite(l))
            return TG_INTERNAL;
        if (l <= best->next || s->mark[i] != ALLOWED)
            continue;
        if (l > best->top) {
            best->second = best->first;
            best->next = best->top;
            best->first = (int32_t)i;
            best->top = l;
        } else {
            best->second = (int32_t)i;
            best->next = l;
        }
    }
    return best->first < 0 ? TG_NOTFOUND : TG_OK;
}

/* With d = l - top and Z = sum exp(d): log p = d - log Z, and the entropy -sum p log p is
 * log Z - sum(exp(d) d) / Z. */
static void fill_stats(const struct le_sampler *s, const float *logits, const struct best *best,
                       int32_t id, struct le_token_stats *stats)
{
    double z = 0, moment = 0;
    for (uint32_t i = 0; i < s->n_vocab; i++) {
        double d = (double)logits[i] - (double)best->top;
        if (d < NEGLIGIBLE || s->mark[i] != ALLOWED)
            continue;
        double w = exp(d);
        z += w;
        moment += w * d;
    }
    double log_z = log(z), entropy = log_z - moment / z;
    double next = best->second < 0 ? 0 : exp((double)best->next - (double)best->top);
    stats->logprob = (float)((double)logits[id] - (double)best->top - log_z);
    stats->entropy = (float)(entropy > 0 ? entropy : 0);
    stats->margin = (float)((1 - next) / z);
}

/* Maps a float to an integer of the same order; -0 and 0 are one value. */
static uint32_t sort_key(float f)
{
    uint32_t bits;
    f += 0.0f;
    memcpy(&bits, &f, sizeof(bits));
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* Walks down from the greatest bucket while the total stays below the limit; returns the bucket in
 * which the limit is reached (0 when it is not) and adds those above it to *above. */
static uint32_t descend(const double *bucket, uint32_t n, double limit, double *above)
{
    uint32_t b = n - 1;
    while (b > 0 && *above + bucket[b] < limit)
        *above += bucket[b--];
    return b;
}

/* Keeps the fewest, most probable candidates whose weights add up to limit (above 0); of equals the
 * lowest ids. A radix select over the key's three digits: O(n) for any input. Returns how many. */
static uint32_t keep_top(struct le_sampler *s, uint32_t n, double limit)
{
    static const struct {
        int shift, bits;
    } digit[3] = { { 21, RADIX_BITS }, { 10, RADIX_BITS }, { 0, 10 } };
    uint32_t prefix = 0, mask = 0;
    double above = 0;
    for (int pass = 0; pass < 3; pass++) {
        uint32_t size = 1u << digit[pass].bits;
        memset(s->bucket, 0, size * sizeof(*s->bucket));
        for (uint32_t i = 0; i < n; i++) {
            uint32_t key = sort_key(s->candidate[i].logit);
            if ((key & mask) == prefix)
                s->bucket[key >> digit[pass].shift & (size - 1)] += s->candidate[i].weight;
        }
        prefix |= descend(s->bucket, size, limit, &above) << digit[pass].shift;
        mask |= (size - 1) << digit[pass].shift;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t key = sort_key(s->candidate[i].logit);
        if (key < prefix || (key == prefix && above >= limit))
            continue;
        if (key == prefix)
            above += s->candidate[i].weight;
        s->candidate[kept++] = s->candidate[i];
    }
    return kept;
}

/* Collects the allowed ids. With top_k only those from the bucket in which the k-th best lies on,
 * so that the later passes see few. */
static uint32_t gather(struct le_sampler *s, const float *logits)
{
    uint32_t floor = 0, n = 0, k = s->sampling.top_k;
    const int shift = 32 - RADIX_BITS;
    if (k) {
        double above = 0;
        memset(s->bucket, 0, sizeof(s->bucket));
        for (uint32_t i = 0; i < s->n_vocab; i++)
            if (s->mark[i] == ALLOWED)
                s->bucket[sort_key(logits[i]) >> shift] += 1;
        floor = descend(s->bucket, RADIX, k, &above);
    }
    for (uint32_t i = 0; i < s->n_vocab; i++)
        if (s->mark[i] == ALLOWED && sort_key(logits[i]) >> shift >= floor)
            s->candidate[n++] = (struct candidate){ (int32_t)i, logits[i], 1 };
    return n;
}

static uint32_t keep_top_p(struct le_sampler *s, uint32_t n)
{
    double total = 0;
    for (uint32_t i = 0; i < n; i++)
        total += s->candidate[i].weight;
    return keep_top(s, n, (double)s->sampling.top_p * total);
}

static uint32_t keep_min_p(struct le_sampler *s, uint32_t n)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (s->candidate[i].weight >= (double)s->sampling.min_p)
            s->candidate[kept++] = s->candidate[i];
    return kept;
}

static int32_t draw(struct le_sampler *s, uint32_t n, float top)
{
    double total = 0, t = (double)s->sampling.temperature;
    for (uint32_t i = 0; i < n; i++) {
        s->candidate[i].weight = exp(((double)s->candidate[i].logit - (double)top) / t);
        total += s->candidate[i].weight;
    }
    double left = draw_uniform(s->rng) * total;
    uint32_t chosen = 0; /* the last possible one, should rounding carry the walk past the end */
    for (uint32_t i = 0; i < n; i++) {
        if (s->candidate[i].weight <= 0)
            continue;
        chosen = i;
        left -= s->candidate[i].weight;
        if (left < 0)
            break;
    }
    return s->candidate[chosen].id;
}

static int32_t sample(struct le_sampler *s, const float *logits, float top)
{
    const struct le_sampling *o = &s->sampling;
    uint32_t n = gather(s, logits);
    if (o->top_k && o->top_k < n)
        n = keep_top(s, n, o->top_k);
    for (uint32_t i = 0; i < n; i++)
        s->candidate[i].weight = exp((double)s->candidate[i].logit - (double)top);
    if (o->top_p < 1)
        n = keep_top_p(s, n);
    if (o->min_p > 0)
        n = keep_min_p(s, n);
    return draw(s, n, top);
}

enum tg_status le_sampler_choose(struct le_sampler *s, const float *logits, int32_t *id,
                                 struct le_token_stats *stats)
{
    struct best best;
    enum tg_status status = find_best(s, logits, &best);
    if (status)
        return status;
    *id = s->sampling.temperature > 0 ? sample(s, logits, best.top) : best.first;
    if (stats)
        fill_stats(s, logits, &best, *id, stats);
    return TG_OK;
}
