/* The files that the benchmarks measure are what they claim to be: exact shapes, weights of the
 * wanted spread in every type, the same bytes from the same seed, readable by the engine. */
#include "tests/unit/check.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/sha256.h"
#include "local_engine/backend.h"
#include "local_engine/model.h"
#include "local_engine/tokenizer.h"
#include "tests/bench/synth.h"

enum { SAMPLES = 1 << 20, PATH_BYTES = 256 };

static const uint32_t types[] = {
    LE_TYPE_F32, LE_TYPE_F16, LE_TYPE_BF16, LE_TYPE_Q8_0, LE_TYPE_Q4_0, LE_TYPE_Q4_1,
    LE_TYPE_Q5_0, LE_TYPE_Q5_1, LE_TYPE_Q2_K, LE_TYPE_Q3_K, LE_TYPE_Q4_K, LE_TYPE_Q5_K,
    LE_TYPE_Q6_K, LE_TYPE_IQ4_NL, LE_TYPE_IQ4_XS, LE_TYPE_MXFP4,
};

static char folder[PATH_BYTES];

static const char *in_folder(const char *name)
{
    static char path[2][PATH_BYTES + 64];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
    return path[turn];
}

static struct synth_options small(const char *shape, const char *mix, const char *out)
{
    return (struct synth_options){ .shape = synth_find_shape(shape), .mix = synth_find_mix(mix),
                                   .out = out, .vocab_size = 512, .layers = 1, .seed = 1 };
}

static int files_left(void)
{
    char command[PATH_BYTES + 32], line[64] = "";
    snprintf(command, sizeof(command), "ls -A %s | wc -l", folder);
    FILE *f = popen(command, "r");
    if (!f || !fgets(line, sizeof(line), f))
        line[0] = 0;
    if (f)
        pclose(f);
    return line[0] ? (int)strtol(line, NULL, 10) : -1;
}

/* Mean and deviation of a type's elements, as the engine reads them. */
static void check_spread(uint32_t type, float std)
{
    uint32_t block = 1, bytes = 0;
    CHECK(le_type_block(type, &block, &bytes));
    uint8_t *p = tg_alloc((size_t)SAMPLES / block * bytes);
    float *v = tg_alloc(SAMPLES * sizeof(*v));
    double sum = 0, squares = 0;
    if (p && v) {
        synth_blocks(type, 7, 0, SAMPLES, std, p);
        le_dequantise(type, p, v, SAMPLES);
        for (int i = 0; i < SAMPLES; i++) {
            sum += (double)v[i];
            squares += (double)v[i] * (double)v[i];
        }
    }
    tg_free(p);
    tg_free(v);
    double mean = sum / SAMPLES, deviation = sqrt(squares / SAMPLES - mean * mean);
    if (!(fabs(mean) < 0.01 * (double)std) || !(fabs(deviation / (double)std - 1) < 0.03))
        CHECK_FAIL("%s: mean %g, deviation %g, want 0 and %g", le_type_name(type), mean, deviation,
                   (double)std);
}

static void every_type_has_the_wanted_spread(void)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        check_spread(types[i], 0.0068f); /* the widest matrix: 1 / sqrt(21504) */
        check_spread(types[i], 0.0625f);
    }
}

static void a_tensor_made_in_pieces_is_the_same(void)
{
    enum { N = 8192, PIECE = 2048, BYTES = N * 4 };
    static uint8_t whole[BYTES], pieces[BYTES];
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        uint32_t block = 1, bytes = 0;
        le_type_block(types[i], &block, &bytes);
        synth_blocks(types[i], 3, 0, N, 0.02f, whole);
        for (uint64_t at = 0; at < N; at += PIECE)
            synth_blocks(types[i], 3, at, PIECE, 0.02f, pieces + at / block * bytes);
        CHECK(memcmp(whole, pieces, (size_t)N / block * bytes) == 0);
    }
}

static struct synth_plan plan;

static void plan_whole(const char *shape, bool omit_unused)
{
    struct synth_options o = small(shape, "q4_k_m", "x");
    struct tg_error err;
    o.layers = 0;
    o.omit_unused = omit_unused;
    CHECK_INT(synth_plan(&o, SYNTH_VOCAB_FULL, &plan, &err), TG_OK);
}

/* What loaders print of released files: tensors in F32 and others. */
static void released_files_have_these_tensors(void)
{
    static const struct {
        const char *shape;
        uint32_t f32, others;
    } want[] = { { "e2b", 283, 318 }, { "12b", 338, 329 }, { "26b", 392, 266 } };
    for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
        uint32_t f32 = 0;
        plan_whole(want[i].shape, false);
        for (uint32_t k = 0; k < plan.n_tensors; k++)
            f32 += plan.tensor[k].type == LE_TYPE_F32;
        CHECK_INT(f32, want[i].f32);
        CHECK_INT(plan.n_tensors - f32, want[i].others);
    }
}

