/* GGUF reader over mmap (format: GGUF specification, version 2 and 3, little-endian). Every offset,
 * count and length is checked against the file before it is used; only the index is copied.
 *
 * A model may be split into files <name>-00001-of-0000N.gguf, of which the first is opened: its
 * metadata are the model's, its tensors and the others' are one set.
 *
 * A file must not be truncated while it is open: reading a page that is gone ends the process with
 * SIGBUS. le_gguf_check_unchanged finds it at any time before. */
#ifndef LE_GGUF_H
#define LE_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/status.h"
#include "config/base/str.h"
#include "local_engine/file_id.h"

/* Tensor element types, numbered as in the file (ggml ids). */
enum le_type {
    LE_TYPE_F32 = 0,
    LE_TYPE_F16 = 1,
    LE_TYPE_Q4_0 = 2,
    LE_TYPE_Q4_1 = 3,
    LE_TYPE_Q5_0 = 6,
    LE_TYPE_Q5_1 = 7,
    LE_TYPE_Q8_0 = 8,
    LE_TYPE_Q2_K = 10,
    LE_TYPE_Q3_K = 11,
    LE_TYPE_Q4_K = 12,
    LE_TYPE_Q5_K = 13,
    LE_TYPE_Q6_K = 14,
    LE_TYPE_IQ4_NL = 20,
    LE_TYPE_IQ4_XS = 23,
    LE_TYPE_BF16 = 30,
    LE_TYPE_MXFP4 = 39,
};

enum le_gguf_value_type {
    LE_GGUF_U8, LE_GGUF_I8, LE_GGUF_U16, LE_GGUF_I16, LE_GGUF_U32, LE_GGUF_I32, LE_GGUF_F32,
    LE_GGUF_BOOL, LE_GGUF_STRING, LE_GGUF_ARRAY, LE_GGUF_U64, LE_GGUF_I64, LE_GGUF_F64,
};

struct le_tensor {
    struct tg_str name;
    uint32_t type;      /* as in the file; may be one that le_type_name does not know */
    uint32_t n_dims;    /* 1 to 4 */
    uint64_t ne[4];     /* elements per dimension, fastest first; 1 beyond n_dims */
    const uint8_t *data; /* no alignment is promised: le_dequantise copes */
    uint64_t nbytes;     /* 0 when the type is not one that le_type_block knows */
    uint64_t plane_bytes; /* from one matrix [ne[1], ne[0]] to the next; more than its size in a
                           * view made by le_tensor_rows */
    bool mapped;          /* data are pages of a file */
};

struct le_gguf; /* opaque; immutable after open, so any thread may read it */

/* Maps the file and, of a split model, all others; keeps them open. TG_IO (cannot be opened or
 * read), TG_INVALID (malformed, or parts that do not belong together: err names the file, the
 * offset or key and the cause), TG_UNSUPPORTED (version, byte order), TG_NOMEM. *out is owned by
 * the caller. */
enum tg_status le_gguf_open(const char *path, struct le_gguf **out, struct tg_error *err);
/* The same over memory that stays the caller's until close; name is used in errors. For tests and
 * fuzzing. Parts are given in order, at least one; more than the model has are left alone. */
struct le_gguf_bytes {
    const char *name;
    const void *p;
    size_t n;
};
enum tg_status le_gguf_open_memory(const char *name, const void *p, size_t n, struct le_gguf **out,
                                   struct tg_error *err);
enum tg_status le_gguf_open_memory_parts(const struct le_gguf_bytes *parts, size_t n,
                                         struct le_gguf **out, struct tg_error *err);
void le_gguf_close(struct le_gguf *g);

/* TG_IO when a file's size or time of change is no longer what it was when it was opened: its
 * mapped pages may be gone or other ones. A few microseconds. */
enum tg_status le_gguf_check_unchanged(const struct le_gguf *g, struct tg_error *err);

const char *le_gguf_path(const struct le_gguf *g); /* the first part's */
uint64_t le_gguf_file_size(const struct le_gguf *g); /* of all parts */
size_t le_gguf_n_parts(const struct le_gguf *g);
/* Part i as it was when it was opened. False: i is no part's, or it is memory. */
bool le_gguf_file_id(const struct le_gguf *g, size_t i, struct le_file_id *out);
/* The path of the file that holds t or what t is a view of, for messages. Borrowed until close. */
const char *le_gguf_tensor_path(const struct le_gguf *g, const struct le_tensor *t);
/* NULL when absent. Borrowed until close. */
const struct le_tensor *le_gguf_tensor(const struct le_gguf *g, const char *name);
size_t le_gguf_n_tensors(const struct le_gguf *g);
const struct le_tensor *le_gguf_tensor_at(const struct le_gguf *g, size_t i);

