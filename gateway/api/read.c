#include <stdarg.h>
#include <stdio.h>

#include "config/base/utf8.h"
#include "gateway/api/read.h"

enum { SHORT_BYTES = 64 };

/* Cuts text that was made with snprintf where it does not end inside a UTF-8 sequence. */
static void cut_whole(char *text)
{
    text[tg_utf8_complete(text, strlen(text))] = '\0';
}

/* As much of text as there is room for. */
static void extend(struct api_read *d, const char *text)
{
    size_t n = strlen(text), room = sizeof(d->path) - 1 - d->path_n;
    memcpy(d->path + d->path_n, text, n < room ? n : room);
    d->path_n += n < room ? n : room;
    d->path[d->path_n] = '\0';
    if (n <= room)
        return;
    cut_whole(d->path);
    d->path_n = strlen(d->path);
}

size_t api_enter(struct api_read *d, const char *key)
{
    size_t mark = d->path_n;
    if (mark)
        extend(d, ".");
    extend(d, key);
    return mark;
}

size_t api_enter_at(struct api_read *d, size_t i)
{
    char text[32];
    size_t mark = d->path_n;
    snprintf(text, sizeof(text), "[%zu]", i);
    extend(d, text);
    return mark;
}

void api_leave(struct api_read *d, size_t mark)
{
    d->path_n = mark;
    d->path[mark] = '\0';
}

static void fill(struct api_read *d, int status, const char *type)
{
    *d->err = (struct api_error){ .status = status, .type = type };
    snprintf(d->err->param, sizeof(d->err->param), "%s", d->path);
}

enum tg_status api_bad(struct api_read *d, const char *fmt, ...)
{
    char text[400];
    va_list args;
    fill(d, 400, "invalid_request_error");
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    cut_whole(text);
    const char *colon = d->path_n ? ": " : "";
    snprintf(d->err->message, sizeof(d->err->message), "%s%s%.360s", d->path, colon, text);
    cut_whole(d->err->message);
    return TG_INVALID;
}

struct tg_str api_short(struct tg_str s)
{
    if (s.n > SHORT_BYTES)
        s.n = tg_utf8_complete(s.p, SHORT_BYTES);
    return s;
}

enum tg_status api_unsupported(struct api_read *d)
{
    fill(d, 400, "invalid_request_error");
    d->err->code = "unsupported_parameter";
    snprintf(d->err->message, sizeof(d->err->message), "%s is not supported in this version",
             d->path);
    return TG_UNSUPPORTED;
}

enum tg_status api_no_memory(struct api_read *d)
{
    fill(d, 503, "server_error");
    snprintf(d->err->message, sizeof(d->err->message),
             "there is not enough memory for this request now; try again or send a smaller one");
    return TG_NOMEM;
}

enum tg_status api_wrong_type(struct api_read *d, const struct tg_json *v,
                              enum tg_json_type wanted)
{
    const char *name = tg_json_type_name(wanted);
    if (!v)
        return api_bad(d, "is missing; %s was expected", name);
    return api_bad(d, "%s was expected, not %s", name, tg_json_type_name(tg_json_type(v)));
}

/* --- values -------------------------------------------------------------------------------- */

enum tg_status api_read_root(struct api_read *d, struct tg_str body, struct tg_json **root)
{
    struct tg_error cause;
    *root = NULL;
    if (tg_str_trim(body).n == 0)
        return api_bad(d, "the body is empty; a JSON object was expected");
    enum tg_status status = tg_json_parse(body, root, &cause);
    if (status == TG_NOMEM)
        return api_no_memory(d);
    if (status)
        return api_bad(d, "the body is not acceptable JSON: %s", cause.text);
    if (tg_json_is(*root, TG_JSON_OBJECT))
        return TG_OK;
    status = api_bad(d, "the body must be a JSON object, not %s",
                     tg_json_type_name(tg_json_type(*root)));
    tg_json_free(*root);
    *root = NULL;
    return status;
}

const struct tg_json *api_member(const struct tg_json *object, const char *key)
{
    const struct tg_json *v = tg_json_get(object, key);
    return v && tg_json_type(v) != TG_JSON_NULL ? v : NULL;
}

