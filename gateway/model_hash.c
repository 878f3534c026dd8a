#include "gateway/model_hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/json.h"
#include "config/base/log.h"
#include "gateway/files.h"

enum { CHUNK = 1 << 20, CACHE_MAX = 1 << 20, CACHED_FILES = 256, ID_MAX = 192, PARTS_MAX = 999 };

struct work {
    const struct gw_model_place *place;
    char *cache_path;        /* owned */
    const atomic_bool *stop; /* NULL: no model is read */
    struct tg_error *err;
};

/* --- the file of known hashes ----------------------------------------------------------------- */

static bool is_hex(struct tg_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!s.p[i] || !strchr("0123456789abcdef", s.p[i]))
            return false;
    return s.n == TG_SHA256_HEX;
}

static void add_entry(struct tg_buf *out, struct tg_str id, struct tg_str hex)
{
    if (out->n)
        tg_buf_adds(out, ",\n");
    tg_buf_add_json(out, id);
    tg_buf_addf(out, ":\"%.*s\"", TG_FMT(hex));
}

/* *root: {"version":1,"files":{ID:HEX,...}}; NULL when there is none that can be used: it is only a
 * cache, and is written anew. */
static const struct tg_json *read_cache(const struct work *w, struct tg_json **root)
{
    struct tg_buf text;
    struct tg_error ignored;
    int64_t version = 0;
    *root = NULL;
    tg_buf_init(&text, CACHE_MAX);
    if (gw_file_read(w->cache_path, &text, &ignored) != TG_OK ||
        tg_json_parse(tg_buf_str(&text), root, &ignored) != TG_OK)
        *root = NULL;
    tg_buf_free(&text);
    if (!tg_json_int(tg_json_get(*root, "version"), &version) || version != 1)
        return NULL;
    const struct tg_json *files = tg_json_get(*root, "files");
    return tg_json_is(files, TG_JSON_OBJECT) ? files : NULL;
}

static bool find(const struct work *w, const char *id, char hex[TG_SHA256_HEX + 1])
{
    struct tg_json *root;
    struct tg_str found;
    const struct tg_json *files = read_cache(w, &root);
    bool known = files && tg_json_string(tg_json_get(files, id), &found) && is_hex(found);
    if (known) {
        memcpy(hex, found.p, TG_SHA256_HEX);
        hex[TG_SHA256_HEX] = '\0';
    }
    tg_json_free(root);
    return known;
}

/* The newest is the last; the oldest ones go when there are too many. */
static enum tg_status keep(const struct work *w, const char *id, const char *hex,
                           struct tg_error *err)
{
    struct tg_json *root;
    struct tg_buf out, entries;
    const struct tg_json *files = read_cache(w, &root), *m = tg_json_first(files);
    tg_buf_init(&entries, CACHE_MAX);
    tg_buf_init(&out, CACHE_MAX);
    for (size_t n = tg_json_count(files); n >= CACHED_FILES && m; n--)
        m = tg_json_next(m);
    for (; m; m = tg_json_next(m)) {
        struct tg_str old;
        if (tg_json_string(m, &old) && is_hex(old) && strcmp(tg_json_key(m), id) != 0)
            add_entry(&entries, tg_str_of(tg_json_key(m)), old);
    }
    add_entry(&entries, tg_str_of(id), tg_str_of(hex));
    tg_buf_addf(&out, "{\"version\":1,\"files\":{\n%.*s\n}}\n", TG_FMT(tg_buf_str(&entries)));
    enum tg_status status = entries.failed ? entries.failed : out.failed;
    if (status)
        tg_fail(err, status, "%s: out of memory", w->cache_path);
    else
        status = gw_file_write(w->cache_path, tg_buf_str(&out), err);
    tg_json_free(root);
    tg_buf_free(&entries);
    tg_buf_free(&out);
    return status;
}

/* --- one file ----------------------------------------------------------------- */

/* The time of change too: a copy that keeps times (cp -p) over a file of the same size leaves all
 * else as it was. */
static void identify(const struct stat *s, char id[ID_MAX])
{
    snprintf(id, ID_MAX, "%llu:%llu:%lld:%lld.%09ld:%lld.%09ld", (unsigned long long)s->st_dev,
             (unsigned long long)s->st_ino, (long long)s->st_size, (long long)s->st_mtim.tv_sec,
             s->st_mtim.tv_nsec, (long long)s->st_ctim.tv_sec, s->st_ctim.tv_nsec);
}

