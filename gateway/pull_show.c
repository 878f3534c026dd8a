#include "gateway/pull_show.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "config/base/clock.h"

enum { DRAW_MS = 200, LINE_MS = 10000, SAMPLE_MS = 500, WIDTH = 80, BAR_MIN = 10, BAR_MAX = 40 };

#define MS INT64_C(1000000)

void gw_pull_size(char out[32], int64_t bytes)
{
    double n = (double)bytes;
    if (bytes >= INT64_C(1) << 30)
        snprintf(out, 32, "%.2f GiB", n / (1 << 30));
    else if (bytes >= 1 << 20)
        snprintf(out, 32, "%.1f MiB", n / (1 << 20));
    else
        snprintf(out, 32, "%lld bytes", (long long)bytes);
}

void gw_pull_show_init(struct gw_pull_show *s, bool quiet)
{
    *s = (struct gw_pull_show){ .quiet = quiet, .terminal = isatty(2) == 1, .name = "" };
}

void gw_pull_show_file(struct gw_pull_show *s, const char *name)
{
    gw_pull_show_end(s);
    s->name = name;
    s->rate = 0;
    s->sampled_ns = 0;
    s->drawn_ns = s->terminal ? 0 : tg_mono_ns(); /* the first line after ten seconds */
}

static void sample(struct gw_pull_show *s, int64_t done, int64_t now)
{
    if (s->sampled_ns == 0 || done < s->sampled) {
        s->sampled_ns = now;
        s->sampled = done;
        s->rate = 0;
        return;
    }
    if (now - s->sampled_ns < SAMPLE_MS * MS)
        return;
    double fresh = (double)(done - s->sampled) * 1e9 / (double)(now - s->sampled_ns);
    s->rate = s->rate > 0 ? 0.8 * s->rate + 0.2 * fresh : fresh;
    s->sampled_ns = now;
    s->sampled = done;
}

static int width(void)
{
    struct winsize size;
    return ioctl(2, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : WIDTH;
}

/* "1:07:09 left", or nothing where it cannot be told. */
static void time_left(char out[32], const struct gw_pull_show *s, int64_t done, int64_t total)
{
    out[0] = '\0';
    if (s->rate < 1 || total <= done)
        return;
    double seconds = (double)(total - done) / s->rate;
    if (seconds > 360000)
        return;
    int n = (int)seconds;
    if (n >= 3600)
        snprintf(out, 32, ", %d:%02d:%02d left", n / 3600, n / 60 % 60, n % 60);
    else
        snprintf(out, 32, ", %d:%02d left", n / 60, n % 60);
}

/* "43% 1.34 GiB of 3.12 GiB, 48.2 MiB/s, 0:37 left" */
static void describe(char out[160], const struct gw_pull_show *s, int64_t done, int64_t total)
{
    char have[32], all[32], rate[32] = "", left[32];
    gw_pull_size(have, done);
    gw_pull_size(all, total);
    time_left(left, s, done, total);
    if (s->rate > 0)
        snprintf(rate, sizeof(rate), ", %.1f MiB/s", s->rate / (1 << 20));
    if (total > 0)
        snprintf(out, 160, "%3d%% %s of %s%s%s", (int)((double)done * 100 / (double)total), have,
                 all, rate, left);
    else
        snprintf(out, 160, "%s%s", have, rate);
}

static const char *verb(enum prov_pull_phase phase)
{
    return phase == PROV_PULL_HASHING   ? "reading what is there: "
           : phase == PROV_PULL_STORING ? "storing: "
                                        : "";
}

static void draw(struct gw_pull_show *s, int64_t done, int64_t total)
{
    char text[160], bar[BAR_MAX + 1];
    describe(text, s, done, total);
    int room = width() - 1 - (int)(strlen(text) + strlen(s->name) + strlen(verb(s->phase)) + 6);
    int cells = room > BAR_MAX ? BAR_MAX : room;
    if (cells >= BAR_MIN && total > 0) {
        int full = (int)((double)done / (double)total * cells);
        memset(bar, '.', (size_t)cells);
        memset(bar, '#', (size_t)(full > cells ? cells : full));
        bar[cells] = '\0';
        fprintf(stderr, "\r\033[K%s%s [%s] %s", verb(s->phase), s->name, bar, text);
    } else {
        fprintf(stderr, "\r\033[K%s%.*s", verb(s->phase), width() - 1, text);
    }
    s->on_line = true;
}

void gw_pull_show_progress(struct gw_pull_show *s, enum prov_pull_phase phase, int64_t done,
                           int64_t total)
{
    int64_t now = tg_mono_ns();
    if (s->quiet || phase == PROV_PULL_WAITING)
        return;
    if (phase != s->phase)
        s->sampled_ns = 0;
    s->phase = phase;
    sample(s, done, now);
    bool last = s->terminal && total > 0 && done == total;
    if (!last && now - s->drawn_ns < (s->terminal ? DRAW_MS : LINE_MS) * MS)
        return;
    s->drawn_ns = now;
    if (s->terminal) {
        draw(s, done, total);
        return;
    }
    char text[160];
    describe(text, s, done, total);
    fprintf(stderr, "%s%s: %s\n", verb(phase), s->name, text);
}

/* Texts repeat what servers say; none may steer the terminal. */
static void put_plain(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        bool c1 = c[0] == 0xC2 && c[1] >= 0x80 && c[1] < 0xA0; /* U+0080 to U+009F */
        fputc(*c < 0x20 || *c == 0x7F || c1 ? '?' : *c, stderr);
        c += c1;
    }
}

void gw_pull_show_line(struct gw_pull_show *s, const char *prefix, const char *text)
{
    gw_pull_show_end(s);
    fputs(prefix, stderr);
    put_plain(text);
    fputc('\n', stderr);
}

void gw_pull_show_note(struct gw_pull_show *s, const char *text)
{
    if (s->quiet)
        gw_pull_show_end(s);
    else
        gw_pull_show_line(s, "", text);
}

void gw_pull_show_end(struct gw_pull_show *s)
{
    if (s->on_line)
        fputc('\n', stderr);
    s->on_line = false;
}
