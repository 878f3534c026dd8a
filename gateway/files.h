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
 * reader sees the old text or the new one, after a crash too. TG_IO, TG_NOMEM. */
enum tg_status gw_file_write(const char *path, struct tg_str text, struct tg_error *err);

#endif
