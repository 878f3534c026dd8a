#include "config/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static enum tg_status read_all(int fd, struct tg_buf *out, const char **cause)
{
    char chunk[16384];
    for (;;) {
        ssize_t got = read(fd, chunk, sizeof(chunk));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            *cause = strerror(errno);
            return TG_IO;
        }
        if (got == 0)
            return TG_OK;
        enum tg_status status = tg_buf_add(out, chunk, (size_t)got);
        *cause = status == TG_LIMIT ? "file is too large" : "out of memory";
        if (status)
            return status;
    }
}

enum tg_status cfg_read_file(const char *path, bool regular, struct tg_buf *out,
                             const char **cause)
{
    /* O_NONBLOCK: opening a pipe without a writer would wait. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | (regular ? O_NONBLOCK : 0));
    if (fd < 0) {
        *cause = strerror(errno);
        return errno == ENOENT || errno == ENOTDIR ? TG_NOTFOUND : TG_IO;
    }
    struct stat info;
    enum tg_status status = TG_OK;
    if (fstat(fd, &info) != 0 || (regular && !S_ISREG(info.st_mode))) {
        *cause = "not a regular file";
        status = TG_IO;
    } else {
        status = read_all(fd, out, cause);
    }
    close(fd);
    return status;
}

const char *cfg_folder_of(struct tg_arena *mem, const char *path)
{
    const char *slash = strrchr(path, '/');
    struct tg_str folder = slash ? (struct tg_str){ path, (size_t)(slash - path) } : TG_STR(".");
    char whole[PATH_MAX];
    if (slash == path)
        folder = TG_STR("/");
    const char *name = tg_arena_str(mem, folder).p;
    if (!name || !realpath(name, whole))
        return NULL;
    return tg_arena_str(mem, tg_str_of(whole)).p;
}

const char *cfg_join(struct tg_arena *mem, const char *folder, const char *name)
{
    if (name[0] == '/')
        return tg_arena_str(mem, tg_str_of(name)).p;
    size_t n = strlen(folder) + 1 + strlen(name) + 1;
    char *path = tg_arena_alloc(mem, n, 1);
    if (path)
        snprintf(path, n, "%s/%s", folder, name);
    return path;
}

const char *cfg_user_folder(struct tg_arena *mem, const char *variable, const char *fallback,
                            const char *tail)
{
    const char *folder = getenv(variable);
    if (!folder || folder[0] != '/') {
        const char *home = getenv("HOME");
        folder = home && home[0] == '/' ? cfg_join(mem, home, fallback) : NULL;
    }
    return folder ? cfg_join(mem, folder, tail) : NULL;
}
