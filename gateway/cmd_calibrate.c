#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "config/base/alloc.h"
#include "config/base/log.h"
#include "gateway/calibrate.h"
#include "gateway/calibrations.h"
#include "gateway/cmd.h"
#include "gateway/files.h"
#include "gateway/find_dir.h"
#include "policy/confidence.h"

static const char usage[] =
    "usage: tollgate calibrate --from FILE|- [--test FILE] [--ablate] [--json] [--dry-run]\n"
    "                          [--out FILE | --config FILE | --data-dir DIR]\n"
    "\n"
    "Makes confidence a probability: fits a calibration to answers of the local model that\n"
    "were judged, one for each key, and puts it into the file that the gateway reads at its\n"
    "start and at SIGHUP. Figures are of examples that were held out.\n"
    "\n"
    "  --from FILE     JSON lines {\"key\":{...},\"features\":{...},\"label\":0|1}: key and\n"
    "                  features as `x-tollgate-explain: true` gives them, label 1 where the\n"
    "                  local answer is right or the cloud's is wrong too. - is standard input\n"
    "  --test FILE     more of them, to judge the result by\n"
    "  --out FILE      the file of calibrations. Default: calibration.json in dataDir\n"
    "  --config FILE   read dataDir from it. Default: config/default.json\n"
    "  --data-dir DIR  the folder of that file\n"
    "  --ablate        what each feature is worth: without it, and with it alone (slow)\n"
    "  --json          one JSON object instead of tables\n"
    "  --dry-run       write nothing\n";

struct calibrate_options {
    const char *from, *test, *out, *config, *dir;
    bool ablate, json, dry;
};

/* 0: go on; else the exit status plus one. */
static int read_options(int argc, char **argv, struct calibrate_options *o)
{
    static const struct option options[] = {
        { "from", required_argument, NULL, 'f' }, { "test", required_argument, NULL, 't' },
        { "out", required_argument, NULL, 'o' },  { "config", required_argument, NULL, 'c' },
        { "data-dir", required_argument, NULL, 'd' }, { "ablate", no_argument, NULL, 'a' },
        { "json", no_argument, NULL, 'j' },       { "dry-run", no_argument, NULL, 'n' },
        { "help", no_argument, NULL, 'h' },       { NULL, 0, NULL, 0 },
    };
    int letter;
    while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
        const char **text = letter == 'f'   ? &o->from
                            : letter == 't' ? &o->test
                            : letter == 'o' ? &o->out
                            : letter == 'c' ? &o->config
                            : letter == 'd' ? &o->dir
                                            : NULL;
        bool *flag = letter == 'a' ? &o->ablate : letter == 'j' ? &o->json
                                              : letter == 'n'   ? &o->dry
                                                                : NULL;
        if (text)
            *text = optarg;
        else if (flag)
            *flag = true;
        else if (letter == 'h')
            return fputs(usage, stdout) < 0 ? 2 : 1;
        else
            return fputs(usage, stderr) < 0 ? 2 : 3;
    }
    if (o->from && optind == argc)
        return 0;
    if (optind < argc)
        fprintf(stderr, "tollgate calibrate: unexpected argument \"%s\"\n", argv[optind]);
    else
        fputs("tollgate calibrate: --from is missing\n", stderr);
    fputs(usage, stderr);
    return 3;
}

/* --- fitting ----------------------------------------------------------------- */

/* The default against p, both of n examples. */
static enum tg_status judge(const struct gw_group *g, const double *p, struct gw_judged *out)
{
    double *raw = tg_calloc(g->n, sizeof(*raw));
    bool *right = tg_calloc(g->n, sizeof(*right));
    enum tg_status status = raw && right ? TG_OK : TG_NOMEM;
    for (size_t i = 0; status == TG_OK && i < g->n; i++) {
        raw[i] = pol_confidence_default(&g->examples[i].features, g->key.span);
        right[i] = g->examples[i].right;
    }
    if (status == TG_OK)
        status = pol_quality(raw, right, g->n, &out->raw);
    if (status == TG_OK)
        status = pol_quality(p, right, g->n, &out->fitted);
    if (status == TG_OK) {
        pol_reliability(raw, right, g->n, out->raw_bin);
        pol_reliability(p, right, g->n, out->fitted_bin);
    }
    tg_free(raw);
    tg_free(right);
    return status;
}

