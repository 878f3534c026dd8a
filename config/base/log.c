#include "config/base/log.h"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/buf.h"
#include "config/base/clock.h"

enum { LOG_SECRETS_MAX = 64, LOG_TEXT_MAX = 4096 };
enum { LOG_LINE_MAX = 6 * LOG_TEXT_MAX + 512 }; /* all of the text escaped as \u00XX */

static _Atomic int log_level = TG_LOG_INFO;
static _Atomic int log_fd = 2;
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
/* Guarded by log_lock; longest first, so that a secret inside another one, masked before it, does
 * not leave the rest of it readable. */
static struct {
    char *text;
    uint64_t named; /* when it was registered last, in registrations */
} secrets[LOG_SECRETS_MAX];
static size_t n_secrets;
static uint64_t n_dropped; /* lines since the last one that went out; guarded by log_lock */
static uint64_t registrations;

void tg_log_set_level(enum tg_log_level level)
{
    atomic_store(&log_level, (int)level);
}

void tg_log_set_fd(int fd)
{
    atomic_store(&log_fd, fd);
}

/* The one that no configuration has named for the longest time goes. log_lock held. */
static void forget_oldest(void)
{
    size_t oldest = 0;
    for (size_t i = 1; i < n_secrets; i++)
        if (secrets[i].named < secrets[oldest].named)
            oldest = i;
    explicit_bzero(secrets[oldest].text, strlen(secrets[oldest].text));
    tg_free(secrets[oldest].text);
    n_secrets--;
    for (size_t i = oldest; i < n_secrets; i++)
        secrets[i] = secrets[i + 1];
}

/* log_lock held */
static enum tg_status remember(struct tg_str secret)
{
    registrations++;
    for (size_t i = 0; i < n_secrets; i++)
        if (tg_str_eq(tg_str_of(secrets[i].text), secret)) {
            secrets[i].named = registrations;
            return TG_OK;
        }
    char *copy = tg_strndup(secret.p, secret.n);
    if (!copy)
        return TG_NOMEM;
    if (n_secrets == LOG_SECRETS_MAX)
        forget_oldest();
    size_t at = n_secrets++;
    for (; at > 0 && strlen(secrets[at - 1].text) < secret.n; at--)
        secrets[at] = secrets[at - 1];
    secrets[at].text = copy;
    secrets[at].named = registrations;
    return TG_OK;
}

enum tg_status tg_log_secret(struct tg_str secret)
{
    if (secret.n < 8)
        return TG_OK;
    pthread_mutex_lock(&log_lock);
    enum tg_status status = remember(secret);
    pthread_mutex_unlock(&log_lock);
    return status;
}

/* log_lock held */
static void mask_locked(char *text)
{
    for (size_t i = 0; i < n_secrets; i++) {
        size_t n = strlen(secrets[i].text);
        for (char *at = text; (at = strstr(at, secrets[i].text)) != NULL; at += n)
            memset(at, '*', n);
    }
}

/* A text that was cut may end in the beginning of a secret. log_lock held. */
static void mask_cut_end(char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n_secrets; i++) {
        size_t most = strlen(secrets[i].text) - 1;
        for (size_t k = most < n ? most : n; k > 0; k--)
            if (memcmp(text + n - k, secrets[i].text, k) == 0)
                memset(text + n - k, '*', k);
    }
}

void tg_log_mask(char *text)
{
    pthread_mutex_lock(&log_lock);
    mask_locked(text);
    pthread_mutex_unlock(&log_lock);
}

static void stamp(char out[32])
{
    int64_t ms = tg_wall_ms();
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    char day[24];
    gmtime_r(&seconds, &utc);
    strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out, 32, "%s.%03dZ", day, (int)(ms % 1000));
}

/* Never waits: a reader of the log that has stopped must not stop the gateway. What a pipe takes
 * without waiting is PIPE_BUF bytes when it is ready; what does not fit is dropped and counted.
 * log_lock held. */
static bool put(const char *p, size_t n)
{
    struct pollfd out = { .fd = atomic_load(&log_fd), .events = POLLOUT };
    while (n > 0) {
        if (poll(&out, 1, 0) != 1 || !(out.revents & POLLOUT))
            return false;
        ssize_t written = write(out.fd, p, n < PIPE_BUF ? n : PIPE_BUF);
        if (written <= 0)
            return false;
        p += written;
        n -= (size_t)written;
    }
    return true;
}

static void put_line(const struct tg_buf *line)
{
    char note[128];
    if (n_dropped) {
        int n = snprintf(note, sizeof(note),
                         "\n{\"level\":\"warn\",\"event\":\"log-dropped\","
                         "\"text\":\"%llu lines\"}\n",
                         (unsigned long long)n_dropped);
        if (!put(note, (size_t)n)) {
            n_dropped++;
            return;
        }
        n_dropped = 0;
    }
    if (!put(line->p, line->n))
        n_dropped++;
}

void tg_log(enum tg_log_level level, const char *event, const char *fmt, ...)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    if ((int)level < atomic_load(&log_level))
        return;
    char text[LOG_TEXT_MAX], time[32];
    va_list args;
    va_start(args, fmt);
    int length = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    stamp(time);
    struct tg_buf line;
    tg_buf_init(&line, LOG_LINE_MAX);
    pthread_mutex_lock(&log_lock);
    if (length >= (int)sizeof(text))
        mask_cut_end(text); /* first: masking a shorter one would hide a longer one's beginning */
    mask_locked(text);
    tg_buf_addf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\",\"text\":", time,
                names[level], event);
    tg_buf_add_json(&line, tg_str_of(text));
    tg_buf_adds(&line, "}\n");
    if (!line.failed)
        put_line(&line);
    pthread_mutex_unlock(&log_lock);
    tg_buf_free(&line);
}

bool tg_log_seldom(struct tg_log_seldom *line, int64_t now_ns, uint64_t *untold)
{
    *untold = line->untold;
    if (now_ns < line->next_ns) {
        line->untold++;
        return false;
    }
    line->untold = 0;
    line->next_ns = now_ns + (int64_t)TG_LOG_SELDOM_S * 1000000000;
    return true;
}
