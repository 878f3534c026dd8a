/* The memory of thoughts: bounds, age, failing allocations, two threads. */
#include "providers/local_memory.h"

#include <pthread.h>

#include "config/base/alloc.h"
#include "tests/unit/check.h"

enum { HOUR = 1000, CALLS = 4, BYTES = 4096 };

static const struct prov_memory_limits k_limits = { CALLS, BYTES, HOUR };

/* Call n of answer a. */
static struct tg_str id_of(char id[PROV_CALL_ID_MAX], uint64_t a, uint64_t n)
{
    prov_call_id(id, a, n);
    return tg_str_of(id);
}

static enum tg_status keep(struct prov_memory *m, uint64_t a, size_t n, struct tg_str text,
                           int64_t now)
{
    static char ids[CALLS + 1][PROV_CALL_ID_MAX];
    for (size_t i = 0; i < n; i++)
        prov_call_id(ids[i], a, i);
    return prov_memory_keep(m, (const char (*)[PROV_CALL_ID_MAX])ids, n, text, now);
}

/* want: NULL: nothing may be found. */
static void check_found(struct prov_memory *m, uint64_t a, uint64_t n, int64_t now,
                        const char *want)
{
    char id[PROV_CALL_ID_MAX];
    struct tg_arena *arena = tg_arena_new(BYTES);
    struct tg_str got;
    CHECK_INT(prov_memory_find(m, id_of(id, a, n), now, BYTES, arena, &got), TG_OK);
    CHECK_INT(got.n, want ? strlen(want) : 0);
    CHECK(!want || memcmp(got.p, want, got.n) == 0);
    tg_arena_free(arena);
}

static struct prov_memory *open_memory(void)
{
    struct prov_memory *m = prov_memory_new(&k_limits);
    CHECK(m);
    return m;
}

static void calls_share_a_thought(void)
{
    struct prov_memory *m = open_memory();
    CHECK_INT(prov_memory_bytes(m), 0);
    CHECK_INT(keep(m, 1, 3, TG_STR("because"), 0), TG_OK);
    size_t one = prov_memory_bytes(m);
    CHECK(one > 3 * PROV_CALL_ID_MAX + 7 && one < 3 * PROV_CALL_ID_MAX + 2 * 7 + 100);
    for (uint64_t n = 0; n < 3; n++)
        check_found(m, 1, n, 0, "because");
    check_found(m, 1, 3, 0, NULL);
    check_found(m, 2, 0, 0, NULL);
    struct tg_arena *arena = tg_arena_new(BYTES);
    struct tg_str got;
    char id[PROV_CALL_ID_MAX];
    CHECK_INT(prov_memory_find(m, (struct tg_str){ NULL, 0 }, 0, BYTES, arena, &got), TG_OK);
    CHECK_INT(got.n, 0);
    CHECK_INT(prov_memory_find(m, id_of(id, 1, 0), 0, 6, arena, &got), TG_OK);
    CHECK_INT(got.n, 0); /* a byte too long */
    CHECK_INT(prov_memory_find(m, id_of(id, 1, 0), 0, 7, arena, &got), TG_OK);
    prov_memory_free(m);
    CHECK(got.n == 7 && memcmp(got.p, "because", 7) == 0); /* a copy */
    tg_arena_free(arena);
}

static void calls_are_bounded(void)
{
    struct prov_memory *m = open_memory();
    CHECK_INT(keep(m, 9, CALLS + 1, TG_STR("x"), 0), TG_LIMIT);
    CHECK_INT(prov_memory_bytes(m), 0);
    CHECK_INT(keep(m, 1, 2, TG_STR("one"), 0), TG_OK);
    CHECK_INT(keep(m, 2, 2, TG_STR("two"), 0), TG_OK);
    CHECK_INT(keep(m, 3, 1, TG_STR("three"), 0), TG_OK);
    check_found(m, 1, 0, 0, NULL); /* the oldest, with all its calls */
    check_found(m, 1, 1, 0, NULL);
    check_found(m, 2, 1, 0, "two");
    check_found(m, 3, 0, 0, "three");
    CHECK_INT(keep(m, 4, CALLS, TG_STR("four"), 0), TG_OK);
    check_found(m, 2, 0, 0, NULL);
    check_found(m, 3, 0, 0, NULL);
    check_found(m, 4, CALLS - 1, 0, "four");
    prov_memory_free(m);
}