enum tg_status api_copy(struct api_read *d, const struct tg_json *v, size_t min, size_t max,
                        struct tg_str *out)
{
    struct tg_str s;
    if (!tg_json_string(v, &s))
        return api_wrong_type(d, v, TG_JSON_STRING);
    if (s.n < min)
        return api_bad(d, "must not be empty");
    if (s.n > max)
        return api_bad(d, "is longer than %zu bytes", max);
    *out = tg_arena_str(d->arena, s);
    return out->p ? TG_OK : api_no_memory(d);
}

enum tg_status api_copy_member(struct api_read *d, const struct tg_json *object,
                               const char *key, bool required, size_t min, size_t max,
                               struct tg_str *out)
{
    const struct tg_json *v = api_member(object, key);
    if (!v && !required)
        return TG_OK;
    size_t mark = api_enter(d, key);
    enum tg_status status = api_copy(d, v, min, max, out);
    api_leave(d, mark);
    return status;
}

enum tg_status api_refuse(struct api_read *d, const struct tg_json *v)
{
    (void)v;
    return api_unsupported(d);
}

enum tg_status api_elsewhere(struct api_read *d, const struct tg_json *v)
{
    (void)d;
    (void)v;
    return TG_OK;
}

enum tg_status api_only_empty(struct api_read *d, const struct tg_json *v)
{
    bool list = tg_json_is(v, TG_JSON_ARRAY) || tg_json_is(v, TG_JSON_OBJECT);
    return list && !tg_json_first(v) ? TG_OK : api_unsupported(d);
}

enum tg_status api_read_fields(struct api_read *d, const struct tg_json *object,
                               const struct api_field *fields, size_t n)
{
    enum tg_status status = TG_OK;
    const struct tg_json *v = tg_json_first(object);
    for (; v && status == TG_OK; v = tg_json_next(v)) {
        size_t i = 0;
        while (i < n && strcmp(fields[i].name, tg_json_key(v)) != 0)
            i++;
        size_t mark = api_enter(d, tg_json_key(v));
        if (i == n)
            status = api_bad(d, "unknown field");
        else if (tg_json_type(v) != TG_JSON_NULL)
            status = fields[i].read(d, v);
        api_leave(d, mark);
    }
    return status;
}

enum tg_status api_read_object(struct api_read *d, const struct tg_json *v,
                               const struct api_field *fields, size_t n)
{
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    return api_read_fields(d, v, fields, n);
}

enum tg_status api_bool(struct api_read *d, const struct tg_json *v, bool *out)
{
    return tg_json_bool(v, out) ? TG_OK : api_wrong_type(d, v, TG_JSON_BOOL);
}

enum tg_status api_bool_member(struct api_read *d, const struct tg_json *object, const char *key,
                               bool *out)
{
    const struct tg_json *v = api_member(object, key);
    if (!v)
        return TG_OK;
    size_t mark = api_enter(d, key);
    enum tg_status status = api_bool(d, v, out);
    api_leave(d, mark);
    return status;
}

enum tg_status api_only_bool(struct api_read *d, const struct tg_json *v, bool wanted)
{
    bool value;
    enum tg_status status = api_bool(d, v, &value);
    if (status)
        return status;
    return value == wanted ? TG_OK : api_unsupported(d);
}

enum tg_status api_only_false(struct api_read *d, const struct tg_json *v)
{
    return api_only_bool(d, v, false);
}

enum tg_status api_between(struct api_read *d, const struct tg_json *v, double min,
                                   double max, double *out)
{
    if (!tg_json_number(v, out))
        return api_wrong_type(d, v, TG_JSON_NUMBER);
    if (!(*out >= min && *out <= max))
        return api_bad(d, "must be from %g to %g", min, max);
    return TG_OK;
}

enum tg_status api_integer(struct api_read *d, const struct tg_json *v, int64_t min,
                                 int64_t max, int64_t *out)
{
    if (!tg_json_is(v, TG_JSON_NUMBER))
        return api_wrong_type(d, v, TG_JSON_NUMBER);
    if (!tg_json_int(v, out) || *out < min || *out > max)
        return api_bad(d, "must be a whole number from %lld to %lld", (long long)min,
                       (long long)max);
    return TG_OK;
}

enum tg_status api_word(struct api_read *d, const struct tg_json *v,
                                const char *const *words, size_t n, size_t *which)
{
    struct tg_str s;
    if (!tg_json_string(v, &s))
        return api_wrong_type(d, v, TG_JSON_STRING);
    char list[320] = "";
    for (*which = 0; *which < n; (*which)++) {
        if (tg_str_eq(s, tg_str_of(words[*which])))
            return TG_OK;
        size_t at = strlen(list);
        snprintf(list + at, sizeof(list) - at, "%s%s", at ? ", " : "", words[*which]);
    }
    return api_bad(d, "must be one of: %s", list);
}

