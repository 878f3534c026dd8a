/* The index over one mapped file: gguf.c builds it, gguf_value.c reads it. Private to these two. */
#ifndef LE_GGUF_INDEX_H
#define LE_GGUF_INDEX_H

#include "local_engine/gguf.h"

struct le_gguf_kv {
    struct tg_str key;
    uint32_t type;      /* enum le_gguf_value_type */
    uint32_t item_type; /* of an array; otherwise type */
    uint64_t count;     /* items of an array; otherwise 1 */
    const uint8_t *p;   /* first item; a string begins with its length */
    uint64_t nbytes;    /* all items */
};

struct le_gguf {
    char *path;
    const uint8_t *base;
    uint64_t size;
    bool mapped;
    uint32_t version;
    uint64_t n_kv, n_tensors, alignment;
    struct le_gguf_kv *kv;       /* sorted by key */
    struct le_tensor *tensor;    /* in the file's order */
    struct le_tensor **by_name;  /* sorted by name */
};

/* Bytes of one value of a fixed-size type; 0 for strings, arrays and unknown types. */
uint32_t le_gguf_value_size(uint32_t type);
/* "u32", "array", ...; static. */
const char *le_gguf_value_name(uint32_t type);

#endif
