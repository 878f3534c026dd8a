/* bench: prompt and generation tokens/s, in the columns llama-bench users know. Both are measured
 * through the engine, sampling included, so they are what a request would get. */
#include <math.h>
#include <poll.h>
#include <stdio.h>

#include "config/base/alloc.h"
#include "config/base/buf.h"
#include "local_engine/cmd_common.h"
#include "local_engine/gguf.h"
#include "local_engine/ops.h"

enum { REPETITIONS_MAX = 100, LENGTH_MAX = 1 << 20 };

static const char usage[] =
    "usage: bench --model FILE [options]\n"
    "Measures prompt processing (ppN) and generation (tgN) in tokens/s: the mean and the standard\n"
    "deviation over the repetitions, after one run to warm up that is not counted.\n"
    "  -m, --model FILE     GGUF file of a Gemma 4 model\n"
    "  -p, --prompt N       tokens of the prompt; 0 skips the test (default 512)\n"
    "  -n, --generate N     tokens to generate from an empty context; 0 skips (default 128)\n"
    "  -r, --repetitions N  runs of each test (default 5)\n"
    "      --chunk N        prompt tokens a step, up to 512 (default: as in serving)\n"
    "      --device NAME    cpu, vulkan or auto (default auto: a real GPU, else cpu)\n"
    "      --json           the results, each run's too, as JSON\n"
    "  -h, --help           this text\n";

struct bench {
    const char *model;
    enum le_device device;
    uint32_t prompt, generate, repetitions, chunk;
    bool json;
    struct le_engine *e;
    int32_t *ids; /* [prompt or 1] */
    uint64_t bytes, params;
    uint32_t printed;
};

