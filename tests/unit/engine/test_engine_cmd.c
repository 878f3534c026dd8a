/* The chat and bench commands as a person runs them: each in a process of its own, with its streams
 * on pipes or on a pseudo-terminal. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/base/json.h"
#include "local_engine/engine.h"
#include "tests/unit/check.h"

#define MODEL TG_SOURCE_DIR "/tests/golden/tiny-dense-Q8_0.gguf"

enum { OUT_MAX = 1 << 16, WAIT_MS = 60000 };

struct child {
    pid_t pid;
    int in, out, err; /* our ends; with a terminal in == out */
    char text[OUT_MAX], error[OUT_MAX];
    size_t n_text, n_error;
};

static struct child child;
static int unwritable = -1; /* the next child's standard output instead of a pipe */

static void become(const char *const *args)
{
    char **argv = (char **)(uintptr_t)args; /* neither command writes to them */
    int argc = 0;
    while (argv[argc])
        argc++;
    int status = strcmp(argv[0], "bench") == 0 ? le_cmd_bench(argc, argv) : le_cmd_chat(argc, argv);
    fflush(NULL);
    _exit(status);
}

static void start(const char *const *argv, bool terminal)
{
    int in[2], out[2], err[2];
    CHECK_INT(pipe(err), 0);
    if (terminal) {
        in[1] = out[0] = posix_openpt(O_RDWR | O_NOCTTY);
        if (in[1] < 0)
            CHECK_SKIP("no pseudo-terminal can be had here (is /dev/pts mounted?)");
        CHECK(grantpt(in[1]) == 0 && unlockpt(in[1]) == 0);
    } else {
        CHECK_INT(pipe(in), 0);
        CHECK_INT(pipe(out), 0);
    }
    child = (struct child){ .in = in[1], .out = out[0], .err = err[0] };
    child.pid = fork();
    CHECK(child.pid >= 0);
    if (child.pid == 0) {
        if (terminal) {
            setsid(); /* so that the terminal becomes ours, and Ctrl-C a signal */
            in[0] = out[1] = open(ptsname(in[1]), O_RDWR);
        }
        dup2(in[0], 0);
        dup2(unwritable >= 0 ? unwritable : out[1], 1);
        dup2(err[1], 2);
        close(in[1]);
        close(err[0]);
        become(argv);
    }
    close(err[1]);
    if (!terminal) {
        close(in[0]);
        close(out[1]);
    }
}

static bool drain(int fd, short events, char *text, size_t *n)
{
    if (!events)
        return true;
    ssize_t got = read(fd, text + *n, OUT_MAX - 1 - *n);
    if (got <= 0) /* a terminal ends with EIO */
        return false;
    *n += (size_t)got;
    text[*n] = '\0';
    return true;
}

/* Reads until wanted is in the error text (NULL: until both streams end). False when time runs out
 * or the streams end first. */
static bool wait_for(const char *wanted)
{
    bool open_out = true, open_err = true;
    while (open_out || open_err) {
        if (wanted && strstr(child.error, wanted))
            return true;
        struct pollfd fds[2] = { { .fd = open_out ? child.out : -1, .events = POLLIN },
                                 { .fd = open_err ? child.err : -1, .events = POLLIN } };
        if (poll(fds, 2, WAIT_MS) <= 0)
            return false;
        open_out = open_out && drain(child.out, fds[0].revents, child.text, &child.n_text);
        open_err = open_err && drain(child.err, fds[1].revents, child.error, &child.n_error);
    }
    return wanted ? strstr(child.error, wanted) != NULL : true;
}

static void type(const char *text)
{
    CHECK_INT(write(child.in, text, strlen(text)), strlen(text));
}

