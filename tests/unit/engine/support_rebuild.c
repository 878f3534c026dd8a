#include "tests/unit/engine/support_rebuild.h"

#include <stdio.h>
#include <string.h>

#include "config/base/alloc.h"
#include "tests/unit/engine/support_gguf.h"

enum { HEADER = 24, ALIGNMENT = 32, FILE_MAX = 64 << 20 };

static bool read_file(struct tg_buf *b, const char *path)
{
    char block[1 << 14];
    size_t n;
    FILE *f = fopen(path, "rb");
    tg_buf_init(b, FILE_MAX);
    while (f && (n = fread(block, 1, sizeof(block), f)) > 0)
        tg_buf_add(b, block, n);
    if (f)
        fclose(f);
    return f && !b->failed;
}

bool rebuild_start(struct rebuild *r, const char *path)
{
    struct tg_error err = { .text = "" };
    *r = (struct rebuild){ 0 };
    if (!read_file(&r->file, path) ||
        le_gguf_open_memory("memory", r->file.p, r->file.n, &r->g, &err) ||
        le_gguf_n_tensors(r->g) > REBUILD_MAX) {
        fprintf(stderr, "%s: %s\n", path, err.text);
        return false;
    }
    const char *first = r->file.p + r->file.n; /* the first name in the list of tensors */
    for (r->n = 0; r->n < le_gguf_n_tensors(r->g); r->n++) {
        r->t[r->n] = *le_gguf_tensor_at(r->g, r->n);
        first = r->t[r->n].name.p < first ? r->t[r->n].name.p : first;
    }
    r->keys = (struct tg_str){ r->file.p + HEADER, (size_t)(first - 8 - r->file.p) - HEADER };
    memcpy(&r->n_keys, r->file.p + 16, 8);
    return true;
}

void rebuild_free(struct rebuild *r)
{
    while (r->n_made)
        tg_free(r->made[--r->n_made]);
    le_gguf_close(r->g);
    tg_buf_free(&r->file);
}

struct le_tensor *rebuild_find(struct rebuild *r, const char *name)
{
    for (size_t i = 0; i < r->n; i++)
        if (tg_str_eq(r->t[i].name, tg_str_of(name)))
            return &r->t[i];
    return NULL;
}

void rebuild_remove(struct rebuild *r, const char *name)
{
    struct le_tensor *t = rebuild_find(r, name);
    if (t)
        *t = r->t[--r->n];
}

void *rebuild_alloc(struct rebuild *r, size_t n)
{
    void *p = r->n_made < REBUILD_MAX ? tg_calloc(n, 1) : NULL;
    if (p)
        r->made[r->n_made++] = p;
    return p;
}

struct le_tensor *rebuild_add(struct rebuild *r, const char *name, uint32_t type, uint64_t in,
                              uint64_t out, uint64_t planes)
{
    uint32_t block = 1, bytes = 0;
    size_t n_name = strlen(name);
    if (r->n == REBUILD_MAX || !le_type_block(type, &block, &bytes) || in % block != 0)
        return NULL;
    uint64_t nbytes = in / block * bytes * out * planes;
    char *copy = rebuild_alloc(r, n_name);
    uint8_t *data = rebuild_alloc(r, nbytes);
    if (!copy || !data)
        return NULL;
    memcpy(copy, name, n_name);
    r->t[r->n] = (struct le_tensor){ .name = { copy, n_name }, .type = type,
                                     .n_dims = planes > 1 ? 3 : out > 1 ? 2 : 1,
                                     .ne = { in, out, planes, 1 }, .data = data,
                                     .nbytes = nbytes, .plane_bytes = nbytes / planes };
    return &r->t[r->n++];
}

void rebuild_write(const struct rebuild *r, struct tg_buf *out)
{
    uint64_t offset = 0;
    tg_buf_init(out, FILE_MAX);
    gguf_put_header(out, r->n, r->n_keys);
    tg_buf_add(out, r->keys.p, r->keys.n);
    for (size_t i = 0; i < r->n; i++) {
        const struct le_tensor *t = &r->t[i];
        gguf_put(out, t->name.n, 8);
        tg_buf_add(out, t->name.p, t->name.n);
        gguf_put(out, t->n_dims, 4);
        for (uint32_t k = 0; k < t->n_dims; k++)
            gguf_put(out, t->ne[k], 8);
        gguf_put(out, t->type, 4);
        gguf_put(out, offset, 8);
        offset += (t->nbytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    gguf_pad(out, ALIGNMENT);
    for (size_t i = 0; i < r->n; i++) {
        tg_buf_add(out, (const char *)r->t[i].data, (size_t)r->t[i].nbytes);
        gguf_pad(out, ALIGNMENT);
    }
}
