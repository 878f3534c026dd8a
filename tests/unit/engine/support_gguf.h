/* Writes GGUF files in memory, well-formed or not, for tests of the reader. */
#ifndef TESTS_UNIT_ENGINE_SUPPORT_GGUF_H
#define TESTS_UNIT_ENGINE_SUPPORT_GGUF_H

#include "config/base/buf.h"
#include "local_engine/gguf.h"

/* Little-endian, n bytes. */
void gguf_put(struct tg_buf *b, uint64_t v, unsigned n);
void gguf_put_string(struct tg_buf *b, const char *s);
/* Magic, version 3, counts. */
void gguf_put_header(struct tg_buf *b, uint64_t n_tensors, uint64_t n_kv);
/* Key and value type; the value follows. */
void gguf_put_key(struct tg_buf *b, const char *key, uint32_t type);
void gguf_put_array(struct tg_buf *b, const char *key, uint32_t item_type, uint64_t count);
void gguf_put_tensor(struct tg_buf *b, const char *name, const uint64_t *ne, uint32_t n_dims,
                     uint32_t type, uint64_t offset);
/* Zero bytes up to a multiple of n. */
void gguf_pad(struct tg_buf *b, size_t n);
/* Overwrites n bytes at at. */
void gguf_patch(struct tg_buf *b, size_t at, uint64_t v, unsigned n);
/* Where the bytes of s occur first; b->n when nowhere. */
size_t gguf_find(const struct tg_buf *b, const char *s);

#endif
