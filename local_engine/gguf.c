/* Opening a model's file or files, and its tensors by name. */
#include "local_engine/gguf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "local_engine/gguf_index.h"
#include "local_engine/gguf_name.h"

/* Where the parts come from: files beside the first one, or memory. */
struct origin {
    const char *path;
    const struct le_gguf_bytes *bytes; /* NULL: files */
    size_t n_bytes;
};

static enum tg_status map_file(struct le_gguf *g, struct tg_error *err)
{
    /* O_NONBLOCK: opening a FIFO would wait for its writer. */
    g->fd = open(g->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (g->fd < 0)
        return tg_fail(err, TG_IO, "%s: cannot be opened: %s", g->path, strerror(errno));
    struct stat info;
    if (fstat(g->fd, &info) != 0)
        return tg_fail(err, TG_IO, "%s: %s", g->path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return tg_fail(err, TG_IO, "%s: not a regular file", g->path);
    if (info.st_size == 0)
        return tg_fail(err, TG_INVALID, "%s: offset 0: this is no GGUF file but empty", g->path);
    void *p = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, g->fd, 0);
    if (p == MAP_FAILED)
        return tg_fail(err, TG_IO, "%s: cannot be mapped: %s", g->path, strerror(errno));
    g->base = p;
    g->size = (uint64_t)info.st_size;
    g->id = (struct le_file_id){ .device = info.st_dev, .inode = info.st_ino, .size = g->size,
                                 .modified = info.st_mtim, .changed = info.st_ctim };
    g->mapped = true;
    return TG_OK;
}

static void free_one(struct le_gguf *g)
{
    if (g->mapped)
        munmap((void *)(uintptr_t)g->base, (size_t)g->size);
    if (g->fd >= 0)
        close(g->fd);
    tg_free(g->kv);
    tg_free(g->tensor);
    tg_free(g->path);
    tg_free(g);
}

/* One file: bytes, or what lies at path. */
static enum tg_status open_one(const char *path, const struct le_gguf_bytes *bytes,
                               struct le_gguf **out, struct tg_error *err)
{
    struct le_gguf *g = tg_calloc(1, sizeof(*g));
    char *name = tg_strdup(path);
    if (!g || !name) {
        tg_free(g);
        tg_free(name);
        return tg_fail(err, TG_NOMEM, "%s: out of memory", path);
    }
    g->path = name;
    g->fd = -1;
    enum tg_status st = TG_OK;
    if (bytes) {
        g->base = bytes->p;
        g->size = bytes->n;
    } else {
        st = map_file(g, err);
    }
    if (!st)
        st = le_gguf_parse(g, err);
    if (st)
        free_one(g);
    else
        *out = g;
    return st;
}

/* A key that every part of a split model has. */
static enum tg_status split_key(const struct le_gguf *g, const char *key, uint32_t *out,
                                struct tg_error *err)
{
    enum tg_status st = le_gguf_u32(g, key, out, err);
    if (st == TG_NOTFOUND)
        st = tg_fail(err, TG_INVALID, "%s: key %s is missing: this is no part of a split model",
                     g->path, key);
    return st;
}

/* How many parts the model of this first file has: 1 without the keys of a split one. */
static enum tg_status count_parts(const struct le_gguf *g, const struct origin *from,
                                  uint32_t *count, struct tg_error *err)
{
    uint32_t no = 0;
    *count = 1;
    enum tg_status st = le_gguf_u32(g, "split.count", count, err);
    if (st == TG_NOTFOUND)
        return TG_OK;
    if (!st)
        st = split_key(g, "split.no", &no, err);
    if (st)
        return st;
    if (*count == 0) /* so the tool that merges parts marks its result */
        *count = 1;
    if (*count > LE_GGUF_PARTS_MAX)
        return tg_fail(err, TG_INVALID, "%s: key split.count is %u; 1 to %d parts are read",
                       g->path, *count, LE_GGUF_PARTS_MAX);
    if (no > 0)
        return le_gguf_name_first(g->path, no, *count, err);
    return *count == 1 || from->bytes ? TG_OK : le_gguf_name_check(g->path, *count, err);
}

/* That part is number no of the model which first begins. */
static enum tg_status check_part(const struct le_gguf *first, const struct le_gguf *part,
                                 uint32_t no, struct tg_error *err)
{
    static const char *const keys[] = { "split.count", "split.tensors.count" };
    uint32_t own;
    enum tg_status st = split_key(part, "split.no", &own, err);
    if (st)
        return st;
    if (own != no)
        return tg_fail(err, TG_INVALID,
                       "%s: key split.no is %u, expected %u: this is not part %u of %s but another "
                       "one, copied or renamed", part->path, own, no, no + 1,
                       le_gguf_name_base(first->path));
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        uint32_t want;
        if ((st = split_key(first, keys[i], &want, err)) ||
            (st = split_key(part, keys[i], &own, err)))
            return st;
        if (own != want)
            return tg_fail(err, TG_INVALID, "%s: key %s is %u, but %u in %s: parts of different "
                           "models", part->path, keys[i], own, want,
                           le_gguf_name_base(first->path));
    }
    struct tg_str a, b;
    if (le_gguf_string(first, "general.architecture", &a, NULL) == TG_OK &&
        le_gguf_string(part, "general.architecture", &b, NULL) == TG_OK && !tg_str_eq(a, b))
        return tg_fail(err, TG_INVALID, "%s: key general.architecture differs from that in %s: "
                       "parts of different models", part->path, le_gguf_name_base(first->path));
    return TG_OK;
}

