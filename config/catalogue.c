#include "config/catalogue.h"

#include <stdio.h>

#include "config/base/alloc.h"
#include "config/files.h"
#include "config/reader.h"
#include "config/settings.h"
#include "config/shipped_models.h" /* generated from config/models.json */

enum { FILES_MAX = 4096, PART_SUFFIX = 20 /* "-00001-of-00002.gguf" */ };

struct cfg_catalogue {
    struct tg_arena *mem;
    const char *version, *host;
    struct cfg_model_file *files;
    size_t n;
};

/* What is being read: a model's members, then one of its files'. */
struct model_text {
    const char *about;
    const struct tg_json *files;
};

struct file_text {
    const char *tag, *repository, *file;
};

/* --- names ---------------------------------------------------------------------------------- */

bool cfg_model_path_ok(struct tg_str path)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789._-";
    bool at_start = true;
    if (path.n == 0 || path.n >= CFG_MODEL_NAME_MAX)
        return false;
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];
        if (at_start && (c == '.' || c == '-' || c == '/'))
            return false;
        if (c != '/' && (c == '\0' || !strchr(allowed, c)))
            return false;
        at_start = c == '/';
    }
    return !at_start;
}

static bool ends_with(struct tg_str s, struct tg_str end)
{
    return s.n >= end.n && memcmp(s.p + s.n - end.n, end.p, end.n) == 0;
}

/* Five digits at p. */
static bool five(const char *p, uint32_t *out)
{
    uint64_t value;
    for (int i = 0; i < 5; i++)
        if (p[i] < '0' || p[i] > '9')
            return false;
    if (!tg_parse_u64((struct tg_str){ p, 5 }, &value))
        return false;
    *out = (uint32_t)value;
    return true;
}

uint32_t cfg_model_parts(struct tg_str file)
{
    uint32_t part, parts;
    if (file.n < PART_SUFFIX || !ends_with(file, TG_STR(".gguf")))
        return 1;
    const char *end = file.p + file.n - PART_SUFFIX;
    if (end[0] != '-' || !five(end + 1, &part) || memcmp(end + 6, "-of-", 4) != 0 ||
        !five(end + 10, &parts))
        return 1;
    return part >= 1 && part <= parts && parts <= CFG_PARTS_MAX ? parts : 0;
}

bool cfg_model_part(const char *file, uint32_t parts, uint32_t i, char *out, size_t n)
{
    size_t length = strlen(file);
    if (length >= n)
        return false;
    memcpy(out, file, length + 1);
    if (parts > 1) {
        char number[16];
        snprintf(number, sizeof(number), "%05u", i + 1);
        memcpy(out + length - PART_SUFFIX + 1, number, 5);
    }
    return true;
}

/* --- the file ------------------------------------------------------------------------------- */

static enum tg_status check_repository(struct cfg_reader *r, const char *repository)
{
    const char *slash = strchr(repository, '/');
    if (cfg_model_path_ok(tg_str_of(repository)) && slash && !strchr(slash + 1, '/'))
        return TG_OK;
    return cfg_refuse(r, TG_INVALID, "repository must be OWNER/NAME of A-Z a-z 0-9 . _ -");
}

static enum tg_status check_file(struct cfg_reader *r, const char *file, uint32_t *parts)
{
    struct tg_str path = tg_str_of(file);
    if (!cfg_model_path_ok(path) || !ends_with(path, TG_STR(".gguf")))
        return cfg_refuse(r, TG_INVALID, "file must be a path of A-Z a-z 0-9 . _ - that ends in "
                                         ".gguf");
    *parts = cfg_model_parts(path);
    return *parts ? TG_OK : cfg_refuse(r, TG_INVALID, "file has part numbers that make no sense");
}

static enum tg_status check_name(struct cfg_reader *r, const char *what, const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    if (*name && strspn(name, allowed) == strlen(name) && strlen(name) <= 64)
        return TG_OK;
    return cfg_refuse(r, TG_INVALID, "%s has 1 to 64 of a-z 0-9 . _ -", what);
}

static enum tg_status read_file(struct cfg_reader *r, const struct tg_json *v,
                                struct cfg_model_file *out)
{
    static const struct cfg_field fields[] = {
        { "tag", CFG_TEXT, offsetof(struct file_text, tag), 0, 64, NULL },
        { "repository", CFG_TEXT, offsetof(struct file_text, repository), 0, 200, NULL },
        { "file", CFG_TEXT, offsetof(struct file_text, file), 0, 200, NULL },
    };
    struct file_text t = { NULL, NULL, NULL };
    enum tg_status status = CFG_READ_OBJECT(r, v, fields, &t);
    if (status)
        return status;
    if (!t.tag || !t.repository || !t.file)
        return cfg_refuse(r, TG_INVALID, "needs \"tag\", \"repository\" and \"file\"");
    status = check_name(r, "a tag", t.tag);
    if (status == TG_OK)
        status = check_repository(r, t.repository);
    if (status == TG_OK)
        status = check_file(r, t.file, &out->parts);
    out->tag = t.tag;
    out->repository = t.repository;
    out->file = t.file;
    return status;
}

