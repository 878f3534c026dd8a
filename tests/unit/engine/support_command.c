#include "tests/unit/engine/support_command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ARGS_MAX = 32, OUTPUT_MAX = 64 << 20 };

struct command_result command_result;

static void take(FILE *f, struct tg_buf *out)
{
    char block[1 << 14];
    size_t n;
    tg_buf_free(out);
    tg_buf_init(out, OUTPUT_MAX);
    tg_buf_adds(out, "");
    rewind(f);
    while ((n = fread(block, 1, sizeof(block), f)) > 0)
        tg_buf_add(out, block, n);
    fclose(f);
}

int command_run(int (*command)(int argc, char **argv), const char *const *options,
                const char *input)
{
    char *argv[ARGS_MAX] = { NULL };
    int argc = 0, old[3], fd[3];
    FILE *f[3] = { tmpfile(), tmpfile(), tmpfile() };
    if (!f[0] || !f[1] || !f[2])
        return -1;
    for (; options[argc] && argc < ARGS_MAX - 1; argc++)
        argv[argc] = (char *)(uintptr_t)options[argc];
    if (input)
        fputs(input, f[0]);
    fflush(f[0]);
    fflush(stdout);
    for (int i = 0; i < 3; i++) {
        fd[i] = fileno(f[i]);
        lseek(fd[i], 0, SEEK_SET);
        old[i] = dup(i);
        dup2(fd[i], i);
    }
    clearerr(stdin);
    int status = command(argc, argv);
    fflush(stdout);
    fflush(stderr);
    for (int i = 0; i < 3; i++) {
        dup2(old[i], i);
        close(old[i]);
    }
    fclose(f[0]);
    take(f[1], &command_result.out);
    take(f[2], &command_result.err);
    return command_result.status = status;
}

struct tg_json *command_json(void)
{
    struct tg_json *json = NULL;
    struct tg_error err = { .text = "" };
    if (tg_json_parse(tg_buf_str(&command_result.out), &json, &err))
        fprintf(stderr, "%s in: %s\n", err.text, command_result.out.p);
    return json;
}
