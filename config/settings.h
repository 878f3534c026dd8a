/* Typed settings, read from one JSON file (DESIGN.md section 8). Unknown keys, values out of range
 * and keys of the design that are not built yet are refused with their JSON path before anything
 * opens. */
#ifndef CONFIG_SETTINGS_H
#define CONFIG_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/status.h"
#include "config/base/str.h"
#include "config/prices.h"

enum { CFG_ROUTES_MAX = 32, CFG_PROVIDERS_MAX = 32, CFG_TIERS_MAX = 8, CFG_ALIASES_MAX = 128 };
/* of limits.connections: the telemetry store has room for what each of them may write */
enum { CFG_CONNECTIONS_MAX = 65536 };

enum { CFG_ORIGINS_MAX = 64 };

enum cfg_period { CFG_PERIOD_NONE, CFG_PERIOD_DAY, CFG_PERIOD_WEEK, CFG_PERIOD_MONTH };

struct cfg_provider {
    const char *name;
    const char *kind;     /* "openai": the only one in this version */
    const char *base_url; /* https://api.openai.com/v1 unless "baseUrl" is given */
    const char *api_key;  /* resolved from {"env": NAME} or {"file": PATH}; NULL when not given */
    const char *path;     /* JSON path of it, for errors: providers.openai */
    int64_t connect_timeout_ms, idle_timeout_ms, timeout_ms;
};

struct cfg_tier {
    const char *provider; /* name of an entry of providers */
    const char *model;
    const char *id;           /* "provider/model" */
    const char *trigger;      /* expression text, or NULL: only when what comes before it failed */
    const char *trigger_path; /* JSON path of it, for errors: routes[0].fallback[0].trigger */
    uint32_t max_tokens;      /* sent when the client names none; default 1024 */
    struct cfg_price price; /* providers.X.prices, else the table; known = false: neither has it */
};

struct cfg_route {
    const char *name;
    int64_t max_latency_ms; /* of the primary; 0: none */
    int64_t timeout_ms;     /* whole request; default 600 s */
    struct cfg_tier tiers[CFG_TIERS_MAX];
    size_t n_tiers;
    bool has_budget;        /* costPolicy.cloudBudget */
    int64_t budget_nano;
    enum cfg_period period;
    int64_t alert_millionths; /* alertAt, default 800000 */
    bool prefer_self_hosted;
    struct {
        uint32_t tokens;
        int64_t time_ms;
        uint32_t bytes;
    } hold; /* holdBack; default 24, 2 s, 4 KiB */
};

/* Another name that clients may write as their model. */
struct cfg_alias {
    const char *name;
    bool prefix;        /* "NAME*": all that begin so */
    const char *target; /* a route, "local", or "PROVIDER/MODEL" */
};

/* Of images, audio and video, in bytes as they are decoded or fetched. */
struct cfg_media_limits {
    int64_t part, total; /* of one, and of all in a request; default 20 and 64 MiB */
    uint32_t parts;      /* in a request; default 32 */
};

struct cfg_limits {
    int64_t body, headers;
    int64_t header_timeout_ms, body_timeout_ms, idle_timeout_ms, write_timeout_ms, drain_ms;
    uint32_t connections;
    int64_t bodies_in_flight; /* bytes of all request bodies held at once; default 256 MiB */
    struct cfg_media_limits media;
};

/* media.fetch: whom the gateway itself may ask for media that a request has only a URL of. */
struct cfg_fetch_host {
    struct tg_str name; /* lower case; an IPv6 address in brackets */
    bool below;         /* "*.NAME": the names below it, not itself */
    uint16_t port;      /* the only one; 0: that of the scheme */
};

struct cfg_fetch {
    const struct cfg_fetch_host *hosts;
    size_t n_hosts;     /* 0: nothing is fetched, the default */
    int64_t max_bytes;  /* of one; default 20 MiB */
    int64_t timeout_ms; /* for all of a request; default 10 s */
    uint32_t redirects; /* at most, of one; default 3 */
    bool allow_private; /* addresses of this machine and of inner networks too: dangerous */
};

/* What is kept of answers that later requests may go on from. */
struct cfg_responses {
    int64_t max_bytes; /* default 64 MiB; 0: nothing is kept */
    int64_t ttl_ms;    /* since the last use; default 24 h */
};

