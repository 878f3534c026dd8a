#include "local_engine/cmd_bar.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "config/base/clock.h"
#include "local_engine/plan.h"

enum { WIDTH = 80, CELLS_MAX = 40, CELLS_MIN = 4, DRAW_NS = 100 * 1000 * 1000, TEXT_BYTES = 160 };

struct le_bar le_bar_new(const char *what, const char *unit)
{
    return (struct le_bar){ .what = what, .unit = unit, .terminal = isatty(STDERR_FILENO) == 1,
                            .begun_ns = tg_mono_ns() };
}

static int terminal_width(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : WIDTH;
}

/* " 43% 7.4 GiB of 17.2 GiB, 1.1 GiB/s" */
static void describe(char out[TEXT_BYTES], const struct le_bar *b, uint64_t done, uint64_t total)
{
    char have[LE_SIZE_TEXT], all[LE_SIZE_TEXT], each[LE_SIZE_TEXT];
    double seconds = (double)(tg_mono_ns() - b->begun_ns) / 1e9;
    double rate = seconds > 0 ? (double)done / seconds : 0;
    int percent = total ? (int)(100.0 * (double)done / (double)total) : 0;
    if (b->unit)
        snprintf(out, TEXT_BYTES, "%3d%% %llu of %llu %s, %.1f/s", percent,
                 (unsigned long long)done, (unsigned long long)total, b->unit, rate);
    else
        snprintf(out, TEXT_BYTES, "%3d%% %s of %s, %s/s", percent, le_size_text(have, done),
                 le_size_text(all, total), le_size_text(each, (uint64_t)rate));
}

void le_bar_show(void *arg, uint64_t done, uint64_t total)
{
    struct le_bar *b = arg;
    char text[TEXT_BYTES], bar[CELLS_MAX + 1];
    int64_t now = tg_mono_ns();
    if (!b->terminal || (now - b->drawn_ns < DRAW_NS && done != total))
        return;
    b->drawn_ns = now;
    describe(text, b, done, total);
    int width = terminal_width() - 1;
    int cells = width - (int)(strlen(text) + strlen(b->what)) - 4;
    cells = cells > CELLS_MAX ? CELLS_MAX : cells;
    if (cells >= CELLS_MIN && total > 0) {
        int full = (int)((double)done / (double)total * cells);
        memset(bar, '.', (size_t)cells);
        memset(bar, '#', (size_t)(full > cells ? cells : full));
        bar[cells] = '\0';
        fprintf(stderr, "\r\033[K%s [%s] %s", b->what, bar, text);
    } else {
        fprintf(stderr, "\r\033[K%.*s", width, text);
    }
    fflush(stderr);
    b->on_line = true;
}

void le_bar_clear(struct le_bar *b)
{
    if (b->on_line)
        fputs("\r\033[K", stderr);
    b->on_line = false;
}
