#include "tests/unit/engine/support_gguf.h"

#include <string.h>

void gguf_put(struct tg_buf *b, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        tg_buf_addc(b, (char)(v >> 8 * i));
}

void gguf_put_string(struct tg_buf *b, const char *s)
{
    gguf_put(b, strlen(s), 8);
    tg_buf_adds(b, s);
}

void gguf_put_header(struct tg_buf *b, uint64_t n_tensors, uint64_t n_kv)
{
    tg_buf_adds(b, "GGUF");
    gguf_put(b, 3, 4);
    gguf_put(b, n_tensors, 8);
    gguf_put(b, n_kv, 8);
}

void gguf_put_key(struct tg_buf *b, const char *key, uint32_t type)
{
    gguf_put_string(b, key);
    gguf_put(b, type, 4);
}

void gguf_put_array(struct tg_buf *b, const char *key, uint32_t item_type, uint64_t count)
{
    gguf_put_key(b, key, LE_GGUF_ARRAY);
    gguf_put(b, item_type, 4);
    gguf_put(b, count, 8);
}

void gguf_put_tensor(struct tg_buf *b, const char *name, const uint64_t *ne, uint32_t n_dims,
                     uint32_t type, uint64_t offset)
{
    gguf_put_string(b, name);
    gguf_put(b, n_dims, 4);
    for (uint32_t i = 0; i < n_dims; i++)
        gguf_put(b, ne[i], 8);
    gguf_put(b, type, 4);
    gguf_put(b, offset, 8);
}

void gguf_pad(struct tg_buf *b, size_t n)
{
    while (b->n % n != 0)
        tg_buf_addc(b, 0);
}

void gguf_patch(struct tg_buf *b, size_t at, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n && at + i < b->n; i++)
        b->p[at + i] = (char)(v >> 8 * i);
}

size_t gguf_find(const struct tg_buf *b, const char *s)
{
    const char *p = memmem(b->p, b->n, s, strlen(s));
    return p ? (size_t)(p - b->p) : b->n;
}
