/* Memory as the system tells it, from files made here: control groups of both versions. */
#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "local_engine/memory.h"

static char root[64];

/* Writes root/path, whose folders are made. */
static void put(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof(full), "%s%s", root, path);
    char *slash = strchr(full + strlen(root) + 1, '/');
    for (; slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        CHECK(mkdir(full, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *f = fopen(full, "wb");
    CHECK(f != NULL);
    fputs(text, f);
    fclose(f);
}

static void start(void)
{
    snprintf(root, sizeof(root), "%s/tollgate-XXXXXX", P_tmpdir);
    CHECK(mkdtemp(root) != NULL);
    put("/proc/meminfo", "MemTotal:       1000 kB\nMemFree: 3 kB\nMemAvailable:    600 kB\n");
}

static void expect(uint64_t total, uint64_t available)
{
    char command[128];
    struct le_memory m;
    le_memory_read(root, &m);
    snprintf(command, sizeof(command), "rm -r %s", root);
    CHECK_INT(system(command), 0);
    CHECK_INT(m.total, total);
    CHECK_INT(m.available, available);
}

static void no_group(void)
{
    start();
    expect(1000 << 10, 600 << 10);
    start();
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/memory.max", "max\n");
    put("/sys/fs/cgroup/memory.current", "5000\n");
    expect(1000 << 10, 600 << 10);
}

static void version_2(void)
{
    start();
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/b/memory.max", "max\n");
    put("/sys/fs/cgroup/a/memory.max", "500000\n");
    put("/sys/fs/cgroup/a/memory.current", "300000\n");
    put("/sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 100000\nactive_file 70000\n");
    expect(500000, 370000);
}

static void version_1(void)
{
    start();
    put("/proc/self/cgroup", "3:cpu,cpuacct:/x\n2:memory:/x/y\n");
    put("/sys/fs/cgroup/memory/x/y/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "400000\n");
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "500000\n");
    put("/sys/fs/cgroup/memory/memory.stat",
        "cache 1\ntotal_inactive_file 1000\ntotal_active_file 200000\n");
    put("/sys/fs/cgroup/memory.max", "1\n"); /* not a group of version 1 */
    expect(400000, 101000);
}

static void nothing_is_told(void)
{
    start();
    put("/proc/meminfo", "odd\n");
    expect(UINT64_MAX, UINT64_MAX);
}

static void this_machine(void)
{
    struct le_memory m;
    le_memory_read("", &m);
    CHECK(m.available <= m.total && m.available > 1 << 20);
    CHECK(m.total <= (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE));
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(no_group), CASE(version_2), CASE(version_1), CASE(nothing_is_told),
        CASE(this_machine),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
