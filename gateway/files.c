#include "gateway/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

enum tg_status gw_file_write(const char *path, struct tg_str text, struct tg_error *err)
{
    size_t room = strlen(path) + sizeof(".XXXXXX");
    char *fresh = tg_alloc(room);
    if (!fresh)
        return tg_fail(err, TG_NOMEM, "%s: out of memory", path);
    snprintf(fresh, room, "%s.XXXXXX", path);
    int fd = mkostemp(fresh, O_CLOEXEC);
    bool made = fd >= 0;
    bool fine = made && write_all(fd, text) && fchmod(fd, 0644) == 0 && fsync(fd) == 0;
    int cause = errno;
    if (made && close(fd) != 0 && fine) {
        fine = false;
        cause = errno;
    }
    if (fine && rename(fresh, path) != 0) {
        fine = false;
        cause = errno;
    }
    if (!fine && made)
        unlink(fresh);
    if (fine)
        sync_folder(fresh);
    tg_free(fresh);
    return fine ? TG_OK : tg_fail(err, TG_IO, "%s cannot be written: %s", path, strerror(cause));
}
