/* How many compute threads are of use here. Two of them on one core, or more than the quota of a
 * control group, would only wait for each other. */
#include "local_engine/cpu/pool.h"

#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 512, LINE_BYTES = 512 };

/* The first line of a file of the system, without its end; false when there is none. */
static bool first_line(const char *path, char *out)
{
    FILE *f = fopen(path, "re");
    bool ok = f && fgets(out, LINE_BYTES, f);
    if (f)
        fclose(f);
    if (ok)
        out[strcspn(out, "\n")] = '\0';
    return ok;
}

/* Whether a processor of the mask with a lower number is on the same core ("0,64" or "0-1"). */
static bool has_lower_sibling(int cpu, const cpu_set_t *mask)
{
    char path[PATH_BYTES], line[LINE_BYTES];
    int from, to, at = 0, n;
    snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
             cpu);
    if (!first_line(path, line))
        return false;
    while (sscanf(line + at, "%d%n", &from, &n) == 1) {
        at += n;
        to = from;
        if (sscanf(line + at, "-%d%n", &to, &n) == 1)
            at += n;
        for (int i = from; i <= to && i < cpu; i++)
            if (i >= 0 && CPU_ISSET(i, mask))
                return true;
        at += line[at] == ',';
    }
    return false;
}

/* The quota of one group in processors, rounded up; 0: none. */
static uint32_t quota_of(const char *group)
{
    char path[PATH_BYTES], line[LINE_BYTES];
    uint64_t quota = 0, period = 0;
    snprintf(path, sizeof(path), "/sys/fs/cgroup%s/cpu.max", group);
    if (!first_line(path, line) || sscanf(line, "%" SCNu64 " %" SCNu64, &quota, &period) != 2 ||
        quota == 0 || period == 0)
        return 0;
    return (uint32_t)((quota + period - 1) / period);
}

/* The smallest quota of the process's control group (version 2) and of those above it. */
static uint32_t quota(void)
{
    char group[LINE_BYTES];
    uint32_t least = 0;
    if (!first_line("/proc/self/cgroup", group) || strncmp(group, "0::/", 4) != 0)
        return quota_of("");
    for (char *path = group + 3;; *strrchr(path, '/') = '\0') {
        uint32_t q = quota_of(strcmp(path, "/") == 0 ? "" : path);
        least = q > 0 && (least == 0 || q < least) ? q : least;
        if (!strrchr(path, '/'))
            return least;
    }
}

uint32_t cpu_cores(void)
{
    cpu_set_t mask;
    uint32_t n = 0, most = quota();
    CPU_ZERO(&mask);
    if (sched_getaffinity(0, sizeof(mask), &mask) == 0)
        for (int i = 0; i < CPU_SETSIZE; i++)
            n += CPU_ISSET(i, &mask) && !has_lower_sibling(i, &mask);
    n = n > 0 ? n : 1;
    n = most > 0 && most < n ? most : n;
    return n < CPU_THREADS_MAX ? n : CPU_THREADS_MAX;
}
