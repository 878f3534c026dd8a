/* The reader on well-formed and on malformed files. Every open is from a block of exactly the
 * file's size, so that AddressSanitizer sees any byte read beyond it. */
#include "tests/unit/check.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "tests/unit/engine/support_gguf.h"

enum { FILE_MAX = 1 << 16 };

static const uint64_t ne_f32[2] = { 3, 2 }, ne_q4[2] = { 64, 1 }, ne_unknown[1] = { 256 };

/* Every value type, and tensors of three kinds. */
static void build(struct tg_buf *b)
{
    tg_buf_init(b, FILE_MAX);
    gguf_put_header(b, 3, 17);
    gguf_put_key(b, "general.alignment", LE_GGUF_U32);
    gguf_put(b, 16, 4);
    gguf_put_key(b, "k.u8", LE_GGUF_U8);
    gguf_put(b, 200, 1);
    gguf_put_key(b, "k.i8", LE_GGUF_I8);
    gguf_put(b, (uint64_t)-1, 1);
    gguf_put_key(b, "k.u16", LE_GGUF_U16);
    gguf_put(b, 60000, 2);
    gguf_put_key(b, "k.i16", LE_GGUF_I16);
    gguf_put(b, 300, 2);
    gguf_put_key(b, "k.u32", LE_GGUF_U32);
    gguf_put(b, 4000000000u, 4);
    gguf_put_key(b, "k.i32", LE_GGUF_I32);
    gguf_put(b, 70000, 4);
    gguf_put_key(b, "k.u64", LE_GGUF_U64);
    gguf_put(b, 1ull << 32, 8);
    gguf_put_key(b, "k.i64", LE_GGUF_I64);
    gguf_put(b, 5, 8);
    gguf_put_key(b, "k.f32", LE_GGUF_F32);
    gguf_put(b, 0x3fc00000, 4); /* 1.5 */
    gguf_put_key(b, "k.f64", LE_GGUF_F64);
    gguf_put(b, 0x4004000000000000, 8); /* 2.5 */
    gguf_put_key(b, "k.bool", LE_GGUF_BOOL);
    gguf_put(b, 1, 1);
    gguf_put_key(b, "k.string", LE_GGUF_STRING);
    gguf_put_string(b, "hello");
    gguf_put_array(b, "k.strings", LE_GGUF_STRING, 3);
    gguf_put_string(b, "a");
    gguf_put_string(b, "");
    gguf_put_string(b, "ccc");
    gguf_put_array(b, "k.numbers", LE_GGUF_I32, 3);
    gguf_put(b, 7, 4);
    gguf_put(b, (uint64_t)-7, 4);
    gguf_put(b, 9, 4);
    gguf_put_array(b, "k.bools", LE_GGUF_BOOL, 2);
    gguf_put(b, 1, 1);
    gguf_put(b, 0, 1);
    gguf_put_array(b, "k.empty", LE_GGUF_STRING, 0);
    gguf_put_tensor(b, "t.f32", ne_f32, 2, LE_TYPE_F32, 0);
    gguf_put_tensor(b, "t.q4", ne_q4, 2, LE_TYPE_Q4_0, 32);
    gguf_put_tensor(b, "t.unknown", ne_unknown, 1, 16, 80); /* IQ2_XXS */
    gguf_pad(b, 16);
    for (int i = 0; i < 32; i++)
        tg_buf_addc(b, (char)i);
    for (int i = 0; i < 48; i++)
        tg_buf_addc(b, 0x11);
    tg_buf_addc(b, 1); /* one byte of a tensor whose size is not known */
    CHECK_INT(b->failed, TG_OK);
}

/* *copy: the block it lies in, of exactly n bytes, to be freed after close. */
static enum tg_status open_copy(const char *p, size_t n, void **copy, struct le_gguf **g,
                                struct tg_error *err)
{
    *copy = malloc(n ? n : 1);
    memcpy(*copy, p, n);
    return le_gguf_open_memory("memory", *copy, n, g, err);
}

