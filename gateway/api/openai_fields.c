#include "gateway/api/openai_internal.h"

/* Members that are alike in more than one of OpenAI's endpoints. */

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static enum tg_status read_include_usage(struct api_read *d, const struct tg_json *v)
{
    return api_bool(d, v, &d->out->include_usage);
}

enum tg_status oai_read_stream_options(struct api_read *d, const struct tg_json *v)
{
    static const struct api_field fields[] = {
        { "include_usage", read_include_usage },
        { "include_obfuscation", api_only_false },
    };
    return api_read_object(d, v, fields, COUNT(fields));
}

enum tg_status oai_read_seed(struct api_read *d, const struct tg_json *v)
{
    int64_t value = 0, most = (int64_t)1 << 53; /* what a JSON number carries exactly */
    enum tg_status status = api_integer(d, v, -most, most, &value);
    d->out->sampling.has_seed = true;
    d->out->sampling.seed = (uint64_t)value;
    return status;
}

/* max_tokens and its newer name. */
enum tg_status oai_read_max_tokens(struct api_read *d, const struct tg_json *v)
{
    int64_t value = 0;
    enum tg_status status = api_integer(d, v, 1, OAI_TOKENS_MAX, &value);
    if (status)
        return status;
    if (d->out->max_tokens && d->out->max_tokens != (uint32_t)value)
        return api_bad(d, "max_tokens and max_completion_tokens are both given and differ");
    d->out->max_tokens = (uint32_t)value;
    return TG_OK;
}

enum tg_status oai_read_user(struct api_read *d, const struct tg_json *v)
{
    return api_copy(d, v, 0, OAI_USER_MAX, &d->out->user);
}

/* The newer name of user; user wins where both are given, whatever their order. */
enum tg_status oai_read_safety_identifier(struct api_read *d, const struct tg_json *v)
{
    struct tg_str id;
    enum tg_status status = api_copy(d, v, 0, OAI_USER_MAX, &id);
    if (status == TG_OK && !d->out->user.p)
        d->out->user = id;
    return status;
}

enum tg_status oai_read_n(struct api_read *d, const struct tg_json *v)
{
    int64_t value = 0;
    enum tg_status status = api_integer(d, v, 1, 128, &value);
    if (status == TG_OK && value > 1)
        return api_unsupported(d);
    return status;
}

enum tg_status oai_check_stream_options(struct api_read *d, const struct tg_json *root)
{
    if (!api_member(root, "stream_options") || d->out->stream)
        return TG_OK;
    api_enter(d, "stream_options");
    return api_bad(d, "is only allowed when stream is true");
}

enum tg_status oai_read_form(const struct oai_form *form, struct tg_str body,
                             struct tg_arena *arena, struct chat_request *out,
                             struct api_error *err)
{
    struct api_read d = { .arena = arena, .out = out, .err = err };
    struct tg_json *root = NULL;
    *out = (struct chat_request){ 0 };
    *err = (struct api_error){ 0 };
    enum tg_status status = api_read_root(&d, body, &root);
    if (status == TG_OK)
        status = api_read_fields(&d, root, form->fields, form->n);
    if (status == TG_OK && form->check)
        status = form->check(&d, root);
    if (status == TG_OK) {
        api_enter(&d, form->last);
        status = form->read_last(&d, api_member(root, form->last));
    }
    tg_json_free(root);
    return status;
}
