#include "policy/calibration_json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config/base/alloc.h"

#define WEIGHT_MAX 1e6 /* of weights, biases and the line of a map: their sums stay finite */

/* Where we are in the file, for errors. */
struct reader {
    char path[96];
    struct tg_error *err;
};

static enum tg_status bad(const struct reader *r, const char *name, const char *cause)
{
    return tg_fail(r->err, TG_INVALID, "%s%s%s: %s", r->path, *r->path && *name ? "." : "", name,
                   cause);
}

static const struct tg_json *member(const struct reader *r, const struct tg_json *v,
                                    const char *name)
{
    const struct tg_json *found = tg_json_get(v, name);
    if (!found)
        bad(r, name, "is missing");
    return found;
}

static enum tg_status read_number(const struct reader *r, const struct tg_json *v,
                                  const char *name, double least, double most, double *out)
{
    char cause[80];
    const struct tg_json *found = member(r, v, name);
    if (!found)
        return TG_INVALID;
    if (tg_json_number(found, out) && *out >= least && *out <= most)
        return TG_OK;
    snprintf(cause, sizeof(cause), "must be a number from %g to %g", least, most);
    return bad(r, name, cause);
}

static enum tg_status read_whole(const struct reader *r, const struct tg_json *v, const char *name,
                                 int64_t least, int64_t most, int64_t *out)
{
    char cause[96];
    const struct tg_json *found = member(r, v, name);
    if (!found)
        return TG_INVALID;
    if (tg_json_int(found, out) && *out >= least && *out <= most)
        return TG_OK;
    snprintf(cause, sizeof(cause), "must be a whole number from %lld to %lld", (long long)least,
             (long long)most);
    return bad(r, name, cause);
}

/* One of two words. */
static enum tg_status read_word(const struct reader *r, const struct tg_json *v, const char *name,
                                const char *no, const char *yes, bool *out)
{
    char cause[80];
    struct tg_str word = { 0 };
    const struct tg_json *found = member(r, v, name);
    if (!found)
        return TG_INVALID;
    *out = tg_json_string(found, &word) && tg_str_eq(word, tg_str_of(yes));
    if (*out || (word.p && tg_str_eq(word, tg_str_of(no))))
        return TG_OK;
    snprintf(cause, sizeof(cause), "must be \"%s\" or \"%s\"", no, yes);
    return bad(r, name, cause);
}

static bool all_of(struct tg_str s, const char *letters)
{
    for (size_t i = 0; i < s.n; i++)
        if (!s.p[i] || !strchr(letters, s.p[i]))
            return false;
    return true;
}

static enum tg_status read_model(const struct reader *r, const struct tg_json *v,
                                 char out[POL_MODEL_HEX + 1])
{
    struct tg_str hex;
    const struct tg_json *found = member(r, v, "model");
    if (!found)
        return TG_INVALID;
    if (tg_json_is(found, TG_JSON_NULL))
        return bad(r, "model", "is null: the file's hash was not known yet when this was written");
    if (!tg_json_string(found, &hex) || hex.n != POL_MODEL_HEX || !all_of(hex, "0123456789abcdef"))
        return bad(r, "model",
                   "must be the SHA-256 of the model's file: 64 digits 0-9 and a-f");
    memcpy(out, hex.p, hex.n);
    out[hex.n] = '\0';
    return TG_OK;
}

static enum tg_status read_key(const struct reader *r, const struct tg_json *v,
                               struct pol_key *key)
{
    bool answer;
    int64_t features;
    memset(key, 0, sizeof(*key));
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return bad(r, "", "must be an object");
    enum tg_status status = read_model(r, v, key->model);
    if (status == TG_OK)
        status = read_word(r, v, "precision", "fast", "exact", &key->exact);
    if (status == TG_OK)
        status = read_whole(r, v, "features", 1, 1000, &features);
    if (status == TG_OK)
        status = read_word(r, v, "span", "window", "answer", &answer);
    const struct tg_json *thinking = status ? NULL : member(r, v, "thinking");
    if (!thinking)
        return TG_INVALID;
    if (!tg_json_bool(thinking, &key->thinking))
        return bad(r, "thinking", "must be true or false");
    key->features = (int)features;
    key->span = answer ? POL_SPAN_ANSWER : POL_SPAN_WINDOW;
    return TG_OK;
}

