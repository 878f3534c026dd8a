/* Any bytes as JSON. What the scanner accepts must become a tree, and what the tree prints must be
 * accepted again and print the same, and without escapes be the text itself, white space aside. */
#include <stdlib.h>

#include "config/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PRINTED_MAX = 1 << 28 };

static void print(const struct tg_json *root, struct tg_buf *out)
{
    tg_buf_init(out, PRINTED_MAX);
    if (tg_json_print(root, out) != TG_OK)
        abort();
}

static void check_as_written(struct tg_str text, struct tg_str printed)
{
    size_t n = 0;
    bool quoted = false;
    if (text.n == 0 || memchr(text.p, '\\', text.n))
        return;
    for (size_t i = 0; i < text.n; i++) {
        quoted ^= text.p[i] == '"';
        if (!quoted && strchr(" \t\r\n", text.p[i]))
            continue;
        if (n == printed.n || printed.p[n++] != text.p[i])
            abort();
    }
    if (n != printed.n)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_str text = { (const char *)data, size };
    struct tg_json *root, *again;
    struct tg_error err;
    struct tg_buf first, second;
    enum tg_status scanned = tg_json_scan(text, &err), status = tg_json_parse(text, &root, &err);
    if (scanned != status)
        abort(); /* something reached the tree that the scanner did not foresee */
    if (status)
        return 0;
    print(root, &first);
    check_as_written(text, tg_buf_str(&first));
    if (tg_json_parse(tg_buf_str(&first), &again, &err) != TG_OK)
        abort();
    print(again, &second);
    if (!tg_str_eq(tg_buf_str(&first), tg_buf_str(&second)))
        abort();
    tg_buf_free(&second);
    tg_json_free(again);
    tg_json_free(root);
    tg_buf_free(&first);
    return 0;
}