static enum tg_status open_part(struct le_gguf *g, const struct origin *from, uint32_t no,
                                uint32_t count, struct tg_error *err)
{
    enum tg_status st;
    if (from->bytes) {
        if (no >= from->n_bytes)
            return tg_fail(err, TG_INVALID, "%s: part %u of %u is missing", g->path, no + 1, count);
        st = open_one(from->bytes[no].name, &from->bytes[no], &g->part[no], err);
    } else {
        char *path = le_gguf_name_part(g->path, no, count);
        if (!path)
            return tg_fail(err, TG_NOMEM, "%s: out of memory", g->path);
        if (access(path, F_OK) != 0 && errno == ENOENT)
            st = tg_fail(err, TG_IO, "%s: missing: all %u parts of a split model must lie in one "
                         "folder", path, count);
        else
            st = open_one(path, NULL, &g->part[no], err);
        tg_free(path);
    }
    if (st)
        return st;
    g->n_parts++;
    return check_part(g, g->part[no], no, err);
}

static int compare_tensor(const void *a, const void *b)
{
    const struct le_tensor *x = *(struct le_tensor *const *)a, *y = *(struct le_tensor *const *)b;
    return le_gguf_compare(x->name, y->name);
}

static enum tg_status index_tensors(struct le_gguf *g, struct tg_error *err)
{
    for (size_t i = 0; i < g->n_parts; i++)
        g->n_all += (size_t)g->part[i]->n_tensors;
    uint32_t declared = (uint32_t)g->n_all;
    enum tg_status st =
        g->n_parts > 1 ? split_key(g, "split.tensors.count", &declared, err) : TG_OK;
    if (st)
        return st;
    if (declared != g->n_all)
        return tg_fail(err, TG_INVALID, "%s: key split.tensors.count is %u, but the %zu parts have "
                       "%zu tensors", g->path, declared, g->n_parts, g->n_all);
    if (g->n_all > LE_GGUF_TENSORS_MAX)
        return tg_fail(err, TG_INVALID, "%s: the parts have %zu tensors; at most %d are read",
                       g->path, g->n_all, LE_GGUF_TENSORS_MAX);
    g->all = tg_calloc(g->n_all, sizeof(struct le_tensor *));
    g->by_name = tg_calloc(g->n_all, sizeof(struct le_tensor *));
    if (!g->all || !g->by_name)
        return tg_fail(err, TG_NOMEM, "%s: out of memory", g->path);
    size_t n = 0;
    for (size_t i = 0; i < g->n_parts; i++)
        for (uint64_t k = 0; k < g->part[i]->n_tensors; k++)
            g->all[n++] = &g->part[i]->tensor[k];
    memcpy(g->by_name, g->all, n * sizeof(struct le_tensor *));
    qsort(g->by_name, n, sizeof(struct le_tensor *), compare_tensor);
    for (size_t i = 1; i < n; i++) {
        const struct le_tensor *a = g->by_name[i - 1], *b = g->by_name[i];
        if (!tg_str_eq(a->name, b->name))
            continue;
        const char *one = le_gguf_tensor_path(g, a), *other = le_gguf_tensor_path(g, b);
        return tg_fail(err, TG_INVALID, "%s: tensor %.*s occurs twice%s%s", one, TG_FMT(a->name),
                       one == other ? "" : ", also in ",
                       one == other ? "" : le_gguf_name_base(other));
    }
    return TG_OK;
}

static enum tg_status open_all(const struct origin *from, struct le_gguf **out,
                               struct tg_error *err)
{
    struct le_gguf *g;
    uint32_t count;
    *out = NULL;
    enum tg_status st = open_one(from->path, from->bytes, &g, err);
    if (st)
        return st;
    st = count_parts(g, from, &count, err);
    if (!st && !(g->part = tg_calloc(count, sizeof(struct le_gguf *))))
        st = tg_fail(err, TG_NOMEM, "%s: out of memory", g->path);
    if (!st) {
        g->part[0] = g;
        g->n_parts = 1;
    }
    for (uint32_t i = 1; !st && i < count; i++)
        st = open_part(g, from, i, count, err);
    if (!st)
        st = index_tensors(g, err);
    if (st)
        le_gguf_close(g);
    else
        *out = g;
    return st;
}