/* Reads the ends of s, so that AddressSanitizer sees where it lies. */
static void touch(struct tg_str s)
{
    volatile char end = s.n > 0 ? s.p[0] : 0;
    end = s.n > 0 ? s.p[s.n - 1] : 0;
    (void)end;
}

/* Reads all that can be read, the way a caller does. */
static void walk(const struct le_gguf *g)
{
    static const char *const keys[] = {
        "general.alignment", "k.u8", "k.i8", "k.u16", "k.i16", "k.u32", "k.i32", "k.u64", "k.i64",
        "k.f32", "k.f64", "k.bool", "k.string", "k.strings", "k.numbers", "k.bools", "k.empty",
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        uint32_t u;
        float f;
        bool flag;
        struct tg_str s;
        uint64_t n, cursor = 0;
        le_gguf_u32(g, keys[i], &u, NULL);
        le_gguf_f32(g, keys[i], &f, NULL);
        le_gguf_bool(g, keys[i], &flag, NULL);
        if (le_gguf_string(g, keys[i], &s, NULL) == TG_OK && s.n > 0)
            touch(s);
        if (le_gguf_array_count(g, keys[i], &n, NULL) != TG_OK)
            continue;
        for (uint64_t k = 0; k < n && k < 1000; k++)
            le_gguf_array_u32(g, keys[i], k, &u, NULL);
        while (le_gguf_array_string_next(g, keys[i], &cursor, &s, NULL) == TG_OK)
            touch(s);
    }
    for (size_t i = 0; i < le_gguf_n_tensors(g); i++) {
        const struct le_tensor *t = le_gguf_tensor_at(g, i);
        uint32_t block, bytes;
        if (!le_type_block(t->type, &block, &bytes))
            continue;
        float *y = malloc((size_t)(t->nbytes / bytes * block) * sizeof(float));
        le_dequantise(t->type, t->data, y, (size_t)(t->nbytes / bytes * block));
        free(y);
    }
}

static void well_formed(void)
{
    struct tg_buf b;
    struct le_gguf *g;
    struct tg_error err = { 0 };
    build(&b);
    if (le_gguf_open_memory("memory", b.p, b.n, &g, &err))
        CHECK_FAIL("%s", err.text);
    CHECK_INT(le_gguf_n_tensors(g), 3);
    CHECK_INT(le_gguf_file_size(g), b.n);
    CHECK_STR(le_gguf_path(g), "memory");
    const struct le_tensor *t = le_gguf_tensor(g, "t.f32");
    CHECK(t == le_gguf_tensor_at(g, 0));
    CHECK(le_gguf_tensor_at(g, 3) == NULL);
    CHECK_INT(t->nbytes, 24);
    CHECK_INT(t->ne[0] * 1000 + t->ne[1] * 100 + t->ne[2] * 10 + t->ne[3], 3211);
    CHECK_INT(t->data[5], 5);
    t = le_gguf_tensor(g, "t.q4");
    CHECK_INT(t->nbytes, 36);
    CHECK_INT(t->data[0], 0x11);
    CHECK_INT(t->data[-1], 31);
    t = le_gguf_tensor(g, "t.unknown");
    CHECK_INT(t->nbytes, 0);
    CHECK_INT(t->type, 16);
    CHECK(le_gguf_tensor(g, "t.f3") == NULL);
    CHECK(le_gguf_tensor(g, "t.f32x") == NULL);
    le_gguf_close(g);
    tg_buf_free(&b);
}

