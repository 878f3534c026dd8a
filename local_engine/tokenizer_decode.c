/* Text from ids as they come: a character may be spread over several tokens, and a model may write
 * bytes that are none. */
#include "config/base/utf8.h"
#include "local_engine/tokenizer_internal.h"

/* Writes the whole characters of p, U+FFFD for each byte that begins none; returns the bytes that
 * are left, which more of them may complete. all: nothing more comes. */
static size_t write_whole(const char *p, size_t n, bool all, struct tg_buf *out)
{
    size_t whole = all ? n : tg_utf8_complete(p, n), good = 0;
    for (size_t i = 0; i < whole;) {
        uint32_t rune;
        size_t width = tg_utf8_decode(p + i, whole - i, &rune);
        if (width) {
            i += width;
            continue;
        }
        tg_buf_add(out, p + good, i - good);
        tg_buf_adds(out, "\xEF\xBF\xBD");
        good = ++i;
    }
    tg_buf_add(out, p + good, whole - good);
    return n - whole;
}

static void hold(struct le_decoder *d, const char *p, size_t n)
{
    memmove(d->held, p, n);
    d->n = (uint8_t)n;
}

enum tg_status le_decoder_bytes(struct le_decoder *d, struct tg_str bytes, struct tg_buf *out)
{
    /* What is held is at most three bytes: with as many of the new ones as may follow, it ends. */
    while (d->n && bytes.n) {
        char joined[4];
        memcpy(joined, d->held, d->n);
        joined[d->n] = *bytes.p++;
        bytes.n--;
        size_t n = d->n + 1u, left = write_whole(joined, n, false, out);
        hold(d, joined + n - left, left);
    }
    if (bytes.n) {
        size_t left = write_whole(bytes.p, bytes.n, false, out);
        hold(d, bytes.p + bytes.n - left, left);
    }
    return out->failed;
}

enum tg_status le_decoder_end(struct le_decoder *d, struct tg_buf *out)
{
    if (d->n)
        write_whole((const char *)d->held, d->n, true, out);
    d->n = 0;
    return out->failed;
}

enum tg_status le_decoder_feed(struct le_decoder *d, const struct le_tokenizer *t, int32_t id,
                               struct tg_buf *out)
{
    if (id < 0 || (uint32_t)id >= t->n)
        return TG_INVALID;
    return le_decoder_bytes(d, le_tokenizer_piece(t, id), out);
}
