#include "gateway/api/ollama_internal.h"
#include "gateway/api/openai_internal.h"

/* The members of /api/chat and /api/generate, one reader each. Every documented field is here:
 * honoured, or refused by name; an unknown one is refused too. null is the same as absent, and so
 * are the empty values that clients send for what they do not use. */

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

enum tg_status oll_only_empty(struct api_read *d, const struct tg_json *v)
{
    struct tg_str s;
    if (tg_json_string(v, &s))
        return s.n == 0 ? TG_OK : api_unsupported(d);
    return api_only_empty(d, v);
}

enum tg_status oll_read_name(struct api_read *d, const struct tg_json *v, struct tg_str *said,
                             struct tg_str *bare)
{
    static const struct tg_str tag = { ":latest", 7 };
    enum tg_status status = api_copy(d, v, 1, API_MODEL_MAX, said);
    *bare = *said;
    if (status == TG_OK && bare->n > tag.n &&
        memcmp(bare->p + bare->n - tag.n, tag.p, tag.n) == 0)
        bare->n -= tag.n;
    return status;
}

enum tg_status oll_read_model(struct api_read *d, const struct tg_json *v)
{
    return oll_read_name(d, v, &d->out->model_said, &d->out->model);
}

/* A span of time, "5m" or seconds. The model always stays: a hint. */
enum tg_status oll_read_keep_alive(struct api_read *d, const struct tg_json *v)
{
    if (tg_json_is(v, TG_JSON_STRING) || tg_json_is(v, TG_JSON_NUMBER))
        return TG_OK;
    return api_bad(d, "a span such as \"5m\" or a number of seconds was expected, not %s",
                   tg_json_type_name(tg_json_type(v)));
}

/* A request that asks nothing: it loads the model, or with keep_alive 0 unloads it. Neither
 * happens, but clients are told what they asked for. */
static void ask_nothing(struct chat_request *out, const struct tg_json *root)
{
    static const char *const zeros[] = { "0", "0s", "0m", "0h" };
    const struct tg_json *v = tg_json_get(root, "keep_alive");
    struct tg_str s;
    double number = 1;
    bool zero = tg_json_number(v, &number) && number >= 0 && number <= 0;
    for (size_t i = 0; i < COUNT(zeros) && tg_json_string(v, &s); i++)
        zero = zero || tg_str_eq(s, tg_str_of(zeros[i]));
    out->stream = false;
    out->own = zero ? OLL_UNLOAD : NULL;
}

static enum tg_status read_think(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "low", "medium", "high", "max" };
    size_t which = 0;
    if (tg_json_bool(v, &d->out->thinking)) {
        d->out->hide_thinking = !d->out->thinking; /* a provider's model may think all the same */
        return TG_OK;
    }
    if (!tg_json_is(v, TG_JSON_STRING))
        return api_bad(d, "a boolean or a word was expected, not %s",
                       tg_json_type_name(tg_json_type(v)));
    enum tg_status status = api_word(d, v, words, COUNT(words), &which);
    d->out->thinking = true;
    if (status == TG_OK) /* said, so that providers hear it: they have the same words */
        d->out->effort = tg_str_of(words[which]);
    return status;
}

/* "json", a schema, or "" for none. */
static enum tg_status read_format(struct api_read *d, const struct tg_json *v)
{
    struct tg_str word;
    if (tg_json_string(v, &word)) {
        if (word.n && !tg_str_eq(word, TG_STR("json")))
            return api_bad(d, "must be \"json\" or a JSON schema");
        d->out->format = word.n ? CHAT_FORMAT_JSON : CHAT_FORMAT_TEXT;
        return TG_OK;
    }
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_bad(d, "\"json\" or an object with a JSON schema was expected, not %s",
                       tg_json_type_name(tg_json_type(v)));
    d->out->format = CHAT_FORMAT_SCHEMA;
    d->out->schema.name = TG_STR("answer");
    return api_read_schema(d, v);
}

static enum tg_status only_zero(struct api_read *d, const struct tg_json *v)
{
    double value;
    if (!tg_json_number(v, &value))
        return api_wrong_type(d, v, TG_JSON_NUMBER);
    return value >= 0 && value <= 0 ? TG_OK : api_unsupported(d);
}