static void integers(void)
{
    static const struct {
        const char *key;
        enum tg_status st;
        uint32_t v;
    } want[] = {
        { "k.u8", TG_OK, 200 },           { "k.i8", TG_INVALID, 0 },
        { "k.u16", TG_OK, 60000 },        { "k.i16", TG_OK, 300 },
        { "k.u32", TG_OK, 4000000000u },  { "k.i32", TG_OK, 70000 },
        { "k.u64", TG_INVALID, 0 },       { "k.i64", TG_OK, 5 },
        { "k.f32", TG_INVALID, 0 },       { "k.bool", TG_INVALID, 0 },
        { "k.string", TG_INVALID, 0 },    { "k.numbers", TG_INVALID, 0 },
        { "k.absent", TG_NOTFOUND, 0 },
    };
    struct tg_buf b;
    struct le_gguf *g;
    build(&b);
    CHECK_INT(le_gguf_open_memory("memory", b.p, b.n, &g, NULL), TG_OK);
    for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
        struct tg_error err = { 0 };
        uint32_t v = 77;
        CHECK_INT(le_gguf_u32(g, want[i].key, &v, &err), want[i].st);
        CHECK_INT(v, want[i].st ? 77 : want[i].v);
        CHECK(!want[i].st || strstr(err.text, want[i].key));
    }
    le_gguf_close(g);
    tg_buf_free(&b);
}

static void other_values(void)
{
    struct tg_buf b;
    struct le_gguf *g;
    struct tg_str s;
    float f;
    bool flag = false;
    uint32_t u;
    uint64_t n, cursor = 0;
    build(&b);
    CHECK_INT(le_gguf_open_memory("memory", b.p, b.n, &g, NULL), TG_OK);
    CHECK_INT(le_gguf_f32(g, "k.f32", &f, NULL), TG_OK);
    CHECK(f == 1.5f);
    CHECK_INT(le_gguf_f32(g, "k.f64", &f, NULL), TG_OK);
    CHECK(f == 2.5f);
    CHECK_INT(le_gguf_f32(g, "k.u32", &f, NULL), TG_INVALID);
    CHECK_INT(le_gguf_bool(g, "k.bool", &flag, NULL), TG_OK);
    CHECK(flag);
    CHECK_INT(le_gguf_bool(g, "k.u8", &flag, NULL), TG_INVALID);
    CHECK_INT(le_gguf_string(g, "k.string", &s, NULL), TG_OK);
    CHECK(tg_str_eq(s, TG_STR("hello")));
    CHECK_INT(le_gguf_string(g, "k.strings", &s, NULL), TG_INVALID);
    CHECK_INT(le_gguf_array_count(g, "k.numbers", &n, NULL), TG_OK);
    CHECK_INT(n, 3);
    CHECK_INT(le_gguf_array_count(g, "k.u8", &n, NULL), TG_INVALID);
    CHECK_INT(le_gguf_array_u32(g, "k.numbers", 2, &u, NULL), TG_OK);
    CHECK_INT(u, 9);
    CHECK_INT(le_gguf_array_u32(g, "k.numbers", 1, &u, NULL), TG_INVALID);
    CHECK_INT(le_gguf_array_u32(g, "k.numbers", 3, &u, NULL), TG_INVALID);
    CHECK_INT(le_gguf_array_u32(g, "k.bools", 0, &u, NULL), TG_OK);
    CHECK_INT(u, 1);
    CHECK_INT(le_gguf_array_u32(g, "k.strings", 0, &u, NULL), TG_INVALID);
    CHECK_INT(le_gguf_array_string_next(g, "k.strings", &cursor, &s, NULL), TG_OK);
    CHECK(tg_str_eq(s, TG_STR("a")));
    CHECK_INT(le_gguf_array_string_next(g, "k.strings", &cursor, &s, NULL), TG_OK);
    CHECK(tg_str_eq(s, TG_STR("")));
    CHECK_INT(le_gguf_array_string_next(g, "k.strings", &cursor, &s, NULL), TG_OK);
    CHECK(tg_str_eq(s, TG_STR("ccc")));
    CHECK_INT(le_gguf_array_string_next(g, "k.strings", &cursor, &s, NULL), TG_NOTFOUND);
    cursor = 0;
    CHECK_INT(le_gguf_array_string_next(g, "k.empty", &cursor, &s, NULL), TG_NOTFOUND);
    CHECK_INT(le_gguf_array_string_next(g, "k.numbers", &cursor, &s, NULL), TG_INVALID);
    cursor = UINT64_MAX;
    CHECK_INT(le_gguf_array_string_next(g, "k.strings", &cursor, &s, NULL), TG_NOTFOUND);
    le_gguf_close(g);
    tg_buf_free(&b);
}

