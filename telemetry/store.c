/* Opening and closing a store: the folder, its lock, the queues and the thread. */
#include "telemetry/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "config/base/log.h"
#include "telemetry/internal.h"

enum { IN_FLIGHT_DEFAULT = 4096, BACKLOG = 4096 };

int64_t tel_now(const struct tel_store *s)
{
    return tel_clamp_ms(s->now_ms ? s->now_ms(s->clock_arg) : tg_wall_ms());
}

char *tel_path(const char *dir, const char *name)
{
    size_t n = strlen(dir) + strlen(name) + 2;
    char *path = tg_alloc(n);
    if (path)
        snprintf(path, n, "%s/%s", dir, name);
    return path;
}

enum tg_status tel_make_dir(const char *dir, struct tg_error *err)
{
    char *path = tg_strdup(dir);
    if (!path)
        return tg_fail(err, TG_NOMEM, "%s: out of memory", dir);
    int failed = 0;
    for (char *at = path + 1; *path && *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        mkdir(path, 0700); /* what matters is whether the last one is there */
        *at = '/';
    }
    struct stat st;
    if (mkdir(path, 0700) != 0)
        failed = errno;
    if (failed == EEXIST && stat(path, &st) == 0)
        failed = S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
    tg_free(path);
    if (failed)
        return tg_fail(err, TG_IO, "%s: cannot make this folder: %s", dir, strerror(failed));
    return TG_OK;
}

bool tel_holder(const char *dir, char pid[TEL_PID_TEXT])
{
    pid[0] = '\0';
    char *path = tel_path(dir, "lock");
    int fd = path ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1; /* whatever is there */
    tg_free(path);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, pid, TEL_PID_TEXT - 1);
    close(fd);
    pid[got > 0 ? got : 0] = '\0';
    pid[strspn(pid, "0123456789")] = '\0';
    return pid[0] != '\0';
}

static void write_holder(const char *path)
{
    char pid[16];
    int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_CLOEXEC, 0600);
    if (fd < 0)
        return; /* a folder that cannot be written is locked all the same */
    ssize_t written = write(fd, pid, (size_t)n);
    (void)written;
    close(fd);
}

/* The lock is on the folder itself, so that it needs no right to write and no file can be stale;
 * the file "lock" only tells who holds it. */
static enum tg_status lock_dir(struct tel_store *s, struct tg_error *err)
{
    char *path = tel_path(s->dir, "lock");
    if (!path)
        return tg_fail(err, TG_NOMEM, "%s: out of memory", s->dir);
    enum tg_status status = TG_OK;
    int failed = 0;
    s->lock_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->lock_fd < 0 || flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0)
        failed = errno;
    if (failed == EWOULDBLOCK) {
        char pid[TEL_PID_TEXT];
        status = tg_fail(err, TG_AGAIN, "%s: in use by another tollgate, process %s", s->dir,
                         tel_holder(s->dir, pid) ? pid : "unknown");
    } else if (failed) {
        status = tg_fail(err, TG_IO, "%s: cannot lock this folder: %s", s->dir, strerror(failed));
    } else {
        write_holder(path);
    }
    tg_free(path);
    return status;
}

/* Frees whatever there is; the thread does not run. */
static void store_free(struct tel_store *s)
{
    if (s->work) {
        tg_free(s->work->ledger.path);
        tg_free(s->work->log.path);
        tg_free(s->work->keys.path);
    }
    tg_free(s->work);
    tg_queue_free(s->ops);
    tg_queue_free(s->rows);
    tg_queue_free(s->key_ops);
    tg_queue_free(s->replies);
    tel_keys_unref(s->keys);
    tel_keys_unref(atomic_load(&s->keys_fresh));
    tel_holds_free(&s->holds);
    for (size_t i = 0; i < s->n_budgets; i++)
        tg_free((char *)(uintptr_t)s->name[i]);
    if (s->wake_fd >= 0)
        close(s->wake_fd);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    pthread_cond_destroy(&s->flushed);
    pthread_mutex_destroy(&s->lock);
    tg_free(s->dir);
    tg_free(s);
}