/* What the listener shows and asks for; paths are absolute or start in the file's folder. */
struct cfg_tls {
    const char *certificate; /* PEM, the server's own first, then its issuers; NULL: no TLS */
    const char *key;         /* PEM, without a passphrase */
    const char *client_ca;   /* PEM: every client must show a certificate of these; NULL: none */
    bool only_13;            /* TLS 1.3; else 1.2 too */
};

/* Web pages whose scripts may call, by their origin. */
struct cfg_cors {
    const char *origins[CFG_ORIGINS_MAX]; /* as browsers write them: lower case, no usual port */
    size_t n_origins;                     /* 0: CORS is off, unless any */
    bool any;                             /* "*" */
    int64_t max_age_ms;                   /* how long browsers keep a permission; default 10 min */
};

struct cfg_settings {
    const char *path;        /* the file it came from */
    const char *listen_host; /* numeric address; default 127.0.0.1 */
    uint16_t listen_port;    /* 0: any free one (tests) */
    struct {
        const char *listen_host; /* numeric; NULL: no listener of its own */
        uint16_t listen_port;
        const char *key;         /* resolved; NULL: none, and listen_host is loopback or NULL */
    } admin;
    struct cfg_tls tls;
    struct cfg_cors cors;
    const char *data_dir;    /* resolved, absolute */
    const char *time_zone;   /* "UTC" (default) or "local" */
    struct {
        const char *model;   /* resolved path; found in modelDir or relative to the file */
        const char *device;  /* "auto", "cpu", "vulkan" */
        const char *precision; /* "auto" (is fast), "exact", "fast" */
        uint32_t threads;    /* of the cpu; 0: one for each core */
        uint32_t context;    /* positions; 0: the model's own, at most 32768 */
        uint32_t queue;      /* jobs waiting and running; default 64 */
        uint32_t max_tokens; /* of an answer when the client names none; default 1024 */
    } engine;
    struct cfg_provider providers[CFG_PROVIDERS_MAX];
    size_t n_providers;
    struct cfg_route routes[CFG_ROUTES_MAX];
    size_t n_routes;         /* at least 1 */
    struct cfg_alias aliases[CFG_ALIASES_MAX];
    size_t n_aliases;
    struct cfg_limits limits;
    struct cfg_responses responses;
    struct cfg_fetch fetch;
    int64_t heartbeat_ms;    /* default 15 s */
    const char *prices_version;
    struct cfg_prices *prices, *own_prices; /* the table; providers.X.prices, which come first */
    void *memory;            /* owner of all strings */
};

enum { CFG_FILE_MAX = 1 << 20 }; /* bytes of a configuration file or price table */

/* Reads, checks and resolves; opens nothing but the file, the price table and secret files. Secrets
 * are registered with tg_log_secret; a tier that has a budget but no known price is warned of in
 * the log. err: "FILE: routes[0].fallback[0].model: ...": TG_INVALID, TG_UNSUPPORTED (not in this
 * version), TG_NOTFOUND or TG_IO (a file named in it), TG_LIMIT, TG_NOMEM. *out owned by the
 * caller. */
enum tg_status cfg_load(const char *path, struct cfg_settings **out, struct tg_error *err);
/* The same from text in memory; path names it in errors, and relative paths start in its folder. */
enum tg_status cfg_parse(struct tg_str text, const char *path, struct cfg_settings **out,
                         struct tg_error *err);
void cfg_free(struct cfg_settings *s);
/* "$500/month", "$5/day", "$1/week": an amount, not negative, for a calendar period. False when
 * malformed. Any thread. */
bool cfg_parse_budget(struct tg_str text, int64_t *nano, enum cfg_period *period);
/* What a model of a provider costs: known = false when nothing says so. */
struct cfg_price cfg_price_for(const struct cfg_settings *s, struct tg_str provider,
                               struct tg_str model);
/* Whether a URL of this host and port may be fetched; scheme_port: 80 or 443. Pure. */
bool cfg_fetch_allows(const struct cfg_fetch *f, struct tg_str host, uint16_t port,
                      uint16_t scheme_port);
/* Where a setting that only a restart can change (listen, admin.listen, dataDir, timeZone, engine)
 * differs between the two: its JSON path, static, else NULL. */
const char *cfg_restart_needed(const struct cfg_settings *now, const struct cfg_settings *next);

#endif
