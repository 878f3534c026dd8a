#include "local_engine/memory.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 1024, LINE_BYTES = 512 };

/* The number behind a word at the start of a line ("MemTotal:", "inactive_file"), or the first of
 * the file when word is "". False: no such file, line or number ("max"). */
static bool read_number(const char *path, const char *word, uint64_t *out)
{
    char line[LINE_BYTES];
    FILE *f = fopen(path, "re");
    size_t n = strlen(word);
    bool found = false;
    while (f && !found && fgets(line, sizeof(line), f))
        if (strncmp(line, word, n) == 0)
            found = sscanf(line + n, "%" SCNu64, out) == 1;
    if (f)
        fclose(f);
    return found;
}

/* The names of a version's files in a control group's folder, and of lines in memory.stat. */
static const struct version {
    const char *mount, *limit, *usage, *file[2];
} versions[] = {
    { "/sys/fs/cgroup", "memory.max", "memory.current", { "inactive_file ", "active_file " } },
    { "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
      { "total_inactive_file ", "total_active_file " } },
};

/* Lowers *m to what one group leaves. Pages of files can be given back, as MemAvailable counts
 * them, also those that were read twice: a model that was just fetched and checked is such. */
static void apply_group(const struct version *v, const char *root, const char *group,
                        struct le_memory *m)
{
    char path[PATH_BYTES];
    uint64_t limit, usage = 0;
    snprintf(path, sizeof(path), "%s%s%s/%s", root, v->mount, group, v->limit);
    if (!read_number(path, "", &limit))
        return;
    snprintf(path, sizeof(path), "%s%s%s/%s", root, v->mount, group, v->usage);
    read_number(path, "", &usage);
    snprintf(path, sizeof(path), "%s%s%s/memory.stat", root, v->mount, group);
    for (size_t i = 0; i < sizeof(v->file) / sizeof(*v->file); i++) {
        uint64_t pages = 0;
        read_number(path, v->file[i], &pages);
        usage -= pages < usage ? pages : usage;
    }
    uint64_t left = limit > usage ? limit - usage : 0;
    m->total = limit < m->total ? limit : m->total;
    m->available = left < m->available ? left : m->available;
}

/* A group and all above it, up to the mount itself. */
static void apply_groups(const struct version *v, const char *root, char *group,
                         struct le_memory *m)
{
    for (char *slash = group + strlen(group); slash; slash = strrchr(group, '/')) {
        *slash = '\0';
        apply_group(v, root, group, m);
    }
}

/* A line of /proc/self/cgroup is "0::/group" for version 2, "4:memory:/group" for version 1. */
static const struct version *version_of(const char *controllers)
{
    char list[LINE_BYTES];
    if (!*controllers)
        return &versions[0];
    snprintf(list, sizeof(list), ",%s,", controllers);
    return strstr(list, ",memory,") ? &versions[1] : NULL;
}

void le_memory_read(const char *root, struct le_memory *out)
{
    char path[PATH_BYTES], line[LINE_BYTES];
    uint64_t kib;
    *out = (struct le_memory){ UINT64_MAX, UINT64_MAX };
    snprintf(path, sizeof(path), "%s/proc/meminfo", root);
    if (read_number(path, "MemTotal:", &kib))
        out->total = kib * 1024;
    if (read_number(path, "MemAvailable:", &kib))
        out->available = kib * 1024;
    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f)) {
        char *first = strchr(line, ':'), *second = first ? strchr(first + 1, ':') : NULL;
        line[strcspn(line, "\n")] = '\0';
        if (!second)
            continue;
        *second = '\0';
        const struct version *v = version_of(first + 1);
        if (v)
            apply_groups(v, root, second + 1, out);
    }
    if (f)
        fclose(f);
}
