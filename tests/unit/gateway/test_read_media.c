#include "gateway/api/read_media.h"

#include "config/base/alloc.h"
#include "config/base/base64.h"
#include "tests/unit/check.h"
#include "tests/unit/gateway/media_part.h"

enum { ARENA = 1 << 20 };

/* One reading whose outcome lives until finish(). */
struct trial {
    struct tg_arena *arena;
    struct tg_json *json;
    struct api_error err;
    struct chat_part part;
    enum tg_status status;
};

enum as { AS_URL, AS_BASE64 };

static struct trial read_value(struct tg_str json, enum as as, enum chat_part_kind kind,
                               const struct chat_media_type *type)
{
    struct trial t = { .arena = tg_arena_new(ARENA) };
    struct tg_error err;
    struct api_read d = { .arena = t.arena, .err = &t.err };
    CHECK(tg_json_parse(json, &t.json, &err) == TG_OK);
    size_t at;
    api_enter(&d, "at");
    at = d.path_n;
    api_enter(&d, "v");
    const struct tg_json *v = tg_json_get(t.json, "v");
    t.status = as == AS_URL ? api_read_media_url(&d, v, kind, at, &t.part)
                            : api_read_media_base64(&d, v, type, kind, at, &t.part);
    return t;
}

static struct trial read_text(const char *text, enum as as, enum chat_part_kind kind,
                              const struct chat_media_type *type)
{
    struct tg_buf json;
    tg_buf_init(&json, ARENA);
    tg_buf_adds(&json, "{\"v\":");
    tg_buf_add_json(&json, tg_str_of(text));
    tg_buf_adds(&json, "}");
    struct trial t = read_value(tg_buf_str(&json), as, kind, type);
    tg_buf_free(&json);
    return t;
}

static void finish(struct trial *t)
{
    tg_json_free(t->json);
    tg_arena_free(t->arena);
}

static void urls_are_refused(void)
{
    static const struct {
        const char *text;
        enum chat_part_kind kind;
        const char *says;
    } rows[] = {
        { "", CHAT_PART_IMAGE, "must be a data URL" },
        { "u", CHAT_PART_IMAGE, "must be a data URL" },
        { "file:///etc/passwd", CHAT_PART_IMAGE, "must be a data URL" },
        { "ftp://h/i.png", CHAT_PART_IMAGE, "must be a data URL" },
        { "https:/h/i.png", CHAT_PART_IMAGE, "must be a data URL" },
        { "https://h/a b", CHAT_PART_IMAGE, "space or a control" },
        { "https://h/a\r\nx: y", CHAT_PART_IMAGE, "space or a control" },
        { "https://h/\x7f", CHAT_PART_IMAGE, "space or a control" },
        { "data:", CHAT_PART_IMAGE, "without a comma" },
        { "data:image/png;base64", CHAT_PART_IMAGE, "without a comma" },
        { "data:,", CHAT_PART_IMAGE, "not base64" },
        { "data:image/png,AAAA", CHAT_PART_IMAGE, "not base64" },
        { "data:image/png;base64;x,AAAA", CHAT_PART_IMAGE, "not base64" },
        { "data:base64,AAAA", CHAT_PART_IMAGE, "not base64" },
        { "data:;base64," MEDIA_PNG, CHAT_PART_IMAGE, "media type \"\"; one image of" },
        { "data:image/tiff;base64," MEDIA_PNG, CHAT_PART_IMAGE, "png, jpeg, gif, webp" },
        { "data:image/svg+xml;base64,PHN2Zz4=", CHAT_PART_IMAGE, "\"image/svg+xml\"" },
        { "data:text/html;base64,PGI+", CHAT_PART_IMAGE, "\"text/html\"" },
        { "data:image/png;base64," MEDIA_PNG, CHAT_PART_VIDEO, "mp4, webm, mov" },
        { "data:video/mp4;base64," MEDIA_PNG, CHAT_PART_VIDEO, "said to be video/mp4, and its" },
        { "data:image/png;base64,", CHAT_PART_IMAGE, "empty" },
        { "data:image/png;base64,\n", CHAT_PART_IMAGE, "first bytes are not" },
        { "data:image/png;base64,!" MEDIA_PNG, CHAT_PART_IMAGE, "not of base64" },
        { "data:image/png;base64,iVBORw0KGgo%3D", CHAT_PART_IMAGE, "without escapes" },
        { "data:image/png;base64," MEDIA_PNG "A", CHAT_PART_IMAGE, "behind its padding" },
        { "data:image/png;base64,AAAA", CHAT_PART_IMAGE, "first bytes are not" },
        { "data:image/jpeg;base64," MEDIA_PNG, CHAT_PART_IMAGE,
          "said to be image/jpeg, and its first bytes are those of image/png" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct trial t = read_text(rows[i].text, AS_URL, rows[i].kind, NULL);
        if (t.status != TG_INVALID || t.err.status != 400 || strcmp(t.err.param, "at.v") != 0 ||
            !strstr(t.err.message, rows[i].says))
            CHECK_FAIL("%s: %s, %s: %s", rows[i].text, tg_status_name(t.status), t.err.param,
                       t.err.message);
        finish(&t);
    }
    struct trial t = read_value(TG_STR("{\"v\":5}"), AS_URL, CHAT_PART_IMAGE, NULL);
    CHECK_STR(t.err.message, "at.v: a string was expected, not a number");
    finish(&t);
    t = read_value(TG_STR("{}"), AS_BASE64, CHAT_PART_IMAGE, NULL);
    CHECK_STR(t.err.message, "at.v: is missing; a string was expected");
    finish(&t);
    char url[API_URL_MAX + 2] = "https://";
    memset(url + 8, 'a', sizeof(url) - 9);
    t = read_text(url, AS_URL, CHAT_PART_IMAGE, NULL);
    CHECK(strstr(t.err.message, "longer than 8192 bytes"));
    finish(&t);
    url[API_URL_MAX] = '\0';
    t = read_text(url, AS_URL, CHAT_PART_IMAGE, NULL);
    CHECK(is_url(&t.part, CHAT_PART_IMAGE, url, "at"));
    finish(&t);
}

static void urls_are_read(void)
{
    static const struct tg_str png = { MEDIA_PNG_BYTES, sizeof(MEDIA_PNG_BYTES) - 1 };
    static const char *const urls[] = {
        "data:image/png;base64," MEDIA_PNG,
        "DATA:Image/PNG;Base64," MEDIA_PNG,
        "data:image/png;charset=utf-8;name=a;base64," MEDIA_PNG,
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg",
        "data:image/png;base64,iVBORw0KGgo\nAAAANSUhEUg==\n",
    };
    for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
        struct trial t = read_text(urls[i], AS_URL, CHAT_PART_IMAGE, NULL);
        CHECK_STR(t.err.message, "");
        CHECK(is_media(&t.part, "image/png", png, "at"));
        finish(&t);
    }
    struct trial t = read_text("HTTPS://H/\xc3\xa9?q#f", AS_URL, CHAT_PART_VIDEO, NULL);
    CHECK(is_url(&t.part, CHAT_PART_VIDEO, "HTTPS://H/\xc3\xa9?q#f", "at"));
    finish(&t);
    t = read_text("data:audio/x-wav;base64," MEDIA_WAV, AS_URL, CHAT_PART_AUDIO, NULL);
    CHECK_STR(t.part.media->type->word, "wav");
    finish(&t);
}

