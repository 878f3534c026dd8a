#include "gateway/responses_store.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "config/base/alloc.h"
#include "gateway/responses_shares.h"

enum { BUCKETS_MIN = 64, READ_FACTOR = 4, SPANS_MIN = 4 };

/* Two lines by use, of all and of each owner: whatever is used takes those before it along, in
 * front of itself. So nothing is ever older than what goes on from it, and the oldest has nothing
 * behind it. (A conversation has one owner.) */
struct gw_responses {
    pthread_mutex_t lock;
    struct gw_response **bucket;
    size_t n_buckets; /* a power of two */
    struct gw_response_line line;
    struct gw_shares shares;
    size_t n, bytes, max_bytes, reading;
    int64_t ttl_ms;
};

/* --- spans ----------------------------------------------------------------------------------- */

enum tg_status gw_spans_add(struct gw_spans *spans, struct gw_span item)
{
    bool full = spans->n == 0 || (spans->n >= SPANS_MIN && (spans->n & (spans->n - 1)) == 0);
    if (full) {
        size_t cap = spans->n ? 2 * spans->n : SPANS_MIN;
        struct gw_span *grown = tg_realloc_array(spans->item, cap, sizeof(*grown));
        if (!grown)
            return TG_NOMEM;
        spans->item = grown;
    }
    spans->item[spans->n++] = item;
    return TG_OK;
}

void gw_spans_take(struct gw_spans *spans, struct tg_buf *text)
{
    char *fitting = text->p ? tg_realloc(text->p, text->n + 1) : NULL;
    spans->text = fitting ? fitting : text->p;
    spans->n_text = text->n;
    tg_buf_init(text, text->max);
}

void gw_spans_free(struct gw_spans *spans)
{
    tg_free(spans->text);
    tg_free(spans->item);
    *spans = (struct gw_spans){ 0 };
}

struct tg_str gw_span_text(const struct gw_spans *spans, size_t i)
{
    return (struct tg_str){ spans->text + spans->item[i].at, spans->item[i].n };
}

struct tg_str gw_span_id(const struct gw_spans *spans, size_t i)
{
    return (struct tg_str){ spans->text + spans->item[i].id_at, spans->item[i].id_n };
}

static size_t spans_bytes(const struct gw_spans *spans)
{
    return spans->n_text + spans->n * sizeof(*spans->item);
}

/* --- the table and the list ------------------------------------------------------------------ */

static struct gw_response **bucket_of(const struct gw_responses *s, uint64_t number)
{
    return &s->bucket[number & (s->n_buckets - 1)];
}

static struct gw_response *look_up(const struct gw_responses *s, uint64_t number)
{
    struct gw_response *r = *bucket_of(s, number);
    while (r && r->number != number)
        r = r->in.next;
    return r;
}

/* Without memory the table stays as it is, only slower. */
static void grow(struct gw_responses *s)
{
    size_t n = s->n_buckets * 2;
    struct gw_response **bucket = tg_calloc(n, sizeof(*bucket));
    if (!bucket)
        return;
    for (size_t i = 0; i < s->n_buckets; i++)
        for (struct gw_response *r = s->bucket[i], *next; r; r = next) {
            next = r->in.next;
            r->in.next = bucket[r->number & (n - 1)];
            bucket[r->number & (n - 1)] = r;
        }
    tg_free(s->bucket);
    s->bucket = bucket;
    s->n_buckets = n;
}

static void unlink_from(struct gw_response_line *line, struct gw_response *r,
                        enum gw_response_order by)
{
    struct gw_response *newer = r->in.newer[by], *older = r->in.older[by];
    *(newer ? &newer->in.older[by] : &line->newest) = older;
    *(older ? &older->in.newer[by] : &line->oldest) = newer;
    r->in.newer[by] = r->in.older[by] = NULL;
}

static void link_newest(struct gw_response_line *line, struct gw_response *r,
                        enum gw_response_order by)
{
    r->in.older[by] = line->newest;
    *(line->newest ? &line->newest->in.newer[by] : &line->oldest) = r;
    line->newest = r;
}

static void unlink_lines(struct gw_responses *s, struct gw_response *r)
{
    unlink_from(&s->line, r, GW_RESPONSE_OF_ALL);
    unlink_from(&r->in.share->line, r, GW_RESPONSE_OF_OWNER);
}