enum tg_status pol_key_parse(const struct tg_json *v, const char *path, struct pol_key *key,
                             struct tg_error *err)
{
    struct reader r = { .err = err };
    snprintf(r.path, sizeof(r.path), "%s", path);
    return read_key(&r, v, key);
}

/* Only the members that are named, a list that ends in NULL. */
static enum tg_status check_members(const struct reader *r, const struct tg_json *v,
                                    const char *const *names)
{
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return bad(r, "", "must be an object");
    for (const struct tg_json *m = tg_json_first(v); m; m = tg_json_next(m)) {
        size_t i = 0;
        while (names[i] && strcmp(names[i], tg_json_key(m)) != 0)
            i++;
        if (!names[i])
            return bad(r, tg_json_key(m), "is not known here");
    }
    return TG_OK;
}

static enum tg_status read_weights(const struct reader *r, const struct tg_json *v,
                                   double weight[POL_FEATURES])
{
    struct reader inside = *r;
    const struct tg_json *weights = member(r, v, "weights");
    if (!weights)
        return TG_INVALID;
    if (!tg_json_is(weights, TG_JSON_OBJECT))
        return bad(r, "weights", "must be an object of features and their weights");
    snprintf(inside.path, sizeof(inside.path), "%.80s.weights", r->path);
    for (const struct tg_json *m = tg_json_first(weights); m; m = tg_json_next(m)) {
        int f = pol_feature_find(tg_str_of(tg_json_key(m)));
        if (f < 0)
            return bad(&inside, tg_json_key(m), "there is no feature of that name");
        enum tg_status status = read_number(&inside, weights, tg_json_key(m), -WEIGHT_MAX,
                                            WEIGHT_MAX, &weight[f]);
        if (status)
            return status;
    }
    return TG_OK;
}

/* 1 .. POL_MAP_POINTS_MAX numbers in [0, 1] that rise, or at least do not fall. */
static enum tg_status read_points(const struct reader *r, const struct tg_json *map,
                                  const char *name, bool may_stay, double *out, size_t *n)
{
    char cause[80];
    const struct tg_json *list = member(r, map, name);
    if (!list)
        return TG_INVALID;
    *n = tg_json_count(list);
    snprintf(cause, sizeof(cause), "must be a list of 1 to %d numbers", (int)POL_MAP_POINTS_MAX);
    if (!tg_json_is(list, TG_JSON_ARRAY) || *n == 0 || *n > POL_MAP_POINTS_MAX)
        return bad(r, name, cause);
    size_t i = 0;
    for (const struct tg_json *v = tg_json_first(list); v; v = tg_json_next(v), i++) {
        char at[32];
        snprintf(at, sizeof(at), "%s[%zu]", name, i);
        if (!tg_json_number(v, &out[i]) || !(out[i] >= 0 && out[i] <= 1))
            return bad(r, at, "must be a number from 0 to 1");
        if (i > 0 && (may_stay ? out[i] < out[i - 1] : out[i] <= out[i - 1]))
            return bad(r, at, may_stay ? "falls: it must not be below the one before"
                                       : "does not rise: it must be above the one before");
    }
    return TG_OK;
}

static enum tg_status read_isotonic(const struct reader *r, const struct tg_json *v,
                                    struct pol_map *map)
{
    static const char *const names[] = { "kind", "x", "y", NULL };
    size_t n_y = 0;
    enum tg_status status = check_members(r, v, names);
    map->kind = POL_MAP_ISOTONIC;
    if (status == TG_OK)
        status = read_points(r, v, "x", false, map->x, &map->n);
    if (status == TG_OK)
        status = read_points(r, v, "y", true, map->y, &n_y);
    if (status == TG_OK && n_y != map->n)
        return bad(r, "y", "must have as many numbers as x");
    return status;
}

