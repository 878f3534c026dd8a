#include "config/base/json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stddef.h>

#include "config/base/alloc.h"
#include "config/base/utf8.h"

/* struct tg_json is never defined: its pointers are cJSON's. */
static const cJSON *node(const struct tg_json *v)
{
    return (const cJSON *)(const void *)v;
}

static const struct tg_json *wrap(const cJSON *v)
{
    return (const struct tg_json *)(const void *)v;
}

/* ---- a tree's memory ----
 *
 * cJSON allocates each node and each string by itself. A tree of ours is read-only, so all of it
 * lies in a few blocks that are freed together; the root is the first that is allocated, at the
 * beginning of the first block. */

enum { ALIGN = 16, BLOCK_MIN = 512, BLOCK_MAX = 1 << 20, BYTES_A_BYTE = 4 };

struct block {
    struct block *next;
    size_t used, size; /* of data */
    _Alignas(ALIGN) char data[];
};

struct blocks {
    struct block *first, *last;
};

static _Thread_local struct blocks *building; /* while a tree is */

static struct block *add_block(struct blocks *b, size_t size)
{
    struct block *block = tg_alloc(sizeof(*block) + size);
    if (!block)
        return NULL;
    *block = (struct block){ .size = size };
    if (b->last)
        b->last->next = block;
    else
        b->first = block;
    b->last = block;
    return block;
}

static void *take(struct blocks *b, size_t n)
{
    struct block *block = b->last;
    if (n > SIZE_MAX - BLOCK_MAX)
        return NULL;
    n = (n + ALIGN - 1) / ALIGN * ALIGN;
    if (n > block->size - block->used) {
        size_t size = block->size < BLOCK_MAX / 2 ? block->size * 2 : BLOCK_MAX;
        block = add_block(b, n > size ? n : size);
    }
    if (!block)
        return NULL;
    void *p = block->data + block->used;
    block->used += n;
    return p;
}

static void free_blocks(struct block *block)
{
    while (block) {
        struct block *next = block->next;
        tg_free(block);
        block = next;
    }
}

static void *hook_alloc(size_t size)
{
    return building ? take(building, size) : tg_alloc(size);
}

static void hook_free(void *p)
{
    if (!building)
        tg_free(p);
}

__attribute__((constructor)) static void install_hooks(void)
{
    cJSON_Hooks hooks = { .malloc_fn = hook_alloc, .free_fn = hook_free };
    cJSON_InitHooks(&hooks);
}

/* ---- numbers as written ----
 *
 * cJSON keeps a double, and prints what that is. Where its print would differ from the text, the
 * node becomes cJSON's raw kind, which prints its string; the double stays beside it. */

/* The next number of scanned text from *at on: what looks like one outside strings. */
static struct tg_str next_number(struct tg_str text, size_t *at)
{
    size_t i = *at;
    for (bool quoted = false; i < text.n; i++) {
        if (quoted)
            i += tg_utf8_plain(text.p + i, text.n - i);
        if (i == text.n)
            break;
        char c = text.p[i];
        if (!quoted && (c == '-' || (c >= '0' && c <= '9')))
            break;
        if (c == '"')
            quoted = !quoted;
        else if (c == '\\')
            i++;
    }
    size_t end = i;
    while (end < text.n && memchr("+-.0123456789eE", text.p[end], 15))
        end++;
    *at = end;
    return (struct tg_str){ text.p + i, end - i };
}

/* Whole and of so few digits that a double prints as the same text. */
static bool prints_alike(struct tg_str number)
{
    return number.n <= 15 && !memchr(number.p, '.', number.n) && !memchr(number.p, 'e', number.n) &&
           !memchr(number.p, 'E', number.n) && !tg_str_eq(number, TG_STR("-0"));
}

/* The numbers of v and its siblings, in the order of the text. False when out of memory. */
static bool keep_numbers(cJSON *v, struct tg_str text, size_t *at)
{
    for (; v; v = v->next) {
        if (!cJSON_IsNumber(v)) {
            if (!keep_numbers(v->child, text, at))
                return false;
            continue;
        }
        struct tg_str number = next_number(text, at);
        if (prints_alike(number))
            continue;
        if (!(v->valuestring = take(building, number.n + 1)))
            return false;
        memcpy(v->valuestring, number.p, number.n);
        v->valuestring[number.n] = '\0';
        v->type = cJSON_Raw;
    }
    return true;
}