static enum tg_status read_and_hash(int fd, const struct work *w, const char *path,
                                    unsigned char digest[TG_SHA256_BYTES])
{
    struct tg_sha256 hash;
    char *chunk = tg_alloc(CHUNK);
    enum tg_status status = TG_OK;
    ssize_t got = 1;
    if (!chunk)
        return tg_fail(w->err, TG_NOMEM, "%s: out of memory", path);
    tg_sha256_init(&hash);
    while (status == TG_OK && got != 0) {
        if (atomic_load(w->stop))
            status = tg_fail(w->err, TG_CANCELLED, "%s: stopped", path);
        else if ((got = read(fd, chunk, CHUNK)) > 0)
            tg_sha256_update(&hash, chunk, (size_t)got);
        else if (got < 0 && errno != EINTR)
            status = tg_fail(w->err, TG_IO, "%s: %s", path, strerror(errno));
    }
    if (status == TG_OK)
        tg_sha256_final(&hash, digest);
    tg_free(chunk);
    return status;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Part i is the one that the engine opened, in the state that it had then. */
static bool is_opened(const struct gw_model_place *place, size_t i, const struct stat *s)
{
    const struct le_file_id *id = &place->opened[i];
    if (place->n_opened == 0)
        return true;
    return i < place->n_opened && id->device == s->st_dev && id->inode == s->st_ino &&
           id->size == (uint64_t)s->st_size && same_time(id->modified, s->st_mtim) &&
           same_time(id->changed, s->st_ctim);
}

static enum tg_status hash_open(int fd, const struct work *w, const char *path, size_t i,
                                char hex[TG_SHA256_HEX + 1])
{
    struct stat before, after;
    struct tg_error not_kept;
    unsigned char digest[TG_SHA256_BYTES];
    char id[ID_MAX], id_after[ID_MAX];
    if (fstat(fd, &before) != 0)
        return tg_fail(w->err, TG_IO, "%s: %s", path, strerror(errno));
    if (!is_opened(w->place, i, &before))
        return tg_fail(w->err, TG_CLOSED,
                       "%s: was replaced or changed since the engine opened it, and its hash would "
                       "not be that of the model which runs: start tollgate again", path);
    identify(&before, id);
    if (find(w, id, hex))
        return TG_OK;
    if (!w->stop)
        return TG_AGAIN;
    enum tg_status status = read_and_hash(fd, w, path, digest);
    if (status)
        return status;
    if (fstat(fd, &after) != 0)
        return tg_fail(w->err, TG_IO, "%s: %s", path, strerror(errno));
    identify(&after, id_after);
    if (strcmp(id, id_after) != 0)
        return tg_fail(w->err, TG_IO, "%s: was changed while it was read", path);
    tg_sha256_hex(digest, hex);
    if (keep(w, id, hex, &not_kept) != TG_OK)
        tg_log(TG_LOG_WARN, "model-hash-not-kept", "%s: it is computed again at the next start",
               not_kept.text);
    return TG_OK;
}

static enum tg_status hash_file(const struct work *w, const char *path, size_t i,
                                char hex[TG_SHA256_HEX + 1])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return tg_fail(w->err, errno == ENOENT ? TG_NOTFOUND : TG_IO, "%s: %s", path,
                       strerror(errno));
    enum tg_status status = hash_open(fd, w, path, i, hex);
    close(fd);
    return status;
}

/* --- the model ----------------------------------------------------------------- */

/* Of a first part, "...-00001-of-00003.gguf", how many there are; else 1. */
static unsigned parts_of(const char *model)
{
    static const char like[] = "-00001-of-00003.gguf", fixed[] = "-00001-of-";
    size_t n = strlen(model), tail = sizeof(like) - 1, head = sizeof(fixed) - 1;
    uint64_t count;
    if (n <= tail || memcmp(model + n - tail, fixed, head) != 0 ||
        strcmp(model + n - 5, ".gguf") != 0 ||
        !tg_parse_u64((struct tg_str){ model + n - tail + head, 5 }, &count))
        return 1;
    return count > 1 && count <= PARTS_MAX ? (unsigned)count : 1;
}

static enum tg_status hash_parts(const struct work *w, const char *model, unsigned parts,
                                 char hex[TG_SHA256_HEX + 1])
{
    struct tg_sha256 all;
    unsigned char digest[TG_SHA256_BYTES];
    char number[16], *path = tg_strdup(model);
    enum tg_status status = TG_OK;
    if (!path)
        return tg_fail(w->err, TG_NOMEM, "%s: out of memory", model);
    tg_sha256_init(&all);
    for (unsigned i = 1; status == TG_OK && i <= parts; i++) {
        snprintf(number, sizeof(number), "%05u", i % 100000);
        memcpy(path + strlen(path) - sizeof("00001-of-00003.gguf") + 1, number, 5);
        status = hash_file(w, path, i - 1, hex);
        tg_sha256_update(&all, hex, TG_SHA256_HEX);
    }
    tg_sha256_final(&all, digest);
    if (status == TG_OK)
        tg_sha256_hex(digest, hex);
    tg_free(path);
    return status;
}

static enum tg_status hash_model(const struct gw_model_place *place, const atomic_bool *stop,
                                 char hex[TG_SHA256_HEX + 1], struct tg_error *err)
{
    static const char name[] = "/model-hashes.json";
    const char *model = place->model;
    struct work w = { .place = place, .stop = stop, .err = err };
    size_t room = strlen(place->data_dir) + sizeof(name);
    w.cache_path = tg_alloc(room);
    if (!w.cache_path)
        return tg_fail(err, TG_NOMEM, "%s: out of memory", model);
    snprintf(w.cache_path, room, "%s%s", place->data_dir, name);
    memset(hex, 0, TG_SHA256_HEX + 1);
    unsigned parts = place->n_opened == 1 ? 1 : parts_of(model);
    enum tg_status status = parts > 1 ? hash_parts(&w, model, parts, hex) : TG_NOTFOUND;
    if (status == TG_NOTFOUND && place->n_opened <= 1) /* merged, with the first part's name */
        status = hash_file(&w, model, 0, hex);
    if (status)
        hex[0] = '\0';
    tg_free(w.cache_path);
    return status;
}

bool gw_model_hash_is_small(const char *model)
{
    struct stat info;
    return parts_of(model) == 1 && stat(model, &info) == 0 && info.st_size <= GW_MODEL_HASH_SMALL;
}

enum tg_status gw_model_hash_known(const struct gw_model_place *place,
                                   char hex[TG_SHA256_HEX + 1], struct tg_error *err)
{
    return hash_model(place, NULL, hex, err);
}

enum tg_status gw_model_hash(const struct gw_model_place *place, const atomic_bool *stop,
                             char hex[TG_SHA256_HEX + 1], struct tg_error *err)
{
    return hash_model(place, stop, hex, err);
}
