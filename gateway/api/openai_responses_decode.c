#include <stdio.h>

#include "gateway/api/openai_responses_internal.h"

/* The members of a request for a response, one reader each. Every documented field is here:
 * honoured, or refused by name; an unknown one is refused too. null is the same as absent. */

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static struct oai_reading *reading_of(struct api_read *d)
{
    return d->dialect;
}

void oai_ignore(struct api_read *d)
{
    static const char more[] = ",...";
    char *list = reading_of(d)->ignored;
    size_t n = strlen(list), left = OAI_IGNORED_MAX - n;
    if (n >= sizeof(more) - 1 && strcmp(list + n - (sizeof(more) - 1), more) == 0)
        return;
    if (d->path_n + 1 + sizeof(more) <= left)
        snprintf(list + n, left, "%s%s", n ? "," : "", d->path);
    else
        snprintf(list + n, left, "%s", more);
}

static enum tg_status read_previous(struct api_read *d, const struct tg_json *v)
{
    return api_copy(d, v, 1, OAI_ID_MAX, &reading_of(d)->previous);
}

static enum tg_status read_store(struct api_read *d, const struct tg_json *v)
{
    return api_bool(d, v, &reading_of(d)->asked->store);
}

static enum tg_status read_stream_options(struct api_read *d, const struct tg_json *v)
{
    static const struct api_field fields[] = { { "include_obfuscation", api_only_false } };
    return api_read_object(d, v, fields, COUNT(fields));
}

static enum tg_status read_metadata(struct api_read *d, const struct tg_json *v)
{
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    if (tg_json_count(v) > OAI_METADATA_MAX)
        return api_bad(d, "has more than %d members", OAI_METADATA_MAX);
    for (const struct tg_json *m = tg_json_first(v); m; m = tg_json_next(m)) {
        struct tg_str value;
        size_t mark = api_enter(d, tg_json_key(m));
        if (strlen(tg_json_key(m)) > OAI_METADATA_KEY)
            return api_bad(d, "the name is longer than %d bytes", OAI_METADATA_KEY);
        enum tg_status status = api_copy(d, m, 0, OAI_METADATA_VALUE, &value);
        if (status)
            return status;
        api_leave(d, mark);
    }
    return TG_OK;
}

/* For the vendor's own logs: what is in it has no meaning here. */
static enum tg_status read_client_metadata(struct api_read *d, const struct tg_json *v)
{
    return tg_json_is(v, TG_JSON_OBJECT) ? TG_OK : api_wrong_type(d, v, TG_JSON_OBJECT);
}

/* "auto" permits to drop what does not fit, and asks for nothing: nothing is ever dropped here. */
static enum tg_status read_truncation(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "disabled", "auto" };
    return api_only_words(d, v, words, COUNT(words), COUNT(words));
}

/* What is built in calls nothing here, so that any limit holds. */
static enum tg_status read_max_tool_calls(struct api_read *d, const struct tg_json *v)
{
    int64_t value;
    return api_integer(d, v, 1, INT32_MAX, &value);
}

static enum tg_status read_include(struct api_read *d, const struct tg_json *v)
{
    /* The last ones are of calls that are never made here: there is nothing to include. */
    enum { SEALED, TOKENS };
    static const char *const words[] = {
        [SEALED] = "reasoning.encrypted_content", [TOKENS] = "message.output_text.logprobs",
        "message.input_image.image_url", "file_search_call.results", "web_search_call.results",
        "web_search_call.action.sources", "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
    };
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return api_wrong_type(d, v, TG_JSON_ARRAY);
    size_t i = 0;
    for (const struct tg_json *m = tg_json_first(v); m; m = tg_json_next(m), i++) {
        size_t which = 0, mark = api_enter_at(d, i);
        enum tg_status status = api_word(d, m, words, COUNT(words), &which);
        if (status)
            return status;
        reading_of(d)->asked->sealed |= which == SEALED;
        d->out->logprobs |= which == TOKENS;
        api_leave(d, mark);
    }
    return TG_OK;
}

/* --- reasoning and text ---------------------------------------------------------------------- */

static enum tg_status read_summary(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "auto", "concise", "detailed" };
    size_t which;
    reading_of(d)->asked->summary = true;
    return api_word(d, v, words, COUNT(words), &which);
}

