#include "gateway/app.h"
#include "gateway/doctor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "gateway/holder.h"
#include "local_engine/plan.h"
#include "telemetry/store.h"

#define GIB (INT64_C(1) << 30)

/* --- keys ------------------------------------------------------------------------------------ */

static void check_key(struct gw_doctor *d, const struct cfg_key *key)
{
    char remedy[200];
    switch (key->state) {
    case CFG_KEY_SET:
        gw_check_add(d, GW_CHECK_OK, "keys", NULL, "%s: %s %s is set", key->path,
                     key->is_file ? "the file" : "the environment variable", key->from);
        return;
    case CFG_KEY_MISSING:
        if (key->is_file)
            snprintf(remedy, sizeof(remedy), "write the key into that file (mode 0600)");
        else
            snprintf(remedy, sizeof(remedy), "export %.100s=... where the gateway is started",
                     key->from);
        gw_check_add(d, GW_CHECK_FAIL, "keys", remedy, "%s: %s %s %s", key->path,
                     key->is_file ? "the file" : "the environment variable", key->from,
                     key->is_file ? "is not there" : "is not set");
        return;
    case CFG_KEY_EMPTY:
        gw_check_add(d, GW_CHECK_FAIL, "keys", "put the key in", "%s: %s %s is empty", key->path,
                     key->is_file ? "the file" : "the environment variable", key->from);
        return;
    case CFG_KEY_UNREADABLE:
        gw_check_add(d, GW_CHECK_FAIL, "keys", "let the user that runs the gateway read it",
                     "%s: the file %s cannot be read", key->path, key->from);
        return;
    default:
        gw_check_add(d, GW_CHECK_FAIL, "keys",
                     "write {\"env\": \"NAME\"} or {\"file\": \"PATH\"}, never the key itself",
                     "%s: is neither the name of a variable nor of a file", key->path);
    }
}

void gw_check_keys(struct gw_doctor *d)
{
    const struct cfg_survey *s = d->survey;
    for (size_t i = 0; i < s->n_keys; i++)
        check_key(d, &s->keys[i]);
    if (s->n_keys == 0)
        gw_check_add(d, GW_CHECK_OK, "keys", NULL, "none is referred to");
}

/* --- the port -------------------------------------------------------------------------------- */

/* 0, or errno of what a listener would be told. */
static int try_listen(const char *host, uint16_t port)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    bool is_v6 = inet_pton(AF_INET6, host, &v6.sin6_addr) == 1;
    if (!is_v6 && inet_pton(AF_INET, host, &v4.sin_addr) != 1)
        return EINVAL;
    int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, cause = 0;
    if (fd < 0)
        return errno;
    const struct sockaddr *at = is_v6 ? (const void *)&v6 : (const void *)&v4;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, at, is_v6 ? sizeof(v6) : sizeof(v4)) != 0 || listen(fd, 1) != 0)
        cause = errno;
    close(fd);
    return cause;
}

/* setting: "listen" or "admin.listen" */
static void check_port(struct gw_doctor *d, const char *setting, const char *host, unsigned port)
{
    char remedy[100];
    char holder[128] = "another process";
    int cause = try_listen(host, (uint16_t)port);
    if (cause == 0) {
        gw_check_add(d, GW_CHECK_OK, "port", NULL,
                     port ? "%s port %u is free" : "%s, any free port", host, port);
        return;
    }
    if (cause != EADDRINUSE) {
        snprintf(remedy, sizeof(remedy),
                 cause == EACCES ? "ports below 1024 are for root: give \"%s\" another"
                                 : "give \"%s\" an address of this machine", setting);
        gw_check_add(d, GW_CHECK_FAIL, "port", remedy, "%s port %u: %s", host, port,
                     strerror(cause));
        return;
    }
    snprintf(remedy, sizeof(remedy), "stop it, or give another \"%s\"", setting);
    gw_port_holder((uint16_t)port, holder, sizeof(holder));
    if (strncmp(holder, "tollgate ", 9) == 0)
        gw_check_add(d, GW_CHECK_WARN, "port", "nothing to do, unless a second one was meant",
                     "%s port %u is held by %s: a gateway runs already", host, port, holder);
    else
        gw_check_add(d, GW_CHECK_FAIL, "port", remedy, "%s port %u is held by %s", host, port,
                     holder);
}

