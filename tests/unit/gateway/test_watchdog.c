/* The watchdog over a real loop: what holds it up is told, what only seems to is not. */
#include "gateway/loop.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "config/base/log.h"
#include "tests/unit/check.h"

enum { MS = 1000000, LAG_MS = 60, STUCK_MS = 300, TICK_MS = 10 };

static const struct gw_watchdog_options quick = { .tick_ms = TICK_MS, .lag_ms = LAG_MS,
                                                  .stuck_ms = STUCK_MS };

static struct bench {
    struct gw_loop *loop;
    struct gw_timer *timer, *end;
    int hold_ms, spin_ms; /* what the next timer does */
    int times;
    int64_t held_ns; /* the longest turn that was told */
    uint64_t turns;
    int log_fd;
} b;

static void sleep_ms(int ms)
{
    struct timespec t = { ms / 1000, (long)(ms % 1000) * MS };
    while (nanosleep(&t, &t) != 0)
        ;
}

static void on_end(void *arg)
{
    (void)arg;
    gw_loop_stop(b.loop);
}

static void on_timer(void *arg)
{
    (void)arg;
    int64_t until = tg_turn_cpu_ns() + (int64_t)b.spin_ms * MS;
    tg_turn_mark("a test");
    if (b.hold_ms)
        sleep_ms(b.hold_ms);
    while (b.spin_ms && tg_turn_cpu_ns() < until)
        ;
    if (--b.times > 0)
        gw_timer_set(b.timer, 1);
    else
        gw_timer_set(b.end, 20);
}

static void on_turn(void *arg, int64_t held_ns)
{
    CHECK(arg == &b);
    b.turns++;
    if (held_ns > b.held_ns)
        b.held_ns = held_ns;
}

static void set_up(void)
{
    struct tg_error err = { .text = "" };
    char name[] = "/tmp/tollgate-watchdog-XXXXXX";
    b = (struct bench){ .times = 1 };
    b.log_fd = mkstemp(name);
    CHECK(b.log_fd >= 0);
    unlink(name);
    tg_log_set_fd(b.log_fd);
    b.loop = gw_loop_new(&err);
    CHECK(b.loop && gw_loop_guard(b.loop, &quick, &err) == TG_OK);
    b.timer = gw_timer_new(b.loop, on_timer, NULL);
    b.end = gw_timer_new(b.loop, on_end, NULL);
    CHECK(b.timer && b.end);
    gw_loop_on_turn(b.loop, on_turn, &b);
}

/* The log so far. */
static const char *lines(void)
{
    static char text[1 << 16];
    ssize_t n = pread(b.log_fd, text, sizeof(text) - 1, 0);
    CHECK(n >= 0);
    text[n] = '\0';
    return text;
}

static int count(const char *what)
{
    int n = 0;
    for (const char *at = lines(); (at = strstr(at, what)); at++)
        n++;
    return n;
}

static void tear_down(void)
{
    gw_timer_free(b.timer);
    gw_timer_free(b.end);
    gw_loop_free(b.loop);
    tg_log_set_fd(2);
    close(b.log_fd);
}

static void run(void)
{
    gw_timer_set(b.timer, 1);
    gw_loop_run(b.loop);
}

static void a_long_turn_is_told_at_its_end(void)
{
    set_up();
    b.hold_ms = 150;
    run();
    struct gw_watchdog_counts counts = gw_loop_counts(b.loop);
    CHECK(counts.lags >= 1);
    CHECK(b.held_ns >= 100 * MS);
    CHECK_INT(count("\"event\":\"loop-lag\""), 1);
    CHECK(strstr(lines(), "in 2 steps; at: a test"));
    CHECK(b.turns >= 2);
    tear_down();
}

static void short_turns_are_not(void)
{
    set_up();
    b.times = 20;
    run();
    CHECK(b.turns >= 21);
    CHECK(b.held_ns >= 0);
    if (gw_loop_counts(b.loop).lags == 0) /* a busy machine may hold anybody up */
        CHECK_INT(count("loop-"), 0);
    tear_down();
}

static void what_does_not_end_is_told_while_it_lasts(void)
{
    set_up();
    b.hold_ms = STUCK_MS + 300;
    run();
    struct gw_watchdog_counts counts = gw_loop_counts(b.loop);
    CHECK_INT(counts.stalls, 1);
    CHECK(counts.lags >= 1);
    CHECK_INT(count("\"event\":\"loop-stuck\""), 1); /* once */
    CHECK_INT(count("\"event\":\"loop-lag\""), 1);   /* and its end */
    CHECK(strstr(strstr(lines(), "loop-stuck"), "loop-lag"));
    tear_down();
}

