#include <stdio.h>

#include "gateway/api/openai_internal.h"
#include "gateway/api/read_media.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static enum tg_status read_text_part(struct api_read *d, const struct tg_json *v,
                                     struct chat_part *part)
{
    static const struct api_field fields[] = {
        { "type", api_elsewhere },
        { "text", api_elsewhere },
        { "annotations", api_only_empty },
        { "prompt_cache_breakpoint", api_elsewhere }, /* a hint, as in all parts */
        { "cache_control", api_read_cache_control },  /* likewise */
    };
    part->kind = CHAT_PART_TEXT;
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    return status ? status : api_copy_member(d, v, "text", true, 0, SIZE_MAX, &part->text);
}

static enum tg_status detail_of(struct api_read *d, const struct tg_json *v, struct tg_str *word)
{
    static const char *const words[] = { "auto", "low", "high", "original" };
    size_t which = 0;
    enum tg_status status = api_word(d, v, words, COUNT(words), &which);
    if (status == TG_OK && which) /* the first is what happens anyway */
        *word = tg_str_of(words[which]);
    return status;
}

enum tg_status oai_read_detail(struct api_read *d, const struct tg_json *v)
{
    struct tg_str unused;
    return detail_of(d, v, &unused);
}

enum tg_status oai_read_url(struct api_read *d, const struct tg_json *v, const char *key,
                            enum chat_part_kind kind, size_t at, struct chat_part *part)
{
    const struct tg_json *detail = api_member(v, "detail");
    size_t mark = api_enter(d, key);
    enum tg_status status = api_read_media_url(d, api_member(v, key), kind, at, part);
    if (status)
        return status;
    api_leave(d, mark);
    return detail ? detail_of(d, detail, &part->media->detail) : TG_OK;
}

/* The object inside a part, of which no other members than these may be there. */
static enum tg_status media_object(struct api_read *d, const struct tg_json *v, const char *key,
                                   const struct api_field inner[2], const struct tg_json **out)
{
    const struct api_field outer[] = { { "type", api_elsewhere },
                                       { key, api_elsewhere },
                                       { "prompt_cache_breakpoint", api_elsewhere },
                                       { "cache_control", api_read_cache_control } };
    enum tg_status status = api_read_fields(d, v, outer, COUNT(outer));
    if (status)
        return status;
    *out = api_member(v, key);
    api_enter(d, key);
    return api_read_object(d, *out, inner, 2);
}

/* image_url and video_url: an object with the URL. */
static enum tg_status read_url_part(struct api_read *d, const struct tg_json *v,
                                    enum chat_part_kind kind, struct chat_part *part)
{
    static const struct api_field inner[] = { { "url", api_elsewhere },
                                              { "detail", oai_read_detail } };
    const struct tg_json *media = NULL;
    size_t mark = d->path_n;
    enum tg_status status = media_object(
        d, v, kind == CHAT_PART_IMAGE ? "image_url" : "video_url", inner, &media);
    if (status == TG_OK)
        status = oai_read_url(d, media, "url", kind, mark, part);
    if (status == TG_OK)
        api_leave(d, mark);
    return status;
}

enum tg_status oai_read_audio_part(struct api_read *d, const struct tg_json *v,
                                      struct chat_part *part)
{
    static const struct api_field inner[] = { { "data", api_elsewhere },
                                              { "format", api_elsewhere } };
    struct tg_str format = { NULL, 0 };
    const struct tg_json *media = NULL;
    char list[CHAT_MEDIA_LIST_MAX];
    size_t mark = d->path_n;
    enum tg_status status = media_object(d, v, "input_audio", inner, &media);
    if (status)
        return status;
    size_t inside = api_enter(d, "format");
    if (!tg_json_string(tg_json_get(media, "format"), &format))
        return api_wrong_type(d, tg_json_get(media, "format"), TG_JSON_STRING);
    const struct chat_media_type *type = chat_media_worded(CHAT_PART_AUDIO, format);
    if (!type) {
        chat_media_list(CHAT_PART_AUDIO, list);
        return api_bad(d, "must be one of: %s", list);
    }
    api_leave(d, inside);
    api_enter(d, "data");
    status = api_read_media_base64(d, api_member(media, "data"), type, CHAT_PART_AUDIO, mark, part);
    if (status == TG_OK)
        api_leave(d, mark);
    return status;
}

enum tg_status oai_read_refusal_part(struct api_read *d, const struct tg_json *v,
                                     struct chat_part *part)
{
    static const struct api_field fields[] = { { "type", api_elsewhere },
                                               { "refusal", api_elsewhere } };
    part->kind = CHAT_PART_TEXT;
    enum tg_status status = api_read_fields(d, v, fields, COUNT(fields));
    return status ? status : api_copy_member(d, v, "refusal", true, 0, SIZE_MAX, &part->text);
}

