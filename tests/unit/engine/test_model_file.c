/* A model whose file changes while it is loaded or runs: an error, not a signal and not another
 * model's numbers. The file of a PLE model is read in every step. */
#include "tests/unit/check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/engine/support_backends.h"
#include "tests/unit/engine/support_golden.h"

#define MODEL TG_SOURCE_DIR "/tests/golden/tiny-e-Q4_0.gguf"

static char path[64];

static void copy_model(void)
{
    snprintf(path, sizeof(path), "%s/tollgate-model-XXXXXX", P_tmpdir);
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    FILE *in = fopen(MODEL, "rb"), *out = fdopen(fd, "wb");
    CHECK(in && out);
    char block[1 << 16];
    size_t n;
    while ((n = fread(block, 1, sizeof(block), in)) > 0)
        CHECK(fwrite(block, 1, n, out) == n);
    fclose(in);
    CHECK_INT(fclose(out), 0);
}

static enum tg_status step(struct golden_model *m, uint32_t pos, struct tg_error *err)
{
    static const int32_t id = 2;
    static const uint32_t out = 0;
    return le_model_step(m->m, &id, 1, pos, &out, 1, err);
}

static void between_steps(void)
{
    struct golden_model m;
    struct tg_error err = { 0 };
    struct stat info;
    copy_model();
    if (golden_model_open(&m, path, 64, open_cpu, &err))
        CHECK_FAIL("%s", err.text);
    CHECK_INT(stat(path, &info), 0);
    CHECK_INT(step(&m, 0, &err), TG_OK);
    CHECK_INT(truncate(path, 4096), 0);
    CHECK_INT(step(&m, 1, &err), TG_IO);
    CHECK(strstr(err.text, path) == err.text && strstr(err.text, "has 4096 now"));
    golden_model_close(&m);
    unlink(path);
}

static void while_loading(void)
{
    struct golden_model m = { 0 };
    struct tg_error err = { 0 };
    copy_model();
    CHECK_INT(le_gguf_open(path, &m.g, &err), TG_OK);
    CHECK_INT(open_cpu(&m.ops, &m.be, &err), TG_OK);
    const struct timespec then[2] = { { 0, UTIME_OMIT }, { 1000, 0 } };
    CHECK_INT(utimensat(AT_FDCWD, path, then, 0), 0);
    const struct le_model_options options = { .context = 64 };
    CHECK_INT(le_model_open(m.g, m.ops, m.be, &options, &m.m, &err), TG_IO);
    CHECK(strstr(err.text, path) == err.text && strstr(err.text, "was written to"));
    CHECK(m.m == NULL);
    golden_model_close(&m);
    unlink(path);
}

/* Replaced by another file of its name, as a download does it: what is loaded goes on. */
static void replaced_by_renaming(void)
{
    struct golden_model m;
    struct tg_error err = { 0 };
    char other[64];
    copy_model();
    if (golden_model_open(&m, path, 64, open_cpu, &err))
        CHECK_FAIL("%s", err.text);
    memcpy(other, path, sizeof(other));
    copy_model();
    CHECK_INT(truncate(path, 1), 0);
    CHECK_INT(rename(path, other), 0);
    CHECK_INT(step(&m, 0, &err), TG_OK);
    golden_model_close(&m);
    unlink(other);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(between_steps),
        CASE(while_loading),
        CASE(replaced_by_renaming),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