/* The exit status. */
static int finish(bool terminal)
{
    int status = 0;
    if (!terminal)
        close(child.in);
    if (!wait_for(NULL)) {
        kill(child.pid, SIGKILL);
        CHECK_FAIL("it did not end: %s%s", child.text, child.error);
    }
    waitpid(child.pid, &status, 0);
    close(child.out);
    close(child.err);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void wrong_options(void)
{
    static const struct {
        const char *argv[8];
        int status;
        const char *says;
    } table[] = {
        { { "chat", "x" }, 2, "--model FILE" },
        { { "chat", "--bogus" }, 2, "unknown option --bogus" },
        { { "chat", "-m", MODEL, "--temperature", "2.5", "x" }, 2, "--temperature is \"2.5\"" },
        { { "chat", "-m", MODEL, "--temperature", "nan", "x" }, 2, "from 0 to 2" },
        { { "chat", "-m", MODEL, "--seed=-1", "x" }, 2, "whole number" },
        { { "chat", "-m", MODEL, "--device", "tpu", "x" }, 2, "cpu, vulkan or auto" },
        { { "chat", "-m", MODEL, "--precision", "low", "x" }, 2, "exact, fast or auto" },
        { { "chat", "-m", MODEL, "--threads", "0", "x" }, 2, "from 1 to 512" },
        { { "chat", "-m", MODEL, "--think=1", "x" }, 2, "no value" },
        { { "chat", "-m", MODEL, "--seed" }, 2, "missing after --seed" },
        { { "chat", "-m", MODEL, "a", "b" }, 2, "only one file or text" },
        { { "chat", "-m", "none.gguf", "x" }, 1, "none.gguf" },
        { { "chat", "-m", MODEL, "--context", "4", "hello" }, 1, "--context N" },
        { { "bench" }, 2, "--model FILE" },
        { { "bench", "-m", MODEL, "x" }, 2, "no option: x" },
        { { "bench", "-m", MODEL, "-r", "0" }, 2, "from 1 to 100" },
        { { "bench", "-m", MODEL, "-p", "0", "-n", "0" }, 2, "nothing to measure" },
        { { "bench", "-m", MODEL, "-p", "100000" }, 1, "a context of 100001" },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        start(table[i].argv, false);
        CHECK_INT(finish(false), table[i].status);
        CHECK_STR(child.text, "");
        if (!strstr(child.error, table[i].says))
            CHECK_FAIL("\"%s\" does not say \"%s\"", child.error, table[i].says);
    }
}

static void help(void)
{
    static const char *const chat[] = { "chat", "--help", NULL };
    static const char *const bench[] = { "bench", "-h", NULL };
    start(chat, false);
    CHECK_INT(finish(false), 0);
    CHECK(strstr(child.text, "--temperature") && strstr(child.text, "Ctrl-C"));
    start(bench, false);
    CHECK_INT(finish(false), 0);
    CHECK(strstr(child.text, "--repetitions"));
}

/* A prompt as an argument and the same on standard input: with one seed, one answer. */
static void prompts(void)
{
    static const char *const by_argument[] = {
        "chat", "-m", MODEL, "--device", "cpu", "--max-tokens", "12", "--seed", "7", "Hello there",
        NULL
    };
    static const char *const by_stdin[] = { "chat", "-m", MODEL, "--device=cpu",
                                            "--max-tokens=12", "--seed=7", NULL };
    char first[OUT_MAX];
    start(by_argument, false);
    CHECK_INT(finish(false), 0);
    CHECK(child.n_text > 1 && strstr(child.error, "answer: 12 tokens") &&
          strstr(child.error, "mean token probability 0."));
    memcpy(first, child.text, sizeof(first));
    start(by_stdin, false);
    type("Hello there\n");
    CHECK_INT(finish(false), 0);
    CHECK_STR(child.text, first);
    start(by_stdin, false);
    CHECK_INT(finish(false), 1);
    CHECK(strstr(child.error, "standard input is empty"));
}

/* A conversation on a terminal. */
static void conversation(void)
{
    static const char *const argv[] = {
        "chat", "-m", MODEL, "--device", "cpu", "--seed", "1", "--max-tokens", "5", NULL
    };
    start(argv, true);
    CHECK(wait_for("> "));
    type("hello\n");
    CHECK(wait_for("; answer: 5 tokens"));
    child.n_error = 0;
    child.error[0] = '\0';
    type("and again\n");
    CHECK(wait_for("; answer: 5 tokens"));
    CHECK(!strstr(child.error, "prompt: 18 tokens")); /* the first turn is in the prompt */
    type("/clear\n");
    type("hello\n");
    CHECK(wait_for("prompt: 18 tokens"));
    type("\x03"); /* no answer is under way: quits */
    CHECK_INT(finish(true), 0);
}

static void interrupted(void)
{
    static const char *const argv[] = {
        "chat", "-m", MODEL, "--device", "cpu", "--temperature", "0", "--seed", "1", "count", NULL
    };
    start(argv, true);
    struct pollfd fd = { .fd = child.out, .events = POLLIN };
    CHECK_INT(poll(&fd, 1, WAIT_MS), 1); /* text has begun */
    CHECK_INT(kill(child.pid, SIGINT), 0);
    /* The answer cannot have ended: the terminal holds less than its 4096 tokens, none was read. */
    CHECK_INT(finish(true), 130);
    CHECK(strstr(child.error, "cancelled") && strstr(child.error, "mean token probability"));
    static const char *const reading[] = { "chat", "-m", MODEL, "--device", "cpu", NULL };
    start(reading, false); /* the prompt comes from a pipe that stays open */
    type("half of a pro");
    poll(NULL, 0, 1000); /* past loading, or a plain SIGINT would end it: no harm then */
    CHECK_INT(kill(child.pid, SIGINT), 0);
    CHECK(wait_for(NULL));
    int status = finish(false);
    CHECK(status == 130 || status == -1);
    CHECK_STR(child.text, "");
}

static void bench_json(void)
{
    static const char *const argv[] = {
        "bench", "-m", MODEL, "--device", "cpu", "-p", "40", "-n", "5", "-r", "2", "--json", NULL
    };
    struct tg_json *root = NULL;
    struct tg_str name;
    double mean = 0;
    start(argv, false);
    CHECK_INT(finish(false), 0);
    struct tg_error err = { .text = "" };
    if (tg_json_parse((struct tg_str){ child.text, child.n_text }, &root, &err))
        CHECK_FAIL("%s: %s", err.text, child.text);
    CHECK_INT(tg_json_count(root), 2);
    const struct tg_json *pp = tg_json_first(root), *tg = tg_json_next(pp);
    CHECK(tg_json_string(tg_json_get(pp, "test"), &name) && tg_str_eq(name, TG_STR("pp40")));
    CHECK(tg_json_string(tg_json_get(tg, "test"), &name) && tg_str_eq(name, TG_STR("tg5")));
    CHECK(tg_json_number(tg_json_get(tg, "mean"), &mean) && mean > 0);
    CHECK_INT(tg_json_count(tg_json_get(pp, "samples")), 2);
    tg_json_free(root);
}

/* Generation reads every weight but the tables' other rows and the experts that are not used (the
 * numbers were summed by gguf-py); layers that share keys and values read another's. */
static void bench_bytes_of_a_token(void)
{
    static const struct {
        const char *model;
        double bytes;
    } want[] = { { TG_SOURCE_DIR "/tests/golden/tiny-e-Q4_0.gguf", 2719996 },
                 { TG_SOURCE_DIR "/tests/golden/tiny-moe-Q4_0.gguf", 1656268 } };
    for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
        const char *const argv[] = {
            "bench", "-m", want[i].model, "--device=cpu", "--precision=exact", "-t=1", "-p=0",
            "-n=3", "-d=4", "-r=3", "--json", NULL
        };
        struct tg_json *root = NULL;
        struct tg_str test, precision;
        double bytes = 0, gb = 0, mean = 0, median = 0, threads = 0;
        start(argv, false);
        CHECK_INT(finish(false), 0);
        struct tg_error err = { .text = "" };
        if (tg_json_parse((struct tg_str){ child.text, child.n_text }, &root, &err))
            CHECK_FAIL("%s: %s", err.text, child.text);
        const struct tg_json *tg = tg_json_first(root);
        CHECK(tg_json_string(tg_json_get(tg, "test"), &test) &&
              tg_json_string(tg_json_get(tg, "precision"), &precision));
        CHECK(tg_str_eq(test, TG_STR("tg3 @ d4")) && tg_str_eq(precision, TG_STR("exact")));
        CHECK(tg_json_number(tg_json_get(tg, "weight_bytes_per_token"), &bytes) &&
              tg_json_number(tg_json_get(tg, "gb_per_s"), &gb) &&
              tg_json_number(tg_json_get(tg, "mean"), &mean) &&
              tg_json_number(tg_json_get(tg, "median"), &median) &&
              tg_json_number(tg_json_get(tg, "threads"), &threads));
        tg_json_free(root);
        CHECK_INT(bytes, want[i].bytes);
        CHECK_INT(threads, 1);
        CHECK_NEAR(gb, bytes * mean / 1e9, 0.01 * gb + 0.001);
        CHECK(median > 0);
    }
}

