/* What the model that a client names selects. Pure, any thread. */
#ifndef POLICY_CHOOSE_H
#define POLICY_CHOOSE_H

#include "config/settings.h"

struct pol_choice {
    size_t route; /* whose budget, timeout and window hold */
    bool local;   /* the built-in name: the request never leaves the machine */
    struct tg_str provider, model; /* not empty: this model of a provider, and nobody else */
    uint32_t max_tokens;           /* of that model, when the client names none */
};

/* In this order: no name (the first route), the name of a route, "local", an alias of exactly that
 * name, PROVIDER/MODEL of a configured provider, the longest alias that ends with a star and fits.
 * A provider's model spends from the first route that has it as a tier, else from the first one
 * with another model of that provider, else from the first route. False: nothing has that name. The
 * choice borrows from s and name. */
bool pol_choose(const struct cfg_settings *s, struct tg_str name, struct pol_choice *out);

enum {
    POL_NAMES_MAX = CFG_ROUTES_MAX * (1 + CFG_TIERS_MAX) + CFG_ALIASES_MAX + 1
};

/* What a list of models shows, each name once: routes, "local", aliases without a star; remote:
 * those that stand for a provider's model too, and PROVIDER/MODEL of all tiers. They are s's. */
size_t pol_names(const struct cfg_settings *s, bool remote, const char *names[POL_NAMES_MAX]);

#endif
