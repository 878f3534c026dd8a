#include "gateway/exchange.h"

/* The key under which a calibration of this request's scores would be kept. */
static struct pol_key key_of(const struct gw_exchange *x, enum pol_span span)
{
    struct pol_key key = { .exact = x->app->exact, .span = span, .features = POL_FEATURES_VERSION,
                           .thinking = x->prepared.request.thinking && !x->app->never_thinks };
    memcpy(key.model, x->app->model_hash, sizeof(key.model));
    return key;
}

struct pol_score gw_confidence(const struct gw_exchange *x, enum pol_span span,
                               struct pol_key *key)
{
    const struct gw_calibrations *c = &x->config->calibrations;
    struct pol_key own = key_of(x, span);
    if (key)
        *key = own;
    struct pol_score score = pol_confidence_score(&x->confidence_sums, span,
                                                  pol_calibration_find(c->list, c->n, &own));
    if (!score.known && x->local.finished && x->local.output_bytes == 0)
        score.known = true; /* an answer that says nothing: 0, as the score is */
    return score;
}

/* A worker may be at it until then. */
const struct pol_score *gw_complexity(const struct gw_exchange *x)
{
    static const struct pol_score unknown;
    return x->state == GW_RECEIVED ? &unknown : &x->prepared.complexity;
}

static void add_number(struct tg_buf *out, const char *name, bool known, double value)
{
    tg_buf_addf(out, "\"%s\":", name);
    if (known)
        tg_buf_addf(out, "%.9g", value);
    else
        tg_buf_adds(out, "null");
}

static void add_features(struct tg_buf *out, const struct pol_score *score)
{
    tg_buf_adds(out, ",\"features\":{");
    for (size_t i = 0; i < score->n_parts; i++)
        tg_buf_addf(out, "%s\"%s\":%.9g", i ? "," : "", score->part[i].name, score->part[i].value);
    tg_buf_adds(out, "}");
}

static void add_key(struct tg_buf *out, const struct pol_key *key)
{
    tg_buf_adds(out, "\"key\":{\"model\":");
    if (key->model[0])
        tg_buf_addf(out, "\"%s\"", key->model);
    else
        tg_buf_adds(out, "null");
    tg_buf_addf(out, ",\"precision\":\"%s\",\"features\":%d,\"span\":\"%s\",\"thinking\":%s}",
                key->exact ? "exact" : "fast", key->features, pol_span_name(key->span),
                key->thinking ? "true" : "false");
}

/* What decided; where nothing could be decided, what is known of the whole answer. */
static struct pol_score deciding_score(const struct gw_exchange *x, struct pol_key *key)
{
    bool local = x->state == GW_COMMITTED && x->current->step.target == POL_LOCAL;
    if (!x->weighed && local && x->current->finished)
        return gw_confidence(x, POL_SPAN_ANSWER, key);
    /* Given up before it could be judged: what it would have been judged as. */
    *key = x->key.features ? x->key
                           : key_of(x, x->prepared.request.stream ? POL_SPAN_WINDOW
                                                                  : POL_SPAN_ANSWER);
    return x->confidence;
}

enum tg_status gw_explain(const struct gw_exchange *x, struct tg_buf *out)
{
    const struct pol_score *complexity = gw_complexity(x);
    tg_buf_adds(out, "{\"confidence\":");
    if (x->local.used) {
        struct pol_key key;
        struct pol_score score = deciding_score(x, &key);
        tg_buf_adds(out, "{");
        add_key(out, &key);
        tg_buf_addf(out, ",\"calibrated\":%s,", score.calibrated ? "true" : "false");
        add_number(out, "value", score.known, score.value);
        tg_buf_adds(out, ",");
        add_number(out, "raw", score.known, score.raw);
        add_features(out, &score);
        tg_buf_adds(out, "}");
    } else {
        tg_buf_adds(out, "null");
    }
    tg_buf_adds(out, ",\"complexity\":{");
    add_number(out, "value", complexity->known, complexity->value);
    add_features(out, complexity);
    return tg_buf_adds(out, "}}");
}