static enum tg_status read_platt(const struct reader *r, const struct tg_json *v,
                                 struct pol_map *map)
{
    static const char *const names[] = { "kind", "a", "b", NULL };
    enum tg_status status = check_members(r, v, names);
    map->kind = POL_MAP_PLATT;
    if (status == TG_OK) /* a map that falls would turn the order around */
        status = read_number(r, v, "a", 0, WEIGHT_MAX, &map->a);
    if (status == TG_OK)
        status = read_number(r, v, "b", -WEIGHT_MAX, WEIGHT_MAX, &map->b);
    return status;
}

static enum tg_status read_map(const struct reader *r, const struct tg_json *v,
                               struct pol_map *map)
{
    static const char *const names[] = { "kind", NULL };
    struct reader inside = *r;
    struct tg_str kind = { 0 };
    const struct tg_json *found = member(r, v, "map");
    if (!found)
        return TG_INVALID;
    snprintf(inside.path, sizeof(inside.path), "%.80s.map", r->path);
    if (!tg_json_is(found, TG_JSON_OBJECT))
        return bad(&inside, "", "must be an object");
    if (!tg_json_string(tg_json_get(found, "kind"), &kind))
        return bad(&inside, "kind", "must be \"none\", \"platt\" or \"isotonic\"");
    if (tg_str_eq(kind, TG_STR("platt")))
        return read_platt(&inside, found, map);
    if (tg_str_eq(kind, TG_STR("isotonic")))
        return read_isotonic(&inside, found, map);
    if (!tg_str_eq(kind, TG_STR("none")))
        return bad(&inside, "kind", "must be \"none\", \"platt\" or \"isotonic\"");
    map->kind = POL_MAP_NONE;
    return check_members(&inside, found, names);
}

/* 2026-11-29 */
static enum tg_status read_made(const struct reader *r, const struct tg_json *v, char out[11])
{
    struct tg_str text;
    const struct tg_json *found = member(r, v, "made");
    if (!found)
        return TG_INVALID;
    if (!tg_json_string(found, &text) || text.n != 10 || !all_of(text, "0123456789-") ||
        text.p[4] != '-' || text.p[7] != '-')
        return bad(r, "made", "must be a date such as 2026-11-29");
    memcpy(out, text.p, text.n);
    out[text.n] = '\0';
    return TG_OK;
}

/* All but the key. */
static enum tg_status read_body(const struct reader *r, const struct tg_json *v,
                                struct pol_calibration *c)
{
    static const char *const names[] = { "model", "precision", "features", "span", "thinking",
                                         "made", "n", "right", "bias", "weights", "map", "ece",
                                         "ece_raw", NULL };
    enum tg_status status = check_members(r, v, names);
    if (status == TG_OK)
        status = read_made(r, v, c->made);
    if (status == TG_OK)
        status = read_whole(r, v, "n", 1, INT64_C(1) << 50, &c->n);
    if (status == TG_OK)
        status = read_whole(r, v, "right", 0, c->n, &c->right);
    if (status == TG_OK)
        status = read_number(r, v, "bias", -WEIGHT_MAX, WEIGHT_MAX, &c->bias);
    if (status == TG_OK)
        status = read_weights(r, v, c->weight);
    if (status == TG_OK)
        status = read_map(r, v, &c->map);
    if (status == TG_OK)
        status = read_number(r, v, "ece", 0, 1, &c->ece);
    if (status == TG_OK)
        status = read_number(r, v, "ece_raw", 0, 1, &c->ece_raw);
    return status;
}

static enum tg_status read_list(const struct tg_json *list, struct pol_calibration *out, size_t *n,
                                size_t *stale, struct tg_error *err)
{
    struct reader r = { .err = err };
    size_t i = 0;
    for (const struct tg_json *v = tg_json_first(list); v; v = tg_json_next(v), i++) {
        struct pol_calibration *c = &out[*n];
        snprintf(r.path, sizeof(r.path), "calibrations[%zu]", i);
        enum tg_status status = read_key(&r, v, &c->key);
        if (status)
            return status;
        if (c->key.features != POL_FEATURES_VERSION) {
            ++*stale;
            continue;
        }
        status = read_body(&r, v, c);
        if (status)
            return status;
        if (pol_calibration_find(out, *n, &c->key))
            return bad(&r, "", "has the key of one before it");
        ++*n;
    }
    return TG_OK;
}