struct test {
    const char *kind; /* "pp", "tg" */
    uint32_t n;
    double rate[REPETITIONS_MAX], mean, sd;
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

/* pp: the whole prompt and one token, timed to its logits. tg: n steps after a prompt of one token,
 * which takes n + 1 tokens: the first comes from the prompt's own logits. */
static bool run_test(struct bench *b, struct test *t)
{
    bool generation = t->kind[0] == 't';
    const struct le_job job = {
        .prompt = b->ids,
        .n_prompt = generation ? 1 : t->n,
        .max_tokens = generation ? t->n + 1 : 1,
        .sampling = { .temperature = 0, .top_p = 1 },
        .ignore_end = true,
    };
    double sum = 0, squares = 0;
    for (uint32_t i = 0; i <= b->repetitions; i++) {
        struct le_event end;
        if (!run_job(b, &job, &end))
            return false;
        int64_t ns = generation ? end.decode_ns : end.prefill_ns;
        if (i > 0) /* the first run warms up */
            t->rate[i - 1] = t->n * 1e9 / (double)(ns > 0 ? ns : 1);
    }
    for (uint32_t i = 0; i < b->repetitions; i++)
        sum += t->rate[i];
    t->mean = sum / b->repetitions;
    for (uint32_t i = 0; i < b->repetitions; i++)
        squares += (t->rate[i] - t->mean) * (t->rate[i] - t->mean);
    t->sd = b->repetitions > 1 ? sqrt(squares / (b->repetitions - 1)) : 0;
    return true;
}

static void print_scaled(char *out, size_t n, double v, double base, const char *const *unit)
{
    int i = 0;
    for (; v >= base && unit[i + 1]; i++)
        v /= base;
    snprintf(out, n, "%.2f %s", v, unit[i]);
}

static void print_row(struct bench *b, const struct test *t)
{
    static const char *const bytes[] = { "B", "KiB", "MiB", "GiB", "TiB", NULL };
    static const char *const counts[] = { "", "K", "M", "B", "T", NULL };
    char size[32], params[32], name[32], rate[64];
    print_scaled(size, sizeof(size), (double)b->bytes, 1024, bytes);
    print_scaled(params, sizeof(params), (double)b->params, 1000, counts);
    snprintf(name, sizeof(name), "%s%u", t->kind, t->n);
    snprintf(rate, sizeof(rate), "%.2f \xC2\xB1 %.2f", t->mean, t->sd);
    if (b->printed++ == 0)
        printf("| %-30s | %10s | %10s | %-10s | %10s | %19s |\n"
               "| ------------------------------ | ---------: | ---------: | ---------- | "
               "---------: | ------------------: |\n",
               "model", "size", "params", "backend", "test", "t/s");
    /* one column more: the sign is two bytes */
    printf("| %-30s | %10s | %10s | %-10s | %10s | %20s |\n", le_engine_model_name(b->e), size,
           params, le_engine_device_kind(b->e), name, rate);
    fflush(stdout);
}

static void print_json(struct bench *b, const struct test *t)
{
    struct tg_buf out;
    tg_buf_init(&out, 1 << 20);
    tg_buf_adds(&out, b->printed++ ? ",\n  {\"model\": " : "[\n  {\"model\": ");
    tg_buf_add_json(&out, tg_str_of(le_engine_model_name(b->e)));
    tg_buf_addf(&out, ", \"size_bytes\": %llu, \"params\": %llu, \"backend\": \"%s\", \"device\": ",
                (unsigned long long)b->bytes, (unsigned long long)b->params,
                le_engine_device_kind(b->e));
    tg_buf_add_json(&out, tg_str_of(le_engine_device(b->e)));
    tg_buf_addf(&out, ", \"test\": \"%s%u\", \"mean\": %.3f, \"sd\": %.3f, \"samples\": [",
                t->kind, t->n, t->mean, t->sd);
    for (uint32_t i = 0; i < b->repetitions; i++)
        tg_buf_addf(&out, "%s%.3f", i ? ", " : "", t->rate[i]);
    tg_buf_adds(&out, "]}");
    if (!out.failed)
        fputs(out.p, stdout);
    tg_buf_free(&out);
}

/* Size and number of weights, from the file. */
static bool measure_file(struct bench *b)
{
    struct le_gguf *g = NULL;
    struct tg_error err;
    if (le_gguf_open(b->model, &g, &err)) {
        fprintf(stderr, "bench: %s\n", err.text);
        return false;
    }
    for (size_t i = 0; i < le_gguf_n_tensors(g); i++) {
        const struct le_tensor *t = le_gguf_tensor_at(g, i);
        b->bytes += t->nbytes;
        b->params += t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
    }
    le_gguf_close(g);
    return true;
}

/* BOS, then ids from all over the vocabulary: a repeated id would flatter caches. */
static bool fill_ids(struct bench *b)
{
    const struct le_tokenizer *t = le_engine_tokenizer(b->e);
    uint32_t n = b->prompt ? b->prompt : 1, state = 1, vocab = le_tokenizer_n(t);
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
    struct test test[2] = { { .kind = "pp", .n = b->prompt }, { .kind = "tg", .n = b->generate } };
    if (!fill_ids(b)) {
        fprintf(stderr, "bench: out of memory\n");
        return 1;
    }
    fprintf(stderr, "device: %s\n", le_engine_device(b->e));
    for (int i = 0; i < 2; i++) {
        if (test[i].n == 0)
            continue;
        if (!run_test(b, &test[i]))
            return 1;
        if (b->json)
            print_json(b, &test[i]);
        else
            print_row(b, &test[i]);
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
        { "--repetitions", "-r", LE_OPTION_U32, &b.repetitions, NULL, 1, REPETITIONS_MAX },
        { "--chunk", NULL, LE_OPTION_U32, &b.chunk, NULL, 1, LE_STEP_TOKENS_MAX },
        { "--device", NULL, LE_OPTION_DEVICE, &b.device, NULL, 0, 0 },
        { "--json", NULL, LE_OPTION_FLAG, &b.json, NULL, 0, 0 },
    };
    const struct le_command command = { "bench", usage, options,
                                        sizeof(options) / sizeof(*options), NULL };
    enum le_args args = le_args_parse(&command, argc, argv);
    if (args != LE_ARGS_RUN)
        return args == LE_ARGS_HELP ? 0 : 2;
    uint32_t need = b.generate + 2 > b.prompt + 1 ? b.generate + 2 : b.prompt + 1;
    const struct le_engine_options engine = {
        .model = b.model, .device = b.device, .context = need, .prefill_chunk = b.chunk
    };
    b.e = le_cmd_open("bench", &engine);
    if (!b.e)
        return b.model ? 1 : 2;
    int status = measure_file(&b) ? run_all(&b) : 1;
    le_engine_close(b.e);
    tg_free(b.ids);
    return status;
}
