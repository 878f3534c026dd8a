#include <stdarg.h>
#include <stdio.h>

#include "config/base/utf8.h"
#include "gateway/api/openai_internal.h"

/* Cuts text that was made with snprintf where it does not end inside a UTF-8 sequence. */
static void cut_whole(char *text)
{
    text[tg_utf8_complete(text, strlen(text))] = '\0';
}

static size_t extend(struct oai_decode *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static size_t extend(struct oai_decode *d, const char *fmt, ...)
{
    size_t mark = d->path_n;
    va_list args;
    va_start(args, fmt);
    vsnprintf(d->path + mark, sizeof(d->path) - mark, fmt, args);
    va_end(args);
    cut_whole(d->path);
    d->path_n = strlen(d->path);
    return mark;
}

size_t oai_enter(struct oai_decode *d, const char *key)
{
    return extend(d, d->path_n ? ".%s" : "%s", key);
}

size_t oai_enter_at(struct oai_decode *d, size_t i)
{
    return extend(d, "[%zu]", i);
}

void oai_leave(struct oai_decode *d, size_t mark)
{
    d->path_n = mark;
    d->path[mark] = '\0';
}

static void fill(struct oai_decode *d, int status, const char *type)
{
    *d->err = (struct oai_error){ .status = status, .type = type };
    snprintf(d->err->param, sizeof(d->err->param), "%s", d->path);
}

enum tg_status oai_bad(struct oai_decode *d, const char *fmt, ...)
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

enum tg_status oai_unsupported(struct oai_decode *d)
{
    fill(d, 400, "invalid_request_error");
    d->err->code = "unsupported_parameter";
    snprintf(d->err->message, sizeof(d->err->message), "%s is not supported in this version",
             d->path);
    return TG_UNSUPPORTED;
}

enum tg_status oai_no_memory(struct oai_decode *d)
{
    fill(d, 503, "server_error");
    snprintf(d->err->message, sizeof(d->err->message),
             "there is not enough memory for this request now; try again or send a smaller one");
    return TG_NOMEM;
}

enum tg_status oai_wrong_type(struct oai_decode *d, const struct tg_json *v,
                              enum tg_json_type wanted)
{
    const char *name = tg_json_type_name(wanted);
    if (!v)
        return oai_bad(d, "is missing; %s was expected", name);
    return oai_bad(d, "%s was expected, not %s", name, tg_json_type_name(tg_json_type(v)));
}

enum tg_status oai_error_print(const struct oai_error *err, struct tg_buf *out)
{
    tg_buf_adds(out, "{\"error\":{\"message\":");
    tg_buf_add_json(out, tg_str_of(err->message));
    tg_buf_adds(out, ",\"type\":");
    tg_buf_add_json(out, tg_str_of(err->type ? err->type : "server_error"));
    tg_buf_adds(out, ",\"param\":");
    if (err->param[0])
        tg_buf_add_json(out, tg_str_of(err->param));
    else
        tg_buf_adds(out, "null");
    tg_buf_adds(out, ",\"code\":");
    if (err->code)
        tg_buf_add_json(out, tg_str_of(err->code));
    else
        tg_buf_adds(out, "null");
    return tg_buf_adds(out, "}}");
}
