#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/buf.h"
#include "config/base/log.h"
#include "gateway/app.h"
#include "gateway/cmd.h"
#include "gateway/doctor.h"
#include "local_engine/gguf.h"

static const char usage[] =
    "usage: tollgate doctor [--config FILE] [--json] [--no-selftest]\n"
    "\n"
    "Looks at everything a gateway needs on this machine and says what is wrong and how to mend "
    "it:\n"
    "configuration, keys, port, TLS, folders, memory, devices, the model and whether it fits.\n"
    "Changes nothing; never prints a key. Exit status 1 when something fails, 0 otherwise.\n"
    "\n"
    "  --config FILE  the configuration. Default: config/default.json, where it is there\n"
    "  --json         one JSON object instead of lines\n"
    "  --no-selftest  do not let the device compute (that takes a second or two)\n";

static const char *const states[] = { "ok", "warn", "fail" };

void gw_check_add(struct gw_doctor *d, enum gw_check_state state, const char *area,
                  const char *remedy, const char *fmt, ...)
{
    if (d->n == GW_CHECKS_MAX)
        return;
    struct gw_check *c = &d->checks[d->n++];
    char text[sizeof(c->text)];
    va_list args;
    c->state = state;
    c->area = area;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    tg_log_mask(text); /* whatever an error repeated: no key */
    /* Names of files, processes and keys of a configuration may hold anything. */
    le_gguf_text_print(tg_str_of(text), c->text, sizeof(c->text));
    le_gguf_text_print(tg_str_of(remedy ? remedy : ""), c->remedy, sizeof(c->remedy));
}

static size_t count(const struct gw_doctor *d, enum gw_check_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < d->n; i++)
        n += d->checks[i].state == state;
    return n;
}

static void print_lines(const struct gw_doctor *d)
{
    static const char *const colours[] = { "\033[32m", "\033[33m", "\033[31m" };
    bool terminal = isatty(1) == 1;
    for (size_t i = 0; i < d->n; i++) {
        const struct gw_check *c = &d->checks[i];
        printf("%s%-4s%s  %-9s  %s\n", terminal ? colours[c->state] : "", states[c->state],
               terminal ? "\033[0m" : "", c->area, c->text);
        if (c->remedy[0])
            printf("                 -> %s\n", c->remedy);
    }
    size_t fails = count(d, GW_CHECK_FAIL), warns = count(d, GW_CHECK_WARN);
    if (fails)
        printf("\n%zu thing%s must be mended%s\n", fails, fails == 1 ? "" : "s",
               warns ? ", others are worth a look" : "");
    else
        printf("\n%s\n", warns ? "Nothing keeps the gateway from running; some things are worth a "
                                 "look"
                               : "All is well");
}

static enum tg_status print_json(const struct gw_doctor *d)
{
    struct tg_buf b;
    tg_buf_init(&b, 1 << 20);
    tg_buf_addf(&b, "{\"ok\":%s,\"checks\":[", count(d, GW_CHECK_FAIL) ? "false" : "true");
    for (size_t i = 0; i < d->n; i++) {
        const struct gw_check *c = &d->checks[i];
        tg_buf_addf(&b, "%s{\"area\":\"%s\",\"state\":\"%s\",\"text\":", i ? "," : "", c->area,
                    states[c->state]);
        tg_buf_add_json(&b, tg_str_of(c->text));
        tg_buf_adds(&b, ",\"remedy\":");
        tg_buf_add_json(&b, tg_str_of(c->remedy));
        tg_buf_adds(&b, "}");
    }
    tg_buf_adds(&b, "]}\n");
    enum tg_status status = b.failed;
    if (status == TG_OK)
        fwrite(b.p, 1, b.n, stdout);
    tg_buf_free(&b);
    return status;
}

/* The verdict of what `serve` would load; *out NULL when it would not. */
static void check_config(struct gw_doctor *d, const char *path, struct gw_snapshot **out)
{
    struct tg_error err = { 0 };
    *out = NULL;
    if (!path) {
        gw_check_add(d, GW_CHECK_WARN, "config", "name one with --config FILE",
                     "no configuration was given: defaults are looked at");
        return;
    }
    if (gw_snapshot_load(path, out, &err) != TG_OK) {
        *out = NULL;
        gw_check_add(d, GW_CHECK_FAIL, "config",
                     "config/README.md has every key, gateway/README.md what calibrations are",
                     "%s", err.text);
        return;
    }
    d->settings = (*out)->settings;
    gw_check_add(d, GW_CHECK_OK, "config", NULL, "%s: %zu route(s), %zu provider(s), prices of %s",
                 path, d->settings->n_routes, d->settings->n_providers,
                 d->settings->prices_version);
}

static int examine(struct gw_doctor *d, const char *path, bool json)
{
    struct cfg_survey *survey;
    struct gw_snapshot *snapshot;
    struct tg_error err = { 0 };
    cfg_survey(path, &survey, &err); /* what is wrong with the file, check_config says */
    if (!survey) {
        fprintf(stderr, "tollgate doctor: %s\n", err.text);
        return 1;
    }
    d->survey = survey;
    gw_check_add(d, GW_CHECK_OK, "program", NULL, "tollgate %s", TG_VERSION);
    check_config(d, path, &snapshot);
    gw_check_keys(d);
    gw_check_access(d);
    gw_check_port(d);
    gw_check_tls(d);
    gw_check_folders(d);
    gw_check_descriptors(d);
    gw_check_engine(d);
    enum tg_status status = TG_OK;
    if (json)
        status = print_json(d);
    else
        print_lines(d);
    gw_snapshot_unref(snapshot);
    cfg_survey_free(survey);
    if (status)
        fprintf(stderr, "tollgate doctor: %s\n", tg_status_name(status));
    return status || count(d, GW_CHECK_FAIL) ? 1 : 0;
}

int gw_cmd_doctor(int argc, char **argv)
{
    static const struct option options[] = { { "config", required_argument, NULL, 'c' },
                                             { "json", no_argument, NULL, 'j' },
                                             { "no-selftest", no_argument, NULL, 's' },
                                             { "help", no_argument, NULL, 'h' },
                                             { NULL, 0, NULL, 0 } };
    const char *config = access("config/default.json", R_OK) == 0 ? "config/default.json" : NULL;
    bool json = false, no_selftest = false;
    int letter;
    while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (letter == 'h')
            return fputs(usage, stdout) < 0;
        if (letter == 'c')
            config = optarg;
        else if (letter == 'j')
            json = true;
        else if (letter == 's')
            no_selftest = true;
        else
            return fputs(usage, stderr) < 0 ? 1 : 2;
    }
    if (optind < argc) {
        fprintf(stderr, "tollgate doctor: unexpected argument \"%s\"\n%s", argv[optind], usage);
        return 2;
    }
    tg_log_set_level(TG_LOG_ERROR); /* what is wrong stands in the report */
    struct gw_doctor *d = tg_calloc(1, sizeof(*d));
    if (!d) {
        fputs("tollgate doctor: out of memory\n", stderr);
        return 1;
    }
    d->no_selftest = no_selftest;
    int status = examine(d, config, json);
    tg_free(d);
    return status;
}
