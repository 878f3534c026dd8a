#include "tests/unit/engine/support_text.h"

#include <stdio.h>
#include <stdlib.h>

#include "config/base/alloc.h"

static _Noreturn void die(const char *what, const char *cause)
{
    fprintf(stderr, "%s: %s\n", what, cause);
    exit(1);
}

bool text_read_file(const char *path, struct tg_buf *out)
{
    char chunk[65536];
    size_t n;
    FILE *f = fopen(path, "rb");
    tg_buf_init(out, (size_t)1 << 26);
    if (!f)
        return false;
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        tg_buf_add(out, chunk, n);
    fclose(f);
    return out->failed == TG_OK;
}

struct tg_json *text_json_file(const char *path)
{
    struct tg_buf text;
    struct tg_json *root = NULL;
    struct tg_error err;
    if (!text_read_file(path, &text))
        die(path, "cannot be read");
    for (char *p = text.p; p && (p = strstr(p, "\\u0000")); p++)
        memcpy(p + 2, "F8FE", 4);
    if (tg_json_parse(tg_buf_str(&text), &root, &err))
        die(path, err.text);
    tg_buf_free(&text);
    return root;
}

struct tg_json *text_golden(const char *name)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/tests/golden/%s", TG_SOURCE_DIR, name);
    return text_json_file(path);
}

struct le_tokenizer *text_tokenizer(const char *path, bool may_lack)
{
    struct le_gguf *g;
    struct le_tokenizer *t;
    struct tg_error err;
    enum tg_status status = le_gguf_open(path, &g, &err);
    if (status == TG_IO && may_lack)
        return NULL;
    if (status)
        die(path, err.text);
    if (le_tokenizer_open(g, &t, &err))
        die(path, err.text);
    le_gguf_close(g); /* the tokenizer must not need it any more */
    return t;
}

struct le_tokenizer *text_tokenizer_reduced(void)
{
    return text_tokenizer(TG_SOURCE_DIR "/tests/golden/tiny-dense-Q8_0.gguf", false);
}

struct tg_str text_member(const struct tg_json *v, const char *key)
{
    struct tg_str s = { "", 0 };
    tg_json_string(tg_json_get(v, key), &s);
    return s;
}

char *text_member_dup(const struct tg_json *v, const char *key)
{
    struct tg_str s = text_member(v, key);
    char *copy = tg_strndup(s.p, s.n);
    if (!copy)
        die(key, "out of memory");
    return copy;
}

bool text_flag(const struct tg_json *v, const char *key)
{
    bool b = false;
    return tg_json_bool(tg_json_get(v, key), &b) && b;
}

struct tg_buf text_decode(const struct le_tokenizer *t, const int32_t *id, size_t n)
{
    struct tg_buf out;
    tg_buf_init(&out, (size_t)1 << 26);
    for (size_t i = 0; i < n; i++) {
        struct tg_str piece = le_tokenizer_piece(t, id[i]);
        tg_buf_add(&out, piece.p, piece.n);
    }
    tg_buf_addc(&out, '\0'); /* so that p is never NULL */
    out.n--;
    return out;
}
