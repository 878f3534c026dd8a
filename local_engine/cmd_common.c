#include "local_engine/cmd_common.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/log.h"
#include "local_engine/cmd_bar.h"
#include "local_engine/device.h"

static bool set_number(const struct le_option *o, const char *text)
{
    char *end = NULL;
    double v = strtod(text, &end);
    if (end == text || *end || !(v >= o->min && v <= o->max))
        return false;
    *(float *)o->to = (float)v;
    return true;
}

static bool set_integer(const struct le_option *o, const char *text)
{
    uint64_t v = 0;
    if (!tg_parse_u64(tg_str_of(text), &v))
        return false;
    if (o->kind == LE_OPTION_U64) {
        *(uint64_t *)o->to = v;
        return true;
    }
    if ((double)v < o->min || (double)v > o->max)
        return false;
    *(uint32_t *)o->to = (uint32_t)v;
    return true;
}

static bool set_value(const struct le_option *o, const char *text)
{
    switch (o->kind) {
    case LE_OPTION_TEXT:
        *(const char **)o->to = text;
        return true;
    case LE_OPTION_U32:
    case LE_OPTION_U64:
        return set_integer(o, text);
    case LE_OPTION_FLOAT:
        return set_number(o, text);
    case LE_OPTION_DEVICE:
        return le_device_parse(tg_str_of(text), o->to);
    case LE_OPTION_PRECISION:
        return le_precision_parse(tg_str_of(text), o->to);
    case LE_OPTION_FLAG:
        break;
    }
    return false;
}

/* What a value may be, for an error. */
static void print_allowed(const struct le_option *o)
{
    if (o->kind == LE_OPTION_DEVICE)
        fputs("cpu, vulkan or auto", stderr);
    else if (o->kind == LE_OPTION_PRECISION)
        fputs("exact, fast or auto", stderr);
    else if (o->kind == LE_OPTION_U64)
        fputs("a whole number", stderr);
    else if (o->kind == LE_OPTION_U32)
        fprintf(stderr, "a whole number from %.0f to %.0f", o->min, o->max);
    else
        fprintf(stderr, "a number from %g to %g", o->min, o->max);
}

static enum le_args wrong(const struct le_command *c, const char *what, const char *arg)
{
    fprintf(stderr, "%s: %s %s\n%s --help lists the options.\n", c->name, what, arg, c->name);
    return LE_ARGS_WRONG;
}

static const struct le_option *find_option(const struct le_command *c, const char *arg, size_t n)
{
    for (size_t i = 0; i < c->n_options; i++) {
        const struct le_option *o = &c->options[i];
        if ((strlen(o->name) == n && strncmp(o->name, arg, n) == 0) ||
            (o->brief && strlen(o->brief) == n && strncmp(o->brief, arg, n) == 0))
            return o;
    }
    return NULL;
}

/* Takes argv[*i] and its value. */
static enum le_args take_option(const struct le_command *c, int argc, char **argv, int *i)
{
    const char *arg = argv[*i], *equals = strchr(arg, '=');
    const struct le_option *o = find_option(c, arg, equals ? (size_t)(equals - arg) : strlen(arg));
    if (!o)
        return wrong(c, "unknown option", arg);
    if (o->seen)
        *o->seen = true;
    if (o->kind == LE_OPTION_FLAG) {
        if (equals)
            return wrong(c, "no value is possible in", arg);
        *(bool *)o->to = true;
        return LE_ARGS_RUN;
    }
    if (!equals && *i + 1 >= argc)
        return wrong(c, "a value is missing after", arg);
    const char *value = equals ? equals + 1 : argv[++*i];
    if (set_value(o, value))
        return LE_ARGS_RUN;
    fprintf(stderr, "%s: %s is \"%s\"; it must be ", c->name, o->name, value);
    print_allowed(o);
    fputc('\n', stderr);
    return LE_ARGS_WRONG;
}

enum le_args le_args_parse(const struct le_command *command, int argc, char **argv)
{
    bool options = true;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (options && (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)) {
            fputs(command->usage, stdout);
            return LE_ARGS_HELP;
        }
        if (options && strcmp(arg, "--") == 0) {
            options = false;
        } else if (options && arg[0] == '-' && arg[1]) {
            enum le_args result = take_option(command, argc, argv, &i);
            if (result != LE_ARGS_RUN)
                return result;
        } else if (!command->argument) {
            return wrong(command, "nothing is expected that is no option:", arg);
        } else if (*command->argument) {
            return wrong(command, "only one file or text is possible (a text goes in quotes, a "
                         "split model is named by its first file); too much is", arg);
        } else {
            *command->argument = arg;
        }
    }
    return LE_ARGS_RUN;
}

struct le_engine *le_cmd_open(const char *command, const struct le_engine_options *options)
{
    struct le_engine *e = NULL;
    struct tg_error err = { .text = "" };
    if (!options->model) {
        fprintf(stderr, "%s: no model is given; name a GGUF file of a Gemma 4 model: "
                "%s --model FILE\n", command, command);
        return NULL;
    }
    tg_log_set_level(TG_LOG_WARN); /* people see the device in what the command prints */
    struct le_bar bar = le_bar_new("loading", NULL);
    struct le_engine_options o = *options;
    o.progress = le_bar_show;
    o.progress_arg = &bar;
    enum tg_status status = le_engine_open(&o, &e, &err);
    le_bar_clear(&bar);
    if (!status)
        return e;
    fprintf(stderr, "%s: %s\n", command, err.text);
    if (options->device == LE_DEVICE_VULKAN && (status == TG_NOTFOUND || status == TG_DEVICE))
        fprintf(stderr, "%s: --device cpu runs without a GPU.\n", command);
    else if (status == TG_NOMEM)
        fprintf(stderr, "%s: the context is as long as --context says, or --prompt, --generate and "
                "--depth of bench together.\n", command);
    return NULL;
}

bool le_cmd_flush(const char *command)
{
    /* A write that failed before may have taken with it what it could not write. */
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    fprintf(stderr, "%s: standard output cannot be written\n", command);
    return false;
}