static void bench_table(void)
{
    static const char *const argv[] = {
        "bench", "-m", MODEL, "--device", "cpu", "-p", "0", "-n", "4", "-r", "1", NULL
    };
    start(argv, false);
    CHECK_INT(finish(false), 0);
    CHECK(strstr(child.text, "| model ") && strstr(child.text, "tg4 |"));
    CHECK(!strstr(child.text, "pp"));
    CHECK(strstr(child.text, "2.47 MiB") && strstr(child.text, "2.43 M"));
}

/* A full disk is no success. */
static void unwritable_output(void)
{
    static const char *const table[][10] = {
        { "bench", "-m", MODEL, "--device=cpu", "-p=4", "-n=4", "-r=1", NULL },
        { "bench", "-m", MODEL, "--device=cpu", "-p=4", "-n=4", "-r=1", "--json", NULL },
        { "chat", "-m", MODEL, "--device=cpu", "--max-tokens=4", "hello", NULL },
    };
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    CHECK(full >= 0);
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        unwritable = full;
        start(table[i], false);
        unwritable = -1;
        CHECK_INT(finish(false), 1);
        if (!strstr(child.error, "standard output cannot be written"))
            CHECK_FAIL("%s: %s", table[i][0], child.error);
    }
    close(full);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(wrong_options), CASE(help), CASE(prompts), CASE(conversation), CASE(interrupted),
        CASE(bench_json), CASE(bench_bytes_of_a_token), CASE(bench_table), CASE(unwritable_output),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