enum tg_status pol_calibrations_parse(const struct tg_json *root, struct pol_calibration **out,
                                      size_t *n, size_t *stale, struct tg_error *err)
{
    static const char *const names[] = { "version", "calibrations", NULL };
    struct reader r = { .err = err };
    int64_t version;
    *out = NULL;
    *n = *stale = 0;
    if (!tg_json_is(root, TG_JSON_OBJECT))
        return tg_fail(err, TG_INVALID, "a file of calibrations must be an object");
    enum tg_status status = check_members(&r, root, names);
    if (status == TG_OK)
        status = read_whole(&r, root, "version", POL_CALIBRATION_FILE_VERSION,
                            POL_CALIBRATION_FILE_VERSION, &version);
    if (status)
        return status;
    const struct tg_json *list = tg_json_get(root, "calibrations");
    if (!tg_json_is(list, TG_JSON_ARRAY) || tg_json_count(list) > POL_CALIBRATIONS_MAX)
        return tg_fail(err, TG_INVALID, "calibrations: must be a list of at most %d",
                       (int)POL_CALIBRATIONS_MAX);
    *out = tg_calloc(tg_json_count(list) + 1, sizeof(**out));
    if (!*out)
        return tg_fail(err, TG_NOMEM, "out of memory for calibrations");
    status = read_list(list, *out, n, stale, err);
    if (status) {
        tg_free(*out);
        *out = NULL;
        *n = *stale = 0;
    }
    return status;
}

static void print_points(const char *name, const double *v, size_t n, struct tg_buf *out)
{
    tg_buf_addf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < n; i++)
        tg_buf_addf(out, "%s%.17g", i ? "," : "", v[i]);
    tg_buf_adds(out, "]");
}

static void print_map(const struct pol_map *map, struct tg_buf *out)
{
    static const char *const kinds[] = { "none", "platt", "isotonic" };
    tg_buf_addf(out, "{\"kind\":\"%s\"", kinds[map->kind]);
    if (map->kind == POL_MAP_PLATT)
        tg_buf_addf(out, ",\"a\":%.17g,\"b\":%.17g", map->a, map->b);
    if (map->kind == POL_MAP_ISOTONIC) {
        print_points("x", map->x, map->n, out);
        print_points("y", map->y, map->n, out);
    }
    tg_buf_adds(out, "}");
}

static void print_one(const struct pol_calibration *c, struct tg_buf *out)
{
    const struct pol_key *k = &c->key;
    const char *comma = "";
    tg_buf_addf(out,
                "{\"model\":\"%s\",\"precision\":\"%s\",\"features\":%d,\"span\":\"%s\","
                "\"thinking\":%s,\"made\":\"%s\",\"n\":%lld,\"right\":%lld,\"bias\":%.17g,"
                "\"weights\":{",
                k->model, k->exact ? "exact" : "fast", k->features, pol_span_name(k->span),
                k->thinking ? "true" : "false", c->made, (long long)c->n, (long long)c->right,
                c->bias);
    for (size_t f = 0; f < POL_FEATURES; f++) {
        if (!(fabs(c->weight[f]) > 0))
            continue;
        tg_buf_addf(out, "%s\"%s\":%.17g", comma, pol_feature_name((enum pol_feature)f),
                    c->weight[f]);
        comma = ",";
    }
    tg_buf_adds(out, "},\"map\":");
    print_map(&c->map, out);
    tg_buf_addf(out, ",\"ece\":%.6f,\"ece_raw\":%.6f}", c->ece, c->ece_raw);
}

enum tg_status pol_calibrations_print(const struct pol_calibration *list, size_t n,
                                      struct tg_buf *out)
{
    tg_buf_addf(out, "{\"version\":%d,\"calibrations\":[", (int)POL_CALIBRATION_FILE_VERSION);
    for (size_t i = 0; i < n; i++) {
        tg_buf_adds(out, i ? ",\n" : "\n");
        print_one(&list[i], out);
    }
    return tg_buf_adds(out, "\n]}\n");
}