/* Every type by its first bytes, and none by those of another or by fewer. */
static void types_by_first_bytes(void)
{
    static const struct {
        const char *word;
        enum chat_part_kind kind;
        struct tg_str bytes;
    } rows[] = {
        { "png", CHAT_PART_IMAGE, { "\x89PNG\r\n\x1a\n", 8 } },
        { "jpeg", CHAT_PART_IMAGE, { "\xff\xd8\xff", 3 } },
        { "gif", CHAT_PART_IMAGE, { "GIF87a", 6 } },
        { "gif", CHAT_PART_IMAGE, { "GIF89a", 6 } },
        { "webp", CHAT_PART_IMAGE, { "RIFF\0\0\0\0WEBP", 12 } },
        { "wav", CHAT_PART_AUDIO, { "RIFF\0\0\0\0WAVE", 12 } },
        { "wav", CHAT_PART_AUDIO, { "RF64\xff\xff\xff\xffWAVE", 12 } },
        { "mp3", CHAT_PART_AUDIO, { "ID3", 3 } },
        { "mp3", CHAT_PART_AUDIO, { "\xff\xfb", 2 } },
        { "mp3", CHAT_PART_AUDIO, { "\xff\xf3", 2 } },
        { "mp3", CHAT_PART_AUDIO, { "\xff\xe3", 2 } },
        { "flac", CHAT_PART_AUDIO, { "fLaC", 4 } },
        { "ogg", CHAT_PART_AUDIO, { "OggS", 4 } },
        { "mp4", CHAT_PART_VIDEO, { "\0\0\0\x18" "ftyp", 8 } },
        { "mov", CHAT_PART_VIDEO, { "\0\0\0\x14" "ftypqt  ", 12 } },
        { "mov", CHAT_PART_VIDEO, { "\0\0\0\x14" "moov", 8 } },
        { "webm", CHAT_PART_VIDEO, { "\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm", 12 } },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const struct chat_media_type *type = chat_media_found(rows[i].kind, rows[i].bytes);
        CHECK(type);
        CHECK_STR(type->word, rows[i].word);
        CHECK(type == chat_media_worded(rows[i].kind, tg_str_of(rows[i].word)));
        CHECK(type == chat_media_named(rows[i].kind, tg_str_of(type->name)));
        struct tg_str less = { rows[i].bytes.p, rows[i].bytes.n - 1 };
        CHECK(!chat_media_fits(type, less));
        for (enum chat_part_kind k = CHAT_PART_IMAGE; k <= CHAT_PART_VIDEO; k++)
            CHECK(k == rows[i].kind || !chat_media_found(k, rows[i].bytes));
    }
    CHECK(!chat_media_found(CHAT_PART_AUDIO, TG_STR("\xff\xf1"))); /* AAC */
    CHECK(!chat_media_found(CHAT_PART_AUDIO, TG_STR("\xff\xeb"))); /* version reserved */
    CHECK(!chat_media_found(CHAT_PART_VIDEO, TG_STR("\x1a\x45\xdf\xa3\x82\x88matroska")));
    CHECK(!chat_media_found(CHAT_PART_IMAGE, (struct tg_str){ NULL, 0 }));
    CHECK(!chat_media_named(CHAT_PART_IMAGE, TG_STR("audio/wav")));
    CHECK_STR(chat_media_named(CHAT_PART_IMAGE, TG_STR("image/JPG"))->name, "image/jpeg");
    CHECK_STR(chat_media_named(CHAT_PART_AUDIO, TG_STR("audio/mp3"))->name, "audio/mpeg");
}

