#include "telemetry/metrics.h"

#include <assert.h>
#include <string.h>

#include "config/base/alloc.h"

enum { BUCKETS = 1024 /* of the table; a power of two */, LINE_MAX_BYTES = 2048 };

struct tel_series {
    struct tel_series *next;  /* of the family, in order of their making */
    struct tel_series *chain; /* of the table */
    const struct tel_metric *metric;
    uint32_t hash;
    bool fresh; /* set since the last sweep */
    int64_t value;   /* histogram: the sum */
    uint64_t *count; /* histogram: of each bucket alone, the last one above all bounds */
    char *key;       /* the label values, each with its end */
    size_t n_key;
    char *labels; /* as they are printed, without the braces; "" without labels */
};

struct family {
    struct tel_series *first, *last, *other;
    size_t n;
};

struct tel_metrics {
    const struct tel_metric *metrics;
    size_t n;
    struct family *families; /* [n] */
    struct tel_series *table[BUCKETS];
};

struct tel_metrics *tel_metrics_new(const struct tel_metric *families, size_t n)
{
    struct tel_metrics *m = tg_calloc(1, sizeof(*m));
    struct family *own = tg_calloc(n, sizeof(*own));
    if (!m || !own) {
        tg_free(m);
        tg_free(own);
        return NULL;
    }
    m->metrics = families;
    m->n = n;
    m->families = own;
    for (size_t i = 0; i < n; i++)
        assert(families[i].n_bounds <= TEL_METRIC_BOUNDS_MAX);
    return m;
}

static void series_free(struct tel_series *s)
{
    tg_free(s->count);
    tg_free(s->key);
    tg_free(s->labels);
    tg_free(s);
}

void tel_metrics_free(struct tel_metrics *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n; i++)
        for (struct tel_series *s = m->families[i].first, *next; s; s = next) {
            next = s->next;
            series_free(s);
        }
    tg_free(m->families);
    tg_free(m);
}

/* --- series --- */

static size_t n_labels(const struct tel_metric *metric)
{
    size_t n = 0;
    while (n < TEL_METRIC_LABELS_MAX && metric->labels[n])
        n++;
    return n;
}

/* The bytes of a value that are kept: whole characters. */
static size_t value_length(const char *value)
{
    size_t n = strnlen(value, TEL_METRIC_VALUE_MAX + 1);
    if (n <= TEL_METRIC_VALUE_MAX)
        return n;
    n = TEL_METRIC_VALUE_MAX;
    while (n && ((unsigned char)value[n] & 0xC0) == 0x80)
        n--;
    return n;
}

struct key {
    char text[TEL_METRIC_LABELS_MAX * (TEL_METRIC_VALUE_MAX + 1)];
    size_t n;
    uint32_t hash;
};

static void make_key(const struct tel_metric *metric, size_t family, const char *const *values,
                     struct key *key)
{
    key->n = 0;
    key->hash = 2166136261u ^ (uint32_t)family; /* FNV-1a */
    for (size_t i = 0; i < n_labels(metric); i++) {
        size_t n = value_length(values[i]);
        memcpy(key->text + key->n, values[i], n);
        key->n += n;
        key->text[key->n++] = '\0';
    }
    for (size_t i = 0; i < key->n; i++)
        key->hash = (key->hash ^ (unsigned char)key->text[i]) * 16777619u;
}

static struct tel_series *find(const struct tel_metrics *m, const struct tel_metric *metric,
                               const struct key *key)
{
    struct tel_series *s = m->table[key->hash % BUCKETS];
    while (s && (s->hash != key->hash || s->metric != metric || s->n_key != key->n ||
                 memcmp(s->key, key->text, key->n) != 0))
        s = s->chain;
    return s;
}

static void add_escaped(struct tg_buf *out, const char *s)
{
    for (; *s; s++) {
        if (*s == '\\' || *s == '"')
            tg_buf_addc(out, '\\');
        if (*s == '\n')
            tg_buf_adds(out, "\\n");
        else
            tg_buf_addc(out, *s);
    }
}

