/* Numbers for a scraper: families of counters, gauges and histograms, with series that are made at
 * their first use and printed in Prometheus' text format 0.0.4. All values are integers, so that
 * money is exact. One thread: what others count is copied in when it is asked for. */
#ifndef TELEMETRY_METRICS_H
#define TELEMETRY_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/buf.h"
#include "config/base/status.h"

enum {
    TEL_METRIC_LABELS_MAX = 3,
    TEL_METRIC_VALUE_MAX = 128,  /* bytes of a label's value; longer ones are cut */
    TEL_METRIC_SERIES_MAX = 256, /* of a family, see tel_series */
    TEL_METRIC_BOUNDS_MAX = 24,
};

enum tel_metric_type { TEL_COUNTER, TEL_GAUGE, TEL_HISTOGRAM };

/* A family; lives as long as the metrics. */
struct tel_metric {
    const char *name; /* as Prometheus has it: base units, a counter ends in _total */
    const char *help; /* one sentence */
    enum tel_metric_type type;
    bool nano; /* values are billionths of the unit: nanoseconds of seconds, nano-dollars */
    const char *labels[TEL_METRIC_LABELS_MAX]; /* up to the first NULL */
    const int64_t *bounds; /* histograms: upper bounds of the buckets, ascending, in values */
    size_t n_bounds;
};

struct tel_metrics; /* opaque */
struct tel_series;  /* opaque: one family with one set of label values */

/* families: borrowed. NULL when out of memory. */
struct tel_metrics *tel_metrics_new(const struct tel_metric *families, size_t n);
void tel_metrics_free(struct tel_metrics *m); /* NULL allowed */

/* The series of a family (its index) for these label values, one for each of its labels (UTF-8,
 * copied); it stays until tel_metrics_free or tel_metrics_sweep. Only values that a configuration
 * or the program names belong here, never a client's text; all the same their number is bounded:
 * above TEL_METRIC_SERIES_MAX of a family, what is new shares one series whose values are all
 * "other", and of a gauge, where a sum would say nothing, is left out. NULL then, without memory,
 * and for m NULL; the functions below take it and do nothing. A lookup allocates nothing but at
 * first. */
struct tel_series *tel_series(struct tel_metrics *m, size_t family, const char *const *values);
/* Counter or gauge; stops at INT64_MAX. */
void tel_series_add(struct tel_series *s, int64_t n);
/* Gauge, or a counter that somebody else counts. A nano gauge of INT64_MAX is printed as +Inf. */
void tel_series_set(struct tel_series *s, int64_t value);
/* Histogram. What is negative counts as 0. */
void tel_series_observe(struct tel_series *s, int64_t value);
/* Of a family of gauges: series that were not set since the last sweep are gone, freed. */
void tel_metrics_sweep(struct tel_metrics *m, size_t family);

/* All families in their order, those without series by HELP and TYPE alone. Errors stick in out. */
enum tg_status tel_metrics_print(const struct tel_metrics *m, struct tg_buf *out);

#endif
