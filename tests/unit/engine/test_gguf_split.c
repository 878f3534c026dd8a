/* Models in several files: in memory, where AddressSanitizer sees every byte, and on disk. */
#include "tests/unit/check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "tests/unit/engine/support_gguf.h"

enum { PARTS = 3, FILE_MAX = 4096, TENSORS = 3 };

/* What a part says of itself. A tensor has 4 x 2 floats, each byte the last letter of its name. */
struct part {
    uint32_t no, count, total;
    const char *arch; /* NULL: no such key */
    const char *tensor[TENSORS];
};

static const struct part good[PARTS] = {
    { 0, 3, 4, "gemma4", { "t.a", "t.b" } },
    { 1, 3, 4, NULL, { "t.c" } },
    { 2, 3, 4, NULL, { "t.d" } },
};

static void write_part(struct tg_buf *b, const struct part *p)
{
    static const uint64_t ne[2] = { 4, 2 };
    uint32_t n = 0, keys = p->arch ? 5 : 3;
    while (n < TENSORS && p->tensor[n])
        n++;
    tg_buf_init(b, FILE_MAX);
    gguf_put_header(b, n, keys);
    gguf_put_key(b, "split.no", LE_GGUF_U16);
    gguf_put(b, p->no, 2);
    gguf_put_key(b, "split.count", LE_GGUF_U16);
    gguf_put(b, p->count, 2);
    gguf_put_key(b, "split.tensors.count", LE_GGUF_I32);
    gguf_put(b, p->total, 4);
    if (p->arch) {
        gguf_put_key(b, "general.architecture", LE_GGUF_STRING);
        gguf_put_string(b, p->arch);
        gguf_put_key(b, "only.here", LE_GGUF_U8);
        gguf_put(b, 7, 1);
    }
    for (uint32_t i = 0; i < n; i++)
        gguf_put_tensor(b, p->tensor[i], ne, 2, LE_TYPE_F32, 32 * i);
    gguf_pad(b, 32);
    for (uint32_t i = 0; i < n; i++)
        for (int k = 0; k < 32; k++)
            tg_buf_addc(b, p->tensor[i][2]);
    CHECK_INT(b->failed, TG_OK);
}

/* Opens n parts from blocks of exactly their sizes. *hold: those, to be freed after close. */
static enum tg_status open_parts(const struct part *parts, size_t n, void *hold[PARTS],
                                 struct le_gguf **g, struct tg_error *err)
{
    static const char *const names[PARTS] = { "one", "two", "three" };
    struct le_gguf_bytes bytes[PARTS];
    for (size_t i = 0; i < n; i++) {
        struct tg_buf b;
        write_part(&b, &parts[i]);
        hold[i] = malloc(b.n);
        memcpy(hold[i], b.p, b.n);
        bytes[i] = (struct le_gguf_bytes){ names[i], hold[i], b.n };
        tg_buf_free(&b);
    }
    return le_gguf_open_memory_parts(bytes, n, g, err);
}

static void free_all(void *hold[PARTS], size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(hold[i]);
}

static void check_tensors(const struct le_gguf *g)
{
    static const char *const names[] = { "t.a", "t.b", "t.c", "t.d" };
    CHECK_INT(le_gguf_n_tensors(g), 4);
    CHECK(le_gguf_tensor_at(g, 4) == NULL);
    for (size_t i = 0; i < 4; i++) {
        const struct le_tensor *t = le_gguf_tensor(g, names[i]);
        CHECK(t != NULL && t == le_gguf_tensor_at(g, i));
        CHECK_INT(t->nbytes, 32);
        CHECK(t->data[0] == names[i][2] && t->data[31] == names[i][2]);
    }
    CHECK(le_gguf_tensor(g, "t.e") == NULL);
}