static void link_lines(struct gw_responses *s, struct gw_response *r)
{
    link_newest(&s->line, r, GW_RESPONSE_OF_ALL);
    link_newest(&r->in.share->line, r, GW_RESPONSE_OF_OWNER);
}

/* Of one that is in the lines, or was until now. */
static void count_bytes(struct gw_responses *s, struct gw_response *r, size_t was, size_t now)
{
    s->bytes += now - was;
    gw_shares_count(&s->shares, r->in.share, r->in.share->bytes + now - was);
}

static void touch(struct gw_responses *s, struct gw_response *r, int64_t now_ms)
{
    for (; r && r->in.kept; r = r->before) {
        r->in.used_ms = now_ms;
        unlink_lines(s, r);
        link_lines(s, r);
    }
}

/* --- the end of a response ------------------------------------------------------------------- */

static void take_out(struct gw_responses *s, struct gw_response *r)
{
    struct gw_response **at = bucket_of(s, r->number);
    while (*at != r)
        at = &(*at)->in.next;
    *at = r->in.next;
    unlink_lines(s, r);
    r->in.kept = false;
    count_bytes(s, r, r->in.bytes, 0);
    r->in.share = NULL;
    s->n--;
}

/* Frees r if nobody needs it any more, and then those before it of which that is true. A deleted
 * one only stays for what goes on from it. */
static void release(struct gw_responses *s, struct gw_response *r)
{
    while (r && r->in.refs == 0) {
        struct gw_response *before = r->before;
        if (r->in.kept && r->in.deleted) {
            gw_spans_free(&r->input);
            gw_spans_free(&r->output);
            count_bytes(s, r, r->in.bytes, sizeof(*r));
            r->in.bytes = sizeof(*r);
            if (r->in.children == 0)
                take_out(s, r);
        }
        if (r->in.kept || r->in.children)
            return;
        gw_spans_free(&r->input);
        gw_spans_free(&r->output);
        tg_free(r);
        if (before)
            before->in.children--;
        r = before;
    }
}

static void evict(struct gw_responses *s, struct gw_response *r)
{
    take_out(s, r);
    release(s, r);
}

static void trim(struct gw_responses *s, int64_t now_ms)
{
    while (s->line.oldest && now_ms - s->line.oldest->in.used_ms >= s->ttl_ms)
        evict(s, s->line.oldest);
    while (s->bytes > s->max_bytes)
        evict(s, gw_shares_largest(&s->shares)->line.oldest);
}

/* --- references ------------------------------------------------------------------------------ */

static void ref_chain(struct gw_response *r)
{
    for (; r; r = r->before)
        r->in.refs++;
}

static void unref_chain(struct gw_responses *s, struct gw_response *r)
{
    for (struct gw_response *before; r; r = before) {
        before = r->before; /* with a reference of its own: release stops there */
        r->in.refs--;
        release(s, r);
    }
}

static bool is_whole(const struct gw_response *r)
{
    while (r && r->in.kept && !r->in.deleted)
        r = r->before;
    return !r;
}

/* --- the interface --------------------------------------------------------------------------- */

struct gw_responses *gw_responses_new(int64_t max_bytes, int64_t ttl_ms)
{
    struct gw_responses *s = tg_calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->bucket = tg_calloc(BUCKETS_MIN, sizeof(*s->bucket));
    if (!s->bucket) {
        tg_free(s);
        return NULL;
    }
    pthread_mutex_init(&s->lock, NULL);
    s->n_buckets = BUCKETS_MIN;
    s->max_bytes = (size_t)max_bytes;
    s->ttl_ms = ttl_ms;
    return s;
}

void gw_responses_free(struct gw_responses *s)
{
    if (!s)
        return;
    while (s->line.oldest)
        evict(s, s->line.oldest);
    assert(s->n == 0 && s->bytes == 0 && s->reading == 0);
    gw_shares_free(&s->shares);
    pthread_mutex_destroy(&s->lock);
    tg_free(s->bucket);
    tg_free(s);
}

