#include "gateway/api/openai_responses_internal.h"

/* The members of the response object that repeat the request, in the API's order. */

static void add_value(const char *key, const struct tg_json *v, const char *absent,
                      struct tg_buf *out)
{
    tg_buf_addf(out, ",\"%s\":", key);
    if (v && tg_json_type(v) != TG_JSON_NULL)
        tg_json_print(v, out);
    else
        tg_buf_adds(out, absent);
}

static void add(const struct tg_json *object, const char *key, const char *absent,
                struct tg_buf *out)
{
    add_value(key, tg_json_get(object, key), absent, out);
}

/* strict is a member of each function: without it nothing is enforced here. */
static void add_function(const struct tg_json *t, struct tg_buf *out)
{
    tg_buf_adds(out, "{\"type\":\"function\"");
    add(t, "name", "null", out);
    add(t, "description", "null", out);
    add(t, "parameters", "null", out);
    add(t, "strict", "false", out);
    tg_buf_addc(out, '}');
}

/* Who may see the response is not to see what opens the client's servers. */
static void add_without_keys(const struct tg_json *tool, struct tg_buf *out)
{
    tg_buf_addc(out, '{');
    bool first = true;
    for (const struct tg_json *m = tg_json_first(tool); m; m = tg_json_next(m)) {
        const char *key = tg_json_key(m);
        if (strcmp(key, "authorization") == 0 || strcmp(key, "headers") == 0)
            continue;
        if (!first)
            tg_buf_addc(out, ',');
        first = false;
        tg_buf_add_json(out, tg_str_of(key));
        tg_buf_addc(out, ':');
        tg_json_print(m, out);
    }
    tg_buf_addc(out, '}');
}

/* Tools of other types are told as they came, but for keys. */
static void add_tools(const struct tg_json *tools, struct tg_buf *out)
{
    struct tg_str type;
    tg_buf_adds(out, ",\"tools\":[");
    for (const struct tg_json *t = tg_json_first(tools); t; t = tg_json_next(t)) {
        if (t != tg_json_first(tools))
            tg_buf_addc(out, ',');
        if (tg_json_string(tg_json_get(t, "type"), &type) && tg_str_eq(type, TG_STR("function")))
            add_function(t, out);
        else
            add_without_keys(t, out);
    }
    tg_buf_addc(out, ']');
}

static void add_reasoning(const struct tg_json *v, struct tg_buf *out)
{
    const struct tg_json *summary = api_member(v, "summary");
    tg_buf_adds(out, ",\"reasoning\":{\"effort\":");
    const struct tg_json *effort = api_member(v, "effort");
    tg_json_print(effort, out);
    add_value("summary", summary ? summary : api_member(v, "generate_summary"), "null", out);
    tg_buf_addc(out, '}');
}

enum tg_status oai_read_echo(struct api_read *d, const struct tg_json *root)
{
    struct oai_reading *r = d->dialect;
    const struct tg_json *text = api_member(root, "text"), *format = api_member(text, "format");
    struct tg_buf out;
    tg_buf_init(&out, SIZE_MAX / 2); /* bounded by the body it came from */
    add(root, "instructions", "null", &out);
    add(root, "max_output_tokens", "null", &out);
    add(root, "max_tool_calls", "null", &out);
    add(root, "parallel_tool_calls", "true", &out);
    add(root, "previous_response_id", "null", &out);
    add(root, "prompt_cache_key", "null", &out);
    add_reasoning(api_member(root, "reasoning"), &out);
    add(root, "safety_identifier", "null", &out);
    tg_buf_addf(&out, ",\"service_tier\":\"default\",\"store\":%s",
                r->asked->store ? "true" : "false");
    add(root, "temperature", "null", &out);
    tg_buf_adds(&out, ",\"text\":{\"format\":");
    if (format)
        tg_json_print(format, &out);
    else
        tg_buf_adds(&out, "{\"type\":\"text\"}");
    add(text, "verbosity", "\"medium\"", &out);
    tg_buf_addc(&out, '}');
    add(root, "tool_choice", "\"auto\"", &out);
    add_tools(api_member(root, "tools"), &out);
    add(root, "top_logprobs", "0", &out);
    add(root, "top_p", "null", &out);
    add(root, "truncation", "\"disabled\"", &out);
    add(root, "user", "null", &out);
    add(root, "metadata", "{}", &out);
    if (!out.failed)
        r->asked->echo = tg_arena_str(d->arena, tg_buf_str(&out));
    tg_buf_free(&out);
    return r->asked->echo.p ? TG_OK : api_no_memory(d);
}
