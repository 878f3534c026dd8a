/* The media that a part of a request may hold: their names, and what their first bytes look like.
 * Pure, any thread. */
#ifndef PROVIDERS_MEDIA_H
#define PROVIDERS_MEDIA_H

#include "providers/chat.h"

struct chat_media_type {
    enum chat_part_kind kind; /* IMAGE, AUDIO, VIDEO */
    const char *name;         /* image/png */
    const char *word;         /* png: also OpenAI's input_audio.format */
};

enum { CHAT_MEDIA_LIST_MAX = 80 };

/* By name, as in a data URL or a Content-Type, in any case and with the aliases that are common
 * (image/jpg, audio/x-wav); parameters are cut off before. NULL: none of this kind. */
const struct chat_media_type *chat_media_named(enum chat_part_kind kind, struct tg_str name);
/* By word. */
const struct chat_media_type *chat_media_worded(enum chat_part_kind kind, struct tg_str word);
/* By the first bytes. NULL: none of this kind. */
const struct chat_media_type *chat_media_found(enum chat_part_kind kind, struct tg_str bytes);
/* Whether the first bytes are those of this type. */
bool chat_media_fits(const struct chat_media_type *type, struct tg_str bytes);
/* The words of a kind, for errors: "png, jpeg, gif, webp". */
void chat_media_list(enum chat_part_kind kind, char out[CHAT_MEDIA_LIST_MAX]);
/* "image", "audio", "video". */
const char *chat_media_noun(enum chat_part_kind kind);

#endif
