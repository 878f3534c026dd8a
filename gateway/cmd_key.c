#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/log.h"
#include "gateway/cmd.h"
#include "gateway/find_dir.h"
#include "gateway/key_fields.h"
#include "local_engine/gguf.h"

static const char usage[] =
    "usage: tollgate key create --name NAME [LIMITS] [--json]\n"
    "       tollgate key list [--json]\n"
    "       tollgate key update ID LIMITS [--json]\n"
    "       tollgate key rotate ID [--overlap TIME] [--json]\n"
    "       tollgate key revoke ID [--json]\n"
    "\n"
    "API keys: who may ask this gateway, for what, and how much. While there is none, it serves\n"
    "its own machine only; from the first one on, everybody needs one. A gateway that runs knows\n"
    "a change within a second. A key is shown once, when it is made: keep it then.\n"
    "\n"
    "LIMITS; what is not given stays as it is, or is without a limit:\n"
    "  --routes a,b         routes that requests may name (\"local\" too), and nothing else\n"
    "  --models p/m,p/n     PROVIDER/MODEL that they may name; with --routes: these as well\n"
    "  --local-only[=false] nothing that it asks ever leaves this machine\n"
    "  --budget '$20/month' what may be paid for it (day, week, month); routes keep theirs\n"
    "  --rpm 60             requests a minute\n"
    "  --tpm 100000         tokens a minute, of prompts and answers together\n"
    "  --concurrent 4       requests at once\n"
    "  --tags a,b           for tag('a') in triggers\n"
    "  --expires 30d        or a date: 2027-01-31\n"
    "  Lists are emptied with '', limits with none, --expires with never.\n"
    "\n"
    "  --overlap TIME       how long the old key works after a rotation. Default: 24h; 0s: not\n"
    "  --config FILE        what serve is started with: dataDir is read from it.\n"
    "                       Default: config/default.json\n"
    "  --data-dir DIR       the folder of the databases\n"
    "  --json               one JSON object\n"
    "\n"
    "Example: KEY=$(tollgate key create --config FILE --name shop --budget '$20/month')\n"
    "Only the key itself goes to standard output.\n";

struct key_options {
    const char *config, *dir;
    bool json;
    struct tel_key_op op;
};

static int fail(const char *text)
{
    fprintf(stderr, "tollgate key: %s\n", text);
    return 1;
}

/* --- options --- */

enum { OPT_CONFIG = 1, OPT_DIR, OPT_JSON, OPT_OVERLAP, OPT_HELP, OPT_FIELD };

static const struct option long_options[] = {
    { "config", required_argument, NULL, OPT_CONFIG },
    { "data-dir", required_argument, NULL, OPT_DIR },
    { "json", no_argument, NULL, OPT_JSON },
    { "overlap", required_argument, NULL, OPT_OVERLAP },
    { "help", no_argument, NULL, OPT_HELP },
    { "name", required_argument, NULL, OPT_FIELD },
    { "routes", required_argument, NULL, OPT_FIELD },
    { "models", required_argument, NULL, OPT_FIELD },
    { "tags", required_argument, NULL, OPT_FIELD },
    { "local-only", optional_argument, NULL, OPT_FIELD },
    { "budget", required_argument, NULL, OPT_FIELD },
    { "rpm", required_argument, NULL, OPT_FIELD },
    { "tpm", required_argument, NULL, OPT_FIELD },
    { "concurrent", required_argument, NULL, OPT_FIELD },
    { "expires", required_argument, NULL, OPT_FIELD },
    { NULL, 0, NULL, 0 },
};

static bool set_field(struct key_options *o, const char *option, const char *text,
                      struct tg_error *err)
{
    const char *field = strcmp(option, "local-only") == 0 ? "local_only" : option;
    return gw_key_set(&o->op.spec, field, tg_str_of(text ? text : "true"), tg_wall_ms(), err) ==
           TG_OK;
}