static enum tg_status bad_type(struct api_read *d, struct tg_str type, bool media_known)
{
    api_enter(d, "type");
    if (media_known)
        return api_bad(d, "a message of this role may only have text parts");
    if (tg_str_eq(type, TG_STR("refusal")))
        return api_bad(d, "only messages of the assistant have refusal parts");
    if (tg_str_eq(type, TG_STR("file"))) {
        enum tg_status status = api_unsupported(d);
        snprintf(d->err->message, sizeof(d->err->message),
                 "%s: %.*s parts are not supported in this version", d->path, TG_FMT(type));
        return status;
    }
    return api_bad(d, "unknown part type \"%.*s\"", TG_FMT(api_short(type)));
}

static enum tg_status read_part(struct api_read *d, const struct tg_json *v, enum chat_role role,
                                struct chat_part *part)
{
    struct tg_str type = { NULL, 0 };
    enum tg_status status = api_type(d, v, &type);
    if (status)
        return status;
    if (tg_str_eq(type, TG_STR("text")))
        return read_text_part(d, v, part);
    bool image = tg_str_eq(type, TG_STR("image_url"));
    bool video = tg_str_eq(type, TG_STR("video_url"));
    bool audio = tg_str_eq(type, TG_STR("input_audio"));
    if (role == CHAT_ASSISTANT && tg_str_eq(type, TG_STR("refusal")))
        return oai_read_refusal_part(d, v, part);
    if (role != CHAT_USER || !(image || video || audio))
        return bad_type(d, type, image || video || audio);
    if (audio)
        return oai_read_audio_part(d, v, part);
    return read_url_part(d, v, image ? CHAT_PART_IMAGE : CHAT_PART_VIDEO, part);
}

enum tg_status oai_wrong_content(struct api_read *d, const struct tg_json *v)
{
    if (!v)
        return api_bad(d, "is missing; a string or an array of parts was expected");
    return api_bad(d, "a string or an array of parts was expected, not %s",
                   tg_json_type_name(tg_json_type(v)));
}

enum tg_status oai_read_content(struct api_read *d, const struct tg_json *v, enum chat_role role,
                                struct api_parts *parts)
{
    if (tg_json_is(v, TG_JSON_STRING)) {
        struct chat_part *part = &parts->p[parts->n++];
        part->kind = CHAT_PART_TEXT;
        return api_copy(d, v, 0, SIZE_MAX, &part->text);
    }
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return oai_wrong_content(d, v);
    if (!tg_json_first(v))
        return api_bad(d, "must not be an empty array");
    size_t i = 0;
    for (const struct tg_json *item = tg_json_first(v); item; item = tg_json_next(item), i++) {
        size_t mark = api_enter_at(d, i);
        enum tg_status status = read_part(d, item, role, &parts->p[parts->n++]);
        api_leave(d, mark);
        if (status)
            return status;
    }
    return TG_OK;
}

enum tg_status oai_join_text(struct api_read *d, const struct tg_json *v, struct tg_str *out)
{
    struct api_parts parts = { .cap = tg_json_is(v, TG_JSON_ARRAY) ? tg_json_count(v) : 1 };
    parts.p = tg_arena_alloc(d->arena, parts.cap, sizeof(*parts.p));
    if (!parts.p)
        return api_no_memory(d);
    enum tg_status status = oai_read_content(d, v, CHAT_TOOL, &parts);
    if (status)
        return status;
    size_t total = 0;
    for (size_t i = 0; i < parts.n; i++)
        total += parts.p[i].text.n;
    char *joined = tg_arena_alloc(d->arena, total + 1, 1);
    if (!joined)
        return api_no_memory(d);
    *out = (struct tg_str){ joined, total };
    for (size_t i = 0; i < parts.n; i++) {
        memcpy(joined, parts.p[i].text.p, parts.p[i].text.n);
        joined += parts.p[i].text.n;
    }
    return TG_OK;
}

/* A string of an array of reasoning: itself, or the text of {"type": "text" or so, "text": ...}. */
static bool reasoning_text(const struct tg_json *item, struct tg_str *out)
{
    return tg_json_string(item, out) || tg_json_string(tg_json_get(item, "text"), out);
}

enum tg_status oai_read_reasoning(struct api_read *d, const struct tg_json *v,
                                  struct tg_str *out)
{
    if (tg_json_is(v, TG_JSON_STRING))
        return api_copy(d, v, 0, SIZE_MAX, out);
    if (!tg_json_is(v, TG_JSON_ARRAY))
        return api_bad(d, "a string or an array was expected, not %s",
                       tg_json_type_name(tg_json_type(v)));
    struct tg_buf text;
    tg_buf_init(&text, SIZE_MAX / 2); /* bounded by the body it came from */
    enum tg_status status = TG_OK;
    size_t i = 0;
    for (const struct tg_json *item = tg_json_first(v); item && !status;
         item = tg_json_next(item), i++) {
        struct tg_str s;
        if (reasoning_text(item, &s)) {
            tg_buf_add(&text, s.p, s.n);
        } else {
            api_enter_at(d, i);
            status = api_bad(d, "a string or an object with a text was expected");
        }
    }
    if (status == TG_OK && !text.failed)
        *out = tg_arena_str(d->arena, tg_buf_str(&text));
    tg_buf_free(&text);
    if (status == TG_OK && !out->p)
        status = api_no_memory(d);
    return status;
}