/* name="value",... of a key. Owned by the caller; NULL without memory. */
static char *print_labels(const struct tel_metric *metric, const struct key *key)
{
    struct tg_buf out;
    const char *value = key->text;
    tg_buf_init(&out, 2 * sizeof(key->text) + TEL_METRIC_LABELS_MAX * 64);
    tg_buf_adds(&out, "");
    for (size_t i = 0; i < n_labels(metric); i++) {
        tg_buf_addf(&out, "%s%s=\"", i ? "," : "", metric->labels[i]);
        add_escaped(&out, value);
        tg_buf_addc(&out, '"');
        value += strlen(value) + 1;
    }
    if (!out.failed)
        return out.p;
    tg_buf_free(&out);
    return NULL;
}

static struct tel_series *make(struct tel_metrics *m, size_t family, const struct key *key)
{
    const struct tel_metric *metric = &m->metrics[family];
    struct family *f = &m->families[family];
    struct tel_series *s = tg_calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    *s = (struct tel_series){ .metric = metric, .hash = key->hash, .n_key = key->n };
    s->key = tg_strndup(key->text, key->n);
    s->labels = print_labels(metric, key);
    if (metric->type == TEL_HISTOGRAM)
        s->count = tg_calloc(metric->n_bounds + 1, sizeof(*s->count));
    if (!s->key || !s->labels || (metric->type == TEL_HISTOGRAM && !s->count)) {
        series_free(s);
        return NULL;
    }
    s->chain = m->table[key->hash % BUCKETS];
    m->table[key->hash % BUCKETS] = s;
    if (f->last)
        f->last->next = s;
    else
        f->first = s;
    f->last = s;
    f->n++;
    return s;
}

/* What is above the bound. */
static struct tel_series *other(struct tel_metrics *m, size_t family)
{
    static const char *const values[TEL_METRIC_LABELS_MAX] = { "other", "other", "other" };
    struct family *f = &m->families[family];
    struct key key;
    if (f->other || m->metrics[family].type == TEL_GAUGE)
        return f->other;
    make_key(&m->metrics[family], family, values, &key);
    f->other = find(m, &m->metrics[family], &key);
    if (!f->other)
        f->other = make(m, family, &key);
    return f->other;
}

struct tel_series *tel_series(struct tel_metrics *m, size_t family, const char *const *values)
{
    struct key key;
    if (!m || family >= m->n)
        return NULL;
    make_key(&m->metrics[family], family, values, &key);
    struct tel_series *s = find(m, &m->metrics[family], &key);
    if (s)
        return s;
    if (m->families[family].n >= TEL_METRIC_SERIES_MAX)
        return other(m, family);
    return make(m, family, &key);
}

void tel_series_add(struct tel_series *s, int64_t n)
{
    if (s && __builtin_add_overflow(s->value, n, &s->value))
        s->value = INT64_MAX;
}

void tel_series_set(struct tel_series *s, int64_t value)
{
    if (!s)
        return;
    s->value = value;
    s->fresh = true;
}

static void leave_table(struct tel_metrics *m, const struct tel_series *s)
{
    struct tel_series **at = &m->table[s->hash % BUCKETS];
    while (*at != s)
        at = &(*at)->chain;
    *at = s->chain;
}

void tel_metrics_sweep(struct tel_metrics *m, size_t family)
{
    struct family *f = &m->families[family];
    struct tel_series **at = &f->first;
    assert(m->metrics[family].type == TEL_GAUGE);
    f->last = NULL;
    while (*at) {
        struct tel_series *s = *at;
        if (s->fresh) {
            s->fresh = false;
            f->last = s;
            at = &s->next;
            continue;
        }
        *at = s->next;
        leave_table(m, s);
        series_free(s);
        f->n--;
    }
}

void tel_series_observe(struct tel_series *s, int64_t value)
{
    if (!s || s->metric->type != TEL_HISTOGRAM)
        return;
    size_t i = 0;
    while (i < s->metric->n_bounds && value > s->metric->bounds[i])
        i++;
    s->count[i]++;
    tel_series_add(s, value > 0 ? value : 0);
}

/* --- text: by hand, since a scrape may have ten thousand lines and holds up the loop --- */