/* 0: go on; else the exit status plus one. */
static int read_options(int argc, char **argv, struct key_options *o)
{
    int letter, at = 0;
    struct tg_error err;
    o->op.overlap_ms = TEL_KEY_OVERLAP_MS;
    while ((letter = getopt_long(argc, argv, "", long_options, &at)) != -1) {
        if (letter == OPT_HELP)
            return fputs(usage, stdout) < 0 ? 2 : 1;
        if (letter == OPT_CONFIG)
            o->config = optarg;
        else if (letter == OPT_DIR)
            o->dir = optarg;
        else if (letter == OPT_JSON)
            o->json = true;
        else if (letter == OPT_OVERLAP && tg_parse_duration_ms(tg_str_of(optarg),
                                                               &o->op.overlap_ms))
            continue;
        else if (letter == OPT_OVERLAP)
            return fail("overlap: must be a time such as 24h, or 0s") + 2;
        else if (letter != OPT_FIELD)
            return fputs(usage, stderr) < 0 ? 2 : 3;
        else if (!set_field(o, long_options[at].name, optarg, &err))
            return fail(err.text) + 2;
    }
    return 0;
}

/* --- where and what --- */

/* The folder; *settings is the configuration where it is in order, or NULL. */
static const char *find_dir(struct key_options *o, struct cfg_survey **survey,
                            struct cfg_settings **settings, struct tg_error *err)
{
    struct tg_error cause;
    if (o->dir)
        return o->dir;
    if (gw_find_dir(o->config, survey, err) != TG_OK)
        return NULL;
    if ((*survey)->path && cfg_load((*survey)->path, settings, &cause) != TG_OK) {
        *settings = NULL;
        if (o->op.spec.set & (TEL_KEY_ROUTES | TEL_KEY_MODELS))
            fprintf(stderr, "names of routes and models were not checked: %s\n", cause.text);
    }
    return (*survey)->data_dir;
}

/* Text of a file may hold anything; a terminal would obey it. */
static void print_text(FILE *out, const char *title, struct tg_str text)
{
    char plain[4 * TEL_KEY_NAME_MAX];
    le_gguf_text_print(text, plain, sizeof(plain));
    fprintf(out, "%s%s", title, plain);
}

static void print_limits(FILE *out, const struct tel_api_key *k)
{
    char text[64];
    if (k->routes.n)
        print_text(out, "  routes ", k->routes);
    if (k->models.n)
        print_text(out, "  models ", k->models);
    if (k->local_only)
        fprintf(out, "  local only");
    gw_key_print_budget(k, text);
    if (k->has_budget)
        fprintf(out, "  %s", text);
    if (k->rpm)
        fprintf(out, "  %u requests/min", k->rpm);
    if (k->tpm)
        fprintf(out, "  %u tokens/min", k->tpm);
    if (k->concurrent)
        fprintf(out, "  %u at once", k->concurrent);
    if (k->tags.n)
        print_text(out, "  tags ", k->tags);
}

static void print_row(FILE *out, const struct tel_api_key *k, int64_t now_ms)
{
    char time[32];
    fprintf(out, "%-16s  %-9s  %-7s", k->id, k->prefix,
            gw_key_state_name(tel_key_state(k, now_ms)));
    print_text(out, "  ", k->name);
    print_limits(out, k);
    gw_key_print_time(k->expires_ms, time);
    if (k->expires_ms)
        fprintf(out, "  expires %s", time);
    gw_key_print_time(k->old_until_ms, time);
    if (k->old_until_ms > now_ms)
        fprintf(out, "  old key until %s", time);
    fprintf(out, "\n");
}

static int print_all(const struct tel_keys *keys, const char *dir, bool json)
{
    int64_t now_ms = tg_wall_ms();
    if (!json) {
        if (keys->n == 0)
            printf("no keys in %s: its gateway serves its own machine only, without one\n", dir);
        else
            printf("%-16s  %-9s  %-7s  %s\n", "ID", "begins", "state", "name and limits");
        for (size_t i = 0; i < keys->n; i++)
            print_row(stdout, &keys->key[i], now_ms);
        return 0;
    }
    printf("{\"keys\":[");
    for (size_t i = 0; i < keys->n; i++) {
        struct tg_buf out;
        tg_buf_init(&out, 1 << 16);
        bool fine = gw_key_print(&keys->key[i], NULL, now_ms, &out) == TG_OK;
        if (fine)
            printf("%s%s", i ? ",\n" : "\n", out.p);
        tg_buf_free(&out);
        if (!fine)
            return fail("out of memory");
    }
    printf("]}\n");
    return 0;
}

