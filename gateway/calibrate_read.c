#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/alloc.h"
#include "gateway/calibrate.h"
#include "policy/calibration_json.h"

struct gw_group *gw_groups_find(const struct gw_groups *g, const struct pol_key *key)
{
    for (size_t i = 0; i < g->n; i++)
        if (pol_key_equal(&g->group[i]->key, key))
            return g->group[i];
    return NULL;
}

void gw_groups_free(struct gw_groups *g)
{
    for (size_t i = 0; i < g->n; i++) {
        tg_free(g->group[i]->examples);
        tg_free(g->group[i]->fit);
        tg_free(g->group[i]->ablation);
        tg_free(g->group[i]);
    }
    *g = (struct gw_groups){ 0 };
}

/* NULL with err filled. */
static struct gw_group *group_of(struct gw_groups *g, const struct pol_key *key,
                                 struct tg_error *err)
{
    struct gw_group *group = gw_groups_find(g, key);
    if (group)
        return group;
    if (g->n == GW_EXAMPLE_KEYS_MAX)
        tg_fail(err, TG_LIMIT, "more than %d different keys", (int)GW_EXAMPLE_KEYS_MAX);
    else if (!(group = tg_calloc(1, sizeof(*group))))
        tg_fail(err, TG_NOMEM, "out of memory");
    if (!group)
        return NULL;
    group->key = *key;
    g->group[g->n++] = group;
    return group;
}

static enum tg_status keep(struct gw_groups *g, const struct pol_key *key,
                           const struct pol_example *e, struct tg_error *err)
{
    if (g->examples == GW_EXAMPLES_MAX)
        return tg_fail(err, TG_LIMIT, "more than %d examples", (int)GW_EXAMPLES_MAX);
    struct gw_group *group = group_of(g, key, err);
    if (!group)
        return err->code;
    if (group->n == group->cap) {
        size_t cap = group->cap ? group->cap * 2 : 256;
        struct pol_example *more = tg_realloc_array(group->examples, cap, sizeof(*more));
        if (!more)
            return tg_fail(err, TG_NOMEM, "out of memory");
        group->examples = more;
        group->cap = cap;
    }
    group->examples[group->n++] = *e;
    g->examples++;
    return TG_OK;
}

static enum tg_status read_features(const struct tg_json *v, struct pol_features *f,
                                    struct tg_error *err)
{
    if (!tg_json_is(v, TG_JSON_OBJECT))
        return tg_fail(err, TG_INVALID, "features: must be an object of the features' values");
    if (tg_json_count(v) == 0)
        return tg_fail(err, TG_INVALID, "features: are empty: the local answer had no token that "
                                        "counts: leave the line out");
    for (const struct tg_json *m = tg_json_first(v); m; m = tg_json_next(m))
        if (pol_feature_find(tg_str_of(tg_json_key(m))) < 0)
            return tg_fail(err, TG_INVALID, "features.%.80s: there is no feature of that name",
                           tg_json_key(m));
    for (size_t i = 0; i < POL_FEATURES; i++) {
        const char *name = pol_feature_name((enum pol_feature)i);
        const struct tg_json *m = tg_json_get(v, name);
        if (!m)
            return tg_fail(err, TG_INVALID, "features.%s: is missing", name);
        if (!tg_json_number(m, &f->v[i]) || !(f->v[i] >= 0 && f->v[i] <= 1))
            return tg_fail(err, TG_INVALID, "features.%s: must be a number from 0 to 1", name);
    }
    f->known = true;
    return TG_OK;
}

static enum tg_status read_example(const struct tg_json *root, struct gw_groups *g,
                                   struct tg_error *err)
{
    struct pol_key key;
    struct pol_example e = { 0 };
    int64_t label;
    if (!tg_json_is(root, TG_JSON_OBJECT))
        return tg_fail(err, TG_INVALID, "must be an object with key, features and label");
    enum tg_status status = pol_key_parse(tg_json_get(root, "key"), "key", &key, err);
    if (status)
        return status;
    if (key.features != POL_FEATURES_VERSION)
        return tg_fail(err, TG_INVALID,
                       "key.features: these features are of version %d, this program computes "
                       "version %d: ask the prompts again",
                       key.features, (int)POL_FEATURES_VERSION);
    status = read_features(tg_json_get(root, "features"), &e.features, err);
    if (status)
        return status;
    if (!tg_json_int(tg_json_get(root, "label"), &label) || (label != 0 && label != 1))
        return tg_fail(err, TG_INVALID,
                       "label: must be 1 (local is right, or the cloud is wrong too) or 0");
    e.right = label == 1;
    return keep(g, &key, &e, err);
}

static enum tg_status read_line(struct tg_str line, struct gw_groups *g, struct tg_error *err)
{
    struct tg_json *root = NULL;
    if (tg_str_trim(line).n == 0)
        return TG_OK;
    if (line.n > GW_EXAMPLE_LINE_MAX)
        return tg_fail(err, TG_LIMIT, "is above %d bytes", (int)GW_EXAMPLE_LINE_MAX);
    enum tg_status status = tg_json_parse(line, &root, err);
    if (status == TG_OK)
        status = read_example(root, g, err);
    tg_json_free(root);
    return status;
}

/* Up to the end of a line, which is not part of it, or of the file; nothing longer is kept than the
 * longest line and one byte. False: the end was reached before. */
static bool next_line(FILE *from, char *line, size_t *n)
{
    int c = getc(from);
    *n = 0;
    if (c == EOF)
        return false;
    for (; c != EOF && c != '\n' && *n <= GW_EXAMPLE_LINE_MAX; c = getc(from))
        line[(*n)++] = (char)c;
    return true;
}

enum tg_status gw_groups_read(const char *path, struct gw_groups *out, struct tg_error *err)
{
    bool standard = strcmp(path, "-") == 0;
    const char *name = standard ? "standard input" : path;
    FILE *from = standard ? stdin : fopen(path, "re");
    char *line = from ? tg_alloc(GW_EXAMPLE_LINE_MAX + 2) : NULL;
    enum tg_status status = TG_OK;
    size_t number = 0, n;
    *out = (struct gw_groups){ 0 };
    if (!from)
        return tg_fail(err, errno == ENOENT ? TG_NOTFOUND : TG_IO, "%s: %s", name,
                       strerror(errno));
    if (!line)
        status = tg_fail(err, TG_NOMEM, "%s: out of memory", name);
    while (status == TG_OK && next_line(from, line, &n)) {
        struct tg_error cause = { 0 };
        number++;
        status = read_line((struct tg_str){ line, n }, out, &cause);
        if (status)
            tg_fail(err, status, "%s, line %zu: %.400s", name, number, cause.text);
    }
    if (status == TG_OK && ferror(from))
        status = tg_fail(err, TG_IO, "%s: %s", name, strerror(errno));
    if (status == TG_OK && out->examples == 0)
        status = tg_fail(err, TG_INVALID, "%s: there is no example in it", name);
    if (!standard)
        fclose(from);
    tg_free(line);
    if (status)
        gw_groups_free(out);
    return status;
}
