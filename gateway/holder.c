#include "gateway/holder.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "telemetry/store.h"

enum { TCP_STATE_LISTEN = 0x0A };

/* The inode of the socket that listens on port, from one of the kernel's tables; 0: none. */
static unsigned long listening_inode(const char *table, uint16_t port)
{
    char line[512];
    unsigned long inode = 0;
    FILE *f = fopen(table, "r");
    while (f && !inode && fgets(line, sizeof(line), f)) {
        unsigned local, state;
        unsigned long found;
        if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*s %*s %lu", &local, &state,
                   &found) == 3 &&
            local == port && state == TCP_STATE_LISTEN)
            inode = found;
    }
    if (f)
        fclose(f);
    return inode;
}

/* target: what a link in /proc/PID/fd must say */
static bool process_holds(const char *pid, const char *target)
{
    char dir[64], path[352], link[PATH_MAX];
    bool holds = false;
    snprintf(dir, sizeof(dir), "/proc/%.20s/fd", pid);
    DIR *fds = opendir(dir);
    struct dirent *fd;
    while (fds && !holds && (fd = readdir(fds)) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", dir, fd->d_name);
        ssize_t n = readlink(path, link, sizeof(link) - 1);
        if (n > 0) {
            link[n] = '\0';
            holds = strcmp(link, target) == 0;
        }
    }
    if (fds)
        closedir(fds);
    return holds;
}

static void describe(const char *pid, char *out, size_t n)
{
    char path[64], name[64] = "a process";
    snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
    FILE *f = fopen(path, "r");
    if (f && fgets(name, sizeof(name), f))
        name[strcspn(name, "\n")] = '\0';
    if (f)
        fclose(f);
    snprintf(out, n, "%s (pid %s)", name, pid);
}

bool gw_port_holder(uint16_t port, char *out, size_t n)
{
    char socket_link[64];
    unsigned long inode = listening_inode("/proc/net/tcp", port);
    if (!inode)
        inode = listening_inode("/proc/net/tcp6", port);
    if (!inode)
        return false;
    snprintf(socket_link, sizeof(socket_link), "socket:[%lu]", inode);
    bool found = false;
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    while (proc && !found && (entry = readdir(proc)) != NULL)
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
            process_holds(entry->d_name, socket_link)) {
            describe(entry->d_name, out, n);
            found = true;
        }
    if (proc)
        closedir(proc);
    return found;
}

bool gw_folder_holder(const char *dir, char *out, size_t n)
{
    char real[PATH_MAX], pid[TEL_PID_TEXT];
    bool found = realpath(dir, real) && tel_holder(dir, pid) && process_holds(pid, real);
    if (found)
        describe(pid, out, n);
    return found;
}
