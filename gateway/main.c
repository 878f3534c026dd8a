#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/cmd.h"
#include "local_engine/engine.h"

static const char usage[] =
    "usage: tollgate COMMAND [OPTION...]\n"
    "\n"
    "  serve    run the gateway\n"
    "  chat     talk to the engine in the terminal\n"
    "  bench    prompt and generation tokens/s of a model\n"
    "  logits   what the model says of a list of token ids, for comparison\n"
    "  pull     fetch a model, resumable and checked\n"
    "  report   requests, share answered locally, cost and savings of a period\n"
    "\n"
    "tollgate COMMAND --help tells a command's options; tollgate --version the version.\n";

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
    { "serve", gw_cmd_serve },   { "chat", le_cmd_chat },     { "bench", le_cmd_bench },
    { "logits", le_cmd_logits }, { "report", gw_cmd_report }, { "pull", gw_cmd_pull },
};

static int run(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        return printf("tollgate %s\n", TG_VERSION) < 0;
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
        return fputs(usage, stdout) < 0;
    if (*name)
        fprintf(stderr, "tollgate: there is no command \"%s\"\n", name);
    fputs(usage, stderr);
    return 2;
}

int main(int argc, char **argv)
{
    int status = run(argc, argv);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == 0) {
        fprintf(stderr, "tollgate: the output could not be written: %s\n", strerror(errno));
        status = 1;
    }
    return status;
}