void gw_check_port(struct gw_doctor *d)
{
    const struct cfg_settings *s = d->settings;
    check_port(d, "listen", d->survey->listen_host, d->survey->listen_port);
    if (s && s->admin.listen_host)
        check_port(d, "admin.listen", s->admin.listen_host, s->admin.listen_port);
}

/* --- folders --------------------------------------------------------------------------------- */

/* The folder itself, or the nearest one above it that is there. */
static const char *nearest(const char *dir, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s", dir);
    struct stat info;
    while (stat(out, &info) != 0 && errno == ENOENT) {
        char *slash = strrchr(out, '/');
        if (!slash || slash == out)
            return "/";
        *slash = '\0';
    }
    return out;
}

static void check_folder(struct gw_doctor *d, const char *area, const char *what, const char *dir,
                         int64_t low)
{
    char buffer[PATH_MAX];
    struct statvfs disk;
    struct stat info;
    if (!dir) {
        gw_check_add(d, GW_CHECK_FAIL, area, "set HOME, or name it in the configuration",
                     "%s: has no place, since HOME is not set", what);
        return;
    }
    const char *there = nearest(dir, buffer);
    bool exists = strcmp(there, dir) == 0;
    if (stat(there, &info) != 0 || !S_ISDIR(info.st_mode)) {
        gw_check_add(d, GW_CHECK_FAIL, area, "name another one in the configuration",
                     "%s %s: %s is not a folder", what, dir, there);
        return;
    }
    if (access(there, W_OK | X_OK) != 0) {
        gw_check_add(d, GW_CHECK_FAIL, area,
                     "give it to the user that runs the gateway, or name another one",
                     "%s %s: %s: %s", what, dir, there, strerror(errno));
        return;
    }
    bool known = statvfs(there, &disk) == 0;
    uint64_t left = known ? (uint64_t)disk.f_bavail * disk.f_frsize : 0;
    bool tight = known && left < (uint64_t)low;
    if (known && left == 0) { /* as in /proc and /sys too, where none can be made */
        gw_check_add(d, GW_CHECK_FAIL, area, "make room, or name another one in the configuration",
                     "%s %s: no space is left at %s", what, dir, there);
        return;
    }
    char size[LE_SIZE_TEXT] = "an unknown size";
    if (known)
        le_size_text(size, left);
    gw_check_add(d, tight ? GW_CHECK_WARN : GW_CHECK_OK, area, tight ? "make room" : NULL,
                 "%s %s: %s, %s free", what, dir,
                 exists ? "can be written" : "will be made when it is needed", size);
}

/* Not a failure: doctor looks at what runs, too. */
static void check_holder(struct gw_doctor *d)
{
    char holder[128];
    if (d->survey->data_dir && gw_folder_holder(d->survey->data_dir, holder, sizeof(holder)))
        gw_check_add(d, GW_CHECK_WARN, "data",
                     "nothing to do, unless a second one was meant: that needs another \"dataDir\"",
                     "dataDir %s is in use by %s: a gateway runs already", d->survey->data_dir,
                     holder);
}

/* The databases that serve would find there. */
static void check_databases(struct gw_doctor *d)
{
    static const char *const files[] = { "ledger.db", "log.db", "keys.db" };
    struct tg_error err;
    for (size_t i = 0; d->survey->data_dir && i < sizeof(files) / sizeof(*files); i++)
        if (tel_look(d->survey->data_dir, files[i], &err))
            gw_check_add(d, GW_CHECK_FAIL, "data", "stop the gateway first, if one runs", "%s",
                         err.text);
}

void gw_check_folders(struct gw_doctor *d)
{
    check_folder(d, "data", "dataDir", d->survey->data_dir, GIB);
    check_holder(d);
    check_databases(d);
    check_folder(d, "models", "modelDir", d->survey->model_dir, 4 * GIB);
}

/* --- open files ------------------------------------------------------------------------------ */

void gw_check_descriptors(struct gw_doctor *d)
{
    struct rlimit limit;
    unsigned connections = d->settings ? d->settings->limits.connections : 4096;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    bool few = limit.rlim_max < gw_descriptors_needed(connections);
    gw_check_add(d, few ? GW_CHECK_WARN : GW_CHECK_OK, "files",
                 few ? "raise it (ulimit -Hn, or LimitNOFILE of the service), or lower "
                       "limits.connections"
                     : NULL,
                 "the process may open %llu files; limits.connections is %u",
                 (unsigned long long)limit.rlim_max, connections);
}
