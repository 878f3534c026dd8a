/* The test harness: a table of cases, each run in the order given, a failed check ends the case.
 *
 *   static void case_name(void) { CHECK(1 + 1 == 2); CHECK_INT(f(), 3); CHECK_STR(s, "x"); }
 *   int main(int argc, char **argv)
 *   {
 *       static const struct check_case cases[] = { CASE(case_name), ... };
 *       return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
 *   }
 *
 * Arguments: names of the cases to run; without any it runs all, but those named as -NAME. A name
 * that is no case fails. Exit 0: all passed; 1: one failed; 77: all were skipped
 * (CHECK_SKIP(reason)). */
#ifndef TESTS_UNIT_CHECK_H
#define TESTS_UNIT_CHECK_H

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct check_case {
    const char *name;
    void (*run)(void);
};

#define CASE(function) { #function, function }

__attribute__((weak)) jmp_buf check_jump; /* weak: one for all files of a test */

#define CHECK_FAIL(...)                                                                            \
    do {                                                                                           \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                            \
        fprintf(stderr, __VA_ARGS__);                                                              \
        fputc('\n', stderr);                                                                       \
        longjmp(check_jump, 1);                                                                    \
    } while (0)

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            CHECK_FAIL("not true: %s", #condition);                                                \
    } while (0)

#define CHECK_INT(got, want)                                                                       \
    do {                                                                                           \
        int64_t check_got = (int64_t)(got), check_want = (int64_t)(want);                          \
        if (check_got != check_want)                                                               \
            CHECK_FAIL("%s: got %" PRId64 ", want %" PRId64, #got, check_got, check_want);         \
    } while (0)

#define CHECK_STR(got, want)                                                                       \
    do {                                                                                           \
        const char *check_got = (got), *check_want = (want);                                       \
        if (!check_got || strcmp(check_got, check_want) != 0)                                      \
            CHECK_FAIL("%s: got \"%s\", want \"%s\"", #got, check_got ? check_got : "(null)",      \
                       check_want);                                                                \
    } while (0)

#define CHECK_NEAR(got, want, limit)                                                               \
    do {                                                                                           \
        double check_got = (double)(got), check_want = (double)(want);                             \
        if (!(fabs(check_got - check_want) <= (double)(limit)))                                    \
            CHECK_FAIL("%s: got %.9g, want %.9g within %g", #got, check_got, check_want,           \
                       (double)(limit));                                                           \
    } while (0)

#define CHECK_SKIP(reason)                                                                         \
    do {                                                                                           \
        fprintf(stderr, "skipped: %s\n", reason);                                                  \
        longjmp(check_jump, 2);                                                                    \
    } while (0)

/* setjmp's frame of its own, so that the counters of the caller are safe from longjmp. */
static inline int check_run(void (*run)(void))
{
    int outcome = setjmp(check_jump);
    if (outcome == 0)
        run();
    return outcome;
}

/* Whether the arguments ask for this case. named[a] is set where argument a means it. */
static inline bool check_wanted(const char *name, int argc, char **argv, bool *named)
{
    bool only = false, asked = false, left_out = false;
    for (int a = 1; a < argc; a++) {
        bool minus = argv[a][0] == '-', same = strcmp(argv[a] + minus, name) == 0;
        only = only || !minus;
        asked = asked || (!minus && same);
        left_out = left_out || (minus && same);
        named[a] = named[a] || same;
    }
    return !left_out && (asked || !only);
}

enum { CHECK_ARGS_MAX = 64 };

static inline int check_main(const struct check_case *cases, size_t n, int argc, char **argv)
{
    size_t passed = 0, failed = 0, skipped = 0;
    bool named[CHECK_ARGS_MAX] = { false };
    argc = argc < CHECK_ARGS_MAX ? argc : CHECK_ARGS_MAX;
    for (size_t i = 0; i < n; i++) {
        if (!check_wanted(cases[i].name, argc, argv, named))
            continue;
        int outcome = check_run(cases[i].run);
        if (outcome == 0) {
            passed++;
        } else if (outcome == 2) {
            skipped++;
        } else {
            fprintf(stderr, "FAILED %s\n", cases[i].name);
            failed++;
        }
    }
    for (int a = 1; a < argc; a++)
        if (!named[a]) {
            fprintf(stderr, "no case is named %s\n", argv[a]);
            failed++;
        }
    fprintf(stderr, "%zu passed, %zu failed, %zu skipped\n", passed, failed, skipped);
    return failed ? 1 : passed == 0 && skipped > 0 ? 77 : 0;
}

#endif
