/* A bar that shows how far a command is: on a terminal only, on standard error, drawn over itself
 * and gone at the end. */
#ifndef LE_CMD_BAR_H
#define LE_CMD_BAR_H

#include <stdbool.h>
#include <stdint.h>

struct le_bar {
    const char *what; /* "loading" */
    const char *unit; /* "tokens"; NULL: bytes */
    bool terminal, on_line;
    int64_t begun_ns, drawn_ns;
};

struct le_bar le_bar_new(const char *what, const char *unit);
/* done of total, drawn at most ten times a second. arg is the bar: fits le_progress_fn. One thread
 * at a time. */
void le_bar_show(void *arg, uint64_t done, uint64_t total);
/* Takes the bar off the line, so that something else can be printed; it may be shown again. */
void le_bar_clear(struct le_bar *b);

#endif