static enum tg_status keep_files(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct model_text *m = base;
    m->files = v;
    return tg_json_is(v, TG_JSON_ARRAY) ? TG_OK : cfg_refuse_type(r, v, "an array");
}

/* Makes room for more files behind those there are; the arena keeps the old array too. */
static enum tg_status grow(struct cfg_reader *r, struct cfg_catalogue *c, size_t more)
{
    if (more > FILES_MAX - c->n)
        return cfg_refuse(r, TG_LIMIT, "more than %d files", FILES_MAX);
    struct cfg_model_file *files = tg_arena_alloc(c->mem, c->n + more + 1, sizeof(*files));
    if (!files)
        return cfg_refuse(r, TG_NOMEM, "out of memory");
    if (c->n)
        memcpy(files, c->files, c->n * sizeof(*files));
    c->files = files;
    return TG_OK;
}

static enum tg_status read_model(struct cfg_reader *r, const struct tg_json *v, const char *name,
                                 struct cfg_catalogue *c)
{
    static const struct cfg_field fields[] = {
        { "about", CFG_TEXT, offsetof(struct model_text, about), 0, 200, NULL },
        { "files", CFG_READ, 0, 0, 0, keep_files },
    };
    struct model_text m = { NULL, NULL };
    enum tg_status status = CFG_READ_OBJECT(r, v, fields, &m);
    if (status == TG_OK && (!m.about || tg_json_count(m.files) == 0))
        status = cfg_refuse(r, TG_INVALID, "needs \"about\" and \"files\", one at least");
    if (status == TG_OK)
        status = grow(r, c, tg_json_count(m.files));
    size_t first = c->n, index = 0;
    for (const struct tg_json *f = tg_json_first(m.files); f && !status; f = tg_json_next(f)) {
        size_t mark = cfg_path_key(r, "files");
        cfg_path_index(r, index++);
        struct cfg_model_file *file = &c->files[c->n];
        status = read_file(r, f, file);
        for (size_t i = first; i < c->n && status == TG_OK; i++)
            if (strcmp(c->files[i].tag, file->tag) == 0)
                status = cfg_refuse(r, TG_INVALID, "the tag \"%s\" is there twice", file->tag);
        if (status)
            return status;
        file->model = name;
        file->about = m.about;
        file->is_default = c->n++ == first;
        cfg_path_back(r, mark);
    }
    return status;
}

static enum tg_status read_models(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_catalogue *c = base;
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return cfg_refuse_type(r, v, "an object");
    for (const struct tg_json *m = tg_json_first(v); m; m = tg_json_next(m)) {
        const char *name = tg_arena_str(c->mem, tg_str_of(tg_json_key(m))).p;
        if (!name)
            return cfg_refuse(r, TG_NOMEM, "out of memory");
        size_t mark = cfg_path_key(r, name);
        enum tg_status status = check_name(r, "a name", name);
        if (status == TG_OK)
            status = read_model(r, m, name, c);
        if (status)
            return status;
        cfg_path_back(r, mark);
    }
    return TG_OK;
}

static enum tg_status read_host(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_catalogue *c = base;
    enum tg_status status = cfg_read_text(r, v, 200, &c->host);
    if (status == TG_OK && (strncmp(c->host, "https://", 8) != 0 || c->host[8] == '\0' ||
                            c->host[strlen(c->host) - 1] == '/'))
        status = cfg_refuse(r, TG_INVALID, "must be https://HOST without a slash at its end");
    return status;
}

static enum tg_status read_catalogue(struct cfg_reader *r, struct tg_str text,
                                     struct cfg_catalogue *c)
{
    static const struct cfg_field fields[] = {
        { "version", CFG_TEXT, offsetof(struct cfg_catalogue, version), 0, 64, NULL },
        { "host", CFG_READ, 0, 0, 0, read_host },
        { "models", CFG_READ, 0, 0, 0, read_models },
    };
    struct tg_json *root;
    struct tg_error cause;
    enum tg_status status = tg_json_parse(text, &root, &cause);
    if (status)
        return cfg_refuse(r, status, "%s", cause.text);
    status = CFG_READ_OBJECT(r, root, fields, c);
    if (status == TG_OK && (!c->version || !c->host || !c->n))
        status = cfg_refuse(r, TG_INVALID, "needs \"%s\"",
                            !c->version ? "version" : !c->host ? "host" : "models");
    tg_json_free(root);
    return status;
}

enum tg_status cfg_catalogue_parse(struct tg_str text, const char *name,
                                   struct cfg_catalogue **out, struct tg_error *err)
{
    *out = NULL;
    struct tg_arena *mem = tg_arena_new(8u << 20);
    struct cfg_catalogue *c = mem ? tg_arena_alloc(mem, 1, sizeof(*c)) : NULL;
    if (!c) {
        tg_arena_free(mem);
        return tg_fail(err, TG_NOMEM, "%s: out of memory", name);
    }
    c->mem = mem;
    struct cfg_reader r = { .file = name, .mem = mem, .err = err };
    enum tg_status status = read_catalogue(&r, text, c);
    if (status)
        cfg_catalogue_free(c);
    else
        *out = c;
    return status;
}

