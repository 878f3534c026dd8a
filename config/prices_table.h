/* The inside of a price table, for the loader of settings, which builds one from
 * providers.X.prices. */
#ifndef CONFIG_PRICES_TABLE_H
#define CONFIG_PRICES_TABLE_H

#include "config/prices.h"
#include "config/reader.h"

struct cfg_price_entry {
    struct tg_str name; /* PROVIDER/MODEL */
    struct cfg_price price;
};

struct cfg_prices {
    struct tg_arena *mem;
    const char *version;
    struct cfg_price_entry *entries;
    size_t n;
};

/* Reads {"input": ..., "output": ...} at the reader's path. */
enum tg_status cfg_read_price(struct cfg_reader *r, const struct tg_json *v, struct cfg_price *out);

#endif
