/* bench: prompt and generation tokens/s, in the columns llama-bench users know. Both are measured
 * through the engine, sampling included, so they are what a request would get. */
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/base/alloc.h"
#include "config/base/buf.h"
#include "config/base/clock.h"
#include "local_engine/cmd_common.h"
#include "local_engine/gguf.h"
#include "local_engine/model.h"

enum { REPETITIONS_MAX = 100, LENGTH_MAX = 1 << 20 };

static const char usage[] =
    "usage: bench --model FILE [options]\n"
    "Measures prompt processing (ppN) and generation (tgN) in tokens/s: the mean and the standard\n"
    "deviation over the repetitions, after one run to warm up that is not counted. GB/s: what a\n"
    "generated token reads of the file's weights, times tokens/s; keys and values come on top.\n"
    "  -m, --model FILE     GGUF file of a Gemma 4 model\n"
    "  -p, --prompt N       tokens of the prompt; 0 skips the test (default 512)\n"
    "  -n, --generate N     tokens to generate; 0 skips the test (default 128)\n"
    "  -d, --depth N        tokens in the context before those to generate (default 0)\n"
    "  -r, --repetitions N  runs of each test (default 5)\n"
    "  -t, --threads N      compute threads of the cpu (default: one for each core)\n"
    "      --precision NAME exact, fast or auto (default auto: fast)\n"
    "      --chunk N        prompt tokens a step, up to 512 (default: as in serving)\n"
    "      --device NAME    cpu, vulkan or auto (default auto: a real GPU, else cpu)\n"
    "      --json           the results, each run's too, as JSON\n"
    "  -h, --help           this text\n";

struct bench {
    const char *model;
    enum le_device device;
    enum le_precision_choice precision;
    uint32_t prompt, generate, depth, repetitions, chunk, threads;
    bool json;
    struct le_engine *e;
    double load_s;
    int32_t *ids; /* [prompt or depth + 1] */
    uint64_t bytes, params;
    uint64_t token_bytes; /* of weights that one generated token reads */
    uint32_t printed;
};

struct test {
    const char *kind; /* "pp", "tg" */
    uint32_t n, depth;
    double rate[REPETITIONS_MAX], mean, sd, median;
    double gb_per_s; /* of tg; 0 for pp, where a weight serves many tokens */
};

/* Runs one job to its end; its END in *end. */
static bool run_job(struct bench *b, const struct le_job *job, struct le_event *end)
{
    struct tg_error err = { .text = "" };
    uint64_t id = 0;
    if (le_engine_submit(b->e, job, &id, &err)) {
        fprintf(stderr, "bench: %s\n", err.text);
        return false;
    }
    le_engine_credit(b->e, id, job->max_tokens);
    struct pollfd fd = { .fd = le_engine_fd(b->e), .events = POLLIN };
    for (;;) {
        if (!le_engine_next(b->e, end)) {
            poll(&fd, 1, -1);
        } else if (end->kind == LE_EVENT_END) {
            if (end->end == LE_END_LENGTH)
                return true;
            fprintf(stderr, "bench: %s\n", end->text ? end->text : "the run ended early");
            return false;
        }
    }
}