static void joined(void)
{
    void *hold[PARTS];
    struct le_gguf *g;
    struct tg_error err = { 0 };
    uint32_t v;
    if (open_parts(good, PARTS, hold, &g, &err))
        CHECK_FAIL("%s", err.text);
    check_tensors(g);
    CHECK_INT(le_gguf_n_parts(g), 3);
    CHECK_STR(le_gguf_path(g), "one");
    CHECK_STR(le_gguf_tensor_path(g, le_gguf_tensor(g, "t.a")), "one");
    CHECK_STR(le_gguf_tensor_path(g, le_gguf_tensor(g, "t.c")), "two");
    struct le_tensor view = le_tensor_rows(le_gguf_tensor(g, "t.d"), 1, 1);
    CHECK_STR(le_gguf_tensor_path(g, &view), "three");
    CHECK_INT(le_gguf_u32(g, "only.here", &v, NULL), TG_OK);
    CHECK_INT(le_gguf_u32(g, "split.no", &v, NULL), TG_OK);
    CHECK_INT(v, 0);
    CHECK_INT(le_gguf_check_unchanged(g, NULL), TG_OK);
    le_gguf_close(g);
    free_all(hold, PARTS);
}

/* As tools write it on request: the first part has the metadata and no tensors. */
static void first_without_tensors(void)
{
    static const struct part parts[2] = {
        { 0, 2, 1, "gemma4", { NULL } },
        { 1, 2, 1, NULL, { "t.x" } },
    };
    void *hold[PARTS];
    struct le_gguf *g;
    CHECK_INT(open_parts(parts, 2, hold, &g, NULL), TG_OK);
    CHECK_INT(le_gguf_n_tensors(g), 1);
    CHECK(le_gguf_tensor(g, "t.x")->data[0] == 'x');
    le_gguf_close(g);
    free_all(hold, 2);
}

/* One part that says it is one of one, or, as merged files do, of none. */
static void split_in_one(void)
{
    static const struct part alone = { 0, 1, 1, "gemma4", { "t.a" } };
    static const struct part merged = { 0, 0, 2, "gemma4", { "t.a", "t.b" } };
    void *hold[PARTS];
    struct le_gguf *g;
    CHECK_INT(open_parts(&merged, 1, hold, &g, NULL), TG_OK);
    CHECK_INT(le_gguf_n_tensors(g), 2);
    le_gguf_close(g);
    free_all(hold, 1);
    CHECK_INT(open_parts(&alone, 1, hold, &g, NULL), TG_OK);
    CHECK_INT(le_gguf_n_parts(g), 1);
    le_gguf_close(g);
    free_all(hold, 1);
}

/* The good model with part `which` as given and n parts: refused with both texts. */
static void refused(uint32_t which, struct part changed, size_t n, const char *text,
                    const char *also)
{
    struct part parts[PARTS];
    void *hold[PARTS];
    struct le_gguf *g;
    struct tg_error err = { 0 };
    memcpy(parts, good, sizeof(parts));
    parts[which] = changed;
    enum tg_status st = open_parts(parts, n, hold, &g, &err);
    if (st != TG_INVALID || !strstr(err.text, text) || !strstr(err.text, also))
        CHECK_FAIL("%s \"%s\", want \"%s\" and \"%s\"", tg_status_name(st), err.text, text, also);
    CHECK_INT(err.code, st);
    CHECK(g == NULL);
    free_all(hold, n);
}

static void parts_that_do_not_fit(void)
{
    refused(0, good[0], 2, "one: part 3 of 3 is missing", "");
    refused(0, good[1], 3, "one: this is part 2 of 3", "-00001-of-00003.gguf");
    refused(1, good[2], 3, "two: key split.no is 2, expected 1", "part 2 of one");
    refused(2, good[1], 3, "three: key split.no is 1, expected 2", "copied or renamed");
    refused(0, (struct part){ 0, 513, 4, "gemma4", { "t.a", "t.b" } }, 3, "split.count is 513",
            "512");
    refused(1, (struct part){ 1, 2, 4, NULL, { "t.c" } }, 3, "two: key split.count is 2, but 3",
            "different models");
    refused(2, (struct part){ 2, 3, 9, NULL, { "t.d" } }, 3,
            "three: key split.tensors.count is 9, but 4", "different models");
    refused(1, (struct part){ 1, 3, 4, "llama", { "t.c" } }, 3,
            "two: key general.architecture differs", "in one");
    refused(1, (struct part){ 1, 3, 4, NULL, { "t.c", "t.x" } }, 3,
            "one: key split.tensors.count is 4, but the 3 parts have 5 tensors", "");
    refused(2, (struct part){ 2, 3, 4, NULL, { NULL } }, 3, "the 3 parts have 3 tensors", "");
    refused(2, (struct part){ 2, 3, 4, NULL, { "t.c" } }, 3, "two: tensor t.c occurs twice",
            "also in three");
}

