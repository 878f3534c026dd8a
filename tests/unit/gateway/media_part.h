/* What the tests of decoders look at media with. Included by test programs only. */
#ifndef TESTS_UNIT_GATEWAY_MEDIA_PART_H
#define TESTS_UNIT_GATEWAY_MEDIA_PART_H

#include "providers/media.h"

/* The first bytes of files, in base64; a PNG's also as bytes. */
#define MEDIA_PNG "iVBORw0KGgoAAAANSUhEUg=="
#define MEDIA_PNG_BYTES "\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
#define MEDIA_WAV "UklGRiQAAABXQVZFZm10IA=="

/* Whether a part holds bytes of this type, and was written there. */
static inline bool is_media(const struct chat_part *p, const char *type, struct tg_str bytes,
                            const char *field)
{
    const struct chat_media *m = p->media;
    return m && m->type && p->kind == m->type->kind && !p->text.n && !m->url.n &&
           strcmp(m->type->name, type) == 0 && tg_str_eq(m->data, bytes) &&
           tg_str_eq(m->field, tg_str_of(field));
}

/* Whether a part is of this kind, and only has a URL. */
static inline bool is_url(const struct chat_part *p, enum chat_part_kind kind, const char *url,
                          const char *field)
{
    const struct chat_media *m = p->media;
    return m && !m->type && !m->data.p && p->kind == kind && !p->text.n &&
           tg_str_eq(m->url, tg_str_of(url)) && tg_str_eq(m->field, tg_str_of(field));
}

#endif
