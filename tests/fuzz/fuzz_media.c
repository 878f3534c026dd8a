/* Base64, data URLs and first bytes on any input: the first byte chooses kind and form. An error
 * names its cause in UTF-8; what was read fits its type, and is the same when it was encoded and
 * read again. */
#include <stdlib.h>

#include "config/base/base64.h"
#include "config/base/utf8.h"
#include "gateway/api/read_media.h"

enum { MEMORY_MAX = 4 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct chat_media *m, struct tg_arena *arena)
{
    struct tg_buf text;
    size_t n = 0;
    tg_buf_init(&text, MEMORY_MAX);
    tg_base64_add(&text, m->data);
    char *bytes = tg_arena_alloc(arena, tg_base64_room(text.n), 1);
    if (text.failed || !bytes || tg_base64_decode(tg_buf_str(&text), bytes, &n) ||
        !tg_str_eq(m->data, (struct tg_str){ bytes, n }))
        abort();
    tg_buf_free(&text);
}

static void check(enum tg_status status, const struct chat_part *part,
                  enum chat_part_kind kind, const struct api_error *err, struct tg_arena *arena)
{
    if (status) {
        if (status != TG_INVALID || err->status != 400 || !err->message[0] ||
            !tg_utf8_valid(err->message, strlen(err->message)))
            abort();
        return;
    }
    const struct chat_media *m = part->media;
    if (part->kind != kind || !m || (m->type == NULL) == (m->url.n == 0) ||
        (m->url.n == 0) == (m->data.p == NULL))
        abort();
    if (!m->type)
        return;
    if (m->type->kind != kind || !chat_media_fits(m->type, m->data))
        abort();
    again(m, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum chat_part_kind kinds[] = { CHAT_PART_IMAGE, CHAT_PART_AUDIO,
                                                 CHAT_PART_VIDEO, CHAT_PART_IMAGE };
    struct tg_json *json = NULL;
    struct tg_error cause;
    struct api_error err = { 0 };
    struct chat_part part = { 0 };
    struct tg_buf text;
    if (size == 0)
        return 0;
    struct tg_arena *arena = tg_arena_new(MEMORY_MAX);
    struct api_read d = { .arena = arena, .err = &err };
    tg_buf_init(&text, MEMORY_MAX);
    tg_buf_addc(&text, '[');
    tg_buf_add_json(&text, (struct tg_str){ (const char *)data + 1, size - 1 });
    tg_buf_addc(&text, ']');
    if (tg_json_parse(tg_buf_str(&text), &json, &cause) == TG_OK) { /* not with U+0000 */
        enum chat_part_kind kind = kinds[data[0] & 3];
        enum tg_status status = data[0] & 4
            ? api_read_media_base64(&d, tg_json_first(json), NULL, kind, 0, &part)
            : api_read_media_url(&d, tg_json_first(json), kind, 0, &part);
        check(status, &part, kind, &err, arena);
    }
    tg_json_free(json);
    tg_buf_free(&text);
    tg_arena_free(arena);
    return 0;
}
