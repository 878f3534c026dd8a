/* The bar of loading: drawn on a terminal, never elsewhere. */
#include "tests/unit/check.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "local_engine/cmd_bar.h"

static char seen[4096];

/* Reads until the bar has been taken off its line, or nothing has come for a while: a terminal
 * hands on what is written in pieces. */
static void collect(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    size_t n = 0;
    seen[0] = '\0';
    while (n < sizeof(seen) - 1 && poll(&p, 1, n ? 5000 : 500) == 1) {
        ssize_t got = read(fd, seen + n, sizeof(seen) - 1 - n);
        if (got <= 0)
            return;
        n += (size_t)got;
        seen[n] = '\0';
        if (n >= 4 && strcmp(seen + n - 4, "\r\033[K") == 0 && strstr(seen, "100%"))
            return;
    }
}

/* What fd shows of a bar that is drawn with standard error on `to`. */
static void draw(int to, int fd, const char *unit, uint64_t total)
{
    int old = dup(STDERR_FILENO);
    fflush(stderr);
    CHECK(old >= 0 && dup2(to, STDERR_FILENO) >= 0);
    struct le_bar bar = le_bar_new("loading", unit);
    le_bar_show(&bar, total / 2, total);
    le_bar_show(&bar, total / 2 + 1, total); /* too soon */
    le_bar_show(&bar, total, total);
    le_bar_clear(&bar);
    le_bar_clear(&bar);
    fflush(stderr);
    dup2(old, STDERR_FILENO);
    close(old);
    collect(fd);
}

static uint32_t count(const char *what)
{
    uint32_t n = 0;
    for (const char *p = seen; (p = strstr(p, what)); p++)
        n++;
    return n;
}

static void on_a_terminal(void)
{
    const struct winsize size = { .ws_col = 100, .ws_row = 20 };
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    CHECK(slave >= 0 && ioctl(slave, TIOCSWINSZ, &size) == 0);
    draw(slave, master, NULL, (uint64_t)4 << 30);
    CHECK_INT(count("loading ["), 2);
    CHECK(strstr(seen, "####....") && strstr(seen, " 50% 2.0 GiB of 4.0 GiB, "));
    CHECK(strstr(seen, "100% 4.0 GiB of 4.0 GiB, "));
    CHECK_STR(seen + strlen(seen) - 4, "\r\033[K");
    draw(slave, master, "tokens", 1000);
    CHECK(strstr(seen, "100% 1000 of 1000 tokens, ") && strstr(seen, "/s"));
    close(slave);
    close(master);
}

static void elsewhere(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0 && fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    draw(ends[1], ends[0], NULL, 1 << 20);
    CHECK_STR(seen, "");
    close(ends[0]);
    close(ends[1]);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = { CASE(on_a_terminal), CASE(elsewhere) };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
