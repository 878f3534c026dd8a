#include "config/prices.h"

#include "config/base/alloc.h"
#include "config/files.h"
#include "config/prices_table.h"
#include "config/settings.h"
#include "config/shipped_prices.h" /* generated from config/prices.json */

#define PRICE_MAX INT64_C(1000000000000000) /* $1,000,000 a million tokens */

struct price_text {
    int64_t input, cached, output, audio;
    uint32_t per_message, per_request, per_image, per_audio, per_video;
};

enum tg_status cfg_read_price(struct cfg_reader *r, const struct tg_json *v, struct cfg_price *out)
{
#define AT(member) offsetof(struct price_text, member)
    static const struct cfg_field fields[] = {
        { "input", CFG_MONEY, AT(input), 0, PRICE_MAX, NULL },
        { "cachedInput", CFG_MONEY, AT(cached), 0, PRICE_MAX, NULL },
        { "output", CFG_MONEY, AT(output), 0, PRICE_MAX, NULL },
        { "tokensPerMessage", CFG_COUNT, AT(per_message), 0, 100000, NULL },
        { "tokensPerRequest", CFG_COUNT, AT(per_request), 0, 100000, NULL },
        { "tokensPerImage", CFG_COUNT, AT(per_image), 1, 1000000, NULL },
        { "tokensPerAudio", CFG_COUNT, AT(per_audio), 1, 10000000, NULL },
        { "tokensPerVideo", CFG_COUNT, AT(per_video), 1, 10000000, NULL },
        { "audioInput", CFG_MONEY, AT(audio), 0, PRICE_MAX, NULL },
    };
#undef AT
    struct price_text price = { .input = -1, .cached = -1, .output = -1, .audio = -1,
                                .per_message = CFG_TOKENS_PER_MESSAGE,
                                .per_request = CFG_TOKENS_PER_REQUEST };
    enum tg_status status = CFG_READ_OBJECT(r, v, fields, &price);
    if (status)
        return status;
    if (price.input < 0 || price.output < 0)
        return cfg_refuse(r, TG_INVALID, "needs \"%s\", dollars per million tokens",
                          price.input < 0 ? "input" : "output");
    *out = (struct cfg_price){ .known = true,
                               .input = price.input,
                               .cached_input = price.cached < 0 ? price.input : price.cached,
                               .output = price.output,
                               .tokens_per_message = price.per_message,
                               .tokens_per_request = price.per_request,
                               .tokens_per_image = price.per_image,
                               .tokens_per_audio = price.per_audio,
                               .tokens_per_video = price.per_video,
                               .audio_input = price.audio < 0 ? price.input : price.audio };
    return TG_OK;
}

static enum tg_status read_models(struct cfg_reader *r, const struct tg_json *v, void *base)
{
    struct cfg_prices *table = base;
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return cfg_refuse_type(r, v, "an object");
    size_t n = tg_json_count(v);
    if (n > CFG_PRICES_MAX)
        return cfg_refuse(r, TG_LIMIT, "has more than %d entries", CFG_PRICES_MAX);
    table->entries = tg_arena_alloc(table->mem, n, sizeof(*table->entries));
    if (!table->entries)
        return cfg_refuse(r, TG_NOMEM, "out of memory");
    for (const struct tg_json *m = tg_json_first(v); m; m = tg_json_next(m)) {
        struct tg_str key = tg_str_of(tg_json_key(m));
        size_t mark = cfg_path_key(r, key.p);
        const char *slash = strchr(key.p, '/');
        if (!slash || slash == key.p || !slash[1])
            return cfg_refuse(r, TG_INVALID, "a name must be PROVIDER/MODEL");
        struct cfg_price_entry *entry = &table->entries[table->n];
        enum tg_status status = cfg_read_price(r, m, &entry->price);
        entry->name = tg_arena_str(table->mem, key);
        if (status == TG_OK && !entry->name.p)
            status = cfg_refuse(r, TG_NOMEM, "out of memory");
        if (status)
            return status;
        table->n++;
        cfg_path_back(r, mark);
    }
    return TG_OK;
}

static enum tg_status read_table(struct cfg_reader *r, struct tg_str text,
                                 struct cfg_prices *table)
{
    static const struct cfg_field fields[] = {
        { "version", CFG_TEXT, offsetof(struct cfg_prices, version), 0, 64, NULL },
        { "models", CFG_READ, 0, 0, 0, read_models },
    };
    struct tg_json *root;
    struct tg_error cause;
    enum tg_status status = tg_json_parse(text, &root, &cause);
    if (status)
        return cfg_refuse(r, status, "%s", cause.text);
    status = CFG_READ_OBJECT(r, root, fields, table);
    if (status == TG_OK && (!table->version || !table->entries))
        status = cfg_refuse(r, TG_INVALID, "needs \"%s\"", table->version ? "models" : "version");
    tg_json_free(root);
    return status;
}

enum tg_status cfg_prices_parse(struct tg_str text, const char *name, struct cfg_prices **out,
                                struct tg_error *err)
{
    *out = NULL;
    struct tg_arena *mem = tg_arena_new(8u << 20);
    struct cfg_prices *table = mem ? tg_arena_alloc(mem, 1, sizeof(*table)) : NULL;
    if (!table) {
        tg_arena_free(mem);
        return tg_fail(err, TG_NOMEM, "%s: out of memory", name);
    }
    table->mem = mem;
    struct cfg_reader r = { .file = name, .mem = mem, .err = err };
    enum tg_status status = read_table(&r, text, table);
    if (status)
        cfg_prices_free(table);
    else
        *out = table;
    return status;
}

enum tg_status cfg_prices_load(const char *path, struct cfg_prices **out, struct tg_error *err)
{
    *out = NULL;
    if (!path)
        return cfg_prices_parse((struct tg_str){ (const char *)shipped_prices,
                                                 sizeof(shipped_prices) },
                                "built-in prices", out, err);
    struct tg_buf text;
    const char *cause = NULL;
    tg_buf_init(&text, CFG_FILE_MAX);
    enum tg_status status = cfg_read_file(path, true, &text, &cause);
    if (status)
        tg_fail(err, status, "%s: %s", path, cause);
    else
        status = cfg_prices_parse(tg_buf_str(&text), path, out, err);
    tg_buf_free(&text);
    return status;
}

void cfg_prices_free(struct cfg_prices *p)
{
    if (p)
        tg_arena_free(p->mem);
}

const char *cfg_prices_version(const struct cfg_prices *p)
{
    return p->version;
}

struct cfg_price cfg_price_of(const struct cfg_prices *p, struct tg_str provider,
                              struct tg_str model)
{
    for (size_t i = 0; p && i < p->n; i++) {
        struct tg_str name = p->entries[i].name;
        if (name.n == provider.n + 1 + model.n && name.p[provider.n] == '/' &&
            memcmp(name.p, provider.p, provider.n) == 0 &&
            memcmp(name.p + provider.n + 1, model.p, model.n) == 0)
            return p->entries[i].price;
    }
    return (struct cfg_price){ .known = false };
}

enum tg_status cfg_cost(int64_t tokens, int64_t nano_per_mtok, int64_t *nano)
{
    if (tokens < 0 || nano_per_mtok < 0)
        return TG_INVALID;
    __int128 product = (__int128)tokens * nano_per_mtok;
    product = (product + 999999) / 1000000;
    if (product > INT64_MAX)
        return TG_LIMIT;
    *nano = (int64_t)product;
    return TG_OK;
}
