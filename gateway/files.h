/* Small files that the gateway keeps beside its databases. Any thread. */
#ifndef GATEWAY_FILES_H
#define GATEWAY_FILES_H

#include "config/base/buf.h"
#include "config/base/status.h"
#include "config/base/str.h"

/* The whole of a regular file into out (which the caller frees, on failure too). TG_NOTFOUND,
 * TG_IO, TG_LIMIT (above out's maximum), TG_NOMEM: err names path and cause. */
enum tg_status gw_file_read(const char *path, struct tg_buf *out, struct tg_error *err);
/* Replaces the file whole: a temporary one beside it is written, synced and renamed, so that a
 * reader sees the old text or the new one, after a crash too. A new one is its owner's alone (mode
 * 0600; what root makes belongs to the folder's owner), an old one keeps its mode and, as far as
 * the caller may, its owner; of a symbolic link the file that it leads to is replaced. TG_IO. */
enum tg_status gw_file_write(const char *path, struct tg_str text, struct tg_error *err);
/* Whether that would be possible, but for room on the disk, before somebody works for it: makes
 * the temporary file and removes it. Errors as gw_file_write. */
enum tg_status gw_file_can_write(const char *path, struct tg_error *err);

/* For a file that is read, changed and written. It is PATH.lock that is locked (flock), not the
 * file, into whose place another is renamed, nor its folder, which the gateway keeps locked. */
enum { GW_FILE_LOCK_MS = 10000 };
struct gw_file_lock {
    int fd; /* -1: not held */
    char path[4096];
};
/* Who else asks for it waits until gw_file_unlock or the end of this process, or TG_TIMEOUT after
 * GW_FILE_LOCK_MS. TG_IO. */
enum tg_status gw_file_lock(const char *path, struct gw_file_lock *lock, struct tg_error *err);
/* Nothing of it stays. Allowed when it is not held. */
void gw_file_unlock(struct gw_file_lock *lock);

#endif