/* NULL when out of memory. */
static cJSON *build(struct tg_str text, struct blocks *b)
{
    size_t size = text.n < BLOCK_MAX / BYTES_A_BYTE ? text.n * BYTES_A_BYTE : BLOCK_MAX;
    if (!add_block(b, size > BLOCK_MIN ? size : BLOCK_MIN))
        return NULL;
    size_t at = 0;
    building = b;
    cJSON *tree = cJSON_ParseWithLength(text.p, text.n);
    if (tree && !keep_numbers(tree, text, &at))
        tree = NULL;
    building = NULL;
    return tree;
}

enum tg_status tg_json_parse(struct tg_str text, struct tg_json **root, struct tg_error *err)
{
    *root = NULL;
    enum tg_status status = tg_json_scan(text, err);
    if (status)
        return status;
    struct blocks b = { 0 };
    cJSON *tree = build(text, &b);
    if (!tree || (char *)tree != b.first->data) {
        free_blocks(b.first);
        return tree ? tg_fail(err, TG_INTERNAL, "this version of cJSON allocates no root first")
                    : tg_fail(err, TG_NOMEM, "out of memory while reading JSON");
    }
    *root = (struct tg_json *)(void *)tree;
    return TG_OK;
}

void tg_json_free(struct tg_json *root)
{
    if (root)
        free_blocks((struct block *)(void *)((char *)root - offsetof(struct block, data)));
}

enum tg_json_type tg_json_type(const struct tg_json *v)
{
    switch (v ? node(v)->type & 0xFF : cJSON_NULL) {
    case cJSON_False:
    case cJSON_True:
        return TG_JSON_BOOL;
    case cJSON_Number:
    case cJSON_Raw:
        return TG_JSON_NUMBER;
    case cJSON_String:
        return TG_JSON_STRING;
    case cJSON_Array:
        return TG_JSON_ARRAY;
    case cJSON_Object:
        return TG_JSON_OBJECT;
    default:
        return TG_JSON_NULL;
    }
}

const char *tg_json_type_name(enum tg_json_type type)
{
    static const char *const names[] = { "null",     "a boolean", "a number",
                                         "a string", "an array",  "an object" };
    return names[type];
}

bool tg_json_is(const struct tg_json *v, enum tg_json_type type)
{
    return v && tg_json_type(v) == type;
}

const struct tg_json *tg_json_get(const struct tg_json *v, const char *key)
{
    return tg_json_is(v, TG_JSON_OBJECT) ? wrap(cJSON_GetObjectItemCaseSensitive(node(v), key))
                                         : NULL;
}

const struct tg_json *tg_json_first(const struct tg_json *v)
{
    return v ? wrap(node(v)->child) : NULL;
}

const struct tg_json *tg_json_next(const struct tg_json *v)
{
    return v ? wrap(node(v)->next) : NULL;
}

const char *tg_json_key(const struct tg_json *v)
{
    return v ? node(v)->string : NULL;
}

size_t tg_json_count(const struct tg_json *v)
{
    size_t n = 0;
    for (const struct tg_json *c = tg_json_first(v); c; c = tg_json_next(c))
        n++;
    return n;
}

bool tg_json_string(const struct tg_json *v, struct tg_str *out)
{
    if (!tg_json_is(v, TG_JSON_STRING))
        return false;
    *out = tg_str_of(node(v)->valuestring);
    return true;
}

bool tg_json_number(const struct tg_json *v, double *out)
{
    if (!tg_json_is(v, TG_JSON_NUMBER))
        return false;
    *out = node(v)->valuedouble;
    return true;
}

bool tg_json_int(const struct tg_json *v, int64_t *out)
{
    double number;
    if (!tg_json_number(v, &number) || floor(number) != number ||
        fabs(number) >= 9007199254740992.0)
        return false;
    *out = (int64_t)number;
    return true;
}

bool tg_json_bool(const struct tg_json *v, bool *out)
{
    if (!tg_json_is(v, TG_JSON_BOOL))
        return false;
    *out = cJSON_IsTrue(node(v));
    return true;
}

enum tg_status tg_json_print(const struct tg_json *v, struct tg_buf *out)
{
    if (!v)
        return tg_buf_adds(out, "null");
    char *text = cJSON_PrintUnformatted(node(v));
    if (!text)
        return TG_NOMEM;
    enum tg_status status = tg_buf_adds(out, text);
    cJSON_free(text);
    return status;
}
