#include <stdio.h>

#include "gateway/api/anthropic_internal.h"
#include "gateway/api/read_media.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* Images, and documents of text. */

static enum tg_status read_base64(struct api_read *d, const struct tg_json *v, size_t at,
                                  struct chat_part *part)
{
    static const char *const types[] = { "image/jpeg", "image/png", "image/gif", "image/webp" };
    static const struct api_field fields[] = {
        { "type", api_elsewhere },
        { "media_type", api_elsewhere },
        { "data", api_elsewhere },
    };
    size_t which = 0;
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    if (status)
        return status;
    size_t mark = api_enter(d, "media_type");
    status = api_word(d, tg_json_get(v, "media_type"), types, COUNT(types), &which);
    if (status)
        return status;
    api_leave(d, mark);
    api_enter(d, "data");
    const struct chat_media_type *type =
        chat_media_named(CHAT_PART_IMAGE, tg_str_of(types[which]));
    status = api_read_media_base64(d, tg_json_get(v, "data"), type, CHAT_PART_IMAGE, at, part);
    if (status == TG_OK)
        api_leave(d, mark);
    return status;
}

static enum tg_status read_image_source(struct api_read *d, const struct tg_json *v, size_t at,
                                        struct chat_part *part)
{
    static const char *const words[] = { "base64", "url", "file" };
    static const struct api_field fields[] = { { "type", api_elsewhere },
                                               { "url", api_elsewhere } };
    size_t which = 0, mark = d->path_n;
    enum tg_status status = api_type_word(d, v, words, COUNT(words), &which);
    if (status)
        return status;
    if (which == 0)
        return read_base64(d, v, at, part);
    if (which == 2) {
        api_enter(d, "type");
        return api_unsupported(d);
    }
    status = api_read_fields(d, v, fields, COUNT(fields));
    if (status)
        return status;
    api_enter(d, "url");
    status = api_read_media_url(d, api_member(v, "url"), CHAT_PART_IMAGE, at, part);
    if (status == TG_OK)
        api_leave(d, mark);
    return status;
}

enum tg_status ant_read_image(struct api_read *d, const struct tg_json *v, struct chat_part *part)
{
    static const struct api_field fields[] = {
        { "type", api_elsewhere },
        { "source", api_elsewhere },
        { "cache_control", api_read_cache_control },
        { "transformations", api_refuse },
    };
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    if (status)
        return status;
    size_t mark = api_enter(d, "source");
    status = read_image_source(d, api_member(v, "source"), mark, part);
    if (status == TG_OK)
        api_leave(d, mark);
    return status;
}

/* --- documents ------------------------------------------------------------------------------- */

/* Nobody here can point to places of a document. */
static enum tg_status read_citations(struct api_read *d, const struct tg_json *v)
{
    bool on = false;
    const struct tg_json *enabled = api_member(v, "enabled");
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    size_t mark = api_enter(d, "enabled");
    enum tg_status status = enabled ? api_bool(d, enabled, &on) : TG_OK;
    if (status == TG_OK && on)
        status = api_unsupported(d);
    if (status == TG_OK)
        api_leave(d, mark);
    return status;
}

/* Appends a string, or the text of blocks. */
static enum tg_status add_content(struct api_read *d, const struct tg_json *v, struct tg_buf *text)
{
    struct tg_str s = { NULL, 0 }, type = { NULL, 0 };
    struct chat_part part;
    size_t i = 0;
    if (tg_json_string(v, &s))
        return tg_buf_add(text, s.p, s.n) ? api_no_memory(d) : TG_OK;
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return api_wrong_type(d, v, TG_JSON_STRING);
    for (const struct tg_json *item = tg_json_first(v); item; item = tg_json_next(item)) {
        size_t mark = api_enter_at(d, i++);
        enum tg_status status = api_type(d, item, &type);
        if (status == TG_OK && !tg_str_eq(type, TG_STR("text")))
            status = ant_refuse_block(d, type);
        if (status == TG_OK)
            status = ant_read_text(d, item, &part);
        if (status == TG_OK && tg_buf_add(text, part.text.p, part.text.n))
            status = api_no_memory(d);
        if (status)
            return status;
        api_leave(d, mark);
    }
    return TG_OK;
}

