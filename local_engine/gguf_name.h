/* Names of the files of a split model: <stem>-00001-of-00003.gguf. Private to gguf*.c. */
#ifndef LE_GGUF_NAME_H
#define LE_GGUF_NAME_H

#include <stdint.h>

#include "config/base/status.h"

/* What follows the last slash. */
const char *le_gguf_name_base(const char *path);
/* TG_INVALID unless path is named as the first of count parts. */
enum tg_status le_gguf_name_check(const char *path, uint32_t count, struct tg_error *err);
/* The path of part no (from 0) of a first part that le_gguf_name_check accepted. Owned by the
 * caller; NULL: no memory. */
char *le_gguf_name_part(const char *first, uint32_t no, uint32_t count);
/* TG_INVALID: path is part no > 0 of count; names the first one. */
enum tg_status le_gguf_name_first(const char *path, uint32_t no, uint32_t count,
                                  struct tg_error *err);

#endif
