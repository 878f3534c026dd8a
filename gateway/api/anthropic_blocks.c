#include <stdio.h>

#include "gateway/api/anthropic_internal.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static bool is_one_of(struct tg_str s, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (tg_str_eq(s, tg_str_of(words[i])))
            return true;
    return false;
}

enum tg_status ant_refuse_block(struct api_read *d, struct tg_str type)
{
    static const char *const known[] = { "text",     "image",             "tool_use",
                                         "thinking", "redacted_thinking", "tool_result",
                                         "document" };
    static const char *const documented[] = {
        "search_result", "server_tool_use", "web_search_tool_result",
        "web_fetch_tool_result", "code_execution_tool_result", "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result", "tool_search_tool_result", "container_upload",
        "mcp_tool_use", "mcp_tool_result", "compaction", "tool_reference", "browser_state",
        "tool_addition", "tool_removal", "fallback", "mcp_tool_listing", "advisor_tool_result",
    };
    api_enter(d, "type");
    if (is_one_of(type, known, COUNT(known)))
        return api_bad(d, "%.*s blocks have no place here", TG_FMT(type));
    if (!is_one_of(type, documented, COUNT(documented)))
        return api_bad(d, "unknown block type \"%.*s\"", TG_FMT(api_short(type)));
    enum tg_status status = api_unsupported(d);
    snprintf(d->err->message, sizeof(d->err->message),
             "%s: %.*s blocks are not supported in this version", d->path, TG_FMT(type));
    return status;
}

enum tg_status ant_read_text(struct api_read *d, const struct tg_json *v, struct chat_part *part)
{
    static const struct api_field fields[] = {
        { "type", api_elsewhere },
        { "text", api_elsewhere },
        { "cache_control", api_read_cache_control },
        { "citations", api_only_empty },
    };
    part->kind = CHAT_PART_TEXT;
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    return status ? status : api_copy_member(d, v, "text", true, 0, SIZE_MAX, &part->text);
}

/* Who called the tool: {"type": "direct"} is the model, as always here. */
static enum tg_status read_caller(struct api_read *d, const struct tg_json *v)
{
    struct tg_str type = { NULL, 0 };
    enum tg_status status = api_type(d, v, &type);
    return status == TG_OK && !tg_str_eq(type, TG_STR("direct")) ? api_unsupported(d) : status;
}

enum tg_status ant_read_tool_use(struct api_read *d, const struct tg_json *v,
                                 struct chat_part *part)
{
    static const struct api_field fields[] = {
        { "type", api_elsewhere },
        { "id", api_elsewhere },
        { "name", api_elsewhere },
        { "input", api_elsewhere },
        { "cache_control", api_read_cache_control },
        { "caller", read_caller },
        { "toolset_name", api_refuse },
    };
    part->kind = CHAT_PART_TOOL_CALL;
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    if (status == TG_OK)
        status = api_copy_member(d, v, "id", true, 1, ANT_ID_MAX, &part->id);
    if (status == TG_OK)
        status = api_copy_member(d, v, "name", true, 1, ANT_NAME_MAX, &part->name);
    if (status)
        return status;
    return api_object_member(d, v, "input", true, &part->text);
}

/* What a search for tools found: all tools are there at once, so that to say so is enough. */
static enum tg_status read_reference(struct api_read *d, const struct tg_json *v,
                                     struct tg_buf *text)
{
    static const struct api_field fields[] = {
        { "type", api_elsewhere },
        { "tool_name", api_elsewhere },
        { "cache_control", api_read_cache_control },
    };
    struct tg_str name = { NULL, 0 };
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    if (status == TG_OK)
        status = api_copy_member(d, v, "tool_name", true, 1, ANT_NAME_MAX, &name);
    if (status)
        return status;
    tg_buf_addf(text, "%sFound the tool %.*s.", text->n ? "\n" : "", TG_FMT(name));
    return text->failed ? api_no_memory(d) : TG_OK;
}