/* The published sizes, which count what is used. */
static void released_models_have_these_parameters(void)
{
    static const struct {
        const char *shape;
        double parameters;
    } want[] = { { "e2b", 4.63e9 }, { "e4b", 7.46e9 }, { "12b", 11.91e9 }, { "26b", 25.23e9 },
                 { "31b", 30.70e9 } };
    for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
        double n = 0;
        plan_whole(want[i].shape, true);
        for (uint32_t k = 0; k < plan.n_tensors; k++)
            n += (double)(plan.tensor[k].ne[0] * plan.tensor[k].ne[1] * plan.tensor[k].ne[2]);
        if (fabs(n - want[i].parameters) > 0.006e9)
            CHECK_FAIL("%s: %.4g parameters, want %.4g", want[i].shape, n, want[i].parameters);
    }
}

static bool digest_file(const char *path, char hex[TG_SHA256_HEX + 1])
{
    static uint8_t piece[1 << 16];
    unsigned char digest[TG_SHA256_BYTES];
    struct tg_sha256 s;
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    tg_sha256_init(&s);
    for (size_t n; (n = fread(piece, 1, sizeof(piece), f)) > 0;)
        tg_sha256_update(&s, piece, n);
    tg_sha256_final(&s, digest);
    tg_sha256_hex(digest, hex);
    return fclose(f) == 0;
}

static void the_seed_decides_every_byte(void)
{
    char hex[3][TG_SHA256_HEX + 1];
    struct tg_error err = { .text = "" };
    for (int i = 0; i < 3; i++) {
        struct synth_options o = small("e2b", "q2_k", in_folder("seed.gguf"));
        o.seed = i < 2 ? 5 : 6;
        if (synth_write(&o, NULL, &err) || !digest_file(o.out, hex[i]))
            CHECK_FAIL("%s", err.text);
        unlink(o.out);
    }
    CHECK_STR(hex[1], hex[0]);
    CHECK(strcmp(hex[2], hex[0]) != 0);
}

/* A word round trip and the roles: the made-up tokenizer is one of the family. */
static void check_tokenizer(const struct le_gguf *g)
{
    struct le_tokenizer *t = NULL;
    struct tg_error err = { .text = "" };
    struct le_ids ids = { 0 };
    if (le_tokenizer_open(g, &t, &err))
        CHECK_FAIL("%s", err.text);
    struct le_special_ids s = *le_tokenizer_special(t);
    char text[64] = "";
    size_t n = 0;
    enum tg_status st = le_tokenizer_encode(t, TG_STR("a word, \xC3\xA9\n\n"), false, &ids);
    for (size_t i = 0; i < ids.n; i++) {
        struct tg_str piece = le_tokenizer_piece(t, ids.id[i]);
        memcpy(text + n, piece.p, piece.n);
        n += piece.n;
    }
    size_t n_ids = ids.n;
    le_ids_free(&ids);
    le_tokenizer_close(t);
    CHECK_INT(st, TG_OK);
    CHECK_STR(text, "a word, \xC3\xA9\n\n");
    CHECK(n_ids < n); /* the newlines are one token */
    CHECK(s.bos == 2 && s.eos == 1 && s.turn_close == 106 && s.call_open == 48 && s.quote == 52);
}

static void check_logits(struct le_model *m)
{
    static const int32_t ids[] = { 2, 494, 495, 300, 107, 501, 496, 499 };
    enum { N = sizeof(ids) / sizeof(*ids) };
    static const uint32_t out[] = { 0, N - 1 };
    struct tg_error err = { .text = "" };
    if (le_model_step(m, ids, N, 0, out, 2, &err))
        CHECK_FAIL("%s", err.text);
    for (uint32_t r = 0; r < 2; r++) {
        const float *logits = le_model_logits(m, r);
        uint32_t n = le_model_params(m)->n_vocab;
        double squares = 0;
        for (uint32_t i = 0; i < n; i++)
            squares += (double)logits[i] * (double)logits[i];
        double spread = sqrt(squares / n);
        if (!(spread > 1 && spread < 9))
            CHECK_FAIL("logits with a spread of %g", spread);
    }
}

/* Writes a file or several, reads them as the engine does, and runs a few tokens. */
static void run_file(const struct synth_options *o)
{
    static struct le_params params;
    char path[PATH_BYTES + 128];
    struct tg_error err = { .text = "" };
    struct le_gguf *g = NULL;
    struct le_backend *be = NULL;
    struct le_model *m = NULL;
    const struct le_ops *ops = NULL;
    enum tg_status st = synth_write(o, &plan, &err);
    synth_part_path(o->out, 0, plan.n_parts, path, sizeof(path));
    if (st || le_gguf_open(path, &g, &err) ||
        le_params_read(g, &params, &err) || cpu_open(NULL, &ops, &be, &err) ||
        le_model_open(g, ops, be, &(struct le_model_options){ .context = 16 }, &m, &err))
        CHECK_FAIL("%s %s: %s", o->shape->name, synth_mix_name(o->mix), err.text);
    check_logits(m);
    check_tokenizer(g);
    le_model_close(m);
    ops->close(be);
    le_gguf_close(g);
    for (uint32_t i = 0; i < plan.n_parts; i++) {
        synth_part_path(o->out, i, plan.n_parts, path, sizeof(path));
        unlink(path);
    }
    CHECK_INT(files_left(), 0);
}

