/* The index over the files of a model: gguf_read.c fills it for one file, gguf.c joins the parts of
 * a split one, gguf_value.c and gguf_print.c read it. Private to gguf*.c. */
#ifndef LE_GGUF_INDEX_H
#define LE_GGUF_INDEX_H

#include "local_engine/gguf.h"

enum { LE_GGUF_TENSORS_MAX = 1 << 16, LE_GGUF_PARTS_MAX = 512 };

struct le_gguf_kv {
    struct tg_str key;
    uint32_t type;      /* enum le_gguf_value_type */
    uint32_t item_type; /* of an array; otherwise type */
    uint64_t count;     /* items of an array; otherwise 1 */
    const uint8_t *p;   /* first item; a string begins with its length */
    uint64_t nbytes;    /* all items */
};

/* One file. The first part of a model owns the others. */
struct le_gguf {
    char *path;
    const uint8_t *base;
    uint64_t size;
    bool mapped;           /* base is a mapping of fd, opened when it was as id says */
    int fd;
    struct le_file_id id;
    uint32_t version;
    uint64_t n_kv, n_tensors, alignment;
    struct le_gguf_kv *kv;     /* sorted by key */
    struct le_tensor *tensor;  /* in the file's order */

    /* Of the first part only. */
    struct le_gguf **part;     /* [n_parts], itself first */
    size_t n_parts;
    struct le_tensor **all;    /* [n_all]: every part's tensors in order */
    struct le_tensor **by_name; /* the same sorted by name */
    size_t n_all;
};

/* Fills the index from g->base: keys and this file's tensors. Errors as le_gguf_open. What it
 * allocated is g's, also when it fails. */
enum tg_status le_gguf_parse(struct le_gguf *g, struct tg_error *err);
/* As memcmp; a prefix comes first. */
int le_gguf_compare(struct tg_str a, struct tg_str b);
/* Bytes of one value of a fixed-size type; 0 for strings, arrays and unknown types. */
uint32_t le_gguf_value_size(uint32_t type);
/* Little-endian, n <= 8 bytes. */
uint64_t le_gguf_little_endian(const uint8_t *p, uint32_t n);

#endif