/* Bytes of one part changed where `near` is. */
static void refused_patched(uint32_t which, const char *near, size_t delta, uint64_t v, unsigned n,
                            const char *text)
{
    static const char *const names[PARTS] = { "one", "two", "three" };
    struct le_gguf_bytes bytes[PARTS];
    struct tg_buf b[PARTS];
    struct le_gguf *g;
    struct tg_error err = { 0 };
    for (uint32_t i = 0; i < PARTS; i++) {
        write_part(&b[i], &good[i]);
        if (i == which) {
            CHECK(gguf_find(&b[i], near) < b[i].n);
            gguf_patch(&b[i], gguf_find(&b[i], near) + delta, v, n);
        }
        bytes[i] = (struct le_gguf_bytes){ names[i], b[i].p, b[i].n };
    }
    enum tg_status st = le_gguf_open_memory_parts(bytes, PARTS, &g, &err);
    if (st != TG_INVALID || !strstr(err.text, text))
        CHECK_FAIL("%s \"%s\", want \"%s\"", tg_status_name(st), err.text, text);
    CHECK(g == NULL);
    for (uint32_t i = 0; i < PARTS; i++)
        tg_buf_free(&b[i]);
}

static void keys_and_tensors_of_parts(void)
{
    refused_patched(1, "split.no", 7, 'x', 1, "two: key split.no is missing: this is no part");
    refused_patched(0, "split.no", 7, 'x', 1, "one: key split.no is missing");
    refused_patched(2, "split.count", 6, 'X', 1, "three: key split.count is missing");
    refused_patched(0, "split.tensors.count", 6, 'X', 1, "one: key split.tensors.count is missing");
    refused_patched(2, "split.tensors.count", 19, LE_GGUF_F32, 4, "three: key split.tensors.count");
    refused_patched(2, "split.tensors.count", 23, 0xffffffff, 4, "three: key split.tensors.count");
    refused_patched(1, "GGUF", 0, 'X', 1, "two: offset 0");
    refused_patched(2, "t.d", 3 + 4 + 8, 3, 8, "three: tensor t.d: its data");
}

static void every_truncation(void)
{
    for (uint32_t which = 0; which < PARTS; which++) {
        struct tg_buf b[PARTS];
        for (uint32_t i = 0; i < PARTS; i++)
            write_part(&b[i], &good[i]);
        for (size_t n = 0; n < b[which].n; n++) {
            struct le_gguf_bytes bytes[PARTS];
            struct le_gguf *g;
            struct tg_error err = { 0 };
            for (uint32_t i = 0; i < PARTS; i++)
                bytes[i] = (struct le_gguf_bytes){ i == which ? "this" : "other", b[i].p, b[i].n };
            bytes[which].n = n;
            bytes[which].p = memcpy(malloc(n + 1), b[which].p, n);
            CHECK_INT(le_gguf_open_memory_parts(bytes, PARTS, &g, &err), TG_INVALID);
            CHECK(strstr(err.text, "this") == err.text && g == NULL);
            free((void *)(uintptr_t)bytes[which].p);
        }
        for (uint32_t i = 0; i < PARTS; i++)
            tg_buf_free(&b[i]);
    }
}

