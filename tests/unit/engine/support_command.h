/* Runs one of the engine's commands inside the test, its output into files. */
#ifndef TESTS_UNIT_ENGINE_SUPPORT_COMMAND_H
#define TESTS_UNIT_ENGINE_SUPPORT_COMMAND_H

#include "config/base/buf.h"
#include "config/base/json.h"

/* What a command printed; texts are terminated, and stay until the next run. */
struct command_result {
    int status;
    struct tg_buf out, err;
};
extern struct command_result command_result;

/* options[0] is the command's name; NULL ends them. input: its standard input, or NULL: empty. */
int command_run(int (*command)(int argc, char **argv), const char *const *options,
                const char *input);
/* What went to standard output, as JSON; NULL when it is none (said on standard error). Owned by
 * the caller. */
struct tg_json *command_json(void);

#endif
