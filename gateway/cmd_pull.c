#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/alloc.h"
#include "config/base/log.h"
#include "config/catalogue.h"
#include "config/survey.h"
#include "gateway/cmd.h"
#include "gateway/pull_show.h"

enum { CONNECT_MS = 20000, STALL_MS = 60000, TRIES = 8, TRIES_MAX = 1000, URL_MAX = 4096 };

static const char usage[] =
    "usage: tollgate pull NAME [OPTION...]\n"
    "       tollgate pull --list [OWNER/REPOSITORY]\n"
    "\n"
    "Fetches a model. NAME is of the catalogue (gemma-4-e2b-it, or gemma-4-e2b-it:q8_0 for "
    "another\n"
    "quantisation), or any GGUF file of the host: OWNER/REPOSITORY/FILE.gguf. What was "
    "interrupted\n"
    "goes on when the same command is run again. Length and SHA-256 are checked against what the\n"
    "host says; the file appears under its name when all of it is there and right.\n"
    "\n"
    "  --list         the catalogue; with a repository, the files it has now\n"
    "  --dir DIR      where to; default: modelDir of --config, else the user's data folder\n"
    "  --config FILE  a configuration, read for its modelDir only\n"
    "  --url URL      a mirror with the layout of the catalogue's host; or, ending in .gguf, the\n"
    "                 file itself (then without NAME)\n"
    "  --sha256 HEX   what the file's SHA-256 must be\n"
    "  --cacert FILE  trust the authorities in this PEM file instead of the system's\n"
    "  --insecure     allow http:// to other machines (the token is not sent there)\n"
    "  --check        read a file that is there already and compare its SHA-256\n"
    "  --timeout TIME without a byte, after which the connection is made anew; default 60s\n"
    "  --tries N      failures in a row without progress before giving up; default 8\n"
    "  --quiet        errors and the path of the file, nothing else\n"
    "\n"
    "HF_TOKEN in the environment is sent to the host that is named, to no other and not where it\n"
    "redirects to. https_proxy and no_proxy are honoured.\n";

struct pull_options {
    const char *name, *dir, *config, *url, *sha256, *ca_file;
    bool list, insecure, check, quiet;
    int64_t stall_ms;
    uint64_t tries;
};

/* A run of the command. */
struct pull {
    const struct pull_options *o;
    struct cfg_catalogue *catalogue;
    struct cfg_survey *survey;
    struct prov_getter *getter;
    char *token;
    const char *dir, *host;
    const struct cfg_model_file *file; /* NULL: the URL is the file */
    uint32_t parts;
    char whole_dir[PATH_MAX];
    struct gw_pull_show show;
};

static volatile sig_atomic_t stopping;

static void on_signal(int signo)
{
    (void)signo;
    stopping = 1;
}

static bool on_progress(void *arg, enum prov_pull_phase phase, int64_t done, int64_t total)
{
    struct pull *r = arg;
    gw_pull_show_progress(&r->show, phase, done, total);
    return !stopping;
}

static void on_note(void *arg, const char *text)
{
    struct pull *r = arg;
    gw_pull_show_note(&r->show, text);
}

/* --- options --------------------------------------------------------------------------------- */

static bool read_hash(const char *text)
{
    return strlen(text) == TG_SHA256_HEX && strspn(text, "0123456789abcdef") == TG_SHA256_HEX;
}

static bool read_option(int letter, struct pull_options *o)
{
    switch (letter) {
    case 'l':
        o->list = true;
        return true;
    case 'd':
        o->dir = optarg;
        return *optarg != '\0';
    case 'c':
        o->config = optarg;
        return true;
    case 'u':
        o->url = optarg;
        return true;
    case 's':
        o->sha256 = optarg;
        return read_hash(optarg);
    case 'a':
        o->ca_file = optarg;
        return true;
    case 'i':
        o->insecure = true;
        return true;
    case 'k':
        o->check = true;
        return true;
    case 'q':
        o->quiet = true;
        return true;
    case 't':
        return tg_parse_duration_ms(tg_str_of(optarg), &o->stall_ms) && o->stall_ms > 0 &&
               o->stall_ms <= 86400000;
    case 'n':
        return tg_parse_u64(tg_str_of(optarg), &o->tries) && o->tries >= 1 && o->tries <= TRIES_MAX;
    default:
        return false;
    }
}

