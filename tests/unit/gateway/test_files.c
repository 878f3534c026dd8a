/* Replacing a file: what stays of the old one, and who has to wait. */
#include "gateway/files.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "tests/unit/check.h"

static char dir[64];
static mode_t old_mask;

static const char *at(const char *name)
{
    static char path[4][128];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof(path[next]), "%s/%s", dir, name);
    return path[next];
}

static void set_up(mode_t mask)
{
    strcpy(dir, "/tmp/tollgate-files-XXXXXX");
    CHECK(mkdtemp(dir));
    old_mask = umask(mask);
}

static void tear_down(void)
{
    char command[128];
    umask(old_mask);
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    CHECK_INT(system(command), 0);
}

static enum tg_status put(const char *name, const char *text, struct tg_error *err)
{
    return gw_file_write(at(name), tg_str_of(text), err);
}

static bool holds(const char *name, const char *want)
{
    struct tg_buf text;
    struct tg_error err;
    tg_buf_init(&text, 100);
    bool same = gw_file_read(at(name), &text, &err) == TG_OK &&
                tg_str_eq(tg_buf_str(&text), tg_str_of(want));
    tg_buf_free(&text);
    return same;
}

static unsigned mode_of(const char *name)
{
    struct stat info;
    return lstat(at(name), &info) == 0 ? info.st_mode & 07777 : 0;
}

static int entries(void)
{
    char command[128];
    snprintf(command, sizeof(command), "exit $(ls -A '%s' | wc -l)", dir);
    return WEXITSTATUS(system(command));
}

static void modes(void)
{
    static const mode_t masks[] = { 0, 022, 077 };
    for (size_t i = 0; i < 3; i++) {
        struct tg_error err;
        set_up(masks[i]);
        CHECK_INT(put("f", "one", &err), TG_OK);
        CHECK_INT(mode_of("f"), 0600);
        CHECK_INT(chmod(at("f"), 0640), 0);
        CHECK_INT(put("f", "two", &err), TG_OK);
        CHECK_INT(mode_of("f"), 0640);
        CHECK(holds("f", "two") && entries() == 1);
        tear_down();
    }
}

/* What root writes can be read by the user whose gateway it is. */
static void owners(void)
{
    struct tg_error err;
    struct stat info;
    if (geteuid() != 0)
        CHECK_SKIP("only root can give files away");
    set_up(022);
    CHECK_INT(chown(dir, 12345, 12346), 0);
    CHECK_INT(put("f", "one", &err), TG_OK); /* new: the folder's owner's */
    CHECK(stat(at("f"), &info) == 0 && info.st_uid == 12345 && info.st_gid == 12346);
    CHECK_INT(mode_of("f"), 0600);
    CHECK_INT(chown(at("f"), 12347, 12348), 0);
    CHECK_INT(chmod(at("f"), 0640), 0);
    CHECK_INT(put("f", "two", &err), TG_OK);
    CHECK(stat(at("f"), &info) == 0 && info.st_uid == 12347 && info.st_gid == 12348);
    CHECK_INT(mode_of("f"), 0640);
    CHECK(holds("f", "two") && entries() == 1);
    tear_down();
}

static void links(void)
{
    struct tg_error err;
    struct stat info;
    set_up(022);
    CHECK_INT(mkdir(at("there"), 0755), 0);
    CHECK_INT(put("there/f", "one", &err), TG_OK);
    CHECK_INT(symlink("there/f", at("near")), 0);
    CHECK_INT(symlink("near", at("far")), 0);
    CHECK_INT(put("far", "two", &err), TG_OK);
    CHECK(holds("there/f", "two"));
    CHECK(lstat(at("far"), &info) == 0 && S_ISLNK(info.st_mode));
    CHECK(lstat(at("near"), &info) == 0 && S_ISLNK(info.st_mode));
    CHECK_INT(symlink("nowhere", at("dangling")), 0);
    CHECK_INT(put("dangling", "x", &err), TG_IO);
    CHECK(strstr(err.text, "dangling cannot be written: it is a link to a file that is not there"));
    CHECK_INT(put("there", "x", &err), TG_IO);
    CHECK(strstr(err.text, "it is no regular file"));
    CHECK_INT(entries(), 4);
    tear_down();
}