static enum tg_status read_result_block(struct api_read *d, const struct tg_json *v,
                                        struct tg_buf *text, struct api_parts *images)
{
    struct tg_str type = { NULL, 0 };
    struct chat_part part = { .kind = CHAT_PART_TEXT };
    enum tg_status status = api_type(d, v, &type);
    if (status)
        return status;
    if (tg_str_eq(type, TG_STR("image")))
        return ant_read_image(d, v, &images->p[images->n++]);
    if (tg_str_eq(type, TG_STR("tool_reference")))
        return read_reference(d, v, text);
    bool document = tg_str_eq(type, TG_STR("document"));
    if (!document && !tg_str_eq(type, TG_STR("text")))
        return ant_refuse_block(d, type);
    status = document ? ant_read_document(d, v, &part) : ant_read_text(d, v, &part);
    if (status == TG_OK && tg_buf_add(text, part.text.p, part.text.n))
        status = api_no_memory(d);
    return status;
}

static enum tg_status read_result_content(struct api_read *d, const struct tg_json *v,
                                          struct tg_buf *text, struct api_parts *images)
{
    struct tg_str s = { NULL, 0 };
    if (!v)
        return TG_OK;
    if (tg_json_string(v, &s))
        return tg_buf_add(text, s.p, s.n) ? api_no_memory(d) : TG_OK;
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return api_bad(d, "a string or an array of blocks was expected, not %s",
                       tg_json_type_name(tg_json_type(v)));
    size_t i = 0;
    for (const struct tg_json *item = tg_json_first(v); item; item = tg_json_next(item), i++) {
        size_t mark = api_enter_at(d, i);
        enum tg_status status = read_result_block(d, item, text, images);
        if (status)
            return status;
        api_leave(d, mark);
    }
    return TG_OK;
}

/* No backend has a mark for a tool that failed: the text has to say it. */
static bool says_error(struct tg_str s)
{
    s = tg_str_trim(s);
    return s.n >= 5 && tg_str_ieq((struct tg_str){ s.p, 5 }, TG_STR("error"));
}

enum tg_status ant_read_tool_result(struct api_read *d, const struct tg_json *v,
                                    struct chat_part *part, struct api_parts *images)
{
    static const struct api_field fields[] = {
        { "type", api_elsewhere },
        { "tool_use_id", api_elsewhere },
        { "content", api_elsewhere },
        { "is_error", api_elsewhere },
        { "cache_control", api_read_cache_control },
        { "toolset_name", api_refuse },
    };
    bool failed = false;
    part->kind = CHAT_PART_TOOL_RESULT;
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    if (status == TG_OK)
        status = api_copy_member(d, v, "tool_use_id", true, 1, ANT_ID_MAX, &part->id);
    if (status == TG_OK)
        status = api_bool_member(d, v, "is_error", &failed);
    if (status)
        return status;
    struct tg_buf text, marked;
    tg_buf_init(&text, SIZE_MAX / 2); /* bounded by the body it came from */
    tg_buf_init(&marked, SIZE_MAX / 2);
    size_t mark = api_enter(d, "content");
    status = read_result_content(d, api_member(v, "content"), &text, images);
    if (status == TG_OK) {
        api_leave(d, mark);
        if (failed && !says_error(tg_buf_str(&text)))
            tg_buf_adds(&marked, text.n ? "Error: " : "Error");
        tg_buf_add(&marked, text.p ? text.p : "", text.n);
        if (!marked.failed)
            part->text = tg_arena_str(d->arena, (struct tg_str){ marked.p ? marked.p : "",
                                                                 marked.n });
        status = part->text.p ? TG_OK : api_no_memory(d);
    }
    tg_buf_free(&text);
    tg_buf_free(&marked);
    return status;
}

enum tg_status ant_read_thinking(struct api_read *d, const struct tg_json *v, struct tg_str *out)
{
    static const struct api_field plain[] = {
        { "type", api_elsewhere },
        { "thinking", api_elsewhere },
        { "signature", api_elsewhere }, /* nothing here is signed, and nothing verified */
    };
    static const struct api_field redacted[] = { { "type", api_elsewhere },
                                                 { "data", api_elsewhere } };
    struct tg_str type = { NULL, 0 }, unread = { NULL, 0 };
    enum tg_status status = api_type(d, v, &type);
    if (status)
        return status;
    if (tg_str_eq(type, TG_STR("redacted_thinking"))) {
        status = api_read_fields(d, v, redacted, COUNT(redacted));
        return status ? status : api_copy_member(d, v, "data", true, 0, SIZE_MAX, &unread);
    }
    status = api_read_fields(d, v, plain, COUNT(plain));
    if (status == TG_OK)
        status = api_copy_member(d, v, "signature", false, 0, SIZE_MAX, &unread);
    return status ? status : api_copy_member(d, v, "thinking", true, 0, SIZE_MAX, out);
}