/* Thoughts of earlier turns are the model's template's business: a backend may leave them out. */
static enum tg_status read_context(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "auto", "current_turn", "all_turns" };
    size_t which = 0;
    enum tg_status status = api_word(d, v, words, COUNT(words), &which);
    if (status == TG_OK && which == 2)
        oai_ignore(d);
    return status;
}

static enum tg_status read_mode(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "standard", "pro" };
    return api_only_words(d, v, words, COUNT(words), 1);
}

static enum tg_status read_reasoning(struct api_read *d, const struct tg_json *v)
{
    static const struct api_field fields[] = {
        { "effort", oai_read_effort },       { "summary", read_summary },
        { "generate_summary", read_summary }, { "context", read_context },
        { "mode", read_mode },
    };
    return api_read_object(d, v, fields, COUNT(fields));
}

static enum tg_status read_format(struct api_read *d, const struct tg_json *v)
{
    static const char *const words[] = { "text", "json_object", "json_schema" };
    static const struct api_field fields[] = {
        { "type", api_elsewhere },
        { "name", oai_read_schema_name },
        { "description", oai_read_schema_description },
        { "schema", api_read_schema },
        { "strict", oai_read_schema_strict },
    };
    size_t which = 0;
    enum tg_status status = api_type_word(d, v, words, COUNT(words), &which);
    if (status)
        return status;
    status = api_read_fields(d, v, fields, which == 2 ? COUNT(fields) : 1);
    d->out->format = (enum chat_format)which;
    return status || which != 2 ? status : oai_check_schema(d);
}

static enum tg_status read_text(struct api_read *d, const struct tg_json *v)
{
    static const struct api_field fields[] = { { "format", read_format },
                                               { "verbosity", oai_read_verbosity } };
    return api_read_object(d, v, fields, COUNT(fields));
}

/* --- the whole ------------------------------------------------------------------------------- */

/* Those that a count of tokens has too come first. */
static const struct api_field request_fields[] = {
    { "input", api_elsewhere }, /* read last, with what it goes on from */
    { "instructions", api_elsewhere },
    { "model", api_read_model },
    { "previous_response_id", read_previous },
    { "tools", oai_read_response_tools },
    { "tool_choice", oai_read_response_choice },
    { "parallel_tool_calls", oai_read_parallel },
    { "text", read_text },
    { "reasoning", read_reasoning },
    { "truncation", read_truncation },
    { "conversation", api_refuse },
    { "personality", api_refuse },
    { "stream", api_read_stream },
    { "stream_options", read_stream_options },
    { "store", read_store },
    { "metadata", read_metadata },
    { "client_metadata", read_client_metadata },
    { "max_output_tokens", oai_read_max_tokens },
    { "max_tool_calls", read_max_tool_calls },
    { "temperature", api_read_temperature },
    { "top_p", api_read_top_p },
    { "include", read_include },
    { "user", oai_read_user },
    { "safety_identifier", oai_read_safety_identifier },
    { "prompt_cache_key", oai_read_cache_key },
    { "service_tier", oai_read_service_tier },
    { "top_logprobs", api_read_top_logprobs },
    { "background", api_only_false },
    { "prompt", api_refuse },
    { "context_management", api_refuse },
    { "moderation", api_refuse },
    { "prompt_cache_options", api_refuse },
    { "prompt_cache_retention", api_refuse },
    { "access_programs", api_refuse },
    { "background_options", api_refuse },
    { "image", api_refuse },
};

enum { COUNT_FIELDS = 12 };

static enum tg_status read_input(struct api_read *d, const struct tg_json *v)
{
    size_t i = 0, mark = api_enter(d, "input");
    enum tg_status status = TG_OK;
    if (tg_json_is(v, TG_JSON_STRING)) {
        status = oai_read_input_text(d, v);
    } else if (!v || !tg_json_is(v, TG_JSON_ARRAY)) {
        return api_bad(d, "a string or an array of items was expected, not %s",
                       v ? tg_json_type_name(tg_json_type(v)) : "nothing");
    }
    for (const struct tg_json *m = tg_json_is(v, TG_JSON_ARRAY) ? tg_json_first(v) : NULL;
         m && status == TG_OK; m = tg_json_next(m), i++) {
        size_t at = api_enter_at(d, i);
        status = oai_read_input_item(d, m, i);
        if (status == TG_OK)
            api_leave(d, at);
    }
    if (status == TG_OK)
        status = oai_end_items(d);
    if (status)
        return status;
    if (reading_of(d)->talk.n_items == 0 && !tg_json_is(v, TG_JSON_STRING))
        return api_bad(d, "must not be empty");
    if (d->out->n_messages == 0)
        return api_bad(d, "has nothing to answer");
    api_leave(d, mark);
    return TG_OK;
}

