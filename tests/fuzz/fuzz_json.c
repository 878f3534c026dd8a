/* Any bytes as JSON. What the scanner accepts must become a tree, and what the tree prints must be
 * accepted again and print the same. */
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