/* Of two limits the smaller one keeps both. */
static enum tg_status read_max_tokens(struct api_read *d, const struct tg_json *v)
{
    int64_t value = 0;
    enum tg_status status = api_integer(d, v, 1, OLL_TOKENS_MAX, &value);
    if (status == TG_OK && (!d->out->max_tokens || d->out->max_tokens > (uint32_t)value))
        d->out->max_tokens = (uint32_t)value;
    return status;
}

/* A function's name beside its type, or as chat completions have it. */
static enum tg_status read_choice(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "function" };
    static const struct api_field fields[] = { { "type", api_elsewhere },
                                               { "name", api_elsewhere } };
    size_t which;
    if (!api_member(v, "name"))
        return oai_read_choice(d, v);
    enum tg_status status = api_type_word(d, v, words, COUNT(words), &which);
    if (status == TG_OK)
        status = api_read_fields(d, v, fields, COUNT(fields));
    d->out->tool_choice = CHAT_CHOICE_NAMED;
    return status ? status
                  : api_copy_member(d, v, "name", true, 1, OLL_NAME_MAX, &d->out->tool_name);
}

static enum tg_status read_tools(struct api_read *d, const struct tg_json *v)
{
    return api_read_tool_list(d, v, OLL_TOOLS_MAX, oai_read_tool, "function.name");
}

/* Both endpoints have these. Those behind the options are not Ollama's, which takes them in the
 * options alone and passes over them here: clients write them, and mean what they say. The options
 * win. Nothing is truncated or shifted out of the context here, which is what
 * false asks for. */
#define COMMON                                 \
    { "model", oll_read_model },               \
    { "stream", api_read_stream },                 \
    { "think", read_think },                   \
    { "format", read_format },                 \
    { "options", api_elsewhere }, /* read behind the others */ \
    { "temperature", api_read_temperature },   \
    { "top_p", api_read_top_p },               \
    { "max_tokens", read_max_tokens },         \
    { "max_output_tokens", read_max_tokens },  \
    { "keep_alive", oll_read_keep_alive },     \
    { "truncate", api_only_false },            \
    { "shift", api_only_false },               \
    { "logprobs", api_read_logprobs },         \
    { "top_logprobs", api_read_top_logprobs }, \
    { "_debug_render_only", api_only_false }

static const struct api_field chat_fields[] = {
    COMMON,
    { "messages", api_elsewhere }, /* read last: errors above are cheaper */
    { "tools", read_tools },
    { "tool_choice", read_choice },
};

static const struct api_field generate_fields[] = {
    COMMON,
    { "prompt", api_elsewhere },
    { "system", api_elsewhere },
    { "images", api_elsewhere },
    { "suffix", oll_only_empty },
    { "template", oll_only_empty },
    { "context", oll_only_empty },
    { "raw", api_only_false },
    { "width", only_zero },
    { "height", only_zero },
    { "steps", only_zero },
};

enum tg_status oll_read_all(struct api_read *d, struct tg_str body, struct tg_json **root,
                            const struct api_field *fields, size_t n)
{
    *d->out = (struct chat_request){ .stream = true };
    *d->err = (struct api_error){ 0 };
    enum tg_status status = api_read_root(d, body, root);
    if (status == TG_OK)
        status = api_read_fields(d, *root, fields, n);
    if (status == TG_OK && !d->out->model.n) {
        api_enter(d, "model");
        status = api_bad(d, "is missing; GET /api/tags lists the models");
    }
    if (status == TG_OK)
        status = api_check_logprobs(d);
    if (d->out->model_said.n == d->out->model.n)
        d->out->model_said = (struct tg_str){ NULL, 0 };
    return status;
}

/* All but what is said. */
static enum tg_status read_manner(struct api_read *d, struct tg_str body, struct tg_json **root,
                                  const struct api_field *fields, size_t n)
{
    enum tg_status status = oll_read_all(d, body, root, fields, n);
    const struct tg_json *options = api_member(*root, "options");
    size_t mark = d->path_n;
    if (status || !options)
        return status;
    api_enter(d, "options");
    status = oll_read_options(d, options);
    if (status == TG_OK)
        api_leave(d, mark);
    return status;
}

