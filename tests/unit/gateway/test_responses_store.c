/* The store of responses: bounds, ages, owners, conversations, readers, failing allocations,
 * threads. */
#include "gateway/responses_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "config/base/alloc.h"
#include "tests/unit/check.h"

enum { TEXT = 1000, TTL = 100 };

static struct gw_responses *s;

static void open_store(int64_t max_bytes)
{
    s = gw_responses_new(max_bytes, TTL);
    CHECK(s != NULL);
}

static void close_store(void)
{
    gw_responses_free(s);
}

/* A response with a text of n bytes, not put yet. */
static struct gw_response *made(uint64_t owner, uint64_t number, size_t n,
                                struct gw_response *before)
{
    struct gw_response *r = gw_response_new(before);
    CHECK(r != NULL);
    r->owner = owner;
    r->number = number;
    r->output.text = tg_calloc(n, 1);
    r->output.n_text = n;
    return r;
}

static void put_behind(uint64_t number, uint64_t before, int64_t now)
{
    struct gw_response *b = before ? gw_responses_find(s, 0, before, true, now) : NULL;
    CHECK(!before || b);
    gw_responses_put(s, made(0, number, TEXT, b), now);
}

static bool there(uint64_t owner, uint64_t number, bool whole, int64_t now)
{
    struct gw_response *r = gw_responses_find(s, owner, number, whole, now);
    gw_response_unref(s, r);
    return r != NULL;
}

static size_t one(void) /* bytes of one in the store */
{
    return TEXT + sizeof(struct gw_response);
}

static void owners_do_not_see_each_other(void)
{
    open_store(1 << 20);
    gw_responses_put(s, made(7, 1, TEXT, NULL), 0);
    CHECK(there(7, 1, true, 1) && !there(8, 1, true, 1) && !there(7, 2, true, 1));
    CHECK(!gw_responses_delete(s, 8, 1, 1) && gw_responses_delete(s, 7, 1, 1));
    CHECK(!there(7, 1, false, 1) && !gw_responses_delete(s, 7, 1, 1));
    CHECK_INT(gw_responses_state(s).n, 0);
    CHECK_INT(gw_responses_state(s).bytes, 0);
    close_store();
}

static void the_least_recently_used_goes_first(void)
{
    open_store((int64_t)(3 * one()));
    for (uint64_t i = 1; i <= 3; i++)
        put_behind(i, 0, 0);
    CHECK_INT(gw_responses_state(s).bytes, 3 * one());
    CHECK(there(0, 1, false, 1));
    put_behind(4, 0, 2);
    CHECK(there(0, 1, false, 3) && !there(0, 2, false, 3) && there(0, 4, false, 3));
    gw_responses_put(s, made(0, 5, 4 * TEXT, NULL), 4); /* fits nowhere: nothing makes room */
    CHECK(!there(0, 5, false, 5));
    CHECK_INT(gw_responses_state(s).n, 3);
    close_store();
}

static size_t count_of(uint64_t owner, uint64_t from, uint64_t to, int64_t now)
{
    size_t n = 0;
    for (uint64_t i = from; i <= to; i++)
        n += there(owner, i, false, now);
    return n;
}

/* Whoever holds the most makes room, even for others: what the others have stays. */
static void one_owner_cannot_evict_the_others(void)
{
    open_store((int64_t)(10 * one()));
    for (uint64_t i = 1; i <= 3; i++)
        gw_responses_put(s, made(1, i, TEXT, NULL), 0);
    for (uint64_t i = 100; i < 200; i++)
        gw_responses_put(s, made(2, i, TEXT, NULL), 1);
    CHECK_INT(count_of(1, 1, 3, 2), 3);
    CHECK_INT(count_of(2, 193, 199, 2), 7); /* its own newest */
    CHECK_INT(gw_responses_state(s).n, 10);
    gw_responses_put(s, made(2, 200, 9 * TEXT, NULL), 3); /* above what the first one leaves */
    CHECK_INT(count_of(1, 1, 3, 4), 3);
    CHECK_INT(count_of(2, 100, 200, 4), 0);
    for (uint64_t i = 300; i < 310; i++)
        gw_responses_put(s, made(2, i, TEXT, NULL), 5);
    for (uint64_t i = 400; i < 410; i++) /* a third one gets its part from the largest */
        gw_responses_put(s, made(3, i, TEXT, NULL), 6);
    CHECK_INT(count_of(1, 1, 3, 7), 3);
    CHECK_INT(count_of(2, 306, 309, 7) + count_of(3, 406, 409, 7), 7);
    CHECK(count_of(2, 306, 309, 7) >= 3 && count_of(3, 406, 409, 7) >= 3);
    CHECK_INT(gw_responses_state(s).n, 10);
    gw_responses_limit(s, (int64_t)(3 * one()), TTL, 8);
    CHECK_INT(count_of(1, 1, 3, 8) * count_of(2, 300, 309, 8) * count_of(3, 400, 409, 8), 1);
    gw_responses_expire(s, 8 + TTL);
    CHECK_INT(gw_responses_state(s).n, 0);
    close_store();
}

