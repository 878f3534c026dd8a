/* The price table: what a provider's model costs. Prices are int64 nano-dollars per million tokens
 * (1e9 = $1 / Mtok); an absent price is unknown, never zero. */
#ifndef CONFIG_PRICES_H
#define CONFIG_PRICES_H

#include <stdbool.h>
#include <stdint.h>

#include "config/base/status.h"
#include "config/base/str.h"

struct cfg_price {
    bool known;              /* false: not callable under a budget */
    int64_t input, cached_input, output; /* cached_input = input where the table has none */
    int64_t tokens_per_message; /* upper bound of template overhead per message */
    int64_t tokens_per_request; /* and per request */
    int64_t tokens_per_image;   /* the most that one image counts as; 0: unknown */
    int64_t tokens_per_audio, tokens_per_video; /* the same of an audio and of a video part */
    int64_t audio_input;        /* of tokens of audio; = input where the table has none */
};

struct cfg_prices; /* opaque, immutable */

enum { CFG_PRICES_MAX = 4096, CFG_TOKENS_PER_MESSAGE = 8, CFG_TOKENS_PER_REQUEST = 32 };

/* A JSON file: {"version": "2026-11-20", "models": {"PROVIDER/MODEL": {"input": "$3",
 * "cachedInput": "$0.30", "output": "$15", "audioInput": "$40", "tokensPerMessage": 8,
 * "tokensPerRequest": 32, "tokensPerImage": 1600, "tokensPerAudio": 128000, "tokensPerVideo":
 * 128000}}}; all but input and output may be left out. Refused whole, with the
 * JSON path, when anything in it is unknown or malformed. path NULL: the table that is built into
 * the program. */
enum tg_status cfg_prices_load(const char *path, struct cfg_prices **out, struct tg_error *err);
/* The same from text in memory; name stands for it in errors. */
enum tg_status cfg_prices_parse(struct tg_str text, const char *name, struct cfg_prices **out,
                                struct tg_error *err);
void cfg_prices_free(struct cfg_prices *p);
const char *cfg_prices_version(const struct cfg_prices *p);
/* known = false when the table has no such entry. */
struct cfg_price cfg_price_of(const struct cfg_prices *p, struct tg_str provider,
                              struct tg_str model);

/* tokens x price, rounded up to whole nano-dollars. TG_INVALID when negative, TG_LIMIT. */
enum tg_status cfg_cost(int64_t tokens, int64_t nano_per_mtok, int64_t *nano);

#endif