enum tg_status api_only_words(struct api_read *d, const struct tg_json *v,
                              const char *const *words, size_t n, size_t accepted)
{
    size_t which = 0;
    enum tg_status status = api_word(d, v, words, n, &which);
    return status == TG_OK && which >= accepted ? api_unsupported(d) : status;
}

enum tg_status api_type(struct api_read *d, const struct tg_json *v, struct tg_str *out)
{
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    const struct tg_json *type = tg_json_get(v, "type");
    size_t mark = api_enter(d, "type");
    enum tg_status status =
        tg_json_string(type, out) ? TG_OK : api_wrong_type(d, type, TG_JSON_STRING);
    api_leave(d, mark);
    return status;
}

enum tg_status api_type_word(struct api_read *d, const struct tg_json *v,
                             const char *const *words, size_t n, size_t *which)
{
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    size_t mark = api_enter(d, "type");
    enum tg_status status = api_word(d, tg_json_get(v, "type"), words, n, which);
    api_leave(d, mark);
    return status;
}

enum tg_status api_object_text(struct api_read *d, const struct tg_json *v, struct tg_str *out)
{
    struct tg_buf text;
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    tg_buf_init(&text, SIZE_MAX / 2); /* bounded by the body it came from */
    enum tg_status status = tg_json_print(v, &text);
    if (status == TG_OK)
        *out = tg_arena_str(d->arena, tg_buf_str(&text));
    tg_buf_free(&text);
    return status || !out->p ? api_no_memory(d) : TG_OK;
}

enum tg_status api_object_member(struct api_read *d, const struct tg_json *object,
                                 const char *key, bool required, struct tg_str *out)
{
    const struct tg_json *v = api_member(object, key);
    if (!v && !required)
        return TG_OK;
    size_t mark = api_enter(d, key);
    enum tg_status status = api_object_text(d, v, out);
    api_leave(d, mark);
    return status;
}

size_t api_list_count(const struct tg_json *v)
{
    return tg_json_is(v, TG_JSON_ARRAY) ? tg_json_count(v) : 0;
}

size_t api_count_calls(const struct tg_json *messages, size_t most)
{
    size_t n = 0;
    for (const struct tg_json *m = tg_json_first(messages); m; m = tg_json_next(m))
        n += api_list_count(tg_json_get(m, "tool_calls"));
    return n < most ? n : most;
}

bool api_is_name(struct tg_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '-';
        if (!fine)
            return false;
    }
    return s.n > 0;
}

void api_rename_field(const struct api_dialect *d, struct api_error *e)
{
    char text[sizeof(e->message)];
    for (const struct api_rename *r = d->renames; r && r->theirs; r++) {
        size_t n = strcspn(e->message, ": ");
        char *at = strstr(e->message, r->theirs);
        if (e->message[n] != ':' || !at || at >= e->message + n)
            continue;
        snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - e->message), e->message, r->ours,
                 at + strlen(r->theirs));
        cut_whole(text);
        memcpy(e->message, text, sizeof(text));
    }
}

void api_rename_param(const struct api_dialect *d, struct tg_str param, struct api_error *e)
{
    snprintf(e->param, sizeof(e->param), "%.*s", TG_FMT(param));
    if (!d->renames)
        return;
    e->param[strcspn(e->param, ".[")] = '\0';
    for (const struct api_rename *r = d->renames; r->theirs; r++)
        if (strcmp(e->param, r->theirs) == 0) {
            snprintf(e->param, sizeof(e->param), "%s", r->ours);
            return;
        }
}

enum tg_status api_check_choice(struct api_read *d, const char *field)
{
    const struct chat_request *r = d->out;
    bool named = r->tool_choice == CHAT_CHOICE_NAMED, found = false;
    if (r->tool_choice == CHAT_CHOICE_AUTO)
        return TG_OK;
    size_t mark = api_enter(d, field);
    if (r->n_tools == 0)
        return api_bad(d, "no tools are given to choose from");
    for (size_t i = 0; i < r->n_tools && named; i++)
        found = found || tg_str_eq(r->tools[i].name, r->tool_name);
    if (named && !found)
        return api_bad(d, "no tool is named \"%.*s\"", TG_FMT(r->tool_name));
    api_leave(d, mark);
    return TG_OK;
}
