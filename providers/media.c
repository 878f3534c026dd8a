#include "providers/media.h"

#include <stdio.h>

static bool has(struct tg_str s, size_t at, struct tg_str mark)
{
    return s.n >= at + mark.n && memcmp(s.p + at, mark.p, mark.n) == 0;
}

/* Signature of 8 bytes (PNG specification, section 5.2). */
static bool is_png(struct tg_str s)
{
    return has(s, 0, TG_STR("\x89PNG\r\n\x1a\n"));
}

/* SOI and the first byte of any marker behind it. */
static bool is_jpeg(struct tg_str s)
{
    return has(s, 0, TG_STR("\xff\xd8\xff"));
}

static bool is_gif(struct tg_str s)
{
    return has(s, 0, TG_STR("GIF87a")) || has(s, 0, TG_STR("GIF89a"));
}

static bool is_webp(struct tg_str s)
{
    return has(s, 0, TG_STR("RIFF")) && has(s, 8, TG_STR("WEBP"));
}

/* RF64 is RIFF for more than 4 GiB, which some encoders write for less. */
static bool is_wav(struct tg_str s)
{
    return (has(s, 0, TG_STR("RIFF")) || has(s, 0, TG_STR("RF64"))) && has(s, 8, TG_STR("WAVE"));
}

/* An ID3 tag, or a frame: 11 bits of sync, a version that is not reserved, a layer (ISO 11172-3;
 * layer 0 would be AAC). */
static bool is_mp3(struct tg_str s)
{
    if (has(s, 0, TG_STR("ID3")))
        return true;
    unsigned char a = s.n > 1 ? (unsigned char)s.p[0] : 0, b = s.n > 1 ? (unsigned char)s.p[1] : 0;
    return a == 0xFF && (b & 0xE0) == 0xE0 && (b & 0x18) != 0x08 && (b & 0x06) != 0;
}

static bool is_flac(struct tg_str s)
{
    return has(s, 0, TG_STR("fLaC"));
}

static bool is_ogg(struct tg_str s)
{
    return has(s, 0, TG_STR("OggS"));
}

/* QuickTime's own brand, or a file from before brands: one of its atoms comes first. */
static bool is_mov(struct tg_str s)
{
    return has(s, 4, TG_STR("ftypqt  ")) || has(s, 4, TG_STR("moov")) ||
           has(s, 4, TG_STR("mdat")) || has(s, 4, TG_STR("wide")) || has(s, 4, TG_STR("free"));
}

static bool is_mp4(struct tg_str s)
{
    return has(s, 4, TG_STR("ftyp")) && !is_mov(s);
}

/* EBML, and its document type within the header, which is short. */
static bool is_webm(struct tg_str s)
{
    if (!has(s, 0, TG_STR("\x1a\x45\xdf\xa3")))
        return false;
    for (size_t at = 4; at < 64; at++)
        if (has(s, at, TG_STR("webm")))
            return true;
    return false;
}

static const struct known {
    struct chat_media_type type;
    bool (*fits)(struct tg_str bytes);
    const char *alias[3];
} known[] = {
    { { CHAT_PART_IMAGE, "image/png", "png" }, is_png, { "image/x-png" } },
    { { CHAT_PART_IMAGE, "image/jpeg", "jpeg" }, is_jpeg, { "image/jpg", "image/pjpeg" } },
    { { CHAT_PART_IMAGE, "image/gif", "gif" }, is_gif, { NULL } },
    { { CHAT_PART_IMAGE, "image/webp", "webp" }, is_webp, { NULL } },
    { { CHAT_PART_AUDIO, "audio/wav", "wav" },
      is_wav,
      { "audio/x-wav", "audio/wave", "audio/vnd.wave" } },
    { { CHAT_PART_AUDIO, "audio/mpeg", "mp3" }, is_mp3, { "audio/mp3", "audio/x-mp3" } },
    { { CHAT_PART_AUDIO, "audio/flac", "flac" }, is_flac, { "audio/x-flac" } },
    { { CHAT_PART_AUDIO, "audio/ogg", "ogg" }, is_ogg, { "application/ogg" } },
    { { CHAT_PART_VIDEO, "video/mp4", "mp4" }, is_mp4, { NULL } },
    { { CHAT_PART_VIDEO, "video/webm", "webm" }, is_webm, { NULL } },
    { { CHAT_PART_VIDEO, "video/quicktime", "mov" }, is_mov, { "video/mov" } },
};

enum { N_KNOWN = sizeof(known) / sizeof(*known) };

static bool is_named(const struct known *k, struct tg_str name)
{
    if (tg_str_ieq(name, tg_str_of(k->type.name)))
        return true;
    for (size_t i = 0; i < 3 && k->alias[i]; i++)
        if (tg_str_ieq(name, tg_str_of(k->alias[i])))
            return true;
    return false;
}

const struct chat_media_type *chat_media_named(enum chat_part_kind kind, struct tg_str name)
{
    for (size_t i = 0; i < N_KNOWN; i++)
        if (known[i].type.kind == kind && is_named(&known[i], name))
            return &known[i].type;
    return NULL;
}

const struct chat_media_type *chat_media_worded(enum chat_part_kind kind, struct tg_str word)
{
    for (size_t i = 0; i < N_KNOWN; i++)
        if (known[i].type.kind == kind && tg_str_eq(word, tg_str_of(known[i].type.word)))
            return &known[i].type;
    return NULL;
}

const struct chat_media_type *chat_media_found(enum chat_part_kind kind, struct tg_str bytes)
{
    for (size_t i = 0; i < N_KNOWN; i++)
        if (known[i].type.kind == kind && known[i].fits(bytes))
            return &known[i].type;
    return NULL;
}

bool chat_media_fits(const struct chat_media_type *type, struct tg_str bytes)
{
    for (size_t i = 0; i < N_KNOWN; i++)
        if (&known[i].type == type)
            return known[i].fits(bytes);
    return false;
}

void chat_media_list(enum chat_part_kind kind, char out[CHAT_MEDIA_LIST_MAX])
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < N_KNOWN && n < CHAT_MEDIA_LIST_MAX; i++)
        if (known[i].type.kind == kind)
            n += (size_t)snprintf(out + n, CHAT_MEDIA_LIST_MAX - n, "%s%s", n ? ", " : "",
                                  known[i].type.word);
}

const char *chat_media_noun(enum chat_part_kind kind)
{
    return kind == CHAT_PART_IMAGE ? "image" : kind == CHAT_PART_AUDIO ? "audio" : "video";
}
