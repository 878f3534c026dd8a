/* Reading images, audio and video of a request, for all dialects: base64 is decoded, what is told
 * of it must fit its first bytes. How large it may be is looked at later (gateway/media.h). Pure,
 * any thread. */
#ifndef GATEWAY_API_READ_MEDIA_H
#define GATEWAY_API_READ_MEDIA_H

#include "gateway/api/read.h"
#include "providers/media.h"

enum { API_URL_MAX = 8192 /* bytes of a remote URL */ };

/* Each makes *part one of this kind from the string v at which the path stands; the part itself
 * stands at the path's first at bytes. Everything is allocated from the arena. TG_INVALID with the
 * error filled, or TG_NOMEM. */

/* A data URL (RFC 2397, with base64), or a URL of http or https, which is kept as it is. */
enum tg_status api_read_media_url(struct api_read *d, const struct tg_json *v,
                                  enum chat_part_kind kind, size_t at, struct chat_part *part);
/* Base64 alone; type: what it must be, or NULL to find it by the first bytes. */
enum tg_status api_read_media_base64(struct api_read *d, const struct tg_json *v,
                                     const struct chat_media_type *type, enum chat_part_kind kind,
                                     size_t at, struct chat_part *part);

#endif