enum tg_status oll_chat_decode(struct tg_str body, struct tg_arena *arena,
                               struct chat_request *out, struct api_error *err)
{
    struct api_read d = { .arena = arena, .out = out, .err = err };
    struct tg_json *root = NULL;
    enum tg_status status = read_manner(&d, body, &root, chat_fields, COUNT(chat_fields));
    if (status == TG_OK)
        status = oai_settle_chat_choice(&d, root);
    const struct tg_json *messages = api_member(root, "messages");
    if (status == TG_OK && messages) {
        api_enter(&d, "messages");
        status = oll_read_messages(&d, messages);
    }
    if (status == TG_OK && out->n_messages == 0)
        ask_nothing(out, root);
    tg_json_free(root);
    return status;
}

/* System and prompt become messages, unless there is nothing to answer. */
static enum tg_status make_messages(struct api_read *d, const struct tg_json *root)
{
    const struct tg_json *images = api_member(root, "images");
    struct tg_str prompt = { NULL, 0 }, system = { NULL, 0 };
    enum tg_status status = api_copy_member(d, root, "prompt", false, 0, SIZE_MAX, &prompt);
    if (status == TG_OK)
        status = api_copy_member(d, root, "system", false, 0, SIZE_MAX, &system);
    if (status)
        return status;
    size_t room = api_list_count(images), n = 0;
    struct chat_part *parts = tg_arena_alloc(d->arena, room + 2, sizeof(*parts));
    struct chat_message *m = tg_arena_alloc(d->arena, 2, sizeof(*m));
    if (!parts || !m)
        return api_no_memory(d);
    struct chat_part *said = parts + 1;
    if (images) {
        size_t mark = api_enter(d, "images");
        status = oll_read_images(d, images, said, &n);
        api_leave(d, mark);
    }
    if (status || (!prompt.n && !n))
        return status;
    if (prompt.n)
        said[n++] = (struct chat_part){ .kind = CHAT_PART_TEXT, .text = prompt };
    if (system.n) {
        parts[0] = (struct chat_part){ .kind = CHAT_PART_TEXT, .text = system };
        m[d->out->n_messages++] =
            (struct chat_message){ .role = CHAT_SYSTEM, .parts = parts, .n_parts = 1 };
    }
    m[d->out->n_messages++] =
        (struct chat_message){ .role = CHAT_USER, .parts = said, .n_parts = n };
    d->out->messages = m;
    return TG_OK;
}

enum tg_status oll_generate_decode(struct tg_str body, struct tg_arena *arena,
                                   struct chat_request *out, struct api_error *err)
{
    struct api_read d = { .arena = arena, .out = out, .err = err };
    struct tg_json *root = NULL;
    enum tg_status status = read_manner(&d, body, &root, generate_fields, COUNT(generate_fields));
    if (status == TG_OK)
        status = make_messages(&d, root);
    if (status == TG_OK && out->n_messages == 0)
        ask_nothing(out, root);
    tg_json_free(root);
    return status;
}

enum tg_status oll_show_decode(struct tg_str body, struct tg_arena *arena, struct tg_str *name,
                               struct api_error *err)
{
    static const struct api_field fields[] = {
        { "model", api_elsewhere },   { "name", api_elsewhere },
        { "verbose", api_elsewhere }, /* there is no more to tell */
        { "system", oll_only_empty }, { "template", oll_only_empty },
        { "options", oll_only_empty },
    };
    struct chat_request unused = { .stream = false };
    struct api_read d = { .arena = arena, .out = &unused, .err = err };
    struct tg_json *root = NULL;
    struct tg_str said = { NULL, 0 };
    *err = (struct api_error){ 0 };
    *name = said;
    enum tg_status status = api_read_root(&d, body, &root);
    if (status == TG_OK)
        status = api_read_fields(&d, root, fields, COUNT(fields));
    if (status == TG_OK) {
        const struct tg_json *model = api_member(root, "model"), *old = api_member(root, "name");
        struct tg_str s;
        bool empty = tg_json_string(model, &s) && s.n == 0; /* clients with both send one empty */
        api_enter(&d, old && (!model || empty) ? "name" : "model");
        status = oll_read_name(&d, old && (!model || empty) ? old : model, &said, name);
    }
    tg_json_free(root);
    return status;
}
