/* The Gemma 4 chat template, written out in C: messages to prompt tokens. Only the template writes
 * special tokens; text of messages is encoded with special parsing off. Pure, any thread. */
#ifndef LE_TEMPLATE_H
#define LE_TEMPLATE_H

#include "config/base/buf.h"
#include "config/base/status.h"
#include "config/base/str.h"
#include "local_engine/tokenizer.h"

enum le_role { LE_ROLE_SYSTEM, LE_ROLE_USER, LE_ROLE_MODEL };

struct le_message {
    enum le_role role; /* developer is system */
    struct tg_str text;
};

struct le_chat {
    const struct le_message *messages;
    size_t n;
    bool thinking;
    bool add_generation_prompt;
};

/* The prompt as text, byte-equal to the model's own template. For tests and `render`. */
enum tg_status le_template_render(const struct le_chat *chat, struct tg_buf *out);
/* The prompt as ids, BOS included: literals of the template with special parsing on, texts off. */
enum tg_status le_template_encode(const struct le_tokenizer *t, const struct le_chat *chat,
                                  struct le_ids *out);

#endif
