/* tollgate-engine logits: logits of given token ids as JSON, for comparison with other engines. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config/base/alloc.h"
#include "config/base/buf.h"
#include "local_engine/load.h"

enum { IDS_BYTES_MAX = 8 << 20, CONTEXT_MAX = 32768, TOP_MAX = 1000, NEVER_MAX = 64 };

static const char usage[] =
    "usage: logits --model FILE --ids FILE|- [options]\n"
    "  --ids FILE        token ids, decimal, separated by spaces, commas or lines; - is stdin\n"
    "  --positions LIST  last (default), all, or indices such as 3,7,12, ascending\n"
    "  --top N           best N tokens of each position (default 10, at most 1000)\n"
    "  --generate N      then N greedy tokens\n"
    "  --never IDS       ids that --generate does not choose\n"
    "  --device NAME     auto, cpu (default) or vulkan\n"
    "  --precision NAME  exact (default), fast or auto\n"
    "  --threads N       compute threads of the cpu (default: one for each core)\n"
    "  --raw FILE        the rows of the positions as little-endian F32\n";

struct list {
    uint32_t *v;
    size_t n, cap;
};

struct options {
    const char *model, *ids, *positions, *raw;
    uint64_t top, generate, threads;
    struct list never;
    struct le_device_options device;
};

struct session {
    struct options o;
    struct le_gguf *g;
    struct le_loaded loaded;
    struct le_model *m; /* loaded.model */
    struct list ids, positions;
    size_t next; /* index into positions of the next row to print */
    FILE *raw;
    uint32_t *best; /* scratch for the best of a row */
    struct tg_error *err;
};

static bool list_add(struct list *l, uint32_t v)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        uint32_t *p = tg_realloc_array(l->v, cap, sizeof(*p));
        if (!p)
            return false;
        l->v = p;
        l->cap = cap;
    }
    l->v[l->n++] = v;
    return true;
}

/* Decimal numbers between spaces, commas, line ends and brackets. */
static enum tg_status parse_list(struct tg_str text, const char *what, struct list *out,
                                 struct tg_error *err)
{
    static const char between[] = " \t\r\n,[]";
    for (size_t i = 0; i < text.n;) {
        size_t start = i;
        while (i < text.n && !memchr(between, text.p[i], sizeof(between) - 1))
            i++;
        uint64_t v;
        if (i == start) {
            i++;
            continue;
        }
        if (!tg_parse_u64((struct tg_str){ text.p + start, i - start }, &v) || v > INT32_MAX)
            return tg_fail(err, TG_INVALID, "%s: \"%.*s\" is no number", what,
                           TG_FMT(((struct tg_str){ text.p + start, i - start })));
        if (!list_add(out, (uint32_t)v))
            return tg_fail(err, TG_NOMEM, "out of memory");
    }
    return TG_OK;
}

static enum tg_status option(struct session *s, const char *name, const char *value)
{
    struct tg_str v = tg_str_of(value);
    struct options *o = &s->o;
    bool good = true;
    if (strcmp(name, "--model") == 0)
        o->model = value;
    else if (strcmp(name, "--ids") == 0)
        o->ids = value;
    else if (strcmp(name, "--positions") == 0)
        o->positions = value;
    else if (strcmp(name, "--raw") == 0)
        o->raw = value;
    else if (strcmp(name, "--top") == 0)
        good = tg_parse_u64(v, &o->top) && o->top <= TOP_MAX;
    else if (strcmp(name, "--generate") == 0)
        good = tg_parse_u64(v, &o->generate) && o->generate <= CONTEXT_MAX;
    else if (strcmp(name, "--device") == 0)
        good = le_device_parse(v, &o->device.device);
    else if (strcmp(name, "--precision") == 0)
        good = le_precision_parse(v, &o->device.precision);
    else if (strcmp(name, "--threads") == 0)
        good = tg_parse_u64(v, &o->threads) && o->threads >= 1 && o->threads <= LE_THREADS_MAX;
    else if (strcmp(name, "--never") == 0)
        good = parse_list(v, name, &o->never, NULL) == TG_OK && o->never.n <= NEVER_MAX;
    else
        return tg_fail(s->err, TG_INVALID, "unknown option %s", name);
    return good ? TG_OK : tg_fail(s->err, TG_INVALID, "%s: \"%s\" is not valid", name, value);
}

static enum tg_status parse_options(struct session *s, int argc, char **argv)
{
    s->o = (struct options){ .positions = "last", .top = 10,
                             .device = { .device = LE_DEVICE_CPU,
                                         .precision = LE_PRECISION_EXACT } };
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            return tg_fail(s->err, TG_INVALID, "%s needs a value", argv[i]);
        enum tg_status st = option(s, argv[i], argv[i + 1]);
        if (st)
            return st;
    }
    s->o.device.threads = (uint32_t)s->o.threads;
    if (!s->o.model || !s->o.ids)
        return tg_fail(s->err, TG_INVALID, "--model and --ids are needed");
    return TG_OK;
}

