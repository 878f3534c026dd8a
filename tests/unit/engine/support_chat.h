/* Golden conversations (tests/golden/render*.json) as the template's contract wants them. */
#ifndef TESTS_ENGINE_SUPPORT_CHAT_H
#define TESTS_ENGINE_SUPPORT_CHAT_H

#include "config/base/arena.h"
#include "config/base/json.h"
#include "local_engine/template.h"

struct chat_golden {
    struct tg_arena *a; /* everything lives in it, and in the JSON that was read */
    struct le_chat chat;
};

/* c: a case with messages, tools, add_generation_prompt and enable_thinking. Whatever does not fit
 * the contract ends the test program. */
void chat_golden_read(struct chat_golden *g, const struct tg_json *c);
void chat_golden_free(struct chat_golden *g);

#endif