/* Every prefix is refused, up to the last byte: that one belongs to the tensor whose size is not
 * known. */
static void every_truncation(void)
{
    struct tg_buf b;
    build(&b);
    for (size_t n = 0; n + 1 < b.n; n++) {
        struct le_gguf *g;
        struct tg_error err = { 0 };
        void *copy;
        CHECK_INT(open_copy(b.p, n, &copy, &g, &err), TG_INVALID);
        CHECK(strstr(err.text, "memory") && g == NULL);
        free(copy);
    }
    tg_buf_free(&b);
}

/* Each byte replaced by seven others: refused, or readable without harm. */
static void every_byte_corrupted(void)
{
    static const uint8_t flips[] = { 0x01, 0x02, 0x08, 0x10, 0x40, 0x80, 0xff };
    struct tg_buf b;
    size_t refused = 0, opened = 0;
    build(&b);
    for (size_t at = 0; at < b.n; at++)
        for (size_t k = 0; k < sizeof(flips); k++) {
            struct le_gguf *g;
            void *copy;
            b.p[at] = (char)((uint8_t)b.p[at] ^ flips[k]);
            if (open_copy(b.p, b.n, &copy, &g, NULL) == TG_OK) {
                walk(g);
                opened++;
            } else {
                refused++;
            }
            le_gguf_close(g);
            free(copy);
            b.p[at] = (char)((uint8_t)b.p[at] ^ flips[k]);
        }
    CHECK(refused > 1000);
    CHECK(opened > 1000);
    tg_buf_free(&b);
}

/* Opens the well-formed file with n bytes replaced, delta behind the place of `near`. */
static void check_patched(const char *near, long delta, uint64_t v, unsigned n, enum tg_status want,
                          const char *text)
{
    struct tg_buf b;
    struct le_gguf *g;
    struct tg_error err = { 0 };
    void *copy;
    build(&b);
    size_t at = gguf_find(&b, near);
    CHECK(at < b.n);
    gguf_patch(&b, (size_t)((long)at + delta), v, n);
    enum tg_status st = open_copy(b.p, b.n, &copy, &g, &err);
    if (st != want || !strstr(err.text, text))
        CHECK_FAIL("%s %+ld = %" PRIu64 ": %s \"%s\", want %s with \"%s\"", near, delta, v,
                   tg_status_name(st), err.text, tg_status_name(want), text);
    CHECK(g == NULL);
    free(copy);
    tg_buf_free(&b);
}

