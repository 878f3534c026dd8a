/* Small files and folders that the configuration names. Used by config/ only. */
#ifndef CONFIG_FILES_H
#define CONFIG_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "config/base/arena.h"
#include "config/base/buf.h"
#include "config/base/status.h"

/* The whole file into out (which the caller frees, on failure too). regular: refuse anything else
 * than a regular file, whose reading could wait. TG_NOTFOUND, TG_IO, TG_LIMIT (above out's
 * maximum), TG_NOMEM; *cause is a static text or strerror's, to be used at once. */
enum tg_status cfg_read_file(const char *path, bool regular, struct tg_buf *out,
                             const char **cause);
/* The absolute folder of a file that need not exist; NULL when it has none that can be named. */
const char *cfg_folder_of(struct tg_arena *mem, const char *path);
/* name when absolute, else folder/name. NULL when out of memory. */
const char *cfg_join(struct tg_arena *mem, const char *folder, const char *name);
/* $VARIABLE/tail when set and absolute (as the XDG specification wants it), else
 * $HOME/fallback/tail; NULL when HOME is missing too. */
const char *cfg_user_folder(struct tg_arena *mem, const char *variable, const char *fallback,
                            const char *tail);

#endif
