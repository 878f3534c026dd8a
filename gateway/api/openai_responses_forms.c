#include <stdio.h>

#include "config/base/alloc.h"
#include "config/base/sha256.h"
#include "gateway/api/openai_responses_internal.h"

/* What backends have no words for: namespaces become a part of the function's name, and a custom
 * tool a function whose one argument is the text. */

enum { SUM = 8 }; /* digits of a checksum */

const char oai_custom_parameters[] =
    "{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}},"
    "\"required\":[\"input\"],\"additionalProperties\":false}";

/* Takes what out has, as a string of the arena's. */
static enum tg_status take(struct api_read *d, struct tg_buf *text, struct tg_str *out)
{
    *out = (struct tg_str){ NULL, 0 };
    if (!text->failed)
        *out = tg_arena_str(d->arena, tg_buf_str(text));
    tg_buf_free(text);
    return out->p ? TG_OK : api_no_memory(d);
}

enum tg_status oai_flat_name(struct api_read *d, struct tg_str space, struct tg_str name,
                             struct tg_str *out)
{
    char hex[TG_SHA256_HEX + 1];
    struct tg_buf flat;
    if (!space.n) {
        *out = name;
        return TG_OK;
    }
    bool ends = space.n > 2 && memcmp(space.p + space.n - 2, "__", 2) == 0;
    tg_buf_init(&flat, 2 * OAI_NAME_MAX + 2);
    tg_buf_addf(&flat, "%.*s%s%.*s", TG_FMT(space), ends ? "" : "__", TG_FMT(name));
    if (!flat.failed && flat.n > OAI_NAME_MAX) {
        tg_sha256_text(tg_buf_str(&flat), hex);
        snprintf(flat.p + OAI_NAME_MAX - SUM - 1, SUM + 2, "_%.*s", SUM, hex);
        flat.n = OAI_NAME_MAX;
    }
    return take(d, &flat, out);
}

enum tg_status oai_wrap_input(struct api_read *d, struct tg_str input, struct tg_str *out)
{
    struct tg_buf text;
    tg_buf_init(&text, SIZE_MAX / 2); /* bounded by the body it came from */
    tg_buf_adds(&text, "{\"input\":");
    tg_buf_add_json(&text, input);
    tg_buf_addc(&text, '}');
    return take(d, &text, out);
}

const struct oai_alias *oai_alias_among(const struct oai_alias *list, size_t n,
                                        struct tg_str flat)
{
    for (size_t i = 0; i < n; i++)
        if (tg_str_eq(list[i].flat, flat))
            return &list[i];
    return NULL;
}

const struct oai_alias *oai_find_alias(const struct chat_request *r, struct tg_str flat)
{
    const struct oai_asked *asked = r->own;
    return oai_alias_among(asked->aliases, asked->n_aliases, flat);
}

enum oai_kind oai_call_kind(const struct chat_request *r, struct tg_str name)
{
    const struct oai_alias *alias = oai_find_alias(r, name);
    return alias && alias->custom ? OAI_CUSTOM : OAI_CALL;
}

/* --- calls as they are told ------------------------------------------------------------------ */

/* Arguments that a limit of tokens cut inside the input, made whole: what there is of it, without
 * an escape that is not all there. Empty: they are something else. */
static void complete(struct tg_str cut, struct tg_buf *out)
{
    static const char *const pieces[] = { "{", "\"input\"", ":", "\"" };
    size_t at = 0;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
        size_t n = strlen(pieces[i]);
        while (at < cut.n && strchr(" \t\r\n", cut.p[at]) && cut.p[at])
            at++;
        if (cut.n - at < n || memcmp(cut.p + at, pieces[i], n) != 0)
            return;
        at += n;
    }
    size_t end = at;
    while (end < cut.n && cut.p[end] != '"') {
        bool escape = cut.p[end] == '\\';
        size_t n = !escape ? 1 : end + 1 < cut.n && cut.p[end + 1] == 'u' ? 6 : 2;
        if (cut.n - end < n)
            break;
        end += n;
    }
    tg_buf_adds(out, "{\"input\":\"");
    tg_buf_add(out, cut.p + at, end - at);
    tg_buf_adds(out, "\"}");
}

/* The input, which is never longer than the arguments it comes in, is copied to *at. */
static enum tg_status unwrap(struct tg_str *arguments, char **at)
{
    struct tg_json *root = NULL;
    struct tg_str input;
    struct tg_buf whole;
    tg_buf_init(&whole, SIZE_MAX / 2); /* little more than the arguments */
    enum tg_status status = tg_json_parse(*arguments, &root, NULL);
    if (status && status != TG_NOMEM) {
        complete(*arguments, &whole);
        status = whole.failed ? whole.failed : tg_json_parse(tg_buf_str(&whole), &root, NULL);
    }
    if (status == TG_OK && tg_json_string(tg_json_get(root, "input"), &input)) {
        if (input.n)
            memcpy(*at, input.p, input.n);
        *arguments = (struct tg_str){ *at, input.n };
        *at += input.n;
    }
    tg_json_free(root);
    tg_buf_free(&whole);
    return status == TG_NOMEM ? status : TG_OK;
}

enum tg_status oai_tell_calls(const struct api_answer *a, const struct api_whole *w,
                              struct oai_told *out)
{
    const struct oai_asked *asked = a->request->own;
    size_t bytes = 0;
    bool any = false;
    *out = (struct oai_told){ .whole = *w };
    for (size_t i = 0; i < w->n_calls && asked->n_aliases; i++)
        if (oai_call_kind(a->request, w->calls[i].name) == OAI_CUSTOM) {
            bytes += w->calls[i].arguments.n;
            any = true;
        }
    if (!any)
        return TG_OK;
    out->text = tg_alloc(bytes);
    out->calls = tg_calloc(w->n_calls, sizeof(*out->calls));
    enum tg_status status = out->text && out->calls ? TG_OK : TG_NOMEM;
    char *at = out->text;
    for (size_t i = 0; i < w->n_calls && status == TG_OK; i++) {
        out->calls[i] = w->calls[i];
        if (oai_call_kind(a->request, w->calls[i].name) == OAI_CUSTOM)
            status = unwrap(&out->calls[i].arguments, &at);
    }
    out->whole.calls = out->calls;
    if (status)
        oai_told_free(out);
    return status;
}

void oai_told_free(struct oai_told *told)
{
    tg_free(told->calls);
    tg_free(told->text);
    *told = (struct oai_told){ 0 };
}