static void named_faults(void)
{
    check_patched("GGUF", 0, 'X', 1, TG_INVALID, "no GGUF");
    check_patched("GGUF", 4, 1, 4, TG_UNSUPPORTED, "version 1");
    check_patched("GGUF", 4, 4, 4, TG_UNSUPPORTED, "version 4");
    check_patched("GGUF", 4, 0x03000000, 4, TG_UNSUPPORTED, "big-endian byte order");
    check_patched("GGUF", 4, 0x02000000, 4, TG_UNSUPPORTED, "big-endian byte order");
    check_patched("GGUF", 4, 0x00030000, 4, TG_UNSUPPORTED, "big-endian byte order");
    check_patched("GGUF", 4, 0, 4, TG_UNSUPPORTED, "version 0");
    check_patched("GGUF", 8, UINT64_MAX, 8, TG_INVALID, "more tensors");
    check_patched("GGUF", 8, 1ull << 61, 8, TG_INVALID, "more tensors");
    check_patched("GGUF", 16, UINT64_MAX, 8, TG_INVALID, "more metadata");
    check_patched("GGUF", 16, 1 << 16, 8, TG_INVALID, "more metadata");
    check_patched("k.u8", -8, UINT64_MAX, 8, TG_INVALID, "longer than the file");
    check_patched("k.u8", -8, 0, 8, TG_INVALID, "printable");
    check_patched("k.u8", 0, '\n', 1, TG_INVALID, "printable");
    check_patched("k.u8", 4, 13, 4, TG_INVALID, "unknown");
    check_patched("k.u8", 4, UINT32_MAX, 4, TG_INVALID, "unknown");
    check_patched("k.i64", 0, 'k' | '.' << 8 | 'u' << 16, 3, TG_INVALID, "k.u64 occurs twice");
    check_patched("hello", -8, UINT64_MAX - 7, 8, TG_INVALID, "longer than the file");
    check_patched("k.strings", 17, UINT64_MAX, 8, TG_INVALID, "more strings");
    check_patched("k.strings", 13, LE_GGUF_ARRAY, 4, TG_INVALID, "array inside");
    check_patched("k.numbers", 13, LE_GGUF_ARRAY, 4, TG_INVALID, "array inside an array");
    check_patched("k.numbers", 17, UINT64_MAX / 4 + 2, 8, TG_INVALID, "longer than the file");
    check_patched("general.alignment", 21, 0, 4, TG_INVALID, "general.alignment");
    check_patched("general.alignment", 21, 24, 4, TG_INVALID, "general.alignment");
    check_patched("general.alignment", 21, 1 << 21, 4, TG_INVALID, "general.alignment");
    check_patched("general.alignment", 17, LE_GGUF_F32, 4, TG_INVALID, "general.alignment");
    check_patched("t.f32", 5, 0, 4, TG_INVALID, "t.f32: 0 dimensions");
    check_patched("t.f32", 5, 5, 4, TG_INVALID, "t.f32: 5 dimensions");
    check_patched("t.f32", 9, 0, 8, TG_INVALID, "t.f32: impossible shape");
    check_patched("t.f32", 9, UINT64_MAX, 8, TG_INVALID, "t.f32: impossible shape");
    check_patched("t.f32", 17, 1ull << 60, 8, TG_INVALID, "t.f32: impossible shape");
    check_patched("t.f32", 17, 1ull << 40, 8, TG_INVALID, "beyond the end");
    check_patched("t.f32", 29, 8, 8, TG_INVALID, "not aligned");
    check_patched("t.f32", 29, UINT64_MAX - 15, 8, TG_INVALID, "beyond the end");
    check_patched("t.q4", 8, 48, 8, TG_INVALID, "block of 32");
    check_patched("t.q4", 28, 64, 8, TG_INVALID, "beyond the end");
    check_patched("t.unknown", 9 + 4 + 8 + 4, 96, 8, TG_INVALID, "beyond the end");
    check_patched("t.q4", 0, 't' | '.' << 8 | '\0' << 16, 3, TG_INVALID, "printable");
}

