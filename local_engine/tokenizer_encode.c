/* Text to ids: special tokens are cut out first, then runs of newlines, then each run is merged
 * with a heap over a linked list of symbols. */
#include <string.h>

#include "config/base/alloc.h"
#include "config/base/utf8.h"
#include "local_engine/tokenizer_internal.h"

enum { NONE = -1 };
static const uint32_t no_rank = UINT32_MAX;

struct symbol {
    uint32_t at, n;       /* bytes of the run; n = 0: merged into its left neighbour */
    int32_t id;           /* NONE: no such token; its bytes become byte tokens */
    int32_t prev, next;   /* NONE at the ends */
    uint32_t rank;        /* of the merge with next, no_rank where there is none */
    int32_t merged;       /* id of that merge's result */
};

struct entry {
    uint32_t rank, left;
};

enum { FEW = 64 }; /* the pieces of a template and most lines need no memory of their own */

struct work {
    struct symbol *sym;
    size_t n, cap;
    struct entry *heap;
    size_t n_heap, heap_cap;
    uint64_t steps; /* of all loops below whose length depends on the text */
    struct symbol few_sym[FEW];
    struct entry few_heap[FEW];
};

static void work_init(struct work *w)
{
    w->sym = w->few_sym;
    w->heap = w->few_heap;
    w->n = w->n_heap = 0;
    w->cap = w->heap_cap = FEW;
    w->steps = 0;
}

static void work_free(struct work *w)
{
    if (w->sym != w->few_sym)
        tg_free(w->sym);
    if (w->heap != w->few_heap)
        tg_free(w->heap);
}

enum tg_status le_ids_add(struct le_ids *ids, int32_t id)
{
    if (ids->n == ids->cap) {
        size_t cap = ids->cap ? ids->cap * 2 : 64;
        int32_t *grown = tg_realloc_array(ids->id, cap, sizeof(*grown));
        if (!grown)
            return TG_NOMEM;
        ids->id = grown;
        ids->cap = cap;
    }
    ids->id[ids->n++] = id;
    return TG_OK;
}

void le_ids_free(struct le_ids *ids)
{
    tg_free(ids->id);
    *ids = (struct le_ids){ 0 };
}

/* Lowest rank first, leftmost on ties. */
static bool before(struct entry a, struct entry b)
{
    return a.rank != b.rank ? a.rank < b.rank : a.left < b.left;
}

static enum tg_status heap_push(struct work *w, struct entry e)
{
    if (w->n_heap == w->heap_cap) {
        size_t cap = w->heap_cap * 4;
        bool own = w->heap != w->few_heap;
        struct entry *grown = tg_realloc_array(own ? w->heap : NULL, cap, sizeof(*grown));
        if (!grown)
            return TG_NOMEM;
        if (!own)
            memcpy(grown, w->few_heap, sizeof(w->few_heap));
        w->heap = grown;
        w->heap_cap = cap;
    }
    size_t i = w->n_heap++;
    for (; i > 0 && before(e, w->heap[(i - 1) / 2]); i = (i - 1) / 2, w->steps++)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = e;
    w->steps++;
    return TG_OK;
}

