#include "providers/pull_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "local_engine/plan.h"

enum { CHUNK = 1 << 20 };

static enum tg_status io_failed(const char *what, const char *path, struct tg_error *err)
{
    int cause = errno;
    if (cause == ENOSPC || cause == EDQUOT)
        return tg_fail(err, TG_LIMIT,
                       "%s: the disk is full; what has come is kept: make room and run it again",
                       path);
    return tg_fail(err, TG_IO, "%s: cannot %s: %s", path, what, strerror(cause));
}

/* --- folders --------------------------------------------------------------------------------- */

enum tg_status prov_pull_folder(const char *dir, struct tg_error *err)
{
    char path[PATH_MAX];
    size_t n = strlen(dir);
    struct stat info;
    if (n == 0 || n >= sizeof(path))
        return tg_fail(err, TG_INVALID, "the folder's name is empty or too long");
    memcpy(path, dir, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        char end = path[i];
        path[i] = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
            return tg_fail(err, TG_IO, "the folder %s cannot be made: %s (--dir names another)",
                           dir, strerror(errno));
        path[i] = end;
    }
    if (stat(dir, &info) != 0)
        return tg_fail(err, TG_IO, "the folder %s cannot be made: %s (--dir names another)", dir,
                       strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return tg_fail(err, TG_IO, "%s is not a folder (--dir names another)", dir);
    return TG_OK;
}

enum tg_status prov_pull_room(const char *dir, int64_t bytes, struct tg_error *err)
{
    struct statvfs disk;
    if (statvfs(dir, &disk) != 0)
        return TG_OK; /* nobody knows; writing will tell */
    char need[LE_SIZE_TEXT], has[LE_SIZE_TEXT];
    uint64_t left = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (bytes < 0 || left >= (uint64_t)bytes)
        return TG_OK;
    return tg_fail(err, TG_LIMIT,
                   "%s: %s are needed and %s are free: make room, or name another folder with "
                   "--dir", dir, le_size_text(need, (uint64_t)bytes), le_size_text(has, left));
}

static enum tg_status sync_folder(const char *dir, struct tg_error *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool fine = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL); /* not every file system can */
    enum tg_status status = fine ? TG_OK : io_failed("sync the folder", dir, err);
    if (fd >= 0)
        close(fd);
    return status;
}

/* --- NAME.part ------------------------------------------------------------------------------- */

enum tg_status prov_pull_file_name(struct prov_pull_file *f, const char *dir, const char *name,
                                   struct tg_error *err)
{
    *f = (struct prov_pull_file){ .fd = -1, .dir = dir };
    tg_sha256_init(&f->hash);
    int n = snprintf(f->path, sizeof(f->path), "%s/%s", dir, name);
    if (n < 0 || (size_t)n + 16 > sizeof(f->path))
        return tg_fail(err, TG_LIMIT, "%s/%s: the path is too long", dir, name);
    memcpy(f->part, f->path, (size_t)n);
    memcpy(f->part + n, ".part", 6);
    memcpy(f->json, f->path, (size_t)n);
    memcpy(f->json + n, ".json", 6);
    return TG_OK;
}

/* The lock is on the inode; it is worth something only while the name still leads to it. */
static bool still_named(const struct prov_pull_file *f, struct stat *info)
{
    struct stat named;
    return fstat(f->fd, info) == 0 && lstat(f->part, &named) == 0 && named.st_ino == info->st_ino &&
           named.st_dev == info->st_dev;
}

static enum tg_status locked_by_other(struct prov_pull_file *f, struct tg_error *err)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    long pid = fcntl(f->fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? (long)lock.l_pid : 0;
    prov_pull_file_close(f);
    if (pid > 0)
        return tg_fail(err, TG_AGAIN, "%s: process %ld is fetching it already", f->path, pid);
    return tg_fail(err, TG_AGAIN, "%s: another process is fetching it already", f->path);
}