/* What is no GGUF at all is told by its first bytes where they are known. */
static void other_formats(void)
{
    static const struct {
        const char *bytes, *text;
        size_t n;
    } cases[] = {
        { "version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer", 43 },
        { "<!DOCTYPE html><html>", "a web page", 21 },
        { "<html>", "a web page", 6 },
        { "PK\3\4\0\0\0\0", "a zip archive", 8 },
        { "tjgg\1\0\0\0", "before GGUF", 8 },
        { "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "zeros", 25 },
        { "\x80\x01\0\0\0\0\0\0{\"__metadata__\"", "safetensors", 23 },
        { "something else that is long enough", "no GGUF file", 34 },
        { "GGU", "no GGUF file", 3 },
        { "", "no GGUF file", 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct le_gguf *g;
        struct tg_error err = { 0 };
        void *copy;
        CHECK_INT(open_copy(cases[i].bytes, cases[i].n, &copy, &g, &err), TG_INVALID);
        if (!strstr(err.text, cases[i].text) || !strstr(err.text, "memory: offset 0"))
            CHECK_FAIL("\"%s\", expected \"%s\"", err.text, cases[i].text);
        free(copy);
    }
}

static void duplicate_tensor(void)
{
    struct tg_buf b;
    struct le_gguf *g;
    struct tg_error err = { 0 };
    tg_buf_init(&b, FILE_MAX);
    gguf_put_header(&b, 2, 0);
    gguf_put_tensor(&b, "same", ne_f32, 2, LE_TYPE_F32, 0);
    gguf_put_tensor(&b, "same", ne_f32, 2, LE_TYPE_F32, 0);
    gguf_pad(&b, 32);
    for (int i = 0; i < 32; i++)
        tg_buf_addc(&b, 0);
    CHECK_INT(le_gguf_open_memory("memory", b.p, b.n, &g, &err), TG_INVALID);
    CHECK(strstr(err.text, "same occurs twice") != NULL);
    tg_buf_free(&b);
}

/* Nothing but a header, as some vocabulary files nearly are. */
static void empty_file(void)
{
    struct tg_buf b;
    struct le_gguf *g;
    tg_buf_init(&b, FILE_MAX);
    gguf_put_header(&b, 0, 0);
    CHECK_INT(le_gguf_open_memory("memory", b.p, b.n, &g, NULL), TG_OK);
    CHECK_INT(le_gguf_n_tensors(g), 0);
    CHECK(le_gguf_tensor(g, "x") == NULL);
    uint32_t v;
    CHECK_INT(le_gguf_u32(g, "x", &v, NULL), TG_NOTFOUND);
    le_gguf_close(g);
    tg_buf_free(&b);
}

static void from_disk(void)
{
    struct le_gguf *g;
    struct tg_error err = { 0 };
    CHECK_INT(le_gguf_open(TG_SOURCE_DIR "/tests/golden/tiny-e-Q4_0.gguf", &g, &err), TG_OK);
    CHECK(le_gguf_tensor(g, "per_layer_token_embd.weight") != NULL);
    le_gguf_close(g);
    CHECK_INT(le_gguf_open(TG_SOURCE_DIR "/absent.gguf", &g, &err), TG_IO);
    CHECK(strstr(err.text, "absent.gguf") != NULL);
    CHECK_INT(le_gguf_open(TG_SOURCE_DIR, &g, &err), TG_IO);
    CHECK(strstr(err.text, "not a regular file") != NULL);
    CHECK_INT(le_gguf_open(TG_SOURCE_DIR "/LICENSE", &g, &err), TG_INVALID);
    CHECK_INT(le_gguf_open("/dev/null", &g, &err), TG_IO);
    char fifo[64]; /* opening one for reading waits for a writer */
    snprintf(fifo, sizeof(fifo), "%s/tollgate-fifo-%d", P_tmpdir, (int)getpid());
    CHECK_INT(mkfifo(fifo, 0600), 0);
    enum tg_status st = le_gguf_open(fifo, &g, &err);
    unlink(fifo);
    CHECK_INT(st, TG_IO);
    CHECK(g == NULL);
    le_gguf_close(NULL);
}

static void failed_allocations(void)
{
    struct tg_buf b;
    uint64_t nth = 1;
    build(&b);
    for (;; nth++) {
        struct le_gguf *g;
        tg_alloc_fail_nth(nth);
        enum tg_status st = le_gguf_open_memory("memory", b.p, b.n, &g, NULL);
        tg_alloc_fail_nth(0);
        le_gguf_close(g);
        if (st == TG_OK)
            break;
        CHECK_INT(st, TG_NOMEM);
    }
    CHECK(nth > 5);
    tg_buf_free(&b);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(well_formed),      CASE(integers),         CASE(other_values),
        CASE(every_truncation), CASE(every_byte_corrupted), CASE(named_faults),
        CASE(duplicate_tensor), CASE(empty_file),       CASE(from_disk),
        CASE(failed_allocations), CASE(other_formats),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