static enum tg_status make_parts(struct tel_store *s, struct tg_error *err)
{
    size_t ends = (size_t)s->in_flight * TEL_CHAIN_MAX;
    s->work = tg_calloc(1, sizeof(*s->work));
    s->ops = tg_queue_new(ends + TEL_BUDGETS_MAX + BACKLOG, sizeof(struct tel_op));
    /* twice: half of it may be waiting for a log that is down */
    s->rows = tg_queue_new((size_t)s->in_flight * 2 + TEL_ROWS_SPARE, sizeof(struct tel_log_item));
    s->key_ops = tg_queue_new(TEL_KEY_OPS_MAX, sizeof(struct tel_key_op *));
    /* a lease a budget, a change each of those under way, one state, one set of keys */
    s->replies = tg_queue_new(TEL_BUDGETS_MAX + TEL_KEY_OPS_MAX + 8, sizeof(struct tel_reply));
    s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!s->work || !s->ops || !s->rows || !s->key_ops || !s->replies || s->wake_fd < 0 ||
        tel_holds_init(&s->holds, ends))
        return tg_fail(err, TG_NOMEM, "%s: out of memory or descriptors", s->dir);
    tel_ledger_init(&s->work->ledger, tel_path(s->dir, "ledger.db"), s->name);
    tel_log_init(&s->work->log, tel_path(s->dir, "log.db"));
    s->work->ledger.pace = s->work->log.pace = &s->work->pace;
    tel_keys_db_init(&s->work->keys, tel_path(s->dir, "keys.db"));
    if (!s->work->ledger.path || !s->work->log.path || !s->work->keys.path)
        return tg_fail(err, TG_NOMEM, "%s: out of memory", s->dir);
    return TG_OK;
}

static struct tel_store *store_new(const struct tel_options *options)
{
    struct tel_store *s = tg_calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->lock_fd = s->wake_fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->flushed, NULL);
    s->dir = tg_strdup(options->dir);
    bool local = options->time_zone && strcmp(options->time_zone, "local") == 0;
    snprintf(s->zone, sizeof(s->zone), "%s", local ? "local" : "UTC");
    s->lease_nano = options->lease_nano;
    s->in_flight = options->in_flight ? options->in_flight : IN_FLIGHT_DEFAULT;
    if (s->in_flight > CFG_CONNECTIONS_MAX)
        s->in_flight = CFG_CONNECTIONS_MAX;
    s->in_flight_max = s->in_flight;
    s->now_ms = options->now_ms;
    s->clock_arg = options->clock_arg;
    if (!s->dir) {
        store_free(s);
        return NULL;
    }
    return s;
}

enum tg_status tel_open(const struct tel_options *options, struct tel_store **out,
                        struct tg_error *err)
{
    *out = NULL;
    struct tel_store *s = store_new(options);
    if (!s)
        return tg_fail(err, TG_NOMEM, "%s: out of memory", options->dir);
    enum tg_status status = tel_make_dir(s->dir, err);
    if (!status)
        status = lock_dir(s, err);
    if (!status)
        status = make_parts(s, err);
    if (!status)
        status = tel_thread_open(s, err);
    if (!status && pthread_create(&s->thread, NULL, tel_thread_run, s) != 0)
        status = tg_fail(err, TG_NOMEM, "%s: cannot start the telemetry thread", s->dir);
    if (status) {
        if (s->work && s->work->ledger.db)
            tel_ledger_close(&s->work->ledger);
        if (s->work && s->work->log.db)
            tel_log_close(&s->work->log);
        if (s->work && s->work->keys.db)
            tel_keys_db_close(&s->work->keys);
        store_free(s);
        return status;
    }
    s->available = atomic_load(&s->ledger_up);
    *out = s;
    return TG_OK;
}

void tel_wake(struct tel_store *s)
{
    uint64_t one = 1;
    ssize_t written = write(s->wake_fd, &one, sizeof(one));
    (void)written; /* full means it is readable, which is all that counts */
}

void tel_close(struct tel_store *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_mutex_unlock(&s->lock);
    tel_wake(s);
    pthread_join(s->thread, NULL);
    tel_thread_close(s);
    store_free(s);
}

bool tel_flush(struct tel_store *s)
{
    pthread_mutex_lock(&s->lock);
    uint64_t mine = ++s->flush_wanted;
    tel_wake(s);
    while (s->flush_done < mine)
        pthread_cond_wait(&s->flushed, &s->lock);
    bool ok = s->flush_ok;
    pthread_mutex_unlock(&s->lock);
    return ok;
}

int tel_fd(const struct tel_store *s)
{
    return tg_queue_fd(s->replies);
}