static int compare_rates(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void summarise(const struct bench *b, struct test *t)
{
    uint32_t n = b->repetitions;
    double sum = 0, squares = 0, sorted[REPETITIONS_MAX];
    for (uint32_t i = 0; i < n; i++) {
        sum += t->rate[i];
        sorted[i] = t->rate[i];
    }
    t->mean = sum / n;
    for (uint32_t i = 0; i < n; i++)
        squares += (t->rate[i] - t->mean) * (t->rate[i] - t->mean);
    t->sd = n > 1 ? sqrt(squares / (n - 1)) : 0;
    qsort(sorted, n, sizeof(*sorted), compare_rates);
    t->median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
    if (t->kind[0] == 't')
        t->gb_per_s = (double)b->token_bytes * t->mean / 1e9;
}

/* pp: the whole prompt and one token, timed to its logits. tg: n steps after a prompt of depth + 1
 * tokens, which takes n + 1 tokens: the first comes from the prompt's own logits. */
static bool run_test(struct bench *b, struct test *t)
{
    bool generation = t->kind[0] == 't';
    const struct le_job job = {
        .prompt = b->ids,
        .n_prompt = generation ? t->depth + 1 : t->n,
        .max_tokens = generation ? t->n + 1 : 1,
        .sampling = { .temperature = 0, .top_p = 1 },
        .ignore_end = true,
    };
    for (uint32_t i = 0; i <= b->repetitions; i++) {
        struct le_event end;
        if (!run_job(b, &job, &end))
            return false;
        int64_t ns = generation ? end.decode_ns : end.prefill_ns;
        if (i > 0) /* the first run warms up */
            t->rate[i - 1] = t->n * 1e9 / (double)(ns > 0 ? ns : 1);
    }
    summarise(b, t);
    return true;
}

static void print_scaled(char *out, size_t n, double v, double base, const char *const *unit)
{
    int i = 0;
    for (; v >= base && unit[i + 1]; i++)
        v /= base;
    snprintf(out, n, "%.2f %s", v, unit[i]);
}

/* "tg128", "tg128 @ d1024" */
static void name_test(const struct test *t, char *out, size_t n)
{
    int at = snprintf(out, n, "%s%u", t->kind, t->n);
    if (t->depth > 0)
        snprintf(out + at, n - (size_t)at, " @ d%u", t->depth);
}

static void print_row(struct bench *b, const struct test *t)
{
    static const char *const bytes[] = { "B", "KiB", "MiB", "GiB", "TiB", NULL };
    static const char *const counts[] = { "", "K", "M", "B", "T", NULL };
    char size[32], params[32], name[48], rate[64], threads[16] = "", gb[32] = "";
    print_scaled(size, sizeof(size), (double)b->bytes, 1024, bytes);
    print_scaled(params, sizeof(params), (double)b->params, 1000, counts);
    name_test(t, name, sizeof(name));
    snprintf(rate, sizeof(rate), "%.2f \xC2\xB1 %.2f", t->mean, t->sd);
    if (strcmp(le_engine_device_kind(b->e), "cpu") == 0)
        snprintf(threads, sizeof(threads), b->threads ? "%u" : "all", b->threads);
    if (t->gb_per_s > 0)
        snprintf(gb, sizeof(gb), "%.1f", t->gb_per_s);
    if (b->printed++ == 0)
        printf("| %-30s | %10s | %10s | %-7s | %-9s | %7s | %15s | %19s | %7s |\n"
               "| ------------------------------ | ---------: | ---------: | ------- | --------- | "
               "------: | --------------: | ------------------: | ------: |\n",
               "model", "size", "params", "backend", "precision", "threads", "test", "t/s", "GB/s");
    /* one column more: the sign is two bytes */
    printf("| %-30s | %10s | %10s | %-7s | %-9s | %7s | %15s | %20s | %7s |\n",
           le_engine_model_name(b->e), size, params, le_engine_device_kind(b->e),
           le_engine_precision(b->e), threads, name, rate, gb);
    fflush(stdout);
}

static bool print_json(struct bench *b, const struct test *t)
{
    struct tg_buf out;
    char name[48];
    name_test(t, name, sizeof(name));
    tg_buf_init(&out, 1 << 20);
    tg_buf_adds(&out, b->printed++ ? ",\n  {\"model\": " : "[\n  {\"model\": ");
    tg_buf_add_json(&out, tg_str_of(le_engine_model_name(b->e)));
    tg_buf_addf(&out, ", \"size_bytes\": %llu, \"params\": %llu, \"backend\": \"%s\", "
                "\"device\": ", (unsigned long long)b->bytes,
                (unsigned long long)b->params, le_engine_device_kind(b->e));
    tg_buf_add_json(&out, tg_str_of(le_engine_device(b->e)));
    tg_buf_addf(&out, ", \"precision\": \"%s\", \"threads\": ", le_engine_precision(b->e));
    if (b->threads > 0)
        tg_buf_addf(&out, "%u", b->threads);
    else
        tg_buf_adds(&out, "null");
    tg_buf_addf(&out, ", \"load_s\": %.3f, \"test\": \"%s\", \"mean\": %.3f, \"sd\": %.3f, "
                "\"median\": %.3f", b->load_s, name, t->mean, t->sd, t->median);
    if (t->gb_per_s > 0)
        tg_buf_addf(&out, ", \"weight_bytes_per_token\": %llu, \"gb_per_s\": %.3f",
                    (unsigned long long)b->token_bytes, t->gb_per_s);
    tg_buf_adds(&out, ", \"samples\": [");
    for (uint32_t i = 0; i < b->repetitions; i++)
        tg_buf_addf(&out, "%s%.3f", i ? ", " : "", t->rate[i]);
    tg_buf_adds(&out, "]}");
    bool good = !out.failed;
    if (good)
        fputs(out.p, stdout);
    else
        fprintf(stderr, "bench: out of memory\n");
    tg_buf_free(&out);
    return good;
}

static bool ends_with(struct tg_str s, const char *end)
{
    size_t n = strlen(end);
    return s.n >= n && memcmp(s.p + s.n - n, end, n) == 0;
}

static bool starts_with(struct tg_str s, const char *start)
{
    size_t n = strlen(start);
    return s.n >= n && memcmp(s.p, start, n) == 0;
}

/* Bytes of a tensor that generating one token reads. */
static uint64_t bytes_read(const struct le_gguf *g, const struct le_params *p,
                           const struct le_tensor *t)
{
    struct tg_str name = t->name;
    bool table = tg_str_eq(name, TG_STR("per_layer_token_embd.weight")) ||
                 (tg_str_eq(name, TG_STR("token_embd.weight")) &&
                  le_gguf_tensor(g, "output.weight"));
    if (table)
        return t->nbytes / t->ne[1]; /* its own row */
    if (starts_with(name, "v.") || starts_with(name, "a.") || starts_with(name, "mm."))
        return 0; /* towers of other media */
    if (p->n_experts > 0 && ends_with(name, "_exps.weight"))
        return t->nbytes / p->n_experts * p->n_used;
    unsigned layer;
    char rest[64], text[96];
    snprintf(text, sizeof(text), "%.*s", TG_FMT(name));
    if (sscanf(text, "blk.%u.%63s", &layer, rest) == 2 && layer < p->n_layers &&
        !p->layer[layer].owns_kv &&
        (starts_with(tg_str_of(rest), "attn_k.") || starts_with(tg_str_of(rest), "attn_v.")))
        return 0; /* it reads another layer's */
    return t->nbytes;
}

/* Size and number of weights, from the file. */
static bool measure_file(struct bench *b)
{
    struct le_gguf *g = NULL;
    struct le_params *p = tg_calloc(1, sizeof(*p));
    struct tg_error err = { .text = "out of memory" };
    bool good = p && le_gguf_open(b->model, &g, &err) == TG_OK &&
                le_params_read(g, p, &err) == TG_OK;
    if (!good)
        fprintf(stderr, "bench: %s\n", err.text);
    for (size_t i = 0; good && i < le_gguf_n_tensors(g); i++) {
        const struct le_tensor *t = le_gguf_tensor_at(g, i);
        b->bytes += t->nbytes;
        b->params += t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
        b->token_bytes += bytes_read(g, p, t);
    }
    le_gguf_close(g);
    tg_free(p);
    return good;
}

/* BOS, then ids from all over the vocabulary: a repeated id would flatter caches. */
static bool fill_ids(struct bench *b)
{
    const struct le_tokenizer *t = le_engine_tokenizer(b->e);
    uint32_t n = b->prompt > b->depth + 1 ? b->prompt : b->depth + 1, state = 1;
    uint32_t vocab = le_tokenizer_n(t);
    int32_t bos = le_tokenizer_special(t)->bos;
    b->ids = tg_calloc(n, sizeof(*b->ids));
    if (!b->ids)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        b->ids[i] = (int32_t)((uint64_t)state * vocab >> 32);
    }
    b->ids[0] = bos >= 0 ? bos : 0;
    return true;
}