enum tg_status cfg_catalogue_load(const char *path, struct cfg_catalogue **out,
                                  struct tg_error *err)
{
    *out = NULL;
    if (!path)
        return cfg_catalogue_parse((struct tg_str){ (const char *)shipped_models,
                                                    sizeof(shipped_models) },
                                   "built-in catalogue", out, err);
    struct tg_buf text;
    const char *cause = NULL;
    tg_buf_init(&text, CFG_FILE_MAX);
    enum tg_status status = cfg_read_file(path, true, &text, &cause);
    if (status)
        tg_fail(err, status, "%s: %s", path, cause);
    else
        status = cfg_catalogue_parse(tg_buf_str(&text), path, out, err);
    tg_buf_free(&text);
    return status;
}

void cfg_catalogue_free(struct cfg_catalogue *c)
{
    if (c)
        tg_arena_free(c->mem);
}

/* --- use ------------------------------------------------------------------------------------ */

const char *cfg_catalogue_version(const struct cfg_catalogue *c)
{
    return c->version;
}

const char *cfg_catalogue_host(const struct cfg_catalogue *c)
{
    return c->host;
}

size_t cfg_catalogue_count(const struct cfg_catalogue *c)
{
    return c->n;
}

const struct cfg_model_file *cfg_catalogue_at(const struct cfg_catalogue *c, size_t i)
{
    return &c->files[i];
}

/* OWNER/REPOSITORY/PATH.gguf, which need not be in the catalogue. */
static enum tg_status find_path(struct cfg_catalogue *c, const char *name,
                                const struct cfg_model_file **out, struct tg_error *err)
{
    struct tg_str path = tg_str_of(name);
    const char *owner = strchr(name, '/'), *repository = owner ? strchr(owner + 1, '/') : NULL;
    if (!repository || !cfg_model_path_ok(path) || !ends_with(path, TG_STR(".gguf")))
        return tg_fail(err, TG_INVALID,
                       "\"%.200s\" is not OWNER/REPOSITORY/FILE.gguf of A-Z a-z 0-9 . _ -", name);
    struct cfg_model_file *file = tg_arena_alloc(c->mem, 1, sizeof(*file));
    if (file) {
        file->repository =
            tg_arena_str(c->mem, (struct tg_str){ name, (size_t)(repository - name) }).p;
        file->file = tg_arena_str(c->mem, tg_str_of(repository + 1)).p;
        file->parts = cfg_model_parts(path);
    }
    if (!file || !file->repository || !file->file)
        return tg_fail(err, TG_NOMEM, "out of memory");
    if (!file->parts)
        return tg_fail(err, TG_INVALID, "\"%.200s\": its part numbers make no sense", name);
    *out = file;
    return TG_OK;
}

/* What there is, for the error: the tags of a model that is known, else the models. */
static enum tg_status not_found(const struct cfg_catalogue *c, const char *name,
                                struct tg_str model, struct tg_error *err)
{
    char list[300] = "";
    bool known = false;
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        known = known || tg_str_ieq(model, tg_str_of(c->files[i].model));
    for (size_t i = 0; i < c->n; i++) {
        const struct cfg_model_file *f = &c->files[i];
        bool shown = known ? tg_str_ieq(model, tg_str_of(f->model)) : f->is_default;
        if (shown && n < sizeof(list))
            n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "",
                                  known ? f->tag : f->model);
    }
    if (known)
        return tg_fail(err, TG_NOTFOUND, "\"%.100s\" is not in the catalogue; this model's tags: "
                                         "%s", name, list);
    return tg_fail(err, TG_NOTFOUND, "\"%.100s\" is not in the catalogue: %s (tollgate pull --list "
                                     "shows all; any other file is OWNER/REPOSITORY/FILE.gguf)",
                   name, list);
}

enum tg_status cfg_catalogue_find(struct cfg_catalogue *c, const char *name,
                                  const struct cfg_model_file **out, struct tg_error *err)
{
    *out = NULL;
    if (strchr(name, '/'))
        return find_path(c, name, out, err);
    const char *colon = strchr(name, ':');
    struct tg_str model = { name, colon ? (size_t)(colon - name) : strlen(name) };
    for (size_t i = 0; i < c->n && !*out; i++) {
        const struct cfg_model_file *f = &c->files[i];
        bool tag = colon ? tg_str_ieq(tg_str_of(colon + 1), tg_str_of(f->tag)) : f->is_default;
        if (tag && tg_str_ieq(model, tg_str_of(f->model)))
            *out = f;
    }
    return *out ? TG_OK : not_found(c, name, model, err);
}
