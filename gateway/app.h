/* The running gateway: what one process owns, and the snapshot of settings that requests hold on
 * to. Internal to gateway/. Everything here lives on the loop thread. */
#ifndef GATEWAY_APP_H
#define GATEWAY_APP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/workers.h"
#include "config/settings.h"
#include "gateway/calibrations.h"
#include "gateway/failures.h"
#include "gateway/http.h"
#include "gateway/loop.h"
#include "gateway/tls.h"
#include "local_engine/engine.h"
#include "policy/decide.h"
#include "providers/backend.h"
#include "telemetry/keys.h"
#include "telemetry/store.h"

struct api_dialect;
struct api_error;
struct gw_admin_job;
struct gw_exchange;
struct gw_reload;
struct gw_responses;
struct tel_metrics;

/* Settings as they were when a request came: reference-counted, swapped whole at reload. */
struct gw_snapshot {
    size_t refs;
    struct cfg_settings *settings;
    struct gw_tls *tls; /* NULL: the listener speaks plain HTTP */
    struct pol_route routes[CFG_ROUTES_MAX];
    int budget[CFG_ROUTES_MAX]; /* of each route, as far as declared; dropped with the snapshot */
    size_t n_budgets;           /* declared in store */
    struct tel_store *store;    /* borrowed; NULL until it is bound */
    struct prov_backend *tier[CFG_ROUTES_MAX][CFG_TIERS_MAX]; /* borrowed from providers */
    struct prov_backend *providers[CFG_PROVIDERS_MAX];
    struct gw_calibrations calibrations; /* those of dataDir, then those beside the model */
    size_t n_own_calibrations;           /* of dataDir */
};

/* What a listener belongs to. */
struct gw_door {
    struct gw_app *app;
    bool admin; /* the listener of admin.listen */
};

struct gw_app {
    struct gw_loop *loop;
    struct tg_workers *workers;
    struct tel_store *store;
    struct tel_metrics *metrics; /* NULL: nothing is counted (tests) */
    struct le_engine *engine;
    bool exact; /* the precision that the engine runs; else fast */
    bool never_thinks; /* the local model was not trained to, and does not when asked */
    struct gw_identity *identity;
    char model_hash[POL_MODEL_HEX + 1]; /* of the model's file; "": not known yet */
    struct prov_backend *local;
    struct prov_http *upstream;
    struct prov_reads *reads; /* may be NULL */
    struct gw_http *http, *admin_http; /* admin_http NULL: it has no listener of its own */
    struct gw_door doors[2];           /* of these two */
    struct gw_responses *responses; /* what may be gone on from; NULL: nothing is kept */
    struct gw_timer *expire;        /* of them, and of keys: the old ones go */
    struct gw_snapshot *now;
    struct tel_keys *keys;             /* API keys, as requests are judged by */
    bool keys_lost;                    /* the file has none any more, and that was logged */
    struct tg_log_seldom strangers;    /* refused for their key */
    struct gw_failures failures;       /* of calls of backends: lines of the log */
    struct gw_admin_job *admin_jobs;   /* doubly linked: changes that the store has under way */
    struct gw_reload *reload;          /* of now, by HUP and by the admin API */
    struct gw_exchange *exchanges;                   /* doubly linked: all that live */
    struct gw_exchange *waiting_head, *waiting_tail; /* not admitted yet, oldest first */
    size_t n_waiting;
    struct gw_timer *look_again; /* at those that wait */
    int64_t media_bytes;         /* fetched for requests that live */
    int64_t worker_bytes;        /* of bodies that workers have or wait for */
    uint64_t next_id;
    int64_t started_s;
    bool draining, ending;
};

/* Files that the process may have to open: a request may need a connection of a provider besides
 * its own; databases, the model and others. */
static inline uint64_t gw_descriptors_needed(uint32_t connections)
{
    return 2 * (uint64_t)connections + 64;
}

/* Reads, validates and compiles a configuration, and reads calibrations and certificates; opens
 * nothing. *out has one reference. */
enum tg_status gw_snapshot_load(const char *path, struct gw_snapshot **out, struct tg_error *err);
/* Makes the provider backends and declares the budgets, so that requests can use it. */
enum tg_status gw_snapshot_bind(struct gw_snapshot *s, struct gw_app *app, struct tg_error *err);
struct gw_snapshot *gw_snapshot_ref(struct gw_snapshot *s);
void gw_snapshot_unref(struct gw_snapshot *s); /* NULL allowed */

/* The HTTP handlers: routing of paths to what answers them. door is borrowed. */
struct gw_http_handlers gw_router(struct gw_door *door);
/* Answers a request that has no exchange with an error in a dialect. rq is invalid after. */
void gw_router_refuse(struct gw_app *app, struct gw_request *rq, const struct api_dialect *dialect,
                      const struct api_error *e);

#endif
