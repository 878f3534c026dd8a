/* Conversations of the render command: what is read, and what happens when memory runs out. (Its
 * refusals are tested through the program: tests/http/text.test.mjs.) */
#include "config/base/alloc.h"
#include "gateway/chat_read.h"
#include "tests/unit/check.h"

static const char k_chat[] =
    "{\"messages\":[{\"role\":\"developer\",\"content\":\"s\"},"
    "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\\u00e9\"},"
    "{\"type\":\"image_url\",\"image_url\":{\"url\":\"x\"}},{\"type\":\"input_audio\"},"
    "{\"type\":\"video\"}],\"name\":null},"
    "{\"role\":\"assistant\",\"content\":null,\"audio\":null,\"function_call\":null,"
    "\"refusal\":null,\"annotations\":[],\"reasoning_content\":[\"r\",{\"text\":\"s\"}],"
    "\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"index\":0,\"function\":{\"name\":\"f\","
    "\"arguments\":\"{\\\"n\\\":1.50}\"}},"
    "{\"function\":{\"name\":\"g\",\"arguments\":{\"k\":[9007199254740993, 1.50]}}},"
    "{\"function\":{\"name\":\"h\",\"arguments\":null}}]},"
    "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"name\":\"f\",\"content\":\"done\"}],"
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"does\","
    "\"parameters\":{\"type\":\"object\"},\"response\":{\"type\":\"object\"},\"strict\":false}},"
    "{\"function\":{\"name\":\"g\"}}],\"add_generation_prompt\":false,\"enable_thinking\":true}";

static void everything_is_read(void)
{
    struct tg_arena *arena = tg_arena_new(1 << 20);
    struct api_error err;
    struct le_chat chat;
    if (gw_chat_read(tg_str_of(k_chat), arena, &chat, &err))
        CHECK_FAIL("%s", err.message);
    CHECK_INT(chat.n, 4);
    CHECK(chat.thinking && !chat.add_generation_prompt);
    const struct le_message *m = chat.messages;
    CHECK_INT(m[0].role, LE_ROLE_SYSTEM);
    CHECK(tg_str_eq(m[0].text, TG_STR("s")) && m[0].n_parts == 0);
    CHECK_INT(m[1].n_parts, 4);
    CHECK(tg_str_eq(m[1].parts[0].text, TG_STR("a\xC3\xA9")));
    static const enum le_part_kind kinds[] = { LE_PART_TEXT, LE_PART_IMAGE, LE_PART_AUDIO,
                                               LE_PART_VIDEO };
    for (int i = 0; i < 4; i++)
        CHECK_INT(m[1].parts[i].kind, kinds[i]);
    CHECK(tg_str_eq(m[2].reasoning, TG_STR("rs")) && m[2].text.n == 0);
    CHECK_INT(m[2].n_calls, 3);
    CHECK(tg_str_eq(m[2].calls[0].id, TG_STR("c1")));
    CHECK(tg_str_eq(m[2].calls[0].arguments, TG_STR("{\"n\":1.50}")));
    CHECK(tg_str_eq(m[2].calls[1].arguments, TG_STR("{\"k\":[9007199254740993,1.50]}")));
    CHECK(tg_str_eq(m[2].calls[2].arguments, TG_STR("{}")));
    CHECK_INT(m[3].role, LE_ROLE_TOOL);
    CHECK(tg_str_eq(m[3].call_id, TG_STR("c1")) && tg_str_eq(m[3].name, TG_STR("f")));
    CHECK_INT(chat.n_tools, 2);
    CHECK(tg_str_eq(chat.tools[0].parameters, TG_STR("{\"type\":\"object\"}")));
    CHECK(tg_str_eq(chat.tools[0].response, TG_STR("{\"type\":\"object\"}")));
    CHECK(chat.tools[1].description.n == 0 && chat.tools[1].parameters.n == 0);
    tg_arena_free(arena);
}

static void defaults(void)
{
    struct tg_arena *arena = tg_arena_new(1 << 16);
    struct api_error err;
    struct le_chat chat;
    CHECK_INT(gw_chat_read(TG_STR("{\"messages\":[{\"role\":\"user\",\"content\":\"\"}],"
                                  "\"tools\":null,\"enable_thinking\":null}"),
                           arena, &chat, &err), TG_OK);
    CHECK(chat.add_generation_prompt && !chat.thinking && chat.n_tools == 0);
    tg_arena_free(arena);
}

static void names_of_tools(void)
{
    static const char *const lists[] = {
        "[\"f\",\"g\"]",
        "[{\"function\":{\"name\":\"f\"}},{\"type\":\"function\",\"function\":{\"name\":\"g\"}}]",
    };
    for (size_t i = 0; i < 2; i++) {
        struct tg_arena *arena = tg_arena_new(1 << 16);
        struct tg_json *list;
        struct tg_str *names;
        struct api_error err;
        size_t n = 0;
        CHECK_INT(tg_json_parse(tg_str_of(lists[i]), &list, NULL), TG_OK);
        CHECK_INT(gw_tool_names_read(list, arena, &names, &n, &err), TG_OK);
        tg_json_free(list);
        CHECK_INT(n, 2);
        CHECK(tg_str_eq(names[0], TG_STR("f")) && tg_str_eq(names[1], TG_STR("g")));
        tg_arena_free(arena);
    }
}

static void failing_allocations(void)
{
    enum tg_status status = TG_NOMEM;
    uint64_t nth = 0;
    while (status && nth < 10000) {
        struct tg_arena *arena = tg_arena_new(1 << 20);
        struct api_error err;
        struct le_chat chat;
        CHECK(arena != NULL);
        tg_alloc_fail_nth(++nth);
        status = gw_chat_read(tg_str_of(k_chat), arena, &chat, &err);
        tg_alloc_fail_nth(0);
        CHECK(status == TG_OK || (status == TG_NOMEM && err.message[0]));
        tg_arena_free(arena);
    }
    CHECK_INT(status, TG_OK);
    CHECK(nth > 3);
    for (size_t max = 64; max < 4096; max += 64) { /* an arena that is too small */
        struct tg_arena *arena = tg_arena_new(max);
        struct api_error err;
        struct le_chat chat;
        status = gw_chat_read(tg_str_of(k_chat), arena, &chat, &err);
        CHECK(status == TG_OK || status == TG_NOMEM);
        tg_arena_free(arena);
    }
    CHECK_INT(status, TG_OK);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(everything_is_read),
        CASE(defaults),
        CASE(names_of_tools),
        CASE(failing_allocations),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