/* Every feature missing, and every feature alone; nothing is eliminated. */
static enum tg_status ablate(struct gw_group *g, struct tg_error *err)
{
    struct pol_fit *fit = tg_calloc(1, sizeof(*fit));
    enum tg_status status = TG_NOMEM;
    g->ablation = tg_calloc(POL_FEATURES, sizeof(*g->ablation));
    if (fit && g->ablation)
        status = TG_OK;
    else
        tg_fail(err, status, "out of memory");
    for (size_t f = 0; status == TG_OK && f <= POL_FEATURES; f++) {
        struct pol_fit_options without = { .eliminate = false }, alone = { .eliminate = false };
        for (size_t k = 0; k < POL_FEATURES; k++) {
            without.use[k] = k != f; /* behind the last: all of them */
            alone.use[k] = k == f;
        }
        status = pol_fit(g->examples, g->n, g->key.span, &without, fit, NULL, err);
        *(f < POL_FEATURES ? &g->ablation[f].without : &g->all) = fit->held;
        if (status || f == POL_FEATURES)
            break;
        status = pol_fit(g->examples, g->n, g->key.span, &alone, fit, NULL, err);
        g->ablation[f].alone = fit->held;
    }
    tg_free(fit);
    return status;
}

static void date(char out[11])
{
    time_t now = time(NULL);
    struct tm tm;
    if (!gmtime_r(&now, &tm) || strftime(out, 11, "%Y-%m-%d", &tm) == 0)
        snprintf(out, 11, "1970-01-01");
}

/* Too few examples of one key are no error of the command: g->refused says so. */
static enum tg_status fit_group(struct gw_group *g, bool with_ablation, struct tg_error *err)
{
    struct pol_fit_options options = { .eliminate = true };
    for (size_t f = 0; f < POL_FEATURES; f++)
        options.use[f] = true;
    enum tg_status status = pol_fit_enough(g->examples, g->n, &g->refused);
    if (status)
        return status == TG_INVALID ? TG_OK : tg_fail(err, status, "%s", g->refused.text);
    double *held = tg_calloc(g->n, sizeof(*held));
    g->fit = tg_calloc(1, sizeof(*g->fit));
    if (!held || !g->fit)
        status = tg_fail(err, TG_NOMEM, "out of memory");
    if (status == TG_OK)
        status = pol_fit(g->examples, g->n, g->key.span, &options, g->fit, held, err);
    if (status == TG_OK) {
        g->fit->calibration.key = g->key;
        date(g->fit->calibration.made);
        status = judge(g, held, &g->held);
        if (status)
            tg_fail(err, status, "out of memory");
    }
    if (status == TG_OK && with_ablation)
        status = ablate(g, err);
    tg_free(held);
    return status;
}

static enum tg_status test_group(struct gw_group *g, const struct gw_group *test,
                                 struct tg_error *err)
{
    double *p = tg_calloc(test->n, sizeof(*p));
    enum tg_status status = p ? TG_OK : TG_NOMEM;
    for (size_t i = 0; p && i < test->n; i++)
        p[i] = pol_calibration_apply(&g->fit->calibration, &test->examples[i].features);
    if (status == TG_OK)
        status = judge(test, p, &g->test);
    g->tested = status == TG_OK;
    tg_free(p);
    return status ? tg_fail(err, status, "out of memory") : TG_OK;
}

static enum tg_status fit_all(struct gw_groups *g, const struct gw_groups *test, bool with_ablation,
                              struct tg_error *err)
{
    enum tg_status status = TG_OK;
    size_t fitted = 0;
    for (size_t i = 0; status == TG_OK && i < g->n; i++) {
        status = fit_group(g->group[i], with_ablation, err);
        struct gw_group *other = gw_groups_find(test, &g->group[i]->key);
        if (status == TG_OK && other && g->group[i]->fit)
            status = test_group(g->group[i], other, err);
        fitted += g->group[i]->fit != NULL;
    }
    if (status == TG_OK && fitted == 0)
        return tg_fail(err, TG_INVALID, "%s%s", g->group[0]->refused.text,
                       g->n > 1 ? ", and no other key has enough either" : "");
    return status;
}

/* --- writing ----------------------------------------------------------------- */

#define ELSEWHERE "--config FILE, --data-dir DIR or --out FILE names another place"

static enum tg_status with_remedy(enum tg_status status, struct tg_error *err)
{
    struct tg_error cause = *err;
    if (status == TG_OK || status == TG_NOMEM)
        return status;
    return tg_fail(err, status, "%.380s; " ELSEWHERE, cause.text);
}

