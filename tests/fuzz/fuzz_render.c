/* Any bytes as a conversation of the render command; the first two choose the template's style.
 * What is accepted must render and encode alike, with one <bos>, in proportion to the input and
 * within the ids that are allowed. */
#include "gateway/chat_read.h"
#include "tests/fuzz/support_tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct le_template_style style_of(unsigned bits)
{
    return (struct le_template_style){
        .bare_prompt = bits & 1,     .think_inline = bits & 2,    .media_lines = bits & 4,
        .spaced_system = bits & 8,   .blank_is_empty = bits & 16, .result_media = bits & 32,
        .null_word = bits & 64,      .all_reasoning = bits & 128, .joined_turns = bits & 256,
        .thought_cue = bits & 512,   .type_lists = bits & 1024,
    };
}

/* A prompt is a few times its conversation, but for results, each of which repeats a name. */
static size_t largest(const struct le_chat *chat, size_t size)
{
    size_t name = 16, results = 0;
    for (size_t i = 0; i < chat->n; i++) {
        const struct le_message *m = &chat->messages[i];
        results += m->role == LE_ROLE_TOOL;
        name = m->name.n > name ? m->name.n : name;
        for (size_t k = 0; k < m->n_calls; k++)
            name = m->calls[k].name.n > name ? m->calls[k].name.n : name;
    }
    return 8 * size + 4096 + results * name;
}

static void check_size(const struct le_chat *chat, size_t size, size_t text_n, size_t ids_n)
{
    struct le_ids ids = { 0 };
    if (text_n > largest(chat, size) || ids_n > text_n)
        abort();
    if (le_template_encode(tokenizer(), chat, ids_n - 1, &ids) != TG_LIMIT || ids.n)
        abort();
    le_ids_free(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct api_error err;
    struct le_chat chat;
    struct le_ids ids = { 0 };
    struct tg_buf text;
    if (size < 2)
        return 0;
    struct tg_arena *arena = tg_arena_new(1 << 26);
    struct tg_str input = { (const char *)data + 2, size - 2 };
    if (gw_chat_read(input, arena, &chat, &err)) {
        if (!err.message[0])
            abort();
        tg_arena_free(arena);
        return 0;
    }
    chat.style = style_of(data[0] | (unsigned)data[1] << 8);
    tg_buf_init(&text, (size_t)1 << 30);
    enum tg_status status = le_template_render(&chat, &text);
    if (le_template_encode(tokenizer(), &chat, SIZE_MAX, &ids) != status)
        abort();
    size_t n_bos = 0;
    for (size_t i = 0; i < ids.n; i++)
        n_bos += ids.id[i] == le_tokenizer_special(tokenizer())->bos;
    if (n_bos != (status == TG_OK))
        abort();
    if (status == TG_OK)
        check_size(&chat, size, text.n, ids.n);
    tg_buf_free(&text);
    le_ids_free(&ids);
    tg_arena_free(arena);
    return 0;
}
