/* How `tollgate pull` shows what it does: on a terminal a bar that is drawn over itself, elsewhere
 * a line every ten seconds. All of it on stderr. */
#ifndef GATEWAY_PULL_SHOW_H
#define GATEWAY_PULL_SHOW_H

#include <stdbool.h>
#include <stdint.h>

#include "providers/pull.h"

struct gw_pull_show {
    bool quiet, terminal;
    const char *name; /* of the file under way; "" before */
    enum prov_pull_phase phase;
    int64_t drawn_ns, sampled_ns, sampled; /* sampled: bytes done at sampled_ns */
    double rate;                           /* bytes a second, smoothed; 0: not known yet */
    bool on_line;                          /* the bar stands on the line the cursor is on */
};

void gw_pull_show_init(struct gw_pull_show *s, bool quiet);
/* A new file begins. */
void gw_pull_show_file(struct gw_pull_show *s, const char *name);
void gw_pull_show_progress(struct gw_pull_show *s, enum prov_pull_phase phase, int64_t done,
                           int64_t total);
/* A line, prefix and text; the bar makes way for it. Control characters of text, which may repeat
 * what a server said, become '?'. */
void gw_pull_show_line(struct gw_pull_show *s, const char *prefix, const char *text);
/* The same for what is good to know, unless quiet. */
void gw_pull_show_note(struct gw_pull_show *s, const char *text);
/* Leaves the cursor at the start of an empty line. */
void gw_pull_show_end(struct gw_pull_show *s);

/* "3.12 GiB", "820.5 MiB", "17 bytes": into out. */
void gw_pull_size(char out[32], int64_t bytes);

#endif