static enum tg_status read_ids(struct session *s)
{
    bool standard = strcmp(s->o.ids, "-") == 0;
    FILE *f = standard ? stdin : fopen(s->o.ids, "rb");
    if (!f)
        return tg_fail(s->err, TG_IO, "%s: %s", s->o.ids, strerror(errno));
    struct tg_buf text;
    char block[4096];
    size_t n;
    tg_buf_init(&text, IDS_BYTES_MAX);
    while (!text.failed && (n = fread(block, 1, sizeof(block), f)) > 0)
        tg_buf_add(&text, block, n);
    enum tg_status st = TG_OK;
    if (text.failed)
        st = tg_fail(s->err, text.failed, "%s: too long", s->o.ids);
    else if (ferror(f))
        st = tg_fail(s->err, TG_IO, "%s cannot be read", s->o.ids);
    if (!standard)
        fclose(f);
    if (!st)
        st = parse_list(tg_buf_str(&text), s->o.ids, &s->ids, s->err);
    tg_buf_free(&text);
    if (!st && (s->ids.n == 0 || s->ids.n + s->o.generate > CONTEXT_MAX))
        st = tg_fail(s->err, TG_LIMIT, "%s: %zu ids; 1 to %d, those of --generate included",
                     s->o.ids, s->ids.n, CONTEXT_MAX);
    return st;
}

static enum tg_status choose_positions(struct session *s)
{
    size_t n = s->ids.n;
    bool all = strcmp(s->o.positions, "all") == 0;
    if (all || strcmp(s->o.positions, "last") == 0) {
        for (size_t i = all ? 0 : n - 1; i < n; i++)
            if (!list_add(&s->positions, (uint32_t)i))
                return tg_fail(s->err, TG_NOMEM, "out of memory");
        return TG_OK;
    }
    enum tg_status st = parse_list(tg_str_of(s->o.positions), "--positions", &s->positions, s->err);
    for (size_t i = 0; !st && i < s->positions.n; i++)
        if (s->positions.v[i] >= n || (i > 0 && s->positions.v[i] <= s->positions.v[i - 1]))
            st = tg_fail(s->err, TG_INVALID, "--positions: %u is not ascending or beyond %zu ids",
                         s->positions.v[i], n);
    return st;
}

static enum tg_status open_model(struct session *s)
{
    const struct le_load_options options = {
        .device = s->o.device,
        .model = { .context = (uint32_t)(s->ids.n + s->o.generate) },
        .no_selftest = true, /* this is where a wrong device can be looked at */
    };
    enum tg_status st = le_gguf_open(s->o.model, &s->g, s->err);
    if (!st)
        st = le_load(s->g, &options, &s->loaded, s->err);
    s->m = s->loaded.model;
    for (size_t i = 0; !st && i < s->ids.n; i++) /* before anything is printed */
        if (s->ids.v[i] >= le_model_params(s->m)->n_vocab)
            st = tg_fail(s->err, TG_INVALID, "%s: token id %u is not in the vocabulary of %u",
                         s->o.ids, s->ids.v[i], le_model_params(s->m)->n_vocab);
    if (st)
        return st;
    s->best = tg_calloc(TOP_MAX, sizeof(*s->best));
    if (!s->best)
        return tg_fail(s->err, TG_NOMEM, "out of memory");
    if (s->o.raw && !(s->raw = fopen(s->o.raw, "wb")))
        return tg_fail(s->err, TG_IO, "%s: %s", s->o.raw, strerror(errno));
    return TG_OK;
}

/* Ids of the n best logits, best first, ties by id; by insertion, as n is small. */
static void find_best(const float *logits, uint32_t n_vocab, uint32_t *best, uint32_t n)
{
    uint32_t have = 0;
    for (uint32_t id = 0; id < n_vocab; id++) {
        if (have == n && !(logits[id] > logits[best[n - 1]]))
            continue;
        uint32_t at = have < n ? have++ : n - 1;
        for (; at > 0 && logits[id] > logits[best[at - 1]]; at--)
            best[at] = best[at - 1];
        best[at] = id;
    }
}

static double log_sum_exp(const float *x, uint32_t n)
{
    double max = -(double)INFINITY, sum = 0;
    for (uint32_t i = 0; i < n; i++)
        max = (double)x[i] > max ? (double)x[i] : max;
    for (uint32_t i = 0; i < n; i++)
        sum += exp((double)x[i] - max);
    return max + log(sum);
}

