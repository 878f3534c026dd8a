/* Any bytes as a configuration file, and as a price table. Errors begin with the file's name; what
 * is accepted has what the rest of the program relies on. */
#include <stdlib.h>
#include <string.h>

#include "config/base/log.h"
#include "config/settings.h"
#include "policy/decide.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char path[] = TG_SOURCE_DIR "/config/default.json";

static void check(const struct cfg_settings *s)
{
    if (!s->listen_host || !s->data_dir || !s->engine.model || s->n_routes < 1)
        abort();
    for (size_t i = 0; i < s->n_providers; i++)
        if (!s->providers[i].name || !s->providers[i].base_url || s->providers[i].timeout_ms < 1)
            abort();
    for (size_t i = 0; i < s->n_routes; i++) {
        struct pol_route route;
        for (size_t k = 0; k < s->routes[i].n_tiers; k++)
            if (!s->routes[i].tiers[k].provider || !s->routes[i].tiers[k].max_tokens)
                abort();
        if (!s->routes[i].name)
            abort();
        if (pol_route_compile(&s->routes[i], &route, NULL) == TG_OK)
            pol_route_free(&route);
    }
    if (cfg_restart_needed(s, s))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_str text = { (const char *)data, size };
    struct cfg_settings *s;
    struct cfg_prices *prices;
    struct tg_error err;
    tg_log_set_fd(-1); /* warnings are not what is looked for */
    if (cfg_parse(text, path, &s, &err) == TG_OK)
        check(s);
    else if (s || strncmp(err.text, path, sizeof(path) - 1) != 0)
        abort();
    cfg_free(s);
    if (cfg_prices_parse(text, "prices", &prices, &err) == TG_OK && !cfg_prices_version(prices))
        abort();
    cfg_prices_free(prices);
    return 0;
}
