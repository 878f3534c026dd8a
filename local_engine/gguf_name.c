#include "local_engine/gguf_name.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "config/base/alloc.h"

enum { SUFFIX = sizeof("-00001-of-00001.gguf") - 1 };

const char *le_gguf_name_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void suffix_of(uint32_t no, uint32_t count, char out[SUFFIX + 16])
{
    snprintf(out, SUFFIX + 16, "-%05u-of-%05u.gguf", no + 1, count);
}

static bool ends_in(const char *path, const char *suffix)
{
    size_t n = strlen(path), k = strlen(suffix);
    return n >= k && strcmp(path + n - k, suffix) == 0;
}

enum tg_status le_gguf_name_check(const char *path, uint32_t count, struct tg_error *err)
{
    char suffix[SUFFIX + 16];
    suffix_of(0, count, suffix);
    if (ends_in(path, suffix))
        return TG_OK;
    return tg_fail(err, TG_INVALID, "%s: key split.count says that this is the first of %u parts: "
                   "its name must end in %s, and the other parts must lie beside it", path, count,
                   suffix);
}

char *le_gguf_name_part(const char *first, uint32_t no, uint32_t count)
{
    char suffix[SUFFIX + 16];
    size_t n = strlen(first);
    char *path = tg_strdup(first);
    suffix_of(no, count, suffix);
    if (path && n >= SUFFIX)
        memcpy(path + n - SUFFIX, suffix, SUFFIX);
    return path;
}

enum tg_status le_gguf_name_first(const char *path, uint32_t no, uint32_t count,
                                  struct tg_error *err)
{
    char own[SUFFIX + 16], first[SUFFIX + 16];
    const char *base = le_gguf_name_base(path);
    suffix_of(no, count, own);
    suffix_of(0, count, first);
    size_t stem = ends_in(base, own) ? strlen(base) - SUFFIX : 0;
    return tg_fail(err, TG_INVALID, "%s: this is part %u of %u of a split model: open the first "
                   "one, %s%.*s%s", path, no + 1, count, stem ? "" : "whose name ends in ",
                   (int)stem, base, first);
}
