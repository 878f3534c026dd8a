/* logits: logits of given token ids as JSON, for comparison with other implementations. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config/base/alloc.h"
#include "config/base/buf.h"
#include "config/base/log.h"
#include "local_engine/cmd_common.h"
#include "local_engine/cmd_text.h"
#include "local_engine/load.h"

enum { IDS_BYTES_MAX = 64 << 20, TOP_MAX = 1000, GENERATE_MAX = 1 << 20, NEVER_MAX = 64 };

static const char usage[] =
    "usage: logits --model FILE --ids FILE|- [options]\n"
    "Logits of given token ids as JSON: for each position the likeliest tokens with logit and\n"
    "natural log of the probability, and the log of the sum of all exponentials.\n"
    "  -m, --model FILE      GGUF file of a Gemma 4 model\n"
    "      --ids FILE        a JSON array of token ids, BOS included, or numbers with spaces,\n"
    "                        commas or lines between them; - is standard input\n"
    "      --positions LIST  last (default), all, or indices such as 3,7,12, ascending\n"
    "      --top N           likeliest tokens of each position (default 10, at most 1000)\n"
    "      --raw FILE        all logits too: little-endian F32, [positions, vocabulary]\n"
    "      --generate N      then the ids of N greedy tokens; an end does not stop it\n"
    "      --never IDS       ids that --generate does not choose\n"
    "      --device NAME     cpu (default), vulkan or auto\n"
    "      --precision NAME  exact (default), fast or auto\n"
    "  -t, --threads N       compute threads of the cpu (default: one for each core)\n"
    "  -h, --help            this text\n"
    "The device is not tested before it is used, as it is for serving: what it computes is shown.\n"
    "Exit status: 0; 1 when the model or the ids cannot be used; 2 for wrong options.\n"
    "Example: echo '[2, 9259, 1902]' | tollgate logits --model model.gguf --ids - --top 3\n";

struct options {
    const char *model, *ids, *positions, *raw, *never;
    uint32_t top, generate;
    struct le_device_options device;
};

struct session {
    struct options o;
    struct le_gguf *g;
    struct le_loaded loaded;
    struct le_model *m; /* loaded.model */
    struct le_ids ids, positions, never;
    size_t next; /* index into positions of the next row to print */
    FILE *raw;
    uint32_t *best; /* scratch for the best of a row */
    struct tg_error *err;
};

/* A list of whole numbers from what; names it in an error. */
static enum tg_status parse_list(struct session *s, struct tg_str text, const char *what,
                                 struct le_ids *out)
{
    struct tg_error why = { .text = "" };
    enum tg_status st = le_ids_parse(text, out, &why);
    return st ? tg_fail(s->err, st, "%s: %s", what, why.text) : TG_OK;
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
        st = parse_list(s, tg_buf_str(&text), s->o.ids, &s->ids);
    tg_buf_free(&text);
    if (!st && s->ids.n == 0)
        st = tg_fail(s->err, TG_INVALID, "%s: there are no ids", s->o.ids);
    return st;
}

static enum tg_status choose_positions(struct session *s)
{
    size_t n = s->ids.n;
    bool all = strcmp(s->o.positions, "all") == 0;
    if (all || strcmp(s->o.positions, "last") == 0) {
        for (size_t i = all ? 0 : n - 1; i < n; i++)
            if (le_ids_add(&s->positions, (int32_t)i))
                return tg_fail(s->err, TG_NOMEM, "out of memory");
        return TG_OK;
    }
    enum tg_status st = parse_list(s, tg_str_of(s->o.positions), "--positions", &s->positions);
    if (!st && s->positions.n == 0)
        st = tg_fail(s->err, TG_INVALID, "--positions: there are no positions");
    for (size_t i = 0; !st && i < s->positions.n; i++)
        if ((size_t)s->positions.id[i] >= n ||
            (i > 0 && s->positions.id[i] <= s->positions.id[i - 1]))
            st = tg_fail(s->err, TG_INVALID, "--positions: %d is not ascending or beyond %zu ids",
                         s->positions.id[i], n);
    return st;
}

/* Before anything is loaded. */
static enum tg_status check_ids(struct session *s, const struct le_params *p)
{
    for (size_t i = 0; i < s->ids.n; i++)
        if ((uint32_t)s->ids.id[i] >= p->n_vocab)
            return tg_fail(s->err, TG_INVALID, "%s: token id %d is not in the vocabulary of %u",
                           s->o.ids, s->ids.id[i], p->n_vocab);
    if (s->ids.n + s->o.generate > p->context_trained)
        return tg_fail(s->err, TG_LIMIT, "%s: %zu ids and %u of --generate; the model was trained "
                       "for %u", s->o.ids, s->ids.n, s->o.generate, p->context_trained);
    return TG_OK;
}

