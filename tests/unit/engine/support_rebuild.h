/* Rebuilds a GGUF file in memory with other tensors: for tests of the forms a model may come in. */
#ifndef TESTS_UNIT_ENGINE_SUPPORT_REBUILD_H
#define TESTS_UNIT_ENGINE_SUPPORT_REBUILD_H

#include "config/base/buf.h"
#include "local_engine/gguf.h"

enum { REBUILD_MAX = 256 };

struct rebuild {
    struct tg_buf file;   /* the original, mapped by g */
    struct le_gguf *g;
    struct tg_str keys;   /* its metadata as they stand in the file */
    uint64_t n_keys;
    struct le_tensor t[REBUILD_MAX]; /* what the new file will hold; names and data borrowed */
    size_t n;
    void *made[REBUILD_MAX]; /* data and names that rebuild_free frees */
    size_t n_made;
};

/* Takes over every tensor of the file at path. False: it cannot be read. */
bool rebuild_start(struct rebuild *r, const char *path);
void rebuild_free(struct rebuild *r);
/* NULL when there is none of that name (now). */
struct le_tensor *rebuild_find(struct rebuild *r, const char *name);
void rebuild_remove(struct rebuild *r, const char *name);
/* Zeroed memory that lives until rebuild_free. */
void *rebuild_alloc(struct rebuild *r, size_t n);
/* A tensor of the given shape, with data to be filled: zeros, of t.nbytes. type must be known. */
struct le_tensor *rebuild_add(struct rebuild *r, const char *name, uint32_t type, uint64_t in,
                              uint64_t out, uint64_t planes);
/* The new file, to be freed. */
void rebuild_write(const struct rebuild *r, struct tg_buf *out);

#endif
