/* make_model: a GGUF file with a released model's shapes and random weights (see README.md). */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/synth.h"

static volatile sig_atomic_t stopped;

struct bar {
    bool shown;
    struct timespec start;
    double last;
    uint64_t done;
};

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static void print_usage(FILE *to)
{
    fprintf(to,
            "usage: make_model MODEL TYPE OUT.gguf [options]\n"
            "Writes a GGUF file with the exact tensors and metadata of a released Gemma 4 model "
            "and random\n"
            "weights. The same arguments give the same bytes.\n"
            "  MODEL                %s\n"
            "  TYPE                 %s\n"
            "                       (_m: more bits for some layers; mixed: every type in one "
            "file)\n"
            "  --layers N           only so many layers\n"
            "  --seed S             default 1\n"
            "  --vocab FILE         take the tokenizer and the chat template from this GGUF file;\n"
            "                       without it, one is made up that has the same special tokens\n"
            "  --vocab-size N       tokens of the made-up one, from %d (default %d)\n"
            "  --split-max-bytes B  several files STEM-00001-of-0000N.gguf, each with at most B "
            "bytes of\n"
            "                       weights (a tensor larger than that has a file of its own)\n"
            "  --fused              query, key and value rows in one tensor attn_qkv\n"
            "  --split-experts      the experts' gate and up matrices in two tensors (26b)\n"
            "  --untied             a head of its own, output.weight\n"
            "  --omit-unused        no keys and values in layers that share another layer's\n"
            "                       (e2b, e4b; released files have them)\n",
            synth_shape_names(), synth_mix_names(), SYNTH_VOCAB_MIN, SYNTH_VOCAB_FULL);
}

static double seconds_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) * 1e-9;
}

static bool show_progress(void *arg, uint64_t done, uint64_t total)
{
    struct bar *bar = arg;
    double s = seconds_since(&bar->start);
    bar->done = done;
    if (bar->shown && s - bar->last > 0.2) {
        bar->last = s;
        fprintf(stderr, "\r%3.0f%%  %.2f of %.2f GB  %.0f MB/s ",
                100.0 * (double)done / (double)total, (double)done / 1e9, (double)total / 1e9,
                (double)done / 1e6 / s);
    }
    return !stopped;
}

static int wrong(const char *what, const char *arg, const char *allowed)
{
    fprintf(stderr, "make_model: %s %s%s%s\nmake_model --help lists the arguments.\n", what, arg,
            allowed ? "; possible: " : "", allowed ? allowed : "");
    return 2;
}

/* The value of a numeric option in [1, max]. */
static bool number(const char *text, uint64_t max, uint64_t *out)
{
    return tg_parse_u64(tg_str_of(text), out) && *out >= 1 && *out <= max;
}

/* argv[*i] and its value; 0, or an exit status. */
static int take_option(int argc, char **argv, int *i, struct synth_options *o)
{
    const char *name = argv[*i];
    struct {
        const char *name;
        bool *to;
    } flags[] = { { "--fused", &o->fused_qkv }, { "--split-experts", &o->split_experts },
                  { "--untied", &o->untied },
                  { "--omit-unused", &o->omit_unused } };
    for (size_t k = 0; k < sizeof(flags) / sizeof(*flags); k++)
        if (strcmp(name, flags[k].name) == 0) {
            *flags[k].to = true;
            return 0;
        }
    if (*i + 1 >= argc)
        return wrong("unknown, or without its value:", name, NULL);
    const char *value = argv[++*i];
    uint64_t v = 0;
    if (strcmp(name, "--vocab") == 0)
        o->vocab = value;
    else if (strcmp(name, "--layers") == 0 && number(value, SYNTH_LAYERS_MAX, &v))
        o->layers = (uint32_t)v;
    else if (strcmp(name, "--seed") == 0 && number(value, UINT64_MAX, &v))
        o->seed = v;
    else if (strcmp(name, "--vocab-size") == 0 && number(value, SYNTH_VOCAB_FULL, &v))
        o->vocab_size = (uint32_t)v;
    else if (strcmp(name, "--split-max-bytes") == 0 && number(value, UINT64_MAX, &v))
        o->split_max_bytes = v;
    else
        return wrong("unknown option, or a value that is not possible:", name, NULL);
    return 0;
}

/* 0: run; else an exit status plus one. */
static int parse(int argc, char **argv, struct synth_options *o)
{
    const char *positional[3] = { 0 };
    int n = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_usage(stdout);
            return 1;
        }
        if (argv[i][0] == '-') {
            int status = take_option(argc, argv, &i, o);
            if (status)
                return status + 1;
        } else if (n < 3) {
            positional[n++] = argv[i];
        } else {
            return wrong("too much:", argv[i], NULL) + 1;
        }
    }
    if (n < 3) {
        print_usage(stderr);
        return 3;
    }
    o->shape = synth_find_shape(positional[0]);
    o->mix = synth_find_mix(positional[1]);
    o->out = positional[2];
    if (!o->shape)
        return wrong("there is no model", positional[0], synth_shape_names()) + 1;
    if (!o->mix)
        return wrong("there is no type", positional[1], synth_mix_names()) + 1;
    return 0;
}

int main(int argc, char **argv)
{
    static struct synth_plan plan;
    struct bar bar = { .shown = isatty(STDERR_FILENO) };
    struct synth_options o = { .seed = 1, .progress = show_progress, .arg = &bar };
    struct tg_error err = { .text = "" };
    int status = parse(argc, argv, &o);
    if (status)
        return status - 1;
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    clock_gettime(CLOCK_MONOTONIC, &bar.start);
    enum tg_status st = synth_write(&o, &plan, &err);
    if (bar.shown)
        fprintf(stderr, "\r\033[K");
    if (st) {
        fprintf(stderr, "make_model: %s\n", err.text);
        return 1;
    }
    double s = seconds_since(&bar.start);
    char path[4096];
    for (uint32_t i = 0; i < plan.n_parts; i++) {
        synth_part_path(o.out, i, plan.n_parts, path, sizeof(path));
        printf("%s\n", path);
    }
    fprintf(stderr, "%u tensors, %.2f GB in %.1f s (%.0f MB/s)\n", plan.n_tensors,
            (double)plan.total / 1e9, s, (double)plan.total / 1e6 / s);
    return 0;
}