void gw_responses_limit(struct gw_responses *s, int64_t max_bytes, int64_t ttl_ms, int64_t now_ms)
{
    pthread_mutex_lock(&s->lock);
    s->max_bytes = (size_t)max_bytes;
    s->ttl_ms = ttl_ms;
    trim(s, now_ms);
    pthread_mutex_unlock(&s->lock);
}

void gw_responses_expire(struct gw_responses *s, int64_t now_ms)
{
    pthread_mutex_lock(&s->lock);
    trim(s, now_ms);
    pthread_mutex_unlock(&s->lock);
}

struct gw_response *gw_response_new(struct gw_response *before)
{
    struct gw_response *r = tg_calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->before = before;
    return r;
}

void gw_response_drop(struct gw_responses *s, struct gw_response *r)
{
    gw_response_unref(s, r->before);
    gw_spans_free(&r->input);
    gw_spans_free(&r->output);
    tg_free(r);
}

void gw_responses_put(struct gw_responses *s, struct gw_response *r, int64_t now_ms)
{
    struct gw_response *before = r->before;
    r->in.bytes = sizeof(*r) + spans_bytes(&r->input) + spans_bytes(&r->output);
    r->chain = r->in.bytes + (before ? before->chain : 0);
    r->depth = 1 + (before ? before->depth : 0);
    pthread_mutex_lock(&s->lock);
    bool fits = r->in.bytes <= s->max_bytes && is_whole(before) && !look_up(s, r->number);
    r->in.share = fits ? gw_shares_of(&s->shares, r->owner) : NULL;
    if (!r->in.share) {
        pthread_mutex_unlock(&s->lock);
        gw_response_drop(s, r);
        return;
    }
    if (s->n >= s->n_buckets)
        grow(s);
    r->in.next = *bucket_of(s, r->number);
    *bucket_of(s, r->number) = r;
    r->in.kept = true;
    link_lines(s, r);
    s->n++;
    count_bytes(s, r, 0, r->in.bytes);
    if (before)
        before->in.children++;
    touch(s, r, now_ms);
    unref_chain(s, before);
    trim(s, now_ms);
    pthread_mutex_unlock(&s->lock);
}

struct gw_response *gw_responses_find(struct gw_responses *s, uint64_t owner, uint64_t number,
                                      bool whole, int64_t now_ms)
{
    pthread_mutex_lock(&s->lock);
    trim(s, now_ms);
    struct gw_response *r = look_up(s, number);
    if (r && (r->owner != owner || r->in.deleted || (whole && !is_whole(r))))
        r = NULL;
    touch(s, r, now_ms);
    ref_chain(r);
    pthread_mutex_unlock(&s->lock);
    return r;
}

void gw_response_unref(struct gw_responses *s, struct gw_response *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&s->lock);
    unref_chain(s, r);
    pthread_mutex_unlock(&s->lock);
}

bool gw_responses_delete(struct gw_responses *s, uint64_t owner, uint64_t number, int64_t now_ms)
{
    pthread_mutex_lock(&s->lock);
    trim(s, now_ms);
    struct gw_response *r = look_up(s, number);
    bool found = r && r->owner == owner && !r->in.deleted;
    if (found) {
        r->in.deleted = true;
        release(s, r);
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

void gw_past_free(struct gw_past *past)
{
    if (past->draft)
        gw_response_drop(past->store, past->draft);
    past->draft = NULL;
    if (past->reading)
        gw_responses_unread(past->store, past->reading);
    past->reading = 0;
}

bool gw_responses_read(struct gw_responses *s, size_t bytes)
{
    pthread_mutex_lock(&s->lock);
    size_t most = s->max_bytes > SIZE_MAX / READ_FACTOR ? SIZE_MAX : s->max_bytes * READ_FACTOR;
    bool room = bytes <= most && s->reading <= most - bytes;
    if (room)
        s->reading += bytes;
    pthread_mutex_unlock(&s->lock);
    return room;
}

void gw_responses_unread(struct gw_responses *s, size_t bytes)
{
    pthread_mutex_lock(&s->lock);
    s->reading -= bytes;
    pthread_mutex_unlock(&s->lock);
}

struct gw_responses_state gw_responses_state(struct gw_responses *s)
{
    pthread_mutex_lock(&s->lock);
    struct gw_responses_state state = { .n = s->n, .bytes = s->bytes };
    pthread_mutex_unlock(&s->lock);
    return state;
}
