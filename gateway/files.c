#include "gateway/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "config/base/alloc.h"

static enum tg_status read_all(int fd, struct tg_buf *out)
{
    char chunk[16384];
    for (;;) {
        ssize_t got = read(fd, chunk, sizeof(chunk));
        if (got == 0)
            return TG_OK;
        if (got < 0 && errno != EINTR)
            return TG_IO;
        if (got > 0 && tg_buf_add(out, chunk, (size_t)got) != TG_OK)
            return out->failed;
    }
}

enum tg_status gw_file_read(const char *path, struct tg_buf *out, struct tg_error *err)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        /* No file has a name that is too long: the optional one beside a model with a long name. */
        bool missing = errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG;
        return tg_fail(err, missing ? TG_NOTFOUND : TG_IO, "%s: %s", path, strerror(errno));
    }
    enum tg_status status = TG_IO;
    if (fstat(fd, &info) != 0)
        tg_fail(err, status, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        tg_fail(err, status, "%s: is no regular file", path);
    else if ((status = read_all(fd, out)) == TG_IO)
        tg_fail(err, status, "%s: %s", path, strerror(errno));
    else if (status == TG_LIMIT)
        tg_fail(err, status, "%s: is above %zu bytes", path, out->max);
    else if (status)
        tg_fail(err, status, "%s: out of memory", path);
    close(fd);
    return status;
}

static bool write_all(int fd, struct tg_str text)
{
    while (text.n > 0) {
        ssize_t put = write(fd, text.p, text.n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        text.p += put;
        text.n -= (size_t)put;
    }
    return true;
}

/* The rename is durable once the folder is; some file systems cannot, which is no failure. */
static void sync_folder(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash)
        slash[slash == path] = '\0';
    int fd = open(slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

static enum tg_status cannot(const char *path, const char *cause, struct tg_error *err)
{
    return tg_fail(err, TG_IO, "%s cannot be written: %s", path, cause);
}

/* A file that is being replaced: where it really is, and the new one beside it. */
struct draft {
    char target[PATH_MAX], fresh[PATH_MAX];
    mode_t mode;
    uid_t owner;
    gid_t group;
    int fd; /* of fresh */
};

static void draft_end(struct draft *d)
{
    if (d->fd < 0)
        return;
    close(d->fd);
    unlink(d->fresh);
}

/* A new file that root makes in a user's folder is for that user's gateway. */
static void owner_of_new(struct draft *d)
{
    struct stat folder;
    char path[PATH_MAX];
    d->owner = geteuid();
    d->group = getegid();
    snprintf(path, sizeof(path), "%s", d->target);
    char *slash = strrchr(path, '/');
    if (slash)
        slash[slash == path] = '\0';
    if (d->owner != 0 || stat(slash ? path : ".", &folder) != 0)
        return;
    d->owner = folder.st_uid;
    d->group = folder.st_gid;
}

/* Root's calibrate must not take the file away from the gateway. As far as it goes: others may give
 * nothing away, and some file systems cannot. */
static void keep_owner(const struct draft *d)
{
    struct stat now;
    if (fstat(d->fd, &now) != 0 || (now.st_uid == d->owner && now.st_gid == d->group))
        return;
    if (fchown(d->fd, d->owner, d->group) != 0)
        (void)!fchown(d->fd, (uid_t)-1, d->group);
}

/* A link is followed, so that it stays one. */
static enum tg_status find_target(const char *path, struct draft *d, struct tg_error *err)
{
    struct stat info;
    d->mode = 0600; /* what is in it may be private */
    if (realpath(path, d->target)) {
        if (stat(d->target, &info) != 0)
            return cannot(path, strerror(errno), err);
        if (!S_ISREG(info.st_mode))
            return cannot(path, "it is no regular file", err);
        d->mode = info.st_mode & 07777;
        d->owner = info.st_uid;
        d->group = info.st_gid;
        return TG_OK;
    }
    if (errno == ENOENT && lstat(path, &info) == 0)
        return cannot(path, "it is a link to a file that is not there", err);
    if (errno != ENOENT)
        return cannot(path, strerror(errno), err);
    snprintf(d->target, sizeof(d->target), "%s", path); /* longer ones were refused just now */
    owner_of_new(d);
    return TG_OK;
}

static enum tg_status draft_begin(const char *path, struct draft *d, struct tg_error *err)
{
    d->fd = -1;
    enum tg_status status = find_target(path, d, err);
    if (status)
        return status;
    if ((size_t)snprintf(d->fresh, sizeof(d->fresh), "%s.XXXXXX", d->target) >= sizeof(d->fresh))
        return cannot(path, strerror(ENAMETOOLONG), err);
    d->fd = mkostemp(d->fresh, O_CLOEXEC);
    return d->fd >= 0 ? TG_OK : cannot(path, strerror(errno), err);
}

enum tg_status gw_file_write(const char *path, struct tg_str text, struct tg_error *err)
{
    struct draft d;
    enum tg_status status = draft_begin(path, &d, err);
    if (status == TG_OK)
        keep_owner(&d); /* before the mode, of which it may clear bits */
    bool fine = status == TG_OK && write_all(d.fd, text) && fchmod(d.fd, d.mode) == 0 &&
                fsync(d.fd) == 0 && rename(d.fresh, d.target) == 0;
    if (status == TG_OK && !fine)
        status = cannot(path, strerror(errno), err);
    if (fine) {
        close(d.fd);
        d.fd = -1; /* nothing is left to be removed */
        sync_folder(d.target);
    }
    draft_end(&d);
    return status;
}

enum tg_status gw_file_can_write(const char *path, struct tg_error *err)
{
    struct draft d;
    enum tg_status status = draft_begin(path, &d, err);
    draft_end(&d);
    return status;
}

/* TG_AGAIN: somebody has it. Who has it removes the file, so another may lie there by now. */
static enum tg_status try_lock(struct gw_file_lock *lock, const char *path, struct tg_error *err)
{
    struct stat mine, there;
    lock->fd = open(lock->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (lock->fd < 0)
        return cannot(path, strerror(errno), err);
    bool busy = flock(lock->fd, LOCK_EX | LOCK_NB) != 0 && (errno == EWOULDBLOCK || errno == EINTR);
    if (!busy && fstat(lock->fd, &mine) == 0 && stat(lock->path, &there) == 0 &&
        mine.st_ino == there.st_ino && mine.st_dev == there.st_dev)
        return TG_OK;
    close(lock->fd);
    lock->fd = -1;
    return TG_AGAIN;
}

enum tg_status gw_file_lock(const char *path, struct gw_file_lock *lock, struct tg_error *err)
{
    const struct timespec while_it_writes = { 0, 20000000 };
    char target[PATH_MAX];
    lock->fd = -1;
    int n = snprintf(lock->path, sizeof(lock->path), "%s.lock",
                     realpath(path, target) ? target : path);
    if ((size_t)n >= sizeof(lock->path))
        return cannot(path, strerror(ENAMETOOLONG), err);
    for (int i = 0; i < GW_FILE_LOCK_MS / 20; i++) {
        enum tg_status status = try_lock(lock, path, err);
        if (status != TG_AGAIN)
            return status;
        nanosleep(&while_it_writes, NULL);
    }
    return tg_fail(err, TG_TIMEOUT,
                   "%s cannot be written: another run has had %s for %d s; try again when it has "
                   "ended", path, lock->path, GW_FILE_LOCK_MS / 1000);
}

void gw_file_unlock(struct gw_file_lock *lock)
{
    if (lock->fd < 0)
        return;
    unlink(lock->path); /* before others can have it */
    close(lock->fd);
    lock->fd = -1;
}
