/* tollgate-engine: the engine's own commands, with no dependency but libc and libm. */
#include <stdio.h>
#include <string.h>

#include "local_engine/engine.h"

static const struct {
    const char *name, *what;
    int (*run)(int argc, char **argv);
} commands[] = {
    { "chat", "talk to a model in the terminal", le_cmd_chat },
    { "bench", "prompt and generation tokens/s", le_cmd_bench },
    { "inspect", "what a GGUF file holds and whether it runs here", le_cmd_inspect },
    { "logits", "logits of token ids, as JSON", le_cmd_logits },
    { "perplexity", "how well a model predicts a text", le_cmd_perplexity },
    { "tokenize", "token ids of a text", le_cmd_tokenize },
    { "detokenize", "text of token ids", le_cmd_detokenize },
};

enum { N_COMMANDS = sizeof(commands) / sizeof(*commands) };

static void print_usage(FILE *to)
{
    fprintf(to, "tollgate-engine " TG_VERSION "\nusage: tollgate-engine COMMAND [options]; "
                "COMMAND --help tells more\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].what);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "help") == 0) {
        print_usage(stdout);
        return 0;
    }
    if (strcmp(name, "--version") == 0) {
        puts("tollgate-engine " TG_VERSION);
        return 0;
    }
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (*name)
        fprintf(stderr, "unknown command \"%s\"\n", name);
    print_usage(stderr);
    return 2;
}
