/* A lenient look at a configuration, for commands that must work where the configuration does not:
 * `pull` runs before the model that it names exists, `doctor` where something is wrong. What cannot
 * be read keeps its default; cfg_load (settings.h) is the judge of what is right. */
#ifndef CONFIG_SURVEY_H
#define CONFIG_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/status.h"
#include "config/settings.h"

enum { CFG_KEYS_MAX = 64 };

enum cfg_key_state { CFG_KEY_SET, CFG_KEY_MISSING, CFG_KEY_EMPTY, CFG_KEY_UNREADABLE, CFG_KEY_ODD };

/* A secret that the configuration refers to; its value is not kept. */
struct cfg_key {
    const char *path; /* "providers.openai.apiKey" */
    const char *from; /* the variable's name or the file's path; "" when it has neither */
    bool is_file;
    enum cfg_key_state state; /* ODD: neither {"env"} nor {"file"} */
};

struct cfg_survey {
    const char *path;           /* of the configuration file; NULL: none was given */
    const char *model_dir;      /* absolute; NULL when HOME is not set either */
    const char *data_dir;       /* the same */
    const char *time_zone;      /* "UTC" or "local"; default "UTC" */
    const char *listen_host;    /* default 127.0.0.1 */
    uint16_t listen_port;       /* default 8080 */
    struct cfg_tls tls;         /* as far as it is there: certificate or key may be NULL */
    const char *device;         /* as written; default "auto" */
    uint32_t context;           /* as written; 0: not */
    const char *model;          /* engine.model as written; NULL: not */
    const char *model_found[2]; /* the paths where it is looked for; NULL: none (more) */
    struct cfg_key keys[CFG_KEYS_MAX];
    size_t n_keys;
    void *memory; /* owner of all strings */
};

/* path NULL: defaults alone. TG_OK also for values of a wrong sort; TG_NOTFOUND, TG_IO, TG_LIMIT,
 * TG_INVALID (no JSON object) with *out filled with the defaults; TG_NOMEM with *out NULL. *out is
 * owned by the caller. */
enum tg_status cfg_survey(const char *path, struct cfg_survey **out, struct tg_error *err);
void cfg_survey_free(struct cfg_survey *s); /* NULL allowed */

/* A token of the environment that goes into a header: *out is NULL when the variable is not set or
 * empty, else its trimmed value, owned by the caller (tg_free) and registered with tg_log_secret.
 * TG_INVALID: characters that no token has; TG_NOMEM. */
enum tg_status cfg_token(const char *variable, char **out, struct tg_error *err);

#endif
