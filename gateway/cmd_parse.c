/* tollgate parse: the message that a model's raw answer means, for comparison with other programs.
 */
#include <stdio.h>

#include "config/base/alloc.h"
#include "gateway/chat_read.h"
#include "gateway/cmd.h"
#include "local_engine/cmd_common.h"
#include "local_engine/cmd_text.h"
#include "local_engine/reply.h"

enum { ARENA_MAX = 1 << 30 };

static const char usage[] =
    "usage: tollgate parse --model FILE  < ANSWER\n"
    "Prints the message that a raw answer of the model means. Standard input, at most 16 MiB:\n"
    "  {\"text\": \"<|channel>thought\\nhm<channel|>Hello\"}   or   {\"ids\": [100, 45518, ...]}\n"
    "with, if wanted,\n"
    "  \"tools\": [...]               OpenAI's tools or their names: calls of others are left out\n"
    "  \"parallel_tool_calls\": false only the first call\n"
    "  \"in_thought\": true           the prompt ended inside a thought\n"
    "Special tokens in text are read as such. Standard output: the assistant's message as in the\n"
    "OpenAI API, with reasoning_content and tool_calls where there are any. Calls that could be\n"
    "neither read nor repaired are counted on standard error.\n"
    "  -m, --model FILE  GGUF file of a Gemma 4 model; one without weights will do\n"
    "  -h, --help        this text\n"
    "Exit status: 0; 1 when the file or the answer cannot be used; 2 for wrong options.\n";

/* What is asked, and the message as it grows. */
struct answer {
    struct le_ids ids;
    bool in_thought, one_call, any_tool;
    struct tg_str *tools;
    size_t n_tools;
    struct tg_buf content, reasoning, calls;
    size_t n_calls;
};

static bool is_wanted(const struct answer *a, struct tg_str name)
{
    if (a->one_call && a->n_calls > 0)
        return false;
    for (size_t i = 0; i < a->n_tools; i++)
        if (tg_str_eq(a->tools[i], name))
            return true;
    return a->any_tool;
}

static void add_delta(void *arg, const struct le_delta *delta)
{
    struct answer *a = arg;
    if (delta->kind != LE_DELTA_CALL) {
        struct tg_buf *to = delta->kind == LE_DELTA_CONTENT ? &a->content : &a->reasoning;
        tg_buf_add(to, delta->text.p, delta->text.n);
    } else if (is_wanted(a, delta->text)) {
        tg_buf_addf(&a->calls, "%s{\"id\": \"call_%zu\", \"type\": \"function\", \"function\": "
                    "{\"name\": ", a->n_calls ? ", " : "", a->n_calls);
        tg_buf_add_json(&a->calls, delta->text);
        tg_buf_adds(&a->calls, ", \"arguments\": ");
        tg_buf_add_json(&a->calls, delta->arguments);
        tg_buf_adds(&a->calls, "}}");
        a->n_calls++;
    }
}

/* ---- reading ---- */

static enum tg_status read_flag(const struct tg_json *root, const char *key, bool *out,
                                struct tg_error *err)
{
    const struct tg_json *v = tg_json_get(root, key);
    if (!v || tg_json_is(v, TG_JSON_NULL) || tg_json_bool(v, out))
        return TG_OK;
    return tg_fail(err, TG_INVALID, "%s: true or false was expected, not %s", key,
                   tg_json_type_name(tg_json_type(v)));
}

static enum tg_status read_ids(const struct tg_json *list, const struct le_tokenizer *t,
                               struct le_ids *out, struct tg_error *err)
{
    if (!tg_json_is(list, TG_JSON_ARRAY))
        return tg_fail(err, TG_INVALID, "ids: an array was expected, not %s",
                       tg_json_type_name(tg_json_type(list)));
    for (const struct tg_json *v = tg_json_first(list); v; v = tg_json_next(v)) {
        int64_t id;
        if (!tg_json_int(v, &id) || id < 0 || id >= (int64_t)le_tokenizer_n(t))
            return tg_fail(err, TG_INVALID,
                           "ids[%zu]: not an id of the vocabulary, which has 0 to %u", out->n,
                           le_tokenizer_n(t) - 1);
        if (le_ids_add(out, (int32_t)id))
            return tg_fail(err, TG_NOMEM, "out of memory");
    }
    return TG_OK;
}

static enum tg_status read_answer(const struct tg_json *root, const struct le_tokenizer *t,
                                  struct answer *a, struct tg_error *err)
{
    const struct tg_json *text = tg_json_get(root, "text"), *ids = tg_json_get(root, "ids");
    struct tg_str s;
    if (!text == !ids)
        return tg_fail(err, TG_INVALID, "%s: the answer is either a \"text\" or a list of \"ids\"",
                       text ? "text and ids are both there" : "text and ids are both missing");
    if (ids)
        return read_ids(ids, t, &a->ids, err);
    if (!tg_json_string(text, &s))
        return tg_fail(err, TG_INVALID, "text: a string was expected, not %s",
                       tg_json_type_name(tg_json_type(text)));
    enum tg_status status = le_tokenizer_encode(t, s, true, &a->ids);
    return status ? tg_fail(err, status, "text: out of memory") : TG_OK;
}

