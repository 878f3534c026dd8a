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

/* The word of a source's type: an index into words. */
static enum tg_status source_type(struct api_read *d, const struct tg_json *v,
                                  const char *const *words, size_t n, size_t *which)
{
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return api_wrong_type(d, v, TG_JSON_OBJECT);
    size_t mark = api_enter(d, "type");
    enum tg_status status = api_word(d, tg_json_get(v, "type"), words, n, which);
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
    enum tg_status status = source_type(d, v, words, COUNT(words), &which);
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
        { "cache_control", ant_read_cache_control },
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