static void base64_alone(void)
{
    static const struct tg_str png = { MEDIA_PNG_BYTES, sizeof(MEDIA_PNG_BYTES) - 1 };
    const struct chat_media_type *jpeg = chat_media_worded(CHAT_PART_IMAGE, TG_STR("jpeg"));
    struct trial t = read_text(MEDIA_PNG, AS_BASE64, CHAT_PART_IMAGE, NULL);
    CHECK(is_media(&t.part, "image/png", png, "at"));
    finish(&t);
    t = read_text(MEDIA_PNG, AS_BASE64, CHAT_PART_IMAGE, jpeg);
    CHECK(strstr(t.err.message, "said to be image/jpeg"));
    finish(&t);
    t = read_text("data:image/png;base64," MEDIA_PNG, AS_BASE64, CHAT_PART_IMAGE, NULL);
    CHECK(strstr(t.err.message, "must be base64 alone, without \"data:\"; it has a character"));
    finish(&t);
    t = read_text(MEDIA_WAV, AS_BASE64, CHAT_PART_IMAGE, NULL);
    CHECK_STR(t.err.message, "at.v: is none of: png, jpeg, gif, webp");
    finish(&t);
}

/* Errors are of UTF-8, also where a type's name is cut. */
static void long_type_names(void)
{
    char url[400] = "data:";
    for (size_t i = 0; i < 60; i++)
        strcat(url, i ? "\xc3\xa9" : "a");
    strcat(url, ";base64,AAAA");
    struct trial t = read_text(url, AS_URL, CHAT_PART_IMAGE, NULL);
    CHECK(t.status == TG_INVALID && strstr(t.err.message, "\xc3\xa9\"; one image"));
    finish(&t);
}

/* A lack of memory is told as such, with any arena and with any allocation that fails. */
static void survives_without_memory(void)
{
    struct tg_json *json;
    struct tg_error cause;
    struct api_error err;
    struct chat_part part;
    enum tg_status status = TG_NOMEM;
    CHECK(tg_json_parse(TG_STR("[\"data:image/png;base64," MEDIA_PNG "\",\"https://h/\"]"), &json,
                        &cause) == TG_OK);
    size_t refusals = 0;
    for (size_t max = 0; max < 2000 && status; max += 8) {
        struct tg_arena *arena = tg_arena_new(max);
        struct api_read d = { .arena = arena, .err = &err };
        status = api_read_media_url(&d, tg_json_first(json), CHAT_PART_IMAGE, 0, &part);
        if (status == TG_OK)
            status = api_read_media_url(&d, tg_json_next(tg_json_first(json)), CHAT_PART_IMAGE, 0,
                                        &part);
        CHECK(status == TG_OK || (status == TG_NOMEM && err.status == 503));
        refusals += status != TG_OK;
        tg_arena_free(arena);
    }
    CHECK(status == TG_OK && refusals > 3);
    struct tg_arena *arena = tg_arena_new(ARENA);
    struct api_read d = { .arena = arena, .err = &err };
    tg_alloc_fail_nth(1);
    CHECK_INT(api_read_media_url(&d, tg_json_first(json), CHAT_PART_IMAGE, 0, &part), TG_NOMEM);
    tg_alloc_fail_nth(0);
    tg_arena_free(arena);
    tg_json_free(json);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(urls_are_refused), CASE(urls_are_read),   CASE(types_by_first_bytes),
        CASE(base64_alone),     CASE(long_type_names), CASE(survives_without_memory),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