static enum tg_status print_row(struct session *s, const float *logits)
{
    uint32_t n_vocab = le_model_params(s->m)->n_vocab;
    uint32_t n = s->o.top < n_vocab ? (uint32_t)s->o.top : n_vocab;
    double z = log_sum_exp(logits, n_vocab);
    if (n > 0)
        find_best(logits, n_vocab, s->best, n);
    printf("%s\n    {\"position\": %u, \"top\": [", s->next > 0 ? "," : "",
           s->positions.v[s->next]);
    for (uint32_t i = 0; i < n; i++) {
        double logit = (double)logits[s->best[i]];
        printf("%s{\"id\": %u, \"logit\": %.9g, \"logprob\": %.9g}", i > 0 ? ", " : "",
               s->best[i], logit, logit - z);
    }
    printf("]}");
    if (s->raw && fwrite(logits, sizeof(float), n_vocab, s->raw) != n_vocab)
        return tg_fail(s->err, TG_IO, "%s: %s", s->o.raw, strerror(errno));
    return TG_OK;
}

/* The given ids, in steps that hold at most as many outputs as one step may have. */
static enum tg_status run_ids(struct session *s)
{
    uint32_t n = (uint32_t)s->ids.n, outputs_max = le_model_outputs_max(s->m);
    for (uint32_t pos = 0; pos < n;) {
        uint32_t out[LE_STEP_TOKENS_MAX], n_out = 0, count = 0;
        size_t want = s->next;
        for (; pos + count < n && count < LE_STEP_TOKENS_MAX; count++) {
            bool wanted = want < s->positions.n && s->positions.v[want] == pos + count;
            if (!wanted)
                continue;
            if (n_out == outputs_max)
                break;
            out[n_out++] = count;
            want++;
        }
        enum tg_status st = le_model_step(s->m, (const int32_t *)s->ids.v + pos, count, pos, out,
                                          n_out, s->err);
        for (uint32_t r = 0; !st && r < n_out; r++)
            if (s->next < s->positions.n && s->positions.v[s->next] == pos + out[r]) {
                st = print_row(s, le_model_logits(s->m, r));
                s->next++;
            }
        if (st)
            return st;
        pos += count;
    }
    return TG_OK;
}

static enum tg_status generate(struct session *s)
{
    uint32_t n_vocab = le_model_params(s->m)->n_vocab, n = (uint32_t)s->ids.n, zero = 0, best = 0;
    /* Back by one token, so that its logits are in row 0 whatever the last step's outputs were. */
    enum tg_status st = le_model_step(s->m, (const int32_t *)s->ids.v + n - 1, 1, n - 1, &zero, 1,
                                      s->err);
    for (uint32_t i = 0; !st && i < s->o.generate; i++) {
        float *logits = le_model_logits(s->m, 0);
        for (size_t k = 0; k < s->o.never.n; k++)
            if (s->o.never.v[k] < n_vocab)
                logits[s->o.never.v[k]] = -INFINITY;
        find_best(logits, n_vocab, &best, 1);
        printf("%s%u", i > 0 ? ", " : "", best);
        int32_t id = (int32_t)best;
        if (i + 1 < s->o.generate)
            st = le_model_step(s->m, &id, 1, n + i, &zero, 1, s->err);
    }
    return st;
}

static enum tg_status run(struct session *s)
{
    struct tg_buf head;
    tg_buf_init(&head, 1 << 16);
    tg_buf_adds(&head, "{\n  \"model\": ");
    tg_buf_add_json(&head, tg_str_of(s->o.model));
    tg_buf_adds(&head, ",\n  \"device\": ");
    tg_buf_add_json(&head, tg_str_of(s->loaded.ops->describe(s->loaded.be)));
    if (head.failed) {
        tg_buf_free(&head);
        return tg_fail(s->err, TG_NOMEM, "out of memory");
    }
    printf("%s,\n  \"n_ids\": %zu,\n  \"n_vocab\": %u,\n  \"positions\": [", head.p, s->ids.n,
           le_model_params(s->m)->n_vocab);
    tg_buf_free(&head);
    enum tg_status st = run_ids(s);
    printf("\n  ]");
    if (!st && s->o.generate > 0) {
        printf(",\n  \"generated\": [");
        st = generate(s);
        printf("]");
    }
    printf("\n}\n");
    if ((fflush(stdout) != 0 || ferror(stdout)) && !st)
        st = tg_fail(s->err, TG_IO, "standard output cannot be written");
    return st;
}

int le_cmd_logits(int argc, char **argv)
{
    struct tg_error err = { 0 };
    struct session s = { .err = &err };
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    enum tg_status st = parse_options(&s, argc, argv);
    int bad_usage = st != TG_OK;
    if (!st)
        st = read_ids(&s);
    if (!st)
        st = choose_positions(&s);
    if (!st)
        st = open_model(&s);
    if (!st)
        st = run(&s);
    if (s.raw && fclose(s.raw) != 0 && !st)
        st = tg_fail(&err, TG_IO, "%s: %s", s.o.raw, strerror(errno));
    if (st)
        fprintf(stderr, "logits: %s\n%s", err.text, bad_usage ? usage : "");
    le_unload(&s.loaded);
    le_gguf_close(s.g);
    tg_free(s.best);
    tg_free(s.ids.v);
    tg_free(s.positions.v);
    tg_free(s.o.never.v);
    return bad_usage ? 2 : st ? 1 : 0;
}