static void failed_allocations(void)
{
    uint64_t nth = 1;
    struct tg_buf b[PARTS];
    struct le_gguf_bytes bytes[PARTS];
    for (uint32_t i = 0; i < PARTS; i++) {
        write_part(&b[i], &good[i]);
        bytes[i] = (struct le_gguf_bytes){ "memory", b[i].p, b[i].n };
    }
    for (;; nth++) {
        struct le_gguf *g;
        tg_alloc_fail_nth(nth);
        enum tg_status st = le_gguf_open_memory_parts(bytes, PARTS, &g, NULL);
        tg_alloc_fail_nth(0);
        le_gguf_close(g);
        if (st == TG_OK)
            break;
        CHECK_INT(st, TG_NOMEM);
    }
    CHECK(nth > 12);
    for (uint32_t i = 0; i < PARTS; i++)
        tg_buf_free(&b[i]);
}

/* On disk: a folder of our own, gone at the end of the case unless a check failed. */
static char folder[64];

static const char *in_folder(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const struct part *p)
{
    struct tg_buf b;
    write_part(&b, p);
    FILE *f = fopen(in_folder(name), "wb");
    CHECK(f && fwrite(b.p, 1, b.n, f) == b.n);
    CHECK_INT(fclose(f), 0);
    tg_buf_free(&b);
}

static void start(void)
{
    snprintf(folder, sizeof(folder), "%s/tollgate-split-XXXXXX", P_tmpdir);
    CHECK(mkdtemp(folder) != NULL);
    write_file("m-00001-of-00003.gguf", &good[0]);
    write_file("m-00002-of-00003.gguf", &good[1]);
    write_file("m-00003-of-00003.gguf", &good[2]);
}

static void finish(void)
{
    unlink(in_folder("m-00001-of-00003.gguf"));
    unlink(in_folder("m-00002-of-00003.gguf"));
    unlink(in_folder("m-00003-of-00003.gguf"));
    CHECK_INT(rmdir(folder), 0);
}

static void not_opened(const char *name, enum tg_status want, const char *text)
{
    struct le_gguf *g;
    struct tg_error err = { 0 };
    enum tg_status st = le_gguf_open(name, &g, &err);
    if (st != want || !strstr(err.text, text))
        CHECK_FAIL("%s \"%s\", want \"%s\"", tg_status_name(st), err.text, text);
    CHECK(g == NULL);
}

static void on_disk(void)
{
    struct le_gguf *g;
    struct tg_error err = { 0 };
    struct stat info[PARTS];
    start();
    int fd = open("/dev/null", O_RDONLY); /* the lowest free number: the same at the end */
    close(fd);
    if (le_gguf_open(in_folder("m-00001-of-00003.gguf"), &g, &err))
        CHECK_FAIL("%s", err.text);
    check_tensors(g);
    CHECK_STR(le_gguf_tensor_path(g, le_gguf_tensor(g, "t.d")),
              in_folder("m-00003-of-00003.gguf"));
    CHECK_INT(stat(in_folder("m-00001-of-00003.gguf"), &info[0]), 0);
    CHECK_INT(stat(in_folder("m-00002-of-00003.gguf"), &info[1]), 0);
    CHECK_INT(stat(in_folder("m-00003-of-00003.gguf"), &info[2]), 0);
    CHECK_INT(le_gguf_file_size(g), info[0].st_size + info[1].st_size + info[2].st_size);
    le_gguf_close(g);
    not_opened(in_folder("m-00002-of-00003.gguf"), TG_INVALID,
               "this is part 2 of 3 of a split model: open the first one, m-00001-of-00003.gguf");
    CHECK_INT(rename(in_folder("m-00003-of-00003.gguf"), in_folder("kept")), 0);
    not_opened(in_folder("m-00001-of-00003.gguf"), TG_IO, "m-00003-of-00003.gguf: missing");
    write_file("m-00003-of-00003.gguf", &good[1]);
    not_opened(in_folder("m-00001-of-00003.gguf"), TG_INVALID,
               "m-00003-of-00003.gguf: key split.no is 1, expected 2");
    CHECK_INT(rename(in_folder("kept"), in_folder("m-00003-of-00003.gguf")), 0);
    CHECK_INT(rename(in_folder("m-00001-of-00003.gguf"), in_folder("model.gguf")), 0);
    not_opened(in_folder("model.gguf"), TG_INVALID, "its name must end in -00001-of-00003.gguf");
    CHECK_INT(rename(in_folder("model.gguf"), in_folder("m-00001-of-00003.gguf")), 0);
    CHECK_INT(rename(in_folder("m-00002-of-00003.gguf"), in_folder("part")), 0);
    not_opened(in_folder("part"), TG_INVALID, "whose name ends in -00001-of-00003.gguf");
    not_opened(in_folder("m-00001-of-00003.gguf"), TG_IO, "m-00002-of-00003.gguf: missing");
    CHECK_INT(rename(in_folder("part"), in_folder("m-00002-of-00003.gguf")), 0);
    int again = open("/dev/null", O_RDONLY);
    close(again);
    CHECK_INT(again, fd);
    finish();
}

