#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/log.h"
#include "gateway/cmd.h"
#include "gateway/find_dir.h"
#include "telemetry/store.h"

static const char usage[] =
    "usage: tollgate report [--config FILE | --data-dir DIR] [--period day|week|month | --last "
    "TIME]\n"
    "                       [--json]\n"
    "\n"
    "Totals of a period: requests, share answered locally, cost, savings, mean confidence; then "
    "by\n"
    "route and by backend. Works beside a running gateway.\n"
    "\n"
    "  --config FILE     read dataDir and timeZone from it. Default: config/default.json\n"
    "  --data-dir DIR    the folder of the databases\n"
    "  --period P        the calendar day, week or month that is running. Default: month\n"
    "  --last TIME       the time up to now instead, such as 24h or 30d\n"
    "  --json            one JSON object instead of tables\n";

struct report_options {
    const char *config, *dir, *zone;
    enum cfg_period period;
    int64_t last_ms; /* 0: the calendar period */
    bool json;
};

static bool read_period(const char *name, enum cfg_period *out)
{
    static const char *const names[] = { "day", "week", "month" };
    static const enum cfg_period periods[] = { CFG_PERIOD_DAY, CFG_PERIOD_WEEK, CFG_PERIOD_MONTH };
    for (size_t i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = periods[i];
            return true;
        }
    return false;
}

/* 0: go on; else the exit status plus one. */
static int read_options(int argc, char **argv, struct report_options *o)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' },
        { "data-dir", required_argument, NULL, 'd' },
        { "period", required_argument, NULL, 'p' },
        { "last", required_argument, NULL, 'l' },
        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    int letter;
    bool fine = true;
    while (fine && (letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (letter == 'h') {
            fputs(usage, stdout);
            return 1;
        }
        if (letter == 'c')
            o->config = optarg;
        else if (letter == 'd')
            o->dir = optarg;
        else if (letter == 'p')
            fine = read_period(optarg, &o->period);
        else if (letter == 'l')
            fine = tg_parse_duration_ms(tg_str_of(optarg), &o->last_ms) && o->last_ms > 0;
        else if (letter == 'j')
            o->json = true;
        else
            fine = false;
    }
    if (fine && optind == argc)
        return 0;
    if (!fine && (letter == 'p' || letter == 'l'))
        fprintf(stderr, "tollgate report: --%s %s: %s\n", letter == 'p' ? "period" : "last", optarg,
                letter == 'p' ? "day, week or month was expected"
                              : "a time such as 24h or 30d was "
                                "expected");
    else if (optind < argc)
        fprintf(stderr, "tollgate report: unexpected argument \"%s\"\n", argv[optind]);
    fputs(usage, stderr);
    return 3;
}

int gw_cmd_report(int argc, char **argv)
{
    struct report_options o = { .zone = "UTC", .period = CFG_PERIOD_MONTH };
    tg_log_set_level(TG_LOG_ERROR); /* what serve warns of is not asked for here */
    int ended = read_options(argc, argv, &o);
    if (ended)
        return ended - 1;
    struct cfg_survey *survey = NULL;
    struct tg_error err = { 0 };
    enum tg_status status = TG_OK;
    if (!o.dir) {
        status = gw_find_dir(o.config, &survey, &err);
        if (status == TG_OK) {
            o.dir = survey->data_dir;
            o.zone = survey->time_zone;
        }
    }
    int64_t now = tg_wall_ms(), since = now - o.last_ms, until = now + 1;
    if (status == TG_OK && !o.last_ms)
        tel_period(o.period, o.zone, now, &since, &until);
    if (status == TG_OK)
        status = tel_report(o.dir, since, until, o.json, stdout, &err);
    if (status)
        fprintf(stderr, "tollgate report: %s%s\n", err.text,
                status == TG_NOTFOUND && o.dir ? ": no gateway has run on this dataDir; --config "
                                                 "FILE names another" : "");
    cfg_survey_free(survey);
    return status == TG_OK ? 0 : 1;
}
