/* What the tests of the engine's text half share: files, golden JSON, the fixture vocabulary. Any
 * failure in here ends the test program: a missing fixture is never a pass. */
#ifndef TESTS_ENGINE_SUPPORT_TEXT_H
#define TESTS_ENGINE_SUPPORT_TEXT_H

#include "config/base/json.h"
#include "local_engine/tokenizer.h"

/* The whole file, owned by the caller (tg_buf_free); false when it cannot be read. */
bool text_read_file(const char *path, struct tg_buf *out);
/* A JSON file, and tests/golden/<name>, with U+0000 read as U+F8FE; owned by the caller. */
struct tg_json *text_json_file(const char *path);
struct tg_json *text_golden(const char *name);
/* The tokenizer of a GGUF file; NULL when the file cannot be opened and may_lack is set. */
struct le_tokenizer *text_tokenizer(const char *path, bool may_lack);
/* That of tests/golden/tiny-dense-Q8_0.gguf. */
struct le_tokenizer *text_tokenizer_reduced(void);
/* A string member ("" when absent), and a terminated copy of it (tg_free). */
struct tg_str text_member(const struct tg_json *v, const char *key);
char *text_member_dup(const struct tg_json *v, const char *key);
bool text_flag(const struct tg_json *v, const char *key);
/* Pieces of ids, one after the other; owned by the caller. */
struct tg_buf text_decode(const struct le_tokenizer *t, const int32_t *id, size_t n);

#endif
