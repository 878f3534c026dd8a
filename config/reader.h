/* Reads a JSON object by a table of its keys, so that every loader refuses unknown keys, wrong
 * types and values out of range in the same words, with the JSON path. Used by config/ only. */
#ifndef CONFIG_READER_H
#define CONFIG_READER_H

#include <stddef.h>
#include <stdint.h>

#include "config/base/arena.h"
#include "config/base/json.h"
#include "config/base/status.h"

struct cfg_reader {
    const char *file; /* what err begins with */
    struct tg_arena *mem;
    struct tg_error *err;
    char path[512];   /* JSON path of the value being read */
    size_t path_n;
    void *owner;      /* for the functions of CFG_READ fields */
};

enum cfg_field_kind {
    CFG_TEXT,    /* const char *, not empty, no control characters */
    CFG_TIME,    /* int64_t milliseconds from "10s" */
    CFG_BYTES,   /* int64_t from "64KiB" */
    CFG_BYTES32, /* uint32_t from "64KiB" */
    CFG_COUNT,   /* uint32_t from a number */
    CFG_MONEY,   /* int64_t nano-dollars from "$2.50" */
    CFG_PERCENT, /* int64_t millionths from "80%" */
    CFG_READ,    /* read() does it */
    CFG_LATER,   /* a key of the design that is not built yet: refused as such */
};

struct cfg_field {
    const char *key;
    enum cfg_field_kind kind;
    size_t offset;         /* into the struct given to cfg_read_object; not for READ and LATER */
    int64_t min, max;      /* in the stored unit; TEXT: max length, 0 for 1000 */
    enum tg_status (*read)(struct cfg_reader *r, const struct tg_json *v, void *base);
};

/* v must be an object with no other keys than those of the table. Fields are read in the order of
 * the table, absent ones are left as they are. */
enum tg_status cfg_read_object(struct cfg_reader *r, const struct tg_json *v,
                               const struct cfg_field *fields, size_t n, void *base);
#define CFG_READ_OBJECT(r, v, table, base)                                                         \
    cfg_read_object(r, v, table, sizeof(table) / sizeof(*(table)), base)

/* err = "FILE: PATH: cause", or "FILE: cause" at the top. Returns code. */
enum tg_status cfg_refuse(struct cfg_reader *r, enum tg_status code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Refuses v because it is not of the wanted sort: "must be X, is a number". */
enum tg_status cfg_refuse_type(struct cfg_reader *r, const struct tg_json *v, const char *wanted);
/* v as a non-empty string without control characters, of at most max bytes, owned by the arena. */
enum tg_status cfg_read_text(struct cfg_reader *r, const struct tg_json *v, size_t max,
                             const char **out);

/* The path grows by ".key" or "[index]"; cfg_path_back returns to what either of them returned. */
size_t cfg_path_key(struct cfg_reader *r, const char *key);
size_t cfg_path_index(struct cfg_reader *r, size_t index);
void cfg_path_back(struct cfg_reader *r, size_t mark);

#endif