static int run_all(struct bench *b)
{
    if (b->prompt == 0 && b->generate == 0) {
        fprintf(stderr, "bench: --prompt and --generate are 0: there is nothing to measure\n");
        return 2;
    }
    struct test test[2] = { { .kind = "pp", .n = b->prompt },
                            { .kind = "tg", .n = b->generate, .depth = b->depth } };
    if (!fill_ids(b)) {
        fprintf(stderr, "bench: out of memory\n");
        return 1;
    }
    if (!b->json)
        printf("device: %s\n\n", le_engine_device(b->e));
    for (int i = 0; i < 2; i++) {
        if (test[i].n == 0)
            continue;
        if (!run_test(b, &test[i]))
            return 1;
        if (!b->json)
            print_row(b, &test[i]);
        else if (!print_json(b, &test[i]))
            return 1;
    }
    if (b->json)
        puts(b->printed ? "\n]" : "[]");
    return le_cmd_flush("bench") ? 0 : 1;
}

int le_cmd_bench(int argc, char **argv)
{
    struct bench b = { .prompt = 512, .generate = 128, .repetitions = 5 };
    const struct le_option options[] = {
        { "--model", "-m", LE_OPTION_TEXT, &b.model, NULL, 0, 0 },
        { "--prompt", "-p", LE_OPTION_U32, &b.prompt, NULL, 0, LENGTH_MAX },
        { "--generate", "-n", LE_OPTION_U32, &b.generate, NULL, 0, LENGTH_MAX },
        { "--depth", "-d", LE_OPTION_U32, &b.depth, NULL, 0, LENGTH_MAX },
        { "--repetitions", "-r", LE_OPTION_U32, &b.repetitions, NULL, 1, REPETITIONS_MAX },
        { "--threads", "-t", LE_OPTION_U32, &b.threads, NULL, 1, LE_THREADS_MAX },
        { "--precision", NULL, LE_OPTION_PRECISION, &b.precision, NULL, 0, 0 },
        { "--chunk", NULL, LE_OPTION_U32, &b.chunk, NULL, 1, LE_STEP_TOKENS_MAX },
        { "--device", NULL, LE_OPTION_DEVICE, &b.device, NULL, 0, 0 },
        { "--json", NULL, LE_OPTION_FLAG, &b.json, NULL, 0, 0 },
    };
    const struct le_command command = { "bench", usage, options,
                                        sizeof(options) / sizeof(*options), NULL };
    enum le_args args = le_args_parse(&command, argc, argv);
    if (args != LE_ARGS_RUN)
        return args == LE_ARGS_HELP ? 0 : 2;
    uint32_t generation = b.depth + b.generate + 2;
    const struct le_engine_options engine = {
        .model = b.model, .device = b.device, .precision = b.precision, .threads = b.threads,
        .context = generation > b.prompt + 1 ? generation : b.prompt + 1, .prefill_chunk = b.chunk
    };
    int64_t start = tg_mono_ns();
    b.e = le_cmd_open("bench", &engine);
    b.load_s = (double)(tg_mono_ns() - start) * 1e-9;
    if (!b.e)
        return b.model ? 1 : 2;
    int status = measure_file(&b) ? run_all(&b) : 1;
    le_engine_close(b.e);
    tg_free(b.ids);
    return status;
}
