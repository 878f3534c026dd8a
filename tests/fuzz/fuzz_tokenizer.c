/* Any bytes as text. The first byte says whether special tokens are on; what is encoded must decode
 * to the text, and with special off nothing in it may become a special token. The streaming decoder
 * must give whole characters only, and the same text however the bytes are cut. */
#include "config/base/buf.h"
#include "config/base/utf8.h"
#include "local_engine/tokenizer.h"
#include "tests/fuzz/support_tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The text as it decodes: a literal U+2581 is a space. */
static void add_expected(struct tg_buf *out, struct tg_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        bool space = s.n - i >= 3 && memcmp(s.p + i, "\xE2\x96\x81", 3) == 0;
        tg_buf_addc(out, space ? ' ' : s.p[i]);
        i += space ? 2 : 0;
    }
}

static void check_streaming(const struct le_ids *ids, struct tg_str text)
{
    struct le_decoder d = { .n = 0 }, e = { .n = 0 };
    struct tg_buf out, whole;
    tg_buf_init(&out, (size_t)1 << 30);
    tg_buf_init(&whole, (size_t)1 << 30);
    for (size_t i = 0; i < ids->n; i++) {
        size_t before = out.n;
        if (le_decoder_feed(&d, tokenizer(), ids->id[i], &out) ||
            (out.n > before && !tg_utf8_valid(out.p + before, out.n - before)))
            abort();
    }
    if (le_decoder_end(&d, &out) || le_decoder_bytes(&e, text, &whole) ||
        le_decoder_end(&e, &whole) ||
        !tg_str_eq(tg_buf_str(&out), tg_buf_str(&whole)))
        abort();
    tg_buf_free(&out);
    tg_buf_free(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct le_tokenizer *t = tokenizer();
    struct le_ids ids = { 0 };
    struct tg_buf got, want;
    if (size == 0)
        return 0;
    bool special = data[0] & 1;
    struct tg_str text = { (const char *)data + 1, size - 1 };
    if (le_tokenizer_encode(t, text, special, &ids))
        abort();
    tg_buf_init(&got, (size_t)1 << 30);
    tg_buf_init(&want, (size_t)1 << 30);
    for (size_t i = 0; i < ids.n; i++) {
        struct tg_str piece = le_tokenizer_piece(t, ids.id[i]);
        if (piece.n == 0 || (!special && le_tokenizer_is_control(t, ids.id[i])))
            abort();
        tg_buf_add(&got, piece.p, piece.n);
    }
    add_expected(&want, text);
    if (!tg_str_eq(tg_buf_str(&got), tg_buf_str(&want)))
        abort();
    check_streaming(&ids, tg_buf_str(&want));
    tg_buf_free(&got);
    tg_buf_free(&want);
    le_ids_free(&ids);
    return 0;
}
