/* The parts of `tollgate calibrate`: examples from JSON lines, what came of them, tables. Internal
 * to cmd_calibrate.c, calibrate_*.c. One thread. */
#ifndef GATEWAY_CALIBRATE_H
#define GATEWAY_CALIBRATE_H

#include <stdio.h>

#include "policy/fit.h"

enum {
    GW_EXAMPLES_MAX = 200000,
    GW_EXAMPLE_LINE_MAX = 64 << 10,
    GW_EXAMPLE_KEYS_MAX = 64,
};

/* Scores of examples by the default and by a calibration, against what happened. */
struct gw_judged {
    struct pol_quality raw, fitted;
    struct pol_bin raw_bin[POL_RELIABILITY_BINS], fitted_bin[POL_RELIABILITY_BINS];
};

/* The held-out figures of a fit without a feature, and with it alone. */
struct gw_ablation {
    struct pol_quality without, alone;
};

/* All examples of one key, in the order in which they came. */
struct gw_group {
    struct pol_key key;
    struct pol_example *examples; /* owned */
    size_t n, cap;
    struct pol_fit *fit;      /* owned; NULL: refused says why, once fitting was tried */
    struct tg_error refused;
    struct gw_judged held;    /* out of fold */
    bool tested;              /* there were examples of this key in --test */
    struct gw_judged test;
    struct gw_ablation *ablation; /* [POL_FEATURES], owned; NULL: not asked for */
    struct pol_quality all;       /* with ablation: all features, none eliminated */
};

struct gw_groups {
    struct gw_group *group[GW_EXAMPLE_KEYS_MAX]; /* owned */
    size_t n, examples;
};

/* calibrate_read.c: path "-" is the standard input. Errors name the file and the line. */
enum tg_status gw_groups_read(const char *path, struct gw_groups *out, struct tg_error *err);
void gw_groups_free(struct gw_groups *g);
/* The one of that key, or NULL. */
struct gw_group *gw_groups_find(const struct gw_groups *g, const struct pol_key *key);

/* What became of it. */
struct gw_outcome {
    const char *written; /* the file; NULL: none, */
    const char *failure; /* because of this; NULL: nobody asked for it */
    bool test;           /* there was a --test */
};

/* calibrate_show.c */
void gw_calibrate_tables(const struct gw_groups *g, const struct gw_outcome *o, FILE *out);
void gw_calibrate_json(const struct gw_groups *g, const struct gw_outcome *o, FILE *out);
/* "model 0123456789abcdef, fast, answer, thinking off" */
enum { GW_KEY_TEXT = 80 };
void gw_calibrate_key(const struct pol_key *key, char out[GW_KEY_TEXT]);

#endif
