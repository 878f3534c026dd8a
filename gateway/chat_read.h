/* JSON as chat templates take it (messages, tools, flags) to the engine's chat: for the commands
 * that compare, which are laxer than the API and see more of the template. */
#ifndef GATEWAY_CHAT_READ_H
#define GATEWAY_CHAT_READ_H

#include "config/base/arena.h"
#include "config/base/json.h"
#include "gateway/api/openai_chat.h"
#include "local_engine/template.h"

/* text: {"messages": [...], "tools": [...], "add_generation_prompt": true, "enable_thinking":
 * false}. Messages and tools are OpenAI's; media parts need no data, a call's arguments may be an
 * object, a tool may have a "response". Everything lives in the arena. TG_INVALID: err has the path
 * and what is wrong; TG_NOMEM. */
enum tg_status gw_chat_read(struct tg_str text, struct tg_arena *arena, struct le_chat *out,
                            struct api_error *err);

/* Names of tools: of a list as above, or of a list of strings; copies in the arena. Errors as
 * above. */
enum tg_status gw_tool_names_read(const struct tg_json *list, struct tg_arena *arena,
                                  struct tg_str **names, size_t *n, struct api_error *err);

#endif
