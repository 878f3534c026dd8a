#include "gateway/api/read_media.h"

#include "config/base/base64.h"
#include "config/base/utf8.h"

static bool begins(struct tg_str s, struct tg_str with)
{
    return s.n >= with.n && tg_str_ieq((struct tg_str){ s.p, with.n }, with);
}

static enum tg_status make(struct api_read *d, enum chat_part_kind kind, size_t at,
                           struct chat_part *part)
{
    struct chat_media *m = tg_arena_alloc(d->arena, 1, sizeof(*m));
    if (m)
        m->field = tg_arena_str(d->arena, (struct tg_str){ d->path, at });
    if (!m || !m->field.p)
        return api_no_memory(d);
    *part = (struct chat_part){ .kind = kind, .media = m };
    return TG_OK;
}

/* What is neither of the type that was told nor of any other. */
static enum tg_status unfit(struct api_read *d, const struct chat_media_type *told,
                            enum chat_part_kind kind, struct tg_str bytes)
{
    const struct chat_media_type *found = chat_media_found(kind, bytes);
    char list[CHAT_MEDIA_LIST_MAX];
    if (told && found)
        return api_bad(d, "is said to be %s, and its first bytes are those of %s", told->name,
                       found->name);
    if (told)
        return api_bad(d, "is said to be %s, and its first bytes are not", told->name);
    chat_media_list(kind, list);
    return api_bad(d, "is none of: %s", list);
}

static enum tg_status decode(struct api_read *d, struct tg_str text,
                             const struct chat_media_type *told, enum chat_part_kind kind,
                             struct chat_media *m)
{
    size_t n = 0;
    if (text.n == 0)
        return api_bad(d, "must not be empty");
    char *bytes = tg_arena_alloc(d->arena, tg_base64_room(text.n), 1);
    if (!bytes)
        return api_no_memory(d);
    const char *wrong = tg_base64_decode(text, bytes, &n);
    if (wrong)
        return api_bad(d, "must be base64%s; it %s",
                       begins(text, TG_STR("data:")) ? " alone, without \"data:\"" : "", wrong);
    m->data = (struct tg_str){ bytes, n };
    m->type = told ? told : chat_media_found(kind, m->data);
    if (!m->type || !chat_media_fits(m->type, m->data))
        return unfit(d, told, kind, m->data);
    return TG_OK;
}

/* data:image/png;name=value;base64,AAAA */
static enum tg_status decode_url(struct api_read *d, struct tg_str url, enum chat_part_kind kind,
                                 struct chat_media *m)
{
    static const struct tg_str mark = { ";base64", 7 };
    const char *comma = memchr(url.p, ',', url.n < 512 ? url.n : 512);
    char list[CHAT_MEDIA_LIST_MAX];
    if (!comma)
        return api_bad(d, "is a data URL without a comma behind its type");
    struct tg_str head = { url.p + 5, (size_t)(comma - url.p) - 5 };
    struct tg_str text = { comma + 1, url.n - (size_t)(comma + 1 - url.p) };
    if (head.n < mark.n ||
        !tg_str_ieq((struct tg_str){ head.p + head.n - mark.n, mark.n }, mark))
        return api_bad(d, "is a data URL that is not base64: \"data:TYPE;base64,...\" is wanted");
    const char *semicolon = memchr(head.p, ';', head.n);
    struct tg_str name = { head.p, (size_t)(semicolon - head.p) };
    const struct chat_media_type *type = chat_media_named(kind, name);
    if (type)
        return decode(d, text, type, kind, m);
    chat_media_list(kind, list);
    name.n = tg_utf8_complete(name.p, name.n < 64 ? name.n : 64);
    return api_bad(d, "has the media type \"%.*s\"; one %s of these is taken: %s", TG_FMT(name),
                   chat_media_noun(kind), list);
}

enum tg_status api_read_media_url(struct api_read *d, const struct tg_json *v,
                                  enum chat_part_kind kind, size_t at, struct chat_part *part)
{
    struct tg_str url;
    if (!tg_json_string(v, &url))
        return api_wrong_type(d, v, TG_JSON_STRING);
    enum tg_status status = make(d, kind, at, part);
    if (status)
        return status;
    if (begins(url, TG_STR("data:")))
        return decode_url(d, url, kind, part->media);
    if (!begins(url, TG_STR("https://")) && !begins(url, TG_STR("http://")))
        return api_bad(d, "must be a data URL with base64, or begin with https:// or http://");
    if (url.n > API_URL_MAX)
        return api_bad(d, "is a URL longer than %d bytes", API_URL_MAX);
    for (size_t i = 0; i < url.n; i++)
        if ((unsigned char)url.p[i] <= 0x20 || url.p[i] == 0x7F)
            return api_bad(d, "is a URL with a space or a control character");
    part->media->url = tg_arena_str(d->arena, url);
    return part->media->url.p ? TG_OK : api_no_memory(d);
}

enum tg_status api_read_media_base64(struct api_read *d, const struct tg_json *v,
                                     const struct chat_media_type *type, enum chat_part_kind kind,
                                     size_t at, struct chat_part *part)
{
    struct tg_str text;
    if (!tg_json_string(v, &text))
        return api_wrong_type(d, v, TG_JSON_STRING);
    enum tg_status status = make(d, kind, at, part);
    return status ? status : decode(d, text, type, kind, part->media);
}