/* Instructions are this request's alone: those of earlier turns are not carried over. */
static enum tg_status read_conversation(struct api_read *d, const struct tg_json *root)
{
    struct tg_str instructions = { NULL, 0 };
    enum tg_status status =
        api_copy_member(d, root, "instructions", false, 0, SIZE_MAX, &instructions);
    if (status == TG_OK && instructions.n)
        status = oai_add_system(d, instructions);
    if (status == TG_OK)
        status = oai_read_before(d);
    return status ? status : read_input(d, api_member(root, "input"));
}

/* What is to be kept when the request is answered. */
static enum tg_status make_draft(struct api_read *d)
{
    struct oai_reading *r = d->dialect;
    if (!r->keeps)
        return TG_OK;
    tg_buf_addc(&r->input, ']');
    struct gw_response *draft = r->input.failed ? NULL : gw_response_new(r->before);
    if (!draft)
        return api_no_memory(d);
    draft->number = r->past->number;
    draft->owner = r->past->owner;
    draft->input = r->spans;
    gw_spans_take(&draft->input, &r->input);
    r->spans = (struct gw_spans){ 0 };
    r->before = NULL;
    r->past->draft = draft;
    return TG_OK;
}

static enum tg_status read_all(struct api_read *d, const struct tg_json *root)
{
    struct oai_reading *r = d->dialect;
    enum tg_status status = api_read_fields(d, root, request_fields,
                                            r->counts ? COUNT_FIELDS : COUNT(request_fields));
    if (status == TG_OK)
        status = oai_check_stream_options(d, root);
    d->out->logprobs |= d->out->top_logprobs > 0; /* alternatives are part of them */
    if (status == TG_OK)
        status = oai_find_before(d);
    r->keeps = r->asked->store && r->past->store && !r->counts;
    if (status == TG_OK)
        status = read_conversation(d, root);
    if (status == TG_OK)
        status = oai_settle_response_tools(d, root); /* the conversation may have more of them */
    if (status == TG_OK)
        status = oai_read_echo(d, root);
    d->out->ignored = tg_arena_str(d->arena, tg_str_of(r->ignored));
    if (status == TG_OK && !d->out->ignored.p)
        return api_no_memory(d);
    return status ? status : make_draft(d);
}

static enum tg_status decode(struct tg_str body, bool counts, struct gw_past *past,
                             struct tg_arena *arena, struct chat_request *out,
                             struct api_error *err)
{
    struct oai_asked *asked = tg_arena_alloc(arena, 1, sizeof(*asked));
    struct oai_reading r = { .past = past, .asked = asked, .counts = counts };
    struct api_read d = { .arena = arena, .out = out, .err = err, .dialect = &r };
    struct tg_json *root = NULL;
    *out = (struct chat_request){ .own = asked };
    *err = (struct api_error){ 0 };
    if (!asked)
        return api_no_memory(&d);
    asked->store = true;
    tg_buf_init(&r.input, SIZE_MAX / 2); /* bounded by the body, and by what may be referred to */
    enum tg_status status = api_read_root(&d, body, &root);
    if (status == TG_OK)
        status = read_all(&d, root);
    tg_json_free(root);
    if (r.before)
        gw_response_unref(past->store, r.before);
    gw_spans_free(&r.spans);
    tg_buf_free(&r.input);
    return status;
}

enum tg_status oai_responses_decode(struct tg_str body, struct gw_past *past,
                                    struct tg_arena *arena, struct chat_request *out,
                                    struct api_error *err)
{
    return decode(body, false, past, arena, out, err);
}

enum tg_status oai_count_decode(struct tg_str body, struct gw_past *past, struct tg_arena *arena,
                                struct chat_request *out, struct api_error *err)
{
    return decode(body, true, past, arena, out, err);
}