/* Against sums over everything: the largest gives way, and the bytes are those of what is there. */
static void shares_follow_what_happens(void)
{
    enum { OWNERS = 40, NUMBERS = 400, STEPS = 4000 };
    static size_t bytes[NUMBERS + 1]; /* as it was put; 0: never */
    uint64_t noise = 7;
    const size_t room = 60 * one();
    open_store((int64_t)room);
    for (int64_t step = 0; step < STEPS; step++) {
        noise = noise * 6364136223846793005U + 1442695040888963407U;
        uint64_t number = 1 + (noise >> 33) % NUMBERS, owner = number % OWNERS;
        if ((noise >> 20) % 5 == 0) {
            gw_responses_delete(s, owner, number, step / 5);
        } else if (!there(owner, number, false, step / 5)) {
            bytes[number] = 1 + (noise >> 40) % (3 * TEXT);
            gw_responses_put(s, made(owner, number, bytes[number], NULL), step / 5);
        }
        size_t sum = 0, n = 0;
        for (uint64_t i = 1; step % 1000 == 0 && i <= NUMBERS; i++)
            if (bytes[i] && there(i % OWNERS, i, false, step / 5)) {
                sum += bytes[i] + sizeof(struct gw_response);
                n++;
            }
        CHECK(step % 1000 || (sum == gw_responses_state(s).bytes && n == gw_responses_state(s).n));
        CHECK(gw_responses_state(s).bytes <= room);
    }
    close_store();
}

static void age_counts_from_the_last_use(void)
{
    open_store(1 << 20);
    put_behind(1, 0, 0);
    put_behind(2, 0, 0);
    CHECK(there(0, 1, false, TTL - 1));
    CHECK(!there(0, 2, false, TTL) && there(0, 1, false, 2 * TTL - 2));
    gw_responses_expire(s, 3 * TTL - 2);
    CHECK_INT(gw_responses_state(s).n, 0);
    close_store();
}

/* Never an older part before a newer one: what is left of a conversation is its beginning. */
static void conversations_go_from_their_newest_end(void)
{
    open_store((int64_t)(4 * one()));
    for (uint64_t i = 1; i <= 4; i++)
        put_behind(i, i - 1, (int64_t)i);
    struct gw_response *r = gw_responses_find(s, 0, 4, true, 5);
    CHECK(r && r->depth == 4 && r->chain == 4 * one() && r->before->before->before->number == 1);
    gw_response_unref(s, r);
    put_behind(9, 0, 6);
    CHECK(!there(0, 4, false, 7) && there(0, 3, true, 7));
    put_behind(10, 3, 8); /* used: the other conversation makes room */
    CHECK(there(0, 10, true, 9) && !there(0, 9, false, 9));
    put_behind(11, 3, 10); /* a second branch takes the place of the first */
    CHECK(there(0, 11, true, 11) && !there(0, 10, true, 11));
    CHECK_INT(gw_responses_state(s).bytes, 4 * one());
    put_behind(12, 11, 12); /* too long for the store */
    CHECK(!there(0, 12, false, 13) && there(0, 11, true, 13));
    close_store();
}

static void a_deleted_part_ends_what_goes_on_from_it(void)
{
    open_store(1 << 20);
    put_behind(1, 0, 0);
    put_behind(2, 1, 0);
    put_behind(3, 2, 0);
    CHECK(gw_responses_delete(s, 0, 2, 1));
    CHECK_INT(gw_responses_state(s).bytes, 3 * one() - TEXT);
    CHECK(there(0, 3, false, 1) && !there(0, 3, true, 1) && there(0, 1, true, 1));
    CHECK(gw_responses_delete(s, 0, 3, 1)); /* and the place of the second with it */
    CHECK_INT(gw_responses_state(s).n, 1);
    close_store();
}

static void readers_keep_what_they_read(void)
{
    open_store((int64_t)(2 * one()));
    put_behind(1, 0, 0);
    put_behind(2, 1, 0);
    struct gw_response *r = gw_responses_find(s, 0, 2, true, 1);
    CHECK(gw_responses_delete(s, 0, 1, 1) && r->before->output.text);
    gw_responses_limit(s, 0, TTL, 1);
    CHECK_INT(gw_responses_state(s).n, 0);
    CHECK(r->before->output.n_text == TEXT && r->output.n_text == TEXT);
    gw_responses_put(s, made(0, 3, TEXT, r), 1); /* goes on from what is gone */
    CHECK(!there(0, 3, false, 1));
    close_store();
}

static void reading_has_a_bound(void)
{
    open_store(1000);
    CHECK(gw_responses_read(s, 3000) && gw_responses_read(s, 1000) && !gw_responses_read(s, 1));
    gw_responses_unread(s, 1000);
    CHECK(gw_responses_read(s, 1) && !gw_responses_read(s, SIZE_MAX));
    gw_responses_unread(s, 3001);
    close_store();
}

