/* Inside chat: its options, and how it reads what people type. */
#ifndef LE_CMD_CHAT_H
#define LE_CMD_CHAT_H

#include <stdbool.h>

#include "config/base/buf.h"
#include "local_engine/engine.h"

struct chat_options {
    const char *model, *system, *prompt;
    enum le_device device;
    enum le_precision_choice precision;
    uint32_t threads;
    uint32_t context, max_tokens;
    bool think;
    struct le_sampling sampling;
    bool seen_temperature, seen_top_k, seen_top_p, seen_seed;
};

/* Lines from a descriptor, while a signalfd is watched. */
struct le_lines {
    int fd, signals;
    bool ended;
    struct tg_buf text; /* read, and of that the line given out last: */
    size_t taken;
};

void le_lines_init(struct le_lines *l, int fd, int signals);
void le_lines_free(struct le_lines *l);
/* Writes the prompt to standard error and waits for a line (without its end, borrowed until the
 * next call). False at the end of the input, at a line above 1 MiB, or when a signal came. */
bool le_lines_next(struct le_lines *l, const char *prompt, struct tg_str *line);

/* Reads fd to its end, at most 16 MiB, while a signalfd is watched. An exit status: 0, 1 after
 * saying on standard error what is wrong, or 130 when a signal came; *out is to be freed either
 * way. */
int le_read_all(int fd, int signals, struct tg_buf *out);

#endif
