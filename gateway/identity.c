#include "gateway/identity.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "config/base/log.h"
#include "gateway/model_hash.h"

enum { HASH_NICE = 10 };

struct gw_identity {
    struct gw_app *app;
    struct tg_workers *workers; /* one */
    char *data_dir, *model;     /* owned */
    struct le_file_id *opened;  /* owned */
    struct gw_model_place place; /* of them and of app's engine */
    atomic_bool stop;
    int64_t begun_ns;
    enum tg_status status;
    struct tg_error err;
    char hex[TG_SHA256_HEX + 1];
};

_Static_assert((int)TG_SHA256_HEX == (int)POL_MODEL_HEX, "keys hold a SHA-256");

static const struct pol_calibration *in_use(const struct gw_app *app, enum pol_span span,
                                            bool thinking)
{
    struct pol_key key = { .exact = app->exact, .span = span, .thinking = thinking,
                           .features = POL_FEATURES_VERSION };
    const struct gw_calibrations *c = &app->now->calibrations;
    memcpy(key.model, app->model_hash, sizeof(key.model));
    return pol_calibration_find(c->list, c->n, &key);
}

static void describe(const struct gw_app *app, enum pol_span span, bool thinking, char *out,
                     size_t n)
{
    const struct pol_calibration *c = in_use(app, span, thinking);
    const struct gw_snapshot *s = app->now;
    if (!c)
        snprintf(out, n, "%s: none", pol_span_name(span));
    else
        snprintf(out, n, "%s: of %s, %lld examples, ECE %.3f, %s", pol_span_name(span), c->made,
                 (long long)c->n, c->ece,
                 c < s->calibrations.list + s->n_own_calibrations ? "in dataDir"
                                                                  : "beside the model");
}

void gw_identity_tell(const struct gw_app *app)
{
    char text[2][2][128];
    bool any[2] = { false, false };
    const struct gw_calibrations *c = &app->now->calibrations;
    if (c->stale)
        tg_log(TG_LOG_WARN, "calibrations-stale",
               "%zu calibrations were made for another version of the features and are not used: "
               "ask the prompts again and run tollgate calibrate", c->stale);
    if (!app->model_hash[0])
        return;
    for (int thinking = 0; thinking < 2; thinking++)
        for (enum pol_span span = POL_SPAN_WINDOW; span <= POL_SPAN_ANSWER; span++) {
            any[thinking] = any[thinking] || in_use(app, span, thinking);
            describe(app, span, thinking, text[thinking][span], sizeof(text[thinking][span]));
        }
    if (!any[0] && !any[1]) {
        tg_log(TG_LOG_INFO, "uncalibrated",
               "confidence is not calibrated for this model with %s precision: it errs towards "
               "paying, and its thresholds are no probabilities; tollgate calibrate makes it one",
               app->exact ? "exact" : "fast");
        return;
    }
    tg_log(TG_LOG_INFO, "calibrated", "confidence is calibrated: %s; %s%s%s%s%s",
           text[0][POL_SPAN_ANSWER], text[0][POL_SPAN_WINDOW], any[1] ? "; thinking: " : "",
           any[1] ? text[1][POL_SPAN_ANSWER] : "", any[1] ? "; " : "",
           any[1] ? text[1][POL_SPAN_WINDOW] : "");
}

/* begun_ns: 0 when it was known from another time. */
static void become_known(struct gw_app *app, const char *hex, int64_t begun_ns)
{
    char how[64] = "known from an earlier start";
    if (begun_ns)
        snprintf(how, sizeof(how), "computed in %lld ms",
                 (long long)((tg_mono_ns() - begun_ns) / 1000000));
    memcpy(app->model_hash, hex, sizeof(app->model_hash));
    tg_log(TG_LOG_INFO, "model-hash", "the model's SHA-256 is %s (%s)", hex, how);
    gw_identity_tell(app);
}

/* The thread is for this only, so it may stay behind all others. */
static void hash_work(void *arg)
{
    struct gw_identity *id = arg;
    setpriority(PRIO_PROCESS, 0, HASH_NICE); /* on Linux: of this thread */
    id->status = gw_model_hash(&id->place, &id->stop, id->hex, &id->err);
}

static void stay_unknown(const struct tg_error *cause)
{
    tg_log(TG_LOG_WARN, "model-hash-failed", "%s; confidence stays uncalibrated", cause->text);
}

static void hash_done(void *arg)
{
    struct gw_identity *id = arg;
    if (id->status)
        stay_unknown(&id->err);
    else
        become_known(id->app, id->hex, id->begun_ns);
}

static void on_workers(void *arg)
{
    tg_workers_dispatch(arg);
}

/* app->identity, with the files that the engine opened. */
static enum tg_status identity_new(struct gw_app *app, struct tg_error *err)
{
    const struct cfg_settings *s = app->now->settings;
    struct gw_identity *id = tg_calloc(1, sizeof(*id));
    struct le_file_id file;
    size_t n = 0;
    if (!id)
        return tg_fail(err, TG_NOMEM, "out of memory at the start");
    app->identity = id;
    while (le_engine_file(app->engine, n, &file))
        n++;
    id->app = app;
    id->opened = tg_calloc(n + 1, sizeof(*id->opened));
    id->data_dir = tg_strdup(s->data_dir); /* a reload frees the settings */
    id->model = tg_strdup(s->engine.model);
    if (!id->opened || !id->data_dir || !id->model)
        return tg_fail(err, TG_NOMEM, "out of memory at the start");
    for (size_t i = 0; i < n; i++)
        le_engine_file(app->engine, i, &id->opened[i]);
    id->place = (struct gw_model_place){ id->data_dir, id->model, id->opened, n };
    return TG_OK;
}

static enum tg_status hash_later(struct gw_app *app, struct tg_error *err)
{
    struct gw_identity *id = app->identity;
    id->begun_ns = tg_mono_ns();
    id->workers = tg_workers_new(1, 1);
    if (!id->workers ||
        gw_loop_watch(app->loop, tg_workers_fd(id->workers), on_workers, id->workers) ||
        tg_workers_submit(id->workers, hash_work, hash_done, id))
        return tg_fail(err, TG_NOMEM, "out of memory at the start");
    tg_log(TG_LOG_INFO, "model-hashing",
           "the SHA-256 of %s is being computed: until it is known, confidence is uncalibrated",
           id->model);
    return TG_OK;
}

enum tg_status gw_identity_begin(struct gw_app *app, struct tg_error *err)
{
    char hex[TG_SHA256_HEX + 1];
    struct tg_error cause = { 0 };
    int64_t begun_ns = 0;
    enum tg_status status = identity_new(app, err);
    if (status)
        return status;
    struct gw_identity *id = app->identity;
    status = gw_model_hash_known(&id->place, hex, &cause);
    if (status == TG_AGAIN && gw_model_hash_is_small(id->model)) {
        begun_ns = tg_mono_ns();
        status = gw_model_hash(&id->place, &id->stop, hex, &cause);
    }
    if (status == TG_OK) {
        become_known(app, hex, begun_ns);
        return TG_OK;
    }
    gw_identity_tell(app);
    if (status == TG_AGAIN)
        return hash_later(app, err);
    stay_unknown(&cause);
    return TG_OK;
}

void gw_identity_free(struct gw_identity *id)
{
    if (!id)
        return;
    atomic_store(&id->stop, true);
    tg_workers_free(id->workers);
    tg_free(id->opened);
    tg_free(id->data_dir);
    tg_free(id->model);
    tg_free(id);
}