static void the_engine_reads_and_runs_it(void)
{
    struct synth_options o = small("e2b", "q4_0", in_folder("run.gguf"));
    o.layers = 6; /* one of which shares */
    run_file(&o);
    o.layers = 1;
    o.untied = true;
    run_file(&o);
}

/* Everything a released 26B has, in small: experts with rows that are no multiple of 256, global
 * layers without values. */
static const struct synth_shape tiny_moe = {
    .name = "26b", .layers = 4, .d = 512, .period = 3, .heads = 4, .kv_sliding = 2,
    .kv_global = 1, .ff = 288, .window = 32, .context = 512, .experts = 16, .expert_ff = 96,
    .values_are_keys = true,
};

static void the_engine_runs_experts_in_every_form(void)
{
    struct synth_options o = small("26b", "q4_k_m", in_folder("moe.gguf"));
    o.shape = &tiny_moe;
    o.layers = 0;
    for (int form = 0; form < 4; form++) {
        o.fused_qkv = form & 1;
        o.split_experts = form & 2;
        run_file(&o);
    }
    o.mix = synth_find_mix("mixed");
    run_file(&o);
    o.split_max_bytes = 1 << 20;
    run_file(&o);
    CHECK(plan.n_parts > 5);
}

static void the_engine_runs_every_type(void)
{
    struct synth_options o = small("e2b", "mixed", in_folder("mixed.gguf"));
    o.layers = 2;
    run_file(&o);
}

static bool stop_at_half(void *arg, uint64_t done, uint64_t total)
{
    (void)arg;
    return done < total / 2;
}

static void a_stopped_run_leaves_nothing(void)
{
    struct synth_options o = small("e2b", "q4_0", in_folder("stopped.gguf"));
    struct tg_error err;
    o.progress = stop_at_half;
    o.split_max_bytes = 2 << 20;
    CHECK_INT(synth_write(&o, NULL, &err), TG_CANCELLED);
    CHECK_INT(files_left(), 0);
}

static void a_full_disk_leaves_nothing(void)
{
    struct synth_options o = small("e2b", "q4_0", in_folder("full.gguf"));
    struct tg_error err;
    struct rlimit was, low = { 1 << 20, RLIM_INFINITY };
    CHECK(getrlimit(RLIMIT_FSIZE, &was) == 0);
    low.rlim_max = was.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &low) == 0);
    enum tg_status st = synth_write(&o, NULL, &err);
    CHECK(setrlimit(RLIMIT_FSIZE, &was) == 0);
    CHECK_INT(st, TG_IO);
    if (!strstr(err.text, "cannot be written at byte 1048576"))
        CHECK_FAIL("%s", err.text);
    CHECK_INT(files_left(), 0);
}

static void no_memory_is_an_error(void)
{
    struct synth_options o = small("e2b", "q2_k", in_folder("memory.gguf"));
    struct tg_error err;
    enum tg_status st = TG_NOMEM;
    for (uint64_t nth = 1; st; nth++) {
        tg_alloc_fail_nth(nth);
        st = synth_write(&o, NULL, &err);
        tg_alloc_fail_nth(0);
        if (st && st != TG_NOMEM)
            CHECK_FAIL("allocation %d: %s", (int)nth, err.text);
        CHECK_INT(files_left(), st ? 0 : 1);
        CHECK(nth < 200);
    }
    unlink(o.out);
}

static void what_cannot_be_is_refused(void)
{
    struct synth_options o = small("e2b", "q4_0", in_folder("refused.gguf"));
    struct tg_error err;
    o.layers = 36;
    CHECK_INT(synth_write(&o, NULL, &err), TG_INVALID);
    o.layers = 1;
    o.split_experts = true;
    CHECK_INT(synth_write(&o, NULL, &err), TG_INVALID);
    o.split_experts = false;
    o.vocab_size = 511;
    CHECK_INT(synth_write(&o, NULL, &err), TG_INVALID);
    o.vocab_size = 512;
    o.out = "/nowhere/at/all.gguf";
    CHECK_INT(synth_write(&o, NULL, &err), TG_IO);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(every_type_has_the_wanted_spread),
        CASE(a_tensor_made_in_pieces_is_the_same),
        CASE(released_files_have_these_tensors),
        CASE(released_models_have_these_parameters),
        CASE(the_seed_decides_every_byte),
        CASE(the_engine_reads_and_runs_it),
        CASE(the_engine_runs_every_type),
        CASE(the_engine_runs_experts_in_every_form),
        CASE(a_stopped_run_leaves_nothing),
        CASE(a_full_disk_leaves_nothing),
        CASE(no_memory_is_an_error),
        CASE(what_cannot_be_is_refused),
    };
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof(folder), "%s/tollgate-synth-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(folder)) {
        fprintf(stderr, "%s: a folder for the test cannot be made\n", folder);
        return 1;
    }
    int status = check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
    rmdir(folder);
    return status;
}
