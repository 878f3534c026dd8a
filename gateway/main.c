#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/cmd.h"
#include "local_engine/engine.h"

/* Read by jemalloc. Few threads allocate much; what a storm of requests took goes back to the
 * system within seconds, by a thread of jemalloc's. */
extern const char *malloc_conf;
const char *malloc_conf = "narenas:2,background_thread:true,dirty_decay_ms:5000,muzzy_decay_ms:0";

static const struct {
    const char *name, *what;
    int (*run)(int argc, char **argv);
} commands[] = {
    { "serve", "run the gateway", gw_cmd_serve },
    { "chat", "talk to the engine in the terminal", le_cmd_chat },
    { "bench", "prompt and generation tokens/s of a model", le_cmd_bench },
    { "inspect", "what a GGUF file holds and whether it runs here", le_cmd_inspect },
    { "pull", "fetch a model, resumable and checked", gw_cmd_pull },
    { "doctor", "what is wrong on this machine, and how to mend it", gw_cmd_doctor },
    { "key", "API keys: create, list, update, rotate, revoke", gw_cmd_key },
    { "report", "requests, share answered locally, cost and savings of a period", gw_cmd_report },
    { "calibrate", "make confidence a probability, from judged answers", gw_cmd_calibrate },
    { "tokenize", "token ids of a text", le_cmd_tokenize },
    { "detokenize", "text of token ids", le_cmd_detokenize },
    { "render", "the prompt that a conversation becomes", gw_cmd_render },
    { "parse", "the message that a raw answer means", gw_cmd_parse },
    { "logits", "what the model says of a list of token ids, for comparison", le_cmd_logits },
    { "perplexity", "how well a model predicts a text", le_cmd_perplexity },
};

enum { N_COMMANDS = sizeof(commands) / sizeof(*commands) };

static int print_usage(FILE *to)
{
    fputs("usage: tollgate COMMAND [OPTION...]\n\n", to);
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(to, "  %-12s%s\n", commands[i].name, commands[i].what);
    return fputs("\ntollgate COMMAND --help tells a command's options; tollgate --version the "
                 "version.\n", to);
}

static int run(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        return printf("tollgate %s\n", TG_VERSION) < 0;
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
        return print_usage(stdout) < 0;
    if (*name)
        fprintf(stderr, "tollgate: there is no command \"%s\"\n", name);
    print_usage(stderr);
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
