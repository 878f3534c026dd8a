/* Any ids as an answer. First byte 0: the rest is text, encoded with special tokens on, and its
 * message must not depend on how the ordinary text in it is tokenised; else pairs of bytes are ids.
 * Whatever comes out must be valid. */
#include "config/base/json.h"
#include "config/base/utf8.h"
#include "local_engine/reply.h"
#include "local_engine/template_internal.h"
#include "tests/fuzz/support_tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX = 1 << 28 };

/* Our scanner wants integers in 64 bits; a model may write longer ones, which are kept. */
static bool has_long_number(struct tg_str s)
{
    size_t run = 0;
    for (size_t i = 0; i < s.n && run < 19; i++)
        run = s.p[i] >= '0' && s.p[i] <= '9' ? run + 1 : 0;
    return run >= 19;
}

static void check_arguments(struct tg_str json)
{
    struct le_json *v;
    struct tg_arena *arena = tg_arena_new(OUT_MAX);
    if (!arena || le_json_read(arena, json, &v) || v->kind != LE_JSON_OBJECT)
        abort();
    tg_arena_free(arena);
    if (!has_long_number(json) && tg_json_scan(json, NULL))
        abort();
}

/* Content, reasoning and calls, each behind a letter, in three parts of one buffer each. */
struct message {
    struct tg_buf part[3];
};

static void collect(void *arg, const struct le_delta *delta)
{
    struct message *m = arg;
    struct tg_buf *part = &m->part[delta->kind];
    if (delta->text.n == 0 || !tg_utf8_valid(delta->text.p, delta->text.n) ||
        memchr(delta->text.p, 0, delta->text.n))
        abort();
    tg_buf_add(part, delta->text.p, delta->text.n);
    if (delta->kind != LE_DELTA_CALL)
        return;
    check_arguments(delta->arguments);
    tg_buf_add(part, delta->arguments.p, delta->arguments.n);
    tg_buf_addc(part, '\n');
}

static size_t parse(const struct le_ids *ids, bool in_thought, struct message *m)
{
    struct le_reply *r = le_reply_new(tokenizer(), in_thought);
    enum le_token_class cls;
    if (!r)
        abort();
    for (int i = 0; i < 3; i++)
        tg_buf_init(&m->part[i], OUT_MAX);
    for (size_t i = 0; i < ids->n; i++) {
        enum tg_status status = le_reply_feed(r, ids->id[i], &cls, collect, m);
        if ((status && status != TG_LIMIT) || cls > LE_TOKEN_CALL_VALUE)
            abort();
    }
    if (le_reply_end(r, collect, m))
        abort();
    size_t bad = le_reply_bad_calls(r);
    le_reply_free(r);
    return bad;
}

/* The same with ordinary text byte by byte. */
static void split_text(const struct le_ids *ids, struct le_ids *out)
{
    const struct le_tokenizer *t = tokenizer();
    for (size_t i = 0; i < ids->n; i++) {
        struct tg_str piece = le_tokenizer_piece(t, ids->id[i]);
        bool control = le_tokenizer_is_control(t, ids->id[i]);
        for (size_t b = 0; b < piece.n; b += control ? piece.n : 1) {
            struct tg_str part = { piece.p + b, control ? piece.n : 1 };
            if (le_tokenizer_encode(t, part, control, out))
                abort();
        }
    }
}

static void message_free(struct message *m)
{
    for (int i = 0; i < 3; i++)
        tg_buf_free(&m->part[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct le_ids ids = { 0 }, other = { 0 };
    struct message a, b;
    if (size < 2)
        return 0;
    bool in_thought = data[1] & 1, is_text = data[0] == 0;
    if (is_text) {
        struct tg_str text = { (const char *)data + 2, size - 2 };
        if (le_tokenizer_encode(tokenizer(), text, true, &ids))
            abort();
    } else {
        ids.id = calloc(size, sizeof(*ids.id));
        for (size_t i = 2; ids.id && i + 1 < size; i += 2)
            ids.id[ids.n++] = (data[i] | data[i + 1] << 8) & 4095;
    }
    size_t bad = parse(&ids, in_thought, &a);
    if (is_text) {
        split_text(&ids, &other);
        if (parse(&other, in_thought, &b) != bad)
            abort();
        for (int i = 0; i < 3; i++)
            if (!tg_str_eq(tg_buf_str(&a.part[i]), tg_buf_str(&b.part[i])))
                abort();
        message_free(&b);
    }
    message_free(&a);
    le_ids_free(&ids);
    le_ids_free(&other);
    return 0;
}