static size_t print_whole(uint64_t n, char out[24])
{
    char digits[24];
    size_t at = sizeof(digits);
    do
        digits[--at] = (char)('0' + n % 10);
    while (n /= 10);
    memcpy(out, digits + at, sizeof(digits) - at);
    return sizeof(digits) - at;
}

/* Billionths as a decimal fraction; short: without zeros at its end. */
static size_t print_nano(uint64_t n, bool shorter, char out[40])
{
    size_t at = print_whole(n / 1000000000, out);
    uint64_t rest = n % 1000000000;
    if (shorter && rest == 0)
        return at;
    out[at++] = '.';
    for (uint64_t unit = 100000000; unit; unit /= 10)
        out[at++] = (char)('0' + rest / unit % 10);
    while (shorter && out[at - 1] == '0')
        at--;
    return at;
}

static void add_value(struct tg_buf *out, const struct tel_metric *metric, int64_t value)
{
    char text[48];
    size_t n = 0;
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    if (metric->nano && metric->type == TEL_GAUGE && value == INT64_MAX) {
        tg_buf_adds(out, "+Inf\n");
        return;
    }
    if (value < 0)
        text[n++] = '-';
    n += metric->nano ? print_nano(size, false, text + n) : print_whole(size, text + n);
    text[n++] = '\n';
    tg_buf_add(out, text, n);
}

static void add_name(struct tg_buf *out, const struct tel_series *s, const char *suffix)
{
    tg_buf_adds(out, s->metric->name);
    tg_buf_adds(out, suffix);
    if (s->labels[0]) {
        tg_buf_addc(out, '{');
        tg_buf_adds(out, s->labels);
        tg_buf_addc(out, '}');
    }
    tg_buf_addc(out, ' ');
}

/* name_bucket{labels,le=" */
static void begin_buckets(const struct tel_series *s, struct tg_buf *out)
{
    tg_buf_adds(out, s->metric->name);
    tg_buf_adds(out, "_bucket{");
    tg_buf_adds(out, s->labels);
    tg_buf_adds(out, s->labels[0] ? ",le=\"" : "le=\"");
}

static size_t print_bound(const struct tel_metric *metric, size_t i, char out[40])
{
    if (i == metric->n_bounds) {
        memcpy(out, "+Inf", 4);
        return 4;
    }
    uint64_t bound = (uint64_t)metric->bounds[i];
    return metric->nano ? print_nano(bound, true, out) : print_whole(bound, out);
}

static void add_histogram(struct tg_buf *out, const struct tel_series *s)
{
    const struct tel_metric *metric = s->metric;
    struct tg_buf prefix; /* of each line, made once */
    char text[80];
    uint64_t count = 0;
    tg_buf_init(&prefix, LINE_MAX_BYTES);
    begin_buckets(s, &prefix);
    for (size_t i = 0; i <= metric->n_bounds; i++) {
        size_t n = print_bound(metric, i, text);
        count += s->count[i];
        memcpy(text + n, "\"} ", 3);
        n += 3;
        n += print_whole(count, text + n);
        text[n++] = '\n';
        tg_buf_add(out, prefix.p, prefix.n);
        tg_buf_add(out, text, n);
    }
    if (prefix.failed) /* the scrape is not whole then */
        out->failed = prefix.failed;
    tg_buf_free(&prefix);
    add_name(out, s, "_sum");
    add_value(out, metric, s->value);
    add_name(out, s, "_count");
    size_t n = print_whole(count, text);
    text[n++] = '\n';
    tg_buf_add(out, text, n);
}

enum tg_status tel_metrics_print(const struct tel_metrics *m, struct tg_buf *out)
{
    static const char *const types[] = { "counter", "gauge", "histogram" };
    for (size_t i = 0; i < m->n; i++) {
        const struct tel_metric *metric = &m->metrics[i];
        tg_buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name,
                    types[metric->type]);
        for (const struct tel_series *s = m->families[i].first; s; s = s->next) {
            if (metric->type == TEL_HISTOGRAM) {
                add_histogram(out, s);
                continue;
            }
            add_name(out, s, "");
            add_value(out, metric, s->value);
        }
    }
    return out->failed;
}
