#include <string.h>

#include "config/settings_parts.h"

static enum tg_status read_certificate(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    return cfg_read_path(r, v, &((struct cfg_tls *)base)->certificate);
}

static enum tg_status read_key(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    return cfg_read_path(r, v, &((struct cfg_tls *)base)->key);
}

static enum tg_status read_client_ca(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    return cfg_read_path(r, v, &((struct cfg_tls *)base)->client_ca);
}

static enum tg_status read_min_version(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    static const char *const words[3] = { "1.2", "1.3" };
    const char *word;
    enum tg_status status = cfg_read_word(r, v, words, &word);
    if (status == TG_OK)
        ((struct cfg_tls *)base)->only_13 = strcmp(word, "1.3") == 0;
    return status;
}

enum tg_status cfg_read_tls(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    static const struct cfg_field fields[] = {
        { "certificate", CFG_READ, 0, 0, 0, read_certificate },
        { "key", CFG_READ, 0, 0, 0, read_key },
        { "clientCa", CFG_READ, 0, 0, 0, read_client_ca },
        { "minVersion", CFG_READ, 0, 0, 0, read_min_version },
    };
    struct cfg_tls *tls = &((struct cfg_settings *)base)->tls;
    enum tg_status status = CFG_READ_OBJECT(r, v, fields, tls);
    if (status || (tls->certificate && tls->key))
        return status;
    return cfg_refuse(r, TG_INVALID, "needs \"certificate\" and \"key\": the names of PEM files");
}