enum tg_status le_gguf_open(const char *path, struct le_gguf **out, struct tg_error *err)
{
    return open_all(&(struct origin){ .path = path }, out, err);
}

enum tg_status le_gguf_open_memory(const char *name, const void *p, size_t n, struct le_gguf **out,
                                   struct tg_error *err)
{
    const struct le_gguf_bytes bytes = { name, p, n };
    return le_gguf_open_memory_parts(&bytes, 1, out, err);
}

enum tg_status le_gguf_open_memory_parts(const struct le_gguf_bytes *parts, size_t n,
                                         struct le_gguf **out, struct tg_error *err)
{
    return open_all(&(struct origin){ parts[0].name, parts, n }, out, err);
}

void le_gguf_close(struct le_gguf *g)
{
    if (!g)
        return;
    for (size_t i = 1; i < g->n_parts; i++)
        free_one(g->part[i]);
    tg_free(g->part);
    tg_free(g->all);
    tg_free(g->by_name);
    free_one(g);
}

const char *le_gguf_path(const struct le_gguf *g)
{
    return g->path;
}

uint64_t le_gguf_file_size(const struct le_gguf *g)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < g->n_parts; i++)
        sum += g->part[i]->size;
    return sum;
}

size_t le_gguf_n_parts(const struct le_gguf *g)
{
    return g->n_parts;
}

bool le_gguf_file_id(const struct le_gguf *g, size_t i, struct le_file_id *out)
{
    if (i >= g->n_parts || !g->part[i]->mapped)
        return false;
    *out = g->part[i]->id;
    return true;
}

const char *le_gguf_tensor_path(const struct le_gguf *g, const struct le_tensor *t)
{
    /* A tensor's name lies in its own file, also that of a view. */
    uintptr_t name = (uintptr_t)t->name.p;
    for (size_t i = 0; i < g->n_parts; i++) {
        uintptr_t base = (uintptr_t)g->part[i]->base;
        if (name >= base && name - base < g->part[i]->size)
            return g->part[i]->path;
    }
    return g->path;
}

enum tg_status le_gguf_check_unchanged(const struct le_gguf *g, struct tg_error *err)
{
    for (size_t i = 0; i < g->n_parts; i++) {
        const struct le_gguf *part = g->part[i];
        struct stat info;
        if (!part->mapped)
            continue;
        if (fstat(part->fd, &info) != 0)
            return tg_fail(err, TG_IO, "%s: %s", part->path, strerror(errno));
        if ((uint64_t)info.st_size != part->size)
            return tg_fail(err, TG_IO, "%s: had %" PRIu64 " bytes when it was opened and has "
                           "%" PRIu64 " now: replace a model by renaming, not by writing into it; "
                           "load it anew", part->path, part->size, (uint64_t)info.st_size);
        if (info.st_mtim.tv_sec != part->id.modified.tv_sec ||
            info.st_mtim.tv_nsec != part->id.modified.tv_nsec)
            return tg_fail(err, TG_IO, "%s: was written to since it was opened: replace a model by "
                           "renaming, not by writing into it; load it anew", part->path);
    }
    return TG_OK;
}

const struct le_tensor *le_gguf_tensor(const struct le_gguf *g, const char *name)
{
    struct le_tensor want = { .name = tg_str_of(name) }, *key = &want;
    struct le_tensor **found =
        bsearch(&key, g->by_name, g->n_all, sizeof(struct le_tensor *), compare_tensor);
    return found ? *found : NULL;
}

size_t le_gguf_n_tensors(const struct le_gguf *g)
{
    return g->n_all;
}

const struct le_tensor *le_gguf_tensor_at(const struct le_gguf *g, size_t i)
{
    return i < g->n_all ? g->all[i] : NULL;
}

struct le_tensor le_tensor_rows(const struct le_tensor *t, uint64_t row0, uint64_t rows)
{
    struct le_tensor view = *t;
    uint64_t row_bytes = t->plane_bytes / t->ne[1];
    view.ne[1] = rows;
    view.data = t->data + row0 * row_bytes;
    view.nbytes = rows * row_bytes * t->ne[2] * t->ne[3];
    return view;
}

void le_tensor_drop(const struct le_tensor *t, const void *p, uint64_t n)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)p, end = begin + n;
    uint64_t planes = t->ne[2] * t->ne[3];
    uintptr_t first = (uintptr_t)t->data;
    uintptr_t last = first + (planes - 1) * t->plane_bytes + t->nbytes / planes;
    begin = begin > first ? begin : first; /* pages of others would be lost, not read again */
    end = end < last ? end : last;
    begin = (begin + page - 1) / page * page; /* whole pages only: neighbours share the others */
    end = end / page * page;
    if (t->mapped && begin < end)
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED); /* advice: may be refused */
}