static void bytes_are_bounded(void)
{
    static char text[BYTES];
    struct prov_memory *m = open_memory();
    memset(text, 'x', sizeof(text));
    CHECK_INT(keep(m, 9, 1, (struct tg_str){ text, BYTES }, 0), TG_LIMIT); /* no room for the id */
    CHECK_INT(keep(m, 9, 1, (struct tg_str){ text, SIZE_MAX }, 0), TG_LIMIT);
    CHECK_INT(keep(m, 1, 1, (struct tg_str){ text, BYTES / 2 }, 0), TG_OK);
    CHECK_INT(keep(m, 2, 1, (struct tg_str){ text, BYTES / 4 }, 0), TG_OK);
    CHECK(prov_memory_bytes(m) <= BYTES);
    CHECK_INT(keep(m, 3, 1, (struct tg_str){ text, BYTES / 4 }, 0), TG_OK);
    CHECK(prov_memory_bytes(m) <= BYTES);
    check_found(m, 1, 0, 0, NULL);
    struct tg_arena *arena = tg_arena_new(2 * BYTES);
    struct tg_str got;
    char id[PROV_CALL_ID_MAX];
    for (uint64_t a = 2; a <= 3; a++) {
        CHECK_INT(prov_memory_find(m, id_of(id, a, 0), 0, BYTES, arena, &got), TG_OK);
        CHECK_INT(got.n, BYTES / 4);
    }
    tg_arena_free(arena);
    for (uint64_t a = 4; a < 1000; a++) {
        CHECK_INT(keep(m, a, 1 + a % CALLS, (struct tg_str){ text, a * 3 }, 0), TG_OK);
        CHECK(prov_memory_bytes(m) <= BYTES && prov_memory_bytes(m) > a * 3);
    }
    prov_memory_free(m);
}

static void old_thoughts_go(void)
{
    struct prov_memory *m = open_memory();
    CHECK_INT(keep(m, 1, 1, TG_STR("one"), 0), TG_OK);
    CHECK_INT(keep(m, 2, 1, TG_STR("two"), HOUR), TG_OK);
    check_found(m, 1, 0, HOUR, "one");
    size_t both = prov_memory_bytes(m);
    check_found(m, 1, 0, HOUR + 1, NULL);
    CHECK_INT(prov_memory_bytes(m), both / 2); /* freed, not only hidden */
    check_found(m, 2, 0, HOUR + 1, "two");
    CHECK_INT(keep(m, 3, 1, TG_STR("three"), 2 * HOUR + 1), TG_OK);
    check_found(m, 2, 0, 2 * HOUR + 1, NULL);
    check_found(m, 3, 0, 2 * HOUR + 1, "three");
    check_found(m, 3, 0, 9 * HOUR, NULL);
    CHECK_INT(prov_memory_bytes(m), 0);
    CHECK_INT(keep(m, 4, 1, TG_STR("four"), 9 * HOUR), TG_OK); /* empty, and in use again */
    check_found(m, 4, 0, 9 * HOUR, "four");
    prov_memory_free(m);
}

static void without_memory(void)
{
    tg_alloc_fail_nth(1);
    CHECK(!prov_memory_new(&k_limits));
    tg_alloc_fail_nth(0);
    struct prov_memory *m = open_memory();
    CHECK_INT(keep(m, 1, CALLS, TG_STR("one"), 0), TG_OK);
    tg_alloc_fail_nth(1);
    CHECK_INT(keep(m, 2, 1, TG_STR("two"), 0), TG_NOMEM);
    tg_alloc_fail_nth(0);
    check_found(m, 2, 0, 0, NULL);
    check_found(m, 1, 0, 0, "one"); /* nothing was dropped for it */
    struct tg_arena *arena = tg_arena_new(BYTES);
    struct tg_str got;
    char id[PROV_CALL_ID_MAX];
    tg_alloc_fail_nth(1);
    CHECK_INT(prov_memory_find(m, id_of(id, 1, 0), 0, BYTES, arena, &got), TG_NOMEM);
    CHECK(!got.p && got.n == 0);
    CHECK_INT(prov_memory_find(m, id_of(id, 1, 0), 0, BYTES, arena, &got), TG_OK);
    CHECK_INT(got.n, 3);
    tg_arena_free(arena);
    prov_memory_free(m);
    prov_memory_free(NULL);
}

enum { ROUNDS = 2000 };

static void *reader(void *arg)
{
    size_t wrong = 0;
    for (uint64_t a = 0; a < ROUNDS; a++) {
        char id[PROV_CALL_ID_MAX];
        struct tg_arena *arena = tg_arena_new(BYTES);
        struct tg_str got;
        if (!arena || prov_memory_find(arg, id_of(id, a, 0), 0, BYTES, arena, &got))
            wrong++;
        else
            wrong += got.n && (got.n != sizeof(a) || memcmp(got.p, &a, got.n) != 0);
        tg_arena_free(arena);
    }
    return wrong ? arg : NULL;
}

/* A worker prepares while the loop remembers. */
static void two_threads(void)
{
    struct prov_memory *m = open_memory();
    pthread_t thread;
    void *wrong;
    CHECK_INT(pthread_create(&thread, NULL, reader, m), 0);
    size_t failed = 0;
    for (uint64_t a = 0; a < ROUNDS; a++)
        failed += keep(m, a, 1, (struct tg_str){ (const char *)&a, sizeof(a) }, 0) != TG_OK;
    CHECK_INT(pthread_join(thread, &wrong), 0);
    CHECK(!wrong);
    CHECK_INT(failed, 0);
    prov_memory_free(m);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(calls_share_a_thought), CASE(calls_are_bounded), CASE(bytes_are_bounded),
        CASE(old_thoughts_go),       CASE(without_memory),    CASE(two_threads),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