static void named_without_a_folder(void)
{
    struct le_gguf *g;
    start();
    int here = open(".", O_RDONLY | O_DIRECTORY);
    CHECK(here >= 0 && chdir(folder) == 0);
    enum tg_status st = le_gguf_open("m-00001-of-00003.gguf", &g, NULL);
    CHECK_INT(fchdir(here), 0);
    close(here);
    CHECK_INT(st, TG_OK);
    check_tensors(g);
    le_gguf_close(g);
    finish();
}

/* A file that changes while it is open is found before its pages are read. */
static void changed_while_open(void)
{
    struct le_gguf *g;
    struct tg_error err = { 0 };
    struct stat info;
    struct le_file_id id;
    start();
    const char *path = in_folder("m-00002-of-00003.gguf");
    CHECK_INT(stat(path, &info), 0);
    const struct timespec same[2] = { { 0, UTIME_OMIT }, info.st_mtim };
    CHECK_INT(le_gguf_open(in_folder("m-00001-of-00003.gguf"), &g, NULL), TG_OK);
    CHECK_INT(le_gguf_check_unchanged(g, NULL), TG_OK);
    CHECK_INT(truncate(path, info.st_size - 1), 0);
    CHECK_INT(utimensat(AT_FDCWD, path, same, 0), 0);
    CHECK_INT(le_gguf_check_unchanged(g, &err), TG_IO);
    CHECK(strstr(err.text, "m-00002-of-00003.gguf: had") && strstr(err.text, "by renaming"));
    CHECK_INT(truncate(path, info.st_size), 0);
    CHECK_INT(utimensat(AT_FDCWD, path, same, 0), 0);
    CHECK_INT(le_gguf_check_unchanged(g, &err), TG_OK);
    const struct timespec later[2] = { { 0, UTIME_OMIT }, { info.st_mtim.tv_sec + 1, 0 } };
    CHECK_INT(utimensat(AT_FDCWD, path, later, 0), 0);
    CHECK_INT(le_gguf_check_unchanged(g, &err), TG_IO);
    CHECK(strstr(err.text, "m-00002-of-00003.gguf: was written to") != NULL);
    CHECK_INT(utimensat(AT_FDCWD, path, same, 0), 0);
    /* Renamed over or removed: the open file stays what it was. */
    CHECK_INT(unlink(path), 0);
    write_file("m-00002-of-00003.gguf", &good[2]);
    CHECK_INT(le_gguf_check_unchanged(g, &err), TG_OK);
    CHECK(le_gguf_tensor(g, "t.c")->data[0] == 'c');
    CHECK(le_gguf_file_id(g, 1, &id) && id.inode == info.st_ino);
    CHECK(id.size == (uint64_t)info.st_size && id.modified.tv_sec == info.st_mtim.tv_sec);
    CHECK(le_gguf_file_id(g, 2, &id) && id.inode != info.st_ino && !le_gguf_file_id(g, 3, &id));
    le_gguf_close(g);
    finish();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(joined),
        CASE(first_without_tensors),
        CASE(split_in_one),
        CASE(parts_that_do_not_fit),
        CASE(keys_and_tensors_of_parts),
        CASE(every_truncation),
        CASE(failed_allocations),
        CASE(on_disk),
        CASE(named_without_a_folder),
        CASE(changed_while_open),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
