/* The "gemma4" tokenizer: BPE over code points with U+2581 for the space and byte fallback, merges
 * ranked by their order in the file. Immutable after open: any thread may use it. */
#ifndef LE_TOKENIZER_H
#define LE_TOKENIZER_H

#include <stdbool.h>

#include "config/base/buf.h"
#include "config/base/status.h"
#include "config/base/str.h"
#include "local_engine/gguf.h"

struct le_tokenizer; /* opaque */

/* Ids of the tokens with a role, found by their text; -1 where the file has none. */
struct le_special_ids {
    int32_t pad, eos, bos, turn_open, turn_close;          /* <pad> <eos> <bos> <|turn> <turn|> */
    int32_t channel_open, channel_close, think;            /* <|channel> <channel|> <|think|> */
    int32_t tool_open, tool_close;                         /* <|tool> <tool|> */
    int32_t call_open, call_close, response_open, response_close; /* <|tool_call> ... */
    int32_t quote;                                         /* <|"|> */
    int32_t image, audio, video;                           /* <|image|> <|audio|> <|video|> */
};

struct le_ids {
    int32_t *id; /* owned: tg_free */
    size_t n, cap;
};
void le_ids_free(struct le_ids *ids);
/* TG_NOMEM. */
enum tg_status le_ids_add(struct le_ids *ids, int32_t id);

/* Copies what it needs: g may be closed afterwards. TG_INVALID names the key, TG_UNSUPPORTED: not a
 * "gemma4" tokenizer; TG_NOMEM. *out is owned by the caller. */
enum tg_status le_tokenizer_open(const struct le_gguf *g, struct le_tokenizer **out,
                                 struct tg_error *err);
void le_tokenizer_close(struct le_tokenizer *t);

uint32_t le_tokenizer_n(const struct le_tokenizer *t);
/* The most bytes of a text that one id can stand for. */
uint32_t le_tokenizer_longest(const struct le_tokenizer *t);
const struct le_special_ids *le_tokenizer_special(const struct le_tokenizer *t);
/* Appends the ids of text. special: recognise special tokens in it (for template text only; user
 * text is encoded with special off: then none is recognised, user-defined ones neither, so that no
 * text can forge one). Bytes that are not UTF-8 become byte tokens. No BOS is added. O(n log n).
 * TG_NOMEM, TG_LIMIT (2^31 bytes): nothing is appended then. */
enum tg_status le_tokenizer_encode(const struct le_tokenizer *t, struct tg_str text, bool special,
                                   struct le_ids *out);
/* The bytes of one token as they appear in text: U+2581 as a space, byte tokens as their byte,
 * control tokens as their literal text. Borrowed until close. */
struct tg_str le_tokenizer_piece(const struct le_tokenizer *t, int32_t id);
/* Ids to text, as they come: what is given out never ends inside a character. Zero is the start of
 * a text; the caller's memory, one thread at a time. Bytes that are no UTF-8 become U+FFFD, each by
 * itself; for the bytes themselves there is le_tokenizer_piece. A run of ids gives the same text
 * however it is cut. */
struct le_decoder {
    unsigned char held[4]; /* the beginning of a character */
    uint8_t n;
};
/* Appends what became certain with a token (special ones are literal text), or with bytes; at the
 * end what is held will not be completed. TG_INVALID: there is no such id, nothing happens.
 * TG_NOMEM, TG_LIMIT: out has failed, and the text lacks a part. */
enum tg_status le_decoder_feed(struct le_decoder *d, const struct le_tokenizer *t, int32_t id,
                               struct tg_buf *out);
enum tg_status le_decoder_bytes(struct le_decoder *d, struct tg_str bytes, struct tg_buf *out);
enum tg_status le_decoder_end(struct le_decoder *d, struct tg_buf *out);
/* Special tokens: control tokens of the file and those with a role above. Never shown. */
bool le_tokenizer_is_control(const struct le_tokenizer *t, int32_t id);
/* End of generation: <eos>, <turn|>, <|tool_response>. */
bool le_tokenizer_is_end(const struct le_tokenizer *t, int32_t id);
/* Ids that sampling must never choose, ascending: media placeholders, <unusedN>, pad, bos, unk,
 * mask, what only the template writes (<|turn>, <|think|>, tool declarations, <tool_response|>)
 * and tokenizer.ggml.suppress_tokens. Borrowed until close; *n set. */
const int32_t *le_tokenizer_never(const struct le_tokenizer *t, size_t *n);

#endif
