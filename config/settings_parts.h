/* The parts that settings.c is put together from. Used by config/ only. */
#ifndef CONFIG_SETTINGS_PARTS_H
#define CONFIG_SETTINGS_PARTS_H

#include "config/prices_table.h"
#include "config/reader.h"
#include "config/settings.h"

/* What is known while a file is being read; cfg_reader.owner. */
struct cfg_loading {
    struct cfg_settings *out;
    const char *folder;       /* of the configuration file, absolute */
    const char *model_dir;    /* NULL: none */
};

/* For CFG_READ fields: "listen", "admin", "tls", "cors",
 * "providers", "routes", "aliases". */
enum tg_status cfg_read_listen(struct cfg_reader *r, const struct tg_json *v, void *base);
enum tg_status cfg_read_admin(struct cfg_reader *r, const struct tg_json *v, void *base);
enum tg_status cfg_read_tls(struct cfg_reader *r, const struct tg_json *v, void *base);
enum tg_status cfg_read_cors(struct cfg_reader *r, const struct tg_json *v, void *base);
enum tg_status cfg_read_providers(struct cfg_reader *r, const struct tg_json *v, void *base);
enum tg_status cfg_read_routes(struct cfg_reader *r, const struct tg_json *v, void *base);
enum tg_status cfg_read_aliases(struct cfg_reader *r, const struct tg_json *v, void *base);
/* "limits.media", base: a cfg_limits; "media", base: the settings. */
enum tg_status cfg_read_media_limits(struct cfg_reader *r, const struct tg_json *v, void *base);
enum tg_status cfg_read_media(struct cfg_reader *r, const struct tg_json *v, void *base);
void cfg_default_media(struct cfg_settings *s);
/* The route that stands in where the file has none: local only. */
void cfg_default_route(struct cfg_route *route);
/* A name that may stand in a header: 1 to 64 of A-Z a-z 0-9 . _ - */
enum tg_status cfg_check_name(struct cfg_reader *r, const char *name);
/* {"env": NAME} or {"file": PATH}: the secret, registered with the log. */
enum tg_status cfg_read_secret(struct cfg_reader *r, const struct tg_json *v, const char **out);
/* "https://...", or "http://..." of a loopback host; without a slash at its end. */
enum tg_status cfg_read_url(struct cfg_reader *r, const struct tg_json *v, const char **out);
/* A path: absolute, or from the folder of the configuration file on. */
enum tg_status cfg_read_path(struct cfg_reader *r, const struct tg_json *v, const char **out);
/* One of two or three words; *out is static. */
enum tg_status cfg_read_word(struct cfg_reader *r, const struct tg_json *v,
                             const char *const words[3], const char **out);

#endif
