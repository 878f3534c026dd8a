/* JSON: a strict scanner of ours in front, then a tree. Nothing reaches the tree that the scanner
 * did not accept: UTF-8, RFC 8259 grammar, depth 64, a million values, no duplicate keys, integers
 * within int64, finite numbers of at most 63 characters, no U+0000, no lone surrogates. The tree is
 * read-only; numbers are doubles that are printed as they were written. */
#ifndef TG_BASE_JSON_H
#define TG_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/buf.h"
#include "config/base/status.h"
#include "config/base/str.h"

enum { TG_JSON_DEPTH_MAX = 64, TG_JSON_VALUES_MAX = 1000000 };

enum tg_json_type {
    TG_JSON_NULL,
    TG_JSON_BOOL,
    TG_JSON_NUMBER,
    TG_JSON_STRING,
    TG_JSON_ARRAY,
    TG_JSON_OBJECT,
};

struct tg_json; /* opaque: one value of a tree */

/* Checks text only. TG_INVALID or TG_LIMIT with "line L, column C: cause" in err. */
enum tg_status tg_json_scan(struct tg_str text, struct tg_error *err);
/* Scans and builds. *root is owned by the caller (tg_json_free). */
enum tg_status tg_json_parse(struct tg_str text, struct tg_json **root, struct tg_error *err);
void tg_json_free(struct tg_json *root);

/* All below accept NULL for v: type NULL value behaves as absent (NULL, false). Results are
 * borrowed until the root is freed. */
enum tg_json_type tg_json_type(const struct tg_json *v);
const char *tg_json_type_name(enum tg_json_type type); /* "an object", "a string", ... */
bool tg_json_is(const struct tg_json *v, enum tg_json_type type); /* false for NULL */
/* Member by exact name, NULL when absent or v is no object. */
const struct tg_json *tg_json_get(const struct tg_json *v, const char *key);
/* First child of an array or object; next sibling; the member's name. */
const struct tg_json *tg_json_first(const struct tg_json *v);
const struct tg_json *tg_json_next(const struct tg_json *v);
const char *tg_json_key(const struct tg_json *v);
size_t tg_json_count(const struct tg_json *v);
/* False when v is not of that type; tg_json_int also when the number is not whole or beyond
 * 2^53 - 1. */
bool tg_json_string(const struct tg_json *v, struct tg_str *out);
bool tg_json_number(const struct tg_json *v, double *out);
bool tg_json_int(const struct tg_json *v, int64_t *out);
bool tg_json_bool(const struct tg_json *v, bool *out);
/* Appends v as compact JSON text, numbers as they were written; null for NULL. */
enum tg_status tg_json_print(const struct tg_json *v, struct tg_buf *out);

#endif