static void lags_are_told_seldom_and_counted(void)
{
    set_up();
    b.hold_ms = LAG_MS + 20;
    b.times = 4;
    run();
    CHECK(gw_loop_counts(b.loop).lags >= 4);
    CHECK_INT(count("\"event\":\"loop-lag\""), 1);
    tear_down();
}

/* Waiting for events is no turn, however long. */
static void an_idle_loop_lags_nothing(void)
{
    set_up();
    gw_timer_set(b.end, 200);
    gw_loop_run(b.loop);
    CHECK(b.turns <= 2);
    CHECK(b.held_ns < 150 * MS);
    tear_down();
}

/* Voluntary context switches of all threads of this process but the calling one. */
static long switches(void)
{
    char path[64], line[256];
    long sum = 0, n;
    DIR *dir = opendir("/proc/self/task");
    CHECK(dir);
    for (struct dirent *at; (at = readdir(dir));) {
        long id = strtol(at->d_name, NULL, 10);
        if (id == 0 || id == (long)getpid())
            continue;
        snprintf(path, sizeof(path), "/proc/self/task/%ld/status", id);
        FILE *task = fopen(path, "r");
        while (task && fgets(line, sizeof(line), task))
            if (sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1)
                sum += n;
        if (task)
            fclose(task);
    }
    closedir(dir);
    return sum;
}

static long idle_from;

static void on_quiet(void *arg)
{
    (void)arg;
    idle_from = switches();
}

/* After a while without turns the thread sleeps until there is one. */
static void an_idle_process_is_not_woken(void)
{
    set_up();
    struct gw_timer *quiet = gw_timer_new(b.loop, on_quiet, NULL);
    run();
    long busy = switches();
    gw_timer_set(quiet, 600);
    gw_timer_set(b.end, 1800);
    gw_loop_run(b.loop);
    long idle = switches() - idle_from;
    CHECK(busy >= 1);
    /* the turn of on_quiet woke it: it looked for QUIET_TICKS and slept; in 1.2 s of
     * ticks that would be 120 */
    CHECK(idle <= 40);
    CHECK(b.loop);
    gw_timer_free(quiet);
    b.hold_ms = LAG_MS + 40; /* and it wakes in time */
    b.times = 1;
    run();
    CHECK(gw_loop_counts(b.loop).lags >= 1);
    CHECK(strstr(lines(), "at: a test"));
    tear_down();
}

/* A child is stopped in the middle of a turn: the time does not count. */
static void a_stopped_process_lags_nothing(void)
{
    enum { STOP_MS = 1000 };
    int told[2], status = 0;
    int64_t held = -1;
    CHECK(pipe(told) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        set_up();
        b.spin_ms = 40;
        int64_t begin = tg_mono_ns();
        run();
        bool stopped = tg_mono_ns() - begin > (int64_t)STOP_MS * MS;
        int64_t out = stopped ? b.held_ns : -2;
        ssize_t written = write(told[1], &out, sizeof(out));
        _exit(written == sizeof(out) && gw_loop_counts(b.loop).stalls == 0 &&
              count("loop-stuck") == 0 ? 0 : 1);
    }
    sleep_ms(25);
    kill(child, SIGSTOP);
    sleep_ms(STOP_MS);
    kill(child, SIGCONT);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(read(told[0], &held, sizeof(held)) == sizeof(held));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(told[0]);
    close(told[1]);
    if (held == -2)
        CHECK_SKIP("the child was not stopped in time");
    CHECK(held < (int64_t)STOP_MS * MS / 2);
}

static void without_a_watchdog_or_memory(void)
{
    struct tg_error err = { .text = "" };
    struct gw_loop *loop = gw_loop_new(&err);
    CHECK(loop);
    CHECK_INT(gw_loop_counts(loop).lags + gw_loop_counts(loop).stalls, 0);
    tg_alloc_fail_nth(1);
    CHECK_INT(gw_loop_guard(loop, NULL, &err), TG_NOMEM);
    tg_alloc_fail_nth(0);
    CHECK_INT(gw_loop_guard(loop, NULL, &err), TG_OK);
    tg_turn_mark("nobody's");
    gw_loop_free(loop);
    gw_watchdog_free(NULL);
}

/* Stopped from within, and run again. */
static void a_loop_runs_again(void)
{
    set_up();
    run();
    b.times = 1;
    run();
    CHECK(b.turns >= 4);
    tear_down();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(a_long_turn_is_told_at_its_end),
        CASE(short_turns_are_not),
        CASE(what_does_not_end_is_told_while_it_lasts),
        CASE(lags_are_told_seldom_and_counted),
        CASE(an_idle_loop_lags_nothing),
        CASE(an_idle_process_is_not_woken),
        CASE(a_stopped_process_lags_nothing),
        CASE(without_a_watchdog_or_memory),
        CASE(a_loop_runs_again),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