static void many_are_found(void)
{
    open_store(1 << 30);
    for (uint64_t i = 1; i <= 1000; i++)
        gw_responses_put(s, made(0, i * 64, 1, NULL), 0);
    gw_responses_put(s, made(0, 64, 1, NULL), 0); /* a number that is taken */
    CHECK_INT(gw_responses_state(s).n, 1000);
    for (uint64_t i = 1; i <= 1000; i++)
        CHECK(there(0, i * 64, true, 1));
    close_store();
}

static void spans_name_their_items(void)
{
    struct gw_spans spans = { .text = tg_strdup("[{\"id\":\"a\"}]"), .n_text = 12 };
    for (size_t i = 0; i < 100; i++)
        CHECK(gw_spans_add(&spans, (struct gw_span){ 1, 10, 8, 1 }) == TG_OK);
    CHECK(tg_str_eq(gw_span_text(&spans, 99), TG_STR("{\"id\":\"a\"}")));
    CHECK(tg_str_eq(gw_span_id(&spans, 0), TG_STR("a")));
    gw_spans_free(&spans);
}

static void failing_allocations(void)
{
    for (uint64_t nth = 1; nth <= 3; nth++) {
        tg_alloc_fail_nth(nth);
        struct gw_responses *store = gw_responses_new(1 << 20, TTL);
        struct gw_response *r = store ? gw_response_new(NULL) : NULL;
        CHECK(!store == (nth <= 2) && !r);
        tg_alloc_fail_nth(0);
        gw_responses_free(store);
    }
    struct gw_spans spans = { 0 };
    tg_alloc_fail_nth(1);
    CHECK(gw_spans_add(&spans, (struct gw_span){ 0 }) == TG_NOMEM && spans.n == 0);
    open_store(1 << 20);
    for (uint64_t i = 1; i <= 64; i++)
        put_behind(i, 0, 0);
    struct gw_response *r = made(0, 65, 1, NULL);
    tg_alloc_fail_nth(1); /* the table cannot grow */
    gw_responses_put(s, r, 0);
    tg_alloc_fail_nth(0);
    CHECK(there(0, 65, true, 0) && there(0, 1, true, 0));
    close_store();
}

/* Of the place that an owner needs: then nothing of it is kept, and nothing else is lost. */
static void failing_allocations_of_owners(void)
{
    open_store(1 << 20);
    for (uint64_t owner = 0; owner < 17; owner++) {
        bool grows = owner % 16 == 0;
        for (uint64_t nth = 1; nth <= 1 + (uint64_t)grows; nth++) {
            struct gw_response *r = made(owner, owner + 1, TEXT, NULL);
            tg_alloc_fail_nth(nth);
            gw_responses_put(s, r, 0);
            tg_alloc_fail_nth(0);
            CHECK(!there(owner, owner + 1, true, 0));
        }
        gw_responses_put(s, made(owner, owner + 1, TEXT, NULL), 0);
        CHECK(there(owner, owner + 1, true, 0));
        CHECK_INT(gw_responses_state(s).bytes, (owner + 1) * one());
    }
    close_store();
}

enum { THREADS = 4, TURNS = 400 };
static atomic_int found;

static void *worker(void *arg)
{
    uint64_t base = (uint64_t)(uintptr_t)arg * 1000 + 1000, before = 0;
    uint64_t owner = (uint64_t)(uintptr_t)arg / 2; /* of two threads each */
    for (uint64_t i = 0; i < TURNS; i++) {
        struct gw_response *b = gw_responses_find(s, owner, before, true, 0);
        size_t bytes = 0;
        for (struct gw_response *r = b; r; r = r->before)
            bytes += r->output.text ? (size_t)r->output.text[0] + r->output.n_text : 0;
        atomic_fetch_add(&found, bytes > 0);
        struct gw_response *r = gw_response_new(b);
        if (!r)
            break;
        r->owner = owner;
        r->number = base + i;
        r->output.text = tg_calloc(TEXT, 1);
        r->output.n_text = TEXT;
        gw_responses_put(s, r, 0);
        if (i % 7 == 0)
            gw_responses_delete(s, owner, base + i, 0);
        before = i % 5 == 4 ? 0 : base + i;
    }
    return NULL;
}

static void threads(void)
{
    pthread_t thread[THREADS];
    open_store((int64_t)(20 * one()));
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&thread[i], NULL, worker, (void *)(uintptr_t)i) == 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    CHECK(atomic_load(&found) > TURNS);
    CHECK(gw_responses_state(s).bytes <= 20 * one());
    close_store();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(owners_do_not_see_each_other),
        CASE(the_least_recently_used_goes_first),
        CASE(one_owner_cannot_evict_the_others),
        CASE(shares_follow_what_happens),
        CASE(age_counts_from_the_last_use),
        CASE(conversations_go_from_their_newest_end),
        CASE(a_deleted_part_ends_what_goes_on_from_it),
        CASE(readers_keep_what_they_read),
        CASE(reading_has_a_bound),
        CASE(many_are_found),
        CASE(spans_name_their_items),
        CASE(failing_allocations),
        CASE(failing_allocations_of_owners),
        CASE(threads),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