/* PDFs would have to be read, and what is elsewhere would have to be fetched. */
static enum tg_status add_source(struct api_read *d, const struct tg_json *v, struct tg_buf *text)
{
    static const char *const words[] = { "text", "content", "base64", "url", "file" };
    static const char *const types[] = { "text/plain" };
    static const struct api_field fields[] = {
        { "type", api_elsewhere }, { "media_type", api_elsewhere }, { "data", api_elsewhere }
    };
    static const struct api_field content_fields[] = { { "type", api_elsewhere },
                                                       { "content", api_elsewhere } };
    struct tg_str data = { NULL, 0 };
    size_t which = 0, unused, mark = d->path_n;
    enum tg_status status = api_type_word(d, v, words, COUNT(words), &which);
    if (status == TG_OK && which > 1) {
        api_enter(d, "type");
        status = api_unsupported(d);
        snprintf(d->err->message, sizeof(d->err->message),
                 "%s: documents by %s are not supported in this version; send their text in a "
                 "source of type \"text\"", d->path, words[which]);
    }
    if (status == TG_OK && which == 1)
        status = api_read_fields(d, v, content_fields, COUNT(content_fields));
    else if (status == TG_OK)
        status = api_read_fields(d, v, fields, COUNT(fields));
    if (status)
        return status;
    if (which == 0) {
        api_enter(d, "media_type");
        status = api_word(d, tg_json_get(v, "media_type"), types, COUNT(types), &unused);
        if (status)
            return status;
        api_leave(d, mark);
    }
    api_enter(d, which ? "content" : "data");
    const struct tg_json *said = api_member(v, which ? "content" : "data");
    if (which == 0 && !tg_json_string(said, &data))
        return api_wrong_type(d, said, TG_JSON_STRING);
    status = add_content(d, said, text);
    if (status == TG_OK)
        api_leave(d, mark);
    return status;
}

/* "Title: ...", as a line in front of the text. */
static enum tg_status add_line(struct api_read *d, const struct tg_json *v, const char *key,
                               const char *label, struct tg_buf *text)
{
    struct tg_str s = { NULL, 0 };
    enum tg_status status = api_copy_member(d, v, key, false, 0, SIZE_MAX, &s);
    if (status == TG_OK && s.n)
        tg_buf_addf(text, "%s: ", label);
    if (status == TG_OK && s.n && (tg_buf_add(text, s.p, s.n) || tg_buf_addc(text, '\n')))
        status = api_no_memory(d);
    return status;
}

enum tg_status ant_read_document(struct api_read *d, const struct tg_json *v,
                                 struct chat_part *part)
{
    static const struct api_field fields[] = {
        { "type", api_elsewhere },    { "source", api_elsewhere },
        { "title", api_elsewhere },   { "context", api_elsewhere },
        { "citations", read_citations }, { "cache_control", api_read_cache_control },
    };
    struct tg_buf text;
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    if (status)
        return status;
    tg_buf_init(&text, SIZE_MAX / 2); /* bounded by the body it came from */
    status = add_line(d, v, "title", "Title", &text);
    if (status == TG_OK)
        status = add_line(d, v, "context", "Context", &text);
    if (status == TG_OK && text.n && tg_buf_addc(&text, '\n'))
        status = api_no_memory(d);
    size_t mark = api_enter(d, "source");
    if (status == TG_OK)
        status = add_source(d, api_member(v, "source"), &text);
    if (status == TG_OK) {
        struct tg_str whole = { text.p ? text.p : "", text.n };
        api_leave(d, mark);
        *part = (struct chat_part){ .kind = CHAT_PART_TEXT,
                                    .text = tg_arena_str(d->arena, whole) };
        status = part->text.p ? TG_OK : api_no_memory(d);
    }
    tg_buf_free(&text);
    return status;
}