static void looking_ahead(void)
{
    struct tg_error err;
    set_up(022);
    CHECK_INT(gw_file_can_write(at("f"), &err), TG_OK);
    CHECK_INT(entries(), 0);
    CHECK_INT(put("f", "one", &err), TG_OK);
    CHECK_INT(gw_file_can_write(at("f"), &err), TG_OK);
    CHECK(holds("f", "one") && entries() == 1);
    CHECK_INT(gw_file_can_write(at("none/f"), &err), TG_IO);
    CHECK(strstr(err.text, "none/f cannot be written: No such file"));
    CHECK_INT(gw_file_can_write(at("f/g"), &err), TG_IO);
    CHECK_INT(gw_file_can_write(dir, &err), TG_IO);
    tear_down();
}

/* A child has it for 300 ms; its write is seen by who waited. */
static void one_at_a_time(void)
{
    struct tg_error err;
    struct gw_file_lock lock;
    int ready[2], folder;
    char byte;
    set_up(022);
    CHECK_INT(pipe(ready), 0);
    folder = open(dir, O_RDONLY | O_DIRECTORY);
    CHECK(folder >= 0 && flock(folder, LOCK_EX) == 0); /* as a gateway that runs does */
    CHECK_INT(put("f.lock", "", &err), TG_OK);         /* what a crash leaves */
    CHECK_INT(gw_file_lock(at("f"), &lock, &err), TG_OK);
    CHECK_INT(entries(), 1);
    gw_file_unlock(&lock);
    CHECK_INT(entries(), 0);
    gw_file_unlock(&lock);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        bool fine = gw_file_lock(at("f"), &lock, &err) == TG_OK && write(ready[1], "x", 1) == 1;
        usleep(300000);
        _exit(fine && put("f", "child", &err) == TG_OK ? 0 : 1);
    }
    CHECK_INT(read(ready[0], &byte, 1), 1);
    int64_t begun = tg_mono_ns();
    CHECK_INT(gw_file_lock(at("f"), &lock, &err), TG_OK);
    CHECK(tg_mono_ns() - begun > 200000000);
    CHECK(holds("f", "child"));
    gw_file_unlock(&lock);
    int ended;
    CHECK_INT(waitpid(child, &ended, 0), child);
    CHECK_INT(ended, 0);
    CHECK_INT(entries(), 1); /* nothing lies about */
    CHECK_INT(gw_file_lock(at("none/f"), &lock, &err), TG_IO);
    gw_file_unlock(&lock);
    CHECK_INT(symlink("f", at("g.lock")), 0);
    CHECK_INT(gw_file_lock(at("g"), &lock, &err), TG_IO); /* nobody's link is followed */
    close(folder);
    close(ready[0]);
    close(ready[1]);
    tear_down();
}

/* Reading is what allocates: no half of a file is taken for the whole, and nothing stays open. */
static void failing_allocations(void)
{
    enum { LONG = 100000 };
    static char text[LONG + 1];
    struct tg_error err;
    bool failed = true;
    set_up(022);
    memset(text, 'x', LONG);
    CHECK_INT(put("f", text, &err), TG_OK);
    int next = dup(0);
    close(next);
    for (uint64_t nth = 1; failed; nth++) {
        struct tg_buf out;
        tg_buf_init(&out, LONG);
        tg_alloc_fail_nth(nth);
        enum tg_status status = gw_file_read(at("f"), &out, &err);
        tg_alloc_fail_nth(0);
        failed = status != TG_OK;
        CHECK(nth > 1 || failed);
        CHECK(failed ? status == TG_NOMEM && strstr(err.text, "f: out of memory") : out.n == LONG);
        tg_buf_free(&out);
        int now = dup(0);
        close(now);
        CHECK_INT(now, next);
    }
    tear_down();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(modes), CASE(owners), CASE(links), CASE(looking_ahead), CASE(one_at_a_time),
        CASE(failing_allocations),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