static bool url_is_file(const char *url)
{
    size_t n = url ? strlen(url) : 0;
    return n > 5 && strcmp(url + n - 5, ".gguf") == 0;
}

/* 0: go on; else the exit status plus one. */
static int read_options(int argc, char **argv, struct pull_options *o)
{
    static const struct option options[] = {
        { "list", no_argument, NULL, 'l' },
        { "dir", required_argument, NULL, 'd' },
        { "config", required_argument, NULL, 'c' },
        { "url", required_argument, NULL, 'u' },
        { "sha256", required_argument, NULL, 's' },
        { "cacert", required_argument, NULL, 'a' },
        { "insecure", no_argument, NULL, 'i' },
        { "check", no_argument, NULL, 'k' },
        { "timeout", required_argument, NULL, 't' },
        { "tries", required_argument, NULL, 'n' },
        { "quiet", no_argument, NULL, 'q' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    int letter, index = 0;
    while ((letter = getopt_long(argc, argv, "", options, &index)) != -1) {
        if (letter == 'h')
            return fputs(usage, stdout) < 0 ? 2 : 1;
        if (letter == '?') {
            fputs(usage, stderr);
            return 3;
        }
        if (!read_option(letter, o)) {
            fprintf(stderr, "tollgate pull: --%s %s: %s was expected\n", options[index].name,
                    optarg,
                    letter == 's'   ? "64 digits 0-9 a-f"
                    : letter == 't' ? "a time such as 30s"
                    : letter == 'n' ? "a number from 1 to 1000"
                                    : "a name");
            return 3;
        }
    }
    o->name = optind < argc ? argv[optind++] : NULL;
    const char *fault = optind < argc         ? "one NAME only"
                        : o->list || o->name  ? NULL
                        : url_is_file(o->url) ? NULL
                                              : "a NAME is missing";
    if (!fault && o->name && !o->list && url_is_file(o->url))
        fault = "a --url that ends in .gguf is the file itself: leave NAME out";
    if (!fault)
        return 0;
    fprintf(stderr, "tollgate pull: %s\n%s", fault, usage);
    return 3;
}

/* --- the catalogue --------------------------------------------------------------------------- */

static int print_catalogue(const struct cfg_catalogue *c)
{
    const char *model = "";
    printf("Models that can be fetched from %s (catalogue of %s):\n", cfg_catalogue_host(c),
           cfg_catalogue_version(c));
    for (size_t i = 0; i < cfg_catalogue_count(c); i++) {
        const struct cfg_model_file *f = cfg_catalogue_at(c, i);
        char name[160];
        if (strcmp(model, f->model) != 0)
            printf("\n%s\n", f->about);
        model = f->model;
        snprintf(name, sizeof(name), "%s:%s", f->model, f->tag);
        printf("  %-38s %s/%s%s\n", name, f->repository, f->file,
               f->is_default ? "  (default)" : "");
    }
    printf(
        "\ntollgate pull NAME fetches one; without \":...\" the default. Any other file:\n"
        "tollgate pull OWNER/REPOSITORY/FILE.gguf; tollgate pull --list OWNER/REPOSITORY lists.\n");
    return 0;
}

static void print_file(void *arg, struct tg_str path, int64_t size)
{
    char text[32] = "";
    (void)arg;
    if (size >= 0)
        gw_pull_size(text, size);
    printf("  %-60.*s %12s\n", TG_FMT(path), text);
}

static void tell_file(void *arg, struct tg_str path, int64_t size)
{
    (void)arg;
    (void)size;
    fprintf(stderr, "  %.*s\n", TG_FMT(path));
}

static struct prov_pull request_of(struct pull *r)
{
    return (struct prov_pull){
        .dir = r->dir,
        .token = r->token,
        .sha256 = r->o->sha256,
        .ca_file = r->o->ca_file,
        .insecure = r->o->insecure,
        .hash_again = r->o->check,
        .tries = (uint32_t)r->o->tries,
        .connect_ms = CONNECT_MS,
        .stall_ms = r->o->stall_ms,
        .on_progress = on_progress,
        .on_note = on_note,
        .arg = r,
    };
}

static enum tg_status list_repository(struct pull *r, struct tg_error *err)
{
    const char *name = r->o->name, *slash = strchr(name, '/');
    if (!cfg_model_path_ok(tg_str_of(name)) || !slash || strchr(slash + 1, '/'))
        return tg_fail(err, TG_INVALID, "\"%.200s\" is not OWNER/REPOSITORY", name);
    struct prov_pull p = request_of(r);
    return prov_pull_list(r->getter, &p, r->host, name, print_file, err);
}

/* --- fetching -------------------------------------------------------------------------------- */

/* The last segment. */
static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Fills url, page and p's members for part i. */
static enum tg_status part_of(struct pull *r, uint32_t i, struct prov_pull *p, char url[URL_MAX],
                              char page[URL_MAX], struct tg_error *err)
{
    char path[CFG_MODEL_NAME_MAX];
    int n = 0;
    *p = request_of(r);
    p->url = url;
    if (!r->file) {
        n = snprintf(url, URL_MAX, "%s", r->o->url);
        if (n > 0 && n < URL_MAX && !cfg_model_part(r->o->url, r->parts, i, url, URL_MAX))
            n = URL_MAX;
    } else if (cfg_model_part(r->file->file, r->parts, i, path, sizeof(path))) {
        snprintf(page, URL_MAX, "%s/%s", r->host, r->file->repository);
        n = snprintf(url, URL_MAX, "%s/%s/resolve/main/%s", r->host, r->file->repository, path);
        p->page = page;
    }
    if (n <= 0 || n >= URL_MAX)
        return tg_fail(err, TG_INVALID, "the URL is too long");
    p->name = base_name(url);
    return TG_OK;
}

/* The file is not there under this name: which are? */
static void tell_what_there_is(struct pull *r)
{
    struct prov_pull p = request_of(r);
    if (!r->file)
        return;
    fprintf(stderr, "%s has these now (tollgate pull %s/FILE):\n", r->file->repository,
            r->file->repository);
    struct tg_error err;
    if (prov_pull_list(r->getter, &p, r->host, r->file->repository, tell_file, &err) != TG_OK)
        gw_pull_show_line(&r->show, "  the list could not be had: ", err.text);
}

/* All parts are looked at before the first is fetched: whether they are there, and fit. */
static enum tg_status look(struct pull *r, struct tg_error *err)
{
    int64_t missing = 0;
    bool known = true;
    for (uint32_t i = 0; i < r->parts; i++) {
        struct prov_pull p;
        struct prov_pull_look l;
        char url[URL_MAX], page[URL_MAX];
        enum tg_status status = part_of(r, i, &p, url, page, err);
        if (status == TG_OK)
            status = prov_pull_look(r->getter, &p, &l, err);
        if (status == TG_NOTFOUND)
            tell_what_there_is(r);
        if (status)
            return status;
        int64_t more = l.size < 0 ? -1 : l.size - l.have;
        known = known && more >= 0;
        if (known && __builtin_add_overflow(missing, more, &missing))
            missing = INT64_MAX; /* whatever hosts say: there is no such disk */
    }
    if (!known)
        return TG_OK;
    enum tg_status status = prov_pull_room(r->dir, missing, err);
    if (status || r->o->quiet || missing == 0)
        return status;
    char size[32];
    gw_pull_size(size, missing);
    fprintf(stderr, "%s to fetch into %s\n", size, r->dir);
    return TG_OK;
}

static void report(struct pull *r, const struct prov_pull_done *first, bool checked)
{
    printf("%s\n", first->path);
    if (r->o->quiet)
        return;
    if (!checked)
        fprintf(stderr, "Nobody told a SHA-256 of it: its content is unchecked (--sha256 HEX "
                        "checks it).\n");
    else if (!first->was_there || r->o->check)
        fprintf(stderr, "SHA-256 is right: %s%s\n", first->sha256,
                r->parts > 1 ? " (first part; the others too)" : "");
    if (first->was_there)
        fprintf(stderr, "It is there already; nothing was fetched.\n");
    bool found = !r->o->dir; /* in modelDir, where the name alone is enough */
    printf("In the configuration:  \"engine\": { \"model\": \"%s\" }\n",
           found ? base_name(first->path) : first->path);
}

static enum tg_status fetch(struct pull *r, struct tg_error *err)
{
    struct prov_pull_done first = { 0 }, done;
    bool checked = true;
    for (uint32_t i = 0; i < r->parts; i++) {
        struct prov_pull p;
        char url[URL_MAX], page[URL_MAX];
        enum tg_status status = part_of(r, i, &p, url, page, err);
        if (status)
            return status;
        gw_pull_show_file(&r->show, p.name);
        status = prov_pull_fetch(r->getter, &p, &done, err);
        gw_pull_show_end(&r->show);
        if (status)
            return status;
        checked = checked && done.checked;
        if (i == 0)
            first = done;
        first.was_there = first.was_there && done.was_there;
    }
    report(r, &first, checked);
    return TG_OK;
}

/* --- the command ----------------------------------------------------------------------------- */

static enum tg_status choose_file(struct pull *r, struct tg_error *err)
{
    const struct pull_options *o = r->o;
    enum tg_status status = TG_OK;
    if (o->name)
        status = cfg_catalogue_find(r->catalogue, o->name, &r->file, err);
    if (status)
        return status;
    r->parts = r->file ? r->file->parts : cfg_model_parts(tg_str_of(o->url));
    if (r->parts == 0)
        return tg_fail(err, TG_INVALID, "the part numbers in the file's name make no sense");
    if (r->parts > 1 && o->sha256)
        return tg_fail(err, TG_INVALID, "--sha256 is of one file, this model has %u", r->parts);
    return TG_OK;
}

static enum tg_status choose_dir(struct pull *r, struct tg_error *err)
{
    enum tg_status status = cfg_survey(r->o->config, &r->survey, err);
    if (status)
        return status;
    r->dir = r->o->dir ? r->o->dir : r->survey->model_dir;
    if (!r->dir)
        return tg_fail(err, TG_INVALID, "HOME is not set: name a folder with --dir");
    status = prov_pull_folder(r->dir, err);
    if (status == TG_OK && realpath(r->dir, r->whole_dir))
        r->dir = r->whole_dir; /* what is printed holds from anywhere */
    return status;
}

static enum tg_status run(struct pull *r, struct tg_error *err)
{
    const struct pull_options *o = r->o;
    enum tg_status status = cfg_token("HF_TOKEN", &r->token, err);
    if (status == TG_OK)
        r->getter = prov_getter_new(err);
    if (status || !r->getter)
        return err->code;
    if (o->list)
        return list_repository(r, err);
    status = choose_file(r, err);
    if (status == TG_OK)
        status = choose_dir(r, err);
    if (status)
        return status;
    if (r->token)
        gw_pull_show_note(&r->show, "HF_TOKEN is set: it is sent to the host that is named");
    status = look(r, err);
    return status ? status : fetch(r, err);
}

/* The mirror's URL without slashes at its end, or the catalogue's host. */
static const char *host_of(const struct pull_options *o, const struct cfg_catalogue *c,
                           char own[URL_MAX])
{
    if (!o->url || url_is_file(o->url))
        return cfg_catalogue_host(c);
    int n = snprintf(own, URL_MAX, "%s", o->url);
    while (n > 0 && n < URL_MAX && own[n - 1] == '/')
        own[--n] = '\0';
    return own;
}

int gw_cmd_pull(int argc, char **argv)
{
    char own[URL_MAX];
    struct pull_options o = { .stall_ms = STALL_MS, .tries = TRIES };
    struct pull r = { .o = &o };
    struct tg_error err = { 0 };
    tg_log_set_level(TG_LOG_ERROR);
    int ended = read_options(argc, argv, &o);
    if (ended)
        return ended - 1;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error of the write */
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    gw_pull_show_init(&r.show, o.quiet);
    enum tg_status status = cfg_catalogue_load(NULL, &r.catalogue, &err);
    if (status == TG_OK && o.list && !o.name) {
        print_catalogue(r.catalogue);
    } else if (status == TG_OK) {
        r.host = host_of(&o, r.catalogue, own);
        status = run(&r, &err);
    }
    if (status == TG_CANCELLED)
        gw_pull_show_line(&r.show,
                          "stopped; what has come is kept: ", "run the same command to go on");
    else if (status)
        gw_pull_show_line(&r.show, "tollgate pull: ", err.text);
    gw_pull_show_end(&r.show);
    prov_getter_free(r.getter);
    tg_free(r.token);
    cfg_survey_free(r.survey);
    cfg_catalogue_free(r.catalogue);
    return status == TG_OK ? 0 : status == TG_CANCELLED ? 130 : 1;
}
