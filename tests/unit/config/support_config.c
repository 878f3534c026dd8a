#include "tests/unit/config/support_config.h"
#include "tests/unit/check.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[200];

static void remove_folder(void)
{
    static const char *const names[] = { "model.gguf", "key", "empty", "prices.json", "config.json",
                                         "big" };
    char path[300];
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

const char *support_folder(void)
{
    if (folder[0])
        return folder;
    const char *base = getenv("TMPDIR");
    char made[200], real[PATH_MAX];
    snprintf(made, sizeof(made), "%s/tollgate-config-XXXXXX", base && *base ? base : P_tmpdir);
    if (!mkdtemp(made) || !realpath(made, real) || strlen(real) >= sizeof(folder))
        abort();
    memcpy(folder, real, strlen(real) + 1);
    atexit(remove_folder);
    support_write("model.gguf", "x");
    support_write("key", "sk-from-a-file-0123\n");
    support_write("empty", "\n");
    return folder;
}

const char *support_write(const char *name, const char *text)
{
    static char path[300];
    snprintf(path, sizeof(path), "%s/%s", support_folder(), name);
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        abort();
    return path;
}

enum tg_status support_parse(const char *text, struct cfg_settings **out, struct tg_error *err)
{
    char copy[20000], path[300];
    size_t n = strlen(text);
    if (n >= sizeof(copy))
        abort();
    for (size_t i = 0; i <= n; i++)
        copy[i] = text[i] == '\'' ? '"' : text[i];
    snprintf(path, sizeof(path), "%s/config.json", support_folder());
    return cfg_parse((struct tg_str){ copy, n }, path, out, err);
}

struct cfg_settings *support_parsed(const char *text)
{
    struct cfg_settings *s;
    struct tg_error err;
    if (support_parse(text, &s, &err) != TG_OK)
        CHECK_FAIL("%s: %s", text, err.text);
    return s;
}