/* Where to; *owned is to be freed. */
static enum tg_status choose_file(struct calibrate_options *o, char **owned, struct tg_error *err)
{
    struct cfg_survey *survey = NULL;
    *owned = NULL;
    if (o->out || o->dry)
        return TG_OK;
    if (!o->dir) {
        enum tg_status status = gw_find_dir(o->config, &survey, err);
        if (status) {
            cfg_survey_free(survey);
            return with_remedy(status, err);
        }
    }
    *owned = gw_calibrations_of_dir(o->dir ? o->dir : survey->data_dir);
    cfg_survey_free(survey);
    o->out = *owned;
    return o->out ? TG_OK : tg_fail(err, TG_NOMEM, "out of memory");
}

/* Before anything is fitted, which takes a while: what is there can be read and replaced. */
static enum tg_status look_ahead(const char *path, struct tg_error *err)
{
    struct gw_calibrations old = { 0 };
    enum tg_status status = gw_calibrations_add(&old, path, err);
    gw_calibrations_free(&old);
    if (status == TG_OK)
        status = gw_file_can_write(path, err);
    return with_remedy(status, err);
}

/* Locked: what another run has put into it meanwhile stays. */
static enum tg_status merge_locked(const struct gw_groups *g, const char *path,
                                   struct tg_error *err)
{
    struct gw_calibrations all = { 0 };
    enum tg_status status = gw_calibrations_add(&all, path, err);
    for (size_t i = 0; status == TG_OK && i < g->n; i++)
        if (g->group[i]->fit)
            status = gw_calibrations_put(&all, &g->group[i]->fit->calibration, err);
    if (status == TG_OK)
        status = gw_calibrations_write(&all, path, err);
    if (status == TG_OK && all.stale)
        fprintf(stderr, "tollgate calibrate: %zu of another version of the features were dropped "
                        "from %s\n", all.stale, path);
    gw_calibrations_free(&all);
    return status;
}

static enum tg_status write_all(const struct gw_groups *g, const char *path, struct tg_error *err)
{
    struct gw_file_lock lock;
    enum tg_status status = gw_file_lock(path, &lock, err);
    if (status == TG_OK)
        status = merge_locked(g, path, err);
    gw_file_unlock(&lock);
    return status == TG_INVALID ? status : with_remedy(status, err);
}

/* --- telling ----------------------------------------------------------------- */

/* Keys of one file that the other has not: those are not judged. */
static void tell_missing(const struct gw_groups *has, const struct gw_groups *lacks,
                         const char *which, const char *other)
{
    for (size_t i = 0; i < has->n; i++) {
        char key[GW_KEY_TEXT];
        gw_calibrate_key(&has->group[i]->key, key);
        if (!gw_groups_find(lacks, &has->group[i]->key))
            fprintf(stderr, "tollgate calibrate: %s has no example of %s, which %s has: that is "
                            "not judged by --test\n", which, key, other);
    }
}

/* Whatever became of writing: the figures took a while. */
static void show(const struct calibrate_options *o, const struct gw_groups *from,
                 const struct gw_groups *test, const struct tg_error *failure)
{
    const struct gw_outcome outcome = {
        .written = o->dry || failure ? NULL : o->out,
        .failure = failure ? failure->text : NULL,
        .test = o->test != NULL,
    };
    (o->json ? gw_calibrate_json : gw_calibrate_tables)(from, &outcome, stdout);
    if (!o->test)
        return;
    tell_missing(from, test, "--test", "--from");
    tell_missing(test, from, "--from", "--test");
}

int gw_cmd_calibrate(int argc, char **argv)
{
    struct calibrate_options o = { 0 };
    struct gw_groups from = { 0 }, test = { 0 };
    struct tg_error err = { 0 };
    char *path = NULL;
    tg_log_set_level(TG_LOG_ERROR); /* what serve warns of is not asked for here */
    int ended = read_options(argc, argv, &o);
    if (ended)
        return ended - 1;
    enum tg_status status = choose_file(&o, &path, &err);
    if (status == TG_OK && !o.dry)
        status = look_ahead(o.out, &err);
    if (status == TG_OK)
        status = gw_groups_read(o.from, &from, &err);
    if (status == TG_OK && o.test)
        status = gw_groups_read(o.test, &test, &err);
    if (status == TG_OK)
        status = fit_all(&from, &test, o.ablate, &err);
    if (status == TG_OK) {
        status = o.dry ? TG_OK : write_all(&from, o.out, &err);
        show(&o, &from, &test, status ? &err : NULL);
    }
    if (status)
        fprintf(stderr, "tollgate calibrate: %s\n", err.text);
    gw_groups_free(&from);
    gw_groups_free(&test);
    tg_free(path);
    return status == TG_OK ? 0 : 1;
}
