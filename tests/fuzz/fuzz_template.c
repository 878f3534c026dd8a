/* Any bytes as a tool's schema, a call's arguments and the texts of a conversation, cut at bytes
 * 0xFE. No field may bring in a special token: their number follows from the chat's shape. The
 * prompt stays in proportion to the bytes, and within the ids that are allowed. */
#include "local_engine/template.h"
#include "tests/fuzz/support_tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count(const struct le_ids *ids, int32_t id)
{
    size_t n = 0;
    for (size_t i = 0; i < ids->n; i++)
        n += ids->id[i] == id;
    return n;
}

/* At most five times a schema (names without a type, in a list of what is required), three times a
 * text, and what stands around them. */
static void check_size(const struct le_chat *chat, size_t size, size_t text_n, size_t ids_n)
{
    struct le_ids ids = { 0 };
    if (text_n > 8 * size + 4096 || ids_n > text_n)
        abort();
    if (le_template_encode(tokenizer(), chat, ids_n - 1, &ids) != TG_LIMIT || ids.n)
        abort();
    if (le_template_encode(tokenizer(), chat, ids_n / 2, &ids) != TG_LIMIT || ids.n)
        abort();
    le_ids_free(&ids);
}

static void check(const struct le_chat *chat, size_t size)
{
    const struct le_special_ids *s = le_tokenizer_special(tokenizer());
    struct le_ids ids = { 0 };
    struct tg_buf text;
    tg_buf_init(&text, (size_t)1 << 30);
    enum tg_status status = le_template_encode(tokenizer(), chat, SIZE_MAX, &ids);
    if (le_template_render(chat, &text) != status)
        abort();
    if (status == TG_OK &&
        (count(&ids, s->bos) != 1 || count(&ids, s->turn_open) != 4 || count(&ids, s->eos) ||
         count(&ids, s->call_open) != 1 || count(&ids, s->call_close) != 1 ||
         count(&ids, s->tool_close) != 1 || count(&ids, s->image) || count(&ids, s->quote) % 2))
        abort();
    if (status != TG_OK && ids.n)
        abort();
    if (status == TG_OK)
        check_size(chat, size, text.n, ids.n);
    tg_buf_free(&text);
    le_ids_free(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_str field[8] = { { 0 } };
    size_t n = 0, begin = 0;
    for (size_t i = 0; i <= size && n < 8; i++) {
        if (i == size || data[i] == 0xFE) {
            field[n++] = (struct tg_str){ (const char *)data + begin, i - begin };
            begin = i + 1;
        }
    }
    struct le_tool tool = { field[3], field[4], field[0], field[1] };
    struct le_call call = { field[5], field[3], field[2] };
    struct le_message messages[] = {
        { .role = LE_ROLE_SYSTEM, .text = field[4] },
        { .role = LE_ROLE_USER, .text = field[6] },
        { .role = LE_ROLE_MODEL, .text = field[7], .reasoning = field[6], .calls = &call,
          .n_calls = 1 },
        { .role = LE_ROLE_TOOL, .text = field[7], .call_id = field[5] },
        { .role = LE_ROLE_USER, .text = field[7] },
    };
    struct le_chat chat = { .messages = messages, .n = 5, .thinking = true, .tools = &tool,
                            .n_tools = 1 };
    check(&chat, size);
    chat.style = (struct le_template_style){ .null_word = true, .all_reasoning = true,
                                             .joined_turns = true, .type_lists = true };
    check(&chat, size);
    return 0;
}