/* Rows row0 .. row0 + rows - 1 of each matrix of t: one of several matrices fused in one tensor. A
 * view: its data are t's. Its nbytes is that of its rows alone. */
struct le_tensor le_tensor_rows(const struct le_tensor *t, uint64_t row0, uint64_t rows);
/* Tells the system that n bytes at p, inside t's data, are not needed for now: their pages need not
 * stay in memory. They may still be read. Does nothing for memory that is no file's. */
void le_tensor_drop(const struct le_tensor *t, const void *p, uint64_t n);

/* Metadata. TG_NOTFOUND when absent, TG_INVALID when of another type or out of range: err (may be
 * NULL) names the key. Integer getters accept every integer width and sign that fits. */
enum tg_status le_gguf_u32(const struct le_gguf *g, const char *key, uint32_t *out,
                           struct tg_error *err);
enum tg_status le_gguf_f32(const struct le_gguf *g, const char *key, float *out,
                           struct tg_error *err);
enum tg_status le_gguf_bool(const struct le_gguf *g, const char *key, bool *out,
                            struct tg_error *err);
enum tg_status le_gguf_string(const struct le_gguf *g, const char *key, struct tg_str *out,
                              struct tg_error *err);
/* Arrays: *n elements; the element type must be numeric for _array_u32 (each element checked, any
 * width or sign, bool included) and string for _array_string. i < n. */
enum tg_status le_gguf_array_count(const struct le_gguf *g, const char *key, uint64_t *n,
                                   struct tg_error *err);
enum tg_status le_gguf_array_u32(const struct le_gguf *g, const char *key, uint64_t i,
                                 uint32_t *out, struct tg_error *err);
/* Sequential access to a string array: start with *cursor = 0. TG_NOTFOUND behind the last. */
enum tg_status le_gguf_array_string_next(const struct le_gguf *g, const char *key, uint64_t *cursor,
                                         struct tg_str *out, struct tg_error *err);

/* All metadata, sorted by key, for people: a split model's are its first part's. i < n_keys, or
 * false. The name is printable ASCII; borrowed until close. */
struct le_gguf_key {
    struct tg_str name;
    uint32_t type, item_type; /* enum le_gguf_value_type; item_type: of an array, otherwise type */
    uint64_t count;           /* items of an array, otherwise 1 */
};
size_t le_gguf_n_keys(const struct le_gguf *g);
bool le_gguf_key_at(const struct le_gguf *g, size_t i, struct le_gguf_key *out);
/* "u32", "array", ...; static. */
const char *le_gguf_value_name(uint32_t type);
/* The value as one line of UTF-8 of less than n bytes, terminated; returns its length. Strings are
 * quoted; control characters, invisible ones and bytes that are no UTF-8 are escaped, so that it
 * can be shown on a terminal; long strings are cut and their length told; of an array the first
 * items and their number. "" when i is no key's or n below LE_GGUF_PRINT_MIN. */
enum { LE_GGUF_PRINT_MIN = 96 };
size_t le_gguf_value_print(const struct le_gguf *g, size_t i, char *out, size_t n);
/* A string of a file as harmless text for a message or a title: escaped as above but for quotes and
 * backslashes, without quotes around it, cut at n - 1 bytes and terminated. Returns out (n > 0). */
const char *le_gguf_text_print(struct tg_str s, char *out, size_t n);

/* Type table. n elements a block, bytes a block; false for a type this version does not run. */
bool le_type_block(uint32_t type, uint32_t *n, uint32_t *bytes);
/* "Q4_0", or "type 41" for one without a name (static storage, or one of four buffers of the
 * calling thread, overwritten in turn). */
const char *le_type_name(uint32_t type);
/* Dequantises n elements (a multiple of the block) from p into out (F32), exactly. type must be one
 * that le_type_block knows. */
void le_dequantise(uint32_t type, const void *p, float *out, size_t n);

#endif