static enum tg_status check_keys(const struct tg_json *root, struct tg_error *err)
{
    static const char *const keys[] = { "text", "ids", "tools", "parallel_tool_calls",
                                        "in_thought" };
    for (const struct tg_json *v = tg_json_first(root); v; v = tg_json_next(v)) {
        bool known = false;
        for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
            known = known || strcmp(keys[i], tg_json_key(v)) == 0;
        if (!known)
            return tg_fail(err, TG_INVALID, "%s: unknown field; known are text, ids, tools, "
                           "parallel_tool_calls and in_thought", tg_json_key(v));
    }
    return TG_OK;
}

static enum tg_status read_input(struct tg_str text, const struct le_tokenizer *t,
                                 struct tg_arena *arena, struct answer *a, struct tg_error *err)
{
    struct tg_json *root = NULL;
    struct api_error cause;
    bool parallel = true;
    enum tg_status status = tg_json_parse(text, &root, err);
    if (status)
        return status;
    if (!tg_json_is(root, TG_JSON_OBJECT))
        status = tg_fail(err, TG_INVALID, "a JSON object was expected, not %s",
                         tg_json_type_name(tg_json_type(root)));
    if (!status)
        status = check_keys(root, err);
    if (!status)
        status = read_flag(root, "in_thought", &a->in_thought, err);
    if (!status)
        status = read_flag(root, "parallel_tool_calls", &parallel, err);
    if (!status)
        status = read_answer(root, t, a, err);
    const struct tg_json *tools = tg_json_get(root, "tools");
    a->one_call = !parallel;
    a->any_tool = !tools || tg_json_is(tools, TG_JSON_NULL);
    if (!status && !a->any_tool && gw_tool_names_read(tools, arena, &a->tools, &a->n_tools, &cause))
        status = tg_fail(err, TG_INVALID, "%s", cause.message);
    tg_json_free(root);
    return status;
}

/* ---- the message ---- */

static enum tg_status parse_answer(const struct le_tokenizer *t, struct answer *a, size_t *bad)
{
    struct le_reply *r = le_reply_new(t, a->in_thought);
    enum tg_status status = r ? TG_OK : TG_NOMEM;
    for (size_t i = 0; i < a->ids.n && !status; i++) {
        status = le_reply_feed(r, a->ids.id[i], NULL, add_delta, a);
        if (status == TG_LIMIT) /* one call is too large: it is counted among the bad ones */
            status = TG_OK;
    }
    if (!status)
        status = le_reply_end(r, add_delta, a);
    *bad = r ? le_reply_bad_calls(r) : 0;
    le_reply_free(r);
    if (!status && (a->content.failed || a->reasoning.failed || a->calls.failed))
        status = TG_NOMEM;
    return status;
}

static enum tg_status print_message(const struct answer *a, struct tg_buf *out)
{
    tg_buf_adds(out, "{\"role\": \"assistant\", \"content\": ");
    tg_buf_add_json(out, tg_buf_str(&a->content));
    if (a->reasoning.n) {
        tg_buf_adds(out, ", \"reasoning_content\": ");
        tg_buf_add_json(out, tg_buf_str(&a->reasoning));
    }
    if (a->n_calls) {
        tg_buf_adds(out, ", \"tool_calls\": [");
        tg_buf_add(out, a->calls.p, a->calls.n);
        tg_buf_adds(out, "]");
    }
    return tg_buf_adds(out, "}\n");
}

static bool run(const struct le_text_model *m, struct tg_arena *arena, struct answer *a,
                struct tg_buf *text, struct tg_buf *out)
{
    struct tg_error err = { .text = "out of memory" };
    size_t bad = 0;
    if (!le_text_input("parse", LE_TEXT_INPUT_MAX, text))
        return false;
    if (!arena || read_input(tg_buf_str(text), m->tokenizer, arena, a, &err)) {
        fprintf(stderr, "parse: standard input: %s\n", err.text);
        return false;
    }
    if (parse_answer(m->tokenizer, a, &bad) || print_message(a, out)) {
        fprintf(stderr, "parse: out of memory\n");
        return false;
    }
    if (bad)
        fprintf(stderr, "parse: %zu tool call%s could not be read\n", bad, bad == 1 ? "" : "s");
    return le_text_write("parse", tg_buf_str(out));
}

static int parse(const struct le_text_model *m)
{
    struct answer a = { .in_thought = false };
    struct tg_buf text, out;
    struct tg_arena *arena = tg_arena_new(ARENA_MAX);
    tg_buf_init(&text, 0);
    tg_buf_init(&out, SIZE_MAX / 2);
    tg_buf_init(&a.content, SIZE_MAX / 2); /* all bounded by the input */
    tg_buf_init(&a.reasoning, SIZE_MAX / 2);
    tg_buf_init(&a.calls, SIZE_MAX / 2);
    bool good = run(m, arena, &a, &text, &out);
    le_ids_free(&a.ids);
    tg_buf_free(&a.content);
    tg_buf_free(&a.reasoning);
    tg_buf_free(&a.calls);
    tg_buf_free(&text);
    tg_buf_free(&out);
    tg_arena_free(arena);
    return good ? 0 : 1;
}

int gw_cmd_parse(int argc, char **argv)
{
    const char *model = NULL;
    struct le_text_model m;
    const struct le_option options[] = {
        { "--model", "-m", LE_OPTION_TEXT, &model, NULL, 0, 0 },
    };
    const struct le_command command = { "parse", usage, options, 1, NULL };
    enum le_args args = le_args_parse(&command, argc, argv);
    if (args != LE_ARGS_RUN)
        return args == LE_ARGS_HELP ? 0 : 2;
    int status = le_text_open("parse", model, &m) ? model ? 1 : 2 : parse(&m);
    le_text_close(&m);
    return status;
}
