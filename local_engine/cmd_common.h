/* What the engine's commands share: options from a table, and an engine opened for a person. */
#ifndef LE_CMD_COMMON_H
#define LE_CMD_COMMON_H

#include <stdbool.h>
#include <stddef.h>

#include "local_engine/engine.h"

enum le_option_kind {
    LE_OPTION_FLAG,   /* bool */
    LE_OPTION_TEXT,   /* const char *, borrowed from argv */
    LE_OPTION_U32,    /* uint32_t in [min, max] */
    LE_OPTION_U64,    /* uint64_t */
    LE_OPTION_FLOAT,  /* float in [min, max] */
    LE_OPTION_DEVICE, /* enum le_device */
    LE_OPTION_PRECISION, /* enum le_precision_choice */
};

struct le_option {
    const char *name;  /* "--seed" */
    const char *brief; /* "-s", or NULL */
    enum le_option_kind kind;
    void *to;   /* where the value goes */
    bool *seen; /* set when the option was given; may be NULL */
    double min, max;
};

struct le_command {
    const char *name;
    const char *usage; /* the whole text of --help */
    const struct le_option *options;
    size_t n_options;
    const char **argument; /* where one argument that is no option goes; NULL: none allowed */
};

enum le_args { LE_ARGS_RUN, LE_ARGS_HELP, LE_ARGS_WRONG };

/* Values as "--name value" or "--name=value"; "--" ends the options. HELP: the usage was printed on
 * standard output. WRONG: what is wrong was printed on standard error. */
enum le_args le_args_parse(const struct le_command *command, int argc, char **argv);

/* Opens an engine, or says on standard error what is wrong and what would help: NULL. Owned by the
 * caller. */
struct le_engine *le_cmd_open(const char *command, const struct le_engine_options *options);
/* Everything printed so far has left the process; else false, said on standard error. */
bool le_cmd_flush(const char *command);

#endif
