/* What the three tokenizer files share; nobody else includes it. */
#ifndef LE_TOKENIZER_INTERNAL_H
#define LE_TOKENIZER_INTERNAL_H

#include "local_engine/tokenizer.h"

enum {
    LE_TOK_MAX = 1 << 20,       /* tokens of a vocabulary */
    LE_MERGE_MAX = 1 << 22,     /* merges */
    LE_TOK_BYTES_MAX = 1 << 28, /* bytes of all token texts together */
    LE_SPECIAL_LEN_MAX = 255,   /* bytes of one special token */
};

/* Token types as the file numbers them. */
enum le_tok_type {
    LE_TOK_NORMAL = 1,
    LE_TOK_UNKNOWN = 2,
    LE_TOK_CONTROL = 3,
    LE_TOK_USER = 4,
    LE_TOK_UNUSED = 5,
    LE_TOK_BYTE = 6,
};

struct le_tok {
    uint32_t text, text_n;   /* as in the file: in tokenizer.text */
    uint32_t piece, piece_n; /* as shown: in tokenizer.piece */
    uint8_t type;
    bool special; /* recognised when special tokens are on */
    bool control; /* never part of what is shown */
    bool end;
};

struct le_merge {
    uint64_t key; /* left id << 32 | right id */
    uint32_t rank;
    int32_t id; /* of the result; -1: slot is free */
};

struct le_tokenizer {
    struct le_tok *tok;
    uint32_t n;
    char *text, *piece;
    int32_t *slot; /* open addressing by text: token id or -1 */
    uint32_t slot_mask;
    struct le_merge *merge; /* open addressing by key */
    uint32_t merge_mask;
    int32_t byte_id[256];
    int32_t ascii_id[128]; /* single code points below 128; the space is U+2581 */
    int32_t space_id;
    bool special_first[256];                     /* some special token begins with this byte */
    uint8_t special_len[LE_SPECIAL_LEN_MAX + 1]; /* their lengths, shortest first, 0 ends */
    struct le_special_ids special;
    uint32_t longest; /* bytes of the longest token text */
    int32_t *never;
    size_t n_never;
};

/* Id of the token whose text is a followed by b, or -1. */
int32_t le_tok_find2(const struct le_tokenizer *t, struct tg_str a, struct tg_str b);
int32_t le_tok_find(const struct le_tokenizer *t, struct tg_str text);
/* The same for a text whose hash is known. A text's hash goes on from that of its beginning. */
int32_t le_tok_find_hash(const struct le_tokenizer *t, struct tg_str text, uint64_t hash);
uint64_t le_tok_hash(uint64_t prefix, struct tg_str rest);
#define LE_TOK_HASH_EMPTY UINT64_C(0xcbf29ce484222325)
/* The merge of two ids, or NULL. */
const struct le_merge *le_merge_find(const struct le_tokenizer *t, int32_t left, int32_t right);
/* le_tokenizer_encode, which also counts the steps of its loops: the measure of its work. */
enum tg_status le_tok_encode(const struct le_tokenizer *t, struct tg_str text, bool special,
                             struct le_ids *out, uint64_t *steps);

/* tokenizer_roles.c: special ids, flags and the never-list, once texts and types are known. */
enum tg_status le_tok_assign_roles(struct le_tokenizer *t, const struct le_gguf *g,
                                   struct tg_error *err);

#endif