static struct entry heap_pop(struct work *w)
{
    struct entry top = w->heap[0], last = w->heap[--w->n_heap];
    size_t i = 0;
    for (;; w->steps++) {
        size_t child = 2 * i + 1;
        if (child >= w->n_heap)
            break;
        if (child + 1 < w->n_heap && before(w->heap[child + 1], w->heap[child]))
            child++;
        if (!before(w->heap[child], last))
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    if (w->n_heap)
        w->heap[i] = last;
    return top;
}

/* One symbol per code point; a byte that is not UTF-8 is a symbol of its own. */
static enum tg_status split(struct work *w, const struct le_tokenizer *t, struct tg_str run)
{
    w->n = w->n_heap = 0;
    if (run.n > w->cap) {
        struct symbol *larger = tg_realloc_array(NULL, run.n, sizeof(*larger));
        if (!larger)
            return TG_NOMEM;
        if (w->sym != w->few_sym)
            tg_free(w->sym);
        w->sym = larger;
        w->cap = run.n;
    }
    for (size_t i = 0; i < run.n;) {
        unsigned char c = (unsigned char)run.p[i];
        uint32_t rune;
        size_t width = c < 128 ? 1 : tg_utf8_decode(run.p + i, run.n - i, &rune);
        int32_t id = NONE;
        if (c < 128)
            id = t->ascii_id[c];
        else if (width)
            id = le_tok_find(t, (struct tg_str){ run.p + i, width });
        else
            width = 1;
        int32_t self = (int32_t)w->n;
        w->sym[w->n++] = (struct symbol){
            .at = (uint32_t)i, .n = (uint32_t)width, .id = id, .prev = self - 1, .next = self + 1
        };
        i += width;
    }
    w->sym[w->n - 1].next = NONE;
    w->steps += w->n;
    return TG_OK;
}

/* Looks up the merge of symbol left with its next and queues it. */
static enum tg_status offer(struct work *w, const struct le_tokenizer *t, int32_t left)
{
    struct symbol *s = &w->sym[left];
    const struct le_merge *m = s->next == NONE ? NULL : le_merge_find(t, s->id, w->sym[s->next].id);
    s->rank = m ? m->rank : no_rank;
    if (!m)
        return TG_OK;
    s->merged = m->id;
    return heap_push(w, (struct entry){ m->rank, (uint32_t)left });
}

static enum tg_status merge_all(struct work *w, const struct le_tokenizer *t)
{
    enum tg_status status;
    for (size_t i = 0; i < w->n; i++)
        if ((status = offer(w, t, (int32_t)i)))
            return status;
    while (w->n_heap) {
        struct entry e = heap_pop(w);
        struct symbol *s = &w->sym[e.left];
        /* A rank names one pair of ids, so an entry is current as long as the symbol has it. */
        if (s->n == 0 || s->rank != e.rank)
            continue;
        struct symbol *gone = &w->sym[s->next];
        s->id = s->merged;
        s->n += gone->n;
        s->next = gone->next;
        gone->n = 0;
        if (s->next != NONE)
            w->sym[s->next].prev = (int32_t)e.left;
        if ((status = offer(w, t, (int32_t)e.left)))
            return status;
        if (s->prev != NONE && (status = offer(w, t, s->prev)))
            return status;
    }
    return TG_OK;
}

static enum tg_status encode_run(struct work *w, const struct le_tokenizer *t, struct tg_str run,
                                 struct le_ids *out)
{
    enum tg_status status = split(w, t, run);
    if (!status)
        status = merge_all(w, t);
    for (int32_t i = 0; !status && i != NONE; i = w->sym[i].next) {
        const struct symbol *s = &w->sym[i];
        if (s->id != NONE) {
            status = le_ids_add(out, s->id);
            continue;
        }
        for (uint32_t b = 0; b < s->n && !status; b++)
            status = le_ids_add(out, t->byte_id[(unsigned char)run.p[s->at + b]]);
    }
    return status;
}

/* Ordinary text. No token mixes newlines with anything else, so cutting there changes no id; it
 * bounds the work. */
static enum tg_status encode_text(struct work *w, const struct le_tokenizer *t, struct tg_str text,
                                  struct le_ids *out)
{
    enum tg_status status = TG_OK;
    for (size_t i = 0; i < text.n && !status;) {
        size_t end = i + 1;
        if (text.p[i] == '\n') {
            while (end < text.n && text.p[end] == '\n')
                end++;
        } else {
            const char *newline = memchr(text.p + i, '\n', text.n - i);
            end = newline ? (size_t)(newline - text.p) : text.n;
        }
        status = encode_run(w, t, (struct tg_str){ text.p + i, end - i }, out);
        i = end;
    }
    return status;
}

/* The longest special token at s, or NONE. The hash grows with the length, so that special tokens
 * of every length cost no more than the longest. */
static int32_t special_at(const struct le_tokenizer *t, struct tg_str s, uint64_t *steps)
{
    int32_t longest = NONE;
    uint64_t hash = LE_TOK_HASH_EMPTY;
    size_t hashed = 0;
    if (!t->special_first[(unsigned char)s.p[0]])
        return NONE;
    for (size_t i = 0; i <= LE_SPECIAL_LEN_MAX && t->special_len[i]; i++) {
        size_t len = t->special_len[i];
        if (len > s.n)
            break;
        hash = le_tok_hash(hash, (struct tg_str){ s.p + hashed, len - hashed });
        hashed = len;
        int32_t id = le_tok_find_hash(t, (struct tg_str){ s.p, len }, hash);
        if (id >= 0 && t->tok[id].special)
            longest = id;
    }
    *steps += hashed;
    return longest;
}

enum tg_status le_tok_encode(const struct le_tokenizer *t, struct tg_str text, bool special,
                             struct le_ids *out, uint64_t *steps)
{
    *steps = 0;
    if (text.n > INT32_MAX)
        return TG_LIMIT;
    struct work w;
    work_init(&w);
    size_t n_before = out->n, begin = 0;
    enum tg_status status = TG_OK;
    for (size_t i = 0; special && i < text.n && !status;) {
        int32_t id = special_at(t, (struct tg_str){ text.p + i, text.n - i }, &w.steps);
        if (id == NONE) {
            i++;
            continue;
        }
        status = encode_text(&w, t, (struct tg_str){ text.p + begin, i - begin }, out);
        if (!status)
            status = le_ids_add(out, id);
        i += t->tok[id].text_n;
        begin = i;
    }
    if (!status && begin < text.n)
        status = encode_text(&w, t, (struct tg_str){ text.p + begin, text.n - begin }, out);
    if (status)
        out->n = n_before;
    *steps = w.steps;
    work_free(&w);
    return status;
}

enum tg_status le_tokenizer_encode(const struct le_tokenizer *t, struct tg_str text, bool special,
                                   struct le_ids *out)
{
    uint64_t steps;
    return le_tok_encode(t, text, special, out, &steps);
}