/* Standard output has the key alone, for KEY=$(tollgate key create ...); people read the rest. */
static int print_done(const struct tel_key_op *op, const struct tel_keys *after, const char *dir,
                      bool json)
{
    const struct tel_api_key *k = tel_keys_by_id(after, tg_str_of(op->id));
    int64_t now_ms = tg_wall_ms();
    if (!k)
        return fail("the key is gone again: somebody else changed the file");
    if (json) {
        struct tg_buf out;
        tg_buf_init(&out, 1 << 16);
        bool fine = gw_key_print(k, op->secret[0] ? op->secret : NULL, now_ms, &out) == TG_OK;
        if (fine)
            printf("%s\n", out.p);
        tg_buf_free(&out);
        return fine ? 0 : fail("out of memory");
    }
    if (op->secret[0]) {
        printf("%s\n", op->secret);
        fflush(stdout);
        fprintf(stderr, "\nThis is the key, shown this once: send it as Authorization: Bearer, "
                        "or as x-api-key.\n");
    }
    print_row(op->secret[0] ? stderr : stdout, k, now_ms);
    if (op->kind == TEL_KEY_CREATE)
        fprintf(stderr, "It opens the gateway whose dataDir is %s, and no other.\n", dir);
    if (op->kind == TEL_KEY_REVOKE)
        printf("It opens nothing any more; requests that run are finished.\n");
    return 0;
}

static int change(struct key_options *o, const char *dir, const struct cfg_settings *settings)
{
    struct tel_keys *after = NULL;
    struct tg_error err = { 0 };
    enum tg_status status = tel_key_check(&o->op.spec, tg_wall_ms(), &err);
    if (!status && settings)
        status = gw_key_check_names(&o->op.spec, settings, &err);
    if (!status)
        status = tel_key_do(dir, &o->op, &after, &err);
    int code = status ? fail(err.text) : print_done(&o->op, after, dir, o->json);
    explicit_bzero(o->op.secret, sizeof(o->op.secret));
    tel_keys_unref(after);
    return code;
}

static int list(const char *dir, bool json)
{
    struct tel_keys *keys;
    struct tg_error err = { 0 };
    if (tel_keys_load(dir, &keys, &err) != TG_OK)
        return fail(err.text);
    int code = print_all(keys, dir, json);
    tel_keys_unref(keys);
    return code;
}

/* Which of the five; false: said. */
static bool read_command(int argc, char **argv, struct key_options *o, bool *lists)
{
    static const struct {
        const char *name;
        enum tel_key_op_kind kind;
        bool id, fields;
    } commands[] = {
        { "create", TEL_KEY_CREATE, false, true }, { "update", TEL_KEY_UPDATE, true, true },
        { "rotate", TEL_KEY_ROTATE, true, false }, { "revoke", TEL_KEY_REVOKE, true, false },
        { "list", TEL_KEY_CREATE, false, false },
    };
    const char *name = optind < argc ? argv[optind++] : "";
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        if (strcmp(name, commands[i].name) != 0)
            continue;
        *lists = i == 4;
        o->op.kind = commands[i].kind;
        const char *id = commands[i].id && optind < argc ? argv[optind++] : "";
        if (commands[i].id && strlen(id) != TEL_KEY_ID)
            fprintf(stderr, "tollgate key %s: needs the ID of a key, such as key_0123456789ab: "
                            "`tollgate key list` tells them\n", name);
        else if (optind < argc)
            fprintf(stderr, "tollgate key %s: unexpected argument \"%s\"\n", name, argv[optind]);
        else if (o->op.spec.set && !commands[i].fields)
            fprintf(stderr, "tollgate key %s: takes no limits; `tollgate key update` does\n", name);
        else if (!o->op.spec.set && i == 1)
            fprintf(stderr, "tollgate key update: says nothing that is to change\n");
        else
            return snprintf(o->op.id, sizeof(o->op.id), "%s", id) >= 0;
        return false;
    }
    if (*name)
        fprintf(stderr, "tollgate key: there is no command \"%s\"\n", name);
    fputs(usage, stderr);
    return false;
}

int gw_cmd_key(int argc, char **argv)
{
    struct key_options o = { .config = NULL };
    struct cfg_survey *survey = NULL;
    struct cfg_settings *settings = NULL;
    struct tg_error err = { 0 };
    bool lists = false;
    tg_log_set_level(TG_LOG_ERROR); /* what serve warns of is not asked for here */
    int ended = read_options(argc, argv, &o);
    if (ended)
        return ended - 1;
    if (!read_command(argc, argv, &o, &lists))
        return 2;
    const char *dir = find_dir(&o, &survey, &settings, &err);
    int code = !dir ? fail(err.text) : lists ? list(dir, o.json) : change(&o, dir, settings);
    cfg_free(settings);
    cfg_survey_free(survey);
    return code;
}