enum tg_status prov_pull_file_open(struct prov_pull_file *f, struct tg_error *err)
{
    struct stat info;
    do {
        prov_pull_file_close(f);
        f->fd = open(f->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
        if (f->fd < 0)
            return io_failed("write", f->part, err);
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        if (fcntl(f->fd, F_SETLK, &lock) != 0) {
            if (errno == EAGAIN || errno == EACCES)
                return locked_by_other(f, err);
            return io_failed("lock", f->part, err);
        }
    } while (!still_named(f, &info)); /* another process has just renamed it */
    if (!S_ISREG(info.st_mode))
        return tg_fail(err, TG_IO, "%s: is not a regular file", f->part);
    f->n = info.st_size;
    tg_sha256_init(&f->hash);
    return TG_OK;
}

enum tg_status prov_pull_file_open_whole(struct prov_pull_file *f, struct tg_error *err)
{
    struct stat info;
    f->fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (f->fd < 0 || fstat(f->fd, &info) != 0)
        return io_failed("read", f->path, err);
    f->n = info.st_size;
    return TG_OK;
}

enum tg_status prov_pull_file_hash(struct prov_pull_file *f, const struct prov_pull *p,
                                   struct tg_error *err)
{
    char *chunk = tg_alloc(CHUNK);
    enum tg_status status = chunk ? TG_OK : tg_fail(err, TG_NOMEM, "out of memory");
    tg_sha256_init(&f->hash);
    for (int64_t at = 0; at < f->n && status == TG_OK;) {
        int64_t want = f->n - at < CHUNK ? f->n - at : CHUNK;
        ssize_t got = pread(f->fd, chunk, (size_t)want, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            status = io_failed("read", f->part, err);
        } else if (got == 0) {
            status = tg_fail(err, TG_IO, "%s: became shorter while it was read", f->part);
        } else {
            tg_sha256_update(&f->hash, chunk, (size_t)got);
            at += got;
            if (!p->on_progress(p->arg, PROV_PULL_HASHING, at, f->n))
                status = tg_fail(err, TG_CANCELLED, "stopped");
        }
    }
    tg_free(chunk);
    return status;
}

enum tg_status prov_pull_file_restart(struct prov_pull_file *f, struct tg_error *err)
{
    f->n = 0;
    tg_sha256_init(&f->hash);
    return ftruncate(f->fd, 0) == 0 ? TG_OK : io_failed("empty", f->part, err);
}

enum tg_status prov_pull_file_append(struct prov_pull_file *f, const char *p, size_t n,
                                     struct tg_error *err)
{
    while (n > 0) {
        ssize_t put = pwrite(f->fd, p, n, f->n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return io_failed("write", f->part, err);
        tg_sha256_update(&f->hash, p, (size_t)put);
        f->n += put;
        p += put;
        n -= (size_t)put;
    }
    return TG_OK;
}

enum tg_status prov_pull_file_sync(struct prov_pull_file *f, struct tg_error *err)
{
    struct stat info;
    if (fsync(f->fd) != 0 || fstat(f->fd, &info) != 0)
        return io_failed("write", f->part, err);
    if (info.st_size == f->n)
        return TG_OK;
    return tg_fail(err, TG_IO,
                   "%s: has %lld bytes after %lld were written: does somebody else write "
                   "to it?",
                   f->part, (long long)info.st_size, (long long)f->n);
}

bool prov_pull_file_is_gguf(const struct prov_pull_file *f)
{
    char magic[4];
    return f->n >= 4 && pread(f->fd, magic, 4, 0) == 4 && memcmp(magic, "GGUF", 4) == 0;
}

enum tg_status prov_pull_file_finish(struct prov_pull_file *f, struct tg_error *err)
{
    if (rename(f->part, f->path) != 0)
        return io_failed("be put in place", f->path, err);
    return sync_folder(f->dir, err);
}

void prov_pull_file_discard(struct prov_pull_file *f)
{
    unlink(f->part);
    unlink(f->json);
}

void prov_pull_file_close(struct prov_pull_file *f)
{
    if (f->fd >= 0)
        close(f->fd); /* and the lock goes */
    f->fd = -1;
}