static enum tg_status open_model(struct session *s)
{
    const struct le_load_options options = {
        .device = s->o.device,
        .model = { .context = (uint32_t)s->ids.n + s->o.generate },
        .no_selftest = true, /* this is where a wrong device can be looked at */
    };
    struct le_params params;
    enum tg_status st = le_gguf_open(s->o.model, &s->g, s->err);
    if (!st)
        st = le_params_read(s->g, &params, s->err);
    if (!st)
        st = check_ids(s, &params);
    if (!st && !(s->best = tg_calloc(TOP_MAX, sizeof(*s->best))))
        st = tg_fail(s->err, TG_NOMEM, "out of memory");
    if (!st && s->o.raw && !(s->raw = fopen(s->o.raw, "wb"))) /* before what takes minutes */
        st = tg_fail(s->err, TG_IO, "%s: %s", s->o.raw, strerror(errno));
    if (!st)
        st = le_load(s->g, &options, &s->loaded, s->err);
    s->m = s->loaded.model;
    return st;
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
    printf("%s\n    {\"position\": %d, \"logsumexp\": %.9g, \"top\": [", s->next > 0 ? "," : "",
           s->positions.id[s->next], z);
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
            bool wanted = want < s->positions.n && (uint32_t)s->positions.id[want] == pos + count;
            if (!wanted)
                continue;
            if (n_out == outputs_max)
                break;
            out[n_out++] = count;
            want++;
        }
        enum tg_status st = le_model_step(s->m, s->ids.id + pos, count, pos, out, n_out, s->err);
        for (uint32_t r = 0; !st && r < n_out; r++, s->next++)
            st = print_row(s, le_model_logits(s->m, r));
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
    enum tg_status st = le_model_step(s->m, s->ids.id + n - 1, 1, n - 1, &zero, 1, s->err);
    for (uint32_t i = 0; !st && i < s->o.generate; i++) {
        float *logits = le_model_logits(s->m, 0);
        for (size_t k = 0; k < s->never.n; k++)
            if ((uint32_t)s->never.id[k] < n_vocab)
                logits[s->never.id[k]] = -INFINITY;
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

/* Everything that can be wrong before the model is needed. */
static enum tg_status prepare(struct session *s)
{
    enum tg_status st = read_ids(s);
    if (!st)
        st = choose_positions(s);
    if (!st && s->o.never)
        st = parse_list(s, tg_str_of(s->o.never), "--never", &s->never);
    if (!st && s->never.n > NEVER_MAX)
        st = tg_fail(s->err, TG_LIMIT, "--never: at most %d ids", NEVER_MAX);
    return st;
}

static enum tg_status logits(struct session *s)
{
    enum tg_status st = prepare(s);
    if (!st)
        st = open_model(s);
    if (!st)
        st = run(s);
    if (s->raw && fclose(s->raw) != 0 && !st)
        st = tg_fail(s->err, TG_IO, "%s: %s", s->o.raw, strerror(errno));
    le_unload(&s->loaded);
    le_gguf_close(s->g);
    tg_free(s->best);
    le_ids_free(&s->ids);
    le_ids_free(&s->positions);
    le_ids_free(&s->never);
    return st;
}

int le_cmd_logits(int argc, char **argv)
{
    struct tg_error err = { .text = "" };
    struct session s = { .err = &err };
    struct options *o = &s.o;
    *o = (struct options){ .positions = "last", .top = 10,
                           .device = { .device = LE_DEVICE_CPU,
                                       .precision = LE_PRECISION_EXACT } };
    const struct le_option options[] = {
        { "--model", "-m", LE_OPTION_TEXT, &o->model, NULL, 0, 0 },
        { "--ids", NULL, LE_OPTION_TEXT, &o->ids, NULL, 0, 0 },
        { "--positions", NULL, LE_OPTION_TEXT, &o->positions, NULL, 0, 0 },
        { "--top", NULL, LE_OPTION_U32, &o->top, NULL, 0, TOP_MAX },
        { "--raw", NULL, LE_OPTION_TEXT, &o->raw, NULL, 0, 0 },
        { "--generate", NULL, LE_OPTION_U32, &o->generate, NULL, 0, GENERATE_MAX },
        { "--never", NULL, LE_OPTION_TEXT, &o->never, NULL, 0, 0 },
        { "--device", NULL, LE_OPTION_DEVICE, &o->device.device, NULL, 0, 0 },
        { "--precision", NULL, LE_OPTION_PRECISION, &o->device.precision, NULL, 0, 0 },
        { "--threads", "-t", LE_OPTION_U32, &o->device.threads, NULL, 1, LE_THREADS_MAX },
    };
    const struct le_command command = { "logits", usage, options,
                                        sizeof(options) / sizeof(*options), NULL };
    enum le_args args = le_args_parse(&command, argc, argv);
    if (args != LE_ARGS_RUN)
        return args == LE_ARGS_HELP ? 0 : 2;
    if (!o->model || !o->ids) {
        fprintf(stderr, "logits: --model and --ids are needed; logits --help tells more\n");
        return 2;
    }
    tg_log_set_level(TG_LOG_WARN);
    if (logits(&s) == TG_OK)
        return 0;
    fprintf(stderr, "logits: %s\n", err.text);
    return 1;
}
